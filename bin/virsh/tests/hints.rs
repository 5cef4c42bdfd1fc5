//! Hints: what was meant, who is at fault on the way to a daemon, and silence where a script listens.

use std::os::unix::net::UnixListener;
use std::process::Command;

use test_support::Scratch;

fn virsh(hints: &str, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_virsh"))
        .env_clear()
        .envs([("LC_ALL", "C.UTF-8"), ("PATH", "/usr/bin:/bin"), ("VIRSH_HINTS", hints)])
        .args(args)
        .output()
        .expect("virsh runs");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The hints of a command that fails; scripts see the same without them.
fn hints(args: &[&str]) -> String {
    let (with, without) = (virsh("1", args), virsh("0", args));
    assert!(!without.contains("hint: "), "{without}");
    let others: String = with.split_inclusive('\n').filter(|l| !l.starts_with("hint: ")).collect();
    assert_eq!(others, without, "{args:?}");
    with.lines().filter_map(|line| line.strip_prefix("hint: ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_slip_of_the_hand_is_told_what_was_meant() {
    for (line, want) in [
        ("lsit", "did you mean 'list'?"),
        ("qqqqqq", "'help' lists all commands"),
        ("list --al", "did you mean '--all'?"),
        ("list --zzzzzzzzz", "'help list' explains its options"),
        ("help domifo", "did you mean 'dominfo'?"),
        ("start tset", "did you mean 'test'?"),
        ("dominfo --domain tset", "did you mean 'test'?"),
        ("net-info defualt", "did you mean 'default'?"),
        ("pool-info default-pol", "did you mean 'default-pool'?"),
        ("vol-info --pool default-pool x", "there is no volume at all"),
        (
            "vol-create-as default-pool disk1 1M; vol-info dsik1 default-pool",
            "did you mean 'disk1'?",
        ),
        ("iface-mac eht1", "did you mean 'eth1'?"),
        ("nodedev-info computr", "did you mean 'computer'?"),
        ("snapshot-create-as test first; snapshot-info test frist", "did you mean 'first'?"),
        ("checkpoint-create-as test one; checkpoint-info test noe", "did you mean 'one'?"),
        ("domblkinfo test vdaa", "did you mean 'vda'?"),
        ("domstate zzzzzz", "there is no domain of that name; there are: test"),
        // What is there but in the wrong state is not misspelt.
        ("start test", ""),
    ] {
        assert_eq!(hints(&["-c", "test:///default", line]), want, "{line}");
    }
}

#[test]
fn a_connection_that_fails_names_what_is_at_fault() {
    let scratch = Scratch::new("hints");
    let socket = scratch.join("sock");
    let uri = |path: &std::path::Path| format!("qemu+unix:///system?socket={}", path.display());
    let missing = scratch.join("no/such/sock");
    let said = hints(&["-c", &uri(&missing), "list"]);
    let folder = scratch.join("no");
    assert!(said.starts_with(&format!("'{}' does not exist", folder.display())), "{said}");
    let starts = |said: &str| {
        let fix = said.lines().nth(1).unwrap_or_default();
        assert!(["start", "--daemon", "install"].iter().any(|word| fix.contains(word)), "{said}");
    };
    starts(&said);
    let said = hints(&["-c", &uri(&socket), "list"]);
    assert!(said.starts_with(&format!("'{}' does not exist", socket.display())), "{said}");
    scratch.write("sock", "");
    let said = hints(&["-c", &uri(&socket), "list"]);
    assert!(said.starts_with(&format!("'{}' is no socket", socket.display())), "{said}");
    std::fs::remove_file(&socket).expect("it goes");
    drop(UnixListener::bind(&socket).expect("a socket"));
    let said = hints(&["-c", &uri(&socket), "list"]);
    assert!(said.contains("nobody listens"), "{said}");
    starts(&said);
    let said = hints(&["-c", "qemu+tcp://127.0.0.1:1/system", "list"]);
    assert!(said.contains("127.0.0.1, port 1") && said.contains("listen_tcp"), "{said}");
}
