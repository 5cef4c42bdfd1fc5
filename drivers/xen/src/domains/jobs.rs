//! Calls that last: saving, restoring, dumping.

use std::path::Path;

use virt_driver::{Call, DomainJobs};
use virt_error::Result;
use virt_model::PrintFlags;
use virt_types::{DomainGetJobStats, DomainJobInfo, DomainRef, api};

use super::check_flags;
use crate::channels::Dump;
use crate::{XenDriver, invalid_operation, jobs};

const SAVE: u32 = api::DOMAIN_SAVE_RUNNING | api::DOMAIN_SAVE_PAUSED;

impl DomainJobs for XenDriver {
    fn save(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        to: &str,
        dxml: Option<&str>,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, SAVE, "libxlDomainSaveFlags")?;
        jobs::save(self.core(), call, dom, Path::new(to), dxml)
    }

    fn restore(&self, call: &Call<'_>, from: &str, dxml: Option<&str>, flags: u32) -> Result<()> {
        check_flags(flags, SAVE, "libxlDomainRestoreFlags")?;
        let paused = flags & api::DOMAIN_SAVE_PAUSED != 0;
        jobs::restore(self.core(), call, Path::new(from), dxml, paused)
    }

    fn managed_save(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, SAVE, "libxlDomainManagedSave")?;
        jobs::managed_save(self.core(), call, dom)
    }

    fn has_managed_save_image(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<bool> {
        check_flags(flags, 0, "libxlDomainHasManagedSaveImage")?;
        let core = self.core();
        core.find(dom).map(|subject| core.save_path(&subject.name).exists())
    }

    fn managed_save_remove(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "libxlDomainManagedSaveRemove")?;
        let core = self.core();
        jobs::forget_save(core, &core.find(dom)?)
    }

    fn managed_save_get_xml_desc(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, api::DOMAIN_SAVE_IMAGE_XML_SECURE, "libxlDomainManagedSaveGetXMLDesc")?;
        let core = self.core();
        let path = core.save_path(&core.find(dom)?.name);
        if !path.exists() {
            return Err(invalid_operation("domain does not have managed save image"));
        }
        let flags = PrintFlags { inactive: true, ..PrintFlags::default() };
        Ok(core.toolstack().saved(&path)?.to_xml(flags))
    }

    fn save_image_get_xml_desc(&self, call: &Call<'_>, file: &str, flags: u32) -> Result<String> {
        check_flags(flags, api::DOMAIN_SAVE_IMAGE_XML_SECURE, "libxlDomainSaveImageGetXMLDesc")?;
        let flags = PrintFlags { inactive: true, ..PrintFlags::default() };
        let saved = call.waiting(|| self.core().toolstack().saved(Path::new(file)))?;
        Ok(saved.to_xml(flags))
    }

    fn core_dump(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        to: &str,
        dumpformat: u32,
        flags: u32,
    ) -> Result<()> {
        let known = api::DUMP_CRASH | api::DUMP_LIVE | api::DUMP_RESET | api::DUMP_BYPASS_CACHE;
        check_flags(flags, known & !api::DUMP_BYPASS_CACHE, "libxlDomainCoreDump")?;
        if dumpformat != api::DOMAIN_CORE_DUMP_FORMAT_RAW.cast_unsigned() {
            return Err(crate::unsupported("Xen writes core dumps in its own format only"));
        }
        let how = Dump {
            live: flags & api::DUMP_LIVE != 0,
            crash: flags & api::DUMP_CRASH != 0,
            reset: flags & api::DUMP_RESET != 0,
        };
        jobs::dump(self.core(), call, dom, Path::new(to), how)
    }

    fn get_job_info(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainJobInfo> {
        self.core().active(dom)?;
        Ok(virt_driver::no_job())
    }

    fn get_job_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<DomainGetJobStats> {
        let known = api::DOMAIN_JOB_STATS_COMPLETED | api::DOMAIN_JOB_STATS_KEEP_COMPLETED;
        check_flags(flags, known, "libxlDomainGetJobStats")?;
        self.core().find(dom)?;
        Ok(DomainGetJobStats { kind: api::DOMAIN_JOB_NONE, params: Vec::new() })
    }

    fn abort_job(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "libxlDomainAbortJobFlags")?;
        self.core().active(dom)?;
        Err(invalid_operation("no job is active on the domain"))
    }
}
