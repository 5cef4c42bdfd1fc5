//! The manager as the driver's calls see it: a question, its answer, and what is wrong with either.
//!
//! A connection carries one question at a time, so a few are kept: a domain that takes minutes to stop
//! holds up nobody who wants to know of another.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use virt_driver::{Ask, Call, EventBus};
use virt_error::{Code, Error, Result};

use crate::link::{Hangup, LinkError, Linked, ORIGIN, Person, Protocol, Session, Target};
use crate::message::{Command, Data, Message};
use crate::world::World;

/// Limit: connections that ask at the same time; the events have one of their own.
const SESSIONS_MAX: usize = 4;
/// Limit: how long a list may take.
const LIST_WAIT_MAX: Duration = Duration::from_secs(60);
/// Limit: how long a change may take; a guest is given minutes to stop.
const CHANGE_WAIT_MAX: Duration = Duration::from_secs(300);
/// Limit: how long a migration may take.
const MIGRATE_WAIT_MAX: Duration = Duration::from_secs(6 * 3600);
/// Limit: of a reason that is shown.
const REASON_BYTES_MAX: usize = 4096;

/// Who waits: a call's worker can be given away meanwhile.
pub(crate) type Waiting<'a> = Option<&'a Call<'a>>;

/// A manager, shared by all connections to it in this process.
pub(crate) struct Manager {
    pub(crate) target: Target,
    pub(crate) person: Person,
    pub(crate) world: Mutex<World>,
    pub(crate) bus: EventBus,
    pub(crate) subscribers: AtomicU64,
    pub(crate) watching: Mutex<crate::watch::Watching>,
    pool: Mutex<Pool>,
    freed: Condvar,
    alive: AtomicBool,
    requests: AtomicU64,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Session>,
    busy: usize,
    /// What the manager turned out to speak.
    protocol: Option<Protocol>,
    version: Option<String>,
}

/// What a question brought.
#[derive(Debug)]
pub(crate) struct Reply {
    /// What the manager said beside its success.
    pub(crate) warnings: Vec<String>,
}

impl Manager {
    pub(crate) fn new(target: Target, ask: Option<Ask>) -> Arc<Self> {
        let pool =
            Pool { protocol: target.protocol, version: target.version.clone(), ..Pool::default() };
        Arc::new(Self {
            target,
            person: Person::new(ask),
            world: Mutex::default(),
            bus: EventBus::new(),
            subscribers: AtomicU64::new(0),
            watching: Mutex::default(),
            pool: Mutex::new(pool),
            freed: Condvar::new(),
            alive: AtomicBool::new(true),
            requests: AtomicU64::new(0),
        })
    }

