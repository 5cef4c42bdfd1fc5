//! Sources in QEMU's own description of a block device: `json:{"driver":…}`.

use virt_error::{Code, Error, Origin, Result};
use virt_json::Value;
use virt_xml::Element;

use super::{Backing, host_and_port, refused, scheme, server, socket};
use crate::domain::disk::DiskType;
use crate::domain::source::Host;

/// Limit: how many layers may lie above the one that holds the bytes.
const LAYERS_MAX: usize = 8;

fn wrong(what: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, Origin::Storage, what)
}

pub(super) fn read(text: &str) -> Result<Backing> {
    let value = virt_json::parse(text).and_then(|value| value.deflattened());
    let value = value.map_err(|error| wrong(format!("malformed JSON backing volume: {error}")))?;
    layer(&value, 0)
}

/// Limits a source to a part of the bytes below.
fn slice(value: &Value) -> Option<Element<'static>> {
    let number = |name: &str| value.get(name).and_then(Value::as_word).map(str::to_owned);
    let (offset, size) = (number("offset"), number("size"));
    if offset.is_none() && size.is_none() {
        return None;
    }
    let word = |text: Option<String>| text.unwrap_or_else(|| "0".to_owned());
    let slice = Element::new("slice")
        .with_attr("type", "storage")
        .with_attr("offset", word(offset))
        .with_attr("size", word(size));
    Some(Element::new("slices").with_child(slice))
}

fn layer(value: &Value, depth: usize) -> Result<Backing> {
    if depth > LAYERS_MAX {
        return Err(wrong("JSON backing volume definition is too deep"));
    }
    let driver = value.get("driver").and_then(Value::as_str);
    if let Some(below) = value.get("file") {
        if below.as_object().is_none() {
            return Err(wrong("JSON backing volume definition must have only one 'file' layer"));
        }
        let mut backing = layer(below, depth + 1)?;
        if driver == Some("raw") {
            backing.source.rest.extend(slice(value));
        }
        return Ok(backing);
    }
    let driver =
        driver.ok_or_else(|| wrong("JSON backing volume definition must have driver name"))?;
    protocol(driver, value)
}

fn protocol(driver: &str, value: &Value) -> Result<Backing> {
    let backing = match driver {
        "file" => Backing::local(DiskType::File, text(value, "filename")?),
        "host_device" | "host_cdrom" => Backing::local(DiskType::Block, text(value, "filename")?),
        "http" | "https" | "ftp" | "ftps" | "tftp" => web(value)?,
        "gluster" => match address(value)? {
            Some(backing) => backing,
            None => {
                let (volume, path) = (text(value, "volume")?, text(value, "path")?);
                let name = format!("{volume}/{}", path.trim_start_matches('/'));
                Backing::network(driver, Some(name), servers(driver, value)?)
            }
        },
        "iscsi" => iscsi(value)?,
        "nbd" => nbd(value)?,
        "sheepdog" => match address(value)? {
            Some(backing) => backing,
            None => named(driver, value, "vdi")?,
        },
        "vxhs" => named(driver, value, "vdisk-id")?,
        "ssh" => match address(value)? {
            Some(backing) => backing,
            None => {
                let mut backing = named(driver, value, "path")?;
                backing.user = word(value, "user");
                backing
            }
        },
        "rbd" => rbd(value)?,
        "nfs" => nfs(value)?,
        "nvme" => nvme(value)?,
        _ => {
            let what = "can't parse JSON backing volume definition: missing parser for driver";
            return Err(wrong(format!("{what} '{driver}'")));
        }
    };
    Ok(backing)
}

/// A member that must be a text.
fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    let found = value.get(name).and_then(Value::as_str);
    found.ok_or_else(|| wrong(format!("missing '{name}' field in JSON backing volume definition")))
}

/// A member that is a text or a number.
fn word(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_word).map(str::to_owned)
}

/// A source that is named as it would be without JSON.
fn address(value: &Value) -> Result<Option<Backing>> {
    let mut names = ["filename", "uri", "url"].into_iter();
    let Some(address) = names.find_map(|name| value.get(name).and_then(Value::as_str)) else {
        return Ok(None);
    };
    match scheme(address) {
        // Only once: an address that is JSON again could nest without end.
        Some(("json", _)) | None => Err(refused(address)),
        Some(_) => Backing::parse(address).map(Some),
    }
}

fn named(protocol: &str, value: &Value, name: &str) -> Result<Backing> {
    let name = text(value, name)?.to_owned();
    Ok(Backing::network(protocol, Some(name), servers(protocol, value)?))
}

/// The servers of `server`, which is one or a list, or the one of `host` and `port`.
fn servers(protocol: &str, value: &Value) -> Result<Vec<Host>> {
    match value.get("server") {
        Some(Value::Array(list)) => list.iter().map(|one| host(protocol, one)).collect(),
        Some(one) => Ok(vec![host(protocol, one)?]),
        None => Ok(vec![host(protocol, value)?]),
    }
}

fn host(protocol: &str, value: &Value) -> Result<Host> {
    match value.get("type").and_then(Value::as_str).unwrap_or("tcp") {
        "tcp" | "inet" => {
            let port = word(value, "port");
            Ok(server(protocol, text(value, "host")?, port.as_deref()))
        }
        "unix" => {
            let path = value.get("path").or_else(|| value.get("socket")).and_then(Value::as_str);
            let missing = || wrong("missing socket path of the server in JSON backing volume");
            Ok(socket(path.ok_or_else(missing)?))
        }
        other => Err(wrong(format!("backing store protocol '{other}' is not yet supported"))),
    }
}

