//! Running guests told what to do: pause, go on, power button, reset, and their memory and CPUs.

use std::sync::Arc;

use serde_json::{Value, json};
use virt_driver::{Call, Job};
use virt_error::{Code, Error, Origin, Result};
use virt_guests::not_running;
use virt_model::domain::Domain as Document;
use virt_types::{DomainRef, api};

use crate::core::{Core, MONITOR_WAIT_MAX, Work, monitor_error};
use crate::guest::{Data, invalid_operation};
use crate::monitor::{Command, Monitor};
use crate::{interview, lifecycle};

fn monitor_of(work: &Work<'_>) -> Result<Arc<Monitor>> {
    work.read(|data| data.running().map(|live| Arc::clone(&live.monitor)))
}

/// One command to the guest, with no lock but the job held.
pub(crate) fn tell(work: &Work<'_>, call: &Call<'_>, command: Command) -> Result<Value> {
    let monitor = monitor_of(work)?;
    let answer = call.waiting(|| monitor.run(command, MONITOR_WAIT_MAX));
    answer.map_err(|error| monitor_error(&error))
}

/// Whether the guest runs, and does not sleep: what sleeps is only woken.
fn awake(data: &Data) -> Result<()> {
    data.running()?;
    match data.state {
        api::DOMAIN_PMSUSPENDED => Err(invalid_operation("domain is pmsuspended")),
        _ => Ok(()),
    }
}

/// `virDomainSuspend`. A paused guest stays paused.
pub(crate) fn suspend(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let mut work = core.work(&guest, Job::Suspend, call)?;
    work.read(awake)?;
    if work.read(Data::is_paused) {
        return Ok(());
    }
    tell(&work, call, Command::new("stop"))?;
    work.change(|data| data.set_state(api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_USER));
    lifecycle::record(&work)?;
    let detail = api::DOMAIN_EVENT_SUSPENDED_PAUSED;
    core.guests.publish_lifecycle(guest.to_ref(), api::DOMAIN_EVENT_SUSPENDED, detail);
    Ok(())
}

/// `virDomainResume`.
pub(crate) fn resume(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let mut work = core.work(&guest, Job::Modify, call)?;
    work.read(awake)?;
    match work.read(|data| data.state) {
        api::DOMAIN_PAUSED => {}
        api::DOMAIN_RUNNING => return Err(invalid_operation("domain is already running")),
        _ => return Err(invalid_operation("domain is in an unexpected state")),
    }
    tell(&work, call, Command::new("cont"))?;
    work.change(|data| data.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_UNPAUSED));
    lifecycle::record(&work)?;
    let detail = api::DOMAIN_EVENT_RESUMED_UNPAUSED;
    core.guests.publish_lifecycle(guest.to_ref(), api::DOMAIN_EVENT_RESUMED, detail);
    Ok(())
}

/// `virDomainShutdown` and `virDomainReboot`: the power button, and what it shall mean.
pub(crate) fn power_button(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    reboot: bool,
) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let mut work = core.work(&guest, Job::Modify, call)?;
    work.change(|data| {
        let live = data.live.as_mut().ok_or_else(not_running)?;
        live.rebooting = reboot;
        Ok::<_, Error>(())
    })?;
    // Order: a new daemon must know what the coming shutdown means.
    lifecycle::record(&work)?;
    tell(&work, call, Command::new("system_powerdown")).map(drop)
}

/// `virDomainReset`.
pub(crate) fn reset(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let mut work = core.work(&guest, Job::Modify, call)?;
    work.change(|data| {
        let live = data.live.as_mut().ok_or_else(not_running)?;
        live.rebooting = false;
        Ok::<_, Error>(())
    })?;
    tell(&work, call, Command::new("system_reset")).map(drop)
}

/// `virDomainInjectNMI`.
pub(crate) fn inject_nmi(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let work = core.work(&guest, Job::Modify, call)?;
    tell(&work, call, Command::new("inject-nmi")).map(drop)
}

