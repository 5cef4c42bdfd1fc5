//! From a domain document to the manager's items.

use virt_error::{Code, Error, Result};
use virt_model::domain::boot::OsType;
use virt_model::domain::chardev::ChardevType;
use virt_model::domain::disk::{DiskDevice, DiskType};
use virt_model::domain::{Disk, Domain, Interface, VirtType};
use virt_model::schema::Body;
use virt_model::{ParseFlags, Text};
use virt_types::Uuid;

use super::{ARCH, MACHINE, NAMESPACE, boot, extras, network};
use crate::link::ORIGIN;
use crate::message::{Content, Item, print_size};
use crate::world::Service;

/// Limit: the manager's own.
const NAME_CHARS_MAX: usize = 256;

/// What a document asks for.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) uuid: Option<Uuid>,
    pub(crate) content: Content,
    /// The volumes behind the disks, with the paths that the document names.
    pub(crate) volumes: Vec<Item>,
    /// What of the document neither the manager nor this driver keeps.
    pub(crate) dropped: Vec<&'static str>,
}

/// The services that a document's devices go to where it names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Servers {
    pub(crate) disks: String,
    pub(crate) switch: String,
}

impl Servers {
    /// The first of each kind; by the guides' names where the manager does not say.
    pub(crate) fn of(services: &[Service]) -> Self {
        let first = |resource: &str, otherwise: &str| {
            let found = services.iter().filter(|service| service.item.is(resource));
            let mut names = found.filter_map(|service| service.item.get("service_name"));
            names.next().unwrap_or(otherwise).to_owned()
        };
        Self { disks: first("vds", "primary-vds0"), switch: first("vsw", "primary-vsw0") }
    }
}

fn unsupported(detail: impl Into<String>) -> Error {
    Error::new(Code::ConfigUnsupported, ORIGIN, detail)
}

fn xml_error(detail: impl Into<String>) -> Error {
    Error::new(Code::XmlError, ORIGIN, detail)
}

/// Reads a document.
pub(crate) fn plan(xml: &str, validate: bool, servers: &Servers) -> Result<Plan> {
    // Compat: a definition's names of interfaces are the manager's own here, such as `vnet0`, and
    // not made up by a driver: they are kept.
    let flags = ParseFlags { inactive: false, validate, ..ParseFlags::default() };
    let mut domain = Domain::parse(xml, flags)?;
    check(&domain)?;
    name_devices(&mut domain);
    let rest = match domain.namespaces.iter().find(|found| found.uri == NAMESPACE) {
        Some(namespace) => extras::parse(&domain.foreign, &namespace.prefix)?,
        None => Vec::new(),
    };
    let mut items = items(&domain, servers)?;
    let mut volumes = Vec::new();
    for (left, name) in &rest {
        if left.is("vds_volume") {
            continue;
        }
        match home(&mut items, left, name.as_deref()) {
            Some(item) => extras::merge(item, left),
            None => items.push(left.clone()),
        }
    }
    for disk in &domain.devices.disks {
        let item = items
            .iter_mut()
            .find(|item| item.is("disk") && item.get("vdisk_name") == Some(&disk.target.dev));
        let Some(item) = item else { continue };
        complete_disk(item, &domain.name, servers);
        volumes.extend(volume(disk, item, &rest));
    }
    let ordered = items.iter().any(boot::is_order);
    if let Some(order) = boot::order(&domain).filter(|_| !ordered) {
        items.push(Item::new("var").with("name", boot::VARIABLE).with("value", order));
    }
    let content = items.into_iter().fold(Content::new(&domain.name), Content::with);
    Ok(Plan { uuid: domain.uuid, content, volumes, dropped: dropped(&domain) })
}

