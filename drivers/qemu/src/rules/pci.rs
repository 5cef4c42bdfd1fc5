//! PCI addresses for the devices that have none, placed where libvirt places them.
//!
//! Once given, an address is part of the definition, so that a guest sees the same machine at every
//! start. On i440fx every device takes the lowest free slot of the one bus. On q35 each express
//! device gets a root port of its own, made where there are not enough, and one port stays free for
//! a device that comes later; older devices sit on the root bus itself.

use virt_error::{Error, Origin, Result};
use virt_model::OnOff;
use virt_model::domain::address::{Address, Pci};
use virt_model::domain::chardev::Name;
use virt_model::domain::controller::{Controller, ControllerTarget, ControllerType};
use virt_model::domain::devices::{BalloonModel, InputBus, SoundModel, WatchdogModel};
use virt_model::domain::disk::DiskBus;
use virt_model::domain::graphics::VideoType;
use virt_model::domain::interface::InterfaceType;
use virt_model::domain::{DeviceInfo, Devices, Domain};

use super::Chipset;

/// Limit: slots of a bus, from the PCI standard.
const SLOT_MAX: u32 = 31;

/// Limit: root ports that are made; a root bus has room for about this many.
const ROOT_PORTS_MAX: u32 = 200;

/// The functions in use: bus, slot, function.
#[derive(Default)]
struct Used(Vec<(u32, u32, u32)>);

impl Used {
    fn slot(&self, bus: u32, slot: u32) -> bool {
        self.0.iter().any(|(b, s, _)| (*b, *s) == (bus, slot))
    }

    fn lowest_free_slot(&self, bus: u32) -> Option<u32> {
        (1..=SLOT_MAX).find(|slot| !self.slot(bus, *slot))
    }

    fn place(&mut self, info: &mut DeviceInfo, bus: u32, slot: u32, function: u32) {
        self.0.push((bus, slot, function));
        info.address = Address::Pci(Pci { bus, slot, function, ..Pci::default() });
    }
}

/// Assigns what is missing.
pub(super) fn assign(domain: &mut Domain) -> Result<()> {
    let chipset = Chipset::of_domain(domain);
    if chipset == Chipset::Other {
        return Ok(());
    }
    let mut used = Used::default();
    for address in domain.devices.addresses() {
        if let Address::Pci(pci) = address {
            used.0.push((pci.bus, pci.slot, pci.function));
        }
    }
    built_in(domain, chipset, &mut used);
    match chipset {
        Chipset::Q35 => q35(domain, &mut used),
        _ => i440fx(domain, &mut used),
    }
}

/// Devices of the chipset, and the first video card, have places of their own.
fn built_in(domain: &mut Domain, chipset: Chipset, used: &mut Used) {
    let q35 = chipset == Chipset::Q35;
    let devices = &mut domain.devices;
    for controller in &mut devices.controllers {
        if !wanted(&controller.info) || controller.index != Some(0) {
            continue;
        }
        let model = controller.model.as_deref();
        match (controller.kind, q35) {
            (ControllerType::Sata, true) => used.place(&mut controller.info, 0, 0x1f, 2),
            (ControllerType::Ide, false) => used.place(&mut controller.info, 0, 1, 1),
            (ControllerType::Usb, false) if model == Some("piix3-uhci") => {
                used.place(&mut controller.info, 0, 1, 2);
            }
            _ => {}
        }
    }
    // Order: reserved only now, so that a device which names such a place keeps it.
    used.0.extend(if q35 { [(0, 0, 0), (0, 0x1f, 0)] } else { [(0, 0, 0), (0, 1, 0)] });
    let place = if q35 { 1 } else { 2 };
    if let Some(video) = devices.videos.first_mut()
        && wanted(&video.info)
        && !matches!(video.model.kind, VideoType::None | VideoType::Ramfb)
        && !used.slot(0, place)
    {
        used.place(&mut video.info, 0, place, 0);
    }
    for sound in devices.sounds.iter_mut().filter(|sound| q35 && wanted(&sound.info)) {
        if sound.model == SoundModel::Ich9 && !used.slot(0, 0x1b) {
            used.place(&mut sound.info, 0, 0x1b, 0);
        }
    }
}

fn wanted(info: &DeviceInfo) -> bool {
    match &info.address {
        Address::None => true,
        // `<address type='pci'/>` asks for an address and names none.
        Address::Other(element) => element.attr("type") == Some("pci"),
        _ => false,
    }
}

fn i440fx(domain: &mut Domain, used: &mut Used) -> Result<()> {
    for (info, _) in needing(&mut domain.devices) {
        let slot = used.lowest_free_slot(0).ok_or_else(no_slots)?;
        used.place(info, 0, slot, 0);
    }
    Ok(())
}

