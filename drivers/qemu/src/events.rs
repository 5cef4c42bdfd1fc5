//! What a guest does by itself, and what follows from it.
//!
//! ```text
//!   running ──STOP──▶ paused ──RESUME──▶ running
//!      │ SHUTDOWN                 reboot asked: reset and run again
//!      ▼
//!   in shutdown ──process ends──▶ shut off (or, transient, gone)
//! ```
//!
//! All of this runs while the guest's job is held, on the thread that reads the monitors or at the
//! end of a call: nothing here waits for an answer of the guest.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use virt_driver::{Job, MonitorEvent, Turn};
use virt_error::Result;
use virt_host::{Ended, Signal};
use virt_model::domain::LifecycleAction;
use virt_model::domain::chardev::ChannelState;
use virt_types::{Event, api};

use crate::core::{Core, MONITOR_WAIT_MAX, monitor_error};
use crate::guest::{Data, Guest, Live};
use crate::monitor::{self, Command, Happening};
use crate::{agent, lifecycle};

/// Deals with one happening of a guest's run.
pub(crate) fn happened(
    core: &Core,
    guest: &Arc<Guest>,
    turn: &mut Turn<'_, Data>,
    run: u64,
    happening: Happening,
) {
    let current = turn.read(|data| data.live.as_ref().is_some_and(|live| live.run == run));
    if !current {
        return;
    }
    match happening {
        Happening::Event(event) => {
            tell(core, guest, &event);
            one_event(core, guest, turn, &event);
        }
        Happening::Closed => kill(turn, Signal::KILL),
        Happening::Ended(how) => ended(core, guest, turn, how),
    }
}

/// Tells those who listen to monitors.
fn tell(core: &Core, guest: &Guest, event: &monitor::Event) {
    core.monitors.publish(|| MonitorEvent {
        dom: guest.to_ref(),
        name: event.name.clone(),
        at_us: event.at_us,
        details: (!event.data.is_null()).then(|| event.data.to_string()),
    });
}

fn kill(turn: &Turn<'_, Data>, signal: Signal) {
    let process = turn.read(|data| data.live.as_ref().map(|live| Arc::clone(&live.process)));
    if let Some(process) = process {
        // A process that cannot be signalled has ended, which its descriptor tells.
        let _ = process.signal(signal);
    }
}

/// The process has ended: nothing runs any more.
fn ended(core: &Core, guest: &Arc<Guest>, turn: &mut Turn<'_, Data>, how: Ended) {
    let (ending, shut_down) = turn.read(|data| {
        data.live.as_ref().map_or((None, false), |live| (live.ending, live.shut_down))
    });
    let reason = match ending {
        Some(reason) => reason,
        None if shut_down => api::DOMAIN_SHUTOFF_SHUTDOWN,
        None => api::DOMAIN_SHUTOFF_CRASHED,
    };
    lifecycle::stopped(core, guest, turn, reason, how);
}

fn one_event(core: &Core, guest: &Arc<Guest>, turn: &mut Turn<'_, Data>, event: &monitor::Event) {
    let dom = guest.to_ref();
    match event.name.as_str() {
        "STOP" => {
            let changed = turn.change(|data| {
                let changed = data.state == api::DOMAIN_RUNNING;
                if changed {
                    data.set_state(api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_UNKNOWN);
                }
                changed
            });
            if changed {
                lifecycle::save_status(core, guest);
                let detail = api::DOMAIN_EVENT_SUSPENDED_PAUSED;
                core.guests.publish_lifecycle(dom, api::DOMAIN_EVENT_SUSPENDED, detail);
            }
        }
        "RESUME" => {
            let changed = turn.change(|data| {
                let changed = data.state == api::DOMAIN_PAUSED;
                if changed {
                    data.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_UNPAUSED);
                }
                changed
            });
            if changed {
                lifecycle::save_status(core, guest);
                let detail = api::DOMAIN_EVENT_RESUMED_UNPAUSED;
                core.guests.publish_lifecycle(dom, api::DOMAIN_EVENT_RESUMED, detail);
            }
        }
        "SHUTDOWN" => shutdown(core, guest, turn, &event.data),
        "RESET" => core.guests.publish(&Event::DomainReboot { dom }),
        "GUEST_PANICKED" => panicked(core, guest, turn),
        "BALLOON_CHANGE" => {
            let actual_kib = event.data.get("actual").and_then(Value::as_u64).map(|b| b / 1024);
            if let Some(actual) = actual_kib {
                turn.change(|data| {
                    if let Some(live) = &mut data.live {
                        live.balloon_kib = actual;
                    }
                });
                core.guests.publish(&Event::DomainBalloonChange { dom, actual });
            }
        }
        "RTC_CHANGE" => {
            let offset = event.data.get("offset").and_then(Value::as_i64);
            if let Some(offset) = offset {
                core.guests.publish(&Event::DomainRtcChange { dom, offset });
            }
        }
        "SUSPEND" => asleep(core, guest, turn, false),
        "SUSPEND_DISK" => asleep(core, guest, turn, true),
        "WAKEUP" => awake(core, guest, turn),
        "VSERPORT_CHANGE" => channel(core, guest, turn, &event.data),
        _ => {}
    }
}

