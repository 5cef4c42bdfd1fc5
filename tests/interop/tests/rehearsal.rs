//! The test driver in other people's tests: the guide's examples say what they say there, and a
//! daemon whose calls are made to wait answers everybody else.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use test_support::{Daemon as _, Signal, or_skip};
use test_support::{Scratch, Virtd, debian_program, our_program, run, run_merged, signal, virsh};

const LIMIT: Duration = Duration::from_secs(60);

/// One example of the guide: a command and what it says.
struct Example {
    command: String,
    says: String,
}

/// What stands in the guide's blocks of commands.
fn examples(guide: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut open = false;
    for line in guide.lines() {
        match line.strip_prefix("    ") {
            Some(line) if line.starts_with("$ ") => {
                open = true;
                found.push(Example { command: line[2..].to_owned(), says: String::new() });
            }
            Some(line) if open => {
                if let Some(last) = found.last_mut() {
                    last.says.push_str(&format!("{line}\n"));
                }
            }
            _ if line.is_empty() && open => {
                if let Some(last) = found.last_mut() {
                    last.says.push('\n');
                }
            }
            _ => open = false,
        }
    }
    found
}

#[test]
fn the_guide_says_what_happens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let guide = std::fs::read_to_string(folder.join("test-driver.md")).expect("the guide");
    let home = Scratch::new("guide");
    for name in ["trouble.xml", "flaky.xml"] {
        std::fs::copy(folder.join("examples").join(name), home.join(name)).expect("an example");
    }
    let programs = our_program("virsh");
    let programs = programs.parent().expect("a folder");
    let daemon = Daemonised(our_daemon(&home, programs));
    let mut checked = 0;
    for example in examples(&guide) {
        // The daemon is ours to start and end; the rest is as it stands.
        if example.command.starts_with("virtd ") || example.command.starts_with("while ") {
            continue;
        }
        let script = match example.command.strip_prefix("export ") {
            Some(setting) => {
                home.write("setting", format!("export {setting}\n"));
                continue;
            }
            None => format!(". ./setting; {}", example.command),
        };
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(home.path()).env_clear();
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", programs.display())).env("LC_ALL", "C");
        let (said, _) = run_merged(&mut shell, LIMIT).expect("a shell");
        assert_eq!(said.trim_end(), example.says.trim_end(), "{}", example.command);
        checked += 1;
    }
    assert!(checked >= 5, "only {checked} examples were found");
    drop(daemon);
}

/// The daemon as the guide starts it.
fn our_daemon(home: &Scratch, programs: &Path) -> Child {
    let child = Command::new(programs.join("virtd"))
        .arg("--base-dir")
        .arg(home.join("daemon"))
        .stderr(std::fs::File::create(home.join("log")).expect("a file"))
        .spawn()
        .expect("virtd runs");
    let socket = home.join("daemon/run/libvirt/libvirt-sock");
    assert!(test_support::wait_until(LIMIT, || socket.exists()), "the daemon has no socket");
    child
}

struct Daemonised(Child);

impl Drop for Daemonised {
    fn drop(&mut self) {
        signal(i32::try_from(self.0.id()).expect("a process id"), Signal::TERM);
        drop(self.0.wait());
    }
}

/// Their shell, slow calls, and somebody else who is in a hurry.
#[test]
fn a_slow_call_holds_up_nobody_on_the_daemon() {
    let theirs = or_skip!(debian_program("virsh"));
    let virtd = Virtd::start();
    let home = Scratch::new("slow");
    let slow = "<domain type='test' xmlns:f='urn:ferrovirt:fault:1'><name>slow</name>\
                <memory>1024</memory><os><type>hvm</type></os>\
                <f:latency call='virDomainGetInfo' ms='1500'/></domain>";
    home.write("slow.xml", slow);
    let uri = virtd.uri("test", "default");
    std::thread::scope(|scope| {
        let line = "define slow.xml; dominfo slow; undefine slow";
        let waits = scope.spawn(|| {
            let begun = Instant::now();
            let outcome = run(virsh(&theirs, &uri, home.path()).args(["-q", line]), LIMIT);
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
            begun.elapsed()
        });
        let mut answered = 0;
        while !waits.is_finished() {
            run(virsh(&theirs, &uri, home.path()).args(["dominfo", "test"]), LIMIT).ok();
            answered += 1;
        }
        assert!(waits.join().expect("no panic") >= Duration::from_millis(1500));
        assert!(answered > 1, "nobody else was answered meanwhile");
    });
}
