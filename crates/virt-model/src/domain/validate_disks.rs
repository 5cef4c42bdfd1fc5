//! The checks of disks and of what shares their buses.

use virt_error::Result;

use crate::domain::address::{Address, Drive};
use crate::domain::disk::{Disk, DiskBus, DiskDevice, DiskType};
use crate::domain::load::xml_error;
use crate::domain::{Devices, Domain};
use crate::schema::error;

/// Limit: SCSI's own lengths of the vendor's and the product's name.
const VENDOR_LEN_MAX: usize = 8;
const PRODUCT_LEN_MAX: usize = 16;

pub(super) fn check(domain: &Domain) -> Result<()> {
    let disks = &domain.devices.disks;
    for (at, disk) in disks.iter().enumerate() {
        one(disk)?;
        if let Some(other) = disks.iter().take(at).find(|other| other.target.dev == disk.target.dev)
        {
            return xml_error(format!(
                "target '{}' duplicated for disk sources '{}' and '{}'",
                disk.target.dev,
                other.path().unwrap_or("(null)"),
                disk.path().unwrap_or("(null)"),
            ));
        }
    }
    throttle_filters(domain)?;
    places(&domain.devices)
}

/// A filter names a group that is there.
fn throttle_filters(domain: &Domain) -> Result<()> {
    let groups: Vec<Option<&str>> =
        domain.throttle_groups.iter().map(|group| group.group_name.as_deref()).collect();
    let mut filters = domain.devices.disks.iter().flat_map(|disk| &disk.throttle_filters);
    match filters.find(|filter| !groups.contains(&Some(filter.group.as_str()))) {
        Some(filter) => xml_error(format!("throttle group '{}' not found", filter.group)),
        None => Ok(()),
    }
}

/// Formats of images that a disk may name: libvirt's, and `vdisk`, a folder of `vdiskadm`'s.
const FORMATS: &[&str] = &[
    "raw", "dir", "bochs", "cloop", "dmg", "iso", "vpc", "vdi", "fat", "vhd", "ploop", "cow",
    "qcow", "qcow2", "qed", "vmdk", "aio", "vdisk",
];

/// Protocols of network storage.
const PROTOCOLS: &[&str] = &[
    "nbd", "rbd", "sheepdog", "gluster", "iscsi", "http", "https", "ftp", "ftps", "tftp", "ssh",
    "vxhs", "nfs",
];

impl Disk {
    /// Checks what stands in a disk alone, as one that comes to a domain that is there.
    pub fn check(&self) -> Result<()> {
        one(self)
    }
}

fn names(disk: &Disk) -> Result<()> {
    if let Some(format) = disk.format().filter(|format| !FORMATS.contains(format)) {
        return Err(error::unsupported(format!("unknown driver format value '{format}'")));
    }
    let protocol = disk.source.as_ref().and_then(|source| source.protocol.as_deref());
    if let Some(protocol) = protocol.filter(|protocol| !PROTOCOLS.contains(protocol)) {
        return xml_error(format!(
            "Invalid value for attribute 'protocol' in element 'source': '{protocol}'."
        ));
    }
    if disk.rawio.is_some() && disk.device != DiskDevice::Lun {
        return Err(error::unsupported("rawio can be used only with device='lun'"));
    }
    Ok(())
}

fn one(disk: &Disk) -> Result<()> {
    names(disk)?;
    let bus = disk.target.bus.unwrap_or_default();
    let target = &disk.target.dev;
    source(disk)?;
    if disk.vendor.as_ref().is_some_and(|vendor| vendor.len() > VENDOR_LEN_MAX) {
        return Err(error::unsupported("disk vendor is more than 8 characters"));
    }
    if disk.product.as_ref().is_some_and(|product| product.len() > PRODUCT_LEN_MAX) {
        return Err(error::unsupported("disk product is more than 16 characters"));
    }
    let by_drive = matches!(bus, DiskBus::Ide | DiskBus::Fdc | DiskBus::Scsi | DiskBus::Sata);
    if let (true, Some(kind)) = (by_drive, disk.info.address.kind().filter(|kind| *kind != "drive"))
    {
        return Err(error::unsupported(format!(
            "Invalid address type '{kind}' for the disk '{target}' with the bus type '{bus}'"
        )));
    }
    if disk.target.removable.is_some() && !matches!(bus, DiskBus::Usb | DiskBus::Scsi) {
        return xml_error("removable is only valid for usb or scsi disks");
    }
    Ok(())
}

