//! Calls that watch a domain: its counters, the sizes of its disks, what it says.

use virt_driver::{Call, DomainStats, stats_asked};
use virt_error::Result;
use virt_types::{
    DomainBlockInfo, DomainControlInfo, DomainGetCpuStats, DomainGetDiskErrors, DomainInterface,
    DomainInterfaceStats, DomainMemoryStat, DomainRef, DomainStatsRecord, TypedParam, api,
};

use super::{AFFECT, check_flags};
use crate::{KvmtoolDriver, ORIGIN, control, limits, stats};

impl DomainStats for KvmtoolDriver {
    fn get_control_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<DomainControlInfo> {
        check_flags(flags, 0, "kvmtoolDomainGetControlInfo")?;
        let guest = self.core().guests.find(dom)?;
        guest.live(|_| ())?;
        // 0 is "ok", 2 is "occupied": somebody waits for the guest.
        let state = if guest.cell.busy_with().is_some() { 2 } else { 0 };
        Ok(DomainControlInfo { state, details: 0, state_time: 0 })
    }

    fn memory_stats(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        max_stats: u32,
        flags: u32,
    ) -> Result<Vec<DomainMemoryStat>> {
        check_flags(flags, 0, "kvmtoolDomainMemoryStats")?;
        let mut all = stats::memory(call, self.core(), dom)?;
        all.truncate(usize::try_from(max_stats).unwrap_or(0));
        Ok(all)
    }

    fn get_all_stats(
        &self,
        call: &Call<'_>,
        doms: &[DomainRef],
        kinds: u32,
        flags: u32,
    ) -> Result<Vec<DomainStatsRecord>> {
        let function = "kvmtoolConnectGetAllDomainStats";
        let (kinds, filters) = stats_asked(kinds, flags, stats::ALL, function, ORIGIN)?;
        Ok(stats::all(self.core(), call, doms, kinds, filters))
    }

    fn get_cpu_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        nparams: u32,
        start_cpu: i32,
        ncpus: u32,
        flags: u32,
    ) -> Result<DomainGetCpuStats> {
        check_flags(flags, api::TYPED_PARAM_STRING_OKAY, "kvmtoolDomainGetCPUStats")?;
        limits::cpu_stats(self.core(), dom, nparams, start_cpu, ncpus)
    }

    fn get_block_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        path: &str,
        flags: u32,
    ) -> Result<DomainBlockInfo> {
        check_flags(flags, 0, "kvmtoolDomainGetBlockInfo")?;
        let guests = &self.core().guests;
        stats::block_info(&*guests.current(&*guests.find(dom)?)?, path)
    }

    fn interface_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        device: &str,
    ) -> Result<DomainInterfaceStats> {
        stats::interface(&*control::live_document(self.core(), dom)?, device)
    }

    fn get_disk_errors(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: u32,
        flags: u32,
    ) -> Result<DomainGetDiskErrors> {
        check_flags(flags, api::TYPED_PARAM_STRING_OKAY, "kvmtoolDomainGetDiskErrors")?;
        self.need_active(dom)?;
        // The tool tells errors to its guest and to nobody else.
        Ok(DomainGetDiskErrors { errors: Vec::new(), nerrors: 0 })
    }

    fn interface_addresses(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        source: u32,
        flags: u32,
    ) -> Result<Vec<DomainInterface>> {
        check_flags(flags, 0, "kvmtoolDomainInterfaceAddresses")?;
        if i32::try_from(source) == Ok(api::DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT) {
            return control::no_agent();
        }
        self.need_active(dom)?;
        Ok(Vec::new())
    }

    fn get_messages(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<Vec<String>> {
        check_flags(flags, AFFECT, "kvmtoolDomainGetMessages")?;
        self.core().guests.find(dom)?;
        Ok(Vec::new())
    }

    fn block_stats_flags(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: &str,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, api::TYPED_PARAM_STRING_OKAY, "kvmtoolDomainBlockStatsFlags")?;
        super::never(self, dom, "the native Linux KVM tool does not count what its disks do")
    }
}