/// `virDomainQemuMonitorCommand`: a caller's own words, which nobody here answers for.
pub(crate) fn monitor_command(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    text: &str,
    human: bool,
) -> Result<String> {
    let guest = core.guests.find(dom)?;
    let work = core.work(&guest, Job::Query, call)?;
    let monitor = monitor_of(&work)?;
    let files = call.take_files();
    if !files.is_empty() {
        let passed = call.waiting(|| monitor.pass(&files, MONITOR_WAIT_MAX));
        passed.map_err(|error| monitor_error(&error))?;
    }
    if human {
        let command = json!({ "command-line": text });
        let answer = tell(&work, call, Command::with("human-monitor-command", command))?;
        return Ok(answer.as_str().unwrap_or_default().to_owned());
    }
    let odd =
        |what: &str| Error::internal(Origin::Qemu, format!("cannot parse json {text}: {what}"));
    let value: Value = serde_json::from_str(text).map_err(|error| odd(&error.to_string()))?;
    let id = value.get("id").cloned();
    let name = value.get("execute").and_then(Value::as_str).ok_or_else(|| odd("no command"))?;
    let arguments = value.get("arguments").cloned().unwrap_or(Value::Null);
    let answer = call.waiting(|| monitor.raw(name, &arguments, MONITOR_WAIT_MAX));
    // Compat: a caller without an id of its own sees the daemon's: behind an answer, before an error.
    let id = id.unwrap_or_else(|| json!("libvirt-1"));
    Ok(match answer.map_err(|error| monitor_error(&error))? {
        Ok(value) => format!("{{\"return\":{value},\"id\":{id}}}"),
        Err(error) => {
            let error = json!({ "class": error.class, "desc": error.desc });
            format!("{{\"id\":{id},\"error\":{error}}}")
        }
    })
}

/// Changes the stored definition.
pub(crate) fn edit(work: &mut Work<'_>, edit: impl FnOnce(&mut Document)) -> Result<()> {
    work.core.guests.edit(work.guest, &mut work.turn, edit)
}

/// Changes the running definition, whose status file follows.
pub(crate) fn edit_live(work: &mut Work<'_>, edit: impl FnOnce(&mut Document)) -> Result<()> {
    work.change(|data| {
        if let Some(live) = &mut data.live {
            edit(Arc::make_mut(&mut live.document));
        }
    });
    lifecycle::record(work)
}

fn invalid_arg(detail: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, Origin::Qemu, detail)
}

/// `virDomainSetMemoryFlags`.
pub(crate) fn set_memory(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    kib: u64,
    flags: u32,
) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let mut work = core.work(&guest, Job::Modify, call)?;
    let impact = work.read(|data| core.guests.impact(data, flags))?;
    if flags & api::DOMAIN_MEM_MAXIMUM != 0 {
        if impact.live {
            let detail = "cannot resize the maximum memory on an active domain";
            return Err(invalid_operation(detail));
        }
        return edit(&mut work, |document| {
            document.memory.kib = kib;
            let current = document.current_memory_kib().min(kib);
            document.current_memory_kib = Some(current);
        });
    }
    let too_much = || invalid_arg("cannot set memory higher than max memory");
    let stored = if impact.config { core.guests.stored(&guest)? } else { None };
    if stored.is_some_and(|document| kib > document.memory.kib) {
        return Err(too_much());
    }
    if impact.live {
        let (max_kib, balloon) = work.read(|data| {
            let live = data.running()?;
            let balloon = live.document.devices.memballoon.as_ref();
            Ok::<_, Error>((
                live.document.memory.kib,
                balloon.is_some_and(|b| b.info.alias.is_some()),
            ))
        })?;
        if kib > max_kib {
            return Err(too_much());
        }
        if !balloon {
            let detail = "Unable to change memory of active domain without the balloon device and \
                          guest OS balloon driver";
            return Err(invalid_operation(detail));
        }
        let bytes = kib.saturating_mul(1024);
        tell(&work, call, Command::with("balloon", json!({ "value": bytes })))?;
        edit_live(&mut work, |document| document.current_memory_kib = Some(kib))?;
    }
    if impact.config {
        edit(&mut work, |document| document.current_memory_kib = Some(kib))?;
    }
    Ok(())
}

/// `virDomainSetMemoryStatsPeriod`.
pub(crate) fn set_stats_period(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    period_s: i32,
    flags: u32,
) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let mut work = core.work(&guest, Job::Modify, call)?;
    let impact = work.read(|data| core.guests.impact(data, flags))?;
    let period_s = u32::try_from(period_s).map_err(|_| invalid_arg("invalid value for period"))?;
    let set = |document: &mut Document| {
        if let Some(balloon) = &mut document.devices.memballoon {
            balloon.stats =
                (period_s > 0).then_some(virt_model::domain::devices::Stats { period_s });
        }
    };
    if impact.live {
        let alias = work.read(|data| {
            let live = data.running()?;
            let balloon = live.document.devices.memballoon.as_ref();
            balloon.and_then(|balloon| balloon.info.alias.clone()).ok_or_else(|| {
                invalid_operation(
                    "Memory balloon model must be virtio to set the collection period",
                )
            })
        })?;
        tell(&work, call, interview::stats_period(Some(&alias), period_s))?;
        edit_live(&mut work, set)?;
    }
    if impact.config {
        edit(&mut work, set)?;
    }
    Ok(())
}
