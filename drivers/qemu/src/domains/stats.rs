//! Calls that watch a domain: its counters, the sizes of its disks, what it says.

use std::sync::Arc;

use virt_driver::{Call, DomainStats, stats_asked};
use virt_error::{Error, Origin, Result};
use virt_types::{
    DomainBlockInfo, DomainBlockStats, DomainControlInfo, DomainGetDiskErrors, DomainInterface,
    DomainInterfaceStats, DomainMemoryStat, DomainRef, DomainStatsRecord, TypedParam, api,
};

use super::check_flags;
use crate::{QemuDriver, agent, blocks, stats};

impl DomainStats for QemuDriver {
    fn get_control_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<DomainControlInfo> {
        check_flags(flags, 0, "qemuDomainGetControlInfo")?;
        let guest = self.core().guests.find(dom)?;
        guest.read(|data| data.running().map(drop))?;
        // 0 is "ok", 2 is "occupied": somebody waits for the guest.
        let state = if guest.cell.busy_with().is_some() { 2 } else { 0 };
        Ok(DomainControlInfo { state, details: 0, state_time: 0 })
    }

    fn interface_addresses(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        source: u32,
        flags: u32,
    ) -> Result<Vec<DomainInterface>> {
        check_flags(flags, 0, "qemuDomainInterfaceAddresses")?;
        if i32::try_from(source) == Ok(api::DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT) {
            return agent::addresses(self.core(), call, dom);
        }
        // The host knows leases and neighbours only of networks that it gives itself.
        self.seen(dom, |data| data.running().map(drop))??;
        Ok(Vec::new())
    }

    fn get_disk_errors(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        maxerrors: u32,
        flags: u32,
    ) -> Result<DomainGetDiskErrors> {
        check_flags(flags, api::TYPED_PARAM_STRING_OKAY, "qemuDomainGetDiskErrors")?;
        blocks::errors(self.core(), call, dom, maxerrors)
    }

    fn memory_stats(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        max_stats: u32,
        flags: u32,
    ) -> Result<Vec<DomainMemoryStat>> {
        check_flags(flags, 0, "qemuDomainMemoryStats")?;
        let (document, monitor, balloon_kib, pid) = self.seen(dom, |data| {
            let live = data.running()?;
            let (document, monitor) = (Arc::clone(&live.document), Arc::clone(&live.monitor));
            Ok::<_, Error>((document, monitor, live.balloon_kib, live.process.pid()))
        })??;
        let mut all = stats::memory(call, &document, &monitor, balloon_kib, pid)?;
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
        let function = "qemuConnectGetAllDomainStats";
        let (kinds, filters) = stats_asked(kinds, flags, stats::ALL, function, Origin::Qemu)?;
        Ok(stats::all(self.core(), call, doms, kinds, filters))
    }

    fn get_block_info(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        path: &str,
        flags: u32,
    ) -> Result<DomainBlockInfo> {
        check_flags(flags, 0, "qemuDomainGetBlockInfo")?;
        blocks::info(self.core(), call, dom, path)
    }

    fn block_stats(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        path: &str,
    ) -> Result<DomainBlockStats> {
        let counters = blocks::counters(self.core(), call, dom, path)?;
        let of = |name: &str| {
            let found = counters.iter().find(|(known, _)| *known == name);
            found.and_then(|(_, value)| i64::try_from(*value).ok()).unwrap_or(0)
        };
        Ok(DomainBlockStats {
            rd_req: of("rd.reqs"),
            rd_bytes: of("rd.bytes"),
            wr_req: of("wr.reqs"),
            wr_bytes: of("wr.bytes"),
            errs: -1,
        })
    }

    fn block_stats_flags(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        path: &str,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, api::TYPED_PARAM_STRING_OKAY, "qemuDomainBlockStatsFlags")?;
        Ok(blocks::params(&blocks::counters(self.core(), call, dom, path)?))
    }

    fn interface_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        device: &str,
    ) -> Result<DomainInterfaceStats> {
        blocks::interface(self.core(), dom, device)
    }
}
