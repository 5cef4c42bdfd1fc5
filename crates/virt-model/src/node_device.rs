//! Devices of the host as the node device driver lists them.

use virt_error::{Code, Error, Origin, Result};
use virt_types::NODE_DEVICE_KINDS;
use virt_xml::Element;

use crate::schema::{Body, Document, Out, ParseFlags, error, kinds};

element! {
    pub struct NodeDevice {
        name: String = device_name("name"),
        path: Option<String> = text("path") when live,
        devnodes: Vec<Devnode> = list("devnode"),
        parent: Option<String> = text("parent"),
        capabilities: Vec<Capability> = list("capability"),
    }
}

element! {
    pub struct Devnode {
        kind: String = attr_req("type"),
        path: Option<String> = content(),
    }
}

/// What a device is or can do: its kind, its properties in print order, and further capabilities.
///
/// Compat: forty kinds differ only in which properties they have, and every property is one element;
/// so the properties stay a list, and only their order and the numbers in them are libvirt's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capability {
    pub kind: String,
    /// `maxCount` of virtual functions.
    pub max_count: Option<u32>,
    pub properties: Vec<Element<'static>>,
}

/// Properties that a document may hold but that are found out anew on the host.
const FOUND_ANEW: &[&str] = &["parent_addr"];

impl Body for Capability {
    fn read(element: &Element<'_>, _: ParseFlags) -> Result<Self> {
        let kind: String = kinds::attr_req::read(element, ParseFlags::default(), "type")?;
        if !NODE_DEVICE_KINDS.contains(&kind.as_str()) {
            return Err(error::invalid_value(element, "type", &kind, ""));
        }
        let max_count = kinds::read_value(element, "maxCount")?;
        let mut properties: Vec<Element<'static>> = element
            .elements()
            .filter(|e| !FOUND_ANEW.contains(&&*e.name))
            .map(Element::content)
            .collect();
        for property in &mut properties {
            if property.attr("type") == Some("vport_ops") {
                // How many there are and may be is the host's to say.
                *property = Element::new("capability")
                    .with_attr("type", "vport_ops")
                    .with_child(Element::new("max_vports").with_text("0"))
                    .with_child(Element::new("vports").with_text("0"));
            }
        }
        if kind == "mdev" && !properties.iter().any(|property| property.name == "iommuGroup") {
            let at = properties.iter().rposition(|p| matches!(&*p.name, "type" | "uuid"));
            let group = Element::new("iommuGroup").with_attr("number", "0");
            properties.insert(at.map_or(0, |at| at + 1), group);
        }
        Ok(Self { kind, max_count, properties })
    }

    fn attrs(&self, out: &mut Out) {
        out.w.attr("type", &self.kind);
        kinds::attr::attrs(&self.max_count, out, "maxCount");
    }

    fn children(&self, out: &mut Out) {
        for property in &self.properties {
            out.w.element(property);
        }
    }
}

impl Capability {
    /// The text of a property.
    pub fn property(&self, name: &str) -> Option<String> {
        self.properties.iter().find(|p| p.name == name).map(|p| p.text().into_owned())
    }

    /// A further capability of that kind.
    pub fn nested(&self, kind: &str) -> Option<&Element<'static>> {
        self.properties.iter().find(|p| p.name == "capability" && p.attr("type") == Some(kind))
    }
}

impl NodeDevice {
    /// Whether the device has a capability of that kind, nested ones included.
    pub fn has_capability(&self, kind: &str) -> bool {
        self.capabilities.iter().any(|cap| cap.kind == kind || cap.nested(kind).is_some())
    }
}

impl Document for NodeDevice {
    const ROOT: &'static str = "device";
    const ORIGIN: Origin = Origin::Nodedev;

    fn complete(&mut self, _: ParseFlags) -> Result<()> {
        if self.capabilities.is_empty() {
            return Err(Error::internal(
                Self::ORIGIN,
                format!("no device capabilities for '{}'", self.name),
            ));
        }
        self.capabilities.iter().try_for_each(|capability| capability.check(&self.name))
    }
}

