//! What may stand in an element: read off the `element!` tables, and from `shapes.tbl` for the rest.
//!
//! The model says what it reads. What it keeps as it came, reads by hand or takes more freely than the
//! schema does is said in `shapes.tbl`, once. Both together judge a document, and know every name there is.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::schema::{Body, Text};

/// What a text must be.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    Any,
    /// One of these words.
    Words(&'static [&'static str]),
    /// One of these, written `a|b|c`; a part that starts with `$` is a type.
    Listed(&'static str),
    /// What a type of the model can read; the text says what that is.
    Type(&'static str, fn(&str) -> bool),
}

/// How often a child may stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Often {
    Once,
    Maybe,
    Many,
    Some,
}

/// What gives a type's description.
pub type Items = fn() -> Vec<Item>;

/// What a child holds.
#[derive(Clone, Debug)]
pub enum Of {
    /// What the model's own table says.
    Model(Items),
    /// A definition of `shapes.tbl`.
    Named(&'static str),
    Items(Vec<Item>),
}

/// One line of a description. A later one takes the place of an earlier one of the same name.
#[derive(Clone, Debug)]
pub enum Item {
    Attr {
        name: &'static str,
        value: Value,
        required: bool,
    },
    Child {
        name: &'static str,
        often: Often,
        of: Of,
    },
    Text(Value),
    /// The items of another definition.
    Include(&'static str),
    /// A name that is not there after all.
    Without(&'static str),
    /// Items that hold only where an attribute of the element, or of its parent, is one of these.
    When {
        of_parent: bool,
        attr: &'static str,
        words: &'static str,
        items: Vec<Item>,
    },
    /// Children of which only one may be there.
    Either {
        items: Vec<Item>,
    },
    /// Children of which all may be there, or none.
    Together(Vec<&'static str>),
    /// Elements of other vocabularies.
    Foreign,
    /// Anything at all.
    Anything,
}

impl Item {
    pub fn attr<T: Text>(name: &'static str, required: bool) -> Self {
        Self::Attr { name, value: T::VALUE, required }
    }

    pub fn child(name: &'static str, often: Often, of: Of) -> Self {
        Self::Child { name, often, of }
    }

    /// A child that is only text, or nothing.
    pub fn text<T: Text>(name: &'static str, often: Often) -> Self {
        Self::child(name, often, Of::Items(vec![Self::Text(T::VALUE)]))
    }

    /// A child that is a size with a unit.
    pub fn size(name: &'static str) -> Self {
        Self::child(name, Often::Maybe, Of::Named("size"))
    }
}

/// The name of a type in `shapes.tbl`: its module and its own.
pub fn name_of<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    let parts: Vec<(usize, &str)> = full.rmatch_indices("::").take(2).collect();
    parts.get(1).map_or(full, |(at, _)| full.get(at + 2..).unwrap_or(full))
}

/// What the model and the table together say of a type.
pub fn amended<T>(mut items: Vec<Item>) -> Vec<Item> {
    let name = name_of::<T>();
    if definition(name).is_some() {
        items.push(Item::Include(name));
    }
    items
}

/// A type's description.
pub fn items_of<T: Body>() -> Vec<Item> {
    T::items()
}

/// Types of the model that the table refers to by name.
pub(crate) const MODEL: &[(&str, Items)] = &[
    ("model:domain", items_of::<crate::domain::Domain>),
    ("model:auth", items_of::<crate::domain::disk::Auth>),
    ("model:bandwidth", items_of::<crate::domain::interface::Bandwidth>),
    ("model:backup", items_of::<crate::backup::Backup>),
    ("model:filter", items_of::<crate::filter::Filter>),
    ("model:filter-binding", items_of::<crate::filter_binding::FilterBinding>),
    ("model:filter-dev", items_of::<crate::filter_binding::Dev>),
    ("model:filter-owner", items_of::<crate::filter_binding::Owner>),
    ("model:filter-ref", items_of::<crate::domain::interface::FilterRef>),
    ("model:network-port", items_of::<crate::network::NetworkPort>),
    ("model:pool-capabilities", items_of::<crate::capabilities::PoolCapabilities>),
    ("model:port-owner", items_of::<crate::network::PortOwner>),
    ("model:choice", items_of::<crate::capabilities::Choice>),
    ("model:domain-capabilities", items_of::<crate::capabilities::DomainCapabilities>),
    ("model:support", items_of::<crate::capabilities::Support>),
    ("model:checkpoint", items_of::<crate::snapshot::Checkpoint>),
    ("model:checkpoint-disk", items_of::<crate::snapshot::CheckpointDisk>),
    ("model:cpu", items_of::<crate::domain::Cpu>),
    ("model:device", items_of::<crate::node_device::NodeDevice>),
    ("model:device-info", items_of::<crate::domain::DeviceInfo>),
    ("model:encryption", items_of::<crate::domain::disk::Encryption>),
    ("model:host-interface", items_of::<crate::host_interface::HostInterface>),
    ("model:image-format", items_of::<crate::domain::source::ImageFormat>),
    ("model:log", items_of::<crate::domain::chardev::Log>),
    ("model:network", items_of::<crate::network::Network>),
    ("model:pool", items_of::<crate::storage::Pool>),
    ("model:reconnect", items_of::<crate::domain::chardev::Reconnect>),
    ("model:route", items_of::<crate::network::Route>),
    ("model:secret", items_of::<crate::secret::Secret>),
    ("model:guest-ip", items_of::<crate::domain::interface::GuestIp>),
    ("model:snapshot", items_of::<crate::snapshot::Snapshot>),
    ("model:source-host", items_of::<crate::domain::source::Host>),
    ("model:virtio-options", items_of::<crate::domain::misc::VirtioOptions>),
    ("model:virtualport", items_of::<crate::domain::interface::VirtualPort>),
    ("model:vlan", items_of::<crate::domain::interface::Vlan>),
    ("model:memory", items_of::<crate::domain::memory::Memory>),
    ("model:os", items_of::<crate::domain::Os>),
    ("model:os-kind", items_of::<crate::domain::boot::OsKind>),
    ("model:nvram", items_of::<crate::domain::boot::Nvram>),
    ("model:firmware-feature", items_of::<crate::domain::boot::FirmwareFeature>),
    ("model:vcpu", items_of::<crate::domain::Vcpu>),
    ("model:clock", items_of::<crate::domain::Clock>),
    ("model:devices", items_of::<crate::domain::Devices>),
    ("model:numa-cell", items_of::<crate::domain::cpu::Cell>),
    ("model:disk-target", items_of::<crate::domain::disk::DiskTarget>),
    ("model:master", items_of::<crate::domain::address::Master>),
    ("model:serial-target", items_of::<crate::domain::chardev::SerialTarget>),
    ("model:channel-target", items_of::<crate::domain::chardev::ChannelTarget>),
    ("model:vlan-tag", items_of::<crate::domain::interface::VlanTag>),
    ("model:pool-target", items_of::<crate::storage::PoolTarget>),
    ("model:pool-source", items_of::<crate::storage::PoolSource>),
    ("model:volume-target", items_of::<crate::storage::VolumeTarget>),
    ("model:host-bond", items_of::<crate::host_interface::Bond>),
    ("model:host-bridge", items_of::<crate::host_interface::Bridge>),
    ("model:host-vlan", items_of::<crate::host_interface::Vlan>),
    ("model:devnode", items_of::<crate::node_device::Devnode>),
    ("model:filesystem-target", items_of::<crate::domain::devices::FilesystemTarget>),
    ("model:rng-backend", items_of::<crate::domain::devices::RngBackend>),
    ("model:pool-host", items_of::<crate::storage::PoolHost>),
    ("model:pool-device", items_of::<crate::storage::PoolDevice>),
    ("model:pool-dir", items_of::<crate::storage::PoolDir>),
    ("model:pool-adapter", items_of::<crate::storage::Adapter>),
    ("model:interconnects", items_of::<crate::domain::cpu::Interconnects>),
    ("model:iommu", items_of::<crate::domain::devices::Iommu>),
    ("model:volume", items_of::<crate::storage::Volume>),
];

static TABLE: LazyLock<HashMap<&'static str, Vec<Item>>> =
    LazyLock::new(|| parse(include_str!("shapes.tbl")));

/// A definition of `shapes.tbl`.
pub fn definition(name: &str) -> Option<&'static [Item]> {
    TABLE.get(name).map(Vec::as_slice)
}

/// The lines of the table as definitions.
fn parse(text: &'static str) -> HashMap<&'static str, Vec<Item>> {
    let mut lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
        .map(|line| (line.len() - line.trim_start().len(), line.trim()))
        .peekable();
    let mut table = HashMap::new();
    while let Some((_, head)) = lines.next() {
        let items = block(&mut lines, 0);
        table.entry(head).or_insert_with(Vec::new).extend(items);
    }
    table
}

/// The lines that are deeper than their head.
fn block(
    lines: &mut std::iter::Peekable<impl Iterator<Item = (usize, &'static str)>>,
    above: usize,
) -> Vec<Item> {
    let mut items = Vec::new();
    while let Some((depth, line)) = lines.next_if(|(depth, _)| *depth > above) {
        let inner = block(lines, depth);
        items.extend(item(line, inner));
    }
    items
}

/// One line with what stands below it. Several names before one value are several items.
fn item(line: &'static str, inner: Vec<Item>) -> Vec<Item> {
    let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    match head {
        "text" => return vec![Item::Text(value(rest))],
        "include" => return rest.split(' ').map(Item::Include).collect(),
        "without" => return rest.split(' ').map(Item::Without).collect(),
        "either" => return vec![Item::Either { items: inner }],
        "together" => return vec![Item::Together(rest.split(' ').collect())],
        "foreign" => return vec![Item::Foreign],
        "anything" => return vec![Item::Anything],
        "when" => {
            let (attr, words) = rest.split_once(' ').unwrap_or((rest, ""));
            let of_parent = attr.starts_with("../");
            let attr = attr.trim_start_matches("../").trim_start_matches('@');
            return vec![Item::When { of_parent, attr, words: words.trim(), items: inner }];
        }
        _ => {}
    }
    head.split(',').map(|name| one(name, rest, &inner)).collect()
}

fn one(name: &'static str, rest: &'static str, inner: &[Item]) -> Item {
    if let Some(name) = name.strip_prefix('@') {
        let bare = name.trim_end_matches('!');
        return Item::Attr { name: bare, value: value(rest), required: bare.len() < name.len() };
    }
    let (name, often) = match name.strip_suffix(['?', '*', '+']) {
        Some(bare) if name.ends_with('?') => (bare, Often::Maybe),
        Some(bare) if name.ends_with('*') => (bare, Often::Many),
        Some(bare) => (bare, Often::Some),
        None => (name, Often::Once),
    };
    let of = match rest.strip_prefix("= ") {
        Some(definition) => Of::Named(definition),
        None => {
            let mut items = inner.to_vec();
            if !rest.is_empty() {
                items.push(Item::Text(value(rest)));
            }
            Of::Items(items)
        }
    };
    Item::Child { name, often, of }
}

fn value(text: &'static str) -> Value {
    if text.is_empty() || text == "$any" { Value::Any } else { Value::Listed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(items: &[Item], found: &mut Vec<&'static str>) {
        for item in items {
            match item {
                Item::Include(name) | Item::Child { of: Of::Named(name), .. } => found.push(name),
                Item::Child { of: Of::Items(items), .. }
                | Item::When { items, .. }
                | Item::Either { items } => {
                    names(items, found);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_name_in_the_table_is_defined() {
        let mut wanted = Vec::new();
        TABLE.values().for_each(|items| names(items, &mut wanted));
        assert!(!wanted.is_empty());
        for name in wanted {
            assert!(crate::schema::validate::items_of(name).is_some(), "{name} is not defined");
        }
    }
}
