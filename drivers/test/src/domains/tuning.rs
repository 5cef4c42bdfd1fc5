//! Calls that tune a domain: memory, processors, I/O threads, weights and limits.

use virt_driver::{Call, DomainTuning};
use virt_error::Result;
use virt_types::*;

use super::Params;
use crate::TestDriver;
use crate::domain::{AFFECT, STRING_OKAY, balloon, blkio, iothread, throttle, tune, vcpu};
use crate::error::check_flags;

impl DomainTuning for TestDriver {
    fn get_max_memory(&self, _: &Call<'_>, dom: &DomainRef) -> Result<u64> {
        self.world.look(dom, |state| Ok(state.current.memory.kib))
    }

    fn get_max_vcpus(&self, _: &Call<'_>, dom: &DomainRef) -> Result<i32> {
        let flags = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_VCPU_MAXIMUM;
        self.world.look(dom, |state| vcpu::count(state, flags))
    }

    fn get_vcpus_flags(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<i32> {
        let known = AFFECT | api::DOMAIN_VCPU_MAXIMUM;
        check_flags(flags, known, "testDomainGetVcpusFlags")?;
        self.world.look(dom, |state| vcpu::count(state, flags))
    }

    fn set_vcpus(&self, call: &Call<'_>, dom: &DomainRef, nvcpus: u32, flags: u32) -> Result<()> {
        let known = AFFECT | api::DOMAIN_VCPU_MAXIMUM;
        check_flags(flags, known, "testDomainSetVcpusFlags")?;
        self.world.change(call, dom, |state| vcpu::set_count(state, nvcpus, flags))
    }

    fn get_vcpus(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        maxinfo: i32,
        maplen: i32,
    ) -> Result<DomainVcpus> {
        let node = &self.world.node;
        self.world.look(dom, |state| vcpu::info(state, node, maxinfo, maplen))
    }

    fn get_vcpu_pin_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        ncpumaps: i32,
        maplen: i32,
        flags: u32,
    ) -> Result<DomainGetVcpuPinInfo> {
        check_flags(flags, AFFECT, "testDomainGetVcpuPinInfo")?;
        let node = &self.world.node;
        self.world.look(dom, |state| vcpu::pin_info(state, node, ncpumaps, maplen, flags))
    }

    fn pin_vcpu(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        vcpu: u32,
        cpumap: &[u8],
        flags: u32,
    ) -> Result<()> {
        // Compat: the call without flags means the running domain; none may be said.
        let flags = if call.api.name == "virDomainPinVcpu" { 0 } else { flags };
        check_flags(flags, 0, "testDomainPinVcpuFlags")?;
        self.world.change(call, dom, |state| vcpu::pin(state, vcpu, cpumap))
    }

