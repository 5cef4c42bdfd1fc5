//! The checks of firmware, PCI and other places, host devices, displays and labels.

use virt_error::{Code, Error, Origin, Result};

use crate::domain::address::Address;
use crate::domain::boot::{Firmware, Loader, LoaderType};
use crate::domain::controller::ControllerType;
use crate::domain::devices::{FilesystemSource, FilesystemType};
use crate::domain::graphics::VideoType;
use crate::domain::load::xml_error;
use crate::domain::{Domain, Seclabel};
use crate::schema::text::YesNo;
use crate::schema::{ParseFlags, error};

impl Domain {
    /// Whether what is said of the firmware goes together.
    pub fn check_firmware(&self, flags: ParseFlags) -> Result<()> {
        firmware(self, flags)
    }

    /// Whether places on PCI and USB can be, and no bus is there twice.
    pub fn check_places(&self) -> Result<()> {
        addresses(self)?;
        controllers(self)
    }
}

pub(super) fn check(domain: &Domain, flags: ParseFlags) -> Result<()> {
    domain.check_firmware(flags)?;
    domain.check_places()?;
    hostdevs(domain)?;
    videos(domain)?;
    seclabels(domain)?;
    filesystems(domain)?;
    vsock(domain)?;
    sysinfo(domain)
}

/// A message that libvirt prints without a frame.
fn plain<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::new(Code::XmlDetail, Origin::Domain, text))
}

fn firmware(domain: &Domain, flags: ParseFlags) -> Result<()> {
    let os = &domain.os;
    if os.bootmenu.as_ref().and_then(|menu| menu.timeout_ms).is_some_and(|timeout| timeout > 65535)
    {
        let what = "invalid value for boot menu timeout, must be in range [0,65535]";
        return Err(error::unsupported(what));
    }
    let loader = os.loader.as_ref();
    if os.firmware.is_none() {
        let pathless = |loader: &Loader| loader.path.is_none() && loader.stateless.is_none();
        if loader.map_or(os.nvram.is_some(), pathless) {
            return plain("no loader path specified and firmware auto selection disabled");
        }
        let flash = |loader: &Loader| loader.kind == Some(LoaderType::Pflash);
        if loader.is_some_and(|loader| loader.stateless == Some(YesNo::No) && !flash(loader)) {
            return plain("Only pflash loader type permits NVRAM");
        }
        // Compat: a stored definition may still say what has no effect.
        if flags.abi_update && !os.firmware_features.is_empty() {
            let what = "cannot use feature-based firmware autoselection when firmware autoselection is disabled";
            return plain(what);
        }
    }
    let feature = |name: &str, state: YesNo| {
        os.firmware_features.iter().any(|f| f.name == name && f.enabled == state)
    };
    if feature("enrolled-keys", YesNo::Yes) && feature("secure-boot", YesNo::No) {
        return plain(
            "firmware feature 'enrolled-keys' cannot be enabled when firmware feature 'secure-boot' is disabled",
        );
    }
    if os.firmware == Some(Firmware::Bios)
        && loader.is_some_and(|loader| loader.stateless == Some(YesNo::No))
    {
        return plain("Only EFI firmware permits NVRAM");
    }
    if os.nvram.is_some() {
        if loader.is_some_and(|loader| loader.stateless == Some(YesNo::Yes)) {
            return plain("NVRAM is not permitted when loader is stateless");
        }
        if os.firmware == Some(Firmware::Bios) {
            return plain("firmware type 'bios' does not support nvram");
        }
    }
    Ok(())
}

