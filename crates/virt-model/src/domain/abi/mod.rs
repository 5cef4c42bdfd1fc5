//! Whether a guest that runs, or was saved, would see the same machine by another document.
//!
//! A restore, a migration and a change of a device take a document of the caller's; what the guest
//! can see of it must be what the guest has seen before. What only the host sees (paths, backends, the
//! order of booting) may differ. Compat: libvirt's order and words.

mod devices;

use std::fmt::Display;

use virt_error::Result;

use crate::domain::cpu::{Cpu, Numa};
use crate::domain::features::{Apic, Features};
use crate::domain::{Domain, VcpuState};
use crate::schema::error;
use crate::schema::text::{OnOff, YesNo};

/// Refuses where `what` differs: its words, with the target's value and the source's in the braces.
macro_rules! same {
    ($text:literal, $target:expr, $source:expr) => {{
        let (target, source) = (&$target, &$source);
        if target != source {
            return Err($crate::schema::error::unsupported(format!($text, target, source)));
        }
    }};
}
use same;

fn refuse<T>(detail: impl Into<String>) -> Result<T> {
    Err(error::unsupported(detail))
}

fn or_null(text: Option<&str>) -> &str {
    text.unwrap_or("<null>")
}

fn or_default(value: Option<impl Display>) -> String {
    value.map_or_else(|| "default".to_owned(), |value| value.to_string())
}

impl Domain {
    /// Refuses `target` where the guest would notice that it is not this domain.
    pub fn check_abi(&self, target: &Self) -> Result<()> {
        same!(
            "Target domain virt type {} does not match source {}",
            target.virt_type,
            self.virt_type
        );
        if target.uuid != self.uuid {
            let uuid = |domain: &Self| domain.uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
            let (target, source) = (uuid(target), uuid(self));
            return refuse(format!("Target domain uuid {target} does not match source {source}"));
        }
        same!("Target domain name '{}' does not match source '{}'", target.name, self.name);
        if target.genid.is_some() != self.genid.is_some() {
            return refuse("Target domain requested genid does not match source");
        }
        self.memory_abi(target)?;
        self.vcpus_abi(target)?;
        self.machine_abi(target)?;
        features(&self.features, &target.features)?;
        self.timers_abi(target)?;
        cpu(self.cpu.as_ref(), target.cpu.as_ref())?;
        if self.sysinfo.len() != target.sysinfo.len() {
            return refuse("Target domain count of sysinfo does not match source");
        }
        devices::check(&self.devices, &target.devices)
    }

    fn memory_abi(&self, target: &Self) -> Result<()> {
        same!(
            "Target domain max memory {} does not match source {}",
            target.memory.kib,
            self.memory.kib
        );
        same!(
            "Target domain current memory {} does not match source {}",
            target.current_memory_kib(),
            self.current_memory_kib()
        );
        let slots = |domain: &Self| domain.max_memory.as_ref().map_or(0, |most| most.slots);
        let most = |domain: &Self| domain.max_memory.as_ref().map_or(0, |most| most.kib);
        same!(
            "Target domain memory slots count '{}' doesn't match source '{}'",
            slots(target),
            slots(self)
        );
        same!(
            "Target maximum memory size '{}' doesn't match source '{}'",
            most(target),
            most(self)
        );
        numa(numa_of(self), numa_of(target))
    }

    fn vcpus_abi(&self, target: &Self) -> Result<()> {
        same!(
            "Target domain vCPU max {} does not match source {}",
            target.vcpu.count,
            self.vcpu.count
        );
        for id in 0..self.vcpu.count {
            if is_online(self, id) != is_online(target, id) {
                return refuse(format!(
                    "State of vCPU '{id}' differs between source and destination definitions"
                ));
            }
        }
        Ok(())
    }

    fn machine_abi(&self, target: &Self) -> Result<()> {
        let (new, old) = (&target.os.kind, &self.os.kind);
        let text = |text: &Option<String>| or_null(text.as_deref()).to_owned();
        let kind = |kind: Option<crate::domain::boot::OsType>| kind.map_or("none", |k| k.as_str());
        same!("Target domain OS type {} does not match source {}", kind(new.kind), kind(old.kind));
        same!(
            "Target domain architecture {} does not match source {}",
            text(&new.arch),
            text(&old.arch)
        );
        same!(
            "Target domain machine type {} does not match source {}",
            text(&new.machine),
            text(&old.machine)
        );
        let smbios = |domain: &Self| domain.os.smbios.as_ref().map_or("none", |s| s.mode.as_str());
        same!(
            "Target domain SMBIOS mode {} does not match source {}",
            smbios(target),
            smbios(self)
        );
        Ok(())
    }

    fn timers_abi(&self, target: &Self) -> Result<()> {
        let (new, old) = (&target.clock.timers, &self.clock.timers);
        if new.len() != old.len() {
            return refuse("Target domain timers do not match source");
        }
        for (new, old) in new.iter().zip(old) {
            same!("Target timer {} does not match source {}", new.name, old.name);
            if new.present != old.present {
                let yes = |present: Option<YesNo>| or_default(present);
                let (new, old, name) = (yes(new.present), yes(old.present), old.name);
                return refuse(format!(
                    "Target timer {name} presence {new} does not match source {old}"
                ));
            }
        }
        Ok(())
    }
}

fn is_online(domain: &Domain, id: u32) -> bool {
    let known = domain.vcpus.iter().find(|vcpu: &&VcpuState| vcpu.id == id);
    let online = domain.vcpu.current.unwrap_or(domain.vcpu.count);
    known.map_or(id < online, |vcpu| vcpu.enabled.is_yes())
}

fn numa_of(domain: &Domain) -> Option<&Numa> {
    domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref())
}

