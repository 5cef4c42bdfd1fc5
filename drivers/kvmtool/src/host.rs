//! The host calls: what the node is made of and what its tool can do.

use virt_driver::{Call, Host};
use virt_error::{Code, Error, Result};
use virt_guests::node;
use virt_types::{NodeCpuStat, NodeGetCpuMap, NodeGetSecurityModel, NodeInfo, NodeMemoryStat};

use crate::domains::check_flags;
use crate::{KvmtoolDriver, ORIGIN, capabilities, invalid_arg};

impl Host for KvmtoolDriver {
    fn get_type(&self, _: &Call<'_>) -> Result<String> {
        Ok("kvmtool".into())
    }

    fn is_secure(&self, _: &Call<'_>) -> Result<bool> {
        Ok(true)
    }

    fn get_version(&self, _: &Call<'_>) -> Result<u64> {
        Ok(self.core().tool(None)?.version_number())
    }

    fn get_max_vcpus(&self, _: &Call<'_>, kind: Option<&str>) -> Result<i32> {
        match kind.unwrap_or("kvmtool") {
            "kvmtool" | "kvm" => Ok(255),
            kind => Err(invalid_arg(format!("unknown type '{kind}'"))),
        }
    }

    fn node_get_info(&self, _: &Call<'_>) -> Result<NodeInfo> {
        Ok(node::info())
    }

    fn get_capabilities(&self, _: &Call<'_>) -> Result<String> {
        Ok(capabilities::host(self.core()))
    }

    fn get_domain_capabilities(
        &self,
        _: &Call<'_>,
        emulatorbin: Option<&str>,
        arch: Option<&str>,
        _: Option<&str>,
        virttype: Option<&str>,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, 1, "kvmtoolConnectGetDomainCapabilities")?;
        capabilities::domain(self.core(), emulatorbin, arch, virttype)
    }

    fn get_hostname(&self, _: &Call<'_>) -> Result<String> {
        Ok(virt_host::hostname())
    }

    fn get_sysinfo(&self, _: &Call<'_>, flags: u32) -> Result<String> {
        check_flags(flags, 0, "kvmtoolConnectGetSysinfo")?;
        let detail = "Host SMBIOS information is not available";
        Err(Error::new(Code::ConfigUnsupported, ORIGIN, detail))
    }

    fn node_get_security_model(&self, _: &Call<'_>) -> Result<NodeGetSecurityModel> {
        Ok(NodeGetSecurityModel { model: "none".into(), doi: "0".into() })
    }

    fn node_get_cells_free_memory(&self, _: &Call<'_>, first: i32, most: i32) -> Result<Vec<u64>> {
        node::cells_free_memory(first, most, ORIGIN)
    }

    fn node_get_free_memory(&self, _: &Call<'_>) -> Result<u64> {
        Ok(node::free_memory())
    }

    fn node_get_cpu_stats(&self, _: &Call<'_>, cpu: i32, flags: u32) -> Result<Vec<NodeCpuStat>> {
        node::cpu_stats(cpu, flags, ORIGIN)
    }

    fn node_get_memory_stats(
        &self,
        _: &Call<'_>,
        cell: i32,
        flags: u32,
    ) -> Result<Vec<NodeMemoryStat>> {
        node::memory_stats(cell, flags, ORIGIN)
    }

    fn node_get_cpu_map(
        &self,
        _: &Call<'_>,
        need_map: i32,
        need_online: i32,
        flags: u32,
    ) -> Result<NodeGetCpuMap> {
        node::cpu_map(need_map, need_online, flags, ORIGIN)
    }

    fn node_get_free_pages(
        &self,
        _: &Call<'_>,
        pages: &[u32],
        first: i32,
        most: u32,
        flags: u32,
    ) -> Result<Vec<u64>> {
        node::free_pages(pages, first, most, flags, ORIGIN)
    }
}
