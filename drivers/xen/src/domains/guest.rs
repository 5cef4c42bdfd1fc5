//! The guest's console.

use std::path::Path;
use std::sync::Arc;

use virt_driver::{Call, DomainGuest, Stream};
use virt_error::{Error, Result};
use virt_types::{DomainRef, api};

use super::check_flags;
use crate::{ORIGIN, XenDriver, console};

impl DomainGuest for XenDriver {
    fn open_console(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        dev_name: Option<&str>,
        flags: u32,
    ) -> Result<Arc<dyn Stream>> {
        check_flags(flags, api::DOMAIN_CONSOLE_FORCE, "libxlDomainOpenConsole")?;
        let core = self.core();
        let (_, running) = core.guest(dom)?;
        if dev_name.is_some() {
            let detail = "console device aliases are not supported by Xen";
            return Err(crate::unsupported(detail));
        }
        let terminal = console::terminal(&core.store(), &running).or_else(|| {
            // Without xenstore xend may know it.
            let document = core.toolstack().document(&running).ok()?;
            let source = &document.devices.consoles.first()?.source;
            source.path.clone().filter(|path| path.starts_with("/dev/"))
        });
        let terminal = terminal.ok_or_else(|| {
            Error::internal(ORIGIN, format!("domain '{}' has no console yet", running.name))
        })?;
        core.consoles.open(Path::new(&terminal), flags, ORIGIN)
    }
}
