//! Which devices sit on PCI, in the order in which they get their places, and what each needs.

use virt_model::domain::chardev::Serial;
use virt_model::domain::controller::{Controller, ControllerType};
use virt_model::domain::devices::{
    BalloonModel, Filesystem, FilesystemModel, Input, InputBus, Iommu, Memballoon, Panic,
    PanicModel, Rng, Sound, SoundModel, Vsock, Watchdog, WatchdogModel,
};
use virt_model::domain::disk::DiskBus;
use virt_model::domain::graphics::{Video, VideoType};
use virt_model::domain::hostdev::Hostdev;
use virt_model::domain::interface::InterfaceType;
use virt_model::domain::small::{Crypto, MemoryDevice, MemoryModel, Pstore, Shmem};
use virt_model::domain::{DeviceInfo, Devices, Disk, Interface};

use super::Chipset;
use super::bus::{Need, Plug};

type Places<'a> = Vec<(&'a mut DeviceInfo, Need)>;

/// All of them.
pub(super) fn all(devices: &mut Devices, chipset: Chipset) -> Places<'_> {
    let express = if chipset == Chipset::Q35 { Plug::Express } else { Plug::Pci };
    let needs = Needs { express };
    let mut all: Places<'_> = Vec::new();
    let (buses, others): (Vec<_>, Vec<_>) =
        devices.controllers.iter_mut().partition(|c| c.kind == ControllerType::Pci);
    macro_rules! gather {
        ($($devices:expr => $need:ident,)*) => { $(
            for device in $devices {
                if let Some(need) = needs.$need(device) {
                    all.push((&mut device.info, need));
                }
            }
        )* };
    }
    gather! {
        buses => bus,
        &mut devices.filesystems => filesystem,
        &mut devices.interfaces => interface,
        &mut devices.sounds => sound,
        others => controller,
        &mut devices.disks => disk,
        &mut devices.hostdevs => hostdev,
        devices.memballoon.iter_mut() => memballoon,
        &mut devices.rngs => rng,
        &mut devices.watchdogs => watchdog,
        &mut devices.videos => video,
        &mut devices.shmems => shmem,
        &mut devices.inputs => input,
        &mut devices.serials => serial,
        &mut devices.panics => panic,
        devices.vsock.iter_mut() => vsock,
        &mut devices.memories => memory,
        &mut devices.cryptos => crypto,
        &mut devices.iommus => iommu,
        devices.pstore.iter_mut() => pstore,
    }
    all
}

/// What devices of each generation need on this machine.
#[derive(Clone, Copy)]
struct Needs {
    express: Plug,
}

impl Needs {
    fn of(self, modern: bool) -> Option<Need> {
        Some(Need::of(if modern { self.express } else { Plug::Pci }))
    }

    /// Compat: a transitional device is one that older guests can drive, on a bus they know.
    fn virtio(self, model: Option<&str>) -> Option<Need> {
        self.of(model != Some("virtio-transitional"))
    }

    fn bus(self, bus: &Controller) -> Option<Need> {
        Need::controller(bus.model.as_deref()?)
    }

    fn filesystem(self, fs: &Filesystem) -> Option<Need> {
        self.virtio(fs.model.map(FilesystemModel::as_str))
    }

    fn interface(self, interface: &Interface) -> Option<Need> {
        let model = interface.model_name().unwrap_or_default();
        let modern = matches!(model, "virtio" | "virtio-non-transitional" | "e1000e" | "igb");
        let modern = modern || interface.kind == InterfaceType::Hostdev;
        (model != "usb-net").then(|| self.of(modern)).flatten()
    }

    fn sound(self, sound: &Sound) -> Option<Need> {
        match sound.model {
            SoundModel::Sb16 | SoundModel::Pcspk | SoundModel::Usb => None,
            model => self.of(model == SoundModel::Virtio),
        }
    }

