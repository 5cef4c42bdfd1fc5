//! The host calls: what the node is made of and what its emulators can do.

mod domain_caps;
mod node_caps;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use virt_driver::{Call, Host, check_flags as check};
use virt_error::{Code, Error, Origin, Result};
use virt_guests::node;
use virt_types::{NodeCpuStat, NodeGetCpuMap, NodeGetSecurityModel, NodeInfo, NodeMemoryStat, api};

use crate::capabilities::Capabilities;
use crate::rules::default_emulator;
use crate::{QemuDriver, cpu};

fn check_flags(flags: u32, known: u32, function: &str) -> Result<()> {
    check(flags, known, function).map_err(|error| error.or_from(Origin::Qemu))
}

/// Whether a processor that does not fit is an error; where asked, the document is held against its
/// schema. What is no document at all is refused by who reads it.
fn compare_flags(xml: &str, flags: u32, function: &str) -> Result<bool> {
    let (strict, validate) =
        (api::CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE, api::CONNECT_COMPARE_CPU_VALIDATE_XML);
    check_flags(flags, strict | validate, function)?;
    if flags & validate != 0
        && let Ok(tree) = virt_xml::parse(xml)
    {
        virt_model::schema::validate::check(&tree)?;
    }
    Ok(flags & strict != 0)
}

fn invalid_arg(detail: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, Origin::Qemu, detail)
}

/// The emulators that this host has, with the architecture of the guests each is listed for.
pub(crate) fn installed() -> Vec<(&'static str, PathBuf)> {
    ["i686", "x86_64", "aarch64", "riscv64", "ppc64", "s390x"]
        .into_iter()
        .map(|arch| (arch, default_emulator(arch)))
        .filter(|(_, path)| path.exists())
        .collect()
}

impl QemuDriver {
    /// The emulator that a call names, or the one for an architecture.
    fn asked_about(&self, emulator: Option<&str>, arch: Option<&str>) -> Result<Arc<Capabilities>> {
        let arch = arch.map_or_else(virt_host::architecture, str::to_owned);
        let emulator = emulator.map_or_else(|| default_emulator(&arch), PathBuf::from);
        self.0.capabilities(&emulator)
    }
}

impl Host for QemuDriver {
    fn get_type(&self, _: &Call<'_>) -> Result<String> {
        Ok("QEMU".into())
    }

    fn is_secure(&self, _: &Call<'_>) -> Result<bool> {
        Ok(true)
    }

    /// The version of the emulator for the host's own architecture.
    fn get_version(&self, _: &Call<'_>) -> Result<u64> {
        let emulator = default_emulator(&virt_host::architecture());
        Ok(self.0.capabilities(&emulator)?.version_number())
    }

    fn get_max_vcpus(&self, _: &Call<'_>, kind: Option<&str>) -> Result<i32> {
        match kind.unwrap_or("qemu").to_ascii_lowercase().as_str() {
            // Compat: what plain emulation is said to take, whatever the machine.
            "qemu" => Ok(16),
            "kvm" => {
                let emulator = default_emulator(&virt_host::architecture());
                let capabilities = self.0.capabilities(&emulator)?;
                let most = capabilities.default_machine().map_or(16, |machine| machine.max_cpus);
                Ok(i32::try_from(most).unwrap_or(i32::MAX))
            }
            kind => Err(invalid_arg(format!("unknown type '{kind}'"))),
        }
    }

    fn node_get_info(&self, _: &Call<'_>) -> Result<NodeInfo> {
        Ok(node::info())
    }

    fn get_capabilities(&self, _: &Call<'_>) -> Result<String> {
        Ok(node_caps::document(&self.0))
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
        check_flags(flags, 1, "qemuConnectGetDomainCapabilities")?;
        let arch = arch.map_or_else(virt_host::architecture, str::to_owned);
        let emulator = emulatorbin.map_or_else(|| default_emulator(&arch), PathBuf::from);
        let capabilities = self.0.capabilities(Path::new(&emulator))?;
        domain_caps::document(&capabilities, &emulator, &arch, machine, virttype)
    }

    fn get_hostname(&self, _: &Call<'_>) -> Result<String> {
        Ok(virt_host::hostname())
    }

