//! The devices of two documents side by side: how many, of which kind, and where each sits.

use virt_error::Result;

use super::{or_default, or_null, refuse, same};
use crate::domain::address::Address;
use crate::domain::chardev::{Channel, ChannelType, Parallel, Serial};
use crate::domain::controller::{Controller, ControllerType};
use crate::domain::devices::{Hub, Input, Iommu, Memballoon, Panic, Rng, Sound, Watchdog};
use crate::domain::graphics::Video;
use crate::domain::misc::VirtioOptions;
use crate::domain::small::{MemoryDevice, Shmem, Tpm};
use crate::domain::{DeviceInfo, Devices, Disk, Interface};

pub(super) fn check(source: &Devices, target: &Devices) -> Result<()> {
    /// Goes through pairs of devices of one kind, after counting them.
    macro_rules! pairs {
        ($($what:literal in $field:ident: $check:expr;)*) => { $(
            let (new, old) = (&target.$field, &source.$field);
            if new.len() != old.len() {
                let (new, old) = (new.len(), old.len());
                return refuse(format!(
                    concat!("Target domain ", $what, " count {} does not match source {}"), new, old
                ));
            }
            for (new, old) in new.iter().zip(old) {
                $check(new, old)?;
                place(&new.info, &old.info)?;
            }
        )* };
    }
    fn nothing<T>(_: &T, _: &T) -> Result<()> {
        Ok(())
    }
    pairs! {
        "disk" in disks: disk;
        "controller" in controllers: controller;
        "filesystem" in filesystems: nothing;
        "net card" in interfaces: interface;
        "input device" in inputs: input;
        "sound card" in sounds: sound;
        "video card" in videos: video;
        "host device" in hostdevs: nothing;
        "smartcard" in smartcards: nothing;
        "serial port" in serials: serial;
        "parallel port" in parallels: parallel;
        "channel" in channels: channel;
        "console" in consoles: nothing;
        "hub device" in hubs: hub;
        "redirected devices" in redirdevs: nothing;
        "watchdog device" in watchdogs: watchdog;
    }
    memballoon(target.memballoon.as_ref(), source.memballoon.as_ref())?;
    pairs! {
        "RNG device" in rngs: rng;
        "panic device" in panics: panic;
        "shared memory device" in shmems: shmem;
        "TPM device" in tpms: tpm;
        "memory device" in memories: memory;
    }
    if source.vsock.is_some() != target.vsock.is_some() {
        return refuse("Target domain vsock device count does not match source");
    }
    if source.iommus.len() != target.iommus.len() {
        return refuse("Target domain IOMMU device count does not match source");
    }
    target.iommus.iter().zip(&source.iommus).try_for_each(|(new, old)| iommu(new, old))
}

/// Where a device sits.
fn place(new: &DeviceInfo, old: &DeviceInfo) -> Result<()> {
    let kind = |info: &DeviceInfo| info.address.kind().unwrap_or("none").to_owned();
    same!("Target device address type {} does not match source {}", kind(new), kind(old));
    match (&new.address, &old.address) {
        (Address::Pci(a), Address::Pci(b)) if !a.same_place(b) => {
            let text = |at: &crate::domain::address::Pci| {
                format!("{:04x}:{:02x}:{:02x}.{:x}", at.domain, at.bus, at.slot, at.function)
            };
            let (new, old) = (text(a), text(b));
            refuse(format!("Target device PCI address {new} does not match source {old}"))
        }
        (Address::Drive(a), Address::Drive(b)) if a != b => {
            let text = |at: &crate::domain::address::Drive| {
                format!("{}:{}:{}", at.controller, at.bus, at.unit)
            };
            let (new, old) = (text(a), text(b));
            refuse(format!("Target device drive address {new} does not match source {old}"))
        }
        (Address::VirtioSerial(a), Address::VirtioSerial(b)) if a != b => {
            let text = |at: &crate::domain::address::VirtioSerial| {
                format!("{}:{}:{}", at.controller, at.bus, at.port)
            };
            let (new, old) = (text(a), text(b));
            refuse(format!("Target device virtio serial address {new} does not match source {old}"))
        }
        (Address::Ccid { controller, slot }, Address::Ccid { controller: c, slot: s })
            if (controller, slot) != (c, s) =>
        {
            refuse(format!(
                "Target device ccid address {controller}:{slot} does not match source {c}:{s}"
            ))
        }
        (Address::Isa { iobase, irq }, Address::Isa { iobase: b, irq: i })
            if (iobase, irq) != (b, i) =>
        {
            let or_zero = |value: &Option<u32>| value.unwrap_or(0);
            let (iobase, irq, b, i) = (or_zero(iobase), or_zero(irq), or_zero(b), or_zero(i));
            refuse(format!(
                "Target device isa address {iobase}:{irq} does not match source {b}:{i}"
            ))
        }
        _ => Ok(()),
    }
}

