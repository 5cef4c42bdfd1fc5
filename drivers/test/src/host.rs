//! The node that a world runs on, and what it answers about itself.

use virt_cpu::Wish;
use virt_driver::{Call, Host};
use virt_error::{Error, Origin, Result};
use virt_types::{NodeCpuStat, NodeGetCpuMap, NodeGetSecurityModel, NodeInfo, api};

use crate::TestDriver;
use crate::error::{check_flags, invalid_arg};

mod capabilities;

/// The most vcpus that a domain can have.
pub(crate) const VCPUS_MAX: u32 = 32;

/// CPUs in the map of those that are there.
const MAPPED_CPUS: i32 = 8;

/// What the node consists of. A node file can change all but the cells.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) info: NodeInfo,
    cells: Vec<NumaCell>,
}

/// A NUMA cell of the default world.
#[derive(Clone, Debug)]
struct NumaCell {
    memory_kib: u64,
    page_kib: u64,
    free_bytes: u64,
    cpus: Vec<NumaCpu>,
}

#[derive(Clone, Debug)]
struct NumaCpu {
    id: usize,
    socket: usize,
    core: usize,
}

impl Node {
    const MIB: u64 = 1024 * 1024;
    const CELLS: usize = 2;
    const CPUS_PER_CELL: usize = 8;

    /// A node without NUMA cells, as under a node file.
    pub(crate) fn bare() -> Self {
        let info = NodeInfo {
            model: "i686".to_owned(),
            memory: 3 * Self::MIB,
            cpus: 16,
            mhz: 1400,
            nodes: 2,
            sockets: 2,
            cores: 2,
            threads: 2,
        };
        Self { info, cells: Vec::new() }
    }

    /// The node of the default world: two cells, each twice the size of the one before.
    pub(crate) fn with_cells() -> Self {
        let cell = |index: usize| {
            let size = index as u64 + 1;
            NumaCell {
                memory_kib: size * 2 * Self::MIB,
                page_kib: size * 4,
                free_bytes: size * 2 * Self::MIB,
                cpus: (0..Self::CPUS_PER_CELL)
                    .map(|core| NumaCpu {
                        id: index * Self::CPUS_PER_CELL + core,
                        socket: index,
                        core,
                    })
                    .collect(),
            }
        };
        Self { cells: (0..Self::CELLS).map(cell).collect(), ..Self::bare() }
    }
}

impl Node {
    /// Limit: CPUs in a map, so that a node file cannot ask for any amount of memory.
    const CPUS_MAX: usize = 16 * 1024;

    /// How many CPUs there could be, by sockets, cores and threads.
    pub(crate) fn cpus(&self) -> usize {
        let NodeInfo { nodes, sockets, cores, threads, .. } = self.info;
        let factors = [nodes, sockets, cores, threads];
        let product = factors.into_iter().try_fold(1_usize, |product, factor| {
            product.checked_mul(usize::try_from(factor).unwrap_or(0))
        });
        product.unwrap_or(Self::CPUS_MAX).min(Self::CPUS_MAX)
    }
}

/// Fields and values of `virNodeGetCPUStats`, the same for every CPU.
const CPU_STATS_NS: [(&str, u64); 4] = [
    ("user", 9_797_400_000),
    ("kernel", 34_678_723_400_000),
    ("idle", 87_264_900_000),
    ("iowait", 763_600_000),
];

const SYSINFO: &str = "\
<sysinfo type='smbios'>
  <bios>
    <entry name='vendor'>LENOVO</entry>
    <entry name='version'>G4ETA1WW (2.61 )</entry>
    <entry name='date'>05/07/2014</entry>
    <entry name='release'>2.61</entry>
  </bios>
</sysinfo>
";

impl Host for TestDriver {
    fn get_type(&self, _: &Call<'_>) -> Result<String> {
        Ok("TEST".to_owned())
    }

    fn get_version(&self, _: &Call<'_>) -> Result<u64> {
        Ok(2)
    }

    fn get_max_vcpus(&self, _: &Call<'_>, _kind: Option<&str>) -> Result<i32> {
        Ok(VCPUS_MAX.cast_signed())
    }

    fn node_get_info(&self, _: &Call<'_>) -> Result<NodeInfo> {
        Ok(self.world.node.info.clone())
    }

    fn get_capabilities(&self, _: &Call<'_>) -> Result<String> {
        Ok(capabilities::host(&self.world.node))
    }

    fn get_hostname(&self, _: &Call<'_>) -> Result<String> {
        Ok(rustix::system::uname().nodename().to_string_lossy().into_owned())
    }