fn numa(source: Option<&Numa>, target: Option<&Numa>) -> Result<()> {
    let cells = |numa: Option<&Numa>| numa.map_or(0, |numa| numa.cells.len());
    same!("Target NUMA node count '{}' doesn't match source '{}'", cells(target), cells(source));
    let (Some(source), Some(target)) = (source, target) else { return Ok(()) };
    for (at, (new, old)) in target.cells.iter().zip(&source.cells).enumerate() {
        if new.memory_kib != old.memory_kib {
            let (new, old) = (new.memory_kib, old.memory_kib);
            return refuse(format!(
                "Size of target NUMA node {at} ({new}) doesn't match source ({old})"
            ));
        }
        if new.cpus != old.cpus {
            return refuse(format!("Processor mask of target NUMA node {at} doesn't match source"));
        }
    }
    Ok(())
}

/// The features that can only be on or off, and how they are said.
fn switches(features: &Features) -> Vec<(&'static str, String)> {
    let flag = |on: bool| or_default(on.then_some(OnOff::On));
    let mut all = vec![
        ("acpi", flag(features.acpi)),
        ("apic", apic(features.apic.as_ref())),
        ("pae", flag(features.pae)),
        ("viridian", flag(features.viridian)),
        ("privnet", flag(features.privnet)),
        ("hyperv", flag(features.hyperv.is_some())),
        ("kvm", flag(features.kvm.is_some())),
        ("xen", flag(features.xen.is_some())),
        ("smm", or_default(features.smm.as_ref().map(|smm| smm.state))),
    ];
    let states = [
        ("hap", &features.hap),
        ("pvspinlock", &features.pvspinlock),
        ("pmu", &features.pmu),
        ("vmport", &features.vmport),
        ("vmcoreinfo", &features.vmcoreinfo),
        ("htm", &features.htm),
        ("nested-hv", &features.nested_hv),
        ("ccf-assist", &features.ccf_assist),
        ("ras", &features.ras),
        ("ps2", &features.ps2),
    ];
    all.extend(states.map(|(name, state)| (name, or_default(state.as_ref().map(|s| s.state)))));
    all
}

fn apic(apic: Option<&Apic>) -> String {
    match apic {
        None => or_default(None::<OnOff>),
        Some(apic) => format!("on,eoi={}", or_default(apic.eoi)),
    }
}

fn features(source: &Features, target: &Features) -> Result<()> {
    for ((name, old), (_, new)) in switches(source).into_iter().zip(switches(target)) {
        let differ = match name {
            // An APIC that says nothing more is one with the default.
            "apic" => source.apic.is_some() != target.apic.is_some() || old != new,
            _ => old != new,
        };
        if differ {
            return refuse(format!(
                "State of feature '{name}' differs: source: '{old}', destination: '{new}'"
            ));
        }
    }
    enlightenments(source, target)
}

/// The enlightenments of Windows guests, one by one.
fn enlightenments(source: &Features, target: &Features) -> Result<()> {
    let states = |features: &Features| {
        let Some(hyperv) = &features.hyperv else { return Vec::new() };
        [
            ("relaxed", &hyperv.relaxed),
            ("vapic", &hyperv.vapic),
            ("vpindex", &hyperv.vpindex),
            ("runtime", &hyperv.runtime),
            ("synic", &hyperv.synic),
            ("reset", &hyperv.reset),
            ("frequencies", &hyperv.frequencies),
            ("reenlightenment", &hyperv.reenlightenment),
            ("ipi", &hyperv.ipi),
            ("evmcs", &hyperv.evmcs),
            ("avic", &hyperv.avic),
        ]
        .map(|(name, state)| (name, or_default(state.as_ref().map(|state| state.state))))
        .to_vec()
    };
    for ((name, old), (_, new)) in states(source).into_iter().zip(states(target)) {
        if old != new {
            return refuse(format!(
                "State of HyperV enlightenment feature '{name}' differs: source: '{old}', destination: '{new}'"
            ));
        }
    }
    Ok(())
}

fn cpu(source: Option<&Cpu>, target: Option<&Cpu>) -> Result<()> {
    let (source, target) = match (source, target) {
        (None, None) => return Ok(()),
        (Some(source), Some(target)) => (source, target),
        _ => return refuse("Target CPU does not match source"),
    };
    let mode = |cpu: &Cpu| cpu.mode.map_or("custom", |mode| mode.as_str());
    same!("Target CPU mode {} does not match source {}", mode(target), mode(source));
    fn model(cpu: &Cpu) -> &str {
        or_null(cpu.model.as_ref().and_then(|model| model.name.as_deref()))
    }
    same!("Target CPU model {} does not match source {}", model(target), model(source));
    let (new, old) = (or_null(target.vendor.as_deref()), or_null(source.vendor.as_deref()));
    same!("Target CPU vendor {} does not match source {}", new, old);
    let topology = |cpu: &Cpu| {
        let known = cpu.topology.as_ref();
        known.map_or([0; 5], |t| [t.sockets, t.dies, t.clusters, t.cores, t.threads])
    };
    let parts = ["sockets", "dies", "clusters", "cores", "threads"];
    for ((part, new), old) in parts.iter().zip(topology(target)).zip(topology(source)) {
        if new != old {
            return refuse(format!("Target CPU {part} {new} does not match source {old}"));
        }
    }
    same!(
        "Target CPU feature count {} does not match source {}",
        target.features.len(),
        source.features.len()
    );
    for (new, old) in target.features.iter().zip(&source.features) {
        same!("Target CPU feature {} does not match source {}", new.name, old.name);
        let policy = |feature: &crate::domain::cpu::Feature| feature.policy.unwrap_or_default();
        same!("Target CPU feature policy {} does not match source {}", policy(new), policy(old));
    }
    Ok(())
}
