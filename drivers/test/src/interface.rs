//! Interfaces of the host, and changes to them that can be taken back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virt_driver::{Call, Interfaces, pick};
use virt_error::{Code, Error, Origin, Result};
use virt_model::host_interface::HostInterface;
use virt_model::{Document, ParseFlags, PrintFlags};
use virt_types::{InterfaceRef, Name, api};

use crate::TestDriver;
use crate::error::{check_flags, invalid_operation};

/// All interfaces of a world. They change so quickly that one lock does for all.
#[derive(Debug, Default)]
pub(crate) struct InterfaceList(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: BTreeMap<Name, Listed>,
    /// What there was when the change began that can be taken back.
    before: Option<BTreeMap<Name, Listed>>,
}

#[derive(Clone, Debug)]
struct Listed {
    definition: Arc<HostInterface>,
    active: bool,
}

impl Listed {
    fn to_ref(&self, name: &Name) -> InterfaceRef {
        let mac = self.definition.mac().unwrap_or_default().to_owned();
        InterfaceRef { name: name.clone(), mac }
    }
}

impl InterfaceList {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an interface, or gives the one of that name another definition.
    pub(crate) fn define(&self, definition: HostInterface, active: bool) -> InterfaceRef {
        let name: Name = definition.name.clone().unwrap_or_default().into();
        let mut inner = self.lock();
        let active = active || inner.all.get(&name).is_some_and(|known| known.active);
        let listed = Listed { definition: Arc::new(definition), active };
        let reference = listed.to_ref(&name);
        inner.all.insert(name, listed);
        reference
    }

    fn look<R>(&self, name: &str, look: impl FnOnce(&Listed) -> R) -> Result<R> {
        self.lock().all.get(name).map(look).ok_or_else(|| not_found("name", name))
    }

    fn set_active(&self, name: &str, active: bool) -> Result<()> {
        let mut inner = self.lock();
        let listed = inner.all.get_mut(name).ok_or_else(|| not_found("name", name))?;
        if listed.active == active {
            return Err(Error::bare(Code::OperationInvalid, Origin::Test));
        }
        listed.active = active;
        Ok(())
    }
}

fn not_found(by: &str, what: &str) -> Error {
    let detail = format!("no interface with matching {by} '{what}'");
    Error::new(Code::NoInterface, Origin::Test, detail)
}

impl Interfaces for TestDriver {
    fn list_all(&self, _: &Call<'_>, flags: u32) -> Result<Vec<InterfaceRef>> {
        let (active, inactive) =
            (api::CONNECT_LIST_INTERFACES_ACTIVE, api::CONNECT_LIST_INTERFACES_INACTIVE);
        check_flags(flags, active | inactive, "testConnectListAllInterfaces")?;
        let inner = self.world.interfaces.lock();
        let wanted =
            inner.all.iter().filter(|(_, listed)| pick(flags, active, inactive, listed.active));
        Ok(wanted.map(|(name, listed)| listed.to_ref(name)).collect())
    }

    fn lookup_by_name(&self, _: &Call<'_>, name: &str) -> Result<InterfaceRef> {
        self.world.interfaces.look(name, |listed| listed.to_ref(&name.into()))
    }

    fn lookup_by_mac_string(&self, _: &Call<'_>, mac: &str) -> Result<InterfaceRef> {
        let inner = self.world.interfaces.lock();
        let mut found = inner.all.iter().filter(|(_, listed)| {
            listed.definition.mac().is_some_and(|own| own.eq_ignore_ascii_case(mac))
        });
        match (found.next(), found.next()) {
            (None, _) => Err(not_found("mac", mac)),
            (Some((name, listed)), None) => Ok(listed.to_ref(name)),
            _ => Err(Error::bare(Code::MultipleInterfaces, Origin::Test)),
        }
    }

    fn get_xml_desc(&self, _: &Call<'_>, iface: &InterfaceRef, flags: u32) -> Result<String> {
        check_flags(flags, 0, "testInterfaceGetXMLDesc")?;
        let definition =
            self.world.interfaces.look(&iface.name, |listed| Arc::clone(&listed.definition))?;
        Ok(definition.to_xml(PrintFlags::default()))
    }

    fn define_xml(&self, _: &Call<'_>, xml: &str, flags: u32) -> Result<InterfaceRef> {
        check_flags(flags, api::INTERFACE_DEFINE_VALIDATE, "testInterfaceDefineXML")?;
        let flags = ParseFlags { validate: flags != 0, ..ParseFlags::default() };
        Ok(self.world.interfaces.define(HostInterface::parse(xml, flags)?, false))
    }

    fn undefine(&self, _: &Call<'_>, iface: &InterfaceRef) -> Result<()> {
        let gone = self.world.interfaces.lock().all.remove(&iface.name);
        gone.map(drop).ok_or_else(|| not_found("name", &iface.name))
    }

    fn create(&self, _: &Call<'_>, iface: &InterfaceRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testInterfaceCreate")?;
        self.world.interfaces.set_active(&iface.name, true)
    }

    fn destroy(&self, _: &Call<'_>, iface: &InterfaceRef, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testInterfaceDestroy")?;
        self.world.interfaces.set_active(&iface.name, false)
    }

    fn is_active(&self, _: &Call<'_>, iface: &InterfaceRef) -> Result<bool> {
        self.world.interfaces.look(&iface.name, |listed| listed.active)
    }

    fn change_begin(&self, _: &Call<'_>, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testInterfaceChangeBegin")?;
        let mut inner = self.world.interfaces.lock();
        if inner.before.is_some() {
            return Err(invalid_operation("there is another transaction running."));
        }
        inner.before = Some(inner.all.clone());
        Ok(())
    }

    fn change_commit(&self, _: &Call<'_>, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testInterfaceChangeCommit")?;
        match self.world.interfaces.lock().before.take() {
            Some(_) => Ok(()),
            None => Err(invalid_operation("no transaction running, nothing to be committed.")),
        }
    }

    fn change_rollback(&self, _: &Call<'_>, flags: u32) -> Result<()> {
        check_flags(flags, 0, "testInterfaceChangeRollback")?;
        let mut inner = self.world.interfaces.lock();
        match inner.before.take() {
            Some(before) => {
                inner.all = before;
                Ok(())
            }
            None => Err(invalid_operation("no transaction running, nothing to rollback.")),
        }
    }
}
