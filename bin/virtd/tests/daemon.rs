//! The daemon as a process: options, pid file, sockets, limits, and how it ends.

mod raw;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use raw::{Next, Raw, start};
use rustix::process::{Pid, Signal, kill_process};
use test_support::{Daemon, Scratch, wait_until};
use virt_wire::{Header, keepalive, remote};

const PATIENCE: Duration = Duration::from_secs(20);

fn virtd(base: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virtd"));
    command.arg("--base-dir").arg(base).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("virtd");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

/// A daemon with a configuration file of its own.
struct Configured {
    base: Scratch,
    child: Child,
}

impl Configured {
    fn start(conf: &str, options: &[&str]) -> Self {
        let base = Scratch::new("virtd");
        fs::create_dir_all(base.join("etc/libvirt")).expect("folder");
        fs::write(base.join("etc/libvirt/libvirtd.conf"), conf).expect("conf");
        let mut command = virtd(base.path());
        let child = command.args(options).stderr(Stdio::null()).spawn().expect("virtd");
        let configured = Self { base, child };
        let socket = configured.socket();
        assert!(wait_until(PATIENCE, || std::os::unix::net::UnixStream::connect(&socket).is_ok()));
        configured
    }

    fn socket(&self) -> std::path::PathBuf {
        self.base.join("run/libvirt/libvirt-sock")
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_command_line_is_libvirtds() {
    let (code, out, err) = output(virtd(Path::new("/nonexistent")).arg("--help"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("-p | --pid-file <file> Change name of PID file"), "{out}");
    let (code, _, err) = output(virtd(Path::new("/nonexistent")).arg("--bogus"));
    assert_eq!(code, Some(1));
    assert!(err.contains("virtd: unrecognized option '--bogus'\n"), "{err}");
    let scratch = Scratch::new("virtd");
    let (code, _, err) = output(virtd(scratch.path()).arg("--listen"));
    assert_eq!(code, Some(1));
    assert!(err.contains("Cannot read CA certificate"), "{err}");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line() {
    let base = Scratch::new("virtd");
    let path = base.join("wrong.conf");
    let shown = path.display();
    for (conf, reason) in [
        ("a 3\n", format!("configuration file syntax error: {shown}:1: expecting an assignment")),
        ("max_workers = 0\n", "max_workers must be greater than 0".to_owned()),
        (
            "log_level = \"x\"\n",
            format!(
                "internal error: {shown}: expected an unsigned integer for 'log_level' parameter"
            ),
        ),
    ] {
        fs::write(&path, conf).expect("conf");
        let (code, _, err) = output(virtd(base.path()).arg("--config").arg(&path));
        assert_eq!(code, Some(1), "{conf}");
        assert!(err.contains(&format!("Can't load config file: {reason}: {shown}")), "{err}");
    }
    let (code, _, err) = output(virtd(base.path()).arg("--config").arg("/nonexistent"));
    assert_eq!(code, Some(1));
    assert!(err.contains("Failed to open file '/nonexistent': No such file or directory"), "{err}");
}

#[test]
fn one_daemon_holds_the_folders_and_leaves_them_clean() {
    let mut first = start();
    let base = first.base().to_owned();
    let pid_file = base.join("run/libvirt/libvirtd.pid");
    let pid = fs::read_to_string(&pid_file).expect("pid file");
    assert_eq!(pid, format!("{}\n", first.pid()));
    let (code, _, err) = output(&mut virtd(&base));
    assert_eq!(code, Some(1));
    assert!(err.contains("Failed to acquire pid file"), "{err}");
    assert_eq!(first.stop(), Some(0));
    assert!(!pid_file.exists());
    assert!(!first.socket().exists());

    // What a killed daemon leaves behind is no obstacle.
    first.restart();
    first.kill();
    assert!(first.socket().exists());
    first.restart();
    assert!(Raw::open(first.socket(), 0).call(remote::CONNECT_GET_TYPE, &[]).is_ok());
}

#[test]
fn daemon_mode_returns_when_the_socket_answers() {
    let base = Scratch::new("virtd");
    let (code, _, err) = output(virtd(base.path()).arg("--daemon").arg("--timeout").arg("30"));
    let pid = fs::read_to_string(base.join("run/libvirt/libvirtd.pid")).expect("pid file");
    let pid: i32 = pid.trim().parse().expect("pid");
    let socket = base.join("run/libvirt/libvirt-sock");
    let answered = Raw::open(&socket, 0).call(remote::CONNECT_GET_TYPE, &[]);
    let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
    let null = fs::read_link(format!("/proc/{pid}/fd/0"));
    let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(answered.is_ok());
    assert_eq!(cwd.expect("cwd"), Path::new("/"));
    assert_eq!(null.expect("stdin"), Path::new("/dev/null"));
    // One that cannot start says so to the caller.
    let (code, _, err) =
        output(virtd(base.path()).args(["--daemon", "--pid-file", "/nonexistent/x"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("Failed to open pid file '/nonexistent/x'"), "{err}");
}

#[test]
fn left_alone_it_ends() {
    let mut daemon = Configured::start("", &["--timeout", "1"]);
    let raw = Raw::open(&daemon.socket(), 0);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(daemon.child.try_wait().expect("wait"), None, "somebody is there");
    drop(raw);
    assert!(wait_until(PATIENCE, || daemon.child.try_wait().expect("wait").is_some()));
    assert_eq!(daemon.child.wait().expect("wait").code(), Some(0));
    assert!(!daemon.socket().exists());
}

#[test]
fn sockets_are_made_as_configured() {
    let daemon = Configured::start(
        "unix_sock_rw_perms = \"0750\"\nunix_sock_ro_perms = \"0705\"\nunix_sock_group = \"0\"\n",
        &[],
    );
    let mode = |name: &str| {
        let path = daemon.base.join("run/libvirt").join(name);
        fs::metadata(path).map(|meta| meta.permissions().mode() & 0o777).ok()
    };
    assert_eq!(mode("libvirt-sock"), Some(0o750));
    let read_only = rustix::process::geteuid().is_root().then_some(0o705);
    // It is made after the one that the start was awaited by.
    wait_until(PATIENCE, || mode("libvirt-sock-ro") == read_only);
    assert_eq!(mode("libvirt-sock-ro"), read_only);
}

#[test]
fn clients_above_the_maximum_wait_for_a_place() {
    let daemon = Configured::start("max_clients = 2\nmax_anonymous_clients = 2\n", &[]);
    let first = Raw::open(&daemon.socket(), 0);
    let _second = Raw::open(&daemon.socket(), 0);
    let mut third = Raw::connect(&daemon.socket());
    let header = third.header(remote::AUTH_LIST);
    third.send_message(header, &[]);
    assert!(third.silent());
    drop(first);
    assert_eq!(third.message().header.serial, header.serial);
}

#[test]
fn a_silent_client_is_pinged_and_given_up() {
    let daemon = Configured::start("keepalive_interval = 1\nkeepalive_count = 2\n", &[]);
    let mut raw = Raw::open(&daemon.socket(), 0);
    // Nobody pings a client that did not ask for it.
    assert_eq!(raw.next_within(Duration::from_millis(1500)), Next::Silent);
    raw.call(remote::CONNECT_SUPPORTS_FEATURE, &[0, 0, 0, 10]).expect("keepalive");
    let ping = Header::event(keepalive::PROGRAM, keepalive::VERSION, keepalive::PING);
    let pong = Header { procedure: keepalive::PONG, ..ping };
    for _ in 0..4 {
        assert_eq!(raw.message().header, ping);
        raw.send_message(pong, &[]);
    }
    assert_eq!(raw.message().header, ping);
    assert_eq!(raw.message().header, ping);
    assert!(raw.hung_up());
}

#[test]
fn sockets_of_the_service_manager_are_taken_over() {
    let base = Scratch::new("virtd");
    let path = base.join("passed-sock");
    let listener = UnixListener::bind(&path).expect("bind");
    // A shell gives the listener the number that the protocol wants, and its own process id.
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" --base-dir \"$1\" 3<&0 0</dev/null";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_virtd")]).arg(base.path());
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    let mut child = command.stdout(Stdio::null()).spawn().expect("virtd");
    let answered = Raw::open(&path, 0).call(remote::CONNECT_GET_TYPE, &[]);
    let own = base.join("run/libvirt/libvirt-sock").exists();
    drop(child.kill());
    drop(child.wait());
    assert!(answered.is_ok());
    assert!(!own);
}
