//! A guest's life through daemon and shell: with the stand-in always, with a real tool where one runs.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod support;

use std::time::{Duration, Instant};

use support::{SOON, World};
use test_support::{Signal, or_skip, signal, wait_until};

/// The commands of the founding document: definition, life, console, memory, limits, document, start by
/// itself, information.
fn life(world: &World) {
    world.ok(&["define", &world.file(&world.plain("one"))]);
    assert!(world.ok(&["list", "--all"]).contains("one"));
    assert_eq!(world.state("one"), "shut off (unknown)");
    world.ok(&["start", "one"]);
    assert_eq!(world.state("one"), "running (booted)");
    assert_eq!(world.lkvm.sockets(), ["one.sock"]);
    let mut console = world.first_console("one");
    console.send("ping\r").unwrap();
    let answer = if world.lkvm.is_real() { "pong" } else { "PONG" };
    console.wait_for(answer, SOON).unwrap();
    drop(console);
    world.ok(&["suspend", "one"]);
    assert_eq!(world.state("one"), "paused (user)");
    assert!(world.lkvm.run(&["list"]).stdout.contains("paused"));
    world.ok(&["resume", "one"]);
    assert_eq!(world.state("one"), "running (unpaused)");
    let info = world.ok(&["dominfo", "one"]);
    assert!(
        info.contains("CPU(s):         2") && info.contains("State:          running"),
        "{info}"
    );
    let xml = world.ok(&["dumpxml", "one"]);
    assert!(xml.contains("<source path='/dev/pts/") && xml.contains("id='1'"), "{xml}");
    assert!(world.ok(&["vcpuinfo", "one"]).matches("State:          running").count() == 2);
    world.ok(&["autostart", "one"]);
    world.ok(&["autostart", "--disable", "one"]);
    world.ok(&["destroy", "one"]);
    assert_eq!(world.state("one"), "shut off (destroyed)");
    assert!(world.lkvm.sockets().is_empty() && world.status_files().is_empty());
    world.ok(&["undefine", "one"]);
    assert!(!world.ok(&["list", "--all"]).contains("one"));
}

#[test]
fn a_guest_lives() {
    life(&World::fake());
}

#[test]
fn a_real_guest_lives() {
    life(&or_skip!(World::real()));
}

/// Numbers for sockets are the document's, or the daemon's own: of each guest another.
#[test]
fn guests_have_sockets_to_the_host_and_random_numbers() {
    let world = World::fake();
    let vsock = |cid: &str| {
        format!("<rng model='virtio'><backend model='random'/></rng><vsock>{cid}</vsock>")
    };
    let numbers = ["one", "two"].map(|name| {
        world.start(&world.domain(name, &vsock("")), name);
        let xml = world.ok(&["dumpxml", name]);
        let (_, rest) = xml.split_once("<cid auto='yes' address='").expect("it has a number");
        let number = rest.split('\'').next().unwrap().to_owned();
        let line = std::fs::read(format!("/proc/{}/cmdline", world.pid(name).unwrap())).unwrap();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        assert!(line.contains(&format!("--rng --vsock {number}")), "{line}");
        assert!(world.ok(&["dumpxml", "--inactive", name]).contains("<cid auto='yes'/>"));
        world.ok(&["destroy", name]);
        world.ok(&["start", name]);
        assert!(world.ok(&["dumpxml", name]).contains(&number), "it is the same again");
        number
    });
    assert_ne!(numbers[0], numbers[1]);
    world.start(&world.domain("fixed", &vsock("<cid address='77'/>")), "fixed");
    assert!(world.ok(&["dumpxml", "fixed"]).contains("<cid auto='no' address='77'/>"));
}

#[test]
fn a_real_guest_has_random_numbers() {
    let world = or_skip!(World::real());
    let random = "<console type='pty'/><rng model='virtio'><backend model='random'/></rng>";
    world.start(&world.domain("one", random), "one");
    let mut console = world.first_console("one");
    console.send("devs\r").unwrap();
    console.wait_for("type 4 rng", SOON).unwrap();
    drop(console);
    if !std::path::Path::new("/dev/vhost-vsock").exists() {
        world.ok(&["define", &world.file(&world.domain("two", "<vsock/>"))]);
        let error = world.refused(&["start", "two"]);
        assert!(error.contains("vhost-vsock"), "the tool's own reason is told: {error}");
    }
}

