//! Private daemons: ours below a folder of its own, and libvirt's as the reference.

use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::nobody::NOBODY;
use crate::programs::{our_program, reference_program};
use crate::scratch::Scratch;
use crate::shell::end_within;
use crate::wait::wait_until;

const START_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(30);

/// A daemon that speaks libvirt's protocol on a socket of its own.
pub trait Daemon {
    fn socket(&self) -> &Path;

    /// The address of a driver in this daemon: `uri("test", "default")`.
    fn uri(&self, driver: &str, path: &str) -> String {
        format!("{driver}+unix:///{path}?socket={}", self.socket().display())
    }
}

/// The path of the QEMU driver's address that a daemon of this user serves.
pub fn guests_path() -> &'static str {
    if rustix::process::geteuid().is_root() { "system" } else { "session" }
}

/// A port that nobody uses now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Our daemon, with everything it reads and writes below one folder.
pub struct Virtd {
    base: Scratch,
    program: PathBuf,
    socket: PathBuf,
    /// It lets people in over the network.
    listens: bool,
    variables: Vec<(&'static str, OsString)>,
    child: Option<Child>,
    /// Those that nobody has waited for.
    killed: Vec<Child>,
}

impl Virtd {
    /// Starts the daemon of this build.
    pub fn start() -> Self {
        Self::start_program(our_program("virtd"))
    }

    /// Starts a given program, and waits until its socket answers.
    pub fn start_program(program: PathBuf) -> Self {
        Self::launch(program, Scratch::new("virtd"), false, Vec::new())
    }

    /// Starts the daemon of this build with a configuration, open to the network where that says so.
    pub fn start_listening(conf: impl FnOnce(&Path) -> String) -> Self {
        Self::start_with(&[], conf)
    }

