//! Devices as Xen numbers them, and what of a document a device is about.

use virt_model::domain::{Device, Disk, Domain as Document, Interface};

/// Xen's own virtual disks.
const XEN_DISK: u32 = 202;
const SCSI_DISK: u32 = 8;
/// A disk beyond the sixteenth has a number in another form.
const EXTENDED: u32 = 1 << 28;

/// The number of a block device: `xvda` is 51712, `hda` 768, `sda` 2048.
pub(crate) fn block_number(dev: &str) -> Option<u32> {
    let (base, rest) =
        ["xvd", "hd", "sd"].iter().find_map(|base| Some((*base, dev.strip_prefix(base)?)))?;
    let letters: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
    let part = match rest.get(letters.len()..).unwrap_or_default() {
        "" => 0,
        digits => digits.parse::<u32>().ok().filter(|part| *part < 64)?,
    };
    // a to z, then aa: as the kernel counts.
    let mut disk = 0_u32;
    for letter in letters.bytes() {
        let value = u32::from(letter.checked_sub(b'a')?).checked_add(1)?;
        disk = disk.checked_mul(26)?.checked_add(value)?;
    }
    let disk = disk.checked_sub(1)?;
    match base {
        "xvd" if disk < 16 && part < 16 => Some((XEN_DISK << 8) + disk * 16 + part),
        "xvd" => Some(EXTENDED | disk.checked_mul(256)?.checked_add(part)?),
        "sd" if disk < 16 && part < 16 => Some((SCSI_DISK << 8) + disk * 16 + part),
        "hd" if disk < 2 => Some((3 << 8) + disk * 64 + part),
        "hd" if disk < 4 => Some((22 << 8) + (disk - 2) * 64 + part),
        _ => None,
    }
}

/// A device in words.
pub(crate) fn describe(device: &Device) -> String {
    match device {
        Device::Disk(disk) => format!("disk {}", disk.target.dev),
        Device::Interface(interface) => {
            let mac = interface.mac.as_ref().map(|mac| mac.address.to_string());
            format!("interface {}", mac.unwrap_or_default())
        }
        other => other.tag().to_owned(),
    }
}

fn same_mac(a: &Interface, b: &Interface) -> bool {
    let mac = |one: &Interface| one.mac.as_ref().map(|mac| mac.address.to_string());
    mac(a).is_some() && mac(a) == mac(b)
}

/// The disk of that name.
pub(crate) fn disk<'d>(document: &'d Document, dev: &str) -> Option<&'d Disk> {
    document.devices.disks.iter().find(|disk| disk.target.dev == dev)
}

/// Whether a document has the device; what it is told apart by is what users name it by.
pub(crate) fn has(document: &Document, device: &Device) -> bool {
    match device {
        Device::Disk(wanted) => disk(document, &wanted.target.dev).is_some(),
        Device::Interface(wanted) => {
            document.devices.interfaces.iter().any(|found| same_mac(found, wanted))
        }
        Device::Hostdev(wanted) => {
            let address = crate::formats::pci_address(wanted);
            let mut others = document.devices.hostdevs.iter();
            address.is_some() && others.any(|found| crate::formats::pci_address(found) == address)
        }
        _ => false,
    }
}

/// Takes a device out of a document.
pub(crate) fn remove(document: &mut Document, device: &Device) {
    let devices = &mut document.devices;
    match device {
        Device::Disk(wanted) => devices.disks.retain(|disk| disk.target.dev != wanted.target.dev),
        Device::Interface(wanted) => devices.interfaces.retain(|found| !same_mac(found, wanted)),
        Device::Hostdev(wanted) => {
            let address = crate::formats::pci_address(wanted);
            devices.hostdevs.retain(|found| crate::formats::pci_address(found) != address);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::block_number;

    #[test]
    fn block_devices_have_xens_numbers() {
        for (dev, number) in [
            ("xvda", 51_712),
            ("xvdb", 51_728),
            ("xvda1", 51_713),
            ("xvdq", (1 << 28) | (16 << 8)),
            ("hda", 768),
            ("hdc", 5632),
            ("sda1", 2049),
        ] {
            assert_eq!(block_number(dev), Some(number), "{dev}");
        }
        for dev in ["", "xvd", "vda", "xvda99999999999", "hdz", "xvdzzzzzzzzzzzz", "xvdA"] {
            assert_eq!(block_number(dev), None, "{dev}");
        }
    }
}
