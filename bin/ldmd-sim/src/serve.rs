//! The program's main loop: takes connections, each with a thread of its own, and signals.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::AsFd;
use rustix::process::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use virt_store::Durability;

use crate::actions::guest_reset;
use crate::console;
use crate::manager::Manager;
use crate::model::CONTROL;
use crate::options::Settings;
use crate::session;

/// Limit: clients at the same time.
const CLIENTS_MAX: usize = 512;
/// How long to wait when a client cannot be taken.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Descriptors that are asked for: each bound domain has a port for its console.
const DESCRIPTORS_MAX: u64 = 65_536;

/// Serves until the process is told to end.
pub(crate) fn run(settings: Settings) -> Result<(), String> {
    let io = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    raise_limit();
    let ends = signals(&[SIGTERM, SIGINT]).map_err(io("signals"))?;
    let reboots = signals(&[SIGUSR1]).map_err(io("signals"))?;
    let local = TcpListener::bind(settings.listen)
        .map_err(|error| format!("{}: {error}", settings.listen))?;
    let remote = settings.remote_listen.map(TcpListener::bind).transpose();
    let remote = remote.map_err(io("remote address"))?;
    let manager = Arc::new(Manager::new(settings)?);
    announce(&manager.settings, &local, remote.as_ref())?;
    let consoles = Arc::clone(&manager);
    std::thread::spawn(move || {
        if let Err(error) = console::serve(&consoles) {
            eprintln!("ldmd-sim: consoles: {error}");
        }
    });
    let clients = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = vec![
            PollFd::new(&ends, PollFlags::IN),
            PollFd::new(&reboots, PollFlags::IN),
            PollFd::from_borrowed_fd(local.as_fd(), PollFlags::IN),
        ];
        fds.extend(remote.as_ref().map(|remote| PollFd::new(remote, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let is_ready = |at: usize| ready.get(at).copied().unwrap_or(false);
        if is_ready(0) {
            if let Some(path) = &manager.settings.ready {
                // It may have been removed already.
                let _ = virt_store::remove(path);
            }
            return Ok(());
        }
        if is_ready(1) {
            reboot(&manager, &reboots);
        }
        if is_ready(2) {
            accept(&manager, &clients, &local, false);
        }
        if let Some(remote) = remote.as_ref().filter(|_| is_ready(3)) {
            accept(&manager, &clients, remote, true);
        }
    }
}

/// Asks for as many descriptors as are to be had.
fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(limit.maximum.unwrap_or(DESCRIPTORS_MAX).min(DESCRIPTORS_MAX));
    // With fewer of them fewer domains can be bound: each says so by itself.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// A socket that becomes readable when one of these signals comes.
fn signals(signals: &[i32]) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in signals {
        signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    Ok(read)
}

/// Says where clients can connect.
fn announce(
    settings: &Settings,
    local: &TcpListener,
    remote: Option<&TcpListener>,
) -> Result<(), String> {
    let mut text = format!("profile={}\n", settings.profile);
    for (name, listener) in [("listen", Some(local)), ("remote-listen", remote)] {
        if let Some(listener) = listener {
            let address = listener.local_addr().map_err(|error| error.to_string())?;
            text.push_str(&format!("{name}={address}\n"));
        }
    }
    let mut out = io::stdout();
    // Nobody may be reading any more; the file is what counts then.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match &settings.ready {
        None => Ok(()),
        Some(path) => virt_store::write(path, text.as_bytes(), 0o644, Durability::Process)
            .map_err(|error| error.to_string()),
    }
}

fn accept(manager: &Arc<Manager>, clients: &Arc<AtomicUsize>, from: &TcpListener, is_remote: bool) {
    let Ok((socket, _)) = from.accept() else {
        // Without descriptors for it the client stays in the queue: not to be looked at at once.
        std::thread::sleep(ACCEPT_PAUSE);
        return;
    };
    if clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS_MAX {
        clients.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (manager, clients) = (Arc::clone(manager), Arc::clone(clients));
    let serve = move |socket: TcpStream| {
        // A connection that breaks is a client's own affair.
        let _ = session::serve(&manager, socket, is_remote);
        clients.fetch_sub(1, Ordering::Relaxed);
    };
    std::thread::spawn(move || serve(socket));
}

/// The control domain begins anew, with what waited for this.
fn reboot(manager: &Manager, mut signals: &UnixStream) {
    let mut seen = [0; 64];
    while signals.read(&mut seen).is_ok_and(|count| count > 0) {}
    let mut machine = manager.machine();
    let done = guest_reset(&mut machine, CONTROL);
    manager.save(&mut machine);
    drop(machine);
    match done {
        Ok(notice) => manager.publish(&[notice]),
        Err(why) => eprintln!("ldmd-sim: {why}"),
    }
}
