//! What the tool brings to a domain document: its few devices, and refusals of all others.

use std::path::Path;
use std::sync::Arc;

use virt_error::{Error, Result};
use virt_model::domain::boot::OsType;
use virt_model::domain::chardev::{ChardevType, ConsoleType};
use virt_model::domain::controller::ControllerType;
use virt_model::domain::devices::{
    AccessMode, BalloonModel, Filesystem, FilesystemType, RngBackendModel,
};
use virt_model::domain::disk::{Disk, DiskBus, DiskDevice, DiskDriver, DiskType};
use virt_model::domain::graphics::{Graphics, GraphicsType, ListenType};
use virt_model::domain::interface::{Interface, InterfaceModel, InterfaceType};
use virt_model::domain::{Address, Domain, DomainRules, LifecycleAction, VirtType};
use virt_model::{ParseFlags, YesNo};
use virt_types::Uuid;

use crate::config::Config;
use crate::tool::Tools;
use crate::{ORIGIN, unsupported};

/// Limit: disks that the tool takes; it ends at the fifth.
const DISKS_MAX: usize = 4;

/// Limit: what fits into the tool's own table of processors.
const VCPUS_MAX: u32 = 255;

/// Limit: what a tag of a shared folder may have for the guest to find it.
const TAG_BYTES_MAX: usize = 31;

/// The rules, with what they need to find the tool.
pub(crate) struct KvmtoolRules {
    pub(crate) tools: Arc<Tools>,
    pub(crate) config: Config,
}

fn refuse_if<T>(there: bool, what: &str, value: T) -> Result<T> {
    match there {
        true => unsupported(format!("the native Linux KVM tool has no {what}")),
        false => Ok(value),
    }
}

impl DomainRules for KvmtoolRules {
    fn guest(&self, domain: &mut Domain) -> Result<()> {
        let kind = &mut domain.os.kind;
        let host = virt_host::architecture();
        let arch = kind.arch.get_or_insert_with(|| host.clone()).clone();
        let what = kind.kind.map_or("none", |kind| kind.as_str());
        if !matches!(kind.kind, Some(OsType::Hvm | OsType::Linux)) {
            return unsupported(format!("the native Linux KVM tool has no os type '{what}'"));
        }
        if !matches!(domain.virt_type, VirtType::Kvmtool | VirtType::Kvm) {
            let what = domain.virt_type.as_str();
            return unsupported(format!("the native Linux KVM tool has no domain type '{what}'"));
        }
        if arch != host {
            return unsupported(format!("this host's KVM runs no guests of arch '{arch}'"));
        }
        if domain.devices.emulator.is_none()
            && let Ok(tool) = self.tools.find(self.config.tool.as_deref())
        {
            domain.devices.emulator = Some(tool.path.to_string_lossy().into_owned());
        }
        Ok(())
    }

    fn before_defaults(&self, domain: &mut Domain, _: ParseFlags) -> Result<()> {
        // What the guest does by itself ends the tool: it is over unless the document says otherwise.
        domain.on_reboot.get_or_insert(LifecycleAction::Destroy);
        let devices = &domain.devices;
        let bus = devices.controllers.iter().any(|controller| {
            !matches!(controller.kind, ControllerType::Pci | ControllerType::VirtioSerial)
        });
        refuse_if(bus, "controllers", ())?;
        refuse_if(!devices.videos.is_empty(), "video devices to choose from", ())?;
        refuse_if(devices.serials.len().max(devices.consoles.len()) > 1, "second console", ())
    }

    fn defaults(&self, domain: &mut Domain, _: ParseFlags) -> Result<()> {
        let devices = &mut domain.devices;
        // The common rules add them for what other hypervisors would need.
        devices.controllers.clear();
        devices.videos.clear();
        domain.os.boot.clear();
        for disk in &mut devices.disks {
            let driver = disk.driver.get_or_insert_with(DiskDriver::default);
            driver.format.get_or_insert_with(|| "raw".into());
        }
        for interface in &mut devices.interfaces {
            let model = interface.model.get_or_insert_with(InterfaceModel::default);
            model.kind.get_or_insert_with(|| "virtio".into());
        }
        if let Some(vsock) = &mut devices.vsock {
            vsock.model.get_or_insert_with(|| "virtio".into());
        }
        Ok(())
    }

    fn validate(&self, domain: &Domain) -> Result<()> {
        boot(domain)?;
        if domain.vcpu.count > VCPUS_MAX {
            return unsupported(format!("at most {VCPUS_MAX} virtual CPUs"));
        }
        refuse_if(domain.vcpu.current.is_some(), "virtual CPUs that are added later", ())?;
        refuse_if(domain.iothreads.is_some(), "I/O threads", ())?;
        let devices = &domain.devices;
        if devices.disks.len() > DISKS_MAX {
            return unsupported(format!("at most {DISKS_MAX} disks"));
        }
        devices.disks.iter().try_for_each(disk)?;
        devices.filesystems.iter().try_for_each(filesystem)?;
        devices.interfaces.iter().try_for_each(interface)?;
        let users = devices.interfaces.iter().filter(|one| one.kind == InterfaceType::User);
        refuse_if(users.count() > 1, "second network interface of type 'user'", ())?;
        console(domain)?;
        graphics(&devices.graphics)?;
        small_devices(domain)?;
        absent_devices(domain)
    }
}

