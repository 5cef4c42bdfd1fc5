//! What is found at start: stored definitions, and the guests of a daemon that is gone.
//!
//! A running guest is its process, known by pid and by when it was started, and held by a descriptor
//! before it is looked at. Guests that do not answer hold nobody up: each is spoken to by a thread of
//! its own, and can be ended meanwhile.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use virt_driver::Job;
use virt_error::Result;
use virt_guests::{Data, Guest, JOB_WAIT_MAX};
use virt_host::{Pidfd, Process, Signal};
use virt_store::{Autostart, Durability};
use virt_types::{Uuid, api};

use crate::control;
use crate::core::{Core, Domain, Working};
use crate::ipc;
use crate::lifecycle;
use crate::net;
use crate::status::{self, Status};
use crate::vnc::{self, Relay};

/// Limit: how long a killed process may take to go.
const KILL_WAIT_MAX: Duration = Duration::from_secs(5);

/// Loads everything.
pub(crate) fn load(core: &Arc<Core>) -> Result<()> {
    core.guests.load_definitions()?;
    // Order: what an earlier daemon still has made is there when what is left of it is looked for.
    net::await_earlier(core);
    let (ready, wait) = channel();
    for name in core.guests.names(&core.dirs().run)? {
        match Status::read(core.dirs(), &name) {
            Ok(status) if status::is_of(&status.document, &name) => {
                found(core, status, ready.clone());
            }
            // Nothing can be known of such a guest: the file is left for a person to look at.
            Ok(_) => virt_log::warning!("kvmtool", "the status file of '{name}' is another's"),
            Err(error) => virt_log::warning!("kvmtool", "{}", error.message()),
        }
    }
    drop(ready);
    // Order: nobody is served before every guest is in its thread's hands.
    while wait.recv().is_ok() {}
    Ok(())
}

/// One status file.
fn found(core: &Arc<Core>, status: Status, ready: Sender<()>) {
    let Some(uuid) = status.document.uuid else { return };
    core.guests.saw_id(status.document.id.unwrap_or(0));
    let starting =
        (status.state, status.reason) == (api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_STARTING_UP);
    let Some(process) = process_of(&status) else {
        return vanished(core, &status, uuid, starting);
    };
    if starting {
        // Nobody was told that it runs, so it never did.
        let _ = process.signal(Signal::KILL);
        // Order: its socket is nobody's only when it is gone.
        process.wait(KILL_WAIT_MAX);
        return vanished(core, &status, uuid, starting);
    }
    let Some(guest) = guest_of(core, &status, uuid) else { return };
    let process = Arc::new(process);
    core.later(move |core| {
        let Ok(mut turn) = guest.cell.begin(Job::Modify, "reconnect", JOB_WAIT_MAX) else { return };
        turn.change(|data| data.set_state(status.state, status.reason));
        let adopted = lifecycle::adopt(&core, &guest, &mut turn, &status, &process);
        drop(ready);
        if let Err(error) = adopted {
            virt_log::error!("kvmtool", "'{}' cannot be watched: {error}", guest.name);
        }
        serve_display(&mut turn, &status);
        let asked = turn.read(|data| data.live.as_ref().map(|live| (live.run, live.ipc.clone())));
        // Order: whoever wants to end a guest that does not answer need not wait for its answer.
        drop(turn);
        if let Some((run, ipc)) = asked {
            control::settle(&core, &guest, run, &ipc, UNKNOWN);
        }
    });
}

/// The domain that a status file is of.
fn guest_of(core: &Core, status: &Status, uuid: Uuid) -> Option<Arc<Domain>> {
    let name = status.document.name.as_str();
    if let Some(known) = core.guests.known(&uuid).filter(|guest| *guest.name == *name) {
        return Some(known);
    }
    let guest = Arc::new(Guest::new(name.into(), uuid, Data::default()));
    core.guests.insert(Arc::clone(&guest)).then_some(guest)
}

/// The process of a status file, if it is still the same.
fn process_of(status: &Status) -> Option<Pidfd> {
    // Order: held first and looked at then, so that what is looked at is what is held.
    let process = Pidfd::open(status.pid).ok().flatten()?;
    let same = Process(status.pid).start_ticks() == Some(status.start_ticks);
    // A socket that somebody else listens on is not this guest's any more.
    let other = ipc::listener(&status.socket).is_some_and(|pid| pid != status.pid);
    (same && !other && !process.has_ended()).then_some(process)
}

/// A guest that ended, or never really started, while nobody watched.
fn vanished(core: &Arc<Core>, status: &Status, uuid: Uuid, starting: bool) {
    if ipc::listener(&status.socket).is_none() {
        // It may never have been there.
        let _ = std::fs::remove_file(&status.socket);
    }
    let known = core.guests.known(&uuid);
    let name = status.document.name.as_str();
    let guest =
        known.clone().unwrap_or_else(|| Arc::new(Guest::new(name.into(), uuid, Data::default())));
    lifecycle::clear(core, &guest, &status.document);
    let (reason, detail) = if starting {
        (api::DOMAIN_SHUTOFF_FAILED, api::DOMAIN_EVENT_STOPPED_FAILED)
    } else if !status.log.has_crash() && status.log.has_end() {
        (api::DOMAIN_SHUTOFF_SHUTDOWN, api::DOMAIN_EVENT_STOPPED_SHUTDOWN)
    } else {
        (api::DOMAIN_SHUTOFF_CRASHED, api::DOMAIN_EVENT_STOPPED_CRASHED)
    };
    if known.is_none() {
        return;
    }
    let Ok(mut turn) = guest.cell.begin(Job::Modify, "reconnect", JOB_WAIT_MAX) else { return };
    turn.change(|data| data.set_state(api::DOMAIN_SHUTOFF, reason));
    if !starting {
        let dom = guest.to_ref();
        core.guests.publish_lifecycle(dom, api::DOMAIN_EVENT_STOPPED, detail);
    }
}

/// A guest that is not as its file says was told otherwise by the daemon that is gone.
const UNKNOWN: [(i32, i32); 2] = [
    (api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_UNKNOWN),
    (api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_UNKNOWN),
];

fn serve_display(turn: &mut Working<'_>, status: &Status) {
    if let Some(listener) = vnc::listen_again(&status.document) {
        match Relay::start(listener, status.pid) {
            Ok(relay) => {
                turn.change(|data| {
                    if let Some(live) = &mut data.live {
                        live.relay = Some(relay);
                    }
                });
            }
            Err(error) => virt_log::warning!("kvmtool", "no display: {}", error.message()),
        }
    }
}

/// Starts what is marked to start by itself, once after each boot of the host.
pub(crate) fn autostart(core: &Arc<Core>) {
    let mark = core.dirs().run.join("autostarted");
    if mark.exists() {
        return;
    }
    // Without the mark the guests are started again at the next start, which does nothing to those
    // that run.
    let _ = virt_store::write(&mark, b"", 0o600, Durability::Process);
    for guest in core.guests.marked() {
        core.later(move |core| {
            let begun = guest.cell.begin(Job::Modify, "virDomainCreate", JOB_WAIT_MAX);
            let Ok(mut turn) = begun else { return };
            // It is this boot that was meant, whether the start succeeds or not.
            let _ = core.guests.mark(&guest, &mut turn, Autostart::NextBoot, false);
            if turn.read(Data::active) {
                return;
            }
            if let Ok(Some(document)) = core.guests.stored(&guest)
                && let Err(error) = lifecycle::start(&core, &guest, &mut turn, &document)
            {
                virt_log::error!("kvmtool", "'{}' does not start: {error}", guest.name);
            }
        });
    }
}
