//! Disks as `xm` and xend write them: `tap:aio:/path,xvda,w`.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Disk;
use virt_model::domain::disk::{DiskBus, DiskDevice, DiskDriver, DiskTarget, DiskType};
use virt_model::domain::source::StorageSource;

use super::config::word;

/// Reads one line of `disk`: where it comes from, what the guest sees, how it is opened.
///
/// A file's name may hold commas; what follows it may not.
pub(crate) fn parse(text: &str, hvm: bool) -> Result<Disk> {
    let mut parts: Vec<&str> = text.rsplitn(3, ',').map(str::trim).collect();
    parts.reverse();
    let [uname, target, mode] = parts.as_slice() else {
        let detail = format!("disk '{text}' has no device or mode");
        return Err(Error::internal(Origin::Xen, detail));
    };
    let mut disk = build(Some(uname), target, hvm)?;
    set_mode(&mut disk, mode);
    Ok(disk)
}

/// A disk from xend's own three words.
pub(crate) fn build(uname: Option<&str>, target: &str, hvm: bool) -> Result<Disk> {
    // Compat: the oldest tools marked emulated disks so; nobody needs it.
    let target = target.strip_prefix("ioemu:").unwrap_or(target);
    let (name, suffix) = target.split_once(':').unwrap_or((target, ""));
    if name.is_empty() {
        return Err(Error::internal(Origin::Xen, "domain information incomplete, vbd has no dev"));
    }
    let device = match suffix {
        "cdrom" => DiskDevice::Cdrom,
        _ if name.starts_with("fd") && hvm => DiskDevice::Floppy,
        _ => DiskDevice::Disk,
    };
    let mut driver = DiskDriver::default();
    let (mut kind, mut path) = (DiskType::Block, uname.unwrap_or_default());
    if let Some((prefix, rest)) = path.split_once(':').filter(|(prefix, _)| !prefix.contains('/')) {
        path = rest;
        kind = if prefix == "phy" { DiskType::Block } else { DiskType::File };
        driver.name = Some(prefix.to_owned());
        if prefix.starts_with("tap") {
            let (format, rest) = path.split_once(':').unwrap_or(("aio", path));
            path = rest;
            driver.format = Some(if format == "aio" { "raw" } else { format }.to_owned());
        }
    } else {
        driver.name = Some(if path.is_empty() { "phy" } else { "file" }.to_owned());
        kind = if path.is_empty() { kind } else { DiskType::File };
    }
    // Compat: an empty drive keeps its kind, which a document without any source would not.
    let path = (!path.is_empty()).then(|| path.to_owned());
    let source = Some(StorageSource { kind, path, ..StorageSource::default() });
    let target =
        DiskTarget { dev: name.to_owned(), bus: Some(bus(name, hvm)), ..DiskTarget::default() };
    Ok(Disk { kind, device, driver: Some(driver), source, target, ..Disk::default() })
}

/// What floppy drives of full guests are called: the device model has them, and no device of Xen's.
pub(crate) const FLOPPIES: [&str; 2] = ["fda", "fdb"];

/// A floppy, which the tool stacks of xend's time name beside the disks.
pub(crate) fn floppy(name: &str, path: &str) -> Result<Disk> {
    build(Some(&format!("file:{path}")), name, true)
}

/// The floppies of a full guest: their names, which become keys, and what is in them.
pub(crate) fn floppies(disks: &[Disk]) -> Result<Vec<(&'static str, Option<&str>)>> {
    let floppies = disks.iter().filter(|disk| disk.device == DiskDevice::Floppy);
    let named = floppies.map(|disk| {
        let dev = &disk.target.dev;
        match FLOPPIES.iter().find(|name| *name == dev) {
            Some(name) => Ok((*name, disk.path())),
            None => unsupported(format!("full guests have floppies fda and fdb, not {dev}")),
        }
    });
    named.collect()
}

