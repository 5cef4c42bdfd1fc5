//! A guest goes from one real Xen to another while it runs, by the guide's command.
//!
//! It is a full one: Debian's hypervisor is built without what notes the writing of others.

use std::fs;

use real_xen::{MOVES, Xen, full, release, until};
use test_support::{long_run, or_skip, skipped};

/// What `xl` finds as ssh: it reaches the other machine's port, where somebody runs what ssh would.
fn put_ssh(from: &Xen, to: &Xen) {
    let port = to.moves_port();
    let script = format!(
        "#!/bin/busybox sh\necho \"$*\" >>/run/asked\nexec /bin/busybox nc 10.0.2.2 {port}\n"
    );
    fs::write(from.share().join("ssh"), script).expect("the folder is ours");
    from.inside("cp /share/ssh /usr/bin/ssh && chmod +x /usr/bin/ssh");
}

/// Has the target take one guest in, by this command; what it says is kept.
fn take_in(to: &Xen, command: &str) {
    let script = format!("#!/bin/busybox sh\n{command} 2>>/share/received\n");
    fs::write(to.share().join("receive"), script).expect("the folder is ours");
    to.inside(&format!(
        "cp /share/receive /run/receive && chmod +x /run/receive; \
         busybox nc -l -p {MOVES} -e /run/receive >/dev/null 2>&1 & busybox sleep 1"
    ));
}

fn runs(xen: &Xen) -> bool {
    ["running", "idle"].contains(&xen.virsh("domstate h").stdout.trim())
}

/// The guide's command, with what it says and its code.
fn migrate(from: &Xen) -> (String, bool) {
    let uri = format!("xen+tcp://127.0.0.1:{}/system", from.port(real_xen::Daemon::Ours));
    let said = from.virsh(&format!("migrate h --live {uri} xenmigr://there"));
    eprintln!("migrate: {said:?}");
    (said.stderr, said.code == Some(0))
}

/// Whoever is told of is the only one: nowhere are there two, not even one that is paused or half there.
fn only(here: &Xen, there: &Xen) {
    assert!(runs(here), "it does not run where it should");
    let others = || there.inside("xl list").lines().filter(|line| line.starts_with("h ")).count();
    until("nothing of it elsewhere", || others() == 0);
}

#[test]
fn a_guest_moves_between_two_real_xens() {
    if !long_run() {
        return skipped("minutes long: cargo xtask xen --long");
    }
    if release() != full::RELEASE {
        return skipped(full::ELSEWHERE);
    }
    let (here, there) = (or_skip!(full::start()), or_skip!(full::start()));
    put_ssh(&here, &there);
    let file = here.home().write("h.xml", full::GUEST);
    here.must(&format!("define {}", file.display()));
    here.starts("h");
    full::answers(&here, "abc", "ABC");

    // Nobody is there.
    let (said, done) = migrate(&here);
    assert!(!done && said.contains("xl migrate"), "{said}");
    only(&here, &there);
    // The way breaks at the first word, in the guest's memory, and when all of it is there.
    for (phase, bytes) in [("greeting", 0), ("memory", 20 << 20)] {
        let cut = format!("busybox head -c {bytes} | xl migrate-receive");
        take_in(&there, &cut);
        let (said, done) = migrate(&here);
        assert!(!done, "{phase}: {said}");
        until(phase, || runs(&here));
        only(&here, &there);
    }
    full::answers(&here, "def", "DEF");

    take_in(&there, "xl migrate-receive");
    let (said, done) = migrate(&here);
    assert!(done, "{said}");
    assert!(here.inside("cat /run/asked").contains("there xl migrate-receive"));
    until("it is there", || runs(&there));
    only(&there, &here);
    assert_eq!(here.must("domstate h"), "shut off", "its definition stays");
    full::answers(&there, "ghi", "GHI");
    there.must("destroy h");
    assert!(!there.must("list --all").contains(" h "));
}