fn memory(world: &World) {
    world.start(&world.plain("one"), "one");
    let total = |world: &World| {
        let text = world.ok(&["dommemstat", "one"]);
        let line = text.lines().find_map(|line| line.strip_prefix("actual "));
        line.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0)
    };
    assert!(wait_until(SOON, || world.ok(&["dommemstat", "one"]).contains("available")));
    let before = total(world);
    world.ok(&["setmem", "one", "32M"]);
    assert!(wait_until(SOON, || total(world) <= before.saturating_sub(30 << 10)), "{before}");
    assert!(world.ok(&["dumpxml", "one"]).contains("<currentMemory unit='KiB'>32768<"));
    world.ok(&["setmem", "one", "48M"]);
    assert!(wait_until(SOON, || total(world) > before.saturating_sub(20 << 10)));
    let error = world.refused(&["setmem", "one", "65M"]);
    assert!(error.contains("cannot set memory higher than max memory"), "{error}");
    // A paused guest is never asked, so nobody hangs.
    world.ok(&["suspend", "one"]);
    let asked = Instant::now();
    let text = world.ok(&["dommemstat", "one"]);
    assert!(text.contains("rss") && !text.contains("available"), "{text}");
    assert!(asked.elapsed() < Duration::from_secs(3));
    world.ok(&["destroy", "one"]);
}

#[test]
fn memory_goes_and_comes_back() {
    memory(&World::fake());
}

#[test]
fn memory_of_a_real_guest_goes_and_comes_back() {
    memory(&or_skip!(World::real()));
}

/// Guests outlive a killed daemon, whatever they were doing; what ended meanwhile is seen.
fn restart(world: &mut World) {
    for name in ["runs", "waits", "ends"] {
        world.start(&world.plain(name), name);
    }
    world.ok(&["suspend", "waits"]);
    let pids = ["runs", "waits"].map(|name| world.pid(name));
    let ends = world.pid("ends").expect("it runs");
    // What is typed to a guest that still boots is lost.
    let console = world.first_console("runs");
    world.virtd.kill();
    signal(ends, Signal::KILL);
    drop(console);
    world.virtd.restart();
    assert_eq!(["runs", "waits"].map(|name| world.pid(name)), pids);
    assert_eq!(world.state("runs"), "running (booted)");
    assert_eq!(world.state("waits"), "paused (user)");
    assert!(world.becomes("ends", "shut off (crashed)"));
    world.ok(&["resume", "waits"]);
    let mut console = world.console("runs");
    console.send("\rping\r").unwrap();
    let answer = if world.lkvm.is_real() { "pong" } else { "PONG" };
    console.wait_for(answer, SOON).unwrap();
    drop(console);
    // Not its child any more, and its end is seen all the same.
    let killed = Instant::now();
    signal(pids[0].expect("it runs"), Signal::KILL);
    assert!(world.becomes("runs", "shut off (crashed)"));
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    // The name and its ghost socket can be used again.
    world.ok(&["start", "runs"]);
    world.ok(&["start", "ends"]);
    for name in ["runs", "waits", "ends"] {
        world.ok(&["destroy", name]);
    }
    assert!(world.lkvm.sockets().is_empty() && world.status_files().is_empty());
}

#[test]
fn guests_outlive_a_killed_daemon() {
    restart(&mut World::fake());
}

#[test]
fn real_guests_outlive_a_killed_daemon() {
    restart(&mut or_skip!(World::real()));
}

/// A guest that ends by itself is seen within a second, and why.
fn ends(world: &World) {
    for (word, state) in [("reset", "shut off (shutdown)"), ("crash", "shut off (crashed)")] {
        world.start(&world.plain("one"), "one");
        let mut console = world.first_console("one");
        console.send(&format!("{word}\r")).unwrap();
        let typed = Instant::now();
        assert!(world.becomes("one", state), "{word}: {}", world.state("one"));
        assert!(typed.elapsed() < Duration::from_secs(2), "{word}: {:?}", typed.elapsed());
        assert!(world.lkvm.sockets().is_empty() && world.status_files().is_empty());
        world.ok(&["undefine", "one"]);
    }
    // A reboot that the document asks for is a new process of the same guest.
    let xml = world.plain("one").replace("<devices>", "<on_reboot>restart</on_reboot><devices>");
    world.start(&xml, "one");
    let (before, id) = (world.pid("one"), world.ok(&["domid", "one"]));
    let mut console = world.first_console("one");
    console.send("reset\r").unwrap();
    assert!(wait_until(SOON, || world.pid("one").is_some_and(|pid| Some(pid) != before)));
    assert!(world.becomes("one", "running (booted)"));
    assert_eq!(world.ok(&["domid", "one"]), id);
    world.ok(&["reset", "one"]);
    assert_eq!(world.state("one"), "running (booted)");
    world.ok(&["destroy", "one"]);
}

