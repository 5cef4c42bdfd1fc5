//! Migration: the two managers do it between themselves, this driver says where to.

use std::sync::Arc;

use virt_driver::{Call, Migration};
use virt_error::Result;
use virt_transport::Uri;
use virt_types::{DomainRef, api};

use crate::LdomsDriver;
use crate::domains::check_flags;
use crate::lifecycle::active;
use crate::link::{Credentials, encode64, invalid};
use crate::manager::{Manager, Waiting};
use crate::message::{Command, Content, Envelope, Item};

/// Has the manager give up a migration that goes on.
pub(crate) fn call_off(manager: &Manager, waiting: Waiting<'_>, name: &str) -> Result<()> {
    let command = Command::new("cancel-operation").option("migration");
    let command = command.about(Envelope::domain(name));
    manager.change(waiting, name, command).map(drop)
}

impl Migration for LdomsDriver {
    /// Sends a domain to the manager that a URI names, as `ldoms://root@other/`.
    ///
    /// The domain is gone here and is there with its definition afterwards: flags that ask for that
    /// are taken, and none that asks for anything else.
    fn perform(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        _cookie: &[u8],
        uri: &str,
        flags: u64,
        dname: Option<&str>,
        _resource: u64,
    ) -> Result<()> {
        let known = api::MIGRATE_LIVE | api::MIGRATE_PERSIST_DEST | api::MIGRATE_UNDEFINE_SOURCE;
        let flags = u32::try_from(flags).unwrap_or(u32::MAX);
        check_flags(flags, known, "ldomsDomainMigratePerform")?;
        let manager = self.manager();
        let facts = active(manager, call, dom)?;
        let target = Uri::parse(uri)?;
        let host = target.host.filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid(format!("no host to migrate to in '{uri}'")))?;
        let user = target.user.as_deref();
        let credentials = Credentials::find(&manager.target, &host, user, None);
        let credentials = credentials.map_err(|error| error.public())?;
        let info = Item::new("ldom_info")
            .with("target", host)
            .with("username", encode64(credentials.user.as_bytes()))
            .with("password", encode64(credentials.password.as_bytes()));
        let name = dname.unwrap_or(&facts.name);
        let contents = vec![Content::new(&facts.name), Content::new(name).with(info)];
        let envelope = Envelope { contents, ..Envelope::default() };
        manager.world().progress.remove(&facts.name);
        let command = Command::new("migrate-domain").about(envelope);
        let (shared, leaving) = (Arc::clone(&self.0), facts.name.clone());
        call.on_cancel(move || {
            // One that is over by now cannot be given up.
            let _ = call_off(&shared, None, &leaving);
        });
        manager.change(Some(call), &facts.name, command).map(drop)
    }
}
