//! A world with one object of each kind, all of the same name; whoever asks for any gets that one.

use std::sync::Arc;

use virt_driver::{
    Bindings, Call, DomainStats, Domains, Driver, Host, Interfaces, Networks, NodeDevices,
    Nwfilters, OpenRequest, Opener, Pools, Ports, Secrets, Snapshots, Volumes,
};
use virt_error::Result;
use virt_types::{
    DomainRef, DomainSnapshotRef, DomainStatsRecord, InterfaceRef, NetworkPortRef, NetworkRef,
    NodeDeviceRef, NwfilterBindingRef, NwfilterRef, SecretRef, StoragePoolRef, StorageVolRef, Uuid,
};

pub(crate) const URI: &str = "world:///";
pub(crate) const NAME: &str = "a";
const UUID: Uuid = Uuid([1; 16]);

pub(crate) struct World;

impl Opener for World {
    fn open(&self, request: &OpenRequest<'_>) -> Result<Option<Vec<Arc<dyn Driver>>>> {
        Ok((request.uri == URI).then(|| vec![Arc::new(Self) as Arc<dyn Driver>]))
    }
}

impl Driver for World {
    fn name(&self) -> &str {
        "WORLD"
    }

    virt_driver::owns! {
        host: Host,
        domains: Domains,
        domain_stats: DomainStats,
        snapshots: Snapshots,
        networks: Networks,
        ports: Ports,
        pools: Pools,
        volumes: Volumes,
        interfaces: Interfaces,
        node_devices: NodeDevices,
        secrets: Secrets,
        nwfilters: Nwfilters,
        bindings: Bindings,
    }
}

fn domain() -> DomainRef {
    DomainRef { name: NAME.into(), uuid: UUID, id: 1 }
}

fn network() -> NetworkRef {
    NetworkRef { name: NAME.into(), uuid: UUID }
}

fn pool() -> StoragePoolRef {
    StoragePoolRef { name: NAME.into(), uuid: UUID }
}

fn volume() -> StorageVolRef {
    StorageVolRef { pool: NAME.into(), name: NAME.into(), key: NAME.into() }
}

fn interface() -> InterfaceRef {
    InterfaceRef { name: NAME.into(), mac: NAME.into() }
}

fn device() -> NodeDeviceRef {
    NodeDeviceRef { name: NAME.into() }
}

fn secret() -> SecretRef {
    SecretRef { uuid: UUID, usage_type: 1, usage_id: NAME.into() }
}

fn nwfilter() -> NwfilterRef {
    NwfilterRef { name: NAME.into(), uuid: UUID }
}

fn binding() -> NwfilterBindingRef {
    NwfilterBindingRef { portdev: NAME.into(), filtername: NAME.into() }
}

fn port() -> NetworkPortRef {
    NetworkPortRef { net: network(), uuid: UUID }
}

impl Host for World {}

impl Domains for World {
    fn lookup_by_id(&self, _: &Call<'_>, _: i32) -> Result<DomainRef> {
        Ok(domain())
    }
    fn lookup_by_name(&self, _: &Call<'_>, _: &str) -> Result<DomainRef> {
        Ok(domain())
    }
    fn lookup_by_uuid(&self, _: &Call<'_>, _: &Uuid) -> Result<DomainRef> {
        Ok(domain())
    }
    fn list_all(&self, _: &Call<'_>, _: u32) -> Result<Vec<DomainRef>> {
        Ok(vec![domain()])
    }
}

impl DomainStats for World {
    fn get_all_stats(
        &self,
        _: &Call<'_>,
        _: &[DomainRef],
        _: u32,
        _: u32,
    ) -> Result<Vec<DomainStatsRecord>> {
        Ok(vec![DomainStatsRecord { dom: domain(), params: Vec::new() }])
    }
}

impl Snapshots for World {
    fn lookup_by_name(
        &self,
        _: &Call<'_>,
        _: &DomainRef,
        _: &str,
        _: u32,
    ) -> Result<DomainSnapshotRef> {
        Ok(DomainSnapshotRef { name: NAME.into(), dom: domain() })
    }
}

impl Networks for World {
    fn lookup_by_name(&self, _: &Call<'_>, _: &str) -> Result<NetworkRef> {
        Ok(network())
    }
    fn lookup_by_uuid(&self, _: &Call<'_>, _: &Uuid) -> Result<NetworkRef> {
        Ok(network())
    }
    fn list_all(&self, _: &Call<'_>, _: u32) -> Result<Vec<NetworkRef>> {
        Ok(vec![network()])
    }
}

