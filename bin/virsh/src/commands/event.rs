//! Waiting for events and printing them.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use virt_cli::Args;
use virt_driver::{Connection, EventFilter, MonitorEvent, MonitorFilter, SubscriptionId};
use virt_json::Value;
use virt_types::{Event, EventClass, Uuid};

use super::event_facts::told;
use super::event_words::{DOMAIN_EVENTS, Kind, Kinds, describe};
use crate::clock;
use crate::failure::{Done, Failure, fail};
use crate::interrupt::Watched;
use crate::json;
use crate::lookup::{device, domain, network, pool, secret};
use crate::report::record;
use crate::shell::{Shell, sayln};

/// Limit: events that wait to be printed; more than that are dropped, as the terminal is too slow.
const QUEUE_MAX: usize = 10_000;

pub(crate) fn cmd_event(shell: &mut Shell, args: &Args) -> Done {
    if list_asked(shell, args, DOMAIN_EVENTS) {
        return Ok(());
    }
    let wanted: Vec<&Kind> = match (args.flag("all"), args.text("event")?) {
        (true, _) => DOMAIN_EVENTS.kinds.iter().collect(),
        (false, Some(name)) => vec![find(DOMAIN_EVENTS, name)?],
        (false, None) => {
            return fail("one of --list, --all, or --event <type> is required");
        }
    };
    let timeout = timeout_of(args)?;
    let object = match args.flag("domain") {
        true => Some(domain(shell, args)?.uuid),
        false => None,
    };
    let filters = wanted.iter().map(|kind| one_or_all(DOMAIN_EVENTS.class, kind.id, object));
    wait(shell, args, filters.collect(), timeout)
}

/// The commands for other classes of object: one kind of event at a time.
fn single(
    shell: &mut Shell,
    args: &Args,
    kinds: Kinds,
    filter: impl FnOnce(&mut Shell, i32) -> Result<EventFilter, Failure>,
) -> Done {
    if list_asked(shell, args, kinds) {
        return Ok(());
    }
    let Some(name) = args.text("event")? else {
        return fail("either --list or --event <type> is required");
    };
    let kind = find(kinds, name)?;
    let timeout = timeout_of(args)?;
    let filter = filter(shell, kind.id)?;
    wait(shell, args, vec![filter], timeout)
}

fn one_or_all(class: EventClass, id: i32, uuid: Option<Uuid>) -> EventFilter {
    match uuid {
        Some(uuid) => EventFilter::of(class, id, uuid),
        None => EventFilter::all(class, id),
    }
}

/// Compat: a network or pool that is not there is reported, and then all of them are watched.
fn reported<T>(shell: &mut Shell, found: Option<Result<T, Failure>>) -> Option<T> {
    match found? {
        Ok(object) => Some(object),
        Err(failure) => {
            shell.report(&failure);
            None
        }
    }
}

pub(crate) fn cmd_net_event(shell: &mut Shell, args: &Args) -> Done {
    single(shell, args, super::event_words::NETWORK_EVENTS, |shell, id| {
        let found = args.flag("network").then(|| network(shell, args));
        let uuid = reported(shell, found).map(|network| network.uuid);
        Ok(one_or_all(EventClass::Network, id, uuid))
    })
}

pub(crate) fn cmd_pool_event(shell: &mut Shell, args: &Args) -> Done {
    single(shell, args, super::event_words::POOL_EVENTS, |shell, id| {
        let found = args.flag("pool").then(|| pool(shell, args));
        let uuid = reported(shell, found).map(|pool| pool.uuid);
        Ok(one_or_all(EventClass::StoragePool, id, uuid))
    })
}

pub(crate) fn cmd_nodedev_event(shell: &mut Shell, args: &Args) -> Done {
    single(shell, args, super::event_words::DEVICE_EVENTS, |shell, id| {
        Ok(match args.flag("device") {
            true => EventFilter::named(EventClass::NodeDevice, id, device(shell, args)?.name),
            false => EventFilter::all(EventClass::NodeDevice, id),
        })
    })
}

pub(crate) fn cmd_secret_event(shell: &mut Shell, args: &Args) -> Done {
    single(shell, args, super::event_words::SECRET_EVENTS, |shell, id| {
        let uuid = match args.flag("secret") {
            true => Some(secret(shell, args)?.uuid),
            false => None,
        };
        Ok(one_or_all(EventClass::Secret, id, uuid))
    })
}

fn list_asked(shell: &mut Shell, args: &Args, kinds: Kinds) -> bool {
    let asked = args.flag("list");
    if asked {
        for kind in kinds.kinds {
            sayln!(shell, "{}", kind.name);
            shell.next_record(|| record([("event", kind.name.into())]));
        }
    }
    asked
}

fn find(kinds: Kinds, name: &str) -> Result<&'static Kind, Failure> {
    let found = kinds.kinds.iter().find(|kind| kind.name == name);
    found.ok_or_else(|| Failure::new(format!("unknown event type {name}")))
}

/// The time to wait. Compat: it is kept as milliseconds in 32 bits, and 0 is refused.
pub(crate) fn timeout_of(args: &Args) -> Result<Option<Duration>, Failure> {
    let Some(seconds) = args.number::<u32>("timeout")? else { return Ok(None) };
    let milliseconds = i32::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1000));
    match milliseconds {
        Some(1..) => Ok(Some(Duration::from_secs(u64::from(seconds)))),
        _ => {
            let text = args.text("timeout")?.unwrap_or_default();
            Err(args.malformed("Numeric", "timeout", text).into())
        }
    }
}

