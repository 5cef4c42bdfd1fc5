//! Devices that come, change and go while a domain is there.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::disk::DiskBus;
use virt_model::domain::{Device, Disk, Domain as Definition};
use virt_types::api;

use super::{State, rules};
use crate::error::{check_flags, invalid_arg};

const LIVE: u32 = api::DOMAIN_DEVICE_MODIFY_LIVE;
const CONFIG: u32 = api::DOMAIN_DEVICE_MODIFY_CONFIG;

/// The flags, with the one that "current" stands for.
fn explicit(state: &State, flags: u32) -> u32 {
    match (flags & (LIVE | CONFIG), state.active()) {
        (0, true) => flags | LIVE,
        (0, false) => flags | CONFIG,
        _ => flags,
    }
}

fn unsupported(detail: String) -> Error {
    Error::new(Code::OperationUnsupported, Origin::Test, detail)
}

/// The kind of a device, as refusals name it.
fn kind(device: &Device) -> &'static str {
    match device {
        Device::Serial(_) | Device::Parallel(_) | Device::Console(_) | Device::Channel(_) => "chr",
        other => other.tag(),
    }
}

/// `virDomainAttachDeviceFlags`: disks and host devices, and only while the domain runs. The alias
/// of a disk that came.
pub(crate) fn attach(state: &mut State, xml: &str, flags: u32) -> Result<Option<String>> {
    let flags = explicit(state, flags);
    check_flags(flags, LIVE, "testDomainAttachDeviceLiveAndConfig")?;
    state.require_active()?;
    let definition = state.affected_mut(LIVE)?;
    match rules::parse_device(xml, definition)? {
        Device::Disk(mut disk) => {
            let alias = disk_alias(&disk);
            disk.info.alias = Some(alias.clone());
            check_target(definition, &disk)?;
            definition.devices.add(Device::Disk(disk));
            Ok(Some(alias))
        }
        device @ Device::Hostdev(_) => {
            definition.devices.add(device);
            Ok(None)
        }
        Device::Interface(interface) => {
            let kind = interface.kind;
            let detail = format!("hotplug of interface type of {kind} is not implemented yet");
            Err(unsupported(detail))
        }
        device => {
            Err(unsupported(format!("live attach of device '{}' is not supported", kind(&device))))
        }
    }
}

/// Refuses a disk whose name another one has.
fn check_target(definition: &Definition, disk: &Disk) -> Result<()> {
    let target = &disk.target.dev;
    let Some(other) = definition.devices.disks.iter().find(|disk| disk.target.dev == *target)
    else {
        return Ok(());
    };
    let path = |disk: &Disk| disk.path().unwrap_or("(null)").to_owned();
    let detail = format!(
        "target '{target}' duplicated for disk sources '{}' and '{}'",
        path(other),
        path(disk)
    );
    Err(Error::new(Code::XmlError, Origin::Domain, detail))
}

/// The alias of a disk on a bus without controllers: `virtio-disk1` for `vdb`.
fn disk_alias(disk: &Disk) -> String {
    let target = &disk.target.dev;
    let index = virt_model::domain::disk_index(target).unwrap_or(0);
    match disk.target.bus.unwrap_or(DiskBus::Virtio) {
        bus @ (DiskBus::Ide | DiskBus::Scsi | DiskBus::Sata | DiskBus::Fdc) => {
            let at = match &disk.info.address {
                virt_model::domain::Address::Drive(at) => *at,
                _ => virt_model::domain::address::Drive::default(),
            };
            match bus {
                DiskBus::Scsi => {
                    format!("{bus}{}-{}-{}-{}", at.controller, at.bus, at.target, at.unit)
                }
                _ => format!("{bus}{}-{}-{}", at.controller, at.bus, at.unit),
            }
        }
        bus => format!("{bus}-disk{index}"),
    }
}

/// `virDomainUpdateDeviceFlags`: another image in a disk that is there. Whether the stored
/// definition changed.
pub(crate) fn update(state: &mut State, xml: &str, flags: u32) -> Result<bool> {
    let flags = explicit(state, flags);
    let affect = flags & (LIVE | CONFIG);
    if affect & LIVE != 0 {
        state.require_active()?;
    }
    if affect & CONFIG != 0 {
        state.affected(CONFIG)?;
    }
    let disk = match rules::parse_device(xml, &state.current)? {
        Device::Disk(disk) => *disk,
        device => {
            let detail =
                format!("persistent update of device '{}' is not supported", kind(&device));
            return Err(unsupported(detail));
        }
    };
    let target = &disk.target.dev;
    let has = |definition: &Definition| {
        definition.devices.disks.iter().any(|known| known.target.dev == *target)
    };
    for which in [LIVE, CONFIG].into_iter().filter(|which| affect & which != 0) {
        if !has(state.affected(which)?) {
            return Err(invalid_arg(format!("target {target} doesn't exist.")));
        }
    }
    state.change_affected(affect, |definition| {
        let mut disks = definition.devices.disks.iter_mut();
        if let Some(known) = disks.find(|known| known.target.dev == *target) {
            known.kind = disk.kind;
            known.source.clone_from(&disk.source);
        }
    })?;
    Ok(affect & CONFIG != 0)
}

/// `virDomainDetachDeviceAlias`: at once, and only while the domain runs.
pub(crate) fn detach_alias(state: &mut State, alias: &str, flags: u32) -> Result<()> {
    let flags = explicit(state, flags);
    if flags & LIVE != 0 {
        state.require_active()?;
    }
    check_flags(flags, LIVE, "testDomainDetachDeviceAliasLiveAndConfig")?;
    let definition = state.affected_mut(LIVE)?;
    match definition.devices.remove_alias(alias) {
        Some(_) => Ok(()),
        None => Err(Error::internal(Origin::Domain, format!("no device found with alias {alias}"))),
    }
}
