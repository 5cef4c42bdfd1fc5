//! Devices that come, change and go while a domain is there.

use virt_driver::{Call, Job};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::controller::ControllerType;
use virt_model::domain::devices::InputBus;
use virt_model::domain::disk::DiskBus;
use virt_model::domain::hostdev::{Hostdev, HostdevMode};
use virt_model::domain::interface::InterfaceType;
use virt_model::domain::{Device, Disk, Domain as Definition};
use virt_types::{DomainRef, Event, api};

use super::{State, rules};
use crate::error::{check_flags, invalid_arg};
use crate::world::World;

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

/// `virDomainAttachDeviceFlags`.
pub(crate) fn attach(
    call: &Call<'_>,
    world: &World,
    dom: &DomainRef,
    xml: &str,
    flags: u32,
) -> Result<()> {
    // Compat: the call without flags means whichever definition is current.
    let flags = if call.api.name == "virDomainAttachDevice" { 0 } else { flags };
    let domain = world.domain(dom)?;
    let mut change = domain.begin(call, Job::Modify)?;
    if let Some(dev_alias) = change.change(|state| plug(state, xml, flags))? {
        world.events.publish(&Event::DomainDeviceAdded { dom: domain.to_ref(), dev_alias });
    }
    Ok(())
}

/// Takes disks and host devices, and only while the domain runs. The alias of a disk that came.
fn plug(state: &mut State, xml: &str, flags: u32) -> Result<Option<String>> {
    let flags = explicit(state, flags);
    check_flags(flags, LIVE, "testDomainAttachDeviceLiveAndConfig")?;
    state.require_active()?;
    let definition = state.affected_mut(LIVE)?;
    let device = rules::parse_device(xml, definition)?;
    check_place(definition, &device)?;
    match device {
        Device::Disk(mut disk) => {
            disk.check()?;
            check_filters(definition, &disk)?;
            let alias = disk_alias(&disk);
            disk.info.alias = Some(alias.clone());
            check_target(definition, &disk)?;
            definition.devices.add(Device::Disk(disk));
            Ok(Some(alias))
        }
        Device::Hostdev(hostdev) => {
            if let Some(what) = refused_hostdev(&hostdev) {
                let detail = format!("hotplug is not supported for hostdev {what}");
                return Err(Error::new(Code::ConfigUnsupported, Origin::Test, detail));
            }
            definition.devices.add(Device::Hostdev(hostdev));
            Ok(None)
        }
        Device::Interface(mut interface) => {
            interface.check()?;
            let kind = interface.kind;
            if kind == InterfaceType::Bridge {
                let alias = interface_alias(definition);
                interface.info.alias = Some(alias.clone());
                definition.devices.add(Device::Interface(interface));
                return Ok(Some(alias));
            }
            let detail = format!("hotplug of interface type of {kind} is not implemented yet");
            Err(unsupported(detail))
        }
        device => {
            Err(unsupported(format!("live attach of device '{}' is not supported", kind(&device))))
        }
    }
}

/// What of a host device cannot come into a running domain: only PCI devices can.
///
/// Compat: libvirt's test driver looks other kinds up in a list of another thing.
fn refused_hostdev(hostdev: &Hostdev) -> Option<String> {
    if hostdev.mode == HostdevMode::Capabilities {
        return Some("mode 'capabilities'".to_owned());
    }
    let name = match hostdev.kind.as_str() {
        "pci" => return None,
        "usb" => "default",
        "scsi" => "vfio",
        "scsi_host" => "xen",
        _ => "(null)",
    };
    Some(format!("subsys type '{name}'"))
}

/// The first name that no interface has.
fn interface_alias(definition: &Definition) -> String {
    let taken = |name: &str| {
        let mut known = definition.devices.interfaces.iter();
        known.any(|interface| interface.info.alias.as_deref() == Some(name))
    };
    let mut names = (0_u32..).map(|number| format!("net{number}"));
    names.find(|name| !taken(name)).unwrap_or_default()
}

/// Refuses a device that the domain has no place for.
fn check_place(definition: &Definition, device: &Device) -> Result<()> {
    let has_usb =
        definition.devices.controllers.iter().any(|known| known.kind == ControllerType::Usb);
    let detail = match device {
        Device::Hostdev(hostdev) if hostdev.kind == "usb" && !has_usb => NO_USB,
        Device::Input(input) if input.bus == Some(InputBus::Usb) && !has_usb => NO_USB,
        Device::Redirdev(_) if !has_usb => {
            "cannot add redirected USB device: USB is disabled for this domain"
        }
        Device::MemoryDevice(_) if definition.max_memory.is_none() => {
            "cannot use/hotplug a memory device when domain 'maxMemory' is not defined"
        }
        _ => return Ok(()),
    };
    Err(Error::new(Code::ConfigUnsupported, Origin::Domain, detail))
}

const NO_USB: &str = "Device configuration is not compatible: Domain has no USB bus support";

/// Refuses a disk with a throttle group that the domain has not.
fn check_filters(definition: &Definition, disk: &Disk) -> Result<()> {
    let has = |name: &str| {
        definition.throttle_groups.iter().any(|group| group.group_name.as_deref() == Some(name))
    };
    match disk.throttle_filters.iter().find(|filter| !has(&filter.group)) {
        Some(filter) => {
            let detail = format!("throttle group '{}' not found", filter.group);
            Err(Error::new(Code::XmlError, Origin::Domain, detail))
        }
        None => Ok(()),
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

/// `virDomainUpdateDeviceFlags`.
pub(crate) fn update(
    call: &Call<'_>,
    world: &World,
    dom: &DomainRef,
    xml: &str,
    flags: u32,
) -> Result<()> {
    check_flags(flags, LIVE | CONFIG, "testDomainUpdateDeviceFlags")?;
    let domain = world.domain(dom)?;
    let mut change = domain.begin(call, Job::Modify)?;
    if change.change(|state| change_image(state, xml, flags))? {
        let detail = api::DOMAIN_EVENT_DEFINED_UPDATED;
        world.publish_lifecycle(domain.to_ref(), api::DOMAIN_EVENT_DEFINED, detail);
    }
    Ok(())
}

/// Puts another image in a disk that is there. Whether the stored definition changed.
fn change_image(state: &mut State, xml: &str, flags: u32) -> Result<bool> {
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

/// `virDomainDetachDeviceAlias`.
pub(crate) fn detach_alias(
    call: &Call<'_>,
    world: &World,
    dom: &DomainRef,
    alias: &str,
    flags: u32,
) -> Result<()> {
    let domain = world.domain(dom)?;
    let mut change = domain.begin(call, Job::Modify)?;
    change.change(|state| unplug(state, alias, flags))?;
    let (dom, dev_alias) = (domain.to_ref(), alias.to_owned());
    world.events.publish(&Event::DomainDeviceRemoved { dom, dev_alias });
    Ok(())
}

/// Takes a device out at once, and only while the domain runs.
fn unplug(state: &mut State, alias: &str, flags: u32) -> Result<()> {
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
