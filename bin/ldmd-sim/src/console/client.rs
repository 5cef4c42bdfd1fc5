//! One telnet client of a console group: the choice of a console, and the way out with `~`.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd as _;

use super::guest;
use super::hub::Outgoing;
use super::telnet::{GREETING, Said, Telnet};
use crate::manager::Manager;

/// How long a client may leave what it is sent.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// How often it is seen whether the console is still there.
const LOOK: Duration = Duration::from_millis(200);
/// The prompt with the host's name is at most this long.
const PROMPT_BYTES_MAX: usize = 71;

/// What a client is doing.
enum Doing {
    /// It chooses; the start of what it chose, when more has to come.
    Choosing(String),
    Connected {
        domain: String,
        /// The next byte is the first of a line: there `~` begins a command.
        at_start: bool,
        after_tilde: bool,
        /// It was asked whether it wants to write.
        is_asked: bool,
    },
}

pub(super) struct Client<'a> {
    manager: &'a Manager,
    socket: TcpStream,
    port: u16,
    outgoing: Arc<Outgoing>,
    telnet: Telnet,
    doing: Doing,
}

/// Whether the connection goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Read,
    Close,
}

impl<'a> Client<'a> {
    pub(super) fn new(manager: &'a Manager, socket: TcpStream, port: u16) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(WRITE_MAX))?;
        let outgoing = Outgoing::new()?;
        let doing = Doing::Choosing(String::new());
        Ok(Self { manager, socket, port, outgoing, telnet: Telnet::default(), doing })
    }

    /// The group of this port, and its consoles.
    fn group(&self) -> (String, Vec<String>) {
        let machine = self.manager.machine();
        let here = machine.domains.iter().filter(|domain| domain.bound.port == Some(self.port));
        let mut group = String::new();
        let names = here.map(|domain| {
            domain.console_group().clone_into(&mut group);
            domain.name.clone()
        });
        let names = names.collect();
        (group, names)
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.socket.write_all(text.as_bytes())
    }

    pub(super) fn serve(&mut self) -> io::Result<()> {
        self.socket.write_all(&GREETING)?;
        let (_, names) = self.group();
        match names.as_slice() {
            [] => return Ok(()),
            [only] => self.connect(only)?,
            _ => self.prompt()?,
        }
        let done = self.run();
        if let Doing::Connected { domain, .. } = &self.doing {
            self.manager.consoles().hub.leave(domain, &self.outgoing);
        }
        done
    }

