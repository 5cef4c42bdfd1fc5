//! What a caller under rules may do: every call is checked before its driver hears of it, and what
//! it gives back is left out where the caller may not see it.
//!
//! A client says by itself which name goes with which UUID. Rules look at both, and a driver looks
//! at one; so before a rule is asked, the object is looked up, and a reference of which a part is
//! somebody else's refers to nothing.

use std::sync::Arc;

use virt_error::{Code, Error, Origin, Result};
use virt_types::{
    DomainRef, NetworkRef, NwfilterBindingRef, NwfilterRef, SecretRef, StoragePoolRef,
    StorageVolRef,
};

use crate::access::{denied, object_of};
use crate::{AccessPolicy, Api, Asked, Call, Connection, EventSink, Listed, MonitorSink, Object};

impl Connection {
    /// Checks what a call on the connection itself needs, for calls that are not made through it.
    pub fn admit(&self, api: &'static Api) -> Result<()> {
        self.run(api, Object::Connect, 0, |_| Ok(()))
    }

    /// Asks the rules for every permission that the call needs.
    pub(super) fn check_policy(
        &self,
        policy: &dyn AccessPolicy,
        call: &Call<'_>,
        object: Object<'_>,
        flags: u64,
    ) -> Result<()> {
        self.verify(call, object)?;
        let driver = self.driver_name();
        for access in call.api.access.iter().filter(|access| access.applies(flags)) {
            let object = match (access.object, object) {
                ("connect", _) => Object::Connect,
                (_, Object::Found) => continue,
                (_, Object::Connect) => Object::Described { name: None, xml: None },
                (_, object) => object,
            };
            let asked = Asked {
                driver,
                api: call.api.name,
                object,
                kind: access.object,
                permission: access.permission,
                listing: false,
            };
            if !policy.allowed(&asked) {
                return Err(denied(driver));
            }
        }
        Ok(())
    }

    /// The name of the driver that the connection is to.
    fn driver_name(&self) -> &str {
        self.drivers().first().map_or("", |driver| driver.name())
    }

    /// A sink that is told only what the caller may see.
    pub(super) fn guarded(&self, api: &'static str, sink: EventSink) -> EventSink {
        let Some(policy) = self.policy().cloned() else { return sink };
        let driver = self.driver_name().to_owned();
        Arc::new(move |event| {
            let seen = object_of(event).is_some_and(|(kind, object)| {
                let permission = "getattr";
                let driver = driver.as_str();
                policy.allowed(&Asked { driver, api, object, kind, permission, listing: true })
            });
            if seen {
                sink(event);
            }
        })
    }

    /// The same for what emulators say.
    pub(super) fn guarded_monitor(&self, api: &'static str, sink: MonitorSink) -> MonitorSink {
        let Some(policy) = self.policy().cloned() else { return sink };
        let driver = self.driver_name().to_owned();
        Arc::new(move |event| {
            let (kind, permission) = ("domain", "getattr");
            let (driver, object) = (driver.as_str(), Object::Domain(&event.dom));
            if policy.allowed(&Asked { driver, api, object, kind, permission, listing: true }) {
                sink(event);
            }
        })
    }

    /// Refuses a reference whose parts belong to different objects.
    fn verify(&self, call: &Call<'_>, object: Object<'_>) -> Result<()> {
        match object {
            Object::Domain(domain) => self.verify_domain(call, domain),
            Object::DomainSnapshot(snapshot) => self.verify_domain(call, &snapshot.dom),
            Object::DomainCheckpoint(checkpoint) => self.verify_domain(call, &checkpoint.dom),
            Object::Network(network) | Object::NewPort { network, .. } => {
                self.verify_network(call, network)
            }
            Object::NetworkPort(port) => self.verify_network(call, &port.net),
            Object::StoragePool(pool) | Object::NewVolume { pool, .. } => {
                self.verify_pool(call, pool)
            }
            Object::StorageVol(volume) => self.verify_volume(call, volume),
            Object::Secret(secret) => self.verify_secret(call, secret),
            Object::Nwfilter(filter) => self.verify_nwfilter(call, filter),
            Object::NwfilterBinding(binding) => self.verify_binding(call, binding),
            Object::Interface(interface) => {
                let Ok(family) = self.interfaces() else { return Ok(()) };
                let found = family.lookup_by_name(call, &interface.name)?;
                same(found.mac == interface.mac, Code::NoInterface, Origin::Interface, || {
                    format!("couldn't find interface named '{}'", interface.name)
                })
            }
            // These have one key only, or are not there yet.
            Object::Connect
            | Object::NodeDevice(_)
            | Object::NodeDeviceNamed(_)
            | Object::Described { .. }
            | Object::Found => Ok(()),
        }
    }

