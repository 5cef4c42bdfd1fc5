//! Many guests at once through all of their lives, with a daemon that is killed again and again.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test fails, or says what it measured

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::{OWN_NETWORK, SOON, Shell, World, apart, groups, taps};
use test_support::{long_run, or_skip, wait_until};

/// Limit: how long one step may take, with all restarts of the daemon on the way.
const STEP_MAX: Duration = Duration::from_secs(60);

/// Repeats a command until the guest is in a state: what a killed daemon did not answer is open.
fn until(shell: &Shell, args: &[&str], name: &str, state: &str) {
    let reached = || {
        let outcome = shell.virsh(&["domstate", name]);
        outcome.code == Some(0) && outcome.stdout.trim() == state
    };
    let begun = Instant::now();
    loop {
        let outcome = shell.virsh(args);
        if reached() {
            return;
        }
        assert!(begun.elapsed() < STEP_MAX, "{args:?}: {}", outcome.stderr);
    }
}

/// A guest that was started runs on until it is ended, whatever happens to the daemon.
fn is_there(shell: &Shell, name: &str, state: &str) {
    let mut seen = String::new();
    let right = wait_until(STEP_MAX, || {
        let outcome = shell.virsh(&["domstate", name]);
        seen = format!("{} {}", outcome.stdout.trim(), outcome.stderr.trim());
        assert!(!seen.starts_with("shut off"), "{name} is lost");
        outcome.code == Some(0) && outcome.stdout.trim() == state
    });
    assert!(right, "{name}: {seen}");
}

fn cycle(shell: &Shell, name: &str, number: usize) {
    until(shell, &["start", name], name, "running");
    let mib = if number.is_multiple_of(2) { "32M" } else { "48M" };
    // A daemon that is killed before the answer may have done it or not: both are right.
    shell.virsh(&["setmem", name, mib]);
    is_there(shell, name, "running");
    until(shell, &["suspend", name], name, "paused");
    is_there(shell, name, "paused");
    until(shell, &["resume", name], name, "running");
    if number.is_multiple_of(4) {
        let mut console = shell.terminal(&["console", name]);
        // It may not open, or break off, with a daemon that is killed.
        drop(console.wait_for("Escape character is", Duration::from_secs(2)));
        drop(console.send("ping\r"));
    }
    is_there(shell, name, "running");
    until(shell, &["destroy", name], name, "shut off");
}

fn cycles(world: &mut World, inside: bool) {
    let (guests, total) = if long_run() { (10, 200) } else { (3, 9) };
    let shell = world.shell();
    let mark = format!("cyc{}", std::process::id());
    let names: Vec<String> = (0..guests).map(|at| format!("{mark}-{at}")).collect();
    // Inside, there is a network for taps; elsewhere guests do without.
    let network = if inside { "<interface type='ethernet'/>" } else { "" };
    let limits = if inside { "<cputune><shares>512</shares></cputune><os>" } else { "<os>" };
    for name in &names {
        let devices = format!("<console type='pty'/><memballoon model='virtio'/>{network}");
        let xml = world.domain(name, &devices).replace("<os>", limits);
        world.ok(&["define", &world.file(&xml)]);
    }
    let (next, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut kills = 0;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let (shell, next, done) = (&shell, &next, &done);
        let workers: Vec<_> = names
            .iter()
            .map(|name| {
                scope.spawn(move || {
                    loop {
                        let number = next.fetch_add(1, Ordering::AcqRel);
                        if number >= total {
                            return;
                        }
                        cycle(shell, name, number);
                    }
                })
            })
            .collect();
        let watcher = scope.spawn(move || {
            let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            done.store(true, Ordering::Release);
            results
        });
        // Moments that no clock of the guests knows.
        let mut random = u64::from(std::process::id()) | 1;
        while !done.load(Ordering::Acquire) {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            std::thread::sleep(Duration::from_millis(300 + (random >> 33) % 1500));
            world.virtd.kill();
            world.virtd.restart();
            kills += 1;
        }
        for result in watcher.join().unwrap() {
            result.expect("every guest lived through its cycles");
        }
    });
    println!("{total} cycles of {guests} guests, {kills} kills, {:?}", begun.elapsed());
    assert!(kills > 0);
    assert!(wait_until(SOON, || world.lkvm.sockets().is_empty()), "{:?}", world.lkvm.sockets());
    assert!(world.status_files().is_empty());
    assert_eq!(world.processes(), [0_i32; 0]);
    assert!(!inside || wait_until(SOON, || taps().is_empty()), "{:?}", taps());
    assert!(wait_until(SOON, || groups(&mark).is_empty()), "{:?}", groups(&mark));
}

/// In a network of its own where it can be had, without one elsewhere.
fn everywhere(test: &str, world: impl FnOnce() -> Result<World, String>) {
    match apart(test, OWN_NETWORK) {
        Ok(true) => cycles(&mut or_skip!(world()), true),
        Ok(false) => {}
        Err(_) => cycles(&mut or_skip!(world()), false),
    }
}

#[test]
fn nobody_is_lost_and_nothing_left_when_the_daemon_is_killed() {
    let test = "nobody_is_lost_and_nothing_left_when_the_daemon_is_killed";
    everywhere(test, || Ok(World::fake()));
}

#[test]
fn no_real_guest_is_lost_and_nothing_left() {
    drop(or_skip!(World::real()));
    everywhere("no_real_guest_is_lost_and_nothing_left", World::real);
}
