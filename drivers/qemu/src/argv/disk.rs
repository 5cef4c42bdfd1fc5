//! Disks: the nodes that hold their bytes and the devices that show them.

use std::path::Path;

use virt_error::Result;
use virt_model::domain::Domain;
use virt_model::domain::address::{Address, Drive};
use virt_model::domain::boot::BootDevice;
use virt_model::domain::disk::{
    Cache, DetectZeroes, Discard, Disk, DiskBus, DiskDevice, DiskDriver, DiskType, ErrorPolicy, Io,
};
use virt_model::domain::source::StorageSource;

use super::{Argv, Object, alias, aliases, at_pci, boot_index, set, unsupported};
use crate::rules::Chipset;
use crate::vdisk;

/// Gives each disk's source its number in the names of its nodes.
///
/// Compat: libvirt counts from the last disk to the first, empty drives too.
pub(crate) fn number_nodes(domain: &mut Domain) {
    let mut next = 0_u32;
    for disk in domain.devices.disks.iter_mut().rev() {
        next = next.saturating_add(1);
        if let Some(source) = disk.source.as_mut().filter(|source| !source.is_empty()) {
            source.index = Some(next);
        }
    }
}

/// The name of the node that a disk's device reads from; none for an empty drive.
pub(crate) fn node_name(disk: &Disk) -> Option<String> {
    let nodes = disk.source.as_ref()?.private_data().and_then(|noted| noted.child("nodenames"));
    let named = |kind| {
        let node = nodes?.elements().find(|node| node.attr("type") == Some(kind))?;
        node.attr("name").map(str::to_owned)
    };
    // What another daemon wrote down when it started the guest.
    let noted = named("format").or_else(|| named("storage"));
    noted.or_else(|| own_node_names(disk).pop().map(|(_, name)| name))
}

/// The kinds and names that this driver gives to the nodes of a disk's image, the top one last.
pub(crate) fn own_node_names(disk: &Disk) -> Vec<(&'static str, String)> {
    let Some(index) = disk.source.as_ref().and_then(|source| source.index) else {
        return Vec::new();
    };
    let is_raw = vdisk::is_vdisk(disk) || disk.format().is_none_or(|format| format == "raw");
    let kinds = if is_raw { &["storage"][..] } else { &["storage", "format"] };
    kinds.iter().map(|kind| (*kind, format!("libvirt-{index}-{kind}"))).collect()
}

pub(super) fn disks(argv: &mut Argv, domain: &Domain, dir: &Path) -> Result<()> {
    for disk in &domain.devices.disks {
        refuse_unknown(disk)?;
        nodes(argv, disk, dir)?;
        let device = device(disk, domain)?;
        argv.device(device);
    }
    Ok(())
}

/// Refuses what would otherwise be left out without a word.
fn refuse_unknown(disk: &Disk) -> Result<()> {
    let driver = disk.driver.as_ref();
    let of_driver = |is: fn(&DiskDriver) -> bool| driver.is_some_and(is);
    let settings =
        |source: &StorageSource| source.rest.len() > usize::from(source.private_data().is_some());
    let rest = disk.source.as_ref().is_some_and(settings);
    let settings = [
        ("lun", disk.device == DiskDevice::Lun),
        ("shareable", disk.shareable),
        ("transient", set(&disk.transient)),
        ("geometry", set(&disk.geometry)),
        ("blockio", set(&disk.blockio)),
        ("wwn", set(&disk.wwn)),
        ("vendor", set(&disk.vendor)),
        ("product", set(&disk.product)),
        ("encryption", set(&disk.encryption)),
        ("throttlefilters", set(&disk.throttle_filters)),
        ("rotation_rate", set(&disk.target.rotation_rate_rpm)),
        ("removable", set(&disk.target.removable)),
        ("ioeventfd", of_driver(|driver| set(&driver.ioeventfd))),
        ("event_idx", of_driver(|driver| set(&driver.event_idx))),
        ("copy_on_read", of_driver(|driver| set(&driver.copy_on_read))),
        ("discard_no_unref", of_driver(|driver| set(&driver.discard_no_unref))),
        ("queues", of_driver(|driver| set(&driver.queues) || set(&driver.queue_size))),
        ("iothread", of_driver(|driver| set(&driver.iothread) || set(&driver.iothreads))),
        ("metadata_cache", of_driver(|driver| set(&driver.metadata_cache))),
        ("rerror_policy", of_driver(|driver| set(&driver.rerror_policy))),
        ("virtio option", of_driver(|driver| set(&driver.virtio))),
        ("source setting", rest),
    ];
    match settings.iter().find(|(_, there)| *there) {
        Some((what, _)) => unsupported(format!("disk setting '{what}' is not supported yet")),
        None => Ok(()),
    }
}

