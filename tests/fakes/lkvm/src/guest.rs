//! The "guest": its socket, its threads, its state, and its end.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::options::Options;
use crate::{FATAL, console, faults, ipc, list, options};

pub(crate) const NONE: u8 = 0;
pub(crate) const SOME: u8 = 1;
pub(crate) const ALL: u8 = 2;

/// What the threads share.
pub(crate) struct Guest {
    pub(crate) options: Options,
    pub(crate) socket: PathBuf,
    pub(crate) paused: AtomicBool,
    /// How many processors are there: [`NONE`], [`SOME`] or [`ALL`].
    pub(crate) vcpus: AtomicU8,
    /// A processor is at its console, and neither parks nor ends before that has taken its words.
    pub(crate) writing: AtomicBool,
    pub(crate) inflated_mib: AtomicI64,
    /// The magic keys that came.
    pub(crate) keys: Mutex<Vec<u8>>,
    end: Mutex<Option<End>>,
    ended: Condvar,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Reset,
    /// KVM gave up on it: the tool says so and ends as well as ever.
    Crash,
}

impl Guest {
    pub(crate) fn end(&self, how: End) {
        let mut end = self.end.lock().expect("nobody panics");
        end.get_or_insert(how);
        self.ended.notify_all();
    }

    pub(crate) fn has_balloon(&self) -> bool {
        self.options.has("balloon")
    }
}

fn fatal(message: &str) -> ExitCode {
    eprintln!("  Fatal: {message}");
    ExitCode::from(FATAL)
}

/// `lkvm run`.
pub(crate) fn run(options: Options) -> ExitCode {
    let Some(home) = list::home() else { return fatal("HOME is not there") };
    let dir = home.join(".lkvm");
    // One folder, not those above it.
    drop(std::fs::create_dir(&dir));
    if !options.has("nodefaults") && !options.has("disk") && !options.has("initrd") {
        // The host's root, writable in the guest: what no daemon may let happen.
        drop(std::fs::create_dir(dir.join("default")));
    }
    let name =
        options.get("name").map_or_else(|| format!("guest-{}", std::process::id()), str::to_owned);
    let socket = dir.join(format!("{name}.sock"));
    let listener = match bind(&socket) {
        Ok(listener) => listener,
        Err(message) => return fatal(&message),
    };
    let guest = Arc::new(Guest {
        options,
        socket,
        paused: AtomicBool::new(false),
        vcpus: AtomicU8::new(NONE),
        writing: AtomicBool::new(false),
        inflated_mib: AtomicI64::new(0),
        keys: Mutex::default(),
        end: Mutex::new(None),
        ended: Condvar::new(),
    });
    let serving = Arc::clone(&guest);
    spawn("kvm-ipc", move || ipc::serve(&serving, &listener));
    faults::wait("slow-start");
    if let Err(message) = options::check(&guest.options) {
        // The socket stays: the tool does not clean up after itself here.
        return fatal(&message);
    }
    if let Some(code) = faults::text("fail").and_then(|code| code.parse::<u8>().ok()) {
        eprintln!("  Fatal: a fault that was asked for");
        return ExitCode::from(code);
    }
    start(&guest);
    let mut end = guest.end.lock().expect("nobody panics");
    while end.is_none() {
        end = guest.ended.wait(end).expect("nobody panics");
    }
    finish(&guest, *end)
}

fn finish(guest: &Guest, end: Option<End>) -> ExitCode {
    if end == Some(End::Crash) {
        eprintln!("  Error: KVM exit reason: 17 (\"KVM_EXIT_INTERNAL_ERROR\")");
    }
    if let Some(code) = faults::text("exit").and_then(|code| code.parse::<u8>().ok()) {
        return ExitCode::from(code);
    }
    drop(std::fs::remove_file(&guest.socket));
    faults::wait("slow-end");
    eprintln!("\n  # KVM session ended normally.");
    ExitCode::SUCCESS
}

/// Makes the socket; one that nobody listens on is taken over.
fn bind(socket: &Path) -> Result<UnixListener, String> {
    if socket.exists() {
        if UnixStream::connect(socket).is_ok() {
            return Err(format!("Guest socket file {} already exists.", socket.display()));
        }
        drop(std::fs::remove_file(socket));
    }
    listen(socket).map_err(|error| format!("{}: {error}", socket.display()))
}

/// The queue of clients is as short as the tool's.
fn listen(socket: &Path) -> std::io::Result<UnixListener> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    const WAITING_MAX: i32 = 5;
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&listener, &SocketAddrUnix::new(socket)?)?;
    rustix::net::listen(&listener, WAITING_MAX)?;
    Ok(UnixListener::from(listener))
}

/// The threads of a guest that runs, with the names that the tool gives them.
fn start(guest: &Arc<Guest>) {
    let reading = Arc::clone(guest);
    spawn("term-poll", move || console::read(&reading));
    if guest.options.has("vnc") {
        spawn("kvm-vnc-worker", console::display);
    }
    if faults::is("no-vcpus") {
        return;
    }
    let count = guest.options.number("cpus", 1);
    for number in 0..count {
        if number > 0 {
            faults::wait("slow-vcpus");
        }
        // Order: known before it can be seen, as with the real one.
        let there = if number + 1 == count { ALL } else { SOME };
        guest.vcpus.store(there, Ordering::Release);
        spawn(&format!("kvm-vcpu-{number}"), || {
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        });
    }
    console::say(&format!("TINYGUEST READY fake {}\r\n", std::process::id()));
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    let builder = std::thread::Builder::new().name(name.to_owned());
    drop(builder.spawn(work).expect("a thread"));
}
