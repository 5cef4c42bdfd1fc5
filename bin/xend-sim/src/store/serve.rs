//! One client of xenstored: requests in, answers and events out.

use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};

use crate::faults;

use super::tree::{Nodes, Tree, children, prune, set};

/// Limit: the protocol's own.
const PAYLOAD_MAX: usize = 4096;
/// Limit: events that wait for one client.
const EVENTS_MAX: usize = 4096;

static CLIENTS: AtomicU64 = AtomicU64::new(1);

struct Client {
    number: u64,
    tree: Tree,
    transactions: HashMap<u32, Open>,
    next: u32,
    tell: std::sync::mpsc::SyncSender<(String, String)>,
    on_write: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A transaction: a copy of the tree, and what it changes.
struct Open {
    nodes: Nodes,
    since: u64,
    changed: Vec<String>,
}

type Answer = Result<Vec<u8>, &'static str>;

fn message(kind: u32, request: u32, transaction: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(16 + payload.len());
    for word in [kind, request, transaction, length] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(payload);
    bytes
}

fn number(head: &[u8; 16], at: usize) -> u32 {
    let word = head.get(at * 4..at * 4 + 4).and_then(|bytes| bytes.try_into().ok());
    word.map_or(0, u32::from_ne_bytes)
}

/// Serves one connection until it ends. `on_write` hears of the nodes that clients write.
pub(crate) fn serve(
    tree: &Tree,
    mut socket: UnixStream,
    on_write: Arc<dyn Fn(&str) + Send + Sync>,
    has_fault: &dyn Fn(&str) -> bool,
) {
    let Ok(out) = socket.try_clone() else { return };
    let out = Arc::new(Mutex::new(out));
    let (tell, told) = sync_channel::<(String, String)>(EVENTS_MAX);
    let events = Arc::clone(&out);
    std::thread::spawn(move || {
        for (path, token) in told {
            let payload = format!("{path}\0{token}\0");
            let mut out = events.lock().unwrap_or_else(PoisonError::into_inner);
            if out.write_all(&message(15, 0, 0, payload.as_bytes())).is_err() {
                return;
            }
        }
    });
    let number_of = CLIENTS.fetch_add(1, Ordering::Relaxed);
    let mut client = Client {
        number: number_of,
        tree: tree.clone(),
        transactions: HashMap::new(),
        next: 1,
        tell,
        on_write,
    };
    let mut head = [0_u8; 16];
    while socket.read_exact(&mut head).is_ok() {
        let (kind, request, transaction) = (number(&head, 0), number(&head, 1), number(&head, 2));
        let length = usize::try_from(number(&head, 3)).unwrap_or(usize::MAX);
        if length > PAYLOAD_MAX {
            break;
        }
        let mut payload = vec![0; length];
        if socket.read_exact(&mut payload).is_err() {
            break;
        }
        tree.counted();
        let (kind, answer) = match client.act(kind, transaction, &payload) {
            Ok(answer) if answer.len() > PAYLOAD_MAX => (16, b"E2BIG\0".to_vec()),
            Ok(answer) => (kind, answer),
            Err(errno) => (16, format!("{errno}\0").into_bytes()),
        };
        let whole = message(kind, request, transaction, &answer);
        let (sent, goes_on) = faults::store(has_fault, kind, &whole).unwrap_or((whole, true));
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.write_all(&sent).is_err() || !goes_on {
            let _ = socket.shutdown(std::net::Shutdown::Both);
            break;
        }
    }
    tree.forget(number_of);
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains("//") && (path == "/" || !path.ends_with('/'))
}

impl Client {
    fn act(&mut self, kind: u32, transaction: u32, payload: &[u8]) -> Answer {
        let mut parts = payload.splitn(2, |byte| *byte == 0);
        let path = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let rest = parts.next().unwrap_or_default();
        match kind {
            6 => {
                let (nodes, since) = self.tree.snapshot();
                let id = self.next;
                self.next += 1;
                self.transactions.insert(id, Open { nodes, since, changed: Vec::new() });
                return Ok(format!("{id}\0").into_bytes());
            }
            7 => {
                let open = self.transactions.remove(&transaction).ok_or("ENOENT")?;
                if path != "T" {
                    return done();
                }
                let committed = self.tree.commit(open.nodes, open.since, &open.changed);
                if committed {
                    open.changed.iter().for_each(|path| (self.on_write)(path));
                }
                return if committed { done() } else { Err("EAGAIN") };
            }
            10 => return Ok(format!("/local/domain/{path}\0").into_bytes()),
            4 | 5 => {
                let token = String::from_utf8_lossy(rest).trim_end_matches('\0').to_owned();
                return self.watching(kind == 4, path, token);
            }
            _ => {}
        }
        if !is_path(&path) {
            return Err("EINVAL");
        }
        self.on_node(kind, transaction, &path, rest)
    }

    fn watching(&mut self, on: bool, path: String, token: String) -> Answer {
        if on {
            let added = self.tree.watch(self.number, path, token, self.tell.clone());
            return if added { done() } else { Err("EEXIST") };
        }
        if self.tree.unwatch(self.number, &path, &token) { done() } else { Err("ENOENT") }
    }

    fn on_node(&mut self, kind: u32, transaction: u32, path: &str, rest: &[u8]) -> Answer {
        let whole;
        let nodes = match transaction {
            0 if kind == 2 => return self.tree.read(path).ok_or("ENOENT"),
            0 => {
                whole = self.tree.snapshot();
                &whole.0
            }
            id => &self.transactions.get(&id).ok_or("ENOENT")?.nodes,
        };
        match kind {
            1 | 22 => {
                let mut names = children(nodes, path).ok_or("ENOENT")?.join("\0").into_bytes();
                if !names.is_empty() {
                    names.push(0);
                }
                Ok(names)
            }
            2 => nodes.get(path).cloned().ok_or("ENOENT"),
            3 => Ok(b"n0\0".to_vec()),
            14 => done(),
            11..=13 => self.change(kind, transaction, path, rest),
            _ => Err("ENOSYS"),
        }
    }

    fn change(&mut self, kind: u32, transaction: u32, path: &str, rest: &[u8]) -> Answer {
        let edit = |nodes: &mut Nodes| match kind {
            11 => {
                set(nodes, path, rest.to_vec());
                true
            }
            12 => {
                if !nodes.contains_key(path) {
                    set(nodes, path, Vec::new());
                }
                true
            }
            _ => prune(nodes, path),
        };
        if transaction == 0 {
            loop {
                let (mut nodes, since) = self.tree.snapshot();
                if !edit(&mut nodes) {
                    return Err("ENOENT");
                }
                if self.tree.commit(nodes, since, &[path.to_owned()]) {
                    (self.on_write)(path);
                    return done();
                }
            }
        }
        let open = self.transactions.get_mut(&transaction).ok_or("ENOENT")?;
        if !edit(&mut open.nodes) {
            return Err("ENOENT");
        }
        open.changed.push(path.to_owned());
        done()
    }
}

fn done() -> Answer {
    Ok(b"OK\0".to_vec())
}