impl Ports for World {
    fn lookup_by_uuid(&self, _: &Call<'_>, _: &NetworkRef, _: &Uuid) -> Result<NetworkPortRef> {
        Ok(port())
    }
    fn list_all(&self, _: &Call<'_>, _: &NetworkRef, _: u32) -> Result<Vec<NetworkPortRef>> {
        Ok(vec![port()])
    }
}

impl Pools for World {
    fn lookup_by_name(&self, _: &Call<'_>, _: &str) -> Result<StoragePoolRef> {
        Ok(pool())
    }
    fn lookup_by_uuid(&self, _: &Call<'_>, _: &Uuid) -> Result<StoragePoolRef> {
        Ok(pool())
    }
    fn lookup_by_volume(&self, _: &Call<'_>, _: &StorageVolRef) -> Result<StoragePoolRef> {
        Ok(pool())
    }
    fn lookup_by_target_path(&self, _: &Call<'_>, _: &str) -> Result<StoragePoolRef> {
        Ok(pool())
    }
    fn list_all(&self, _: &Call<'_>, _: u32) -> Result<Vec<StoragePoolRef>> {
        Ok(vec![pool()])
    }
}

impl Volumes for World {
    fn lookup_by_name(&self, _: &Call<'_>, _: &StoragePoolRef, _: &str) -> Result<StorageVolRef> {
        Ok(volume())
    }
    fn lookup_by_key(&self, _: &Call<'_>, _: &str) -> Result<StorageVolRef> {
        Ok(volume())
    }
    fn lookup_by_path(&self, _: &Call<'_>, _: &str) -> Result<StorageVolRef> {
        Ok(volume())
    }
    fn list_all(&self, _: &Call<'_>, _: &StoragePoolRef, _: u32) -> Result<Vec<StorageVolRef>> {
        Ok(vec![volume()])
    }
}

impl Interfaces for World {
    fn lookup_by_name(&self, _: &Call<'_>, _: &str) -> Result<InterfaceRef> {
        Ok(interface())
    }
    fn lookup_by_mac_string(&self, _: &Call<'_>, _: &str) -> Result<InterfaceRef> {
        Ok(interface())
    }
    fn list_all(&self, _: &Call<'_>, _: u32) -> Result<Vec<InterfaceRef>> {
        Ok(vec![interface()])
    }
}

impl NodeDevices for World {
    fn lookup_by_name(&self, _: &Call<'_>, _: &str) -> Result<NodeDeviceRef> {
        Ok(device())
    }
    fn lookup_scsi_host_by_wwn(
        &self,
        _: &Call<'_>,
        _: &str,
        _: &str,
        _: u32,
    ) -> Result<NodeDeviceRef> {
        Ok(device())
    }
    fn list_all(&self, _: &Call<'_>, _: u32) -> Result<Vec<NodeDeviceRef>> {
        Ok(vec![device()])
    }
}

impl Secrets for World {
    fn lookup_by_uuid(&self, _: &Call<'_>, _: &Uuid) -> Result<SecretRef> {
        Ok(secret())
    }
    fn lookup_by_usage(&self, _: &Call<'_>, _: i32, _: &str) -> Result<SecretRef> {
        Ok(secret())
    }
    fn list_all(&self, _: &Call<'_>, _: u32) -> Result<Vec<SecretRef>> {
        Ok(vec![secret()])
    }
}

impl Nwfilters for World {
    fn lookup_by_name(&self, _: &Call<'_>, _: &str) -> Result<NwfilterRef> {
        Ok(nwfilter())
    }
    fn lookup_by_uuid(&self, _: &Call<'_>, _: &Uuid) -> Result<NwfilterRef> {
        Ok(nwfilter())
    }
    fn list_all(&self, _: &Call<'_>, _: u32) -> Result<Vec<NwfilterRef>> {
        Ok(vec![nwfilter()])
    }
}

impl Bindings for World {
    fn lookup_by_port_dev(&self, _: &Call<'_>, _: &str) -> Result<NwfilterBindingRef> {
        Ok(binding())
    }
    fn list_all(&self, _: &Call<'_>, _: u32) -> Result<Vec<NwfilterBindingRef>> {
        Ok(vec![binding()])
    }
}
