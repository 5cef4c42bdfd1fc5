//! A stuck guest sticks alone: while emulators hang, everything else is answered.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use test_support::{
    Daemon as _, Outcome, Scratch, Signal, Virtd, debian_program, guests_path, or_skip,
    our_program, run, signal, tiny_domain, tiny_guest, virsh,
};

const LIMIT: Duration = Duration::from_secs(60);
/// No call waits for a hypervisor here: this allows for a busy machine and a new process.
const PROMPT: Duration = Duration::from_secs(3);
/// Enough to fill a pool of workers that has no lane of its own for what must not wait.
const STUCK: usize = 8;

/// Calls that concern no stuck guest, or ask of one only what the daemon knows by itself.
const ANSWERED: &[&str] = &[
    "list --all",
    "domstate stuck1",
    "dumpxml stuck1",
    "domid stuck1",
    "nodeinfo",
    "suspend well",
    "resume well",
    "dominfo well",
    "define {DIR}/other.xml",
    "undefine other",
    "destroy well",
    "start well",
];

struct World {
    virtd: Virtd,
    files: Scratch,
    shell: PathBuf,
}

impl World {
    fn command(&self, line: &str) -> Command {
        let uri = self.virtd.uri("qemu", guests_path());
        let mut command = virsh(&self.shell, &uri, self.files.path());
        command.arg(line.replace("{DIR}", &self.files.path().to_string_lossy()));
        command
    }

    fn ask(&self, line: &str) -> Outcome {
        run(&mut self.command(line), LIMIT)
    }

    fn start(&self, guest: &str) {
        self.ask(&format!("define {{DIR}}/{guest}.xml")).ok();
        self.ask(&format!("start {guest}")).ok();
    }
}

fn stuck() -> impl Iterator<Item = String> {
    (1..=STUCK).map(|number| format!("stuck{number}"))
}

#[test]
fn a_stuck_guest_sticks_alone() {
    or_skip!(debian_program("qemu-system-x86_64"));
    let image = or_skip!(tiny_guest());
    let files = Scratch::new("stuck");
    let kernel = files.join("kernel");
    std::fs::copy(image, &kernel).expect("the folder is ours");
    for guest in stuck().chain(["well".to_owned(), "other".to_owned()]) {
        files.write(&format!("{guest}.xml"), tiny_domain(&guest, "qemu", &kernel));
    }
    let world = World { virtd: Virtd::start(), files, shell: our_program("virsh") };
    stuck().for_each(|guest| world.start(&guest));
    let hung = world.virtd.emulators();
    assert_eq!(hung.len(), STUCK);
    world.start("well");
    hung.iter().for_each(|pid| signal(*pid, Signal::STOP));

    // Each asks its guest's emulator something, and waits.
    let waiting: Vec<_> = stuck()
        .map(|guest| {
            let mut command = world.command(&format!("setmem {guest} 32768"));
            thread::spawn(move || run(&mut command, LIMIT))
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    let mut slow = Vec::new();
    for line in ANSWERED {
        let start = Instant::now();
        let outcome = world.ask(line);
        let took = start.elapsed();
        if outcome.code != Some(0) || took > PROMPT {
            slow.push(format!("{line}: {took:?}, {outcome:?}"));
        }
    }
    let were_waiting = waiting.iter().filter(|call| !call.is_finished()).count();
    hung.iter().for_each(|pid| signal(*pid, Signal::CONT));
    let ended: Vec<Outcome> =
        waiting.into_iter().map(|call| call.join().expect("it does not panic")).collect();
    assert!(slow.is_empty(), "held up by a stuck guest:\n{}", slow.join("\n"));
    assert_eq!(were_waiting, STUCK, "the guests were not stuck");
    assert!(ended.iter().all(|outcome| outcome.code == Some(0)), "{ended:?}");
}
