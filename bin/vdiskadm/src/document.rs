//! `vdisk.xml`: what it says, kept as a tree so that nothing of it is lost, and its exact text.

use virt_disk::{Format, Layout};
use virt_xml::{Element, Node};

use crate::failure::{Failure, Result};
use crate::words::Kind;

/// Limit: a document with every snapshot there can be is far smaller.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

const DOCTYPE: &str = "<!DOCTYPE vdisk PUBLIC \"-//Sun Microsystems Inc//DTD xVM Management All//EN\" \
     \"file:///usr/share/lib/xml/dtd/vdisk.dtd\">";

/// The attributes of the vdisk, which are also properties, in their order.
pub(crate) const ATTRIBUTES: [&str; 8] =
    ["readonly", "removable", "cdrom", "creation-time-epoch", "vtype", "sparse", "rwcnt", "rocnt"];
/// The elements below the vdisk, and those below `diskprop`.
pub(crate) const ELEMENTS: [&str; 3] = ["name", "version", "parent"];
pub(crate) const DISK_ELEMENTS: [&str; 6] =
    ["filename", "vdfile", "owner", "max-size", "sectors", "description"];

/// The document of one vdisk.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    root: Element<'static>,
    /// Compat: the first text of a document names no encoding, every later one does.
    was_read: bool,
}

/// A snapshot as the document lists it; its name is without the `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) created_epoch: i64,
}

/// What a new document is made of.
#[derive(Clone, Debug)]
pub(crate) struct NewDocument<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: Kind,
    pub(crate) size_bytes: u64,
    pub(crate) owner: &'a str,
    pub(crate) description: &'a str,
    pub(crate) created_epoch: i64,
}

/// The name of the file with the newest content.
pub(crate) fn active_file(format: Format) -> String {
    format!("vdisk.{}", format.name())
}

/// The name of a snapshot's file.
pub(crate) fn snapshot_file(snapshot: &str, format: Format) -> String {
    format!("vdisk@{snapshot}.{}", format.name())
}

impl Document {
    pub(crate) fn new(new: &NewDocument<'_>) -> Self {
        let text = |name: &'static str, text: String| Element::new(name).with_text(text);
        let is_sparse = new.kind.layout == Layout::Sparse;
        let root = Element::new("vdisk")
            .with_attr("readonly", "false")
            .with_attr("removable", "false")
            .with_attr("cdrom", "false")
            .with_attr("creation-time-epoch", new.created_epoch.to_string())
            .with_attr("vtype", new.kind.format.name())
            .with_attr("sparse", is_sparse.to_string())
            .with_attr("rwcnt", "0")
            .with_attr("rocnt", "0")
            .with_child(text("name", new.name.to_owned()))
            .with_child(text("version", "1.0".to_owned()))
            .with_child(text("parent", "none".to_owned()))
            .with_child(
                Element::new("diskprop")
                    .with_child(text("filename", new.name.to_owned()))
                    .with_child(text("vdfile", active_file(new.kind.format)))
                    .with_child(text("owner", new.owner.to_owned()))
                    .with_child(text("max-size", new.size_bytes.to_string()))
                    .with_child(text("sectors", (new.size_bytes / 512).to_string()))
                    .with_child(text("description", new.description.to_owned())),
            );
        Self { root, was_read: false }
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let bad = |what: &str| Failure::new(format!("vdisk.xml: {what}"));
        // The document type is known by heart; what it may hold inside is not wanted.
        let text = match text.split_once("<!DOCTYPE") {
            Some((before, rest)) => {
                let (inside, after) = rest.split_once('>').ok_or_else(|| bad("is cut short"))?;
                if inside.contains('[') {
                    return Err(bad("has a document type of its own"));
                }
                format!("{before}{after}")
            }
            None => text.to_owned(),
        };
        let root = virt_xml::parse(&text).map_err(|error| bad(&error.to_string()))?.to_static();
        if root.name != "vdisk" {
            return Err(bad("is not about a vdisk"));
        }
        let document = Self { root, was_read: true };
        document.check()?;
        Ok(document)
    }

