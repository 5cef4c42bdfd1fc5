//! Shapes of single fields of the other documents that libvirt reads in a way of their own.

use std::marker::PhantomData;

use virt_error::{Code, Error, Origin, Result};
use virt_types::Uuid;
use virt_xml::Element;

use super::kinds::{child, kind, list, read_value};
use crate::domain::interface::{FilterParameter, FilterRef};
use crate::filter::{Entry, Rule};
use crate::network::{Bridge, ForwardMode};
use crate::schema::shape::{Item, Of, Often, items_of};
use crate::schema::text::{Mac, YesNo, scale_bytes};
use crate::schema::{Body, Out, ParseFlags, Text, error};
use crate::snapshot::DomainThen;
use crate::storage::VolumeType;

kind! {
    /// Children that are never printed in the short form.
    list_long [T: Body] (Vec<T>; name: &'static str)
    shape vec![Item::child(name, Often::Many, Of::Model(items_of::<T>))];
    read |element, flags| list::read(element, flags, name);
    children |field, out| for body in field {
        out.w.open(name);
        body.attrs(out);
        body.children(out);
        out.w.close_long(name);
    };
}

kind! {
    /// A child that may be absent, never printed in the short form.
    child_long_opt [T: Body] (Option<T>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Model(items_of::<T>))];
    read |element, flags| child::read(element, flags, name);
    children |field, out| if let Some(body) = field {
        out.w.open(name);
        body.attrs(out);
        body.children(out);
        out.w.close_long(name);
    };
}

kind! {
    forward_mode [] (Option<ForwardMode>; name: &'static str)
    shape vec![Item::attr::<ForwardMode>(name, false)];
    read |element, flags| match element.attr(name) {
        None => Ok(None),
        Some(word) => ForwardMode::from_word(word).map(Some).ok_or_else(|| {
            Error::new(Code::ConfigUnsupported, Origin::Network, format!("unknown forwarding type '{word}'"))
        }),
    };
    attrs |field, out| if let Some(mode) = field { out.w.attr(name, mode.as_str()) };
}

kind! {
    /// The bridge; of a network that has none it is not printed.
    network_bridge [] (Option<Bridge>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Model(items_of::<Bridge>))];
    read |element, flags| child::read(element, flags, name);
    children |field, out| if let Some(bridge) = field { out.element_if_any(name, bridge) };
}

