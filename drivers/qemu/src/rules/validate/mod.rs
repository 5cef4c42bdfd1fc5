//! What QEMU cannot do, with libvirt's words.

mod devices;

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::boot::{Firmware, LoaderType};
use virt_model::domain::controller::ControllerType;
use virt_model::domain::cpu::CacheMode;
use virt_model::domain::{Domain, Features, VirtType};

use super::Chipset;
use crate::capabilities::Capabilities;

fn unsupported<T>(detail: impl Into<String>) -> Result<T> {
    Err(Error::new(Code::ConfigUnsupported, Origin::Qemu, detail))
}

fn xml<T>(detail: impl Into<String>) -> Result<T> {
    Err(Error::new(Code::XmlError, Origin::Qemu, detail))
}

/// A message that libvirt prints without a frame.
fn plain<T>(text: String) -> Result<T> {
    Err(Error::new(Code::XmlDetail, Origin::Qemu, text))
}

pub(super) fn check(domain: &Domain, capabilities: &Capabilities, tpms: &[&str]) -> Result<()> {
    machine(domain, capabilities)?;
    firmware(domain)?;
    features(domain)?;
    processor(domain)?;
    memory(domain)?;
    roots(domain)?;
    expanders(domain)?;
    shares(domain)?;
    devices::check(domain, capabilities, tpms)
}

fn machine(domain: &Domain, capabilities: &Capabilities) -> Result<()> {
    let machine = domain.os.kind.machine.as_deref().unwrap_or_default();
    let emulator = domain.devices.emulator.as_deref().unwrap_or_default();
    let Some(machine) = capabilities.machine(machine) else {
        return unsupported(format!(
            "Emulator '{emulator}' does not support machine type '{machine}'"
        ));
    };
    if domain.vcpu.count > machine.max_cpus {
        let most = machine.max_cpus;
        return unsupported(format!(
            "Maximum CPUs greater than specified machine type limit {most}"
        ));
    }
    Ok(())
}

fn firmware(domain: &Domain) -> Result<()> {
    let os = &domain.os;
    let flash = os.loader.as_ref().is_some_and(|loader| loader.kind == Some(LoaderType::Pflash));
    if (flash || os.firmware == Some(Firmware::Efi)) && !domain.features.acpi {
        return unsupported("UEFI requires ACPI on this architecture");
    }
    Ok(())
}

/// Features of other architectures.
fn foreign(features: &Features) -> [(&'static str, bool); 7] {
    [
        ("hpt", features.hpt.is_some()),
        ("htm", features.htm.is_some()),
        ("nested-hv", features.nested_hv.is_some()),
        ("ccf-assist", features.ccf_assist.is_some()),
        ("cfpc", features.cfpc.is_some()),
        ("sbbc", features.sbbc.is_some()),
        ("ibs", features.ibs.is_some()),
    ]
}

fn features(domain: &Domain) -> Result<()> {
    let kind = &domain.os.kind;
    let arch = kind.arch.as_deref().unwrap_or_default();
    let machine = kind.machine.as_deref().unwrap_or_default();
    let pc = matches!(arch, "x86_64" | "i686");
    if let Some((name, _)) = foreign(&domain.features).iter().find(|(_, there)| *there && pc) {
        return unsupported(format!(
            "The '{name}' feature is not supported for architecture '{arch}' or machine type '{machine}'"
        ));
    }
    let tseg = domain.features.smm.as_ref().is_some_and(|smm| smm.tseg_bytes.is_some());
    if tseg && Chipset::of_domain(domain) != Chipset::Q35 {
        return unsupported("SMM TSEG is only supported with q35 machine type");
    }
    Ok(())
}

fn processor(domain: &Domain) -> Result<()> {
    let Some(cache) = domain.cpu.as_ref().and_then(|cpu| cpu.cache.as_ref()) else { return Ok(()) };
    let wrong = match cache.mode {
        CacheMode::Emulate => cache.level.is_some_and(|level| level != 3),
        CacheMode::Passthrough | CacheMode::Disable => cache.level.is_some(),
    };
    if wrong {
        let mode = cache.mode;
        return unsupported(format!("unsupported CPU cache level for mode '{mode}'"));
    }
    Ok(())
}

fn cells(domain: &Domain) -> usize {
    domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref()).map_or(0, |numa| numa.cells.len())
}

fn memory(domain: &Domain) -> Result<()> {
    let cells = cells(domain);
    if domain.max_memory.is_some() && cells == 0 {
        let what = "At least one numa node has to be configured when enabling memory hotplug";
        return unsupported(what);
    }
    let backing = domain.memory_backing.as_ref();
    let Some(hugepages) = backing.and_then(|backing| backing.hugepages.as_ref()) else {
        return Ok(());
    };
    let mut master: Option<u64> = None;
    for page in &hugepages.pages {
        let set = page.nodeset.as_ref();
        // Compat: a guest without cells has the one node 0.
        if let Some(node) = set.and_then(|set| set.iter().find(|node| *node >= cells.max(1))) {
            return plain(format!("hugepages: node {node} not found"));
        }
        if set.is_some() && cells > 0 {
            continue;
        }
        if let Some(other) = master.replace(page.size_kib) {
            let size = page.size_kib;
            return plain(format!("two master hugepages detected: {size} and {other}"));
        }
    }
    Ok(())
}

/// Processors that are absent, and shares of the host's caches.
fn shares(domain: &Domain) -> Result<()> {
    if domain.vcpus.iter().any(|vcpu| vcpu.id == 0 && !vcpu.enabled.is_yes()) {
        return unsupported("vcpu 0 can't be offline");
    }
    let tune = &domain.cputune;
    if domain.virt_type != VirtType::Kvm
        && !(tune.cachetunes.is_empty() && tune.memorytunes.is_empty())
    {
        return unsupported("cachetune is only supported for KVM domains");
    }
    Ok(())
}

/// The root of a machine's buses is the first of them.
fn roots(domain: &Domain) -> Result<()> {
    for controller in &domain.devices.controllers {
        let is_root = matches!(controller.model.as_deref(), Some("pci-root" | "pcie-root"));
        if controller.kind == ControllerType::Pci && is_root && controller.index.unwrap_or(0) != 0 {
            return xml("pci-root and pcie-root controllers should have index 0".to_owned());
        }
    }
    Ok(())
}

/// An expander bus belongs to a NUMA cell that must be there.
fn expanders(domain: &Domain) -> Result<()> {
    let cells = cells(domain);
    for controller in &domain.devices.controllers {
        let model = controller.model.as_deref().unwrap_or_default();
        let node = controller.target.as_ref().and_then(|target| target.node);
        if let (ControllerType::Pci, Some(node)) = (controller.kind, node)
            && node as usize >= cells
        {
            let index = controller.index.unwrap_or(0);
            return xml(format!(
                "{model} with index {index} is configured for a NUMA node ({node}) not present in the domain's <cpu><numa> array ({cells})"
            ));
        }
    }
    Ok(())
}
