//! The host below the guests.

use virt_driver::{Call, Host};
use virt_error::{Code, Error, Result};
use virt_guests::cpu_map;
use virt_guests::smbios::Smbios;
use virt_types::{NodeGetCpuMap, NodeGetSecurityModel, NodeInfo};

use crate::capabilities::Capabilities;
use crate::channels::CPUS_MAX;
use crate::domains::check_flags;
use crate::formats::Toolstack;
use crate::{ORIGIN, XenDriver, invalid_arg, today};

/// Limit: virtual processors of a guest; libvirt's own for Xen.
const VCPUS_MAX: i32 = 512;

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Host for XenDriver {
    fn get_type(&self, _: &Call<'_>) -> Result<String> {
        Ok("Xen".to_owned())
    }

    fn get_version(&self, _: &Call<'_>) -> Result<u64> {
        let (major, minor, micro) = self.core().hypervisor().physical()?.version;
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
        let physical = self.core().hypervisor().physical()?;
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
        let physical = self.core().hypervisor().physical()?;
        Ok(physical.free_kib.saturating_mul(1024))
    }

    fn node_get_cells_free_memory(
        &self,
        _: &Call<'_>,
        start_cell: i32,
        maxcells: i32,
    ) -> Result<Vec<u64>> {
        let cells = self.core().hypervisor().cells()?;
        let last = cells.last().map_or(0, |cell| cell.id);
        let first = usize::try_from(start_cell).ok().filter(|first| *first <= last);
        let (Some(first), Ok(most @ 1..)) = (first, usize::try_from(maxcells)) else {
            let detail = format!("start cell {start_cell} out of range (0-{last})");
            return Err(invalid_arg(detail));
        };
        let free = cells.iter().filter(|cell| cell.id >= first).take(most);
        Ok(free.map(|cell| cell.free_kib.saturating_mul(1024)).collect())
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
        let count = self.core().hypervisor().physical()?.cpus;
        let all: Vec<usize> = (0..usize::try_from(count.min(CPUS_MAX)).unwrap_or(0)).collect();
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
        let (core, arch) = (self.core(), virt_host::architecture());
        let host = core.toolstack().host();
        if host.toolstack == Toolstack::Libxl {
            return today::capabilities(&*core.hypervisor(), &arch, &host.firmware_dir);
        }
        let physical = core.hypervisor().physical()?;
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Ok(Capabilities::read(&arch, &physical.caps, &cpuinfo).to_xml())
    }

    fn get_sysinfo(&self, _: &Call<'_>, flags: u32) -> Result<String> {
        check_flags(flags, 0, "libxlConnectGetSysinfo")?;
        let found = Smbios::host();
        found.map(|tables| tables.to_xml()).ok_or_else(|| {
            let detail = "Host SMBIOS information is not available";
            Error::new(Code::ConfigUnsupported, ORIGIN, detail)
        })
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
        check_flags(flags, 0, "libxlConnectGetDomainCapabilities")?;
        let own = virt_host::architecture();
        if let Some(other) = arch.filter(|arch| *arch != own) {
            return Err(invalid_arg(format!("unknown architecture: {other}")));
        }
        let host = self.core().toolstack().host();
        today::domain_capabilities(emulatorbin, &own, machine, virttype, &host.firmware_dir)
    }
}
