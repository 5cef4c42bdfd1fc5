//! The client: requests that wait for their answers, and a thread that tells answers from events.
//!
//! Order: one lock for writing the socket, one for the table of who waits; the first is never taken
//! while the second is held.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::events::{Event, Events, Watcher};
use super::wire::{Decoder, Kind, Message, PAYLOAD_BYTES_MAX, texts};
use super::{StoreError, is_path, is_watchable};

type Result<T> = std::result::Result<T, StoreError>;

/// Limit: xenstored answers from memory; one that takes longer hangs.
const REPLY_WAIT_MAX: Duration = Duration::from_secs(20);
/// Limit: requests of all threads together that wait for their answers.
const REQUESTS_MAX: usize = 256;
/// Limit: how often a transaction is tried that others' changes spoil.
const TRIES_MAX: u32 = 64;
/// Limit: bytes of names of one node's children, who may be a guest's.
const CHILDREN_BYTES_MAX: usize = 1024 * 1024;

/// A connection to xenstored. Cloning gives the same one.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: UnixStream,
    writing: Mutex<()>,
    waiting: Arc<Mutex<Waiting>>,
    next: AtomicU32,
    wait_max: Duration,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: BTreeMap<u32, SyncSender<Message>>,
    /// Why there is no connection any more.
    gone: Option<StoreError>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The reader has a descriptor of its own, which this wakes.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

impl Store {
    /// Connects to the server's socket.
    pub fn connect(path: &Path) -> std::io::Result<(Self, Watcher)> {
        Self::over(UnixStream::connect(path)?, REPLY_WAIT_MAX)
    }

    /// The same over a socket that is connected already.
    pub fn over(socket: UnixStream, wait_max: Duration) -> std::io::Result<(Self, Watcher)> {
        let reading = socket.try_clone()?;
        socket.set_write_timeout(Some(wait_max))?;
        let events = Arc::new(Events::default());
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let store = Self(Arc::new(Shared {
            socket,
            writing: Mutex::new(()),
            waiting: Arc::clone(&waiting),
            next: AtomicU32::new(1),
            wait_max,
        }));
        let theirs = Arc::clone(&events);
        std::thread::Builder::new().name("xenstore".to_owned()).spawn(move || {
            let why = read_all(reading, &waiting, &theirs);
            let mut waiting = lock(&waiting);
            waiting.gone = Some(why);
            // Whoever waits is told by its channel's end.
            waiting.requests.clear();
            drop(waiting);
            theirs.end();
        })?;
        Ok((store, Watcher(events)))
    }

    /// A node's text; `None` where there is no such node.
    pub fn read(&self, path: &str) -> Result<Option<String>> {
        self.plain().read(path)
    }

    /// The names of a node's children; `None` where there is no such node.
    pub fn list(&self, path: &str) -> Result<Option<Vec<String>>> {
        self.plain().list(path)
    }

    pub fn write(&self, path: &str, value: &str) -> Result<()> {
        self.plain().write(path, value)
    }

    /// Removes a node with all below it; one that is not there is no error.
    pub fn remove(&self, path: &str) -> Result<()> {
        self.plain().remove(path)
    }

    pub fn make_directory(&self, path: &str) -> Result<()> {
        self.plain().make_directory(path)
    }

    /// Who may do what with a node: its owner and what everybody may, then others, as `n0` or `r3`; `None`
    /// where there is no such node.
    pub fn permissions(&self, path: &str) -> Result<Option<Vec<String>>> {
        let answer = found(self.plain().ask(Kind::GetPermissions, path, &[b""]))?;
        let Some(answer) = answer else { return Ok(None) };
        texts(&answer).map(|word| text(path, word)).collect::<Result<_>>().map(Some)
    }

    /// The folder of a domain's nodes.
    pub fn domain_path(&self, domain: u32) -> Result<String> {
        let answer = self.ask(Kind::GetDomainPath, 0, &[domain.to_string().as_bytes(), b""])?;
        text("domain path", trim(&answer))
    }

    /// Watches a node and all below it. The first event comes at once.
    pub fn watch(&self, path: &str, token: &str) -> Result<()> {
        self.watching(Kind::Watch, path, token)
    }

    pub fn unwatch(&self, path: &str, token: &str) -> Result<()> {
        self.watching(Kind::Unwatch, path, token)
    }

