//! Calls that last: saving, restoring, dumping; and the job that runs.

use virt_driver::{Call, DomainJobs};
use virt_error::Result;
use virt_model::{Flags, PrintFlags};
use virt_types::{DomainRef, api};

use crate::TestDriver;
use crate::domain::save;
use crate::error::check_flags;

impl DomainJobs for TestDriver {
    fn save(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        to: &str,
        dxml: Option<&str>,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "testDomainSaveFlags")?;
        save::save(call, &self.world, dom, to, dxml)
    }

    fn restore(&self, call: &Call<'_>, from: &str, dxml: Option<&str>, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testDomainRestoreFlags")?;
        save::restore(call, &self.world, from, dxml)
    }

    fn save_image_get_xml_desc(&self, _: &Call<'_>, file: &str, flags: u32) -> Result<String> {
        check_flags(flags, api::DOMAIN_SAVE_IMAGE_XML_SECURE, "testDomainSaveImageGetXMLDesc")?;
        Ok(save::read(file)?.to_xml(PrintFlags::from_bits(flags)))
    }

    fn save_image_define_xml(
        &self,
        _: &Call<'_>,
        file: &str,
        dxml: &str,
        flags: u32,
    ) -> Result<()> {
        const KNOWN: u32 = api::DOMAIN_SAVE_RUNNING | api::DOMAIN_SAVE_PAUSED;
        check_flags(flags, KNOWN, "testDomainSaveImageDefineXML")?;
        save::redefine(file, dxml)
    }

    fn managed_save(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, save::MANAGED_FLAGS, "testDomainManagedSave")?;
        save::managed_save(call, &self.world, dom)
    }

    fn has_managed_save_image(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<bool> {
        check_flags(flags, 0, "testDomainHasManagedSaveImage")?;
        self.world.look(dom, |state| Ok(state.managed_save))
    }

    fn managed_save_remove(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testDomainManagedSaveRemove")?;
        save::forget(call, &self.world, dom)
    }

    fn core_dump(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        to: &str,
        dumpformat: u32,
        flags: u32,
    ) -> Result<()> {
        save::dump(call, &self.world, dom, to, (dumpformat, flags))
    }
}
