//! What is found at start: stored definitions, and the guests of a daemon that is gone.
//!
//! A running guest is known by its process, its process by pid *and* command line, so a recycled pid
//! is never taken for a guest. Guests that do not answer hold nobody up: each is spoken to by a
//! thread of its own, which holds the guest's job until it is done.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use serde_json::Value;
use virt_driver::Job;
use virt_error::Result;
use virt_guests::JOB_WAIT_MAX;
use virt_host::{Pidfd, Process, Signal};
use virt_model::domain::Domain as Document;
use virt_store::Autostart;
use virt_types::{Uuid, api};

use crate::core::{Core, MONITOR_WAIT_MAX, Work, monitor_error};
use crate::guest::{Data, Guest};
use crate::monitor::Command;
use crate::status::{self, Status};
use crate::{events, lifecycle};

/// Loads everything.
pub(crate) fn load(core: &Arc<Core>) -> Result<()> {
    core.guests.load_definitions()?;
    guests(core)
}

fn guests(core: &Arc<Core>) -> Result<()> {
    let (ready, wait) = channel();
    for name in core.guests.names(&core.dirs().run)? {
        match Status::read(&core.dirs().status(&name), core.dirs()) {
            Ok(status) if status.document.name == name => found(core, status, ready.clone()),
            // Nothing can be known of such a guest: the file is left for a person to look at.
            Ok(_) | Err(_) => {}
        }
    }
    drop(ready);
    // Order: nobody is served before every guest is in its thread's hands.
    while wait.recv().is_ok() {}
    Ok(())
}

/// One status file.
fn found(core: &Arc<Core>, status: Status, ready: Sender<()>) {
    let name = status.document.name.clone();
    let Some(uuid) = status.document.uuid else { return };
    core.guests.saw_id(status.document.id.unwrap_or(0));
    let dir = core.dirs().guest(status.document.id.unwrap_or(-1), &name);
    let process = match status.pid {
        0 => unfinished(&name, uuid),
        pid => process_of(pid, uuid),
    };
    let starting =
        (status.state, status.reason) == (api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_STARTING_UP);
    let Some(process) = process else {
        return vanished(core, &status.document, &dir, uuid, starting);
    };
    if starting {
        // Nobody was told that it runs, so it never did.
        let _ = process.signal(Signal::KILL);
        return vanished(core, &status.document, &dir, uuid, starting);
    }
    let known = core.guests.known(&uuid).filter(|guest| *guest.name == *name);
    let guest = match known {
        Some(guest) => guest,
        None => {
            let guest = Arc::new(Guest::new(name.into(), uuid, Data::default()));
            if !core.guests.insert(Arc::clone(&guest)) {
                return;
            }
            guest
        }
    };
    let process = Arc::new(process);
    core.later(move |core| {
        let turn = guest.cell.begin(Job::Modify, "reconnect", JOB_WAIT_MAX);
        let Ok(turn) = turn else { return };
        let mut work = Work::new(&core, &guest, turn);
        let adopted = lifecycle::adopt(&mut work, &status, &process);
        work.change(|data| {
            data.set_state(status.state, status.reason);
        });
        drop(ready);
        let spoken = adopted.and_then(|()| reconnect(&mut work, &status));
        if spoken.is_err() && process.has_ended() {
            // Whatever was said about it, the end of the process is what counts.
            let _ = lifecycle::finish(&mut work);
        }
    });
}

/// The process with this pid, if it is this guest's.
fn process_of(pid: u32, uuid: Uuid) -> Option<Pidfd> {
    // Order: held first and looked at then, so that what is looked at is what is held.
    let process = Pidfd::open(pid).ok().flatten()?;
    (is_guest(pid, uuid, None) && !process.has_ended()).then_some(process)
}

fn is_guest(pid: u32, uuid: Uuid, name: Option<&str>) -> bool {
    let Some(words) = Process(pid).command_line() else { return false };
    let uuid = uuid.to_string();
    let is_ours = words
        .windows(2)
        .any(|pair| matches!(pair, [option, value] if option == "-uuid" && *value == uuid));
    let named = name.is_none_or(|name| {
        let start = format!("guest={}", crate::argv::escaped(name));
        words.iter().any(|word| word.starts_with(&start))
    });
    is_ours && named
}

/// The process of a start that was cut off before its pid was written down.
fn unfinished(name: &str, uuid: Uuid) -> Option<Pidfd> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pid = pids.into_iter().find(|pid: &u32| is_guest(*pid, uuid, Some(name)))?;
    process_of(pid, uuid)
}

