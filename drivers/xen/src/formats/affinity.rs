//! Where virtual processors may run: one set for all of them, or a list with a place for each.

use virt_error::{Code, Error, Origin, Result};
use virt_model::NumberSet;
use virt_model::domain::Domain;
use virt_model::domain::tune::VcpuPin;

use crate::channels::VCPUS_MAX;

/// Limit: processors in a list that names those of each virtual processor, counted together.
const NAMED_MAX: usize = 64 * 1024;

/// Takes a list; a place that is empty or not there is anywhere. Where all say the same, one set is enough.
pub(crate) fn set(domain: &mut Domain, sets: Vec<NumberSet>) {
    let whole = u32::try_from(sets.len()).is_ok_and(|count| count >= domain.vcpu.count);
    let first = sets.first();
    if whole && sets.iter().all(|set| Some(set) == first) {
        domain.vcpu.cpuset = sets.into_iter().next().filter(|set| !set.is_empty());
        return;
    }
    let pins = (0..).zip(sets).filter(|(vcpu, set)| *vcpu < domain.vcpu.count && !set.is_empty());
    domain.cputune.vcpupins = pins.map(|(vcpu, cpuset)| VcpuPin { vcpu, cpuset }).collect();
}

/// Pins one virtual processor, wherever it was before.
pub(crate) fn pin(domain: &mut Domain, vcpu: u32, cpus: &[usize]) {
    let pins = &mut domain.cputune.vcpupins;
    pins.retain(|pin| pin.vcpu != vcpu);
    pins.push(VcpuPin { vcpu, cpuset: NumberSet::from_numbers(cpus.iter().copied()) });
    pins.sort_by_key(|pin| pin.vcpu);
}

/// Where one virtual processor may run; `None` is anywhere.
pub(crate) fn of(domain: &Domain, vcpu: u32) -> Option<&NumberSet> {
    let pin = domain.cputune.vcpupins.iter().find(|pin| pin.vcpu == vcpu);
    pin.map(|pin| &pin.cpuset).or(domain.vcpu.cpuset.as_ref())
}

/// The list, where virtual processors have places of their own; `None` where one set says it all.
pub(crate) fn list(domain: &Domain) -> Result<Option<Vec<Option<&NumberSet>>>> {
    if domain.cputune.vcpupins.is_empty() {
        return Ok(None);
    }
    if domain.vcpu.count > VCPUS_MAX {
        return refused(format!("more than {VCPUS_MAX} virtual processors cannot be pinned"));
    }
    let sets: Vec<_> = (0..domain.vcpu.count).map(|vcpu| of(domain, vcpu)).collect();
    if sets.iter().flatten().map(|set| set.len()).sum::<usize>() > NAMED_MAX {
        return refused(
            "virtual processors are pinned to more processors than can be named".into(),
        );
    }
    Ok(Some(sets))
}

fn refused<T>(detail: String) -> Result<T> {
    Err(Error::new(Code::ConfigUnsupported, Origin::Xen, detail))
}
