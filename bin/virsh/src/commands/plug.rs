//! Building the documents of disks and interfaces out of options, and attaching them.

use virt_cli::Args;
use virt_xml::Element;

use super::attach::Change;
use crate::address::{Address, pci_address};
use crate::failure::{Done, During as _, Failure, fail};
use crate::files::is_block_device;
use crate::lookup::{domain, is_wwn};
use crate::rate::{Direction, Rate};
use crate::shell::{Shell, extra, say};
use crate::xml::own_document;

/// Sets attributes of those options that were given.
fn set_given(
    element: &mut Element<'static>,
    args: &Args,
    options: &[(&str, &'static str)],
) -> Result<(), Failure> {
    for (option, attr) in options {
        if let Some(value) = args.text(option)? {
            element.set_attr(*attr, value.to_owned());
        }
    }
    Ok(())
}

fn with_attr(name: &'static str, attr: &'static str, value: &str) -> Element<'static> {
    Element::new(name).with_attr(attr, value.to_owned())
}

/// Where a network disk's host is.
fn disk_host(args: &Args) -> Result<Option<Element<'static>>, Failure> {
    let mut host = Element::new("host");
    set_given(&mut host, args, &[("source-host-transport", "transport")])?;
    if let Some(text) = args.text("source-host-name")? {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !text.ends_with(']') => (name, Some(port)),
            _ => (text, None),
        };
        host.set_attr("name", name.to_owned());
        if let Some(port) = port {
            host.set_attr("port", port.to_owned());
        }
    }
    set_given(&mut host, args, &[("source-host-socket", "socket")])?;
    Ok((!host.attrs.is_empty()).then_some(host))
}

/// The type of a disk and its source.
fn disk_source(args: &Args) -> Result<(&'static str, Element<'static>), Failure> {
    let path = args.needed("source")?;
    let protocol = args.text("source-protocol")?;
    let kind = match args.text("sourcetype")? {
        Some("file") => "file",
        Some("block") => "block",
        Some("network") => "network",
        Some(other) => return fail(format!("Unknown source type: '{other}'")),
        None if protocol.is_some() => "network",
        None if is_block_device(path) => "block",
        None => "file",
    };
    let source = match (kind, protocol) {
        ("network", Some(protocol)) => {
            let source =
                with_attr("source", "protocol", protocol).with_attr("name", path.to_owned());
            match disk_host(args)? {
                Some(host) => source.with_child(host),
                None => source,
            }
        }
        ("network", None) | (_, Some(_)) => {
            return fail("--source-protocol option requires --sourcetype network");
        }
        ("block", None) => with_attr("source", "dev", path),
        (_, None) => with_attr("source", "file", path),
    };
    Ok((kind, source))
}

/// Refuses options that say nothing without another one, and names that are none.
fn check_disk(args: &Args) -> Done {
    args.requires("source-host-name", "source-protocol")?;
    args.requires("source-host-transport", "source-protocol")?;
    args.requires("source-host-socket", "source-protocol")?;
    match args.text("wwn")? {
        Some(wwn) if !is_wwn(wwn) => fail(format!("internal error: Malformed wwn: {wwn}")),
        _ => Ok(()),
    }
}

/// Compat: that a text is missing is said before what is wrong with another.
const DISK_TEXTS: &[&str] = &[
    "source",
    "target",
    "driver",
    "subdriver",
    "type",
    "mode",
    "iothread",
    "cache",
    "io",
    "serial",
    "wwn",
    "address",
    "targetbus",
    "alias",
];

fn disk(args: &Args) -> Result<Element<'static>, Failure> {
    check_disk(args)?;
    for option in DISK_TEXTS {
        args.text(option)?;
    }
    let mode = args.text("mode")?;
    if let Some(mode) = mode.filter(|mode| !matches!(*mode, "readonly" | "shareable")) {
        return fail(format!("No support for {mode} in command 'attach-disk'"));
    }
    let (kind, source) = disk_source(args)?;
    let mut disk = with_attr("disk", "type", kind);
    set_given(&mut disk, args, &[("type", "device")])?;
    if args.flag("rawio") {
        disk.set_attr("rawio", "yes");
    }
    let mut driver = Element::new("driver");
    let options = [
        ("driver", "name"),
        ("subdriver", "type"),
        ("iothread", "iothread"),
        ("cache", "cache"),
        ("io", "io"),
    ];
    set_given(&mut driver, args, &options)?;
    if !driver.attrs.is_empty() {
        disk = disk.with_child(driver);
    }
    let target = args.needed("target")?;
    let mut place = with_attr("target", "dev", target);
    set_given(&mut place, args, &[("targetbus", "bus")])?;
    disk = disk.with_child(source);
    if let Some(groups) = args.text("throttle-groups")? {
        let filters = Element::new("throttlefilters");
        disk = disk.with_child(place);
        let filters = groups.split(',').fold(filters, |all, group| {
            all.with_child(with_attr("throttlefilter", "group", group))
        });
        disk = disk.with_child(filters);
    } else {
        disk = disk.with_child(place);
    }
    if let Some(mode) = mode {
        disk = disk.with_child(Element::new(mode.to_owned()));
    }
    for name in ["serial", "wwn"] {
        if let Some(text) = args.text(name)? {
            disk = disk.with_child(Element::new(name).with_text(text.to_owned()));
        }
    }
    if let Some(alias) = args.text("alias")? {
        disk = disk.with_child(with_attr("alias", "name", alias));
    }
    if let Some(address) = args.text("address")? {
        let address = Address::parse(address).ok_or_else(|| Failure::new("Invalid address."))?;
        disk = disk.with_child(address.for_disk(target, args.flag("multifunction"))?);
    }
    Ok(disk)
}