fn addresses(domain: &Domain) -> Result<()> {
    // Compat: this error names no part of the system.
    let wrong = |what: String| Error::new(Code::XmlError, Origin::None, what);
    for address in domain.devices.addresses() {
        match address {
            Address::Pci(pci) if pci.bus > 0xff => {
                return Err(wrong(format!(
                    "Invalid PCI address bus='0x{:x}', must be <= 0xFF",
                    pci.bus
                )));
            }
            Address::Pci(pci) if pci.slot > 0x1f => {
                return Err(wrong(format!(
                    "Invalid PCI address slot='0x{:x}', must be <= 0x1F",
                    pci.slot
                )));
            }
            Address::Pci(pci) if pci.function > 7 => {
                return Err(wrong(format!(
                    "Invalid PCI address function=0x{:x}, must be <= 7",
                    pci.function
                )));
            }
            Address::Pci(pci) if pci.domain > 0xffff => {
                return Err(wrong(format!(
                    "Invalid PCI address domain='0x{:x}', must be <= 0xFFFF",
                    pci.domain
                )));
            }
            Address::Usb(usb) => usb_port(usb.port.as_deref())?,
            _ => {}
        }
    }
    Ok(())
}

/// Limit: a path through hubs has at most four steps.
fn usb_port(port: Option<&str>) -> Result<()> {
    const STEPS_MAX: usize = 4;
    let Some(port) = port else { return Ok(()) };
    let steps: Vec<_> = port.split('.').collect();
    if steps.len() > STEPS_MAX || steps.iter().any(|step| step.parse::<u32>().is_err()) {
        return Err(error::internal("Cannot parse <address> 'port' attribute"));
    }
    Ok(())
}

fn controllers(domain: &Domain) -> Result<()> {
    let controllers = &domain.devices.controllers;
    for (at, controller) in controllers.iter().enumerate() {
        let index = controller.index.unwrap_or_default();
        let model = controller.model.as_deref().unwrap_or_default();
        let virtio_scsi = model.starts_with("virtio");
        let threaded = controller.driver.as_ref().is_some_and(|driver| driver.iothread.is_some());
        if threaded && !(controller.kind == ControllerType::Scsi && virtio_scsi) {
            return xml_error("'iothread' attribute only supported for virtio scsi controllers");
        }
        if controller.kind != ControllerType::Pci {
            continue;
        }
        if matches!(model, "pci-root" | "pcie-root") && controller.info.address != Address::None {
            let what = "pci-root and pcie-root controllers should not have an address";
            return Err(error::unsupported(what));
        }
        let same = |other: &crate::domain::controller::Controller| {
            other.kind == controller.kind && other.index == controller.index
        };
        if controllers.iter().take(at).any(same) {
            return xml_error(format!("Multiple 'pci' controllers with index '{index}'"));
        }
    }
    Ok(())
}

fn hostdevs(domain: &Domain) -> Result<()> {
    let devices = &domain.devices;
    for (at, hostdev) in devices.hostdevs.iter().enumerate() {
        let same = |other: &crate::domain::hostdev::Hostdev| {
            other.kind == hostdev.kind && other.source.is_some() && other.source == hostdev.source
        };
        if devices.hostdevs.iter().take(at).any(same) {
            return xml_error("Hostdev already exists in the domain configuration");
        }
        if hostdev.sgio.as_deref() == Some("unfiltered") {
            return Err(error::unsupported("unfiltered sgio is no longer supported"));
        }
        if (hostdev.sgio.is_some() || hostdev.rawio.is_some()) && hostdev.kind != "scsi" {
            let what = if hostdev.sgio.is_some() { "sgio" } else { "rawio" };
            return xml_error(format!("{what} is only supported for scsi host device"));
        }
        if hostdev.kind != "mdev" {
            continue;
        }
        let model = hostdev.model.as_deref().unwrap_or_default();
        if let (Some(kind), "vfio-pci") = (hostdev.info.address.kind(), model)
            && !matches!(kind, "pci" | "unassigned")
        {
            return xml_error(format!(
                "Unsupported address type '{kind}' with mediated device model '{model}'"
            ));
        }
    }
    Ok(())
}

