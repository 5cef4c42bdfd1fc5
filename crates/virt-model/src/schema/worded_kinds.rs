//! Shapes of fields whose refusal libvirt words in a way of its own.

use std::marker::PhantomData;

use virt_error::{Code, Error, Origin, Result};
use virt_xml::Element;

use super::kinds::{attr_req, child_def, kind, read_value};
use crate::Mac;
use crate::domain::Features;
use crate::domain::cpu::Policy;
use crate::network::NetworkMac;
use crate::schema::shape::{Item, Of, Often, Value, items_of};
use crate::schema::{Body, Out, ParseFlags, Text, error};

kind! {
    /// An attribute that may be absent.
    attr_said [T: Text] (Option<T>; name: &'static str, wrong: fn(&str) -> Error)
    shape vec![Item::attr::<T>(name, false)];
    read |element, flags| match element.attr(name) {
        None => Ok(None),
        Some(text) => T::parse(text).map(Some).ok_or_else(|| wrong(text)),
    };
    attrs |field, out| if let Some(value) = field { out.w.attr(name, &value.print()) };
}

kind! {
    /// An attribute that must be there; the refusal is told what was there instead.
    attr_said_req [T: Text] (T; name: &'static str, wrong: fn(Option<&str>) -> Error)
    shape vec![Item::attr::<T>(name, true)];
    read |element, flags| {
        let text = element.attr(name);
        text.and_then(T::parse).ok_or_else(|| wrong(text))
    };
    attrs |field, out| out.w.attr(name, &field.print());
}

kind! {
    /// An attribute that counts as absent where it says nothing known.
    attr_lenient [T: Text] (Option<T>; name: &'static str)
    shape vec![Item::attr::<T>(name, false)];
    read |element, flags| Ok(element.attr(name).and_then(T::parse));
    attrs |field, out| if let Some(value) = field { out.w.attr(name, &value.print()) };
}

kind! {
    /// A child that is only text.
    text_said [T: Text] (Option<T>; name: &'static str, wrong: fn(&str) -> Error)
    shape vec![Item::text::<T>(name, Often::Maybe)];
    read |element, flags| match element.child(name).map(Element::text) {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => T::parse(&text).map(Some).ok_or_else(|| wrong(&text)),
    };
    children |field, out| if let Some(value) = field { out.w.text_element(name, &value.print()) };
}

kind! {
    /// A number of things of which there is one at least.
    attr_positive [] (u32; name: &'static str)
    shape vec![Item::Attr { name, value: Value::Listed("$pos"), required: true }];
    read |element, flags| match some_positive(element, name)? {
        Some(number) => Ok(number),
        None => Err(error::missing_attribute(element, name)),
    };
    attrs |field, out| out.w.attr(name, &field.to_string());
}

kind! {
    /// The same where one is meant if nothing is said.
    attr_or_one [] (u32; name: &'static str)
    shape vec![Item::Attr { name, value: Value::Listed("$pos"), required: false }];
    read |element, flags| Ok(some_positive(element, name)?.unwrap_or(1));
    attrs |field, out| out.w.attr(name, &field.to_string());
}

fn some_positive(element: &Element<'_>, name: &str) -> Result<Option<u32>> {
    match read_value::<u32>(element, name)? {
        Some(0) => {
            let what = format!(
                "Invalid value for attribute '{name}' in element '{}': Zero is not permitted",
                element.name
            );
            Err(Error::new(Code::XmlError, Origin::Xml, what))
        }
        number => Ok(number),
    }
}

kind! {
    /// What the machine can do. Compat: a feature that nobody knows is refused, unlike other elements.
    features [] (Features; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Model(items_of::<Features>))];
    read |element, flags| {
        let known = |name: &str| Features::ROWS.iter().any(|row| row.name == name);
        let given = element.child(name).into_iter().flat_map(Element::elements);
        match given.map(Element::local_name).find(|name| !known(name)) {
            Some(name) => Err(error::unsupported(format!("unexpected feature '{name}'"))),
            None => child_def::read(element, flags, name),
        }
    };
    children |field, out| child_def::children(field, out, name);
}

kind! {
    /// The address of a network's bridge.
    bridge_mac [] (Option<NetworkMac>; name: &'static str)
    shape vec![Item::child(name, Often::Maybe, Of::Model(items_of::<NetworkMac>))];
    read |element, flags| {
        let Some(text) = element.child(name).and_then(|mac| mac.attr("address")) else {
            return Ok(None);
        };
        let network = element.child_text("name").unwrap_or_default();
        let refuse = |what: &str| {
            let detail = format!("Invalid {what} '{text}' in network '{network}'");
            Err(Error::new(Code::XmlError, Origin::Network, detail))
        };
        match Mac::parse(text) {
            None => refuse("bridge mac address"),
            Some(mac) if mac.is_multicast() => refuse("multicast bridge mac address"),
            Some(address) => Ok(Some(NetworkMac { address })),
        }
    };
    children |field, out| if let Some(mac) = field { out.element(name, mac) };
}

kind! {
    /// What a passed device is, in its mode's vocabulary.
    hostdev_type [] (String; name: &'static str)
    shape vec![Item::attr::<String>(name, true)];
    read |element, flags| {
        let Some(word) = element.attr(name) else {
            return Err(error::missing_attribute(element, name));
        };
        let known: &[&str] = match element.attr("mode") {
            Some("capabilities") => &["storage", "misc", "net"],
            _ => &["usb", "pci", "scsi", "scsi_host", "mdev"],
        };
        match known.contains(&word) {
            true => Ok(word.to_owned()),
            false => Err(error::invalid_value(element, name, word, "")),
        }
    };
    attrs |field, out| out.w.attr(name, field);
}

kind! {
    /// Limit: a VLAN's number has twelve bits, and the last is reserved.
    vlan_tag_id [] (u32; name: &'static str)
    shape vec![Item::attr::<u32>(name, true)];
    read |element, flags| match attr_req::read(element, flags, name)? {
        id @ 0..=4095 => Ok(id),
        id => {
            let what = format!("vlan tag id {id} too large (maximum 4095)");
            Err(Error::new(Code::XmlError, Origin::None, what))
        }
    };
    attrs |field, out| out.w.attr(name, &field.to_string());
}

kind! {
    /// A feature's policy; `require` in a guest's CPU where absent.
    attr_policy [] (Option<Policy>; name: &'static str)
    shape vec![Item::attr::<Policy>(name, false)];
    read |element, flags| match element.attr(name).map(Policy::from_word) {
        None => Ok(Some(Policy::Require)),
        Some(Some(policy)) => Ok(Some(policy)),
        Some(None) => {
            let what = "Invalid CPU feature policy";
            Err(Error::new(Code::ConfigUnsupported, Origin::Cpu, what))
        }
    };
    attrs |field, out| if let Some(policy) = field { out.w.attr(name, policy.as_str()) };
}
