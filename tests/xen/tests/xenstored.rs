//! Our client and our daemon with Debian's own xenstored: transactions, watches, permissions, limits, its end.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use driver_xen::xenstore::{Event, Store, StoreError, Watcher};
use interop::{Own, XendHost};
use real_xen::{LONG, Xenstored};
use test_support::{Daemon as _, Outcome, or_skip, our_program, run, virsh, wait_until};

/// The release whose xenstored every run has.
const RELEASE: &str = "4.17";
/// Nodes and watches of one guest, and its open transactions.
const NODES_MAX: usize = 60;
const WATCHES_MAX: usize = 20;
const TRANSACTIONS_MAX: usize = 10;
/// What the daemon may have taken at any time.
const RESIDENT_MAX_KIB: u64 = 400 << 10;

fn connect(xenstored: &Xenstored) -> (Store, Watcher) {
    Store::connect(&xenstored.socket()).expect("xenstored is there")
}

fn changed(path: &str) -> Event {
    Event::Changed { path: path.to_owned(), token: "t".to_owned() }
}

#[test]
fn nodes_are_written_listed_and_removed() {
    let xenstored = or_skip!(Xenstored::start(RELEASE));
    let (store, watcher) = connect(&xenstored);
    store.write("/local/domain/0/name", "Domain-0").expect("it is written");
    store.write("/tool/empty", "").expect("it is written");
    store.make_directory("/tool/folder").expect("it is made");
    store.make_directory("/tool/folder").expect("it is there");
    assert_eq!(store.read("/local/domain/0/name"), Ok(Some("Domain-0".to_owned())));
    assert_eq!(store.read("/tool/empty"), Ok(Some(String::new())));
    assert_eq!(store.read("/tool/nothing"), Ok(None));
    assert_eq!(store.list("/tool/nothing"), Ok(None));
    assert_eq!(store.list("/tool/folder"), Ok(Some(Vec::new())));
    assert_eq!(store.domain_path(7), Ok("/local/domain/7".to_owned()));
    // More names than one message holds come in parts.
    let names: Vec<String> = (0..400).map(|at| format!("a-rather-long-name-{at:04}")).collect();
    for name in &names {
        store.write(&format!("/tool/many/{name}"), name).expect("it is written");
    }
    let mut listed = store.list("/tool/many").expect("a list").expect("a folder");
    listed.sort();
    assert_eq!(listed, names);
    store.remove("/tool/many").expect("it goes");
    store.remove("/tool/many").expect("it has gone");
    assert_eq!(store.list("/tool/many"), Ok(None));
    let error = store.write("/tool/long", &"x".repeat(4090)).expect_err("more than a message");
    assert!(matches!(error, StoreError::Value { .. }), "{error}");
    let error = store.write(&format!("/{}", "a".repeat(3072)), "").expect_err("too long a path");
    assert!(matches!(error, StoreError::Path(_)), "{error}");

    store.watch("/tool/watched", "t").expect("it is watched");
    assert_eq!(watcher.next(LONG), Some(changed("/tool/watched")), "at once");
    assert!(store.watch("/tool/watched", "t").expect_err("twice").is("EEXIST"));
    store.write("/tool/watched/below", "1").expect("it is written");
    assert_eq!(watcher.next(LONG), Some(changed("/tool/watched/below")));
    store.unwatch("/tool/watched", "t").expect("it is left");
    store.watch("@introduceDomain", "t").expect("it is watched");
    store.watch("@releaseDomain", "t").expect("it is watched");
    for name in ["@introduceDomain", "@releaseDomain"] {
        assert_eq!(watcher.next(LONG), Some(changed(name)), "at once");
    }
    let mut guest = xenstored.guest(7);
    assert_eq!(watcher.next(LONG), Some(changed("@introduceDomain")));
    guest.end();
    assert_eq!(watcher.next(LONG), Some(changed("@releaseDomain")));
    guest.destroy();
    assert_eq!(watcher.next(LONG), Some(changed("@releaseDomain")));
}

