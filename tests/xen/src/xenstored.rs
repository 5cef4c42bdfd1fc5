//! Debian's own xenstored where there is no hypervisor, and guests that speak to it through their rings.
//!
//! `hypervisor.c` stands in for the hypervisor. It is compiled here and preloaded, under the loader and with the
//! libraries that xenstored was packaged with.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use test_support::{Outcome, Scratch, run, wait_until};

use crate::{LONG, prepare};

/// Where in a package tree libraries are, and the loader among them.
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
const LOADER: &str = "ld-linux-x86-64.so.2";
const PAGE_BYTES: usize = 4096;
/// What the pipe of ports is told: that some domain has ended, and that a ring is to be looked at.
const PORT_ENDED: u32 = 1;
const PORT_FIRST: u32 = 100;
/// The ring: two buffers of that size, then how far each side has come.
const BUFFER_BYTES: u32 = 1024;
const REQUESTS: Cursor = Cursor { data: 0, read: 2048, written: 2052 };
const ANSWERS: Cursor = Cursor { data: 1024, read: 2056, written: 2060 };
/// Kinds of messages.
const EVENT: u32 = 15;
const ERROR: u32 = 16;
const STEP: Duration = Duration::from_micros(200);
/// Requests whose answers fit into the ring together.
const AT_ONCE: usize = 40;

/// xenstored, as it runs for one test.
pub struct Xenstored {
    dir: Scratch,
    root: PathBuf,
    release: String,
    options: Vec<String>,
    child: Option<Child>,
}

/// The file below a package tree, wherever the release has it.
fn library(root: &Path, name: &str) -> Option<PathBuf> {
    LIBRARIES.iter().map(|folder| root.join(folder).join(name)).find(|path| path.exists())
}

impl Xenstored {
    /// Starts that of a release; or says why that cannot be tried here.
    pub fn start(release: &str) -> Result<Self, String> {
        Self::with(release, &[])
    }

    /// The same with options of its own.
    pub fn with(release: &str, options: &[&str]) -> Result<Self, String> {
        let root = prepare(release)?.join("root");
        let dir = Scratch::new("xenstored");
        fs::create_dir(dir.join("run")).expect("the folder is ours");
        fs::create_dir(dir.join("guests")).expect("the folder is ours");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("hypervisor.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(dir.join("hypervisor.so")).arg(source);
        let made = run(&mut compiler, LONG);
        if made.code != Some(0) {
            return Err(format!("no C compiler: {}", made.stderr));
        }
        let pipe = run(Command::new("mkfifo").arg(dir.join("guests/ports")), LONG);
        assert_eq!(pipe.code, Some(0), "{}", pipe.stderr);
        fs::write(dir.join("guests/0.ring"), [0; PAGE_BYTES]).expect("the folder is ours");
        fs::write(dir.join("guests/0.port"), "5\n").expect("the folder is ours");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut store = Self { dir, root, release: release.to_owned(), options, child: None };
        store.begin();
        Ok(store)
    }

    /// A program of the packages, under their own loader.
    fn program(&self, path: &Path, preload: Option<&Path>) -> Command {
        let loader = library(&self.root, LOADER).expect("the packages have a loader");
        let folders = LIBRARIES.map(|folder| self.root.join(folder).display().to_string());
        let mut command = Command::new(loader);
        command.arg("--library-path").arg(folders.join(":"));
        command.args(preload.iter().flat_map(|path| [Path::new("--preload"), path]));
        command.arg(self.root.join(path));
        command.env("XENSTORED_RUNDIR", self.dir.join("run"));
        command.env("XENSTORED_PATH", self.socket());
        command.env("XENSTORED_GUESTS", self.dir.join("guests"));
        command.stdin(Stdio::null());
        command
    }

    /// Starts it anew, with an empty tree.
    pub fn begin(&mut self) {
        let _ = fs::remove_file(self.socket());
        let path = format!("usr/lib/xen-{}/bin/xenstored", self.release);
        let mut command = self.program(path.as_ref(), Some(&self.dir.join("hypervisor.so")));
        command.arg("-N").args(&self.options).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("xenstored starts"));
        let socket = self.socket();
        let answers = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
        assert!(wait_until(LONG, answers), "xenstored does not come up");
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = child.kill();
        let _ = child.wait();
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("run/socket")
    }

