//! The console concentrator: a port for each console group, and telnet on it.

mod client;
mod guest;
mod hub;
mod ports;
mod telnet;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, poll};

pub(crate) use guest::begins;
pub(crate) use ports::Consoles;

use crate::manager::Manager;
use crate::serve::ACCEPT_PAUSE;

/// Limit: clients at the same time, on all ports.
const CLIENTS_MAX: usize = 256;

/// Serves the ports as they come and go, for as long as the process lives.
pub(crate) fn serve(manager: &Arc<Manager>) -> io::Result<()> {
    let consoles = manager.consoles();
    let clients = Arc::new(AtomicUsize::new(0));
    loop {
        let listeners = consoles.snapshot();
        let mut fds = vec![PollFd::from_borrowed_fd(consoles.changed(), PollFlags::IN)];
        fds.extend(listeners.iter().map(|(_, listener)| PollFd::new(&**listener, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = fds.iter().skip(1).map(|fd| !fd.revents().is_empty());
        for ((port, listener), _) in listeners.iter().zip(ready).filter(|(_, ready)| *ready) {
            let Ok((socket, _)) = listener.accept() else {
                // It was closed, or there are no descriptors left.
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            };
            if clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS_MAX {
                clients.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (manager, clients, port) = (Arc::clone(manager), Arc::clone(&clients), *port);
            std::thread::spawn(move || {
                let served = client::Client::new(&manager, socket, port);
                // A connection that breaks is a client's own affair.
                let _ = served.and_then(|mut client| client.serve());
                clients.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}
