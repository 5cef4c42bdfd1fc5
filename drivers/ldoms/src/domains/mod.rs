//! The domain calls, one file a family.

mod devices;
mod guest;
mod jobs;
mod tuning;

use virt_driver::{Call, DomainFacts, Domains, check_flags as check, domain_matches};
use virt_error::{Code, Error, Result};
use virt_model::PrintFlags;
use virt_types::{DomainInfo, DomainRef, DomainState, Uuid, api};

use crate::document::{Servers, View, domain, from_native, to_native};
use crate::facts::Facts;
use crate::link::ORIGIN;
use crate::message::Item;
use crate::queries::no_domain;
use crate::world::Detail;
use crate::{LdomsDriver, lifecycle};

/// The filters of `virConnectListAllDomains`.
const LIST_FILTERS: u32 = 0x3fff;
/// The variable whose value says whether a guest boots when its domain starts.
const AUTO_BOOT: &str = "auto-boot?";

pub(crate) fn check_flags(flags: u32, known: u32, function: &str) -> Result<()> {
    check(flags, known, function).map_err(|error| error.or_from(ORIGIN))
}

pub(crate) fn refused(detail: impl Into<String>) -> Error {
    Error::new(Code::OperationUnsupported, ORIGIN, detail)
}

/// What filters look at. Every domain of a manager is persistent.
pub(crate) fn public_facts(facts: &Facts) -> DomainFacts {
    DomainFacts {
        active: facts.state.is_active(),
        persistent: true,
        state: facts.state.public(),
        ..DomainFacts::default()
    }
}

impl Domains for LdomsDriver {
    fn list_all(&self, call: &Call<'_>, flags: u32) -> Result<Vec<DomainRef>> {
        check_flags(flags, LIST_FILTERS, "ldomsConnectListAllDomains")?;
        let all = self.manager().all(Some(call))?;
        let matching = all.iter().filter(|facts| domain_matches(flags, &public_facts(facts)));
        Ok(matching.map(|facts| facts.to_ref()).collect())
    }

    fn lookup_by_id(&self, call: &Call<'_>, id: i32) -> Result<DomainRef> {
        let all = self.manager().all(Some(call))?;
        let found = all.iter().find(|facts| facts.public_id() == id);
        let found = found.map(|facts| facts.to_ref());
        found.ok_or_else(|| no_domain(format!("no domain with matching id {id}")))
    }

    fn lookup_by_name(&self, call: &Call<'_>, name: &str) -> Result<DomainRef> {
        let found = self.manager().named(Some(call), name)?.map(|facts| facts.to_ref());
        found.ok_or_else(|| no_domain(format!("no domain with matching name '{name}'")))
    }

    fn lookup_by_uuid(&self, call: &Call<'_>, uuid: &Uuid) -> Result<DomainRef> {
        let found = self.manager().with_uuid(Some(call), uuid)?.map(|facts| facts.to_ref());
        found.ok_or_else(|| no_domain(format!("no domain with matching uuid '{uuid}'")))
    }

    fn define_xml(&self, call: &Call<'_>, xml: &str, flags: u32) -> Result<DomainRef> {
        check_flags(flags, api::DOMAIN_DEFINE_VALIDATE, "ldomsDomainDefineXMLFlags")?;
        lifecycle::define(self.manager(), call, xml, flags & api::DOMAIN_DEFINE_VALIDATE != 0)
    }

    fn create_xml(&self, call: &Call<'_>, xml_desc: &str, flags: u32) -> Result<DomainRef> {
        check_flags(flags, api::DOMAIN_START_VALIDATE, "ldomsDomainCreateXML")?;
        lifecycle::create(self.manager(), call, xml_desc, flags & api::DOMAIN_START_VALIDATE != 0)
    }

    fn create(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainRef> {
        check_flags(flags, 0, "ldomsDomainCreateWithFlags")?;
        lifecycle::start(self.manager(), call, dom)
    }

    fn destroy(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, api::DOMAIN_DESTROY_GRACEFUL, "ldomsDomainDestroyFlags")?;
        let graceful = flags & api::DOMAIN_DESTROY_GRACEFUL != 0;
        lifecycle::destroy(self.manager(), call, dom, graceful)
    }