fn check(domain: &Domain) -> Result<()> {
    let os = domain.os.kind.kind.map_or("", OsType::as_str);
    let arch = domain.os.kind.arch.as_deref().unwrap_or(ARCH);
    let machine = domain.os.kind.machine.as_deref().unwrap_or(MACHINE);
    if domain.os.kind.kind.is_none() {
        return Err(xml_error("an os <type> must be specified"));
    }
    if domain.virt_type != VirtType::Ldoms || os != OsType::Ldom.as_str() || arch != ARCH {
        // Compat: libvirt's words for what no driver of the connection can run.
        let detail = format!(
            "could not find capabilities for arch={arch} domaintype={} ostype={os}",
            domain.virt_type
        );
        return Err(Error::new(Code::InvalidArg, ORIGIN, detail));
    }
    if machine != MACHINE {
        return Err(unsupported(format!("machine '{machine}': logical domains are {MACHINE}")));
    }
    let first = |c: char| c.is_ascii_alphanumeric();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_+#.:;~()".contains(c);
    let name = &domain.name;
    if !name.starts_with(first) || !name.chars().all(allowed) || name.len() > NAME_CHARS_MAX {
        let error = xml_error(format!("the LDoms Manager takes no domain named '{name}'"));
        return Err(error.with_hint(format!(
            "in <name>: expected up to {NAME_CHARS_MAX} letters, digits and -_+#.:;~(), a letter or a digit first"
        )));
    }
    if domain.memory.kib == 0 {
        return Err(xml_error("Memory size must be specified via <memory>"));
    }
    let current = domain.current_memory_kib.filter(|kib| *kib != 0 && *kib != domain.memory.kib);
    if current.is_some_and(|kib| kib > domain.memory.kib) {
        return Err(xml_error("current memory must not be larger than memory"));
    }
    if domain.max_memory.is_some() || current.is_some() {
        return Err(unsupported("a logical domain has one size of memory: all of it is in use"));
    }
    if domain.vcpu.current.is_some_and(|current| current != domain.vcpu.count) {
        return Err(unsupported("a logical domain has one number of virtual CPUs"));
    }
    let devices = &domain.devices;
    let impossible = [
        ("hostdev", devices.hostdevs.len()),
        ("filesystem", devices.filesystems.len()),
        ("redirdev", devices.redirdevs.len()),
        ("shmem", devices.shmems.len()),
        ("memory", devices.memories.len()),
        ("tpm", devices.tpms.len()),
    ];
    match impossible.iter().find(|(_, count)| *count > 0) {
        Some((name, _)) => Err(unsupported(format!("logical domains have no <{name}> devices"))),
        None => Ok(()),
    }
}

/// Devices without a name get one: managers find them by it.
fn name_devices(domain: &mut Domain) {
    let mut taken: Vec<String> = domain
        .devices
        .interfaces
        .iter()
        .filter_map(|interface| interface.target_dev().map(str::to_owned))
        .collect();
    for interface in &mut domain.devices.interfaces {
        if interface.target_dev().is_none() {
            let name = free_name("vnet", &taken);
            interface.target.get_or_insert_default().dev = Some(name.clone());
            taken.push(name);
        }
    }
}

/// The first of `vnet0`, `vnet1`, … that is not taken.
pub(super) fn free_name(stem: &str, taken: &[String]) -> String {
    let mut names = (0..=taken.len()).map(|number| format!("{stem}{number}"));
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}

fn items(domain: &Domain, servers: &Servers) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    if let Some(uuid) = domain.uuid {
        items.push(Item { uuid: Some(uuid.to_string()), ..Item::new("ldom_info") });
    }
    items.push(Item::new("cpu").with_units(domain.vcpu.count.to_string()));
    items.push(Item::new("memory").with_units(print_size(domain.memory.kib.saturating_mul(1024))));
    for disk in &domain.devices.disks {
        items.push(vdisk(disk)?);
    }
    for interface in &domain.devices.interfaces {
        let name = interface.target_dev().unwrap_or_default();
        items.push(network::vnet(interface, name, &servers.switch)?);
    }
    let tcp = domain.devices.consoles.iter().find(|c| c.source.kind == ChardevType::Tcp);
    if let Some(port) = tcp.and_then(|console| console.source.service.as_deref()) {
        items.push(Item::new("console").with("port", port));
    }
    Ok(items)
}

/// The item that a disk asks for, as far as the disk itself says.
pub(crate) fn vdisk(disk: &Disk) -> Result<Item> {
    let name = &disk.target.dev;
    if disk.target.dev.is_empty() {
        return Err(Error::new(Code::NoTarget, ORIGIN, disk.path().unwrap_or_default()));
    }
    if !matches!(disk.kind, DiskType::File | DiskType::Block) {
        let detail =
            format!("disk '{name}' of type '{}': only file and block are possible", disk.kind);
        return Err(unsupported(detail));
    }
    if !matches!(disk.device, DiskDevice::Disk | DiskDevice::Cdrom) {
        return Err(unsupported(format!("disk '{name}': a logical domain has no {}", disk.device)));
    }
    Ok(Item::new("disk").with("vdisk_name", name.as_str()))
}

