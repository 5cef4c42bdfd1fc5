//! Virtual CPUs and threads, one by one: sets are split, gaps filled, shares of the host checked.

use std::collections::{BTreeMap, BTreeSet};

use virt_error::{Code, Error, Origin, Result};

use crate::domain::load::xml_error;
use crate::domain::tune::{CacheType, Cachetune, IothreadSched, Memorytune, VcpuSched};
use crate::domain::{Domain, IothreadId, VcpuState};
use crate::schema::error;
use crate::schema::text::{NumberSet, YesNo};

/// Limit: virtual CPUs and I/O threads that are listed one by one.
const LISTED_MAX: u32 = 65_536;

pub(super) fn complete(domain: &mut Domain) -> Result<()> {
    vcpus(domain)?;
    vcpu_pins(domain)?;
    iothreads(domain)?;
    vcpu_scheds(domain)?;
    iothread_scheds(domain)?;
    resctrl(domain)
}

/// A message that libvirt prints without a frame.
fn plain<T>(text: &str) -> Result<T> {
    Err(Error::new(Code::XmlDetail, Origin::Domain, text))
}

/// Where one virtual CPU is described, all are.
fn vcpus(domain: &mut Domain) -> Result<()> {
    if domain.vcpus.is_empty() {
        return Ok(());
    }
    let count = domain.vcpu.count;
    if count > LISTED_MAX {
        return Err(error::unsupported(format!("more than {LISTED_MAX} vCPUs cannot be listed")));
    }
    let mut given: BTreeMap<u32, VcpuState> = BTreeMap::new();
    for vcpu in std::mem::take(&mut domain.vcpus) {
        if vcpu.id >= count {
            let id = vcpu.id;
            return xml_error(format!("vcpu id '{id}' is out of range of maximum vcpu count"));
        }
        given.insert(vcpu.id, vcpu);
    }
    let one = |id| {
        let absent = VcpuState { id, enabled: YesNo::No, hotpluggable: None, order: None };
        let mut vcpu = given.remove(&id).unwrap_or(absent);
        vcpu.hotpluggable.get_or_insert((!vcpu.enabled.is_yes()).into());
        vcpu
    };
    domain.vcpus = (0..count).map(one).collect();
    let enabled = domain.vcpus.iter().filter(|vcpu| vcpu.enabled.is_yes()).count();
    domain.vcpu.current = u32::try_from(enabled).ok().filter(|enabled| *enabled != count);
    Ok(())
}

/// Compat: a pin for a CPU that is not there is left out, not refused.
fn vcpu_pins(domain: &mut Domain) -> Result<()> {
    let pins = &mut domain.cputune.vcpupins;
    pins.retain(|pin| pin.vcpu < domain.vcpu.count);
    pins.sort_by_key(|pin| pin.vcpu);
    match pins.windows(2).find(|pair| pair[0].vcpu == pair[1].vcpu) {
        Some(pair) => {
            Err(error::internal(format!("duplicate vcpupin for vcpu '{}'", pair[0].vcpu)))
        }
        None => Ok(()),
    }
}

/// I/O threads get the lowest free ids; those that pins name must be there.
fn iothreads(domain: &mut Domain) -> Result<()> {
    let listed = u32::try_from(domain.iothread_ids.len()).unwrap_or(u32::MAX);
    let count = domain.iothreads.unwrap_or(0).max(listed);
    let mut used: BTreeSet<u32> = domain.iothread_ids.iter().map(|known| known.id).collect();
    if listed > 0 {
        if count > LISTED_MAX {
            return Err(error::unsupported(format!(
                "more than {LISTED_MAX} I/O threads cannot be listed"
            )));
        }
        domain.iothreads = Some(count);
        let free = (1..).filter(|id| !used.contains(id)).take((count - listed) as usize);
        let added: Vec<u32> = free.collect();
        used.extend(&added);
        domain
            .iothread_ids
            .extend(added.into_iter().map(|id| IothreadId { id, ..IothreadId::default() }));
    }
    let known = |id: u32| if listed > 0 { used.contains(&id) } else { (1..=count).contains(&id) };
    for pin in &domain.cputune.iothreadpins {
        if !known(pin.iothread) {
            return Err(error::unsupported(format!("Cannot find 'iothread' : {}", pin.iothread)));
        }
    }
    let order = iothread_order(domain);
    domain
        .cputune
        .iothreadpins
        .sort_by_key(|pin| (order.get(&pin.iothread).copied(), pin.iothread));
    Ok(())
}

/// The place of each I/O thread in the list.
fn iothread_order(domain: &Domain) -> BTreeMap<u32, usize> {
    domain.iothread_ids.iter().enumerate().map(|(at, known)| (known.id, at)).collect()
}

