//! The agent in a guest: who may speak with it and when, and what its refusals mean to a caller.
//!
//! A call takes the agent's turn, which is apart from the guest's own: an agent that hangs holds up
//! those who want the agent, and nobody else. It is spoken to over the socket that the emulator
//! listens on; whether anybody in the guest listens is told by the emulator (`events.rs`).

mod files;
mod info;
mod link;
mod nets;
mod power;
mod reader;
mod users;
mod vcpus;
mod words;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use virt_driver::{Call, Turn};
use virt_error::{Code, Error, Origin, Result};
use virt_json::Value;
use virt_model::domain::Domain as Document;
use virt_model::domain::chardev::{Channel, ChannelState, ChannelType, ChardevType};
use virt_types::{DomainRef, api};

use crate::core::Core;
use crate::guest::{Data, Guest, invalid_operation};

pub(crate) use files::{file_systems, freeze, thaw, trim};
pub(crate) use info::{hostname, info};
pub use link::{Link, LinkError, SYNC_WAIT_MAX};
pub(crate) use nets::addresses;
pub(crate) use power::{shutdown, suspend, wake};
pub use reader::{Line, Reader, TooLong};
pub(crate) use users::{keys, set_keys, set_password};
pub(crate) use vcpus::{count, set_count, set_some, summary};
pub(crate) use words::{clock, raw, set_clock, set_timeout};

/// The channel by which an agent is found.
const CHANNEL: &str = "org.qemu.guest_agent.0";

/// Limit: who says "however long it takes" waits this long. Compat: libvirt waits for ever.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(3600);

/// The channel of a document on which an agent may talk.
pub(crate) fn is_agents(channel: &Channel) -> bool {
    channel.source.kind == ChardevType::Unix
        && channel.target.kind == Some(ChannelType::Virtio)
        && channel.target.name.as_deref() == Some(CHANNEL)
}

fn channel(document: &Document) -> Option<&Channel> {
    document.devices.channels.iter().find(|channel| is_agents(channel))
}

/// Whether a guest of this document may have an agent.
pub(crate) fn is_expected(document: &Document) -> bool {
    channel(document).is_some()
}

/// Connects to the agent of a running guest, if somebody listens in the guest. It never waits.
pub(crate) fn connect(document: &Document) -> Option<Arc<Link>> {
    let channel = channel(document)?;
    if channel.target.state != Some(ChannelState::Connected) {
        return None;
    }
    let address = SocketAddrUnix::new(Path::new(channel.source.path.as_deref()?)).ok()?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let socket = socket.ok()?;
    // Where it cannot be done at once, the next call tries again.
    rustix::net::connect(&socket, &address).ok()?;
    Link::new(socket.into()).ok().map(Arc::new)
}

/// What an agent refuses.
#[derive(Debug)]
enum Refusal {
    /// It does not know the command, or is not allowed to do it.
    Unknown(Error),
    /// It could not do it.
    Failed(Error),
    /// It was gone before it answered.
    Gone(Error),
    /// It was not to be spoken with.
    Unheard(Error),
}

type Heard<T> = std::result::Result<T, Refusal>;

impl Refusal {
    /// What the caller is told.
    fn told(self) -> Error {
        match self {
            Self::Unknown(error)
            | Self::Failed(error)
            | Self::Gone(error)
            | Self::Unheard(error) => error,
        }
    }
}

/// A call's conversation with an agent, as long as it has the agent's turn.
struct Talk<'a> {
    guest: &'a Arc<Guest>,
    call: &'a Call<'a>,
    link: Arc<Link>,
    wait: Duration,
    turn: Turn<'a, Data>,
}

/// Takes the agent's turn.
fn begin<'a>(core: &'a Core, guest: &'a Arc<Guest>, call: &'a Call<'a>) -> Result<Talk<'a>> {
    let mut turn = core.guests.begin_agent(guest, call)?;
    let (document, link, timeout) = turn.read(|data| {
        let live = data.live.as_ref().filter(|_| data.state == api::DOMAIN_RUNNING);
        let live = live.ok_or_else(|| invalid_operation("domain is not running"))?;
        let timeout = live.agent_timeout_s;
        Ok::<_, Error>((Arc::clone(&live.document), live.agent.clone(), timeout))
    })?;
    let link = match link.or_else(|| connect(&document)) {
        Some(link) if link.is_broken() => {
            return Err(unresponsive("QEMU guest agent is not available due to an error"));
        }
        Some(link) => link,
        None if channel(&document).is_none() => {
            let detail = "QEMU guest agent is not configured";
            return Err(Error::new(Code::ArgumentUnsupported, Origin::Qemu, detail));
        }
        None => return Err(unresponsive("QEMU guest agent is not connected")),
    };
    turn.change(|data| {
        if let Some(live) = &mut data.live {
            live.agent.get_or_insert_with(|| Arc::clone(&link));
        }
    });
    Ok(Talk { guest, call, link, wait: wait_of(timeout), turn })
}

