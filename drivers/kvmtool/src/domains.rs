//! The domain calls, one file a family: flags are checked here, modules named after the work do it.
//!
//! In this file: finding, defining, starting and stopping domains, and what is known of them.

mod devices;
mod guest;
mod jobs;
mod stats;
mod tuning;

use std::sync::Arc;

use virt_driver::metadata::{self, OF_DOMAIN, Parts, Slots, Which};
use virt_driver::{Call, Domains, Job, check_flags as check};
use virt_error::{Error, Result};
use virt_guests::Data;
use virt_model::domain::{Domain as Document, LifecycleAction};
use virt_store::Autostart;
use virt_types::{
    DomainGetSecurityLabelList, DomainInfo, DomainRef, DomainSecurityLabel, DomainState, Event,
    Uuid, api,
};

use crate::core::{Core, Run};
use crate::{
    KvmtoolDriver, ORIGIN, argv, control, invalid_arg, invalid_operation, lifecycle,
    stats as figures,
};

/// The filters of `virConnectListAllDomains`.
const LIST_FILTERS: u32 = 0x3fff;

/// What may be asked of a document's text.
const XML_FLAGS: u32 = api::DOMAIN_XML_SECURE
    | api::DOMAIN_XML_INACTIVE
    | api::DOMAIN_XML_UPDATE_CPU
    | api::DOMAIN_XML_MIGRATABLE;

const AFFECT: u32 = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG;

pub(crate) fn check_flags(flags: u32, known: u32, function: &str) -> Result<()> {
    check(flags, known, function).map_err(|error| error.or_from(ORIGIN))
}

impl KvmtoolDriver {
    pub(crate) fn core(&self) -> &Core {
        &self.0
    }

    fn need_active(&self, dom: &DomainRef) -> Result<()> {
        self.core().guests.find(dom)?.live(|_| ())
    }

    fn seen<R>(&self, dom: &DomainRef, look: impl FnOnce(&Data<Run>) -> R) -> Result<R> {
        Ok(self.core().guests.find(dom)?.read(look))
    }
}

fn not_paused(flags: u32) -> Result<()> {
    match flags & api::DOMAIN_START_PAUSED {
        0 => Ok(()),
        _ => lifecycle::refuse(lifecycle::NO_PAUSED_START),
    }
}

impl Domains for KvmtoolDriver {
    fn list_all(&self, _: &Call<'_>, flags: u32) -> Result<Vec<DomainRef>> {
        check_flags(flags, LIST_FILTERS, "kvmtoolConnectListAllDomains")?;
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
        check_flags(flags, api::DOMAIN_DEFINE_VALIDATE, "kvmtoolDomainDefineXMLFlags")?;
        self.core().guests.define(call, xml, flags & api::DOMAIN_DEFINE_VALIDATE != 0)
    }

    fn create_xml(&self, call: &Call<'_>, xml_desc: &str, flags: u32) -> Result<DomainRef> {
        let known =
            api::DOMAIN_START_PAUSED | api::DOMAIN_START_AUTODESTROY | api::DOMAIN_START_VALIDATE;
        check_flags(flags, known, "kvmtoolDomainCreateXML")?;
        not_paused(flags)?;
        let core = self.core();
        let validate = flags & api::DOMAIN_START_VALIDATE != 0;
        core.guests.create(core, call, xml_desc, validate, |core, guest, mut turn, document| {
            let started = core
                .learn_networks(call, document)
                .and_then(|()| call.waiting(|| lifecycle::start(core, guest, &mut turn, document)));
            if started.is_ok() {
                lifecycle::end_with(core, call, guest, &turn, flags);
            }
            (turn, started)
        })
    }

    fn undefine(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        let known = api::DOMAIN_UNDEFINE_MANAGED_SAVE
            | api::DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | api::DOMAIN_UNDEFINE_NVRAM
            | api::DOMAIN_UNDEFINE_KEEP_NVRAM
            | api::DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | api::DOMAIN_UNDEFINE_TPM
            | api::DOMAIN_UNDEFINE_KEEP_TPM;
        check_flags(flags, known, "kvmtoolDomainUndefineFlags")?;
        self.core().guests.undefine(call, dom)
    }

