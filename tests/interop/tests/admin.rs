//! libvirt's virt-admin on both daemons: what it shows of the same visitors is the same.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use test_support::{
    Daemon, Outcome, Scratch, Virtd, debian_program, free_port, or_skip, our_program, run,
    wait_until,
};

const LIMIT: Duration = Duration::from_secs(30);

fn administer(program: &Path, virtd: &Virtd, line: &str) -> Outcome {
    let socket = virtd.socket().with_file_name("libvirt-admin-sock");
    let uri = format!("libvirtd+unix:///system?socket={}", socket.display());
    run(Command::new(program).args(["-c", &uri, line]), LIMIT)
}

#[test]
fn virt_admin_sees_and_sends_away_clients_and_sets_limits() {
    let program = or_skip!(debian_program("virt-admin"));
    let port = free_port();
    let virtd = Virtd::start_listening(|_| {
        format!(
            "listen_tls = 0\nlisten_tcp = 1\nauth_tcp = \"none\"\nlisten_addr = \"127.0.0.1\"\n\
             tcp_port = \"{port}\"\n"
        )
    });
    let ask = |line: &str| administer(&program, &virtd, line);
    assert_eq!(
        ask("server-list").ok(),
        " Id   Name\n----------------\n 0    libvirtd\n 1    admin\n\n"
    );
    let home = Scratch::new("visitor");
    let mut visitor = Command::new(our_program("virsh"))
        .args(["-r", "-c", &format!("test+tcp://127.0.0.1:{port}/default")])
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("virsh");
    assert!(wait_until(LIMIT, || ask("client-list libvirtd").stdout.contains(" tcp ")));
    let listed = ask("client-list libvirtd").ok();
    let line = listed.lines().find(|line| line.contains(" tcp ")).expect("a visitor");
    let id = line.split_whitespace().next().expect("its number");
    let info = ask(&format!("client-info libvirtd {id}")).ok();
    for line in ["transport      : tcp\n", "readonly       : yes\n", "sock_addr      : 127.0.0.1:"]
    {
        assert!(info.contains(line), "{info}");
    }
    let gone = ask(&format!("client-disconnect libvirtd {id}")).ok();
    assert!(gone.starts_with(&format!("Client '{id}' disconnected\n")), "{gone}");
    assert!(wait_until(LIMIT, || !ask("client-list libvirtd").stdout.contains(" tcp ")));
    drop(visitor.kill());
    drop(visitor.wait());
    ask("server-clients-set libvirtd --max-clients 100 --max-unauth-clients 10").ok();
    let limits = ask("server-clients-info libvirtd").ok();
    assert!(limits.contains("nclients_max        : 100\n"), "{limits}");
    for (line, refusal) in [
        ("client-info libvirtd 99", "Client not found: No client with matching ID '99'"),
        ("client-list nosuch", "Server not found: No server named 'nosuch'"),
        ("server-clients-set libvirtd --max-clients 5", "must not be less than"),
        ("server-update-tls libvirtd", "no tls service found, unable to update tls files"),
        ("daemon-log-filters 9:x", "Invalid priority '9' for filter '9:x'"),
    ] {
        let outcome = ask(line);
        assert!(outcome.code == Some(1) && outcome.stderr.contains(refusal), "{line}: {outcome:?}");
    }
    ask("daemon-log-filters 1:rpc").ok();
    assert!(ask("server-threadpool-info libvirtd").ok().contains("maxWorkers     : 20\n"));
    // The others' socket serves no administration.
    let uri = format!("libvirtd+unix:///system?socket={}", virtd.socket().display());
    let outcome = run(Command::new(&program).args(["-c", &uri, "server-list"]), LIMIT);
    assert!(outcome.stderr.contains("Cannot find program"), "{outcome:?}");
}
