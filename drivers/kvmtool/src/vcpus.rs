//! The virtual CPUs of a guest: its threads by their names, what they did, and where they may run.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use virt_driver::{Call, Job};
use virt_error::{Error, Result};
use virt_guests::cpu_map;
use virt_host::{Topology, thread_cpus, thread_times};
use virt_model::NumberSet;
use virt_model::domain::Domain as Document;
use virt_model::domain::tune::{Pin, VcpuPin};
use virt_types::{
    DomainGetEmulatorPinInfo, DomainGetVcpuPinInfo, DomainRef, DomainVcpus, VcpuInfo, api,
};

use crate::core::{Core, Domain, Working};
use crate::{ORIGIN, invalid_arg, invalid_operation, lifecycle};

/// How the tool names the threads of virtual CPUs, for ever.
const THREAD: &str = "kvm-vcpu-";

/// The thread of each virtual CPU, in their order; none before the guest runs.
pub(crate) fn threads(pid: u32) -> Vec<u32> {
    let number = |name: &str| name.strip_prefix(THREAD)?.parse::<u32>().ok();
    let all = virt_host::threads(pid);
    let mut vcpus: Vec<(u32, u32)> =
        all.into_iter().filter_map(|(thread, name)| Some((number(&name)?, thread))).collect();
    vcpus.sort_unstable();
    vcpus.into_iter().map(|(_, thread)| thread).collect()
}

/// All other threads of the tool.
fn emulator_threads(pid: u32) -> Vec<u32> {
    let other = |(thread, name): (u32, String)| (!name.starts_with(THREAD)).then_some(thread);
    virt_host::threads(pid).into_iter().filter_map(other).collect()
}

/// `virDomainGetVcpus`.
pub(crate) fn running(guest: &Domain, maxinfo: i32, maplen: i32) -> Result<DomainVcpus> {
    let pid = guest.read(|data| data.live.as_ref().map(|live| live.process.pid()));
    let pid = pid
        .ok_or_else(|| invalid_operation("cannot retrieve vcpu information for inactive domain"))?;
    let mut vcpus = DomainVcpus { info: Vec::new(), cpumaps: Vec::new() };
    let most = usize::try_from(maxinfo).unwrap_or(0);
    for (number, thread) in (0..).zip(threads(pid)).take(most) {
        let times = thread_times(pid, thread).unwrap_or_default();
        vcpus.info.push(VcpuInfo {
            number,
            state: api::VCPU_RUNNING,
            cpu_time: times.user_ns.saturating_add(times.system_ns),
            cpu: i32::try_from(times.cpu).unwrap_or(0),
        });
        vcpus.cpumaps.extend(cpu_map(&thread_cpus(pid, thread).unwrap_or_default(), maplen));
    }
    Ok(vcpus)
}

/// Where a document lets what is not pinned run.
fn anywhere(document: &Document) -> Vec<usize> {
    match &document.vcpu.cpuset {
        Some(set) => set.iter().collect(),
        None => Topology::host().online.iter().map(|cpu| cpu.id).collect(),
    }
}

/// `virDomainGetVcpuPinInfo`.
pub(crate) fn pinned(document: &Document, ncpumaps: i32, maplen: i32) -> DomainGetVcpuPinInfo {
    let count = document.vcpu.count.min(u32::try_from(ncpumaps).unwrap_or(0));
    let all = anywhere(document);
    let of = |vcpu: u32| {
        let pin = document.cputune.vcpupins.iter().find(|pin| pin.vcpu == vcpu);
        pin.map_or_else(|| all.clone(), |pin| pin.cpuset.iter().collect())
    };
    let cpumaps = (0..count).flat_map(|vcpu| cpu_map(&of(vcpu), maplen)).collect();
    DomainGetVcpuPinInfo { cpumaps, num: i32::try_from(count).unwrap_or(0) }
}

/// `virDomainGetEmulatorPinInfo`.
pub(crate) fn emulator_pinned(document: &Document, maplen: i32) -> DomainGetEmulatorPinInfo {
    let pin = document.cputune.emulatorpin.as_ref();
    let cpus = pin.map_or_else(|| anywhere(document), |pin| pin.cpuset.iter().collect());
    DomainGetEmulatorPinInfo { cpumaps: cpu_map(&cpus, maplen), ret: 1 }
}