    /// One of Xen's own small programs, such as `xenstore-read`; as another user, where one is named.
    pub fn tool(&self, user: Option<&str>, name: &str, arguments: &[&str]) -> Outcome {
        let mut command = self.program(&Path::new("usr/bin").join(name), None);
        command.args(arguments);
        let Some(user) = user else { return run(&mut command, LONG) };
        let mut other = Command::new("setpriv");
        other.args(["--reuid", user, "--clear-groups"]).arg(command.get_program());
        other.args(command.get_args()).env("XENSTORED_PATH", self.socket());
        run(&mut other, LONG)
    }

    /// A guest of that number, of which xenstored is told.
    pub fn guest(&self, number: u32) -> Guest {
        let guests = self.dir.join("guests");
        let ring = guests.join(format!("{number}.ring"));
        fs::write(&ring, [0; PAGE_BYTES]).expect("the folder is ours");
        let ring = OpenOptions::new().read(true).write(true).open(ring).expect("its ring");
        let ports = OpenOptions::new().read(true).write(true).open(guests.join("ports"));
        let mut host = Peer::over(Socket::connect(&self.socket()));
        let said = host.ask(8, format!("{number}\x001\x005\0").as_bytes());
        said.expect("xenstored takes the guest");
        let ports = ports.expect("the pipe");
        let peer = Peer::over(Ring { number, ring, ports });
        Guest { peer, guests, number }
    }
}

impl Drop for Xenstored {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How bytes go to xenstored and come back.
trait Way {
    fn send(&mut self, bytes: &[u8]);
    /// What is there at the moment, which may be nothing.
    fn receive(&mut self, into: &mut Vec<u8>);
}

/// The control domain's own way, here for what the driver never asks.
struct Socket(std::os::unix::net::UnixStream);

impl Socket {
    fn connect(path: &Path) -> Self {
        let socket = std::os::unix::net::UnixStream::connect(path).expect("xenstored is there");
        socket.set_read_timeout(Some(LONG)).expect("a limit");
        Self(socket)
    }
}

impl Way for Socket {
    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("xenstored reads");
    }

    fn receive(&mut self, into: &mut Vec<u8>) {
        let mut bytes = [0; PAGE_BYTES];
        let count = std::io::Read::read(&mut self.0, &mut bytes).expect("xenstored answers");
        assert!(count > 0, "xenstored has gone");
        into.extend_from_slice(&bytes[..count]);
    }
}

/// Where a buffer is in the ring, and how far its reader and its writer have come.
#[derive(Clone, Copy)]
struct Cursor {
    data: u64,
    read: u64,
    written: u64,
}

struct Ring {
    number: u32,
    ring: File,
    ports: File,
}

impl Ring {
    fn word(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        self.ring.read_exact_at(&mut bytes, at).expect("the ring");
        u32::from_ne_bytes(bytes)
    }

    fn set(&mut self, at: u64, word: u32) {
        self.ring.write_all_at(&word.to_ne_bytes(), at).expect("the ring");
        let port = (PORT_FIRST + self.number).to_ne_bytes();
        self.ports.write_all(&port).expect("the pipe");
    }
}

impl Way for Ring {
    fn send(&mut self, bytes: &[u8]) {
        let end = Instant::now() + LONG;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (read, written) = (self.word(REQUESTS.read), self.word(REQUESTS.written));
            let room = BUFFER_BYTES - written.wrapping_sub(read);
            let start = written % BUFFER_BYTES;
            let most = room.min(BUFFER_BYTES - start) as usize;
            if most == 0 {
                assert!(Instant::now() < end, "xenstored does not read the ring");
                std::thread::sleep(STEP);
                continue;
            }
            let (part, after) = rest.split_at(most.min(rest.len()));
            let at = REQUESTS.data + u64::from(start);
            self.ring.write_all_at(part, at).expect("the ring");
            let count = u32::try_from(part.len()).expect("within the ring");
            self.set(REQUESTS.written, written.wrapping_add(count));
            rest = after;
        }
    }

    fn receive(&mut self, into: &mut Vec<u8>) {
        let (read, written) = (self.word(ANSWERS.read), self.word(ANSWERS.written));
        let start = read % BUFFER_BYTES;
        let count = written.wrapping_sub(read).min(BUFFER_BYTES - start);
        if count == 0 {
            return std::thread::sleep(STEP);
        }
        let mut bytes = vec![0; count as usize];
        self.ring.read_exact_at(&mut bytes, ANSWERS.data + u64::from(start)).expect("the ring");
        into.extend_from_slice(&bytes);
        self.set(ANSWERS.read, read.wrapping_add(count));
    }
}

