//! Data of version 2.0, which managers 1.0 speak: `<ldom>` with elements named by their resources.

use virt_xml::Element;

use crate::message::{Item, Object};

/// Reads the objects below `<data>`.
pub(crate) fn objects(data: &Element<'_>) -> Result<Vec<Object>, String> {
    let mut found = Vec::new();
    let mut loose = Object::default();
    for child in data.elements() {
        match child.local_name() {
            "ldom" => found.push(domain(child)),
            // `<ldom_info>` and `<ldom_name>` by themselves name a domain too.
            "ldom_info" => found.push(Object {
                domain: child.child_text("ldom_name").map(|name| name.trim().to_owned()),
                items: Vec::new(),
            }),
            "ldom_name" => found.push(Object::of(child.text().trim(), Vec::new())),
            _ => loose.items.extend(items(child)),
        }
    }
    if !loose.items.is_empty() {
        found.push(loose);
    }
    Ok(found)
}

fn domain(element: &Element<'_>) -> Object {
    let mut object = Object::default();
    for child in element.elements() {
        if child.local_name() == "ldom_info" {
            let name = child.elements().find(|inner| inner.local_name() == "ldom_name");
            object.domain = name.map(|name| name.text().trim().to_owned());
        }
        object.items.extend(items(child));
    }
    object
}

/// The items that an element stands for: one, and one more for each volume of a disk server.
fn items(element: &Element<'_>) -> Vec<Item> {
    let kind = match element.local_name() {
        "volume" => "vds_volume",
        name => name,
    };
    let mut item = Item::new(kind);
    let mut found = Vec::new();
    for child in element.elements() {
        let text = child.text().trim().to_owned();
        match child.local_name() {
            "ldom_name" => {}
            "number" | "size" => item.units = Some(text),
            "mac_address" => item.address = Some(text).filter(|address| !address.is_empty()),
            "volume" | "vds_volume" => found.extend(items(child)),
            name => item.properties.push((name.to_owned(), text)),
        }
    }
    if let Some(service) = item.get("service_name").map(str::to_owned) {
        for volume in found.iter_mut().filter(|volume| volume.get("service_name").is_none()) {
            volume.set("service_name", &service);
        }
    }
    let is_empty_info = kind == "ldom_info" && item == Item::new(kind);
    if !is_empty_info {
        found.insert(0, item);
    }
    found
}

/// `<ldom>` of an object; without a domain its items stand by themselves.
pub(crate) fn elements(object: &Object) -> Vec<Element<'static>> {
    let mut inside: Vec<Element<'static>> = Vec::new();
    if let Some(name) = &object.domain {
        let plain = Item::new("ldom_info");
        let info = object.item("ldom_info").unwrap_or(&plain);
        let mut element = Element::new("ldom_info").with_child(leaf("ldom_name", name));
        element.children.extend(resource(info).children);
        inside.push(element);
    }
    for item in &object.items {
        match item.kind.as_str() {
            "ldom_info" if object.domain.is_some() => {}
            "vds_volume" => volume_into(&mut inside, item),
            _ => inside.push(resource(item)),
        }
    }
    if object.domain.is_none() {
        return inside;
    }
    vec![inside.into_iter().fold(Element::new("ldom"), Element::with_child)]
}

/// Puts a volume into the disk server it belongs to, if that is there.
fn volume_into(inside: &mut Vec<Element<'static>>, item: &Item) {
    let service = item.get("service_name").unwrap_or_default();
    let server = inside.iter_mut().find(|element| {
        element.name == "vds"
            && element.child_text("service_name").is_some_and(|name| name == service)
    });
    let mut volume = resource(item);
    match server {
        Some(server) => {
            volume.name = "volume".into();
            server.children.push(virt_xml::Node::Element(volume));
        }
        None => inside.push(volume),
    }
}

fn resource(item: &Item) -> Element<'static> {
    let mut element = Element::new(item.kind.clone());
    if let Some(units) = &item.units {
        let name = if item.kind == "memory" { "size" } else { "number" };
        element = element.with_child(leaf(name, units));
    }
    for (key, value) in &item.properties {
        // A key may hold what no element's name can.
        if key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
            element = element.with_child(leaf(key, value));
        }
    }
    if let Some(address) = &item.address {
        element = element.with_child(leaf("mac_address", address));
    }
    for binding in &item.bindings {
        element = element.with_child(Element::new("binding").with_child(resource(binding)));
    }
    element
}

fn leaf(name: &str, text: &str) -> Element<'static> {
    Element::new(name.to_owned()).with_text(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_written_as_it_is_read() {
        let text = "<data version='2.0'><ldom><ldom_info><ldom_name>web1</ldom_name></ldom_info>\
            <cpu><number>4</number></cpu><memory><size>2G</size></memory><network>\
            <vnet_name>vn0</vnet_name><service_name>primary-vsw0</service_name>\
            <mac_address>00:14:4f:f9:00:0b</mac_address></network></ldom></data>";
        let tree = virt_xml::parse(text).unwrap();
        let objects = objects(&tree).unwrap();
        assert_eq!(objects[0].domain.as_deref(), Some("web1"));
        assert_eq!(objects[0].item("memory").unwrap().units.as_deref(), Some("2G"));
        assert_eq!(elements(&objects[0])[0], *tree.child("ldom").unwrap());
    }

    #[test]
    fn volumes_stand_in_their_server() {
        let text = "<data><ldom><ldom_info><ldom_name>primary</ldom_name></ldom_info><vds>\
            <service_name>s</service_name><volume><vol_name>v</vol_name></volume></vds></ldom></data>";
        let tree = virt_xml::parse(text).unwrap();
        let object = &objects(&tree).unwrap()[0];
        assert_eq!(object.item("vds_volume").unwrap().get("service_name"), Some("s"));
        let written = &elements(object)[0];
        assert_eq!(written.child("vds").unwrap().children_named("volume").count(), 1);
    }
}