/// The guest has powered off, or the emulator was told to end.
fn shutdown(core: &Core, guest: &Arc<Guest>, turn: &mut Turn<'_, Data>, data: &Value) {
    let by_guest = data.get("guest").and_then(Value::as_bool).unwrap_or(false);
    let reset = data.get("reason").and_then(Value::as_str) == Some("guest-reset");
    let (rebooting, repeated) = turn.read(|data| {
        data.live.as_ref().map_or((false, true), |live| (live.rebooting, live.shut_down))
    });
    if repeated {
        return;
    }
    if rebooting && by_guest {
        let guest = Arc::clone(guest);
        core.later(move |core| reboot(&core, &guest));
        return;
    }
    turn.change(|data| {
        let run_on = |live: &mut Live| live.shut_down = true;
        data.live.iter_mut().for_each(run_on);
        data.set_state(api::DOMAIN_SHUTDOWN, api::DOMAIN_SHUTDOWN_UNKNOWN);
    });
    lifecycle::save_status(core, guest);
    let detail = match by_guest {
        true => api::DOMAIN_EVENT_SHUTDOWN_GUEST,
        false => api::DOMAIN_EVENT_SHUTDOWN_HOST,
    };
    core.guests.publish_lifecycle(guest.to_ref(), api::DOMAIN_EVENT_SHUTDOWN, detail);
    let action = turn.read(|data| data.live.as_ref().and_then(|live| live.document.on_poweroff));
    match action {
        Some(LifecycleAction::Restart | LifecycleAction::RenameRestart) if !reset => {
            let guest = Arc::clone(guest);
            core.later(move |core| reboot(&core, &guest));
        }
        Some(LifecycleAction::Preserve) if !reset => {}
        // Terminated, it still writes back what it holds of its disks.
        _ => kill(turn, Signal::TERM),
    }
}

/// Lets a guest that has shut down start over.
fn reboot(core: &Core, guest: &Arc<Guest>) {
    let done: Result<()> = (|| {
        let mut turn =
            guest.cell.begin(Job::Modify, "virDomainReboot", virt_guests::JOB_WAIT_MAX)?;
        let monitor = turn.read(|data| data.running().map(|live| Arc::clone(&live.monitor)))?;
        let commands = [Command::new("system_reset"), Command::new("cont")];
        let answers = monitor.run_all(&commands, MONITOR_WAIT_MAX);
        answers.map_err(|error| monitor_error(&error))?;
        turn.change(|data| {
            if let Some(live) = &mut data.live {
                (live.rebooting, live.shut_down) = (false, false);
            }
            data.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_BOOTED);
        });
        lifecycle::save_status(core, guest);
        Ok(())
    })();
    if done.is_err() {
        // Compat: a guest that cannot be started over is ended.
        let turn = guest.cell.begin(Job::Destroy, "virDomainReboot", Duration::from_secs(1));
        if let Ok(turn) = turn {
            kill(&turn, Signal::KILL);
        }
    }
    core.pump(guest);
}

/// The guest sleeps, its memory kept by the emulator or by the guest itself.
fn asleep(core: &Core, guest: &Arc<Guest>, turn: &mut Turn<'_, Data>, on_disk: bool) {
    let slept = turn.change(|data| {
        let awake = data.state == api::DOMAIN_RUNNING;
        if awake {
            data.set_state(api::DOMAIN_PMSUSPENDED, api::DOMAIN_PMSUSPENDED_UNKNOWN);
        }
        awake
    });
    let dom = guest.to_ref();
    core.guests.publish(&match on_disk {
        true => Event::DomainPmsuspendDisk { reason: 0, dom: dom.clone() },
        false => Event::DomainPmsuspend { reason: 0, dom: dom.clone() },
    });
    if slept {
        lifecycle::save_status(core, guest);
        let detail = match on_disk {
            true => api::DOMAIN_EVENT_PMSUSPENDED_DISK,
            false => api::DOMAIN_EVENT_PMSUSPENDED_MEMORY,
        };
        core.guests.publish_lifecycle(dom, api::DOMAIN_EVENT_PMSUSPENDED, detail);
    }
}

