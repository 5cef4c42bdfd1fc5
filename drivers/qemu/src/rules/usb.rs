//! USB addresses: which ports there are, on controllers and on hubs, and who sits where.
//!
//! Compat: an address is given only to the devices of a new definition; what is stored without one stays
//! so. What a document names must be there, in each case.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::address::{Address, Usb};
use virt_model::domain::controller::{Controller, ControllerType};
use virt_model::domain::devices::{Hub, InputBus, SoundModel};
use virt_model::domain::disk::DiskBus;
use virt_model::domain::{DeviceInfo, Devices};

/// Limit: ports of a hub, from QEMU's.
const HUB_PORTS: u32 = 8;

/// Limit: ports of an xHCI controller.
const XHCI_PORTS_MAX: u32 = 15;

/// Limit: hubs below one another.
const DEPTH_MAX: usize = 4;

/// Ports of the controllers; those of an xHCI can be set.
const PORTS: &[(&str, u32)] = &[
    ("piix3-uhci", 2),
    ("piix4-uhci", 2),
    ("ehci", 6),
    ("ich9-ehci1", 6),
    ("ich9-uhci1", 2),
    ("ich9-uhci2", 2),
    ("ich9-uhci3", 2),
    ("vt82c686b-uhci", 2),
    ("pci-ohci", 3),
    ("nec-xhci", 4),
    ("qemu-xhci", 4),
];

/// A hub of the tree, the controller's own among them: its place, and who is at each port.
struct Ports {
    bus: u32,
    path: Vec<u32>,
    used: Vec<bool>,
}

fn xml<T>(detail: String) -> Result<T> {
    Err(Error::new(Code::XmlError, Origin::Domain, detail))
}

fn path_of(port: &str) -> Vec<u32> {
    port.split('.').filter_map(|step| step.parse().ok()).collect()
}

