//! The same sessions with both daemons and both shells: nothing a client sees may differ.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use test_support::{
    Daemon, Normaliser, Outcome, Reference, Scratch, Virtd, or_skip, our_program,
    reference_program, run, virsh,
};

const LIMIT: Duration = Duration::from_secs(30);

/// Sessions on the default world: one connection each, so each finds the world as it was made.
const SESSIONS: &[&str] = &[
    "list --all",
    "list; list --inactive; list --all --name; list --all --uuid; list --all --title",
    "list --id; list --persistent --autostart; list --transient; list --state-running",
    "dominfo test",
    "dominfo nothing; dominfo 1; dominfo 6695eb01-f6a4-8304-79aa-97f2502e193f",
    "domid test; domname 1; domuuid test; domstate test; domstate test --reason",
    "dumpxml test",
    "dumpxml test --inactive; dumpxml test --security-info",
    "suspend test; domstate test --reason; suspend test; resume test; resume test; list",
    "shutdown test; domstate test --reason; list --all; start test; start test; list",
    "destroy test; domstate test --reason; destroy test; domid test; start test; domid test",
    "reboot test; domstate test; reset test; domstate test",
    "undefine test; list --all; destroy test; list --all",
    "define {DIR}/guest.xml; list --all; dumpxml guest; dominfo guest; start guest; list --all; \
     domstate guest; dumpxml guest; destroy guest; undefine guest; list --all; undefine guest",
    "create {DIR}/guest.xml; list --all; dominfo guest; destroy guest; list --all",
    "define {DIR}/broken.xml; define {DIR}/nameless.xml; define {DIR}/missing.xml",
    "autostart test; dominfo test; autostart test --disable; dominfo test",
    "setmem test 1048576; dominfo test; setmem test 99999999; setmaxmem test 4194304",
    "setvcpus test 1; vcpucount test; setvcpus test 99; vcpuinfo test",
    "nodeinfo; nodecpumap; freecell; hostname; uri",
    "version",
    "capabilities",
    "domstats; domstats test --state; domstats --list-running",
    "net-list --all; net-info default; net-dumpxml default; net-uuid default",
    "pool-list --all; pool-list --details; pool-info default-pool; pool-dumpxml default-pool",
    "vol-list default-pool; vol-list default-pool --details; vol-list nothing",
    "iface-list --all; nodedev-list; secret-list; nwfilter-list",
    "dominfo",
    "nonsense; list",
    "help list; list --nonsense",
    "vncdisplay test; domdisplay test; console test",
];

/// Sessions on a read-only connection.
const READ_ONLY: &[&str] =
    &["list --all; destroy test; dominfo test", "define {DIR}/guest.xml; suspend test; list"];

const GUEST: &str = "<domain type='test'><name>guest</name><memory>65536</memory><vcpu>2</vcpu>
<os><type>hvm</type></os><devices><disk type='file'><source file='/guest/disk'/>
<target dev='vda' bus='virtio'/></disk><interface type='network'><source network='default'/>
</interface></devices><metadata><x:a xmlns:x='urn:x'>kept</x:a></metadata></domain>";

/// A shell on a daemon.
struct Side<'a> {
    shell: PathBuf,
    daemon: &'a dyn Daemon,
}

impl Side<'_> {
    fn session(&self, home: &Scratch, options: &[&str], line: &str) -> Outcome {
        let uri = self.daemon.uri("test", "default");
        let line = line.replace("{DIR}", &home.path().to_string_lossy());
        let mut command = virsh(&self.shell, &uri, home.path());
        let outcome = run(command.args(options).arg(&line), LIMIT);
        self.normaliser(home.path()).outcome(&outcome)
    }

    /// What two runs may differ in: folders, sockets, and what each daemon makes up.
    fn normaliser(&self, home: &Path) -> Normaliser {
        Normaliser::new(GUEST)
            .replacing(home.to_string_lossy(), "{DIR}")
            .replacing(self.daemon.uri("test", "default"), "{URI}")
            .replacing(self.daemon.socket().to_string_lossy(), "{SOCKET}")
    }
}