/// What a capability must say, in the order in which it is missed.
enum Need {
    /// A text.
    Text(&'static str),
    /// A number, decimal or hexadecimal; asked for, or read where it is there.
    Number(&'static str),
    SomeNumber(&'static str),
    /// A hexadecimal number of a channel or adapter.
    Channel(&'static str),
}

/// Properties by kind, and what libvirt calls them.
const NEEDS: &[(&str, &[(&str, Need)])] = &[
    (
        "pci",
        &[
            ("domain", Need::Number("PCI domain ID")),
            ("bus", Need::Number("PCI bus ID")),
            ("slot", Need::Number("PCI slot ID")),
            ("function", Need::Number("PCI function ID")),
            ("class", Need::SomeNumber("PCI class")),
        ],
    ),
    ("storage", &[("block", Need::Text("block device path")), ("size", Need::SomeNumber("size"))]),
    (
        "scsi",
        &[
            ("host", Need::Number("SCSI host ID")),
            ("bus", Need::Number("SCSI bus ID")),
            ("target", Need::Number("SCSI target ID")),
            ("lun", Need::Number("SCSI LUN ID")),
        ],
    ),
    ("net", &[("interface", Need::Text("network interface"))]),
    (
        "usb_device",
        &[("bus", Need::Number("USB bus number")), ("device", Need::Number("USB device number"))],
    ),
    (
        "usb",
        &[
            ("number", Need::Number("USB interface number")),
            ("class", Need::SomeNumber("USB interface class")),
            ("subclass", Need::SomeNumber("USB interface subclass")),
            ("protocol", Need::SomeNumber("USB interface protocol")),
        ],
    ),
    ("scsi_target", &[("target", Need::Text("target name"))]),
    (
        "ccw",
        &[
            ("cssid", Need::Channel("cssid")),
            ("ssid", Need::Channel("ssid")),
            ("devno", Need::Channel("devno")),
        ],
    ),
    (
        "css",
        &[
            ("cssid", Need::Channel("cssid")),
            ("ssid", Need::Channel("ssid")),
            ("devno", Need::Channel("devno")),
        ],
    ),
    ("ap_card", &[("ap-adapter", Need::Channel("ap-adapter"))]),
    (
        "ap_queue",
        &[("ap-adapter", Need::Channel("ap-adapter")), ("ap-domain", Need::Channel("ap-domain"))],
    ),
];

impl Capability {
    fn check(&self, device: &str) -> Result<()> {
        let needs = NEEDS.iter().find(|(kind, _)| *kind == self.kind);
        for (name, need) in needs.into_iter().flat_map(|(_, needs)| needs.iter()) {
            self.check_property(device, name, need)?;
        }
        let refuse = |code: Code, what: String| {
            Err(Error::new(code, NodeDevice::ORIGIN, format!("{what} for '{device}'")))
        };
        match self.kind.as_str() {
            "scsi_host" => {
                let kinds = self.properties.iter().filter(|p| p.name == "capability");
                let mut kinds = kinds.filter_map(|p| p.attr("type"));
                match kinds.find(|kind| !matches!(*kind, "fc_host" | "vport_ops")) {
                    Some(kind) => {
                        let what = format!("unknown SCSI host capability type '{kind}'");
                        refuse(Code::InternalError, what)
                    }
                    None => Ok(()),
                }
            }
            "mdev" => {
                let kind = self.properties.iter().find(|p| p.name == "type");
                match kind.and_then(|kind| kind.attr("id")) {
                    Some(_) => Ok(()),
                    None => refuse(Code::ConfigUnsupported, "missing type id attribute".to_owned()),
                }
            }
            "drm" => match self.property("type").as_deref() {
                Some("primary" | "control" | "render") => Ok(()),
                other => {
                    let what = format!("unknown drm type '{}'", other.unwrap_or("(null)"));
                    refuse(Code::ConfigUnsupported, what)
                }
            },
            _ => Ok(()),
        }
    }

    fn check_property(&self, device: &str, name: &str, need: &Need) -> Result<()> {
        let text = self.property(name).filter(|text| !text.is_empty());
        let is_number = |text: &str| virt_xml::parse_number(text.trim(), 0).is_some();
        let is_hex = |text: &str| virt_xml::parse_number(text.trim(), 16).is_some();
        let refuse = |code: Code, what: String| {
            Err(Error::new(code, NodeDevice::ORIGIN, format!("{what} for '{device}'")))
        };
        match (need, text) {
            (Need::Text(what) | Need::Number(what), None) => {
                refuse(Code::InternalError, format!("no {what} supplied"))
            }
            (Need::Number(what) | Need::SomeNumber(what), Some(text)) if !is_number(&text) => {
                refuse(Code::InternalError, format!("invalid {what} supplied"))
            }
            (Need::Channel(what), None) => {
                refuse(Code::ConfigUnsupported, format!("missing {what} value"))
            }
            (Need::Channel(what), Some(text)) if !is_hex(&text) => {
                refuse(Code::ConfigUnsupported, format!("invalid {what} value '{text}'"))
            }
            _ => Ok(()),
        }
    }
}
