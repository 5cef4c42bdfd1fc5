//! From text to a whole domain: reading, the driver's guest, defaults, checks.

use virt_error::{Origin, Result};

use crate::domain::boot::OsType;
use crate::domain::devices::Panic;
use crate::domain::{
    Devices, Domain, DomainRules, VirtType, defaults, implicit, numa, scheduling, unsaid, validate,
};
use crate::schema::{ParseFlags, error, explain};

impl Domain {
    /// Reads a document and completes it by libvirt's common rules and the driver's.
    ///
    /// Order: the driver names the guest's architecture first, because defaults depend on it; its own
    /// devices come after the common ones; checks come last, the common ones before the driver's.
    pub fn load(xml: &str, flags: ParseFlags, rules: &dyn DomainRules) -> Result<Self> {
        explain::reading(xml, Origin::Domain, |tree| {
            let mut domain = Self::from_tree(tree, flags)?;
            let interfaces = domain.devices.interfaces.iter_mut();
            interfaces.for_each(|interface| defaults::virtual_port(interface, rules));
            if !flags.skip_post_parse {
                domain.complete(flags, rules)?;
            }
            Ok(domain)
        })
    }

    /// The second half of [`Domain::load`], for a domain that was built or changed.
    pub fn complete(&mut self, flags: ParseFlags, rules: &dyn DomainRules) -> Result<()> {
        self.old_os_type();
        if self.os.kind.kind.is_none() {
            return xml_error("an os <type> must be specified");
        }
        if self.os.kind.kind == Some(OsType::Exe) && self.os.init.is_none() {
            return xml_error("init binary must be specified");
        }
        if self.devices.len() > Devices::LEN_MAX {
            return Err(error::unsupported(format!("more than {} devices", Devices::LEN_MAX)));
        }
        rules.guest(self)?;
        if self.uuid.is_none() {
            self.uuid = Some(rules.random_uuid());
        }
        rules.before_defaults(self, flags)?;
        defaults::memory(self, flags.abi_update)?;
        numa::complete(self);
        defaults::vcpus(self);
        scheduling::complete(self)?;
        defaults::boot(self);
        defaults::lifecycle(self);
        defaults::cpu(self);
        unsaid::domain(self)?;
        unsaid::devices(&mut self.devices);
        defaults::devices(self, rules)?;
        implicit::consoles(self)?;
        implicit::scsi_addresses(self, rules);
        implicit::smartcards(self);
        implicit::controllers(self);
        rules.defaults(self, flags)?;
        // Compat: a device of no model of which nothing is known is not printed.
        self.devices.panics.retain(|panic| *panic != Panic::default());
        self.namespaces.retain(|namespace| rules.owns_namespace(&namespace.uri));
        let owned = &self.namespaces;
        self.foreign.retain(|tree| owned.iter().any(|n| Some(n.prefix.as_str()) == tree.prefix()));
        validate::domain(self, flags, rules)?;
        rules.validate(self)
    }
}

impl Domain {
    /// Compat: a guest with a boot loader needs no type, and what Xen calls `linux` was `xen` for
    /// everybody else.
    fn old_os_type(&mut self) {
        let kind = &mut self.os.kind.kind;
        if kind.is_none() && self.bootloader.is_some() {
            *kind = Some(OsType::Xen);
        }
        if *kind == Some(OsType::Xen) && self.virt_type == VirtType::Xen {
            *kind = Some(OsType::Linux);
        }
    }
}

/// `error::xml` with a place that is not known any more.
pub(crate) fn xml_error<T>(detail: impl Into<String>) -> Result<T> {
    Err(error::xml(detail))
}
