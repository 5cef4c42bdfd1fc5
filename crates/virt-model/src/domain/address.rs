//! Where a device sits on its bus, and what every device may carry.

use virt_error::{Error, Origin, Result};
use virt_xml::{Element, parse_number};

use crate::schema::text::{OnOff, YesNo};
use crate::schema::{Body, Out, ParseFlags, form, kinds};

element! {
    /// What every device may carry besides its own fields.
    pub struct DeviceInfo {
        boot: Option<BootOrder> = child("boot"),
        /// The device's name: the driver's own, or the user's (`ua-...`).
        alias: Option<String> = alias("alias"),
        master: Option<Master> = child("master"),
        rom: Option<Rom> = child_some("rom"),
        acpi: Option<AcpiIndex> = child_some("acpi"),
        address: Address = address(),
        /// What the driver noted of the running device.
        private_data: Option<Element<'static>> = own_tree("privateData") when status,
    }
}

element! {
    pub struct BootOrder {
        order: u32 = boot_order("order"),
        loadparm: Option<String> = loadparm("loadparm"),
    }
}

element! {
    /// The companion of a USB controller: the master's first port it serves.
    pub struct Master {
        startport: u32 = attr_req("startport"),
    }
}

element! {
    pub struct AcpiIndex {
        index: u32 = attr_odd("index"),
    }
}

element! {
    pub struct Rom {
        enabled: Option<YesNo> = attr("enabled"),
        bar: Option<OnOff> = attr("bar"),
        file: Option<String> = attr("file"),
    }
}

