//! The test driver: libvirt's default world, or the world of a node file, in memory.
//!
//! `test:///default` is one world per process, made at the first open, shared by every connection
//! to it and gone with the last one. `test:///FILE` reads a world of its own for the connection.
//! `test:///default?streams=1` lets volumes hold something, for those who try streams.
//! Documents may ask for trouble (`fault`): calls that take long or fail, guests that crash.
//! The driver knows no hypervisor and touches the host only where a call names a file.

mod auth;
mod bytes;
mod checkpoint;
mod clock;
mod device;
mod domain;
mod domains;
mod error;
mod fault;
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

use virt_driver::{Call, Driver, EventSource, Object};
use virt_error::Result;

pub use open::{fresh_world, opener};
use world::World;

/// The driver; all that changes is in its world.
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
        // What may be made to wait is answered by a worker.
        !self.world.faults.armed() && AT_ONCE.binary_search(&function).is_ok()
    }

    fn before_call(&self, call: &Call<'_>, object: Object<'_>) -> Result<()> {
        match self.world.faults.armed() {
            true => fault::meet(&self.world, call, object),
            false => Ok(()),
        }
    }

    virt_driver::owns! {
        host: Host,
        domains: Domains,
        domain_tuning: DomainTuning,
        domain_stats: DomainStats,
        domain_devices: DomainDevices,
        domain_jobs: DomainJobs,
        domain_guest: DomainGuest,
        snapshots: Snapshots,
        checkpoints: Checkpoints,
        networks: Networks,
        pools: Pools,
        volumes: Volumes,
        interfaces: Interfaces,
        node_devices: NodeDevices,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn short_questions_can_be_searched() {
        assert!(super::AT_ONCE.is_sorted());
    }
}
