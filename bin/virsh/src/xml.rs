//! What commands read out of documents.

use virt_xml::{Element, Node};

use crate::failure::Failure;

/// Reads a document that a daemon sent.
pub(crate) fn parse(text: &str) -> Result<Element<'_>, Failure> {
    virt_xml::parse(text).map_err(|error| Failure::new(error.framed(None)))
}

/// The element at a path of names below `root`.
pub(crate) fn at<'e, 'a>(root: &'e Element<'a>, path: &[&str]) -> Option<&'e Element<'a>> {
    path.iter().try_fold(root, |element, name| element.child(name))
}

/// An attribute of the element at a path.
pub(crate) fn attr_at<'e>(root: &'e Element<'_>, path: &[&str], name: &str) -> Option<&'e str> {
    at(root, path)?.attr(name)
}

/// A disk as lists show it.
pub(crate) struct Disk {
    pub(crate) kind: String,
    pub(crate) device: String,
    pub(crate) target: String,
    pub(crate) source: Option<String>,
}

/// The disks of a domain.
pub(crate) fn disks(domain: &Element<'_>) -> Vec<Disk> {
    let devices = domain.child("devices");
    let disks = devices.into_iter().flat_map(|devices| devices.children_named("disk"));
    disks
        .map(|disk| {
            let source = disk.child("source");
            let named = |attr: &str| source.and_then(|source| source.attr(attr)).map(str::to_owned);
            let source = match disk.attr("type") {
                Some("nvme") => source.and_then(nvme_address),
                Some("vhostuser") => named("path"),
                Some("volume") => named("volume"),
                _ => ["file", "dev", "dir", "name"].into_iter().find_map(named),
            };
            Disk {
                kind: disk.attr("type").unwrap_or_default().to_owned(),
                device: disk.attr("device").unwrap_or("disk").to_owned(),
                target: attr_at(disk, &["target"], "dev").unwrap_or_default().to_owned(),
                source,
            }
        })
        .collect()
}

/// The copy that a job makes of the disk with this target or source.
pub(crate) fn mirror_of<'e, 'a>(domain: &'e Element<'a>, disk: &str) -> Option<&'e Element<'a>> {
    let named = |found: &Element<'a>| {
        attr_at(found, &["target"], "dev") == Some(disk)
            || ["file", "dev"].iter().any(|attr| attr_at(found, &["source"], attr) == Some(disk))
    };
    let mut disks = domain.child("devices")?.children_named("disk");
    disks.find(|found| named(found))?.child("mirror")
}

/// Where a directly attached NVMe namespace sits.
fn nvme_address(source: &Element<'_>) -> Option<String> {
    let address = source.child("address")?;
    let part = |name: &str| {
        let text = address.attr(name).unwrap_or("0");
        u32::try_from(virt_xml::parse_number(text, 0)?).ok()
    };
    Some(format!(
        "nvme://{:04x}:{:02x}:{:02x}.{:x}/{}",
        part("domain")?,
        part("bus")?,
        part("slot")?,
        part("function")?,
        source.attr("namespace")?
    ))
}

/// A network interface of a domain as lists show it.
pub(crate) struct Nic {
    pub(crate) target: Option<String>,
    pub(crate) kind: String,
    pub(crate) source: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) mac: Option<String>,
    pub(crate) link: Option<String>,
}

/// The network interfaces of a domain.
pub(crate) fn nics(domain: &Element<'_>) -> Vec<Nic> {
    let devices = domain.child("devices");
    let nics = devices.into_iter().flat_map(|devices| devices.children_named("interface"));
    nics.map(|nic| {
        let named = |child: &str, attr: &str| attr_at(nic, &[child], attr).map(str::to_owned);
        let source = ["network", "bridge", "dev", "name", "path"];
        Nic {
            target: named("target", "dev"),
            kind: nic.attr("type").unwrap_or_default().to_owned(),
            source: source.into_iter().find_map(|attr| named("source", attr)),
            model: named("model", "type"),
            mac: named("mac", "address"),
            link: named("link", "state"),
        }
    })
    .collect()
}

/// Replaces the text of a child element.
pub(crate) fn set_child_text(parent: &mut Element<'static>, name: &str, text: &str) {
    for node in &mut parent.children {
        if let Node::Element(child) = node
            && child.name == name
        {
            child.children = vec![Node::Text(text.to_owned().into())];
        }
    }
}

/// Compat: quotes are double and attributes alone escape them, unlike in whole documents.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An element as it stands in its document, white space and all.
pub(crate) fn as_it_is(element: &Element<'_>) -> String {
    let mut out = String::new();
    copy(&mut out, element);
    out
}

fn copy(out: &mut String, element: &Element<'_>) {
    out.push('<');
    out.push_str(&element.name);
    for attr in &element.attrs {
        let value = escaped(&attr.value).replace('"', "&quot;");
        out.push_str(&format!(" {}=\"{value}\"", attr.name));
    }
    if element.children.is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    for node in &element.children {
        match node {
            Node::Element(child) => copy(out, child),
            Node::Text(text) => out.push_str(&escaped(text)),
            Node::Comment(text) => out.push_str(&format!("<!--{text}-->")),
        }
    }
    out.push_str(&format!("</{}>", element.name));
}

/// A document of this shell's own making: indented, single quotes.
pub(crate) fn own_document(element: &Element<'_>) -> String {
    let mut out = String::new();
    write_own(&mut out, element, 0);
    out
}

fn write_own(out: &mut String, element: &Element<'_>, depth: usize) {
    let indent = "  ".repeat(depth);
    out.push_str(&format!("{indent}<{}", element.name));
    for attr in &element.attrs {
        out.push_str(&format!(" {}='", attr.name));
        virt_xml::escape_into(out, &attr.value);
        out.push('\'');
    }
    if element.children.is_empty() {
        out.push_str("/>\n");
        return;
    }
    out.push('>');
    if element.elements().next().is_none() {
        virt_xml::escape_into(out, &element.text());
    } else {
        out.push('\n');
        element.elements().for_each(|child| write_own(out, child, depth + 1));
        out.push_str(&indent);
    }
    out.push_str(&format!("</{}>\n", element.name));
}
