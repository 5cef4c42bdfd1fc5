//! What can go wrong between the daemon and the tool: each hazard of the tool's socket and files once.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod support;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use support::{SOON, World};
use test_support::{Signal, or_skip, signal, wait_until};

fn socket(world: &World, name: &str) -> UnixStream {
    UnixStream::connect(world.lkvm.home.join(".lkvm").join(format!("{name}.sock")))
        .expect("the guest's socket")
}

#[test]
fn a_client_that_holds_the_socket_holds_nobody_up_for_long() {
    let world = World::fake();
    world.start(&world.plain("held"), "held");
    world.start(&world.plain("free"), "free");
    let client = socket(&world, "held");
    std::thread::sleep(Duration::from_millis(100));
    let asked = Instant::now();
    let error = world.refused(&["suspend", "held"]);
    assert!(error.contains("did not answer in time"), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(12), "{:?}", asked.elapsed());
    // Another guest is not concerned, nor are calls that need no answer, nor is the end.
    world.ok(&["suspend", "free"]);
    assert_eq!(world.state("held"), "running (booted)");
    world.ok(&["destroy", "held"]);
    drop(client);
}

#[test]
fn a_client_that_is_forgotten_reminds_the_tool() {
    let world = World::fake();
    world.start(&world.plain("one"), "one");
    // While the first is served two more come: the tool takes one of them and forgets the other.
    let first = socket(&world, "one");
    std::thread::sleep(Duration::from_millis(100));
    let second = socket(&world, "one");
    std::thread::scope(|scope| {
        let suspended = scope.spawn(|| world.virsh(&["suspend", "one"]));
        std::thread::sleep(Duration::from_millis(500));
        drop(first);
        std::thread::sleep(Duration::from_millis(300));
        drop(second);
        let outcome = suspended.join().unwrap();
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    });
    assert_eq!(world.state("one"), "paused (user)");
}

#[test]
fn a_client_that_leaves_before_its_reply_kills_no_guest() {
    let world = World::fake();
    world.start(&world.plain("one"), "one");
    world.lkvm.fail_with("slow-reply=300");
    let mut client = socket(&world, "one");
    client.write_all(&[7_u32.to_ne_bytes(), 0_u32.to_ne_bytes()].concat()).unwrap();
    drop(client);
    std::thread::sleep(Duration::from_millis(800));
    world.lkvm.fail_with("");
    assert_eq!(world.state("one"), "running (booted)");
    world.ok(&["suspend", "one"]);
}

#[test]
fn the_stand_in_does_die_of_such_a_client_when_sigpipe_is_not_ignored() {
    let world = World::fake();
    let kernel = world.kernel.to_string_lossy().into_owned();
    let home = world.lkvm.home.clone();
    let mut child = std::process::Command::new(&world.lkvm.program)
        .args(["run", "--name", "bare", "--kernel", &kernel, "--nodefaults"])
        .env("HOME", &home)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let path = home.join(".lkvm/bare.sock");
    assert!(wait_until(SOON, || UnixStream::connect(&path).is_ok()));
    world.lkvm.fail_with("slow-reply=300");
    let mut client = socket(&world, "bare");
    client.write_all(&[7_u32.to_ne_bytes(), 0_u32.to_ne_bytes()].concat()).unwrap();
    drop(client);
    let mut status = None;
    let ended = wait_until(SOON, || {
        // It may have forgotten the first.
        drop(UnixStream::connect(&path));
        status = child.try_wait().unwrap();
        status.is_some()
    });
    drop(child.kill());
    assert!(ended, "the fault is not simulated");
}

#[test]
fn a_guest_whose_balloon_is_silent_is_not_waited_for_twice() {
    let world = World::fake();
    world.start(&world.plain("one"), "one");
    world.lkvm.fail_with("no-driver");
    let text = world.ok(&["dommemstat", "one"]);
    assert!(text.contains("actual 65536") && !text.contains("available"), "{text}");
    world.lkvm.fail_with("hung");
    world.ok(&["dommemstat", "one"]);
    let asked = Instant::now();
    world.ok(&["dommemstat", "one"]);
    world.ok(&["domstats", "one"]);
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    // Its thread hangs for good: it can be ended all the same.
    world.ok(&["destroy", "one"]);
    assert!(world.lkvm.sockets().is_empty());
}

#[test]
fn a_paused_guest_and_one_that_does_not_listen_are_ended() {
    let world = World::fake();
    world.start(&world.plain("one"), "one");
    world.ok(&["suspend", "one"]);
    let told = Instant::now();
    world.ok(&["destroy", "one"]);
    assert!(told.elapsed() < Duration::from_secs(3));
    world.ok(&["start", "one"]);
    world.lkvm.fail_with("ignore-stop");
    let error = world.refused(&["destroy", "--graceful", "one"]);
    assert!(error.contains("Failed to terminate process"), "{error}");
    world.ok(&["destroy", "one"]);
    assert_eq!(world.state("one"), "shut off (destroyed)");
    assert!(world.lkvm.sockets().is_empty());
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    let world = World::fake();
    world.ok(&["define", &world.file(&world.plain("one"))]);
    world.lkvm.fail_with("fail=128");
    let error = world.refused(&["start", "one"]);
    assert!(error.contains("Fatal: a fault that was asked for"), "{error}");
    assert_eq!(world.state("one"), "shut off (failed)");
    assert!(world.lkvm.sockets().is_empty() && world.status_files().is_empty());
    world.lkvm.fail_with("");
    world.ok(&["start", "one"]);
}

