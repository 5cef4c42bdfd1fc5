//! Figures of the host that every driver gives alike; who reports an error is the driver's to say.

use virt_driver::check_flags;
use virt_error::{Code, Error, Origin, Result};
use virt_host::{CpuInfo, CpuTime, MemoryInfo, Topology, cells};
use virt_types::{NodeCpuStat, NodeGetCpuMap, NodeInfo, NodeMemoryStat};

fn check(flags: u32, function: &str, origin: Origin) -> Result<()> {
    check_flags(flags, 0, function).map_err(|error| error.or_from(origin))
}

fn number(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// `virNodeGetInfo`.
pub fn info() -> NodeInfo {
    let topology = Topology::host();
    let cells = cells();
    let shape = topology.nodes(std::path::Path::new("/sys/devices/system/node"));
    NodeInfo {
        model: virt_host::architecture(),
        memory: cells.iter().map(|cell| cell.memory.total_kib).sum(),
        cpus: number(topology.online.len()),
        mhz: i32::try_from(CpuInfo::host().mhz).unwrap_or(i32::MAX),
        nodes: number(shape.nodes),
        sockets: number(shape.sockets),
        cores: number(shape.cores),
        threads: number(shape.threads),
    }
}

/// The cells from one on, at most so many.
fn cells_from(first: i32, most: usize, origin: Origin) -> Result<Vec<virt_host::Cell>> {
    let mut cells = cells();
    let at = usize::try_from(first).unwrap_or(usize::MAX);
    if at >= cells.len() {
        let last = cells.len().saturating_sub(1);
        let detail = format!("start cell {first} out of range (0-{last})");
        return Err(Error::internal(origin, detail));
    }
    cells.drain(..at);
    cells.truncate(most);
    Ok(cells)
}

/// `virNodeGetCellsFreeMemory`.
pub fn cells_free_memory(first: i32, most: i32, origin: Origin) -> Result<Vec<u64>> {
    let cells = cells_from(first, usize::try_from(most).unwrap_or(0), origin)?;
    Ok(cells.iter().map(|cell| cell.memory.free_kib.saturating_mul(1024)).collect())
}

/// `virNodeGetFreeMemory`.
pub fn free_memory() -> u64 {
    MemoryInfo::host().free_kib.saturating_mul(1024)
}

/// `virNodeGetFreePages`.
pub fn free_pages(
    pages: &[u32],
    first: i32,
    most: u32,
    flags: u32,
    origin: Origin,
) -> Result<Vec<u64>> {
    check(flags, "virHostMemGetFreePages", origin)?;
    let cells = cells_from(first, usize::try_from(most).unwrap_or(0), origin)?;
    let each =
        cells.iter().flat_map(|cell| pages.iter().map(|size| cell.free_pages(u64::from(*size))));
    Ok(each.collect())
}

/// `virNodeGetCPUStats`.
pub fn cpu_stats(cpu_num: i32, flags: u32, origin: Origin) -> Result<Vec<NodeCpuStat>> {
    check(flags, "virHostCPUGetStats", origin)?;
    let invalid = || {
        let message = format!("Invalid cpuNum in virHostCPUGetStatsLinux: {cpu_num}");
        Error::new(Code::InvalidArg, Origin::None, message)
    };
    let cpu = match cpu_num {
        -1 => None,
        id => Some(usize::try_from(id).map_err(|_| invalid())?),
    };
    let times = CpuTime::host(cpu).ok_or_else(invalid)?;
    let stat = |field: &str, value| NodeCpuStat { field: field.into(), value };
    Ok(vec![
        stat("kernel", times.system_ns),
        stat("user", times.user_ns),
        stat("idle", times.idle_ns),
        stat("iowait", times.iowait_ns),
    ])
}

/// `virNodeGetMemoryStats`.
pub fn memory_stats(cell_num: i32, flags: u32, origin: Origin) -> Result<Vec<NodeMemoryStat>> {
    check(flags, "virHostMemGetStats", origin)?;
    let stat = |field: &str, value| NodeMemoryStat { field: field.into(), value };
    if cell_num == -1 {
        let memory = MemoryInfo::host();
        return Ok(vec![
            stat("total", memory.total_kib),
            stat("free", memory.free_kib),
            stat("buffers", memory.buffers_kib),
            stat("cached", memory.cached_kib),
        ]);
    }
    let memory = usize::try_from(cell_num).ok().and_then(MemoryInfo::cell).ok_or_else(|| {
        let last = cells().len().saturating_sub(1);
        let detail = format!("cellNum in virHostMemGetStats must be less than or equal to {last}");
        Error::new(Code::InvalidArg, origin, detail)
    })?;
    Ok(vec![stat("total", memory.total_kib), stat("free", memory.free_kib)])
}

/// `virNodeGetCPUMap`.
pub fn cpu_map(
    need_map: i32,
    need_online: i32,
    flags: u32,
    origin: Origin,
) -> Result<NodeGetCpuMap> {
    check(flags, "virHostCPUGetMap", origin)?;
    let topology = Topology::host();
    let present = topology.present.iter().max().map_or(0, |last| last.saturating_add(1));
    let mut cpumap = vec![0_u8; present.div_ceil(8)];
    for cpu in &topology.online {
        if let Some(byte) = cpumap.get_mut(cpu.id / 8) {
            *byte |= 1 << (cpu.id % 8);
        }
    }
    let online = u32::try_from(topology.online.len()).unwrap_or(u32::MAX);
    Ok(NodeGetCpuMap {
        cpumap: if need_map != 0 { cpumap } else { Vec::new() },
        online: if need_online != 0 { online } else { 0 },
        ret: number(present),
    })
}
