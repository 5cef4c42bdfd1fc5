//! A guest that ends, starts over or goes to sleep because its agent is asked to.

use std::time::Duration;

use serde_json::Value as QmpValue;
use virt_driver::{Call, Job};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Document;
use virt_types::{DomainRef, api};

use super::{Refusal, Talk, begin, object};
use crate::control::tell;
use crate::core::Core;
use crate::monitor::Command;

/// Limit: how long a guest may take to go, as with libvirt.
const GOING_MAX: Duration = Duration::from_secs(60);

/// Asks for what has no answer where it succeeds: the agent is gone then.
fn ask_to_go(talk: &mut Talk<'_>, name: &str, arguments: Option<virt_json::Value>) -> Result<()> {
    match talk.try_to_ask(name, arguments) {
        Ok(_) | Err(Refusal::Gone(_)) => Ok(()),
        Err(refusal) => Err(refusal.told()),
    }
}

/// `virDomainShutdown` and `virDomainReboot` by the agent.
pub(crate) fn shutdown(core: &Core, call: &Call<'_>, dom: &DomainRef, reboot: bool) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let mut talk = begin(core, &guest, call)?;
    talk.wait = GOING_MAX;
    let mode = if reboot { "reboot" } else { "powerdown" };
    ask_to_go(&mut talk, "guest-shutdown", Some(object([("mode", mode.into())])))
}

/// `virDomainPMSuspendForDuration`.
pub(crate) fn suspend(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    target: u32,
    duration_s: u64,
) -> Result<()> {
    if duration_s != 0 {
        let detail = "Duration not supported. Use 0 for now";
        return Err(Error::new(Code::ArgumentUnsupported, Origin::Qemu, detail));
    }
    let name = match i32::try_from(target) {
        Ok(api::NODE_SUSPEND_TARGET_MEM) => "guest-suspend-ram",
        Ok(api::NODE_SUSPEND_TARGET_DISK) => "guest-suspend-disk",
        Ok(api::NODE_SUSPEND_TARGET_HYBRID) => "guest-suspend-hybrid",
        _ => {
            let detail = format!("Unknown suspend target: {target}");
            return Err(Error::new(Code::InvalidArg, Origin::Qemu, detail));
        }
    };
    let guest = core.guests.find(dom)?;
    check_wakeable(core, call, dom)?;
    let mut talk = begin(core, &guest, call)?;
    check_enabled(&*talk.document()?, target)?;
    ask_to_go(&mut talk, name, None)
}

/// Refuses what would never wake up again.
fn check_wakeable(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let work = core.work(&guest, Job::Query, call)?;
    let answer = tell(&work, call, Command::new("query-current-machine"))?;
    match answer.get("wakeup-suspend-support").and_then(QmpValue::as_bool) {
        Some(false) => {
            let detail = "Domain does not have suspend support";
            Err(Error::new(Code::OperationUnsupported, Origin::Qemu, detail))
        }
        _ => Ok(()),
    }
}

fn check_enabled(document: &Document, target: u32) -> Result<()> {
    let Some(pm) = &document.pm else { return Ok(()) };
    let off = |enabled: &Option<virt_model::domain::misc::Enabled>| {
        enabled.as_ref().is_some_and(|enabled| !enabled.enabled.is_yes())
    };
    let (memory, disk) = (off(&pm.suspend_to_mem), off(&pm.suspend_to_disk));
    let what = match i32::try_from(target) {
        Ok(api::NODE_SUSPEND_TARGET_MEM | api::NODE_SUSPEND_TARGET_HYBRID) if memory => "S3",
        Ok(api::NODE_SUSPEND_TARGET_DISK | api::NODE_SUSPEND_TARGET_HYBRID) if disk => "S4",
        _ => return Ok(()),
    };
    let detail = format!("{what} state is disabled for this domain");
    Err(Error::new(Code::OperationUnsupported, Origin::Qemu, detail))
}

/// `virDomainPMWakeup`.
pub(crate) fn wake(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let work = core.work(&guest, Job::Modify, call)?;
    tell(&work, call, Command::new("system_wakeup")).map(drop)
}