fn set_of(cpumap: &[u8]) -> Result<NumberSet> {
    let bit = |cpu: &usize| cpumap.get(cpu / 8).is_some_and(|byte| byte & 1 << (cpu % 8) != 0);
    let bits = cpumap.len().saturating_mul(8);
    let set = NumberSet::from_numbers((0..bits).filter(bit));
    match set.is_empty() {
        true => Err(invalid_arg("Empty cpu list for pinning")),
        false => Ok(set),
    }
}

/// `virDomainPinVcpuFlags`.
pub(crate) fn pin(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    vcpu: u32,
    cpumap: &[u8],
    flags: u32,
) -> Result<()> {
    let set = set_of(cpumap)?;
    let check = |document: &Document| match vcpu < document.vcpu.count {
        true => Ok(()),
        false => Err(invalid_arg(format!("vcpu {vcpu} is out of range of live cpu count"))),
    };
    let put = |document: &mut Document| {
        let pins = &mut document.cputune.vcpupins;
        pins.retain(|pin| pin.vcpu != vcpu);
        pins.push(VcpuPin { vcpu, cpuset: set.clone() });
        pins.sort_by_key(|pin| pin.vcpu);
    };
    core.work(call, dom, Job::Modify, |guest, turn| {
        check(&*core.guests.meant(guest, flags)?)?;
        let impact = turn.read(|data| core.guests.impact(data, flags))?;
        if impact.live {
            let pid = turn.read(|data| data.running().map(|live| live.process.pid()))?;
            let thread = usize::try_from(vcpu).ok().and_then(|at| threads(pid).get(at).copied());
            let gone = || invalid_operation("the virtual CPU's thread has ended");
            bind(thread.ok_or_else(gone)?, &set)?;
            edit_live(core, turn, put)?;
        }
        if impact.config {
            core.guests.edit(guest, turn, put)?;
        }
        Ok(())
    })
}

/// `virDomainPinEmulator`.
pub(crate) fn pin_emulator(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    cpumap: &[u8],
    flags: u32,
) -> Result<()> {
    let set = set_of(cpumap)?;
    let put =
        |document: &mut Document| document.cputune.emulatorpin = Some(Pin { cpuset: set.clone() });
    core.work(call, dom, Job::Modify, |guest, turn| {
        let impact = turn.read(|data| core.guests.impact(data, flags))?;
        if impact.live {
            let pid = turn.read(|data| data.running().map(|live| live.process.pid()))?;
            emulator_threads(pid).into_iter().try_for_each(|thread| bind(thread, &set))?;
            edit_live(core, turn, put)?;
        }
        if impact.config {
            core.guests.edit(guest, turn, put)?;
        }
        Ok(())
    })
}

/// Changes the running definition, whose status file follows.
pub(crate) fn edit_live(
    core: &Core,
    turn: &mut Working<'_>,
    edit: impl FnOnce(&mut Document),
) -> Result<()> {
    turn.change(|data| {
        if let Some(live) = &mut data.live {
            edit(std::sync::Arc::make_mut(&mut live.document));
        }
    });
    lifecycle::record(core, turn)
}

fn bind(thread: u32, cpus: &NumberSet) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus.iter().filter(|cpu| *cpu < CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    let thread = i32::try_from(thread).ok().and_then(Pid::from_raw);
    let bound = sched_setaffinity(thread, &set).map_err(std::io::Error::from);
    bound.map_err(|error| Error::io(ORIGIN, &error, "cannot set the CPUs of a thread"))
}

/// Puts a new guest's threads where its definition wants them.
pub(crate) fn place(pid: u32, document: &Document) -> Result<()> {
    let all = document.vcpu.cpuset.as_ref();
    for (vcpu, thread) in (0..).zip(threads(pid)) {
        let own = document.cputune.vcpupins.iter().find(|pin| pin.vcpu == vcpu);
        if let Some(cpus) = own.map(|pin| &pin.cpuset).or(all) {
            bind(thread, cpus)?;
        }
    }
    if let Some(cpus) = document.cputune.emulatorpin.as_ref().map(|pin| &pin.cpuset).or(all) {
        emulator_threads(pid).into_iter().try_for_each(|thread| bind(thread, cpus))?;
    }
    Ok(())
}