#[test]
fn the_end_of_a_guest_is_seen_and_why() {
    ends(&World::fake());
}

#[test]
fn the_end_of_a_real_guest_is_seen_and_why() {
    ends(&or_skip!(World::real()));
}

/// A guest is its process: without its socket it runs on, is found again, and can be ended.
fn unlinked(world: &mut World) {
    let unlink = |world: &World| {
        std::fs::remove_file(world.lkvm.home.join(".lkvm/one.sock")).expect("the guest's socket");
    };
    world.start(&world.plain("one"), "one");
    unlink(world);
    assert_eq!(world.state("one"), "running (booted)");
    world.virtd.kill();
    world.virtd.restart();
    assert!(world.state("one").starts_with("running"), "{}", world.state("one"));
    let asked = Instant::now();
    world.virsh(&["suspend", "one"]);
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    signal(world.pid("one").expect("it runs"), Signal::KILL);
    let killed = Instant::now();
    assert!(world.becomes("one", "shut off (crashed)"), "{}", world.state("one"));
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    world.ok(&["start", "one"]);
    unlink(world);
    world.ok(&["destroy", "one"]);
    assert_eq!(world.state("one"), "shut off (destroyed)");
    assert_eq!(world.processes(), [0_i32; 0]);
}

#[test]
fn a_guest_without_its_socket_is_no_lost_guest() {
    unlinked(&mut World::fake());
}

#[test]
fn a_real_guest_without_its_socket_is_no_lost_guest() {
    unlinked(&mut or_skip!(World::real()));
}

#[test]
fn a_guest_reboots_by_magic_keys() {
    let world = World::fake();
    world.start(&world.plain("one"), "one");
    let before = world.pid("one");
    world.ok(&["send-key", "one", "KEY_LEFTALT", "KEY_SYSRQ", "KEY_H"]);
    world.ok(&["inject-nmi", "one"]);
    let mut console = world.first_console("one");
    console.send("keys\r").unwrap();
    console.wait_for("KEYS h", SOON).unwrap();
    world.ok(&["reboot", "one"]);
    assert!(wait_until(SOON, || world.pid("one").is_some_and(|pid| Some(pid) != before)));
    assert!(world.becomes("one", "running (booted)"));
    let refused = world.refused(&["send-key", "one", "KEY_A"]);
    assert!(refused.contains("magic keys"), "{refused}");
}

#[test]
fn what_the_tool_cannot_do_is_refused_with_the_reason() {
    let world = World::fake();
    world.start(&world.plain("one"), "one");
    let save = world.folder.join("saved");
    let save = save.to_string_lossy();
    for (args, reason) in [
        (vec!["shutdown", "one"], "no power button"),
        (vec!["save", "one", &save], "cannot save the state"),
        (vec!["managedsave", "one"], "cannot save the state"),
        (vec!["setvcpus", "one", "1"], "cannot change the virtual CPUs"),
        (vec!["domblkstat", "one", "vda"], "does not count"),
    ] {
        let error = world.refused(&args);
        assert!(error.contains(reason), "{args:?}: {error}");
    }
    world.ok(&["destroy", "one"]);
    let error = world.refused(&["start", "--paused", "one"]);
    assert!(error.contains("cannot be started paused"), "{error}");
}

#[test]
fn a_guest_goes_with_the_shell_that_started_it() {
    let world = World::fake();
    let file = world.file(&world.plain("short"));
    world.ok(&["create", "--autodestroy", &file]);
    assert!(wait_until(SOON, || !world.ok(&["list", "--all"]).contains("short")));
    assert!(world.lkvm.sockets().is_empty());
}

#[test]
fn what_is_marked_starts_with_the_daemon_once_a_boot() {
    let mut world = World::fake();
    world.ok(&["define", &world.file(&world.plain("one"))]);
    world.ok(&["autostart", "one"]);
    world.virtd.stop();
    std::fs::remove_file(world.virtd.base().join("run/libvirt/kvmtool/autostarted")).unwrap();
    world.virtd.restart();
    assert!(world.becomes("one", "running (booted)"));
    world.ok(&["destroy", "one"]);
    world.virtd.stop();
    world.virtd.restart();
    assert_eq!(world.state("one"), "shut off (unknown)");
}
