//! Shapes of fields whose refusal libvirt words in a way of its own.

use std::marker::PhantomData;

use virt_error::{Code, Error, Origin, Result};
use virt_xml::Element;

use super::kinds::{
    attr_req, child, child_def, child_long_opt, child_some, kind, list, read_value, text, tree_of,
};
use crate::Mac;
use crate::domain::cpu::Policy;
use crate::domain::devices::{Rate, RngBackend};
use crate::domain::graphics::{Listen, ListenType};
use crate::domain::interface::InterfaceDriver;
use crate::domain::misc::Enabled;
use crate::domain::tune::BlkioDevice;
use crate::domain::{Features, Seclabel};
use crate::network::NetworkMac;
use crate::schema::form;
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
    /// How fast random numbers may come; no limit where it says 0.
    rng_rate [] (Option<Rate>; name: &'static str)
    shape child::shape(PhantomData::<Option<Rate>>, name);
    read |element, flags| {
        let rate = child::read(element, flags, name)?.filter(|rate: &Rate| rate.bytes > 0);
        Ok(rate.map(|rate| Rate { period_ms: rate.period_ms.filter(|period| *period > 0), ..rate }))
    };
    children |field, out| child::children(field, out, name);
}

kind! {
    /// Where random numbers come from. Compat: one that talks to a daemon is never in the short form.
    rng_backend [] (Option<RngBackend>; name: &'static str)
    shape child::shape(PhantomData::<Option<RngBackend>>, name);
    read |element, flags| child::read(element, flags, name);
    children |field, out| match field {
        Some(backend) if backend.chardev.is_some() => child_long_opt::children(field, out, name),
        _ => child::children(field, out, name),
    };
}

kind! {
    /// A number whose 0 says nothing.
    text_odd [T: Text + Default + PartialEq] (Option<T>; name: &'static str)
    shape text::shape(PhantomData::<Option<T>>, name);
    read |element, flags| Ok(text::read(element, flags, name)?.filter(|value| *value != T::default()));
    children |field, out| text::children(field, out, name);
}

kind! {
    /// Limits of the host's devices; a device without any is not printed.
    blkio_devices [] (Vec<BlkioDevice>; name: &'static str)
    shape list::shape(PhantomData::<Vec<BlkioDevice>>, name);
    read |element, flags| {
        let limited = |device: &BlkioDevice| {
            *device != BlkioDevice { path: device.path.clone(), ..BlkioDevice::default() }
        };
        let all: Vec<BlkioDevice> = list::read(element, flags, name)?;
        Ok(all.into_iter().filter(limited).collect())
    };
    children |field, out| list::children(field, out, name);
}

kind! {
    /// Labels. Compat: one that does not say of which type it is means nothing.
    seclabels [] (Vec<Seclabel>; name: &'static str)
    shape list::shape(PhantomData::<Vec<Seclabel>>, name);
    read |element, flags| {
        let mut labels: Vec<Seclabel> = list::read(element, flags, name)?;
        // Only a label that a model is said for can be left out: another is an error of the driver's.
        labels.retain(|label| label.kind.is_some() || label.model.is_none());
        Ok(labels)
    };
    children |field, out| list::children(field, out, name);
}

kind! {
    /// A word; the one that stands for nothing is not kept.
    attr_not_word [] (Option<String>; name: &'static str, nothing: &'static str)
    shape vec![Item::attr::<String>(name, false)];
    read |element, flags| Ok(element.attr(name).filter(|word| *word != nothing).map(str::to_owned));
    attrs |field, out| if let Some(word) = field { out.w.attr(name, word) };
}

kind! {
    /// Where a display listens. Compat: a definition does not keep what a network made of its name.
    listens [] (Vec<Listen>; name: &'static str)
    shape list::shape(PhantomData::<Vec<Listen>>, name);
    read |element, flags| {
        let mut all: Vec<Listen> = list::read(element, flags, name)?;
        for listen in all.iter_mut().filter(|listen| listen.kind == ListenType::Network) {
            listen.address.take_if(|_| flags.inactive);
        }
        Ok(all)
    };
    children |field, out| list::children(field, out, name);
}

kind! {
    /// A state of sleep; an element that does not say whether the guest sees it says nothing.
    sleep_state [] (Option<Enabled>; name: &'static str)
    shape child::shape(PhantomData::<Option<Enabled>>, name);
    read |element, flags| match element.child(name) {
        Some(child) if child.attr("enabled").is_some() => Enabled::read(child, flags).map(Some),
        _ => Ok(None),
    };
    children |field, out| child::children(field, out, name);
}

kind! {
    /// The host's driver of a device that is handed over whole, which is read where there is one.
    host_driver [] (Option<Element<'static>>; name: &'static str)
    shape tree_of::shape(PhantomData, name, &form::HOST_DRIVER);
    read |element, flags| match element.attr("type") {
        Some("hostdev") => tree_of::read(element, flags, name, &form::HOST_DRIVER),
        _ => Ok(None),
    };
    children |field, out| tree_of::children(field, out, name, &form::HOST_DRIVER);
}

kind! {
    /// The guest's driver of any other.
    interface_driver [] (Option<InterfaceDriver>; name: &'static str)
    shape child_some::shape(PhantomData::<Option<InterfaceDriver>>, name);
    read |element, flags| match element.attr("type") {
        Some("hostdev") => Ok(None),
        _ => child_some::read(element, flags, name),
    };
    children |field, out| child_some::children(field, out, name);
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
