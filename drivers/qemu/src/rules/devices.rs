//! The devices every QEMU guest has, and what completes the ones it names.

use std::path::{Path, PathBuf};

use virt_error::{Error, Origin, Result};
use virt_model::domain::address::{Address, Master, VirtioSerial};
use virt_model::domain::chardev::{ChannelType, ChardevType, ConsoleType, Name, Serial};
use virt_model::domain::controller::{Controller, ControllerType};
use virt_model::domain::cpu::{Cell, Numa};
use virt_model::domain::devices::{
    Audio, AudioType, BalloonModel, Devices, Input, InputBus, InputType, Iommu, Memballoon,
    PanicModel, Watchdog, WatchdogModel,
};
use virt_model::domain::disk::{Disk, DiskDriver, DiskType};
use virt_model::domain::features::Driver;
use virt_model::domain::graphics::{Graphics, GraphicsType, VideoType};
use virt_model::domain::interface::{InterfaceModel, InterfaceType};
use virt_model::domain::small::{MemoryDevice, MemoryModel, ShmemMsi, TpmBackendType};
use virt_model::domain::source::StorageSource;
use virt_model::domain::{Cpu, DeviceInfo, Domain};
use virt_model::{NumberSet, OnOff};

use super::{Chipset, Lookup};
use crate::capabilities::Capabilities;

/// Limit: ports on a virtio serial bus.
const SERIAL_PORTS_MAX: u32 = 31;

/// The buses that the chipset has whether a device needs them or not.
pub(super) fn controllers(domain: &mut Domain, capabilities: &Capabilities) {
    let chipset = Chipset::of_domain(domain);
    let controllers = &mut domain.devices.controllers;
    let mut add = |kind: ControllerType, model: Option<&str>| {
        if !controllers.iter().any(|c| c.kind == kind && c.index.unwrap_or(0) == 0) {
            let model = model.map(str::to_owned);
            controllers.push(Controller { kind, index: Some(0), model, ..Controller::default() });
        }
    };
    match chipset {
        Chipset::I440fx => {
            add(ControllerType::Usb, None);
            add(ControllerType::Pci, Some("pci-root"));
        }
        Chipset::Q35 => {
            let modern = [("qemu-xhci", "qemu-xhci"), ("nec-usb-xhci", "nec-xhci")];
            if let Some((_, model)) = modern.iter().find(|(device, _)| capabilities.has(device)) {
                add(ControllerType::Usb, Some(model));
            }
            add(ControllerType::Sata, None);
            add(ControllerType::Pci, Some("pcie-root"));
        }
        Chipset::Other => {}
    }
}

/// What QXL cards show is in memory of its own.
pub(super) fn videos(domain: &mut Domain) {
    const VGAMEM_KIB: u32 = 16384;
    for video in &mut domain.devices.videos {
        if video.model.kind == VideoType::Qxl {
            video.model.vgamem_kib.get_or_insert(VGAMEM_KIB);
        }
    }
}

/// A PC has a mouse and a keyboard.
pub(super) fn inputs(domain: &mut Domain) {
    let arch = domain.os.kind.arch.as_deref().unwrap_or_default();
    let off = domain.features.ps2.as_ref().is_some_and(|ps2| !ps2.is_on());
    if off || !matches!(arch, "x86_64" | "i686") {
        return;
    }
    for kind in [InputType::Mouse, InputType::Keyboard] {
        let there = |input: &Input| input.kind == kind && input.bus == Some(InputBus::Ps2);
        if !domain.devices.inputs.iter().any(there) {
            let bus = Some(InputBus::Ps2);
            domain.devices.inputs.push(Input { kind, bus, ..Input::default() });
        }
    }
}