pub(crate) fn cmd_qemu_monitor_event(shell: &mut Shell, args: &Args) -> Done {
    let timeout = timeout_of(args)?;
    let filter = MonitorFilter {
        domain: match args.flag("domain") {
            true => Some(domain(shell, args)?.uuid),
            false => None,
        },
        name: args.text("event")?.map(str::to_owned),
        any_case: args.flag("no-case"),
        pattern: args.flag("regex"),
    };
    let connection = shell.connection()?;
    let (sender, events) = mpsc::sync_channel::<MonitorEvent>(QUEUE_MAX);
    let sink = Arc::new(move |event: &MonitorEvent| drop(sender.try_send(event.clone())));
    let ids = vec![connection.subscribe_monitor(filter, sink)?];
    let end = Connection::unsubscribe_monitor;
    let subscribed = Subscribed { connection, ids, end };
    collect(shell, args, (&subscribed, &events), timeout, print_said)
}

/// Compat: the time of the emulator, or with a stamp that of the shell, and not both.
fn print_said(shell: &mut Shell, args: &Args, event: &MonitorEvent) {
    let stamp = clock::event_stamp();
    let parsed = event.details.as_deref().and_then(|text| virt_json::parse(text).ok());
    shell.next_record(|| {
        let fact = |name: &str, value: Value| (name.to_owned(), value);
        let mut facts = vec![
            fact("time", stamp.as_str().into()),
            fact("event", event.name.as_str().into()),
            fact("object", "domain".into()),
            fact("name", (&*event.dom.name).into()),
            fact("uuid", event.dom.uuid.to_string().into()),
        ];
        facts.extend(parsed.clone().map(|details| fact("details", details)));
        Value::Object(facts)
    });
    let pretty = args.flag("pretty").then_some(event.details.as_deref()).flatten();
    let pretty = pretty.and_then(|text| json::parse(text).map(|parsed| parsed.pretty()));
    let details = pretty.as_deref().or(event.details.as_deref()).unwrap_or("<null>");
    let (name, dom) = (&event.name, &event.dom.name);
    match args.flag("timestamp") {
        true => sayln!(shell, "{}: event {} for domain '{}': {}", stamp, name, dom, details),
        false => {
            let (seconds, micros) = (event.at_us / 1_000_000, event.at_us % 1_000_000);
            let at = format!("{seconds}.{micros:06}");
            sayln!(shell, "event {} at {} for domain '{}': {}", name, at, dom, details);
        }
    }
    shell.flush();
}

/// Subscriptions that end when this goes away.
struct Subscribed {
    connection: Connection,
    ids: Vec<SubscriptionId>,
    end: fn(&Connection, SubscriptionId) -> virt_error::Result<()>,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            // The connection may be gone already, and the subscription with it.
            let _ = (self.end)(&self.connection, id);
        }
    }
}

fn wait(
    shell: &mut Shell,
    args: &Args,
    filters: Vec<EventFilter>,
    timeout: Option<Duration>,
) -> Done {
    let connection = shell.connection()?;
    let (sender, events): (SyncSender<Event>, Receiver<Event>) = mpsc::sync_channel(QUEUE_MAX);
    let end = Connection::unsubscribe;
    let mut subscribed = Subscribed { connection: connection.clone(), ids: Vec::new(), end };
    for filter in filters {
        let sender = sender.clone();
        let sink = Arc::new(move |event: &Event| drop(sender.try_send(event.clone())));
        subscribed.ids.push(connection.subscribe(filter, sink)?);
    }
    collect(shell, args, (&subscribed, &events), timeout, print)
}

/// Prints what comes until the first, the time or the person at the terminal ends it.
fn collect<E>(
    shell: &mut Shell,
    args: &Args,
    (subscribed, events): (&Subscribed, &Receiver<E>),
    timeout: Option<Duration>,
    print: impl Fn(&mut Shell, &Args, &E),
) -> Done {
    let connection = &subscribed.connection;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut received = 0_u64;
    let watched = Watched::new();
    loop {
        match next(events, deadline) {
            Err(RecvTimeoutError::Timeout) if watched.pressed() => {
                sayln!(shell, "event loop interrupted");
                break;
            }
            Ok(event) => {
                received += 1;
                print(shell, args, &event);
                if !args.flag("loop") {
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout) if connection.is_alive() && !is_over(deadline) => {}
            Err(RecvTimeoutError::Timeout) if is_over(deadline) => {
                sayln!(shell, "event loop timed out");
                break;
            }
            Err(_) => {
                shell.disconnected();
                sayln!(shell, "events received: {}", received);
                return fail("internal error: client socket is closed");
            }
        }
    }
    sayln!(shell, "events received: {}", received);
    if received > 0 { Ok(()) } else { Err(Failure::silent()) }
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// Limit: how long Ctrl-C or a lost connection can go unnoticed.
const ALIVE_CHECK: Duration = Duration::from_millis(100);

fn next<E>(events: &Receiver<E>, deadline: Option<Instant>) -> Result<E, RecvTimeoutError> {
    let left = deadline.map_or(ALIVE_CHECK, |deadline| {
        deadline.saturating_duration_since(Instant::now()).min(ALIVE_CHECK)
    });
    events.recv_timeout(left)
}

fn print(shell: &mut Shell, args: &Args, event: &Event) {
    shell.next_record(|| {
        let mut facts = vec![("time".to_owned(), clock::event_stamp().into())];
        facts.extend(told(event));
        Value::Object(facts)
    });
    let text = describe(event);
    match args.flag("timestamp") {
        true => sayln!(shell, "{}: {}", clock::event_stamp(), text),
        false => sayln!(shell, "{}", text),
    }
    shell.flush();
}
