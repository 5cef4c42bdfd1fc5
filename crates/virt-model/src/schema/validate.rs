//! Judges a document by the tables: which names, values and texts may stand where.
//!
//! libvirt judges by its RELAX NG files and says what did not match; the code and the head of the message
//! are the same here. What is wrong is said with its position, what was expected, and the nearest known name.

use virt_error::{Code, Error, Origin, Result};
use virt_xml::{Element, Node};

use crate::schema::shape::{self, Item, Of, Often, Value};
use crate::schema::{Text, nearest::nearest};

/// Limit: how many faults one error names.
pub const FAULTS_MAX: usize = 8;

/// Limit: how deep definitions include one another.
const INCLUDES_MAX: usize = 16;

/// A kind of document that has a schema: its root, its definition, and the name of libvirt's schema.
struct Schema {
    root: &'static str,
    definition: &'static str,
    file: &'static str,
}

const SCHEMAS: &[Schema] = &[
    Schema { root: "domain", definition: "domain", file: "domain.rng" },
    Schema { root: "network", definition: "network", file: "network.rng" },
    Schema { root: "networkport", definition: "networkport", file: "networkport.rng" },
    Schema { root: "pool", definition: "pool", file: "storagepool.rng" },
    Schema { root: "volume", definition: "volume", file: "storagevol.rng" },
    Schema { root: "interface", definition: "interface", file: "interface.rng" },
    Schema { root: "device", definition: "device", file: "nodedev.rng" },
    Schema { root: "secret", definition: "secret", file: "secret.rng" },
    Schema { root: "filter", definition: "filter", file: "nwfilter.rng" },
    Schema { root: "filterbinding", definition: "filterbinding", file: "nwfilterbinding.rng" },
    Schema { root: "domainsnapshot", definition: "domainsnapshot", file: "domainsnapshot.rng" },
    Schema {
        root: "domaincheckpoint",
        definition: "domaincheckpoint",
        file: "domaincheckpoint.rng",
    },
    Schema { root: "domainbackup", definition: "domainbackup", file: "domainbackup.rng" },
    Schema { root: "capabilities", definition: "capabilities", file: "capability.rng" },
    Schema { root: "storagepoolCapabilities", definition: "poolcaps", file: "storagepoolcaps.rng" },
    Schema { root: "cpu", definition: "cpu", file: "cpu.rng" },
];

/// What does not conform: where, what, and what may have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub line: u32,
    pub column: u32,
    /// The elements down to the place, as `domain/devices/disk`.
    pub path: String,
    pub what: String,
    pub hint: Option<String>,
    /// The element or attribute is neither read nor allowed.
    pub unknown: bool,
}

impl Fault {
    /// The fault with its place, and with what may have been meant.
    pub fn explained(&self) -> String {
        let Self { line, column, path, what, hint, .. } = self;
        let hint = hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        format!("line {line}, column {column}, in {path}: {what}{hint}")
    }
}

/// Refuses a document that does not conform to the schema of its root.
///
/// Compat: the schema is named as libvirt names it; a root without one is its parser's to refuse.
pub fn check(tree: &Element<'_>) -> Result<()> {
    let Some(schema) = schema_of(tree) else { return Ok(()) };
    let faults = faults(tree);
    if faults.is_empty() {
        return Ok(());
    }
    let lines: String = faults.iter().map(|fault| format!("{}\n", fault.what)).collect();
    let help: Vec<String> = faults.iter().map(Fault::explained).collect();
    let folder = "/usr/share/libvirt/schemas";
    let what = format!("Unable to validate doc against {folder}/{}\n{lines}", schema.file);
    Err(Error::new(Code::XmlInvalidSchema, Origin::Xml, what).with_hint(help.join("\n")))
}

/// Everything that does not conform, in document order, up to a limit.
pub fn faults(tree: &Element<'_>) -> Vec<Fault> {
    let mut judge = Judge { path: Vec::new(), faults: Vec::new() };
    if let Some(items) = schema_of(tree).and_then(|schema| items_of(schema.definition)) {
        judge.element(tree, None, &items);
    }
    judge.faults
}

