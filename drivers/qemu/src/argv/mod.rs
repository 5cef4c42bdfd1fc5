//! The command line of a guest, from its live definition.
//!
//! The order and the words are libvirt's, so that logs, tools that read them and people find what
//! they know. Whatever is in the definition and cannot be told to QEMU is refused, never left out.

mod aliases;
mod chardev;
mod disk;
mod display;
mod machine;
mod net;
mod object;
mod other;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::address::Address;
use virt_model::domain::controller::{Controller, ControllerType};
use virt_model::domain::{DeviceInfo, Domain};

pub(crate) use aliases::assign as assign_aliases;
pub(crate) use disk::{node_name, number_nodes, own_node_names};
pub(crate) use object::Object;
pub(crate) use other::passthrough_env;

use crate::rules::Chipset;

/// Where the emulator finds its listening monitor socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Monitor {
    /// It is its standard input.
    Stdin,
    /// It makes the socket itself, as a person who starts it would want.
    Socket(PathBuf),
}

/// The namespace of what a definition hands to QEMU as it is.
pub(crate) const NAMESPACE: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// The words, collected.
#[derive(Debug, Default)]
pub(crate) struct Argv(Vec<OsString>);

impl Argv {
    fn option(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }

    fn flag(&mut self, name: &str) {
        self.0.push(name.into());
    }

    fn device(&mut self, object: Object) {
        self.option("-device", object.finish());
    }

    fn object(&mut self, object: Object) {
        self.option("-object", object.finish());
    }
}

/// Builds the command line, the emulator itself not included.
/// `dir` is the guest's own directory.
pub(crate) fn build(domain: &Domain, dir: &Path, monitor: &Monitor) -> Result<Vec<OsString>> {
    other::refuse_unknown(domain)?;
    let mut argv = Argv::default();
    argv.option("-name", format!("guest={},debug-threads=on", escaped(&domain.name)));
    argv.flag("-S");
    let key = dir.join("master-key.aes");
    let secret = Object::new("qom-type", "secret").text("id", "masterKey0").text("format", "raw");
    argv.object(secret.text("file", &key.to_string_lossy()));
    machine::machine(&mut argv, domain)?;
    if domain.devices.graphics.is_empty() {
        argv.option("-display", "none");
    }
    argv.flag("-no-user-config");
    argv.flag("-nodefaults");
    let socket = match monitor {
        Monitor::Stdin => "fd=0".to_owned(),
        Monitor::Socket(path) => format!("path={}", escaped(&path.to_string_lossy())),
    };
    argv.option("-chardev", format!("socket,id=charmonitor,{socket},server=on,wait=off"));
    argv.option("-mon", "chardev=charmonitor,id=monitor,mode=control");
    machine::clock(&mut argv, domain)?;
    argv.flag("-no-shutdown");
    other::sleep_states(&mut argv, domain);
    machine::boot(&mut argv, domain);
    controllers(&mut argv, domain)?;
    disk::disks(&mut argv, domain, dir)?;
    net::interfaces(&mut argv, domain)?;
    chardev::chardevs(&mut argv, domain)?;
    other::inputs(&mut argv, domain)?;
    display::graphics(&mut argv, domain)?;
    display::videos(&mut argv, domain)?;
    other::sounds(&mut argv, domain)?;
    other::watchdogs(&mut argv, domain)?;
    other::memballoon(&mut argv, domain)?;
    other::rngs(&mut argv, domain)?;
    other::panics(&mut argv, domain);
    let sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
    argv.option("-sandbox", sandbox);
    other::passthrough(&mut argv, domain);
    argv.option("-msg", "timestamp=on");
    Ok(argv.0)
}

/// A word as a shell would have to be told it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_=,./:+@%".contains(&b);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// A value of the comma-separated form, where a comma is written twice.
pub(crate) fn escaped(text: &str) -> String {
    text.replace(',', ",,")
}

pub(super) fn unsupported<T>(detail: impl Into<String>) -> Result<T> {
    Err(Error::new(Code::ConfigUnsupported, Origin::Qemu, detail))
}

/// Whether a part of a document says anything.
pub(super) fn set<T: Default + PartialEq>(value: &T) -> bool {
    *value != T::default()
}

/// Bus and address of a device on PCI, added to its properties.
pub(super) fn at_pci(object: Object, info: &DeviceInfo, domain: &Domain) -> Object {
    let Address::Pci(pci) = &info.address else { return object };
    let root = Chipset::of_domain(domain) == Chipset::Q35;
    let bus = match pci.bus {
        0 if root => "pcie.0".to_owned(),
        bus => format!("pci.{bus}"),
    };
    let multifunction = pci.multifunction.is_some_and(|multifunction| multifunction.is_on());
    let object = object.text("bus", &bus);
    let object = if multifunction { object.flag("multifunction", true) } else { object };
    let object = match pci.function {
        0 => object.text("addr", &format!("0x{:x}", pci.slot)),
        function => object.text("addr", &format!("0x{:x}.0x{function:x}", pci.slot)),
    };
    object.maybe_number("acpi-index", info.acpi.as_ref().map(|acpi| acpi.index))
}