fn virtio(new: Option<&VirtioOptions>, old: Option<&VirtioOptions>) -> Result<()> {
    if new == old {
        return Ok(());
    }
    refuse("Target device virtio options don't match the source")
}

fn disk(new: &Disk, old: &Disk) -> Result<()> {
    same!("Target disk device {} does not match source {}", new.device, old.device);
    let bus = |disk: &Disk| disk.target.bus.unwrap_or_default();
    same!("Target disk bus {} does not match source {}", bus(new), bus(old));
    same!("Target disk {} does not match source {}", new.target.dev, old.target.dev);
    let (a, b) = (new.serial.as_deref(), old.serial.as_deref());
    same!("Target disk serial {} does not match source {}", or_null(a), or_null(b));
    let (a, b) = (new.wwn.as_deref(), old.wwn.as_deref());
    same!("Target disk wwn '{}' does not match source '{}'", or_null(a), or_null(b));
    let model = |disk: &Disk| disk.model.clone().unwrap_or_else(|| "default".to_owned());
    same!("Target disk model {} does not match source {}", model(new), model(old));
    if new.readonly != old.readonly {
        return refuse("Target disk access mode does not match source");
    }
    fn options(disk: &Disk) -> Option<&VirtioOptions> {
        disk.driver.as_ref().map(|driver| &driver.virtio)
    }
    virtio(options(new), options(old))
}

/// Models in libvirt's order: its words say numbers.
const SCSI_MODELS: &[&str] = &[
    "auto",
    "buslogic",
    "lsilogic",
    "lsisas1068",
    "vmpvscsi",
    "ibmvscsi",
    "virtio-scsi",
    "lsisas1078",
    "virtio-transitional",
    "virtio-non-transitional",
    "ncr53c90",
    "dc390",
    "am53c974",
];
const USB_MODELS: &[&str] = &[
    "piix3-uhci",
    "piix4-uhci",
    "ehci",
    "ich9-ehci1",
    "ich9-uhci1",
    "ich9-uhci2",
    "ich9-uhci3",
    "vt82c686b-uhci",
    "pci-ohci",
    "nec-xhci",
    "qusb1",
    "qusb2",
    "qemu-xhci",
    "none",
];
const PCI_MODELS: &[&str] = &[
    "pci-root",
    "pcie-root",
    "pci-bridge",
    "dmi-to-pci-bridge",
    "pcie-to-pci-bridge",
    "pcie-root-port",
    "pcie-switch-upstream-port",
    "pcie-switch-downstream-port",
    "pci-expander-bus",
    "pcie-expander-bus",
];

fn model_number(controller: &Controller) -> i64 {
    let models = match controller.kind {
        ControllerType::Scsi => SCSI_MODELS,
        ControllerType::Usb => USB_MODELS,
        ControllerType::Pci => PCI_MODELS,
        _ => &[],
    };
    let at = models.iter().position(|model| controller.model.as_deref() == Some(model));
    at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1)
}