#[test]
fn ends_without_a_word_are_told_by_the_status() {
    let world = World::fake();
    world.start(&world.plain("one"), "one");
    world.lkvm.fail_with("exit=1");
    let mut console = world.console("one");
    console.send("reset\r").unwrap();
    assert!(world.becomes("one", "shut off (failed)"), "{}", world.state("one"));
    drop(console);
    // The socket that is left behind is nobody's, and in nobody's way.
    world.lkvm.fail_with("");
    world.ok(&["start", "one"]);
    let pid = world.pid("one").unwrap();
    signal(pid, Signal::KILL);
    assert!(world.becomes("one", "shut off (crashed)"));
    world.ok(&["start", "one"]);
    assert_eq!(world.lkvm.sockets(), ["one.sock"]);
}

#[test]
fn a_closed_console_ends_nothing() {
    let world = World::fake();
    world.start(&world.plain("one"), "one");
    for _ in 0..3 {
        let mut console = world.console("one");
        console.send("ping\r").unwrap();
        console.wait_for("PONG", SOON).unwrap();
        // The tool's own key, which would end the guest.
        console.send("\x01x\r").unwrap();
        console.wait_for("? x", SOON).unwrap();
        drop(console);
    }
    assert_eq!(world.state("one"), "running (booted)");
}

#[test]
fn the_hosts_root_is_never_shared() {
    let world = World::fake();
    world.start(&world.domain("bare", "<console type='pty'/>"), "bare");
    assert!(!world.lkvm.home.join(".lkvm/default").exists());
    world.ok(&["destroy", "bare"]);
    // A tool that cannot be told to leave it is not started without a disk.
    let world = World::fake();
    world.lkvm.fail_with("without=nodefaults");
    world.ok(&["define", &world.file(&world.domain("bare", "<console type='pty'/>"))]);
    let error = world.refused(&["start", "bare"]);
    assert!(error.contains("would share the host's root"), "{error}");
    assert!(!world.lkvm.home.join(".lkvm/default").exists());
}

#[test]
fn names_stay_in_the_tools_folder_and_paths_below_the_kernels_limit() {
    let world = World::fake();
    let long = "l".repeat(120);
    for name in [long.as_str(), "a b", ".hidden", "ümlaut"] {
        world.start(&world.plain(name), name);
        let sockets = world.lkvm.sockets();
        let uuid = world.ok(&["domuuid", name]).trim().to_owned();
        assert_eq!(sockets, [format!("{uuid}.sock")], "{name}");
        world.ok(&["destroy", name]);
    }
    let error = world.refused(&["define", &world.file(&world.plain("../x"))]);
    assert!(error.contains("cannot contain '/'"), "{error}");
    assert!(!world.lkvm.home.join("x.sock").exists());
}

#[test]
fn a_guest_of_somebody_else_is_left_alone() {
    let world = World::fake();
    let kernel = world.kernel.to_string_lossy().into_owned();
    let mut child = std::process::Command::new(&world.lkvm.program)
        .args(["run", "--name", "one", "--kernel", &kernel, "--nodefaults"])
        .env("HOME", &world.lkvm.home)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let path = world.lkvm.home.join(".lkvm/one.sock");
    let up = wait_until(SOON, || UnixStream::connect(&path).is_ok());
    let refused = world.virsh(&["create", &world.file(&world.plain("one"))]);
    let alive = child.try_wait().unwrap().is_none();
    drop(child.kill());
    drop(child.wait());
    assert!(up && alive);
    assert!(refused.stderr.contains("runs already outside of this daemon"), "{}", refused.stderr);
}

#[test]
fn the_tool_is_never_mistaken_for_another_program() {
    let world = World::fake();
    world.lkvm.fail_with("version=QEMU emulator version 10.0.2");
    // Another build than the one that was asked, by its time.
    let script = std::fs::read_to_string(&world.lkvm.program).unwrap();
    std::fs::write(&world.lkvm.program, format!("{script}# changed\n")).unwrap();
    let error = world.refused(&["version"]);
    assert!(error.contains("is not the native Linux KVM tool"), "{error}");
    world.lkvm.fail_with("version=kvm tool 3.0.rc5.873.gb73216");
    std::fs::write(&world.lkvm.program, format!("{script}# changed again\n")).unwrap();
    let version = world.ok(&["version"]);
    assert!(version.contains("Running hypervisor: kvmtool 3.0.0"), "{version}");
}

