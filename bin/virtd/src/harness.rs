//! A daemon inside the process that asks for it, for tests and the fuzzer: the real loop, workers and
//! sessions, with drivers of the caller's choice, and sockets that have no names.
//!
//! It lives as long as the process. It takes no signals and makes no files.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use virt_driver::Registry;

use crate::calls::Server;
use crate::drivers::Drivers;
use crate::entry::{Arrival, Auth, Way};
use crate::hall::Hall;
use crate::server;
use crate::settings::Settings;

/// A daemon that runs on a thread of this process.
pub struct Daemon {
    server: Arc<Server>,
    visitors: UnboundedSender<(UnixStream, Arrival)>,
}

/// By which door somebody comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    ReadWrite,
    ReadOnly,
    /// Who they are is asked first.
    Sasl,
    Admin,
}

impl Daemon {
    /// Starts one that is configured by `text`.
    pub fn start(text: &str, registry: Registry) -> Result<Self, String> {
        let settings = Settings::from_text(text, Path::new("/nonexistent"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| error.to_string())?;
        let access = settings.access()?;
        let drivers = Drivers::only(registry);
        let server = Server::new(settings, drivers, None, access, runtime.handle().clone());
        let server = Arc::new(server);
        let shared = Arc::clone(&server);
        let (visitors, mut came) = unbounded_channel::<(UnixStream, Arrival)>();
        let thread = std::thread::Builder::new().name("daemon".to_owned());
        let serve = move || {
            LocalSet::new().block_on(&runtime, async {
                tokio::task::spawn_local(server::relieve(Arc::clone(&server)));
                let hall = match Hall::new(Arc::clone(&server)) {
                    Ok(hall) => Rc::new(hall),
                    Err(error) => return virt_log::error!("rpc.server", "no loop: {error}"),
                };
                let serving = Rc::clone(&hall);
                tokio::task::spawn_local(async move { serving.run().await });
                while let Some((socket, arrival)) = came.recv().await {
                    server::welcome(&server, &hall, socket.into(), arrival);
                }
            });
        };
        thread.spawn(serve).map_err(|error| error.to_string())?;
        Ok(Self { server: shared, visitors })
    }

    /// What a hang-up signal makes a daemon do.
    pub fn reload(&self) {
        self.server.reload();
    }

    /// A client's end of a new connection.
    pub fn connect(&self, entry: Entry) -> std::io::Result<UnixStream> {
        let (near, far) = UnixStream::pair()?;
        self.welcome(near, entry)?;
        Ok(far)
    }

    /// Takes in who came to a socket of the caller's.
    pub fn welcome(&self, near: UnixStream, entry: Entry) -> std::io::Result<()> {
        near.set_nonblocking(true)?;
        let arrival = Arrival {
            way: Way::Unix,
            read_only: entry == Entry::ReadOnly,
            admin: entry == Entry::Admin,
            auth: if entry == Entry::Sasl { Auth::Sasl } else { Auth::None },
            peer: None,
        };
        let gone = |_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        self.visitors.send((near, arrival)).map_err(gone)
    }
}