    fn verify_domain(&self, call: &Call<'_>, domain: &DomainRef) -> Result<()> {
        let Ok(family) = self.domains() else { return Ok(()) };
        let found = family.lookup_by_uuid(call, &domain.uuid)?;
        same(found.name == domain.name, Code::NoDomain, Origin::Domain, || {
            format!("no domain with matching uuid '{}' ({})", domain.uuid, domain.name)
        })
    }

    fn verify_network(&self, call: &Call<'_>, network: &NetworkRef) -> Result<()> {
        let Ok(family) = self.networks() else { return Ok(()) };
        let found = family.lookup_by_uuid(call, &network.uuid)?;
        same(found.name == network.name, Code::NoNetwork, Origin::Network, || {
            format!("no network with matching uuid '{}' ({})", network.uuid, network.name)
        })
    }

    fn verify_pool(&self, call: &Call<'_>, pool: &StoragePoolRef) -> Result<()> {
        let Ok(family) = self.pools() else { return Ok(()) };
        let found = family.lookup_by_uuid(call, &pool.uuid)?;
        same(found.name == pool.name, Code::NoStoragePool, Origin::Storage, || {
            format!("no storage pool with matching uuid '{}' ({})", pool.uuid, pool.name)
        })
    }

    fn verify_volume(&self, call: &Call<'_>, volume: &StorageVolRef) -> Result<()> {
        let Ok(family) = self.volumes() else { return Ok(()) };
        let found = family.lookup_by_key(call, &volume.key)?;
        same(found == *volume, Code::NoStorageVol, Origin::Storage, || {
            format!("no storage vol with matching key '{}'", volume.key)
        })
    }

    fn verify_secret(&self, call: &Call<'_>, secret: &SecretRef) -> Result<()> {
        let Ok(family) = self.secrets() else { return Ok(()) };
        let found = family.lookup_by_uuid(call, &secret.uuid)?;
        same(found == *secret, Code::NoSecret, Origin::Secret, || {
            format!("no secret with matching uuid '{}'", secret.uuid)
        })
    }

    fn verify_nwfilter(&self, call: &Call<'_>, filter: &NwfilterRef) -> Result<()> {
        let Ok(family) = self.nwfilters() else { return Ok(()) };
        let found = family.lookup_by_uuid(call, &filter.uuid)?;
        same(found.name == filter.name, Code::NoNwfilter, Origin::Nwfilter, || {
            format!("no nwfilter with matching uuid '{}' ({})", filter.uuid, filter.name)
        })
    }

    fn verify_binding(&self, call: &Call<'_>, binding: &NwfilterBindingRef) -> Result<()> {
        let Ok(family) = self.bindings() else { return Ok(()) };
        let found = family.lookup_by_port_dev(call, &binding.portdev)?;
        same(found == *binding, Code::NoNwfilterBinding, Origin::Nwfilter, || {
            format!("no nwfilter binding for port dev '{}'", binding.portdev)
        })
    }
}

fn same(is: bool, code: Code, origin: Origin, complaint: impl FnOnce() -> String) -> Result<()> {
    if is { Ok(()) } else { Err(Error::new(code, origin, complaint())) }
}

impl Call<'_> {
    /// What of a list the caller may see.
    pub(crate) fn visible<T: Listed>(&self, mut list: Vec<T>) -> Vec<T> {
        if let (Some(policy), Some(filter)) = (self.connection.policy(), &self.api.filter) {
            list.retain(|one| {
                policy.allowed(&Asked {
                    driver: self.connection.driver_name(),
                    api: self.api.name,
                    object: one.object(),
                    kind: filter.object,
                    permission: filter.permission,
                    listing: true,
                })
            });
        }
        list
    }

    /// What the call found, unless the caller may not see it.
    pub(crate) fn seen<T: Listed>(&self, found: T) -> Result<T> {
        let Some(policy) = self.connection.policy() else { return Ok(found) };
        let driver = self.connection.driver_name();
        let needed = self.api.access.iter().filter(|access| access.object != "connect");
        for access in needed {
            let asked = Asked {
                driver,
                api: self.api.name,
                object: found.object(),
                kind: access.object,
                permission: access.permission,
                listing: false,
            };
            if !policy.allowed(&asked) {
                return Err(denied(driver));
            }
        }
        Ok(found)
    }
}
