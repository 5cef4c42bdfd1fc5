//! Both shells and both daemons over TCP and by SASL: who gets in, and what the others are told.

use std::path::Path;
use std::time::Duration;

use interop::{credentials, password_line, reference_users};
use test_support::{
    Daemon, Outcome, Reference, Scratch, Terminal, Virtd, free_port, or_skip, our_program,
    reference_program, run, run_with_input, virsh,
};

const LIMIT: Duration = Duration::from_secs(30);

fn conf(port: u16, auth_tcp: &str, auth_unix: &str) -> String {
    format!(
        "listen_tls = 0\nlisten_tcp = 1\nauth_tcp = \"{auth_tcp}\"\ntcp_port = \"{port}\"\n\
         auth_unix_rw = \"{auth_unix}\"\nlisten_addr = \"127.0.0.1\"\n"
    )
}

/// Our daemon with one user.
fn virtd(port: u16, auth_tcp: &str, auth_unix: &str, more: &str) -> Virtd {
    let line = password_line();
    Virtd::start_listening(|base| {
        std::fs::create_dir_all(base.join("etc/libvirt")).expect("the folder is ours");
        std::fs::write(base.join("etc/libvirt/sasl-passwords"), &line).expect("written");
        conf(port, auth_tcp, auth_unix) + more
    })
}

/// Their daemon with the same user.
fn reference(port: u16, auth_tcp: &str, auth_unix: &str) -> Result<(Scratch, Reference), String> {
    let sasl = reference_users()?;
    let conf = conf(port, auth_tcp, auth_unix);
    let daemon = Reference::start_with(&conf, &[("SASL_CONF_PATH", sasl.path())])?;
    Ok((sasl, daemon))
}

fn session(shell: &Path, home: &Scratch, uri: &str, line: &str) -> Outcome {
    run(virsh(shell, uri, home.path()).arg(line), LIMIT)
}

/// What a stranger sees of a daemon over TCP that asks for nothing.
fn over_tcp(shell: &Path, port: u16) -> Vec<Outcome> {
    let home = Scratch::new("tcp");
    let uri = |port: u16, more: &str| format!("test+tcp://127.0.0.1:{port}/default{more}");
    let plain = uri(port, "");
    let told = |outcome: Outcome| Outcome {
        stdout: outcome.stdout.replace(&port.to_string(), "PORT"),
        stderr: outcome.stderr.replace(&port.to_string(), "PORT"),
        ..outcome
    };
    let lines = ["list; uri; domid test", "destroy test; list --all; start test", "dumpxml test"];
    let mut seen: Vec<Outcome> =
        lines.iter().map(|line| told(session(shell, &home, &plain, line))).collect();
    for more in ["?auth=none", "?auth=sasl", "?auth=polkit", "?auth=foo"] {
        seen.push(told(session(shell, &home, &uri(port, more), "domid test")));
    }
    seen.push(told(run(virsh(shell, &plain, home.path()).args(["-r", "destroy test"]), LIMIT)));
    seen
}

#[test]
fn nobody_sees_a_difference_over_tcp() {
    let theirs = or_skip!(reference_program("virsh"));
    let (port, reference_port) = (free_port(), free_port());
    let reference_conf = conf(reference_port, "none", "none");
    let _reference = or_skip!(Reference::start_with(&reference_conf, &[]));
    let _virtd = virtd(port, "none", "none", "");
    let expected = over_tcp(&theirs, reference_port);
    assert!(expected[0].stdout.contains("running"), "{:?}", expected[0]);
    assert_eq!(over_tcp(&theirs, port), expected, "their shell, our daemon");
    assert_eq!(over_tcp(&our_program("virsh"), reference_port), expected, "ours, their daemon");
    assert_eq!(over_tcp(&our_program("virsh"), port), expected, "ours with ours");
}

