//! Addresses of devices as people type them: `pci:0000.00.11.00`, `scsi:0.0.1`.

use virt_xml::Element;

use crate::failure::{Failure, fail};

/// An address and the bus it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Pci([u32; 4]),
    Ccw([u32; 3]),
    Usb([u32; 2]),
    Drive(Drive, [u64; 3]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drive {
    Ide,
    Scsi,
    Sata,
}

/// Reads numbers with dots; what follows the last wanted one does not matter.
fn numbers<T: Copy + Default + TryFrom<u64>, const N: usize>(
    text: &str,
    radix: [u32; N],
) -> Option<[T; N]> {
    let mut found = [T::default(); N];
    let mut parts = text.split('.');
    for (number, radix) in found.iter_mut().zip(radix) {
        let part = parts.next()?;
        let digits = match radix {
            16 => part.strip_prefix("0x").unwrap_or(part),
            _ => part,
        };
        *number = T::try_from(u64::from_str_radix(digits, radix).ok()?).ok()?;
    }
    Some(found)
}

impl Address {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (bus, rest) = text.split_once(':')?;
        Some(match bus {
            "pci" => Self::Pci(numbers(rest, [16; 4])?),
            "ccw" => Self::Ccw(numbers(rest, [16; 3])?),
            "usb" => Self::Usb(numbers(rest, [10; 2])?),
            "scsi" => Self::Drive(Drive::Scsi, numbers(rest, [10; 3])?),
            "ide" => Self::Drive(Drive::Ide, numbers(rest, [10; 3])?),
            "sata" => Self::Drive(Drive::Sata, numbers(rest, [10; 3])?),
            _ => return None,
        })
    }

    /// The element for a disk with this target, whose first letters name its bus.
    pub(crate) fn for_disk(
        self,
        target: &str,
        multifunction: bool,
    ) -> Result<Element<'static>, Failure> {
        let fits = match target.get(..2) {
            Some("vd") => matches!(self, Self::Pci(_) | Self::Ccw(_)),
            Some("sd") => {
                matches!(self, Self::Usb(_) | Self::Drive(Drive::Scsi | Drive::Sata, _))
            }
            Some("hd") => matches!(self, Self::Drive(Drive::Ide, _)),
            _ => return Ok(self.element(multifunction)),
        };
        match (fits, target.get(..2)) {
            (true, _) => Ok(self.element(multifunction)),
            (_, Some("vd")) => fail("expecting a pci:0000.00.00.00 or ccw:00.0.0000 address."),
            (_, Some("sd")) => {
                fail("expecting a scsi:00.00.00 or usb:00.00 or sata:00.00.00 address.")
            }
            _ => fail("expecting an ide:00.00.00 address."),
        }
    }

    fn element(self, multifunction: bool) -> Element<'static> {
        let address = |kind: &'static str| Element::new("address").with_attr("type", kind);
        match self {
            Self::Pci(parts) => {
                let found = pci(parts);
                match multifunction {
                    true => found.with_attr("multifunction", "on"),
                    false => found,
                }
            }
            Self::Ccw([cssid, ssid, devno]) => address("ccw")
                .with_attr("cssid", format!("0x{cssid:02x}"))
                .with_attr("ssid", format!("0x{ssid:x}"))
                .with_attr("devno", format!("0x{devno:04x}")),
            Self::Usb([bus, port]) => {
                address("usb").with_attr("bus", bus.to_string()).with_attr("port", port.to_string())
            }
            Self::Drive(_, [controller, bus, unit]) => address("drive")
                .with_attr("controller", controller.to_string())
                .with_attr("bus", bus.to_string())
                .with_attr("unit", unit.to_string()),
        }
    }
}

fn pci([domain, bus, slot, function]: [u32; 4]) -> Element<'static> {
    Element::new("address")
        .with_attr("type", "pci")
        .with_attr("domain", format!("0x{domain:04x}"))
        .with_attr("bus", format!("0x{bus:02x}"))
        .with_attr("slot", format!("0x{slot:02x}"))
        .with_attr("function", format!("0x{function:x}"))
}

/// Reads a host's PCI address, `0000:00:05.0`.
pub(crate) fn pci_address(text: &str) -> Option<Element<'static>> {
    let (domain, rest) = text.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (slot, function) = rest.split_once('.')?;
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    Some(pci([number(domain)?, number(bus)?, number(slot)?, number(function)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, want) in [
            ("pci:0000.00.11.00", Some(Address::Pci([0, 0, 0x11, 0]))),
            ("pci:0.0.1.0.7", Some(Address::Pci([0, 0, 1, 0]))),
            ("ccw:0xfe.0.0123", Some(Address::Ccw([0xfe, 0, 0x123]))),
            ("usb:00.1", Some(Address::Usb([0, 1]))),
            ("scsi:1.2.3", Some(Address::Drive(Drive::Scsi, [1, 2, 3]))),
            ("pci:x", None),
            ("nosuch:1.2", None),
            ("scsi:1.2", None),
        ] {
            assert_eq!(Address::parse(text), want, "{text}");
        }
    }
}
