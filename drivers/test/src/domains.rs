//! The domain calls: flags are checked here, the work is done in [`crate::domain`].

use std::sync::Arc;

use virt_driver::{Call, Domains, Stream};
use virt_error::Result;
use virt_model::{Flags, PrintFlags};
use virt_types::*;

use crate::domain::metadata::{self, Which};
use crate::domain::{AFFECT, LIST_FILTERS, STRING_OKAY, XML_FLAGS};
use crate::domain::{
    State, balloon, blkio, define, device, guest, iothread, lifecycle, not_found, save, stats,
    throttle, tune, vcpu,
};
use crate::error::check_flags;
use crate::{TestDriver, picture};

type Params = Vec<TypedParam>;

impl Domains for TestDriver {
    fn list_all(&self, _: &Call<'_>, flags: u32) -> Result<Vec<DomainRef>> {
        check_flags(flags, LIST_FILTERS, "testConnectListAllDomains")?;
        Ok(self.world.list_domains(flags))
    }

    fn lookup_by_id(&self, _: &Call<'_>, id: i32) -> Result<DomainRef> {
        define::by_id(&self.world, id)
    }

    fn lookup_by_name(&self, _: &Call<'_>, name: &str) -> Result<DomainRef> {
        self.world.domains.by_name(name).map(|domain| domain.to_ref()).ok_or_else(not_found)
    }

    fn lookup_by_uuid(&self, _: &Call<'_>, uuid: &Uuid) -> Result<DomainRef> {
        self.world.domains.by_uuid(uuid).map(|domain| domain.to_ref()).ok_or_else(not_found)
    }

    fn define_xml(&self, call: &Call<'_>, xml: &str, flags: u32) -> Result<DomainRef> {
        check_flags(flags, api::DOMAIN_DEFINE_VALIDATE, "testDomainDefineXMLFlags")?;
        define::define(call, &self.world, xml, flags)
    }

    fn create_xml(&self, call: &Call<'_>, xml_desc: &str, flags: u32) -> Result<DomainRef> {
        check_flags(flags, api::DOMAIN_START_VALIDATE, "testDomainCreateXML")?;
        define::create(call, &self.world, xml_desc, flags)
    }

    fn create_xml_with_files(
        &self,
        call: &Call<'_>,
        xml_desc: &str,
        flags: u32,
    ) -> Result<DomainRef> {
        self.create_xml(call, xml_desc, flags)
    }