    fn shutdown(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "ldomsDomainShutdownFlags")?;
        lifecycle::shutdown(self.manager(), call, dom)
    }

    fn reboot(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "ldomsDomainReboot")?;
        lifecycle::reboot(self.manager(), call, dom)
    }

    /// There is nothing of a domain beside its definition, so there is nothing more to remove.
    fn undefine(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<()> {
        let known = api::DOMAIN_UNDEFINE_MANAGED_SAVE
            | api::DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | api::DOMAIN_UNDEFINE_NVRAM
            | api::DOMAIN_UNDEFINE_KEEP_NVRAM
            | api::DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | api::DOMAIN_UNDEFINE_TPM
            | api::DOMAIN_UNDEFINE_KEEP_TPM;
        check_flags(flags, known, "ldomsDomainUndefineFlags")?;
        lifecycle::undefine(self.manager(), call, dom)
    }

    fn rename(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        _new_name: Option<&str>,
        flags: u32,
    ) -> Result<i32> {
        check_flags(flags, 0, "ldomsDomainRename")?;
        let facts = self.manager().find(call, dom)?;
        Err(refused(format!(
            "the LDoms Manager has no way to rename domain '{}': its name is what it is known by",
            facts.name
        )))
    }

    fn get_xml_desc(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<String> {
        let known = api::DOMAIN_XML_SECURE
            | api::DOMAIN_XML_INACTIVE
            | api::DOMAIN_XML_UPDATE_CPU
            | api::DOMAIN_XML_MIGRATABLE;
        check_flags(flags, known, "ldomsDomainGetXMLDesc")?;
        let manager = self.manager();
        let facts = manager.find(call, dom)?;
        let inactive = flags & api::DOMAIN_XML_INACTIVE != 0;
        let kind = match facts.state.is_bound() && !inactive {
            true => Detail::Bindings,
            false => Detail::Constraints,
        };
        let content = manager.detail(call, &facts.name, kind)?;
        let services = manager.services(call)?;
        let view = View {
            uuid: Some(facts.uuid),
            id: Some(facts.public_id()).filter(|id| *id >= 0 && !inactive),
            services: &services,
            console_host: manager.target.console_host(),
        };
        let flags = PrintFlags { inactive, ..PrintFlags::default() };
        Ok(domain(&content, &view).to_xml(flags))
    }

    fn xml_from_native(
        &self,
        _: &Call<'_>,
        native_format: &str,
        native_config: &str,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, 0, "ldomsConnectDomainXMLFromNative")?;
        from_native(native_format, native_config, self.manager().target.console_host())
    }

    fn xml_to_native(
        &self,
        call: &Call<'_>,
        native_format: &str,
        domain_xml: &str,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, 0, "ldomsConnectDomainXMLToNative")?;
        let servers = Servers::of(&self.manager().services(call)?);
        to_native(native_format, domain_xml, &servers)
    }

    fn get_info(&self, call: &Call<'_>, dom: &DomainRef) -> Result<DomainInfo> {
        let facts = self.manager().find(call, dom)?;
        Ok(DomainInfo {
            state: u8::try_from(facts.state.public()).unwrap_or(0),
            max_mem: facts.memory_kib,
            memory: facts.memory_kib,
            nr_virt_cpu: u16::try_from(facts.vcpus).unwrap_or(u16::MAX),
            cpu_time: 0,
        })
    }

    fn get_state(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainState> {
        check_flags(flags, 0, "ldomsDomainGetState")?;
        let state = self.manager().find(call, dom)?.state;
        Ok(DomainState { state: state.public(), reason: state.reason() })
    }

    fn get_os_type(&self, call: &Call<'_>, dom: &DomainRef) -> Result<String> {
        self.manager().find(call, dom).map(|_| "ldom".to_owned())
    }

    fn is_active(&self, call: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.manager().find(call, dom).map(|facts| facts.state.is_active())
    }

    fn is_persistent(&self, call: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.manager().find(call, dom).map(|_| true)
    }

    /// Whether what runs differs from what is asked for: while a change waits for a restart.
    fn is_updated(&self, call: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.manager().find(call, dom).map(|facts| facts.delayed)
    }

    /// A domain that is bound comes up with its manager; whether its guest boots then is up to
    /// OpenBoot.
    fn get_autostart(&self, call: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        let facts = self.manager().find(call, dom)?;
        let content = self.manager().detail(call, &facts.name, Detail::Constraints)?;
        let variable = content.of("var").find(|item| item.get("name") == Some(AUTO_BOOT));
        Ok(variable.and_then(|item| item.get("value")) != Some("false"))
    }

    fn set_autostart(&self, call: &Call<'_>, dom: &DomainRef, autostart: i32) -> Result<()> {
        let facts = self.manager().find(call, dom)?;
        let value = if autostart == 0 { "false" } else { "true" };
        let item = Item::new("var").with("name", AUTO_BOOT).with("value", value);
        lifecycle::act_on(self.manager(), call, "set-variable", &facts.name, item).map(drop)
    }
}

/// Whether the manager says that a change waits for a restart.
pub(crate) fn is_delayed(said: &str) -> bool {
    let lower = said.to_ascii_lowercase();
    lower.contains("delayed reconfig")
}