/// `r`, `w`, or `w!` for a disk that several guests share.
pub(crate) fn set_mode(disk: &mut Disk, mode: &str) {
    disk.readonly = mode.starts_with('r');
    disk.shareable = mode.ends_with('!');
}

/// The bus that a device's name stands for.
pub(crate) fn bus(name: &str, hvm: bool) -> DiskBus {
    match name {
        name if name.starts_with("xvd") || !hvm => DiskBus::Xen,
        name if name.starts_with("hd") => DiskBus::Ide,
        name if name.starts_with("sd") => DiskBus::Scsi,
        name if name.starts_with("fd") => DiskBus::Fdc,
        _ => DiskBus::Ide,
    }
}

/// A disk in xend's words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// `phy:/dev/x`; empty for an empty drive.
    pub(crate) uname: String,
    pub(crate) name: String,
    pub(crate) device: DiskDevice,
    pub(crate) mode: &'static str,
}

impl Words {
    /// A guest without emulated hardware has no drive that could be empty, and no mark for one.
    pub(crate) fn of(disk: &Disk, hvm: bool) -> Result<Self> {
        let uname = match disk.path() {
            None if !hvm => return unsupported(format!("disk {} is empty", disk.target.dev)),
            None if disk.source.as_ref().is_some_and(|source| !source.is_empty()) => {
                return unsupported(format!("unsupported disk type {}", disk.kind));
            }
            None => String::new(),
            Some(path) => format!("{}:{path}", prefix(disk)?),
        };
        let mode = match (disk.readonly, disk.shareable) {
            (true, _) => "r",
            (false, true) => "w!",
            (false, false) => "w",
        };
        let name = disk.target.dev.clone();
        Ok(Self { uname, name, device: disk.device, mode })
    }
}

fn prefix(disk: &Disk) -> Result<String> {
    let driver = disk.driver.as_ref().and_then(|driver| driver.name.as_deref());
    match driver {
        Some(name) if name.starts_with("tap") => {
            let format = match disk.format() {
                None | Some("raw") => "aio",
                Some(format) => format,
            };
            Ok(format!("{name}:{format}"))
        }
        // The old tool stacks have no QEMU behind a disk; a file is a file to them.
        Some("qemu") | None => match disk.kind {
            DiskType::File => Ok("file".to_owned()),
            DiskType::Block => Ok("phy".to_owned()),
            other => unsupported(format!("unsupported disk type {other}")),
        },
        Some(name) => Ok(name.to_owned()),
    }
}

fn unsupported<T>(detail: String) -> Result<T> {
    Err(Error::new(Code::ConfigUnsupported, Origin::Xen, detail))
}

/// Prints one line of `disk`.
pub(crate) fn print(disk: &Disk, hvm: bool) -> Result<String> {
    let Words { uname, name, device, mode } = Words::of(disk, hvm)?;
    word("dev", &name)?;
    let suffix = if hvm && device == DiskDevice::Cdrom { ":cdrom" } else { "" };
    Ok(format!("{uname},{name}{suffix},{mode}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_printed_as_they_were_read() {
        for text in [
            "phy:/dev/vg/lv,hda,w",
            "file:/root/a,b.iso,hdc:cdrom,r",
            ",hdc:cdrom,r",
            "tap:aio:/x,xvda,w!",
            "tap:qcow:/x,xvda,w",
            "tap2:vhd:/x:y,xvda,w",
        ] {
            let disk = parse(text, true).expect(text);
            assert_eq!(print(&disk, true).expect(text), text);
        }
        let empty = parse(",hdc:cdrom,r", false).expect("an empty drive");
        assert!(print(&empty, false).is_err(), "nothing would say that it is one");
        assert!(parse("phy:/dev/a", true).is_err());
        let odd = build(Some("file:/a"), "fda=1\nkernel", true).expect("a disk");
        assert!(floppies(&[odd]).is_err(), "it would become another key");
        assert!(parse("phy:/dev/a,,w", true).is_err());
    }
}
