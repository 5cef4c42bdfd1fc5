//! The xenstore client against a server that speaks the real bytes, well and badly.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use driver_xen::xenstore::wire::{Decoder, Kind, Message};
use driver_xen::xenstore::{Event, Store, StoreError, Watcher};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);
/// How much of names goes into one message of the server.
const NAMES_BYTES_MAX: usize = 64;

/// A server of one connection, in memory. Others' changes spoil the transactions it is told to.
#[derive(Default)]
struct Server {
    nodes: BTreeMap<String, Vec<u8>>,
    watches: Vec<(String, String)>,
    spoilt: u32,
    generation: u32,
}

type Answer = Result<Vec<u8>, &'static str>;

impl Server {
    fn serve(mut self, mut socket: UnixStream) {
        let mut decoder = Decoder::default();
        let mut bytes = [0; 512];
        while let Ok(count) = socket.read(&mut bytes) {
            if count == 0 {
                return;
            }
            decoder.push(&bytes[..count]);
            while let Some(message) = decoder.take().expect("a client's message") {
                for out in self.answer(&message) {
                    // Half a message first: sockets do that.
                    let bytes = out.to_bytes();
                    let (head, rest) = bytes.split_at(bytes.len() / 2);
                    if socket.write_all(head).is_err() || socket.write_all(rest).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn answer(&mut self, message: &Message) -> Vec<Message> {
        let kind = Kind::from_number(message.kind).expect("a known kind");
        let mut parts = message.payload.splitn(2, |byte| *byte == 0);
        let path = String::from_utf8(parts.next().unwrap_or_default().to_vec()).expect("a path");
        let rest = parts.next().unwrap_or_default();
        let mut events = Vec::new();
        let answer = self.act(kind, &path, rest, &mut events);
        let (kind, payload) = match answer {
            Ok(payload) => (kind, payload),
            Err(errno) => (Kind::Error, format!("{errno}\0").into_bytes()),
        };
        // Events come before answers: clients must tell them apart.
        events.push(Message::new(kind, message.request, message.transaction, payload));
        events
    }

    fn act(&mut self, kind: Kind, path: &str, rest: &[u8], events: &mut Vec<Message>) -> Answer {
        let ok = Ok(b"OK\0".to_vec());
        match kind {
            Kind::Read => self.nodes.get(path).cloned().ok_or("ENOENT"),
            Kind::Write => {
                if path.starts_with("/forbidden") {
                    return Err("EACCES");
                }
                self.nodes.insert(path.to_owned(), rest.to_vec());
                self.generation += 1;
                for (watched, token) in &self.watches {
                    if path.starts_with(watched.as_str()) {
                        let payload = format!("{path}\0{token}\0").into_bytes();
                        events.push(Message::new(Kind::WatchEvent, 0, 0, payload));
                    }
                }
                ok
            }
            Kind::Remove => {
                let below = format!("{path}/");
                let before = self.nodes.len();
                self.nodes.retain(|node, _| node != path && !node.starts_with(&below));
                if self.nodes.len() == before { Err("ENOENT") } else { ok }
            }
            Kind::Directory => {
                let names = self.names(path).ok_or("ENOENT")?;
                if names.len() > NAMES_BYTES_MAX { Err("E2BIG") } else { Ok(names) }
            }
            Kind::DirectoryPart => {
                let offset =
                    String::from_utf8_lossy(rest).trim_end_matches('\0').parse().unwrap_or(0);
                let mut names = self.names(path).ok_or("ENOENT")?;
                names.push(0);
                let end = names.len().min(offset + NAMES_BYTES_MAX);
                let mut answer = format!("{}\0", self.generation).into_bytes();
                answer.extend_from_slice(&names[offset..end]);
                Ok(answer)
            }
            Kind::Watch => {
                let token = String::from_utf8_lossy(rest).trim_end_matches('\0').to_owned();
                let watch = (path.to_owned(), token.clone());
                if self.watches.contains(&watch) {
                    return Err("EEXIST");
                }
                self.watches.push(watch);
                let payload = format!("{path}\0{token}\0").into_bytes();
                events.push(Message::new(Kind::WatchEvent, 0, 0, payload));
                ok
            }
            Kind::Unwatch => {
                self.watches.clear();
                ok
            }
            Kind::TransactionStart => Ok(b"17\0".to_vec()),
            Kind::TransactionEnd if self.spoilt > 0 => {
                self.spoilt -= 1;
                Err("EAGAIN")
            }
            Kind::GetDomainPath => Ok(format!("/local/domain/{path}\0").into_bytes()),
            _ => ok,
        }
    }

    fn names(&self, path: &str) -> Option<Vec<u8>> {
        let below = format!("{}/", path.trim_end_matches('/'));
        let mut names: Vec<&str> = self
            .nodes
            .keys()
            .filter_map(|node| node.strip_prefix(&below)?.split('/').next())
            .collect();
        names.dedup();
        (!names.is_empty() || self.nodes.contains_key(path))
            .then(|| names.iter().flat_map(|name| format!("{name}\0").into_bytes()).collect())
    }
}

fn start(server: Server) -> (Store, Watcher, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let thread = std::thread::spawn(move || server.serve(theirs));
    let (store, watcher) = Store::over(ours, LONG).expect("a client");
    (store, watcher, thread)
}

#[test]
fn nodes_are_written_read_listed_and_removed() {
    let (store, watcher, thread) = start(Server::default());
    store.write("/local/domain/0/name", "Domain-0").expect("write");
    store.write("/local/domain/3/name", "fv\n0").expect("write");
    store.write("/local/domain/3/memory/target", "").expect("write");
    assert_eq!(store.read("/local/domain/0/name"), Ok(Some("Domain-0".to_owned())));
    assert_eq!(store.read("/local/domain/3/memory/target"), Ok(Some(String::new())));
    assert_eq!(store.read("/local/domain/7/name"), Ok(None));
    assert_eq!(store.list("/local/domain"), Ok(Some(vec!["0".to_owned(), "3".to_owned()])));
    assert_eq!(store.list("/nothing"), Ok(None));
    assert_eq!(store.domain_path(3), Ok("/local/domain/3".to_owned()));
    store.remove("/local/domain/3").expect("remove");
    store.remove("/local/domain/3").expect("what is gone is removed");
    assert_eq!(store.list("/local/domain"), Ok(Some(vec!["0".to_owned()])));
    let refused = store.write("/forbidden", "x").expect_err("refused");
    assert_eq!(refused.to_string(), "xenstored answered EACCES");
    assert!(matches!(store.read("no/path"), Err(StoreError::Path(_))));
    assert!(matches!(store.write("/a", &"x".repeat(5000)), Err(StoreError::Value { .. })));
    drop((store, watcher));
    thread.join().expect("the server ends with its client");
}

#[test]
fn names_that_fill_more_than_a_message_come_in_parts() {
    let (store, _watcher, _thread) = start(Server::default());
    let names: Vec<String> = (100..160).map(|at| format!("guest-{at}")).collect();
    for name in &names {
        store.write(&format!("/vm/{name}"), "").expect("write");
    }
    assert_eq!(store.list("/vm"), Ok(Some(names)));
}

#[test]
fn events_are_told_from_answers() {
    let (store, watcher, _thread) = start(Server::default());
    let event =
        |path: &str| Some(Event::Changed { path: path.to_owned(), token: "guests".to_owned() });
    store.watch("/local/domain", "guests").expect("watch");
    assert_eq!(watcher.next(LONG), event("/local/domain"));
    let again = store.watch("/local/domain", "guests").expect_err("watched twice");
    assert!(again.is("EEXIST"));
    store.write("/local/domain/3/name", "a").expect("write");
    assert_eq!(store.read("/local/domain/3/name"), Ok(Some("a".to_owned())));
    assert_eq!(watcher.next(LONG), event("/local/domain/3/name"));
    store.unwatch("/local/domain", "guests").expect("unwatch");
    store.write("/local/domain/3/name", "b").expect("write");
    assert_eq!(watcher.next(Duration::from_millis(20)), None);
}

#[test]
fn transactions_that_others_spoil_are_tried_again() {
    let (store, _watcher, _thread) = start(Server { spoilt: 3, ..Server::default() });
    let mut tries = 0;
    let done = store.transaction("counting", |within| {
        tries += 1;
        within.write("/count", &tries.to_string())?;
        within.read("/count")
    });
    assert_eq!(done, Ok(Some("4".to_owned())));
    let failed = store.transaction("failing", |within| within.write("/forbidden/x", ""));
    assert!(failed.expect_err("refused").is("EACCES"));

    let (store, _watcher, _thread) = start(Server { spoilt: u32::MAX, ..Server::default() });
    assert_eq!(store.transaction("hopeless", |_| Ok(())), Err(StoreError::Busy("hopeless")));
}

#[test]
fn many_threads_share_a_connection() {
    let (store, _watcher, _thread) = start(Server::default());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for at in 0..50 {
                    let path = format!("/t/{thread}/{at}");
                    store.write(&path, &path).expect("write");
                    assert_eq!(store.read(&path), Ok(Some(path)));
                }
            });
        }
    });
}

