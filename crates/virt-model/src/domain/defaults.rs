//! The defaults that hold for every driver: memory, CPUs, boot order, and each device's own.

use virt_error::Result;

use crate::domain::address::{Address, Drive};
use crate::domain::boot::{Boot, BootDevice, OsType};
use crate::domain::cpu::{Fallback, Match, Mode};
use crate::domain::disk::{Disk, DiskBus, DiskDevice};
use crate::domain::graphics::{Graphics, GraphicsType, Listen, ListenType, Video, VideoType};
use crate::domain::interface::MacAddress;
use crate::domain::{Domain, DomainRules, LifecycleAction, VirtType};
use crate::schema::error;
use crate::schema::text::{Mac, YesNo};

pub(super) fn memory(domain: &mut Domain) -> Result<()> {
    let cells: u64 = domain
        .cpu
        .iter()
        .filter_map(|cpu| cpu.numa.as_ref())
        .flat_map(|numa| &numa.cells)
        .map(|cell| cell.memory_kib)
        .fold(0, u64::saturating_add);
    if domain.memory.kib == 0 {
        domain.memory.kib = cells;
    }
    if domain.memory.kib == 0 {
        return Err(error::xml(
            "Memory size must be specified via <memory> or in the <numa> configuration",
        ));
    }
    let all = domain.memory.kib;
    let numa = domain.cpu.as_ref().is_some_and(|cpu| cpu.numa.is_some());
    if let Some(hugepages) =
        domain.memory_backing.as_mut().and_then(|backing| backing.hugepages.as_mut())
        && let [page] = hugepages.pages.as_mut_slice()
        && !numa
    {
        // Compat: without cells the only page size is everybody's.
        page.nodeset = None;
    }
    let current = domain.current_memory_kib.filter(|kib| *kib > 0 && *kib <= all);
    domain.current_memory_kib = Some(current.unwrap_or(all));
    Ok(())
}

pub(super) fn vcpus(domain: &mut Domain) {
    if domain.vcpu.current == Some(domain.vcpu.count) {
        domain.vcpu.current = None;
    }
}

/// A guest that names nothing to boot from boots from its disk.
pub(super) fn boot(domain: &mut Domain) {
    let by_device = domain.devices.infos().iter().any(|info| info.boot.is_some());
    let full = domain.os.kind.kind == Some(OsType::Hvm);
    if !matches!(
        domain.os.kind.kind,
        Some(OsType::Hvm | OsType::Xen | OsType::XenPvh | OsType::Uml)
    ) {
        let os = &mut domain.os;
        (os.kernel, os.initrd, os.cmdline, os.dtb) = (None, None, None, None);
    }
    if full && domain.os.boot.is_empty() && !by_device {
        domain.os.boot.push(Boot { dev: BootDevice::Hd });
    }
}

pub(super) fn lifecycle(domain: &mut Domain) {
    domain.on_poweroff.get_or_insert(LifecycleAction::Destroy);
    domain.on_reboot.get_or_insert(LifecycleAction::Restart);
    domain.on_crash.get_or_insert(LifecycleAction::Destroy);
}

pub(super) fn cpu(domain: &mut Domain) {
    let Some(cpu) = &mut domain.cpu else { return };
    if cpu.mode.is_none() && cpu.model.is_some() {
        cpu.mode = Some(Mode::Custom);
    }
    if cpu.mode == Some(Mode::Custom)
        && let Some(model) = &mut cpu.model
    {
        cpu.match_.get_or_insert(Match::Exact);
        model.fallback.get_or_insert(Fallback::Allow);
    }
}

pub(super) fn devices(domain: &mut Domain, rules: &dyn DomainRules) -> Result<()> {
    let wide = rules.features().wide_scsi;
    let disks = std::mem::take(&mut domain.devices.disks);
    for disk in disks {
        insert_disk(&mut domain.devices.disks, disk);
    }
    for disk in &mut domain.devices.disks {
        complete_disk(disk, wide)?;
    }
    let virt_type = domain.virt_type;
    for interface in &mut domain.devices.interfaces {
        let unset = interface.mac.as_ref().is_none_or(|mac| mac.address == Mac::default());
        if unset {
            let address = rules.random_mac(virt_type);
            interface.mac =
                Some(MacAddress { address, ..interface.mac.take().unwrap_or_default() });
        }
    }
    domain.devices.graphics.iter_mut().try_for_each(complete_graphics)?;
    videos(domain);
    Ok(())
}

/// The number in a disk's name: `vda` is 0, `sdaa` is 26. `None` for a name that is none.
pub fn disk_index(target: &str) -> Option<usize> {
    let prefixes = ["fd", "hd", "vd", "sd", "xvd", "ubd"];
    let letters = prefixes.iter().find_map(|prefix| target.strip_prefix(prefix))?;
    let end = letters.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(letters.len());
    let (letters, digits) = letters.split_at(end);
    if letters.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let mut index: usize = 0;
    for c in letters.bytes() {
        index = index.checked_mul(26)?.checked_add(usize::from(c - b'a') + 1)?;
    }
    index.checked_sub(1).filter(|index| i32::try_from(*index).is_ok())
}