fn awake(core: &Core, guest: &Arc<Guest>, turn: &mut Turn<'_, Data>) {
    let woke = turn.change(|data| {
        let asleep = data.state == api::DOMAIN_PMSUSPENDED;
        if asleep {
            data.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_WAKEUP);
        }
        asleep
    });
    let dom = guest.to_ref();
    core.guests.publish(&Event::DomainPmwakeup { reason: 0, dom: dom.clone() });
    if woke {
        lifecycle::save_status(core, guest);
        let detail = api::DOMAIN_EVENT_STARTED_WAKEUP;
        core.guests.publish_lifecycle(dom, api::DOMAIN_EVENT_STARTED, detail);
    }
}

fn panicked(core: &Core, guest: &Arc<Guest>, turn: &mut Turn<'_, Data>) {
    turn.change(|data| data.set_state(api::DOMAIN_CRASHED, api::DOMAIN_CRASHED_PANICKED));
    let (event, detail) = (api::DOMAIN_EVENT_CRASHED, api::DOMAIN_EVENT_CRASHED_PANICKED);
    core.guests.publish_lifecycle(guest.to_ref(), event, detail);
    let action = turn.read(|data| data.live.as_ref().and_then(|live| live.document.on_crash));
    match action {
        Some(LifecycleAction::Preserve) => lifecycle::save_status(core, guest),
        Some(LifecycleAction::Restart | LifecycleAction::RenameRestart) => {
            let guest = Arc::clone(guest);
            core.later(move |core| reboot(&core, &guest));
        }
        _ => {
            turn.change(|data| {
                let end = |live: &mut Live| live.ending = Some(api::DOMAIN_SHUTOFF_CRASHED);
                data.live.iter_mut().for_each(end);
            });
            kill(turn, Signal::KILL);
        }
    }
}

/// Somebody in the guest opened or closed a channel.
fn channel(core: &Core, guest: &Arc<Guest>, turn: &mut Turn<'_, Data>, data: &Value) {
    let id = data.get("id").and_then(Value::as_str).unwrap_or_default();
    let open = data.get("open").and_then(Value::as_bool).unwrap_or(false);
    // Compat: an agent that comes twice, as after a guest's reboot, is told of twice.
    if !channel_is(core, guest, turn, id, open) && turn.read(|data| is_agents(data, id)) {
        tell_of_agent(core, guest, open, api::CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL);
    }
}

fn is_agents(data: &Data, id: &str) -> bool {
    let channels = data.live.iter().flat_map(|live| &live.document.devices.channels);
    let mut agents = channels.filter(|channel| agent::is_agents(channel));
    agents.any(|channel| channel.info.alias.as_deref() == Some(id))
}

/// A channel is open in the guest or not: what follows if that is news, and whether it is.
pub(crate) fn channel_is(
    core: &Core,
    guest: &Arc<Guest>,
    turn: &mut Turn<'_, Data>,
    id: &str,
    open: bool,
) -> bool {
    let state = if open { ChannelState::Connected } else { ChannelState::Disconnected };
    let agent = turn.change(|data| {
        let live = data.live.as_mut()?;
        let document = Arc::make_mut(&mut live.document);
        let mut channels = document.devices.channels.iter_mut();
        let channel = channels.find(|channel| channel.info.alias.as_deref() == Some(id))?;
        if channel.target.state == Some(state) {
            return None;
        }
        channel.target.state = Some(state);
        let agent = agent::is_agents(channel);
        if agent {
            // Whoever waits for an agent that is gone is told.
            live.agent.take().iter().for_each(|link| link.end());
            live.agent = agent::connect(&live.document);
        }
        Some(agent)
    });
    let Some(agent) = agent else { return false };
    lifecycle::save_status(core, guest);
    if agent {
        tell_of_agent(core, guest, open, api::CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL);
    }
    true
}

/// Tells those who listen that an agent has come or gone.
pub(crate) fn tell_of_agent(core: &Core, guest: &Guest, here: bool, reason: i32) {
    let state = match here {
        true => api::CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED,
        false => api::CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED,
    };
    core.guests.publish(&Event::DomainAgentLifecycle { dom: guest.to_ref(), state, reason });
}
