//! A host of today whose xenstored counts what it is asked, or says anything.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use test_support::Scratch;
use virt_driver::Connection;
use virt_types::api;

use crate::XenDriver;
use crate::core::{Channels, Core, Dirs, Settings};
use crate::definitions::Files;
use crate::formats::Host;
use crate::hypercalls::layout::LAYOUTS;
use crate::hypercalls::tests::Fake;
use crate::hypercalls::{Calls, HyperView};
use crate::store_channel::StoreChannel;
use crate::xenstore::wire::{Decoder, Kind, Message};
use crate::xl::{Xl, XlStack};

/// What is given for the next reading of a name; `None` ends the connection.
type Says = fn(&Message) -> Option<Vec<u8>>;

fn answer(message: &Message, kind: Kind, payload: &[u8]) -> Vec<u8> {
    Message::new(kind, message.request, message.transaction, payload.to_vec()).to_bytes()
}

/// The name of domain 4 is `guest-4`.
fn honest(message: &Message) -> Option<Vec<u8>> {
    let path = String::from_utf8_lossy(&message.payload).trim_end_matches('\0').to_owned();
    let number = path.split('/').nth(3).unwrap_or_default().to_owned();
    let name = if number == "0" { "Domain-0".to_owned() } else { format!("guest-{number}") };
    Some(answer(message, Kind::Read, name.as_bytes()))
}

fn serve(mut socket: UnixStream, says: Says, reads: &AtomicUsize) {
    let mut decoder = Decoder::default();
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut bytes) {
        decoder.push(bytes.get(..count).unwrap_or_default());
        while let Ok(Some(message)) = decoder.take() {
            let out = match message.is(Kind::Read) {
                true => {
                    reads.fetch_add(1, Ordering::Relaxed);
                    says(&message)
                }
                false => {
                    let kind = Kind::from_number(message.kind).unwrap_or(Kind::Error);
                    Some(answer(&message, kind, b"OK\0"))
                }
            };
            let Some(out) = out else { return };
            if socket.write_all(&out).is_err() {
                return;
            }
        }
    }
}

/// A host with so many domains, whose xenstored is the test's.
struct Today {
    connection: Connection,
    hypercalls: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
    _dir: Scratch,
}

fn today(count: u16, says: Says) -> Today {
    let dir = Scratch::new("xen-today");
    let listener = UnixListener::bind(dir.join("xenstored")).expect("a socket");
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || serve(socket, says, &counted));
        }
    });
    let (fake, hypercalls) = Fake::new(LAYOUTS[4], count);
    let calls = Calls::probe(Box::new(fake)).expect("its interface is found");
    let store = Arc::new(StoreChannel::new(Some(dir.join("xenstored"))));
    let hypervisor = Arc::new(HyperView::new(calls, Arc::clone(&store)));
    let place = |name: &str| {
        std::fs::create_dir_all(dir.join(name)).expect("a folder");
        dir.join(name)
    };
    let dirs =
        Dirs { config: place("config"), run: place("run"), lib: place("lib"), log: place("log") };
    let xl = Xl::find(Some("/bin/true".as_ref())).expect("a program that does nothing");
    let (host, run) = (Host::default(), dirs.run.clone());
    let toolstack = XlStack::new(xl, hypervisor.clone(), Arc::clone(&store), host.clone(), run);
    let definitions = Arc::new(Files { dir: dirs.config.clone(), host });
    let settings = Settings { dirs, config: dir.join("xen.conf") };
    let channels = Channels {
        hypervisor,
        toolstack: Arc::new(toolstack),
        definitions,
        store,
        vnc_listen: None,
        found: None,
    };
    let driver = XenDriver(Core::new(settings, channels));
    let connection = Connection::new(vec![Arc::new(driver)], "xen:///system", false);
    Today { connection, hypercalls, reads, _dir: dir }
}