fn source(disk: &Disk) -> Result<()> {
    let source = disk.source.as_ref();
    let protocol = source.and_then(|source| source.protocol.as_deref());
    if protocol == Some("sheepdog") {
        let what = "'sheepdog' protocol is no longer supported by any hypervisor driver";
        return Err(error::unsupported(what));
    }
    let whole = matches!(disk.kind, DiskType::Block | DiskType::Volume)
        || disk.kind == DiskType::Network && protocol == Some("iscsi");
    if disk.device == DiskDevice::Lun && !whole {
        return Err(error::unsupported(
            "disk device='lun' is only valid for block type disk source",
        ));
    }
    let inner =
        |name: &str| source.is_some_and(|source| source.rest.iter().any(|e| e.name == name));
    if inner("reservations") && disk.device != DiskDevice::Lun {
        return Err(error::unsupported("<reservations/> allowed only for lun devices"));
    }
    for (name, outer) in [("auth", disk.auth.is_some()), ("encryption", disk.encryption.is_some())]
    {
        if outer && inner(name) {
            return Err(error::unsupported(format!(
                "an <{name}> definition already found for disk source"
            )));
        }
    }
    let ciphered =
        |e: &virt_xml::Element<'_>| e.name == "encryption" && e.child("cipher").is_some();
    let outer = disk.encryption.as_ref().is_some_and(|encryption| encryption.cipher.is_some());
    if outer || source.is_some_and(|source| source.rest.iter().any(ciphered)) {
        return Err(error::unsupported(
            "supplying <cipher> for domain disk definition is unnecessary",
        ));
    }
    let has_media = source.is_some_and(|source| !source.is_empty());
    if !has_media && !matches!(disk.device, DiskDevice::Cdrom | DiskDevice::Floppy) {
        let target = disk.target.dev.as_str();
        return Err(virt_error::Error::new(
            virt_error::Code::NoSource,
            virt_error::Origin::Domain,
            target,
        ));
    }
    if let Some(policy) = source.and_then(|source| source.startup_policy.as_deref()) {
        startup_policy(disk, policy)?;
    }
    Ok(())
}

fn startup_policy(disk: &Disk, policy: &str) -> Result<()> {
    if !matches!(policy, "mandatory" | "requisite" | "optional") {
        return xml_error(format!("unknown startupPolicy value '{policy}'"));
    }
    if disk.kind == DiskType::Network {
        return xml_error(format!(
            "disk startupPolicy '{policy}' is not allowed for disk of 'network' type"
        ));
    }
    if policy == "requisite" && !matches!(disk.device, DiskDevice::Cdrom | DiskDevice::Floppy) {
        return xml_error(format!(
            "disk startupPolicy '{policy}' is allowed only for cdrom or floppy"
        ));
    }
    Ok(())
}

/// No two on one place of a bus.
fn places(devices: &Devices) -> Result<()> {
    let mut taken: Vec<(DiskBus, Drive, &str)> = Vec::new();
    for disk in &devices.disks {
        let Address::Drive(at) = &disk.info.address else { continue };
        let place = (disk.target.bus.unwrap_or_default(), *at);
        let Drive { controller, bus, target, unit } = *at;
        let name = &disk.target.dev;
        if let Some((_, _, name)) = taken.iter().find(|(bus, at, _)| (*bus, *at) == place) {
            return Err(error::unsupported(format!(
                "Found duplicate drive address for disk with target name '{name}' controller='{controller}' bus='{bus}' target='{target}' unit='{unit}'"
            )));
        }
        let shared = place.0 == DiskBus::Scsi
            && devices.hostdevs.iter().any(|hostdev| hostdev.info.address == disk.info.address);
        if shared {
            // Compat: the last quote is missing in libvirt's message too.
            return Err(error::unsupported(format!(
                "using disk target name '{name}' conflicts with SCSI host device address controller='{controller}' bus='{bus}' target='{target}' unit='{unit}"
            )));
        }
        taken.push((place.0, place.1, name));
    }
    Ok(())
}
