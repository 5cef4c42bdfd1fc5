//! Title, description and foreign elements of domains and networks, looked at and changed.

use virt_error::{Code, Error, Origin, Result};
use virt_types::api;
use virt_xml::{Element, Node};

/// The parts of a document that `vir…SetMetadata` changes.
#[derive(Debug)]
pub struct Slots<'a> {
    pub title: &'a mut Option<String>,
    pub description: &'a mut Option<String>,
    pub metadata: &'a mut Option<Element<'static>>,
}

/// The same parts, as `vir…GetMetadata` asks for it.
#[derive(Debug)]
pub struct Parts<'a> {
    pub title: Option<&'a str>,
    pub description: Option<&'a str>,
    pub metadata: Option<&'a Element<'static>>,
}

/// What is asked for or given: the kind, and the key and the namespace of an element.
#[derive(Clone, Copy, Debug)]
pub struct Which<'a> {
    pub kind: i32,
    pub key: Option<&'a str>,
    pub uri: Option<&'a str>,
    /// Who reports what is wrong with it.
    pub origin: Origin,
    /// The code of an element that is not there.
    pub missing: Code,
}

fn unknown_kind(which: &Which<'_>) -> Error {
    let detail = format!("unknown metadata type '{}'", which.kind);
    Error::new(Code::InvalidArg, which.origin, detail)
}

/// The text of one part.
pub fn get(parts: &Parts<'_>, which: &Which<'_>) -> Result<String> {
    let text = match which.kind {
        api::DOMAIN_METADATA_DESCRIPTION => parts.description.map(str::to_owned),
        api::DOMAIN_METADATA_TITLE => parts.title.map(str::to_owned),
        api::DOMAIN_METADATA_ELEMENT => {
            let uri = which.uri.unwrap_or_default();
            let mut elements = parts.metadata.into_iter().flat_map(Element::elements);
            elements.find(|element| namespace(element) == Some(uri)).map(|element| {
                let mut plain = element.clone();
                let prefix = element.prefix().map(str::to_owned);
                plain.attrs.retain(|attr| attr.value != *uri || !attr.name.starts_with("xmlns"));
                if let Some(prefix) = prefix {
                    strip_prefix(&mut plain, &prefix);
                }
                virt_xml::dump_foreign(&plain, 0)
            })
        }
        _ => return Err(unknown_kind(which)),
    };
    text.ok_or_else(|| {
        let detail = "Requested metadata element is not present";
        Error::new(which.missing, which.origin, detail)
    })
}

/// Sets or, without a text, removes.
pub fn set(slots: Slots<'_>, which: &Which<'_>, text: Option<&str>) -> Result<()> {
    let filled = text.filter(|text| !text.is_empty()).map(str::to_owned);
    match which.kind {
        api::DOMAIN_METADATA_DESCRIPTION => *slots.description = filled,
        api::DOMAIN_METADATA_TITLE => *slots.title = filled,
        api::DOMAIN_METADATA_ELEMENT => {
            let uri = which.uri.unwrap_or_default();
            let new = text.map(|text| read(text, which)).transpose()?;
            let tree = slots.metadata.get_or_insert_with(|| Element::new("metadata"));
            tree.children.retain(|node| match node {
                Node::Element(element) => namespace(element) != Some(uri),
                Node::Text(_) | Node::Comment(_) => true,
            });
            tree.children.extend(new.map(Node::Element));
            if tree.elements().next().is_none() {
                *slots.metadata = None;
            }
        }
        _ => return Err(unknown_kind(which)),
    }
    Ok(())
}

/// Metadata of a domain, whichever it is.
pub const OF_DOMAIN: Which<'static> = Which {
    kind: 0,
    key: None,
    uri: None,
    origin: Origin::Domain,
    missing: Code::NoDomainMetadata,
};

/// Reads a new element and puts it into its namespace.
fn read(text: &str, which: &Which<'_>) -> Result<Element<'static>> {
    let tree = virt_xml::parse(text)
        .map_err(|error| Error::new(Code::XmlDetail, which.origin, error.framed(None)))?;
    let mut element = tree.to_static();
    let key = which.key.unwrap_or_default();
    if !is_prefix(key) {
        let detail = "failed to validate prefix for a new XML namespace";
        return Err(Error::internal(Origin::Xml, detail));
    }
    add_prefix(&mut element, key);
    element.set_attr(format!("xmlns:{key}"), which.uri.unwrap_or_default().to_owned());
    Ok(element)
}

fn is_prefix(key: &str) -> bool {
    let mut chars = key.chars();
    chars.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// The namespace of an element that declares it itself.
fn namespace<'a>(element: &'a Element<'_>) -> Option<&'a str> {
    match element.prefix() {
        Some(prefix) => element.namespace_of(prefix),
        None => element.attr("xmlns"),
    }
}

/// Puts an element and its children, as far as they stand in no namespace, into one.
fn add_prefix(element: &mut Element<'static>, key: &str) {
    if element.attr("xmlns").is_some() {
        return;
    }
    if element.prefix().is_none() {
        element.name = format!("{key}:{}", element.name).into();
    }
    for child in child_elements(element) {
        add_prefix(child, key);
    }
}

fn strip_prefix(element: &mut Element<'static>, prefix: &str) {
    if element.prefix() == Some(prefix) {
        element.name = element.local_name().to_owned().into();
    }
    for child in child_elements(element) {
        strip_prefix(child, prefix);
    }
}

fn child_elements<'a>(
    element: &'a mut Element<'static>,
) -> impl Iterator<Item = &'a mut Element<'static>> {
    element.children.iter_mut().filter_map(|node| match node {
        Node::Element(child) => Some(child),
        Node::Text(_) | Node::Comment(_) => None,
    })
}