/// Fills in what is left open, in every kind of device.
pub(super) fn complete<L: Lookup + ?Sized>(
    domain: &mut Domain,
    capabilities: &Capabilities,
    lookup: &L,
) {
    let chipset = Chipset::of_domain(domain);
    let devices = &mut domain.devices;
    for disk in &mut devices.disks {
        let driver = disk.driver.get_or_insert_with(DiskDriver::default);
        driver.name.get_or_insert_with(|| "qemu".into());
        // Compat: what a volume holds is known when its pool has been asked.
        if disk.kind != DiskType::Volume {
            driver.format.get_or_insert_with(|| "raw".into());
        }
        encryption(disk);
        mirror_format(disk);
    }
    controllers_complete(&mut devices.controllers, capabilities);
    for interface in &mut devices.interfaces {
        let modelled = interface.kind != InterfaceType::Hostdev;
        let model = interface.model.get_or_insert_with(InterfaceModel::default);
        if modelled && model.kind.is_none() {
            let choice = ["rtl8139", "e1000", "virtio-net-pci"];
            let known = choice.into_iter().find(|name| capabilities.has(name));
            let name = known.map_or("rtl8139", |name| name.trim_end_matches("-net-pci"));
            model.kind = Some(name.into());
        }
    }
    small(devices, lookup.tpm_versions());
    serials(domain);
    audio_balloon_watchdog(domain, chipset, lookup);
    virtio_serial_ports(domain);
}

/// Compat: a USB controller that is named without a model is the oldest, on every machine.
fn controller_model(kind: ControllerType, capabilities: &Capabilities) -> Option<String> {
    let choice: &[(&str, &str)] = match kind {
        ControllerType::Usb => &[("piix3-usb-uhci", "piix3-uhci")],
        ControllerType::Scsi => &[("lsi53c895a", "lsilogic"), ("virtio-scsi-pci", "virtio-scsi")],
        _ => &[],
    };
    let found = choice.iter().find(|(device, _)| capabilities.has(device));
    found.map(|(_, model)| (*model).to_owned())
}

const SPAPR_SCSI_REG: u64 = 0x2000;
const SPAPR_REG_STEP: u64 = 0x1000;

/// A SCSI bus that devices brought about is like the one before it.
fn controllers_complete(controllers: &mut [Controller], capabilities: &Capabilities) {
    let mut scsi: Option<String> = None;
    // Compat: where pSeries' own SCSI controllers are, on any machine.
    let mut reg = SPAPR_SCSI_REG;
    for controller in controllers {
        if controller.model.as_deref() == Some("ibmvscsi")
            && controller.info.address == Address::None
        {
            controller.info.address = Address::SpaprVio { reg: Some(reg) };
            reg = reg.saturating_add(SPAPR_REG_STEP);
        }
        let open = controller.model.as_deref().is_none_or(|model| model == "auto");
        if open && !(controller.kind == ControllerType::Scsi && scsi.is_some()) {
            controller.model = controller_model(controller.kind, capabilities);
        } else if open {
            controller.model.clone_from(&scsi);
        }
        if controller.kind == ControllerType::Scsi {
            scsi.clone_from(&controller.model);
        }
        let first_port = match controller.model.as_deref() {
            Some("ich9-uhci1") => 0,
            Some("ich9-uhci2") => 2,
            Some("ich9-uhci3") => 4,
            _ => continue,
        };
        if controller.kind == ControllerType::Usb {
            let master = &mut controller.info.master;
            master.get_or_insert_with(|| Master { startport: first_port });
        }
    }
}

/// A copy that says no format is raw, as the disk itself would be.
fn mirror_format(disk: &mut Disk) {
    if let Some(mirror) = disk.mirror.as_mut().filter(|mirror| mirror.child("format").is_none()) {
        let mut format = virt_xml::Element::new("format");
        format.attrs.push(virt_xml::Attr { name: "type".into(), value: "raw".into() });
        mirror.children.insert(0, virt_xml::Node::Element(format));
    }
}

/// QEMU's own LUKS where nothing else is said.
fn encryption(disk: &mut Disk) {
    let qemu = || "qemu".to_owned();
    if let Some(encryption) = &mut disk.encryption {
        encryption.engine.get_or_insert_with(qemu);
    }
    let mut below = disk.backing_store.as_mut();
    let mut sources: Vec<&mut StorageSource> = disk.source.iter_mut().collect();
    while let Some(image) = below.and_then(|store| store.image.as_mut()) {
        sources.push(&mut image.source);
        below = image.backing_store.as_mut();
    }
    for source in sources {
        let rest = source.rest.iter_mut();
        for tree in rest.filter(|tree| tree.name == "encryption" && tree.attr("engine").is_none()) {
            tree.attrs.push(virt_xml::Attr { name: "engine".into(), value: "qemu".into() });
        }
    }
}

