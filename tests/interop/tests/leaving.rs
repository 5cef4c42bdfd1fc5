//! Clients that go while something is done for them: killed, or cut off. What they asked for ends, or
//! is never begun, and nobody else notices.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use interop::Own;
use test_support::{
    Daemon, Scratch, Signal, Virtd, debian_program, guests_path, or_skip, our_program, run, signal,
    system_python, tiny_domain, tiny_guest, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);
/// What was sent to the daemon so long ago has got there, or is asked for anew.
const SENT: Duration = Duration::from_secs(3);
const TRIES: u32 = 10;

/// A guest at whom every call that changes it hangs, an hour if nobody ends it.
const SLOW: &str = "<domain type='test' xmlns:fault='urn:ferrovirt:fault:1'>
  <name>slow</name>
  <memory unit='MiB'>64</memory>
  <os><type>hvm</type></os>
  <fault:hang call='virDomainSave*'/>
  <fault:hang call='virDomainManagedSave'/>
  <fault:hang call='virDomainCoreDump*'/>
  <fault:hang call='virDomainSnapshotCreateXML'/>
  <fault:hang call='virDomainReboot'/>
</domain>";

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    Killed,
    CutOff,
}

/// A client that is about to ask for something.
fn leaver(python: &Path, uri: &str, guest: &str, words: &[&str]) -> (Child, impl BufRead + use<>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/leaver.py");
    let mut child = Command::new(python)
        .arg(script)
        .args([uri, guest])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    let mut said = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("it says what it does");
    assert_eq!(line, "asks\n");
    (child, said)
}

impl Leaving {
    fn go(self, mut child: Child, mut said: impl BufRead) {
        match self {
            Self::Killed => signal(child.id().cast_signed(), Signal::KILL),
            Self::CutOff => {
                let mut input = child.stdin.take().expect("piped");
                input.write_all(b"cut\n").expect("it listens");
                let mut line = String::new();
                said.read_line(&mut line).expect("it goes on");
                assert!(line.starts_with("failed "), "{line}");
            }
        }
        child.wait().expect("it was ours");
    }
}

#[test]
fn what_a_client_asked_for_ends_when_it_goes() {
    let python = or_skip!(system_python());
    let virtd = Virtd::start();
    let files = Scratch::new("leaving");
    let document = files.write("slow.xml", SLOW).display().to_string();
    let uri = virtd.uri("test", "default");
    let shell = our_program("virsh");
    // The world is there as long as somebody is.
    let mut stays = Command::new(&shell);
    stays.args(["-c", &uri]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut stays = Own(stays.spawn().expect("virsh"));
    let input = stays.0.stdin.as_mut().expect("piped");
    writeln!(input, "create {document}").expect("it reads");
    let tell = |line: &str| run(virsh(&shell, &uri, files.path()).arg(line), LIMIT);
    assert!(wait_until(LIMIT, || tell("domstate slow").stdout.trim() == "running"));

    let image = files.join("image").display().to_string();
    let all: [(&str, &[&str]); 5] = [
        ("virDomainSave", &["save", &image]),
        ("virDomainManagedSave", &["managed-save"]),
        ("virDomainCoreDump", &["dump", &image]),
        ("virDomainSnapshotCreateXML", &["snapshot"]),
        ("virDomainReboot", &["reboot"]),
    ];
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", virtd.pid()));
        tasks.map_or(0, Iterator::count)
    };
    let before = threads();
    for (call, words) in all {
        for leaving in [Leaving::Killed, Leaving::CutOff] {
            // The log tells that the call ended because of that, whatever its own deadline is.
            let told = |line: &&str| line.contains(call) && line.contains("the caller has gone");
            let ends = || virtd.log().lines().filter(told).count();
            let known = ends();
            let ended = (0..TRIES).any(|_| {
                let (child, said) = leaver(&python, &uri, "slow", words);
                std::thread::sleep(SENT / 10);
                leaving.go(child, said);
                wait_until(SENT, || ends() > known)
            });
            assert!(ended, "{call} {leaving:?}: {}", virtd.log());
            // Whatever else there is goes on, on the same guest too.
            tell("suspend slow").ok();
            tell("resume slow").ok();
        }
    }
    let left = tell("domstate slow; snapshot-list slow --name; dominfo slow");
    assert!(left.stdout.starts_with("running\n"), "{left:?}");
    assert!(left.stdout.contains("Managed save:   no"), "{left:?}");
    assert!(!files.join("image").exists(), "nothing is half done");
    assert!(wait_until(LIMIT, || threads() <= before + 1), "{before} {}", threads());
}

#[test]
fn what_waited_for_its_turn_is_not_begun_when_its_client_has_gone() {
    let python = or_skip!(system_python());
    or_skip!(debian_program("qemu-system-x86_64"));
    let image = or_skip!(tiny_guest());
    let files = Scratch::new("leaving");
    let kernel = files.join("kernel");
    std::fs::copy(image, &kernel).expect("the folder is ours");
    let document = files.write("guest.xml", tiny_domain("guest", "qemu", &kernel));
    let virtd = Virtd::start();
    let uri = virtd.uri("qemu", guests_path());
    let shell = our_program("virsh");
    let command = |line: &str| {
        let mut command = virsh(&shell, &uri, files.path());
        command.arg(line);
        command
    };
    let tell = |line: &str| run(&mut command(line), LIMIT);
    tell(&format!("create {}", document.display())).ok();
    let emulator = *virtd.emulators().first().expect("it runs");
    signal(emulator, Signal::STOP);
    // One has the turn, and waits for the emulator; the other waits for the turn.
    let mut first = command("suspend guest").spawn().expect("virsh");
    std::thread::sleep(SENT / 3);
    let (child, said) = leaver(&python, &uri, "guest", &["resume"]);
    std::thread::sleep(SENT / 3);
    Leaving::Killed.go(child, said);
    let told = || virtd.log().contains("virDomainResume") && virtd.log().contains("has gone");
    let ended = wait_until(SENT * 3, told);
    signal(emulator, Signal::CONT);
    assert!(ended, "{}", virtd.log());
    assert!(first.wait().expect("it was ours").success());
    assert_eq!(tell("domstate guest").ok().trim(), "paused");
    tell("destroy guest").ok();
}