/// A drive that QEMU can open and close the tray of.
///
/// Compat: told by its name, as the device may have no disc in it when it is looked at.
fn is_host_cdrom(path: &str) -> bool {
    path.strip_prefix("/dev/").is_some_and(|name| {
        name == "cdrom" || name.strip_prefix("sr").is_some_and(|n| n.parse::<u32>().is_ok())
    })
}

fn nodes(argv: &mut Argv, disk: &Disk, dir: &Path) -> Result<()> {
    let Some(source) = disk.source.as_ref().filter(|source| !source.is_empty()) else {
        return Ok(());
    };
    let Some(index) = source.index else { return Ok(()) };
    if vdisk::is_vdisk(disk) {
        let socket = vdisk::socket(dir, index);
        let server = Object::empty().text("type", "unix").text("path", &socket.to_string_lossy());
        let node = Object::new("driver", "nbd").object("server", server);
        let node = node.text("node-name", &format!("libvirt-{index}-storage"));
        argv.option("-blockdev", settings(node, disk, true).finish());
        return Ok(());
    }
    let driver = match source.kind {
        DiskType::File => "file",
        DiskType::Block if is_host_cdrom(source.path().unwrap_or_default()) => "host_cdrom",
        DiskType::Block => "host_device",
        kind => {
            let kind = kind.as_str();
            return unsupported(format!("disk source of type '{kind}' is not supported yet"));
        }
    };
    let options = disk.driver.as_ref();
    let node = Object::new("driver", driver)
        .text("filename", source.path().unwrap_or_default())
        .maybe("aio", options.and_then(|o| o.io).and_then(aio))
        .text("node-name", &format!("libvirt-{index}-storage"));
    let format = disk.format().unwrap_or("raw");
    if format == "raw" {
        argv.option("-blockdev", settings(node, disk, true).finish());
        return Ok(());
    }
    let node = node.flag("auto-read-only", true);
    argv.option("-blockdev", settings(node, disk, false).finish());
    let format = Object::new("node-name", &format!("libvirt-{index}-format"));
    let format = settings(format, disk, true).text("driver", disk.format().unwrap_or("raw"));
    argv.option("-blockdev", format.text("file", &format!("libvirt-{index}-storage")).finish());
    Ok(())
}

fn aio(io: Io) -> Option<&'static str> {
    match io {
        Io::Native => Some("native"),
        Io::Threads => Some("threads"),
        Io::IoUring => Some("io_uring"),
        Io::Default => None,
    }
}

/// What every node of a disk carries; the lowest does not know what only the guest's view needs.
fn settings(node: Object, disk: &Disk, top: bool) -> Object {
    let options = disk.driver.as_ref();
    let mut node = if top { node.flag("read-only", disk.readonly) } else { node };
    if let Some(discard) = options.and_then(|options| options.discard) {
        match discard {
            Discard::Unmap => node = node.text("discard", "unmap"),
            Discard::Ignore => node = node.text("discard", "ignore"),
            Discard::Default => {}
        }
    } else if !top {
        node = node.text("discard", "unmap");
    }
    if let Some(detect) = options.and_then(|options| options.detect_zeroes).filter(|_| top)
        && detect != DetectZeroes::Default
    {
        node = node.text("detect-zeroes", detect.as_str());
    }
    let cache = options.and_then(|options| options.cache).unwrap_or(Cache::Default);
    if cache != Cache::Default {
        let direct = matches!(cache, Cache::None | Cache::Directsync);
        let no_flush = cache == Cache::Unsafe;
        let members = Object::empty().flag("direct", direct).flag("no-flush", no_flush);
        node = node.object("cache", members);
    }
    node
}

