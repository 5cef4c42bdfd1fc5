//! Attaching, changing and detaching devices that a document describes.

use virt_cli::Args;
use virt_driver::Connection;
use virt_error::Result as Answer;
use virt_types::{DomainRef, api};
use virt_xml::Element;

use crate::failure::{Done, During as _, Failure, fail};
use crate::files::read_document;
use crate::lookup::domain;
use crate::options::flags_of;
use crate::shell::{Shell, extra, say};
use crate::xml;

/// What `--config`, `--live`, `--current` and `--persistent` say.
pub(crate) struct Change {
    pub(crate) flags: u32,
    /// Compat: nothing was said, and a change goes by the oldest call, which every daemon has.
    plain: bool,
    persistent: bool,
}

impl Change {
    pub(crate) fn of(args: &Args) -> Result<Self, Failure> {
        for (one, other) in [("persistent", "current"), ("current", "live"), ("current", "config")]
        {
            args.exclusive(one, other)?;
        }
        let (flags, given) = crate::options::impact(args)?;
        let persistent = args.flag("persistent");
        Ok(Self { flags, plain: !given && !persistent, persistent })
    }

    /// The flags for a domain: what is to be kept changes what runs too.
    pub(crate) fn for_domain(&self, connection: &Connection, found: &DomainRef) -> Answer<u32> {
        if !self.persistent {
            return Ok(self.flags);
        }
        let live = match connection.domain_is_active(found)? {
            true => api::DOMAIN_AFFECT_LIVE,
            false => 0,
        };
        Ok(self.flags | api::DOMAIN_AFFECT_CONFIG | live)
    }

    pub(crate) fn attach(
        &self,
        connection: &Connection,
        found: &DomainRef,
        xml: &str,
    ) -> Answer<()> {
        match self.plain {
            true => connection.domain_attach_device(found, xml),
            false => {
                let flags = self.for_domain(connection, found)?;
                connection.domain_attach_device_flags(found, xml, flags)
            }
        }
    }

    pub(crate) fn detach(
        &self,
        connection: &Connection,
        found: &DomainRef,
        xml: &str,
    ) -> Answer<()> {
        match self.plain {
            true => connection.domain_detach_device(found, xml),
            false => {
                let flags = self.for_domain(connection, found)?;
                connection.domain_detach_device_flags(found, xml, flags)
            }
        }
    }

    /// The document to look a device up in: what changes is what counts.
    pub(crate) fn document(&self, connection: &Connection, found: &DomainRef) -> Answer<String> {
        let live = self.flags & api::DOMAIN_AFFECT_LIVE != 0;
        let config = self.flags & api::DOMAIN_AFFECT_CONFIG != 0;
        let flags = if config && !live { api::DOMAIN_XML_INACTIVE } else { 0 };
        connection.domain_get_xml_desc(found, flags)
    }
}

pub(crate) fn cmd_attach_device(shell: &mut Shell, args: &Args) -> Done {
    let change = Change::of(args)?;
    let found = domain(shell, args)?;
    let file = args.needed("file")?;
    let xml = read_document(file)?;
    let attached = change.attach(&shell.connection()?, &found, &xml);
    attached.during(|| format!("Failed to attach device from {file}"))?;
    extra!(shell, "Device attached successfully");
    Ok(())
}

pub(crate) fn cmd_detach_device(shell: &mut Shell, args: &Args) -> Done {
    let change = Change::of(args)?;
    let found = domain(shell, args)?;
    let file = args.needed("file")?;
    let xml = read_document(file)?;
    let detached = change.detach(&shell.connection()?, &found, &xml);
    detached.during(|| format!("Failed to detach device from {file}"))?;
    extra!(shell, "Device detached successfully");
    Ok(())
}

pub(crate) fn cmd_detach_device_alias(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = crate::options::impact(args)?;
    let found = domain(shell, args)?;
    let alias = args.needed("alias")?;
    let detached = shell.connection()?.domain_detach_device_alias(&found, alias, flags);
    detached.during(|| format!("Failed to detach device with alias {alias}"))?;
    extra!(shell, "Device detach request sent successfully");
    Ok(())
}

