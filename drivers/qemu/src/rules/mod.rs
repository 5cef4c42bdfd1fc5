//! What QEMU brings to a domain document: emulator and machine, default devices, addresses, checks.

mod cpu;
mod devices;
mod firmware;
mod pci;
mod usb;
mod validate;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use virt_error::{Code, Error, Origin, Result};
use virt_model::ParseFlags;
use virt_model::domain::boot::OsType;
use virt_model::domain::devices::AudioType;
use virt_model::domain::rules::DriverFeatures;
use virt_model::domain::{Domain, DomainRules, SeclabelType, VirtType};

pub(crate) use devices::check_serials;

use crate::argv;
use crate::capabilities::Capabilities;
use crate::firmware::{self as descriptors, Firmware};

/// Which chipset a machine emulates: what addresses and built-in devices follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chipset {
    I440fx,
    Q35,
    Other,
}

impl Chipset {
    pub(crate) fn of(machine: &str) -> Self {
        let is = |stem: &str| machine == stem || machine.starts_with(&format!("{stem}-"));
        if is("q35") || is("pc-q35") {
            Self::Q35
        } else if is("pc") || is("pc-i440fx") {
            Self::I440fx
        } else {
            Self::Other
        }
    }

    pub(crate) fn of_domain(domain: &Domain) -> Self {
        Self::of(domain.os.kind.machine.as_deref().unwrap_or_default())
    }
}

/// Looks an emulator's abilities up.
pub(crate) trait Lookup {
    fn capabilities(&self, emulator: &Path) -> Result<Arc<Capabilities>>;

    /// Whether guests of this emulator can use KVM now.
    fn kvm(&self, capabilities: &Capabilities) -> bool {
        capabilities.kvm()
    }

    /// The same with the hypervisor of another system, of whose guests only documents are read here.
    fn hvf(&self) -> bool {
        false
    }

    /// Where guests are heard that have VNC, or no display; nowhere unless the administrator says so.
    fn host_audio(&self, _vnc: bool) -> Option<AudioType> {
        None
    }

    /// What firmware there is, the best first.
    fn firmwares(&self) -> Vec<Firmware> {
        descriptors::installed()
    }

    /// Where sockets of channels have ever been put by the daemon itself.
    fn channel_dirs(&self) -> Vec<PathBuf> {
        ["/var/lib/libvirt/qemu", "/var/run/libvirt/qemu", "/run/libvirt/qemu"]
            .map(|dir| Path::new(dir).join("channel"))
            .to_vec()
    }

    /// The versions of TPM that can be emulated.
    fn tpm_versions(&self) -> &'static [&'static str] {
        // Limit: distributions build it with both; what it lacks shows when it is started.
        if Path::new("/usr/bin/swtpm").exists() { &["1.2", "2.0"] } else { &[] }
    }

    /// Where the variables of guests with EFI are kept.
    fn nvram_dir(&self) -> PathBuf {
        PathBuf::from(firmware::NVRAM_DIR)
    }
}

/// The rules, with what they need to know of the host.
pub(crate) struct QemuRules<L>(pub(crate) L);

/// Gives a port to what sits on USB and has none, as a guest that starts anew has it.
pub(crate) fn place_on_usb(domain: &mut Domain) -> Result<()> {
    usb::assign(&mut domain.devices, true)
}

/// The emulator for an architecture, where distributions put it.
pub(crate) fn default_emulator(arch: &str) -> PathBuf {
    let arch = if arch == "i686" { "i386" } else { arch };
    PathBuf::from(format!("/usr/bin/qemu-system-{arch}"))
}

fn unsupported<T>(detail: impl Into<String>) -> Result<T> {
    Err(Error::new(Code::ConfigUnsupported, Origin::None, detail))
}

impl<L: Deref<Target: Lookup>> QemuRules<L> {
    fn of(&self, domain: &Domain) -> Result<Arc<Capabilities>> {
        self.0.capabilities(Path::new(domain.devices.emulator.as_deref().unwrap_or_default()))
    }
}

