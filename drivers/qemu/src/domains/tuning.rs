//! Calls that tune a domain: memory, processors, I/O threads, weights and limits.

use virt_driver::{Call, DomainTuning};
use virt_error::Result;
use virt_types::{DomainGetVcpuPinInfo, DomainRef, DomainVcpus, api};

use super::{AFFECT, check_flags};
use crate::control;
use crate::guest::Data;
use crate::{QemuDriver, agent, vcpus};

impl DomainTuning for QemuDriver {
    fn get_max_memory(&self, _: &Call<'_>, dom: &DomainRef) -> Result<u64> {
        let core = self.core();
        Ok(core.guests.current(&*core.guests.find(dom)?)?.memory.kib)
    }

    fn set_max_memory(&self, call: &Call<'_>, dom: &DomainRef, memory: u64) -> Result<()> {
        self.set_memory(call, dom, memory, api::DOMAIN_MEM_MAXIMUM)
    }

    fn set_memory(&self, call: &Call<'_>, dom: &DomainRef, memory: u64, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT | api::DOMAIN_MEM_MAXIMUM, "qemuDomainSetMemoryFlags")?;
        control::set_memory(self.core(), call, dom, memory, flags)
    }

    fn set_memory_stats_period(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        period: i32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "qemuDomainSetMemoryStatsPeriod")?;
        control::set_stats_period(self.core(), call, dom, period, flags)
    }

    fn set_vcpus(&self, call: &Call<'_>, dom: &DomainRef, nvcpus: u32, flags: u32) -> Result<()> {
        let known = AFFECT
            | api::DOMAIN_VCPU_MAXIMUM
            | api::DOMAIN_VCPU_GUEST
            | api::DOMAIN_VCPU_HOTPLUGGABLE;
        check_flags(flags, known, "qemuDomainSetVcpusFlags")?;
        vcpus::set_count(self.core(), call, dom, nvcpus, flags)
    }

    fn set_vcpu(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        cpumap: &str,
        state: i32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "qemuDomainSetVcpu")?;
        vcpus::set_one(self.core(), call, dom, cpumap, state != 0, flags)
    }

    fn get_max_vcpus(&self, call: &Call<'_>, dom: &DomainRef) -> Result<i32> {
        let live = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_VCPU_MAXIMUM;
        let current = api::DOMAIN_VCPU_MAXIMUM;
        let active = self.seen(dom, Data::active)?;
        self.get_vcpus_flags(call, dom, if active { live } else { current })
    }

    fn get_vcpus_flags(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<i32> {
        let known = AFFECT | api::DOMAIN_VCPU_MAXIMUM | api::DOMAIN_VCPU_GUEST;
        check_flags(flags, known, "qemuDomainGetVcpusFlags")?;
        if flags & api::DOMAIN_VCPU_GUEST != 0 {
            let maximum = flags & api::DOMAIN_VCPU_MAXIMUM != 0;
            return agent::count(self.core(), call, dom, maximum);
        }
        let core = self.core();
        let guest = core.guests.find(dom)?;
        let impact = guest.read(|data| core.guests.impact(data, flags))?;
        let stored = if impact.config { core.guests.stored(&guest)? } else { None };
        let vcpu = stored.map_or_else(|| core.guests.current(&guest), Ok)?.vcpu.clone();
        let maximum = flags & api::DOMAIN_VCPU_MAXIMUM != 0;
        let count = if maximum { vcpu.count } else { vcpu.current.unwrap_or(vcpu.count) };
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    fn get_vcpus(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        maxinfo: i32,
        maplen: i32,
    ) -> Result<DomainVcpus> {
        vcpus::running(&*self.core().guests.find(dom)?, maxinfo, maplen)
    }

    fn get_vcpu_pin_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        ncpumaps: i32,
        maplen: i32,
        flags: u32,
    ) -> Result<DomainGetVcpuPinInfo> {
        check_flags(flags, AFFECT, "qemuDomainGetVcpuPinInfo")?;
        vcpus::pinned(self.core(), &*self.core().guests.find(dom)?, ncpumaps, maplen, flags)
    }
}
