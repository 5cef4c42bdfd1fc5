//! Calls that last. The tool cannot save a guest, so no guest ever has a job that does.

use virt_driver::{Call, DomainJobs};
use virt_error::Result;
use virt_types::{DomainGetJobStats, DomainJobInfo, DomainRef, api};

use super::{check_flags, never};
use crate::{KvmtoolDriver, invalid_operation};

const NO_SAVE: &str = "the native Linux KVM tool cannot save the state of a guest";

impl DomainJobs for KvmtoolDriver {
    fn get_job_info(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainJobInfo> {
        self.need_active(dom)?;
        Ok(virt_driver::no_job())
    }

    fn get_job_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<DomainGetJobStats> {
        let known = api::DOMAIN_JOB_STATS_COMPLETED | api::DOMAIN_JOB_STATS_KEEP_COMPLETED;
        check_flags(flags, known, "kvmtoolDomainGetJobStats")?;
        self.core().guests.find(dom)?;
        Ok(DomainGetJobStats { kind: api::DOMAIN_JOB_NONE, params: Vec::new() })
    }

    fn abort_job(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, api::DOMAIN_ABORT_JOB_POSTCOPY, "kvmtoolDomainAbortJobFlags")?;
        self.need_active(dom)?;
        Err(invalid_operation("no job is active on the domain"))
    }

    fn save(&self, _: &Call<'_>, dom: &DomainRef, _: &str, _: Option<&str>, _: u32) -> Result<()> {
        never(self, dom, NO_SAVE)
    }

    fn managed_save(&self, _: &Call<'_>, dom: &DomainRef, _: u32) -> Result<()> {
        never(self, dom, NO_SAVE)
    }

    fn has_managed_save_image(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<bool> {
        check_flags(flags, 0, "kvmtoolDomainHasManagedSaveImage")?;
        self.seen(dom, |_| false)
    }
}