impl<L: Deref<Target: Lookup>> DomainRules for QemuRules<L> {
    fn guest(&self, domain: &mut Domain) -> Result<()> {
        let kind = &mut domain.os.kind;
        let arch = kind.arch.get_or_insert_with(virt_host::architecture).clone();
        let emulator = domain
            .devices
            .emulator
            .get_or_insert_with(|| default_emulator(&arch).to_string_lossy().into_owned())
            .clone();
        if kind.kind != Some(OsType::Hvm) {
            let what = kind.kind.map_or("none", |kind| kind.as_str());
            return unsupported(format!("Emulator '{emulator}' does not support os type '{what}'"));
        }
        let offered = match domain.virt_type {
            VirtType::Qemu | VirtType::Kvm => true,
            VirtType::Hvf => self.0.hvf(),
            _ => false,
        };
        if !offered {
            let what = domain.virt_type.as_str();
            return unsupported(format!(
                "Emulator '{emulator}' does not support virt type '{what}'"
            ));
        }
        let capabilities = self.0.capabilities(Path::new(&emulator))?;
        if domain.virt_type == VirtType::Kvm && !self.0.kvm(&capabilities) {
            let detail = format!("could not get preferred machine for {emulator} type=kvm");
            return Err(Error::new(Code::InvalidArg, Origin::None, detail));
        }
        let of_pc = arch == "i686" && matches!(capabilities.arch.as_str(), "i386" | "x86_64");
        if capabilities.arch != arch && !of_pc {
            return unsupported(format!("Emulator '{emulator}' does not support arch '{arch}'"));
        }
        let kind = &mut domain.os.kind;
        match &kind.machine {
            None => kind.machine = capabilities.default_machine().map(|m| m.name.clone()),
            Some(name) => {
                // Compat: an unknown name is kept; starting such a guest is what fails.
                if let Some(machine) = capabilities.machine(name) {
                    kind.machine = Some(machine.name.clone());
                }
            }
        }
        Ok(())
    }

    fn before_defaults(&self, domain: &mut Domain, flags: ParseFlags) -> Result<()> {
        // Order: before anything is chosen, which would hide what is wrong.
        domain.check_firmware(flags)?;
        let capabilities = self.of(domain)?;
        devices::controllers(domain, &capabilities);
        if flags.abi_update {
            devices::numa_for_plugging(domain);
        }
        devices::inputs(domain);
        devices::videos(domain);
        Ok(())
    }

    fn defaults(&self, domain: &mut Domain, flags: ParseFlags) -> Result<()> {
        let capabilities = self.of(domain)?;
        let machine = domain.os.kind.machine.as_deref().unwrap_or_default();
        let machine = capabilities.machine(machine);
        cpu::complete(domain, machine.and_then(|machine| machine.default_cpu.as_deref()));
        if domain.os.firmware.is_some() || domain.os.loader.is_some() {
            let nvram = self.0.nvram_dir();
            let new = flags.abi_update;
            firmware::complete(domain, &self.0.firmwares(), &nvram.to_string_lossy(), new)?;
        }
        devices::stray_vcpus(domain);
        devices::remapping(domain, flags.abi_update);
        if flags.abi_update {
            check_serials(&domain.devices.serials)?;
        }
        devices::complete(domain, &capabilities, &*self.0);
        let dirs = self.0.channel_dirs();
        devices::channels(domain, &dirs, flags.inactive);
        domain.check_places()?;
        seclabels(domain)?;
        pci::assign(domain)?;
        usb::assign(&mut domain.devices, flags.abi_update)?;
        devices::first_console(&mut domain.devices);
        Ok(())
    }

    fn validate(&self, domain: &Domain) -> Result<()> {
        let capabilities = self.of(domain)?;
        validate::check(domain, &capabilities, self.0.tpm_versions())
    }

    fn owns_namespace(&self, uri: &str) -> bool {
        uri == argv::NAMESPACE
    }

    fn features(&self) -> DriverFeatures {
        DriverFeatures {
            memory_hotplug: true,
            user_aliases: true,
            individual_vcpus: true,
            disk_fd: true,
            ..DriverFeatures::default()
        }
    }
}

/// Compat: a label that names no model asks for none, unless it says what it should be.
fn seclabels(domain: &mut Domain) -> Result<()> {
    for label in domain.seclabels.iter_mut().filter(|label| label.model.is_none()) {
        if !matches!(label.kind, Some(SeclabelType::Dynamic | SeclabelType::None)) {
            let what = "missing security model in domain seclabel";
            return Err(Error::new(Code::XmlError, Origin::Security, what));
        }
        label.kind = Some(SeclabelType::None);
        (label.model, label.relabel) = (Some("none".into()), None);
    }
    Ok(())
}
