//! libvirt's virt-admin on both daemons: what it shows of the same visitors is the same.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use test_support::{
    Daemon, Outcome, Reference, Scratch, Virtd, debian_program, free_port, or_skip, our_program,
    reference_program, run, run_with_input, wait_until,
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
        " Id   Name\n----------------\n 0    admin\n 1    libvirtd\n\n"
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

/// What everybody is asked, in this order: what a line changes is seen by the next ones.
const LINES: &[&str] = &[
    "version",
    "srv-threadpool-set libvirtd",
    "srv-threadpool-set libvirtd --min-workers 30",
    "srv-threadpool-set libvirtd --min-workers 9 --max-workers 8",
    "srv-threadpool-set libvirtd --min-workers 0 --max-workers 0",
    "srv-threadpool-set libvirtd --max-workers x",
    "srv-threadpool-set libvirtd 6 7 2",
    "srv-threadpool-info libvirtd",
    "srv-threadpool-set nosuch --max-workers 9",
    "srv-threadpool-info",
    "srv-clients-info libvirtd",
    "srv-clients-info admin",
    "srv-clients-set libvirtd",
    "srv-clients-set libvirtd --max-clients 5",
    "srv-clients-set libvirtd --max-clients 100 --max-unauth-clients 200",
    "srv-clients-set libvirtd --max-clients 100 --max-unauth-clients 10; srv-clients-info libvirtd",
    "client-list libvirtd",
    "client-list nosuch",
    "client-info admin 999",
    "client-info admin x",
    "client-disconnect admin 999",
    "daemon-log-filters",
    "daemon-log-filters '1:qemu 1:*x* 3:+rpc'; daemon-log-filters",
    "daemon-log-filters 9:x",
    "daemon-log-filters x",
    "daemon-log-filters ''; daemon-log-filters",
    "daemon-log-outputs",
    "daemon-log-outputs '3:syslog:foo 1:file:/dev/null 4:stderr'; daemon-log-outputs",
    "daemon-log-outputs bad",
    "daemon-log-outputs 1:bad:x",
    "daemon-log-outputs ''; daemon-log-outputs",
    "daemon-timeout",
    "daemon-timeout -5",
    "daemon-timeout 500; daemon-timeout 0",
    "server-update-tls libvirtd",
    "server-update-tls nosuch",
    "uri; connect; uri",
    "connect bogus:///x; uri",
    "echo --shell a 'b c'; pwd; cd /nosuch",
    "nosuch",
    "srv-list --bogus",
    "help nosuch",
    // As it was: the next one sees the same daemon.
    "srv-threadpool-set libvirtd 5 20 5; srv-clients-set libvirtd 5000 20",
];

