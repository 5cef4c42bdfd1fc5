//! PCI buses: what each kind of controller offers and needs, which functions of its slots are taken,
//! and which controllers are made where there is no room.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::address::Pci;

/// What a device needs of the slot it sits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plug {
    Pci,
    Express,
    RootPort,
    UpstreamPort,
    DownstreamPort,
    DmiBridge,
    PciBridge,
    ExpressToPci,
    PciExpander,
    ExpressExpander,
}

/// A model of controller, which makes a bus.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) model: &'static str,
    /// The device that QEMU makes it of.
    pub(super) device: Option<&'static str>,
    pub(super) needs: Option<Plug>,
    accepts: &'static [Plug],
    slots: (u32, u32),
    /// Whether devices can come and go while the guest runs.
    hotplug: bool,
}

macro_rules! kinds {
    ($($model:literal, $device:expr, $needs:expr, [$($accepts:ident)*], $first:literal - $last:literal, $hotplug:literal;)*) => {
        const KINDS: &[Kind] = &[$(Kind {
            model: $model,
            device: $device,
            needs: $needs,
            accepts: &[$(Plug::$accepts),*],
            slots: ($first, $last),
            hotplug: $hotplug,
        }),*];
    };
}

kinds! {
    "pci-root", None, None, [Pci PciBridge PciExpander], 1-31, true;
    "pcie-root", None, None, [Pci Express RootPort DmiBridge ExpressToPci ExpressExpander], 1-31, false;
    "pci-bridge", Some("pci-bridge"), Some(Plug::PciBridge), [Pci PciBridge], 1-31, true;
    "dmi-to-pci-bridge", Some("i82801b11-bridge"), Some(Plug::DmiBridge), [Pci PciBridge], 0-31, false;
    "pcie-to-pci-bridge", Some("pcie-pci-bridge"), Some(Plug::ExpressToPci), [Pci PciBridge], 1-31, true;
    "pcie-root-port", Some("pcie-root-port"), Some(Plug::RootPort), [Express UpstreamPort ExpressToPci], 0-0, true;
    "pcie-switch-upstream-port", Some("x3130-upstream"), Some(Plug::UpstreamPort), [DownstreamPort], 0-31, false;
    "pcie-switch-downstream-port", Some("xio3130-downstream"), Some(Plug::DownstreamPort), [Express UpstreamPort ExpressToPci], 0-0, true;
    "pci-expander-bus", Some("pxb"), Some(Plug::PciExpander), [Pci PciBridge], 0-31, false;
    "pcie-expander-bus", Some("pxb-pcie"), Some(Plug::ExpressExpander), [RootPort DmiBridge], 0-31, false;
}

impl Kind {
    pub(super) fn of(model: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.model == model)
    }

    fn needing(plug: Plug) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.needs == Some(plug))
    }

    /// Whether the device can be told to sit there: an endpoint goes into any slot for endpoints.
    fn takes(&self, plug: Plug) -> bool {
        let endpoint = |plug| matches!(plug, Plug::Pci | Plug::Express);
        self.accepts.contains(&plug)
            || endpoint(plug) && self.accepts.iter().any(|accepted| endpoint(*accepted))
    }
}

/// What a device needs to find a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) plug: Plug,
    /// Whether it could be plugged out; one that cannot may sit on the root bus itself.
    pub(super) hotplug: bool,
    /// The function it takes in a slot that it shares with the others of its group.
    pub(super) shared: Option<(u32, u32)>,
}

impl Need {
    pub(super) fn of(plug: Plug) -> Self {
        Self { plug, hotplug: true, shared: None }
    }

    pub(super) fn fixed(plug: Plug) -> Self {
        Self { plug, hotplug: false, shared: None }
    }

    /// What a controller needs: a bridge to older devices sits on a port of its own, the others anywhere.
    pub(super) fn controller(model: &str) -> Option<Self> {
        let plug = Kind::of(model)?.needs?;
        Some(Self { plug, hotplug: plug == Plug::ExpressToPci, shared: None })
    }
}

