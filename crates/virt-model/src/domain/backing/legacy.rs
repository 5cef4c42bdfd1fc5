//! QEMU's old forms: `nbd:HOST:PORT:exportname=NAME` and `rbd:POOL/IMAGE:KEY=VALUE…`.

use virt_error::Result;
use virt_xml::Element;

use super::{Backing, bare, host_and_port, refused, server, socket};
use crate::domain::source::Host;

pub(super) fn nbd(text: &str) -> Result<Backing> {
    const EXPORT: &str = ":exportname=";
    let (place, name) = match text.split_once(EXPORT) {
        Some((place, name)) => (place, Some(name.to_owned())),
        None => (text, None),
    };
    let host = match place.strip_prefix("unix:") {
        Some(path) => socket(path),
        None => {
            let (host, port) = host_and_port(place);
            let port = port.filter(|port| !port.is_empty() && !host.is_empty());
            server("nbd", bare(host), Some(port.ok_or_else(|| refused(text))?))
        }
    };
    Ok(Backing::network("nbd", name, vec![host]))
}

/// The parts between colons that no backslash hides; the backslashes stay.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut hidden) = (0, false);
    for (at, c) in text.char_indices() {
        if c == ':' && !hidden {
            parts.extend(text.get(from..at));
            from = at + 1;
        }
        hidden = c == '\\' && !hidden;
    }
    parts.extend(text.get(from..));
    parts
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

pub(super) fn rbd(text: &str) -> Result<Backing> {
    let parts = parts(text);
    let (image, options) = parts.split_first().ok_or_else(|| refused(text))?;
    let image = unescaped(image);
    let (name, snapshot) = match image.split_once('@') {
        Some((name, snapshot)) => (name, Some(snapshot)),
        None => (image.as_str(), None),
    };
    let mut backing = Backing::network("rbd", Some(name.to_owned()), Vec::new());
    if let Some(snapshot) = snapshot {
        let snapshot = Element::new("snapshot").with_attr("name", snapshot.to_owned());
        backing.source.rest.push(snapshot);
    }
    for option in options {
        match option.split_once('=') {
            Some(("id", user)) => backing.user = Some(unescaped(user)),
            Some(("mon_host", hosts)) => {
                let hosts = unescaped(hosts);
                backing.source.hosts = hosts.split([';', ',']).map(monitor).collect();
            }
            Some(("conf", file)) => {
                let config = Element::new("config").with_attr("file", unescaped(file));
                backing.source.rest.push(config);
            }
            _ => {}
        }
    }
    Ok(backing)
}

fn monitor(text: &str) -> Host {
    let (host, port) = host_and_port(text.trim());
    server("rbd", bare(host), port)
}
