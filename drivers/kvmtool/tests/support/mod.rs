//! A private daemon with a tool of its own, and a shell on it.
#![allow(dead_code)] // each test file uses what it needs

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use test_support::{
    Daemon, Lkvm, Outcome, Scratch, Signal, Terminal, Virtd, fake_kernel, guests_path, lkvm_domain,
    our_program, run, signal, tiny_guest, virsh, wait_until,
};

/// How long anything may take that a guest does by itself.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How long a call may take.
const CALL_MAX: Duration = Duration::from_secs(40);

/// A shell on a daemon's socket, whether the daemon is there or not.
pub(crate) struct Shell {
    virsh: PathBuf,
    uri: String,
    home: PathBuf,
}

impl Shell {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = virsh(&self.virsh, &self.uri, &self.home);
        command.args(args);
        command
    }

    pub(crate) fn virsh(&self, args: &[&str]) -> Outcome {
        run(&mut self.command(args), CALL_MAX)
    }

    /// One that opens an editor, which changes nothing.
    pub(crate) fn edited(&self, args: &[&str]) -> Outcome {
        run(self.command(args).env("EDITOR", "true"), CALL_MAX)
    }

    pub(crate) fn terminal(&self, args: &[&str]) -> Terminal {
        Terminal::start(&mut self.command(args)).expect("a shell on a terminal")
    }
}

/// Runs a test once more where root has a network and mounts of its own, prepared by `setup`; says
/// whether this is in there.
pub(crate) fn apart(test: &str, setup: &str) -> Result<bool, String> {
    const INSIDE: &str = "FERROVIRT_APART";
    if std::env::var_os(INSIDE).is_some() {
        return Ok(true);
    }
    if !rustix::process::geteuid().is_root() {
        return Err("networks and mounts of one's own are root's".into());
    }
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    // What has to be built is, while the host's own files are there.
    for program in ["virtd", "virsh", "fake-lkvm"] {
        our_program(program);
    }
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--", "/bin/sh", "-ec"])
        .arg(format!("{setup}\nexec \"$0\" \"$@\""))
        .arg(exe)
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status();
    match status {
        Ok(status) => assert!(status.success(), "{test}: {status}"),
        Err(error) => return Err(format!("unshare: {error}")),
    }
    Ok(false)
}

/// For [`apart`]: what is known of devices is of the network one is in; control groups stay.
pub(crate) const OWN_NETWORK: &str = "ip link set dev lo up\ngroups=$(mktemp -d)\n\
     mount --rbind /sys/fs/cgroup $groups\nmount -t sysfs sysfs /sys\n\
     mount --move $groups /sys/fs/cgroup\nrmdir $groups";

/// The devices of the network one is in, as far as they are a guest's.
pub(crate) fn taps() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("vnet")).collect()
}

/// The directories of guests' control groups, of both versions, with this in their names.
pub(crate) fn groups(part: &str) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let dirs = mounts.lines().filter(|line| line.contains(" cgroup")).filter_map(|line| {
        line.split_whitespace().nth(1).map(|mount| Path::new(mount).join("machine"))
    });
    let inside = dirs.flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten().flatten());
    inside.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains(part)).collect()
}

pub(crate) struct World {
    pub(crate) virtd: Virtd,
    pub(crate) lkvm: Lkvm,
    pub(crate) folder: Scratch,
    pub(crate) kernel: PathBuf,
    virsh: PathBuf,
}

impl World {
    pub(crate) fn fake() -> Self {
        let folder = Scratch::new("kvmtool");
        let kernel = fake_kernel(&folder);
        Self::new(Lkvm::fake(&folder), folder, kernel, "")
    }

    /// With these lines in the driver's configuration too.
    pub(crate) fn configured(lines: &str) -> Self {
        let folder = Scratch::new("kvmtool");
        let kernel = fake_kernel(&folder);
        Self::new(Lkvm::fake(&folder), folder, kernel, lines)
    }

    /// With a real tool and the tiny guest, or why not.
    pub(crate) fn real() -> Result<Self, String> {
        let folder = Scratch::new("kvmtool");
        let lkvm = Lkvm::real(&folder)?;
        Ok(Self::new(lkvm, folder, tiny_guest()?, ""))
    }

    fn new(lkvm: Lkvm, folder: Scratch, kernel: PathBuf, lines: &str) -> Self {
        let mut virtd = Virtd::start();
        virtd.stop();
        let config = virtd.base().join("etc/libvirt/kvmtool.conf");
        std::fs::write(&config, format!("{}{lines}", lkvm.configuration())).expect("ours");
        virtd.restart();
        Self { virtd, lkvm, folder, kernel, virsh: our_program("virsh") }
    }

