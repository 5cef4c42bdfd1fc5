//! What rules can look at of an object: its names, or what a document says they will be.

use std::borrow::Cow;

use virt_driver::Object;
use virt_types::{DomainRef, Uuid};
use virt_xml::Element;

use crate::rules::Attribute;

/// What is known of an attribute.
pub(crate) enum Known<'a> {
    Is(Cow<'a, str>),
    /// Objects of this kind have none.
    Never,
    /// It will have one, which nothing tells so far.
    NotYet,
}

/// An object's attributes.
pub(crate) struct Facts<'a> {
    driver: &'a str,
    name: Field<'a>,
    uuid: Field<'a>,
    pool: Field<'a>,
    network: Field<'a>,
}

/// `None` where it never has one, `Some(None)` where it is not known.
type Field<'a> = Option<Option<Cow<'a, str>>>;

impl<'a> Facts<'a> {
    pub(crate) fn of(driver: &'a str, kind: &str, object: Object<'a>) -> Self {
        let none = Self { driver, name: None, uuid: None, pool: None, network: None };
        let text = |text: &'a str| Some(Some(Cow::Borrowed(text)));
        let number = |uuid: Uuid| Some(Some(Cow::Owned(uuid.to_string())));
        let domain = |domain: &'a DomainRef| Self {
            name: text(&domain.name),
            uuid: number(domain.uuid),
            ..Self { driver, name: None, uuid: None, pool: None, network: None }
        };
        match object {
            Object::Connect => none,
            Object::Domain(one) => domain(one),
            Object::DomainSnapshot(one) => domain(&one.dom),
            Object::DomainCheckpoint(one) => domain(&one.dom),
            Object::Network(one) => Self {
                name: text(&one.name),
                uuid: number(one.uuid),
                network: text(&one.name),
                ..none
            },
            Object::NetworkPort(one) => {
                Self { uuid: number(one.uuid), network: text(&one.net.name), ..none }
            }
            Object::StoragePool(one) => Self {
                name: text(&one.name),
                uuid: number(one.uuid),
                pool: text(&one.name),
                ..none
            },
            Object::StorageVol(one) => {
                Self { name: text(&one.name), pool: text(&one.pool), ..none }
            }
            Object::Interface(one) => Self { name: text(&one.name), ..none },
            Object::NodeDevice(one) => Self { name: text(&one.name), ..none },
            Object::NodeDeviceNamed(name) => Self { name: text(name), ..none },
            Object::Secret(one) => {
                Self { name: text(&one.usage_id), uuid: number(one.uuid), ..none }
            }
            Object::Nwfilter(one) => Self { name: text(&one.name), uuid: number(one.uuid), ..none },
            Object::NwfilterBinding(one) => Self { name: text(&one.portdev), ..none },
            Object::NewVolume { pool, xml } => {
                Self { name: Some(Document::of(kind, xml).name), pool: text(&pool.name), ..none }
            }
            Object::NewPort { network, xml } => {
                let uuid = Some(Document::of(kind, xml).uuid);
                Self { uuid, network: text(&network.name), ..none }
            }
            Object::Described { name, xml } => Self::described(driver, kind, name, xml),
            Object::Found => Self::described(driver, kind, None, None),
        }
    }

    /// Of something that is to be: a name of its own comes before the document's.
    fn described(driver: &'a str, kind: &str, name: Option<&'a str>, xml: Option<&str>) -> Self {
        let document = xml.map(|xml| Document::of(kind, xml)).unwrap_or_default();
        let name = Some(name.map(Cow::Borrowed).or(document.name));
        Self {
            driver,
            pool: (kind == "storage_pool").then(|| name.clone()).flatten(),
            network: (kind == "network").then(|| name.clone()).flatten(),
            name,
            uuid: Some(document.uuid),
        }
    }

    pub(crate) fn known(&self, attribute: Attribute) -> Known<'_> {
        let field = match attribute {
            Attribute::Driver => return Known::Is(Cow::Borrowed(self.driver)),
            Attribute::Name => &self.name,
            Attribute::Uuid => &self.uuid,
            Attribute::Pool => &self.pool,
            Attribute::Network => &self.network,
        };
        match field {
            None => Known::Never,
            Some(None) => Known::NotYet,
            Some(Some(text)) => Known::Is(Cow::Borrowed(text)),
        }
    }

    /// For the log: the name and the UUID, as far as they are known.
    pub(crate) fn shown(&self) -> String {
        let field = |label: &str, field: &Field<'_>| match field {
            Some(Some(text)) => format!(" {label}={text:?}"),
            Some(None) => format!(" {label}=?"),
            None => String::new(),
        };
        let pool = if self.name == self.pool { String::new() } else { field("pool", &self.pool) };
        field("name", &self.name) + &field("uuid", &self.uuid) + &pool
    }
}

/// What a document says it is about.
#[derive(Default)]
struct Document {
    name: Option<Cow<'static, str>>,
    uuid: Option<Cow<'static, str>>,
}

impl Document {
    fn of(kind: &str, xml: &str) -> Self {
        // The driver will say what is wrong with one that cannot be read.
        let Ok(root) = virt_xml::parse(xml) else { return Self::default() };
        let name = match kind {
            "interface" | "nwfilter" => root.attr("name").map(str::to_owned),
            "nwfilter_binding" => child_attr(&root, "portdev", "name"),
            "secret" => None,
            _ => text(&root, "name"),
        };
        let uuid = text(&root, "uuid").and_then(|text| Uuid::parse(text.trim()));
        Self {
            name: name.filter(|name| is_plain(name)).map(Cow::Owned),
            uuid: uuid.map(|uuid| Cow::Owned(uuid.to_string())),
        }
    }
}

/// A driver may cut blanks off, or may not: a name with some is nobody's until it is there.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.trim() == name
}

/// The text of an element that stands there once: of two, a driver might take the other.
fn text(root: &Element<'_>, name: &str) -> Option<String> {
    let mut found = root.children_named(name);
    let text = found.next()?.text().into_owned();
    found.next().is_none().then_some(text)
}

fn child_attr(root: &Element<'_>, child: &str, attr: &str) -> Option<String> {
    root.child(child)?.attr(attr).map(str::to_owned)
}
