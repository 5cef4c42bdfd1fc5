//! Devices of the host as the node device driver lists them.

use virt_error::{Error, Origin, Result};
use virt_xml::Element;

use crate::schema::{Body, Document, Out, ParseFlags, kinds};

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
        let max_count = kinds::read_value(element, "maxCount")?;
        let mut properties: Vec<Element<'static>> = element
            .elements()
            .filter(|e| !FOUND_ANEW.contains(&&*e.name))
            .map(Element::to_static)
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
        Ok(())
    }
}