#[test]
fn what_others_spoil_is_tried_again() {
    let xenstored = or_skip!(Xenstored::start(RELEASE));
    let ((store, _watcher), (other, _theirs)) = (connect(&xenstored), connect(&xenstored));
    store.write("/tool/count", "0").expect("it is written");
    let mut tries = 0;
    let done = store.transaction("counting", |within| {
        tries += 1;
        let seen = within.read("/tool/count")?;
        within.write("/tool/mine", "whole")?;
        if tries <= 3 {
            other.write("/tool/count", &tries.to_string())?;
            assert_eq!(other.read("/tool/mine"), Ok(None), "nobody sees half of it");
            assert_ne!(within.read("/tool/count")?, Some(tries.to_string()), "it stays as it was");
        }
        Ok(seen)
    });
    assert_eq!((done, tries), (Ok(Some("3".to_owned())), 4));
    assert_eq!(store.read("/tool/mine"), Ok(Some("whole".to_owned())));
    let hopeless = store.transaction("hopeless", |within| {
        within.read("/tool/count")?;
        within.write("/tool/mine", "never")?;
        other.write("/tool/count", "again")
    });
    assert_eq!(hopeless, Err(StoreError::Busy("hopeless")));
    assert_eq!(store.read("/tool/mine"), Ok(Some("whole".to_owned())));
    // What is given up leaves nothing.
    let error = store.transaction("failing", |within| {
        within.write("/tool/mine", "half")?;
        within.read("/tool/count/").map(drop)
    });
    assert!(matches!(error, Err(StoreError::Path(_))), "{error:?}");
    assert_eq!(store.read("/tool/mine"), Ok(Some("whole".to_owned())));
    // Many count together, and none is lost.
    store.write("/tool/count", "0").expect("it is written");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (store, _watcher) = connect(&xenstored);
            scope.spawn(move || {
                for _ in 0..25 {
                    let add = store.transaction("adding", |within| {
                        let now = within.read("/tool/count")?.unwrap_or_default();
                        let now: u32 = now.parse().expect("a number");
                        within.write("/tool/count", &(now + 1).to_string())
                    });
                    add.unwrap_or_else(|error| panic!("{error}"));
                }
            });
        }
    });
    assert_eq!(store.read("/tool/count"), Ok(Some("100".to_owned())));
}

/// How many of something a guest gets before it is refused, and how it is told.
fn until_refused(mut more: impl FnMut(usize) -> Result<String, String>) -> (usize, String) {
    for at in 0..10_000 {
        if let Err(error) = more(at) {
            return (at, error);
        }
    }
    panic!("nothing is refused");
}

#[test]
fn guests_do_what_they_may_and_no_more() {
    let (nodes, watches) = (NODES_MAX.to_string(), WATCHES_MAX.to_string());
    let bounds = ["--entry-nb", &nodes, "--watch-nb", &watches];
    let xenstored = or_skip!(Xenstored::with(RELEASE, &bounds));
    let (store, _watcher) = connect(&xenstored);
    let (mut guest, mut other) = (xenstored.guest(3), xenstored.guest(4));
    // As tool stacks do: the folder is the host's and may be read by the guest, in which one part is its own.
    for (path, words) in [
        ("/local/domain/3", ["n0", "r3"]),
        ("/local/domain/3/data", ["n3", "n0"]),
        ("/local/domain/3/ipaddr", ["n3", "n0"]),
        ("/local/domain/3/guest", ["n3", "n0"]),
        ("/local/domain/4", ["n0", "r4"]),
    ] {
        store.make_directory(path).expect("it is made");
        store.transaction("permissions", |w| w.set_permissions(path, &words)).expect("it is said");
    }
    store.write("/local/domain/3/name", "guest").expect("it is written");
    assert_eq!(
        store.permissions("/local/domain/3/name"),
        Ok(Some(vec!["n0".to_owned(), "r3".to_owned()])),
        "as the folder's"
    );
    assert_eq!(store.permissions("/local/domain/5"), Ok(None));
    assert_eq!(guest.read("name").as_deref(), Ok("guest"));
    assert_eq!(guest.write("name", "root").unwrap_err(), "EACCES");
    assert_eq!(guest.list("/tool").unwrap_err(), "EACCES");
    assert_eq!(other.read("/local/domain/3/name").unwrap_err(), "EACCES");

    // What the guide has guests publish is read with Xen's own tools, by who has rights on this host.
    for (path, value) in
        [("ipaddr/0", "192.0.2.7"), ("guest/vnc/port", "5901"), ("guest/vnc/passwd", "secret")]
    {
        guest.write(path, value).expect("it is its own");
        let path = format!("/local/domain/3/{path}");
        let said = xenstored.tool(None, "xenstore-read", &[&path]);
        assert_eq!((said.code, said.stdout.trim()), (Some(0), value), "{said:?}");
        assert_eq!(other.read(&path).unwrap_err(), "EACCES");
        let said = xenstored.tool(Some("65534"), "xenstore-read", &[&path]);
        assert!(said.code != Some(0) && !said.stdout.contains(value), "{path}: {said:?}");
    }

    // Bounds, which are a guest's own and nobody else's.
    assert_eq!(guest.write("data/large", &"x".repeat(2100)).unwrap_err(), "ENOSPC");
    let (nodes, error) = until_refused(|at| guest.write(&format!("data/many/{at}"), "v"));
    assert!(error == "ENOSPC" && nodes <= NODES_MAX, "{nodes}: {error}");
    let (watches, error) = until_refused(|at| guest.watch(&format!("data/many/{at}")));
    assert!(error == "E2BIG" && watches.abs_diff(WATCHES_MAX) <= 1, "{watches}: {error}");
    let (open, error) = until_refused(|_| guest.begin_transaction());
    assert!(error == "ENOSPC" && open.abs_diff(TRANSACTIONS_MAX) <= 1, "{open}: {error}");
    assert!(guest.events().len() >= WATCHES_MAX, "each watch is told of at once");
    store.write("/local/domain/4/name", "other").expect("the host has room");
    let listed = store.list("/local/domain/3/data/many").expect("a list").expect("a folder");
    assert_eq!(listed.len(), nodes);
    guest.remove("data/many").expect("it makes room");
    guest.write("data/again", "v").expect("there is room again");
}

