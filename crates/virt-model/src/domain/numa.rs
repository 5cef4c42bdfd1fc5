//! NUMA cells in order, and where CPUs and memory go when only one of the two is said.

use crate::domain::tune::{NumaMemory, NumaMode};
use crate::domain::{Domain, Placement};

pub(super) fn complete(domain: &mut Domain) {
    if let Some(numa) = domain.cpu.as_mut().and_then(|cpu| cpu.numa.as_mut()) {
        for (at, cell) in numa.cells.iter_mut().enumerate() {
            cell.id = cell.id.or(u32::try_from(at).ok());
        }
        numa.cells.sort_by_key(|cell| cell.id);
    }
    placement(domain);
}

/// Automatic placement of one means automatic placement of the other.
fn placement(domain: &mut Domain) {
    let automatic = |placement: Option<Placement>| placement == Some(Placement::Auto);
    let by_memory =
        domain.numatune.memory.as_ref().is_some_and(|memory| automatic(memory.placement));
    let vcpu = &mut domain.vcpu;
    if by_memory && vcpu.cpuset.is_none() {
        vcpu.placement = Placement::Auto;
    }
    let auto = vcpu.placement == Placement::Auto;
    if auto {
        vcpu.cpuset = None;
    }
    let tune = &mut domain.numatune;
    if auto && tune.memory.is_none() && tune.memnodes.is_empty() {
        tune.memory = Some(NumaMemory::default());
    }
    if !auto {
        tune.memory.take_if(|memory| *memory == NumaMemory::default());
    }
    let Some(memory) = &mut tune.memory else { return };
    memory.mode.get_or_insert(NumaMode::Strict);
    if memory.nodeset.is_none() && memory.placement.is_none() {
        memory.placement = Some(if auto { Placement::Auto } else { Placement::Static });
    }
    if automatic(memory.placement) {
        memory.nodeset = None;
    } else if memory.nodeset.is_some() {
        memory.placement = None;
    }
}