/// A server that says just this, whatever it is asked.
fn hostile(bytes: Vec<u8>, stays: bool) -> (Store, Watcher) {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    std::thread::spawn(move || {
        let mut asked = [0; 64];
        let _ = theirs.read(&mut asked);
        let _ = theirs.write_all(&bytes);
        if stays {
            // Until the client has had enough.
            let _ = theirs.read(&mut [0; 1]);
            std::thread::sleep(SHORT * 2);
        }
    });
    Store::over(ours, SHORT).expect("a client")
}

#[test]
fn a_server_that_misbehaves_costs_one_error() {
    let head =
        |kind: u32, request: u32, len: u32| [kind, request, 0, len].map(u32::to_ne_bytes).concat();
    let gone = |store: &Store| matches!(store.read("/a"), Err(StoreError::Gone(_)));

    let (store, watcher) = hostile(Vec::new(), false);
    assert!(gone(&store) && gone(&store), "closed without an answer");
    assert_eq!(watcher.next(LONG), Some(Event::Gone));

    let (store, _watcher) = hostile(head(2, 1, 10), false);
    assert!(gone(&store), "closed within an answer");

    let (store, _watcher) = hostile(head(2, 1, u32::MAX), true);
    assert_eq!(store.read("/a"), Err(StoreError::TooLong(u32::MAX)));
    assert_eq!(store.read("/a"), Err(StoreError::TooLong(u32::MAX)));

    let (store, _watcher) = hostile(Vec::new(), true);
    assert!(matches!(store.read("/a"), Err(StoreError::Timeout(_))), "silence");

    let (store, _watcher) = hostile(head(2, 99, 0), true);
    assert!(matches!(store.read("/a"), Err(StoreError::Timeout(_))), "someone else's answer");

    let (store, _watcher) = hostile(head(11, 1, 0), true);
    assert_eq!(store.read("/a"), Err(StoreError::Unexpected { request: 1, kind: 11 }));

    let text = [head(2, 1, 2), vec![0xff, 0xfe]].concat();
    let (store, _watcher) = hostile(text, true);
    assert_eq!(store.read("/a"), Err(StoreError::NotText("/a".to_owned())));
}