fn controller(new: &Controller, old: &Controller) -> Result<()> {
    let or_none = |number: Option<u32>| number.map_or(-1, i64::from);
    same!("Target controller type {} does not match source {}", new.kind, old.kind);
    same!(
        "Target controller index {} does not match source {}",
        or_none(new.index),
        or_none(old.index)
    );
    same!(
        "Target controller model {} does not match source {}",
        model_number(new),
        model_number(old)
    );
    if new.kind == ControllerType::VirtioSerial {
        let (a, b) = (or_none(new.ports), or_none(old.ports));
        same!("Target controller ports {} does not match source {}", a, b);
        let (a, b) = (or_none(new.vectors), or_none(old.vectors));
        same!("Target controller vectors {} does not match source {}", a, b);
    }
    let options = |controller: &Controller| controller.driver.as_ref().map(|d| d.virtio.clone());
    virtio(options(new).as_ref(), options(old).as_ref())
}

fn interface(new: &Interface, old: &Interface) -> Result<()> {
    let mac =
        |net: &Interface| net.mac.as_ref().map(|mac| mac.address.to_string()).unwrap_or_default();
    same!("Target network card mac {} does not match source {}", mac(new), mac(old));
    let (a, b) = (or_null(new.model_name()), or_null(old.model_name()));
    same!("Target network card model {} does not match source {}", a, b);
    let mtu = |net: &Interface| net.mtu.as_ref().map_or(0, |mtu| mtu.size);
    same!("Target network card MTU {} does not match source {}", mtu(new), mtu(old));
    let options = |net: &Interface| net.driver.as_ref().map(|driver| driver.virtio.clone());
    virtio(options(new).as_ref(), options(old).as_ref())
}

fn input(new: &Input, old: &Input) -> Result<()> {
    same!("Target input device type {} does not match source {}", new.kind, old.kind);
    let bus = |input: &Input| input.bus.map_or("default", |bus| bus.as_str());
    same!("Target input device bus {} does not match source {}", bus(new), bus(old));
    let (a, b) = (new.model.as_deref(), old.model.as_deref());
    same!(
        "Target input model {} does not match source {}",
        a.unwrap_or("default"),
        b.unwrap_or("default")
    );
    virtio(new.driver.as_ref(), old.driver.as_ref())
}

fn video(new: &Video, old: &Video) -> Result<()> {
    let (a, b) = (&new.model, &old.model);
    same!("Target video card model {} does not match source {}", a.kind, b.kind);
    let numbers = |model: &crate::domain::graphics::VideoModel| {
        [
            ("ram", model.ram_kib),
            ("vram", model.vram_kib),
            ("vgamem", model.vgamem_kib),
            ("heads", model.heads),
        ]
        .map(|(name, number)| (name, number.unwrap_or(0)))
    };
    for ((name, new), (_, old)) in numbers(a).into_iter().zip(numbers(b)) {
        if new != old {
            return refuse(format!("Target video card {name} {new} does not match source {old}"));
        }
    }
    Ok(())
}

fn serial(new: &Serial, old: &Serial) -> Result<()> {
    let kind = |serial: &Serial| serial.target.kind.clone().unwrap_or_else(|| "none".to_owned());
    same!("Target serial type {} does not match source {}", kind(new), kind(old));
    let port = |serial: &Serial| serial.target.port.unwrap_or(0);
    same!("Target serial port {} does not match source {}", port(new), port(old));
    Ok(())
}

fn channel(new: &Channel, old: &Channel) -> Result<()> {
    let kind = |channel: &Channel| channel.target.kind.map_or("none", |kind| kind.as_str());
    same!("Target channel type {} does not match source {}", kind(new), kind(old));
    if matches!(new.target.kind, Some(ChannelType::Virtio | ChannelType::Xen)) {
        let (a, b) = (new.target.name.as_deref(), old.target.name.as_deref());
        same!("Target channel name {} does not match source {}", or_null(a), or_null(b));
    }
    Ok(())
}

fn sound(new: &Sound, old: &Sound) -> Result<()> {
    same!("Target sound card model {} does not match source {}", new.model, old.model);
    Ok(())
}

fn parallel(new: &Parallel, old: &Parallel) -> Result<()> {
    let port = |parallel: &Parallel| parallel.target.port.unwrap_or(0);
    same!("Target parallel port {} does not match source {}", port(new), port(old));
    Ok(())
}

