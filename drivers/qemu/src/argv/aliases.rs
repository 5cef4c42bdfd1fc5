//! The names QEMU knows the devices by: libvirt's aliases.

use virt_model::domain::address::{Address, Drive};
use virt_model::domain::chardev::ConsoleType;
use virt_model::domain::controller::{Controller, ControllerType};
use virt_model::domain::disk::{Disk, DiskBus};
use virt_model::domain::{DeviceInfo, Domain};

use crate::rules::Chipset;

/// Names every device that has no name of its own.
pub(crate) fn assign(domain: &mut Domain) {
    let chipset = Chipset::of_domain(domain);
    let devices = &mut domain.devices;
    for disk in &mut devices.disks {
        let alias = disk_alias(disk, &devices.controllers);
        disk.info.alias.get_or_insert(alias);
    }
    for controller in &mut devices.controllers {
        let alias = controller_alias(controller, chipset);
        controller.info.alias.get_or_insert(alias);
    }
    number("fs", devices.filesystems.iter_mut().map(|d| &mut d.info));
    number("net", devices.interfaces.iter_mut().map(|d| &mut d.info));
    number("serial", devices.serials.iter_mut().map(|d| &mut d.info));
    number("parallel", devices.parallels.iter_mut().map(|d| &mut d.info));
    number("channel", devices.channels.iter_mut().map(|d| &mut d.info));
    number("input", devices.inputs.iter_mut().map(|d| &mut d.info));
    number("sound", devices.sounds.iter_mut().map(|d| &mut d.info));
    number("video", devices.videos.iter_mut().map(|d| &mut d.info));
    number("hostdev", devices.hostdevs.iter_mut().map(|d| &mut d.info));
    number("redir", devices.redirdevs.iter_mut().map(|d| &mut d.info));
    number("hub", devices.hubs.iter_mut().map(|d| &mut d.info));
    number("watchdog", devices.watchdogs.iter_mut().map(|d| &mut d.info));
    number("balloon", devices.memballoon.iter_mut().map(|d| &mut d.info));
    number("rng", devices.rngs.iter_mut().map(|d| &mut d.info));
    number("panic", devices.panics.iter_mut().map(|d| &mut d.info));
    number("iommu", devices.iommus.iter_mut().map(|d| &mut d.info));
    number("vsock", devices.vsock.iter_mut().map(|d| &mut d.info));
    if let Some(balloon) = &mut devices.memballoon
        && balloon.model == virt_model::domain::devices::BalloonModel::None
    {
        balloon.info.alias = None;
    }
    let first = devices.serials.first().and_then(|serial| serial.info.alias.clone());
    for (at, console) in devices.consoles.iter_mut().enumerate() {
        let same = at == 0 && console.target.kind == Some(ConsoleType::Serial);
        let alias = first.clone().filter(|_| same).unwrap_or_else(|| format!("console{at}"));
        console.info.alias.get_or_insert(alias);
    }
}

fn number<'a>(stem: &str, infos: impl Iterator<Item = &'a mut DeviceInfo>) {
    for (at, info) in infos.enumerate() {
        info.alias.get_or_insert_with(|| format!("{stem}{at}"));
    }
}

fn controller_alias(controller: &Controller, chipset: Chipset) -> String {
    let index = controller.index.unwrap_or(0);
    match controller.kind {
        ControllerType::Usb if index == 0 => "usb".into(),
        ControllerType::Pci if controller.model.as_deref() == Some("pcie-root") => "pcie.0".into(),
        ControllerType::Pci => format!("pci.{index}"),
        ControllerType::Ide if index == 0 && chipset == Chipset::I440fx => "ide".into(),
        ControllerType::Sata if index == 0 && chipset == Chipset::Q35 => "ide".into(),
        kind => format!("{}{index}", kind.as_str()),
    }
}

fn disk_alias(disk: &Disk, controllers: &[Controller]) -> String {
    let bus = disk.target.bus.unwrap_or_default();
    let stem = bus.as_str();
    match &disk.info.address {
        Address::Drive(Drive { controller, bus: channel, target, unit }) => {
            let long = bus == DiskBus::Scsi && !is_lsi(controllers, *controller);
            if long {
                format!("{stem}{controller}-{channel}-{target}-{unit}")
            } else {
                format!("{stem}{controller}-{channel}-{unit}")
            }
        }
        _ => {
            let at = virt_model::domain::disk_index(&disk.target.dev).unwrap_or(0);
            format!("{stem}-disk{at}")
        }
    }
}

/// Compat: on an LSI controller a disk's place is told by target and unit together.
pub(super) fn is_lsi(controllers: &[Controller], index: u32) -> bool {
    controllers.iter().any(|c| {
        c.kind == ControllerType::Scsi
            && c.index == Some(index)
            && c.model.as_deref().is_none_or(|model| model == "lsilogic")
    })
}