fn files() -> Scratch {
    let home = Scratch::new("session");
    home.write("guest.xml", GUEST);
    home.write("broken.xml", "<domain type='test'><name>broken</name>");
    home.write("nameless.xml", "<domain type='test'><memory>1024</memory></domain>");
    home
}

/// Runs all sessions on both sides and lists those that differ.
#[track_caller]
fn compare(ours: &Side<'_>, theirs: &Side<'_>) {
    let home = files();
    let read_only = READ_ONLY.iter().map(|line| (&["-r"][..], *line));
    let sessions = SESSIONS.iter().map(|line| (&[][..], *line)).chain(read_only);
    let mut different = Vec::new();
    for (options, line) in sessions {
        let expected = theirs.session(&home, options, line);
        let found = ours.session(&home, options, line);
        if expected != found {
            different.push(format!("virsh {line}\n{}", difference(&expected, &found)));
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

fn difference(expected: &Outcome, found: &Outcome) -> String {
    let mut text = String::new();
    for (name, expected, found) in
        [("stdout", &expected.stdout, &found.stdout), ("stderr", &expected.stderr, &found.stderr)]
    {
        let lines = expected.lines().count().max(found.lines().count());
        for at in 0..lines {
            let (left, right) = (expected.lines().nth(at), found.lines().nth(at));
            if left != right {
                text +=
                    &format!("  {name} {}\n    wanted {left:?}\n    found  {right:?}\n", at + 1);
                break;
            }
        }
    }
    text + &format!("  exit code {:?}, found {:?}\n", expected.code, found.code)
}

#[test]
fn their_shell_sees_no_difference_between_the_daemons() {
    let shell = or_skip!(reference_program("virsh"));
    let reference = or_skip!(Reference::start());
    let virtd = Virtd::start();
    compare(&Side { shell: shell.clone(), daemon: &virtd }, &Side { shell, daemon: &reference });
}

#[test]
fn our_shell_on_their_daemon_says_what_theirs_says() {
    let shell = or_skip!(reference_program("virsh"));
    let reference = or_skip!(Reference::start());
    compare(
        &Side { shell: our_program("virsh"), daemon: &reference },
        &Side { shell, daemon: &reference },
    );
}

/// What one shell hears of what another does.
fn events(side: &Side<'_>, other: &Path) -> Outcome {
    let home = files();
    let uri = side.daemon.uri("test", "default");
    // Long enough for a slow machine to connect, do, and hear of it.
    let mut listener = virsh(&side.shell, &uri, home.path());
    listener.args(["event", "--all", "--loop", "--timeout", "6"]);
    let listening = thread::spawn(move || run(&mut listener, LIMIT));
    thread::sleep(Duration::from_secs(2));
    let line = "suspend test; resume test; destroy test; start test; shutdown test; \
        define {DIR}/guest.xml; start guest; destroy guest; undefine guest; \
        autostart test; setmem test 1048576; desc test --title new";
    let line = line.replace("{DIR}", &home.path().to_string_lossy());
    drop(run(virsh(other, &uri, home.path()).arg(line), LIMIT));
    let outcome = listening.join().expect("the listener does not panic");
    side.normaliser(home.path()).outcome(&outcome)
}

#[test]
fn a_listener_hears_the_same_events_from_both_daemons() {
    let shell = or_skip!(reference_program("virsh"));
    let reference = or_skip!(Reference::start());
    let virtd = Virtd::start();
    let theirs = events(&Side { shell: shell.clone(), daemon: &reference }, &shell);
    assert!(theirs.stdout.contains("event 'lifecycle' for domain 'test'"), "{theirs:?}");
    let ours = events(&Side { shell: shell.clone(), daemon: &virtd }, &shell);
    assert_eq!(ours, theirs);
    let with_our_shell =
        events(&Side { shell: our_program("virsh"), daemon: &virtd }, &our_program("virsh"));
    assert_eq!(with_our_shell, theirs);
}