    fn controller(self, controller: &Controller) -> Option<Need> {
        let model = controller.model.as_deref().unwrap_or_default();
        let need = match (controller.kind, model) {
            (ControllerType::Usb, "none") | (ControllerType::Scsi, "ibmvscsi") => None,
            (ControllerType::Usb, _) => self.of(matches!(model, "nec-xhci" | "qemu-xhci")),
            (ControllerType::Scsi, _) => {
                self.of(matches!(model, "virtio-scsi" | "virtio-non-transitional"))
            }
            (ControllerType::VirtioSerial, _) => self.virtio(Some(model)),
            (ControllerType::Sata, _) => self.of(false),
            (ControllerType::Ide, _) if controller.index != Some(0) => self.of(false),
            (ControllerType::Nvme, _) => self.of(true),
            _ => None,
        };
        let shared = usb_function(controller);
        let shared = shared.map(|function| (controller.index.unwrap_or(0), function));
        need.map(|need| Need { shared, ..need })
    }

    fn disk(self, disk: &Disk) -> Option<Need> {
        let virtio = disk.target.bus == Some(DiskBus::Virtio);
        virtio.then(|| self.virtio(disk.model.as_deref())).flatten()
    }

    fn hostdev(self, hostdev: &Hostdev) -> Option<Need> {
        let on_pci = matches!(hostdev.kind.as_str(), "pci" | "scsi_host" | "mdev");
        on_pci.then(|| self.virtio(hostdev.model.as_deref())).flatten()
    }

    fn memballoon(self, balloon: &Memballoon) -> Option<Need> {
        let there = balloon.model != BalloonModel::None;
        there.then(|| self.virtio(Some(balloon.model.as_str()))).flatten()
    }

    fn rng(self, rng: &Rng) -> Option<Need> {
        self.virtio(Some(rng.model.as_str()))
    }

    fn watchdog(self, watchdog: &Watchdog) -> Option<Need> {
        (watchdog.model == WatchdogModel::I6300esb).then(|| self.of(false)).flatten()
    }

    fn video(self, video: &Video) -> Option<Need> {
        match video.model.kind {
            VideoType::None | VideoType::Ramfb => None,
            kind => self.of(matches!(kind, VideoType::Virtio | VideoType::Bochs)),
        }
    }

    fn shmem(self, _: &Shmem) -> Option<Need> {
        self.of(false)
    }

    fn input(self, input: &Input) -> Option<Need> {
        let virtio = input.bus == Some(InputBus::Virtio);
        virtio.then(|| self.virtio(input.model.as_deref())).flatten()
    }

    fn serial(self, serial: &Serial) -> Option<Need> {
        let pci = serial.target.kind.as_deref() == Some("pci-serial");
        pci.then(|| self.of(false)).flatten()
    }

    fn panic(self, panic: &Panic) -> Option<Need> {
        (panic.model == Some(PanicModel::Pvpanic)).then(|| Need::fixed(Plug::Pci))
    }

    fn vsock(self, vsock: &Vsock) -> Option<Need> {
        self.virtio(vsock.model.as_deref())
    }

    fn memory(self, memory: &MemoryDevice) -> Option<Need> {
        let virtio = matches!(memory.model, MemoryModel::VirtioPmem | MemoryModel::VirtioMem);
        virtio.then(|| self.of(true)).flatten()
    }

    fn crypto(self, _: &Crypto) -> Option<Need> {
        self.of(true)
    }

    fn iommu(self, iommu: &Iommu) -> Option<Need> {
        (iommu.model == "virtio").then(|| Need::fixed(self.express))
    }

    fn pstore(self, _: &Pstore) -> Option<Need> {
        self.of(false)
    }
}

/// The function of a controller that shares its slot with companions.
pub(super) fn usb_function(controller: &Controller) -> Option<u32> {
    if controller.kind != ControllerType::Usb {
        return None;
    }
    match controller.model.as_deref()? {
        "ich9-ehci1" => Some(7),
        "ich9-uhci1" => Some(0),
        "ich9-uhci2" => Some(1),
        "ich9-uhci3" => Some(2),
        _ => None,
    }
}
