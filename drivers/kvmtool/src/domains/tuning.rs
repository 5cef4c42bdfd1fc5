//! Calls that tune a domain: memory, processors, weights and limits.

use virt_driver::{Call, DomainTuning};
use virt_error::Result;
use virt_guests::Data;
use virt_types::{
    DomainGetEmulatorPinInfo, DomainGetSchedulerType, DomainGetVcpuPinInfo, DomainRef, DomainVcpus,
    TypedParam, api,
};

use super::{AFFECT, check_flags};
use crate::limits::{self, Kind};
use crate::{KvmtoolDriver, control, vcpus};

impl DomainTuning for KvmtoolDriver {
    fn get_max_memory(&self, _: &Call<'_>, dom: &DomainRef) -> Result<u64> {
        let guests = &self.core().guests;
        Ok(guests.current(&*guests.find(dom)?)?.memory.kib)
    }

    fn set_max_memory(&self, call: &Call<'_>, dom: &DomainRef, memory: u64) -> Result<()> {
        self.set_memory(call, dom, memory, api::DOMAIN_MEM_MAXIMUM)
    }

    fn set_memory(&self, call: &Call<'_>, dom: &DomainRef, memory: u64, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT | api::DOMAIN_MEM_MAXIMUM, "kvmtoolDomainSetMemoryFlags")?;
        control::set_memory(self.core(), call, dom, memory, flags)
    }

    fn set_vcpus(&self, call: &Call<'_>, dom: &DomainRef, nvcpus: u32, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT | api::DOMAIN_VCPU_MAXIMUM, "kvmtoolDomainSetVcpusFlags")?;
        control::set_vcpus(self.core(), call, dom, nvcpus, flags)
    }

    fn get_max_vcpus(&self, call: &Call<'_>, dom: &DomainRef) -> Result<i32> {
        let active = self.seen(dom, Data::active)?;
        let flags = if active { api::DOMAIN_AFFECT_LIVE } else { 0 };
        self.get_vcpus_flags(call, dom, flags | api::DOMAIN_VCPU_MAXIMUM)
    }

    /// As many as there can be: all are there from the start.
    fn get_vcpus_flags(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<i32> {
        check_flags(flags, AFFECT | api::DOMAIN_VCPU_MAXIMUM, "kvmtoolDomainGetVcpusFlags")?;
        let guests = &self.core().guests;
        let document = guests.meant(&*guests.find(dom)?, flags)?;
        Ok(i32::try_from(document.vcpu.count).unwrap_or(i32::MAX))
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

    fn pin_vcpu(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        vcpu: u32,
        cpumap: &[u8],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "kvmtoolDomainPinVcpuFlags")?;
        vcpus::pin(self.core(), call, dom, vcpu, cpumap, flags)
    }

    fn get_vcpu_pin_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        ncpumaps: i32,
        maplen: i32,
        flags: u32,
    ) -> Result<DomainGetVcpuPinInfo> {
        check_flags(flags, AFFECT, "kvmtoolDomainGetVcpuPinInfo")?;
        let guests = &self.core().guests;
        let document = guests.meant(&*guests.find(dom)?, flags)?;
        Ok(vcpus::pinned(&document, ncpumaps, maplen))
    }

    fn pin_emulator(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        cpumap: &[u8],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "kvmtoolDomainPinEmulator")?;
        vcpus::pin_emulator(self.core(), call, dom, cpumap, flags)
    }

    fn get_emulator_pin_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        maplen: i32,
        flags: u32,
    ) -> Result<DomainGetEmulatorPinInfo> {
        check_flags(flags, AFFECT, "kvmtoolDomainGetEmulatorPinInfo")?;
        let guests = &self.core().guests;
        let document = guests.meant(&*guests.find(dom)?, flags)?;
        Ok(vcpus::emulator_pinned(&document, maplen))
    }

    fn get_scheduler_type(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainGetSchedulerType> {
        self.core().guests.find(dom)?;
        let (kind, nparams) = limits::SCHEDULER_TYPE;
        Ok(DomainGetSchedulerType { kind: kind.to_owned(), nparams })
    }

    fn get_scheduler_parameters(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, limits::FLAGS, "kvmtoolDomainGetSchedulerParametersFlags")?;
        limits::parameters(self.core(), dom, Kind::Scheduler, flags)
    }

    fn set_scheduler_parameters(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "kvmtoolDomainSetSchedulerParametersFlags")?;
        limits::set_parameters(self.core(), call, dom, Kind::Scheduler, params, flags)
    }

    fn get_memory_parameters(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, limits::FLAGS, "kvmtoolDomainGetMemoryParameters")?;
        limits::parameters(self.core(), dom, Kind::Memory, flags)
    }

    fn set_memory_parameters(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "kvmtoolDomainSetMemoryParameters")?;
        limits::set_parameters(self.core(), call, dom, Kind::Memory, params, flags)
    }

    fn get_blkio_parameters(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, limits::FLAGS, "kvmtoolDomainGetBlkioParameters")?;
        limits::parameters(self.core(), dom, Kind::Blkio, flags)
    }

    fn set_blkio_parameters(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "kvmtoolDomainSetBlkioParameters")?;
        limits::set_parameters(self.core(), call, dom, Kind::Blkio, params, flags)
    }
}
