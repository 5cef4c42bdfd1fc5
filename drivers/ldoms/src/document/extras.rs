//! The element of our own namespace: items with what libvirt's elements do not hold.

use virt_error::{Code, Error, Result};
use virt_xml::{Element, Node};

use super::{NAMESPACE, PREFIX};
use crate::link::ORIGIN;
use crate::message::{Item, Property};

/// Properties that say how a domain is, not how it is to be: they come and go by themselves.
const STATUS: &[&str] = &[
    "state",
    "flags",
    "utilization",
    "norm_utilization",
    "uptime",
    "progress",
    "status",
    "source",
];

/// The name an item has among those of its resource, and the property that holds it.
pub(super) fn name_key(resource: &str) -> Option<&'static str> {
    Some(match resource.to_ascii_lowercase().as_str() {
        "disk" => "vdisk_name",
        "network" => "vnet_name",
        "vds_volume" => "vol_name",
        _ => return None,
    })
}

/// What is left of an item when `told` has said the rest; `None` when nothing is.
pub(super) fn rest_of(item: &Item, told: &[&str]) -> Option<Item> {
    let mut rest = item.clone();
    let is_info = item.is("ldom_info");
    let said = |field: &str| told.contains(&field);
    rest.uuid = rest.uuid.filter(|_| !said("uuid"));
    rest.address = rest.address.filter(|_| !said("address"));
    rest.units = rest.units.filter(|_| !said("units"));
    // What the manager gave is not what it was asked for.
    rest.bindings.clear();
    rest.properties.retain(|property| {
        let status = is_info && STATUS.contains(&property.key.as_str());
        !status && !said(&property.key)
    });
    let empty = Item { resource: rest.resource.clone(), ..Item::default() };
    (rest != empty).then_some(rest)
}

/// The element, or `None` when there is nothing to say.
pub(super) fn print(items: &[(Item, Option<String>)]) -> Option<Element<'static>> {
    if items.is_empty() {
        return None;
    }
    let mut root = new("constraints");
    for (item, name) in items {
        root.children.push(Node::Element(print_item(item, name.as_deref())));
    }
    Some(root)
}

fn new(name: &str) -> Element<'static> {
    Element::new(format!("{PREFIX}:{name}"))
}

fn print_item(item: &Item, name: Option<&str>) -> Element<'static> {
    let plain = item.uuid.is_none() && item.address.is_none() && item.other.is_empty();
    if item.resource == "mau" && plain && item.properties.is_empty() && name.is_none() {
        let units = item.units.clone().unwrap_or_default();
        return new("crypto").with_attr("units", units);
    }
    if item.resource == "var"
        && plain
        && item.units.is_none()
        && let [name, value] = item.properties.as_slice()
        && (name.key.as_str(), value.key.as_str()) == ("name", "value")
    {
        let (name, value) = (name.value.clone(), value.value.clone());
        return new("variable").with_attr("name", name).with_attr("value", value);
    }
    let mut element = new("item").with_attr("resource", item.resource.clone());
    let fields = [
        ("name", name),
        ("units", item.units.as_deref()),
        ("address", item.address.as_deref()),
        ("uuid", item.uuid.as_deref()),
    ];
    for (field, value) in fields {
        if let Some(value) = value {
            element.set_attr(field, value.to_owned());
        }
    }
    for property in &item.properties {
        let (key, value) = (property.key.clone(), property.value.clone());
        let child = new("property").with_attr("key", key).with_attr("value", value);
        element.children.push(Node::Element(child));
    }
    if !item.other.is_empty() {
        let mut other = new("other");
        other.children.extend(item.other.iter().cloned().map(Node::Element));
        element.children.push(Node::Element(other));
    }
    element
}

/// Reads what [`print`] printed, under the prefix that the document has for the namespace.
pub(super) fn parse(foreign: &[Element<'_>], prefix: &str) -> Result<Vec<(Item, Option<String>)>> {
    let mut items = Vec::new();
    for root in foreign.iter().filter(|root| root.prefix() == Some(prefix)) {
        if root.local_name() != "constraints" {
            return Err(unknown(root));
        }
        for child in root.elements() {
            items.push(parse_item(child)?);
        }
    }
    Ok(items)
}

fn parse_item(element: &Element<'_>) -> Result<(Item, Option<String>)> {
    let needed = |name: &str| {
        element.attr(name).ok_or_else(|| {
            let detail =
                format!("Missing required attribute '{name}' in element '{}'", element.name);
            Error::new(Code::XmlError, ORIGIN, detail)
        })
    };
    match element.local_name() {
        "crypto" => Ok((Item::new("mau").with_units(needed("units")?), None)),
        "variable" => {
            let item =
                Item::new("var").with("name", needed("name")?).with("value", needed("value")?);
            Ok((item, None))
        }
        "item" => {
            let text = |name: &str| element.attr(name).map(str::to_owned);
            let mut item = Item::new(needed("resource")?);
            (item.units, item.address, item.uuid) = (text("units"), text("address"), text("uuid"));
            for child in element.elements() {
                match child.local_name() {
                    "property" => {
                        let key = child.attr("key").ok_or_else(|| unknown(child))?.to_owned();
                        let value = child.attr("value").unwrap_or_default().to_owned();
                        item.properties.push(Property { key, value });
                    }
                    "other" => item.other.extend(child.elements().map(Element::to_static)),
                    _ => return Err(unknown(child)),
                }
            }
            Ok((item, text("name")))
        }
        _ => Err(unknown(element)),
    }
}

/// In our own namespace nothing is anybody else's to know.
fn unknown(element: &Element<'_>) -> Error {
    let detail = format!("unexpected element '{}' in namespace {NAMESPACE}", element.name);
    Error::new(Code::XmlError, ORIGIN, detail)
}

/// Lets `rest` say what `item` does not.
pub(super) fn merge(item: &mut Item, rest: &Item) {
    let fill = |to: &mut Option<String>, from: &Option<String>| {
        if to.is_none() {
            to.clone_from(from);
        }
    };
    fill(&mut item.units, &rest.units);
    fill(&mut item.address, &rest.address);
    fill(&mut item.uuid, &rest.uuid);
    for property in &rest.properties {
        if item.get(&property.key).is_none() {
            item.properties.push(property.clone());
        }
    }
    item.other.extend(rest.other.iter().cloned());
}
