//! The domain calls: flags are checked here, the work is done by the modules named after it.

use std::sync::Arc;

use virt_driver::{Call, Domains, Job, Stream, check_flags as check, domain_matches};
use virt_error::{Code, Error, Origin, Result};
use virt_host::Process;
use virt_store::Autostart;
use virt_types::{
    DomainBlockInfo, DomainBlockStats, DomainControlInfo, DomainGetDiskErrors, DomainGetFsinfo,
    DomainGetJobStats, DomainGetSecurityLabelList, DomainGetVcpuPinInfo, DomainInfo,
    DomainInterface, DomainInterfaceStats, DomainJobInfo, DomainMemoryStat, DomainRef,
    DomainSecurityLabel, DomainState, DomainStatsRecord, DomainTime, DomainVcpus, TypedParam, Uuid,
    api,
};

use crate::QemuDriver;
use crate::control::{self, impact};
use crate::core::Core;
use crate::define;
use crate::guest::{Data, Guest, invalid_operation, not_running};
use crate::{agent, blocks, console, jobs, lifecycle, stats, vcpus};

/// The filters of `virConnectListAllDomains`.
const LIST_FILTERS: u32 = 0x3fff;

/// What may be asked of a document's text.
const XML_FLAGS: u32 = api::DOMAIN_XML_SECURE
    | api::DOMAIN_XML_INACTIVE
    | api::DOMAIN_XML_UPDATE_CPU
    | api::DOMAIN_XML_MIGRATABLE;

const AFFECT: u32 = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG;

pub(crate) fn check_flags(flags: u32, known: u32, function: &str) -> Result<()> {
    check(flags, known, function).map_err(|error| error.or_from(Origin::Qemu))
}

fn no_domain(detail: String) -> Error {
    Error::new(Code::NoDomain, Origin::Qemu, detail)
}

impl QemuDriver {
    pub(crate) fn core(&self) -> &Core {
        &self.0
    }

    /// Compat: the calls that look by themselves report from another part than the others.
    fn need_active(&self, dom: &DomainRef) -> Result<()> {
        match self.seen(dom, Data::active)? {
            true => Ok(()),
            false => Err(invalid_operation("domain is not running")),
        }
    }

    fn seen<R>(&self, dom: &DomainRef, look: impl FnOnce(&Data) -> R) -> Result<R> {
        Ok(self.core().find(dom)?.read(look))
    }
}

/// CPU time of a running guest.
fn cpu_time(data: &Data) -> u64 {
    let pid = data.live.as_ref().map(|live| live.process.pid());
    let times = pid.and_then(|pid| Process(pid).times()).unwrap_or_default();
    times.user_ns.saturating_add(times.system_ns)
}

impl Domains for QemuDriver {
    fn list_all(&self, _: &Call<'_>, flags: u32) -> Result<Vec<DomainRef>> {
        check_flags(flags, LIST_FILTERS, "qemuConnectListAllDomains")?;
        let matching = |guest: &Guest| {
            guest.read(|data| {
                let listed = !data.gone && domain_matches(flags, &data.facts());
                listed.then(|| guest.ref_with(data.id()))
            })
        };
        Ok(self.core().guests.collect(matching))
    }

    fn lookup_by_id(&self, _: &Call<'_>, id: i32) -> Result<DomainRef> {
        let found = self.core().guests.collect(|guest| {
            guest.read(|data| (data.active() && data.id() == id).then(|| guest.ref_with(id)))
        });
        let found = found.into_iter().next();
        found.ok_or_else(|| no_domain(format!("no domain with matching id {id}")))
    }

    fn lookup_by_name(&self, _: &Call<'_>, name: &str) -> Result<DomainRef> {
        let found = self.core().guests.by_name(name).map(|guest| guest.to_ref());
        found.ok_or_else(|| no_domain(format!("no domain with matching name '{name}'")))
    }

    fn lookup_by_uuid(&self, _: &Call<'_>, uuid: &Uuid) -> Result<DomainRef> {
        let found = self.core().guests.by_uuid(uuid).map(|guest| guest.to_ref());
        found.ok_or_else(|| no_domain(format!("no domain with matching uuid '{uuid}'")))
    }

    fn define_xml(&self, call: &Call<'_>, xml: &str, flags: u32) -> Result<DomainRef> {
        check_flags(flags, api::DOMAIN_DEFINE_VALIDATE, "qemuDomainDefineXMLFlags")?;
        define::define(self.core(), call, xml, flags & api::DOMAIN_DEFINE_VALIDATE != 0)
    }

