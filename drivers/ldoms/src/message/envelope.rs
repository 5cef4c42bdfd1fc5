//! The objects of a message: an envelope of domains and sections, with one item for each resource.

use virt_xml::{Element, Node};

/// What a request is about, or what a list gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Envelope {
    pub contents: Vec<Content>,
    /// Of objects that belong to no domain.
    pub sections: Vec<Section>,
    pub other: Vec<Element<'static>>,
}

/// A domain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// The domain's name.
    pub id: String,
    pub sections: Vec<Section>,
    pub other: Vec<Element<'static>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    /// The type as written; managers disagree about its case, so nobody looks at it.
    pub kind: String,
    pub items: Vec<Item>,
    pub other: Vec<Element<'static>>,
}

/// A resource: `cpu`, `memory`, `disk`, `var`, or one that nobody here knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    pub resource: String,
    pub uuid: Option<String>,
    /// A MAC address.
    pub address: Option<String>,
    /// A count, or a size with its unit letter.
    pub units: Option<String>,
    pub properties: Vec<Property>,
    /// What the manager gave for it.
    pub bindings: Vec<Item>,
    pub other: Vec<Element<'static>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Property {
    pub key: String,
    pub value: String,
}

pub(super) const HARDWARE: &str = "ovf:VirtualHardwareSection_Type";
pub(super) const ALLOCATION: &str = "ovf:ResourceAllocationSection_Type";

/// The attribute of that name under any prefix.
pub(super) fn attribute<'a>(element: &'a Element<'_>, name: &str) -> Option<&'a str> {
    let local = |attr: &str| {
        attr.rsplit_once(':')
            .map_or(attr == name, |(prefix, local)| local == name && prefix != "xmlns")
    };
    element.attrs.iter().find(|attr| local(&attr.name)).map(|attr| &*attr.value)
}

/// The text of an element without the blanks that pretty printing puts around it.
pub(super) fn trimmed(element: &Element<'_>) -> String {
    element.text().trim().to_owned()
}

/// Whether an element has this name, whatever its prefix and case.
pub(super) fn is(element: &Element<'_>, name: &str) -> bool {
    element.local_name().eq_ignore_ascii_case(name)
}

/// An element as it came, without the blanks between its children, and without the declarations of
/// namespaces, which nobody looks at.
pub(super) fn kept(element: &Element<'_>) -> Element<'static> {
    let mut element = element.to_static();
    tidy(&mut element);
    element
}

fn tidy(element: &mut Element<'static>) {
    let has_elements = element.elements().next().is_some();
    element.children.retain(|node| match node {
        Node::Text(text) => !has_elements || !text.trim().is_empty(),
        Node::Element(_) => true,
        Node::Comment(_) => false,
    });
    for node in &mut element.children {
        if let Node::Element(child) = node {
            tidy(child);
        }
    }
}

impl Envelope {
    /// One domain, by name alone.
    pub fn domain(name: &str) -> Self {
        Self { contents: vec![Content::new(name)], ..Self::default() }
    }

    /// One object that belongs to no domain.
    pub fn object(item: Item) -> Self {
        Self { sections: vec![Section::of(item)], ..Self::default() }
    }

    /// All items that belong to no domain.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.sections.iter().flat_map(|section| &section.items)
    }

    pub(super) fn read(element: &Element<'_>) -> Self {
        let mut envelope = Self::default();
        for child in element.elements() {
            if is(child, "Content") {
                envelope.contents.push(Content::read(child));
            } else if is(child, "Section") {
                envelope.sections.push(Section::read(child));
            } else if !is(child, "References") || child.elements().next().is_some() {
                envelope.other.push(kept(child));
            }
        }
        envelope
    }
}

impl Content {
    pub fn new(name: &str) -> Self {
        Self { id: name.to_owned(), ..Self::default() }
    }

    #[must_use]
    pub fn with(mut self, item: Item) -> Self {
        self.sections.push(Section::of(item));
        self
    }

