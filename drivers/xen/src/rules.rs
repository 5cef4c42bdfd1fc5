//! What Xen brings to a domain document: kinds of guests, default devices, checks.

use virt_error::{Code, Error, Origin, Result};
use virt_model::ParseFlags;
use virt_model::domain::boot::LoaderType;
use virt_model::domain::boot::OsType;
use virt_model::domain::chardev::{
    ChardevSource, ChardevType, Console, ConsoleTarget, ConsoleType,
};
use virt_model::domain::controller::{Controller, ControllerType};
use virt_model::domain::devices::{BalloonModel, Input, InputBus, InputType, Memballoon};
use virt_model::domain::disk::{DiskDriver, DiskType};
use virt_model::domain::graphics::{Video, VideoType};
use virt_model::domain::interface::InterfaceType;
use virt_model::domain::{Domain, DomainRules, DriverFeatures, VirtType};

use crate::formats::Kind;
use crate::formats::boot::{HVMLOADER, rom};
use crate::formats::xl;

/// The rules for a host of that architecture.
#[derive(Clone, Copy, Debug)]
pub struct XenRules<'a> {
    pub arch: &'a str,
    pub firmware_dir: &'a str,
}

/// Video memory of full guests, as `xl` documents it.
const VRAM_CIRRUS_KIB: u32 = 8 * 1024;
const VRAM_VGA_KIB: u32 = 16 * 1024;
const VRAM_QXL_KIB: u32 = 128 * 1024;

impl DomainRules for XenRules<'_> {
    fn guest(&self, domain: &mut Domain) -> Result<()> {
        if domain.virt_type != VirtType::Xen {
            let kind = domain.virt_type;
            let detail = format!("could not find capabilities for domaintype={kind} ");
            return Err(Error::new(Code::InvalidArg, Origin::None, detail));
        }
        let os = &mut domain.os.kind;
        match os.kind {
            Some(OsType::Hvm | OsType::Linux | OsType::XenPvh) => {}
            other => {
                let what = other.map_or("none", OsType::as_str);
                let detail = format!("could not find capabilities for ostype={what} ");
                return Err(Error::new(Code::InvalidArg, Origin::None, detail));
            }
        }
        os.arch.get_or_insert_with(|| self.arch.to_owned());
        let machine = Kind::of(domain).machine();
        domain.os.kind.machine.get_or_insert_with(|| machine.to_owned());
        Ok(())
    }

    fn before_defaults(&self, domain: &mut Domain, _: ParseFlags) -> Result<()> {
        for disk in &mut domain.devices.disks {
            // Compat: the oldest documents mark emulated disks as xend does.
            if let Some(name) = disk.target.dev.strip_prefix("ioemu:") {
                disk.target.dev = name.to_owned();
            }
            if disk.kind == DiskType::Network {
                let driver = disk.driver.get_or_insert_with(DiskDriver::default);
                driver.name.get_or_insert_with(|| "qemu".to_owned());
            }
            if let Some(driver) = disk.driver.as_mut().filter(|driver| driver.name.is_some()) {
                // Compat: what blktap calls `aio` is a raw image to everybody else.
                driver.format.take_if(|format| format == "aio");
                driver.format.get_or_insert_with(|| "raw".to_owned());
            }
        }
        xenbus(domain);
        match Kind::of(domain) {
            Kind::Hvm => self.full(domain),
            Kind::Pv | Kind::Pvh => consoles(domain),
        }
        Ok(())
    }

    fn defaults(&self, domain: &mut Domain, _: ParseFlags) -> Result<()> {
        let bus = if Kind::of(domain) == Kind::Hvm { InputBus::Ps2 } else { InputBus::Xen };
        for kind in [InputType::Mouse, InputType::Keyboard] {
            let inputs = &mut domain.devices.inputs;
            let bus = Some(bus);
            if !inputs.iter().any(|input| input.kind == kind && input.bus == bus) {
                inputs.push(Input { kind, bus, ..Input::default() });
            }
        }
        domain.devices.memballoon.get_or_insert_with(|| Memballoon {
            model: BalloonModel::Xen,
            ..Memballoon::default()
        });
        Ok(())
    }

    fn validate(&self, domain: &Domain) -> Result<()> {
        for interface in &domain.devices.interfaces {
            use InterfaceType::{Bridge, Ethernet, Hostdev, Network};
            if !matches!(interface.kind, Bridge | Ethernet | Hostdev | Network) {
                return unsupported(format!("unsupported interface type {}", interface.kind));
            }
        }
        for hostdev in &domain.devices.hostdevs {
            if !matches!(hostdev.kind.as_str(), "pci" | "usb") {
                return unsupported(format!("hostdev type '{}' is not supported", hostdev.kind));
            }
        }
        Ok(())
    }

    fn owns_namespace(&self, uri: &str) -> bool {
        uri == xl::NAMESPACE
    }

    fn features(&self) -> DriverFeatures {
        DriverFeatures { net_model_string: true, ..DriverFeatures::default() }
    }
}

fn unsupported<T>(detail: impl Into<String>) -> Result<T> {
    Err(Error::new(Code::ConfigUnsupported, Origin::Xen, detail))
}

/// All guests have the bus of Xen's own devices.
fn xenbus(domain: &mut Domain) {
    let controllers = &mut domain.devices.controllers;
    if !controllers.iter().any(|found| found.kind == ControllerType::Xenbus) {
        let index = Some(0);
        let kind = ControllerType::Xenbus;
        controllers.insert(0, Controller { kind, index, ..Controller::default() });
    }
}

/// Guests without emulated hardware have a console of Xen's.
fn consoles(domain: &mut Domain) {
    let consoles = &mut domain.devices.consoles;
    if consoles.is_empty() {
        consoles.push(pty_console());
    }
    for console in consoles {
        let ConsoleTarget { kind, port } = &mut console.target;
        kind.get_or_insert(ConsoleType::Xen);
        port.get_or_insert(0);
    }
}

/// The first console of Xen's own kind, on a terminal of the host.
pub(crate) fn pty_console() -> Console {
    let source = ChardevSource { kind: ChardevType::Pty, ..ChardevSource::default() };
    let target = ConsoleTarget { kind: Some(ConsoleType::Xen), port: Some(0) };
    Console { source, target, ..Console::default() }
}

impl XenRules<'_> {
    fn full(&self, domain: &mut Domain) {
        // Compat: 64-bit guests cannot do without.
        domain.features.pae |= domain.os.kind.arch.as_deref() == Some("x86_64");
        if domain.os.firmware.is_none() {
            let default = || rom(format!("{}/{HVMLOADER}", self.firmware_dir));
            let loader = domain.os.loader.get_or_insert_with(default);
            loader.kind.get_or_insert(LoaderType::Rom);
            loader.format.get_or_insert_with(|| "raw".to_owned());
        }
        let devices = &mut domain.devices;
        if devices.videos.is_empty() && !devices.graphics.is_empty() {
            devices.videos.push(Video::default());
        }
        for video in &mut devices.videos {
            let model = &mut video.model;
            if model.kind == VideoType::Default {
                model.kind = VideoType::Cirrus;
            }
            let vram_kib = match model.kind {
                VideoType::Cirrus => VRAM_CIRRUS_KIB,
                VideoType::Vga | VideoType::Xen => VRAM_VGA_KIB,
                VideoType::Qxl => VRAM_QXL_KIB,
                _ => continue,
            };
            model.vram_kib.get_or_insert(vram_kib);
        }
    }
}
