//! The old pairs "how many" and "their names", answered from the one list call of each family.

use virt_error::Result;
use virt_types::*;

use crate::access::Object;
use crate::generated::api as calls;
use crate::{Call, Connection, device_cap_filter};

/// The first `max` of a list, as old calls bound their answers.
fn first<T>(list: impl IntoIterator<Item = T>, max: i32) -> Vec<T> {
    list.into_iter().take(usize::try_from(max).unwrap_or(0)).collect()
}

fn count<T>(list: &[T]) -> i32 {
    i32::try_from(list.len()).unwrap_or(i32::MAX)
}

/// Two functions of a family: the number of objects and their names.
macro_rules! counted {
    ($family:ident, $flags:expr, $num:ident = $num_api:ident, $list:ident = $list_api:ident) => {
        impl Connection {
            pub fn $num(&self) -> Result<i32> {
                self.run(&calls::$num_api, Object::Connect, 0, |call| {
                    Ok(count(&call.visible(self.$family()?.list_all(call, $flags)?)))
                })
            }

            pub fn $list(&self, maxnames: i32) -> Result<Vec<String>> {
                self.run(&calls::$list_api, Object::Connect, 0, |call| {
                    let list = call.visible(self.$family()?.list_all(call, $flags)?);
                    Ok(first(list.iter().map(|object| object.name.to_string()), maxnames))
                })
            }
        }
    };
}

counted!(
    networks,
    api::CONNECT_LIST_NETWORKS_ACTIVE,
    connect_num_of_networks = CONNECT_NUM_OF_NETWORKS,
    connect_list_networks = CONNECT_LIST_NETWORKS
);
counted!(
    networks,
    api::CONNECT_LIST_NETWORKS_INACTIVE,
    connect_num_of_defined_networks = CONNECT_NUM_OF_DEFINED_NETWORKS,
    connect_list_defined_networks = CONNECT_LIST_DEFINED_NETWORKS
);
counted!(
    pools,
    api::CONNECT_LIST_STORAGE_POOLS_ACTIVE,
    connect_num_of_storage_pools = CONNECT_NUM_OF_STORAGE_POOLS,
    connect_list_storage_pools = CONNECT_LIST_STORAGE_POOLS
);
counted!(
    pools,
    api::CONNECT_LIST_STORAGE_POOLS_INACTIVE,
    connect_num_of_defined_storage_pools = CONNECT_NUM_OF_DEFINED_STORAGE_POOLS,
    connect_list_defined_storage_pools = CONNECT_LIST_DEFINED_STORAGE_POOLS
);
counted!(
    interfaces,
    api::CONNECT_LIST_INTERFACES_ACTIVE,
    connect_num_of_interfaces = CONNECT_NUM_OF_INTERFACES,
    connect_list_interfaces = CONNECT_LIST_INTERFACES
);
counted!(
    interfaces,
    api::CONNECT_LIST_INTERFACES_INACTIVE,
    connect_num_of_defined_interfaces = CONNECT_NUM_OF_DEFINED_INTERFACES,
    connect_list_defined_interfaces = CONNECT_LIST_DEFINED_INTERFACES
);
counted!(
    nwfilters,
    0,
    connect_num_of_nwfilters = CONNECT_NUM_OF_NWFILTERS,
    connect_list_nwfilters = CONNECT_LIST_NWFILTERS
);

impl Connection {
    /// `virConnectGetURI`: what the connection was opened with, never asked of a daemon.
    pub fn connect_get_uri(&self) -> Result<String> {
        self.run(&calls::CONNECT_GET_URI, Object::Connect, 0, |_| Ok(self.uri().to_owned()))
    }

    pub fn connect_num_of_domains(&self) -> Result<i32> {
        self.run(&calls::CONNECT_NUM_OF_DOMAINS, Object::Connect, 0, |call| {
            Ok(count(
                &call.visible(self.domains()?.list_all(call, api::CONNECT_LIST_DOMAINS_ACTIVE)?),
            ))
        })
    }

    pub fn connect_list_domains(&self, maxids: i32) -> Result<Vec<i32>> {
        self.run(&calls::CONNECT_LIST_DOMAINS, Object::Connect, 0, |call| {
            let list =
                call.visible(self.domains()?.list_all(call, api::CONNECT_LIST_DOMAINS_ACTIVE)?);
            Ok(first(list.iter().map(|domain| domain.id), maxids))
        })
    }

    pub fn connect_num_of_defined_domains(&self) -> Result<i32> {
        self.run(&calls::CONNECT_NUM_OF_DEFINED_DOMAINS, Object::Connect, 0, |call| {
            Ok(count(
                &call.visible(self.domains()?.list_all(call, api::CONNECT_LIST_DOMAINS_INACTIVE)?),
            ))
        })
    }

    pub fn connect_list_defined_domains(&self, maxnames: i32) -> Result<Vec<String>> {
        self.run(&calls::CONNECT_LIST_DEFINED_DOMAINS, Object::Connect, 0, |call| {
            let list =
                call.visible(self.domains()?.list_all(call, api::CONNECT_LIST_DOMAINS_INACTIVE)?);
            Ok(first(list.iter().map(|domain| domain.name.to_string()), maxnames))
        })
    }