    pub(crate) fn uri(&self) -> String {
        self.virtd.uri("kvmtool", guests_path())
    }

    pub(crate) fn shell(&self) -> Shell {
        let home = self.folder.path().to_owned();
        Shell { virsh: self.virsh.clone(), uri: self.uri(), home }
    }

    /// A command of the shell.
    pub(crate) fn virsh(&self, args: &[&str]) -> Outcome {
        self.shell().virsh(args)
    }

    /// One that must succeed; what it printed.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let outcome = self.virsh(args);
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (Some(0), ""),
            "{args:?}: {}",
            self.log()
        );
        outcome.stdout
    }

    /// One that must fail; what it said.
    #[track_caller]
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        let outcome = self.virsh(args);
        assert_eq!(outcome.code, Some(1), "{args:?}: {}", outcome.stdout);
        outcome.stderr
    }

    pub(crate) fn console(&self, name: &str) -> Terminal {
        let mut terminal = self.shell().terminal(&["console", name]);
        // What is typed before the shell has its terminal is lost.
        terminal.wait_for("Escape character is", SOON).expect("the console opens");
        assert!(wait_until(SOON, || terminal.is_raw()));
        terminal
    }

    /// The console of a guest that was just started, once it listens.
    pub(crate) fn first_console(&self, name: &str) -> Terminal {
        let mut terminal = self.console(name);
        terminal.wait_for("TINYGUEST READY", SOON).expect("the guest boots");
        terminal
    }

    pub(crate) fn domain(&self, name: &str, inside: &str) -> String {
        lkvm_domain(name, &self.kernel, inside)
    }

    /// The usual devices: a console and a balloon.
    pub(crate) fn plain(&self, name: &str) -> String {
        self.domain(name, "<console type='pty'/>\n    <memballoon model='virtio'/>")
    }

    /// Writes a document and gives its path.
    pub(crate) fn file(&self, xml: &str) -> String {
        self.folder.write("domain.xml", xml).to_string_lossy().into_owned()
    }

    /// Defines and starts a guest.
    #[track_caller]
    pub(crate) fn start(&self, xml: &str, name: &str) {
        self.ok(&["define", &self.file(xml)]);
        self.ok(&["start", name]);
    }

    pub(crate) fn state(&self, name: &str) -> String {
        self.ok(&["domstate", "--reason", name]).trim().to_owned()
    }

    /// Waits until a guest is in a state, and says whether it came to be.
    pub(crate) fn becomes(&self, name: &str, state: &str) -> bool {
        wait_until(SOON, || self.state(name) == state)
    }

    /// The process of a guest, from its status file.
    pub(crate) fn pid(&self, name: &str) -> Option<i32> {
        pid_in(&self.status_dir().join(format!("{name}.xml")))
    }

    fn status_dir(&self) -> PathBuf {
        self.virtd.base().join("run/libvirt/kvmtool")
    }

    /// Processes of the tool that run guests of this kernel.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let kernel = self.kernel.to_string_lossy().into_owned();
        let home = format!("HOME={}", self.lkvm.home.display());
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let has = |pid: &i32, file: &str, text: &str| {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(text)
        };
        pids.filter(|pid| has(pid, "cmdline", &kernel) && has(pid, "environ", &home)).collect()
    }

    /// What the daemon and its guests wrote.
    pub(crate) fn log(&self) -> String {
        let dir = self.virtd.base().join("log/libvirt/kvmtool");
        let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let guests: String =
            files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
        format!("{}\n{guests}", self.virtd.log())
    }

    /// Everything that belongs to running guests.
    pub(crate) fn status_files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.status_dir()).into_iter().flatten().flatten();
        let xml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "xml");
        files.map(|file| file.path()).filter(xml).collect()
    }
}

fn pid_in(status: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(status).ok()?;
    let (_, rest) = text.split_once("pid='")?;
    rest.split('\'').next()?.parse().ok().filter(|pid| *pid > 0)
}

impl Drop for World {
    /// Guests outlive their daemon by design: here they must not.
    fn drop(&mut self) {
        for path in self.status_files() {
            // The daemon takes its groups and devices away too.
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            self.virsh(&["destroy", &name]);
        }
        for pid in self.status_files().iter().filter_map(|path| pid_in(path)) {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&*self.kernel.to_string_lossy()) {
                signal(pid, Signal::KILL);
            }
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