/// One bus: the functions in use of each slot, as bits.
#[derive(Clone, Debug)]
struct Bus {
    index: u32,
    kind: &'static Kind,
    used: [u8; 32],
    /// Slots that hold nothing but root ports, which may share one.
    ports: [bool; 32],
}

/// All buses of a guest, as far as devices are placed.
#[derive(Clone, Debug, Default)]
pub(super) struct Buses {
    all: Vec<Bus>,
    /// Controllers that have to be made: index and model.
    pub(super) added: Vec<(u32, &'static str)>,
}

/// Where the chipset's bridge to older devices is.
const DMI_SLOT: u32 = 0x1e;

/// Limit: buses on one PCI domain.
const BUS_MAX: u32 = 255;

fn xml<T>(detail: String) -> Result<T> {
    Err(Error::new(Code::XmlError, Origin::Domain, detail))
}

fn text(at: &Pci) -> String {
    format!("{:04x}:{:02x}:{:02x}.{:x}", at.domain, at.bus, at.slot, at.function)
}

impl Buses {
    pub(super) fn push(&mut self, index: u32, kind: &'static Kind) {
        let bus = Bus { index, kind, used: [0; 32], ports: [false; 32] };
        let at = self.all.partition_point(|known| known.index < index);
        self.all.insert(at, bus);
    }

    pub(super) fn has(&self, index: u32) -> bool {
        self.all.iter().any(|bus| bus.index == index)
    }

    fn express(&self) -> bool {
        self.all.first().is_some_and(|bus| bus.kind.model == "pcie-root")
    }

    fn bus_mut(&mut self, index: u32) -> Option<&mut Bus> {
        self.all.iter_mut().find(|bus| bus.index == index)
    }

    /// Keeps a place for something that has no device in the document.
    pub(super) fn keep(&mut self, bus: u32, slot: u32, function: u32) {
        if let Some(used) = self.bus_mut(bus).and_then(|bus| bus.used.get_mut(slot as usize)) {
            *used |= 1 << (function & 7);
        }
    }

    /// Takes the place that the document names.
    pub(super) fn take(&mut self, at: &Pci, need: Need) -> Result<()> {
        if at.domain != 0 {
            let what = text(at);
            return xml(format!("Invalid PCI address {what}. Only PCI domain 0 is available"));
        }
        let last = self.all.last().map_or(0, |bus| bus.index);
        let Some(bus) = self.bus_mut(at.bus) else {
            let what = text(at);
            return xml(format!(
                "Invalid PCI address {what}. Only PCI buses up to {last} are available"
            ));
        };
        let (first, last) = bus.kind.slots;
        if at.slot < first {
            return xml(format!("Invalid PCI address {}. slot must be >= {first}", text(at)));
        }
        if at.slot > last {
            return xml(format!("Invalid PCI address {}. slot must be <= {last}", text(at)));
        }
        if !bus.kind.takes(need.plug) {
            return Err(misplaced(at, need.plug));
        }
        let (slot, bit) = (at.slot as usize, 1_u8 << (at.function & 7));
        if bus.used[slot] & bit != 0 {
            return xml(format!("Attempted double use of PCI Address {}", text(at)));
        }
        let port = need.plug == Plug::RootPort;
        bus.ports[slot] = port && (bus.used[slot] == 0 || bus.ports[slot]);
        bus.used[slot] |= bit;
        Ok(())
    }

    /// Finds a place, on a controller that is made where there is no room on those that are there.
    pub(super) fn place(&mut self, need: Need) -> Option<Pci> {
        if let Some(found) = self.lowest(need) {
            return Some(found);
        }
        self.grow(need)?;
        self.lowest(need)
    }

