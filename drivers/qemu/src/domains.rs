//! The domain calls, one file a family: flags are checked here, modules named after the work do it.
//!
//! In this file: finding, defining, starting and stopping domains, and what is known of them.

mod devices;
mod guest;
mod jobs;
mod stats;
mod tuning;

use virt_driver::{Call, Domains, Job, check_flags as check};
use virt_error::{Origin, Result};
use virt_guests::not_running;
use virt_host::Process;
use virt_store::Autostart;
use virt_types::{
    DomainGetSecurityLabelList, DomainInfo, DomainRef, DomainSecurityLabel, DomainState, Uuid, api,
};

use crate::QemuDriver;
use crate::core::{Core, Work};
use crate::guest::{Data, invalid_operation};
use crate::{agent, control, lifecycle, native};

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

    /// By the agent where that is asked for, or where one is there and nothing is asked for; by the
    /// power button where that is not the only way asked for. The flags of both calls are the same.
    fn end_or_start_over(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
        reboot: bool,
    ) -> Result<()> {
        let core = self.core();
        let there = || self.seen(dom, |data| data.live.as_ref().is_some_and(|l| l.agent.is_some()));
        let by_agent = flags & api::DOMAIN_SHUTDOWN_GUEST_AGENT != 0 || flags == 0 && there()?;
        let asked = if by_agent { agent::shutdown(core, call, dom, reboot) } else { Ok(()) };
        let only = flags == api::DOMAIN_SHUTDOWN_GUEST_AGENT;
        match asked {
            Ok(()) if by_agent => Ok(()),
            Err(error) if only => Err(error),
            _ => control::power_button(core, call, dom, reboot),
        }
    }

    fn seen<R>(&self, dom: &DomainRef, look: impl FnOnce(&Data) -> R) -> Result<R> {
        Ok(self.core().guests.find(dom)?.read(look))
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
        Ok(self.core().guests.list(flags))
    }

    fn lookup_by_id(&self, _: &Call<'_>, id: i32) -> Result<DomainRef> {
        self.core().guests.by_id(id)
    }

    fn lookup_by_name(&self, _: &Call<'_>, name: &str) -> Result<DomainRef> {
        self.core().guests.by_name(name)
    }

    fn lookup_by_uuid(&self, _: &Call<'_>, uuid: &Uuid) -> Result<DomainRef> {
        self.core().guests.by_uuid(uuid)
    }

    fn define_xml(&self, call: &Call<'_>, xml: &str, flags: u32) -> Result<DomainRef> {
        check_flags(flags, api::DOMAIN_DEFINE_VALIDATE, "qemuDomainDefineXMLFlags")?;
        self.core().guests.define(call, xml, flags & api::DOMAIN_DEFINE_VALIDATE != 0)
    }

    fn create_xml(&self, call: &Call<'_>, xml_desc: &str, flags: u32) -> Result<DomainRef> {
        let known =
            api::DOMAIN_START_PAUSED | api::DOMAIN_START_AUTODESTROY | api::DOMAIN_START_VALIDATE;
        check_flags(flags, known, "qemuDomainCreateXML")?;
        let validate = flags & api::DOMAIN_START_VALIDATE != 0;
        let paused = flags & api::DOMAIN_START_PAUSED != 0;
        let core = self.core();
        core.guests.create(core, call, xml_desc, validate, |core, guest, turn, document| {
            let mut work = Work::new(core, guest, turn);
            let started = lifecycle::start(&mut work, document, paused);
            if started.is_ok() {
                lifecycle::end_with(&work, call, flags);
            }
            (work.into_turn(), started)
        })
    }

    fn xml_to_native(
        &self,
        _: &Call<'_>,
        native_format: &str,
        domain_xml: &str,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, 0, "qemuConnectDomainXMLToNative")?;
        native::from_xml(self.core(), native_format, domain_xml)
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
        self.core().guests.undefine(call, dom)
    }

    fn create(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainRef> {
        let known = api::DOMAIN_START_PAUSED
            | api::DOMAIN_START_AUTODESTROY
            | api::DOMAIN_START_BYPASS_CACHE
            | api::DOMAIN_START_FORCE_BOOT;
        check_flags(flags, known, "qemuDomainCreateWithFlags")?;
        let core = self.core();
        let guest = core.guests.find(dom)?;
        let mut work = core.work(&guest, Job::Modify, call)?;
        if work.read(Data::active) {
            return Err(invalid_operation("domain is already running"));
        }
        let document = core.guests.stored(&guest)?.ok_or_else(not_running)?;
        lifecycle::start(&mut work, &document, flags & api::DOMAIN_START_PAUSED != 0)?;
        lifecycle::end_with(&work, call, flags);
        Ok(guest.to_ref())
    }

    fn destroy(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, api::DOMAIN_DESTROY_GRACEFUL, "qemuDomainDestroyFlags")?;
        let core = self.core();
        let guest = core.guests.find(dom)?;
        lifecycle::hasten(&guest);
        let mut work = core.work(&guest, Job::Destroy, call)?;
        let graceful = flags & api::DOMAIN_DESTROY_GRACEFUL != 0;
        call.waiting(|| lifecycle::destroy(&mut work, graceful))
    }

    fn shutdown(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        let known = api::DOMAIN_SHUTDOWN_ACPI_POWER_BTN | api::DOMAIN_SHUTDOWN_GUEST_AGENT;
        check_flags(flags, known, "qemuDomainShutdownFlags")?;
        self.need_active(dom)?;
        self.end_or_start_over(call, dom, flags, false)
    }

    fn reboot(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        let known = api::DOMAIN_REBOOT_ACPI_POWER_BTN | api::DOMAIN_REBOOT_GUEST_AGENT;
        check_flags(flags, known, "qemuDomainReboot")?;
        self.end_or_start_over(call, dom, flags, true)
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

    fn get_xml_desc(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        check_flags(flags, XML_FLAGS, "qemuDomainGetXMLDesc")?;
        self.core().guests.text(dom, flags)
    }

    fn get_autostart(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.seen(dom, |data| data.autostart)
    }

    fn set_autostart(&self, call: &Call<'_>, dom: &DomainRef, autostart: i32) -> Result<()> {
        self.core().guests.set_autostart(call, dom, Autostart::EachBoot, autostart != 0)
    }

    fn get_info(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainInfo> {
        let core = self.core();
        let guest = core.guests.find(dom)?;
        let document = core.guests.current(&guest)?;
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
        self.core().guests.set_autostart(call, dom, Autostart::NextBoot, autostart != 0)
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
        let labels: Vec<_> = self.seen(dom, |data| {
            let live = data.live.as_ref().map(|live| {
                [Some(""), crate::security::label_of(&live.document)].into_iter().flatten()
            });
            let label = |label: &str| DomainSecurityLabel { label: label.into(), enforcing: false };
            live.into_iter().flatten().map(label).collect()
        })?;
        Ok(DomainGetSecurityLabelList { ret: i32::try_from(labels.len()).unwrap_or(0), labels })
    }

    fn get_os_type(&self, _: &Call<'_>, dom: &DomainRef) -> Result<String> {
        let core = self.core();
        let document = core.guests.current(&*core.guests.find(dom)?)?;
        Ok(document.os.kind.kind.map_or("hvm", |kind| kind.as_str()).to_owned())
    }
}