/// Who gets in by SASL on a daemon's own socket.
fn by_sasl(shell: &Path, daemon: &dyn Daemon) -> Vec<Outcome> {
    let home = Scratch::new("sasl-client");
    let good = credentials(&home, "good", "secret");
    let bad = credentials(&home, "bad", "wrong");
    let uri = daemon.uri("test", "default");
    let with = |more: &str| session(shell, &home, &format!("{uri}&{more}"), "list");
    let typed = run_with_input(
        virsh(shell, &format!("{uri}&authfile={good}&auth=sasl.SCRAM-SHA-256"), home.path())
            .args(["-q", "list"]),
        "",
        LIMIT,
    );
    vec![
        with(&format!("authfile={good}")),
        with(&format!("authfile={bad}")),
        with(&format!("authfile={good}&auth=none")),
        with(&format!("authfile={good}&auth=sasl.GSSAPI")),
        typed,
    ]
}

#[test]
fn the_right_password_lets_in_by_sasl() {
    let theirs = or_skip!(reference_program("virsh"));
    let (_users, reference) = or_skip!(reference(free_port(), "sasl", "sasl"));
    let virtd = virtd(free_port(), "sasl", "sasl", "");
    let expected = by_sasl(&theirs, &reference);
    let codes: Vec<Option<i32>> = expected.iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, [0, 1, 1, 1, 0].map(Some), "{expected:?}");
    assert_eq!(by_sasl(&theirs, &virtd), expected, "their shell, our daemon");
    assert_eq!(by_sasl(&our_program("virsh"), &reference), expected, "ours, their daemon");
    assert_eq!(by_sasl(&our_program("virsh"), &virtd), expected, "ours with ours");
}

#[test]
fn a_password_is_not_enough_for_whom_the_list_leaves_out() {
    let port = free_port();
    let list = "sasl_allowed_username_list = [\"joe\", \"*@EXAMPLE.COM\"]\n";
    let virtd = virtd(port, "sasl", "none", list);
    let home = Scratch::new("sasl-client");
    let good = credentials(&home, "good", "secret");
    let shell = our_program("virsh");
    let uri = format!("test+tcp://127.0.0.1:{port}/default?authfile={good}");
    let outcome = session(&shell, &home, &uri, "list");
    assert!(
        outcome.stderr.ends_with("authentication failed: authentication failed\n"),
        "{outcome:?}"
    );
    assert!(virtd.log().contains("SASL client 'fred' not allowed"), "{}", virtd.log());
    // Its own socket asks for nothing and serves on.
    session(&shell, &home, &virtd.uri("test", "default"), "list").ok();
}

#[test]
fn by_scram_a_password_proves_itself_over_tcp_too() {
    let port = free_port();
    let _virtd = virtd(port, "sasl", "none", "");
    let home = Scratch::new("sasl-client");
    let shell = our_program("virsh");
    for (password, code) in [("secret", 0), ("wrong", 1)] {
        let file = credentials(&home, password, password);
        let uri = format!("test+tcp://127.0.0.1:{port}/default?authfile={file}");
        let outcome = session(&shell, &home, &uri, "list");
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
    }
}

#[test]
fn a_person_is_asked_for_name_and_password() {
    let theirs = or_skip!(reference_program("virsh"));
    let (_users, reference) = or_skip!(reference(free_port(), "none", "sasl"));
    let virtd = virtd(free_port(), "none", "sasl", "");
    let daemons: [&dyn Daemon; 2] = [&reference, &virtd];
    for shell in [&theirs, &our_program("virsh")] {
        for daemon in daemons {
            for (password, code) in [("secret", 0), ("wrong", 1)] {
                let home = Scratch::new("person");
                let mut command = virsh(shell, &daemon.uri("test", "default"), home.path());
                let mut terminal = Terminal::start(command.arg("list")).expect("a terminal");
                let who = format!("{} {}", shell.display(), daemon.socket().display());
                terminal.wait_for("authentication name", LIMIT).expect(&who);
                terminal.send("fred\r").expect("it reads");
                let said = terminal.wait_for("password", LIMIT).expect(&who);
                assert!(!said.contains("secret"), "{said}");
                terminal.send(&format!("{password}\r")).expect("it reads");
                assert_eq!(terminal.end(LIMIT), Some(code), "{who} {password}");
            }
        }
    }
}