#[test]
fn a_daemon_killed_at_any_point_of_a_start_leaves_all_or_nothing() {
    let mut world = World::fake();
    world.ok(&["define", &world.file(&world.plain("one"))]);
    for delay_ms in [0_u64, 5, 15, 30, 60, 120] {
        world.lkvm.fail_with("slow-start=40");
        std::thread::scope(|scope| {
            let start = scope.spawn(|| world.virsh(&["start", "one"]));
            std::thread::sleep(Duration::from_millis(100 + delay_ms));
            signal(i32::try_from(world.virtd.pid()).unwrap(), Signal::KILL);
            drop(start.join());
        });
        world.virtd.kill();
        world.lkvm.fail_with("");
        world.virtd.restart();
        match world.state("one").as_str() {
            "running (booted)" => drop(world.ok(&["destroy", "one"])),
            state => assert!(state.starts_with("shut off"), "{state}"),
        }
        let sockets = wait_until(SOON, || world.lkvm.sockets().is_empty());
        assert!(sockets, "{delay_ms}: {:?}", world.lkvm.sockets());
        assert!(world.status_files().is_empty(), "{delay_ms}");
    }
}

/// Limit: how long a call may take that waits in vain for the socket, and one that does not.
const HELD_UP_MAX: Duration = Duration::from_secs(12);

#[test]
fn a_message_that_was_cut_off_holds_up_only_until_its_client_leaves() {
    let world = World::fake();
    world.start(&world.plain("one"), "one");
    // The tool waits for the rest of a payload for as long as its client is there.
    let mut client = socket(&world, "one");
    client.write_all(&[2_u32.to_ne_bytes(), 12_u32.to_ne_bytes()].concat()).unwrap();
    client.write_all(&[0; 5]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let asked = Instant::now();
    let error = world.refused(&["suspend", "one"]);
    assert!(error.contains("did not answer in time"), "{error}");
    assert!(asked.elapsed() < HELD_UP_MAX, "{:?}", asked.elapsed());
    assert_eq!(world.state("one"), "running (booted)");
    drop(client);
    // What was asked for in vain may be heard after all: then it is seen.
    assert!(world.becomes("one", "paused (user)"), "{}", world.state("one"));
    world.ok(&["resume", "one"]);
    // One that never leaves cannot keep the guest.
    let mut client = socket(&world, "one");
    client.write_all(&[2_u32.to_ne_bytes(), 12_u32.to_ne_bytes()].concat()).unwrap();
    world.ok(&["destroy", "one"]);
    drop(client);
}

/// Fills the console of a guest, which nobody reads.
fn flooded(world: &World, line: &str, times: usize) {
    world.start(&world.plain("one"), "one");
    drop(world.first_console("one"));
    let path = world.ok(&["ttyconsole", "one"]);
    let mut console =
        std::fs::File::options().read(true).write(true).open(path.trim()).expect("the terminal");
    for _ in 0..times {
        console.write_all(line.as_bytes()).unwrap();
        // The serial port keeps no more than this.
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Instant::now();
    world.ok(&["suspend", "one"]);
    world.ok(&["resume", "one"]);
    world.ok(&["dommemstat", "one"]);
    assert!(asked.elapsed() < HELD_UP_MAX, "{:?}", asked.elapsed());
    // A processor that waits for its console would not hear it, and this never kills.
    world.ok(&["destroy", "--graceful", "one"]);
    assert_eq!(world.state("one"), "shut off (destroyed)");
}

#[test]
fn a_console_that_nobody_reads_holds_nothing_up() {
    flooded(&World::fake(), "flood\r", 1);
}

#[test]
fn a_real_console_that_nobody_reads_holds_nothing_up() {
    // Each answer has some 80 bytes; a terminal keeps 4 KiB or a little more.
    flooded(&or_skip!(World::real()), "devs\r", 200);
}

/// The tool dies of it, and so does the stand-in.
#[test]
fn a_guest_is_not_told_to_pause_before_all_of_its_processors_are_there() {
    let world = World::fake();
    world.lkvm.fail_with("slow-vcpus=400");
    world.start(&world.plain("one"), "one");
    world.ok(&["suspend", "one"]);
    assert_eq!(world.state("one"), "paused (user)");
    let vcpus = world.ok(&["vcpuinfo", "one"]);
    assert_eq!(vcpus.matches("VCPU:").count(), 2, "{vcpus}");
}

#[test]
fn a_guest_that_forgot_the_word_to_stop_is_reminded_of_it() {
    let world = World::fake();
    world.start(&world.plain("one"), "one");
    // Two that come while one is served are one report: the second of them stays in the queue,
    // though it has left, and whoever comes next is served in its stead.
    let first = socket(&world, "one");
    std::thread::sleep(Duration::from_millis(200));
    let (second, third) = (socket(&world, "one"), socket(&world, "one"));
    std::thread::sleep(Duration::from_millis(200));
    drop((first, second, third));
    std::thread::sleep(Duration::from_millis(200));
    world.ok(&["destroy", "--graceful", "one"]);
    assert_eq!(world.state("one"), "shut off (destroyed)");
}