    /// [`Virtd::start_listening`] with variables in its environment.
    pub fn start_with(
        variables: &[(&'static str, OsString)],
        conf: impl FnOnce(&Path) -> String,
    ) -> Self {
        Self::start_other(our_program("virtd"), variables, conf)
    }

    /// [`Virtd::start_with`] with a daemon of another build.
    pub fn start_other(
        program: PathBuf,
        variables: &[(&'static str, OsString)],
        conf: impl FnOnce(&Path) -> String,
    ) -> Self {
        let base = Scratch::new("virtd");
        let text = conf(base.path());
        let folder = base.join("etc/libvirt");
        fs::create_dir_all(&folder).expect("the folder is ours");
        fs::write(folder.join("libvirtd.conf"), text).expect("the folder is ours");
        Self::launch(program, base, true, variables.to_vec())
    }

    fn launch(
        program: PathBuf,
        base: Scratch,
        listens: bool,
        variables: Vec<(&'static str, OsString)>,
    ) -> Self {
        let socket = base.join("run/libvirt/libvirt-sock");
        let (child, killed) = (None, Vec::new());
        let mut virtd = Self { base, program, socket, listens, variables, child, killed };
        virtd.restart();
        virtd
    }

    /// The folder below which everything lies.
    pub fn base(&self) -> &Path {
        self.base.path()
    }

    /// The process id of the running daemon.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// Starts it again after [`Virtd::kill`] or [`Virtd::stop`].
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the daemon runs already");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.base.join("stderr"));
        let child = Command::new(&self.program)
            .arg("--base-dir")
            .arg(self.base())
            .args(self.listens.then_some("--listen"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the folder is ours"))
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let child = self.child.insert(child);
        if let Err(reason) = await_socket(child, &self.socket) {
            panic!("virtd {reason}: {}", self.log());
        }
    }

    /// Ends it without warning, as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// [`Virtd::kill`], but the kernel may still be at work on it: what it held may be held yet.
    pub fn kill_unawaited(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            self.killed.push(child);
        }
    }

    /// Asks it to end, and gives its exit code; `None` if it had to be killed.
    pub fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take()?;
        terminate(&mut child)
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child
            .as_mut()
            .is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// What it wrote to its standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.base.join("stderr")).unwrap_or_default()
    }

    /// Process ids of the emulators it started.
    pub fn emulators(&self) -> Vec<i32> {
        emulators(&self.base.join("run/libvirt/qemu"), self.base())
    }
}

/// Emulators by their pid files, as far as they name a folder that is the test's own.
fn emulators(pid_files: &Path, own: &Path) -> Vec<i32> {
    let own = own.to_string_lossy().into_owned();
    let files = fs::read_dir(pid_files).into_iter().flatten().flatten().map(|entry| entry.path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "pid"))
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
        .filter(|pid: &i32| {
            // The drivers have pid files of their own there, with the daemon's id.
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            let program = line.split('\0').next().unwrap_or_default();
            program.contains("qemu-system") && line.contains(&own)
        })
        .collect()
}

impl Daemon for Virtd {
    fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Virtd {
    /// Guests outlive their daemon by design: here they must not.
    fn drop(&mut self) {
        if self.child.is_some() && self.stop() != Some(0) {
            eprintln!("virtd did not end well: {}", self.log());
        }
        for pid in self.emulators() {
            signal(pid, Signal::KILL);
        }
        for killed in &mut self.killed {
            drop(killed.wait());
        }
    }
}

/// Sends a signal to a process that the caller started, while others may still use its handle.
pub fn signal(pid: i32, signal: Signal) {
    // It may have ended by itself, which the caller will see.
    let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, signal));
}

/// libvirt's own daemon, as an unprivileged session daemon with folders of its own.
pub struct Reference {
    child: Child,
    socket: PathBuf,
    home: Scratch,
}

impl Reference {
    /// Starts it, or says why it cannot be: it is not installed, or not of the right version.
    pub fn start() -> Result<Self, String> {
        Self::start_with("", &[])
    }

    /// The process id of the running daemon.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts it with a configuration and variables, open to the network where that says so.
    pub fn start_with(conf: &str, variables: &[(&str, &Path)]) -> Result<Self, String> {
        let program = reference_program("libvirtd")?;
        let home = Scratch::new("libvirtd");
        home.write("libvirtd.conf", conf);
        let socket = home.join("libvirt/libvirt-sock");
        if rustix::process::geteuid().is_root() {
            home.set_mode(0o755);
            std::os::unix::fs::chown(home.path(), Some(NOBODY), Some(NOBODY))
                .map_err(|error| error.to_string())?;
        }
        let mut command = session_daemon(&program, &home)?;
        if !conf.is_empty() {
            command.arg("--listen").arg("-f").arg(home.join("libvirtd.conf"));
        }
        let child = spawn(command.envs(variables.iter().copied()), &home, &socket)?;
        Ok(Self { child, socket, home })
    }

    /// The folder in which everything lies.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Ends the daemon, and starts another program on its folders in its place. Guests go on.
    pub fn succeeded_by(&mut self, program: &Path) -> Result<(), String> {
        terminate(&mut self.child);
        let mut command = session_daemon(program, &self.home)?;
        self.child = spawn(&mut command, &self.home, &self.socket)?;
        Ok(())
    }
}

/// A daemon of an unprivileged user, to whom the folder belongs. As root it would be the host's own.
fn session_daemon(program: &Path, home: &Scratch) -> Result<Command, String> {
    let mut command = if rustix::process::geteuid().is_root() {
        let id = NOBODY.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    let log = fs::File::create(home.join("stderr")).map_err(|error| error.to_string())?;
    let variables =
        ["HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"];
    for variable in variables {
        command.env(variable, home.path());
    }
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Ok(command)
}

/// Starts it, and waits until it takes connections.
fn spawn(command: &mut Command, home: &Scratch, socket: &Path) -> Result<Child, String> {
    let mut child = command.spawn().map_err(|error| format!("cannot start the daemon: {error}"))?;
    if let Err(reason) = await_socket(&mut child, socket) {
        drop(child.kill());
        drop(child.wait());
        let log = fs::read_to_string(home.join("stderr")).unwrap_or_default();
        return Err(format!("the daemon {reason}: {log}"));
    }
    Ok(child)
}

impl Daemon for Reference {
    fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        if terminate(&mut self.child) != Some(0) {
            eprintln!("libvirtd did not end well");
        }
        for pid in emulators(&self.home.join("libvirt/qemu/run"), self.home.path()) {
            signal(pid, Signal::KILL);
        }
    }
}

/// Waits until a daemon takes connections.
fn await_socket(child: &mut Child, socket: &Path) -> Result<(), String> {
    let mut ended = None;
    let answers = wait_until(START_MAX, || {
        ended = child.try_wait().ok().flatten();
        ended.is_some() || listener(socket) == Some(child.id())
    });
    match ended {
        Some(status) => Err(format!("ended at its start with {status}")),
        None if answers => Ok(()),
        None => Err(format!("does not listen on {}", socket.display())),
    }
}

/// Who listens there: a killed daemon's socket may still accept for a moment.
fn listener(socket: &Path) -> Option<u32> {
    let connected = UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&connected).ok()?;
    peer.pid.as_raw_nonzero().get().try_into().ok()
}

/// SIGTERM, and SIGKILL when that does not help in time.
fn terminate(child: &mut Child) -> Option<i32> {
    if matches!(child.try_wait(), Ok(None)) {
        signal(i32::try_from(child.id()).ok()?, Signal::TERM);
    }
    end_within(child, STOP_MAX)
}
