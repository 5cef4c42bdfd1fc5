//! PCI addresses for the devices that have none, placed where libvirt places them.
//!
//! Once given, an address is part of the definition, so that a guest sees the same machine at every
//! start. Devices of the chipset have places of their own. The others take the lowest free slot of
//! the first bus that suits them: on i440fx the one bus, on q35 a root port for each express device
//! and a bridge for all older ones. Controllers are made where there are not enough; then everything
//! is placed anew, because controllers come before devices. One root port stays free for a device
//! that comes later.

mod bus;
mod needs;

use virt_error::{Code, Error, Origin, Result};
use virt_model::OnOff;
use virt_model::domain::address::{Address, Pci};
use virt_model::domain::chardev::Name;
use virt_model::domain::controller::{Controller, ControllerTarget, ControllerType};
use virt_model::domain::devices::SoundModel;
use virt_model::domain::graphics::VideoType;
use virt_model::domain::{Device, DeviceInfo, Devices, Domain};

use super::Chipset;
use bus::{Buses, Kind, Need, Plug, no_room};

/// Limit: rounds of making controllers and placing everything anew; each makes some.
const ROUNDS_MAX: usize = 16;

/// Assigns what is missing.
pub(super) fn assign(domain: &mut Domain) -> Result<()> {
    let chipset = Chipset::of_domain(domain);
    if chipset == Chipset::Other {
        return Ok(());
    }
    check_root(&domain.devices, chipset)?;
    built_in(domain, chipset)?;
    // Compat: one port stays free, unless the document names buses by itself.
    let named = domain.devices.controllers.iter().any(|c| is_bus(c) && c.index != Some(0));
    let mut spared = named;
    for _ in 0..ROUNDS_MAX {
        let mut plan = Plan::new(&mut domain.devices, chipset)?;
        let places = plan.place_all(&mut domain.devices, chipset)?;
        let ports = plan.buses.added.iter().any(|(_, model)| *model == "pcie-root-port");
        if plan.buses.added.is_empty() {
            apply(&mut domain.devices, chipset, places);
            return finish(domain);
        }
        if ports && !std::mem::replace(&mut spared, true) {
            plan.buses.spare();
        }
        for (index, model) in plan.buses.added {
            domain.devices.add(Device::Controller(Box::new(controller(index, model))));
        }
    }
    Err(no_room(None))
}

fn controller(index: u32, model: &str) -> Controller {
    let (index, model) = (Some(index), Some(model.to_owned()));
    Controller { kind: ControllerType::Pci, index, model, ..Controller::default() }
}

/// The root bus is the one that the chipset has.
fn check_root(devices: &Devices, chipset: Chipset) -> Result<()> {
    let wanted = if chipset == Chipset::Q35 { "pcie-root" } else { "pci-root" };
    let root = devices.controllers.iter().find(|c| is_bus(c) && c.index == Some(0));
    match root.and_then(|root| root.model.as_deref()) {
        Some(found) if found != wanted => {
            let detail = format!(
                "The PCI controller with index='0' must be model='{wanted}' for this machine type, but model='{found}' was found instead"
            );
            Err(Error::new(Code::XmlError, Origin::Domain, detail))
        }
        _ => Ok(()),
    }
}

fn is_bus(controller: &Controller) -> bool {
    controller.kind == ControllerType::Pci
}

