//! What requests say: commands on objects, which are domains with items of resources.
//!
//! Names are matched without their prefixes, since clients declare them as they like.

use virt_xml::{Attr, Element};

use crate::legacy;

/// A resource: its type, and what is said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) kind: String,
    pub(crate) uuid: Option<String>,
    pub(crate) address: Option<String>,
    /// A count or a size.
    pub(crate) units: Option<String>,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) bindings: Vec<Item>,
}

impl Item {
    pub(crate) fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), ..Self::default() }
    }

    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.properties.push((key.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub(crate) fn with_units(mut self, units: impl Into<String>) -> Self {
        self.units = Some(units.into());
        self
    }

    /// The value of a property that is there and not empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let found = self.properties.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        match self.properties.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.properties.push((key.to_owned(), value.to_owned())),
        }
    }

    /// A property that must be there.
    pub(crate) fn need(&self, key: &str) -> Result<&str, String> {
        self.get(key).ok_or_else(|| format!("Property {key} of {} is missing", self.kind))
    }

    /// Takes over everything that `other` says.
    pub(crate) fn update(&mut self, other: &Item) {
        for (key, value) in &other.properties {
            self.set(key, value);
        }
        if other.address.is_some() {
            self.address.clone_from(&other.address);
        }
        if other.uuid.is_some() {
            self.uuid.clone_from(&other.uuid);
        }
    }
}

/// A domain with items, or items that belong to none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) domain: Option<String>,
    pub(crate) items: Vec<Item>,
}

impl Object {
    pub(crate) fn of(domain: &str, items: Vec<Item>) -> Self {
        Self { domain: Some(domain.to_owned()), items }
    }

    /// The first item of a type.
    pub(crate) fn item(&self, kind: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.kind == kind)
    }
}

/// `<data>`: as it came, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) element: Element<'static>,
    pub(crate) is_legacy: bool,
    pub(crate) objects: Result<Vec<Object>, String>,
}

/// `<cmd>`.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// The action, or what is wrong with the command.
    pub(crate) action: Result<String, String>,
    /// Everything before the data, as it came.
    pub(crate) head: Vec<Element<'static>>,
    /// The words of `<option>`.
    pub(crate) options: Vec<String>,
    pub(crate) has_option: bool,
    pub(crate) has_options: bool,
    pub(crate) data: Vec<Data>,
}

/// `<LDM_interface>`.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) version: Option<String>,
    pub(crate) attrs: Vec<Attr<'static>>,
    pub(crate) commands: Vec<Command>,
}

/// Limit: objects that one request may name.
const OBJECTS_MAX: usize = 100_000;

impl Request {
    /// Reads a document; none if it is malformed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let root = virt_xml::parse(text).ok()?;
        if root.local_name() != "LDM_interface" {
            return None;
        }
        let root = root.to_static();
        let commands: Vec<Command> =
            root.elements().filter(|child| child.local_name() == "cmd").map(command).collect();
        let version = root.attr("version").map(str::to_owned);
        (!commands.is_empty()).then(|| Self { version, attrs: root.attrs.clone(), commands })
    }
}

fn command(element: &Element<'static>) -> Command {
    let (mut head, mut data, mut actions) = (Vec::new(), Vec::new(), Vec::new());
    let (mut options, mut has_option, mut has_options) = (Vec::new(), false, false);
    for child in element.elements() {
        match child.local_name() {
            "data" => {
                data.push(read_data(child));
                continue;
            }
            "response" => continue,
            "action" => actions.push(child.text().trim().to_owned()),
            name @ ("option" | "options") => {
                has_option |= name == "option";
                has_options |= name == "options";
                options.extend(child.text().split_whitespace().map(str::to_owned));
            }
            _ => {}
        }
        head.push(child.clone());
    }
    let action = match actions.as_slice() {
        [action] if !action.is_empty() => Ok(action.clone()),
        [] | [_] => Err("The command has no action".to_owned()),
        _ => Err("The command has more than one action".to_owned()),
    };
    Command { action, head, options, has_option, has_options, data }
}