    fn get_emulator_pin_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        maplen: i32,
        flags: u32,
    ) -> Result<DomainGetEmulatorPinInfo> {
        check_flags(flags, AFFECT, "testDomainGetEmulatorPinInfo")?;
        let node = &self.world.node;
        self.world.look(dom, |state| vcpu::emulator_pin_info(state, node, maplen, flags))
    }

    fn pin_emulator(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        cpumap: &[u8],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainPinEmulator")?;
        self.world.change(call, dom, |state| vcpu::pin_emulator(state, cpumap, flags))
    }

    fn get_iothread_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<DomainGetIothreadInfo> {
        check_flags(flags, AFFECT, "testDomainGetIOThreadInfo")?;
        self.world.look(dom, |state| iothread::info(state, flags))
    }

    fn pin_iothread(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        iothreads_id: u32,
        cpumap: &[u8],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainPinIOThread")?;
        self.world.change(call, dom, |state| iothread::pin(state, iothreads_id, cpumap, flags))
    }

    fn add_iothread(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        iothread_id: u32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainAddIOThread")?;
        self.world.change(call, dom, |state| iothread::add(state, iothread_id, flags))
    }

    fn del_iothread(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        iothread_id: u32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainDelIOThread")?;
        self.world.change(call, dom, |state| iothread::delete(state, iothread_id, flags))
    }

    fn set_iothread_params(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        iothread_id: u32,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, api::DOMAIN_AFFECT_LIVE, "testDomainSetIOThreadParams")?;
        self.world.change(call, dom, |state| iothread::set_params(state, iothread_id, params))
    }

    fn set_max_memory(&self, call: &Call<'_>, dom: &DomainRef, memory: u64) -> Result<()> {
        self.world.change(call, dom, |state| balloon::set_max(state, memory, 0))
    }

    fn set_memory(&self, call: &Call<'_>, dom: &DomainRef, memory: u64, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT | api::DOMAIN_MEM_MAXIMUM, "testDomainSetMemoryFlags")?;
        self.world.change(call, dom, |state| balloon::set(state, memory, flags))
    }

    fn set_memory_stats_period(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        period: i32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainSetMemoryStatsPeriod")?;
        let period_s = u32::try_from(period).unwrap_or(0);
        self.world.change(call, dom, |state| balloon::set_stats_period(state, period_s, flags))
    }

    fn get_memory_parameters(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<Params> {
        check_flags(flags, AFFECT | STRING_OKAY, "testDomainGetMemoryParameters")?;
        self.world.look(dom, |state| balloon::limits(state, flags))
    }

    fn set_memory_parameters(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainSetMemoryParameters")?;
        self.world.change(call, dom, |state| balloon::set_limits(state, params, flags))
    }

    fn get_numa_parameters(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<Params> {
        check_flags(flags, AFFECT | STRING_OKAY, "testDomainGetNumaParameters")?;
        self.world.look(dom, |state| tune::numa(state, flags))
    }

    fn set_numa_parameters(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainSetNumaParameters")?;
        self.world.change(call, dom, |state| tune::set_numa(state, params, flags))
    }

    fn get_blkio_parameters(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<Params> {
        check_flags(flags, AFFECT | STRING_OKAY, "testDomainGetBlkioParameters")?;
        self.world.look(dom, |state| blkio::get(state, flags))
    }

    fn set_blkio_parameters(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainSetBlkioParameters")?;
        self.world.change(call, dom, |state| blkio::set(state, params, flags))
    }

    fn get_interface_parameters(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        device: &str,
        flags: u32,
    ) -> Result<Params> {
        check_flags(flags, AFFECT | STRING_OKAY, "testDomainGetInterfaceParameters")?;
        self.world.look(dom, |state| throttle::interface(state, device, flags))
    }

    fn set_interface_parameters(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        device: &str,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainSetInterfaceParameters")?;
        self.world.change(call, dom, |state| throttle::set_interface(state, device, params, flags))
    }

    fn get_block_io_tune(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        disk: Option<&str>,
        flags: u32,
    ) -> Result<Params> {
        check_flags(flags, AFFECT | STRING_OKAY, "testDomainGetBlockIoTune")?;
        self.world.look(dom, |state| throttle::disk(state, disk, flags))
    }

    fn set_block_io_tune(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        disk: &str,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainSetBlockIoTune")?;
        self.world.change(call, dom, |state| throttle::set_disk(state, disk, params, flags))
    }

    fn get_perf_events(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<Params> {
        check_flags(flags, AFFECT | STRING_OKAY, "testDomainGetPerfEvents")?;
        self.world.look(dom, |state| tune::perf(state, flags))
    }

    fn set_perf_events(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainSetPerfEvents")?;
        self.world.change(call, dom, |state| tune::set_perf(state, params, flags))
    }

    fn get_scheduler_type(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainGetSchedulerType> {
        self.world.look(dom, |_| Ok(tune::scheduler_type()))
    }

    fn get_scheduler_parameters(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Params> {
        check_flags(flags, 0, "testDomainGetSchedulerParametersFlags")?;
        self.world.look(dom, |_| Ok(tune::scheduler()))
    }

    fn set_scheduler_parameters(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "testDomainSetSchedulerParametersFlags")?;
        self.world.change(call, dom, |_| tune::set_scheduler(params))
    }
}