pub(super) fn alias(info: &DeviceInfo) -> &str {
    info.alias.as_deref().unwrap_or_default()
}

/// Whether the device asks to be booted from, and as which.
pub(super) fn boot_index(info: &DeviceInfo) -> Option<u32> {
    info.boot.as_ref().map(|boot| boot.order)
}

fn controllers(argv: &mut Argv, domain: &Domain) -> Result<()> {
    // Order: a bus must be there before what is on it.
    let order = [
        ControllerType::Pci,
        ControllerType::Usb,
        ControllerType::Scsi,
        ControllerType::Ide,
        ControllerType::Sata,
        ControllerType::VirtioSerial,
    ];
    for kind in order {
        for controller in domain.devices.controllers.iter().filter(|c| c.kind == kind) {
            if let Some(object) = self::controller(controller, domain)? {
                argv.device(at_pci(object, &controller.info, domain));
            }
        }
    }
    for controller in &domain.devices.controllers {
        if !order.contains(&controller.kind) && controller.kind != ControllerType::Fdc {
            let kind = controller.kind.as_str();
            return unsupported(format!("controller of type '{kind}' is not supported yet"));
        }
    }
    Ok(())
}

/// Models of USB controllers, and what QEMU calls them.
const USB_CONTROLLERS: &[(&str, &str)] = &[
    ("piix3-uhci", "piix3-usb-uhci"),
    ("piix4-uhci", "piix4-usb-uhci"),
    ("ehci", "usb-ehci"),
    ("ich9-ehci1", "ich9-usb-ehci1"),
    ("ich9-uhci1", "ich9-usb-uhci1"),
    ("ich9-uhci2", "ich9-usb-uhci2"),
    ("ich9-uhci3", "ich9-usb-uhci3"),
    ("vt82c686b-uhci", "vt82c686b-usb-uhci"),
    ("qemu-xhci", "qemu-xhci"),
    ("nec-xhci", "nec-usb-xhci"),
    ("pci-ohci", "pci-ohci"),
];

/// Models of SCSI controllers, and what QEMU calls them.
const SCSI_CONTROLLERS: &[(&str, &str)] = &[
    ("virtio-scsi", "virtio-scsi-pci"),
    ("lsilogic", "lsi"),
    ("lsisas1078", "megasas"),
    ("vmpvscsi", "pvscsi"),
];

fn controller(controller: &Controller, domain: &Domain) -> Result<Option<Object>> {
    let q35 = Chipset::of_domain(domain) == Chipset::Q35;
    let model = controller.model.as_deref().unwrap_or_default();
    let index = controller.index.unwrap_or(0);
    let name = alias(&controller.info);
    let plain = |driver: &str| Ok(Some(Object::new("driver", driver).text("id", name)));
    let known = |table: &[(&str, &str)]| match table.iter().find(|(known, _)| *known == model) {
        Some((_, driver)) => Ok(Object::new("driver", driver)),
        None => unsupported(format!(
            "controller model '{model}' is not supported for type '{}'",
            controller.kind.as_str()
        )),
    };
    match controller.kind {
        ControllerType::Pci if matches!(model, "pci-root" | "pcie-root") => Ok(None),
        ControllerType::Pci if model == "pcie-root-port" => {
            let target = controller.target.as_ref();
            let object = Object::new("driver", "pcie-root-port")
                .maybe_number("port", target.and_then(|target| target.port))
                .maybe_number("chassis", target.and_then(|target| target.chassis));
            Ok(Some(object.text("id", name)))
        }
        ControllerType::Usb if model == "none" => Ok(None),
        ControllerType::Usb => {
            let object = known(USB_CONTROLLERS)?;
            Ok(Some(match &controller.info.master {
                None => object.text("id", name),
                // It has no bus of its own: it serves slow devices on the other's.
                Some(master) => object
                    .text("masterbus", &format!("{name}.0"))
                    .number("firstport", master.startport),
            }))
        }
        ControllerType::Scsi => Ok(Some(known(SCSI_CONTROLLERS)?.text("id", name))),
        ControllerType::Ide if index == 0 && !q35 => Ok(None),
        ControllerType::Sata if index == 0 && q35 => Ok(None),
        ControllerType::Sata => plain("ahci"),
        ControllerType::VirtioSerial => {
            let vectors = controller.vectors;
            let object = Object::new("driver", "virtio-serial-pci").text("id", name);
            Ok(Some(
                object.maybe_number("max_ports", controller.ports).maybe_number("vectors", vectors),
            ))
        }
        kind => unsupported(format!("controller of type '{}' is not supported", kind.as_str())),
    }
}
