//! What a guest sees of its CPU: `cpuid`, `nestedhvm`, and virtual NUMA nodes.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::cpu::{Cell, Cpu, Distance, Feature, Mode, Numa, Policy};
use virt_model::domain::{Domain, cpu};
use virt_model::{NumberSet, Text};

use super::config::{Config, malformed};

/// Limit: `xl` itself allows no more virtual NUMA nodes than a guest has CPUs.
const NODES_MAX: usize = 512;
/// How far a node is from itself, and from another where nothing is said.
const DISTANCE_LOCAL: u32 = 10;
const DISTANCE_REMOTE: u32 = 20;
const KIB_PER_MIB: u64 = 1024;

/// CPU features that libvirt and Xen call by different names.
const NAMES: &[(&str, &str)] = &[
    ("cx16", "cmpxchg16"),
    ("cid", "cntxid"),
    ("ds_cpl", "dscpl"),
    ("pclmuldq", "pclmulqdq"),
    ("pni", "sse3"),
    ("ht", "htt"),
    ("pn", "psn"),
    ("clflush", "clfsh"),
    ("sep", "sysenter"),
    ("cx8", "cmpxchg8"),
    ("nodeid_msr", "nodeid"),
    ("cr8legacy", "altmovcr8"),
    ("lahf_lm", "lahfsahf"),
    ("cmp_legacy", "cmplegacy"),
    ("fxsr_opt", "ffxsr"),
    ("pdpe1gb", "page1gb"),
];

fn to_xen(name: &str) -> &str {
    NAMES.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, xens)| xens)
}

fn to_ours(name: &str) -> &str {
    NAMES.iter().find(|(_, xens)| *xens == name).map_or(name, |(ours, _)| ours)
}

/// Whether the feature is virtualisation itself, which has a switch of its own.
pub(crate) fn is_nested(feature: &Feature) -> bool {
    matches!(feature.name.as_str(), "vmx" | "svm")
}

/// Whether a guest may have guests; `None` where the host's default holds.
pub(crate) fn nested(domain: &Domain) -> Option<bool> {
    let cpu = domain.cpu.as_ref().filter(|cpu| cpu.mode == Some(Mode::HostPassthrough))?;
    let off = |feature: &&Feature| {
        is_nested(feature) && matches!(feature.policy, Some(Policy::Disable | Policy::Forbid))
    };
    Some(cpu.features.iter().find(off).is_none())
}

/// Reads `nestedhvm` and `cpuid`.
pub(crate) fn read(config: &Config, domain: &mut Domain) -> Result<()> {
    let passthrough = || Cpu { mode: Some(Mode::HostPassthrough), ..Cpu::default() };
    if let Some(nested) = config.boolean("nestedhvm")? {
        let cpu = domain.cpu.get_or_insert_with(passthrough);
        if !nested {
            let name = "vmx".to_owned();
            cpu.features.push(Feature { policy: Some(Policy::Disable), name });
        }
    }
    let Some(cpuid) = config.text("cpuid")? else { return Ok(()) };
    let mut parts = cpuid.split(',').map(str::trim);
    if parts.next() != Some("host") {
        // Leaves given bit by bit say nothing a document can hold.
        return Ok(());
    }
    let cpu = domain.cpu.get_or_insert_with(passthrough);
    for part in parts {
        let (name, value) = part.split_once('=').ok_or_else(|| malformed("cpuid"))?;
        let policy = match value {
            "0" => Policy::Disable,
            "1" => Policy::Force,
            "x" | "k" | "s" => Policy::Optional,
            _ => {
                let detail = format!("Invalid libxl cpuid value: {value}");
                return Err(Error::new(Code::ConfSyntax, Origin::Xenxl, detail));
            }
        };
        let name = to_ours(name);
        if cpu.features.iter().all(|feature| feature.name != name) {
            cpu.features.push(Feature { policy: Some(policy), name: name.to_owned() });
        }
    }
    Ok(())
}

