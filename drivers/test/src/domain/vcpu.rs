//! A domain's vcpus: how many, where they run, how long they ran.

use virt_error::{Code, Error, Origin, Result};
use virt_model::NumberSet;
use virt_model::domain::Domain as Definition;
use virt_model::domain::tune::{Pin, VcpuPin};
use virt_types::{
    DomainGetCpuStats, DomainGetEmulatorPinInfo, DomainGetVcpuPinInfo, DomainVcpus, TypedParam,
    VcpuInfo, api,
};

use super::State;
use crate::clock::now_ns;
use crate::error::{invalid_arg, invalid_operation};
use crate::host::{Node, VCPUS_MAX};

/// How many vcpus are there of all there could be.
pub(crate) fn online(definition: &Definition) -> u32 {
    definition.vcpu.current.unwrap_or(definition.vcpu.count)
}

/// `virDomainGetVcpusFlags`.
pub(crate) fn count(state: &State, flags: u32) -> Result<i32> {
    let definition = state.affected(flags)?;
    let maximum = flags & api::DOMAIN_VCPU_MAXIMUM != 0;
    let count = if maximum { definition.vcpu.count } else { online(definition) };
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

/// `virDomainSetVcpusFlags`.
pub(crate) fn set_count(state: &mut State, count: u32, flags: u32) -> Result<()> {
    if count > VCPUS_MAX {
        return Err(invalid_arg(format!(
            "requested cpu amount exceeds maximum supported amount ({count} > {VCPUS_MAX})"
        )));
    }
    let maximum = flags & api::DOMAIN_VCPU_MAXIMUM != 0;
    let limit = |definition: &Definition| definition.vcpu.count;
    let mut most = limit(&state.current);
    if flags & api::DOMAIN_AFFECT_CONFIG != 0 {
        let stored = limit(state.affected(api::DOMAIN_AFFECT_CONFIG)?);
        let live = flags & api::DOMAIN_AFFECT_LIVE != 0;
        most = if live { most.min(stored) } else { stored };
    } else if flags & api::DOMAIN_AFFECT_LIVE != 0 {
        state.require_active()?;
    }
    if !maximum && count > most {
        let detail = format!("requested cpu amount exceeds maximum ({count} > {most})");
        return Err(invalid_arg(detail));
    }
    state.change_affected(flags, |definition| {
        let vcpu = &mut definition.vcpu;
        let current = if maximum { vcpu.current.unwrap_or(vcpu.count).min(count) } else { count };
        if maximum {
            vcpu.count = count;
        }
        vcpu.current = (current != vcpu.count).then_some(current);
    })
}

/// A CPU map in the API's form: bit N of byte N/8 is CPU N.
fn to_bytes(set: &NumberSet, length: usize) -> Vec<u8> {
    let mut bytes = vec![0_u8; length];
    for cpu in set.iter() {
        if let Some(byte) = bytes.get_mut(cpu / 8) {
            *byte |= 1 << (cpu % 8);
        }
    }
    bytes
}

pub(crate) fn from_bytes(bytes: &[u8]) -> NumberSet {
    let bits = bytes.iter().enumerate().flat_map(|(at, byte)| {
        (0..8).filter(move |bit| byte >> bit & 1 != 0).map(move |bit| at * 8 + bit)
    });
    NumberSet::from_numbers(bits)
}

/// Limit: bytes of one CPU map, as on the wire.
const MAP_BYTES_MAX: usize = 2048;

/// The length of each CPU map in an answer.
fn map_length(length: i32) -> usize {
    usize::try_from(length).unwrap_or(0).min(MAP_BYTES_MAX)
}

pub(crate) fn map_bytes(set: &NumberSet, length: i32) -> Vec<u8> {
    to_bytes(set, map_length(length))
}

/// All CPUs of the node.
fn all_cpus(node: &Node) -> NumberSet {
    NumberSet::from_numbers(0..node.cpus())
}

/// Where a vcpu may run: its own pin, or the domain's, or everywhere.
fn affinity(definition: &Definition, vcpu: u32, node: &Node) -> NumberSet {
    let pins = &definition.cputune.vcpupins;
    let own = pins.iter().find(|pin| pin.vcpu == vcpu).map(|pin| &pin.cpuset);
    own.or(definition.vcpu.cpuset.as_ref()).cloned().unwrap_or_else(|| all_cpus(node))
}

/// `virDomainGetVcpus`.
pub(crate) fn info(state: &State, node: &Node, most: i32, maplen: i32) -> Result<DomainVcpus> {
    if !state.active() {
        return Err(invalid_operation("cannot list vcpus for an inactive domain"));
    }
    let vcpus = 0..online(&state.current).min(u32::try_from(most).unwrap_or(0));
    let mut answer = DomainVcpus { info: Vec::new(), cpumaps: Vec::new() };
    for vcpu in vcpus {
        let affinity = affinity(&state.current, vcpu, node);
        answer.info.push(VcpuInfo {
            number: vcpu,
            state: api::VCPU_RUNNING,
            cpu_time: now_ns() / 10_000,
            cpu: affinity.last().and_then(|cpu| i32::try_from(cpu).ok()).unwrap_or(-1),
        });
        if maplen > 0 {
            answer.cpumaps.extend(map_bytes(&affinity, maplen));
        }
    }
    Ok(answer)
}

/// `virDomainGetVcpuPinInfo`.
pub(crate) fn pin_info(
    state: &State,
    node: &Node,
    most: i32,
    maplen: i32,
    flags: u32,
) -> Result<DomainGetVcpuPinInfo> {
    let definition = state.affected(flags)?;
    let vcpus = definition.vcpu.count.min(u32::try_from(most).unwrap_or(0));
    let mut cpumaps = Vec::new();
    for vcpu in 0..vcpus {
        let there = vcpu < online(definition);
        let set = if there { affinity(definition, vcpu, node) } else { NumberSet::default() };
        cpumaps.extend(map_bytes(&set, maplen));
    }
    Ok(DomainGetVcpuPinInfo { cpumaps, num: i32::try_from(vcpus).unwrap_or(i32::MAX) })
}

/// `virDomainPinVcpu`.
pub(crate) fn pin(state: &mut State, vcpu: u32, cpumap: &[u8]) -> Result<()> {
    if !state.active() {
        return Err(invalid_operation("cannot pin vcpus on an inactive domain"));
    }
    let definition = state.affected_mut(0)?;
    if vcpu >= online(definition) {
        let detail = format!("requested vcpu '{vcpu}' is not present in the domain");
        return Err(invalid_arg(detail));
    }
    let cpuset = from_bytes(cpumap);
    let pins = &mut definition.cputune.vcpupins;
    match pins.iter_mut().find(|pin| pin.vcpu == vcpu) {
        Some(pin) => pin.cpuset = cpuset,
        None => pins.push(VcpuPin { vcpu, cpuset }),
    }
    pins.sort_by_key(|pin| pin.vcpu);
    Ok(())
}

/// `virDomainPinEmulator`.
pub(crate) fn pin_emulator(state: &mut State, cpumap: &[u8], flags: u32) -> Result<()> {
    let cpuset = from_bytes(cpumap);
    if cpuset.is_empty() {
        return Err(invalid_arg("Empty cpu list for pinning"));
    }
    state.change_affected(flags, |definition| {
        definition.cputune.emulatorpin = Some(Pin { cpuset: cpuset.clone() });
    })
}

/// `virDomainGetEmulatorPinInfo`.
pub(crate) fn emulator_pin_info(
    state: &State,
    node: &Node,
    maplen: i32,
    flags: u32,
) -> Result<DomainGetEmulatorPinInfo> {
    let definition = state.affected(flags)?;
    let pin = definition.cputune.emulatorpin.as_ref();
    let set = pin.map(|pin| &pin.cpuset).or(definition.vcpu.cpuset.as_ref());
    let set = set.cloned().unwrap_or_else(|| all_cpus(node));
    Ok(DomainGetEmulatorPinInfo { cpumaps: map_bytes(&set, maplen), ret: 1 })
}

/// What a vcpu is said to have used, in nanoseconds, on each CPU and in all.
mod spent {
    pub(super) const TOTAL: u64 = 48_772_617_035;
    pub(super) const USER: u64 = 5_540_000_000;
    pub(super) const SYSTEM: u64 = 6_460_000_000;
    pub(super) const FIRST_CPU: u64 = 24_386_308_517;
    pub(super) const FIRST_VCPU: u64 = 23_151_740_627;
    /// CPUs that anything was spent on.
    pub(super) const CPUS: u32 = 2;
}

/// `virDomainGetCPUStats`. A call for no parameters asks how many there are.
pub(crate) fn cpu_stats(
    state: &State,
    nparams: u32,
    start_cpu: i32,
    ncpus: u32,
) -> Result<DomainGetCpuStats> {
    state.require_active()?;
    let answer = |params: Vec<TypedParam>, nparams: i32| Ok(DomainGetCpuStats { params, nparams });
    let Ok(start) = u32::try_from(start_cpu) else {
        let total = vec![
            TypedParam::new("cpu_time", spent::TOTAL),
            TypedParam::new("user_time", spent::USER),
            TypedParam::new("system_time", spent::SYSTEM),
        ];
        return match nparams {
            0 => answer(Vec::new(), 3),
            most => {
                let some: Vec<_> = total.into_iter().take(most as usize).collect();
                let count = i32::try_from(some.len()).unwrap_or(i32::MAX);
                answer(some, count)
            }
        };
    };
    if nparams == 0 && ncpus == 0 {
        return answer(Vec::new(), spent::CPUS.cast_signed());
    }
    if nparams == 0 {
        return answer(Vec::new(), 2);
    }
    if start >= spent::CPUS {
        let detail = format!("start_cpu {start} larger than maximum of {}", spent::CPUS - 1);
        return Err(Error::new(Code::InvalidArg, Origin::Test, detail));
    }
    let cpus = start..spent::CPUS.min(start.saturating_add(ncpus));
    let params = cpus.flat_map(|cpu| {
        let more = u64::from(cpu);
        [
            TypedParam::new("cpu_time", spent::FIRST_CPU + more),
            TypedParam::new("vcpu_time", spent::FIRST_VCPU + more),
        ]
        .into_iter()
        .take(nparams as usize)
    });
    answer(params.collect(), i32::try_from(nparams.min(2)).unwrap_or(2))
}
