//! What a guest is asked to be: `(vm ...)`, judged as the release judges it.

use std::fs::File;
use std::io::Read as _;

use crate::options::Settings;
use crate::sxp::{Sxp, list, word};

/// A guest's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) uuid: String,
    /// Everything but the devices, headed `domain`.
    pub(crate) body: Sxp,
    pub(crate) devices: Vec<Device>,
}

/// A device: `(vbd ...)`, and its number on its bus.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) id: u32,
    pub(crate) body: Sxp,
}

impl Device {
    pub(crate) fn kind(&self) -> &str {
        self.body.head().unwrap_or_default()
    }

    pub(crate) fn is_cdrom(&self) -> bool {
        self.body.value("dev").is_some_and(|dev| dev.ends_with(":cdrom"))
    }
}

/// A random UUID, as the hypervisor's host makes them.
pub(crate) fn random_uuid() -> String {
    let mut bytes = [0_u8; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        bytes = nanos.map_or(0, |nanos| nanos.as_nanos()).to_be_bytes();
    }
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    with_dashes(&hex)
}

fn with_dashes(hex: &str) -> String {
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

fn plain_uuid(text: &str) -> Result<String, String> {
    let hex: String = text.chars().filter(|c| *c != '-').collect::<String>().to_lowercase();
    if hex.len() != 32 || !hex.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(format!("Invalid UUID: {text}"));
    }
    Ok(with_dashes(&hex))
}

