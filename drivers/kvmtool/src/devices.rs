//! Devices that come to a stored definition, change in it and leave it: disks, interfaces, folders.
//!
//! The tool takes its devices at its start and none later, so a running guest's stay as they are.

use std::sync::Arc;

use virt_driver::{Call, Job};
use virt_error::{Code, Error, Result};
use virt_model::domain::devices::Filesystem;
use virt_model::domain::interface::Interface;
use virt_model::domain::{Device, Devices, Domain as Document};
use virt_model::{ParseFlags, PrintFlags};
use virt_types::DomainRef;

use crate::core::Core;
use crate::{ORIGIN, invalid_arg, invalid_operation, lifecycle};

/// `virDomainAttachDeviceFlags`.
pub(crate) fn attach(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    xml: &str,
    flags: u32,
) -> Result<()> {
    change_one(core, call, dom, xml, flags, "attach", |devices, device, at| {
        if at.is_some() {
            return Err(invalid_operation(match &device {
                Device::Disk(disk) => format!("target {} already exists", disk.target.dev),
                Device::Interface(nic) => format!("MAC address {} already exists", mac(nic)),
                _ => "Target already exists".to_owned(),
            }));
        }
        devices.add(device);
        Ok(())
    })
}

/// `virDomainDetachDeviceFlags`.
pub(crate) fn detach(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    xml: &str,
    flags: u32,
) -> Result<()> {
    change_one(core, call, dom, xml, flags, "detach", |devices, device, at| {
        let at = at.ok_or_else(|| match &device {
            Device::Disk(disk) => missing(format!("no target device {}", disk.target.dev)),
            other => not_there(other),
        })?;
        match device {
            Device::Disk(_) => drop(devices.disks.remove(at)),
            Device::Interface(_) => drop(devices.interfaces.remove(at)),
            _ => drop(devices.filesystems.remove(at)),
        }
        Ok(())
    })
}

/// `virDomainDetachDeviceAlias`, of a device that its owner named.
pub(crate) fn detach_alias(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    alias: &str,
    flags: u32,
) -> Result<()> {
    change(core, call, dom, flags, |document| match document.devices.remove_alias(alias) {
        Some(_) => Ok(()),
        None => Err(missing(format!("no device found with alias {alias}"))),
    })
}

/// `virDomainUpdateDeviceFlags`: another device in the place of one.
pub(crate) fn update(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    xml: &str,
    flags: u32,
) -> Result<()> {
    change_one(core, call, dom, xml, flags, "update", |devices, device, at| {
        let at = at.ok_or_else(|| match &device {
            Device::Disk(disk) => invalid_arg(format!("target {} doesn't exist.", disk.target.dev)),
            other => not_there(other),
        })?;
        match device {
            Device::Disk(disk) => replace(&mut devices.disks, at, *disk),
            Device::Interface(interface) => replace(&mut devices.interfaces, at, *interface),
            Device::Filesystem(folder) => replace(&mut devices.filesystems, at, *folder),
            _ => {}
        }
        Ok(())
    })
}

fn replace<T>(all: &mut [T], at: usize, new: T) {
    if let Some(old) = all.get_mut(at) {
        *old = new;
    }
}

/// Does to a definition's devices what a call asks with one device: with the device itself, and where
/// the one is that it stands for.
fn change_one(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    xml: &str,
    flags: u32,
    verb: &str,
    act: impl FnOnce(&mut Devices, Device, Option<usize>) -> Result<()>,
) -> Result<()> {
    change(core, call, dom, flags, |document| {
        let device = core.guests.load_device(xml, document.virt_type)?;
        let at = place(&document.devices, &device, verb)?;
        act(&mut document.devices, device, at)
    })
}

/// Changes the devices of the stored definition, which is looked at as a whole before it is kept.
fn change(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    flags: u32,
    edit: impl FnOnce(&mut Document) -> Result<()>,
) -> Result<()> {
    core.work(call, dom, Job::Modify, |guest, turn| {
        if turn.read(|data| core.guests.impact(data, flags))?.live {
            return lifecycle::refuse(
                "the native Linux KVM tool takes devices at its start: those of a running guest \
                 cannot be changed, only its definition",
            );
        }
        let Some(mut document) = core.guests.stored(guest)? else { return Ok(()) };
        edit(Arc::make_mut(&mut document))?;
        let flags = PrintFlags { inactive: true, secure: true, ..PrintFlags::default() };
        let given = ParseFlags { inactive: true, ..ParseFlags::default() };
        let document = core.guests.load(&document.to_xml(flags), given)?;
        core.guests.store(turn, Arc::new(document))
    })
}

/// Where the device is that this one stands for: by target, MAC address or tag.
fn place(devices: &Devices, device: &Device, verb: &str) -> Result<Option<usize>> {
    Ok(match device {
        Device::Disk(disk) => {
            devices.disks.iter().position(|known| known.target.dev == disk.target.dev)
        }
        Device::Interface(nic) => {
            devices.interfaces.iter().position(|known| mac(known) == mac(nic))
        }
        Device::Filesystem(folder) => {
            devices.filesystems.iter().position(|known| tag(known) == tag(folder))
        }
        other => {
            let what = other.tag();
            let detail = format!("persistent {verb} of device '{what}' is not supported");
            return Err(Error::new(Code::OperationUnsupported, ORIGIN, detail));
        }
    })
}

/// Compat: one that names no address was given one that nobody has.
fn mac(interface: &Interface) -> String {
    interface.mac.as_ref().map(|mac| mac.address.to_string()).unwrap_or_default()
}

fn tag(folder: &Filesystem) -> &str {
    folder.target.as_ref().map_or("", |target| &target.dir)
}

fn missing(detail: String) -> Error {
    Error::new(Code::DeviceMissing, ORIGIN, detail)
}

fn not_there(device: &Device) -> Error {
    missing(match device {
        Device::Interface(nic) => format!("no device matching MAC address {} found", mac(nic)),
        _ => "no matching filesystem device was found".to_owned(),
    })
}