/// Prints the document that was built, or attaches it.
fn plug(shell: &mut Shell, args: &Args, device: &Element<'_>, what: (&str, &str)) -> Done {
    let document = own_document(device);
    if args.flag("print-xml") {
        say!(shell, "{document}");
        return Ok(());
    }
    let change = Change::of(args)?;
    let found = domain(shell, args)?;
    let attached = change.attach(&shell.connection()?, &found, &document);
    attached.during(|| format!("Failed to attach {}", what.0))?;
    extra!(shell, "{} attached successfully", what.1);
    Ok(())
}

pub(crate) fn cmd_attach_disk(shell: &mut Shell, args: &Args) -> Done {
    Change::of(args)?;
    let device = disk(args)?;
    plug(shell, args, &device, ("disk", "Disk"))
}

/// The source of an interface of a kind.
fn nic_source(args: &Args, kind: &str) -> Result<Element<'static>, Failure> {
    let source = args.needed("source")?;
    let mode = args.text("source-mode")?;
    if !matches!(kind, "network" | "bridge" | "direct" | "hostdev" | "vhostuser") {
        return fail(format!("No support for {kind} in command 'attach-interface'"));
    }
    if let Some(mode) = mode.filter(|mode| !matches!(*mode, "server" | "client")) {
        return fail(format!("Invalid source mode: {mode}"));
    }
    Ok(match kind {
        "network" => with_attr("source", "network", source),
        "bridge" => with_attr("source", "bridge", source),
        "direct" => with_attr("source", "dev", source),
        "hostdev" => match pci_address(source) {
            Some(address) => Element::new("source").with_child(address),
            None => {
                return fail(format!("cannot parse pci address '{source}' for network interface"));
            }
        },
        _ => match mode {
            Some(mode) => with_attr("source", "type", "unix")
                .with_attr("path", source.to_owned())
                .with_attr("mode", mode.to_owned()),
            None => return fail("source-mode is mandatory"),
        },
    })
}

/// Options that are an element with one attribute each.
const NIC_TEXTS: [(&str, &str, &str); 5] = [
    ("target", "target", "dev"),
    ("mac", "mac", "address"),
    ("script", "script", "path"),
    ("model", "model", "type"),
    ("alias", "alias", "name"),
];

fn nic(args: &Args) -> Result<Element<'static>, Failure> {
    let kind = args.needed("type")?;
    // Compat: as with disks.
    args.needed("source")?;
    for (option, ..) in NIC_TEXTS {
        args.text(option)?;
    }
    let mut nic = with_attr("interface", "type", kind);
    if args.flag("managed") {
        nic.set_attr("managed", "yes");
    }
    nic = nic.with_child(nic_source(args, kind)?);
    for (option, name, attr) in NIC_TEXTS {
        if let Some(value) = args.text(option)? {
            nic = nic.with_child(with_attr(name, attr, value));
        }
    }
    let mut bandwidth = Element::new("bandwidth");
    for direction in [Direction::Inbound, Direction::Outbound] {
        if let Some(rate) = Rate::of(args, direction)? {
            let limits = Element::new(direction.name());
            let limits = rate
                .given()
                .fold(limits, |limits, (field, part)| limits.with_attr(field, part.to_string()));
            bandwidth = bandwidth.with_child(limits);
        }
    }
    match bandwidth.children.is_empty() {
        true => Ok(nic),
        false => Ok(nic.with_child(bandwidth)),
    }
}

pub(crate) fn cmd_attach_interface(shell: &mut Shell, args: &Args) -> Done {
    Change::of(args)?;
    let device = nic(args)?;
    plug(shell, args, &device, ("interface", "Interface"))
}
