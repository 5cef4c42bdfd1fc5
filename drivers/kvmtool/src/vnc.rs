//! Displays: at a port and an address of the daemon's choice, which the tool has no option for.
//!
//! The tool listens on port 5900 of every address, and asks for no password. So a guest with a display
//! lives in a network of its own, which nobody reaches; the daemon listens where the document says,
//! and for each client a thread goes into the guest's network and relays. Only root can do so.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use virt_error::{Error, Result};
use virt_model::YesNo;
use virt_model::domain::Domain;
use virt_model::domain::graphics::Listen;

use crate::core::Core;
use crate::net::program;
use crate::{ORIGIN, unsupported};

/// Where the tool listens.
const TOOL_PORT: u16 = 5900;

/// Limit: the ports tried for a display, as in libvirt's own configuration.
const PORTS: std::ops::RangeInclusive<u16> = 5900..=65535;

/// Limit: clients of one display.
const CLIENTS_MAX: usize = 16;

/// Limit: how long the tool may take to listen.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const CONNECT_STEP: Duration = Duration::from_millis(20);

const BUFFER_BYTES: usize = 64 << 10;

/// The program that makes a network for a guest with a display.
pub(crate) fn unshare(document: &Domain) -> Result<Option<PathBuf>> {
    if document.devices.graphics.is_empty() {
        return Ok(None);
    }
    if !rustix::process::geteuid().is_root() {
        return unsupported(
            "graphics need a network of the guest's own, since the tool shows its display to \
             everybody: only the system's daemon has the right to make one",
        );
    }
    match program("unshare").filter(|_| program("nsenter").is_some()) {
        Some(program) => Ok(Some(program)),
        None => unsupported("graphics need the programs 'unshare' and 'nsenter'"),
    }
}

/// Listens where a document wants its display, and writes down where that is.
pub(crate) fn listen(core: &Core, document: &mut Domain) -> Result<Option<TcpListener>> {
    unshare(document)?;
    let Some(graphics) = document.devices.graphics.first_mut() else { return Ok(None) };
    if graphics.listens.is_empty() {
        graphics.listens.push(Listen::default());
    }
    let usual = core.config.vnc_listen.clone().unwrap_or_else(|| "127.0.0.1".into());
    let address = match graphics.listens.first_mut() {
        Some(listen) => listen.address.get_or_insert(usual).clone(),
        None => usual,
    };
    graphics.listen = Some(address.clone());
    let bind = |port: u16| TcpListener::bind((address.as_str(), port));
    let fixed = graphics.ports.port.and_then(|port| u16::try_from(port).ok());
    let fixed = fixed.filter(|_| graphics.ports.autoport != Some(YesNo::Yes));
    let listener = match fixed {
        Some(port) => bind(port).map_err(|error| {
            Error::io(ORIGIN, &error, format!("cannot listen on {address}:{port} for the display"))
        })?,
        None => PORTS.clone().find_map(|port| bind(port).ok()).ok_or_else(|| {
            let (low, high) = (PORTS.start(), PORTS.end());
            let detail = format!("Unable to find an unused port in range 'vnc-{low}-{high}'");
            Error::internal(ORIGIN, detail)
        })?,
    };
    let port = listener.local_addr().map(|address| i32::from(address.port())).ok();
    graphics.ports.port = port;
    Ok(Some(listener))
}

/// Listens again where a running guest's document says.
pub(crate) fn listen_again(document: &Domain) -> Option<TcpListener> {
    let graphics = document.devices.graphics.first()?;
    let address = graphics.listens.first()?.address.as_deref()?;
    let port = u16::try_from(graphics.ports.port?).ok()?;
    TcpListener::bind((address, port)).ok()
}

/// The daemon's side of a display; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    stop: Arc<OwnedFd>,
}

impl Relay {
    /// Relays clients into the network of a process.
    pub(crate) fn start(listener: TcpListener, pid: u32) -> Result<Self> {
        let failed = |error: std::io::Error| Error::io(ORIGIN, &error, "cannot relay a display");
        listener.set_nonblocking(true).map_err(failed)?;
        let network = Arc::new(File::open(format!("/proc/{pid}/ns/net")).map_err(failed)?);
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let stop = Arc::new(stop);
        let accepting = Arc::clone(&stop);
        let builder = std::thread::Builder::new().name("kvmtool-vnc".into());
        builder.spawn(move || accept(&listener, &network, &accepting)).map_err(failed)?;
        Ok(Self { stop })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It is never read, so that all threads see it; eight bytes always fit.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
    }
}

fn accept(listener: &TcpListener, network: &Arc<File>, stop: &Arc<OwnedFd>) {
    let clients = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        if poll(&mut fds, None).is_err_and(|error| error != rustix::io::Errno::INTR) {
            return;
        }
        if !fds[1].revents().is_empty() {
            return;
        }
        let Ok((client, _)) = listener.accept() else { continue };
        if clients.fetch_add(1, Ordering::AcqRel) >= CLIENTS_MAX {
            clients.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (network, stop, count) = (Arc::clone(network), Arc::clone(stop), Arc::clone(&clients));
        let builder = std::thread::Builder::new().name("kvmtool-vnc".into());
        let spawned = builder.spawn(move || {
            // What goes wrong closes the client's connection, which is all there is to tell.
            let _ = serve(&client, &network, &stop);
            count.fetch_sub(1, Ordering::AcqRel);
        });
        if spawned.is_err() {
            clients.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// One client: this thread leaves the host's network for good.
fn serve(client: &TcpStream, network: &File, stop: &OwnedFd) -> std::io::Result<()> {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    let deadline = Instant::now() + CONNECT_MAX;
    let guest = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, TOOL_PORT)) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(CONNECT_STEP),
            done => break done?,
        }
    };
    client.set_nonblocking(true)?;
    guest.set_nonblocking(true)?;
    let mut ways = [Way::new(client, &guest), Way::new(&guest, client)];
    while ways.iter().any(|way| !way.ended) {
        let wanted = |at: usize, other: usize| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, ways[at].wants_more());
            flags.set(PollFlags::OUT, !ways[other].waiting.is_empty());
            flags
        };
        let mut fds = [
            PollFd::new(client, wanted(0, 1)),
            PollFd::new(&guest, wanted(1, 0)),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            done => done?,
        };
        if !fds[2].revents().is_empty() {
            return Ok(());
        }
        ways.iter_mut().try_for_each(Way::step)?;
    }
    Ok(())
}

/// One direction of a relayed connection.
struct Way<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    /// Read and not yet written.
    waiting: Vec<u8>,
    ended: bool,
}

impl<'a> Way<'a> {
    fn new(from: &'a TcpStream, to: &'a TcpStream) -> Self {
        Self { from, to, waiting: Vec::new(), ended: false }
    }

    fn wants_more(&self) -> bool {
        !self.ended && self.waiting.is_empty()
    }

    fn step(&mut self) -> std::io::Result<()> {
        if self.wants_more() {
            let mut buffer = vec![0_u8; BUFFER_BYTES];
            match self.from.read(&mut buffer) {
                Ok(0) => {
                    self.ended = true;
                    return self.to.shutdown(std::net::Shutdown::Write);
                }
                Ok(count) => {
                    buffer.truncate(count);
                    self.waiting = buffer;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if !self.waiting.is_empty() {
            match self.to.write(&self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
