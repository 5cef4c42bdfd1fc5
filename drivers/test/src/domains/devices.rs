//! Calls that change devices.

use virt_driver::{Call, DomainDevices};
use virt_error::Result;
use virt_types::DomainRef;

use crate::TestDriver;
use crate::domain::device;

impl DomainDevices for TestDriver {
    fn attach_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        device::attach(call, &self.world, dom, xml, flags)
    }

    fn update_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        device::update(call, &self.world, dom, xml, flags)
    }

    fn detach_device_alias(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        alias: &str,
        flags: u32,
    ) -> Result<()> {
        device::detach_alias(call, &self.world, dom, alias, flags)
    }
}
