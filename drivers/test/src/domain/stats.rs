//! Numbers about a domain, all made from the wall clock.

use virt_driver::{domain_matches, stats_asked};
use virt_error::{Code, Error, Origin, Result};
use virt_types::{
    DomainBlockInfo, DomainBlockStats, DomainInterfaceStats, DomainRef, DomainStatsRecord,
    TypedParam, api,
};

use super::{State, throttle};
use crate::clock::now_ns;
use crate::error::invalid_arg;
use crate::world::World;

/// `virDomainBlockStats`.
pub(crate) fn block(state: &State, path: &str) -> Result<DomainBlockStats> {
    if path.is_empty() {
        let detail = "summary statistics are not supported yet";
        return Err(Error::new(Code::OperationUnsupported, Origin::Test, detail));
    }
    state.require_active()?;
    if throttle::disk_at(&state.current, path).is_none() {
        return Err(invalid_arg(format!("invalid path: {path}")));
    }
    let (total_us, seconds) = clock();
    Ok(DomainBlockStats {
        rd_req: total_us / 10,
        rd_bytes: total_us / 20,
        wr_req: total_us / 30,
        wr_bytes: total_us / 40,
        errs: seconds / 2,
    })
}

/// The time in microseconds and in seconds.
fn clock() -> (i64, i64) {
    let total_us = i64::try_from(now_ns() / 1000).unwrap_or(i64::MAX);
    (total_us, total_us / 1_000_000)
}

/// `virDomainInterfaceStats`.
pub(crate) fn interface(state: &State, device: &str) -> Result<DomainInterfaceStats> {
    state.require_active()?;
    throttle::interface_at(&state.current, device)?;
    let (total_us, seconds) = clock();
    Ok(DomainInterfaceStats {
        rx_bytes: total_us / 10,
        rx_packets: total_us / 100,
        rx_errs: seconds,
        rx_drop: seconds / 2,
        tx_bytes: total_us / 20,
        tx_packets: total_us / 110,
        tx_errs: seconds / 3,
        tx_drop: seconds / 4,
    })
}

/// `virDomainGetBlockInfo`: every disk is of one size, and more than full.
pub(crate) fn block_info(state: &State, path: &str) -> Result<DomainBlockInfo> {
    const FILE: u64 = 1 << 40;
    const OVERHEAD: u64 = 79 << 16;
    let Some(disk) = throttle::disk_at(&state.current, path) else {
        return Err(invalid_arg(format!("invalid path {path} not assigned to domain")));
    };
    if disk.path().is_none() {
        let detail = format!("disk '{path}' does not currently have a source assigned");
        return Err(invalid_arg(detail));
    }
    Ok(DomainBlockInfo { allocation: FILE, capacity: FILE - OVERHEAD, physical: FILE })
}

/// The groups of statistics that the driver has.
const GROUPS: u32 = api::DOMAIN_STATS_STATE | api::DOMAIN_STATS_IOTHREAD;

/// `virConnectGetAllDomainStats`, and the same for a list of domains.
pub(crate) fn all(
    world: &World,
    doms: &[DomainRef],
    stats: u32,
    flags: u32,
) -> Result<Vec<DomainStatsRecord>> {
    let function = "testConnectGetAllDomainStats";
    let (groups, filters) = stats_asked(stats, flags, GROUPS, function, Origin::Test)?;
    let record = |dom: DomainRef, state: &State| {
        domain_matches(filters, &state.facts())
            .then(|| DomainStatsRecord { dom, params: params(state, groups) })
    };
    if doms.is_empty() {
        return Ok(world
            .domains
            .collect(|domain| domain.read(|state| record(domain.ref_at(state), state))));
    }
    let listed = doms.iter().filter_map(|dom| world.domains.by_uuid(&dom.uuid));
    Ok(listed
        .filter_map(|domain| domain.read(|state| record(domain.ref_at(state), state)))
        .collect())
}

fn params(state: &State, groups: u32) -> Vec<TypedParam> {
    let mut params = Vec::new();
    if groups & api::DOMAIN_STATS_STATE != 0 {
        params.push(TypedParam::new("state.state", state.state));
        params.push(TypedParam::new("state.reason", state.reason));
    }
    let threads = &state.iothreads;
    if groups & api::DOMAIN_STATS_IOTHREAD != 0 && state.active() && !threads.is_empty() {
        let count = u32::try_from(threads.len()).unwrap_or(u32::MAX);
        params.push(TypedParam::new("iothread.count", count));
        for thread in threads {
            let name = |what| format!("iothread.{}.{what}", thread.id);
            params.push(TypedParam::new(name("poll-max-ns"), thread.max_ns));
            params.push(TypedParam::new(name("poll-grow"), thread.grow));
            params.push(TypedParam::new(name("poll-shrink"), thread.shrink));
        }
    }
    params
}