    /// Every name of a file is one, and no two are the same.
    fn check(&self) -> Result<()> {
        let bad = |what: String| Failure::new(format!("vdisk.xml: {what}"));
        self.kind()?;
        self.size_bytes()?;
        for name in ["rwcnt", "rocnt", "creation-time-epoch"] {
            self.number(name)?;
        }
        let mut files: Vec<String> =
            self.snapshots()?.into_iter().map(|snapshot| snapshot.file).collect();
        files.push(self.text("vdfile").unwrap_or_default());
        if files.len() > virt_disk::CHAIN_IMAGES_MAX {
            return Err(bad("lists too many snapshots".to_owned()));
        }
        for file in &files {
            virt_store::check_name(file)
                .map_err(|_| bad(format!("'{file}' is not the name of a file here")))?;
        }
        files.sort_unstable();
        match files.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(bad(format!("lists '{}' twice", pair[0]))),
            None => Ok(()),
        }
    }

    /// Its exact text.
    pub(crate) fn print(&self) -> String {
        let encoding = if self.was_read { " encoding=\"UTF-8\"" } else { "" };
        let mut out = format!("<?xml version=\"1.0\"{encoding}?>\n{DOCTYPE}\n");
        print(&mut out, &self.root, 0);
        out
    }

    fn number(&self, name: &str) -> Result<i64> {
        let value = self.text(name).unwrap_or_default();
        value.parse().map_err(|_| Failure::new(format!("vdisk.xml: {name} is '{value}'")))
    }

    pub(crate) fn kind(&self) -> Result<Kind> {
        let option =
            if self.text("sparse").as_deref() == Some("true") { "sparse" } else { "fixed" };
        let format = self.text("vtype").unwrap_or_default();
        Kind::parse(&format!("{format}:{option}"))
    }

    pub(crate) fn size_bytes(&self) -> Result<u64> {
        let size = self.number("max-size")?;
        u64::try_from(size).map_err(|_| Failure::new("vdisk.xml: max-size is negative"))
    }

    /// Writers and readers that use the vdisk now.
    pub(crate) fn users(&self) -> Result<(i64, i64)> {
        Ok((self.number("rwcnt")?, self.number("rocnt")?))
    }

    /// A property that is stored: an attribute, an element, or one of the user's own.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        if ATTRIBUTES.contains(&name) {
            return self.root.attr(name).map(str::to_owned);
        }
        if ELEMENTS.contains(&name) {
            return self.root.child_text(name).map(|text| text.into_owned());
        }
        let properties = self.root.child("diskprop")?;
        if DISK_ELEMENTS.contains(&name) {
            return properties.child_text(name).map(|text| text.into_owned());
        }
        let mut own = properties.children_named("userprop");
        let found = own.find(|own| own.child_text("name").as_deref() == Some(name))?;
        found.child_text("value").map(|text| text.into_owned())
    }

    /// The names of the user's own properties.
    pub(crate) fn user_properties(&self) -> Vec<String> {
        let properties = self.root.child("diskprop");
        let own = properties.into_iter().flat_map(|all| all.children_named("userprop"));
        own.filter_map(|own| own.child_text("name").map(|name| name.into_owned())).collect()
    }

    /// Sets a property that is stored.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        if ATTRIBUTES.contains(&name) {
            self.root.set_attr(name.to_owned(), value.to_owned());
        } else if ELEMENTS.contains(&name) {
            set_child(&mut self.root, name, value);
        } else if let Some(properties) = child_mut(&mut self.root, "diskprop") {
            if DISK_ELEMENTS.contains(&name) {
                set_child(properties, name, value);
            } else if let Some(own) = user_property(properties, name) {
                set_child(own, "value", value);
            }
        }
    }

    pub(crate) fn add_user_property(&mut self, name: &str, value: &str) {
        if let Some(properties) = child_mut(&mut self.root, "diskprop") {
            let own = Element::new("userprop")
                .with_child(Element::new("name").with_text(name.to_owned()))
                .with_child(Element::new("value").with_text(value.to_owned()));
            properties.children.push(Node::Element(own));
        }
    }

    pub(crate) fn remove_user_property(&mut self, name: &str) {
        if let Some(properties) = child_mut(&mut self.root, "diskprop") {
            properties.children.retain(|node| match node {
                Node::Element(own) => {
                    own.name != "userprop" || own.child_text("name").as_deref() != Some(name)
                }
                _ => true,
            });
        }
    }

    /// The snapshots, oldest first.
    pub(crate) fn snapshots(&self) -> Result<Vec<Snapshot>> {
        self.root.children_named("snapshot").map(snapshot).collect()
    }

    /// Replaces the list of snapshots. Those that stay keep whatever else is said of them.
    pub(crate) fn set_snapshots(&mut self, snapshots: &[Snapshot]) {
        let mut old = Vec::new();
        self.root.children.retain(|node| match node {
            Node::Element(element) if element.name == "snapshot" => {
                old.push(element.clone());
                false
            }
            _ => true,
        });
        for wanted in snapshots {
            let same = old.iter().find(|old| {
                snapshot(old).is_ok_and(|old| {
                    old.created_epoch == wanted.created_epoch
                        && (old.name == wanted.name || old.file == wanted.file)
                })
            });
            let mut element = same.cloned().unwrap_or_else(|| {
                Element::new("snapshot")
                    .with_child(Element::new("name"))
                    .with_child(Element::new("vdfile"))
            });
            element.set_attr("creation-time-epoch", wanted.created_epoch.to_string());
            set_child(&mut element, "name", &format!("@{}", wanted.name));
            set_child(&mut element, "vdfile", &wanted.file);
            self.root.children.push(Node::Element(element));
        }
    }
}

