//! The domain calls: flags are checked here, the work is done in [`crate::domain`].

use std::time::{SystemTime, UNIX_EPOCH};

use virt_driver::{Call, Domains, domain_matches};
use virt_error::Result;
use virt_model::Flags;
use virt_model::PrintFlags;
use virt_types::{DomainInfo, DomainRef, DomainState, Uuid, api};

use crate::TestDriver;
use crate::domain::{define, lifecycle, not_found};
use crate::error::check_flags;

/// The wall clock in nanoseconds, which stands for a domain's CPU time.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX).saturating_mul(1000)
}

impl Domains for TestDriver {
    fn list_all(&self, _: &Call<'_>, flags: u32) -> Result<Vec<DomainRef>> {
        check_flags(flags, LIST_FILTERS, "testConnectListAllDomains")?;
        Ok(self.world.domains.collect(|domain| {
            domain.read(|state| domain_matches(flags, &state.facts()).then(|| domain.ref_at(state)))
        }))
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
        const KNOWN: u32 =
            api::DOMAIN_UNDEFINE_MANAGED_SAVE | api::DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
        check_flags(flags, KNOWN, "testDomainUndefineFlags")?;
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

    /// Compat: every way to reboot that the API knows is taken, and they are all the same.
    fn reboot(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        const KNOWN: u32 = api::DOMAIN_REBOOT_ACPI_POWER_BTN
            | api::DOMAIN_REBOOT_GUEST_AGENT
            | api::DOMAIN_REBOOT_INITCTL
            | api::DOMAIN_REBOOT_SIGNAL
            | api::DOMAIN_REBOOT_PARAVIRT;
        check_flags(flags, KNOWN, "testDomainReboot")?;
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
        const KNOWN: u32 =
            api::DOMAIN_XML_SECURE | api::DOMAIN_XML_INACTIVE | api::DOMAIN_XML_MIGRATABLE;
        check_flags(flags, KNOWN, "testDomainGetXMLDesc")?;
        let definition = self.world.look(dom, |state| {
            let inactive = flags & api::DOMAIN_XML_INACTIVE != 0;
            Ok(if inactive { state.stored() } else { &state.current }.clone())
        })?;
        Ok(definition.to_xml(PrintFlags::from_bits(flags)))
    }

    fn get_info(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainInfo> {
        self.world.look(dom, |state| {
            Ok(DomainInfo {
                state: u8::try_from(state.state).unwrap_or_default(),
                max_mem: state.current.memory.kib,
                memory: state.current.current_memory_kib(),
                nr_virt_cpu: u16::try_from(state.vcpus()).unwrap_or(u16::MAX),
                cpu_time: now_ns(),
            })
        })
    }

    fn get_state(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainState> {
        check_flags(flags, 0, "testDomainGetState")?;
        self.world.look(dom, |state| Ok(DomainState { state: state.state, reason: state.reason }))
    }

    fn get_autostart(&self, _: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.world.look(dom, |state| Ok(state.autostart))
    }

    fn set_autostart(&self, call: &Call<'_>, dom: &DomainRef, autostart: i32) -> Result<()> {
        self.world.change(call, dom, |state| {
            state.autostart = autostart != 0;
            Ok(())
        })
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
        self.world
            .look(dom, |state| Ok(i32::try_from(state.current.vcpu.count).unwrap_or(i32::MAX)))
    }

    fn get_hostname(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        check_flags(flags, 0, "testDomainGetHostname")?;
        self.world.look(dom, |state| state.require_active())?;
        Ok("testhost".to_owned())
    }
}

const LIST_FILTERS: u32 = api::CONNECT_LIST_DOMAINS_ACTIVE
    | api::CONNECT_LIST_DOMAINS_INACTIVE
    | api::CONNECT_LIST_DOMAINS_PERSISTENT
    | api::CONNECT_LIST_DOMAINS_TRANSIENT
    | api::CONNECT_LIST_DOMAINS_RUNNING
    | api::CONNECT_LIST_DOMAINS_PAUSED
    | api::CONNECT_LIST_DOMAINS_SHUTOFF
    | api::CONNECT_LIST_DOMAINS_OTHER
    | api::CONNECT_LIST_DOMAINS_MANAGEDSAVE
    | api::CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE
    | api::CONNECT_LIST_DOMAINS_AUTOSTART
    | api::CONNECT_LIST_DOMAINS_NO_AUTOSTART
    | api::CONNECT_LIST_DOMAINS_HAS_SNAPSHOT
    | api::CONNECT_LIST_DOMAINS_NO_SNAPSHOT
    | api::CONNECT_LIST_DOMAINS_HAS_CHECKPOINT
    | api::CONNECT_LIST_DOMAINS_NO_CHECKPOINT;