/// Devices of the chipset, and the first video card, have places of their own.
fn built_in(domain: &mut Domain, chipset: Chipset) -> Result<()> {
    let q35 = chipset == Chipset::Q35;
    let taken = |devices: &Devices, slot: u32| {
        devices.addresses().any(|address| match address {
            Address::Pci(pci) => (pci.bus, pci.slot) == (0, slot),
            _ => false,
        })
    };
    let devices = &mut domain.devices;
    for controller in devices.controllers.iter_mut().filter(|c| c.index == Some(0)) {
        let uhci = controller.model.as_deref() == Some("piix3-uhci");
        let (slot, function, what) = match (controller.kind, q35) {
            (ControllerType::Sata, true) => (0x1f, 2, "Primary SATA controller"),
            (ControllerType::Ide, false) => (1, 1, "Primary IDE controller"),
            (ControllerType::Usb, false) if uhci => (1, 2, "PIIX3 USB controller at index 0"),
            _ => continue,
        };
        let here = Pci { slot, function, ..Pci::default() };
        match &controller.info.address {
            _ if wanted(&controller.info) => put(&mut controller.info, slot, function),
            Address::Pci(at) if !at.same_place(&here) => {
                let place = format!("0:0:{slot:x}.{function}");
                let detail = format!("{what} must have PCI address {place}");
                return Err(Error::internal(Origin::Domain, detail));
            }
            _ => {}
        }
    }
    let place = if q35 { 1 } else { 2 };
    let free = !taken(devices, place);
    if let Some(video) = devices.videos.first_mut()
        && wanted(&video.info)
        && !matches!(video.model.kind, VideoType::None | VideoType::Ramfb)
        && free
    {
        put(&mut video.info, place, 0);
    }
    if q35 {
        usb_sets(devices, &taken);
        let free = !taken(devices, 0x1b);
        let ich9 = |sound: &&mut virt_model::domain::devices::Sound| {
            wanted(&sound.info) && sound.model == SoundModel::Ich9
        };
        if let Some(sound) = devices.sounds.iter_mut().find(ich9).filter(|_| free) {
            put(&mut sound.info, 0x1b, 0);
        }
    }
    Ok(())
}

/// The chipset's two USB 2 controllers with their companions.
fn usb_sets(devices: &mut Devices, taken: &dyn Fn(&Devices, u32) -> bool) {
    for slot in [0x1d, 0x1a] {
        let set = |c: &Controller| needs::usb_function(c) == Some(0) && wanted(&c.info);
        let Some(index) = devices.controllers.iter().find(|c| set(c)).map(|c| c.index) else {
            return;
        };
        let placed = |c: &Controller| c.index == index && matches!(c.info.address, Address::Pci(_));
        let of_set = |c: &Controller| needs::usb_function(c).is_some() && c.index == index;
        if taken(devices, slot) || devices.controllers.iter().any(|c| of_set(c) && placed(c)) {
            continue;
        }
        for controller in devices.controllers.iter_mut().filter(|c| of_set(c)) {
            let function = needs::usb_function(controller).unwrap_or(0);
            put(&mut controller.info, slot, function);
        }
    }
}

fn put(info: &mut DeviceInfo, slot: u32, function: u32) {
    info.address = Address::Pci(Pci { slot, function, ..Pci::default() });
}

/// Whether the device is to be given an address.
fn wanted(info: &DeviceInfo) -> bool {
    match &info.address {
        Address::None => true,
        // `<address type='pci'/>` asks for an address and names none.
        Address::Other(element) => element.attr("type") == Some("pci"),
        // Compat: an address of nothing but zeros is none.
        Address::Pci(pci) => pci.is_empty(),
        _ => false,
    }
}

/// A round of placing.
struct Plan {
    buses: Buses,
    /// The slots of USB controllers with companions.
    shared: Vec<(u32, Pci)>,
}

/// The buses that devices name which cannot sit on an express port.
fn conventional(devices: &mut Devices, chipset: Chipset) -> Vec<u32> {
    let old = needs::all(devices, chipset).into_iter().filter(|(_, need)| need.plug == Plug::Pci);
    old.filter_map(|(info, _)| match &info.address {
        Address::Pci(pci) => Some(pci.bus),
        _ => None,
    })
    .collect()
}

impl Plan {
    fn new(devices: &mut Devices, chipset: Chipset) -> Result<Self> {
        let mut buses = Buses::default();
        let mut last = 0;
        for controller in devices.controllers.iter().filter(|c| is_bus(c)) {
            let index = controller.index.unwrap_or(0);
            last = last.max(index);
            if let Some(kind) = controller.model.as_deref().and_then(Kind::of) {
                buses.push(index, kind);
            }
        }
        for address in devices.addresses() {
            if let Address::Pci(pci) = address {
                last = last.max(pci.bus);
            }
        }
        buses.fill(last, &conventional(devices, chipset));
        let kept: &[(u32, u32)] =
            if chipset == Chipset::Q35 { &[(0x1f, 0), (0x1f, 3)] } else { &[(1, 0), (1, 3)] };
        for (slot, function) in kept {
            buses.keep(0, *slot, *function);
        }
        Ok(Self { buses, shared: Vec::new() })
    }