/// Prints `nestedhvm` and `cpuid`.
pub(crate) fn write(domain: &Domain, config: &mut Config) -> Result<()> {
    let Some(cpu) = &domain.cpu else { return Ok(()) };
    match cpu.mode {
        Some(Mode::HostPassthrough) => {}
        None | Some(Mode::Custom) if cpu.model.is_none() && cpu.features.is_empty() => {
            return Ok(());
        }
        Some(mode) => return Err(unsupported_mode(mode)),
        None => return Err(unsupported_mode(Mode::Custom)),
    }
    if let Some(nested) = nested(domain) {
        config.set_number("nestedhvm", nested);
    }
    let features: Vec<String> = cpu
        .features
        .iter()
        .filter(|feature| !is_nested(feature))
        .map(|feature| {
            let value = match feature.policy {
                Some(Policy::Disable | Policy::Forbid) => "0",
                Some(Policy::Optional) => "x",
                _ => "1",
            };
            format!("{}={value}", to_xen(&feature.name))
        })
        .collect();
    if !features.is_empty() {
        config.set("cpuid", format!("host,{}", features.join(",")));
    }
    Ok(())
}

pub(crate) fn unsupported_mode(mode: Mode) -> Error {
    Error::new(Code::ConfigUnsupported, Origin::Xenxl, format!("unsupported cpu mode '{mode}'"))
}

/// The distances of a node to all nodes; what one side says holds for the other.
pub(crate) fn distances(numa: &Numa, from: usize) -> Vec<u32> {
    let said = |from: usize, to: usize| {
        let sibling = |distance: &&Distance| usize::try_from(distance.id) == Ok(to);
        numa.cells.get(from)?.distances.iter().find(sibling).map(|distance| distance.value)
    };
    let far = |to| if from == to { DISTANCE_LOCAL } else { DISTANCE_REMOTE };
    let nodes = 0..numa.cells.len();
    nodes.map(|to| said(from, to).or_else(|| said(to, from)).unwrap_or_else(|| far(to))).collect()
}

/// Prints `vnuma`.
pub(crate) fn write_numa(domain: &Domain, config: &mut Config) {
    let Some(numa) = domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref()) else { return };
    let rows = numa.cells.iter().enumerate().map(|(at, cell)| {
        let distances: Vec<String> = distances(numa, at).iter().map(u32::to_string).collect();
        vec![
            format!("pnode={at}"),
            format!("size={}", cell.memory_kib / KIB_PER_MIB),
            format!("vcpus={}", cell.cpus.as_ref().map(Text::print).unwrap_or_default()),
            format!("vdistances={}", distances.join(",")),
        ]
    });
    config.set_tables("vnuma", rows.collect());
}

/// Reads `vnuma`.
pub(crate) fn read_numa(config: &Config, domain: &mut Domain) -> Result<()> {
    let rows = config.tables("vnuma")?;
    if rows.is_empty() {
        return Ok(());
    }
    if rows.len() > NODES_MAX {
        let detail = format!("more than {NODES_MAX} virtual NUMA nodes");
        return Err(Error::new(Code::ConfigUnsupported, Origin::Xenxl, detail));
    }
    let mut numa = Numa::default();
    for (at, row) in rows.iter().enumerate() {
        let mut cell = Cell { id: u32::try_from(at).ok(), ..Cell::default() };
        let mut vcpus: Vec<&str> = Vec::new();
        for entry in row {
            let (key, value) = entry.split_once('=').ok_or_else(|| malformed("vnuma"))?;
            let value = value.trim();
            match key.trim() {
                "size" => {
                    let mib: u64 = value.parse().map_err(|_| malformed("vnuma"))?;
                    cell.memory_kib =
                        mib.checked_mul(KIB_PER_MIB).ok_or_else(|| malformed("vnuma"))?;
                }
                "vcpus" => vcpus.push(value),
                "vdistances" => {
                    for (id, text) in (0..).zip(value.split(',').take(NODES_MAX)) {
                        let value = text.trim().parse().map_err(|_| malformed("vnuma"))?;
                        cell.distances.push(Distance { id, value });
                    }
                }
                _ => {}
            }
        }
        cell.cpus = Some(NumberSet::parse(&vcpus.join(",")).ok_or_else(|| malformed("vnuma"))?);
        numa.cells.push(cell);
    }
    let last = numa.cells.iter().filter_map(|cell| cell.cpus.as_ref()?.last()).max().unwrap_or(0);
    if last >= domain.vcpu.count as usize {
        let detail = "vnuma configuration contains more vcpus than the guest has";
        return Err(Error::internal(Origin::Xenxl, detail));
    }
    domain.cpu.get_or_insert_with(cpu::Cpu::default).numa = Some(numa);
    Ok(())
}