fn unresponsive(detail: &str) -> Error {
    Error::new(Code::AgentUnresponsive, Origin::Qemu, detail)
}

/// What the numbers of the public API mean.
fn wait_of(timeout_s: i32) -> Duration {
    match timeout_s {
        api::DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT => SYNC_WAIT_MAX,
        seconds => match u64::try_from(seconds) {
            Ok(seconds) => Duration::from_secs(seconds).min(ANSWER_WAIT_MAX),
            Err(_) => ANSWER_WAIT_MAX,
        },
    }
}

impl Talk<'_> {
    /// Asks the agent to do something and gives what it returned.
    fn ask(&mut self, name: &str, arguments: Option<Value>) -> Result<Value> {
        self.try_to_ask(name, arguments).map_err(Refusal::told)
    }

    /// [`Talk::ask`] for those to whom one refusal is not like another.
    fn try_to_ask(&mut self, name: &str, arguments: Option<Value>) -> Heard<Value> {
        let mut command = vec![("execute".to_owned(), Value::from(name))];
        command.extend(arguments.map(|arguments| ("arguments".to_owned(), arguments)));
        let answer = self.say(&Value::Object(command))?;
        check(name, &answer)?;
        Ok(answer.get("return").cloned().unwrap_or(Value::Null))
    }

    /// Says something and gives the whole answer.
    fn say(&mut self, command: &Value) -> Heard<Value> {
        let text = command.to_string();
        let given_up = || self.call.cancelled();
        let answer = self.call.waiting(|| self.link.ask(&text, self.wait, &given_up));
        answer.map_err(|error| self.failure(error))
    }

    fn failure(&mut self, error: LinkError) -> Refusal {
        let code = match &error {
            LinkError::Absent(_) => Code::AgentUnresponsive,
            LinkError::Timeout(_) | LinkError::Closed => Code::AgentCommandTimeout,
            LinkError::Rubbish(_) | LinkError::TooMuch => Code::InternalError,
            LinkError::GivenUp => return Refusal::Unheard(self.call.given_up()),
        };
        let told = Error::new(code, Origin::Qemu, error.to_string());
        if error != LinkError::Closed {
            return Refusal::Unheard(told);
        }
        self.forget();
        Refusal::Gone(told)
    }

    /// The connection has ended: the next call makes a new one, if there still is an agent.
    fn forget(&mut self) {
        let gone = Arc::clone(&self.link);
        self.turn.change(|data| {
            if let Some(live) = &mut data.live {
                live.agent.take_if(|link| Arc::ptr_eq(link, &gone));
            }
        });
    }

    fn document(&self) -> Result<Arc<Document>> {
        self.guest.live(|live| Arc::clone(&live.document))
    }
}

/// Refuses an answer that is an error of the agent's.
fn check(name: &str, answer: &Value) -> Heard<()> {
    let Some(error) = answer.get("error") else { return Ok(()) };
    let field = |name: &str| error.get(name).and_then(Value::as_str);
    let why = field("desc").or(field("class")).unwrap_or("unknown QEMU command error");
    let detail = format!("unable to execute QEMU agent command '{name}': {why}");
    let refusal = Error::new(Code::AgentCommandFailed, Origin::Qemu, detail);
    Err(match field("class") {
        Some("CommandNotFound" | "CommandDisabled") => Refusal::Unknown(refusal),
        _ => Refusal::Failed(refusal),
    })
}

/// One call that is one command.
fn ask_once(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    name: &str,
    arguments: Option<Value>,
) -> Result<Value> {
    let guest = core.guests.find(dom)?;
    begin(core, &guest, call)?.ask(name, arguments)
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// An answer that lacks what it must have.
fn malformed(detail: impl Into<String>) -> Error {
    Error::internal(Origin::Qemu, detail)
}

/// A text that must be in a part of an answer.
fn text_in<'v>(value: &'v Value, field: &str, command: &str) -> Result<&'v str> {
    let found = value.get(field).and_then(Value::as_str);
    found.ok_or_else(|| malformed(format!("'{field}' missing in reply of {command}")))
}
