//! The test driver: libvirt's default world, or the world of a node file, in memory.
//!
//! `test:///default` is one world per process, made at the first open, shared by every connection
//! to it and gone with the last one. `test:///FILE` reads a world of its own for the connection.
//! `test:///default?streams=1` lets volumes hold something, for those who try streams.
//! The driver knows no hypervisor and touches the host only where a call names a file.

mod auth;
mod bytes;
mod checkpoint;
mod clock;
mod device;
mod domain;
mod domains;
mod error;
mod host;
mod interface;
mod moment;
mod network;
mod nodefile;
mod object;
mod open;
mod params;
mod picture;
mod pool;
mod snapshot;
mod volume;
mod world;

use std::sync::Arc;

use virt_driver::{
    Checkpoints, DomainDevices, DomainGuest, DomainJobs, DomainStats, DomainTuning, Domains,
    Driver, EventSource, Host, Interfaces, Networks, NodeDevices, Pools, Snapshots, Volumes,
};

pub use open::{fresh_world, opener};
use world::World;

/// The driver of one connection; all that changes is in its world.
#[derive(Debug)]
struct TestDriver {
    world: Arc<World>,
    /// Volumes can be read and written.
    streams: bool,
}

/// The short questions of shells and of monitoring, in the order of their names.
const AT_ONCE: &[&str] = &[
    "virConnectGetHostname",
    "virConnectGetVersion",
    "virDomainGetAutostart",
    "virDomainGetInfo",
    "virDomainGetMaxMemory",
    "virDomainGetOSType",
    "virDomainGetState",
    "virDomainIsActive",
    "virDomainIsPersistent",
    "virDomainIsUpdated",
    "virDomainLookupByID",
    "virDomainLookupByName",
    "virDomainLookupByUUID",
    "virNetworkGetAutostart",
    "virNetworkIsActive",
    "virNetworkIsPersistent",
    "virNetworkLookupByName",
    "virNetworkLookupByUUID",
    "virNodeGetInfo",
    "virStoragePoolGetInfo",
    "virStoragePoolIsActive",
    "virStoragePoolIsPersistent",
    "virStoragePoolLookupByName",
    "virStoragePoolLookupByUUID",
];

impl Driver for TestDriver {
    fn name(&self) -> &str {
        "TEST"
    }

    fn events(&self) -> Option<&dyn EventSource> {
        Some(&self.world.events)
    }

    fn answers_at_once(&self, function: &str) -> bool {
        AT_ONCE.binary_search(&function).is_ok()
    }

    fn host(&self) -> Option<&dyn Host> {
        Some(self)
    }

    fn domains(&self) -> Option<&dyn Domains> {
        Some(self)
    }

    fn domain_tuning(&self) -> Option<&dyn DomainTuning> {
        Some(self)
    }

    fn domain_stats(&self) -> Option<&dyn DomainStats> {
        Some(self)
    }

    fn domain_devices(&self) -> Option<&dyn DomainDevices> {
        Some(self)
    }

    fn domain_jobs(&self) -> Option<&dyn DomainJobs> {
        Some(self)
    }

    fn domain_guest(&self) -> Option<&dyn DomainGuest> {
        Some(self)
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn checkpoints(&self) -> Option<&dyn Checkpoints> {
        Some(self)
    }

    fn networks(&self) -> Option<&dyn Networks> {
        Some(self)
    }

    fn pools(&self) -> Option<&dyn Pools> {
        Some(self)
    }

    fn volumes(&self) -> Option<&dyn Volumes> {
        Some(self)
    }

    fn interfaces(&self) -> Option<&dyn Interfaces> {
        Some(self)
    }

    fn node_devices(&self) -> Option<&dyn NodeDevices> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn short_questions_can_be_searched() {
        assert!(super::AT_ONCE.is_sorted());
    }
}