    /// All items, in order.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.sections.iter().flat_map(|section| &section.items)
    }

    /// The items of one resource.
    pub fn of<'a>(&'a self, resource: &'a str) -> impl Iterator<Item = &'a Item> {
        self.items().filter(move |item| item.is(resource))
    }

    /// The first item of a resource.
    pub fn first(&self, resource: &str) -> Option<&Item> {
        self.items().find(|item| item.is(resource))
    }

    /// A property of the domain itself.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.of("ldom_info").find_map(|info| info.get(key))
    }

    fn read(element: &Element<'_>) -> Self {
        let mut content = Self {
            id: attribute(element, "id").unwrap_or_default().trim().to_owned(),
            ..Self::default()
        };
        for child in element.elements() {
            match is(child, "Section") {
                true => content.sections.push(Section::read(child)),
                false => content.other.push(kept(child)),
            }
        }
        content
    }
}

impl Section {
    /// The section of one item.
    pub fn of(item: Item) -> Self {
        let kind = if item.is("ldom_info") { ALLOCATION } else { HARDWARE };
        Self { kind: kind.to_owned(), items: vec![item], other: Vec::new() }
    }

    fn read(element: &Element<'_>) -> Self {
        let mut section = Self {
            kind: attribute(element, "type").unwrap_or_default().to_owned(),
            ..Self::default()
        };
        for child in element.elements() {
            match is(child, "Item") {
                true => section.items.push(Item::read(child)),
                false => section.other.push(kept(child)),
            }
        }
        section
    }
}

impl Item {
    pub fn new(resource: &str) -> Self {
        Self { resource: resource.to_owned(), ..Self::default() }
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.properties.push(Property { key: key.to_owned(), value: value.into() });
        self
    }

    #[must_use]
    pub fn with_units(mut self, units: impl Into<String>) -> Self {
        self.units = Some(units.into());
        self
    }

    pub fn is(&self, resource: &str) -> bool {
        self.resource.eq_ignore_ascii_case(resource)
    }

    /// A property that has a value. Older managers write `-` where newer ones write `_`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let same = |found: &str| {
            let plain = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
            found.len() == key.len()
                && found.bytes().zip(key.bytes()).all(|(a, b)| plain(a) == plain(b))
        };
        let found = self.properties.iter().find(|property| same(&property.key));
        found.map(|property| property.value.as_str()).filter(|value| !value.is_empty())
    }

    /// Sets a property, or takes it away.
    pub fn set(&mut self, key: &str, value: Option<&str>) {
        self.properties.retain(|property| property.key != key);
        if let Some(value) = value {
            self.properties.push(Property { key: key.to_owned(), value: value.to_owned() });
        }
    }

    fn read(element: &Element<'_>) -> Self {
        let mut item = Self::default();
        for child in element.elements() {
            let leaf = child.elements().next().is_none();
            if is(child, "OtherResourceType") && leaf {
                item.resource = trimmed(child);
            } else if is(child, "uuid") && leaf && item.uuid.is_none() {
                item.uuid = Some(trimmed(child));
            } else if is(child, "Address") && leaf && item.address.is_none() {
                item.address = Some(trimmed(child));
            } else if is(child, "AllocationUnits") && leaf && item.units.is_none() {
                item.units = Some(trimmed(child));
            } else if is(child, "GenericProperty") && leaf && attribute(child, "key").is_some() {
                let key = attribute(child, "key").unwrap_or_default().trim().to_owned();
                item.properties.push(Property { key, value: trimmed(child) });
            } else if is(child, "Binding") && only_items(child) {
                item.bindings.extend(child.elements().map(Self::read));
            } else {
                item.other.push(kept(child));
            }
        }
        item
    }
}

fn only_items(binding: &Element<'_>) -> bool {
    binding.elements().next().is_some() && binding.elements().all(|child| is(child, "Item"))
}
