//! From the manager's items to a domain document.

use virt_model::domain::address::DeviceInfo;
use virt_model::domain::chardev::{
    ChardevSource, ChardevType, Console, ConsoleTarget, ConsoleType, Protocol, SocketMode,
};
use virt_model::domain::disk::{DiskBus, DiskDevice, DiskTarget, DiskType};
use virt_model::domain::memory::Memory;
use virt_model::domain::source::StorageSource;
use virt_model::domain::{
    Disk, Domain, LifecycleAction, Namespace, Placement, Vcpu, VirtType, boot::OsType,
};
use virt_types::Uuid;

use super::{ARCH, MACHINE, NAMESPACE, PREFIX, boot, extras, network};
use crate::facts;
use crate::message::{Content, Item};
use crate::world::Service;

/// What a document says beside the items.
pub(crate) struct View<'a> {
    pub(crate) uuid: Option<Uuid>,
    /// Of a running domain.
    pub(crate) id: Option<i32>,
    pub(crate) services: &'a [Service],
    pub(crate) console_host: &'a str,
}

/// Items that libvirt's elements do not hold, and the name of the device each belongs to.
type Rest = Vec<(Item, Option<String>)>;

/// A domain as a document.
pub(crate) fn domain(content: &Content, view: &View<'_>) -> Domain {
    let mut domain = Domain {
        virt_type: VirtType::Ldoms,
        id: view.id,
        name: content.id.clone(),
        uuid: view.uuid,
        memory: Memory { kib: facts::memory_kib(content), dump_core: None },
        current_memory_kib: Some(facts::memory_kib(content)),
        vcpu: Vcpu {
            placement: Placement::Static,
            count: facts::vcpus(content),
            ..Vcpu::default()
        },
        on_poweroff: Some(LifecycleAction::Destroy),
        on_reboot: Some(LifecycleAction::Restart),
        on_crash: Some(LifecycleAction::Destroy),
        ..Domain::default()
    };
    let kind = &mut domain.os.kind;
    (kind.arch, kind.machine) = (Some(ARCH.to_owned()), Some(MACHINE.to_owned()));
    kind.kind = Some(OsType::Ldom);
    let mut rest: Rest = Vec::new();
    let mut boot_order = None;
    for item in content.items() {
        match item.resource.to_ascii_lowercase().as_str() {
            "cpu" | "memory" => rest.extend(left(item, &["units"], None)),
            "ldom_info" => rest.extend(left(item, &["uuid"], None)),
            "disk" if item.get("vdisk_name").is_some() => {
                add_disk(&mut domain, item, view.services, &mut rest);
            }
            "network" if item.get("vnet_name").is_some() => {
                let (interface, told) = network::interface(item);
                rest.extend(left(item, &told, item.get("vnet_name")));
                domain.devices.interfaces.push(interface);
            }
            "console" => {
                let told = add_console(&mut domain, item, view.console_host);
                rest.extend(left(item, told, None));
            }
            _ if boot::is_order(item) && boot_order.is_none() => boot_order = Some(item),
            _ => rest.extend(left(item, &[], None)),
        }
    }
    if let Some(item) = boot_order
        && (!boot::show(&mut domain, item.get("value").unwrap_or_default())
            || item.properties.len() > 2)
    {
        rest.push((item.clone(), None));
    }
    if let Some(element) = extras::print(&rest) {
        domain.namespaces.push(Namespace { prefix: PREFIX.to_owned(), uri: NAMESPACE.to_owned() });
        domain.foreign.push(element);
    }
    domain
}

fn left(item: &Item, told: &[&str], name: Option<&str>) -> Option<(Item, Option<String>)> {
    extras::rest_of(item, told).map(|rest| (rest, name.map(str::to_owned)))
}

fn add_disk(domain: &mut Domain, item: &Item, services: &[Service], rest: &mut Rest) {
    let name = item.get("vdisk_name").unwrap_or_default();
    let (server, volume) = (item.get("service_name"), item.get("vol_name"));
    let found = services.iter().map(|service| &service.item).find(|found| {
        found.is("vds_volume")
            && found.get("vol_name") == volume
            && (found.get("service_name") == server || found.get("service_name").is_none())
    });
    let path = found.and_then(|volume| volume.get("block_dev"));
    let kind = match path {
        Some(path) if path.starts_with("/dev/") => DiskType::Block,
        _ => DiskType::File,
    };
    let options = found.and_then(|volume| volume.get("vol_opts")).unwrap_or_default();
    let others: Vec<&str> = options.split(',').map(str::trim).filter(|o| *o != "ro").collect();
    let source = StorageSource { kind, path: path.map(str::to_owned), ..StorageSource::default() };
    domain.devices.disks.push(Disk {
        kind,
        device: DiskDevice::Disk,
        source: path.map(|_| source),
        target: DiskTarget {
            dev: name.to_owned(),
            bus: Some(DiskBus::Vdisk),
            ..DiskTarget::default()
        },
        readonly: options.split(',').any(|option| option.trim() == "ro"),
        info: DeviceInfo::default(),
        ..Disk::default()
    });
    rest.extend(left(item, &["vdisk_name"], Some(name)));
    if let Some(volume) = found {
        let mut left_over = volume.clone();
        let others = others.join(",");
        left_over.set("vol_opts", Some(others.as_str()).filter(|text| !text.is_empty()));
        let told = ["vol_name", "service_name", "block_dev"];
        rest.extend(left(&left_over, &told, item.get("vol_name")));
    }
}

/// The console's port at the concentrator; what of the item that says.
fn add_console(domain: &mut Domain, item: &Item, host: &str) -> &'static [&'static str] {
    let Some(port) = item.get("port") else { return &[] };
    domain.devices.consoles.push(Console {
        source: ChardevSource {
            kind: ChardevType::Tcp,
            mode: Some(SocketMode::Connect),
            host: Some(host.to_owned()),
            service: Some(port.to_owned()),
            protocol: Some(Protocol::Telnet),
            ..ChardevSource::default()
        },
        target: ConsoleTarget { kind: Some(ConsoleType::None), port: Some(0) },
        ..Console::default()
    });
    &["port"]
}