    fn create(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainRef> {
        let known = api::DOMAIN_START_PAUSED
            | api::DOMAIN_START_AUTODESTROY
            | api::DOMAIN_START_BYPASS_CACHE
            | api::DOMAIN_START_FORCE_BOOT;
        check_flags(flags, known, "kvmtoolDomainCreateWithFlags")?;
        not_paused(flags)?;
        let core = self.core();
        core.work(call, dom, Job::Modify, |guest, turn| {
            if turn.read(Data::active) {
                return Err(invalid_operation("domain is already running"));
            }
            let document = core.guests.current(guest)?;
            core.learn_networks(call, &document)?;
            call.waiting(|| lifecycle::start(core, guest, turn, &document))?;
            lifecycle::end_with(core, call, guest, turn, flags);
            Ok(guest.to_ref())
        })
    }

    fn destroy(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, api::DOMAIN_DESTROY_GRACEFUL, "kvmtoolDomainDestroyFlags")?;
        let graceful = flags & api::DOMAIN_DESTROY_GRACEFUL != 0;
        let core = self.core();
        core.work(call, dom, Job::Destroy, |guest, turn| {
            call.waiting(|| lifecycle::destroy(core, guest, turn, graceful))
        })
    }

    fn shutdown(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0x1f, "kvmtoolDomainShutdownFlags")?;
        self.need_active(dom)?;
        lifecycle::refuse(
            "the native Linux KVM tool has no power button: a guest can only be asked from inside, \
             or destroyed",
        )
    }

    fn reboot(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0x1f, "kvmtoolDomainReboot")?;
        control::reboot(self.core(), call, dom)
    }

    fn reset(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "kvmtoolDomainReset")?;
        control::reset(self.core(), call, dom)
    }

    fn suspend(&self, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
        control::suspend(self.core(), call, dom)
    }

    fn resume(&self, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
        control::resume(self.core(), call, dom)
    }

    fn get_xml_desc(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        check_flags(flags, XML_FLAGS, "kvmtoolDomainGetXMLDesc")?;
        self.core().guests.text(dom, flags)
    }

    fn get_autostart(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.seen(dom, |data| data.autostart)
    }

    fn set_autostart(&self, call: &Call<'_>, dom: &DomainRef, autostart: i32) -> Result<()> {
        self.core().guests.set_autostart(call, dom, Autostart::EachBoot, autostart != 0)
    }

    fn get_autostart_once(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.seen(dom, |data| data.autostart_once)
    }

    fn set_autostart_once(&self, call: &Call<'_>, dom: &DomainRef, autostart: i32) -> Result<()> {
        self.core().guests.set_autostart(call, dom, Autostart::NextBoot, autostart != 0)
    }

    fn get_info(&self, call: &Call<'_>, dom: &DomainRef) -> Result<DomainInfo> {
        let core = self.core();
        let guest = core.guests.find(dom)?;
        let document = core.guests.current(&guest)?;
        let memory = figures::memory_kib(call, &guest);
        Ok(DomainInfo {
            state: u8::try_from(guest.read(|data| data.state)).unwrap_or(0),
            max_mem: document.memory.kib,
            memory: memory.unwrap_or(document.current_memory_kib()),
            nr_virt_cpu: u16::try_from(document.vcpu.count).unwrap_or(u16::MAX),
            cpu_time: figures::cpu_ns(&guest),
        })
    }

    fn get_state(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainState> {
        check_flags(flags, 0, "kvmtoolDomainGetState")?;
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

    fn get_os_type(&self, _: &Call<'_>, dom: &DomainRef) -> Result<String> {
        let core = self.core();
        let document = core.guests.current(&*core.guests.find(dom)?)?;
        Ok(document.os.kind.kind.map_or("hvm", |kind| kind.as_str()).to_owned())
    }

    /// Nothing but the user's own rights confines the guest.
    fn get_security_label(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainSecurityLabel> {
        self.seen(dom, |_| DomainSecurityLabel { label: String::new(), enforcing: false })
    }

    fn get_security_label_list(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
    ) -> Result<DomainGetSecurityLabelList> {
        let user = self.core().user.as_ref();
        let active = self.seen(dom, Data::active)?;
        let label = |user: &virt_host::RunAs| DomainSecurityLabel {
            label: format!("+{}:+{}", user.uid, user.gid),
            enforcing: false,
        };
        let labels: Vec<_> = user.filter(|_| active).map(label).into_iter().collect();
        Ok(DomainGetSecurityLabelList { ret: i32::try_from(labels.len()).unwrap_or(0), labels })
    }

    fn xml_to_native(
        &self,
        _: &Call<'_>,
        native_format: &str,
        domain_xml: &str,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, 0, "kvmtoolConnectDomainXMLToNative")?;
        if native_format != argv::NATIVE {
            return Err(invalid_arg(format!("unsupported config type {native_format}")));
        }
        lifecycle::to_native(self.core(), domain_xml)
    }

    fn set_lifecycle_action(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        kind: u32,
        action: u32,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "kvmtoolDomainSetLifecycleAction")?;
        // In the public API's order.
        let action = match action {
            0 => LifecycleAction::Destroy,
            1 => LifecycleAction::Restart,
            action => return Err(invalid_arg(format!("lifecycle action {action} is unsupported"))),
        };
        let put = |document: &mut Document| match kind {
            0 => document.on_poweroff = Some(action),
            1 => document.on_reboot = Some(action),
            _ => document.on_crash = Some(action),
        };
        let core = self.core();
        core.work(call, dom, Job::Modify, |guest, turn| {
            let impact = turn.read(|data| core.guests.impact(data, flags))?;
            if impact.live {
                crate::vcpus::edit_live(core, turn, put)?;
            }
            if impact.config {
                core.guests.edit(guest, turn, put)?;
            }
            Ok(())
        })
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
        check_flags(flags, AFFECT, "kvmtoolDomainSetMetadata")?;
        let which = Which { kind, key, uri, ..OF_DOMAIN };
        let core = self.core();
        core.work(call, dom, Job::Modify, |guest, turn| {
            let impact = turn.read(|data| core.guests.impact(data, flags))?;
            if impact.live {
                let mut document = core.guests.current(guest)?;
                put(Arc::make_mut(&mut document), &which, metadata)?;
                crate::vcpus::edit_live(core, turn, |live| *live = (*document).clone())?;
            }
            if impact.config
                && let Some(mut document) = core.guests.stored(guest)?
            {
                put(Arc::make_mut(&mut document), &which, metadata)?;
                core.guests.store(turn, document)?;
            }
            let (dom, nsuri) = (guest.to_ref(), uri.map(str::to_owned));
            core.guests.publish(&Event::DomainMetadataChange { dom, kind, nsuri });
            Ok(())
        })
    }

    fn get_metadata(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        kind: i32,
        uri: Option<&str>,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, AFFECT, "kvmtoolDomainGetMetadata")?;
        let core = self.core();
        let document = core.guests.meant(&*core.guests.find(dom)?, flags)?;
        let parts = Parts {
            title: document.title.as_deref(),
            description: document.description.as_deref(),
            metadata: document.metadata.as_ref(),
        };
        metadata::get(&parts, &Which { kind, key: None, uri, ..OF_DOMAIN })
    }
}

/// Changes what people wrote into a document.
fn put(document: &mut Document, which: &Which<'_>, text: Option<&str>) -> Result<()> {
    let slots = Slots {
        title: &mut document.title,
        description: &mut document.description,
        metadata: &mut document.metadata,
    };
    metadata::set(slots, which, text)
}

/// A call about something that this driver's guests never have.
pub(crate) fn never<T>(driver: &KvmtoolDriver, dom: &DomainRef, why: &str) -> Result<T> {
    driver.core().guests.find(dom)?;
    Err(Error::new(virt_error::Code::OperationUnsupported, ORIGIN, why))
}
