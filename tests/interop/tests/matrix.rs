//! Every transport, client and daemon with each other: what each can do, and whom each refuses.
//!
//! A table is printed, a row for each of the three; the test fails when a place of it does. Large
//! streams are of 100 MiB in the long form, else of one. Plain TCP, and a program that carries the
//! bytes to it, ask nobody here: libvirt takes no password there unless the mechanism encrypts, which
//! tickets alone do (see `kerberos.rs`).
#![allow(clippy::print_stdout)] // what was measured is there to be read

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use interop::{Pki, Sshd, credentials, password_line, reference_users, script};
use test_support::{
    Daemon, Outcome, Reference, Scratch, Terminal, Virtd, debian_program, free_port, guests_path,
    long_run, or_skip, our_program, reference_program, run, system_python, tiny_domain,
    tiny_guest_in, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);
const LARGE_LIMIT: Duration = Duration::from_secs(600);
const TRANSPORTS: [&str; 5] = ["unix", "tcp", "tls", "ssh", "ext"];
/// Ctrl-], with which a person leaves a console.
const LEAVE: &str = "\u{1d}";
const READ_ONLY: &str = "read only access prevents";

const OUR_SHELL: &str = "our virsh";
const LIBVIRTS_DAEMON: &str = "libvirtd";

/// A program that visits a daemon.
struct Client {
    name: &'static str,
    program: PathBuf,
    is_python: bool,
}

/// A daemon, the ways to it, and what there is in it.
struct Host {
    name: &'static str,
    socket: PathBuf,
    tcp: u16,
    tls: u16,
    ext: PathBuf,
    /// Where guests are, and the guest's name.
    guests: String,
    guest: String,
    /// Where volumes are: a driver and path, more for the URI, and the pool.
    volumes: (&'static str, String, &'static str, String),
}

/// What all visits share.
struct World {
    pki: Pki,
    sshd: Sshd,
    home: Scratch,
    python: PathBuf,
    large: PathBuf,
    bytes: u64,
}

/// A way to a daemon: its transport, and what is shown there.
#[derive(Clone, Copy)]
struct Way<'a> {
    transport: &'a str,
    /// The file with name and password.
    password: &'a str,
    /// Whose certificate is shown.
    who: &'a str,
}

impl World {
    fn uri(&self, host: &Host, way: Way<'_>, driver: &str, path: &str, more: &str) -> String {
        let socket = host.socket.display();
        let auth = self.home.join(way.password);
        let auth = format!("authfile={}", auth.display());
        match way.transport {
            "unix" => format!("{driver}+unix:///{path}?socket={socket}&{auth}{more}"),
            "tcp" => format!("{driver}+tcp://127.0.0.1:{}/{path}?{auth}{more}", host.tcp),
            "tls" => {
                let folder = self.pki.path(&format!("{}.d", way.who));
                format!("{driver}://localhost:{}/{path}?pkipath={folder}{more}", host.tls)
            }
            "ssh" => {
                let more = format!("&proxy=netcat&socket={socket}&{auth}{more}");
                let uri = self.sshd.uri(driver, &more);
                let usual = if driver == "test" { "default" } else { guests_path() };
                uri.replacen(&format!("/{usual}?"), &format!("/{path}?"), 1)
            }
            _ => format!(
                "{driver}+ext://localhost/{path}?command={}&{auth}{more}",
                host.ext.display()
            ),
        }
    }

    fn command(&self, client: &Client, uri: &str, words: &[&str]) -> Command {
        if !client.is_python {
            let mut command = virsh(&client.program, uri, self.home.path());
            command.args(words);
            return command;
        }
        let mut command = Command::new(&self.python);
        command.arg(&client.program).arg(uri).args(words).current_dir("/");
        command.env("HOME", self.home.path()).env("LC_ALL", "C");
        command
    }

    /// Does one thing by a shell's words or by Python's.
    fn visit(&self, client: &Client, uri: &str, shell: &[&str], python: &[&str]) -> Outcome {
        let words = if client.is_python { python } else { shell };
        run(&mut self.command(client, uri, words), LARGE_LIMIT)
    }

    fn lists(&self, client: &Client, uri: &str) -> Result<(), String> {
        let outcome = self.visit(client, uri, &["list", "--all", "--name"], &["list"]);
        expect(outcome.stdout.trim() == "test" && outcome.code == Some(0), &outcome)
    }

