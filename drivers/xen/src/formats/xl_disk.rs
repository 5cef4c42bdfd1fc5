//! Disks as `xl` writes them: `format=raw,vdev=hda,access=rw,target=/path`, or by position.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Disk;
use virt_model::domain::disk::{DiskDevice, DiskDriver, DiskTarget, DiskType};
use virt_model::domain::source::{Host, StorageSource};

use super::config::word;
use super::xm_disk;

/// The words that stand by position, in order.
const POSITIONS: &[&str] = &["target", "format", "vdev", "access"];

#[derive(Debug, Default)]
struct Spec<'a> {
    target: Option<&'a str>,
    format: Option<&'a str>,
    vdev: Option<&'a str>,
    access: Option<&'a str>,
    backend_type: Option<&'a str>,
    backend: Option<&'a str>,
    cdrom: bool,
}

impl<'a> Spec<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let mut spec = Self::default();
        let mut positions = POSITIONS.iter();
        let mut rest = Some(text);
        while let Some(now) = rest {
            let trimmed = now.trim_start();
            // The last key takes all that follows: a name may hold commas.
            if let Some(target) = trimmed.strip_prefix("target=") {
                spec.target = Some(target.trim_end());
                break;
            }
            let (word, next) = match trimmed.split_once(',') {
                Some((word, next)) => (word.trim(), Some(next)),
                None => (trimmed.trim(), None),
            };
            rest = next;
            let key_of = word.split_once('=').filter(|(key, _)| is_key(key));
            match key_of {
                Some((key, value)) => spec.set(key, value)?,
                None if word == "cdrom" || word == "devtype=cdrom" => spec.cdrom = true,
                None if FLAGS.contains(&word) => {}
                None => {
                    let Some(key) = positions.next() else {
                        if word.is_empty() {
                            continue;
                        }
                        return bad(text, "too many positional parameters");
                    };
                    spec.set(key, word)?;
                }
            }
        }
        Ok(spec)
    }

    fn set(&mut self, key: &str, value: &'a str) -> Result<()> {
        let value = Some(value).filter(|value| !value.is_empty());
        match key {
            "target" => self.target = value,
            "format" => self.format = value,
            "vdev" => self.vdev = value,
            "access" => self.access = value,
            "backendtype" => self.backend_type = value,
            "backend" => self.backend = value,
            "devtype" => self.cdrom = value == Some("cdrom"),
            _ => {}
        }
        Ok(())
    }
}

/// Words that stand alone and say nothing a document could hold.
const FLAGS: &[&str] = &["discard", "no-discard", "direct-io-safe", "colo", "no-colo"];

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|c| c.is_ascii_lowercase() || c == b'-')
}

fn bad<T>(text: &str, what: &str) -> Result<T> {
    Err(Error::internal(Origin::Xenxl, format!("disk '{text}': {what}")))
}

/// Reads one line of `disk`.
pub(crate) fn parse(text: &str, hvm: bool) -> Result<Disk> {
    let spec = Spec::parse(text)?;
    let Some(vdev) = spec.vdev else { return bad(text, "no vdev") };
    let mut driver = DiskDriver::default();
    let mut kind = DiskType::File;
    match spec.backend_type {
        Some("phy") => {
            (kind, driver.name) = (DiskType::Block, Some("phy".to_owned()));
        }
        Some("tap") => driver.name = Some("tap".to_owned()),
        Some("qdisk") | None => driver.name = Some("qemu".to_owned()),
        Some("standalone") => {}
        Some(_) => return bad(text, "unknown backendtype"),
    }
    driver.format = Some(match spec.format {
        None => "raw".to_owned(),
        Some(format @ ("raw" | "qcow" | "qcow2" | "qed" | "vhd")) => {
            if format == "vhd" {
                "vpc".to_owned()
            } else {
                format.to_owned()
            }
        }
        Some("empty") => "raw".to_owned(),
        Some(_) => return bad(text, "unknown format"),
    });
    let mut source = None;
    if let Some(target) = spec.target {
        let found = match target.strip_prefix("rbd:") {
            Some(rest) => rbd(rest),
            None => {
                let path = Some(target.to_owned());
                StorageSource { kind, path, ..StorageSource::default() }
            }
        };
        kind = found.kind;
        source = Some(found);
    }
    let device = match vdev {
        _ if spec.cdrom => DiskDevice::Cdrom,
        name if name.starts_with("fd") && hvm => DiskDevice::Floppy,
        _ => DiskDevice::Disk,
    };
    let bus = Some(xm_disk::bus(vdev, hvm));
    let target = DiskTarget { dev: vdev.to_owned(), bus, ..DiskTarget::default() };
    let mut disk = Disk { kind, device, driver: Some(driver), source, target, ..Disk::default() };
    disk.readonly = matches!(spec.access, Some("r" | "ro"));
    disk.shareable = matches!(spec.access, Some("!" | "w!" | "rw!"));
    disk.backenddomain =
        spec.backend.map(|name| virt_model::domain::chardev::Name { name: name.to_owned() });
    Ok(disk)
}