impl Today {
    /// The calls that a shell makes for `list`: all that run, then the state of each. Gives how many
    /// domains there were, hypercalls, and readings of xenstore.
    fn list(&self, flags: u32) -> (usize, usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let before = (count(&self.hypercalls), count(&self.reads));
        let all = self.connection.connect_list_all_domains(flags).expect("a list");
        for dom in &all {
            let state = self.connection.domain_get_state(dom, 0).expect("its state").state;
            let wanted = [api::DOMAIN_BLOCKED, api::DOMAIN_RUNNING, api::DOMAIN_PAUSED];
            assert!(wanted.contains(&state), "{dom:?}");
        }
        (all.len(), count(&self.hypercalls) - before.0, count(&self.reads) - before.1)
    }
}

#[test]
fn a_list_of_two_hundred_is_one_hypercall_and_one_reading_a_name() {
    let host = today(200, honest);
    for (flags, what) in [(api::CONNECT_LIST_DOMAINS_ACTIVE, "list"), (0, "list --all")] {
        let first = host.list(flags);
        let again = host.list(flags);
        println!("{what}: domains, hypercalls, xenstore readings: {first:?}, again {again:?}");
        assert_eq!((first.0, first.1), (200, 1), "{what}");
        assert!(first.2 <= 200, "{what}");
        assert_eq!(again, (200, 1, 0), "{what}");
    }
    // Who asks again is told what is now.
    let dom = host.connection.domain_lookup_by_name("guest-4").expect("it is there");
    let state = || host.connection.domain_get_state(&dom, 0).expect("its state").state;
    host.connection.connect_list_all_domains(0).expect("a list");
    host.connection.domain_suspend(&dom).expect("it is paused");
    assert_eq!(state(), api::DOMAIN_PAUSED);
    host.connection.connect_list_all_domains(0).expect("a list");
    host.connection.domain_resume(&dom).expect("it goes on");
    assert_ne!(state(), api::DOMAIN_PAUSED);
}

#[test]
fn a_xenstored_that_says_anything_does_no_harm() {
    let cases: [(&str, Says); 9] = [
        ("an empty name", |message| Some(answer(message, Kind::Read, b""))),
        ("a long name", |message| Some(answer(message, Kind::Read, &[b'a'; 4096]))),
        ("no text", |message| Some(answer(message, Kind::Read, &[0xff; 64]))),
        ("lines and escapes", |message| Some(answer(message, Kind::Read, b"a\n 7 b\x1b[2J"))),
        ("a way out of the folder", |message| {
            Some(answer(message, Kind::Read, b"../../../../etc/passwd"))
        }),
        ("another kind", |message| Some(answer(message, Kind::Write, b"x"))),
        ("an error of no name", |message| Some(answer(message, Kind::Error, &[b'E'; 4096]))),
        ("more than a message", |message| {
            let mut bytes = answer(message, Kind::Read, b"x");
            bytes[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
            Some(bytes)
        }),
        ("an end in the middle", |_| None),
    ];
    for (what, says) in cases {
        let host = today(3, says);
        let began = Instant::now();
        let all = host.connection.connect_list_all_domains(0).expect(what);
        assert_eq!(all.len(), 3, "{what}");
        for dom in &all {
            let name = dom.name.as_str();
            assert!(!name.is_empty() && name.len() <= 1024, "{what}: {name}");
            assert!(!name.contains(char::is_control), "{what}: {name}");
            let xml = host.connection.domain_get_xml_desc(dom, 0).expect(what);
            assert!(xml.contains("<domain type='xen'"), "{what}: {xml}");
            assert!(host.connection.domain_has_managed_save_image(dom, 0).is_ok(), "{what}");
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: {:?}", began.elapsed());
    }
}

#[test]
fn a_storm_of_events_before_each_answer_is_survived() {
    let host = today(20, |message| {
        let event = Message::new(Kind::WatchEvent, 0, 0, b"/local/domain/3/data\0t\0".to_vec());
        let mut bytes = event.to_bytes().repeat(5000);
        bytes.extend(honest(message)?);
        Some(bytes)
    });
    assert_eq!(host.connection.connect_list_all_domains(0).map(|all| all.len()), Ok(20));
    assert!(host.connection.domain_lookup_by_name("guest-8").is_ok());
}
