//! Jobs that last: no guest has one yet, which is told as libvirt tells it.

use virt_error::Result;
use virt_types::{DomainGetJobStats, DomainJobInfo, DomainRef, api};

use crate::core::Core;
use crate::guest::invalid_operation;

fn need_running(core: &Core, dom: &DomainRef) -> Result<()> {
    core.guests.find(dom)?.read(|data| data.running().map(drop))
}

/// `virDomainGetJobInfo`.
pub(crate) fn info(core: &Core, dom: &DomainRef) -> Result<DomainJobInfo> {
    need_running(core, dom)?;
    Ok(virt_driver::no_job())
}

/// `virDomainGetJobStats`: what has ended can be asked of any domain.
pub(crate) fn stats(core: &Core, dom: &DomainRef, completed: bool) -> Result<DomainGetJobStats> {
    match completed {
        true => core.guests.find(dom).map(drop)?,
        false => need_running(core, dom)?,
    }
    Ok(DomainGetJobStats { kind: api::DOMAIN_JOB_NONE, params: Vec::new() })
}

/// `virDomainAbortJobFlags`.
pub(crate) fn abort(core: &Core, dom: &DomainRef) -> Result<()> {
    need_running(core, dom)?;
    Err(invalid_operation("no job is active on the domain"))
}
