//! What commands read out of documents.

use virt_xml::Element;

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
        if let virt_xml::Node::Element(child) = node
            && child.name == name
        {
            child.children = vec![virt_xml::Node::Text(text.to_owned().into())];
        }
    }
}