/// Disks of one bus stand in the order of their names.
///
/// Compat: the bus is the one that the document names; those that name none count as one bus.
pub(super) fn insert_disk(disks: &mut Vec<Disk>, new: Disk) {
    let index = |disk: &Disk| disk_index(&disk.target.dev);
    let same = |disk: &Disk| disk.target.bus == new.target.bus;
    let after = disks.iter().position(|disk| same(disk) && index(disk) > index(&new));
    let at = after.or_else(|| disks.iter().rposition(same).map(|last| last + 1));
    disks.insert(at.unwrap_or(disks.len()), new);
}

fn complete_disk(disk: &mut Disk, wide_scsi: bool) -> Result<()> {
    if disk.target.dev.is_empty() {
        let from = disk.path().unwrap_or_default();
        return Err(virt_error::Error::new(
            virt_error::Code::NoTarget,
            virt_error::Origin::Domain,
            from,
        ));
    }
    let bus = *disk.target.bus.get_or_insert_with(|| bus_of(&disk.target.dev, disk.device));
    if disk.device == DiskDevice::Cdrom {
        disk.readonly = true;
    }
    if disk.info.address == Address::None
        && matches!(bus, DiskBus::Ide | DiskBus::Scsi | DiskBus::Sata | DiskBus::Fdc)
    {
        let Some(index) = disk_index(&disk.target.dev).and_then(|index| u32::try_from(index).ok())
        else {
            let name = &disk.target.dev;
            return Err(error::xml(format!("Unknown disk name '{name}' and no address specified")));
        };
        disk.info.address = Address::Drive(drive_address(bus, index, wide_scsi));
    }
    Ok(())
}

fn bus_of(target: &str, device: DiskDevice) -> DiskBus {
    if device == DiskDevice::Floppy {
        return DiskBus::Fdc;
    }
    match target {
        t if t.starts_with("hd") => DiskBus::Ide,
        t if t.starts_with("sd") => DiskBus::Scsi,
        t if t.starts_with("vd") => DiskBus::Virtio,
        t if t.starts_with("xvd") => DiskBus::Xen,
        t if t.starts_with("ubd") => DiskBus::Uml,
        _ => DiskBus::Ide,
    }
}

/// Where a disk of that number sits on the bus.
fn drive_address(bus: DiskBus, index: u32, wide_scsi: bool) -> Drive {
    match bus {
        DiskBus::Scsi if wide_scsi => {
            // Unit 7 is the controller itself.
            let unit = index % 15;
            Drive { controller: index / 15, unit: unit + u32::from(unit >= 7), ..Drive::default() }
        }
        DiskBus::Scsi => Drive { controller: index / 7, unit: index % 7, ..Drive::default() },
        DiskBus::Sata => Drive { controller: index / 6, unit: index % 6, ..Drive::default() },
        DiskBus::Fdc => Drive { controller: index / 2, unit: index % 2, ..Drive::default() },
        _ => {
            Drive { controller: index / 4, bus: index % 4 / 2, unit: index % 2, ..Drive::default() }
        }
    }
}

/// Brings the old and the new ways of saying where a display listens into one form.
fn complete_graphics(graphics: &mut Graphics) -> Result<()> {
    let listens =
        matches!(graphics.kind, GraphicsType::Vnc | GraphicsType::Spice | GraphicsType::Rdp);
    if !listens {
        return Ok(());
    }
    listen_back_compat(graphics)?;
    match graphics.kind {
        GraphicsType::Vnc => vnc_ports(graphics),
        GraphicsType::Spice => spice_ports(graphics),
        _ => {
            let ports = &mut graphics.ports;
            if ports.port.is_none_or(|port| port <= 0) {
                (ports.port, ports.autoport) = (Some(0), Some(YesNo::Yes));
            }
        }
    }
    if graphics.listens.is_empty() {
        let unconnected = graphics.kind == GraphicsType::Spice
            && graphics.ports.port.is_none()
            && graphics.ports.tls_port.is_none()
            && graphics.ports.autoport.is_none();
        let kind = match &graphics.socket {
            Some(_) => ListenType::Socket,
            None if unconnected => ListenType::None,
            None => ListenType::Address,
        };
        let socket = graphics.socket.clone();
        graphics.listens.push(Listen { kind, socket, ..Listen::default() });
    }
    let first = graphics.listens.first();
    graphics.listen = first
        .filter(|listen| listen.kind == ListenType::Address)
        .and_then(|listen| listen.address.clone());
    Ok(())
}