    pub fn storage_pool_num_of_volumes(&self, pool: &StoragePoolRef) -> Result<i32> {
        let object = Object::StoragePool(pool);
        self.run(&calls::STORAGE_POOL_NUM_OF_VOLUMES, object, 0, |call| {
            Ok(count(&call.visible(self.volumes()?.list_all(call, pool, 0)?)))
        })
    }

    pub fn storage_pool_list_volumes(
        &self,
        pool: &StoragePoolRef,
        maxnames: i32,
    ) -> Result<Vec<String>> {
        let object = Object::StoragePool(pool);
        self.run(&calls::STORAGE_POOL_LIST_VOLUMES, object, 0, |call| {
            let list = call.visible(self.volumes()?.list_all(call, pool, 0)?);
            Ok(first(list.iter().map(|volume| volume.name.to_string()), maxnames))
        })
    }

    pub fn node_num_of_devices(&self, cap: Option<&str>, flags: u32) -> Result<i32> {
        self.run(&calls::NODE_NUM_OF_DEVICES, Object::Connect, flags.into(), |call| {
            Ok(count(&call.visible(self.devices_with(call, cap)?)))
        })
    }

    pub fn node_list_devices(
        &self,
        cap: Option<&str>,
        maxnames: i32,
        flags: u32,
    ) -> Result<Vec<String>> {
        self.run(&calls::NODE_LIST_DEVICES, Object::Connect, flags.into(), |call| {
            let list = call.visible(self.devices_with(call, cap)?);
            Ok(first(list.iter().map(|device| device.name.to_string()), maxnames))
        })
    }

    /// Devices of one capability, by name; an unknown name matches nothing.
    fn devices_with(&self, call: &Call<'_>, cap: Option<&str>) -> Result<Vec<NodeDeviceRef>> {
        let flags = match cap.map(device_cap_filter) {
            None => 0,
            Some(Some(filter)) => filter,
            Some(None) => return Ok(Vec::new()),
        };
        self.node_devices()?.list_all(call, flags)
    }

    pub fn node_device_num_of_caps(&self, name: &str) -> Result<i32> {
        self.run(&calls::NODE_DEVICE_NUM_OF_CAPS, Object::NodeDeviceNamed(name), 0, |call| {
            Ok(count(&self.node_devices()?.list_caps(call, name, i32::MAX)?))
        })
    }

    pub fn connect_num_of_secrets(&self) -> Result<i32> {
        self.run(&calls::CONNECT_NUM_OF_SECRETS, Object::Connect, 0, |call| {
            Ok(count(&call.visible(self.secrets()?.list_all(call, 0)?)))
        })
    }

    pub fn connect_list_secrets(&self, maxuuids: i32) -> Result<Vec<String>> {
        self.run(&calls::CONNECT_LIST_SECRETS, Object::Connect, 0, |call| {
            let list = call.visible(self.secrets()?.list_all(call, 0)?);
            Ok(first(list.iter().map(|secret| secret.uuid.to_string()), maxuuids))
        })
    }

    pub fn domain_snapshot_num(&self, dom: &DomainRef, flags: u32) -> Result<i32> {
        self.run(&calls::DOMAIN_SNAPSHOT_NUM, Object::Domain(dom), flags.into(), |call| {
            Ok(count(&self.snapshots()?.list_all(call, dom, flags)?))
        })
    }

    pub fn domain_snapshot_list_names(
        &self,
        dom: &DomainRef,
        maxnames: i32,
        flags: u32,
    ) -> Result<Vec<String>> {
        self.run(&calls::DOMAIN_SNAPSHOT_LIST_NAMES, Object::Domain(dom), flags.into(), |call| {
            let list = self.snapshots()?.list_all(call, dom, flags)?;
            Ok(first(list.iter().map(|snapshot| snapshot.name.to_string()), maxnames))
        })
    }

    pub fn domain_snapshot_num_children(
        &self,
        snap: &DomainSnapshotRef,
        flags: u32,
    ) -> Result<i32> {
        let object = Object::DomainSnapshot(snap);
        self.run(&calls::DOMAIN_SNAPSHOT_NUM_CHILDREN, object, flags.into(), |call| {
            Ok(count(&self.snapshots()?.list_all_children(call, snap, flags)?))
        })
    }

    pub fn domain_snapshot_list_children_names(
        &self,
        snap: &DomainSnapshotRef,
        maxnames: i32,
        flags: u32,
    ) -> Result<Vec<String>> {
        let object = Object::DomainSnapshot(snap);
        self.run(&calls::DOMAIN_SNAPSHOT_LIST_CHILDREN_NAMES, object, flags.into(), |call| {
            let list = self.snapshots()?.list_all_children(call, snap, flags)?;
            Ok(first(list.iter().map(|snapshot| snapshot.name.to_string()), maxnames))
        })
    }
}
