//! The guest's console.

use std::sync::Arc;

use virt_driver::{Call, DomainGuest, Stream};
use virt_error::{Code, Error, Result};
use virt_types::{DomainRef, api};

use super::check_flags;
use crate::lifecycle::invalid;
use crate::link::ORIGIN;
use crate::world::Detail;
use crate::{LdomsDriver, console};

impl DomainGuest for LdomsDriver {
    fn open_console(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        dev_name: Option<&str>,
        flags: u32,
    ) -> Result<Arc<dyn Stream>> {
        let known = api::DOMAIN_CONSOLE_FORCE | api::DOMAIN_CONSOLE_SAFE;
        check_flags(flags, known, "ldomsDomainOpenConsole")?;
        let manager = self.manager();
        let facts = manager.find(call, dom)?;
        if facts.control {
            let detail =
                "the control domain's console is the machine's own, not the concentrator's";
            return Err(invalid(detail));
        }
        if let Some(name) = dev_name.filter(|name| *name != "console0") {
            let detail = format!("cannot find character device {name}");
            return Err(Error::new(Code::InvalidArg, ORIGIN, detail));
        }
        if !facts.state.is_bound() {
            return Err(invalid("domain is not running"));
        }
        let content = manager.detail(call, &facts.name, Detail::Bindings)?;
        let port = content.first("console").and_then(|console| console.get("port"));
        let Some(port) = port.and_then(|port| port.trim().parse::<u16>().ok()) else {
            let detail = format!("domain '{}' has no port at a console concentrator", facts.name);
            return Err(invalid(detail));
        };
        let force = flags & api::DOMAIN_CONSOLE_FORCE != 0;
        let host = manager.target.console_host();
        let console = call.waiting(|| console::open(host, port, &facts.name, force))?;
        Ok(Arc::new(console))
    }
}