    fn get_sysinfo(&self, _: &Call<'_>, flags: u32) -> Result<String> {
        check_flags(flags, 0, "qemuConnectGetSysinfo")?;
        let detail = "Host SMBIOS information is not available";
        Err(Error::new(Code::ConfigUnsupported, Origin::Qemu, detail))
    }

    fn node_get_security_model(&self, _: &Call<'_>) -> Result<NodeGetSecurityModel> {
        Ok(NodeGetSecurityModel { model: "none".into(), doi: "0".into() })
    }

    fn node_get_cells_free_memory(
        &self,
        _: &Call<'_>,
        start_cell: i32,
        maxcells: i32,
    ) -> Result<Vec<u64>> {
        node::cells_free_memory(start_cell, maxcells, Origin::Qemu)
    }

    fn node_get_free_memory(&self, _: &Call<'_>) -> Result<u64> {
        Ok(node::free_memory())
    }

    fn node_get_cpu_stats(
        &self,
        _: &Call<'_>,
        cpu_num: i32,
        flags: u32,
    ) -> Result<Vec<NodeCpuStat>> {
        node::cpu_stats(cpu_num, flags, Origin::Qemu)
    }

    fn node_get_memory_stats(
        &self,
        _: &Call<'_>,
        cell_num: i32,
        flags: u32,
    ) -> Result<Vec<NodeMemoryStat>> {
        node::memory_stats(cell_num, flags, Origin::Qemu)
    }

    fn node_get_cpu_map(
        &self,
        _: &Call<'_>,
        need_map: i32,
        need_online: i32,
        flags: u32,
    ) -> Result<NodeGetCpuMap> {
        node::cpu_map(need_map, need_online, flags, Origin::Qemu)
    }

    fn node_get_free_pages(
        &self,
        _: &Call<'_>,
        pages: &[u32],
        start_cell: i32,
        cell_count: u32,
        flags: u32,
    ) -> Result<Vec<u64>> {
        node::free_pages(pages, start_cell, cell_count, flags, Origin::Qemu)
    }

    fn get_cpu_model_names(&self, _: &Call<'_>, arch: &str, flags: u32) -> Result<Vec<String>> {
        check_flags(flags, 0, "qemuConnectGetCPUModelNames")?;
        virt_cpu::names(arch, Origin::Qemu)
    }

    fn baseline_cpu(&self, _: &Call<'_>, xml_cpus: &[String], flags: u32) -> Result<String> {
        let wish = cpu::wish(flags, "qemuConnectBaselineCPU")?;
        virt_cpu::baseline(xml_cpus, wish, Origin::Qemu)
    }

    fn compare_cpu(&self, _: &Call<'_>, xml: &str, flags: u32) -> Result<i32> {
        let strict = compare_flags(xml, flags, "qemuConnectCompareCPU")?;
        cpu::compare_with_host(xml)?.code(strict)
    }

    fn compare_hypervisor_cpu(
        &self,
        _: &Call<'_>,
        emulator: Option<&str>,
        arch: Option<&str>,
        _machine: Option<&str>,
        virttype: Option<&str>,
        xml_cpu: &str,
        flags: u32,
    ) -> Result<i32> {
        let strict = compare_flags(xml_cpu, flags, "qemuConnectCompareHypervisorCPU")?;
        let capabilities = self.asked_about(emulator, arch)?;
        let kvm = virttype.map_or_else(|| capabilities.kvm(), |kind| kind == "kvm");
        cpu::compare_with_emulator(xml_cpu, &capabilities, kvm)?.code(strict)
    }

    fn baseline_hypervisor_cpu(
        &self,
        _: &Call<'_>,
        emulator: Option<&str>,
        arch: Option<&str>,
        _machine: Option<&str>,
        virttype: Option<&str>,
        xml_cpus: &[String],
        flags: u32,
    ) -> Result<String> {
        let wish = cpu::wish(flags, "qemuConnectBaselineHypervisorCPU")?;
        let capabilities = self.asked_about(emulator, arch)?;
        let kvm = virttype.map_or_else(|| capabilities.kvm(), |kind| kind == "kvm");
        let most = cpu::most(&capabilities, kvm);
        virt_cpu::baseline_within(xml_cpus, &most, wish, Origin::Qemu)
    }
}