    /// Reaches the manager, so that whoever opens a connection learns whether it is there.
    pub(crate) fn reach(self: &Arc<Self>) -> Result<()> {
        self.with_session(None, Instant::now() + LIST_WAIT_MAX, |_| Ok(()))
            .map_err(|error| error.public())?;
        self.watch();
        Ok(())
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    pub(crate) fn set_alive(&self, alive: bool) {
        self.alive.store(alive, Ordering::Release);
    }

    /// How many questions were asked.
    #[cfg(test)]
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// The version of the interface the manager has last answered with.
    pub(crate) fn version(&self) -> String {
        lock(&self.pool).version.clone().unwrap_or_else(|| FIRST_VERSION.to_owned())
    }

    /// Whether the manager's interface is that of the 3.x releases.
    pub(crate) fn is_recent(&self) -> bool {
        Message { version: self.version(), ..Message::default() }.level() >= (1, 3)
    }

    pub(crate) fn protocol(&self) -> Option<Protocol> {
        lock(&self.pool).protocol
    }

    /// Asks for a list, over a new connection where the old one has gone meanwhile.
    pub(crate) fn list(&self, waiting: Waiting<'_>, command: Command) -> Result<Message> {
        let deadline = self.deadline(LIST_WAIT_MAX);
        let answer = match self.ask(waiting, command.clone(), deadline) {
            Err(error) if error.is_connection() => self.ask(waiting, command, deadline),
            answer => answer,
        };
        answer.map_err(|error| error.public())
    }

    /// Asks for a change of a domain, or of the manager's other objects.
    ///
    /// It is asked once: over a connection that breaks it may have been heard.
    pub(crate) fn change(
        &self,
        waiting: Waiting<'_>,
        name: &str,
        command: Command,
    ) -> Result<Reply> {
        let wait_max =
            if command.action == "migrate-domain" { MIGRATE_WAIT_MAX } else { CHANGE_WAIT_MAX };
        let action = command.action.clone();
        let answer = self.ask(waiting, command, self.deadline(wait_max));
        // Whatever came of it, what was known of the domain may be wrong now.
        self.world().happened(&action, &[name]);
        let message = answer.map_err(|error| {
            let public = error.public();
            let what = format!("{}, outcome unknown: {error}", title(&action, name));
            Error::new(public.code().unwrap_or(Code::OperationFailed), ORIGIN, what)
        })?;
        if !message.is_judged() {
            let what = format!("{}: the answer does not say how it went", title(&action, name));
            return Err(Error::internal(ORIGIN, what));
        }
        match message.verdict() {
            Ok(warnings) => {
                self.world().warned(name, &warnings);
                Ok(Reply { warnings })
            }
            Err(reasons) => Err(refusal(&action, name, &reasons)),
        }
    }

    fn deadline(&self, usual: Duration) -> Instant {
        Instant::now() + self.target.timeout.unwrap_or(usual)
    }

    fn ask(
        &self,
        waiting: Waiting<'_>,
        mut command: Command,
        deadline: Instant,
    ) -> Linked<Message> {
        if command.data.is_empty() {
            command.data.push(Data::default());
        }
        self.with_session(waiting, deadline, |session| {
            // Compat: the releases that speak on a plain socket know only the older form.
            let version = if session.protocol == Protocol::Socket { "2.0" } else { "3.0" };
            command.data.iter_mut().for_each(|data| data.version = version.to_owned());
            let request = Message::request(&self.version(), command);
            let number = self.requests.fetch_add(1, Ordering::Relaxed);
            let action = request.commands.first().map_or("", |command| &command.action);
            virt_log::debug!("ldoms", "request {number}: {action}");
            let answer = session.ask(&request, deadline)?;
            self.heard(&answer);
            Ok(answer)
        })
    }

    /// Speaks from now on as the manager does.
    fn heard(&self, answer: &Message) {
        let known = answer.level() > (1, 0) && !answer.version.is_empty();
        if known && self.target.version.is_none() {
            lock(&self.pool).version = Some(answer.version.clone());
        }
    }

    /// Runs `talk` on a connection of the pool, which is kept if all went well.
    fn with_session<R>(
        &self,
        waiting: Waiting<'_>,
        deadline: Instant,
        talk: impl FnOnce(&mut Session) -> Linked<R>,
    ) -> Linked<R> {
        let work = || {
            let _place = self.place(deadline)?;
            let outcome = self.session().and_then(|mut session| {
                let answer = talk(&mut session)?;
                lock(&self.pool).idle.push(session);
                Ok(answer)
            });
            self.set_alive(outcome.is_ok());
            if outcome.is_err() {
                self.unlearn();
            }
            outcome
        };
        match waiting {
            Some(call) => call.waiting(work),
            None => work(),
        }
    }

    /// Waits for a place among those who ask.
    fn place(&self, deadline: Instant) -> Linked<Place<'_>> {
        let mut pool = lock(&self.pool);
        while pool.busy >= SESSIONS_MAX {
            let wait = deadline.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Err(LinkError::TimedOut);
            }
            let woken = self.freed.wait_timeout(pool, wait);
            pool = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        pool.busy += 1;
        Ok(Place(self))
    }

    /// An idle connection that is still good, or a new one.
    fn session(&self) -> Linked<Session> {
        loop {
            let Some(mut idle) = lock(&self.pool).idle.pop() else { break };
            if !idle.is_stale() {
                return Ok(idle);
            }
        }
        let protocol = lock(&self.pool).protocol;
        let session = Session::open(&self.target, &self.person, protocol)?;
        lock(&self.pool).protocol = Some(session.protocol);
        Ok(session)
    }