fn snapshot(element: &Element<'_>) -> Result<Snapshot> {
    let bad = || Failure::new("vdisk.xml: lists a snapshot without name, file or time");
    let text = |name: &str| element.child_text(name).map(|text| text.into_owned());
    let name = text("name").ok_or_else(bad)?;
    let name = name.strip_prefix('@').unwrap_or(&name).to_owned();
    let created = element.attr("creation-time-epoch").and_then(|time| time.parse().ok());
    virt_store::check_name(&name).map_err(|_| bad())?;
    Ok(Snapshot {
        name,
        file: text("vdfile").ok_or_else(bad)?,
        created_epoch: created.ok_or_else(bad)?,
    })
}

fn child_mut<'e>(
    element: &'e mut Element<'static>,
    name: &str,
) -> Option<&'e mut Element<'static>> {
    element.children.iter_mut().find_map(|node| match node {
        Node::Element(child) if child.name == name => Some(child),
        _ => None,
    })
}

fn user_property<'e>(
    properties: &'e mut Element<'static>,
    name: &str,
) -> Option<&'e mut Element<'static>> {
    properties.children.iter_mut().find_map(|node| match node {
        Node::Element(child)
            if child.name == "userprop" && child.child_text("name").as_deref() == Some(name) =>
        {
            Some(child)
        }
        _ => None,
    })
}

fn set_child(element: &mut Element<'static>, name: &str, value: &str) {
    if child_mut(element, name).is_none() {
        element.children.push(Node::Element(Element::new(name.to_owned())));
    }
    if let Some(child) = child_mut(element, name) {
        child.children = vec![Node::Text(value.to_owned().into())];
    }
}