    /// The places of those that have none yet, in order.
    fn place_all(&mut self, devices: &mut Devices, chipset: Chipset) -> Result<Vec<Pci>> {
        let models: Vec<Option<String>> =
            devices.controllers.iter().filter(|c| is_bus(c)).map(|c| c.model.clone()).collect();
        let all = needs::all(devices, chipset);
        for (info, need) in &all {
            if let Address::Pci(at) = &info.address
                && !at.is_empty()
            {
                self.buses.take(at, *need)?;
                self.shared.extend(need.shared.map(|(group, _)| (group, at.clone())));
            }
        }
        let mut models = models.into_iter();
        let mut places = Vec::new();
        for (info, need) in &all {
            // Order: the controllers that make buses come first, so each has its model here.
            let model = models.next().flatten();
            if wanted(info) {
                places.push(self.place(*need).ok_or_else(|| no_room(model.as_deref()))?);
            }
        }
        Ok(places)
    }

    fn place(&mut self, need: Need) -> Option<Pci> {
        let Some((group, function)) = need.shared else { return self.buses.place(need) };
        if let Some((_, at)) = self.shared.iter().find(|(known, _)| *known == group) {
            let at = Pci { function, multifunction: None, ..at.clone() };
            self.buses.keep(at.bus, at.slot, function);
            return Some(at);
        }
        let at = self.buses.place(need)?;
        self.shared.push((group, at.clone()));
        Some(at)
    }
}

fn apply(devices: &mut Devices, chipset: Chipset, places: Vec<Pci>) {
    let all = needs::all(devices, chipset);
    let waiting = all.into_iter().map(|(info, _)| info).filter(|info| wanted(info));
    for (info, place) in waiting.zip(places) {
        info.address = Address::Pci(place);
    }
}

/// What follows from the places: functions that are shared, and how bridges and ports are known.
fn finish(domain: &mut Domain) -> Result<()> {
    let places: Vec<(u32, u32, u32)> = domain
        .devices
        .addresses()
        .filter_map(|address| match address {
            Address::Pci(pci) => Some((pci.bus, pci.slot, pci.function)),
            _ => None,
        })
        .collect();
    domain.devices.visit_infos_mut(&mut |info| {
        if let Address::Pci(pci) = &mut info.address
            && pci.function == 0
            && places.iter().any(|(b, s, f)| (*b, *s) == (pci.bus, pci.slot) && *f != 0)
        {
            pci.multifunction.get_or_insert(OnOff::On);
        }
    });
    let mut lowest = 256_u32;
    for controller in &mut domain.devices.controllers {
        if is_bus(controller) {
            known_as(controller, &mut lowest)?;
        }
    }
    Ok(())
}

/// Limit: the lowest number that leaves room for a bus below an expander.
const EXPANDER_BUS_MIN: u32 = 3;

fn known_as(controller: &mut Controller, lowest: &mut u32) -> Result<()> {
    let model = controller.model.clone().unwrap_or_default();
    let Some(device) = Kind::of(&model).and_then(|kind| kind.device) else { return Ok(()) };
    controller.model_name.get_or_insert_with(|| Name { name: device.into() });
    let place = match &controller.info.address {
        Address::Pci(pci) => Some((pci.slot, pci.function)),
        _ => None,
    };
    let index = controller.index;
    let target = || ControllerTarget::default();
    match model.as_str() {
        "pci-bridge" => {
            let target = controller.target.get_or_insert_with(target);
            target.chassis_nr = target.chassis_nr.or(index);
        }
        "pcie-root-port" | "pcie-switch-downstream-port" => {
            let port = model == "pcie-root-port";
            let number =
                place.map(|(slot, function)| if port { slot << 3 | function } else { slot });
            let target = controller.target.get_or_insert_with(target);
            target.chassis = target.chassis.or(index);
            target.port = target.port.or(number);
        }
        "pci-expander-bus" | "pcie-expander-bus" => {
            let target = controller.target.get_or_insert_with(target);
            if target.bus_nr.is_none() {
                if *lowest < EXPANDER_BUS_MIN {
                    let what = "No free busNr lower than current lowest busNr is available to auto-assign to bus";
                    return Err(Error::internal(Origin::Domain, what));
                }
                target.bus_nr = Some(lowest.saturating_sub(2));
            }
            *lowest = (*lowest).min(target.bus_nr.unwrap_or(*lowest));
        }
        _ => {}
    }
    Ok(())
}
