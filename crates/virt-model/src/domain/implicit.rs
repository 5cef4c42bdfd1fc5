//! Devices that others imply: consoles and serial ports, controllers for what hangs on them.

use virt_error::Result;

use crate::domain::address::{Address, Drive};
use crate::domain::boot::OsType;
use crate::domain::chardev::{
    ChannelType, Console, ConsoleTarget, ConsoleType, Parallel, Serial, SerialTarget,
};
use crate::domain::controller::{Controller, ControllerType};
use crate::domain::disk::DiskBus;
use crate::domain::{Domain, DomainRules};
use crate::schema::error;

/// The first console and the first serial port of a full guest are one device.
pub(super) fn consoles(domain: &mut Domain) -> Result<()> {
    let devices = &mut domain.devices;
    let mut said = false;
    if domain.os.kind.kind == Some(OsType::Hvm) {
        let first_is_serial = devices.consoles.first().is_some_and(|c| {
            matches!(c.target.kind, None | Some(ConsoleType::Serial | ConsoleType::None))
        });
        let serial =
            |console: &Console| matches!(console.target.kind, None | Some(ConsoleType::Serial));
        if devices.consoles.iter().skip(1).any(serial) {
            return Err(error::unsupported("Only the first console can be a serial port"));
        }
        said = first_is_serial;
        if first_is_serial && devices.serials.is_empty() {
            let console = devices.consoles.remove(0);
            let target = SerialTarget { port: Some(0), ..SerialTarget::default() };
            devices.serials.push(Serial { source: console.source, target, info: console.info });
        } else if first_is_serial {
            devices.consoles.remove(0);
        }
    }
    number_ports(devices.serials.iter_mut().map(|serial| &mut serial.target.port));
    number_parallels(&mut devices.parallels);
    if domain.os.kind.kind == Some(OsType::Hvm)
        && let Some(serial) = devices.serials.first()
        && (said || !NO_CONSOLE.contains(&serial.target.kind.as_deref().unwrap_or_default()))
    {
        let target = ConsoleTarget { kind: Some(ConsoleType::Serial), port: serial.target.port };
        let console =
            Console { source: serial.source.clone(), tty: None, target, info: serial.info.clone() };
        devices.consoles.insert(0, console);
    }
    for (at, console) in devices.consoles.iter_mut().enumerate() {
        let kind = *console.target.kind.get_or_insert(ConsoleType::Serial);
        if kind != ConsoleType::Serial || console.target.port.is_none() {
            console.target.port = u32::try_from(at).ok();
        }
    }
    Ok(())
}

/// Serial ports on which nobody expects a console who does not ask for one.
const NO_CONSOLE: &[&str] = &["isa-debug", "pci-serial", "usb-serial"];

/// Gives parallel ports without a number the next one after those before.
fn number_parallels(all: &mut [Parallel]) {
    let mut next = 0;
    for parallel in all {
        let port = *parallel.target.port.get_or_insert(next);
        next = next.max(port.saturating_add(1));
    }
}

/// Gives ports without a number the next ones after all that have one.
fn number_ports<'a>(ports: impl Iterator<Item = &'a mut Option<u32>>) {
    let ports: Vec<_> = ports.collect();
    let last = ports.iter().filter_map(|port| **port).max();
    let mut next = last.map_or(0, |last| last.saturating_add(1));
    for port in ports.into_iter().filter(|port| port.is_none()) {
        *port = Some(next);
        next = next.saturating_add(1);
    }
}

/// A SCSI device of the host without an address gets the next free place on the bus.
pub(super) fn scsi_addresses(domain: &mut Domain, rules: &dyn DomainRules) {
    let units = if rules.features().wide_scsi { 16 } else { 7 };
    let devices = &mut domain.devices;
    let mut taken: Vec<Drive> = devices
        .disks
        .iter()
        .filter(|disk| disk.target.bus == Some(DiskBus::Scsi))
        .map(|disk| &disk.info.address)
        .chain(devices.hostdevs.iter().map(|hostdev| &hostdev.info.address))
        .filter_map(|address| if let Address::Drive(drive) = address { Some(*drive) } else { None })
        .collect();
    let waiting = |kind: &str, address: &Address| kind == "scsi" && *address == Address::None;
    for hostdev in devices.hostdevs.iter_mut().filter(|h| waiting(&h.kind, &h.info.address)) {
        let places = (0..=u32::MAX).flat_map(|controller| {
            // Unit 7 of a wide bus is the controller itself.
            (0..units).filter(|unit| *unit != 7).map(move |unit| Drive {
                controller,
                unit,
                ..Drive::default()
            })
        });
        if let Some(free) = places.into_iter().find(|place| !taken.contains(place)) {
            taken.push(free);
            hostdev.info.address = Address::Drive(free);
        }
    }
}

/// Controllers that devices name but nobody defined, and numbers for those without one.
pub(super) fn controllers(domain: &mut Domain) {
    let given = std::mem::take(&mut domain.devices.controllers);
    let mut placed: Vec<Controller> = Vec::with_capacity(given.len());
    for controller in given {
        insert_controller(&mut placed, controller);
    }
    number_controllers(&mut placed);
    domain.devices.controllers = placed;
    for (kind, index) in needed(domain) {
        let controllers = &mut domain.devices.controllers;
        if !controllers.iter().any(|c| c.kind == kind && c.index == Some(index)) {
            insert_controller(
                controllers,
                Controller { kind, index: Some(index), ..Controller::default() },
            );
        }
    }
}

/// The parts of a USB 2 controller, which share a number.
const USB_SET: &[&str] = &["ich9-ehci1", "ich9-uhci1", "ich9-uhci2", "ich9-uhci3"];

