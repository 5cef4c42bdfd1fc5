//! Ctrl-C at a terminal while a job lasts: it cancels the job, and the guest goes on. Each scene is played
//! with our shell and, where it is installed, with libvirt's; what a person sees must be the same.

use std::path::Path;

use interop::{CTRL_C, Person, SlowFile, World, same, without_progress};
use test_support::{Daemon as _, Reference, or_skip, our_program, run, virsh};

/// A job that a person breaks off, and what is said of it.
///
/// libvirt's shell misses Ctrl-C now and then, and the job goes on to its end: it is asked again.
fn broken_off(world: &World, shell: &Path, args: &[&str], label: &str) -> (String, Option<i32>) {
    const TRIES: usize = 6;
    let mut said = try_to_break_off(world, shell, args, label);
    for _ in 1..TRIES {
        if said.1 != Some(0) || shell == our_program("virsh") {
            break;
        }
        world.run("destroy guest");
        world.start();
        said = try_to_break_off(world, shell, args, label);
    }
    said
}

fn try_to_break_off(
    world: &World,
    shell: &Path,
    args: &[&str],
    label: &str,
) -> (String, Option<i32>) {
    let mut person: Person = world.person(shell, args);
    // Some way into it.
    person.sees(&format!("{label}: ["));
    person.sees(&format!("{label}: ["));
    person.types(CTRL_C);
    let (text, code) = person.leaves();
    let mut text = without_progress(&text).replace(&*world.home.path().to_string_lossy(), "{DIR}");
    if code != Some(0) {
        // How far it seemed to be is chance: what is yet to be found to do is not counted.
        text = text.replace(&format!("{label}: all"), &format!("{label}: some"));
    }
    if code != Some(0) {
        let state = world.run("domstate guest").ok();
        assert_eq!(state.trim(), "running", "after {args:?}: {text}");
    }
    (text, code)
}

#[test]
fn ctrl_c_breaks_off_a_job_as_with_libvirt_s_shell() {
    let reference = or_skip!(Reference::start());
    let world = or_skip!(World::new(reference.uri("qemu", "session")));
    world.start();
    for (command, label) in [("save", "Save"), ("dump", "Dump")] {
        let (text, code) = same(|shell| {
            let file = SlowFile::new(world.home.join(command));
            broken_off(&world, shell, &[command, "guest", &file.path, "--verbose"], label)
        });
        assert!(text.contains("canceled by client"), "{text}");
        assert_eq!(code, Some(1));
    }
    let kept = reference.home().join("libvirt/qemu/save/guest.save");
    let (text, code) = same(|shell| {
        let file = SlowFile::new(kept.clone());
        let said = broken_off(&world, shell, &["managedsave", "guest", "--verbose"], "Managedsave");
        drop(file);
        said
    });
    assert!(text.contains("canceled by client"), "{text}");
    assert_eq!(code, Some(1));
    let left = world.run("dominfo guest").ok();
    assert!(left.contains("Managed save:   no"), "{left}");
    let copy = world.home.join("copy").to_string_lossy().into_owned();
    let args = ["blockcopy", "guest", "vda", "--dest", &copy, "--wait", "--verbose"];
    let args: Vec<&str> = args.into_iter().chain(["--bandwidth", "1", "--transient-job"]).collect();
    let (text, code) = same(|shell| {
        drop(std::fs::remove_file(&copy));
        broken_off(&world, shell, &args, "Block Copy")
    });
    assert!(text.contains("Copy aborted"), "{text}");
    assert_eq!(code, Some(1));
    world.end();
}

/// A second host: libvirt refuses to move a guest to the one where it is.
const OTHER: &str = "listen_tls = 0\nhost_uuid = \"11111111-2222-3333-4444-555555555555\"\n";

#[test]
fn ctrl_c_breaks_off_a_migration_and_the_guest_stays_where_it_is() {
    let here = or_skip!(Reference::start());
    let there = or_skip!(Reference::start_with(OTHER, &[]));
    let world = or_skip!(World::new(here.uri("qemu", "session")));
    world.start();
    world.run("migrate-setspeed guest 1").ok();
    let to = there.uri("qemu", "session");
    let usual = ["migrate", "guest", &to, "--live", "--unsafe", "--verbose", "--migrateuri"];
    let usual = usual.into_iter().chain(["tcp://127.0.0.1", "--listen-address", "127.0.0.1"]);
    for more in [&[][..], &["--p2p"], &["--persistent", "--undefinesource"]] {
        let args: Vec<&str> = usual.clone().chain(more.iter().copied()).collect();
        let (text, code) = same(|shell| broken_off(&world, shell, &args, "Migration"));
        assert!(text.contains("canceled by client"), "{more:?}: {text}");
        assert_eq!(code, Some(1));
        let shell = our_program("virsh");
        let mut list = virsh(&shell, &to, world.home.path());
        let left = run(list.args(["list", "--all", "--name"]), interop::PATIENCE).ok();
        assert_eq!(left.trim(), "", "{more:?}: something was left there");
    }
    world.end();
}