    fn node_get_cells_free_memory(
        &self,
        _: &Call<'_>,
        start_cell: i32,
        maxcells: i32,
    ) -> Result<Vec<u64>> {
        let cells = &self.world.node.cells;
        match usize::try_from(start_cell).ok().and_then(|start| cells.get(start..)) {
            Some(rest) if !rest.is_empty() => {
                let most = usize::try_from(maxcells).unwrap_or(0);
                Ok(rest.iter().take(most).map(|cell| cell.free_bytes).collect())
            }
            _ => Err(invalid_arg("Range exceeds available cells")),
        }
    }

    /// Compat: half of what the cells say.
    fn node_get_free_memory(&self, _: &Call<'_>) -> Result<u64> {
        Ok(self.world.node.cells.iter().map(|cell| cell.free_bytes / 2).sum())
    }

    fn node_get_security_model(&self, _: &Call<'_>) -> Result<NodeGetSecurityModel> {
        Ok(NodeGetSecurityModel { model: capabilities::SECURITY_MODEL.into(), doi: String::new() })
    }

    fn is_secure(&self, _: &Call<'_>) -> Result<bool> {
        Ok(true)
    }

    fn get_sysinfo(&self, _: &Call<'_>, flags: u32) -> Result<String> {
        check_flags(flags, 0, "testConnectGetSysinfo")?;
        Ok(SYSINFO.to_owned())
    }

    fn node_get_cpu_stats(
        &self,
        _: &Call<'_>,
        cpu_num: i32,
        flags: u32,
    ) -> Result<Vec<NodeCpuStat>> {
        check_flags(flags, 0, "testNodeGetCPUStats")?;
        if cpu_num < -1 {
            let message = "cpuNum in virNodeGetCPUStats only accepts -1 as a negative value";
            return Err(Error::argument(
                Origin::Domain,
                "virNodeGetCPUStats",
                "cpuNum",
                message.into(),
            ));
        }
        let stat = |(field, value): (&str, u64)| NodeCpuStat { field: field.into(), value };
        Ok(CPU_STATS_NS.into_iter().map(stat).collect())
    }

    /// Eight CPUs, of which 0, 2 and 4 are there.
    fn node_get_cpu_map(
        &self,
        _: &Call<'_>,
        need_map: i32,
        need_online: i32,
        flags: u32,
    ) -> Result<NodeGetCpuMap> {
        check_flags(flags, 0, "testNodeGetCPUMap")?;
        const ONLINE: u8 = 0b1_0101;
        Ok(NodeGetCpuMap {
            cpumap: if need_map != 0 { vec![ONLINE] } else { Vec::new() },
            online: if need_online != 0 { ONLINE.count_ones() } else { 0 },
            ret: MAPPED_CPUS,
        })
    }

    fn get_cpu_model_names(&self, _: &Call<'_>, arch: &str, flags: u32) -> Result<Vec<String>> {
        check_flags(flags, 0, "testConnectGetCPUModelNames")?;
        virt_cpu::names(arch, Origin::Test)
    }

    fn baseline_cpu(&self, _: &Call<'_>, xml_cpus: &[String], flags: u32) -> Result<String> {
        const EXPAND: u32 = api::CONNECT_BASELINE_CPU_EXPAND_FEATURES;
        check_flags(flags, EXPAND, "testConnectBaselineCPU")?;
        let wish = Wish { expand: flags & EXPAND != 0, migratable: false };
        virt_cpu::baseline(xml_cpus, wish, Origin::Test)
    }

    /// Compat: made-up numbers, a sequence for each cell.
    fn node_get_free_pages(
        &self,
        _: &Call<'_>,
        pages: &[u32],
        start_cell: i32,
        cell_count: u32,
        flags: u32,
    ) -> Result<Vec<u64>> {
        check_flags(flags, 0, "testNodeGetFreePages")?;
        /// Limit: cells in one answer; the node has far fewer.
        const CELLS_MAX: i64 = 1024;
        let first = i64::from(start_cell);
        let cells = first..first + i64::from(cell_count).min(CELLS_MAX);
        let counts = |cell: i64| {
            pages.iter().scan(6 * cell, |count, _| {
                *count = count.wrapping_mul(2).wrapping_add(7);
                Some(count.cast_unsigned())
            })
        };
        Ok(cells.flat_map(counts).collect())
    }

    fn get_domain_capabilities(
        &self,
        _: &Call<'_>,
        emulatorbin: Option<&str>,
        arch: Option<&str>,
        machine: Option<&str>,
        virttype: Option<&str>,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, 0, "testConnectGetDomainCapabilities")?;
        capabilities::domain(emulatorbin, arch, machine, virttype)
    }
}
