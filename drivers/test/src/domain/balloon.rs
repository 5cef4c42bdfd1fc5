//! A domain's memory: size, limits, and what the balloon says.

use virt_error::Result;
use virt_model::domain::devices::Stats;
use virt_model::domain::memory::Memtune;
use virt_types::{DomainMemoryStat, TypedParam, api};

use super::State;
use crate::error::{internal, invalid_arg, invalid_operation};
use crate::params::{self, Kind};

/// Memory limits that say "none".
const UNLIMITED_KIB: u64 = (1 << 53) - 1;

/// `virDomainSetMaxMemory`, and [`set`] with the flag for it.
pub(crate) fn set_max(state: &mut State, kib: u64, flags: u32) -> Result<()> {
    let config = flags & api::DOMAIN_AFFECT_CONFIG != 0;
    if state.active() && !config {
        return Err(invalid_operation("cannot resize the maximum memory on an active domain"));
    }
    let definition = state.affected_mut(flags)?;
    definition.memory.kib = kib;
    let current = definition.current_memory_kib.get_or_insert(kib);
    *current = (*current).min(kib);
    Ok(())
}

/// `virDomainSetMemoryFlags`.
pub(crate) fn set(state: &mut State, kib: u64, flags: u32) -> Result<()> {
    if flags & api::DOMAIN_MEM_MAXIMUM != 0 {
        return set_max(state, kib, flags);
    }
    let definition = state.affected_mut(flags)?;
    if kib > definition.memory.kib {
        return Err(invalid_arg("cannot set memory higher than max memory"));
    }
    definition.current_memory_kib = Some(kib);
    Ok(())
}

/// `virDomainSetMemoryStatsPeriod`.
pub(crate) fn set_stats_period(state: &mut State, period_s: u32, flags: u32) -> Result<()> {
    if state.affected(flags & api::DOMAIN_AFFECT_CONFIG)?.devices.memballoon.is_none() {
        return Err(internal("Memory balloon model must be virtio to set the collection period"));
    }
    state.change_affected(flags, |definition| {
        if let Some(balloon) = &mut definition.devices.memballoon {
            balloon.stats = (period_s > 0).then_some(Stats { period_s });
        }
    })
}

/// `virDomainMemoryStats`: half of what the guest has is in use.
pub(crate) fn stats(state: &State, max: u32) -> Result<Vec<DomainMemoryStat>> {
    state.require_active()?;
    let actual = state.current.current_memory_kib();
    let half = actual / 2;
    const LAST_UPDATE_S: u64 = super::guest::CLOCK_S.unsigned_abs();
    let all = [
        (api::DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, actual),
        (api::DOMAIN_MEMORY_STAT_SWAP_IN, 0),
        (api::DOMAIN_MEMORY_STAT_SWAP_OUT, 0),
        (api::DOMAIN_MEMORY_STAT_MAJOR_FAULT, 0),
        (api::DOMAIN_MEMORY_STAT_MINOR_FAULT, 0),
        (api::DOMAIN_MEMORY_STAT_UNUSED, half),
        (api::DOMAIN_MEMORY_STAT_AVAILABLE, actual),
        (api::DOMAIN_MEMORY_STAT_USABLE, half),
        (api::DOMAIN_MEMORY_STAT_LAST_UPDATE, LAST_UPDATE_S),
        (api::DOMAIN_MEMORY_STAT_DISK_CACHES, actual / 8),
        (api::DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC, 0),
        (api::DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL, 0),
        (api::DOMAIN_MEMORY_STAT_RSS, half),
    ];
    let most = usize::try_from(max).unwrap_or(usize::MAX);
    Ok(all.into_iter().take(most).map(|(tag, val)| DomainMemoryStat { tag, val }).collect())
}

/// `virDomainMemoryPeek`: every byte is the low end of its address.
pub(crate) fn peek(state: &State, offset: u64, size: u32, flags: u32) -> Result<Vec<u8>> {
    if !matches!(flags, api::MEMORY_VIRTUAL | api::MEMORY_PHYSICAL) {
        let detail = "flags parameter must be VIR_MEMORY_VIRTUAL or VIR_MEMORY_PHYSICAL";
        return Err(invalid_arg(detail));
    }
    state.require_active()?;
    /// Limit: bytes in one answer, as on the wire.
    const PEEK_BYTES_MAX: u32 = 4 * 1024 * 1024;
    let bytes = 0..u64::from(size.min(PEEK_BYTES_MAX));
    Ok(bytes.map(|at| offset.wrapping_add(at).to_le_bytes()[0]).collect())
}

const HARD: &str = "hard_limit";
const SOFT: &str = "soft_limit";
const SWAP: &str = "swap_hard_limit";

/// `virDomainGetMemoryParameters`.
pub(crate) fn limits(state: &State, flags: u32) -> Result<Vec<TypedParam>> {
    let memtune = state.affected(flags)?.memtune.clone().unwrap_or_default();
    let limit = |name, kib: Option<u64>| TypedParam::new(name, kib.unwrap_or(UNLIMITED_KIB));
    Ok(vec![
        limit(HARD, memtune.hard_limit_kib),
        limit(SOFT, memtune.soft_limit_kib),
        limit(SWAP, memtune.swap_hard_limit_kib),
    ])
}

/// `virDomainSetMemoryParameters`.
pub(crate) fn set_limits(state: &mut State, given: &[TypedParam], flags: u32) -> Result<()> {
    params::validate(given, &[(HARD, Kind::Ullong), (SOFT, Kind::Ullong), (SWAP, Kind::Ullong)])?;
    let definition = state.affected_mut(flags)?;
    let old = definition.memtune.clone().unwrap_or_default();
    let hard = params::ullong(given, HARD);
    let swap = params::ullong(given, SWAP);
    let hard_kib = hard.or(old.hard_limit_kib).unwrap_or(UNLIMITED_KIB);
    let swap_kib = swap.or(old.swap_hard_limit_kib).unwrap_or(UNLIMITED_KIB);
    if hard_kib > swap_kib {
        return Err(invalid_arg(
            "memory hard_limit tunable value must be lower than or equal to swap_hard_limit",
        ));
    }
    let limit =
        |given: Option<u64>, old: Option<u64>| given.or(old).filter(|kib| *kib < UNLIMITED_KIB);
    definition.memtune = Some(Memtune {
        hard_limit_kib: limit(hard, old.hard_limit_kib),
        soft_limit_kib: limit(params::ullong(given, SOFT), old.soft_limit_kib),
        swap_hard_limit_kib: limit(swap, old.swap_hard_limit_kib),
        ..old
    });
    Ok(())
}
