//! A world: its node, its objects, and who listens to what happens to them.

use std::sync::atomic::{AtomicI32, Ordering};

use virt_driver::{EventBus, Table};
use virt_error::Result;

use crate::domain::Domain;
use crate::domain::define;
use crate::host::Node;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) domains: Table<Domain>,
    pub(crate) events: EventBus,
    last_id: AtomicI32,
}

/// What libvirt's default world consists of.
mod content {
    pub(super) const DOMAIN: &str = "\
<domain type='test'>
  <name>test</name>
  <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>
  <memory>8388608</memory>
  <currentMemory>2097152</currentMemory>
  <vcpu>2</vcpu>
  <os>
    <type>hvm</type>
  </os>
  <devices>
    <disk type='file'>
      <source file='/guest/diskimage1'/>
      <target dev='vda' bus='virtio'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </disk>
    <interface type='network'>
      <mac address='aa:bb:cc:dd:ee:ff'/>
      <source network='default'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x0'/>
    </interface>
    <memballoon model='virtio'>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/>
    </memballoon>
  </devices>
</domain>";
}

impl World {
    fn new(node: Node) -> Self {
        Self { node, domains: Table::new(), events: EventBus::new(), last_id: AtomicI32::new(0) }
    }

    /// The world of `test:///default`.
    pub(crate) fn default_world() -> Result<Self> {
        let world = Self::new(Node::with_cells());
        define::preset(&world, content::DOMAIN)?;
        Ok(world)
    }

    /// The world that a node file describes.
    pub(crate) fn from_file(path: &str) -> Result<Self> {
        let _ = path;
        virt_driver::unsupported()
    }

    /// The first address that a network gives away, and the length of its prefix.
    pub(crate) fn address_range(&self, _network: &str) -> Option<(u32, u32)> {
        None
    }

    /// The id of the next domain that starts.
    pub(crate) fn next_id(&self) -> i32 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}
