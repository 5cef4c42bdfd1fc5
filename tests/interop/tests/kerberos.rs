//! Both shells and both daemons over plain TCP, by tickets of a realm of our own: who gets in, as
//! whom, and what others hear of it.
//!
//! Our programs are those that were built with `--features gssapi`, as `cargo xtask test --long` does.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use interop::{Own, Realm};
use test_support::{
    Daemon, Outcome, Reference, Scratch, Virtd, free_port, gssapi_program, or_skip,
    reference_program, run, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);
const SECRET: &str = "the words that nobody else is to hear";

fn conf(port: u16, more: &str) -> String {
    format!(
        "listen_tls = 0\nlisten_tcp = 1\nauth_tcp = \"sasl\"\ntcp_port = \"{port}\"\n\
         listen_addr = \"127.0.0.1\"\nauth_unix_rw = \"none\"\n{more}\n"
    )
}

fn virtd(realm: &Realm, port: u16, more: &str) -> Result<Virtd, String> {
    let program = gssapi_program("virtd")?;
    let variables = [
        ("KRB5_CONFIG", realm.config().into_os_string()),
        ("KRB5_KTNAME", realm.keys().into_os_string()),
    ];
    Ok(Virtd::start_other(program, &variables, |_| conf(port, more)))
}

fn reference(realm: &Realm, port: u16, more: &str) -> Result<Reference, String> {
    let (config, keys) = (realm.config(), realm.keys());
    let variables = [
        ("SASL_CONF_PATH", realm.reference_folder()),
        ("KRB5_CONFIG", config.as_path()),
        ("KRB5_KTNAME", keys.as_path()),
    ];
    Reference::start_with(&conf(port, more), &variables)
}

/// A shell of somebody with tickets, or with none.
struct Visitor<'a> {
    shell: PathBuf,
    realm: &'a Realm,
    tickets: PathBuf,
    home: &'a Scratch,
}

impl Visitor<'_> {
    fn command(&self, port: u16, more: &str) -> Command {
        let uri = format!("test+tcp://localhost:{port}/default{more}");
        let mut command = virsh(&self.shell, &uri, self.home.path());
        command.env("KRB5_CONFIG", self.realm.config()).env("KRB5CCNAME", &self.tickets);
        command
    }

    fn run(&self, port: u16, line: &str) -> Outcome {
        run(self.command(port, "").arg(line), LIMIT)
    }
}

/// The names by which a daemon knows its clients, by its administrators' shell.
fn known_as(daemon: &dyn Daemon, admin: &Path) -> Vec<String> {
    let socket = daemon.socket().with_file_name("libvirt-admin-sock");
    let uri = format!("libvirtd+unix:///session?socket={}", socket.display());
    // It is asked by its own user.
    let owner = std::fs::metadata(&socket).map_or(0, |meta| meta.uid()).to_string();
    let ask = |line: &str| {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &owner, "--clear-groups"]).arg(admin);
            command
        } else {
            Command::new(admin)
        };
        run(command.args(["-c", &uri, line]).current_dir("/"), LIMIT).stdout
    };
    let listed = ask("client-list libvirtd");
    let ids = listed.lines().filter_map(|line| line.split_whitespace().next());
    let ids = ids.filter(|id| id.parse::<u64>().is_ok());
    let told: Vec<String> = ids.map(|id| ask(&format!("client-info libvirtd {id}"))).collect();
    let names = told.iter().flat_map(|told| told.lines());
    let names = names.filter_map(|line| line.split_once(':'));
    let names = names.filter(|(field, _)| field.trim() == "sasl_user_name");
    names.map(|(_, name)| name.trim().to_owned()).collect()
}

#[test]
fn a_ticket_lets_in_over_plain_tcp_whoever_speaks_with_whom() {
    let ours = or_skip!(gssapi_program("virsh"));
    let theirs = or_skip!(reference_program("virsh"));
    let admin = or_skip!(reference_program("virt-admin"));
    let realm = or_skip!(Realm::start());
    let (port, reference_port) = (free_port(), free_port());
    let virtd = or_skip!(virtd(&realm, port, "tcp_min_ssf = 112"));
    let reference = or_skip!(reference(&realm, reference_port, ""));
    let home = Scratch::new("kerberos");
    let fred = realm.ticket("fred").expect("a ticket");
    // Long enough for several pieces each way.
    let long = SECRET.repeat(8000);
    let document = home.write(
        "long.xml",
        format!(
            "<domain type='test'><name>long</name><description>{long}</description>\
             <memory>65536</memory><os><type>hvm</type></os></domain>"
        ),
    );
    let line = format!("define {}; dumpxml long; undefine long; list --name", document.display());
    let daemons: [(&dyn Daemon, u16); 2] = [(&virtd, port), (&reference, reference_port)];
    let mut names = Vec::new();
    let mut refusals = Vec::new();
    for (daemon, port) in daemons {
        for shell in [&theirs, &ours] {
            let who = format!("{} at {}", shell.display(), daemon.socket().display());
            let visitor = |tickets: PathBuf| Visitor {
                shell: shell.clone(),
                realm: &realm,
                tickets,
                home: &home,
            };
            let outcome = visitor(fred.clone()).run(port, &line);
            assert_eq!(outcome.code, Some(0), "{who}: {} {}", outcome.stderr, virtd.log());
            assert!(outcome.stdout.contains(&long) && outcome.stdout.contains("test\n"), "{who}");
            let mut command = visitor(fred.clone()).command(port, "?auth=sasl.GSSAPI");
            let stays = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
            let _stays = Own(stays.expect("virsh"));
            let is_known = || !known_as(daemon, &admin).is_empty();
            assert!(wait_until(LIMIT, is_known), "{who}");
            names.push(known_as(daemon, &admin));
            // Somebody without a ticket.
            refusals.push((shell, visitor(home.join("none")).run(port, "list")));
        }
    }
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    assert!(names[0][0].starts_with("fred"), "{names:?}");
    for (shell, refusal) in refusals {
        assert_eq!(refusal.code, Some(1), "{}", shell.display());
        let told = "authentication failed: Failed to start SASL negotiation";
        assert!(refusal.stderr.contains(told), "{} {refusal:?}", shell.display());
    }
}