fn schema_of(tree: &Element<'_>) -> Option<&'static Schema> {
    SCHEMAS.iter().find(|schema| schema.root == tree.name)
}

/// A definition by name: of the table, or of the model.
pub fn items_of(name: &str) -> Option<Vec<Item>> {
    match shape::definition(name) {
        Some(items) => Some(items.to_vec()),
        None => shape::MODEL.iter().find(|(known, _)| *known == name).map(|(_, items)| items()),
    }
}

/// What may stand in one element: its description with all conditions decided.
#[derive(Debug, Default)]
pub struct Allowed {
    /// Name, value, and whether it must be there.
    pub attrs: Vec<(&'static str, Value, bool)>,
    pub children: Vec<(&'static str, Often, Of)>,
    pub text: Option<Value>,
    /// Groups of children of which one may be there.
    pub either: Vec<Vec<&'static str>>,
    /// Groups of children of which all may be there, or none.
    pub together: Vec<Vec<&'static str>>,
    foreign: bool,
    anything: bool,
}

impl Allowed {
    /// What a description allows in this element, which stands in that parent.
    pub fn of(items: &[Item], element: &Element<'_>, parent: Option<&Element<'_>>) -> Self {
        let mut allowed = Self::default();
        allowed.add(items, element, parent, 0);
        allowed
    }

    fn add(
        &mut self,
        items: &[Item],
        element: &Element<'_>,
        parent: Option<&Element<'_>>,
        depth: usize,
    ) {
        for item in items {
            match item {
                Item::Attr { name, value, required } => {
                    self.attrs.retain(|(known, ..)| known != name);
                    self.attrs.push((name, *value, *required));
                }
                Item::Child { name, often, of } => {
                    self.children.retain(|(known, ..)| known != name);
                    self.children.push((name, *often, of.clone()));
                }
                Item::Text(value) => self.text = Some(*value),
                Item::Include(name) if depth < INCLUDES_MAX => {
                    let items = items_of(name).unwrap_or_default();
                    self.add(&items, element, parent, depth + 1);
                }
                Item::Include(_) => {}
                Item::Without(name) => {
                    let attr = name.strip_prefix('@');
                    self.attrs.retain(|(known, ..)| attr != Some(*known));
                    self.children.retain(|(known, ..)| known != name);
                }
                Item::When { of_parent, attr, words, items } => {
                    let of = if *of_parent { parent } else { Some(element) };
                    let given = of.and_then(|of| of.attr(attr)).unwrap_or("$none");
                    if words.split('|').any(|word| word == given) {
                        self.add(items, element, parent, depth);
                    }
                }
                Item::Either { items } => {
                    let name = |item: &Item| match item {
                        Item::Child { name, .. } => Some(*name),
                        _ => None,
                    };
                    self.either.push(items.iter().filter_map(name).collect());
                    self.add(items, element, parent, depth);
                }
                Item::Together(names) => self.together.push(names.clone()),
                Item::Foreign => self.foreign = true,
                Item::Anything => self.anything = true,
            }
        }
    }
}

struct Judge<'t> {
    /// The elements down to the one that is judged.
    path: Vec<&'t Element<'t>>,
    faults: Vec<Fault>,
}

impl<'t> Judge<'t> {
    fn fault(&mut self, at: &Element<'_>, what: String, hint: Option<String>) {
        if self.faults.len() < FAULTS_MAX {
            let names: Vec<&str> = self.path.iter().map(|element| &*element.name).collect();
            let (line, column, path) = (at.line, at.column, names.join("/"));
            self.faults.push(Fault { line, column, path, what, hint, unknown: false });
        }
    }

    fn unknown(&mut self, at: &Element<'_>, what: String, hint: Option<String>) {
        let before = self.faults.len();
        self.fault(at, what, hint);
        self.faults.iter_mut().skip(before).for_each(|fault| fault.unknown = true);
    }

    /// The vocabulary of an element below the one that is judged, or of that one.
    fn uri(&self, element: &'t Element<'t>) -> Option<&'t str> {
        let Some(prefix) = element.prefix() else { return element.attr("xmlns") };
        let above = self.path.iter().rev().find_map(|above| above.namespace_of(prefix));
        element.namespace_of(prefix).or(above)
    }

    /// The definition of an element of another vocabulary, where it is a known one.
    fn foreign(&self, child: &'t Element<'t>) -> Option<&'static [Item]> {
        let uri = self.uri(child)?;
        let (_, prefix) = VOCABULARIES.iter().find(|(known, _)| *known == uri)?;
        shape::definition(&format!("{prefix}:{}", child.local_name()))
    }

    fn element(&mut self, element: &'t Element<'t>, parent: Option<&Element<'_>>, items: &[Item]) {
        let allowed = Allowed::of(items, element, parent);
        if allowed.anything {
            return;
        }
        self.path.push(element);
        self.attributes(element, &allowed);
        self.text(element, &allowed);
        self.children(element, &allowed);
        self.path.pop();
    }

    fn attributes(&mut self, element: &Element<'_>, allowed: &Allowed) {
        for attr in element.attrs.iter().filter(|attr| !attr.name.starts_with("xmlns")) {
            let name = &attr.name;
            match allowed.attrs.iter().find(|(known, ..)| known == name) {
                None => {
                    let what = format!("Invalid attribute {name} for element {}", element.name);
                    let hint = nearest(name, allowed.attrs.iter().map(|(known, ..)| *known));
                    self.unknown(element, what, hint.map(|name| format!("did you mean '{name}'?")));
                }
                Some((_, value, _)) if !fits(*value, &attr.value) => {
                    let what = format!(
                        "Element {} failed to validate attributes: value '{}' of attribute {name}",
                        element.name, attr.value
                    );
                    self.fault(element, what, Some(expected(*value, &attr.value)));
                }
                Some(_) => {}
            }
        }
        for (name, ..) in allowed.attrs.iter().filter(|(_, _, required)| *required) {
            if element.attr(name).is_none() {
                let what = format!("Element {} misses the attribute {name}", element.name);
                self.fault(element, what, None);
            }
        }
    }

    fn text(&mut self, element: &Element<'_>, allowed: &Allowed) {
        let texts = element.children.iter().filter_map(|node| match node {
            Node::Text(text) => Some(&**text),
            _ => None,
        });
        let text: String = texts.collect();
        let text = text.trim();
        match allowed.text {
            None if !text.is_empty() => {
                let what = format!("Element {} may not hold text", element.name);
                self.fault(element, what, None);
            }
            Some(_) if text.is_empty() && !allowed.children.is_empty() => {}
            Some(value) if !fits(value, text) => {
                let what = format!("Element {} holds '{text}'", element.name);
                self.fault(element, what, Some(expected(value, text)));
            }
            _ => {}
        }
    }

    fn children(&mut self, element: &'t Element<'t>, allowed: &Allowed) {
        let mut seen: Vec<&str> = Vec::new();
        for node in &element.children {
            let Node::Element(child) = node else { continue };
            // Limit: what comes after the last fault that is named is not looked at.
            if self.faults.len() >= FAULTS_MAX {
                return;
            }
            // Inside another vocabulary its prefix, whatever it is, says nothing.
            let same = element.prefix().is_some() && self.uri(child) == self.uri(element);
            let name: &str = if same { child.local_name() } else { &child.name };
            let Some((_, often, of)) = allowed.children.iter().find(|(known, ..)| *known == name)
            else {
                if let Some(items) = allowed.foreign.then(|| self.foreign(child)).flatten() {
                    self.element(child, Some(element), items);
                    continue;
                }
                let what = format!("Element {} has extra content: {name}", element.name);
                let hint = nearest(name, allowed.children.iter().map(|(known, ..)| *known));
                self.unknown(child, what, hint.map(|name| format!("did you mean <{name}>?")));
                continue;
            };
            if matches!(often, Often::Once | Often::Maybe) && seen.contains(&name) {
                let what = format!("Element {} has a second {name}", element.name);
                self.fault(child, what, Some("it may stand there once".to_owned()));
            }
            if !seen.contains(&name) {
                seen.push(name);
            }
            match of {
                Of::Model(items) => self.element(child, Some(element), &items()),
                Of::Named(name) => {
                    self.element(child, Some(element), &items_of(name).unwrap_or_default());
                }
                Of::Items(items) => self.element(child, Some(element), items),
            }
        }
        for group in &allowed.together {
            let missing = group.iter().find(|name| !seen.contains(name));
            let there = group.iter().find(|name| seen.contains(name));
            if let (Some(there), Some(missing)) = (there, missing) {
                let what = format!("Element {} holds {there} without {missing}", element.name);
                self.fault(element, what, Some(format!("expected <{missing}> beside it")));
            }
        }
        for group in &allowed.either {
            let mut there = seen.iter().filter(|name| group.contains(name));
            if let (Some(one), Some(other)) = (there.next(), there.next()) {
                let what = format!("Element {} holds both {one} and {other}", element.name);
                self.fault(element, what, Some("only one of them may stand there".to_owned()));
            }
        }
        for (name, often, _) in &allowed.children {
            if matches!(often, Often::Once | Often::Some) && !seen.contains(name) {
                let what = format!("Expecting an element {name}, got nothing");
                self.fault(element, what, None);
            }
        }
    }
}

