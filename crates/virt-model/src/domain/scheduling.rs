//! Virtual CPUs and threads, one by one: sets are split, gaps filled, shares of the host checked.

use virt_error::Result;

use crate::domain::load::xml_error;
use crate::domain::tune::{CacheType, Cachetune, IothreadSched, Memorytune, VcpuSched};
use crate::domain::{Domain, IothreadId, VcpuState};
use crate::schema::error;
use crate::schema::text::{NumberSet, YesNo};

/// Limit: I/O threads that are listed one by one.
const IOTHREADS_MAX: usize = 65_535;

pub(super) fn complete(domain: &mut Domain) -> Result<()> {
    vcpus(domain);
    iothreads(domain)?;
    domain.cputune.vcpupins.sort_by_key(|pin| pin.vcpu);
    split(domain);
    resctrl(domain)
}

/// Where one virtual CPU is described, all are.
fn vcpus(domain: &mut Domain) {
    if domain.vcpus.is_empty() {
        return;
    }
    let given = std::mem::take(&mut domain.vcpus);
    domain.vcpus = (0..domain.vcpu.count)
        .map(|id| {
            let found = given.iter().find(|vcpu| vcpu.id == id).cloned();
            found.unwrap_or(VcpuState {
                id,
                enabled: YesNo::No,
                hotpluggable: Some(YesNo::Yes),
                order: None,
            })
        })
        .collect();
    let enabled = domain.vcpus.iter().filter(|vcpu| vcpu.enabled.is_yes()).count();
    domain.vcpu.current = u32::try_from(enabled).ok().filter(|count| *count != domain.vcpu.count);
}

/// I/O threads that pins and schedulers name must be there.
fn iothreads(domain: &mut Domain) -> Result<()> {
    let count = domain
        .iothreads
        .unwrap_or(0)
        .max(u32::try_from(domain.iothread_ids.len()).unwrap_or(u32::MAX));
    if !domain.iothread_ids.is_empty() {
        domain.iothreads = Some(count);
        let mut free = 1;
        // Limit: the count comes from a document; libvirt's own bound is the same.
        while domain.iothread_ids.len() < (count as usize).min(IOTHREADS_MAX) {
            if !domain.iothread_ids.iter().any(|known| known.id == free) {
                domain.iothread_ids.push(IothreadId { id: free, ..IothreadId::default() });
            }
            free += 1;
        }
    }
    let known = |id: u32| match domain.iothread_ids.as_slice() {
        [] => (1..=count).contains(&id),
        ids => ids.iter().any(|known| known.id == id) || ids.len() < count as usize,
    };
    for pin in &domain.cputune.iothreadpins {
        if !known(pin.iothread) {
            return Err(error::unsupported(format!("Cannot find 'iothread' : {}", pin.iothread)));
        }
    }
    let order = |id: u32| domain.iothread_ids.iter().position(|known| known.id == id);
    domain.cputune.iothreadpins.sort_by_key(|pin| (order(pin.iothread), pin.iothread));
    Ok(())
}

/// Compat: a scheduler is printed for each thread alone.
fn split(domain: &mut Domain) {
    let order = |id: usize| {
        domain
            .iothread_ids
            .iter()
            .position(|known| usize::try_from(known.id).is_ok_and(|known| known == id))
    };
    let tune = &mut domain.cputune;
    let vcpus = std::mem::take(&mut tune.vcpuscheds);
    tune.vcpuscheds = vcpus
        .iter()
        .flat_map(|sched| {
            let one = |vcpu| VcpuSched {
                vcpus: NumberSet::from_numbers([vcpu]),
                sched: sched.sched.clone(),
            };
            sched.vcpus.iter().map(one)
        })
        .collect();
    tune.vcpuscheds.sort_by_key(|sched| sched.vcpus.last());
    let iothreads = std::mem::take(&mut tune.iothreadscheds);
    tune.iothreadscheds = iothreads
        .iter()
        .flat_map(|sched| {
            let one = |id| IothreadSched {
                iothreads: NumberSet::from_numbers([id]),
                sched: sched.sched.clone(),
            };
            sched.iothreads.iter().map(one)
        })
        .collect();
    tune.iothreadscheds.sort_by_key(|sched| sched.iothreads.last().map(|id| (order(id), id)));
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
    let mut taken: Vec<NumberSet> = Vec::new();
    for tune in &domain.cputune.cachetunes {
        caches(tune)?;
        claim(&mut taken, &tune.vcpus)?;
        let monitors: Vec<&NumberSet> =
            tune.monitors.iter().map(|monitor| &monitor.vcpus).collect();
        inside(&tune.vcpus, &monitors)?;
    }
    for tune in &domain.cputune.memorytunes {
        bandwidths(tune)?;
        if !taken.contains(&tune.vcpus) {
            claim(&mut taken, &tune.vcpus)?;
        }
        let monitors: Vec<&NumberSet> =
            tune.monitors.iter().map(|monitor| &monitor.vcpus).collect();
        inside(&tune.vcpus, &monitors)?;
    }
    Ok(())
}

fn claim(taken: &mut Vec<NumberSet>, vcpus: &NumberSet) -> Result<()> {
    if taken.iter().any(|other| other.overlaps(vcpus)) {
        return xml_error("Overlapping vcpus in resctrls");
    }
    taken.push(vcpus.clone());
    Ok(())
}

fn inside(vcpus: &NumberSet, monitors: &[&NumberSet]) -> Result<()> {
    for (at, monitor) in monitors.iter().enumerate() {
        if monitor.iter().any(|vcpu| !vcpus.contains(vcpu)) {
            return xml_error("Vcpus of monitor must be a subset of those of its owner");
        }
        let partly = |other: &&&NumberSet| other.overlaps(monitor) && other.len() == monitor.len();
        if monitors.iter().take(at).find(partly).is_some() {
            return xml_error("Identical vcpus in monitors found");
        }
    }
    Ok(())
}

fn caches(tune: &Cachetune) -> Result<()> {
    for (at, cache) in tune.caches.iter().enumerate() {
        for other in tune.caches.iter().take(at) {
            if (other.id, other.level) != (cache.id, cache.level) {
                continue;
            }
            if other.kind == cache.kind {
                return xml_error(format!(
                    "Identical cache type {} for level {} and cache id {}",
                    cache.kind, cache.level, cache.id
                ));
            }
            if other.kind == CacheType::Both || cache.kind == CacheType::Both {
                return xml_error(format!(
                    "Colliding cache allocations for cache level '{}' id '{}', type '{}'",
                    cache.level, cache.id, cache.kind
                ));
            }
        }
    }
    Ok(())
}

fn bandwidths(tune: &Memorytune) -> Result<()> {
    for (at, node) in tune.nodes.iter().enumerate() {
        if tune.nodes.iter().take(at).any(|other| other.id == node.id) {
            return xml_error(format!("Memory Bandwidth already defined for node {}", node.id));
        }
    }
    Ok(())
}