/// Compat: a scheduler is printed for each CPU alone.
fn vcpu_scheds(domain: &mut Domain) -> Result<()> {
    let mut one_by_one = BTreeMap::new();
    for sched in std::mem::take(&mut domain.cputune.vcpuscheds) {
        for vcpu in sched.vcpus.iter() {
            if vcpu >= domain.vcpu.count as usize {
                let what = format!("vCPU '{vcpu}' is not present in domain definition");
                return Err(error::unsupported(what));
            }
            if one_by_one.insert(vcpu, sched.sched.clone()).is_some() {
                return plain("'vcpusched' attributes 'vcpus' must not overlap");
            }
        }
    }
    let one = |(vcpu, sched)| VcpuSched { vcpus: NumberSet::from_numbers([vcpu]), sched };
    domain.cputune.vcpuscheds = one_by_one.into_iter().map(one).collect();
    Ok(())
}

/// Compat: a scheduler is printed for each I/O thread alone, in the order of their list.
fn iothread_scheds(domain: &mut Domain) -> Result<()> {
    let order = iothread_order(domain);
    let mut one_by_one = BTreeMap::new();
    for sched in std::mem::take(&mut domain.cputune.iothreadscheds) {
        for id in sched.iothreads.iter() {
            let place = u32::try_from(id).ok().and_then(|id| order.get(&id).copied());
            if one_by_one.insert((place, id), sched.sched.clone()).is_some() {
                return plain("'iothreadsched' attributes 'iothreads' must not overlap");
            }
        }
    }
    let one = |((_, id), sched)| IothreadSched { iothreads: NumberSet::from_numbers([id]), sched };
    domain.cputune.iothreadscheds = one_by_one.into_iter().map(one).collect();
    Ok(())
}

/// Shares of caches and memory bandwidth: only for CPUs that exist, never two for one.
fn resctrl(domain: &mut Domain) -> Result<()> {
    let count = domain.vcpu.count as usize;
    for tune in &mut domain.cputune.cachetunes {
        tune.vcpus.truncate(count);
    }
    domain.cputune.cachetunes.retain(|tune| !tune.vcpus.is_empty());
    for tune in &mut domain.cputune.memorytunes {
        tune.vcpus.truncate(count);
    }
    domain.cputune.memorytunes.retain(|tune| !tune.vcpus.is_empty());
    let mut claims = Claims::default();
    for tune in &domain.cputune.cachetunes {
        caches(tune)?;
        claims.claim(&tune.vcpus)?;
        inside(&tune.vcpus, tune.monitors.iter().map(|monitor| &monitor.vcpus))?;
    }
    for tune in &domain.cputune.memorytunes {
        bandwidths(tune)?;
        if !claims.has(&tune.vcpus) {
            claims.claim(&tune.vcpus)?;
        }
        inside(&tune.vcpus, tune.monitors.iter().map(|monitor| &monitor.vcpus))?;
    }
    Ok(())
}

/// Which CPUs have a share already, and the shares by their first CPU.
#[derive(Default)]
struct Claims<'a> {
    taken: BTreeSet<usize>,
    groups: BTreeMap<Option<usize>, &'a NumberSet>,
}

impl<'a> Claims<'a> {
    fn has(&self, vcpus: &NumberSet) -> bool {
        self.groups.get(&vcpus.iter().next()).is_some_and(|group| group.iter().eq(vcpus.iter()))
    }

    fn claim(&mut self, vcpus: &'a NumberSet) -> Result<()> {
        if self.has(vcpus) {
            return xml_error("Identical vcpus in cachetunes found");
        }
        for vcpu in vcpus.iter() {
            if !self.taken.insert(vcpu) {
                return xml_error("Overlapping vcpus in resctrls");
            }
        }
        self.groups.insert(vcpus.iter().next(), vcpus);
        Ok(())
    }
}

fn inside<'a>(vcpus: &NumberSet, monitors: impl Iterator<Item = &'a NumberSet>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for monitor in monitors {
        if monitor.iter().any(|vcpu| !vcpus.contains(vcpu)) {
            return Err(error::invalid_arg("Monitor vcpus conflicts with allocation"));
        }
        if !seen.insert(monitor.iter().collect::<Vec<_>>()) {
            return xml_error("Identical vcpus in monitors found");
        }
    }
    Ok(())
}

fn caches(tune: &Cachetune) -> Result<()> {
    let mut seen: BTreeMap<(u32, u32), Vec<CacheType>> = BTreeMap::new();
    for cache in &tune.caches {
        let (level, id, kind) = (cache.level, cache.id, cache.kind);
        let kinds = seen.entry((id, level)).or_default();
        if kinds.contains(&kind)
            || kinds.contains(&CacheType::Both)
            || kind == CacheType::Both && !kinds.is_empty()
        {
            return xml_error(format!(
                "Colliding cache allocations for cache level '{level}' id '{id}', type '{kind}'"
            ));
        }
        kinds.push(kind);
    }
    Ok(())
}

fn bandwidths(tune: &Memorytune) -> Result<()> {
    let mut seen = BTreeSet::new();
    for node in &tune.nodes {
        if !seen.insert(node.id) {
            return xml_error(format!("Memory Bandwidth already defined for node {}", node.id));
        }
    }
    Ok(())
}
