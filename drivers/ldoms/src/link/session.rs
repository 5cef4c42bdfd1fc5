//! One connection to a manager: bytes out, stanzas in, nothing waited for without a deadline.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::tls::{self, TlsStream};
use super::{LinkError, Linked, Person, Target, greet};
use crate::message::{Kind, Message, Stanza, StanzaReader};

/// Limit: how long a manager may take to be reached and to greet.
pub(crate) const OPEN_WAIT_MAX: Duration = Duration::from_secs(20);
/// Limit: how long one address of a host is tried.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Limit: events that came before the answer to a question; more are of no use before it.
const EVENTS_MAX: usize = 1024;
const READ_BYTES: usize = 64 << 10;

/// How a manager is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    /// Documents on a plain socket, as LDoms 1.0 has it.
    Socket,
    /// Documents inside an XMPP stream with TLS, as every later release has it.
    Xmpp,
}

/// An open connection.
pub(crate) struct Session {
    pub(super) wire: Wire,
    pub(super) reader: StanzaReader,
    pub(crate) protocol: Protocol,
    events: VecDeque<Message>,
}

pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
    /// Between the two.
    Gone,
}

impl Wire {
    pub(super) fn socket(&self) -> Linked<&TcpStream> {
        match self {
            Self::Plain(socket) => Ok(socket),
            Self::Tls(stream) => Ok(&stream.sock),
            Self::Gone => Err(LinkError::Closed),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Self::Gone => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::Gone => Ok(0),
        }
    }
}

impl Session {
    /// Reaches a manager and greets it; by the protocol given, or by the one it turns out to speak.
    pub(crate) fn open(
        target: &Target,
        person: &Person,
        protocol: Option<Protocol>,
    ) -> Linked<Self> {
        let deadline = Instant::now() + OPEN_WAIT_MAX;
        let Some(protocol) = protocol else { return greet::probe(target, person, deadline) };
        let mut session = Self::connect(target, protocol, deadline)?;
        if protocol == Protocol::Xmpp {
            greet::xmpp(&mut session, target, person, deadline)?;
        }
        Ok(session)
    }

