//! Calls that last: saving, restoring, dumping; and the job that runs.

use virt_driver::{Call, DomainJobs};
use virt_error::Result;
use virt_types::{DomainGetJobStats, DomainJobInfo, DomainRef, api};

use super::check_flags;
use crate::{QemuDriver, jobs};

impl DomainJobs for QemuDriver {
    fn get_job_info(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainJobInfo> {
        jobs::info(self.core(), dom)
    }

    fn get_job_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<DomainGetJobStats> {
        let completed = api::DOMAIN_JOB_STATS_COMPLETED;
        let known = completed | api::DOMAIN_JOB_STATS_KEEP_COMPLETED;
        check_flags(flags, known, "qemuDomainGetJobStats")?;
        jobs::stats(self.core(), dom, flags & completed != 0)
    }

    fn abort_job(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, api::DOMAIN_ABORT_JOB_POSTCOPY, "qemuDomainAbortJobFlags")?;
        jobs::abort(self.core(), dom)
    }

    fn has_managed_save_image(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<bool> {
        check_flags(flags, 0, "qemuDomainHasManagedSaveImage")?;
        self.seen(dom, |_| false)
    }
}
