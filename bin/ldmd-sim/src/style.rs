//! Answers as text, in every style that managers are known or suspected to write.

use std::collections::BTreeSet;

use virt_xml::{Attr, Element, Node};

use crate::legacy;
use crate::message::{Item, Object};

/// Prefixes, and whether they are declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Names {
    #[default]
    Declared,
    /// The usual prefixes, declared nowhere.
    Undeclared,
    /// Other prefixes, and the namespaces of later releases.
    Odd,
}

/// How answers are written. What is not said here is written as the guides print it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Style {
    pub(crate) one_data: bool,
    pub(crate) ovf_id: bool,
    pub(crate) names: Names,
    pub(crate) pretty: bool,
    pub(crate) bytes: bool,
    pub(crate) upper_status: bool,
    pub(crate) declaration: bool,
    pub(crate) extras: bool,
    pub(crate) warnings: bool,
}

/// A vocabulary: the usual prefix, its namespace, and both as odd managers have them.
struct Vocabulary {
    prefix: &'static str,
    namespace: &'static str,
    odd_prefix: &'static str,
    odd_namespace: &'static str,
}

const XSI: Vocabulary = Vocabulary {
    prefix: "xsi",
    namespace: "http://www.w3.org/2001/XMLSchema-instance",
    odd_prefix: "i",
    odd_namespace: "http://www.w3.org/2001/XMLSchema-instance",
};
const OVF: Vocabulary = Vocabulary {
    prefix: "ovf",
    namespace: "/var/opt/SUNWldom/envelope",
    odd_prefix: "ns1",
    odd_namespace: "./schemas/envelope",
};
const RASD: Vocabulary = Vocabulary {
    prefix: "rasd",
    namespace: "/var/opt/SUNWldom/CIM_ResourceAllocationSettingData",
    odd_prefix: "ns2",
    odd_namespace: "./schemas/CIM_ResourceAllocationSettingData",
};
const GPROP: Vocabulary = Vocabulary {
    prefix: "gprop",
    namespace: "/var/opt/SUNWldom/GenericProperty",
    odd_prefix: "ns3",
    odd_namespace: "./schemas/GenericProperty",
};
const BIND: Vocabulary = Vocabulary {
    prefix: "bind",
    namespace: "/var/opt/SUNWldom/Binding",
    odd_prefix: "ns4",
    odd_namespace: "./schemas/Binding",
};
const ALL: &[&Vocabulary] = &[&XSI, &OVF, &RASD, &GPROP, &BIND];