fn device(disk: &Disk, domain: &Domain) -> Result<Object> {
    let bus = disk.target.bus.unwrap_or_default();
    let place = match &disk.info.address {
        Address::Drive(drive) => *drive,
        _ => Drive::default(),
    };
    let cdrom = disk.device == DiskDevice::Cdrom;
    let object = match bus {
        DiskBus::Virtio => at_pci(Object::new("driver", "virtio-blk-pci"), &disk.info, domain),
        DiskBus::Ide | DiskBus::Sata => on_ata(bus, place, cdrom, domain),
        DiskBus::Scsi => on_scsi(disk, place, cdrom, domain),
        DiskBus::Usb => Object::new("driver", "usb-storage").text("bus", "usb.0").text("port", "1"),
        DiskBus::Fdc => {
            return Ok(Object::new("driver", "floppy")
                .number("unit", place.unit)
                .maybe("drive", node_name(disk).as_deref())
                .text("id", alias(&disk.info)));
        }
        bus => {
            let bus = bus.as_str();
            return unsupported(format!("unsupported disk bus '{bus}'"));
        }
    };
    let mut object =
        object.maybe("drive", node_name(disk).as_deref()).text("id", alias(&disk.info));
    object = object.maybe_number("bootindex", boot_order(disk, domain));
    if let Some(cache) = disk.driver.as_ref().and_then(|driver| driver.cache) {
        let back = matches!(cache, Cache::None | Cache::Writeback | Cache::Unsafe);
        if cache != Cache::Default {
            object = object.text("write-cache", if back { "on" } else { "off" });
        }
    }
    if let Some(policy) = disk.driver.as_ref().and_then(|driver| driver.error_policy) {
        let read = if policy == ErrorPolicy::Enospace { "report" } else { policy.as_str() };
        let write = if policy == ErrorPolicy::Enospace { "enospc" } else { policy.as_str() };
        object = object.text("werror", write).text("rerror", read);
    }
    Ok(object.maybe("serial", disk.serial.as_deref()))
}

fn on_ata(bus: DiskBus, place: Drive, cdrom: bool, domain: &Domain) -> Object {
    let object = Object::new("driver", if cdrom { "ide-cd" } else { "ide-hd" });
    if bus == DiskBus::Ide {
        return object.text("bus", &format!("ide.{}", place.bus)).number("unit", place.unit);
    }
    let built_in = Chipset::of_domain(domain) == Chipset::Q35 && place.controller == 0;
    let controller = if built_in { "ide".to_owned() } else { format!("sata{}", place.controller) };
    object.text("bus", &format!("{controller}.{}", place.unit))
}

fn on_scsi(disk: &Disk, place: Drive, cdrom: bool, domain: &Domain) -> Object {
    let controller = place.controller;
    let driver = if cdrom { "scsi-cd" } else { "scsi-hd" };
    let object = Object::new("driver", driver).text("bus", &format!("scsi{controller}.0"));
    let device_id = format!("drive-{}", alias(&disk.info));
    if aliases::is_lsi(&domain.devices.controllers, controller) {
        return object.number("scsi-id", place.unit).text("device_id", &device_id);
    }
    object
        .number("channel", place.bus)
        .number("scsi-id", place.target)
        .number("lun", place.unit)
        .text("device_id", &device_id)
}

/// The order in which the firmware tries this disk: its own, or that of its kind in `<os>`.
fn boot_order(disk: &Disk, domain: &Domain) -> Option<u32> {
    if let Some(order) = boot_index(&disk.info) {
        return Some(order);
    }
    let kind = match disk.device {
        DiskDevice::Cdrom => BootDevice::Cdrom,
        DiskDevice::Floppy => BootDevice::Fd,
        DiskDevice::Disk | DiskDevice::Lun => BootDevice::Hd,
    };
    let first = domain.devices.disks.iter().find(|other| match kind {
        BootDevice::Cdrom => other.device == DiskDevice::Cdrom,
        BootDevice::Fd => other.device == DiskDevice::Floppy,
        _ => matches!(other.device, DiskDevice::Disk | DiskDevice::Lun),
    })?;
    std::ptr::eq(first, disk).then(|| os_order(domain, kind)).flatten()
}

/// The place of a kind of device in `<os><boot dev='...'/>`, counted from 1.
pub(super) fn os_order(domain: &Domain, kind: BootDevice) -> Option<u32> {
    let at = domain.os.boot.iter().position(|boot| boot.dev == kind)?;
    u32::try_from(at).ok()?.checked_add(1)
}