/// The number of a block device: `xvda` is 51712, `hda` 768, `sda` 2048.
pub(crate) fn block_number(dev: &str) -> Option<u32> {
    let dev = dev.strip_prefix("/dev/").unwrap_or(dev);
    if let Ok(number) = dev.parse() {
        return Some(number);
    }
    let (base, letters) = ["xvd", "hd", "sd"]
        .iter()
        .find_map(|base| dev.strip_prefix(base).map(|letters| (*base, letters)))?;
    let letter = letters.chars().next().filter(char::is_ascii_lowercase)?;
    let disk = u32::from(letter) - u32::from('a');
    let part = match letters.get(1..).unwrap_or_default() {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    match base {
        "xvd" => Some((202 << 8) + disk * 16 + part),
        "sd" => Some((8 << 8) + disk * 16 + part),
        _ => {
            let (major, minor) = match disk {
                0 | 1 => (3, disk * 64),
                2 | 3 => (22, (disk - 2) * 64),
                _ => return None,
            };
            Some((major << 8) + minor + part)
        }
    }
}

impl Config {
    /// Judges `(vm ...)`, in the words of the release that refuses it.
    pub(crate) fn of(tree: &Sxp, settings: &Settings) -> Result<Self, String> {
        let profile = settings.profile;
        let name = tree.value("name").filter(|name| !name.is_empty());
        let name = name.ok_or("missing VM name")?.to_owned();
        if let Some(c) =
            name.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.:/+".contains(*c)))
        {
            return Err(format!("invalid VM name: contains '{c}'"));
        }
        if profile.wants_vcpus() && tree.value("vcpus").is_none() {
            return Err("Error creating domain: 'vcpus'".to_owned());
        }
        let uuid = tree.value("uuid").map_or_else(|| Ok(random_uuid()), plain_uuid)?;
        let image = tree.child("image").and_then(|image| image.items().get(1));
        let hvm = image.and_then(Sxp::head) == Some("hvm");
        if image.is_none() && tree.value("bootloader").is_none() {
            return Err("Kernel image not specified".to_owned());
        }
        if hvm && !settings.hvm {
            return Err("HVM guest support is unavailable: is VT/AMD-V supported by your CPU and \
                        enabled in your BIOS?"
                .to_owned());
        }
        let mut body = list([word("domain")]);
        let mut devices = Vec::new();
        for item in tree.items().iter().skip(1) {
            match item.head() {
                Some("device") => {
                    let device = item.items().get(1).ok_or("device without body")?;
                    let device = judge(device, &devices, hvm, settings)?;
                    devices.push(device);
                }
                Some("name" | "uuid") | None => {}
                Some(_) => {
                    if let Some(items) = body.items_mut() {
                        items.push(item.clone());
                    }
                }
            }
        }
        let memory = body.number("memory").unwrap_or(128).max(1);
        body.set("memory", memory);
        body.set("maxmem", body.number("maxmem").unwrap_or(memory).max(memory));
        body.set("vcpus", body.number("vcpus").unwrap_or(1).max(1));
        Ok(Self { name, uuid, body, devices })
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.body.number(name).unwrap_or(0)
    }

    /// `linux` or `hvm`, and what is in it.
    pub(crate) fn image(&self) -> Option<&Sxp> {
        self.body.child("image")?.items().get(1)
    }

    pub(crate) fn is_hvm(&self) -> bool {
        self.image().and_then(Sxp::head) == Some("hvm")
    }

    /// A word in the guest's own command line, with which tests tell guests what to do.
    pub(crate) fn says(&self, what: &str) -> bool {
        let args = self.image().and_then(|image| image.value("args"));
        args.is_some_and(|args| args.split_whitespace().any(|word| word == what))
    }

    pub(crate) fn action(&self, event: &str) -> &str {
        self.body.value(event).unwrap_or("destroy")
    }

    /// As it is kept and sent: with its devices.
    pub(crate) fn to_sxp(&self, head: &str) -> Sxp {
        let mut items = vec![word(head)];
        items.push(crate::sxp::pair("name", &self.name));
        items.push(crate::sxp::pair("uuid", &self.uuid));
        items.extend(self.body.items().iter().skip(1).cloned());
        items.extend(self.devices.iter().map(|d| list([word("device"), d.body.clone()])));
        Sxp::List(items)
    }
}

/// A device with its number, unless the release does not know it so.
pub(crate) fn judge(
    body: &Sxp,
    others: &[Device],
    hvm: bool,
    settings: &Settings,
) -> Result<Device, String> {
    let profile = settings.profile;
    let kind = body.head().unwrap_or_default().to_owned();
    let of_kind = others.iter().filter(|other| other.kind() == kind);
    let next = of_kind.clone().map(|other| other.id + 1).max().unwrap_or(0);
    let id = match kind.as_str() {
        "vbd" | "tap" | "tap2" => {
            let dev = body.value("dev").ok_or("block device without dev")?;
            if dev.contains(':') && !profile.has_suffixes() && !dev.starts_with("ioemu:") {
                return Err(format!("Unable to find number for device ({dev})"));
            }
            let plain = dev.trim_start_matches("ioemu:").split(':').next().unwrap_or_default();
            let number = block_number(plain);
            let number =
                number.ok_or_else(|| format!("Unable to find number for device ({plain})"))?;
            if others.iter().any(|other| other.id == number && is_block(other.kind())) {
                return Err(format!("Device {plain} is already connected."));
            }
            number
        }
        "vif" => {
            let bridge = body.value("bridge");
            if let (Some(bridge), Some(known)) = (bridge, &settings.switches)
                && !known.iter().any(|name| name == bridge)
            {
                return Err(format!(
                    "Device {next} (vif) could not be connected. bridge {bridge} does not exist"
                ));
            }
            next
        }
        "vfb" | "vkbd" if !profile.has_framebuffers() && !hvm => {
            return Err(format!("unknown device type: {kind}"));
        }
        "vfb" | "vkbd" | "pci" | "console" | "vscsi" | "vusb" => next,
        other => return Err(format!("unknown device type: {other}")),
    };
    Ok(Device { id, body: body.clone() })
}

pub(crate) fn is_block(kind: &str) -> bool {
    matches!(kind, "vbd" | "tap" | "tap2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_devices_have_their_old_numbers() {
        let numbers =
            [("xvda", 51712), ("xvdb1", 51729), ("hda", 768), ("hdc", 5632), ("sda1", 2049)];
        for (dev, number) in numbers {
            assert_eq!(block_number(dev), Some(number), "{dev}");
        }
        assert_eq!(block_number("floppy"), None);
    }
}