/// Two spaces, double quotes, one element a line.
fn print(out: &mut String, element: &Element<'_>, depth: usize) {
    let indent = "  ".repeat(depth);
    out.push_str(&format!("{indent}<{}", element.name));
    for attr in &element.attrs {
        out.push_str(&format!(" {}=\"{}\"", attr.name, escaped(&attr.value, true)));
    }
    let has_elements = element.elements().next().is_some();
    let text = element.text();
    if has_elements {
        out.push_str(">\n");
        for child in element.elements() {
            print(out, child, depth + 1);
        }
        out.push_str(&format!("{indent}</{}>\n", element.name));
    } else if text.is_empty() {
        out.push_str("/>\n");
    } else {
        out.push_str(&format!(">{}</{}>\n", escaped(&text, false), element.name));
    }
}

/// Text as the usual XML library writes it.
fn escaped(text: &str, in_attribute: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if in_attribute => out.push_str("&quot;"),
            '\n' | '\t' if in_attribute => out.push_str(&format!("&#{};", c as u32)),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(c),
            // Other control characters cannot stand in a document at all.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &'static str, kind: &str, size_bytes: u64, owner: &'static str) -> Document {
        Document::new(&NewDocument {
            name,
            kind: Kind::parse(kind).unwrap(),
            size_bytes,
            owner,
            description: "none",
            created_epoch: 1_241_821_124,
        })
    }

    #[test]
    fn the_four_documents_of_the_guide_have_their_size_to_the_byte() {
        assert_eq!(new("root_disk", "vmdk", 8 << 30, "root").print().len(), 584);
        assert_eq!(new("root_disk_vhd", "vhd", 8 << 30, "root").print().len(), 590);
        let fixed = new("root_disk_fix", "vmdk:fixed", 8 << 30, "root").print();
        assert_eq!(fixed.len(), 593);
        assert!(fixed.starts_with("<?xml version=\"1.0\"?>\n<!DOCTYPE vdisk PUBLIC \"-//Sun"));
        let first = new("vhd_sp", "vhd", 6 << 30, "xvm").print();
        let mut read = Document::parse(&first).unwrap();
        read.set_snapshots(&[Snapshot {
            name: "install".to_owned(),
            file: "vdisk@install.vhd".to_owned(),
            created_epoch: 1_242_081_709,
        }]);
        assert_eq!(read.print().len(), 717);
        assert_eq!(Document::parse(&read.print()).unwrap().print(), read.print());
    }

    #[test]
    fn what_is_said_stays_and_can_be_changed() {
        let text = new("a", "vdi", 1 << 20, "root").print();
        let text = text.replace("</diskprop>", "<vendor>x &amp; y</vendor></diskprop>");
        let mut document = Document::parse(&text).unwrap();
        document.set("description", "<a> & \"b\"");
        document.set("rwcnt", "1");
        document.add_user_property("user:colour", "green");
        document.set("user:colour", "blue");
        let read = Document::parse(&document.print()).unwrap();
        assert_eq!(read.text("description").as_deref(), Some("<a> & \"b\""));
        assert_eq!(read.users().unwrap(), (1, 0));
        assert_eq!(read.text("user:colour").as_deref(), Some("blue"));
        assert!(document.print().contains("    <vendor>x &amp; y</vendor>\n"));
        document.remove_user_property("user:colour");
        assert_eq!(document.user_properties(), [""; 0]);
    }

    #[test]
    fn hostile_documents_are_refused() {
        let good = new("a", "vdi", 1 << 20, "root").print();
        for (from, to) in [
            ("vdisk.vdi", "../vdisk.vdi"),
            ("vdisk.vdi", "/etc/shadow"),
            ("1048576", "-1"),
            ("1048576", "many"),
            ("\"vdi\"", "\"floppy\""),
            ("rwcnt=\"0\"", "rwcnt=\"x\""),
            ("</vdisk>", ""),
            ("vdisk.dtd\">", "vdisk.dtd\" [<!ENTITY a \"b\">]>"),
            (
                "</vdisk>",
                "<snapshot creation-time-epoch=\"1\"><name>@s</name><vdfile>vdisk.vdi</vdfile>\
                 </snapshot></vdisk>",
            ),
        ] {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good, "{from}");
            assert!(Document::parse(&text).is_err(), "{to}");
        }
    }
}
