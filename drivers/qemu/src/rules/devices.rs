//! The devices every QEMU guest has, and what completes the ones it names.

use virt_model::domain::address::{Address, Usb, VirtioSerial};
use virt_model::domain::chardev::{ChannelType, Name};
use virt_model::domain::controller::{Controller, ControllerType};
use virt_model::domain::devices::{
    Audio, AudioType, BalloonModel, Input, InputBus, InputType, Memballoon, Watchdog, WatchdogModel,
};
use virt_model::domain::disk::DiskDriver;
use virt_model::domain::interface::{InterfaceModel, InterfaceType};
use virt_model::domain::{DeviceInfo, Domain};

use super::Chipset;
use crate::capabilities::Capabilities;

/// Limit: ports on a USB bus without hubs, and on a virtio serial bus.
const USB_PORTS_MAX: u32 = 8;
const SERIAL_PORTS_MAX: u32 = 31;

/// The buses that the chipset has whether a device needs them or not.
pub(super) fn controllers(domain: &mut Domain) {
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
            add(ControllerType::Usb, None);
            add(ControllerType::Sata, None);
            add(ControllerType::Pci, Some("pcie-root"));
        }
        Chipset::Other => {}
    }
}

/// A PC has a mouse and a keyboard.
pub(super) fn inputs(domain: &mut Domain) {
    if Chipset::of_domain(domain) == Chipset::Other {
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
pub(super) fn complete(domain: &mut Domain, capabilities: &Capabilities) {
    let chipset = Chipset::of_domain(domain);
    let devices = &mut domain.devices;
    for disk in &mut devices.disks {
        let driver = disk.driver.get_or_insert_with(DiskDriver::default);
        driver.name.get_or_insert_with(|| "qemu".into());
        driver.format.get_or_insert_with(|| "raw".into());
    }
    for controller in &mut devices.controllers {
        if controller.model.is_none() {
            controller.model = controller_model(controller.kind, chipset, capabilities);
        }
    }
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
    serials(domain);
    audio_balloon_watchdog(domain, chipset);
    virtio_serial_ports(domain);
    usb_ports(domain);
}

fn controller_model(
    kind: ControllerType,
    chipset: Chipset,
    capabilities: &Capabilities,
) -> Option<String> {
    let first = |names: &[(&str, &str)]| {
        let found = names.iter().find(|(device, _)| capabilities.has(device));
        found.map(|(_, model)| (*model).to_owned())
    };
    match (kind, chipset) {
        (ControllerType::Usb, Chipset::I440fx) => first(&[("piix3-usb-uhci", "piix3-uhci")]),
        (ControllerType::Usb, _) => {
            first(&[("qemu-xhci", "qemu-xhci"), ("nec-usb-xhci", "nec-xhci")])
        }
        (ControllerType::Scsi, _) => {
            first(&[("lsi53c895a", "lsilogic"), ("virtio-scsi-pci", "virtio-scsi")])
        }
        _ => None,
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

fn audio_balloon_watchdog(domain: &mut Domain, chipset: Chipset) {
    let devices = &mut domain.devices;
    if devices.audios.is_empty() {
        devices.audios.push(Audio { id: 1, kind: AudioType::None, ..Audio::default() });
    }
    if devices.memballoon.is_none() {
        let model = BalloonModel::Virtio;
        devices.memballoon = Some(Memballoon { model, ..Memballoon::default() });
    }
    // Compat: the chipset has this watchdog whether it is named or not.
    let itco = |watchdog: &Watchdog| watchdog.model == WatchdogModel::Itco;
    if chipset == Chipset::Q35 && !devices.watchdogs.iter().any(itco) {
        devices.watchdogs.push(Watchdog { model: WatchdogModel::Itco, ..Watchdog::default() });
    }
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

/// Gives each USB device the lowest free port of the first bus.
fn usb_ports(domain: &mut Domain) {
    let first = domain.devices.controllers.iter().find(|c| c.kind == ControllerType::Usb);
    if first.is_none_or(|controller| controller.model.as_deref() == Some("none")) {
        return;
    }
    let taken: Vec<Option<String>> = domain
        .devices
        .infos()
        .iter()
        .filter_map(|info| match &info.address {
            Address::Usb(usb) if usb.bus == 0 => Some(usb.port.clone()),
            _ => None,
        })
        .collect();
    let mut free = (1..=USB_PORTS_MAX)
        .map(|port| port.to_string())
        .filter(|port| !taken.iter().any(|taken| taken.as_ref() == Some(port)));
    let usb = |input: &&mut Input| input.bus == Some(InputBus::Usb);
    for input in domain.devices.inputs.iter_mut().filter(usb) {
        if input.info.address == Address::None {
            let Some(port) = free.next() else { return };
            input.info.address = Address::Usb(Usb { bus: 0, port: Some(port) });
        }
    }
}