fn nbd(value: &Value) -> Result<Backing> {
    if let Some(backing) = address(value)? {
        return Ok(backing);
    }
    let host = match value.get("path").and_then(Value::as_str) {
        Some(path) => vec![socket(path)],
        None => servers("nbd", value)?,
    };
    Ok(Backing::network("nbd", word(value, "export"), host))
}

/// The switch of QEMU's options: a truth value, or a word for it.
fn switch(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(yes) => Some(*yes),
        Value::String(word) => match word.as_str() {
            "on" | "yes" | "true" | "y" => Some(true),
            "off" | "no" | "false" | "n" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn web(value: &Value) -> Result<Backing> {
    let mut backing = address(value)?.ok_or_else(|| {
        wrong("missing 'url' or 'filename' field in JSON backing volume definition")
    })?;
    let rest = &mut backing.source.rest;
    if let Some(verify) = value.get("sslverify") {
        let verify = switch(verify).ok_or_else(|| wrong("malformed 'sslverify' field"))?;
        rest.push(Element::new("ssl").with_attr("verify", if verify { "yes" } else { "no" }));
    }
    if let Some(cookies) = value.get("cookie").and_then(Value::as_str) {
        let mut list = Element::new("cookies");
        for cookie in cookies.split(';') {
            let pair =
                cookie.trim().split_once('=').ok_or_else(|| wrong("malformed http cookie"))?;
            let (name, value) = (pair.0.to_owned(), pair.1.to_owned());
            list = list.with_child(Element::new("cookie").with_attr("name", name).with_text(value));
        }
        rest.push(list);
    }
    for (name, attr) in [("readahead", "size"), ("timeout", "seconds")] {
        if let Some(number) = word(value, name) {
            rest.push(Element::new(name).with_attr(attr, number));
        }
    }
    Ok(backing)
}

fn iscsi(value: &Value) -> Result<Backing> {
    if let Some(backing) = address(value)? {
        return Ok(backing);
    }
    if value.get("transport").and_then(Value::as_str).is_some_and(|transport| transport != "tcp") {
        return Err(wrong("only TCP transport is supported for iSCSI volumes"));
    }
    let (portal, target) = (text(value, "portal")?, text(value, "target")?);
    let lun = word(value, "lun").unwrap_or_else(|| "0".to_owned());
    let (host, port) = host_and_port(portal);
    let host = server("iscsi", host, port);
    let mut backing = Backing::network("iscsi", Some(format!("{target}/{lun}")), vec![host]);
    backing.ignored = value.get("user").or_else(|| value.get("password")).is_some();
    if let Some(name) = word(value, "initiator-name") {
        let iqn = Element::new("iqn").with_attr("name", name);
        backing.source.rest.push(Element::new("initiator").with_child(iqn));
    }
    Ok(backing)
}

fn rbd(value: &Value) -> Result<Backing> {
    if let Some(backing) = address(value)? {
        return Ok(backing);
    }
    let (pool, image) = (text(value, "pool")?, text(value, "image")?);
    let name = match value.get("namespace").and_then(Value::as_str) {
        Some(namespace) => format!("{pool}/{namespace}/{image}"),
        None => format!("{pool}/{image}"),
    };
    let hosts = if value.get("server").is_some() { servers("rbd", value)? } else { Vec::new() };
    let mut backing = Backing::network("rbd", Some(name), hosts);
    backing.user = word(value, "user");
    for (name, element, attr) in [("snapshot", "snapshot", "name"), ("conf", "config", "file")] {
        if let Some(text) = word(value, name) {
            backing.source.rest.push(Element::new(element).with_attr(attr, text));
        }
    }
    Ok(backing)
}

fn nfs(value: &Value) -> Result<Backing> {
    let mut backing = named("nfs", value, "path")?;
    // Compat: a number is marked, so that it is taken for no name.
    let who = |name: &str| match value.get(name) {
        Some(Value::Number(id)) => Some(format!("+{id}")),
        Some(Value::String(name)) => Some(name.clone()),
        _ => None,
    };
    let mut identity = Element::new("identity");
    for name in ["user", "group"] {
        if let Some(who) = who(name) {
            identity = identity.with_attr(name, who);
        }
    }
    if !identity.attrs.is_empty() {
        backing.source.rest.push(identity);
    }
    Ok(backing)
}

/// A controller of the host by its PCI address, and one of its namespaces.
fn nvme(value: &Value) -> Result<Backing> {
    let device = text(value, "device")?;
    let namespace = word(value, "namespace")
        .ok_or_else(|| wrong("missing 'namespace' field in JSON backing volume definition"))?;
    let parts: Option<Vec<u32>> =
        device.split([':', '.']).map(|part| u32::from_str_radix(part, 16).ok()).collect();
    let Some([domain, bus, slot, function]) = parts.as_deref() else {
        return Err(wrong(format!("malformed PCI address '{device}'")));
    };
    let address = Element::new("address")
        .with_attr("domain", format!("0x{domain:04x}"))
        .with_attr("bus", format!("0x{bus:02x}"))
        .with_attr("slot", format!("0x{slot:02x}"))
        .with_attr("function", format!("0x{function:x}"));
    let mut backing = Backing::default();
    backing.source.kind = DiskType::Nvme;
    backing.source.attrs =
        vec![("type".to_owned(), "pci".to_owned()), ("namespace".to_owned(), namespace)];
    backing.source.rest.push(address);
    Ok(backing)
}