fn read_data(element: &Element<'static>) -> Data {
    let is_legacy = element.attr("version").is_some_and(|version| version.trim() == "2.0");
    let objects = if is_legacy { legacy::objects(element) } else { objects(element) };
    let objects = objects.and_then(|objects| match objects.len() {
        0..=OBJECTS_MAX => Ok(objects),
        _ => Err("The request names too many objects".to_owned()),
    });
    Data { element: element.clone(), is_legacy, objects }
}

fn objects(data: &Element<'_>) -> Result<Vec<Object>, String> {
    let mut found = Vec::new();
    for envelope in data.elements().filter(|child| child.local_name() == "Envelope") {
        for child in envelope.elements() {
            match child.local_name() {
                "Content" => {
                    let id = child.attrs.iter().find(|attr| local(&attr.name) == "id");
                    let id = id.ok_or("The Content has no id")?.value.trim().to_owned();
                    let mut items = Vec::new();
                    for section in child.elements() {
                        items.extend(section_items(section)?);
                    }
                    found.push(Object { domain: Some(id), items });
                }
                "Section" => found.push(Object { domain: None, items: section_items(child)? }),
                _ => {}
            }
        }
    }
    Ok(found)
}

fn section_items(section: &Element<'_>) -> Result<Vec<Item>, String> {
    if section.local_name() != "Section" {
        return Ok(Vec::new());
    }
    section.elements().filter(|child| child.local_name() == "Item").map(item).collect()
}

fn item(element: &Element<'_>) -> Result<Item, String> {
    let mut item = Item::default();
    let text = |child: &Element<'_>| child.text().trim().to_owned();
    for child in element.elements() {
        match child.local_name() {
            "OtherResourceType" => item.kind = text(child),
            "uuid" => item.uuid = Some(text(child)),
            "Address" => item.address = Some(text(child)).filter(|address| !address.is_empty()),
            "AllocationUnits" => item.units = Some(text(child)),
            "GenericProperty" => {
                let key = child.attrs.iter().find(|attr| local(&attr.name) == "key");
                let key = key.ok_or("A GenericProperty has no key")?.value.trim().to_owned();
                item.properties.push((key, text(child)));
            }
            // Bindings are the manager's to say.
            _ => {}
        }
    }
    if item.kind.is_empty() {
        return Err("An Item has no OtherResourceType".to_owned());
    }
    Ok(item)
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_padding_and_the_place_of_the_id_do_not_matter() {
        let text = "<LDM_interface version='1.0'><cmd><action> set-vcpu\n</action><option>-f x</option>\
            <data version='3.0'><o:Envelope><References/><Content ovf:id=' web1 '><Section><Item>\
            <z:OtherResourceType>\n cpu\n</z:OtherResourceType><AllocationUnits> 6 </AllocationUnits>\
            <y:GenericProperty q:key='k'> v </y:GenericProperty></Item></Section></Content>\
            </o:Envelope></data></cmd></LDM_interface>";
        let request = Request::parse(text).unwrap();
        let command = &request.commands[0];
        assert_eq!(command.action.as_deref(), Ok("set-vcpu"));
        assert_eq!(command.options, ["-f", "x"]);
        let cpu = Item::new("cpu").with_units("6").with("k", "v");
        assert_eq!(command.data[0].objects, Ok(vec![Object::of("web1", vec![cpu])]));
    }

    #[test]
    fn what_is_missing_is_said_at_its_level() {
        for text in ["", "<a/>", "<LDM_interface/>", "<LDM_interface><data/></LDM_interface>"] {
            assert!(Request::parse(text).is_none(), "{text}");
        }
        let of = |inside: &str| {
            let text = format!("<LDM_interface><cmd>{inside}</cmd></LDM_interface>");
            Request::parse(&text).unwrap().commands.remove(0)
        };
        assert!(of("<data/>").action.is_err());
        assert!(of("<action>a</action><action>b</action>").action.is_err());
        let data = "<action>a</action><data><Envelope><Content/></Envelope></data>";
        assert!(of(data).data[0].objects.is_err());
    }
}
