//! What the test driver makes of a domain document.

use virt_cpu::is_arch;
use virt_error::{Code, Error, Origin, Result};
use virt_model::ParseFlags;
use virt_model::domain::boot::LoaderType;
use virt_model::domain::interface::InterfaceTarget;
use virt_model::domain::{Device, Domain as Definition, DomainRules};
use virt_xml::Element;

/// The architecture of the node.
pub(crate) const ARCH: &str = "i686";

/// The driver's part in reading a domain.
#[derive(Debug)]
struct Rules;

/// The same, for documents that hold domains.
pub(crate) const RULES: &dyn DomainRules = &Rules;

impl DomainRules for Rules {
    fn owns_namespace(&self, uri: &str) -> bool {
        uri == crate::fault::NAMESPACE
    }

    /// Compat: any kind of guest is taken, with an emulator or without.
    fn guest(&self, domain: &mut Definition) -> Result<()> {
        let arch = domain.os.kind.arch.get_or_insert_with(|| ARCH.to_owned());
        if !is_arch(arch) {
            return Err(Error::new(
                Code::ConfigUnsupported,
                Origin::Domain,
                format!("Unknown architecture {arch}"),
            ));
        }
        if let Some(loader) = &mut domain.os.loader
            && loader.path.is_some()
        {
            loader.kind.get_or_insert(LoaderType::Rom);
        }
        Ok(())
    }
}

/// Reads a domain document as the driver takes it.
pub(crate) fn parse(xml: &str, flags: ParseFlags) -> Result<Definition> {
    let mut domain = Definition::load(xml, flags, &Rules)?;
    name_interfaces(&mut domain);
    Ok(domain)
}

/// The same from a tree.
pub(crate) fn from_tree(tree: &Element<'_>) -> Result<Definition> {
    let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
    let mut domain = Definition::from_tree(tree, flags)?;
    domain.complete(flags, &Rules)?;
    name_interfaces(&mut domain);
    Ok(domain)
}

/// Reads a device that is to come into a domain.
pub(crate) fn parse_device(xml: &str, domain: &Definition) -> Result<Device> {
    Device::parse(xml, domain.virt_type, ParseFlags::default(), &Rules)
}

/// Gives every interface without a device on the host one: the first free `testnetN`.
pub(crate) fn name_interfaces(domain: &mut Definition) {
    let mut taken: Vec<String> = domain
        .devices
        .interfaces
        .iter()
        .filter_map(|interface| interface.target_dev().map(str::to_owned))
        .collect();
    let mut next = 0_usize;
    for interface in &mut domain.devices.interfaces {
        if interface.target_dev().is_some() {
            continue;
        }
        let name = loop {
            let name = format!("testnet{next}");
            next += 1;
            if !taken.contains(&name) {
                break name;
            }
        };
        interface.target.get_or_insert_with(InterfaceTarget::default).dev = Some(name.clone());
        taken.push(name);
    }
}