/// An address. A form that nobody acts on is kept as it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Address {
    /// To be assigned.
    #[default]
    None,
    /// Not to be assigned.
    Unassigned,
    Pci(Pci),
    Drive(Drive),
    VirtioSerial(VirtioSerial),
    Ccid {
        controller: u32,
        slot: u32,
    },
    Usb(Usb),
    SpaprVio {
        reg: Option<u64>,
    },
    Isa {
        iobase: Option<u32>,
        irq: Option<u32>,
    },
    Dimm {
        slot: u32,
        base: Option<u64>,
    },
    Other(Element<'static>),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pci {
    pub domain: u32,
    pub bus: u32,
    pub slot: u32,
    pub function: u32,
    pub multifunction: Option<OnOff>,
    pub zpci: Option<Element<'static>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drive {
    pub controller: u32,
    pub bus: u32,
    pub target: u32,
    pub unit: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioSerial {
    pub controller: u32,
    pub bus: u32,
    pub port: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usb {
    pub bus: u32,
    /// `1`, or a path through hubs as `1.2`.
    pub port: Option<String>,
}

/// An attribute in any base: decimal, `0x` or octal.
pub(crate) fn any_base<T: TryFrom<i128>>(element: &Element<'_>, name: &str) -> Result<Option<T>> {
    let Some(text) = element.attr(name) else { return Ok(None) };
    match parse_number(text, 0).and_then(|value| T::try_from(value).ok()) {
        Some(value) => Ok(Some(value)),
        None => Err(crate::schema::error::invalid_value(element, name, text, "integer value")),
    }
}

/// An attribute that is hexadecimal with `0x` or without.
pub(crate) fn hexadecimal(element: &Element<'_>, name: &str) -> Result<Option<u64>> {
    let Some(text) = element.attr(name) else { return Ok(None) };
    match parse_number(text, 16).and_then(|value| u64::try_from(value).ok()) {
        Some(value) => Ok(Some(value)),
        None => Err(crate::schema::error::invalid_value(element, name, text, "integer value")),
    }
}

impl Pci {
    /// Reads an `<address>`; fields that are absent are 0.
    pub fn read(element: &Element<'_>) -> Result<Self> {
        let number = |name| any_base::<u32>(element, name).map(Option::unwrap_or_default);
        Ok(Self {
            domain: number("domain")?,
            bus: number("bus")?,
            slot: number("slot")?,
            function: number("function")?,
            multifunction: kinds::read_value(element, "multifunction")?,
            zpci: kinds::tree_of::read(element, ParseFlags::default(), "zpci", &form::ZPCI)?,
        })
    }

    /// Whether the address says nothing.
    pub fn is_empty(&self) -> bool {
        self.domain == 0 && self.bus == 0 && self.slot == 0 && self.function == 0
    }

    /// Whether it is the same function of the same device.
    pub fn same_place(&self, other: &Self) -> bool {
        let place = |at: &Self| (at.domain, at.bus, at.slot, at.function);
        place(self) == place(other)
    }

    /// Prints the attributes.
    pub fn write(&self, out: &mut Out) {
        self.write_place(out);
        self.write_rest(out);
    }

    /// Prints where the device is.
    pub(crate) fn write_place(&self, out: &mut Out) {
        out.w.attr_hex("domain", self.domain.into(), 4);
        out.w.attr_hex("bus", self.bus.into(), 2);
        out.w.attr_hex("slot", self.slot.into(), 2);
        out.w.attr_hex("function", self.function.into(), 1);
    }

    /// Prints what goes with a place, or without one that is still to be found.
    fn write_rest(&self, out: &mut Out) {
        if let Some(multifunction) = self.multifunction {
            out.w.attr("multifunction", multifunction.as_str());
        }
        if let Some(zpci) = &self.zpci {
            out.w.element(zpci);
        }
    }
}

impl Drive {
    pub(crate) fn read(element: &Element<'_>) -> Result<Self> {
        let number = |name| kinds::read_value::<u32>(element, name).map(Option::unwrap_or_default);
        Ok(Self {
            controller: number("controller")?,
            bus: number("bus")?,
            target: number("target")?,
            unit: number("unit")?,
        })
    }
}

impl Address {
    /// The bus's name as the address's type, or `None` where there is none.
    pub fn kind(&self) -> Option<&str> {
        Some(match self {
            Self::None => return None,
            Self::Unassigned => "unassigned",
            Self::Pci(_) => "pci",
            Self::Drive(_) => "drive",
            Self::VirtioSerial(_) => "virtio-serial",
            Self::Ccid { .. } => "ccid",
            Self::Usb(_) => "usb",
            Self::SpaprVio { .. } => "spapr-vio",
            Self::Isa { .. } => "isa",
            Self::Dimm { .. } => "dimm",
            Self::Other(element) => return element.attr("type"),
        })
    }

    pub(crate) fn read(element: &Element<'_>) -> Result<Self> {
        let number = |name| kinds::read_value::<u32>(element, name).map(Option::unwrap_or_default);
        let Some(kind) = element.attr("type") else {
            return Err(crate::schema::error::missing_attribute(element, "type"));
        };
        Ok(match kind {
            "unassigned" => Self::Unassigned,
            "pci" => {
                let has_any =
                    ["domain", "bus", "slot", "function"].iter().any(|n| element.attr(n).is_some());
                let mut pci = Pci::read(element)?;
                if (pci.domain, pci.bus, pci.slot) == (0, 0, 0) {
                    pci.function = 0;
                }
                if has_any || pci.multifunction.is_some() || pci.zpci.is_some() {
                    Self::Pci(pci)
                } else {
                    Self::Other(Element::new("address").with_attr("type", "pci"))
                }
            }
            "drive" => Self::Drive(Drive::read(element)?),
            "virtio-serial" => Self::VirtioSerial(VirtioSerial {
                controller: number("controller")?,
                bus: number("bus")?,
                port: number("port")?,
            }),
            "ccid" => Self::Ccid { controller: number("controller")?, slot: number("slot")? },
            "usb" => Self::Usb(Usb {
                bus: number("bus")?,
                port: element.attr("port").map(str::to_owned),
            }),
            "spapr-vio" => Self::SpaprVio { reg: hexadecimal(element, "reg")? },
            "isa" => {
                Self::Isa { iobase: any_base(element, "iobase")?, irq: any_base(element, "irq")? }
            }
            "dimm" => Self::Dimm { slot: number("slot")?, base: hexadecimal(element, "base")? },
            "ccw" => Self::Other(ccw(element)?),
            "virtio-s390" => {
                return Err(crate::schema::error::xml("virtio-s390 bus doesn't have an address"));
            }
            "virtio-mmio" => {
                Self::Other(Element::new("address").with_attr("type", kind.to_owned()))
            }
            other => return Err(crate::schema::error::invalid_value(element, "type", other, "")),
        })
    }

    pub(crate) fn write(&self, out: &mut Out) {
        if let Self::Other(element) = self {
            return out.w.element(element);
        }
        let Some(kind) = self.kind() else { return };
        out.w.open("address");
        out.w.attr("type", kind);
        let number = |out: &mut Out, name, value: u32| out.w.attr(name, &value.to_string());
        match self {
            Self::None | Self::Unassigned | Self::Other(_) => {}
            // Compat: bus 0 and slot 0 are the host bridge, so they stand for no place at all.
            Self::Pci(pci) if (pci.domain, pci.bus, pci.slot) == (0, 0, 0) => pci.write_rest(out),
            Self::Pci(pci) => pci.write(out),
            Self::Drive(drive) => {
                number(out, "controller", drive.controller);
                number(out, "bus", drive.bus);
                number(out, "target", drive.target);
                number(out, "unit", drive.unit);
            }
            Self::VirtioSerial(at) => {
                number(out, "controller", at.controller);
                number(out, "bus", at.bus);
                number(out, "port", at.port);
            }
            Self::Ccid { controller, slot } => {
                number(out, "controller", *controller);
                number(out, "slot", *slot);
            }
            Self::Usb(usb) => {
                number(out, "bus", usb.bus);
                if let Some(port) = &usb.port {
                    out.w.attr("port", port);
                }
            }
            Self::SpaprVio { reg } => hex_attr(out, "reg", *reg, 8),
            Self::Isa { iobase, irq } => {
                hex_attr(out, "iobase", iobase.map(u64::from), 0);
                hex_attr(out, "irq", irq.map(u64::from), 0);
            }
            Self::Dimm { slot, base } => {
                number(out, "slot", *slot);
                hex_attr(out, "base", *base, 0);
            }
        }
        out.w.close("address");
    }
}

/// A place on a mainframe's channels: all of it, or none, which prints as zeros.
fn ccw(element: &Element<'_>) -> Result<Element<'static>> {
    let parts = [("cssid", 1), ("ssid", 1), ("devno", 4)];
    let said = parts.iter().filter(|(name, _)| element.attr(name).is_some()).count();
    if said != 0 && said != parts.len() {
        let what = "Invalid partial specification for virtio ccw address";
        return Err(Error::internal(Origin::Device, what));
    }
    let mut out = Element::new("address").with_attr("type", "ccw");
    for (name, digits) in parts {
        let number = any_base::<u32>(element, name)?.unwrap_or_default();
        out.set_attr(name, format!("0x{number:0digits$x}"));
    }
    Ok(out)
}

fn hex_attr(out: &mut Out, name: &str, value: Option<u64>, digits: u32) {
    if let Some(value) = value {
        out.w.attr_hex(name, value, digits);
    }
}

impl Body for Address {
    fn read(element: &Element<'_>, _: ParseFlags) -> Result<Self> {
        Self::read(element)
    }

    fn attrs(&self, _: &mut Out) {}

    fn children(&self, out: &mut Out) {
        self.write(out);
    }
}
