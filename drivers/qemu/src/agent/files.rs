//! File systems in a guest: which there are, on which disks, and their rest while copies are made.

use virt_driver::Call;
use virt_error::{Code, Error, Origin, Result};
use virt_json::Value;
use virt_model::domain::Domain as Document;
use virt_model::domain::address::{Address, Drive, Pci};
use virt_model::domain::controller::ControllerType;
use virt_model::domain::disk::{Disk, DiskBus};
use virt_types::{DomainFsInfo, DomainGetFsinfo, DomainRef};

use super::{ask_once, begin, malformed, object, text_in};
use crate::core::Core;

pub(super) const COMMAND: &str = "guest-get-fsinfo";

fn unsupported<T>(detail: &str) -> Result<T> {
    Err(Error::new(Code::ArgumentUnsupported, Origin::Qemu, detail))
}

/// A file system as the agent tells of it.
pub(super) struct FileSystem {
    pub(super) name: String,
    pub(super) mountpoint: String,
    pub(super) kind: String,
    pub(super) total_bytes: Option<u64>,
    pub(super) used_bytes: Option<u64>,
    pub(super) disks: Vec<GuestDisk>,
}

/// A disk as a guest sees it.
pub(super) struct GuestDisk {
    pub(super) serial: Option<String>,
    pub(super) device: Option<String>,
    pub(super) bus: Option<String>,
    controller: Pci,
    place: Drive,
}

/// What an answer tells, the last first. Compat: that is the order in which libvirt gives them.
pub(super) fn read(answer: &Value) -> Result<Vec<FileSystem>> {
    let none = || malformed(format!("{COMMAND} reply was missing or not an array"));
    let listed = answer.as_array().ok_or_else(none)?;
    let number = |value: &Value, field: &str| value.get(field).and_then(Value::as_number);
    let one = |value: &Value| {
        let mountpoint = text_in(value, "mountpoint", COMMAND)?.to_owned();
        let name = text_in(value, "name", COMMAND)?.to_owned();
        let kind = text_in(value, "type", COMMAND)?.to_owned();
        let (total_bytes, used_bytes) = (number(value, "total-bytes"), number(value, "used-bytes"));
        let disks = value.get("disk").and_then(Value::as_array);
        let none = || malformed(format!("'disk' missing or not an array in reply of {COMMAND}"));
        let disks: Result<_> = disks.ok_or_else(none)?.iter().map(disk).collect();
        Ok(FileSystem { name, mountpoint, kind, total_bytes, used_bytes, disks: disks? })
    };
    listed.iter().rev().map(one).collect()
}

pub(super) fn disk(value: &Value) -> Result<GuestDisk> {
    let number = |value: &Value, field: &str| {
        let found = value.get(field).and_then(Value::as_number);
        found.ok_or_else(|| malformed(format!("'{field}' missing")))
    };
    let place = Drive {
        controller: 0,
        bus: number(value, "bus")?,
        target: number(value, "target")?,
        unit: number(value, "unit")?,
    };
    let none = || malformed("'pci-controller' missing");
    let pci = value.get("pci-controller").ok_or_else(none)?;
    let controller = Pci {
        domain: number(pci, "domain")?,
        bus: number(pci, "bus")?,
        slot: number(pci, "slot")?,
        function: number(pci, "function")?,
        ..Pci::default()
    };
    let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let (serial, device, bus) = (text("serial"), text("dev"), text("bus-type"));
    Ok(GuestDisk { serial, device, bus, controller, place })
}

impl GuestDisk {
    /// The target of the domain's disk that this one is.
    pub(super) fn target<'d>(&self, document: &'d Document) -> Option<&'d str> {
        let disks = document.devices.disks.iter();
        disks.filter(|disk| self.is(disk, document)).map(|disk| disk.target.dev.as_str()).next()
    }

    fn is(&self, disk: &Disk, document: &Document) -> bool {
        let here = |address: &Address| {
            matches!(address, Address::Pci(pci) if
            (pci.domain, pci.bus, pci.slot, pci.function)
                == (
                    self.controller.domain,
                    self.controller.bus,
                    self.controller.slot,
                    self.controller.function,
                ))
        };
        let Address::Drive(drive) = &disk.info.address else { return here(&disk.info.address) };
        let kind = match disk.target.bus {
            Some(DiskBus::Ide) => ControllerType::Ide,
            Some(DiskBus::Scsi) => ControllerType::Scsi,
            Some(DiskBus::Sata) => ControllerType::Sata,
            _ => return false,
        };
        let mut controllers = document.devices.controllers.iter();
        let its = controllers.find(|c| c.kind == kind && c.index == Some(drive.controller));
        its.is_some_and(|controller| here(&controller.info.address))
            && (drive.bus, drive.target, drive.unit)
                == (self.place.bus, self.place.target, self.place.unit)
    }
}

/// `virDomainGetFSInfo`.
pub(crate) fn file_systems(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
) -> Result<DomainGetFsinfo> {
    let guest = core.guests.find(dom)?;
    let mut talk = begin(core, &guest, call)?;
    let found = read(&talk.ask(COMMAND, None)?)?;
    let document = talk.document()?;
    let info = |one: FileSystem| {
        let targets = one.disks.iter().filter_map(|disk| disk.target(&document));
        DomainFsInfo {
            mountpoint: one.mountpoint,
            name: one.name,
            fstype: one.kind,
            dev_aliases: targets.map(str::to_owned).collect(),
        }
    };
    let info: Vec<_> = found.into_iter().map(info).collect();
    Ok(DomainGetFsinfo { ret: u32::try_from(info.len()).unwrap_or(u32::MAX), info })
}

fn number(answer: &Value) -> Result<i32> {
    answer.as_number().ok_or_else(|| malformed("malformed return value"))
}

/// `virDomainFSFreeze`: all file systems, or those named.
pub(crate) fn freeze(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    mountpoints: &[String],
) -> Result<i32> {
    let answer = if mountpoints.is_empty() {
        ask_once(core, call, dom, "guest-fsfreeze-freeze", None)?
    } else {
        let list = mountpoints.iter().map(|point| Value::from(point.as_str())).collect();
        let arguments = object([("mountpoints", Value::Array(list))]);
        ask_once(core, call, dom, "guest-fsfreeze-freeze-list", Some(arguments))?
    };
    number(&answer)
}

/// `virDomainFSThaw`: all file systems.
pub(crate) fn thaw(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    mountpoints: &[String],
) -> Result<i32> {
    if !mountpoints.is_empty() {
        return unsupported("specifying mountpoints is not supported");
    }
    number(&ask_once(core, call, dom, "guest-fsfreeze-thaw", None)?)
}

/// `virDomainFSTrim`: what is not used is given back.
pub(crate) fn trim(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    mountpoint: Option<&str>,
    minimum_bytes: u64,
) -> Result<()> {
    if mountpoint.is_some() {
        return unsupported("Specifying mount point is not supported for now");
    }
    let arguments = object([("minimum", minimum_bytes.into())]);
    ask_once(core, call, dom, "guest-fstrim", Some(arguments)).map(drop)
}