/// Vocabularies of their own, and the prefix that `shapes.tbl` gives them.
const VOCABULARIES: &[(&str, &str)] = &[
    ("http://libvirt.org/schemas/domain/qemu/1.0", "qemu"),
    ("http://libvirt.org/schemas/domain/lxc/1.0", "lxc"),
    ("http://libvirt.org/schemas/domain/xen/1.0", "xen"),
    ("http://libvirt.org/schemas/domain/bhyve/1.0", "bhyve"),
    ("http://libvirt.org/schemas/domain/vmware/1.0", "vmware"),
    ("http://libvirt.org/schemas/network/dnsmasq/1.0", "dnsmasq"),
    ("http://libvirt.org/schemas/storagepool/fs/1.0", "fs"),
    ("http://libvirt.org/schemas/storagepool/rbd/1.0", "rbd"),
    ("urn:ferrovirt:fault:1", "fault"),
    ("urn:ferrovirt:domain:ldoms:1.0", "ldoms"),
];

/// Whether a text is what is wanted. Blanks around it do not count.
pub fn fits(value: Value, text: &str) -> bool {
    match value {
        Value::Any => true,
        Value::Words(words) => words.contains(&text.trim()),
        Value::Type(_, fits) => fits(text.trim()),
        Value::Listed(parts) => parts.split('|').any(|part| match part.strip_prefix('$') {
            Some(kind) => is(kind, text.trim()),
            None => part == text.trim(),
        }),
    }
}