    fn watching(&self, kind: Kind, path: &str, token: &str) -> Result<()> {
        if !is_watchable(path) || token.contains('\0') {
            return Err(StoreError::Path(path.to_owned()));
        }
        self.ask(kind, 0, &[path.as_bytes(), token.as_bytes(), b""]).map(drop)
    }

    /// Does several things as one; tries again when others came in between. `what` is for the error.
    pub fn transaction<T>(
        &self,
        what: &'static str,
        mut work: impl FnMut(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        for _ in 0..TRIES_MAX {
            let answer = self.ask(Kind::TransactionStart, 0, &[b"", b""])?;
            let id = text("transaction", trim(&answer))?;
            let id = id.parse().map_err(|_| StoreError::NotText("transaction".to_owned()))?;
            let done = work(&Transaction { store: self, id });
            let end: &[u8] = if done.is_ok() { b"T" } else { b"F" };
            let ended = self.ask(Kind::TransactionEnd, id, &[end, b""]);
            match (done, ended) {
                // What was done in a spoilt transaction may have failed for that reason alone.
                (Err(error), _) if error.is("EAGAIN") => {}
                (Err(error), _) => return Err(error),
                (Ok(_), Err(error)) if error.is("EAGAIN") => {}
                (Ok(_), Err(error)) => return Err(error),
                (Ok(value), Ok(_)) => return Ok(value),
            }
        }
        Err(StoreError::Busy(what))
    }

    fn plain(&self) -> Transaction<'_> {
        Transaction { store: self, id: 0 }
    }

    /// Sends a request of these texts, zeros between them, and waits for its answer.
    fn ask(&self, kind: Kind, transaction: u32, parts: &[&[u8]]) -> Result<Vec<u8>> {
        let payload = parts.join(&0);
        if payload.len() > PAYLOAD_BYTES_MAX {
            let path = parts.first().copied().unwrap_or_default();
            let path = String::from_utf8_lossy(path).into_owned();
            return Err(StoreError::Value { path, bytes: payload.len() });
        }
        let request = self.0.next.fetch_add(1, Ordering::Relaxed);
        let answer = self.expect(request)?;
        let message = Message::new(kind, request, transaction, payload);
        let sent = {
            let _turn = lock(&self.0.writing);
            (&self.0.socket).write_all(&message.to_bytes())
        };
        if let Err(error) = sent {
            lock(&self.0.waiting).requests.remove(&request);
            return Err(StoreError::Gone(error.to_string()));
        }
        let answer = match answer.recv_timeout(self.0.wait_max) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                lock(&self.0.waiting).requests.remove(&request);
                return Err(StoreError::Timeout(self.0.wait_max.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let gone = lock(&self.0.waiting).gone.clone();
                return Err(gone.unwrap_or_else(|| StoreError::Gone("no reader".to_owned())));
            }
        };
        if answer.is(Kind::Error) {
            return Err(StoreError::Refused(String::from_utf8_lossy(trim(&answer.payload)).into()));
        }
        if !answer.is(kind) {
            return Err(StoreError::Unexpected { request, kind: answer.kind });
        }
        Ok(answer.payload)
    }

    fn expect(&self, request: u32) -> Result<Receiver<Message>> {
        let (sender, receiver) = sync_channel(1);
        let mut waiting = lock(&self.0.waiting);
        if let Some(gone) = &waiting.gone {
            return Err(gone.clone());
        }
        if waiting.requests.len() >= REQUESTS_MAX {
            return Err(StoreError::Crowded(REQUESTS_MAX));
        }
        waiting.requests.insert(request, sender);
        Ok(receiver)
    }
}

