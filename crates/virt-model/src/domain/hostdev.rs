//! Devices of the host that are handed to the guest.

use virt_error::Result;
use virt_types::Uuid;
use virt_xml::Element;

use crate::domain::DeviceInfo;
use crate::domain::address::{Pci, any_base};
use crate::schema::text::YesNo;
use crate::schema::{Body, Out, ParseFlags, error, form, kinds};

words! {
    pub enum HostdevMode {
        Subsystem = "subsystem",
        Capabilities = "capabilities",
    }
}

element! {
    pub struct Hostdev {
        mode: HostdevMode = attr_def("mode"),
        kind: String = hostdev_type("type"),
        /// Only of a subsystem's device, where it is always said.
        managed: Option<YesNo> = attr("managed"),
        sgio: Option<String> = attr("sgio"),
        rawio: Option<YesNo> = attr("rawio"),
        model: Option<String> = attr("model"),
        display: Option<String> = attr("display"),
        ramfb: Option<String> = attr("ramfb"),
        driver: Option<Element<'static>> = tree_of("driver", &form::HOST_DRIVER),
        source: Option<HostdevSource> = hostdev_source("source"),
        /// Of a network interface that a container takes over.
        ips: Vec<super::interface::GuestIp> = list("ip"),
        routes: Vec<crate::network::Route> = list("route"),
        readonly: bool = flag("readonly"),
        shareable: bool = flag("shareable"),
        teaming: Option<super::interface::Teaming> = child("teaming"),
        info: DeviceInfo = flat(),
    }
}

element! {
    /// A USB device handed on from a client.
    pub struct Redirdev {
        bus: String = attr_req("bus"),
        source: super::chardev::ChardevSource = flat(),
        info: DeviceInfo = flat(),
    }
}

/// Which device of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostdevSource {
    /// `startupPolicy`, `protocol`, `name`, `wwpn` and the like, in order.
    pub attrs: Vec<(String, String)>,
    pub vendor_id: Option<u32>,
    pub product_id: Option<u32>,
    pub adapter: Option<String>,
    pub address: HostAddress,
    /// Further children (`host`, `initiator`, `auth`, `block`, ...), in order.
    pub rest: Vec<Element<'static>>,
}

/// Where the device sits on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum HostAddress {
    #[default]
    None,
    Pci(Pci),
    Usb {
        bus: u32,
        device: Option<u32>,
        port: Option<String>,
    },
    Scsi {
        bus: u32,
        target: u32,
        unit: u64,
    },
    Mdev(Uuid),
}

impl HostdevSource {
    const ATTRS: &'static [&'static str] =
        &["startupPolicy", "guestReset", "writeFiltering", "protocol", "name", "wwpn"];

    pub(crate) fn read(element: &Element<'_>, kind: &str, flags: ParseFlags) -> Result<Self> {
        let mut source = Self::default();
        for name in Self::ATTRS {
            source
                .attrs
                .extend(element.attr(name).map(|value| ((*name).to_owned(), value.to_owned())));
        }
        // Compat: the first unit of a target where none is named.
        if source.attrs.iter().any(|(name, value)| name == "protocol" && value == "iscsi")
            && let Some((_, name)) = source.attrs.iter_mut().find(|(name, _)| name == "name")
            && !name.contains('/')
        {
            name.push_str("/0");
        }
        let id =
            |name: &str| element.child(name).map(|child| any_base::<u32>(child, "id")).transpose();
        source.vendor_id = id("vendor")?.flatten();
        source.product_id = id("product")?.flatten();
        source.adapter = element.child("adapter").and_then(|a| a.attr("name")).map(str::to_owned);
        if let Some(address) = element.child("address") {
            source.address = HostAddress::read(address, kind)?;
        }
        let typed = ["vendor", "product", "adapter", "address"];
        source.rest = element
            .elements()
            .filter(|e| !typed.contains(&&*e.name) && (flags.status || !is_own(e)))
            .map(Element::content)
            .collect();
        Ok(source)
    }
}

impl HostAddress {
    fn read(element: &Element<'_>, kind: &str) -> Result<Self> {
        let number = |name: &str| any_base::<u32>(element, name).map(Option::unwrap_or_default);
        Ok(match kind {
            "pci" => Self::Pci(Pci::read(element)?),
            "usb" => Self::Usb {
                bus: number("bus")?,
                device: any_base(element, "device")?,
                port: element.attr("port").map(str::to_owned),
            },
            "scsi" => Self::Scsi {
                bus: number("bus")?,
                target: number("target")?,
                unit: any_base(element, "unit")?.unwrap_or_default(),
            },
            "mdev" => match kinds::read_value::<Uuid>(element, "uuid")? {
                Some(uuid) => Self::Mdev(uuid),
                None => {
                    return Err(error::unsupported(
                        "Missing 'uuid' attribute for element <address>",
                    ));
                }
            },
            _ => Self::None,
        })
    }

    fn write(&self, out: &mut Out) {
        if *self == Self::None {
            return;
        }
        out.w.open("address");
        match self {
            Self::None => {}
            Self::Pci(pci) => pci.write_place(out),
            Self::Usb { bus, device, port } => {
                out.w.attr("bus", &bus.to_string());
                kinds::attr::attrs(device, out, "device");
                kinds::attr::attrs(port, out, "port");
            }
            Self::Scsi { bus, target, unit } => {
                out.w.attr("bus", &bus.to_string());
                out.w.attr("target", &target.to_string());
                out.w.attr("unit", &unit.to_string());
            }
            Self::Mdev(uuid) => out.w.attr("uuid", &uuid.to_string()),
        }
        out.w.close("address");
    }
}

impl Body for HostdevSource {
    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        Self::read(element, element.attr("type").unwrap_or_default(), flags)
    }

    fn attrs(&self, out: &mut Out) {
        for (name, value) in &self.attrs {
            out.w.attr(name, value);
        }
    }

    fn children(&self, out: &mut Out) {
        for (name, id) in [("vendor", self.vendor_id), ("product", self.product_id)] {
            if let Some(id) = id {
                out.w.open(name);
                out.w.attr_hex("id", id.into(), 4);
                out.w.close(name);
            }
        }
        if let Some(adapter) = &self.adapter {
            out.w.open("adapter");
            out.w.attr("name", adapter);
            out.w.close("adapter");
        }
        self.address.write(out);
        let own = out.flags.status;
        for element in self.rest.iter().filter(|e| own || !is_own(e)) {
            out.w.element(element);
        }
    }
}

/// Whether only the daemon's own files have it.
fn is_own(element: &Element<'_>) -> bool {
    matches!(&*element.name, "privateData" | "origstates")
}