#[test]
fn a_storm_of_a_guests_is_few_events_and_its_end_is_noticed() {
    let mut xenstored = or_skip!(Xenstored::start(RELEASE));
    let (store, watcher) = connect(&xenstored);
    let mut guest = xenstored.guest(3);
    store.make_directory("/local/domain/3/data").expect("it is made");
    let own = |w: &driver_xen::xenstore::Transaction<'_>| {
        w.set_permissions("/local/domain/3/data", &["n3"])
    };
    store.transaction("permissions", own).expect("it is said");
    store.watch("/", "t").expect("everything is watched");
    guest.storm(2000, |at| (format!("data/{}", at % 200), (at / 200).to_string()));
    // In the meantime others are answered.
    assert_eq!(store.read("/local/domain/3/data/199"), Ok(Some("9".to_owned())));
    let mut events = 0;
    while watcher.next(Duration::from_millis(200)).is_some() {
        events += 1;
    }
    assert!((1..=300).contains(&events), "2000 writings are {events} events");
    xenstored.kill();
    assert_eq!(watcher.next(LONG), Some(Event::Gone));
    assert!(matches!(store.read("/tool"), Err(StoreError::Gone(_))));
    xenstored.begin();
    let (store, watcher) = connect(&xenstored);
    assert_eq!(store.list("/local"), Ok(None), "it begins with nothing");
    drop(watcher);
}

/// A daemon of ours on a simulated host whose xenstored is Debian's.
struct Host {
    xenstored: Xenstored,
    xend: XendHost,
}

impl Host {
    fn start() -> Result<Self, String> {
        let xenstored = Xenstored::start(RELEASE)?;
        let xend = XendHost::configured("4.1", &Self::conf(&xenstored));
        Ok(Self { xenstored, xend })
    }

    fn conf(xenstored: &Xenstored) -> String {
        let socket = xenstored.socket();
        format!("xenstored_socket = \"{}\"\nxenstore_path = \"/tool/domains\"\n", socket.display())
    }

    fn virsh(&self, line: &str) -> Outcome {
        run(self.xend.virsh(&our_program("virsh")).arg(line), LONG)
    }

    fn must(&self, line: &str) -> String {
        self.virsh(line).ok().trim().to_owned()
    }

    fn write(&self, path: &str, value: &str) {
        connect(&self.xenstored).0.write(path, value).expect("the host writes");
    }