/// Limit: the smallest size of shared memory that every guest takes for granted.
const SHMEM_BYTES: u64 = 4 << 20;

/// What the late devices leave open.
fn small(devices: &mut Devices, tpms: &[&str]) {
    for redirdev in devices.redirdevs.iter_mut().filter(|r| r.source.kind == ChardevType::Dbus) {
        redirdev.source.channel.get_or_insert_with(|| "org.qemu.usbredir".into());
    }
    for panic in &mut devices.panics {
        panic.model.get_or_insert(PanicModel::Isa);
    }
    if let Some(vsock) = &mut devices.vsock {
        vsock.model.get_or_insert_with(|| "virtio".into());
    }
    for tpm in &mut devices.tpms {
        let model = tpm.model.get_or_insert_with(|| "tpm-tis".into());
        let old = model == "tpm-tis" && (tpms.contains(&"1.2") || tpms.is_empty());
        let version = if old { "1.2" } else { "2.0" };
        if let Some(backend) = &mut tpm.backend
            && backend.kind == TpmBackendType::Emulator
        {
            backend.version.get_or_insert_with(|| version.into());
        }
    }
    for shmem in &mut devices.shmems {
        if shmem.server.is_some() {
            let msi = shmem.msi.get_or_insert_with(ShmemMsi::default);
            msi.ioeventfd.get_or_insert(OnOff::On);
        } else {
            shmem.size_bytes.get_or_insert(SHMEM_BYTES);
        }
    }
    dimm_slots(&mut devices.memories);
}

/// Memory modules without a slot get the lowest free ones.
fn dimm_slots(memories: &mut [MemoryDevice]) {
    let taken: Vec<u32> = memories
        .iter()
        .filter_map(|memory| match memory.info.address {
            Address::Dimm { slot, .. } => Some(slot),
            _ => None,
        })
        .collect();
    let mut free = (0..u32::MAX).filter(|slot| !taken.contains(slot));
    let module = |memory: &&mut MemoryDevice| {
        matches!(memory.model, MemoryModel::Dimm | MemoryModel::Nvdimm)
    };
    for memory in memories.iter_mut().filter(module) {
        if memory.info.address == Address::None
            && let Some(slot) = free.next()
        {
            memory.info.address = Address::Dimm { slot, base: None };
        }
    }
}

/// Limit: processors that interrupts reach without help; from the local APIC's 8 bits.
const APIC_VCPUS_MAX: u32 = 255;

/// More processors than that need an IOMMU that remaps interrupts. A new definition gets one.
pub(super) fn remapping(domain: &mut Domain, new: bool) {
    let many = domain.vcpu.count > APIC_VCPUS_MAX && Chipset::of_domain(domain) == Chipset::Q35;
    if !many || !new && domain.devices.iommus.is_empty() {
        return;
    }
    if domain.devices.iommus.is_empty() {
        let info = DeviceInfo::default();
        domain.devices.iommus.push(Iommu { model: "intel".into(), driver: None, info });
    }
    for iommu in domain.devices.iommus.iter_mut().filter(|iommu| iommu.model == "intel") {
        let driver = iommu.driver.get_or_insert_with(|| virt_xml::Element::new("driver"));
        for name in ["intremap", "eim"] {
            if driver.attr(name).is_none() {
                let attr = virt_xml::Attr { name: name.into(), value: "on".into() };
                driver.attrs.push(attr);
            }
        }
        let ioapic = || Driver { driver: "qemu".into() };
        domain.features.ioapic.get_or_insert_with(ioapic);
    }
}

