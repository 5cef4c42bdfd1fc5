//! Who calls, what a call needs, and whether the two fit.

use virt_error::{Code, Error, Origin, Result};
use virt_types::{
    DomainCheckpointRef, DomainRef, DomainSnapshotRef, InterfaceRef, NetworkPortRef, NetworkRef,
    NodeDeviceRef, NwfilterBindingRef, NwfilterRef, SecretRef, StoragePoolRef, StorageVolRef,
};

/// One public call: its name and what its caller must be allowed.
#[derive(Debug)]
pub struct Api {
    /// The public function, as in `virDomainSuspend`.
    pub name: &'static str,
    /// Who reports a refusal of the call itself.
    pub origin: Origin,
    /// Whether a read-only connection refuses it whatever the flags.
    pub write: bool,
    pub access: &'static [Access],
}

/// A permission that a call needs, in libvirt's names.
#[derive(Debug)]
pub struct Access {
    pub object: &'static str,
    pub permission: &'static str,
    pub when: When,
}

/// The flags of a call for which a permission is needed.
#[derive(Debug)]
pub enum When {
    Always,
    AnyOf(u64),
    NoneOf(u64),
}

impl Access {
    /// Whether a call with these flags needs this permission.
    pub fn applies(&self, flags: u64) -> bool {
        match self.when {
            When::Always => true,
            When::AnyOf(mask) => flags & mask != 0,
            When::NoneOf(mask) => flags & mask == 0,
        }
    }

    /// Whether a read-only caller has this permission.
    pub fn readable(&self) -> bool {
        matches!(self.permission, "getattr" | "read") || self.permission.starts_with("search_")
    }
}

/// The object a call is about.
#[derive(Clone, Copy, Debug)]
pub enum Object<'a> {
    Connect,
    Domain(&'a DomainRef),
    DomainSnapshot(&'a DomainSnapshotRef),
    DomainCheckpoint(&'a DomainCheckpointRef),
    Network(&'a NetworkRef),
    NetworkPort(&'a NetworkPortRef),
    StoragePool(&'a StoragePoolRef),
    StorageVol(&'a StorageVolRef),
    Interface(&'a InterfaceRef),
    NodeDevice(&'a NodeDeviceRef),
    Secret(&'a SecretRef),
    Nwfilter(&'a NwfilterRef),
    NwfilterBinding(&'a NwfilterBindingRef),
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Caller {
    /// From the socket's peer credentials; absent over the network.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub pid: Option<i32>,
    pub sasl_name: Option<String>,
    pub x509_name: Option<String>,
    /// The daemon's number for the client; 0 in process.
    pub client_id: u64,
}

/// Fine-grained rules: asked for every permission that a call needs.
pub trait AccessPolicy: Send + Sync {
    fn allowed(&self, caller: &Caller, object: Object<'_>, access: &Access) -> bool;

    /// Whether it may have to ask somebody else, who takes time to answer.
    fn waits(&self) -> bool {
        false
    }
}

/// Refuses what a read-only connection may not do.
///
/// Compat: a secure flag on a call that is readable otherwise has a message of its own.
pub(crate) fn check_read_only(api: &Api, flags: u64) -> Result<()> {
    if api.write {
        let detail = format!("read only access prevents {}", api.name);
        return Err(Error::new(Code::OperationDenied, api.origin, detail));
    }
    let by_flag = |access: &Access| !matches!(access.when, When::Always);
    let secure = api
        .access
        .iter()
        .any(|access| by_flag(access) && access.applies(flags) && !access.readable());
    if secure {
        let detail = format!("{} with secure flag", api.name);
        return Err(Error::new(Code::OperationDenied, api.origin, detail));
    }
    Ok(())
}

/// Asks the rules for every permission that the call needs.
pub(crate) fn check_policy(
    policy: &dyn AccessPolicy,
    caller: &Caller,
    object: Object<'_>,
    api: &Api,
    flags: u64,
) -> Result<()> {
    let needed = api.access.iter().filter(|access| access.applies(flags));
    for access in needed {
        if !policy.allowed(caller, object, access) {
            return Err(Error::new(Code::AccessDenied, Origin::Access, api.name));
        }
    }
    Ok(())
}
