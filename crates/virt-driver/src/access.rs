//! Who calls, what a call needs, and whether the two fit.

use virt_error::{Code, Error, Origin, Result};
use virt_types::{
    DomainCheckpointRef, DomainRef, DomainSnapshotRef, DomainStatsRecord, Event, InterfaceRef,
    NetworkPortRef, NetworkRef, NodeDeviceRef, NwfilterBindingRef, NwfilterRef, SecretRef,
    StoragePoolRef, StorageVolRef, TypedParam, TypedValue,
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
    /// What an object in the answer must allow to be seen there.
    pub filter: Option<Access>,
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
    /// A node device, which has no other key than its name.
    NodeDeviceNamed(&'a str),
    /// What will come of a document, under another name where one is given. With neither, nothing
    /// is known of it before the driver has looked.
    Described {
        name: Option<&'a str>,
        xml: Option<&'a str>,
    },
    NewVolume {
        pool: &'a StoragePoolRef,
        xml: &'a str,
    },
    NewPort {
        network: &'a NetworkRef,
        xml: &'a str,
    },
    /// What the call will find: it is looked at before the caller sees it.
    Found,
}

impl<'a> Object<'a> {
    /// What a migration's or a restore's parameters say will come of it.
    pub(crate) fn of_params(params: &'a [TypedParam]) -> Self {
        let text = |field: &str| {
            params.iter().find(|param| param.field == field).and_then(|param| match &param.value {
                TypedValue::String(text) => Some(text.as_str()),
                _ => None,
            })
        };
        let xml = text("destination_xml").or_else(|| text("xml"));
        Self::Described { name: text("destination_name"), xml }
    }
}

/// What can be in a list that is shown to a caller.
pub trait Listed {
    fn object(&self) -> Object<'_>;
}

macro_rules! listed {
    ($($kind:ident: $variant:ident),* $(,)?) => {
        $(
            impl Listed for $kind {
                fn object(&self) -> Object<'_> {
                    Object::$variant(self)
                }
            }
        )*
    };
}

listed! {
    DomainRef: Domain,
    NetworkRef: Network,
    NetworkPortRef: NetworkPort,
    StoragePoolRef: StoragePool,
    StorageVolRef: StorageVol,
    InterfaceRef: Interface,
    NodeDeviceRef: NodeDevice,
    SecretRef: Secret,
    NwfilterRef: Nwfilter,
    NwfilterBindingRef: NwfilterBinding,
}

impl Listed for DomainStatsRecord {
    fn object(&self) -> Object<'_> {
        Object::Domain(&self.dom)
    }
}

/// The object an event is about, and its kind in libvirt's names.
pub(crate) fn object_of(event: &Event) -> Option<(&'static str, Object<'_>)> {
    if let Some(domain) = event.domain() {
        return Some(("domain", Object::Domain(domain)));
    }
    if let Some(network) = event.network() {
        return Some(("network", Object::Network(network)));
    }
    if let Some(pool) = event.storage_pool() {
        return Some(("storage_pool", Object::StoragePool(pool)));
    }
    if let Some(device) = event.node_device() {
        return Some(("node_device", Object::NodeDevice(device)));
    }
    event.secret().map(|secret| ("secret", Object::Secret(secret)))
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Caller {
    /// From the socket's peer credentials; absent over the network.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub pid: Option<i32>,
    /// Most callers have proved none.
    pub names: Option<Box<Names>>,
    /// The daemon's number for the client; 0 in process.
    pub client_id: u64,
}

/// Names that somebody has proved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    pub sasl: Option<String>,
    pub x509: Option<String>,
}

/// Whether somebody may do something to something.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The driver's name as `virConnectGetType` gives it.
    pub driver: &'a str,
    /// The public call.
    pub api: &'a str,
    pub object: Object<'a>,
    /// The object's kind in libvirt's names: `domain`, `storage_pool`.
    pub kind: &'a str,
    pub permission: &'a str,
    /// Only whether it is to be shown: an object left out of a list is nothing to report.
    pub listing: bool,
}

/// Fine-grained rules for one caller: asked for every permission that a call needs. It must not
/// wait: it is asked while events are published.
pub trait AccessPolicy: Send + Sync {
    fn allowed(&self, asked: &Asked<'_>) -> bool;
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

/// Compat: libvirt names the driver, not the call.
pub(crate) fn denied(driver: &str) -> Error {
    Error::new(Code::AccessDenied, Origin::Access, format!("'{driver}' denied access"))
}
