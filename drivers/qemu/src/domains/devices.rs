//! Calls about a guest's devices.

use virt_driver::{Call, DomainDevices};
use virt_error::Result;
use virt_types::{DomainRef, api};

use super::check_flags;
use crate::{QemuDriver, displays};

impl DomainDevices for QemuDriver {
    fn open_graphics(&self, call: &Call<'_>, dom: &DomainRef, idx: u32, flags: u32) -> Result<()> {
        check_flags(flags, api::DOMAIN_OPEN_GRAPHICS_SKIPAUTH, "qemuDomainOpenGraphics")?;
        displays::open(self.core(), call, dom, idx, flags)
    }

    fn open_graphics_fd(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        idx: u32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, api::DOMAIN_OPEN_GRAPHICS_SKIPAUTH, "qemuDomainOpenGraphicsFD")?;
        displays::open_fd(self.core(), call, dom, idx, flags)
    }
}
