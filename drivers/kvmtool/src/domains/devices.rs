//! Calls that change devices.

use virt_driver::{Call, DomainDevices};
use virt_error::Result;
use virt_types::DomainRef;

use super::{AFFECT, check_flags};
use crate::{KvmtoolDriver, devices};

impl DomainDevices for KvmtoolDriver {
    fn attach_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT, "kvmtoolDomainAttachDeviceFlags")?;
        devices::attach(self.core(), call, dom, xml, flags)
    }

    fn detach_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT, "kvmtoolDomainDetachDeviceFlags")?;
        devices::detach(self.core(), call, dom, xml, flags)
    }

    fn detach_device_alias(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        alias: &str,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "kvmtoolDomainDetachDeviceAlias")?;
        devices::detach_alias(self.core(), call, dom, alias, flags)
    }

    fn update_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT, "kvmtoolDomainUpdateDeviceFlags")?;
        devices::update(self.core(), call, dom, xml, flags)
    }
}