    fn undefine(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, define::UNDEFINE_FLAGS, "testDomainUndefineFlags")?;
        define::undefine(call, &self.world, dom, flags)
    }

    fn rename(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        new_name: Option<&str>,
        flags: u32,
    ) -> Result<i32> {
        check_flags(flags, 0, "testDomainRename")?;
        define::rename(call, &self.world, dom, new_name.unwrap_or_default())
    }

    fn create(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainRef> {
        check_flags(flags, 0, "testDomainCreateWithFlags")?;
        lifecycle::create(call, &self.world, dom)
    }

    fn create_with_files(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainRef> {
        self.create(call, dom, flags)
    }

    fn destroy(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, api::DOMAIN_DESTROY_GRACEFUL, "testDomainDestroyFlags")?;
        lifecycle::destroy(call, &self.world, dom)
    }

    fn shutdown(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testDomainShutdownFlags")?;
        lifecycle::shutdown(call, &self.world, dom)
    }

    fn reboot(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, lifecycle::REBOOT_FLAGS, "testDomainReboot")?;
        lifecycle::reboot(call, &self.world, dom)
    }

    fn reset(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testDomainReset")?;
        lifecycle::reset(call, &self.world, dom)
    }

    fn suspend(&self, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
        lifecycle::suspend(call, &self.world, dom)
    }

    fn resume(&self, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
        lifecycle::resume(call, &self.world, dom)
    }

    fn get_xml_desc(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        check_flags(flags, XML_FLAGS, "testDomainGetXMLDesc")?;
        let definition = self.world.look(dom, |state| Ok(state.described(flags)))?;
        Ok(definition.to_xml(PrintFlags::from_bits(flags)))
    }

    fn get_info(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainInfo> {
        self.world.look(dom, |state| Ok(state.info()))
    }

    fn get_state(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainState> {
        check_flags(flags, 0, "testDomainGetState")?;
        self.world.look(dom, |state| Ok(DomainState { state: state.state, reason: state.reason }))
    }

    fn get_autostart(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.world.look(dom, |state| Ok(state.autostart))
    }

    fn set_autostart(&self, call: &Call<'_>, dom: &DomainRef, autostart: i32) -> Result<()> {
        lifecycle::set_autostart(call, &self.world, dom, autostart != 0)
    }

    fn is_active(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.world.look(dom, |state| Ok(state.active()))
    }

    fn is_persistent(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.world.look(dom, |state| Ok(state.persistent))
    }

    fn is_updated(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.world.look(dom, |_| Ok(false))
    }

    /// Compat: one answer for all, even where there is no such domain.
    fn get_os_type(&self, _: &Call<'_>, _: &DomainRef) -> Result<String> {
        Ok("linux".to_owned())
    }

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

    fn set_lifecycle_action(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        kind: u32,
        action: u32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainSetLifecycleAction")?;
        self.world.change(call, dom, |state| tune::set_lifecycle(state, kind, action, flags))
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

    fn get_security_label(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainSecurityLabel> {
        self.world.look(dom, |state| Ok(state.label()))
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

    fn get_hostname(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        check_flags(flags, 0, "testDomainGetHostname")?;
        self.world.look(dom, State::require_active)?;
        Ok("testhost".to_owned())
    }

    fn inject_nmi(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testDomainInjectNMI")?;
        self.world.look(dom, State::require_active)
    }

    fn send_key(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _codeset: u32,
        _holdtime: u32,
        _keycodes: &[u32],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "testDomainSendKey")?;
        self.world.look(dom, State::require_active)
    }

    fn send_process_signal(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        pid_value: i64,
        signum: u32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "testDomainSendProcessSignal")?;
        self.world.look(dom, |_| guest::signal(pid_value, signum))
    }

    fn set_user_password(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _user: Option<&str>,
        _password: Option<&str>,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, api::DOMAIN_PASSWORD_ENCRYPTED, "testDomainSetUserPassword")?;
        self.world.look(dom, State::require_active)
    }

    fn get_time(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainTime> {
        check_flags(flags, 0, "testDomainGetTime")?;
        self.world.look(dom, guest::time)
    }

    fn set_time(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        seconds: i64,
        nseconds: u32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, api::DOMAIN_TIME_SYNC, "testDomainSetTime")?;
        let clock = DomainTime { seconds, nseconds };
        self.world.change(call, dom, |state| guest::set_time(state, clock))
    }

    fn fsfreeze(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        mountpoints: &[String],
        flags: u32,
    ) -> Result<i32> {
        check_flags(flags, 0, "testDomainFSFreeze")?;
        self.world.change(call, dom, |state| guest::freeze(state, mountpoints, true))
    }

    fn fsthaw(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        mountpoints: &[String],
        flags: u32,
    ) -> Result<i32> {
        check_flags(flags, 0, "testDomainFSThaw")?;
        self.world.change(call, dom, |state| guest::freeze(state, mountpoints, false))
    }

    fn fstrim(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        mount_point: Option<&str>,
        _minimum: u64,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "testDomainFSTrim")?;
        self.world.look(dom, |state| guest::trim(state, mount_point))
    }

    fn get_fsinfo(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainGetFsinfo> {
        check_flags(flags, 0, "testDomainGetFSInfo")?;
        self.world.look(dom, guest::file_systems)
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
        self.world.look(dom, |_| Ok(Vec::new()))
    }

    // Compat: not even the flag is taken that every call for parameters carries.
    fn get_launch_security_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Params> {
        check_flags(flags, 0, "testDomainGetLaunchSecurityInfo")?;
        self.world.look(dom, |_| Ok(Vec::new()))
    }

    fn attach_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        device::attach(call, &self.world, dom, xml, flags)
    }

    fn update_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        device::update(call, &self.world, dom, xml, flags)
    }

    fn detach_device_alias(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        alias: &str,
        flags: u32,
    ) -> Result<()> {
        device::detach_alias(call, &self.world, dom, alias, flags)
    }

    fn save(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        to: &str,
        dxml: Option<&str>,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "testDomainSaveFlags")?;
        save::save(call, &self.world, dom, to, dxml)
    }

    fn restore(&self, call: &Call<'_>, from: &str, dxml: Option<&str>, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testDomainRestoreFlags")?;
        save::restore(call, &self.world, from, dxml)
    }

    fn save_image_get_xml_desc(&self, _: &Call<'_>, file: &str, flags: u32) -> Result<String> {
        check_flags(flags, api::DOMAIN_SAVE_IMAGE_XML_SECURE, "testDomainSaveImageGetXMLDesc")?;
        Ok(save::read(file)?.to_xml(PrintFlags::from_bits(flags)))
    }

    fn save_image_define_xml(
        &self,
        _: &Call<'_>,
        file: &str,
        dxml: &str,
        flags: u32,
    ) -> Result<()> {
        const KNOWN: u32 = api::DOMAIN_SAVE_RUNNING | api::DOMAIN_SAVE_PAUSED;
        check_flags(flags, KNOWN, "testDomainSaveImageDefineXML")?;
        save::redefine(file, dxml)
    }

    fn managed_save(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, save::MANAGED_FLAGS, "testDomainManagedSave")?;
        save::managed_save(call, &self.world, dom)
    }

    fn has_managed_save_image(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<bool> {
        check_flags(flags, 0, "testDomainHasManagedSaveImage")?;
        self.world.look(dom, |state| Ok(state.managed_save))
    }

    fn managed_save_remove(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testDomainManagedSaveRemove")?;
        save::forget(call, &self.world, dom)
    }

    fn core_dump(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        to: &str,
        dumpformat: u32,
        flags: u32,
    ) -> Result<()> {
        save::dump(call, &self.world, dom, to, (dumpformat, flags))
    }

    /// Compat: whichever screen is asked for, and whether the domain runs or not.
    fn screenshot(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _screen: u32,
        flags: u32,
    ) -> Result<(Option<String>, Arc<dyn Stream>)> {
        check_flags(flags, 0, "testDomainScreenshot")?;
        self.world.domain(dom).map(|_| picture::screenshot())
    }

    fn get_metadata(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        kind: i32,
        uri: Option<&str>,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, AFFECT, "testDomainGetMetadata")?;
        let which = Which { kind, key: None, uri, ..metadata::OF_DOMAIN };
        self.world.look(dom, |state| metadata::of_domain(state, &which, flags))
    }

    fn set_metadata(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        kind: i32,
        metadata: Option<&str>,
        key: Option<&str>,
        uri: Option<&str>,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "testDomainSetMetadata")?;
        let which = Which { kind, key, uri, ..metadata::OF_DOMAIN };
        metadata::set_of_domain(call, &self.world, dom, &which, (metadata, flags))
    }
}
