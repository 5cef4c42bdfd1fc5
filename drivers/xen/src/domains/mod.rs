//! The domain calls, one file a family: flags are checked here, modules named after the work do it.
//!
//! In this file: finding, defining, starting and stopping domains, and what is known of them.

mod devices;
mod guest;
mod jobs;
mod stats;
mod tuning;

use virt_driver::metadata::{OF_DOMAIN, Which};
use virt_driver::{Call, DomainFacts, Domains, Job, check_flags as check, domain_matches};
use virt_error::{Code, Error, Result};
use virt_model::domain::boot::OsType;
use virt_model::{Flags as _, PrintFlags};
use virt_types::{DomainInfo, DomainRef, DomainState, Uuid, api};

use crate::channels::{Goodbye, Kept, Subject};
use crate::seen::Key;
use crate::{ORIGIN, XenDriver, invalid_arg, invalid_operation, lifecycle, metadata};

/// The filters of `virConnectListAllDomains`.
const LIST_FILTERS: u32 = 0x3fff;
/// What may be asked of a document's text.
const XML_FLAGS: u32 = api::DOMAIN_XML_SECURE
    | api::DOMAIN_XML_INACTIVE
    | api::DOMAIN_XML_UPDATE_CPU
    | api::DOMAIN_XML_MIGRATABLE;
pub(crate) const AFFECT: u32 = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG;

pub(crate) fn check_flags(flags: u32, known: u32, function: &str) -> Result<()> {
    check(flags, known, function).map_err(|error| error.or_from(ORIGIN))
}

fn no_domain(detail: String) -> Error {
    Error::new(Code::NoDomain, ORIGIN, detail)
}

impl XenDriver {
    /// What filters look at.
    pub(crate) fn facts(&self, subject: &Subject, filters: u32) -> DomainFacts {
        let core = self.core();
        let autostart =
            api::CONNECT_LIST_DOMAINS_AUTOSTART | api::CONNECT_LIST_DOMAINS_NO_AUTOSTART;
        let asked = filters & autostart != 0 && subject.kept && !subject.uuid.is_nil();
        DomainFacts {
            active: subject.running.is_some(),
            persistent: subject.kept,
            state: lifecycle::state(core, subject).0,
            managed_save: core.save_path(&subject.name).exists(),
            autostart: asked && core.definitions().autostarts(&kept(subject)).unwrap_or(false),
            ..DomainFacts::default()
        }
    }

    fn kept_of(&self, dom: &DomainRef) -> Result<Kept> {
        let subject = self.core().find(dom)?;
        match subject.kept && !subject.uuid.is_nil() {
            true => Ok(kept(&subject)),
            false => Err(invalid_operation("cannot set autostart for transient domain")),
        }
    }
}

fn kept(subject: &Subject) -> Kept {
    Kept { uuid: subject.uuid, name: subject.name.clone() }
}

impl Domains for XenDriver {
    fn list_all(&self, call: &Call<'_>, flags: u32) -> Result<Vec<DomainRef>> {
        check_flags(flags, LIST_FILTERS, "libxlConnectListAllDomains")?;
        let only = api::CONNECT_LIST_DOMAINS_ACTIVE;
        if flags == only {
            // The usual question, which needs nothing that is kept.
            let mut running = self.core().hypervisor().running()?;
            running.sort_by_key(|running| running.id);
            let states = running
                .iter()
                .map(|running| (running.uuid, lifecycle::state_of(self.core(), running)));
            self.core().glances.keep(call, states.collect());
            return Ok(running.iter().map(crate::seen::Running::to_ref).collect());
        }
        let all = self.core().all()?;
        let states = all.iter().map(|subject| {
            let (state, reason) = lifecycle::state(self.core(), subject);
            (subject.uuid, DomainState { state, reason })
        });
        self.core().glances.keep(call, states.collect());
        let fits = |subject: &&Subject| domain_matches(flags, &self.facts(subject, flags));
        Ok(all.iter().filter(fits).map(Subject::to_ref).collect())
    }

