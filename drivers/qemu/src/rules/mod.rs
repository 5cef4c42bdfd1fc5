//! What QEMU brings to a domain document: emulator and machine, default devices, addresses, checks.

mod devices;
mod pci;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use virt_error::{Code, Error, Origin, Result};
use virt_model::ParseFlags;
use virt_model::domain::boot::OsType;
use virt_model::domain::rules::DriverFeatures;
use virt_model::domain::{Cpu, Domain, DomainRules, VirtType, cpu};

use crate::argv;
use crate::capabilities::Capabilities;

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
}

/// The rules, with what they need to know of the host.
pub(crate) struct QemuRules<'a>(pub(crate) &'a dyn Lookup);

/// The emulator for an architecture, where distributions put it.
pub(crate) fn default_emulator(arch: &str) -> PathBuf {
    let arch = if arch == "i686" { "i386" } else { arch };
    PathBuf::from(format!("/usr/bin/qemu-system-{arch}"))
}

fn unsupported<T>(detail: impl Into<String>) -> Result<T> {
    Err(Error::new(Code::ConfigUnsupported, Origin::None, detail))
}

impl QemuRules<'_> {
    fn of(&self, domain: &Domain) -> Result<Arc<Capabilities>> {
        self.0.capabilities(Path::new(domain.devices.emulator.as_deref().unwrap_or_default()))
    }
}

impl DomainRules for QemuRules<'_> {
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
        if !matches!(domain.virt_type, VirtType::Qemu | VirtType::Kvm) {
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
        if capabilities.arch != arch && !(capabilities.arch == "i386" && arch == "i686") {
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

    fn before_defaults(&self, domain: &mut Domain, _: ParseFlags) -> Result<()> {
        devices::controllers(domain);
        devices::inputs(domain);
        Ok(())
    }

    fn defaults(&self, domain: &mut Domain, _: ParseFlags) -> Result<()> {
        let capabilities = self.of(domain)?;
        let machine = domain.os.kind.machine.as_deref().unwrap_or_default();
        let machine = capabilities.machine(machine);
        default_cpu(domain, machine.and_then(|machine| machine.default_cpu.as_deref()));
        devices::complete(domain, &capabilities);
        pci::assign(domain)
    }

    fn validate(&self, domain: &Domain) -> Result<()> {
        let capabilities = self.of(domain)?;
        let machine = domain.os.kind.machine.as_deref().unwrap_or_default();
        let emulator = domain.devices.emulator.as_deref().unwrap_or_default();
        let Some(machine) = capabilities.machine(machine) else {
            return unsupported(format!(
                "Emulator '{emulator}' does not support machine type '{machine}'"
            ));
        };
        if domain.vcpu.count > machine.max_cpus {
            let detail = format!(
                "Maximum CPUs greater than specified machine type limit {}",
                machine.max_cpus
            );
            return unsupported(detail);
        }
        Ok(())
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

/// A guest without a CPU of its own gets the machine's, spelled out so that it stays the same.
fn default_cpu(domain: &mut Domain, default: Option<&str>) {
    let Some(default) = default else { return };
    let arch = domain.os.kind.arch.as_deref().unwrap_or_default();
    let Some(name) = default.strip_suffix(&format!("-{arch}-cpu")) else { return };
    let cpu = domain.cpu.get_or_insert_with(Cpu::default);
    if cpu.mode.is_none() && cpu.model.is_none() {
        cpu.mode = Some(cpu::Mode::Custom);
        cpu.match_ = Some(cpu::Match::Exact);
        let fallback = Some(cpu::Fallback::Forbid);
        let name = Some(name.to_owned());
        cpu.model = Some(cpu::Model { fallback, name, vendor_id: None });
    }
    match cpu.mode {
        Some(cpu::Mode::Custom | cpu::Mode::Maximum) => {
            cpu.check.get_or_insert(cpu::Check::None);
        }
        Some(cpu::Mode::HostModel) => {
            cpu.check.get_or_insert(cpu::Check::Partial);
        }
        _ => {}
    }
}