    pub(super) fn connect(target: &Target, protocol: Protocol, deadline: Instant) -> Linked<Self> {
        let place = format!("{}:{}", target.host, target.port);
        let unreachable = |error| LinkError::Unreachable(place.clone(), error);
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        let addresses = (target.host.as_str(), target.port).to_socket_addrs();
        for address in addresses.map_err(unreachable)? {
            let wait =
                left(deadline).map_err(|_| unreachable(std::io::ErrorKind::TimedOut.into()))?;
            match TcpStream::connect_timeout(&address, wait.min(CONNECT_WAIT_MAX)) {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    keep_alive(&socket)?;
                    return Ok(Self {
                        wire: Wire::Plain(socket),
                        reader: StanzaReader::default(),
                        protocol,
                        events: VecDeque::new(),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    /// Goes on under TLS. What came unprotected after the manager's word to start is refused.
    pub(super) fn start_tls(&mut self, target: &Target) -> Linked<()> {
        if !self.reader.is_empty() {
            return Err(LinkError::Broken("bytes before TLS was started".to_owned()));
        }
        self.reader = StanzaReader::default();
        match std::mem::replace(&mut self.wire, Wire::Gone) {
            Wire::Plain(socket) => {
                self.wire = Wire::Tls(Box::new(tls::client(target, socket)?));
                Ok(())
            }
            other => {
                self.wire = other;
                Err(LinkError::Broken("TLS was started twice".to_owned()))
            }
        }
    }

    pub(super) fn send(&mut self, text: &str, deadline: Instant) -> Linked<()> {
        self.wire.socket()?.set_write_timeout(Some(left(deadline)?))?;
        self.wire.write(text.as_bytes()).map_err(tls_or_io)
    }

    /// The next stanza; without a deadline, whenever it comes.
    pub(super) fn stanza(&mut self, deadline: Option<Instant>) -> Linked<Stanza> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.reader.next() {
                Ok(Some(stanza)) => return Ok(stanza),
                Ok(None) => {}
                Err(error) => return Err(LinkError::Broken(error.to_string())),
            }
            let wait = deadline.map(left).transpose()?;
            self.wire.socket()?.set_read_timeout(wait)?;
            match self.wire.read(&mut buffer) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => self.reader.push(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(tls_or_io(error)),
            }
        }
    }

    /// Sends a request and waits for its answer. The protocol has no numbers: what comes next with
    /// the same action is the answer. After an error the connection is of no more use.
    pub(crate) fn ask(&mut self, request: &Message, deadline: Instant) -> Linked<Message> {
        self.send(&request.print(), deadline)?;
        let asked = request.commands.iter().map(|command| &command.action);
        loop {
            let Some(answer) = self.message(Some(deadline))? else { continue };
            if answer.kind == Kind::Event {
                if self.events.len() < EVENTS_MAX {
                    self.events.push_back(answer);
                }
                continue;
            }
            let echoed = answer.commands.iter().map(|command| &command.action);
            // A malformed request is answered without its commands.
            if answer.commands.is_empty() || echoed.eq(asked.clone()) {
                return Ok(answer);
            }
            return Err(LinkError::Broken("an answer to another request".to_owned()));
        }
    }

    /// The next event, whenever it comes.
    pub(crate) fn event(&mut self) -> Linked<Message> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        loop {
            if let Some(message) = self.message(None)?.filter(|message| message.kind == Kind::Event)
            {
                return Ok(message);
            }
        }
    }

    /// The next stanza as a message, or `None` for one that is none.
    fn message(&mut self, deadline: Option<Instant>) -> Linked<Option<Message>> {
        match self.stanza(deadline)? {
            Stanza::Element(text) if is_message(&text) => match Message::parse(&text) {
                Ok(message) => Ok(Some(message)),
                Err(error) => Err(LinkError::Broken(error.to_string())),
            },
            Stanza::Element(text) => match element_name(&text) {
                "failure" | "error" => Err(LinkError::Broken("it ended the stream".to_owned())),
                _ => Ok(None),
            },
            Stanza::Open => Ok(None),
            Stanza::Close => Err(LinkError::Closed),
        }
    }

    /// Whether the manager has ended the connection, as far as can be seen without waiting.
    pub(crate) fn is_stale(&mut self) -> bool {
        let Ok(socket) = self.wire.socket() else { return true };
        if socket.set_nonblocking(true).is_err() {
            return true;
        }
        let mut buffer = vec![0; READ_BYTES];
        let quiet = match self.wire.read(&mut buffer) {
            // Blanks keep a connection alive, and events may come; on a plain socket nothing may.
            Ok(count) if count > 0 && self.protocol == Protocol::Xmpp => {
                self.reader.push(buffer.get(..count).unwrap_or_default());
                true
            }
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        };
        !quiet || self.wire.socket().is_ok_and(|socket| socket.set_nonblocking(false).is_err())
    }

    /// A handle that ends the connection from another thread.
    pub(crate) fn hangup(&self) -> Linked<Hangup> {
        Ok(Hangup(self.wire.socket()?.try_clone()?))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// Ends the connection it was made from when dropped.
#[derive(Debug)]
pub(crate) struct Hangup(TcpStream);

impl Drop for Hangup {
    fn drop(&mut self) {
        // Who reads there learns of it; if it is closed already, nothing is lost.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// How long is left until a deadline.
pub(super) fn left(deadline: Instant) -> Linked<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(LinkError::TimedOut) } else { Ok(left) }
}

/// Limit: a manager whose machine is gone is missed after a minute, even by who waits for events.
fn keep_alive(socket: &TcpStream) -> Linked<()> {
    use rustix::net::sockopt;
    let set = || {
        sockopt::set_socket_keepalive(socket, true)?;
        sockopt::set_tcp_keepidle(socket, Duration::from_secs(30))?;
        sockopt::set_tcp_keepintvl(socket, Duration::from_secs(10))?;
        sockopt::set_tcp_keepcnt(socket, 3)
    };
    set().map_err(|error| LinkError::Io(error.into()))
}

fn is_message(text: &str) -> bool {
    matches!(element_name(text), "LDM_interface" | "LDM_event")
}

/// The local name of an element's start tag.
pub(super) fn element_name(text: &str) -> &str {
    let tag = text.strip_prefix('<').unwrap_or(text);
    let name = tag.split(['>', '/', ' ', '\t', '\r', '\n']).next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default()
}

/// What TLS reports through the socket's errors is told apart from the socket's own.
fn tls_or_io(error: std::io::Error) -> LinkError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => LinkError::Tls(inner.to_string()),
        None => error.into(),
    }
}
