//! One client: the handshake of its stream, its documents, and the events it waits for.
//!
//! ```text
//! header → features ─ starttls → TLS → header → features ─ (remote: auth → header → features) → open
//! ```
//!
//! Compat: the client that came with the system takes each read for one whole stanza, so that
//! header, features and every stanza are one write each, with the prefixes it compares literally.
//! A manager 1.0 has no stream: documents come one after another.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use crate::bus::Mailbox;
use crate::fault::{Delivery, Fault};
use crate::link::Link;
use crate::manager::{Caller, Manager};
use crate::stanza::{Piece, Splitter};
use crate::users;

/// How long the loop sleeps when nothing happens.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client may take for its handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
/// Attempts to log in.
const LOGINS_MAX: u32 = 3;

const FEATURES_TLS: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>\
     <required/></starttls></stream:features>";
const FEATURES_SASL: &str = "<stream:features><mechanisms \
     xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>\
     </stream:features>";
const FEATURES_NONE: &str = "<stream:features/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const TLS_FAILURE: &str = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const END: &str = "</stream:stream>";

/// Who the client is.
struct User {
    name: String,
    may_write: bool,
}

struct Session<'a> {
    manager: &'a Manager,
    link: Link,
    splitter: Splitter,
    mailbox: Arc<Mailbox>,
    is_remote: bool,
    is_secure: bool,
    /// The header of the stream came, since the last change of it.
    has_header: bool,
    user: Option<User>,
    headers: u32,
    logins: u32,
}

/// Whether the connection goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Read,
    Close,
}

/// Serves a client until it or the connection ends.
pub(crate) fn serve(manager: &Manager, socket: TcpStream, is_remote: bool) -> io::Result<()> {
    let mut session = Session {
        manager,
        link: Link::new(socket)?,
        splitter: Splitter::default(),
        mailbox: manager.bus.join()?,
        is_remote,
        is_secure: !manager.settings.has_tls,
        has_header: false,
        user: None,
        headers: 0,
        logins: 0,
    };
    session.run()
}

