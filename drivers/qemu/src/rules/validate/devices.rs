//! What QEMU cannot do with single devices.

use virt_error::{Error, Origin, Result};
use virt_model::domain::address::Address;
use virt_model::domain::chardev::{ChardevSource, ChardevType, Protocol};
use virt_model::domain::devices::{InputBus, InputType};
use virt_model::domain::disk::{Disk, DiskBus, DiskDevice};
use virt_model::domain::graphics::{GraphicsType, VideoType};
use virt_model::domain::interface::{Interface, InterfaceType};
use virt_model::domain::memory::Access;
use virt_model::domain::small::TpmBackendType;
use virt_model::domain::{Devices, Domain};

use super::super::Chipset;
use super::{unsupported, xml};
use crate::capabilities::Capabilities;

pub(super) fn check(domain: &Domain, capabilities: &Capabilities, tpms: &[&str]) -> Result<()> {
    let devices = &domain.devices;
    devices.disks.iter().try_for_each(disk)?;
    devices.interfaces.iter().try_for_each(|interface| network(domain, interface))?;
    chardevs(devices)?;
    inputs(domain)?;
    videos(devices, capabilities)?;
    displays(devices)?;
    security_modules(devices, tpms)?;
    hostdevs(devices)?;
    shared_memory(devices)?;
    iommus(domain)
}

fn disk(disk: &Disk) -> Result<()> {
    if disk.format() == Some("dir") {
        return unsupported(
            "'directory' storage format is not directly supported by QEMU, use 'dir' disk type instead",
        );
    }
    let inner = disk.source.iter().flat_map(|source| &source.rest);
    let inner = inner.filter(|tree| tree.name == "auth").filter_map(|auth| auth.child("secret"));
    let mut inner = inner.map(|secret| secret.attr("type").is_some());
    let outer = disk.auth.as_ref().and_then(|auth| auth.secret.as_ref());
    if outer.is_some_and(|secret| secret.kind.is_none()) || inner.any(|typed| !typed) {
        return unsupported("unknown secret type '<null>'");
    }
    let bus = disk.target.bus.unwrap_or_default();
    if bus == DiskBus::Usb && !matches!(disk.info.address, Address::None | Address::Usb(_)) {
        return Err(Error::internal(Origin::Qemu, "unexpected address type for usb disk"));
    }
    if disk.device == DiskDevice::Lun && bus == DiskBus::Virtio {
        return unsupported("This QEMU doesn't support SCSI emulation with 'virtio-blk' device");
    }
    Ok(())
}

fn network(domain: &Domain, interface: &Interface) -> Result<()> {
    let backend = interface.backend.as_ref();
    let passt = backend.is_some_and(|backend| backend.kind.as_deref() == Some("passt"));
    if interface.kind == InterfaceType::VhostUser && passt && !shares_memory(domain) {
        return unsupported("'interface' requires shared memory");
    }
    let Some(driver) = &interface.driver else { return Ok(()) };
    let sizes = [("rx", driver.rx_queue_size), ("tx", driver.tx_queue_size)];
    let odd = sizes.iter().find(|(_, size)| size.is_some_and(|size| !size.is_power_of_two()));
    match odd {
        Some((name, _)) => unsupported(format!("{name}_queue_size has to be a power of two")),
        None => Ok(()),
    }
}

/// Whether another process can map the guest's memory.
fn shares_memory(domain: &Domain) -> bool {
    let shared = |access: Option<Access>| access == Some(Access::Shared);
    let backing = domain.memory_backing.as_ref().and_then(|backing| backing.access.as_ref());
    let cells = domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref()).map(|numa| &numa.cells);
    shared(backing.map(|access| access.mode))
        || cells.is_some_and(|cells| {
            !cells.is_empty() && cells.iter().all(|cell| shared(cell.mem_access))
        })
}

/// The kind of port that each model of serial ports is for.
const SERIALS: &[(&str, &str)] = &[
    ("isa-serial", "isa-serial"),
    ("pci-serial", "pci-serial"),
    ("usb-serial", "usb-serial"),
    ("isa-debug", "isa-debugcon"),
];

fn chardevs(devices: &Devices) -> Result<()> {
    let sources = (devices.serials.iter().map(|d| &d.source))
        .chain(devices.parallels.iter().map(|d| &d.source))
        .chain(devices.consoles.iter().map(|d| &d.source))
        .chain(devices.channels.iter().map(|d| &d.source));
    for source in sources {
        let ChardevSource { kind, protocol, .. } = source;
        if let (ChardevType::Tcp, Some(protocol @ (Protocol::Telnets | Protocol::Tls))) =
            (*kind, *protocol)
        {
            return unsupported(format!("tcp chardev protocol '{protocol}' not supported"));
        }
    }
    for serial in &devices.serials {
        let kind = serial.target.kind.as_deref().unwrap_or_default();
        let model = serial.target.model.as_ref().map_or("", |model| model.name.as_str());
        let of_model = SERIALS.iter().find(|(_, name)| *name == model);
        if let Some((wanted, _)) = of_model.filter(|(wanted, _)| *wanted != kind) {
            return unsupported(format!("Target model '{model}' requires target type '{wanted}'"));
        }
        if matches!(kind, "system-serial" | "spapr-vio-serial" | "sclp-serial") {
            return unsupported(format!(
                "Serial device with target type '{kind}' and target model '{model}' not compatible with guest architecture or machine type"
            ));
        }
    }
    Ok(())
}