fn q35(domain: &mut Domain, used: &mut Used) -> Result<()> {
    let port = |c: &Controller| c.model.as_deref() == Some("pcie-root-port");
    let all: Vec<u32> = domain
        .devices
        .controllers
        .iter()
        .filter_map(|c| c.index.filter(|_| c.kind == ControllerType::Pci))
        .collect();
    let given: Vec<u32> =
        domain.devices.controllers.iter().filter(|c| port(c)).filter_map(|c| c.index).collect();
    let mut next = all.iter().max().map_or(1, |last| last.saturating_add(1));
    let mut ports = given.clone();
    ports.retain(|bus| !used.slot(*bus, 0));
    let mut free = ports.into_iter();
    let mut new = Vec::new();
    for (info, express) in needing(&mut domain.devices) {
        if express {
            let bus = free.next().unwrap_or_else(|| {
                new.push(next);
                next = next.saturating_add(1);
                next.saturating_sub(1)
            });
            used.place(info, bus, 0, 0);
        } else {
            let slot = used.lowest_free_slot(0).ok_or_else(no_slots)?;
            used.place(info, 0, slot, 0);
        }
    }
    // Compat: one port stays free, unless all ports were given and were enough.
    if !new.is_empty() {
        new.push(next);
    }
    if next > ROOT_PORTS_MAX {
        return Err(no_slots());
    }
    let after = domain.devices.controllers.iter().rposition(|c| c.kind == ControllerType::Pci);
    let mut at = after.map_or(domain.devices.controllers.len(), |last| last.saturating_add(1));
    for index in new {
        domain.devices.controllers.insert(at, root_port(index));
        at = at.saturating_add(1);
    }
    root_port_addresses(&mut domain.devices, used)
}

fn root_port(index: u32) -> Controller {
    Controller {
        kind: ControllerType::Pci,
        index: Some(index),
        model: Some("pcie-root-port".into()),
        ..Controller::default()
    }
}

/// Root ports share a slot, eight functions each; number and chassis follow from the place.
fn root_port_addresses(devices: &mut Devices, used: &mut Used) -> Result<()> {
    let mut place: Option<(u32, u32)> = None;
    for controller in &mut devices.controllers {
        if controller.model.as_deref() != Some("pcie-root-port") {
            continue;
        }
        if wanted(&controller.info) {
            let (slot, function) = match place {
                Some((slot, function)) if function < 7 => (slot, function.saturating_add(1)),
                _ => (used.lowest_free_slot(0).ok_or_else(no_slots)?, 0),
            };
            place = Some((slot, function));
            used.place(&mut controller.info, 0, slot, function);
            if let (Address::Pci(pci), 0) = (&mut controller.info.address, function) {
                pci.multifunction = Some(OnOff::On);
            }
        }
        let name = || Name { name: "pcie-root-port".into() };
        controller.model_name.get_or_insert_with(name);
        let target = controller.target.get_or_insert_with(ControllerTarget::default);
        target.chassis = target.chassis.or(controller.index);
        if let Address::Pci(pci) = &controller.info.address {
            target.port.get_or_insert(pci.slot << 3 | pci.function);
        }
    }
    Ok(())
}

fn no_slots() -> Error {
    Error::internal(Origin::None, "No more available PCI slots")
}

/// The devices that still need an address, in the order in which they get one, and whether each is
/// an express device.
fn needing(devices: &mut Devices) -> Vec<(&mut DeviceInfo, bool)> {
    let mut all: Vec<(&mut DeviceInfo, bool)> = Vec::new();
    all.extend(devices.filesystems.iter_mut().map(|fs| (&mut fs.info, true)));
    for interface in &mut devices.interfaces {
        let express = interface
            .model_name()
            .is_some_and(|name| name.starts_with("virtio") || matches!(name, "e1000e" | "igb"));
        if interface.kind != InterfaceType::Hostdev && interface.model_name() != Some("usb-net") {
            all.push((&mut interface.info, express));
        }
    }
    for sound in &mut devices.sounds {
        if !matches!(sound.model, SoundModel::Sb16 | SoundModel::Pcspk | SoundModel::Usb) {
            all.push((&mut sound.info, sound.model == SoundModel::Virtio));
        }
    }
    for controller in &mut devices.controllers {
        let model = controller.model.as_deref().unwrap_or_default();
        let express = model.starts_with("virtio") || model.contains("xhci");
        let express = express || controller.kind == ControllerType::VirtioSerial;
        let on_pci = match controller.kind {
            ControllerType::Usb => model != "none",
            ControllerType::Pci => model == "pci-bridge" || model == "dmi-to-pci-bridge",
            ControllerType::Scsi
            | ControllerType::Sata
            | ControllerType::VirtioSerial
            | ControllerType::Nvme => true,
            _ => false,
        };
        if on_pci {
            all.push((&mut controller.info, express));
        }
    }
    let virtio = |disk: &&mut virt_model::domain::Disk| disk.target.bus == Some(DiskBus::Virtio);
    all.extend(devices.disks.iter_mut().filter(virtio).map(|disk| (&mut disk.info, true)));
    let pci = |hostdev: &&mut virt_model::domain::hostdev::Hostdev| hostdev.kind == "pci";
    all.extend(devices.hostdevs.iter_mut().filter(pci).map(|hostdev| (&mut hostdev.info, true)));
    if let Some(balloon) = devices.memballoon.as_mut().filter(|b| b.model != BalloonModel::None) {
        all.push((&mut balloon.info, true));
    }
    all.extend(devices.rngs.iter_mut().map(|rng| (&mut rng.info, true)));
    for watchdog in &mut devices.watchdogs {
        if watchdog.model == WatchdogModel::I6300esb {
            all.push((&mut watchdog.info, false));
        }
    }
    for input in devices.inputs.iter_mut().filter(|input| input.bus == Some(InputBus::Virtio)) {
        all.push((&mut input.info, true));
    }
    for video in &mut devices.videos {
        let express = video.model.kind == VideoType::Virtio;
        if !matches!(video.model.kind, VideoType::None | VideoType::Ramfb) {
            all.push((&mut video.info, express));
        }
    }
    if let Some(vsock) = &mut devices.vsock {
        all.push((&mut vsock.info, true));
    }
    all.retain(|(info, _)| wanted(info));
    all
}
