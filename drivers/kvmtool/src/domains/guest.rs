//! Calls into the guest: its console and its keys.

use std::sync::Arc;

use virt_driver::{Call, DomainGuest, Stream};
use virt_error::Result;
use virt_types::{DomainRef, api};

use super::check_flags;
use crate::{KvmtoolDriver, ORIGIN, control, invalid_arg};

impl DomainGuest for KvmtoolDriver {
    fn open_console(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        dev_name: Option<&str>,
        flags: u32,
    ) -> Result<Arc<dyn Stream>> {
        let known = api::DOMAIN_CONSOLE_FORCE | api::DOMAIN_CONSOLE_SAFE;
        check_flags(flags, known, "kvmtoolDomainOpenConsole")?;
        let document = control::live_document(self.core(), dom)?;
        let terminal = virt_guests::terminal(&document, dev_name, ORIGIN)?;
        let serial = !crate::argv::is_virtio_console(&document);
        let stream = self.core().consoles.open(&terminal, flags, ORIGIN)?;
        Ok(Arc::new(crate::console::Escaped::new(stream, serial)))
    }

    fn inject_nmi(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "kvmtoolDomainInjectNMI")?;
        control::inject_nmi(self.core(), call, dom)
    }

    fn send_key(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        codeset: u32,
        _: u32,
        keycodes: &[u32],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "kvmtoolDomainSendKey")?;
        const LINUX: u32 = 0;
        if codeset != LINUX {
            return Err(invalid_arg("only keys of the codeset 'linux' are known"));
        }
        control::send_key(self.core(), call, dom, keycodes)
    }
}