/// Both programs, run by whoever may administer the daemon.
fn answers(program: &Path, home: &Path, socket: &Path, setpriv: &[&str]) -> Vec<Outcome> {
    let uri = format!("libvirtd+unix:///session?socket={}", socket.display());
    let shown = |text: String| -> String {
        // How many threads there are, and whether idle ones, is each daemon's own affair.
        let lines = text.lines().filter(|line| !line.starts_with("nWorkers"));
        let lines = lines.filter(|line| !line.starts_with("freeWorkers"));
        lines.map(|line| format!("{}\n", line.replace(&uri, "URI"))).collect()
    };
    let command = || {
        let mut command = match setpriv {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        command.env("HOME", home).env_remove("XDG_CACHE_HOME").env_remove("XDG_CONFIG_HOME");
        command
    };
    let tell = |outcome: Outcome| Outcome {
        stdout: shown(outcome.stdout),
        stderr: shown(outcome.stderr),
        ..outcome
    };
    let mut seen: Vec<Outcome> =
        LINES.iter().map(|line| tell(run(command().args(["-c", &uri, line]), LIMIT))).collect();
    for uri in ["bogus:///system", "libvirtd:///x", "virtqemud:///system?a=b", "::", "/system"] {
        seen.push(tell(run(command().args(["-c", uri, "uri"]), LIMIT)));
    }
    let input = "uri\nconnect nosuch:///x\nquit\n";
    seen.push(tell(run_with_input(command().args(["-c", &uri]), input, LIMIT)));
    seen
}

#[test]
fn our_virt_admin_says_what_theirs_says_to_both_daemons() {
    let theirs = or_skip!(reference_program("virt-admin"));
    let reference = or_skip!(Reference::start());
    let virtd = Virtd::start();
    // Who runs the reference, and nobody else, may administer it.
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let root = rustix::process::geteuid().is_root();
    let setpriv: &[&str] = if root { &nobody } else { &[] };
    let folder = Scratch::new("programs");
    folder.set_mode(0o777);
    let ours: PathBuf = folder.join("virt-admin");
    std::fs::copy(our_program("virt-admin"), &ours).expect("ours");
    let socket = |daemon: &dyn Daemon| daemon.socket().with_file_name("libvirt-admin-sock");
    let expected = answers(&theirs, folder.path(), &socket(&reference), setpriv);
    assert!(expected[0].stdout.contains("Running against daemon: 11.3.0"), "{:?}", expected[0]);
    for (program, daemon, setpriv, who) in [
        (&ours, &reference as &dyn Daemon, setpriv, "ours, their daemon"),
        (&theirs, &virtd, &[], "theirs, our daemon"),
        (&ours, &virtd, &[], "ours, our daemon"),
    ] {
        let seen = answers(program, folder.path(), &socket(daemon), setpriv);
        let different: Vec<_> = seen.iter().zip(&expected).filter(|(a, b)| a != b).collect();
        assert!(different.is_empty(), "{who}: {different:#?}");
    }
}

#[test]
fn workers_logs_and_the_timeout_change_while_the_daemon_runs() {
    let program = our_program("virt-admin");
    let mut virtd = Virtd::start();
    let log = virtd.base().join("new.log");
    let ask = |virtd: &Virtd, line: &str| administer(&program, virtd, line);
    let number = |virtd: &Virtd, name: &str| -> usize {
        let shown = ask(virtd, "srv-threadpool-info libvirtd").ok();
        let line = shown.lines().find(|line| line.starts_with(name)).expect("a line");
        line.rsplit(' ').next().expect("a number").parse().expect("a number")
    };
    ask(&virtd, "srv-threadpool-set libvirtd --min-workers 9 --max-workers 9").ok();
    assert_eq!(number(&virtd, "nWorkers"), 9);
    ask(&virtd, "srv-threadpool-set libvirtd --min-workers 1 --max-workers 2").ok();
    assert!(wait_until(LIMIT, || number(&virtd, "nWorkers") <= 2));
    ask(&virtd, &format!("daemon-log-outputs 1:file:{}", log.display())).ok();
    ask(&virtd, "daemon-log-filters 1:rpc.server").ok();
    ask(&virtd, "srv-list").ok();
    let told = || std::fs::read_to_string(&log).unwrap_or_default();
    assert!(wait_until(LIMIT, || told().contains("a client came")), "{}", told());
    ask(&virtd, "daemon-log-filters 4:rpc.server").ok();
    // The next visitor is the first of whom nothing is told.
    let so_far = told().len();
    ask(&virtd, "srv-list").ok();
    assert_eq!(told().len(), so_far);
    ask(&virtd, "daemon-timeout 1").ok();
    assert!(wait_until(LIMIT, || virtd.has_ended()), "it stays");
    assert_eq!(virtd.stop(), Some(0));
    virtd.restart();
    let shutdown = ask(&virtd, "daemon-shutdown --preserve");
    assert!(shutdown.code == Some(0) || shutdown.stderr.contains("Disconnected"), "{shutdown:?}");
    assert!(wait_until(LIMIT, || virtd.has_ended()), "it stays");
    assert_eq!(virtd.stop(), Some(0));
}