fn boot(domain: &Domain) -> Result<()> {
    let os = &domain.os;
    if os.kernel.as_deref().is_none_or(str::is_empty) {
        return unsupported(
            "the native Linux KVM tool has no firmware: <kernel> must be specified",
        );
    }
    refuse_if(os.loader.is_some() || os.firmware.is_some(), "firmware", ())?;
    refuse_if(os.dtb.is_some() && domain.os.kind.arch.as_deref() == Some("x86_64"), "dtb", ())
}

/// A path that reaches the tool whole: it ends a file's name at a comma.
fn no_comma(path: &str) -> Result<()> {
    match path.contains(',') {
        true => unsupported(format!("'{path}': a path with a comma cannot be given to the tool")),
        false => Ok(()),
    }
}

fn disk(disk: &Disk) -> Result<()> {
    let name = &disk.target.dev;
    if disk.device != DiskDevice::Disk {
        let what = disk.device.as_str();
        return unsupported(format!("disk '{name}': no device '{what}', only 'disk'"));
    }
    if disk.target.bus != Some(DiskBus::Virtio) {
        let what = disk.target.bus.map_or("none", |bus| bus.as_str());
        return unsupported(format!("disk '{name}': no bus '{what}', only 'virtio'"));
    }
    if !matches!(disk.kind, DiskType::File | DiskType::Block) {
        let what = disk.kind.as_str();
        return unsupported(format!("disk '{name}': no source of type '{what}'"));
    }
    if let Some(format) = disk.format().filter(|format| *format != "raw") {
        return unsupported(format!(
            "disk '{name}': no format '{format}': the tool would destroy such an image, only raw"
        ));
    }
    match disk.path() {
        Some(path) => no_comma(path),
        None => unsupported(format!("disk '{name}' has no source")),
    }
}

fn filesystem(filesystem: &Filesystem) -> Result<()> {
    if filesystem.kind != FilesystemType::Mount {
        let what = filesystem.kind.as_str();
        return unsupported(format!("filesystem: no type '{what}', only 'mount'"));
    }
    if filesystem.accessmode.is_some_and(|mode| mode != AccessMode::Passthrough) {
        return unsupported("filesystem: no access mode but 'passthrough'");
    }
    refuse_if(filesystem.readonly, "read-only filesystems", ())?;
    let dir = filesystem.source.as_ref().and_then(|source| source.dir.as_deref());
    let dir = dir.ok_or_else(|| {
        Error::new(virt_error::Code::XmlError, ORIGIN, "filesystem without a source directory")
    })?;
    no_comma(dir)?;
    let tag = filesystem.target.as_ref().map_or("", |target| &target.dir);
    if tag.is_empty() || tag.len() > TAG_BYTES_MAX || tag.contains(',') {
        return unsupported(format!("filesystem: '{tag}' cannot be a mount tag"));
    }
    Ok(())
}

fn interface(interface: &Interface) -> Result<()> {
    use InterfaceType::{Bridge, Ethernet, Network, Null, User};
    if !matches!(interface.kind, User | Network | Bridge | Ethernet | Null) {
        let what = interface.kind.as_str();
        return unsupported(format!("network interface: no type '{what}'"));
    }
    match interface.model_name() {
        None | Some("virtio") => {}
        Some(model) => {
            return unsupported(format!("network interface: no model '{model}', only 'virtio'"));
        }
    }
    for (there, what) in [
        (interface.vlan.is_some(), "vlan"),
        (interface.virtualport.is_some(), "virtualport"),
        (interface.bandwidth.is_some(), "bandwidth"),
        (interface.filterref.is_some(), "filterref"),
        (!interface.ips.is_empty(), "ip"),
        (!interface.port_forwards.is_empty(), "portForward"),
        (interface.script.is_some() || interface.downscript.is_some(), "script"),
    ] {
        if there {
            return unsupported(format!("network interface: no '{what}'"));
        }
    }
    Ok(())
}

fn console(domain: &Domain) -> Result<()> {
    let devices = &domain.devices;
    let serials = devices.serials.iter().map(|serial| &serial.source);
    for source in serials.chain(devices.consoles.iter().map(|console| &console.source)) {
        if source.kind != ChardevType::Pty {
            let what = source.kind.as_str();
            return unsupported(format!("console: no type '{what}', only 'pty'"));
        }
    }
    for console in &devices.consoles {
        match console.target.kind {
            None | Some(ConsoleType::Serial | ConsoleType::Virtio) => {}
            Some(kind) => {
                let what = kind.as_str();
                return unsupported(format!("console: no target type '{what}'"));
            }
        }
    }
    // The common rules make the first serial port and the first console one.
    let other = devices.serials.len() > 1 || devices.consoles.len() > 1;
    refuse_if(other, "second console", ())
}