/// A guest that ended, or never really started, while nobody watched.
fn vanished(core: &Core, document: &Document, dir: &PathBuf, uuid: Uuid, starting: bool) {
    // Order: as long as the status file is there, a new daemon tries again.
    core.security.release(document);
    status::remove(core.dirs(), &document.name);
    // What is left there is found again by nobody.
    let _ = std::fs::remove_dir_all(dir);
    let Some(guest) = core.guests.known(&uuid) else { return };
    let Ok(mut turn) = guest.cell.begin(Job::Modify, "reconnect", JOB_WAIT_MAX) else { return };
    let reason = if starting { api::DOMAIN_SHUTOFF_FAILED } else { api::DOMAIN_SHUTOFF_CRASHED };
    turn.change(|data| data.set_state(api::DOMAIN_SHUTOFF, reason));
    if !starting {
        let (event, detail) = (api::DOMAIN_EVENT_STOPPED, api::DOMAIN_EVENT_STOPPED_FAILED);
        core.guests.publish_lifecycle(guest.to_ref(), event, detail);
    }
}

/// Speaks to a guest again and learns what it did meanwhile.
fn reconnect(work: &mut Work<'_>, status: &Status) -> Result<()> {
    let monitor = work.read(|data| data.running().map(|live| Arc::clone(&live.monitor)))?;
    let commands = [
        Command::new("qmp_capabilities"),
        Command::new("query-status"),
        Command::new("query-balloon"),
        Command::new("query-cpus-fast"),
        Command::new("query-chardev"),
    ];
    let answers = monitor.run_all(&commands, MONITOR_WAIT_MAX);
    let answers = answers.map_err(|error| monitor_error(&error))?;
    let answer = |at: usize| answers.get(at).and_then(|answer| answer.as_ref().ok());
    let run_state = answer(1).and_then(|value| value.get("status")).and_then(Value::as_str);
    let balloon_kib = answer(2)
        .and_then(|value| value.get("actual"))
        .and_then(Value::as_u64)
        .map(|bytes| bytes / 1024);
    let threads: Vec<u32> = answer(3)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|cpu| cpu.get("thread-id").and_then(Value::as_u64))
        .filter_map(|thread| u32::try_from(thread).ok())
        .collect();
    work.change(|data| {
        if let Some(live) = &mut data.live {
            live.balloon_kib = balloon_kib.unwrap_or(live.balloon_kib);
            live.vcpu_threads = threads;
        }
    });
    channels(work, answer(4));
    let state = match (run_state, status.state) {
        (Some("running"), api::DOMAIN_RUNNING) => return Ok(()),
        (Some("running"), _) => (api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_UNKNOWN),
        (Some("prelaunch" | "paused"), api::DOMAIN_PAUSED) => return Ok(()),
        (Some("prelaunch"), api::DOMAIN_RUNNING) => {
            // The file said so before the guest was told: the start is brought to its end.
            let done = monitor.run(Command::new("cont"), MONITOR_WAIT_MAX);
            return done.map(drop).map_err(|error| monitor_error(&error));
        }
        (Some("shutdown"), _) => {
            work.change(|data| {
                data.live.iter_mut().for_each(|live| live.shut_down = true);
                if let Some(live) = &data.live {
                    // An emulator that cannot be signalled has ended.
                    let _ = live.process.signal(Signal::TERM);
                }
            });
            (api::DOMAIN_SHUTDOWN, api::DOMAIN_SHUTDOWN_UNKNOWN)
        }
        (Some("guest-panicked"), _) => (api::DOMAIN_CRASHED, api::DOMAIN_CRASHED_PANICKED),
        (Some("paused"), _) => (api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_USER),
        _ => return Ok(()),
    };
    work.change(|data| data.set_state(state.0, state.1));
    lifecycle::save_status(work.core, work.guest);
    Ok(())
}

/// Learns who in the guest listens by now.
fn channels(work: &mut Work<'_>, chardevs: Option<&Value>) {
    for chardev in chardevs.and_then(Value::as_array).into_iter().flatten() {
        let label = chardev.get("label").and_then(Value::as_str);
        let id = label.and_then(|label| label.strip_prefix("char"));
        let open = chardev.get("frontend-open").and_then(Value::as_bool);
        if let (Some(id), Some(open)) = (id, open) {
            let _ = events::channel_is(work.core, work.guest, &mut work.turn, id, open);
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
    let _ = virt_store::write(&mark, b"", 0o600, virt_store::Durability::Process);
    for guest in core.guests.marked() {
        core.later(move |core| {
            let begun = guest.cell.begin(Job::Modify, "virDomainCreate", JOB_WAIT_MAX);
            let Ok(turn) = begun else { return };
            let mut work = Work::new(&core, &guest, turn);
            // It is this boot that was meant, whether the start succeeds or not.
            let _ = core.guests.mark(&guest, &mut work.turn, Autostart::NextBoot, false);
            if let (false, Ok(Some(document))) =
                (work.read(Data::active), core.guests.stored(&guest))
            {
                // Told in the guest's own log.
                let _ = lifecycle::start(&mut work, &document, false);
            }
        });
    }
}