#[test]
fn a_ticket_is_not_enough_for_whom_the_list_leaves_out() {
    let ours = or_skip!(gssapi_program("virsh"));
    let theirs = or_skip!(reference_program("virsh"));
    let realm = or_skip!(Realm::start());
    let (port, reference_port) = (free_port(), free_port());
    let list = "sasl_allowed_username_list = [\"fred\", \"fred@FERROVIRT.TEST\"]";
    let virtd = or_skip!(virtd(&realm, port, list));
    let _reference = or_skip!(reference(&realm, reference_port, list));
    let home = Scratch::new("kerberos");
    for (user, code) in [("fred", 0), ("eve", 1)] {
        let tickets = realm.ticket(user).expect("a ticket");
        for shell in [&theirs, &ours] {
            let visitor = Visitor {
                shell: shell.clone(),
                realm: &realm,
                tickets: tickets.clone(),
                home: &home,
            };
            for port in [port, reference_port] {
                let outcome = visitor.run(port, "list");
                assert_eq!(outcome.code, Some(code), "{} {user} {outcome:?}", shell.display());
                let refused = outcome.stderr.contains("authentication failed");
                assert_eq!(refused, code == 1, "{outcome:?}");
            }
        }
    }
    assert!(virtd.log().contains("'eve' not allowed"), "{}", virtd.log());
}

/// Somebody between client and daemon, who hears all and may meddle with what the client says.
struct Between {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

/// What a meddler makes of the client's words: the number of the read, and the bytes.
type Meddle = fn(usize, &mut Vec<u8>);

impl Between {
    fn start(daemon: u16, meddle: Meddle) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&heard);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let daemon = TcpStream::connect(("127.0.0.1", daemon)).expect("the daemon");
                let ends = (client.try_clone().expect("fd"), daemon.try_clone().expect("fd"));
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || carry(client, daemon, &up, meddle));
                std::thread::spawn(move || carry(ends.1, ends.0, &down, |_, _| {}));
            }
        });
        Self { port, heard }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<Vec<u8>>, meddle: Meddle) {
    let mut piece = vec![0; 1 << 16];
    for number in 0.. {
        let count = from.read(&mut piece).unwrap_or(0);
        let mut bytes = piece.get(..count).unwrap_or_default().to_vec();
        heard.lock().expect("no panic").extend_from_slice(&bytes);
        if count > 0 {
            meddle(number, &mut bytes);
        }
        if count == 0 || to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// A call that a stranger would like to be taken for the client's: it opens the connection.
const INJECTED: &[u8] = &[
    0, 0, 0, 48, 0x20, 0, 0x80, 0x86, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x77, 0x77, 0, 0,
    0, 0, 0, 0, 0, 1, 0, 0, 0, 5, b't', b'e', b's', b't', b':', 0, 0, 0, 0, 0, 0, 0,
];

#[test]
fn nobody_between_hears_or_changes_what_is_said() {
    let ours = or_skip!(gssapi_program("virsh"));
    let realm = or_skip!(Realm::start());
    let port = free_port();
    let virtd = or_skip!(virtd(&realm, port, ""));
    let home = Scratch::new("kerberos");
    let fred = realm.ticket("fred").expect("a ticket");
    let visitor = Visitor { shell: ours, realm: &realm, tickets: fred, home: &home };
    let line = format!("desc test --title {}; desc test --title", SECRET.replace(' ', "-"));
    let hears = |text: &str, heard: &Mutex<Vec<u8>>| {
        let heard = heard.lock().expect("no panic");
        heard.windows(text.len()).any(|part| part == text.as_bytes())
    };
    let listener = Between::start(port, |_, _| {});
    let outcome = visitor.run(listener.port, &line);
    assert!(outcome.stdout.contains(&SECRET.replace(' ', "-")), "{outcome:?}");
    assert!(hears("GSSAPI", &listener.heard) && !hears("nobody-else", &listener.heard));
    // Each word of the client's in turn is changed, and in turn followed by one of a stranger's.
    let meddlers: [Meddle; 2] = [
        |number, bytes| {
            if number == TURN.load(std::sync::atomic::Ordering::SeqCst)
                && let Some(last) = bytes.last_mut()
            {
                *last ^= 1;
            }
        },
        |number, bytes| {
            if number == TURN.load(std::sync::atomic::Ordering::SeqCst) {
                bytes.extend_from_slice(INJECTED);
            }
        },
    ];
    for (meddle, harmless) in meddlers.into_iter().zip([0, LAST_WORD]) {
        let between = Between::start(port, meddle);
        for turn in 0..8 {
            TURN.store(turn, std::sync::atomic::Ordering::SeqCst);
            let outcome = visitor.run(between.port, "domid test");
            // What a stranger says before the client's last word of the exchange is just refused.
            let code = if turn < harmless { 0 } else { 1 };
            assert_eq!(outcome.code, Some(code), "{turn} {outcome:?} {}", virtd.log());
        }
    }
    assert!(!virtd.log().contains("panicked"), "{}", virtd.log());
    assert_eq!(visitor.run(port, "domid test").code, Some(0));
}

/// The last of the exchange: what is asked, which mechanisms, its start, and two steps.
const LAST_WORD: usize = 4;

/// Which of the client's words is meddled with.
static TURN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