kind! {
    /// A text that may be missing, which its owner checks.
    text_or_empty [] (String; name: &'static str)
    shape vec![Item::text::<String>(name, Often::Maybe)];
    read |element, flags| Ok(element.child_text(name).unwrap_or_default().into_owned());
    children |field, out| if !field.is_empty() { out.w.text_element(name, field) };
}

kind! {
    /// A UUID; one that is none is an error of the document.
    uuid_or_xml_error [] (Option<Uuid>; name: &'static str, from: Origin)
    shape vec![Item::text::<Uuid>(name, Often::Maybe)];
    read |element, flags| match element.child_text(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => Uuid::parse(&text).map(Some)
            .ok_or_else(|| Error::new(Code::XmlError, from, "malformed uuid element")),
    };
    children |field, out| if let Some(uuid) = field { out.w.text_element(name, &uuid.to_string()) };
}

kind! {
    /// A UUID of another object, which is named in the refusal.
    uuid_named [] (Option<Uuid>; name: &'static str, from: Origin)
    shape vec![Item::text::<Uuid>(name, Often::Once)];
    read |element, flags| match element.child_text(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => Uuid::parse(&text).map(Some)
            .ok_or_else(|| Error::internal(from, format!("Unable to parse UUID '{text}'"))),
    };
    children |field, out| if let Some(uuid) = field { out.w.text_element(name, &uuid.to_string()) };
}

kind! {
    /// A hardware address in a child of its own.
    mac_child [] (Option<Mac>; name: &'static str, from: Origin)
    shape vec![Item::child(name, Often::Once, Of::Items(vec![Item::attr::<Mac>("address", true)]))];
    read |element, flags| match element.child(name).and_then(|child| child.attr("address")) {
        None => Ok(None),
        Some(text) => Mac::parse(text).map(Some)
            .ok_or_else(|| Error::internal(from, format!("Unable to parse MAC '{text}'"))),
    };
    children |field, out| if let Some(mac) = field {
        out.w.open(name);
        out.w.attr("address", &mac.to_string());
        out.w.close(name);
    };
}

kind! {
    /// The path of a pool's source device, which must be there.
    pool_device_path [] (String; name: &'static str)
    shape vec![Item::attr::<String>(name, true)];
    read |element, flags| element.attr(name).filter(|path| !path.is_empty()).map(str::to_owned)
        .ok_or_else(|| {
            let what = "missing storage pool source device path";
            Error::new(Code::XmlError, Origin::Storage, what)
        });
    attrs |field, out| out.w.attr(name, field);
}

kind! {
    /// A size that is state: printed, never read.
    bytes_state [] (u64; name: &'static str)
    shape vec![Item::size(name)];
    read |element, flags| Ok(0);
    children |field, out| {
        out.w.open(name);
        out.w.attr("unit", "bytes");
        out.w.text(&field.to_string());
        out.w.close(name);
    };
}

/// A size with its unit, in bytes.
fn read_bytes(element: &Element<'_>) -> Result<u64> {
    let what = &element.name;
    let number = u64::parse(&element.text()).ok_or_else(|| {
        Error::new(Code::XmlError, Origin::Storage, format!("malformed {what} element"))
    })?;
    scale_bytes(number, element.attr("unit"), 1).ok_or_else(|| {
        error::invalid_arg(format!("unknown suffix '{}'", element.attr("unit").unwrap_or_default()))
    })
}

kind! {
    /// A child that is a size; printed in bytes.
    bytes_text [] (Option<u64>; name: &'static str)
    shape vec![Item::size(name)];
    read |element, flags| element.child(name).map(read_bytes).transpose();
    children |field, out| if let Some(bytes) = field {
        out.w.open(name);
        out.w.attr("unit", "bytes");
        out.w.text(&bytes.to_string());
        out.w.close(name);
    };
}

kind! {
    /// The same with the short unit.
    bytes_short [] (Option<u64>; name: &'static str)
    shape vec![Item::size(name)];
    read |element, flags| bytes_text::read(element, flags, name);
    children |field, out| if let Some(bytes) = field {
        out.w.open(name);
        out.w.attr("unit", "B");
        out.w.text(&bytes.to_string());
        out.w.close(name);
    };
}

kind! {
    /// A size in MiB; one that is no whole number of them is said in bytes, so that it is not another.
    mib_text [] (Option<u64>; name: &'static str)
    shape vec![Item::size(name)];
    read |element, flags| bytes_text::read(element, flags, name);
    children |field, out| if let Some(bytes) = field {
        let whole = bytes.trailing_zeros() >= 20;
        out.w.open(name);
        out.w.attr("unit", if whole { "M" } else { "B" });
        out.w.text(&(if whole { bytes >> 20 } else { *bytes }).to_string());
        out.w.close(name);
    };
}

kind! {
    /// A count that is state: printed where there is any, never read.
    count_state [] (u32; name: &'static str)
    shape vec![Item::attr::<u32>(name, false)];
    read |element, flags| Ok(0);
    attrs |field, out| if *field > 0 { out.w.attr(name, &field.to_string()) };
}

kind! {
    /// A tree that is state: printed, never read.
    not_read [] (Option<Element<'static>>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Items(vec![Item::Anything]))];
    read |element, flags| Ok(None);
    children |field, out| if let Some(tree) = field { out.w.element(tree) };
}

kind! {
    clean_path [] (String; name: &'static str)
    shape vec![Item::attr::<String>(name, true)];
    read |element, flags| match read_value::<String>(element, name)? {
        Some(path) => Ok(crate::storage::clean_path(&path)),
        None => Err(error::missing_attribute(element, name)),
    };
    attrs |field, out| out.w.attr(name, field);
}

kind! {
    clean_path_text [] (Option<String>; name: &'static str)
    shape vec![Item::text::<String>(name, Often::Maybe)];
    read |element, flags| Ok(element.child_text(name).filter(|path| !path.is_empty())
        .map(|path| crate::storage::clean_path(&path)));
    children |field, out| if let Some(path) = field { out.w.text_element(name, path) };
}

kind! {
    /// A SCSI host where nothing is said.
    adapter_type [] (Option<String>; name: &'static str)
    shape vec![Item::attr::<String>(name, false)];
    read |element, flags| match element.attr(name) {
        None => Ok(Some("scsi_host".to_owned())),
        Some(word @ ("scsi_host" | "fc_host")) => Ok(Some(word.to_owned())),
        Some(word) => Err(error::invalid_value(element, name, word, "")),
    };
    attrs |field, out| if let Some(kind) = field { out.w.attr(name, kind) };
}

kind! {
    volume_type [] (Option<VolumeType>; name: &'static str)
    shape vec![Item::attr::<VolumeType>(name, false)];
    read |element, flags| match element.attr(name) {
        None => Ok(None),
        Some(word) => VolumeType::from_word(word).map(Some).ok_or_else(|| {
            Error::new(Code::ConfigUnsupported, Origin::Storage, format!("unknown volume type '{word}'"))
        }),
    };
    attrs |field, out| if let Some(kind) = field { out.w.attr(name, kind.as_str()) };
}

kind! {
    /// The name of a host device; one to be created has none yet.
    device_name [] (String; name: &'static str)
    shape vec![Item::text::<String>(name, Often::Maybe)];
    read |element, flags| Ok(element.child_text(name).map_or_else(|| "new device".to_owned(), std::borrow::Cow::into_owned));
    children |field, out| out.w.text_element(name, field);
}

kind! {
    /// The domain as it was, or only which one.
    domain_then [] (Option<DomainThen>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Named("snapshot::DomainThen"))];
    read |element, flags| element.child(name).map(|child| DomainThen::read(child, flags)).transpose();
    children |field, out| if let Some(then) = field { then.write(name, out) };
}

kind! {
    checkpoint_disk_name [] (String; name: &'static str)
    shape vec![Item::attr::<String>(name, true)];
    read |element, flags| element.attr(name).map(str::to_owned).ok_or_else(|| {
        Error::new(Code::XmlError, Origin::DomainCheckpoint, "missing name from disk checkpoint element")
    });
    attrs |field, out| out.w.attr(name, field);
}

kind! {
    /// No where absent; always printed.
    yes_or_no [] (bool; name: &'static str)
    shape vec![Item::attr::<YesNo>(name, false)];
    read |element, flags| match element.attr(name) {
        None => Ok(false),
        Some(text) => YesNo::parse(text).map(YesNo::is_yes).ok_or_else(|| {
            let what = format!("invalid value of '{name}'");
            Error::new(Code::XmlError, Origin::Secret, what)
        }),
    };
    attrs |field, out| out.w.attr(name, YesNo::from(*field).as_str());
}

kind! {
    /// File permissions.
    octal [] (Option<u32>; name: &'static str)
    shape vec![Item::attr::<String>(name, false)];
    read |element, flags| match element.attr(name) {
        None => Ok(None),
        Some(text) => u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777).map(Some)
            .ok_or_else(|| error::xml(format!("invalid {name}: '{text}'"))),
    };
    attrs |field, out| if let Some(mode) = field { out.w.attr(name, &format!("{mode:04o}")) };
}

kind! {
    /// What a mainframe's firmware is told of a boot device.
    loadparm [] (Option<String>; name: &'static str)
    shape vec![Item::attr::<String>(name, false)];
    read |element, flags| {
        let Some(text) = element.attr(name) else { return Ok(None) };
        let text = text.to_ascii_uppercase();
        let known = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == ' ';
        if text.is_empty() || text.len() > 8 {
            return Err(error::internal(format!("loadparm value '{text}' must be between 1 and 8 characters")));
        }
        match text.chars().find(|c| !known(*c)) {
            Some(c) => Err(error::internal(format!("invalid loadparm char '{c}', expecting chars in set of [a-zA-Z0-9.] and blank spaces"))),
            None => Ok(Some(text)),
        }
    };
    attrs |field, out| if let Some(text) = field { out.w.attr(name, text) };
}

kind! {
    /// A USB device's version: a number and two digits.
    usb_version [] (Option<String>; name: &'static str)
    shape vec![Item::attr::<String>(name, false)];
    read |element, flags| {
        let Some(text) = element.attr(name) else { return Ok(None) };
        if text == "-1" {
            return Ok(None);
        }
        let wrong = || error::internal(format!("Incorrect USB version format {text}"));
        let (major, minor) = text.split_once('.').ok_or_else(wrong)?;
        let digits = minor.len();
        let minor = minor.parse::<u8>().ok().filter(|_| digits <= 2).ok_or_else(wrong)?;
        let major = major.parse::<u8>().map_err(|_| wrong())?;
        let minor = if digits == 1 { minor.saturating_mul(10) } else { minor };
        Ok(Some(format!("{major}.{minor:02}")))
    };
    attrs |field, out| if let Some(text) = field { out.w.attr(name, text) };
}

kind! {
    /// A number of a USB device in so many hexadecimal digits; -1 is any.
    usb_number [] (Option<u32>; name: &'static str, digits: usize)
    shape vec![Item::attr::<String>(name, false)];
    read |element, flags| {
        let Some(text) = element.attr(name).filter(|text| *text != "-1") else { return Ok(None) };
        let hex = text.strip_prefix("0x").map(|text| u32::from_str_radix(text, 16));
        match hex.unwrap_or_else(|| text.parse()) {
            Ok(number) if number < 1 << (4 * digits) => Ok(Some(number)),
            _ => Err(error::invalid_value(element, name, text, "Expected integer value")),
        }
    };
    attrs |field, out| if let Some(number) = field {
        out.w.attr(name, &format!("0x{number:0digits$X}"));
    };
}

kind! {
    /// Variables of a filter, by name; those of one name stay in their order.
    ///
    /// Compat: one that no rule could use, for a letter in its name or its value, is left out.
    filter_parameters [] (Vec<FilterParameter>; name: &'static str)
    shape vec![Item::child(name, Often::Many, Of::Model(items_of::<FilterParameter>))];
    read |element, flags| {
        let word = |extra: &'static str| move |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
        let usable = |p: &FilterParameter| {
            !p.name.is_empty() && p.name.chars().all(word("_"))
                && !p.value.is_empty() && p.value.chars().all(word("_.:"))
        };
        let complete = |e: &&Element<'_>| e.attr("name").is_some() && e.attr("value").is_some();
        let mut found: Vec<FilterParameter> = element.children_named(name).filter(complete)
            .map(|child| FilterParameter::read(child, flags)).collect::<Result<_>>()?;
        found.retain(usable);
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    };
    children |field, out| list::children(field, out, name);
}

kind! {
    /// The rules and other filters of a filter, in the order of the document.
    filter_entries [] (Vec<Entry>;)
    shape vec![
        Item::child("filterref", Often::Many, Of::Model(items_of::<FilterRef>)),
        Item::child("rule", Often::Many, Of::Model(items_of::<Rule>)),
    ];
    read |element, flags| element.elements().filter_map(|child| match &*child.name {
        "rule" => Some(Rule::read(child, flags).map(Entry::Rule)),
        "filterref" => Some(FilterRef::read(child, flags).map(Entry::Filter)),
        _ => None,
    }).collect();
    children |field, out| for entry in field {
        match entry {
            Entry::Rule(rule) => out.element("rule", rule),
            Entry::Filter(filter) => out.element("filterref", filter),
        }
    };
}

kind! {
    /// The unit of a lease: minutes where nothing is said, and none of one without end.
    lease_unit [] (Option<String>; name: &'static str)
    shape vec![Item::attr::<String>(name, false)];
    read |element, flags| {
        let endless = read_value::<u64>(element, "expiry")?.is_none_or(|expiry| expiry == 0);
        match element.attr(name).unwrap_or("minutes") {
            unit @ ("seconds" | "minutes" | "hours") => Ok(Some(unit.to_owned()).filter(|_| !endless)),
            other => Err(error::invalid_value(element, name, other, "")),
        }
    };
    attrs |field, out| if let Some(unit) = field { out.w.attr(name, unit) };
}

kind! {
    /// An attribute that is not printed where it says 0.
    attr_unless_zero [] (Option<String>; name: &'static str)
    shape vec![Item::attr::<String>(name, false)];
    read |element, flags| Ok(element.attr(name).map(str::to_owned));
    attrs |field, out| if let Some(text) = field.as_ref().filter(|text| *text != "0") {
        out.w.attr(name, text);
    };
}