    fn create_xml(&self, call: &Call<'_>, xml_desc: &str, flags: u32) -> Result<DomainRef> {
        let known = api::DOMAIN_START_PAUSED | api::DOMAIN_START_VALIDATE;
        check_flags(flags, known, "qemuDomainCreateXML")?;
        define::create(self.core(), call, xml_desc, flags)
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
        let known = api::DOMAIN_UNDEFINE_MANAGED_SAVE
            | api::DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | api::DOMAIN_UNDEFINE_NVRAM
            | api::DOMAIN_UNDEFINE_KEEP_NVRAM
            | api::DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | api::DOMAIN_UNDEFINE_TPM
            | api::DOMAIN_UNDEFINE_KEEP_TPM;
        check_flags(flags, known, "qemuDomainUndefineFlags")?;
        define::undefine(self.core(), call, dom)
    }

    fn create(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainRef> {
        let known = api::DOMAIN_START_PAUSED
            | api::DOMAIN_START_BYPASS_CACHE
            | api::DOMAIN_START_FORCE_BOOT;
        check_flags(flags, known, "qemuDomainCreateWithFlags")?;
        let core = self.core();
        let guest = core.find(dom)?;
        let mut work = core.work(&guest, Job::Modify, call)?;
        if work.read(Data::active) {
            return Err(invalid_operation("domain is already running"));
        }
        let document = core.stored(&guest)?.ok_or_else(not_running)?;
        lifecycle::start(&mut work, &document, flags & api::DOMAIN_START_PAUSED != 0)?;
        Ok(guest.to_ref())
    }

    fn create_with_files(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainRef> {
        self.create(call, dom, flags)
    }

    fn destroy(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, api::DOMAIN_DESTROY_GRACEFUL, "qemuDomainDestroyFlags")?;
        let core = self.core();
        let guest = core.find(dom)?;
        lifecycle::hasten(&guest);
        let mut work = core.work(&guest, Job::Destroy, call)?;
        let graceful = flags & api::DOMAIN_DESTROY_GRACEFUL != 0;
        call.waiting(|| lifecycle::destroy(&mut work, graceful))
    }

    fn shutdown(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        let known = api::DOMAIN_SHUTDOWN_ACPI_POWER_BTN | api::DOMAIN_SHUTDOWN_GUEST_AGENT;
        check_flags(flags, known, "qemuDomainShutdownFlags")?;
        self.need_active(dom)?;
        if flags == api::DOMAIN_SHUTDOWN_GUEST_AGENT {
            return agent::refuse(self.core(), dom);
        }
        control::power_button(self.core(), call, dom, false)
    }

    fn reboot(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        let known = api::DOMAIN_REBOOT_ACPI_POWER_BTN | api::DOMAIN_REBOOT_GUEST_AGENT;
        check_flags(flags, known, "qemuDomainReboot")?;
        if flags == api::DOMAIN_REBOOT_GUEST_AGENT {
            return agent::refuse(self.core(), dom);
        }
        control::power_button(self.core(), call, dom, true)
    }

    fn reset(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "qemuDomainReset")?;
        control::reset(self.core(), call, dom)
    }

    fn suspend(&self, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
        control::suspend(self.core(), call, dom)
    }

    fn resume(&self, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
        control::resume(self.core(), call, dom)
    }

