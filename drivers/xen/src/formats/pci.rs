//! The host's PCI devices that a guest gets: `0000:01:1a.1,permissive=1`.

use virt_error::{Error, Origin, Result};
use virt_model::YesNo;
use virt_model::domain::address::Pci;
use virt_model::domain::hostdev::{HostAddress, Hostdev, HostdevSource};

/// Reads a device; the segment may be left out.
pub(crate) fn parse(text: &str) -> Result<Hostdev> {
    let (place, options) = text.split_once(',').unwrap_or((text, ""));
    let bad = || Error::internal(Origin::Xen, format!("Invalid PCI address '{text}'"));
    // What follows an `@` is the slot in the guest, which a document says elsewhere.
    let place = place.split('@').next().unwrap_or_default().trim();
    let (place, function) = place.rsplit_once('.').ok_or_else(bad)?;
    let (place, slot) = place.rsplit_once(':').ok_or_else(bad)?;
    let (segment, bus) = place.rsplit_once(':').unwrap_or(("0", place));
    let hex = |text: &str| u32::from_str_radix(text, 16).map_err(|_| bad());
    let pci = Pci {
        domain: hex(segment)?,
        bus: hex(bus)?,
        slot: hex(slot)?,
        function: hex(function)?,
        ..Pci::default()
    };
    let permissive = options.split(',').any(|option| option.trim() == "permissive=1");
    Ok(device(pci, permissive))
}

/// A device at that address.
pub(crate) fn device(pci: Pci, permissive: bool) -> Hostdev {
    let mut source = HostdevSource { address: HostAddress::Pci(pci), ..HostdevSource::default() };
    if permissive {
        source.attrs.push(("writeFiltering".to_owned(), "no".to_owned()));
    }
    Hostdev {
        kind: "pci".to_owned(),
        managed: Some(YesNo::No),
        source: Some(source),
        ..Hostdev::default()
    }
}

/// The address of a PCI device, and whether the guest may write to all of its configuration.
pub(crate) fn address(hostdev: &Hostdev) -> Option<(&Pci, bool)> {
    let source = hostdev.source.as_ref().filter(|_| hostdev.kind == "pci")?;
    let HostAddress::Pci(pci) = &source.address else { return None };
    let open = |(name, value): &(String, String)| name == "writeFiltering" && value == "no";
    Some((pci, source.attrs.iter().any(open)))
}

/// Prints a device; `None` for one that is not of PCI.
pub(crate) fn print(hostdev: &Hostdev) -> Option<String> {
    let (Pci { domain, bus, slot, function, .. }, permissive) = address(hostdev)?;
    let options = if permissive { ",permissive=1" } else { "" };
    Some(format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}{options}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_with_and_without_segment() {
        for (text, printed) in [
            ("0001:0c:1b.2", "0001:0c:1b.2"),
            ("01:13.0", "0000:01:13.0"),
            ("01:13.0@5,msitranslate=1,permissive=1", "0000:01:13.0,permissive=1"),
        ] {
            let device = parse(text).expect(text);
            assert_eq!(print(&device).as_deref(), Some(printed));
        }
        for text in ["", "01", "01:13", "zz:13.0", "01:.0", "1:2:3:4.5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