fn listen_back_compat(graphics: &mut Graphics) -> Result<()> {
    for listen in &graphics.listens {
        if listen.kind == ListenType::Network && listen.network.is_none() {
            return Err(error::xml("'network' attribute is required for listen type 'network'"));
        }
    }
    if let Some(address) = graphics.listen.take().filter(|address| !address.is_empty()) {
        let alone = graphics.listens.is_empty() && graphics.socket.is_none();
        match graphics.listens.iter_mut().find(|listen| listen.kind == ListenType::Address) {
            None if alone => {
                let kind = ListenType::Address;
                graphics.listens.push(Listen { kind, address: Some(address), ..Listen::default() });
            }
            None => {}
            Some(listen) => match &listen.address {
                None => listen.address = Some(address),
                Some(inner) if *inner == address => {}
                Some(inner) => {
                    return Err(error::xml(format!(
                        "graphics 'listen' attribute '{address}' must match 'address' attribute of first listen element (found '{inner}')"
                    )));
                }
            },
        }
    }
    if graphics.kind == GraphicsType::Vnc
        && let Some(socket) = &graphics.socket
    {
        match graphics.listens.first_mut() {
            Some(listen) if listen.kind == ListenType::Socket => match &listen.socket {
                Some(inner) if inner != socket => {
                    return Err(error::xml(format!(
                        "graphics 'socket' attribute '{socket}' must match 'socket' attribute of first listen element (found '{inner}')"
                    )));
                }
                _ => listen.socket = Some(socket.clone()),
            },
            Some(listen) => {
                *listen = Listen {
                    kind: ListenType::Socket,
                    socket: Some(socket.clone()),
                    ..Listen::default()
                };
            }
            None => {}
        }
    }
    Ok(())
}

fn vnc_ports(graphics: &mut Graphics) {
    let first = graphics.listens.first().map(|listen| listen.kind);
    let elsewhere =
        graphics.socket.is_some() || matches!(first, Some(ListenType::Socket | ListenType::None));
    if let (None, Some(listen)) = (&graphics.socket, graphics.listens.first()) {
        graphics.socket = listen.socket.clone().filter(|_| listen.kind == ListenType::Socket);
    }
    if elsewhere {
        return;
    }
    let ports = &mut graphics.ports;
    if ports.port == Some(-1) || ports.port.is_none() && ports.autoport.is_none() {
        ports.autoport = Some(YesNo::Yes);
    }
    if ports.autoport == Some(YesNo::Yes) {
        ports.port.get_or_insert(-1);
    } else {
        ports.autoport = Some(YesNo::No);
    }
}

fn spice_ports(graphics: &mut Graphics) {
    graphics.ports.port = graphics.ports.port.filter(|port| *port != 0);
    graphics.ports.tls_port = graphics.ports.tls_port.filter(|port| *port != 0);
    if graphics.ports.port == Some(-1) && graphics.ports.tls_port == Some(-1) {
        graphics.ports.autoport = Some(YesNo::Yes);
    }
    if graphics.ports.autoport == Some(YesNo::No) || graphics.ports.autoport.is_none() {
        let fixed = graphics.ports.port.is_some() || graphics.ports.tls_port.is_some();
        graphics.ports.autoport = fixed.then_some(YesNo::No);
    }
}

/// A guest with a display has a card to drive it; the first card is the primary one.
fn videos(domain: &mut Domain) {
    let shown = domain.devices.graphics.iter().any(|g| g.kind != GraphicsType::EglHeadless);
    if domain.devices.videos.is_empty() && shown {
        domain.devices.videos.push(Video::default());
    }
    let default = match domain.virt_type {
        VirtType::Xen => VideoType::Xen,
        VirtType::VMware => VideoType::Vmvga,
        VirtType::VBox => VideoType::Vbox,
        VirtType::Bhyve => VideoType::Gop,
        VirtType::Parallels | VirtType::Vz => VideoType::Parallels,
        _ => VideoType::Cirrus,
    };
    for video in &mut domain.devices.videos {
        let model = &mut video.model;
        if model.kind == VideoType::Default {
            model.kind = default;
        }
        if model.kind == VideoType::None {
            continue;
        }
        model.heads.get_or_insert(1);
        if model.vram_kib.is_none() {
            model.vram_kib = match model.kind {
                VideoType::Cirrus
                | VideoType::Vga
                | VideoType::Vmvga
                | VideoType::Bochs
                | VideoType::Gop => Some(16384),
                VideoType::Xen => Some(4096),
                VideoType::Vbox => Some(8192),
                VideoType::Qxl => Some(65536),
                _ => None,
            };
        }
        if model.kind == VideoType::Qxl {
            model.ram_kib.get_or_insert(65536);
            model.vgamem_kib.get_or_insert(16384);
        }
    }
    let primary =
        domain.devices.videos.iter().position(|video| video.model.primary == Some(YesNo::Yes));
    if primary.is_none()
        && let Some(first) = domain.devices.videos.first_mut()
        && first.model.kind != VideoType::None
    {
        first.model.primary = Some(YesNo::Yes);
    }
    // The primary card is the first of the list.
    if let Some(at) = primary.filter(|at| *at > 0) {
        let video = domain.devices.videos.remove(at);
        domain.devices.videos.insert(0, video);
    }
}