fn hub(new: &Hub, old: &Hub) -> Result<()> {
    same!("Target hub device type {} does not match source {}", new.kind, old.kind);
    Ok(())
}

fn tpm(new: &Tpm, old: &Tpm) -> Result<()> {
    let (a, b) = (new.model.as_deref(), old.model.as_deref());
    same!("Target TPM device model {} doesn't match source {}", or_null(a), or_null(b));
    Ok(())
}

fn watchdog(new: &Watchdog, old: &Watchdog) -> Result<()> {
    same!("Target watchdog model {} does not match source {}", new.model, old.model);
    Ok(())
}

fn memballoon(new: Option<&Memballoon>, old: Option<&Memballoon>) -> Result<()> {
    let (Some(new), Some(old)) = (new, old) else {
        return match new.is_some() == old.is_some() {
            true => Ok(()),
            false => refuse("Target domain balloon device count does not match source"),
        };
    };
    same!("Target balloon model {} does not match source {}", new.model, old.model);
    same!(
        "Target balloon autodeflate attribute value '{}' does not match source '{}'",
        or_default(new.autodeflate),
        or_default(old.autodeflate)
    );
    same!(
        "Target balloon freePageReporting attribute value '{}' does not match source '{}'",
        or_default(new.free_page_reporting),
        or_default(old.free_page_reporting)
    );
    virtio(new.driver.as_ref(), old.driver.as_ref())?;
    place(&new.info, &old.info)
}

fn rng(new: &Rng, old: &Rng) -> Result<()> {
    same!("Target RNG model '{}' does not match source '{}'", new.model, old.model);
    virtio(new.driver.as_ref(), old.driver.as_ref())
}

fn panic(new: &Panic, old: &Panic) -> Result<()> {
    let model = |panic: &Panic| panic.model.unwrap_or_default();
    same!("Target panic model '{}' does not match source '{}'", model(new), model(old));
    Ok(())
}

fn shmem(new: &Shmem, old: &Shmem) -> Result<()> {
    let model = |shmem: &Shmem| {
        shmem.model.as_ref().map_or_else(|| "ivshmem".to_owned(), |model| model.kind.clone())
    };
    same!(
        "Target shared memory model '{}' does not match source model '{}'",
        model(new),
        model(old)
    );
    let size = |shmem: &Shmem| shmem.size_bytes.unwrap_or(0);
    same!("Target shared memory size '{}' does not match source size '{}'", size(new), size(old));
    Ok(())
}

fn memory(new: &MemoryDevice, old: &MemoryDevice) -> Result<()> {
    same!("Target memory device model '{}' doesn't match source model '{}'", new.model, old.model);
    let node = |memory: &MemoryDevice| memory.target.node.map_or(-1, i64::from);
    same!(
        "Target memory device targetNode '{}' doesn't match source targetNode '{}'",
        node(new),
        node(old)
    );
    let size = |memory: &MemoryDevice| memory.target.size_kib.unwrap_or(0);
    same!(
        "Target memory device size '{}' doesn't match source memory device size '{}'",
        size(new),
        size(old)
    );
    Ok(())
}

fn iommu(new: &Iommu, old: &Iommu) -> Result<()> {
    same!("Target domain IOMMU device model '{}' does not match source '{}'", new.model, old.model);
    let setting = |iommu: &Iommu, name: &str| {
        iommu.driver.as_ref().and_then(|driver| driver.attr(name)).map(str::to_owned)
    };
    for (name, what) in [
        ("intremap", "intremap"),
        ("caching_mode", "caching mode"),
        ("eim", "eim"),
        ("iotlb", "iotlb"),
    ] {
        let (new, old) = (or_default(setting(new, name)), or_default(setting(old, name)));
        if new != old {
            return refuse(format!(
                "Target domain IOMMU device {what} value '{new}' does not match source '{old}'"
            ));
        }
    }
    let bits = |iommu: &Iommu| setting(iommu, "aw_bits").unwrap_or_else(|| "0".to_owned());
    same!(
        "Target domain IOMMU device aw_bits value '{}' does not match source '{}'",
        bits(new),
        bits(old)
    );
    place(&new.info, &old.info)
}