    /// What a tool stack writes of a guest, which the simulated one writes elsewhere.
    fn describe(&self, id: &str, tty: &str) {
        self.write(&format!("/local/domain/{id}/console/tty"), tty);
        self.write(&format!("/local/domain/{id}/console/vnc-port"), "5907");
    }

    fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.xend.virtd().pid());
        let text = fs::read_to_string(path).expect("the daemon lives");
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// A shell that listens until it is dropped, and the file with what it hears.
fn ears(host: &Host) -> (Own, std::path::PathBuf) {
    let heard = host.xend.home().join("heard");
    let file = fs::File::create(&heard).expect("the folder is ours");
    let mut command = host.xend.virsh(&our_program("virsh"));
    command.args(["event", "--event", "lifecycle", "--loop", "--timestamp"]);
    let child: Child = command.stdin(Stdio::null()).stdout(file).spawn().expect("the shell starts");
    (Own(child), heard)
}

#[test]
fn the_daemon_lives_with_debians_xenstored() {
    let mut host = or_skip!(Host::start());
    let file = host.xend.home().join("sxc18.xml").display().to_string();
    host.must(&format!("define {file}"));
    host.must("start sxc18");
    let id = host.must("domid sxc18");
    host.describe(&id, "/dev/pts/77");
    assert_eq!(host.must("ttyconsole sxc18"), "/dev/pts/77");
    assert!(host.must("vncdisplay sxc18").ends_with(":7"));

    // Configurations are in xenstore, in one piece, and nobody's but the host's.
    let uuid = "0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d";
    let (store, _watcher) = connect(&host.xenstored);
    let folder = format!("/tool/domains/{uuid}");
    assert_eq!(store.read(&format!("{folder}/name")), Ok(Some("sxc18".to_owned())));
    let written = store.read(&format!("{folder}/config/0")).expect("it answers").expect("a part");
    assert!(written.contains("/srv/sxc18.img"), "{written}");
    let permissions = store.permissions(&format!("{folder}/config/0"));
    assert_eq!(permissions, Ok(Some(vec!["n0".to_owned()])));
    let mut guest = host.xenstored.guest(id.parse().expect("a number"));
    assert_eq!(guest.read(&format!("{folder}/config/0")).unwrap_err(), "EACCES");

    // A guest that writes as fast as it can, into its own part.
    let data = format!("/local/domain/{id}/data");
    store.make_directory(&data).expect("it is made");
    let own =
        |w: &driver_xen::xenstore::Transaction<'_>| w.set_permissions(&data, &[&format!("n{id}")]);
    store.transaction("permissions", own).expect("it is said");
    guest.storm(3000, |at| (format!("data/{}", at % 50), "x".repeat(at % 100)));
    assert!(host.must("list").contains("sxc18"));
    assert!(host.resident_kib() < RESIDENT_MAX_KIB, "{} KiB", host.resident_kib());

    // It ends, and the daemon does with less; it comes again, and is found again.
    let (_listener, heard) = ears(&host);
    host.xenstored.kill();
    assert!(host.must("list").contains("sxc18"));
    assert!(host.virsh("ttyconsole sxc18").stdout.trim().is_empty());
    host.must("suspend sxc18");
    host.xenstored.begin();
    let tty = || {
        host.describe(&id, "/dev/pts/78");
        host.virsh("ttyconsole sxc18").stdout.trim() == "/dev/pts/78"
    };
    assert!(wait_until(LONG, tty), "{:?}", host.virsh("ttyconsole sxc18"));
    host.must("resume sxc18");
    assert!(host.must("list").contains("sxc18"));
    // What another does is heard of by its word.
    let other = host.xend.another(&Host::conf(&host.xenstored));
    let mut command = virsh(&our_program("virsh"), &other.uri("xen", ""), host.xend.home().path());
    run(command.args(["destroy", "sxc18"]), LONG).ok();
    connect(&host.xenstored).0.remove(&format!("/local/domain/{id}")).expect("it goes");
    host.xenstored.guest(9).destroy();
    let text = || fs::read_to_string(&heard).unwrap_or_default();
    let told = || text().contains("Stopped");
    assert!(wait_until(LONG, told), "{}", text());
    assert!(text().contains("Suspended") && text().contains("Resumed"), "{}", text());
    host.must("undefine sxc18");
    assert!(!host.must("list --all").contains("sxc18"));
}