/// Gives controllers without a number the first that is free, or that of the USB set they complete.
fn number_controllers(all: &mut [Controller]) {
    for at in 0..all.len() {
        if all[at].index.is_none() {
            all[at].index = Some(completed_set(all, at).unwrap_or_else(|| free_index(all, at)));
        }
    }
    // Compat: the parts of sets stand in order, others where they were named.
    let master = |found: &Controller| found.model.as_deref() == USB_SET.first().copied();
    let places: Vec<usize> = (0..all.len()).filter(|at| in_usb_set(&all[*at])).collect();
    let mut parts: Vec<Controller> = places.iter().map(|at| all[*at].clone()).collect();
    parts.sort_by_key(|found| (found.index, !master(found)));
    for (at, part) in places.into_iter().zip(parts) {
        all[at] = part;
    }
}

fn in_usb_set(controller: &Controller) -> bool {
    let model = controller.model.as_deref().unwrap_or_default();
    controller.kind == ControllerType::Usb && USB_SET.contains(&model)
}

/// The number of the set that the controller before is of, if it lacks this part.
fn completed_set(all: &[Controller], at: usize) -> Option<u32> {
    let new = &all[at];
    let before = all[..at].iter().rev().find(|found| found.kind == new.kind)?;
    if !in_usb_set(new) || !in_usb_set(before) {
        return None;
    }
    let has = |found: &Controller| found.kind == new.kind && found.index == before.index;
    let taken = all.iter().filter(|found| has(found)).any(|found| found.model == new.model);
    before.index.filter(|_| !taken)
}

fn free_index(all: &[Controller], at: usize) -> u32 {
    let kind = all[at].kind;
    let taken: Vec<u32> =
        all.iter().filter(|found| found.kind == kind).filter_map(|found| found.index).collect();
    (0..).find(|index| !taken.contains(index)).unwrap_or_default()
}

/// A smartcard without an address gets the next free slot of its reader.
pub(super) fn smartcards(domain: &mut Domain) {
    let cards = &mut domain.devices.smartcards;
    let mut slot = 0;
    for at in 0..cards.len() {
        if cards[at].info.address != Address::None {
            continue;
        }
        while cards.iter().any(|card| card.info.address == (Address::Ccid { controller: 0, slot }))
        {
            slot += 1;
        }
        cards[at].info.address = Address::Ccid { controller: 0, slot };
    }
}

/// Controllers of one type stand together, by number.
pub(super) fn insert_controller(controllers: &mut Vec<Controller>, new: Controller) {
    let same = |c: &Controller| c.kind == new.kind;
    // Compat: the master of a USB set stands before its companions.
    let master =
        new.kind == ControllerType::Usb && new.model.as_deref() == USB_SET.first().copied();
    let after = controllers
        .iter()
        .position(|c| same(c) && (c.index > new.index || master && c.index == new.index))
        // One without a number comes last until it has one.
        .filter(|_| new.index.is_some());
    let at = after.or_else(|| controllers.iter().rposition(same).map(|last| last + 1));
    controllers.insert(at.unwrap_or(controllers.len()), new);
}

/// The controllers that the devices need.
///
/// Limit: a device's controller number counts only up to [`CONTROLLERS_MAX`].
fn needed(domain: &Domain) -> Vec<(ControllerType, u32)> {
    const CONTROLLERS_MAX: u32 = 256;
    let devices = &domain.devices;
    let on_bus = |bus: DiskBus| {
        let used = devices.disks.iter().filter(|disk| disk.target.bus == Some(bus));
        used.filter_map(|disk| match &disk.info.address {
            Address::Drive(drive) => Some(drive.controller.saturating_add(1).min(CONTROLLERS_MAX)),
            _ => None,
        })
        .max()
        .unwrap_or(0)
    };
    let hostdevs = devices.hostdevs.iter().filter(|hostdev| hostdev.kind == "scsi");
    let for_hostdevs = hostdevs
        .map(|hostdev| match &hostdev.info.address {
            Address::Drive(drive) => drive.controller.saturating_add(1).min(CONTROLLERS_MAX),
            _ => 1,
        })
        .max()
        .unwrap_or(0);
    let serial_ports = devices
        .channels
        .iter()
        .filter(|channel| channel.target.kind == Some(ChannelType::Virtio))
        .map(|channel| &channel.info)
        .chain(
            devices
                .consoles
                .iter()
                .filter(|console| console.target.kind == Some(ConsoleType::Virtio))
                .map(|console| &console.info),
        );
    let named = serial_ports.map(|info| match &info.address {
        Address::VirtioSerial(at) => at.controller.min(CONTROLLERS_MAX),
        _ => 0,
    });
    let mut needed: Vec<(ControllerType, u32)> = Vec::new();
    let mut all = |kind, count| needed.extend((0..count).map(|index| (kind, index)));
    all(ControllerType::Scsi, on_bus(DiskBus::Scsi));
    all(ControllerType::Fdc, on_bus(DiskBus::Fdc));
    all(ControllerType::Ide, on_bus(DiskBus::Ide));
    all(ControllerType::Sata, on_bus(DiskBus::Sata));
    needed.extend(named.map(|index| (ControllerType::VirtioSerial, index)));
    let cards = devices.smartcards.iter().filter_map(|card| match card.info.address {
        Address::Ccid { controller, .. } => {
            Some((ControllerType::Ccid, controller.min(CONTROLLERS_MAX)))
        }
        _ => None,
    });
    needed.extend(cards);
    needed.extend((0..for_hostdevs).map(|index| (ControllerType::Scsi, index)));
    needed
}
