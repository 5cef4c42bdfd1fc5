//! IOThreads: adding, deleting, pinning, and how they poll.

use virt_error::{Code, Error, Origin, Result};
use virt_model::NumberSet;
use virt_model::domain::IothreadId;
use virt_model::domain::tune::IothreadPin;
use virt_types::{DomainGetIothreadInfo, DomainIothreadInfo, TypedParam};

use super::{State, vcpu};
use crate::error::invalid_arg;
use crate::params::{self, Kind};

/// How an IOThread polls.
#[derive(Clone, Debug)]
pub(super) struct Polling {
    pub(super) id: u32,
    pub(super) max_ns: u64,
    pub(super) grow: u32,
    pub(super) shrink: u32,
}

impl Polling {
    fn new(id: u32) -> Self {
        Self { id, max_ns: 32768, grow: 0, shrink: 0 }
    }
}

fn refused(detail: String) -> Error {
    Error::new(Code::InvalidArg, Origin::Domain, detail)
}

/// `virDomainGetIOThreadInfo`.
///
/// Compat: one without a pin may run on as many CPUs as there are vcpus.
pub(crate) fn info(state: &State, flags: u32) -> Result<DomainGetIothreadInfo> {
    let definition = state.affected(flags)?;
    let everywhere = NumberSet::from_numbers(0..vcpu::online(definition) as usize);
    let pins = || definition.cputune.iothreadpins.iter();
    let info: Vec<DomainIothreadInfo> = definition
        .iothread_ids
        .iter()
        .map(|thread| {
            let own = pins().find(|pin| pin.iothread == thread.id).map(|pin| &pin.cpuset);
            let set = own.or(definition.vcpu.cpuset.as_ref()).unwrap_or(&everywhere);
            let bytes = set.last().map_or(0, |last| last / 8 + 1);
            let cpumap = vcpu::map_bytes(set, i32::try_from(bytes).unwrap_or(i32::MAX));
            DomainIothreadInfo { iothread_id: thread.id, cpumap }
        })
        .collect();
    let ret = u32::try_from(info.len()).unwrap_or(u32::MAX);
    Ok(DomainGetIothreadInfo { info, ret })
}

/// Whether the one definition that the flags are for has such a thread.
fn has(state: &State, id: u32, flags: u32) -> Result<bool> {
    Ok(state.affected(flags)?.iothread_ids.iter().any(|thread| thread.id == id))
}

/// `virDomainAddIOThread`.
pub(crate) fn add(state: &mut State, id: u32, flags: u32) -> Result<()> {
    if id == 0 {
        return Err(invalid_arg("invalid value of 0 for iothread_id"));
    }
    if has(state, id, flags)? {
        return Err(refused(format!("an IOThread is already using iothread_id '{id}'")));
    }
    state.change_affected(flags, |definition| {
        definition.iothread_ids.push(IothreadId { id, ..IothreadId::default() });
        definition.iothreads = u32::try_from(definition.iothread_ids.len()).ok();
    })?;
    if !state.iothreads.iter().any(|thread| thread.id == id) {
        state.iothreads.push(Polling::new(id));
    }
    Ok(())
}

/// `virDomainDelIOThread`.
pub(crate) fn delete(state: &mut State, id: u32, flags: u32) -> Result<()> {
    if !has(state, id, flags)? {
        return Err(refused(format!("cannot find IOThread '{id}' in iothreadids list")));
    }
    state.change_affected(flags, |definition| {
        definition.iothread_ids.retain(|thread| thread.id != id);
        let left = u32::try_from(definition.iothread_ids.len()).ok();
        definition.iothreads = left.filter(|left| *left > 0);
        definition.cputune.iothreadpins.retain(|pin| pin.iothread != id);
    })?;
    state.iothreads.retain(|thread| thread.id != id);
    Ok(())
}

/// `virDomainPinIOThread`.
pub(crate) fn pin(state: &mut State, id: u32, cpumap: &[u8], flags: u32) -> Result<()> {
    let cpuset = vcpu::from_bytes(cpumap);
    if cpuset.is_empty() {
        return Err(invalid_arg("Empty iothread cpumap list for pinning"));
    }
    if !has(state, id, flags)? {
        return Err(invalid_arg(format!("iothreadid {id} not found")));
    }
    state.change_affected(flags, |definition| {
        let pins = &mut definition.cputune.iothreadpins;
        match pins.iter_mut().find(|pin| pin.iothread == id) {
            Some(pin) => pin.cpuset = cpuset.clone(),
            None => pins.push(IothreadPin { iothread: id, cpuset: cpuset.clone() }),
        }
    })
}

const MAX_NS: &str = "poll_max_ns";
const GROW: &str = "poll_grow";
const SHRINK: &str = "poll_shrink";

/// `virDomainSetIOThreadParams`.
pub(crate) fn set_params(state: &mut State, id: u32, given: &[TypedParam]) -> Result<()> {
    params::validate(given, &[(MAX_NS, Kind::Ullong), (GROW, Kind::Uint), (SHRINK, Kind::Uint)])?;
    let Some(thread) = state.iothreads.iter_mut().find(|thread| thread.id == id) else {
        return Err(invalid_arg(format!("cannot find IOThread '{id}' in iothreadids")));
    };
    if let Some(max_ns) = params::ullong(given, MAX_NS) {
        thread.max_ns = max_ns;
    }
    if let Some(grow) = params::uint(given, GROW) {
        thread.grow = grow;
    }
    if let Some(shrink) = params::uint(given, SHRINK) {
        thread.shrink = shrink;
    }
    Ok(())
}
