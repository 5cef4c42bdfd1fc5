//! The checks that hold for every driver, with libvirt's words.

use std::collections::BTreeSet;

use virt_error::Result;

use crate::domain::chardev::{ChannelType, ChardevSource, ChardevType};
use crate::domain::controller::{Controller, ControllerType};
use crate::domain::cpu::MaxPhysAddrMode;
use crate::domain::load::xml_error;
use crate::domain::{Domain, DomainRules, Placement, validate_disks, validate_hardware};
use crate::schema::{ParseFlags, error};

pub(super) fn domain(domain: &Domain, flags: ParseFlags, rules: &dyn DomainRules) -> Result<()> {
    names(domain, rules)?;
    vcpus(domain)?;
    boot_orders(domain)?;
    validate_disks::check(domain)?;
    chardevs(domain)?;
    usb(domain)?;
    validate_hardware::check(domain, flags)?;
    interfaces(domain)
}

fn names(domain: &Domain, rules: &dyn DomainRules) -> Result<()> {
    if domain.name.contains('/') && !rules.features().name_slash {
        return xml_error(format!("name {} cannot contain '/'", domain.name));
    }
    if domain.title.as_ref().is_some_and(|title| title.contains('\n')) {
        return xml_error("Domain title can't contain newlines");
    }
    Ok(())
}

fn vcpus(domain: &Domain) -> Result<()> {
    if domain.vcpu.current.is_some_and(|current| current > domain.vcpu.count) {
        return Err(error::unsupported(
            "maximum vCPU count must not be less than current vCPU count",
        ));
    }
    cpu(domain)?;
    let cells = domain.cpu.iter().filter_map(|cpu| cpu.numa.as_ref()).flat_map(|numa| &numa.cells);
    let mut used = BTreeSet::new();
    let mut last = None;
    for (at, cell) in cells.enumerate() {
        let id = cell.id.unwrap_or(u32::try_from(at).unwrap_or(u32::MAX));
        if !used.insert(id) {
            return xml_error(format!("Duplicate NUMA cell info for cell id '{id}'"));
        }
        last = last.max(cell.cpus.as_ref().and_then(|cpus| cpus.last()));
    }
    let count = used.len();
    if used.iter().enumerate().any(|(at, id)| usize::try_from(*id) != Ok(at)) {
        return xml_error(
            "Exactly one 'cell' element per guest NUMA cell allowed, non-contiguous ranges or ranges not starting from 0 are not allowed",
        );
    }
    numatune(domain, count)?;
    if domain.vcpu.count == 0 || last.is_some_and(|last| last >= domain.vcpu.count as usize) {
        return Err(error::internal("CPU IDs in <numa> exceed the <vcpu> count"));
    }
    Ok(())
}

fn boot_orders(domain: &Domain) -> Result<()> {
    let mut used = BTreeSet::new();
    for info in domain.devices.infos() {
        if let Some(boot) = &info.boot
            && !used.insert((boot.order, boot.loadparm.clone()))
        {
            let order = boot.order;
            return Err(error::unsupported(format!(
                "boot order '{order}' used for more than one device"
            )));
        }
    }
    if !used.is_empty() && !domain.os.boot.is_empty() {
        let what = "per-device boot elements cannot be used together with os/boot elements";
        return Err(error::unsupported(what));
    }
    Ok(())
}

impl crate::domain::interface::Interface {
    /// Checks what stands in an interface alone, as one that comes to a domain that is there.
    pub fn check(&self) -> Result<()> {
        let odd = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-');
        match self.model_name() {
            Some(model) if model.contains(odd) => Err(virt_error::Error::new(
                virt_error::Code::InvalidArg,
                virt_error::Origin::Domain,
                "Model name contains invalid characters",
            )),
            _ => Ok(()),
        }
    }
}

fn interfaces(domain: &Domain) -> Result<()> {
    use crate::domain::interface::InterfaceType::{
        Bridge, Direct, Hostdev, Internal, Network, Vdpa,
    };
    for interface in &domain.devices.interfaces {
        interface.check()?;
        let needs = matches!(interface.kind, Network | Bridge | Direct | Hostdev | Internal | Vdpa);
        if needs && interface.source.is_none() {
            return xml_error(format!(
                "interface type='{}' requires a 'source' element",
                interface.kind
            ));
        }
    }
    Ok(())
}

/// Character devices must say where they lead; a driver finds sockets for virtio channels itself.
fn chardevs(domain: &Domain) -> Result<()> {
    let devices = &domain.devices;
    for channel in &devices.channels {
        let found_later = channel.source.kind == ChardevType::Unix
            && matches!(channel.target.kind, Some(ChannelType::Virtio | ChannelType::Xen));
        if !found_later {
            channel.source.validate()?;
        }
    }
    let others = (devices.serials.iter().map(|d| &d.source))
        .chain(devices.parallels.iter().map(|d| &d.source))
        .chain(devices.consoles.iter().map(|d| &d.source))
        .chain(devices.redirdevs.iter().map(|d| &d.source))
        .chain(devices.rngs.iter().filter_map(|d| d.backend.as_ref()?.chardev.as_ref()));
    others.into_iter().try_for_each(ChardevSource::validate)
}

/// A redirected device needs a USB bus.
fn usb(domain: &Domain) -> Result<()> {
    let is_bus =
        |c: &Controller| c.kind == ControllerType::Usb && c.model.as_deref() != Some("none");
    let has_bus = domain.devices.controllers.iter().any(is_bus);
    if !domain.devices.redirdevs.is_empty() && !has_bus {
        let what = "cannot add redirected USB device: USB is disabled for this domain";
        return Err(error::unsupported(what));
    }
    Ok(())
}

fn cpu(domain: &Domain) -> Result<()> {
    let Some(cpu) = &domain.cpu else { return Ok(()) };
    if let Some(address) = &cpu.maxphysaddr
        && address.mode == MaxPhysAddrMode::Passthrough
        && address.bits.is_some()
    {
        return Err(error::unsupported(
            "CPU maximum physical address bits number specification cannot be used with mode='passthrough'",
        ));
    }
    Ok(())
}

/// Where memory comes from must fit the cells that there are.
fn numatune(domain: &Domain, cells: usize) -> Result<()> {
    let tune = &domain.numatune;
    if let Some(memory) = &tune.memory
        && memory.placement == Some(Placement::Static)
        && memory.nodeset.is_none()
    {
        let what = "nodeset for NUMA memory tuning must be set if 'placement' is 'static'";
        return Err(error::unsupported(what));
    }
    if tune.memnodes.is_empty() {
        return Ok(());
    }
    if cells == 0 {
        return xml_error("Element 'memnode' is invalid without any guest NUMA cells");
    }
    let automatic = |placement: Option<Placement>| placement == Some(Placement::Auto);
    if tune.memory.as_ref().is_some_and(|memory| automatic(memory.placement)) {
        let what = "Per-node binding is not compatible with automatic NUMA placement.";
        return Err(error::unsupported(what));
    }
    Ok(())
}