fn text(path: &[u32]) -> String {
    path.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// Checks what is said and, for a `new` definition, fills in what is not.
pub(super) fn assign(devices: &mut Devices, new: bool) -> Result<()> {
    check_controllers(&devices.controllers)?;
    let mut tree = roots(&devices.controllers);
    if tree.is_empty() && devices.controllers.iter().any(is_usb) {
        return Ok(());
    }
    for hub in &devices.hubs {
        if let Address::Usb(at @ Usb { port: Some(port), .. }) = &hub.info.address {
            take(&mut tree, at)?;
            tree.push(Ports {
                bus: at.bus,
                path: path_of(port),
                used: vec![false; HUB_PORTS as usize],
            });
        }
    }
    for (info, hub) in users(devices) {
        match (&info.address, hub) {
            (Address::Usb(at @ Usb { port: Some(_), .. }), false) => take(&mut tree, at)?,
            (Address::Usb(at @ Usb { port: None, .. }), _) if new => has_bus(&tree, at.bus)?,
            _ => {}
        }
    }
    if !new || tree.is_empty() {
        return Ok(());
    }
    add_hubs(devices, &tree);
    for (info, hub) in users(devices) {
        let bus = match &info.address {
            Address::None => None,
            Address::Usb(Usb { bus, port: None }) => Some(*bus),
            _ => continue,
        };
        let Some(at) = lowest(&mut tree, bus) else {
            return Err(Error::internal(Origin::Domain, "No free USB ports"));
        };
        if hub {
            let path = path_of(at.port.as_deref().unwrap_or_default());
            tree.push(Ports { bus: at.bus, path, used: vec![false; HUB_PORTS as usize] });
        }
        info.address = Address::Usb(at);
    }
    Ok(())
}

fn is_usb(controller: &Controller) -> bool {
    controller.kind == ControllerType::Usb
}

fn check_controllers(controllers: &[Controller]) -> Result<()> {
    for controller in controllers.iter().filter(|c| is_usb(c)) {
        let model = controller.model.as_deref().unwrap_or_default();
        if matches!(model, "nec-xhci" | "qemu-xhci")
            && controller.ports.is_some_and(|ports| ports > XHCI_PORTS_MAX)
        {
            let detail =
                format!("'{model}' controller only supports up to '{XHCI_PORTS_MAX}' ports");
            return Err(Error::new(Code::ConfigUnsupported, Origin::Domain, detail));
        }
        let companion = controller.info.master.is_some();
        let master = |other: &Controller| {
            is_usb(other) && other.index == controller.index && other.info.master.is_none()
        };
        if companion && !controllers.iter().any(master) {
            let what = "No master USB controller specified";
            return Err(Error::new(Code::XmlDetail, Origin::Domain, what));
        }
    }
    Ok(())
}

/// The ports of the controllers themselves; companions share those of their master.
fn roots(controllers: &[Controller]) -> Vec<Ports> {
    let mut all: Vec<Ports> = Vec::new();
    for controller in controllers.iter().filter(|c| is_usb(c) && c.info.master.is_none()) {
        let model = controller.model.as_deref().unwrap_or_default();
        let known = PORTS.iter().find(|(name, _)| *name == model);
        let Some((_, ports)) = known else { continue };
        let count =
            if model.ends_with("xhci") { controller.ports.unwrap_or(*ports) } else { *ports };
        let bus = controller.index.unwrap_or(0);
        all.push(Ports { bus, path: Vec::new(), used: vec![false; count as usize] });
    }
    all.sort_by_key(|ports| ports.bus);
    all
}

fn has_bus(tree: &[Ports], bus: u32) -> Result<()> {
    if tree.iter().any(|ports| ports.bus == bus) {
        return Ok(());
    }
    xml(format!("USB bus {bus} requested but no controller with that index is present"))
}

fn take(tree: &mut [Ports], at: &Usb) -> Result<()> {
    let port = at.port.as_deref().unwrap_or_default();
    let path = path_of(port);
    let bus = at.bus;
    if !tree.iter().any(|ports| ports.bus == bus) {
        return xml(format!(
            "USB bus {bus} requested but no controller with that index is present"
        ));
    }
    let Some((last, above)) = path.split_last() else { return Ok(()) };
    let hub = tree.iter_mut().find(|ports| ports.bus == bus && ports.path == above);
    let Some(hub) = hub else {
        let missing = (1..=above.len()).find_map(|depth| {
            let part = above.get(..depth)?;
            let there = tree.iter().any(|ports| ports.bus == bus && ports.path == part);
            (!there).then(|| text(part))
        });
        let missing = missing.unwrap_or_default();
        return xml(format!(
            "there is no hub at port {missing} in USB address bus: {bus} port: {port}"
        ));
    };
    let at = last.checked_sub(1).and_then(|at| hub.used.get_mut(at as usize));
    match at {
        None => xml(format!("requested USB port {port} not present on USB bus {bus}")),
        Some(used) if *used => xml(format!("Duplicate USB address bus {bus} port {port}")),
        Some(used) => {
            *used = true;
            Ok(())
        }
    }
}

/// The lowest free port, on the controller before its hubs.
fn lowest(tree: &mut [Ports], bus: Option<u32>) -> Option<Usb> {
    let mut order: Vec<usize> = (0..tree.len()).collect();
    order.sort_by_key(|at| tree.get(*at).map(|ports| (ports.bus, ports.path.clone())));
    for at in order {
        let ports = tree.get_mut(at)?;
        if bus.is_some_and(|bus| bus != ports.bus) || ports.path.len() >= DEPTH_MAX {
            continue;
        }
        if let Some(free) = ports.used.iter().position(|used| !used) {
            *ports.used.get_mut(free)? = true;
            let mut path = ports.path.clone();
            path.push(u32::try_from(free).ok()?.saturating_add(1));
            return Some(Usb { bus: ports.bus, port: Some(text(&path)) });
        }
    }
    None
}

/// A guest with more devices than ports gets hubs.
fn add_hubs(devices: &mut Devices, tree: &[Ports]) {
    let free: usize =
        tree.iter().map(|ports| ports.used.iter().filter(|used| !**used).count()).sum();
    let waiting = |info: &DeviceInfo| {
        matches!(info.address, Address::None | Address::Usb(Usb { port: None, .. }))
    };
    let all = users(devices);
    let hubs = all.iter().filter(|(info, hub)| *hub && waiting(info)).count();
    let wanted = all.iter().filter(|(info, _)| waiting(info)).count();
    let room = free.saturating_add(hubs.saturating_mul(HUB_PORTS as usize));
    if room == 0 || room >= wanted {
        return;
    }
    // Compat: one port more than is needed.
    let missing = wanted.saturating_sub(room).saturating_add(1);
    for _ in 0..missing.div_ceil(HUB_PORTS as usize - 1) {
        devices.hubs.push(Hub { kind: "usb".into(), info: DeviceInfo::default() });
    }
}

/// All that sit on USB, hubs first, in the order in which they get their ports.
fn users(devices: &mut Devices) -> Vec<(&mut DeviceInfo, bool)> {
    let mut all: Vec<(&mut DeviceInfo, bool)> = Vec::new();
    all.extend(devices.hubs.iter_mut().map(|hub| (&mut hub.info, true)));
    let on_usb = |disk: &&mut virt_model::domain::Disk| disk.target.bus == Some(DiskBus::Usb);
    all.extend(devices.disks.iter_mut().filter(on_usb).map(|disk| (&mut disk.info, false)));
    let nets = devices.interfaces.iter_mut().filter(|net| net.model_name() == Some("usb-net"));
    all.extend(nets.map(|net| (&mut net.info, false)));
    let sounds = devices.sounds.iter_mut().filter(|sound| sound.model == SoundModel::Usb);
    all.extend(sounds.map(|sound| (&mut sound.info, false)));
    let hostdevs = devices.hostdevs.iter_mut().filter(|hostdev| hostdev.kind == "usb");
    all.extend(hostdevs.map(|hostdev| (&mut hostdev.info, false)));
    let readers = devices.controllers.iter_mut().filter(|c| c.kind == ControllerType::Ccid);
    all.extend(readers.map(|reader| (&mut reader.info, false)));
    let serials = devices.serials.iter_mut();
    let serials = serials.filter(|s| s.target.kind.as_deref() == Some("usb-serial"));
    all.extend(serials.map(|serial| (&mut serial.info, false)));
    let inputs = devices.inputs.iter_mut().filter(|input| input.bus == Some(InputBus::Usb));
    all.extend(inputs.map(|input| (&mut input.info, false)));
    all.extend(devices.redirdevs.iter_mut().map(|redirdev| (&mut redirdev.info, false)));
    all
}
