//! The interactive shell: lines from a pipe, and a person at a terminal.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

fn virsh() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virsh"));
    command.env_clear().envs([("LC_ALL", "C.UTF-8"), ("TERM", "xterm")]);
    command.args(["-c", "test:///default"]);
    command
}

#[test]
fn lines_from_a_pipe_are_shown_and_obeyed() {
    let mut child = virsh()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("virsh runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"nosuch\ndomstate test\necho a \\\n").expect("virsh reads");
    drop(input);
    let output = child.wait_with_output().expect("virsh ends");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "Welcome to virsh, the virtualization interactive terminal.\n\n\
         Type:  'help' for help with commands\n       'quit' to quit\n\n\
         virsh # nosuch\nvirsh # domstate test\nrunning\n\nvirsh # echo a \\\nvirsh # \n"
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: unknown command: 'nosuch'\nerror: dangling \\\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

/// A terminal of our own with virsh on its other side.
struct Terminal {
    file: std::fs::File,
    seen: String,
}

impl Terminal {
    fn open() -> (Self, OwnedFd) {
        let control = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
        grantpt(&control).expect("a pty");
        unlockpt(&control).expect("a pty");
        let name = ptsname(&control, Vec::new()).expect("a name");
        let name = name.to_str().expect("a name in ASCII");
        let other = std::fs::OpenOptions::new().read(true).write(true).open(name);
        let terminal = Self { file: control.into(), seen: String::new() };
        (terminal, other.expect("the other side").into())
    }

    fn type_in(&mut self, text: &str) {
        self.file.write_all(text.as_bytes()).expect("virsh reads");
    }

    /// Reads until `text` was printed after what was waited for before.
    fn wait_for(&mut self, text: &str) {
        const WAIT_MAX: Duration = Duration::from_secs(10);
        let deadline = Instant::now() + WAIT_MAX;
        let mut buffer = [0; 1024];
        while !self.seen.contains(text) {
            let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
            let ready = poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).expect("poll");
            assert!(Instant::now() < deadline, "no {text:?} in {:?}", self.seen);
            if ready == 0 {
                continue;
            }
            let count = self.file.read(&mut buffer).expect("virsh prints");
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        let at = self.seen.find(text).map_or(0, |at| at + text.len());
        self.seen.drain(..at);
    }
}

#[test]
fn a_person_at_a_terminal_completes_runs_and_finds_the_history_again() {
    let home = std::env::temp_dir().join(format!("virsh-terminal-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a home");
    let (mut terminal, other) = Terminal::open();
    let copy = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a copy"));
    let mut child = virsh()
        .env("HOME", &home)
        .stdin(copy(&other))
        .stdout(copy(&other))
        .stderr(copy(&other))
        .spawn()
        .expect("virsh runs");
    drop(other);
    terminal.wait_for("virsh # ");
    terminal.type_in("domstat\t");
    terminal.type_in("e tes\t\r");
    terminal.wait_for("running");
    terminal.wait_for("virsh # ");
    terminal.type_in("quit\r");
    terminal.wait_for("\n");
    assert!(child.wait().expect("virsh ends").success());
    let history = home.join(".cache/libvirt/virsh/history");
    let kept = std::fs::read_to_string(&history).unwrap_or_default();
    std::fs::remove_dir_all(&home).expect("our own folder");
    let lines: Vec<&str> = kept.lines().map(str::trim_end).collect();
    assert_eq!(lines, ["domstate test", "quit"]);
}