    fn lookup_by_id(&self, _: &Call<'_>, id: i32) -> Result<DomainRef> {
        let found = match u32::try_from(id) {
            Ok(id) => self.core().hypervisor().look(Key::Id(id))?,
            Err(_) => None,
        };
        let found = found.map(|running| running.to_ref());
        found.ok_or_else(|| no_domain(format!("no domain with matching id {id}")))
    }

    fn lookup_by_name(&self, _: &Call<'_>, name: &str) -> Result<DomainRef> {
        let found = self.core().with_name(name)?.map(|subject| subject.to_ref());
        found.ok_or_else(|| no_domain(format!("no domain with matching name '{name}'")))
    }

    fn lookup_by_uuid(&self, _: &Call<'_>, uuid: &Uuid) -> Result<DomainRef> {
        let found = self.core().with_uuid(uuid)?.map(|subject| subject.to_ref());
        found.ok_or_else(|| no_domain(format!("no domain with matching uuid '{uuid}'")))
    }

    fn define_xml(&self, call: &Call<'_>, xml: &str, flags: u32) -> Result<DomainRef> {
        check_flags(flags, api::DOMAIN_DEFINE_VALIDATE, "libxlDomainDefineXMLFlags")?;
        lifecycle::define(self.core(), call, xml, flags & api::DOMAIN_DEFINE_VALIDATE != 0)
    }

    fn undefine(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        let known = api::DOMAIN_UNDEFINE_MANAGED_SAVE
            | api::DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | api::DOMAIN_UNDEFINE_NVRAM
            | api::DOMAIN_UNDEFINE_KEEP_NVRAM
            | api::DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | api::DOMAIN_UNDEFINE_TPM
            | api::DOMAIN_UNDEFINE_KEEP_TPM;
        check_flags(flags, known, "libxlDomainUndefineFlags")?;
        lifecycle::undefine(self.core(), call, dom, flags)
    }

    fn create_xml(&self, call: &Call<'_>, xml_desc: &str, flags: u32) -> Result<DomainRef> {
        let known = api::DOMAIN_START_PAUSED | api::DOMAIN_START_VALIDATE;
        check_flags(flags, known, "libxlDomainCreateXML")?;
        lifecycle::create(self.core(), call, xml_desc, flags)
    }

    fn create(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainRef> {
        let known = api::DOMAIN_START_PAUSED | api::DOMAIN_START_FORCE_BOOT;
        check_flags(flags, known, "libxlDomainCreateWithFlags")?;
        lifecycle::start(self.core(), call, dom, flags)
    }

    fn destroy(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        // Compat: there is no graceful way, and libvirt's driver says so too.
        check_flags(flags, 0, "libxlDomainDestroyFlags")?;
        lifecycle::destroy(self.core(), call, dom)
    }

    fn shutdown(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        let known = api::DOMAIN_SHUTDOWN_ACPI_POWER_BTN | api::DOMAIN_SHUTDOWN_PARAVIRT;
        check_flags(flags, known, "libxlDomainShutdownFlags")?;
        lifecycle::ask(self.core(), call, dom, Goodbye::Poweroff)
    }

    fn reboot(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, api::DOMAIN_REBOOT_PARAVIRT, "libxlDomainReboot")?;
        lifecycle::ask(self.core(), call, dom, Goodbye::Reboot)
    }

    fn suspend(&self, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
        lifecycle::set_paused(self.core(), call, dom, true)
    }

    fn resume(&self, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
        lifecycle::set_paused(self.core(), call, dom, false)
    }

    fn rename(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        new_name: Option<&str>,
        flags: u32,
    ) -> Result<i32> {
        check_flags(flags, 0, "libxlDomainRename")?;
        let name = new_name.ok_or_else(|| invalid_arg("no new name"))?;
        lifecycle::rename(self.core(), call, dom, name)?;
        Ok(0)
    }