pub(crate) fn cmd_update_device(shell: &mut Shell, args: &Args) -> Done {
    let change = Change::of(args)?;
    let found = domain(shell, args)?;
    let file = args.needed("file")?;
    let xml = read_document(file)?;
    let connection = shell.connection()?;
    let force = flags_of(args, &[("force", api::DOMAIN_DEVICE_MODIFY_FORCE)]);
    let flags = change.for_domain(&connection, &found)? | force;
    let updated = connection.domain_update_device_flags(&found, &xml, flags);
    updated.during(|| format!("Failed to update device from {file}"))?;
    extra!(shell, "Device updated successfully");
    Ok(())
}

/// The disk with this target or source in a domain's document.
fn find_disk<'e, 'a>(root: &'e Element<'a>, text: &str) -> Result<&'e Element<'a>, Failure> {
    let disks = root.child("devices").into_iter();
    let mut disks = disks.flat_map(|devices| devices.children_named("disk"));
    let matches = |disk: &&Element<'_>| {
        let source = disk.child("source");
        let source = source.into_iter().flat_map(|source| &source.attrs);
        let mut source =
            source.filter(|attr| matches!(&*attr.name, "file" | "dev" | "dir" | "name"));
        xml::attr_at(disk, &["target"], "dev") == Some(text)
            || source.any(|attr| attr.value == text)
    };
    disks
        .find(matches)
        .ok_or_else(|| Failure::new(format!("No disk found whose source path or target is {text}")))
}

pub(crate) fn cmd_detach_disk(shell: &mut Shell, args: &Args) -> Done {
    let change = Change::of(args)?;
    let found = domain(shell, args)?;
    let target = args.needed("target")?;
    let connection = shell.connection()?;
    let text = change.document(&connection, &found)?;
    let root = xml::parse(&text)?;
    let disk = xml::as_it_is(find_disk(&root, target)?);
    if args.flag("print-xml") {
        say!(shell, "{disk}");
        return Ok(());
    }
    change.detach(&connection, &found, &disk).during(|| "Failed to detach disk")?;
    extra!(shell, "Disk detached successfully");
    Ok(())
}

/// The one interface of a kind, or the one with the MAC address.
fn find_nic<'e, 'a>(
    root: &'e Element<'a>,
    kind: &str,
    mac: Option<&str>,
) -> Result<&'e Element<'a>, Failure> {
    let nics = root.child("devices").into_iter();
    let nics = nics.flat_map(|devices| devices.children_named("interface"));
    let nics: Vec<_> = nics.filter(|nic| nic.attr("type") == Some(kind)).collect();
    if nics.is_empty() {
        return fail(format!("No interface found whose type is {kind}"));
    }
    let Some(mac) = mac else {
        return match nics.as_slice() {
            [nic] => Ok(nic),
            nics => fail(format!(
                "Domain has {} interfaces. Please specify which one to detach using --mac",
                nics.len()
            )),
        };
    };
    let address = |nic: &Element<'_>| {
        let found = xml::attr_at(nic, &["mac"], "address")?;
        Some(found.eq_ignore_ascii_case(mac))
    };
    let mut same = nics.into_iter().filter(|nic| address(nic) == Some(true));
    match (same.next(), same.next()) {
        (None, _) => fail(format!("No interface with MAC address {mac} was found")),
        (Some(nic), None) => Ok(nic),
        (Some(_), Some(_)) => fail(format!(
            "Domain has multiple interfaces matching MAC address {mac}. You must use \
             detach-device and specify the device pci address to remove it."
        )),
    }
}

pub(crate) fn cmd_detach_interface(shell: &mut Shell, args: &Args) -> Done {
    // Compat: why an interface is not the one comes first, that nothing was detached last.
    let print = args.flag("print-xml");
    let detached = |failure: Failure| match print {
        true => failure,
        false => failure.then("Failed to detach interface"),
    };
    let change = Change::of(args)?;
    let found = domain(shell, args)?;
    let refused = |problem| detached(Failure::from(problem));
    let kind = args.needed("type").map_err(refused)?;
    let mac = args.text("mac").map_err(refused)?;
    let connection = shell.connection()?;
    let text = change.document(&connection, &found)?;
    let root = xml::parse(&text)?;
    let nic = xml::as_it_is(find_nic(&root, kind, mac).map_err(detached)?);
    if print {
        say!(shell, "{nic}");
        if change.persistent && connection.domain_is_active(&found)? {
            // Compat: what is kept is printed besides what runs.
            let text = connection.domain_get_xml_desc(&found, api::DOMAIN_XML_INACTIVE)?;
            let root = xml::parse(&text)?;
            say!(shell, "{}", xml::as_it_is(find_nic(&root, kind, mac)?));
        }
        return Ok(());
    }
    change.detach(&connection, &found, &nic).during(|| "Failed to detach interface")?;
    extra!(shell, "Interface detached successfully");
    Ok(())
}

