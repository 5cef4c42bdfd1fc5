//! Shapes of single fields of the domain document that libvirt reads in a way of their own.

use std::marker::PhantomData;

use virt_error::{Code, Error, Origin, Result};
use virt_types::Uuid;
use virt_xml::Element;

use super::kinds::{kib, kind, read_kib, read_value, text, wrapped};
use crate::domain::address::Address;
use crate::domain::boot::OsType;
use crate::domain::chardev::ChardevSource;
use crate::domain::clock::Offset;
use crate::domain::cpu::Fallback;
use crate::domain::disk::{DiskType, Iotune};
use crate::domain::hostdev::HostdevSource;
use crate::domain::interface::{InterfaceSource, InterfaceTarget};
use crate::domain::source::{BackingStore, StorageSource};
use crate::domain::{LifecycleAction, Namespace, VirtType};
use crate::schema::shape::{Item, Of, Often, Value, items_of};
use crate::schema::text::{Mac, NumberSet, YesNo};
use crate::schema::{Body, Out, ParseFlags, Text, error};

kind! {
    virt_type [] (VirtType; name: &'static str)
    shape vec![Item::attr::<VirtType>(name, true)];
    read |element, flags| {
        let word = element.attr(name).ok_or_else(|| error::internal("missing domain type attribute"))?;
        VirtType::from_word(word).ok_or_else(|| error::unsupported(format!("invalid domain type {word}")))
    };
    attrs |field, out| out.w.attr(name, field.as_str());
}

kind! {
    /// The id of a running domain; -1 and none are the same.
    domain_id [] (Option<i32>; name: &'static str)
    shape vec![Item::attr::<i32>(name, false)];
    read |element, flags| Ok(read_value::<i32>(element, name)?.filter(|id| *id >= 0));
    attrs |field, out| if let Some(id) = field { out.w.attr(name, &id.to_string()) };
}

/// Namespaces of the hypervisors, with the prefix libvirt gives them.
const NAMESPACES: &[(&str, &str)] = &[
    ("qemu", "http://libvirt.org/schemas/domain/qemu/1.0"),
    ("lxc", "http://libvirt.org/schemas/domain/lxc/1.0"),
    ("xen", "http://libvirt.org/schemas/domain/xen/1.0"),
    ("bhyve", "http://libvirt.org/schemas/domain/bhyve/1.0"),
    ("vmware", "http://libvirt.org/schemas/domain/vmware/1.0"),
    ("test", "http://libvirt.org/schemas/domain/test/1.0"),
    ("fault", "urn:ferrovirt:fault:1"),
];

/// The namespace of an element of another vocabulary, declared on it or on its parent.
fn namespace_of<'t>(parent: &'t Element<'_>, child: &'t Element<'_>) -> Option<&'t str> {
    match child.prefix() {
        Some(prefix) => child.namespace_of(prefix).or_else(|| parent.namespace_of(prefix)),
        None => child.attr("xmlns"),
    }
}

/// The prefix libvirt prints, which is the document's own where libvirt knows none.
fn printed_prefix<'t>(uri: &str, child: &'t Element<'_>) -> &'t str {
    let known = NAMESPACES.iter().find(|(_, known)| *known == uri);
    known.map_or(child.prefix().unwrap_or_default(), |(prefix, _)| prefix)
}

/// The same tree with another prefix, and without declarations.
fn with_prefix(tree: &Element<'_>, prefix: &str) -> Element<'static> {
    let mut out = tree.to_static();
    out.name = format!("{prefix}:{}", tree.local_name()).into();
    out.attrs.retain(|attr| attr.name != "xmlns" && !attr.name.starts_with("xmlns:"));
    out.children =
        tree.elements().map(|child| virt_xml::Node::Element(with_prefix(child, prefix))).collect();
    if out.children.is_empty() && !tree.text().trim().is_empty() {
        out = out.with_text(tree.text().into_owned());
    }
    out
}

kind! {
    /// Namespaces of the children that are foreign.
    namespaces [] (Vec<Namespace>;)
    shape vec![Item::Foreign];
    read |element, flags| {
        let mut found: Vec<Namespace> = Vec::new();
        for child in element.elements() {
            if let Some(uri) = namespace_of(element, child)
                && !found.iter().any(|known| known.uri == uri)
            {
                found.push(Namespace { prefix: printed_prefix(uri, child).to_owned(), uri: uri.to_owned() });
            }
        }
        Ok(found)
    };
    attrs |field, out| for namespace in field { out.w.attr(&format!("xmlns:{}", namespace.prefix), &namespace.uri) };
}

kind! {
    /// Children of other namespaces.
    foreign [] (Vec<Element<'static>>;)
    shape vec![Item::Foreign];
    read |element, flags| Ok(element.elements().filter_map(|child| {
        let uri = namespace_of(element, child)?;
        Some(with_prefix(child, printed_prefix(uri, child)))
    }).collect());
    children |field, out| for tree in field { out.w.element(tree) };
}

kind! {
    /// The name that every object must have.
    name_of [] (String; name: &'static str, from: Origin)
    shape vec![Item::text::<String>(name, Often::Once)];
    read |element, flags| match element.child_text(name).filter(|text| !text.is_empty()) {
        Some(text) => Ok(text.into_owned()),
        None => Err(Error::bare(Code::NoName, from)),
    };
    children |field, out| out.w.text_element(name, field);
}

kind! {
    uuid_of [] (Option<Uuid>; name: &'static str, from: Origin)
    shape vec![Item::text::<Uuid>(name, Often::Maybe)];
    read |element, flags| match element.child_text(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match Uuid::parse(&text) {
            Some(uuid) => Ok(Some(uuid)),
            None => Err(Error::internal(from, "malformed uuid element")),
        },
    };
    children |field, out| if let Some(uuid) = field { out.w.text_element(name, &uuid.to_string()) };
}

kind! {
    /// Kept as it came, printed as libvirt keeps foreign trees.
    metadata [] (Option<Element<'static>>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Items(vec![Item::Anything]))];
    read |element, flags| {
        let tree = element.child(name).filter(|tree| tree.elements().next().is_some());
        Ok(tree.map(virt_xml::foreign_content))
    };
    children |field, out| if let Some(tree) = field {
        let depth = out.w.depth();
        let text = virt_xml::dump_foreign(tree, depth);
        out.w.raw(&format!("{}{text}\n", "  ".repeat(depth)));
    };
}

kind! {
    /// A child that is always printed, and read from nothing where absent.
    child_always [T: Body] (T; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Model(items_of::<T>))];
    read |element, flags| match element.child(name) {
        Some(child) => T::read(child, flags),
        None => T::read(&Element::new(name), flags),
    };
    children |field, out| out.element(name, field);
}

kind! {
    /// The same, never printed in the short form.
    child_long [T: Body] (T; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Model(items_of::<T>))];
    read |element, flags| child_always::read(element, flags, name);
    children |field, out| {
        out.w.open(name);
        field.attrs(out);
        field.children(out);
        out.w.close_long(name);
    };
}

kind! {
    kib_content [] (u64;)
    shape vec![Item::Include("size")];
    read |element, flags| read_kib(element);
    attrs |field, out| out.w.attr("unit", "KiB");
    children |field, out| out.w.text(&field.to_string());
}

kind! {
    /// A memory size as an attribute, its unit in another.
    kib_attr [] (u64; name: &'static str)
    shape vec![Item::attr::<u64>(name, true), Item::Attr { name: "unit", value: Value::Listed("$unit"), required: false }];
    read |element, flags| match read_value::<u64>(element, name)? {
        Some(number) => kib(number, element.attr("unit")),
        None => Err(error::missing_attribute(element, name)),
    };
    attrs |field, out| {
        out.w.attr(name, &field.to_string());
        out.w.attr("unit", "KiB");
    };
}

kind! {
    /// A size in the unit that says it shortest without loss.
    pretty_size [] (u64; name: &'static str)
    shape vec![Item::attr::<u64>(name, true), Item::Attr { name: "unit", value: Value::Listed("$unit"), required: false }];
    read |element, flags| {
        let number = read_value::<u64>(element, name)?.ok_or_else(|| error::missing_attribute(element, name))?;
        let unit = element.attr("unit");
        crate::schema::text::scale_bytes(number, unit, 1024)
            .ok_or_else(|| error::invalid_arg(format!("unknown suffix '{}'", unit.unwrap_or_default())))
    };
    attrs |field, out| {
        let (number, unit) = crate::schema::text::shortest_unit(*field);
        out.w.attr(name, &number.to_string());
        out.w.attr("unit", unit);
    };
}

kind! {
    /// The same as a child of its own; in MiB where nothing is said.
    pretty_size_text [] (Option<u64>; name: &'static str)
    shape vec![Item::size(name)];
    read |element, flags| element.child(name).map(|child| {
        let text = child.text();
        let unit = child.attr("unit");
        u64::parse(&text).and_then(|number| crate::schema::text::scale_bytes(number, unit, 1 << 20))
            .ok_or_else(|| error::xml(format!("Invalid value '{text}' for element or attribute '{name}'")))
    }).transpose();
    children |field, out| if let Some(bytes) = field {
        let (number, unit) = crate::schema::text::shortest_unit(*bytes);
        out.w.open(name);
        out.w.attr("unit", unit);
        out.w.text(&number.to_string());
        out.w.close(name);
    };
}

kind! {
    cpuset [] (Option<NumberSet>; name: &'static str)
    shape vec![Item::attr::<NumberSet>(name, false)];
    read |element, flags| match element.attr(name) {
        None => Ok(None),
        Some(text) => match NumberSet::parse(text) {
            Some(set) => Ok(Some(set)),
            None => Err(error::invalid_arg(format!("Failed to parse bitmap '{text}'"))),
        },
    };
    attrs |field, out| if let Some(set) = field { out.w.attr(name, &set.print()) };
}

kind! {
    nodeset [] (Option<NumberSet>; name: &'static str)
    shape vec![Item::attr::<NumberSet>(name, false)];
    read |element, flags| match element.attr(name) {
        None => Ok(None),
        Some(text) => match NumberSet::parse(text) {
            Some(set) => Ok(Some(set)),
            None => Err(error::unsupported(format!("Invalid value of '{name}': {text}"))),
        },
    };
    attrs |field, out| if let Some(set) = field { out.w.attr(name, &set.print()) };
}

kind! {
    hex_opt [] (Option<u32>; name: &'static str)
    shape vec![Item::Attr { name, value: Value::Listed("$uint|$hex"), required: false }];
    read |element, flags| crate::domain::address::any_base(element, name);
    attrs |field, out| if let Some(value) = field { out.w.attr_hex(name, u64::from(*value), 1) };
}

kind! {
    /// The same for an address in memory.
    hex_long [] (Option<u64>; name: &'static str)
    shape vec![Item::Attr { name, value: Value::Listed("$uint|$hex"), required: false }];
    read |element, flags| crate::domain::address::hexadecimal(element, name);
    attrs |field, out| if let Some(value) = field { out.w.attr_hex(name, *value, 1) };
}

kind! {
    /// A word whose default is not written.
    attr_not_default [T: Text + Default + PartialEq] (Option<T>; name: &'static str)
    shape vec![Item::attr::<T>(name, false)];
    read |element, flags| Ok(read_value(element, name)?.filter(|value| *value != T::default()));
    attrs |field, out| if let Some(value) = field { out.w.attr(name, &value.print()) };
}

kind! {
    /// An adapter's model; names of old are known in any spelling.
    net_model [] (Option<String>; name: &'static str)
    shape vec![Item::attr::<String>(name, false)];
    read |element, flags| Ok(element.attr(name).map(|given| {
        let known = crate::domain::interface::MODELS.iter().find(|known| known.eq_ignore_ascii_case(given));
        (*known.unwrap_or(&given)).to_owned()
    }));
    attrs |field, out| if let Some(model) = field { out.w.attr(name, model) };
}

kind! {
    vcpu_current [] (Option<u32>; name: &'static str)
    shape vec![Item::attr::<u32>(name, false)];
    read |element, flags| read_value::<u32>(element, name);
    attrs |field, out| if let Some(current) = field { out.w.attr(name, &current.to_string()) };
}

kind! {
    vcpu_count [] (u32;)
    shape vec![Item::Text(u32::VALUE)];
    read |element, flags| {
        let text = element.text();
        if text.is_empty() {
            return Ok(1);
        }
        u32::parse(&text).ok_or_else(|| error::xml("maximum vcpus count must be an integer"))
    };
    children |field, out| out.w.text(&field.to_string());
}

kind! {
    lifecycle [] (Option<LifecycleAction>; name: &'static str)
    shape vec![Item::text::<LifecycleAction>(name, Often::Maybe)];
    read |element, flags| match element.child_text(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(word) => match LifecycleAction::from_word(&word) {
            Some(action) => Ok(Some(action)),
            None => Err(error::unsupported(format!("unknown {name} action: {word}"))),
        },
    };
    children |field, out| if let Some(action) = field { out.w.text_element(name, action.as_str()) };
}

kind! {
    clock_offset [] (Offset; name: &'static str)
    shape vec![Item::attr::<Offset>(name, true)];
    read |element, flags| match element.attr(name) {
        None => Ok(Offset::Utc),
        Some(word) => Offset::from_word(word)
            .ok_or_else(|| error::unsupported(format!("unknown clock offset '{word}'"))),
    };
    attrs |field, out| out.w.attr(name, field.as_str());
}

kind! {
    os_type [] (Option<OsType>;)
    shape vec![Item::Text(OsType::VALUE)];
    read |element, flags| {
        let word = element.text();
        if word.is_empty() {
            return Ok(None);
        }
        match OsType::from_word(&word) {
            Some(kind) => Ok(Some(kind)),
            None => Err(error::unsupported(format!("unknown OS type '{word}'"))),
        }
    };
    children |field, out| if let Some(kind) = field { out.w.text(kind.as_str()) };
}

kind! {
    /// The path of an NVRAM file: the text, where there is no source.
    nvram_path [] (Option<String>;)
    shape vec![Item::Text(Value::Any)];
    read |element, flags| {
        let text = if element.child("source").is_some() { "".into() } else { element.text() };
        Ok((!text.is_empty()).then(|| text.into_owned()))
    };
    children |field, out| if let Some(path) = field { out.w.text(path) };
}

kind! {
    boot_order [] (u32; name: &'static str)
    shape vec![Item::attr::<u32>(name, true)];
    read |element, flags| {
        let text = element.attr(name).ok_or_else(|| error::missing_attribute(element, name))?;
        u32::parse(text).filter(|order| *order > 0)
            .ok_or_else(|| error::invalid_value(element, name, text, "positive integer"))
    };
    attrs |field, out| out.w.attr(name, &field.to_string());
}

kind! {
    /// A device's name. A definition keeps only names that users give.
    alias [] (Option<String>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Named("alias"))];
    read |element, flags| Ok(element.child(name).and_then(|child| child.attr("name"))
        .filter(|alias| !flags.inactive || is_user_alias(alias)).map(str::to_owned));
    children |field, out| if let Some(alias) = field && (!out.flags.inactive || is_user_alias(alias)) {
        out.w.open(name);
        out.w.attr("name", alias);
        out.w.close(name);
    };
}

fn is_user_alias(alias: &str) -> bool {
    alias.starts_with("ua-")
}

kind! {
    address [] (Address;)
    shape vec![Item::child("address", Often::Maybe, Of::Named("address::Address"))];
    read |element, flags| element.child("address").map_or(Ok(Address::None), Address::read);
    children |field, out| field.write(out);
}

kind! {
    /// A disk's source, of the kind that the disk's type names.
    disk_source [] (Option<StorageSource>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Named("source::StorageSource"))];
    read |element, flags| {
        let kind = read_value::<DiskType>(element, "type")?.unwrap_or_default();
        let source = element.child(name).map(|child| StorageSource::read(child, kind, flags));
        Ok(source.transpose()?.filter(|source| !source.says_nothing()))
    };
    children |field, out| if let Some(source) = field { source.write(name, out) };
}

kind! {
    backing_store [] (Option<BackingStore>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Named("source::BackingStore"))];
    read |element, flags| element.child(name).map(|child| BackingStore::read(child, flags)).transpose();
    children |field, out| if let Some(store) = field { store.write(out) };
}

kind! {
    controller_index [] (Option<u32>; name: &'static str)
    shape vec![Item::attr::<u32>(name, false)];
    read |element, flags| match element.attr(name) {
        None => Ok(None),
        Some(text) => match virt_xml::parse_number(text, 10).map(u32::try_from) {
            Some(Ok(index)) => Ok(Some(index)),
            Some(Err(_)) => Err(error::invalid_value(element, name, text, "non-negative value")),
            None => Err(error::invalid_value(element, name, text, "integer value")),
        },
    };
    attrs |field, out| if let Some(index) = field { out.w.attr(name, &index.to_string()) };
}

kind! {
    mac [] (Mac; name: &'static str)
    shape vec![Item::attr::<Mac>(name, true)];
    read |element, flags| {
        let text = element.attr(name).ok_or_else(|| error::missing_attribute(element, name))?;
        let mac = Mac::parse(text).ok_or_else(|| error::xml(format!("unable to parse mac address '{text}'")))?;
        if mac.is_multicast() {
            return Err(error::xml(format!("expected unicast mac address, found multicast '{text}'")));
        }
        Ok(mac)
    };
    attrs |field, out| out.w.attr(name, &field.to_string());
}

kind! {
    interface_source [] (Option<InterfaceSource>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Named("interface::InterfaceSource"))];
    read |element, flags| {
        let source = element.child(name).map(|child| InterfaceSource::read(child, flags));
        Ok(source.transpose()?.filter(|source| *source != InterfaceSource::default()))
    };
    children |field, out| if let Some(source) = field { out.element_if_any(name, source) };
}

kind! {
    /// A definition does not keep names that the driver makes up.
    interface_target [] (Option<InterfaceTarget>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Model(items_of::<InterfaceTarget>))];
    read |element, flags| {
        let target = element.child(name).map(|child| InterfaceTarget::read(child, flags)).transpose()?;
        let target = target.map(|mut target| {
            let made_up = |dev: &String| ["vnet", "vif", "macvtap", "macvlan"].iter().any(|p| dev.starts_with(p));
            if flags.inactive && target.dev.as_ref().is_some_and(made_up) {
                target.dev = None;
            }
            target
        });
        Ok(target.filter(|target| *target != InterfaceTarget::default()))
    };
    children |field, out| if let Some(target) = field { out.element_if_any(name, target) };
}

kind! {
    /// A switch that is always printed; no where absent.
    attr_yes_or_no [] (bool; name: &'static str)
    shape vec![Item::attr::<YesNo>(name, false)];
    read |element, flags| Ok(read_value::<YesNo>(element, name)?.is_some_and(YesNo::is_yes));
    attrs |field, out| out.w.attr(name, YesNo::from(*field).as_str());
}

kind! {
    /// Where random numbers come from; the kernel's own device where nothing is said.
    rng_device [] (Option<String>;)
    shape vec![Item::Text(Value::Any)];
    read |element, flags| {
        if element.attr("model") != Some("random") {
            return Ok(None);
        }
        let text = element.text();
        Ok(Some(if text.is_empty() { "/dev/random".to_owned() } else { text.into_owned() }))
    };
    children |field, out| if let Some(text) = field { out.w.text(text) };
}

kind! {
    /// What a passed-on smartcard talks to.
    card_source [] (Option<ChardevSource>;)
    shape vec![Item::Include("chardev::ChardevSource")];
    read |element, flags| match element.attr("mode") {
        Some("passthrough") => ChardevSource::read(element, flags).map(Some),
        _ => Ok(None),
    };
    attrs |field, out| if let Some(source) = field { source.attrs(out) };
    children |field, out| if let Some(source) = field { source.children(out) };
}

kind! {
    /// The character device of an EGD backend: its type is an attribute of the backend.
    egd_source [] (Option<ChardevSource>;)
    shape vec![Item::Include("chardev::ChardevSource")];
    read |element, flags| match element.attr("type").filter(|_| element.attr("model") == Some("egd")) {
        None => Ok(None),
        Some(_) => ChardevSource::read(element, flags).map(Some),
    };
    attrs |field, out| if let Some(source) = field { source.attrs(out) };
    children |field, out| if let Some(source) = field { source.children(out) };
}

kind! {
    /// Four hexadecimal digits, eight for the later generation.
    sev_policy [] (Option<String>; name: &'static str)
    shape vec![Item::text::<String>(name, Often::Maybe)];
    read |element, flags| element.child(name).map(|child| {
        let text = child.text();
        let digits = if element.attr("type") == Some("sev-snp") { 8 } else { 4 };
        virt_xml::parse_number(&text, 16).and_then(|policy| u64::try_from(policy).ok())
            .map(|policy| format!("0x{policy:0digits$x}"))
            .ok_or_else(|| error::xml("failed to get launch security policy"))
    }).transpose();
    children |field, out| if let Some(policy) = field { out.w.text_element(name, policy) };
}

kind! {
    /// The address's own where nothing is said.
    ip_family [] (Option<String>; name: &'static str)
    shape vec![Item::attr::<String>(name, false)];
    read |element, flags| Ok(Some({
        let written = crate::domain::unsaid::family_of(element.attr("address").unwrap_or_default());
        element.attr(name).unwrap_or(written).to_owned()
    }));
    attrs |field, out| if let Some(family) = field { out.w.attr(name, family) };
}

kind! {
    /// The device of the host, in the form that the owner's type asks for.
    hostdev_source [] (Option<HostdevSource>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Named("hostdev::HostdevSource"))];
    read |element, flags| {
        let kind = element.attr("type").unwrap_or_default();
        element.child(name).map(|child| HostdevSource::read(child, kind, flags)).transpose()
    };
    children |field, out| if let Some(source) = field { out.element(name, source) };
}

kind! {
    /// Limits that disks share. Compat: their name comes last here, in a disk before the lengths.
    throttle_groups [] (Vec<Iotune>; outer: &'static str, name: &'static str)
    shape wrapped::shape(PhantomData::<Vec<Iotune>>, outer, name);
    read |element, flags| wrapped::read(element, flags, outer, name);
    children |field, out| if !field.is_empty() {
        out.w.open(outer);
        for group in field {
            out.w.open(name);
            Iotune { group_name: None, ..group.clone() }.children(out);
            text::children(&group.group_name, out, "group_name");
            out.w.close(name);
        }
        out.w.close(outer);
    };
}

kind! {
    /// The size of a RAM disk, its unit in `units`.
    usage_kib [] (Option<u64>; name: &'static str)
    shape vec![Item::Attr { name, value: u64::VALUE, required: false }];
    read |element, flags| match read_value::<u64>(element, name)? {
        // Compat: rounded down, unlike other sizes.
        Some(number) => crate::schema::text::scale_bytes(number, element.attr("units"), 1024)
            .map_or_else(|| kib(number, element.attr("units")).map(Some), |bytes| Ok(Some(bytes / 1024))),
        None => Ok(None),
    };
    attrs |field, out| if let Some(kib) = field {
        out.w.attr(name, &kib.to_string());
        out.w.attr("units", "KiB");
    };
}

kind! {
    model_fallback [] (Option<Fallback>; name: &'static str)
    shape vec![Item::attr::<Fallback>(name, false)];
    read |element, flags| Ok(read_value(element, name)?.filter(|_| !element.text().is_empty()));
    attrs |field, out| if let Some(fallback) = field { out.w.attr(name, fallback.as_str()) };
}