impl Style {
    fn prefix(&self, vocabulary: &Vocabulary) -> &'static str {
        if self.names == Names::Odd { vocabulary.odd_prefix } else { vocabulary.prefix }
    }

    fn name(&self, vocabulary: &Vocabulary, local: &str) -> String {
        format!("{}:{local}", self.prefix(vocabulary))
    }

    /// `<Envelope>` with these objects.
    pub(crate) fn envelope(&self, objects: &[Object]) -> Element<'static> {
        let mut envelope = Element::new("Envelope").with_child(Element::new("References"));
        for object in objects {
            match &object.domain {
                Some(name) => {
                    let id = if self.ovf_id { self.name(&OVF, "id") } else { "id".to_owned() };
                    let mut content = Element::new("Content")
                        .with_attr(self.name(&XSI, "type"), self.name(&OVF, "VirtualSystem_Type"))
                        .with_attr(id, name.clone());
                    for item in &object.items {
                        content = content.with_child(self.section(std::slice::from_ref(item)));
                    }
                    envelope = envelope.with_child(content);
                }
                None => envelope = envelope.with_child(self.section(&object.items)),
            }
        }
        envelope
    }

    fn section(&self, items: &[Item]) -> Element<'static> {
        let is_info = items.first().is_some_and(|item| item.kind == "ldom_info");
        let kind =
            if is_info { "ResourceAllocationSection_Type" } else { "VirtualHardwareSection_Type" };
        let section =
            Element::new("Section").with_attr(self.name(&XSI, "type"), self.name(&OVF, kind));
        items.iter().fold(section, |section, item| section.with_child(self.item(item)))
    }

    fn item(&self, item: &Item) -> Element<'static> {
        let leaf = |name: String, text: &str| Element::new(name).with_text(text.to_owned());
        let mut element = Element::new("Item")
            .with_child(leaf(self.name(&RASD, "OtherResourceType"), &item.kind));
        if let Some(uuid) = &item.uuid {
            element = element.with_child(leaf("uuid".to_owned(), uuid));
        }
        if let Some(address) = &item.address {
            element = element.with_child(leaf(self.name(&RASD, "Address"), address));
        }
        if let Some(units) = &item.units {
            element = element.with_child(leaf(self.name(&RASD, "AllocationUnits"), units));
        }
        for (key, value) in &item.properties {
            let property = leaf(self.name(&GPROP, "GenericProperty"), value);
            element = element.with_child(property.with_attr("key", key.clone()));
        }
        for binding in &item.bindings {
            let inside = self.item(binding);
            element =
                element.with_child(Element::new(self.name(&BIND, "Binding")).with_child(inside));
        }
        element
    }

    /// `<data>` with these objects, in the version that was asked for.
    pub(crate) fn data(&self, is_legacy: bool, objects: &[Object]) -> Element<'static> {
        if is_legacy {
            let data = Element::new("data").with_attr("version", "2.0");
            return objects.iter().flat_map(legacy::elements).fold(data, Element::with_child);
        }
        Element::new("data").with_attr("version", "3.0").with_child(self.envelope(objects))
    }

    /// `<response>` of one level.
    pub(crate) fn response(&self, is_success: bool, messages: &[String]) -> Element<'static> {
        let status = if is_success { "success" } else { "failure" };
        let status = if self.upper_status { status.to_uppercase() } else { status.to_owned() };
        let response =
            Element::new("response").with_child(Element::new("status").with_text(status));
        messages.iter().fold(response, |response, message| {
            response.with_child(Element::new("resp_msg").with_text(message.clone()))
        })
    }

    /// The second response of a success, which holds a warning.
    pub(crate) fn warning(&self, text: &str) -> Element<'static> {
        let message = Element::new("resp_msg").with_text(text.to_owned());
        Element::new("response").with_child(message)
    }

    /// A root element, with what the root of a request declared.
    pub(crate) fn root(
        &self,
        name: &'static str,
        version: &'static str,
        attrs: &[Attr<'static>],
    ) -> Element<'static> {
        let mut root = Element::new(name).with_attr("version", version);
        root.attrs.extend(attrs.iter().filter(|attr| attr.name.starts_with("xmlns")).cloned());
        root
    }

    /// Declares what the document uses of our prefixes, unless the request did.
    fn declare(&self, root: &mut Element<'_>) {
        let mut used = BTreeSet::new();
        prefixes(root, &mut used);
        let used: Vec<bool> = ALL.iter().map(|one| used.contains(self.prefix(one))).collect();
        for (vocabulary, _) in ALL.iter().zip(used).filter(|(_, is_used)| *is_used) {
            let is_odd = self.names == Names::Odd;
            let namespace = if is_odd { vocabulary.odd_namespace } else { vocabulary.namespace };
            let name = format!("xmlns:{}", self.prefix(vocabulary));
            if root.attr(&name).is_none() {
                root.set_attr(name, namespace);
            }
        }
    }

    /// The text of a whole document.
    pub(crate) fn text(&self, root: &Element<'_>) -> String {
        let mut out = String::new();
        if self.declaration {
            out.push_str("<?xml version=\"1.0\"?>");
            out.push_str(if self.pretty { "\n" } else { "" });
        }
        let mut root = root.clone();
        if self.names != Names::Undeclared {
            self.declare(&mut root);
        }
        self.write(&mut out, &root, 0);
        out
    }

    fn write(&self, out: &mut String, element: &Element<'_>, depth: usize) {
        self.break_line(out, depth);
        out.push('<');
        out.push_str(&element.name);
        let is_kept =
            |attr: &&Attr<'_>| self.names != Names::Undeclared || !attr.name.starts_with("xmlns");
        for attr in element.attrs.iter().filter(is_kept) {
            out.push_str(&format!(" {}=\"", attr.name));
            virt_xml::escape_into(out, &attr.value);
            out.push('"');
        }
        let has_elements = element.elements().next().is_some();
        if !has_elements && element.text().is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for child in &element.children {
            match child {
                Node::Element(child) => self.write(out, child, depth + 1),
                Node::Text(text) if has_elements && text.trim().is_empty() => {}
                Node::Text(text) => virt_xml::escape_into(out, text),
                Node::Comment(_) => {}
            }
        }
        if has_elements {
            self.break_line(out, depth);
        }
        out.push_str(&format!("</{}>", element.name));
    }

    fn break_line(&self, out: &mut String, depth: usize) {
        if self.pretty && !out.is_empty() {
            if !out.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(&"  ".repeat(depth));
        }
    }
}

/// The prefixes of all names, and of the types that attributes name.
fn prefixes<'a>(element: &'a Element<'_>, into: &mut BTreeSet<&'a str>) {
    let attrs = element.attrs.iter().filter(|attr| !attr.name.starts_with("xmlns"));
    let types = attrs.clone().filter(|attr| attr.name.ends_with(":type")).map(|attr| &*attr.value);
    let names = attrs.map(|attr| &*attr.name).chain(types).chain([&*element.name]);
    into.extend(names.filter_map(|name| name.split_once(':')).map(|(prefix, _)| prefix));
    element.elements().for_each(|child| prefixes(child, into));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(style: &Style) -> String {
        let cpu = Item::new("cpu").with_units("2").with("k", "<v>");
        let data = style.data(false, &[Object::of("web1", vec![cpu])]);
        style.text(&style.root("LDM_interface", "1.0", &[]).with_child(data))
    }

    #[test]
    fn every_style_says_the_same_to_a_reader_of_local_names() {
        let plain = Style::default();
        let expected = {
            let text = text(&plain);
            assert!(text.contains("<rasd:AllocationUnits>2</rasd:AllocationUnits>"), "{text}");
            assert!(text.contains(r#"id="web1""#) && text.contains("xmlns:rasd="), "{text}");
            text
        };
        let undeclared = Style { names: Names::Undeclared, ovf_id: true, ..Style::default() };
        assert!(!text(&undeclared).contains("xmlns"));
        assert!(text(&undeclared).contains(r#"ovf:id="web1""#));
        let odd = Style { names: Names::Odd, pretty: true, declaration: true, ..Style::default() };
        let odd = text(&odd);
        assert!(odd.contains("<ns2:AllocationUnits>2</ns2:AllocationUnits>\n"), "{odd}");
        virt_xml::parse(&odd).unwrap();
        virt_xml::parse(&expected).unwrap();
    }
}
