//! Calls that watch a domain: its counters, the sizes of its disks, what it says.

use virt_driver::{Call, DomainStats};
use virt_error::Result;
use virt_types::*;

use crate::TestDriver;
use crate::domain::{STRING_OKAY, balloon, guest, stats, vcpu};
use crate::error::check_flags;

impl DomainStats for TestDriver {
    fn get_cpu_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        nparams: u32,
        start_cpu: i32,
        ncpus: u32,
        flags: u32,
    ) -> Result<DomainGetCpuStats> {
        check_flags(flags, STRING_OKAY, "testDomainGetCPUStats")?;
        self.world.look(dom, |state| vcpu::cpu_stats(state, nparams, start_cpu, ncpus))
    }

    fn memory_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        max_stats: u32,
        flags: u32,
    ) -> Result<Vec<DomainMemoryStat>> {
        check_flags(flags, 0, "testDomainMemoryStats")?;
        self.world.look(dom, |state| balloon::stats(state, max_stats))
    }

    fn memory_peek(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        offset: u64,
        size: u32,
        flags: u32,
    ) -> Result<Vec<u8>> {
        self.world.look(dom, |state| balloon::peek(state, offset, size, flags))
    }

    fn block_stats(&self, _: &Call<'_>, dom: &DomainRef, path: &str) -> Result<DomainBlockStats> {
        self.world.look(dom, |state| stats::block(state, path))
    }

    fn interface_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        device: &str,
    ) -> Result<DomainInterfaceStats> {
        self.world.look(dom, |state| stats::interface(state, device))
    }

    fn get_block_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        path: &str,
        flags: u32,
    ) -> Result<DomainBlockInfo> {
        check_flags(flags, 0, "testDomainGetBlockInfo")?;
        self.world.look(dom, |state| stats::block_info(state, path))
    }

    fn get_all_stats(
        &self,
        _: &Call<'_>,
        doms: &[DomainRef],
        stats: u32,
        flags: u32,
    ) -> Result<Vec<DomainStatsRecord>> {
        stats::all(&self.world, doms, stats, flags)
    }

    fn get_control_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<DomainControlInfo> {
        check_flags(flags, 0, "testDomainGetControlInfo")?;
        self.world.look(dom, guest::control)
    }

    fn get_disk_errors(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        maxerrors: u32,
        flags: u32,
    ) -> Result<DomainGetDiskErrors> {
        check_flags(flags, 0, "testDomainGetDiskErrors")?;
        self.world.look(dom, |state| guest::disk_errors(state, maxerrors))
    }

    fn interface_addresses(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        source: u32,
        flags: u32,
    ) -> Result<Vec<DomainInterface>> {
        check_flags(flags, 0, "testDomainInterfaceAddresses")?;
        guest::addresses(&self.world, dom, source)
    }

    fn get_messages(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<Vec<String>> {
        check_flags(flags, guest::MESSAGE_FLAGS, "testDomainGetMessages")?;
        self.world.look(dom, |state| Ok(state.taints.messages(flags)))
    }
}