    fn defines(&self, client: &Client, uri: &str) -> Result<(), String> {
        let file = self.home.join("new.xml").display().to_string();
        let line = format!("define {file}; dominfo new; undefine new");
        let outcome = self.visit(client, uri, &[&line], &["define", &file, "new"]);
        let told = ["Persistent:     yes", "defined new 1"];
        expect(told.iter().any(|told| outcome.stdout.contains(told)), &outcome)
    }

    /// An event that another client causes, on the daemon's own socket.
    fn hears(&self, host: &Host, client: &Client, uri: &str) -> Result<(), String> {
        let shell = ["event", "test", "lifecycle", "--timeout", "60"];
        let words: &[&str] = if client.is_python { &["event", "test"] } else { &shell };
        let mut listener = self
            .command(client, uri, words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let way = Way { transport: "unix", password: "good", who: "" };
        let local = self.uri(host, way, "test", "default", "");
        let ours = our_program("virsh");
        let ended = wait_until(LIMIT, || {
            run(virsh(&ours, &local, self.home.path()).arg("suspend test; resume test"), LIMIT);
            listener.try_wait().is_ok_and(|status| status.is_some())
        });
        drop(listener.kill());
        let mut told = String::new();
        if let Some(mut stdout) = listener.stdout.take() {
            drop(stdout.read_to_string(&mut told));
        }
        drop(listener.wait());
        if ended && told.contains("event 'lifecycle'") { Ok(()) } else { Err(told) }
    }

    fn talks(&self, client: &Client, uri: &str, guest: &str) -> Result<(), String> {
        if client.is_python {
            let outcome = self.visit(client, uri, &[], &["console", guest]);
            return expect(outcome.stdout == "pong\n", &outcome);
        }
        let mut command = self.command(client, uri, &["console", guest, "--force"]);
        let mut terminal = Terminal::start(&mut command).map_err(|error| error.to_string())?;
        terminal.wait_for("^]", LIMIT)?;
        // What is typed before the guest has set up its port is lost: ask again.
        let answered = (0..30).any(|_| {
            let asked = terminal.send("\rping\r").is_ok();
            asked && terminal.wait_for("pong", Duration::from_secs(1)).is_ok()
        });
        terminal.send(LEAVE).map_err(|error| error.to_string())?;
        let code = terminal.end(LIMIT);
        if answered && code == Some(0) { Ok(()) } else { Err(format!("silence, {code:?}")) }
    }

    fn carries(&self, host: &Host, client: &Client, uri: &str) -> Result<(), String> {
        let pool = host.volumes.3.as_str();
        let up = self.large.display().to_string();
        let down = self.home.join("down");
        drop(std::fs::remove_file(&down));
        let there = down.display().to_string();
        let shell = ["vol-upload", "--pool", pool, "large", &up];
        let outcome = self.visit(client, uri, &shell, &["upload", pool, "large", &up]);
        expect(outcome.code == Some(0), &outcome)?;
        let shell = ["vol-download", "--pool", pool, "large", &there];
        let outcome = self.visit(client, uri, &shell, &["download", pool, "large", &there]);
        expect(outcome.code == Some(0), &outcome)?;
        same(&self.large, &down)
    }

    fn refused(&self, client: &Client, uri: &str, words: &str) -> Result<(), String> {
        let outcome = self.visit(client, uri, &["list"], &["list"]);
        expect(outcome.code == Some(1) && outcome.stderr.contains(words), &outcome)
    }

    fn forbidden(&self, client: &Client, uri: &str) -> Result<(), String> {
        let outcome = self.visit(client, uri, &["-r", "destroy test"], &["forbidden", "test"]);
        expect(outcome.code == Some(1) && outcome.stderr.contains(READ_ONLY), &outcome)
    }

    /// One row of the table: a name and an outcome for each thing that is tried.
    fn row(
        &self,
        host: &Host,
        client: &Client,
        transport: &str,
    ) -> Vec<(&'static str, Result<(), String>)> {
        let good = Way { transport, password: "good", who: "fred" };
        let uri = self.uri(host, good, "test", "default", "");
        let guests = self.uri(host, good, "qemu", &host.guests, "");
        let (driver, path, more, _) = &host.volumes;
        let volumes = self.uri(host, good, driver, path, more);
        // libvirt's own clients sometimes stay mute or deaf at libvirt's own daemon. Nothing of
        // ours is in it, so that they may try again; where one side is ours nobody may. But events:
        // its daemon now and then tells a listener of none, whoever listens; ours was never seen to.
        let is_theirs = host.name == LIBVIRTS_DAEMON;
        let is_all_theirs = client.name != OUR_SHELL && is_theirs;
        let retried = |may: bool, what: &dyn Fn() -> Result<(), String>| {
            what().or_else(|why| if may { what() } else { Err(why) })
        };
        let attempt = |what: &dyn Fn() -> Result<(), String>| retried(is_all_theirs, what);

        let mut row = vec![
            ("list", attempt(&|| self.lists(client, &uri))),
            ("define", attempt(&|| self.defines(client, &uri))),
            ("event", retried(is_theirs, &|| self.hears(host, client, &uri))),
            ("console", attempt(&|| self.talks(client, &guests, &host.guest))),
            ("streams", attempt(&|| self.carries(host, client, &volumes))),
            ("read-only", attempt(&|| self.forbidden(client, &uri))),
        ];
        let as_other = |who| self.uri(host, Way { who, ..good }, "test", "default", "&no_sanity=1");
        let wrong = self.uri(host, Way { password: "bad", ..good }, "test", "default", "");
        match transport {
            "tls" => {
                const UNREAD: &str = "Unable to read TLS confirmation";
                row.push(("no certificate", self.refused(client, &as_other("nobody"), UNREAD)));
                row.push(("wrong certificate", self.refused(client, &as_other("eve"), UNREAD)));
                row.push(("expired", self.refused(client, &as_other("late"), UNREAD)));
                let unlisted = "server verification (of our certificate or IP address) failed";
                let told = self.refused(client, &as_other("joe"), UNREAD);
                let told = told.or_else(|_| self.refused(client, &as_other("joe"), unlisted));
                row.push(("name not listed", told));
            }
            "tcp" | "ext" => {}
            _ => {
                let told = self.refused(client, &wrong, "authentication failed");
                row.push(("wrong password", told));
            }
        }
        row
    }
}

fn expect(is_so: bool, outcome: &Outcome) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(format!("{outcome:?}")) }
}

