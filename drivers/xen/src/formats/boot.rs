//! What a guest boots: kind of guest, loader, kernel, boot loader, order of devices.

use virt_error::Result;
use virt_model::YesNo;
use virt_model::domain::Domain;
use virt_model::domain::boot::{
    Boot, BootDevice, Firmware, Loader, LoaderType, Os, OsKind, OsType,
};

use super::Format;
use super::config::Config;

/// The loader of full guests, in the folder of firmware.
pub(crate) const HVMLOADER: &str = "hvmloader";
/// UEFI's, there too.
pub(crate) const OVMF: &str = "ovmf.bin";

/// A kind of guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pv,
    Hvm,
    Pvh,
}

impl Kind {
    pub fn of(domain: &Domain) -> Self {
        match domain.os.kind.kind {
            Some(OsType::Hvm) => Self::Hvm,
            Some(OsType::XenPvh) => Self::Pvh,
            // Compat: "xenpvh" may stand only as the machine.
            _ if domain.os.kind.machine.as_deref() == Some("xenpvh") => Self::Pvh,
            _ => Self::Pv,
        }
    }

    pub(crate) fn os_type(self) -> OsType {
        match self {
            Self::Pv => OsType::Linux,
            Self::Hvm => OsType::Hvm,
            Self::Pvh => OsType::XenPvh,
        }
    }

    /// The machine of such guests.
    pub fn machine(self) -> &'static str {
        match self {
            Self::Pv => "xenpv",
            Self::Hvm => "xenfv",
            Self::Pvh => "xenpvh",
        }
    }

    fn read(config: &Config, format: Format) -> Result<Self> {
        if format == Format::Xl
            && let Some(kind) = config.string("type")?
        {
            return match kind {
                "pv" => Ok(Self::Pv),
                "hvm" => Ok(Self::Hvm),
                "pvh" => Ok(Self::Pvh),
                _ => {
                    let expected = config.expected("type", "pv, hvm or pvh");
                    Err(super::config::malformed("type").with_hint(expected))
                }
            };
        }
        let hvm = matches!(config.string("builder")?, Some("hvm"));
        Ok(if hvm { Self::Hvm } else { Self::Pv })
    }
}

/// `a` is the floppy, `c` the disk, `d` the CD, `n` the network.
pub(crate) fn order(letters: &str) -> Vec<Boot> {
    let device = |letter| match letter {
        'a' => Some(BootDevice::Fd),
        'c' => Some(BootDevice::Hd),
        'd' => Some(BootDevice::Cdrom),
        'n' => Some(BootDevice::Network),
        _ => None,
    };
    letters.chars().filter_map(device).take(BootDevice::ALL.len()).map(|dev| Boot { dev }).collect()
}

/// The same as letters; the disk where nothing is said.
pub(crate) fn letters(boot: &[Boot]) -> String {
    if boot.is_empty() {
        return "c".to_owned();
    }
    let letter = |boot: &Boot| match boot.dev {
        BootDevice::Fd => 'a',
        BootDevice::Hd => 'c',
        BootDevice::Cdrom => 'd',
        BootDevice::Network => 'n',
    };
    boot.iter().map(letter).collect()
}

/// Reads what the guest boots.
pub(crate) fn read(
    config: &Config,
    format: Format,
    firmware_dir: &str,
    domain: &mut Domain,
) -> Result<Kind> {
    let kind = Kind::read(config, format)?;
    let machine = Some(kind.machine().to_owned());
    let kind_of_os = OsKind { kind: Some(kind.os_type()), machine, arch: None };
    let mut os = Os { kind: kind_of_os, ..Os::default() };
    match (kind, format) {
        (Kind::Hvm, Format::Xl) => {
            os.loader = Some(read_firmware(config, firmware_dir)?);
            read_kernel(config, format, &mut os)?;
            // Compat: files made for `xm` name the loader as the kernel.
            if let Some(path) = os.kernel.take_if(|path| path.ends_with(HVMLOADER)) {
                os.loader = Some(rom(path));
            }
        }
        (Kind::Hvm, _) => {
            // A loader of its own key leaves `kernel` to the kernel; else that is the loader.
            match config.text("loader")? {
                Some(path) => {
                    os.loader = Some(rom(path));
                    read_kernel(config, format, &mut os)?;
                }
                None => os.loader = config.text("kernel")?.map(rom),
            }
        }
        _ => {
            read_kernel(config, format, &mut os)?;
            domain.bootloader = config.text("bootloader")?;
            // Compat: `xl` takes arguments as a list too.
            domain.bootloader_args = match config.has("bootargs") {
                true => config.text("bootargs")?,
                false => Some(config.strings("bootloader_args")?.join(" ")),
            };
            domain.bootloader_args = domain.bootloader_args.take().filter(|args| !args.is_empty());
        }
    }
    if kind == Kind::Hvm {
        os.boot = order(config.string("boot")?.unwrap_or("c"));
    }
    domain.os = os;
    Ok(kind)
}

