//! Both shells through `ssh` and other programs: a real daemon of SSH, the helper, netcat.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use interop::{Sshd, script};
use test_support::{
    Daemon, Lkvm, Outcome, Scratch, Virtd, fake_kernel, guests_path, lkvm_domain, or_skip,
    our_program, reference_program, run, virsh,
};

const LIMIT: Duration = Duration::from_secs(30);

fn session(shell: &Path, uri: &str, line: &str) -> Outcome {
    let home = Scratch::new("ssh-client");
    run(virsh(shell, uri, home.path()).arg(line), LIMIT)
}

#[test]
fn a_daemon_is_reached_by_ssh_through_helper_and_netcat() {
    let theirs = or_skip!(reference_program("virsh"));
    let virtd = Virtd::start();
    let socket = virtd.socket().display().to_string();
    let path = Scratch::new("path");
    // The helper is asked for this host's daemon; here it has to be the test's.
    let helper = our_program("virt-ssh-helper");
    let told = path.join("told");
    script(
        &path,
        "virt-ssh-helper",
        &format!(
            "echo \"$*\" >> {}\nexec {} 'test+unix:///default?socket={socket}'",
            told.display(),
            helper.display()
        ),
    );
    let sshd = or_skip!(Sshd::start(path.path()));
    let expected = "test\n\n";
    for shell in [&theirs, &our_program("virsh")] {
        for more in ["", "&proxy=native", "&mode=legacy", &format!("&proxy=netcat&socket={socket}")]
        {
            let outcome = session(shell, &sshd.uri("test", more), "domname 1");
            assert_eq!(outcome.stdout, expected, "{} {more}: {outcome:?}", shell.display());
            assert_eq!(outcome.code, Some(0));
        }
        let wrong = session(shell, &sshd.uri("test", "").replace("own&", "host&"), "list");
        assert!(wrong.stderr.contains("Permission denied"), "{wrong:?}");
    }
    for spelling in ["test+libssh:", "test+libssh2:"] {
        let uri = sshd.uri("test", &format!("&proxy=netcat&socket={socket}"));
        let uri = uri.replacen("test+ssh:", spelling, 1);
        assert_eq!(session(&our_program("virsh"), &uri, "domname 1").stdout, expected, "{uri}");
    }
    let told = std::fs::read_to_string(told).expect("told");
    let one = "test:///default\ntest:///default\ntest:///default?mode=legacy\n";
    assert_eq!(told, one.repeat(2));
}

#[test]
fn the_kvm_tool_is_reached_by_ssh_and_by_other_programs() {
    let theirs = or_skip!(reference_program("virsh"));
    let folder = Scratch::new("kvmtool");
    let lkvm = Lkvm::fake(&folder);
    let xml = lkvm_domain("one", &fake_kernel(&folder), "<console type='pty'/>");
    let file = folder.write("one.xml", xml).display().to_string();
    let mut virtd = Virtd::start();
    virtd.stop();
    lkvm.configure(virtd.base());
    virtd.restart();
    let uri = virtd.uri("kvmtool", guests_path());
    let path = Scratch::new("path");
    let line = format!("exec {} '{uri}'", our_program("virt-ssh-helper").display());
    let carrier = script(&path, "virt-ssh-helper", &line);
    let sshd = or_skip!(Sshd::start(path.path()));
    let ext = format!("kvmtool+ext:///{}?command={}", guests_path(), carrier.display());
    let netcat = format!("&proxy=netcat&socket={}", virtd.socket().display());
    for shell in [&theirs, &our_program("virsh")] {
        for uri in [sshd.uri("kvmtool", ""), sshd.uri("kvmtool", &netcat), ext.clone()] {
            let line = format!("create {file}; suspend one; domstate one; destroy one");
            let outcome = session(shell, &uri, &line);
            let who = format!("{} {uri}: {outcome:?} {}", shell.display(), virtd.log());
            assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{who}");
            assert!(outcome.stdout.contains("paused\n"), "{who}");
            assert!(lkvm.sockets().is_empty(), "{who}");
        }
    }
}

#[test]
fn any_program_may_carry_the_bytes() {
    let theirs = or_skip!(reference_program("virsh"));
    let virtd = Virtd::start();
    let folder = Scratch::new("ext");
    let helper = our_program("virt-ssh-helper");
    let uri = virtd.uri("test", "default");
    let good = script(&folder, "good", &format!("exec {} '{uri}'", helper.display()));
    let bad =
        script(&folder, "bad", "head -c 4 > /dev/null\necho some words >&2\necho more >&2\nexit 3");
    for shell in [&theirs, &our_program("virsh")] {
        let ext = |program: &Path| format!("test+ext:///default?command={}", program.display());
        let outcome = session(shell, &ext(&good), "domname 1; destroy test; domstate test");
        assert_eq!(outcome.code, Some(0), "{} {outcome:?}", shell.display());
        assert!(outcome.stdout.contains("shut off"), "{outcome:?}");
        let outcome = session(shell, &ext(&bad), "list");
        assert_eq!(outcome.code, Some(1));
        let complaint = "error: Cannot recv data: some words\nmore: Connection reset by peer\n";
        assert!(outcome.stderr.ends_with(complaint), "{} {outcome:?}", shell.display());
    }
    // What is ours ends with its shell.
    let left = run(Command::new("pgrep").arg("-f").arg(good.display().to_string()), LIMIT);
    assert_eq!(left.stdout, "");
}