    /// Finds out anew what the manager speaks: one of another release may come back after one that
    /// has gone, and one that was slow to greet may have been taken for one of the oldest.
    pub(crate) fn unlearn(&self) {
        lock(&self.pool).protocol = self.target.protocol;
    }
}

/// A place among those who ask; it is given back when dropped.
struct Place<'a>(&'a Manager);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut pool = lock(&self.0.pool);
        pool.busy = pool.busy.saturating_sub(1);
        drop(pool);
        self.0.freed.notify_one();
    }
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager").field("target", &self.target).finish_non_exhaustive()
    }
}

/// The version of the interface in the first guides, which later managers take too.
const FIRST_VERSION: &str = "1.0";

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Words in the manager's reasons that say what kind of refusal it is. It has no codes.
const NO_SUCH: &[&str] = &["does not exist", "no such", "not found"];
const WRONG_STATE: &[&str] = &[
    "delayed reconfig",
    "state",
    "must be bound",
    "must be unbound",
    "must be inactive",
    "must be stopped",
    "not bound",
    "not active",
    "not inactive",
    "is active",
    "is bound",
    "is inactive",
    "in use",
    "is attached",
];
const NOT_ALLOWED: &[&str] = &["authoriz", "permission", "not permitted", "privilege", "read-only"];

/// A refusal of the manager as the public error, with everything it said.
pub(crate) fn refusal(action: &str, name: &str, reasons: &[String]) -> Error {
    let mut said = reasons.join("; ");
    if said.is_empty() {
        "the manager gave no reason".clone_into(&mut said);
    }
    if let Some((at, _)) = said.char_indices().find(|(at, _)| *at > REASON_BYTES_MAX) {
        said.truncate(at);
    }
    let lower = said.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let code = if said.lines().any(|line| is_missing(line, name)) {
        Code::NoDomain
    } else if action == "add-domain" && lower.contains("already exists") {
        Code::DomExist
    } else if any(NOT_ALLOWED) {
        Code::OperationDenied
    } else if any(WRONG_STATE) {
        Code::OperationInvalid
    } else {
        Code::OperationFailed
    };
    Error::new(code, ORIGIN, format!("{}: {said}", title(action, name)))
}

/// Whether a line says that the domain itself is not there, as against one of its things.
fn is_missing(line: &str, name: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let mut words = line.split(|c: char| c.is_whitespace() || "\"',".contains(c));
    let named = !name.is_empty() && words.any(|word| word == name);
    named && lower.contains("dom") && NO_SUCH.iter().any(|said| lower.contains(said))
}

/// What was asked, in an error's words.
fn title(action: &str, name: &str) -> String {
    match name {
        "" => action.to_owned(),
        name => format!("{action} of '{name}'"),
    }
}

/// What the thread of the events leaves behind to be ended by.
pub(crate) type EventsHangup = Hangup;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_their_words_and_get_a_code() {
        for (action, said, code) in [
            ("start-domain", "LDom \"web9\" does not exist", Code::NoDomain),
            ("add-domain", "LDom web9 already exists", Code::DomExist),
            ("add-vdisk", "Volume x does not exist", Code::OperationFailed),
            (
                "migrate-domain",
                "Volume web9-vd0 does not exist\nDomain Migration of LDom web9 failed",
                Code::OperationFailed,
            ),
            ("set-vcpu", "All changes wait for a delayed reconfiguration", Code::OperationInvalid),
            ("set-vcpu", "Not enough free virtual CPUs", Code::OperationFailed),
            ("stop-domain", "Authorization failed", Code::OperationDenied),
            (
                "set-memory",
                "The size of memory must be a multiple of 256MB.",
                Code::OperationFailed,
            ),
        ] {
            let error = refusal(action, "web9", &[said.to_owned()]);
            assert!(error.is(code), "{said}: {error:?}");
            assert!(error.message().contains(said));
        }
        assert!(refusal("x", "y", &[]).message().contains("no reason"));
    }
}
