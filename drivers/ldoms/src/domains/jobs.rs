//! Migrations under way, as the manager's events tell of them.

use std::time::Instant;

use virt_driver::{Call, DomainJobs};
use virt_error::Result;
use virt_types::{DomainGetJobStats, DomainJobInfo, DomainRef, TypedParam, api};

use super::check_flags;
use crate::LdomsDriver;
use crate::lifecycle::invalid;
use crate::migrate::call_off;
use crate::world::Progress;

impl LdomsDriver {
    fn progress(&self, call: &Call<'_>, dom: &DomainRef) -> Result<Option<Progress>> {
        let facts = self.manager().find(call, dom)?;
        let known = self.manager().world().progress.get(&facts.name).cloned();
        Ok(known.filter(|progress| progress.status == "ongoing"))
    }
}

impl DomainJobs for LdomsDriver {
    /// The manager saves no guest.
    fn has_managed_save_image(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<bool> {
        check_flags(flags, 0, "ldomsDomainHasManagedSaveImage")?;
        self.manager().find(call, dom).map(|_| false)
    }

    fn get_job_info(&self, call: &Call<'_>, dom: &DomainRef) -> Result<DomainJobInfo> {
        let progress = self.progress(call, dom)?;
        let percent = progress.as_ref().map_or(0, |progress| progress.percent.min(100));
        let running = progress.is_some();
        let elapsed = progress.map(|progress| Instant::now().duration_since(progress.since));
        let elapsed = elapsed.and_then(|elapsed| u64::try_from(elapsed.as_millis()).ok());
        Ok(DomainJobInfo {
            kind: if running { api::DOMAIN_JOB_BOUNDED } else { api::DOMAIN_JOB_NONE },
            time_elapsed: elapsed.unwrap_or(0),
            data_total: if running { 100 } else { 0 },
            data_processed: percent,
            data_remaining: if running { 100_u64.saturating_sub(percent) } else { 0 },
            ..virt_driver::no_job()
        })
    }

    fn get_job_stats(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<DomainGetJobStats> {
        check_flags(flags, 0, "ldomsDomainGetJobStats")?;
        let info = self.get_job_info(call, dom)?;
        let mut params = Vec::new();
        if info.kind != api::DOMAIN_JOB_NONE {
            params.push(TypedParam::new("operation", api::DOMAIN_JOB_OPERATION_MIGRATION_OUT));
            params.push(TypedParam::new("time_elapsed", info.time_elapsed));
            params.push(TypedParam::new("data_total", info.data_total));
            params.push(TypedParam::new("data_processed", info.data_processed));
            params.push(TypedParam::new("data_remaining", info.data_remaining));
        }
        Ok(DomainGetJobStats { kind: info.kind, params })
    }

    fn abort_job(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "ldomsDomainAbortJobFlags")?;
        if self.progress(call, dom)?.is_none() {
            return Err(invalid("no job is active on the domain"));
        }
        call_off(self.manager(), Some(call), &dom.name)
    }
}