/// Memory is plugged into a NUMA cell, so there must be one.
pub(super) fn numa_for_plugging(domain: &mut Domain) {
    let there = domain.cpu.as_ref().is_some_and(|cpu| cpu.numa.is_some());
    let Some(last) = domain.vcpu.count.checked_sub(1).filter(|_| !there) else { return };
    if domain.max_memory.is_none() || domain.memory.kib == 0 {
        return;
    }
    let cpus = Some(NumberSet::from_numbers((0..=last as usize).take(NumberSet::LEN_MAX)));
    let modules = domain.devices.memories.iter().filter_map(|memory| memory.target.size_kib);
    let memory_kib = domain.memory.kib.saturating_sub(modules.fold(0, u64::saturating_add));
    let cell = Cell { id: Some(0), cpus, memory_kib, ..Cell::default() };
    let cpu = domain.cpu.get_or_insert_with(Cpu::default);
    cpu.numa = Some(Numa { cells: vec![cell], ..Numa::default() });
}

/// Processors that no NUMA cell has go to the first.
///
/// Limit: no more than a cell can hold. A document may say any number, and is refused for it later.
pub(super) fn stray_vcpus(domain: &mut Domain) {
    let count = (domain.vcpu.count as usize).min(NumberSet::LEN_MAX);
    let numa = domain.cpu.as_mut().and_then(|cpu| cpu.numa.as_mut());
    let Some(cells) = numa.map(|numa| &mut numa.cells) else { return };
    let used = |vcpu: &usize| {
        cells.iter().any(|cell| cell.cpus.as_ref().is_some_and(|cpus| cpus.contains(*vcpu)))
    };
    let stray: Vec<usize> = (0..count).filter(|vcpu| !used(vcpu)).collect();
    if let Some(first) = cells.first_mut().filter(|_| !stray.is_empty()) {
        let own = first.cpus.take().unwrap_or_default();
        first.cpus = Some(NumberSet::from_numbers(own.iter().chain(stray).collect::<Vec<_>>()));
    }
}

/// A definition does not keep the paths that a daemon made up for the sockets of channels.
pub(super) fn channels(domain: &mut Domain, dirs: &[PathBuf], inactive: bool) {
    for channel in domain.devices.channels.iter_mut().filter(|_| inactive) {
        let source = &mut channel.source;
        let unix = source.kind == ChardevType::Unix;
        if channel.target.kind != Some(ChannelType::Virtio) || !unix {
            continue;
        }
        let (Some(path), Some(name)) = (&source.path, &channel.target.name) else { continue };
        let below = dirs.iter().find_map(|dir| Path::new(path).strip_prefix(dir).ok());
        let Some(made) =
            below.and_then(Path::to_str).and_then(|rest| rest.strip_suffix(name.as_str()))
        else {
            continue;
        };
        let one = |text: &str, end: char| text.strip_suffix(end).is_some_and(|t| !t.contains('/'));
        let target = made.strip_prefix("target/");
        let numbered = made.starts_with(|c: char| c.is_ascii_digit()) && one(made, '/');
        let by_domain =
            |rest: &str| rest.starts_with("domain-") && one(rest, '/') || one(rest, '.');
        if numbered || target.is_some_and(by_domain) {
            source.path = None;
        }
    }
}

/// Limit: what a PC has places for.
const ISA_PORTS: u32 = 4;

/// Compat: ports that are not said to be on ISA, but come to be, are not looked at before the start.
pub(crate) fn check_serials(serials: &[Serial]) -> Result<()> {
    let isa = |serial: &&Serial| serial.target.kind.as_deref() == Some("isa-serial");
    let refused = |detail: String| Err(Error::internal(Origin::Qemu, detail));
    let mut taken = Vec::new();
    for port in serials.iter().filter(isa).map(|serial| serial.target.port.unwrap_or(0)) {
        if port >= ISA_PORTS {
            return refused(format!(
                "Maximum supported number of ISA serial ports is '{ISA_PORTS}'"
            ));
        }
        if taken.contains(&port) {
            return refused(format!("target port '{port}' already allocated"));
        }
        taken.push(port);
    }
    Ok(())
}

/// The first console is where its serial port is.
pub(super) fn first_console(devices: &mut Devices) {
    if let (Some(serial), Some(console)) = (devices.serials.first(), devices.consoles.first_mut())
        && console.target.kind == Some(ConsoleType::Serial)
    {
        console.info.address = serial.info.address.clone();
    }
}