/// Whether two files hold the same.
fn same(one: &Path, other: &Path) -> Result<(), String> {
    let sum = |path: &Path| {
        let outcome = run(Command::new("sha256sum").arg(path), LIMIT);
        outcome.stdout.split_whitespace().next().map(str::to_owned)
    };
    match (sum(one), sum(other)) {
        (Some(one), Some(other)) if one == other => Ok(()),
        (one, other) => Err(format!("{one:?} is not {other:?}")),
    }
}

fn conf(pki: &Pki, tcp: u16, tls: u16) -> String {
    let more = format!(
        "listen_tcp = 1\nauth_tcp = \"none\"\ntcp_port = \"{tcp}\"\nauth_tls = \"none\"\n\
         auth_unix_rw = \"sasl\"\nauth_unix_ro = \"sasl\"\n\
         tls_allowed_dn_list = [\"C=GB,O=Ferrovirt\\\\\\\\, Inc.,CN=fred\", \"*CN=fred*\"]"
    );
    pki.conf(tls, "server", &more)
}

impl World {
    fn new() -> Result<Self, String> {
        let netcat = debian_program("nc")?;
        let home = Scratch::new("matrix");
        home.set_mode(0o755);
        for (name, password) in [("good", "secret"), ("bad", "wrong")] {
            credentials(&home, name, password);
        }
        home.write(
            "new.xml",
            "<domain type='test'><name>new</name><memory>65536</memory><vcpu>1</vcpu>\
             <os><type>hvm</type></os></domain>",
        );
        let bytes: u64 = if long_run() { 100 << 20 } else { 1 << 20 };
        let large = home.join("large");
        let noise = File::open("/dev/urandom").map_err(|error| error.to_string())?;
        let mut file = File::create(&large).map_err(|error| error.to_string())?;
        std::io::copy(&mut noise.take(bytes), &mut file).map_err(|error| error.to_string())?;
        drop(netcat);
        Ok(Self {
            pki: Pki::new()?,
            sshd: Sshd::start(Path::new("/usr/bin"))?,
            python: system_python()?,
            home,
            large,
            bytes,
        })
    }

    /// What a daemon needs before it is visited: a guest that runs, and a volume.
    fn furnish(&self, host: &Host, kernel: &Path) -> Result<(), String> {
        let way = Way { transport: "unix", password: "good", who: "" };
        let ours = our_program("virsh");
        let session = |driver: &str, path: &str, more: &str, line: &str| {
            let uri = self.uri(host, way, driver, path, more);
            let outcome = run(virsh(&ours, &uri, self.home.path()).arg(line), LIMIT);
            if outcome.code == Some(0) { Ok(()) } else { Err(format!("{line}: {outcome:?}")) }
        };
        let document = self.home.write("guest.xml", tiny_domain(&host.guest, "qemu", kernel));
        session("qemu", &host.guests, "", &format!("create {}", document.display()))?;
        let (driver, path, more, pool) = &host.volumes;
        let bytes = self.bytes;
        let make = format!("vol-create-as {pool} large {bytes} --allocation 0 --format raw");
        session(driver, path, more, &make)
    }
}