fn inputs(domain: &Domain) -> Result<()> {
    let no_ps2 = domain.features.ps2.as_ref().is_some_and(|ps2| !ps2.is_on());
    for input in &domain.devices.inputs {
        if input.bus == Some(InputBus::Ps2) && no_ps2 {
            return unsupported("ps2 bus inputs require the ps2 feature not to be disabled");
        }
        let kind = input.kind;
        let transitional =
            input.model.as_deref().is_some_and(|model| model.contains("transitional"));
        if transitional && !matches!(kind, InputType::Passthrough) {
            return unsupported(format!(
                "virtio (non-)transitional models are not supported for input type={kind}"
            ));
        }
    }
    Ok(())
}

/// The device of QEMU's that each video model needs.
const CARDS: &[(VideoType, &str)] = &[
    (VideoType::Vga, "VGA"),
    (VideoType::Cirrus, "cirrus-vga"),
    (VideoType::Vmvga, "vmware-svga"),
    (VideoType::Qxl, "qxl"),
    (VideoType::Virtio, "virtio-gpu-pci"),
    (VideoType::Bochs, "bochs-display"),
    (VideoType::Ramfb, "ramfb"),
];

fn videos(devices: &Devices, capabilities: &Capabilities) -> Result<()> {
    for (at, video) in devices.videos.iter().enumerate() {
        let kind = video.model.kind;
        let card = CARDS.iter().find(|(known, _)| *known == kind);
        if kind != VideoType::None && card.is_none_or(|(_, device)| !capabilities.has(device)) {
            return unsupported(format!(
                "domain configuration does not support video model '{kind}'"
            ));
        }
        if at > 0 && !matches!(kind, VideoType::Qxl | VideoType::Virtio | VideoType::None) {
            return unsupported(format!(
                "video type '{kind}' is only valid as primary video device"
            ));
        }
    }
    Ok(())
}

fn security_modules(devices: &Devices, versions: &[&str]) -> Result<()> {
    for backend in devices.tpms.iter().filter_map(|tpm| tpm.backend.as_ref()) {
        if let (TpmBackendType::Emulator, Some(version)) =
            (backend.kind, backend.version.as_deref())
            && !versions.contains(&version)
        {
            return unsupported(format!("TPM version '{version}' is not supported"));
        }
    }
    Ok(())
}

fn displays(devices: &Devices) -> Result<()> {
    let graphics = &devices.graphics;
    let gl = graphics.iter().filter(|graphics| {
        let enabled = graphics.gl.as_ref().and_then(|gl| gl.enable);
        graphics.kind == GraphicsType::EglHeadless || enabled.is_some_and(|enable| enable.is_yes())
    });
    let headless = graphics.iter().any(|graphics| graphics.kind == GraphicsType::EglHeadless);
    if headless && graphics.iter().any(|graphics| graphics.kind == GraphicsType::Sdl) {
        return unsupported(
            "graphics type 'egl-headless' is only supported with one of: 'vnc', 'spice' graphics types",
        );
    }
    if gl.count() > 1 {
        return unsupported("multiple OpenGL displays are not supported by QEMU");
    }
    Ok(())
}

fn hostdevs(devices: &Devices) -> Result<()> {
    let on = |value: &Option<String>| value.as_deref() == Some("on");
    for hostdev in &devices.hostdevs {
        if on(&hostdev.display) && devices.graphics.is_empty() {
            return unsupported(
                "graphics device is needed for attribute value 'display=on' in <hostdev>",
            );
        }
        if hostdev.kind == "scsi_host" && hostdev.info.boot.is_some() {
            let what = "booting from assigned devices is not supported by vhost SCSI devices";
            return unsupported(what);
        }
    }
    if devices.hostdevs.iter().filter(|hostdev| on(&hostdev.ramfb)).count() > 1 {
        return unsupported("Only one vgpu device can have 'ramfb' enabled");
    }
    Ok(())
}

fn shared_memory(devices: &Devices) -> Result<()> {
    const SIZE_BYTES_MIN: u64 = 1 << 20;
    for shmem in &devices.shmems {
        let odd = |bytes: u64| bytes < SIZE_BYTES_MIN || !bytes.is_power_of_two();
        if shmem.size_bytes.is_some_and(odd) {
            return xml("shmem size must be a power of 2 and at least 1 MiB (1024 KiB)");
        }
    }
    Ok(())
}

fn iommus(domain: &Domain) -> Result<()> {
    let q35 = Chipset::of_domain(domain) == Chipset::Q35;
    for iommu in &domain.devices.iommus {
        let model = iommu.model.as_str();
        let place = iommu.info.address.kind();
        if model != "virtio" {
            if !q35 {
                return unsupported(format!(
                    "IOMMU device: '{model}' is only supported with Q35 machines"
                ));
            }
            continue;
        }
        if iommu.driver.is_some() {
            return xml("iommu model 'virtio' doesn't support additional attributes");
        }
        if !q35 {
            return unsupported(
                "IOMMU device: 'virtio' is only supported with Q35 and ARM Virt machines",
            );
        }
        if place.is_some_and(|kind| kind != "pci") {
            return unsupported("IOMMU device: 'virtio' needs a PCI address");
        }
        if !domain.features.acpi {
            return unsupported("IOMMU device: 'virtio' requires ACPI");
        }
    }
    Ok(())
}
