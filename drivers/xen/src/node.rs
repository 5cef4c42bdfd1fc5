//! The host below the guests.

use virt_driver::{Call, Host};
use virt_error::{Code, Error, Result};
use virt_guests::cpu_map;
use virt_types::{NodeGetCpuMap, NodeGetSecurityModel, NodeInfo};

use crate::capabilities::Capabilities;
use crate::domains::check_flags;
use crate::{ORIGIN, XenDriver, invalid_arg};

/// Limit: virtual processors of a guest; libvirt's own for Xen.
const VCPUS_MAX: i32 = 512;
/// Limit: processors of a host.
const CPUS_MAX: usize = 4096;

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Host for XenDriver {
    fn get_type(&self, _: &Call<'_>) -> Result<String> {
        Ok("Xen".to_owned())
    }

    fn get_version(&self, _: &Call<'_>) -> Result<u64> {
        let (major, minor, micro) = self.core().hypervisor.physical()?.version;
        let part = |number: u32| u64::from(number.min(999));
        Ok(part(major) * 1_000_000 + part(minor) * 1_000 + part(micro))
    }

    fn get_hostname(&self, _: &Call<'_>) -> Result<String> {
        Ok(virt_host::hostname())
    }

    fn is_secure(&self, _: &Call<'_>) -> Result<bool> {
        Ok(true)
    }

    fn get_max_vcpus(&self, _: &Call<'_>, kind: Option<&str>) -> Result<i32> {
        match kind {
            None | Some("xen") => Ok(VCPUS_MAX),
            Some(other) => Err(invalid_arg(format!("unknown type '{other}'"))),
        }
    }

    fn node_get_info(&self, _: &Call<'_>) -> Result<NodeInfo> {
        let physical = self.core().hypervisor.physical()?;
        let each = physical.nodes.saturating_mul(physical.cores).saturating_mul(physical.threads);
        Ok(NodeInfo {
            model: virt_host::architecture(),
            memory: physical.total_kib,
            cpus: signed(physical.cpus),
            mhz: signed(physical.mhz),
            nodes: signed(physical.nodes),
            sockets: signed((physical.cpus / each.max(1)).max(1)),
            cores: signed(physical.cores),
            threads: signed(physical.threads),
        })
    }

    fn node_get_free_memory(&self, _: &Call<'_>) -> Result<u64> {
        let physical = self.core().hypervisor.physical()?;
        Ok(physical.free_kib.saturating_mul(1024))
    }

    /// Compat: what the hypervisor has free it does not tell by cells through every channel.
    fn node_get_cells_free_memory(
        &self,
        call: &Call<'_>,
        start_cell: i32,
        maxcells: i32,
    ) -> Result<Vec<u64>> {
        if start_cell != 0 || maxcells < 1 {
            return Err(invalid_arg(format!("start cell {start_cell} out of range (0-0)")));
        }
        Ok(vec![self.node_get_free_memory(call)?])
    }

    /// The hypervisor's processors: the control domain has some of them, or others.
    fn node_get_cpu_map(
        &self,
        _: &Call<'_>,
        need_map: i32,
        need_online: i32,
        flags: u32,
    ) -> Result<NodeGetCpuMap> {
        check_flags(flags, 0, "libxlNodeGetCPUMap")?;
        let count = self.core().hypervisor.physical()?.cpus;
        let all: Vec<usize> = (0..usize::try_from(count).unwrap_or(0).min(CPUS_MAX)).collect();
        let bytes = i32::try_from(all.len().div_ceil(8)).unwrap_or(0);
        Ok(NodeGetCpuMap {
            cpumap: if need_map != 0 { cpu_map(&all, bytes) } else { Vec::new() },
            online: if need_online != 0 { count } else { 0 },
            ret: signed(count),
        })
    }

    fn node_get_security_model(&self, _: &Call<'_>) -> Result<NodeGetSecurityModel> {
        Ok(NodeGetSecurityModel { model: String::new(), doi: String::new() })
    }

    fn get_capabilities(&self, _: &Call<'_>) -> Result<String> {
        let physical = self.core().hypervisor.physical()?;
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let arch = virt_host::architecture();
        Ok(Capabilities::read(&arch, &physical.caps, &cpuinfo).to_xml())
    }

    fn get_sysinfo(&self, _: &Call<'_>, flags: u32) -> Result<String> {
        check_flags(flags, 0, "libxlConnectGetSysinfo")?;
        let detail = "Host SMBIOS information is not available";
        Err(Error::new(Code::ConfigUnsupported, ORIGIN, detail))
    }
}
