//! The domain calls, one file a family: flags are checked here, [`crate::domain`] does the work.
//!
//! In this file: finding, defining, starting and stopping domains, and what is known of them.

mod devices;
mod guest;
mod jobs;
mod stats;
mod tuning;

use virt_driver::{Call, Domains};
use virt_error::Result;
use virt_model::{Flags, PrintFlags};
use virt_types::*;

use crate::TestDriver;
use crate::domain::metadata;
use crate::domain::{AFFECT, LIST_FILTERS, XML_FLAGS, define, lifecycle, not_found, tune};
use crate::error::check_flags;
use virt_driver::metadata::{OF_DOMAIN, Which};

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

    fn get_security_label(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainSecurityLabel> {
        self.world.look(dom, |state| Ok(state.label()))
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

    fn get_metadata(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        kind: i32,
        uri: Option<&str>,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, AFFECT, "testDomainGetMetadata")?;
        let which = Which { kind, key: None, uri, ..OF_DOMAIN };
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
        let which = Which { kind, key, uri, ..OF_DOMAIN };
        metadata::set_of_domain(call, &self.world, dom, &which, (metadata, flags))
    }
}
