//! Data of version 2.0, as LDoms 1.0 speaks it: an element for each resource, one for each property.
//!
//! It is read into the items of the later form, so nobody else has to know two.

use virt_xml::{Element, Writer};

use super::envelope::{is, kept, trimmed};
use super::{Content, Envelope, Item, Property, Section};

/// The element that holds the amount of a resource.
fn amount(resource: &str) -> &'static str {
    if resource.eq_ignore_ascii_case("memory") { "size" } else { "number" }
}

/// A `<ldom>`.
pub(super) fn read(element: &Element<'_>) -> Content {
    let mut content = Content::default();
    for child in element.elements() {
        if is(child, "ldom_info") {
            let mut info = item(child);
            let named = |property: &Property| property.key == "ldom_name";
            if let Some(at) = info.properties.iter().position(named) {
                content.id = info.properties.remove(at).value;
            }
            if info != Item::new("ldom_info") {
                content.sections.push(Section::of(info));
            }
        } else if child.elements().next().is_some() {
            content.sections.extend(read_object(child));
        } else {
            content.other.push(kept(child));
        }
    }
    content
}

/// A resource; the volumes inside a disk server are resources of their own.
pub(super) fn read_object(element: &Element<'_>) -> Vec<Section> {
    let mut object = item(element);
    let mut sections = Vec::new();
    if object.is("vds") {
        let inner = std::mem::take(&mut object.other);
        let (volumes, rest) = inner.into_iter().partition(|child| is(child, "volume"));
        object.other = rest;
        let volumes: Vec<Element<'static>> = volumes;
        for volume in volumes {
            let mut volume = item(&volume);
            volume.resource = "vds_volume".to_owned();
            if volume.get("service_name").is_none() {
                volume
                    .set("service_name", object.get("service_name").map(str::to_owned).as_deref());
            }
            sections.push(Section::of(volume));
        }
    }
    sections.insert(0, Section::of(object));
    sections
}

fn item(element: &Element<'_>) -> Item {
    let mut item = Item::new(element.local_name());
    for child in element.elements() {
        let name = child.local_name();
        if is(child, "binding") && child.elements().next().is_some() {
            let nested = child.elements().all(|inner| inner.elements().next().is_some());
            match nested {
                true => item.bindings.extend(child.elements().map(self::item)),
                false => item
                    .bindings
                    .push(Item { resource: item.resource.clone(), ..self::item(child) }),
            }
        } else if child.elements().next().is_some() {
            item.other.push(kept(child));
        } else if name == amount(&item.resource) && item.units.is_none() {
            item.units = Some(trimmed(child));
        } else if name == "mac_address" && item.address.is_none() {
            item.address = Some(trimmed(child));
        } else if name == "uuid" && item.uuid.is_none() {
            item.uuid = Some(trimmed(child));
        } else {
            item.properties.push(Property { key: name.to_owned(), value: trimmed(child) });
        }
    }
    item
}

/// Prints what [`read`] and [`read_object`] read.
pub(super) fn write(w: &mut Writer, envelope: &Envelope) {
    for content in &envelope.contents {
        w.open("ldom");
        w.open("ldom_info");
        w.text_element("ldom_name", &content.id);
        for info in content.of("ldom_info") {
            write_fields(w, info);
        }
        w.close("ldom_info");
        for item in content.items().filter(|item| !item.is("ldom_info")) {
            write_item(w, item);
        }
        content.other.iter().for_each(|other| w.element(other));
        w.close("ldom");
    }
    for item in envelope.items() {
        write_item(w, item);
    }
}

fn write_item(w: &mut Writer, item: &Item) {
    let name = item.resource.as_str();
    // A name that XML has no place for would make the document unreadable.
    if !is_name(name) {
        return;
    }
    w.open(name);
    write_fields(w, item);
    w.close(name);
}

fn write_fields(w: &mut Writer, item: &Item) {
    if let Some(units) = &item.units {
        w.text_element(amount(&item.resource), units);
    }
    if let Some(address) = &item.address {
        w.text_element("mac_address", address);
    }
    if let Some(uuid) = &item.uuid {
        w.text_element("uuid", uuid);
    }
    for property in item.properties.iter().filter(|property| is_name(&property.key)) {
        w.text_element(&property.key, &property.value);
    }
    for binding in &item.bindings {
        w.open("binding");
        write_item(w, binding);
        w.close("binding");
    }
    item.other.iter().for_each(|other| w.element(other));
}

/// Whether XML takes it as the name of an element.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