    fn get_xml_desc(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        check_flags(flags, XML_FLAGS, "libxlDomainGetXMLDesc")?;
        let core = self.core();
        let subject = core.find(dom)?;
        let inactive = flags & api::DOMAIN_XML_INACTIVE != 0;
        let document = match inactive && subject.kept && !subject.uuid.is_nil() {
            true => core.kept_document(&subject)?,
            false => core.document(&subject)?,
        };
        Ok(document.to_xml(PrintFlags::from_bits(flags)))
    }

    fn xml_from_native(
        &self,
        _: &Call<'_>,
        native_format: &str,
        native_config: &str,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, 0, "libxlConnectDomainXMLFromNative")?;
        self.core().toolstack().host().from_native(native_format, native_config)
    }

    fn xml_to_native(
        &self,
        _: &Call<'_>,
        native_format: &str,
        domain_xml: &str,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, 0, "libxlConnectDomainXMLToNative")?;
        self.core().toolstack().host().to_native(native_format, domain_xml)
    }

    fn set_metadata(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        kind: i32,
        text: Option<&str>,
        key: Option<&str>,
        uri: Option<&str>,
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "libxlDomainSetMetadata")?;
        let which = Which { kind, key, uri, ..OF_DOMAIN };
        metadata::change(self.core(), call, dom, &which, text, flags)
    }

    fn get_metadata(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        kind: i32,
        uri: Option<&str>,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, AFFECT, "libxlDomainGetMetadata")?;
        metadata::find(self.core(), dom, &Which { kind, key: None, uri, ..OF_DOMAIN }, flags)
    }

    fn get_info(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainInfo> {
        let core = self.core();
        let subject = core.find(dom)?;
        let (state, _) = lifecycle::state(core, &subject);
        let state = u8::try_from(state).unwrap_or(0);
        let Some(running) = &subject.running else {
            let document = core.kept_document(&subject)?;
            return Ok(DomainInfo {
                state,
                max_mem: document.memory.kib,
                memory: document.current_memory_kib(),
                nr_virt_cpu: u16::try_from(document.vcpu.count).unwrap_or(u16::MAX),
                cpu_time: 0,
            });
        };
        Ok(DomainInfo {
            state,
            max_mem: running.max_memory_kib,
            memory: running.memory_kib,
            nr_virt_cpu: u16::try_from(running.vcpus).unwrap_or(u16::MAX),
            cpu_time: running.cpu_time_ns,
        })
    }

    fn get_state(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainState> {
        check_flags(flags, 0, "libxlDomainGetState")?;
        if let Some(state) = self.core().glances.take(call, &dom.uuid) {
            return Ok(state);
        }
        let (state, reason) = lifecycle::state(self.core(), &self.core().find(dom)?);
        Ok(DomainState { state, reason })
    }

    fn get_os_type(&self, _: &Call<'_>, dom: &DomainRef) -> Result<String> {
        let core = self.core();
        let subject = core.find(dom)?;
        if subject.running.as_ref().is_some_and(|running| !running.hvm) {
            return Ok("linux".to_owned());
        }
        // The hypervisor does not tell apart what has emulated hardware and what has none.
        let kind = core.document(&subject)?.os.kind.kind;
        Ok(kind.map_or("linux", OsType::as_str).to_owned())
    }

    fn is_active(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.core().find(dom).map(|subject| subject.running.is_some())
    }

    fn is_persistent(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.core().find(dom).map(|subject| subject.kept)
    }

    fn is_updated(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.core().find(dom).map(|_| false)
    }

    fn get_autostart(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        let core = self.core();
        let subject = core.find(dom)?;
        match subject.kept && !subject.uuid.is_nil() {
            true => core.definitions().autostarts(&kept(&subject)),
            false => Ok(false),
        }
    }

    fn set_autostart(&self, call: &Call<'_>, dom: &DomainRef, autostart: i32) -> Result<()> {
        let core = self.core();
        core.work(call, dom.uuid, Job::Modify, || {
            core.definitions().set_autostart(&self.kept_of(dom)?, autostart != 0)
        })
    }
}
