//! Guests outlive the daemon: it is killed at a random moment of its work, and started again.
//!
//! What was answered with success must be there afterwards; what was not answered is wholly there
//! or has left nothing. No guest is lost, none runs twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use test_support::{
    Daemon as _, Scratch, Signal, Virtd, debian_program, guests_path, long_run, or_skip,
    our_program, run, signal, tiny_domain, tiny_guest_in, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);
const GUESTS: usize = 5;
const ROUNDS: usize = 3;
const ROUNDS_LONG: usize = 50;
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// The work of one round takes about this long; the kill comes somewhere within.
const ROUND_MS: u64 = 2500;

/// Set to repeat the moments of a run that failed; each run names its own.
const SEED: &str = "FERROVIRT_SEED";

/// What is known of a guest from answered calls.
#[derive(Clone, Debug, Default)]
struct Known {
    defined: Option<bool>,
    state: Option<&'static str>,
    /// Its id and its emulator, where both were seen before the kill.
    running: Option<(String, u32)>,
}

struct World {
    virtd: Virtd,
    files: Scratch,
    shell: PathBuf,
}

impl World {
    /// Runs one command; `Err` if it was not answered with success.
    fn ask(&self, line: &str) -> Result<String, String> {
        let uri = self.virtd.uri("qemu", guests_path());
        let outcome = run(virsh(&self.shell, &uri, self.files.path()).arg(line), LIMIT);
        if outcome.code == Some(0) { Ok(outcome.stdout) } else { Err(outcome.stderr) }
    }

    fn prepare(&self) -> Result<(), String> {
        let kernel = tiny_guest_in(&self.files)?;
        for guest in names() {
            self.files.write(&format!("{guest}.xml"), tiny_domain(&guest, "qemu", &kernel));
        }
        Ok(())
    }

    /// Emulators of this world by the guest each runs, found without the daemon's help.
    fn emulators(&self) -> BTreeMap<String, Vec<u32>> {
        let base = self.virtd.base().to_string_lossy().into_owned();
        let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
            // The command line of a zombie is empty: it is a guest that has ended.
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<_> =
                line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            let is_emulator = words.first().is_some_and(|word| word.contains("qemu-system"));
            if !is_emulator || !words.iter().any(|word| word.contains(&base)) {
                continue;
            }
            let name = words.iter().find_map(|word| word.strip_prefix("guest="));
            let name = name.and_then(|rest| rest.split(',').next()).unwrap_or("?");
            found.entry(name.to_owned()).or_default().push(pid);
        }
        found
    }

    fn emulator(&self, guest: &str) -> Option<u32> {
        self.emulators().remove(guest)?.first().copied()
    }
}

fn names() -> impl Iterator<Item = String> {
    (1..=GUESTS).map(|number| format!("guest{number}"))
}

/// Defines, starts and pauses guests until the daemon no longer answers.
fn work(world: &World, known: &mut BTreeMap<String, Known>, started: &mpsc::Sender<()>) {
    // Nobody listens any more when the kill has come.
    let _ = started.send(());
    for (number, guest) in names().enumerate() {
        let facts = known.entry(guest.clone()).or_default();
        // Until the answer is there, nothing is known.
        facts.defined = None;
        let document = world.files.join(&format!("{guest}.xml"));
        if world.ask(&format!("define {}", document.display())).is_err() {
            return;
        }
        facts.defined = Some(true);
        facts.state = None;
        if world.ask(&format!("start {guest}")).is_err() {
            return;
        }
        facts.state = Some("running");
        let (Ok(id), Some(pid)) = (world.ask(&format!("domid {guest}")), world.emulator(&guest))
        else {
            return;
        };
        facts.running = Some((id.trim().to_owned(), pid));
        if number % 2 == 1 {
            facts.state = None;
            if world.ask(&format!("suspend {guest}")).is_err() {
                return;
            }
            facts.state = Some("paused");
        }
    }
}

/// Holds the restarted daemon against what is known.
fn check(world: &World, known: &BTreeMap<String, Known>) {
    for (guest, pids) in &world.emulators() {
        assert_eq!(pids.len(), 1, "{guest} runs more than once: {pids:?}");
    }
    for (guest, facts) in known {
        let (mut state, mut pid) = (None, None);
        let active =
            |state: &Option<String>| matches!(state.as_deref(), Some("running" | "paused"));
        // A start that was not answered may be undone just now: it must end as one or the other.
        let settled = wait_until(SETTLE_MAX, || {
            state = world.ask(&format!("domstate {guest}")).ok().map(|text| text.trim().to_owned());
            pid = world.emulator(guest);
            active(&state) == pid.is_some()
        });
        assert!(settled, "{guest} is {state:?}, and its emulator is {pid:?}");
        let state = state.as_deref();
        if facts.defined == Some(true) {
            assert!(state.is_some(), "{guest} was defined and is gone");
        }
        if let Some(wanted) = facts.state {
            assert_eq!(state, Some(wanted), "{guest}: {facts:?}");
        }
        if let Some((id, before)) = &facts.running {
            let now = world.ask(&format!("domid {guest}")).expect("a running guest has an id");
            assert_eq!(now.trim(), id, "{guest} has another id");
            assert_eq!(pid, Some(*before), "{guest} has another process");
        }
    }
}

/// Ends all guests, through the daemon.
fn clear(world: &World) {
    for guest in names() {
        let Ok(state) = world.ask(&format!("domstate {guest}")) else { continue };
        if state.trim() != "shut off" {
            world.ask(&format!("destroy {guest}")).expect("a running guest can be destroyed");
        }
        world.ask(&format!("undefine {guest}")).expect("a guest that is off can be undefined");
    }
    let gone = wait_until(LIMIT, || world.emulators().is_empty());
    assert!(gone, "emulators are left over: {:?}", world.emulators());
    let list = world.ask("list --all --name").expect("the list");
    assert_eq!(list.trim(), "", "guests are left over");
    let mut left = Vec::new();
    for folder in ["run", "config"] {
        find_guest_files(&world.virtd.base().join(folder), &mut left);
    }
    assert!(left.is_empty(), "files are left over: {left:?}");
}

/// Files and folders that are named after a guest.
fn find_guest_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().contains("guest") {
            found.push(path);
        } else if path.is_dir() {
            find_guest_files(&path, found);
        }
    }
}

/// Moments that differ from run to run, and can be repeated.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_micros());
        let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or(u64::try_from(now).unwrap_or(1)) | 1;
        eprintln!("{SEED}={seed}");
        Self(seed)
    }

    fn next(&mut self) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % ROUND_MS)
    }
}

#[test]
fn guests_survive_a_daemon_that_is_killed_at_any_moment() {
    or_skip!(debian_program("qemu-system-x86_64"));
    let mut world =
        World { virtd: Virtd::start(), files: Scratch::new("kill"), shell: our_program("virsh") };
    or_skip!(world.prepare());
    let mut moments = Moments::new();
    for round in 1..=if long_run() { ROUNDS_LONG } else { ROUNDS } {
        let moment = moments.next();
        eprintln!("round {round}: killed after {} ms", moment.as_millis());
        let mut known = BTreeMap::new();
        let victim = i32::try_from(world.virtd.pid()).expect("a process id");
        thread::scope(|scope| {
            let (started, starts) = mpsc::channel();
            let (world, known) = (&world, &mut known);
            scope.spawn(move || work(world, known, &started));
            starts.recv().expect("the work starts");
            thread::sleep(moment);
            signal(victim, Signal::KILL);
        });
        world.virtd.kill();
        world.virtd.restart();
        check(&world, &known);
        clear(&world);
    }
}