    fn lowest(&mut self, need: Need) -> Option<Pci> {
        let fits = |bus: &&mut Bus| {
            bus.kind.accepts.contains(&need.plug) && (bus.kind.hotplug || !need.hotplug)
        };
        for bus in self.all.iter_mut().filter(fits) {
            let (first, last) = bus.kind.slots;
            // Compat: this bridge has a slot of its own, as on the real chipset.
            let preferred = (need.plug == Plug::DmiBridge).then_some(DMI_SLOT);
            for slot in preferred.into_iter().chain(first..=last) {
                let at = slot as usize;
                let function = if bus.used[at] == 0 {
                    need.shared.map_or(0, |(_, function)| function)
                } else if need.plug == Plug::RootPort && bus.ports[at] && bus.used[at] != 0xff {
                    bus.used[at].trailing_ones()
                } else {
                    continue;
                };
                bus.ports[at] = need.plug == Plug::RootPort;
                bus.used[at] |= 1 << (function & 7);
                return Some(Pci { bus: bus.index, slot, function, ..Pci::default() });
            }
        }
        None
    }

    /// Makes a controller that has room for such a device.
    fn grow(&mut self, need: Need) -> Option<()> {
        let bridges = |model| self.all.iter().any(|bus| bus.kind.model == model);
        let model = match (need.plug, self.express()) {
            (Plug::Pci, false) => "pci-bridge",
            (Plug::Express | Plug::ExpressToPci, true) => "pcie-root-port",
            (Plug::Pci | Plug::PciBridge, true) => {
                let below = bridges("dmi-to-pci-bridge") || bridges("pcie-to-pci-bridge");
                if below && need.plug == Plug::Pci { "pci-bridge" } else { "pcie-to-pci-bridge" }
            }
            _ => return None,
        };
        let kind = Kind::of(model)?;
        // What sits on the root bus finds its place when everything is placed anew, before devices.
        if self.express() && model != "pcie-root-port" {
            self.place(Need::controller(model)?)?;
        }
        self.add(kind)
    }

    fn add(&mut self, kind: &'static Kind) -> Option<()> {
        let index = (1..=BUS_MAX).find(|index| !self.has(*index))?;
        self.push(index, kind);
        self.added.push((index, kind.model));
        Some(())
    }

    /// One more root port than is needed.
    pub(super) fn spare(&mut self) {
        if let Some(kind) = Kind::of("pcie-root-port") {
            self.add(kind);
        }
    }

    /// Makes all controllers up to the highest bus that is named; those in `old` are for older devices.
    pub(super) fn fill(&mut self, last: u32, old: &[u32]) {
        let express = self.express();
        for index in (1..=last.min(BUS_MAX)).filter(|index| !self.has(*index)).collect::<Vec<_>>() {
            let model = match (express, old.contains(&index)) {
                (false, _) => "pci-bridge",
                (true, false) => "pcie-root-port",
                (true, true) => "pcie-to-pci-bridge",
            };
            if let Some(kind) = Kind::of(model) {
                self.push(index, kind);
                self.added.push((index, model));
            }
        }
    }
}

fn misplaced(at: &Pci, plug: Plug) -> Error {
    let (what, bus) = (text(at), at.bus);
    let needs = match Kind::needing(plug) {
        Some(kind) => {
            let model = kind.model;
            return Error::new(
                Code::XmlError,
                Origin::Domain,
                format!(
                    "The device at PCI address {what} cannot be plugged into the PCI controller with index='{bus}'. It requires a controller that accepts a {model}."
                ),
            );
        }
        None if plug == Plug::Express => "a PCI Express",
        None => "a standard PCI",
    };
    Error::new(
        Code::XmlError,
        Origin::Domain,
        format!(
            "The device at PCI address {what} requires {needs} slot, which is not provided by the PCI controller with index='{bus}'"
        ),
    )
}

/// There is no room for a controller that cannot be made room for.
pub(super) fn no_room(model: Option<&str>) -> Error {
    let detail = match model {
        Some(model) => format!(
            "a PCI slot is needed to connect a PCI controller model='{model}', but none is available, and it cannot be automatically added"
        ),
        None => "No more available PCI slots".to_owned(),
    };
    Error::internal(Origin::Domain, detail)
}
