//! A world: its node, its objects, and who listens to what happens to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use virt_driver::{EventBus, Table};
use virt_error::Result;
use virt_model::host_interface::HostInterface;
use virt_model::network::Network as NetworkDefinition;
use virt_model::node_device::NodeDevice;
use virt_model::storage::Pool as PoolDefinition;
use virt_model::{Document, ParseFlags};
use virt_types::api;

use crate::bytes::Contents;
use crate::device::DeviceList;
use crate::domain::{Domain, define, rules};
use crate::fault::{Faults, Plan};
use crate::host::Node;
use crate::interface::InterfaceList;
use crate::network::{self, Network};
use crate::pool::{self, Pool};

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) domains: Table<Domain>,
    pub(crate) networks: Table<Network>,
    pub(crate) pools: Table<Pool>,
    pub(crate) interfaces: InterfaceList,
    pub(crate) devices: DeviceList,
    pub(crate) events: EventBus,
    pub(crate) contents: Contents,
    pub(crate) faults: Faults,
    last_id: AtomicI32,
}

/// What libvirt's default world consists of.
mod content;

impl World {
    pub(crate) fn new(node: Node, faults: Plan) -> Self {
        Self {
            node,
            domains: Table::new(),
            networks: Table::new(),
            pools: Table::new(),
            interfaces: InterfaceList::default(),
            devices: DeviceList::default(),
            events: EventBus::new(),
            contents: Contents::default(),
            faults: Faults::new(faults),
            last_id: AtomicI32::new(0),
        }
    }

    /// The world of `test:///default`.
    pub(crate) fn default_world() -> Result<Self> {
        let world = Self::new(Node::with_cells(), Plan::default());
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        define::preset(&world, rules::parse(content::DOMAIN, flags)?, |state| {
            state.persistent = true;
            Some(api::DOMAIN_RUNNING)
        })?;
        let flags = ParseFlags::default();
        network::preset(&world, NetworkDefinition::parse(content::NETWORK, flags)?)?;
        world.interfaces.define(HostInterface::parse(content::INTERFACE, flags)?, true);
        pool::preset(&world, PoolDefinition::parse(content::POOL, flags)?)?;
        for device in content::DEVICES {
            world.devices.insert(NodeDevice::parse(device, flags)?, true);
        }
        Ok(world)
    }

    /// The world as connections have it.
    pub(crate) fn share(self) -> Arc<Self> {
        let shared = Arc::new(self);
        shared.faults.watch(Arc::downgrade(&shared));
        shared
    }

    /// The id of the next domain that starts.
    pub(crate) fn next_id(&self) -> i32 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}