/// What `change-media` does to a drive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Media {
    Eject,
    Insert,
    Update,
}

fn media_change(args: &Args) -> Result<Media, Failure> {
    for (one, other) in
        [("eject", "insert"), ("eject", "update"), ("insert", "update"), ("eject", "block")]
    {
        args.exclusive(one, other)?;
    }
    Ok(match (args.flag("eject"), args.flag("insert")) {
        (true, _) => Media::Eject,
        (false, true) => Media::Insert,
        (false, false) => Media::Update,
    })
}

/// The drive's element with other media in it.
fn with_media(
    disk: &Element<'_>,
    media: Media,
    source: Option<&str>,
    block: bool,
) -> Result<Element<'static>, Failure> {
    let name = xml::attr_at(disk, &["target"], "dev").unwrap_or_default();
    let holds = disk.child("source").is_some_and(|source| {
        ["file", "dev", "dir", "name"].iter().any(|attr| source.attr(attr).is_some())
    });
    let needs_media = media == Media::Eject || media == Media::Update && source.is_none();
    if needs_media && !holds {
        return fail(format!("The disk device '{name}' doesn't have media"));
    }
    if media == Media::Insert && source.is_none() {
        return fail("New disk media source was not specified");
    }
    if media == Media::Insert && holds {
        return fail(format!("The disk device '{name}' already has media"));
    }
    let mut changed = disk.to_static();
    changed
        .children
        .retain(|node| !matches!(node, virt_xml::Node::Element(child) if child.name == "source"));
    if let Some(source) = source.filter(|_| media != Media::Eject) {
        let (kind, attr) = if block { ("block", "dev") } else { ("file", "file") };
        changed.set_attr("type", kind);
        let source = Element::new("source").with_attr(attr, source.to_owned());
        changed.children.push(virt_xml::Node::Element(source));
    }
    Ok(changed)
}

pub(crate) fn cmd_change_media(shell: &mut Shell, args: &Args) -> Done {
    let media = media_change(args)?;
    let (mut flags, _) = crate::options::impact(args)?;
    let (source, path) = (args.text("source")?, args.needed("path")?);
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let inactive = flags & api::DOMAIN_AFFECT_CONFIG != 0 && flags & api::DOMAIN_AFFECT_LIVE == 0;
    let which = if inactive { api::DOMAIN_XML_INACTIVE } else { 0 };
    let text = connection.domain_get_xml_desc(&found, which)?;
    let root = xml::parse(&text)?;
    let disk = find_drive(&root, path)?;
    let stated = ["eject", "insert", "update"].iter().any(|option| args.flag(option));
    if !stated && source.is_none() {
        return fail("New disk media source was not specified");
    }
    let document = xml::as_it_is(&with_media(disk, media, source, args.flag("block"))?);
    if args.flag("print-xml") {
        say!(shell, "{document}");
        return Ok(());
    }
    flags |= flags_of(args, &[("force", api::DOMAIN_DEVICE_MODIFY_FORCE)]);
    let words = match media {
        Media::Eject => ("eject", "ejected"),
        Media::Insert => ("insert", "inserted"),
        Media::Update => ("update", "updated"),
    };
    let changed = connection.domain_update_device_flags(&found, &document, flags);
    changed.during(|| format!("Failed to complete action {} on media", words.0))?;
    shell.print_extra(format_args!("Successfully {} media.", words.1));
    Ok(())
}