    fn inject_nmi(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "qemuDomainInjectNMI")?;
        control::inject_nmi(self.core(), call, dom)
    }

    fn get_xml_desc(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        check_flags(flags, XML_FLAGS, "qemuDomainGetXMLDesc")?;
        define::text(self.core(), dom, flags)
    }

    fn get_autostart(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.seen(dom, |data| data.autostart)
    }

    fn set_autostart(&self, call: &Call<'_>, dom: &DomainRef, autostart: i32) -> Result<()> {
        define::set_autostart(self.core(), call, dom, Autostart::EachBoot, autostart != 0)
    }

    fn get_info(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainInfo> {
        let core = self.core();
        let guest = core.find(dom)?;
        let document = core.current(&guest)?;
        let vcpus = document.vcpu.current.unwrap_or(document.vcpu.count);
        let mut info = guest.read(|data| DomainInfo {
            state: u8::try_from(data.state).unwrap_or(0),
            max_mem: document.memory.kib,
            memory: data
                .live
                .as_ref()
                .map_or(document.current_memory_kib(), |live| live.balloon_kib),
            nr_virt_cpu: u16::try_from(vcpus).unwrap_or(u16::MAX),
            cpu_time: 0,
        });
        info.cpu_time = guest.read(|data| data.active().then(|| cpu_time(data))).unwrap_or(0);
        Ok(info)
    }

    fn get_state(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainState> {
        check_flags(flags, 0, "qemuDomainGetState")?;
        self.seen(dom, |data| DomainState { state: data.state, reason: data.reason })
    }

    fn get_control_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<DomainControlInfo> {
        check_flags(flags, 0, "qemuDomainGetControlInfo")?;
        let guest = self.core().find(dom)?;
        guest.read(|data| data.running().map(drop))?;
        // 0 is "ok", 2 is "occupied": somebody waits for the guest.
        let state = if guest.cell.busy_with().is_some() { 2 } else { 0 };
        Ok(DomainControlInfo { state, details: 0, state_time: 0 })
    }

    fn is_active(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.seen(dom, Data::active)
    }

    fn is_persistent(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.seen(dom, |data| data.definition.is_some())
    }

    fn is_updated(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.seen(dom, |_| false)
    }

    fn get_autostart_once(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.seen(dom, |data| data.autostart_once)
    }

    fn set_autostart_once(&self, call: &Call<'_>, dom: &DomainRef, autostart: i32) -> Result<()> {
        define::set_autostart(self.core(), call, dom, Autostart::NextBoot, autostart != 0)
    }

    /// No label: nothing but the user's own rights confines the guest.
    fn get_security_label(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainSecurityLabel> {
        self.seen(dom, |_| DomainSecurityLabel { label: String::new(), enforcing: false })
    }

    /// One label for each way of confining, as long as there is a process to confine.
    fn get_security_label_list(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
    ) -> Result<DomainGetSecurityLabelList> {
        let label = |label: String| DomainSecurityLabel { label, enforcing: false };
        let mut labels = Vec::new();
        if self.seen(dom, Data::active)? {
            labels.push(label(String::new()));
            labels.extend(self.0.settings.user.map(|(uid, gid)| label(format!("+{uid}:+{gid}"))));
        }
        Ok(DomainGetSecurityLabelList { ret: i32::try_from(labels.len()).unwrap_or(0), labels })
    }

    fn get_job_info(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainJobInfo> {
        jobs::info(self.core(), dom)
    }

    fn get_job_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<DomainGetJobStats> {
        let completed = api::DOMAIN_JOB_STATS_COMPLETED;
        let known = completed | api::DOMAIN_JOB_STATS_KEEP_COMPLETED;
        check_flags(flags, known, "qemuDomainGetJobStats")?;
        jobs::stats(self.core(), dom, flags & completed != 0)
    }

    fn abort_job(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, api::DOMAIN_ABORT_JOB_POSTCOPY, "qemuDomainAbortJobFlags")?;
        jobs::abort(self.core(), dom)
    }

    fn interface_addresses(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        source: u32,
        flags: u32,
    ) -> Result<Vec<DomainInterface>> {
        check_flags(flags, 0, "qemuDomainInterfaceAddresses")?;
        if i32::try_from(source) == Ok(api::DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT) {
            return agent::refuse(self.core(), dom);
        }
        // The host knows leases and neighbours only of networks that it gives itself.
        self.seen(dom, |data| data.running().map(drop))??;
        Ok(Vec::new())
    }

    fn get_hostname(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        let (lease, agent) = (1, 2);
        check_flags(flags, lease | agent, "qemuDomainGetHostname")?;
        agent::refuse(self.core(), dom)
    }

    fn get_time(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainTime> {
        check_flags(flags, 0, "qemuDomainGetTime")?;
        agent::refuse(self.core(), dom)
    }

    fn get_fsinfo(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainGetFsinfo> {
        check_flags(flags, 0, "qemuDomainGetFSInfo")?;
        agent::refuse(self.core(), dom)
    }

    fn fsfreeze(&self, _: &Call<'_>, dom: &DomainRef, _: &[String], flags: u32) -> Result<i32> {
        check_flags(flags, 0, "qemuDomainFSFreeze")?;
        agent::refuse(self.core(), dom)
    }

    fn fsthaw(&self, _: &Call<'_>, dom: &DomainRef, _: &[String], flags: u32) -> Result<i32> {
        check_flags(flags, 0, "qemuDomainFSThaw")?;
        agent::refuse(self.core(), dom)
    }

    fn get_guest_vcpus(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, 0, "qemuDomainGetGuestVcpus")?;
        agent::refuse(self.core(), dom)
    }

    fn get_guest_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: u32,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, 0, "qemuDomainGetGuestInfo")?;
        self.need_active(dom)?;
        agent::refuse(self.core(), dom)
    }

    fn pm_suspend_for_duration(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: u32,
        _: u64,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "qemuDomainPMSuspendForDuration")?;
        self.need_active(dom)?;
        agent::refuse(self.core(), dom)
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

    fn set_guest_vcpus(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: &str,
        _: i32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "qemuDomainSetGuestVcpus")?;
        self.need_active(dom)?;
        agent::refuse(self.core(), dom)
    }

    fn fstrim(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: Option<&str>,
        _: u64,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, 0, "qemuDomainFSTrim")?;
        self.need_active(dom)?;
        agent::refuse(self.core(), dom)
    }

    fn set_user_password(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        _: Option<&str>,
        _: Option<&str>,
        flags: u32,
    ) -> Result<()> {
        let encrypted = 1;
        check_flags(flags, encrypted, "qemuDomainSetUserPassword")?;
        agent::refuse(self.core(), dom)
    }

    fn has_managed_save_image(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<bool> {
        check_flags(flags, 0, "qemuDomainHasManagedSaveImage")?;
        self.seen(dom, |_| false)
    }

    fn get_os_type(&self, _: &Call<'_>, dom: &DomainRef) -> Result<String> {
        let core = self.core();
        let document = core.current(&*core.find(dom)?)?;
        Ok(document.os.kind.kind.map_or("hvm", |kind| kind.as_str()).to_owned())
    }

    fn get_max_memory(&self, _: &Call<'_>, dom: &DomainRef) -> Result<u64> {
        let core = self.core();
        Ok(core.current(&*core.find(dom)?)?.memory.kib)
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
        control::set_vcpus(self.core(), call, dom, nvcpus, flags)
    }

    fn get_max_vcpus(&self, call: &Call<'_>, dom: &DomainRef) -> Result<i32> {
        let live = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_VCPU_MAXIMUM;
        let current = api::DOMAIN_VCPU_MAXIMUM;
        let active = self.seen(dom, Data::active)?;
        self.get_vcpus_flags(call, dom, if active { live } else { current })
    }

    fn get_vcpus_flags(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<i32> {
        let known = AFFECT | api::DOMAIN_VCPU_MAXIMUM | api::DOMAIN_VCPU_GUEST;
        check_flags(flags, known, "qemuDomainGetVcpusFlags")?;
        if flags & api::DOMAIN_VCPU_GUEST != 0 {
            return virt_driver::unsupported();
        }
        let core = self.core();
        let guest = core.find(dom)?;
        let impact = guest.read(|data| impact(data, flags))?;
        let stored = if impact.config { core.stored(&guest)? } else { None };
        let vcpu = stored.map_or_else(|| core.current(&guest), Ok)?.vcpu.clone();
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
        vcpus::running(&*self.core().find(dom)?, maxinfo, maplen)
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
        vcpus::pinned(self.core(), &*self.core().find(dom)?, ncpumaps, maplen, flags)
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
        let filters = 0xff;
        let known = filters
            | api::CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
            | api::CONNECT_GET_ALL_DOMAINS_STATS_BACKING
            | api::CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS;
        check_flags(flags, known, "qemuConnectGetAllDomainStats")?;
        let unknown = kinds & !stats::ALL;
        if flags & api::CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS != 0 && unknown != 0 {
            let detail = format!("Stats types bits 0x{unknown:x} are not supported by this daemon");
            return Err(Error::new(Code::ArgumentUnsupported, Origin::Qemu, detail));
        }
        Ok(stats::all(self.core(), call, doms, kinds, flags & filters))
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

    fn open_console(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        dev_name: Option<&str>,
        flags: u32,
    ) -> Result<Arc<dyn Stream>> {
        check_flags(flags, 3, "qemuDomainOpenConsole")?;
        let document =
            self.seen(dom, |data| data.running().map(|live| Arc::clone(&live.document)))??;
        let terminal = console::terminal(&document, dev_name)?;
        self.0.consoles.open(&terminal, flags)
    }
}