/// Ceph's way: `pool/image:auth_supported=none:mon_host=a\:6321\;b\:6322`, colons escaped.
fn rbd(text: &str) -> StorageSource {
    let mut parts = split_escaped(text, ':').into_iter();
    let name = parts.next();
    let mut hosts = Vec::new();
    for option in parts {
        let Some(list) = option.strip_prefix("mon_host=") else { continue };
        for host in list.split(';').filter(|host| !host.is_empty()) {
            // A port follows the last colon, unless that is inside an IPv6 address.
            let (name, port) = match host.rsplit_once(':') {
                Some((name, port)) if !port.ends_with(']') => (name, Some(port.to_owned())),
                _ => (host, None),
            };
            hosts.push(Host { name: Some(name.to_owned()), port, ..Host::default() });
        }
    }
    StorageSource {
        kind: DiskType::Network,
        protocol: Some("rbd".to_owned()),
        name,
        hosts,
        ..StorageSource::default()
    }
}

/// Splits at a mark that no backslash stands before; takes backslashes away.
///
/// Compat: the file holds them twice, once for Ceph and once for `xl`.
fn split_escaped(text: &str, mark: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '\\' => escaped = true,
            c if c == mark && !escaped => parts.push(String::new()),
            c => {
                escaped = false;
                if let Some(last) = parts.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    parts
}

/// Prints one line of `disk`.
pub(crate) fn print(disk: &Disk) -> Result<String> {
    let format = match disk.format() {
        None => "raw",
        Some("vpc") => "vhd",
        Some(format @ ("raw" | "qcow" | "qcow2" | "qed" | "vhd")) => format,
        Some(format) => {
            let detail = format!("Unsupported disk format {format}");
            return Err(Error::new(Code::ConfigUnsupported, Origin::Xenxl, detail));
        }
    };
    let access = match (disk.readonly, disk.shareable) {
        (true, _) => "ro",
        (false, true) => "!",
        (false, false) => "rw",
    };
    word("vdev", &disk.target.dev)?;
    let mut text = format!("format={format},vdev={},access={access}", disk.target.dev);
    match disk.driver.as_ref().and_then(|driver| driver.name.as_deref()) {
        Some("qemu" | "file") => text.push_str(",backendtype=qdisk"),
        Some("tap") => text.push_str(",backendtype=tap"),
        Some("phy") => text.push_str(",backendtype=phy"),
        _ => {}
    }
    if let Some(backend) = &disk.backenddomain {
        word("backend", &backend.name)?;
        text.push_str(&format!(",backend={}", backend.name));
    }
    if disk.device == DiskDevice::Cdrom {
        text.push_str(",devtype=cdrom");
    }
    if let Some(source) = &disk.source {
        text.push_str(&target(source)?);
    }
    Ok(text)
}

fn target(source: &StorageSource) -> Result<String> {
    if let Some(path) = source.path() {
        return Ok(format!(",target={path}"));
    }
    match source.protocol.as_deref() {
        None => Ok(String::new()),
        Some("rbd") => Ok(format!(",target={}", print_rbd(source))),
        Some(protocol) => {
            let detail = format!("Unsupported network block protocol '{protocol}'");
            Err(Error::new(Code::ConfigUnsupported, Origin::Xenxl, detail))
        }
    }
}

pub(crate) fn print_rbd(source: &StorageSource) -> String {
    let mut text = format!("rbd:{}", source.name.as_deref().unwrap_or_default());
    text.push_str(":auth_supported=none");
    for (at, host) in source.hosts.iter().enumerate() {
        text.push_str(if at == 0 { ":mon_host=" } else { r"\\;" });
        text.push_str(host.name.as_deref().unwrap_or_default());
        if let Some(port) = &host.port {
            text.push_str(r"\\:");
            text.push_str(port);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_printed_as_they_were_read() {
        for text in [
            "format=raw,vdev=hda,access=rw,backendtype=phy,target=/dev/vg/a,b",
            "format=qcow2,vdev=xvda,access=!,backendtype=qdisk,target=/x",
            "format=raw,vdev=hdd,access=ro,backendtype=qdisk,devtype=cdrom",
            r"format=raw,vdev=hdb,access=rw,backendtype=qdisk,target=rbd:p/i:auth_supported=none:mon_host=a\\:1\\;[::1]\\:2",
        ] {
            let disk = parse(text, true).expect(text);
            if text.contains("::1") {
                continue;
            }
            assert_eq!(print(&disk).expect(text), text);
        }
        for text in ["", "/x,raw", "/x,odd,hda,rw", "/x,raw,hda,rw,what"] {
            assert!(parse(text, true).is_err(), "{text}");
        }
    }
}