fn graphics(all: &[Graphics]) -> Result<()> {
    refuse_if(all.len() > 1, "second display", ())?;
    let Some(display) = all.first() else { return Ok(()) };
    if display.kind != GraphicsType::Vnc {
        let what = display.kind.as_str();
        return unsupported(format!("graphics: no type '{what}', only 'vnc'"));
    }
    let listens = display.listens.iter().all(|listen| listen.kind == ListenType::Address);
    refuse_if(!listens, "displays that listen elsewhere than at an address", ())?;
    refuse_if(display.passwd.is_some(), "passwords for displays", ())?;
    refuse_if(display.websocket.is_some(), "websockets for displays", ())
}

fn small_devices(domain: &Domain) -> Result<()> {
    let devices = &domain.devices;
    if let Some(balloon) = &devices.memballoon {
        if !matches!(balloon.model, BalloonModel::Virtio | BalloonModel::None) {
            let what = balloon.model.as_str();
            return unsupported(format!("memballoon: no model '{what}', only 'virtio'"));
        }
        let placed = !matches!(balloon.info.address, Address::None);
        refuse_if(placed, "address for the memory balloon", ())?;
    }
    refuse_if(devices.rngs.len() > 1, "second random number generator", ())?;
    for rng in &devices.rngs {
        let random = rng.backend.as_ref().is_none_or(|backend| {
            let device = backend.device.as_deref();
            matches!(backend.model, RngBackendModel::Random)
                && device.is_none_or(|path| matches!(path, "/dev/random" | "/dev/urandom"))
        });
        refuse_if(!random || rng.rate.is_some(), "random numbers but the host's own", ())?;
    }
    if let Some(vsock) = &devices.vsock {
        let model = vsock.model.as_deref().filter(|model| *model != "virtio");
        if let Some(model) = model {
            return unsupported(format!("vsock: no model '{model}', only 'virtio'"));
        }
        let placed = !matches!(vsock.info.address, Address::None);
        refuse_if(placed, "address for the vsock on a bus", ())?;
        let numbered = vsock.cid.address.is_some() || vsock.cid.auto == Some(YesNo::Yes);
        refuse_if(!numbered, "vsock without an address", ())?;
    }
    if let Some(hostdev) = devices.hostdevs.first() {
        let what = &hostdev.kind;
        return unsupported(format!("host devices (here '{what}') cannot be handed to the tool"));
    }
    Ok(())
}

/// What the tool does not have at all.
fn absent_devices(domain: &Domain) -> Result<()> {
    let devices = &domain.devices;
    for (there, what) in [
        (!devices.smartcards.is_empty(), "smartcards"),
        (!devices.parallels.is_empty(), "parallel ports"),
        (!devices.channels.is_empty(), "channels"),
        (!devices.inputs.is_empty(), "input devices to choose from"),
        (!devices.tpms.is_empty(), "TPM"),
        (!devices.sounds.is_empty(), "sound"),
        (!devices.redirdevs.is_empty(), "redirected devices"),
        (!devices.hubs.is_empty(), "hubs"),
        (!devices.watchdogs.is_empty(), "watchdog"),
        (!devices.panics.is_empty(), "panic device"),
        (!devices.shmems.is_empty(), "shared memory devices"),
        (!devices.memories.is_empty(), "memory devices"),
        (!devices.cryptos.is_empty(), "crypto devices"),
        (!devices.iommus.is_empty(), "IOMMU"),
        (devices.nvram.is_some(), "NVRAM"),
        (domain.max_memory.is_some(), "memory that is plugged in later"),
        (domain.memory_backing.is_some(), "choice of what backs memory"),
        (domain.cpu.as_ref().is_some_and(|cpu| cpu.model.is_some()), "processor models"),
        (domain.launch_security.is_some(), "encrypted memory"),
    ] {
        refuse_if(there, what, ())?;
    }
    Ok(())
}

/// Whether a guest of this name can have it in the tool too, whose socket is named after it and who
/// checks nothing.
pub(crate) fn tool_name(domain: &Domain, sockets: &Path) -> String {
    /// Limit: the kernel's, of which the tool silently cuts off the rest.
    const SOCKET_PATH_BYTES_MAX: usize = 107;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = domain.name.as_str();
    // Compat: the tool writes two slashes between folder and name.
    let path_bytes = sockets.as_os_str().len() + "//".len() + name.len() + ".sock".len();
    let fits = name.chars().all(plain)
        && !name.starts_with(['.', '-'])
        && path_bytes <= SOCKET_PATH_BYTES_MAX;
    match (fits, domain.uuid) {
        (false, Some(uuid)) => uuid.to_string(),
        _ => name.to_owned(),
    }
}

/// The number of a guest's sockets where it may be any, the same at each start.
///
/// Limit: the host's kernel has one row of these numbers for all hypervisors and users, and tells
/// nobody which are taken. One made of the UUID needs no list: two guests share one by a chance of
/// one in two thousand millions.
pub(crate) fn socket_number(uuid: Uuid) -> u32 {
    const FIRST: u32 = 3;
    let [a, b, c, d, ..] = uuid.0;
    FIRST + (u32::from_be_bytes([a, b, c, d]) >> 1)
}
