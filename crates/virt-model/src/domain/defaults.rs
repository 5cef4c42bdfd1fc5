//! The defaults that hold for every driver: memory, CPUs, boot order, and each device's own.

use virt_error::Result;

use crate::domain::address::{Address, Drive};
use crate::domain::boot::{Boot, BootDevice, OsType, SmbiosMode};
use crate::domain::cpu::{Fallback, Match, Mode};
use crate::domain::devices::Vsock;
use crate::domain::disk::{Disk, DiskBus, DiskDevice, DiskType, SnapshotMode};
use crate::domain::interface::{Interface, InterfaceType, MacAddress};
use crate::domain::{
    Device, Domain, DomainRules, LifecycleAction, VirtType, displays, inputs, unsaid,
};
use crate::schema::error;
use crate::schema::text::{Mac, YesNo};

/// How much memory there is: what is said, or what the cells and the modules have together.
///
/// Compat: a new definition always has the sum, whatever it says.
pub(super) fn memory(domain: &mut Domain, new: bool) -> Result<()> {
    let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
    let numa = domain.cpu.iter().filter_map(|cpu| cpu.numa.as_ref());
    let cells = sum(&mut numa.flat_map(|numa| &numa.cells).map(|cell| cell.memory_kib));
    let memories = domain.devices.memories.iter();
    let modules = sum(&mut memories.filter_map(|memory| memory.target.size_kib));
    if cells > 0 && (new || domain.memory.kib == 0) {
        domain.memory.kib = cells.saturating_add(modules);
    } else if cells == 0 && modules > domain.memory.kib {
        return Err(error::unsupported(
            "Total size of memory devices exceeds the total memory size",
        ));
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

/// Leaves out what means nothing to a guest of its kind; one that names nothing to boot from boots from
/// its disk.
pub(super) fn boot(domain: &mut Domain) {
    use OsType::{Bsd, Exe, Hvm, Ldom, Linux, Uml, Xen, XenPvh};
    let by_device = domain.devices.infos().iter().any(|info| info.boot.is_some());
    let chooses = domain.bootloader.is_none();
    let own = matches!(domain.os.kind.kind, Some(Ldom | Bsd) | None);
    let container = domain.os.kind.kind == Some(Exe);
    let full = domain.os.kind.kind == Some(Hvm);
    let kernel = match domain.os.kind.kind {
        Some(Hvm | Xen | XenPvh | Uml) => true,
        Some(Linux) => domain.virt_type == VirtType::Xen,
        _ => false,
    };
    let os = &mut domain.os;
    if !kernel {
        (os.kernel, os.initrd, os.dtb) = (None, None, None);
        os.cmdline.take_if(|_| !container);
    }
    if !kernel && !own {
        (os.loader, os.nvram, os.shim, os.root) = (None, None, None, None);
    }
    if !container && !own {
        (os.init, os.initdir, os.inituser, os.initgroup) = (None, None, None, None);
        (os.initargs, os.initenvs) = (Vec::new(), Vec::new());
    }
    if !(own || full && chooses) {
        (os.boot, os.bootmenu, os.bios) = (Vec::new(), None, None);
    }
    if let Some(menu) = os.bootmenu.as_mut().filter(|menu| menu.enable != Some(YesNo::Yes)) {
        menu.timeout_ms = None;
    }
    os.smbios.take_if(|smbios| smbios.mode == SmbiosMode::None);
    if os.firmware.is_none() {
        os.firmware_features.clear();
    }
    os.firmware_features.sort_by(|one, other| one.name.cmp(&other.name));
    os.firmware_features.dedup();
    if full && chooses && os.boot.is_empty() && !by_device {
        os.boot.push(Boot { dev: BootDevice::Hd });
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
        && let Some(model) = cpu.model.as_mut().filter(|model| model.name.is_some())
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
        complete_interface(interface, virt_type, rules);
    }
    domain.devices.graphics.iter_mut().try_for_each(displays::complete_graphics)?;
    displays::videos(domain);
    let os = &domain.os.kind;
    let inputs = &mut domain.devices.inputs;
    inputs.iter_mut().try_for_each(|input| inputs::complete(input, os, virt_type))?;
    domain.devices.vsock.iter_mut().for_each(complete_vsock);
    Ok(())
}

/// One device's defaults, for a device that comes alone.
pub(super) fn device(
    device: &mut Device,
    virt_type: VirtType,
    rules: &dyn DomainRules,
) -> Result<()> {
    match device {
        Device::Disk(disk) => complete_disk(disk, rules.features().wide_scsi)?,
        Device::Interface(interface) => {
            virtual_port(interface, rules);
            complete_interface(interface, virt_type, rules);
        }
        Device::Graphics(graphics) => displays::complete_graphics(graphics)?,
        Device::Video(video) => displays::complete_video(video, virt_type, None),
        Device::Vsock(vsock) => complete_vsock(vsock),
        other => unsaid::device(other),
    }
    Ok(())
}

/// Compat: one that is told no address is given one.
fn complete_vsock(vsock: &mut Vsock) {
    let auto = if vsock.cid.address.is_none() { YesNo::Yes } else { YesNo::No };
    vsock.cid.auto.get_or_insert(auto);
}

fn complete_interface(interface: &mut Interface, virt_type: VirtType, rules: &dyn DomainRules) {
    if interface.mac.as_ref().is_none_or(|mac| mac.address == Mac::default()) {
        let address = rules.random_mac(virt_type);
        interface.mac = Some(MacAddress { address, ..interface.mac.take().unwrap_or_default() });
    }
    drop_unknown(interface);
    unsaid::interface(interface);
}

/// The ids of a switch's port that are made up where a document gives none.
pub(super) fn virtual_port(interface: &mut Interface, rules: &dyn DomainRules) {
    let Some(port) = &mut interface.virtualport else { return };
    let (instance, own) = match port.kind.as_deref() {
        None => (true, true),
        Some("802.1Qbg") => (true, false),
        Some("openvswitch") => (false, true),
        Some(_) => return,
    };
    let mut said = port.parameters.take().unwrap_or_default();
    if instance {
        said.instanceid.get_or_insert_with(|| rules.random_uuid());
    }
    if own {
        said.interfaceid.get_or_insert_with(|| rules.random_uuid());
    }
    port.parameters = Some(said);
}

/// Compat: what an interface of its type or model does not know is left out without a word.
fn drop_unknown(interface: &mut Interface) {
    use InterfaceType::{Bridge, Ethernet, Network};
    if !matches!(interface.kind, Ethernet | Network | Bridge) {
        interface.filterref = None;
    }
    let virtio = interface.model_name().is_some_and(|model| model.starts_with("virtio"));
    if !virtio {
        interface.driver = None;
        if let Some(backend) = &mut interface.backend {
            backend.vhost = None;
        }
    }
    if let Some(driver) = &mut interface.driver {
        driver.queues = driver.queues.filter(|queues| *queues > 1);
    }
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
    complete_source(disk);
    let bus = *disk.target.bus.get_or_insert_with(|| bus_of(&disk.target.dev, disk.device));
    if disk.device == DiskDevice::Cdrom {
        disk.readonly = true;
    }
    if disk.info.address == Address::None && disk_index(&disk.target.dev).is_none() {
        let name = &disk.target.dev;
        return Err(error::xml(format!("Unknown disk name '{name}' and no address specified")));
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

/// What network storage leaves out: ports, and the first unit of an iSCSI target.
fn complete_source(disk: &mut Disk) {
    let kinds = [DiskType::Network, DiskType::Volume, DiskType::Block, DiskType::Dir];
    if disk.source.is_none() && kinds.contains(&disk.kind) {
        disk.kind = DiskType::File;
    }
    if disk.kind == DiskType::VhostUser {
        disk.snapshot.get_or_insert(SnapshotMode::No);
    }
    let Some(source) = &mut disk.source else { return };
    let port = match source.protocol.as_deref() {
        Some("nbd") => "10809",
        Some("tftp") => "69",
        Some("ftp") => "21",
        Some("ftps") => "990",
        Some("http") => "80",
        Some("https") => "443",
        Some("iscsi") => "3260",
        Some("ssh") => "22",
        Some("vxhs") => "9999",
        Some("gluster") => "24007",
        _ => return,
    };
    let by_name =
        |host: &&mut crate::domain::source::Host| host.name.is_some() && host.socket.is_none();
    for host in source.hosts.iter_mut().filter(by_name) {
        host.port.get_or_insert_with(|| port.to_owned());
    }
    if let (Some("iscsi"), Some(name)) = (source.protocol.as_deref(), &mut source.name)
        && !name.contains('/')
    {
        name.push_str("/0");
    }
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