/// A disk that does not say where it is served is served by the usual server, under its own name.
pub(super) fn complete_disk(item: &mut Item, domain: &str, servers: &Servers) {
    if item.get("service_name").is_none() {
        item.set("service_name", Some(&servers.disks));
    }
    if item.get("vol_name").is_none() {
        let name = format!("{domain}-{}", item.get("vdisk_name").unwrap_or_default());
        item.set("vol_name", Some(&name));
    }
}

/// The volume behind a disk that names a path.
fn volume(disk: &Disk, item: &Item, rest: &[(Item, Option<String>)]) -> Option<Item> {
    let name = item.get("vol_name")?;
    let mut volume = Item::new("vds_volume").with("vol_name", name);
    volume.set("service_name", item.get("service_name"));
    volume.set("block_dev", Some(disk.path()?));
    let left = rest.iter().find(|(left, of)| left.is("vds_volume") && of.as_deref() == Some(name));
    if let Some((left, _)) = left {
        extras::merge(&mut volume, left);
    }
    if disk.readonly || disk.device == DiskDevice::Cdrom {
        let others = volume.get("vol_opts").map(|others| format!("ro,{others}"));
        volume.set("vol_opts", Some(others.as_deref().unwrap_or("ro")));
    }
    Some(volume)
}

/// The item that a left-over belongs to: the one of its device, or of its resource.
fn home<'a>(items: &'a mut [Item], left: &Item, name: Option<&str>) -> Option<&'a mut Item> {
    let key = extras::name_key(&left.resource);
    items.iter_mut().find(|item| {
        item.is(&left.resource)
            && match (key, name) {
                (Some(key), Some(name)) => item.get(key) == Some(name),
                _ => ["ldom_info", "cpu", "memory", "console"].iter().any(|kind| item.is(kind)),
            }
    })
}

/// What a document says that neither the manager nor this driver has a place for.
fn dropped(domain: &Domain) -> Vec<&'static str> {
    let devices = &domain.devices;
    [
        ("title", domain.title.is_some()),
        ("description", domain.description.is_some()),
        ("metadata", domain.metadata.is_some()),
        ("cpu", domain.cpu.is_some()),
        ("cputune", domain.cputune != Default::default()),
        ("controller", !devices.controllers.is_empty()),
        ("serial", !devices.serials.is_empty()),
        ("channel", !devices.channels.is_empty()),
        ("input", !devices.inputs.is_empty()),
        ("graphics", !devices.graphics.is_empty()),
        ("video", !devices.videos.is_empty()),
        ("sound", !devices.sounds.is_empty()),
        ("watchdog", !devices.watchdogs.is_empty()),
        ("rng", !devices.rngs.is_empty()),
        ("memballoon", devices.memballoon.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
    .collect()
}

/// A device that is plugged in or out.
#[derive(Debug)]
pub(crate) enum Plugged {
    Disk(Box<Disk>),
    Interface(Box<Interface>),
}

/// Reads one device.
pub(crate) fn read_device(xml: &str) -> Result<Plugged> {
    let tree = virt_xml::parse(xml).map_err(|error| {
        Error::new(Code::XmlDetail, ORIGIN, error.framed(Some("(device_definition)")))
    })?;
    let flags = ParseFlags::default();
    match &*tree.name {
        "disk" => Ok(Plugged::Disk(Box::new(Disk::read(&tree, flags)?))),
        "interface" => Ok(Plugged::Interface(Box::new(Interface::read(&tree, flags)?))),
        other => Err(unsupported(format!("logical domains have no '{other}' to attach or detach"))),
    }
}

/// Whether two MAC addresses are the same, however they are written.
pub(crate) fn same_mac(a: &str, b: &str) -> bool {
    let parse = |text: &str| virt_model::Mac::parse(text);
    parse(a).is_some() && parse(a) == parse(b)
}

/// The item of a device that is to be attached, and the volume it needs.
pub(crate) fn plugged_items(
    device: &Plugged,
    content: &Content,
    servers: &Servers,
) -> Result<(Item, Option<Item>)> {
    match device {
        Plugged::Disk(disk) => {
            let mut item = vdisk(disk)?;
            complete_disk(&mut item, &content.id, servers);
            let volume = volume(disk, &item, &[]);
            Ok((item, volume))
        }
        Plugged::Interface(interface) => {
            let names = content.of("network").filter_map(|item| item.get("vnet_name"));
            let taken: Vec<String> = names.map(str::to_owned).collect();
            let name = match interface.target_dev() {
                Some(name) => name.to_owned(),
                None => free_name("vnet", &taken),
            };
            Ok((network::vnet(interface, &name, &servers.switch)?, None))
        }
    }
}
