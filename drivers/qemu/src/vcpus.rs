//! The virtual CPUs of a guest: what they did and where they may run.

use virt_error::{Error, Result};
use virt_host::thread_times;
use virt_types::{DomainGetVcpuPinInfo, DomainVcpus, VcpuInfo, api};

use crate::control::impact;
use crate::core::Core;
use crate::guest::{Guest, invalid_operation};

/// `virDomainGetVcpus`.
pub(crate) fn running(guest: &Guest, maxinfo: i32, maplen: i32) -> Result<DomainVcpus> {
    let (pid, threads) = guest.read(|data| {
        let live = data.live.as_ref().ok_or_else(|| {
            invalid_operation("cannot retrieve vcpu information for inactive domain")
        })?;
        Ok::<_, Error>((live.process.pid(), live.vcpu_threads.clone()))
    })?;
    let mut vcpus = DomainVcpus { info: Vec::new(), cpumaps: Vec::new() };
    for (at, thread) in threads.iter().enumerate().take(usize::try_from(maxinfo).unwrap_or(0)) {
        let times = thread_times(pid, *thread).unwrap_or_default();
        vcpus.info.push(VcpuInfo {
            number: u32::try_from(at).unwrap_or(0),
            state: api::VCPU_RUNNING,
            cpu_time: times.user_ns.saturating_add(times.system_ns),
            cpu: i32::try_from(times.cpu).unwrap_or(0),
        });
        let cpus = virt_host::thread_cpus(pid, *thread).unwrap_or_default();
        vcpus.cpumaps.extend(map(&cpus, maplen));
    }
    Ok(vcpus)
}

/// `virDomainGetVcpuPinInfo`.
pub(crate) fn pinned(
    core: &Core,
    guest: &Guest,
    ncpumaps: i32,
    maplen: i32,
    flags: u32,
) -> Result<DomainGetVcpuPinInfo> {
    let impact = guest.read(|data| impact(data, flags))?;
    let stored = if impact.config { core.stored(guest)? } else { None };
    let document = stored.map_or_else(|| core.current(guest), Ok)?;
    let all: Vec<usize> = match &document.vcpu.cpuset {
        Some(set) => set.iter().collect(),
        None => virt_host::Topology::host().online.iter().map(|cpu| cpu.id).collect(),
    };
    let count = usize::try_from(document.vcpu.count).unwrap_or(0);
    let count = count.min(usize::try_from(ncpumaps).unwrap_or(0));
    let cpumaps = (0..count).flat_map(|_| map(&all, maplen)).collect();
    Ok(DomainGetVcpuPinInfo { cpumaps, num: i32::try_from(count).unwrap_or(0) })
}

/// A set of CPUs as bytes, eight to each, the lowest first.
fn map(cpus: &[usize], maplen: i32) -> Vec<u8> {
    let mut bytes = vec![0_u8; usize::try_from(maplen).unwrap_or(0)];
    for cpu in cpus {
        if let Some(byte) = bytes.get_mut(cpu / 8) {
            *byte |= 1 << (cpu % 8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::map;

    #[test]
    fn cpu_maps_have_the_length_that_is_asked_for() {
        assert_eq!(map(&[0, 1, 9, 99], 2), [0b11, 0b10]);
        assert_eq!(map(&[0], 0), [0_u8; 0]);
        assert_eq!(map(&[3], -1), [0_u8; 0]);
    }
}