fn serials(domain: &mut Domain) {
    for serial in &mut domain.devices.serials {
        let target = &mut serial.target;
        let kind = target.kind.get_or_insert_with(|| "isa-serial".into());
        let model = match kind.as_str() {
            "isa-serial" => "isa-serial",
            "usb-serial" => "usb-serial",
            "pci-serial" => "pci-serial",
            "isa-debug" => "isa-debugcon",
            _ => continue,
        };
        target.model.get_or_insert_with(|| Name { name: model.into() });
    }
}

fn audio_balloon_watchdog<L: Lookup + ?Sized>(domain: &mut Domain, chipset: Chipset, lookup: &L) {
    let devices = &mut domain.devices;
    if devices.audios.is_empty()
        && let Some(kind) = audio_type(&devices.graphics, lookup)
    {
        devices.audios.push(Audio { id: 1, kind, ..Audio::default() });
    }
    if devices.memballoon.is_none() {
        let model = BalloonModel::Virtio;
        devices.memballoon = Some(Memballoon { model, ..Memballoon::default() });
    }
    // Compat: the chipset has this watchdog whether it is named or not.
    let itco = |watchdog: &Watchdog| watchdog.model == WatchdogModel::Itco;
    if chipset == Chipset::Q35 && !devices.watchdogs.iter().any(itco) {
        // Compat: all watchdogs of a guest do the same.
        let action = devices.watchdogs.first().map(|first| first.action).unwrap_or_default();
        let model = WatchdogModel::Itco;
        devices.watchdogs.push(Watchdog { model, action, ..Watchdog::default() });
    }
}

/// SPICE carries sound to its client; VNC could, but shall not by default.
fn audio_type<L: Lookup + ?Sized>(graphics: &[Graphics], lookup: &L) -> Option<AudioType> {
    let has = |kind| graphics.iter().any(|graphics| graphics.kind == kind);
    if has(GraphicsType::Spice) {
        return Some(AudioType::Spice);
    }
    let vnc = has(GraphicsType::Vnc);
    (graphics.is_empty() || vnc).then(|| lookup.host_audio(vnc).unwrap_or_default())
}

/// Gives each virtio channel and console the lowest free port of its controller.
fn virtio_serial_ports(domain: &mut Domain) {
    let devices = &mut domain.devices;
    let channels = devices
        .channels
        .iter_mut()
        .filter(|channel| channel.target.kind == Some(ChannelType::Virtio))
        .map(|channel| &mut channel.info);
    let mut infos: Vec<&mut DeviceInfo> = channels.collect();
    let taken: Vec<VirtioSerial> = infos
        .iter()
        .filter_map(|info| match &info.address {
            Address::VirtioSerial(at) => Some(*at),
            _ => None,
        })
        .collect();
    let mut next = 1;
    for info in infos.iter_mut().filter(|info| info.address == Address::None) {
        while taken.iter().any(|at| at.controller == 0 && at.port == next) {
            next += 1;
        }
        if next <= SERIAL_PORTS_MAX {
            let at = VirtioSerial { controller: 0, bus: 0, port: next };
            info.address = Address::VirtioSerial(at);
            next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document that says so is refused; until then it must not take the daemon's memory.
    #[test]
    fn any_number_of_processors_takes_no_more_room_than_a_cell_has() {
        let mut domain = Domain::default();
        domain.vcpu.count = u32::MAX;
        let cells = vec![Cell { cpus: Some(NumberSet::from_numbers([1])), ..Cell::default() }];
        let numa = Some(Numa { cells, ..Numa::default() });
        domain.cpu = Some(Cpu { numa, ..Cpu::default() });
        stray_vcpus(&mut domain);
        let cpus = |domain: &Domain| {
            let numa = domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref());
            numa.and_then(|numa| numa.cells.first()?.cpus.as_ref().map(NumberSet::len))
        };
        assert_eq!(cpus(&domain), Some(NumberSet::LEN_MAX));
        domain.cpu = None;
        domain.max_memory = Some(Default::default());
        domain.memory.kib = 1024;
        numa_for_plugging(&mut domain);
        assert_eq!(cpus(&domain), Some(NumberSet::LEN_MAX));
    }
}