/// Reads until the connection ends, and says why it did.
fn read_all(mut socket: UnixStream, waiting: &Mutex<Waiting>, events: &Events) -> StoreError {
    let mut decoder = Decoder::default();
    let mut bytes = [0_u8; PAYLOAD_BYTES_MAX];
    loop {
        match socket.read(&mut bytes) {
            Ok(0) => return StoreError::Gone("xenstored closed it".to_owned()),
            Ok(count) => decoder.push(bytes.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return StoreError::Gone(error.to_string()),
        }
        loop {
            match decoder.take() {
                Ok(Some(message)) if message.is(Kind::WatchEvent) => announce(&message, events),
                Ok(Some(message)) => {
                    // One that nobody waits for any more was too late.
                    let waiter = lock(waiting).requests.remove(&message.request);
                    if let Some(waiter) = waiter {
                        let _ = waiter.try_send(message);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let _ = socket.shutdown(std::net::Shutdown::Both);
                    return error;
                }
            }
        }
    }
}

fn announce(message: &Message, events: &Events) {
    let mut texts = texts(&message.payload).map(|text| String::from_utf8_lossy(text).into_owned());
    if let (Some(path), Some(token)) = (texts.next(), texts.next()) {
        events.push(Event::Changed { path, token });
    }
}

fn trim(payload: &[u8]) -> &[u8] {
    payload.strip_suffix(b"\0").unwrap_or(payload)
}

fn text(path: &str, bytes: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(bytes).map_err(|_| StoreError::NotText(path.to_owned()))?;
    Ok(text.to_owned())
}

fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is("ENOENT") => Ok(None),
        Err(error) => Err(error),
    }
}

/// A view of the tree that others do not change, until it is over.
#[derive(Debug)]
pub struct Transaction<'a> {
    store: &'a Store,
    /// 0 for requests outside of any.
    id: u32,
}

impl Transaction<'_> {
    fn ask(&self, kind: Kind, path: &str, parts: &[&[u8]]) -> Result<Vec<u8>> {
        if !is_path(path) {
            return Err(StoreError::Path(path.to_owned()));
        }
        let parts: Vec<&[u8]> =
            [path.as_bytes()].into_iter().chain(parts.iter().copied()).collect();
        self.store.ask(kind, self.id, &parts)
    }

    pub fn read(&self, path: &str) -> Result<Option<String>> {
        let answer = found(self.ask(Kind::Read, path, &[b""]))?;
        answer.map(|answer| text(path, &answer)).transpose()
    }

    pub fn list(&self, path: &str) -> Result<Option<Vec<String>>> {
        let answer = match self.ask(Kind::Directory, path, &[b""]) {
            Err(error) if error.is("E2BIG") => self.list_in_parts(path),
            answer => answer,
        };
        let Some(answer) = found(answer)? else { return Ok(None) };
        texts(&answer).map(|name| text(path, name)).collect::<Result<_>>().map(Some)
    }

    /// Names that fill more than a message come in parts, which must be of one generation.
    fn list_in_parts(&self, path: &str) -> Result<Vec<u8>> {
        for _ in 0..TRIES_MAX {
            let mut names: Vec<u8> = Vec::new();
            let mut first: Option<Vec<u8>> = None;
            loop {
                let offset = names.len().to_string();
                let answer = self.ask(Kind::DirectoryPart, path, &[offset.as_bytes(), b""])?;
                let mut halves = answer.splitn(2, |byte| *byte == 0);
                let generation = halves.next().unwrap_or_default().to_vec();
                let part = halves.next().unwrap_or_default();
                if first.get_or_insert_with(|| generation.clone()) != &generation {
                    break;
                }
                // An empty name marks the end.
                let last = part.is_empty() || part == b"\0" || part.ends_with(b"\0\0");
                names.extend_from_slice(part);
                if names.len() > CHILDREN_BYTES_MAX {
                    return Err(StoreError::Value { path: path.to_owned(), bytes: names.len() });
                }
                if last {
                    names.truncate(names.len().saturating_sub(1));
                    return Ok(names);
                }
            }
        }
        Err(StoreError::Busy("directory"))
    }

    pub fn write(&self, path: &str, value: &str) -> Result<()> {
        self.ask(Kind::Write, path, &[value.as_bytes()]).map(drop)
    }

    pub fn make_directory(&self, path: &str) -> Result<()> {
        self.ask(Kind::MakeDirectory, path, &[b""]).map(drop)
    }

    /// Says who may do what with a node, and with what is made below it from now on.
    pub fn set_permissions(&self, path: &str, words: &[&str]) -> Result<()> {
        let words: Vec<&[u8]> =
            words.iter().map(|word| word.as_bytes()).chain([&b""[..]]).collect();
        self.ask(Kind::SetPermissions, path, &words).map(drop)
    }

    pub fn remove(&self, path: &str) -> Result<()> {
        found(self.ask(Kind::Remove, path, &[b""])).map(drop)
    }
}