fn read_firmware(config: &Config, folder: &str) -> Result<Loader> {
    let path = match config.string("bios")? {
        Some("ovmf") => {
            return Ok(Loader {
                readonly: Some(YesNo::Yes),
                kind: Some(LoaderType::Pflash),
                path: Some(format!("{folder}/{OVMF}")),
                ..Loader::default()
            });
        }
        _ => config.text("firmware_override")?,
    };
    Ok(rom(path.unwrap_or_else(|| format!("{folder}/{HVMLOADER}"))))
}

pub(crate) fn rom(path: String) -> Loader {
    Loader { kind: Some(LoaderType::Rom), path: Some(path), ..Loader::default() }
}

/// Compat: `cmdline` wins over the older `root` and `extra`, which are put together.
fn read_kernel(config: &Config, format: Format, os: &mut Os) -> Result<()> {
    os.kernel = config.text("kernel")?;
    os.initrd = config.text("ramdisk")?;
    let cmdline = if format == Format::Xl { config.text("cmdline")? } else { None };
    os.cmdline = match cmdline {
        Some(cmdline) => Some(cmdline),
        None => {
            let root = config.text("root")?.map(|root| format!("root={root}"));
            let parts: Vec<String> = root.into_iter().chain(config.text("extra")?).collect();
            Some(parts.join(" ")).filter(|text| !text.is_empty())
        }
    };
    Ok(())
}

/// Prints what the guest boots, for `xm` and xend.
pub(crate) fn write_xm(domain: &Domain, config: &mut Config) {
    let os = &domain.os;
    let loader = os.loader.as_ref().and_then(|loader| loader.path.as_deref());
    if Kind::of(domain) == Kind::Hvm {
        config.set("builder", "hvm");
        match &os.kernel {
            Some(_) => {
                write_kernel(os, "extra", config);
                config.set_some("loader", loader);
            }
            None => config.set_some("kernel", loader),
        }
        config.set("boot", letters(&os.boot));
        return;
    }
    config.set_some("bootloader", domain.bootloader.as_deref());
    config.set_some("bootargs", domain.bootloader_args.as_deref());
    write_kernel(os, "extra", config);
}

/// The same for `xl`.
pub(crate) fn write_xl(domain: &Domain, config: &mut Config) {
    let os = &domain.os;
    match Kind::of(domain) {
        Kind::Hvm => {
            config.set("builder", "hvm");
            if is_uefi(os) {
                config.set("bios", "ovmf");
            }
            let slic = os.acpi_tables.iter().find(|table| table.kind == "slic");
            config.set_some("acpi_firmware", slic.and_then(|table| table.path.as_deref()));
            write_kernel(os, "cmdline", config);
            config.set("boot", letters(&os.boot));
        }
        kind => {
            if kind == Kind::Pvh {
                config.set("type", "pvh");
            }
            config.set_some("bootloader", domain.bootloader.as_deref());
            config.set_some("bootargs", domain.bootloader_args.as_deref());
            write_kernel(os, "cmdline", config);
        }
    }
}

/// Whether the guest asks for UEFI.
pub(crate) fn is_uefi(os: &Os) -> bool {
    let flash = |loader: &Loader| loader.kind == Some(LoaderType::Pflash);
    os.firmware == Some(Firmware::Efi) || os.loader.as_ref().is_some_and(flash)
}

fn write_kernel(os: &Os, cmdline: &str, config: &mut Config) {
    config.set_some("kernel", os.kernel.as_deref());
    config.set_some("ramdisk", os.initrd.as_deref());
    config.set_some(cmdline, os.cmdline.as_deref());
}