fn videos(domain: &Domain) -> Result<()> {
    let videos = &domain.devices.videos;
    if videos.len() > 1 && videos.iter().any(|video| video.model.kind == VideoType::None) {
        let what = "a 'none' video type must be the only video device defined for the domain";
        return Err(error::unsupported(what));
    }
    Ok(())
}

fn seclabels(domain: &Domain) -> Result<()> {
    let model = |label: &Seclabel| label.model.clone().unwrap_or_default();
    for (at, label) in domain.seclabels.iter().enumerate() {
        let name = model(label);
        if name.is_empty() && domain.seclabels.len() > 1 {
            return xml_error("missing security model when using multiple labels");
        }
        if !name.is_empty() && domain.seclabels.iter().take(at).any(|other| model(other) == name) {
            return plain(format!("seclabel for model {name} is already provided"));
        }
    }
    let sources = domain.devices.disks.iter().filter_map(|disk| disk.source.as_ref());
    for source in sources {
        let labels: Vec<_> = source.rest.iter().filter(|e| e.name == "seclabel").collect();
        for (at, label) in labels.iter().enumerate() {
            let name = label.attr("model");
            let twice = labels.iter().take(at).any(|other| other.attr("model") == name);
            if labels.len() > 1 && (name.is_none() || twice) {
                return xml_error("missing security model when using multiple labels");
            }
            if label.attr("relabel") == Some("yes") && label.child("label").is_none() {
                return xml_error(format!(
                    "Cannot specify relabel if label is missing. model={}",
                    name.unwrap_or("<null>")
                ));
            }
        }
    }
    Ok(())
}

/// Something of the host, and a place in the guest.
fn filesystems(domain: &Domain) -> Result<()> {
    for filesystem in &domain.devices.filesystems {
        let source = filesystem.source.as_ref();
        let named = |field: fn(&FilesystemSource) -> &Option<String>| {
            source.and_then(|source| field(source).as_deref())
        };
        let path = match filesystem.kind {
            FilesystemType::Mount | FilesystemType::Bind => {
                named(|source| &source.dir).or_else(|| named(|source| &source.socket))
            }
            FilesystemType::Block => named(|source| &source.dev),
            FilesystemType::File => named(|source| &source.file),
            FilesystemType::Template => named(|source| &source.name),
            FilesystemType::Ram | FilesystemType::Volume => None,
        };
        let usage = source.and_then(|source| source.usage_kib);
        let pathless = matches!(filesystem.kind, FilesystemType::Ram | FilesystemType::Volume);
        if filesystem.kind == FilesystemType::Ram && usage.is_none() {
            return xml_error("missing 'usage' attribute for RAM filesystem".to_owned());
        }
        let target = filesystem.target.as_ref().map(|target| target.dir.as_str());
        let missing = |code: Code, other: Option<&str>| match other {
            Some(other) => Err(Error::new(code, Origin::Domain, other)),
            None => Err(Error::bare(code, Origin::Domain)),
        };
        if path.is_none() && !pathless {
            return missing(Code::NoSource, target);
        }
        if target.is_none() {
            return missing(Code::NoTarget, path);
        }
    }
    Ok(())
}

/// The first numbers are the host's own.
fn vsock(domain: &Domain) -> Result<()> {
    const FIRST: u32 = 3;
    let cid = domain.devices.vsock.as_ref().and_then(|vsock| vsock.cid.address);
    match cid.is_some_and(|cid| cid < FIRST) {
        true => {
            let detail = format!("guest CIDs must be >= {FIRST}");
            Err(Error::new(Code::ConfigUnsupported, Origin::Domain, detail))
        }
        false => Ok(()),
    }
}

fn sysinfo(domain: &Domain) -> Result<()> {
    let said = domain.sysinfo.iter().filter_map(|info| info.system.as_ref()?.uuid);
    for uuid in said {
        if domain.uuid.is_some_and(|own| own != uuid) {
            return plain("UUID mismatch between <uuid> and <sysinfo>");
        }
    }
    Ok(())
}