/// What was wanted, for a person.
fn expected(value: Value, given: &str) -> String {
    let words: Vec<&str> = match value {
        Value::Any => Vec::new(),
        Value::Words(words) => words.to_vec(),
        Value::Type(what, _) => return format!("expected {what}"),
        Value::Listed(parts) => parts.split('|').collect(),
    };
    match nearest(given, words.iter().copied()) {
        Some(word) => format!("did you mean '{word}'?"),
        None => {
            let parts: Vec<&str> = words.iter().map(|part| described(part)).collect();
            match parts.as_slice() {
                few @ ([] | [_] | [_, _]) => format!("expected {}", few.join(", or ")),
                many => format!("expected one of: {}", many.join(", ")),
            }
        }
    }
}

/// A part of a list of values, for a person.
fn described(part: &'static str) -> &'static str {
    match part.strip_prefix('$') {
        None => part,
        Some("none") => "nothing",
        Some("full") => "a text",
        Some("uint" | "u16" | "u12" | "u8" | "dscp" | "port") => "a number in its range",
        Some("protocolid" | "pcidomain" | "pcislot" | "pcifunction") => "a number in its range",
        Some("pos") => "a number above zero",
        Some("int") => "a number",
        Some("hex" | "hex4" | "hex2") => "a hexadecimal number",
        Some("wwn") => "a world wide name",
        Some("octal") => "an octal number",
        Some("uuid") => "a UUID",
        Some("mac") => "an Ethernet address",
        Some("path") => "an absolute path",
        Some("ip" | "ip4" | "ip6") => "an IP address",
        Some("prefix4" | "prefix6") => "a prefix's length",
        Some("cpuset") => "a set of numbers, as 0-3,^2",
        Some("unit") => "a unit, as KiB",
        Some("var") => "a variable, as $IP",
        Some(_) => "a name",
    }
}

/// The types of `shapes.tbl`.
fn is(kind: &str, text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let hex = |text: &str, len: std::ops::RangeInclusive<usize>| {
        len.contains(&text.len()) && text.bytes().all(|c| c.is_ascii_hexdigit())
    };
    let one_of = |extra: &str, text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    };
    match kind {
        "any" => true,
        "none" => text.is_empty(),
        "full" => !text.is_empty(),
        "uint" => digits(text),
        "int" => digits(text.strip_prefix('-').unwrap_or(text)),
        "pos" => digits(text) && text.bytes().any(|c| c != b'0'),
        "hex" => text.strip_prefix("0x").is_some_and(|text| hex(text, 1..=16)),
        "hex4" => text.strip_prefix("0x").is_some_and(|text| hex(text, 1..=4)),
        "hex2" => text.strip_prefix("0x").is_some_and(|text| hex(text, 1..=2)),
        "wwn" => hex(text.strip_prefix("0x").unwrap_or(text), 16..=16),
        "octal" => digits(text) && text.bytes().all(|c| c < b'8') && text.len() <= 4,
        "uuid" => virt_types::Uuid::parse(text).is_some(),
        "mac" => crate::Mac::parse(text).is_some(),
        "path" => text.starts_with('/'),
        "ip" => text.parse::<std::net::IpAddr>().is_ok(),
        "ip4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ip6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cpuset" => text.split(',').all(|part| match part.split_once('-') {
            Some((first, last)) => digits(first) && digits(last),
            None => digits(part.strip_prefix('^').unwrap_or(part)),
        }),
        "unit" => unit(text),
        "name" => one_of("_.-+:/", text),
        "word" => one_of("_-", text),
        "devname" => one_of("_.-:/\\%{}", text),
        "var" => text.strip_prefix('$').is_some_and(|name| one_of("_[]@, ", name)),
        "u16" => number(text).is_some_and(|number| number <= 0xffff),
        "u8" => number(text).is_some_and(|number| number <= 0xff),
        "dscp" => number(text).is_some_and(|number| number < 64),
        "prefix4" => text.parse::<u8>().is_ok_and(|bits| bits <= 32),
        "prefix6" => text.parse::<u8>().is_ok_and(|bits| bits <= 128),
        "u12" => number(text).is_some_and(|number| number < 4096),
        "pcidomain" => number(text).is_some_and(|number| number <= 0xffff_ffff),
        "pcislot" => number(text).is_some_and(|number| number < 32),
        "pcifunction" => number(text).is_some_and(|number| number < 8),
        "states" => text
            .split(',')
            .all(|state| ["NONE", "NEW", "ESTABLISHED", "RELATED", "INVALID"].contains(&state)),
        "chain" => {
            let chains = ["mac", "vlan", "stp", "arp", "rarp", "ipv4", "ipv6"];
            let of = |chain: &&str| {
                text.strip_prefix(chain).is_some_and(|end| end.is_empty() || end.starts_with('-'))
            };
            text == "root" || chains.iter().any(of)
        }
        "protocolid" => match text.strip_prefix("0x") {
            Some(_) => number(text).is_some_and(|number| (0x600..=0xffff).contains(&number)),
            None => number(text).is_some_and(|number| (1536..=65535).contains(&number)),
        },
        "checkpointname" => one_of("_-.", text) && !text.starts_with('.'),
        "loadparm" => text.len() <= 8 && one_of(".", text),
        "port" => text.parse::<u16>().is_ok(),
        "disk" => {
            let text = text.strip_prefix("ioemu:").unwrap_or(text);
            let names = ["fd", "hd", "sd", "vd", "xvd", "ubd"];
            names.iter().any(|name| text.strip_prefix(name).is_some_and(|rest| one_of("_", rest)))
        }
        "usbport" => text.split('.').all(digits) && text.split('.').count() <= 4,
        _ => false,
    }
}

/// A number, decimal or hexadecimal.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

/// A suffix of sizes.
fn unit(text: &str) -> bool {
    crate::schema::text::scale_bytes(1, Some(text), 1).is_some()
}