fn message(kind: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short");
    let mut message: Vec<u8> =
        [kind, 1, 0, length].iter().flat_map(|word| word.to_ne_bytes()).collect();
    message.extend_from_slice(payload);
    message
}

/// Somebody who asks one thing after the other.
struct Peer<W> {
    way: W,
    bytes: Vec<u8>,
    events: Vec<String>,
}

impl<W: Way> Peer<W> {
    fn over(way: W) -> Self {
        Self { way, bytes: Vec::new(), events: Vec::new() }
    }

    /// What is answered, or the name of the error.
    fn ask(&mut self, kind: u32, payload: &[u8]) -> Result<String, String> {
        self.way.send(&message(kind, payload));
        self.answer()
    }

    fn answer(&mut self) -> Result<String, String> {
        loop {
            let (answered, payload) = self.next();
            let text = String::from_utf8_lossy(&payload).trim_end_matches('\0').to_owned();
            match answered {
                EVENT => self.events.push(text.replace('\0', " ")),
                ERROR => return Err(text),
                _ => return Ok(text),
            }
        }
    }

    fn next(&mut self) -> (u32, Vec<u8>) {
        let end = Instant::now() + LONG;
        loop {
            let word = |at: usize| {
                let four = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
                four.map(|four| u32::from_ne_bytes(*four))
            };
            if let (Some(kind), Some(length)) = (word(0), word(12)) {
                let whole = 16 + length as usize;
                if self.bytes.len() >= whole {
                    let payload = self.bytes.drain(..whole).skip(16).collect();
                    return (kind, payload);
                }
            }
            assert!(Instant::now() < end, "xenstored does not answer");
            self.way.receive(&mut self.bytes);
        }
    }
}

/// A guest of xenstored's.
pub struct Guest {
    peer: Peer<Ring>,
    guests: PathBuf,
    number: u32,
}

impl Guest {
    pub fn read(&mut self, path: &str) -> Result<String, String> {
        self.peer.ask(2, format!("{path}\0").as_bytes())
    }

    pub fn write(&mut self, path: &str, value: &str) -> Result<String, String> {
        self.peer.ask(11, format!("{path}\0{value}").as_bytes())
    }

    /// Writes as fast as it can: many at once, then what is answered to them.
    pub fn storm(&mut self, count: usize, node: impl Fn(usize) -> (String, String)) {
        let all: Vec<usize> = (0..count).collect();
        for part in all.chunks(AT_ONCE) {
            let messages = part.iter().map(|at| {
                let (path, value) = node(*at);
                message(11, format!("{path}\0{value}").as_bytes())
            });
            let bytes: Vec<u8> = messages.flatten().collect();
            self.peer.way.send(&bytes);
            part.iter().for_each(|_| drop(self.peer.answer().expect("its own")));
        }
    }

    pub fn remove(&mut self, path: &str) -> Result<String, String> {
        self.peer.ask(13, format!("{path}\0").as_bytes())
    }

    pub fn list(&mut self, path: &str) -> Result<String, String> {
        self.peer.ask(1, format!("{path}\0").as_bytes())
    }

    pub fn watch(&mut self, path: &str) -> Result<String, String> {
        self.peer.ask(4, format!("{path}\0token\0").as_bytes())
    }

    pub fn begin_transaction(&mut self) -> Result<String, String> {
        self.peer.ask(6, b"\0")
    }

    /// What it was told of watches until now.
    pub fn events(&self) -> &[String] {
        &self.peer.events
    }

    /// It shuts down; it is there until it is taken away.
    pub fn end(&mut self) {
        fs::write(self.guests.join(format!("{}.ended", self.number)), "").expect("a sign");
        self.tell();
    }

    /// Nothing is left of it.
    pub fn destroy(mut self) {
        for what in ["ring", "ended"] {
            let _ = fs::remove_file(self.guests.join(format!("{}.{what}", self.number)));
        }
        self.tell();
    }

    fn tell(&mut self) {
        self.peer.way.ports.write_all(&PORT_ENDED.to_ne_bytes()).expect("the pipe");
    }
}