/// Keeps the default world of a daemon's test driver alive: it is gone with its last visitor.
struct Keeper(std::process::Child);

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn keep(world: &World, host: &Host) -> std::io::Result<Keeper> {
    let way = Way { transport: "unix", password: "good", who: "" };
    let uri = world.uri(host, way, "test", "default", host.volumes.2);
    let mut command = virsh(&our_program("virsh"), &uri, world.home.path());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(Keeper)
}

#[test]
fn every_client_reaches_every_daemon_by_every_transport() {
    let theirs = or_skip!(reference_program("virsh"));
    or_skip!(debian_program("qemu-system-x86_64"));
    let world = or_skip!(World::new());
    let kernel = or_skip!(tiny_guest_in(&world.home));
    let users = or_skip!(reference_users());
    let (tcp, tls) = (free_port(), free_port());
    let text = conf(&world.pki, tcp, tls);
    let reference = or_skip!(Reference::start_with(&text, &[("SASL_CONF_PATH", users.path())]));
    let (our_tcp, our_tls) = (free_port(), free_port());
    let line = password_line();
    let virtd = Virtd::start_listening(|base| {
        std::fs::create_dir_all(base.join("etc/libvirt")).expect("ours");
        std::fs::write(base.join("etc/libvirt/sasl-passwords"), &line).expect("ours");
        conf(&world.pki, our_tcp, our_tls)
    });
    let pool = world.home.join("pool");
    std::fs::create_dir(&pool).expect("ours");
    std::fs::set_permissions(&pool, std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("ours");
    let carrier =
        |name: &str, port: u16| script(&world.home, name, &format!("exec nc 127.0.0.1 {port}"));
    let hosts = [
        Host {
            name: "virtd",
            socket: virtd.socket().to_owned(),
            tcp: our_tcp,
            tls: our_tls,
            ext: carrier("to-virtd", our_tcp),
            guests: guests_path().to_owned(),
            guest: "guest-of-virtd".to_owned(),
            volumes: ("test", "default".to_owned(), "&streams=1", "default-pool".to_owned()),
        },
        Host {
            name: LIBVIRTS_DAEMON,
            socket: reference.socket().to_owned(),
            tcp,
            tls,
            ext: carrier("to-libvirtd", tcp),
            guests: "session".to_owned(),
            guest: "guest-of-libvirtd".to_owned(),
            volumes: ("qemu", "session".to_owned(), "", "pool".to_owned()),
        },
    ];
    let visitor = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/visitor.py");
    let clients = [
        Client { name: "libvirt's virsh", program: theirs, is_python: false },
        Client { name: "python3-libvirt", program: visitor, is_python: true },
        Client { name: OUR_SHELL, program: our_program("virsh"), is_python: false },
    ];
    try_all(&world, &hosts, &clients, &pool, &kernel);
}

/// Tries everything with everything, and prints what came of it.
fn try_all(world: &World, hosts: &[Host], clients: &[Client], pool: &Path, kernel: &Path) {
    let mut table = String::new();
    let mut failures = Vec::new();
    for host in hosts {
        let _keeper = keep(world, host).expect("a visitor that stays");
        if host.name == "libvirtd" {
            let way = Way { transport: "unix", password: "good", who: "" };
            let uri = world.uri(host, way, "qemu", "session", "");
            let make = format!("pool-create-as pool dir --target {}", pool.display());
            run(virsh(&our_program("virsh"), &uri, world.home.path()).arg(make), LIMIT).ok();
        }
        world.furnish(host, kernel).expect("the daemon is furnished");
        for client in clients {
            for transport in TRANSPORTS {
                let who = format!("{:<9} {:<16} {transport:<5}", host.name, client.name);
                let _ = write!(table, "\n{who}");
                for (what, outcome) in world.row(host, client, transport) {
                    let word = if outcome.is_ok() { "ok" } else { "FAILS" };
                    let _ = write!(table, " {what}: {word},");
                    failures.extend(outcome.err().map(|why| format!("{who} {what}: {why}")));
                }
            }
        }
    }
    println!("{table}\nstreams of {} bytes each way", world.bytes);
    assert!(failures.is_empty(), "{table}\n{}", failures.join("\n"));
}