impl Session<'_> {
    fn is_legacy(&self) -> bool {
        self.manager.settings.profile.is_legacy()
    }

    /// Whether documents are taken.
    fn is_open(&self) -> bool {
        self.is_legacy() || self.has_header && self.user.is_some()
    }

    fn run(&mut self) -> io::Result<()> {
        let started = std::time::Instant::now();
        let mut input = Vec::new();
        loop {
            let limit = if self.is_open() { IDLE } else { HANDSHAKE_MAX };
            let ready = self.link.wait(self.mailbox.wake(), limit)?;
            if !self.is_open() && started.elapsed() > HANDSHAKE_MAX {
                return Ok(());
            }
            if ready.input {
                input.clear();
                if !self.link.receive(&mut input)? {
                    return Ok(());
                }
                self.splitter.push(&input);
                while let Some(piece) = self.splitter.next() {
                    if self.take(&piece)? == Next::Close {
                        return Ok(());
                    }
                }
                if self.is_foreign() {
                    self.answer(None)?;
                    return Ok(());
                }
            }
            if ready.events {
                self.tell()?;
            }
            if self.mailbox.has_overflown() {
                return Ok(());
            }
        }
    }

    /// Sends the events that wait, each in a write of its own.
    fn tell(&mut self) -> io::Result<()> {
        while let Some(text) = self.mailbox.pop() {
            self.link.send(text.as_bytes())?;
        }
        Ok(())
    }

    /// A manager 1.0 sees that something is no document before it ends.
    fn is_foreign(&self) -> bool {
        self.is_legacy()
            && self.splitter.root().is_some_and(|root| local_name(root) != "LDM_interface")
    }

    fn take(&mut self, piece: &Piece) -> io::Result<Next> {
        match piece {
            Piece::Header | Piece::End if self.is_legacy() => {
                self.answer(None)?;
                Ok(Next::Close)
            }
            Piece::Header => self.header(),
            Piece::End => {
                self.link.send(END.as_bytes())?;
                Ok(Next::Close)
            }
            Piece::Broken(_) if self.is_open() => self.answer(None),
            Piece::Broken(_) => self.refuse("xml-not-well-formed"),
            Piece::Stanza(text) => self.stanza(text),
        }
    }

    /// Answers a stream's header by ours and what is possible now.
    fn header(&mut self) -> io::Result<Next> {
        if self.manager.has_early_fault(Fault::MuteHandshake) {
            return Ok(Next::Read);
        }
        self.has_header = true;
        self.send_header()?;
        let needs_login = self.is_remote && self.user.is_none();
        if self.is_secure && !self.is_remote && self.user.is_none() {
            let may_write = self.manager.live().local_may_write;
            self.user = Some(User { name: "local".to_owned(), may_write });
        }
        let features = match self.is_secure {
            false => FEATURES_TLS,
            true if needs_login => FEATURES_SASL,
            true => FEATURES_NONE,
        };
        self.link.send(features.as_bytes())?;
        Ok(Next::Read)
    }

    fn send_header(&mut self) -> io::Result<()> {
        self.headers += 1;
        let header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams' id='{}' from='ldmd' version='1.0'>",
            self.headers
        );
        self.link.send(header.as_bytes())
    }

    /// Ends a stream with an error.
    fn refuse(&mut self, condition: &str) -> io::Result<Next> {
        if !self.has_header {
            self.send_header()?;
        }
        let error = format!(
            "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             </stream:error>{END}"
        );
        self.link.send(error.as_bytes())?;
        Ok(Next::Close)
    }

    fn stanza(&mut self, text: &str) -> io::Result<Next> {
        let name = virt_xml::parse(text).map(|root| root.local_name().to_owned());
        let name = name.unwrap_or_default();
        match name.as_str() {
            _ if self.is_legacy() => self.answer(Some(text)),
            _ if !self.has_header => self.refuse("bad-format"),
            "starttls" if !self.is_secure => self.secure(),
            "auth" if self.is_secure && self.is_remote && self.user.is_none() => self.login(text),
            // What other streams carry does no harm.
            "iq" | "message" | "presence" => Ok(Next::Read),
            _ if self.is_open() => self.answer(Some(text)),
            _ if !self.is_secure => self.refuse("policy-violation"),
            _ => self.refuse("not-authorized"),
        }
    }

    fn secure(&mut self) -> io::Result<Next> {
        if self.manager.has_early_fault(Fault::TlsRefused) {
            self.link.send(format!("{TLS_FAILURE}{END}").as_bytes())?;
            return Ok(Next::Close);
        }
        let Some(config) = &self.manager.tls else { return self.refuse("internal-server-error") };
        self.link.send(PROCEED.as_bytes())?;
        self.link.secure(Arc::clone(config))?;
        self.splitter = Splitter::default();
        self.is_secure = true;
        self.has_header = false;
        Ok(Next::Read)
    }

    fn login(&mut self, text: &str) -> io::Result<Next> {
        self.logins += 1;
        let found = match virt_xml::parse(text) {
            Ok(auth) if auth.attr("mechanism") == Some("PLAIN") => {
                let users = self.manager.settings.users.as_deref();
                users::login(users, &auth.text()).ok_or("not-authorized")
            }
            _ => Err("invalid-mechanism"),
        };
        match found {
            Ok((name, may_write)) => {
                self.user = Some(User { name, may_write });
                self.has_header = false;
                self.link.send(SUCCESS.as_bytes())?;
                Ok(Next::Read)
            }
            Err(condition) => {
                let failure = format!(
                    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>"
                );
                self.link.send(failure.as_bytes())?;
                Ok(if self.logins < LOGINS_MAX { Next::Read } else { Next::Close })
            }
        }
    }

    /// Does what a document says; the events that follow from it come after its answer.
    fn answer(&mut self, text: Option<&str>) -> io::Result<Next> {
        let may_write = self.manager.live().local_may_write;
        let local = User { name: "local".to_owned(), may_write };
        let user = self.user.as_ref().unwrap_or(&local);
        let caller = Caller { name: &user.name, may_write: user.may_write, mailbox: &self.mailbox };
        let reply = self.manager.answer(text, &caller);
        let sent = self.deliver(&reply.delivery);
        self.manager.publish(&reply.notices);
        sent?;
        self.tell()?;
        Ok(if reply.delivery.closes { Next::Close } else { Next::Read })
    }

    fn deliver(&mut self, delivery: &Delivery) -> io::Result<()> {
        for bytes in &delivery.writes {
            self.link.send(bytes)?;
            if !delivery.pause.is_zero() {
                std::thread::sleep(delivery.pause);
            }
        }
        Ok(())
    }
}

fn local_name(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}