    fn run(&mut self) -> io::Result<()> {
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.outgoing.wake(), PollFlags::IN),
            ];
            let look = Timespec::try_from(LOOK).map_err(io::Error::other)?;
            match poll(&mut fds, Some(&look)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready = fds.map(|fd| !fd.revents().is_empty());
            if ready[0] {
                let mut bytes = [0; 1024];
                let count = self.socket.read(&mut bytes)?;
                if count == 0 {
                    return Ok(());
                }
                for byte in bytes.get(..count).unwrap_or_default() {
                    if self.take(*byte)? == Next::Close {
                        return Ok(());
                    }
                }
            }
            let output = self.outgoing.take();
            self.socket.write_all(&output)?;
            if !self.is_there() {
                return Ok(());
            }
        }
    }

    /// Whether the console, or for one who chooses the group, is still there.
    fn is_there(&self) -> bool {
        let (_, names) = self.group();
        match &self.doing {
            Doing::Choosing(_) => !names.is_empty(),
            Doing::Connected { domain, .. } => names.contains(domain),
        }
    }

    fn take(&mut self, byte: u8) -> io::Result<Next> {
        match self.telnet.take(byte) {
            None => Ok(Next::Read),
            Some(Said::Reply(bytes)) => self.socket.write_all(&bytes).map(|()| Next::Read),
            Some(Said::Break) => {
                self.interrupt();
                Ok(Next::Read)
            }
            Some(Said::Byte(byte)) => match &self.doing {
                Doing::Choosing(_) => self.choose(byte),
                Doing::Connected { .. } => self.typed(byte),
            },
        }
    }

    fn prompt(&mut self) -> io::Result<()> {
        let (group, _) = self.group();
        let host = &self.manager.settings.hostname;
        let long = format!("{host}-vnts-{group}: h, l, c{{id}}, n{{name}}, q:");
        let short = "vnts: h, l, c{id}, n{name}, q:".to_owned();
        let prompt = if long.len() > PROMPT_BYTES_MAX { short } else { long };
        self.doing = Doing::Choosing(String::new());
        self.say(&format!("\r\n{prompt}"))
    }

    fn choose(&mut self, byte: u8) -> io::Result<Next> {
        let Doing::Choosing(before) = &mut self.doing else { return Ok(Next::Read) };
        let first = before.chars().next().unwrap_or(char::from(byte));
        match (first, byte) {
            ('c' | 'n', b'\r') => {
                let chosen = std::mem::take(before);
                self.say("\r")?;
                return self.chosen(&chosen);
            }
            ('c' | 'n', 8 | 127) => {
                before.pop();
                self.say("\u{8} \u{8}")?;
            }
            ('c' | 'n', byte) => {
                if before.len() < crate::actions::NAME_BYTES_MAX + 1 {
                    before.push(char::from(byte));
                }
                self.socket.write_all(&[byte])?;
            }
            ('l', _) => {
                self.say("l\r\n")?;
                self.list()?;
                self.prompt()?;
            }
            ('q', _) => {
                self.say("q\r\n")?;
                return Ok(Next::Close);
            }
            (_, b'\r') => self.prompt()?,
            _ => {
                self.socket.write_all(&[byte])?;
                self.say(
                    "\r\nh -- this help\r\nl -- list of consoles\r\nc{id} -- connect by id\r\n\
                     n{name} -- connect by name\r\nq -- quit\r\n",
                )?;
                self.prompt()?;
            }
        }
        Ok(Next::Read)
    }

    fn list(&mut self) -> io::Result<()> {
        let row = |id: &str, name: &str, state: &str| format!("{id:<20}{name:<30}{state:<25}\r\n");
        let mut text = row("DOMAIN ID", "DOMAIN NAME", "DOMAIN STATE");
        let (_, names) = self.group();
        for (id, name) in names.iter().enumerate() {
            let is_connected = self.manager.consoles().hub.is_connected(name);
            let state = if is_connected { "connected" } else { "online" };
            text.push_str(&row(&id.to_string(), name, state));
        }
        self.say(&text)
    }

    fn chosen(&mut self, chosen: &str) -> io::Result<Next> {
        let (_, names) = self.group();
        let rest = chosen.get(1..).unwrap_or_default();
        let found = match chosen.starts_with('c') {
            true => rest.parse().ok().and_then(|id: usize| names.get(id).cloned()),
            false => names.into_iter().find(|name| name == rest),
        };
        match found {
            Some(name) => self.connect(&name)?,
            None => {
                self.say("\r\nThere is no such console\r\n")?;
                self.prompt()?;
            }
        }
        Ok(Next::Read)
    }

    fn connect(&mut self, name: &str) -> io::Result<()> {
        let (group, _) = self.group();
        self.say(&format!(
            "\r\nConnecting to console \"{name}\" in group \"{group}\" ....\r\n\
             Press ~? for control options ..\r\n"
        ))?;
        self.manager.consoles().hub.join(name, &self.outgoing);
        self.doing = Doing::Connected {
            domain: name.to_owned(),
            at_start: true,
            after_tilde: false,
            is_asked: false,
        };
        Ok(())
    }

    /// Leaves the console; the group, if it has no other.
    fn leave(&mut self) -> io::Result<Next> {
        if let Doing::Connected { domain, .. } = &self.doing {
            self.manager.consoles().hub.leave(domain, &self.outgoing);
        }
        let (_, names) = self.group();
        if names.len() <= 1 {
            self.doing = Doing::Choosing(String::new());
            return Ok(Next::Close);
        }
        self.prompt().map(|()| Next::Read)
    }

    fn interrupt(&self) {
        if let Doing::Connected { domain, .. } = &self.doing
            && self.manager.consoles().hub.may_write(domain, &self.outgoing)
        {
            guest::interrupted(self.manager, domain);
        }
    }

    fn typed(&mut self, byte: u8) -> io::Result<Next> {
        let Doing::Connected { domain, at_start, after_tilde, is_asked } = &mut self.doing else {
            return Ok(Next::Read);
        };
        let domain = domain.clone();
        if std::mem::take(is_asked) {
            let hub = &self.manager.consoles().hub;
            if byte.eq_ignore_ascii_case(&b'y') {
                hub.take_over(&domain, &self.outgoing);
            }
            return self.say("\r\n").map(|()| Next::Read);
        }
        if std::mem::take(after_tilde) {
            return self.command(byte, &domain);
        }
        if *at_start && byte == b'~' {
            *after_tilde = true;
            return Ok(Next::Read);
        }
        *at_start = byte == b'\r';
        if !self.manager.consoles().hub.may_write(&domain, &self.outgoing) {
            return self.say("You do not have write access\r\n").map(|()| Next::Read);
        }
        guest::typed(self.manager, &domain, byte);
        Ok(Next::Read)
    }

    /// What follows `~` at the start of a line.
    fn command(&mut self, byte: u8, domain: &str) -> io::Result<Next> {
        match byte {
            b'.' => return self.leave(),
            b'#' => self.interrupt(),
            b'w' => {
                if let Doing::Connected { is_asked, .. } = &mut self.doing {
                    *is_asked = true;
                }
                self.say("\r\nWarning: another user may lose write access, go on? (y/n) ")?;
            }
            b'n' => return self.neighbour(domain, 1),
            b'p' => return self.neighbour(domain, -1),
            b'?' => self.say(
                "\r\n~#  send a break\r\n~.  leave this console\r\n~w  take write access\r\n\
                 ~n  next console\r\n~p  previous console\r\n~?  this help\r\n",
            )?,
            byte => {
                if self.manager.consoles().hub.may_write(domain, &self.outgoing) {
                    guest::typed(self.manager, domain, b'~');
                    guest::typed(self.manager, domain, byte);
                }
            }
        }
        Ok(Next::Read)
    }

    /// Goes to the next console of the group, or to the one before.
    fn neighbour(&mut self, domain: &str, step: i64) -> io::Result<Next> {
        let (_, names) = self.group();
        let count = i64::try_from(names.len()).unwrap_or(1).max(1);
        let at = names.iter().position(|name| name == domain).and_then(|at| i64::try_from(at).ok());
        let at = at.unwrap_or(0).saturating_add(step).rem_euclid(count);
        let other = usize::try_from(at).ok().and_then(|at| names.get(at).cloned());
        self.manager.consoles().hub.leave(domain, &self.outgoing);
        match other {
            Some(other) => self.connect(&other).map(|()| Next::Read),
            None => Ok(Next::Close),
        }
    }
}