/// A drive whose media can be changed, by target or source.
fn find_drive<'e, 'a>(root: &'e Element<'a>, path: &str) -> Result<&'e Element<'a>, Failure> {
    let disk = find_disk(root, path)?;
    match disk.attr("device") {
        Some("cdrom" | "floppy") => Ok(disk),
        _ => fail(format!("No disk found whose source path or target is {path}")),
    }
}

pub(crate) fn cmd_domif_setlink(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let (name, state) = (args.needed("interface")?, args.needed("state")?);
    if !matches!(state, "up" | "down") {
        return fail(format!("invalid link state '{state}'"));
    }
    let connection = shell.connection()?;
    let mut config = args.flag("config");
    config |= !connection.domain_is_active(&found)?;
    let (which, flags) = match config {
        true => (api::DOMAIN_XML_INACTIVE, api::DOMAIN_AFFECT_CONFIG),
        false => (0, api::DOMAIN_AFFECT_LIVE),
    };
    let text = connection.domain_get_xml_desc(&found, which)?;
    let root = xml::parse(&text)?;
    let nics = root.child("devices").into_iter();
    let mut nics = nics.flat_map(|devices| devices.children_named("interface"));
    let nic = nics.find(|nic| {
        let mac = xml::attr_at(nic, &["mac"], "address");
        mac.is_some_and(|mac| mac.eq_ignore_ascii_case(name))
            || xml::attr_at(nic, &["target"], "dev") == Some(name)
    });
    let Some(nic) = nic else { return fail(format!("interface '{name}' not found")) };
    let document = xml::as_it_is(&with_link(nic, state));
    if args.flag("print-xml") {
        say!(shell, "{document}");
        return Ok(());
    }
    let changed = connection.domain_update_device_flags(&found, &document, flags);
    changed.during(|| "Failed to update interface link state")?;
    extra!(shell, "Device updated successfully");
    Ok(())
}

/// The interface with another state of its link.
fn with_link(nic: &Element<'_>, state: &str) -> Element<'static> {
    let mut changed = nic.to_static();
    for node in &mut changed.children {
        if let virt_xml::Node::Element(child) = node
            && child.name == "link"
        {
            child.set_attr("state", state.to_owned());
            return changed;
        }
    }
    changed.with_child(Element::new("link").with_attr("state", state.to_owned()))
}

/// The memory device that `--alias` or `--node` names, or the only one.
fn find_memory<'e, 'a>(root: &'e Element<'a>, args: &Args) -> Result<&'e Element<'a>, Failure> {
    let (alias, node) = (args.text("alias")?, args.number::<u32>("node")?);
    let memory = root.child("devices").into_iter();
    let memory = memory.flat_map(|devices| devices.children_named("memory"));
    let wanted = |memory: &&Element<'_>| {
        let its_node = || xml::at(memory, &["target", "node"])?.text().trim().parse::<u32>().ok();
        alias.is_none_or(|alias| xml::attr_at(memory, &["alias"], "name") == Some(alias))
            && node.is_none_or(|node| its_node() == Some(node))
    };
    let mut found = memory.filter(wanted);
    match (found.next(), found.next()) {
        (None, _) => fail("no memory device found"),
        (Some(memory), None) => Ok(memory),
        (Some(_), Some(_)) => {
            fail("multiple memory devices found, use --alias or --node to select one")
        }
    }
}

pub(crate) fn cmd_update_memory_device(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = crate::options::impact(args)?;
    args.exclusive("node", "alias")?;
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let which = if flags & api::DOMAIN_AFFECT_CONFIG != 0 { api::DOMAIN_XML_INACTIVE } else { 0 };
    let text = connection.domain_get_xml_desc(&found, which)?;
    let root = xml::parse(&text)?;
    let mut memory = find_memory(&root, args)?.to_static();
    if let Some(size) = args.scaled("requested-size", 1024, u64::MAX)? {
        for node in &mut memory.children {
            if let virt_xml::Node::Element(target) = node
                && target.name == "target"
            {
                xml::set_child_text(target, "requested", &size.div_ceil(1024).to_string());
            }
        }
    }
    let document = xml::as_it_is(&memory);
    if args.flag("print-xml") {
        say!(shell, "{document}");
        return Ok(());
    }
    Ok(connection.domain_update_device_flags(&found, &document, flags)?)
}
