//! Node devices: a computer, its SCSI hosts, and virtual ones that come and go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virt_driver::{Call, NodeDevices, pick};
use virt_error::{Code, Error, Origin, Result};
use virt_model::node_device::NodeDevice;
use virt_model::{Document, ParseFlags, PrintFlags};
use virt_types::{Event, Name, NodeDeviceRef, Uuid, api};
use virt_xml::{Element, Node};

use crate::TestDriver;
use crate::error::check_flags;

/// All devices of a node. They change so quickly that one lock does for all.
#[derive(Debug, Default)]
pub(crate) struct DeviceList(Mutex<BTreeMap<Name, Listed>>);

#[derive(Clone, Debug)]
struct Listed {
    device: Arc<NodeDevice>,
    /// Whether it was there from the start.
    ///
    /// Compat: one that is made later counts as neither active nor stored.
    original: bool,
}

impl DeviceList {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Listed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, device: NodeDevice, original: bool) -> NodeDeviceRef {
        let name: Name = device.name.as_str().into();
        let listed = Listed { device: Arc::new(device), original };
        self.lock().insert(name.clone(), listed);
        NodeDeviceRef { name }
    }

    fn get(&self, name: &str) -> Result<Arc<NodeDevice>> {
        self.find(name).map(|listed| listed.device)
    }

    fn find(&self, name: &str) -> Result<Listed> {
        self.lock().get(name).cloned().ok_or_else(|| {
            let detail = format!("no node device with matching name '{name}'");
            Error::new(Code::NoNodeDevice, Origin::Test, detail)
        })
    }
}

/// The kinds that devices are listed by.
const FILTERS: [(u32, &str); 24] = {
    use api::*;
    [
        (CONNECT_LIST_NODE_DEVICES_CAP_SYSTEM, "system"),
        (CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV, "pci"),
        (CONNECT_LIST_NODE_DEVICES_CAP_USB_DEV, "usb_device"),
        (CONNECT_LIST_NODE_DEVICES_CAP_USB_INTERFACE, "usb"),
        (CONNECT_LIST_NODE_DEVICES_CAP_NET, "net"),
        (CONNECT_LIST_NODE_DEVICES_CAP_SCSI_HOST, "scsi_host"),
        (CONNECT_LIST_NODE_DEVICES_CAP_SCSI_TARGET, "scsi_target"),
        (CONNECT_LIST_NODE_DEVICES_CAP_SCSI, "scsi"),
        (CONNECT_LIST_NODE_DEVICES_CAP_STORAGE, "storage"),
        (CONNECT_LIST_NODE_DEVICES_CAP_FC_HOST, "fc_host"),
        (CONNECT_LIST_NODE_DEVICES_CAP_VPORTS, VPORTS),
        (CONNECT_LIST_NODE_DEVICES_CAP_SCSI_GENERIC, "scsi_generic"),
        (CONNECT_LIST_NODE_DEVICES_CAP_DRM, "drm"),
        (CONNECT_LIST_NODE_DEVICES_CAP_MDEV_TYPES, "mdev_types"),
        (CONNECT_LIST_NODE_DEVICES_CAP_MDEV, "mdev"),
        (CONNECT_LIST_NODE_DEVICES_CAP_CCW_DEV, "ccw"),
        (CONNECT_LIST_NODE_DEVICES_CAP_CSS_DEV, "css"),
        (CONNECT_LIST_NODE_DEVICES_CAP_VDPA, "vdpa"),
        (CONNECT_LIST_NODE_DEVICES_CAP_AP_CARD, "ap_card"),
        (CONNECT_LIST_NODE_DEVICES_CAP_AP_QUEUE, "ap_queue"),
        (CONNECT_LIST_NODE_DEVICES_CAP_AP_MATRIX, "ap_matrix"),
        (CONNECT_LIST_NODE_DEVICES_CAP_VPD, "vpd"),
        (CONNECT_LIST_NODE_DEVICES_CAP_CCWGROUP_DEV, "ccwgroup"),
        (CONNECT_LIST_NODE_DEVICES_CAP_CCWGROUP_MEMBER, "ccwgroup_member"),
    ]
};

/// The capability of hosts that virtual ones can be made on.
const VPORTS: &str = "vport_ops";

fn is_wanted(flags: u32, listed: &Listed) -> bool {
    use api::*;
    let kinds = FILTERS.iter().fold(0, |all, (flag, _)| all | flag);
    let of_kind =
        FILTERS.iter().any(|(flag, kind)| flags & flag != 0 && listed.device.has_capability(kind));
    let original = listed.original;
    pick(flags, CONNECT_LIST_NODE_DEVICES_ACTIVE, CONNECT_LIST_NODE_DEVICES_INACTIVE, original)
        && pick(
            flags,
            CONNECT_LIST_NODE_DEVICES_PERSISTENT,
            CONNECT_LIST_NODE_DEVICES_TRANSIENT,
            original,
        )
        && (flags & kinds == 0 || of_kind)
}

/// A property of the fibre channel host that a device is.
fn fc_property(device: &NodeDevice, name: &str) -> Option<String> {
    let host = device.capabilities.iter().find_map(|capability| capability.nested("fc_host"))?;
    host.child_text(name).map(|text| text.into_owned())
}

fn is_fc_host(device: &NodeDevice) -> bool {
    device.has_capability("fc_host")
}

/// A name for a fibre channel host, as libvirt makes them up.
fn random_wwn() -> String {
    let digits = Uuid::random().to_string().replace('-', "");
    format!("5001a4a{}", digits.get(..9).unwrap_or_default())
}

fn internal(detail: String) -> Error {
    Error::internal(Origin::Nodedev, detail)
}

impl DeviceList {
    /// Checks that the parent of a new device, or some host where none is named, takes more.
    fn check_parent(&self, device: &NodeDevice) -> Result<()> {
        let devices = self.lock();
        let takes_more = |parent: &NodeDevice| parent.has_capability(VPORTS);
        match &device.parent {
            Some(name) => match devices.get(name.as_str()) {
                None => Err(internal("Could not find parent device for 'new device'".to_owned())),
                Some(parent) if !takes_more(&parent.device) => Err(internal(format!(
                    "Parent device {name} is not capable of vport operations"
                ))),
                Some(_) => Ok(()),
            },
            None if devices.values().any(|parent| takes_more(&parent.device)) => Ok(()),
            None => Err(internal("could not find any vport capable device".to_owned())),
        }
    }

    /// Makes a virtual host with those names.
    ///
    /// Compat: it looks like the virtual host of the default world, parent and all, whatever the
    /// document says.
    fn create(&self, wwnn: &str, wwpn: &str) -> Result<NodeDevice> {
        const LIKE: &str = "scsi_host11";
        let mut device = (*self.get(LIKE)?).clone();
        device.name = "scsi_host12".to_owned();
        let names = [("wwnn", wwnn), ("wwpn", wwpn)];
        for capability in &mut device.capabilities {
            let nested = capability.properties.iter_mut();
            for host in nested.filter(|element| element.attr("type") == Some("fc_host")) {
                for node in &mut host.children {
                    if let Node::Element(property) = node
                        && let Some((_, value)) = names.iter().find(|(n, _)| *n == property.name)
                    {
                        *property =
                            Element::new(property.name.clone()).with_text((*value).to_owned());
                    }
                }
            }
        }
        Ok(device)
    }
}

impl NodeDevices for TestDriver {
    fn list_all(&self, _: &Call<'_>, flags: u32) -> Result<Vec<NodeDeviceRef>> {
        use api::*;
        let known = FILTERS.iter().fold(0, |all, (flag, _)| all | flag)
            | CONNECT_LIST_NODE_DEVICES_PERSISTENT
            | CONNECT_LIST_NODE_DEVICES_TRANSIENT
            | CONNECT_LIST_NODE_DEVICES_INACTIVE
            | CONNECT_LIST_NODE_DEVICES_ACTIVE;
        check_flags(flags, known, "testConnectListAllNodeDevices")?;
        let devices = self.world.devices.lock();
        let wanted = devices.iter().filter(|(_, listed)| is_wanted(flags, listed));
        Ok(wanted.map(|(name, _)| NodeDeviceRef { name: name.clone() }).collect())
    }

    fn lookup_by_name(&self, _: &Call<'_>, name: &str) -> Result<NodeDeviceRef> {
        self.world.devices.get(name).map(|_| NodeDeviceRef { name: name.into() })
    }

    fn get_xml_desc(&self, _: &Call<'_>, name: &str, flags: u32) -> Result<String> {
        check_flags(flags, api::NODE_DEVICE_XML_INACTIVE, "testNodeDeviceGetXMLDesc")?;
        Ok(self.world.devices.get(name)?.to_xml(PrintFlags::default()))
    }

    fn get_parent(&self, _: &Call<'_>, name: &str) -> Result<Option<String>> {
        Ok(self.world.devices.get(name)?.parent.clone())
    }

    fn list_caps(&self, _: &Call<'_>, name: &str, maxnames: i32) -> Result<Vec<String>> {
        let device = self.world.devices.get(name)?;
        let kinds = device.capabilities.iter().map(|capability| capability.kind.clone());
        Ok(kinds.take(usize::try_from(maxnames).unwrap_or(0)).collect())
    }

    fn create_xml(&self, _: &Call<'_>, xml_desc: &str, flags: u32) -> Result<NodeDeviceRef> {
        check_flags(flags, api::NODE_DEVICE_CREATE_XML_VALIDATE, "testNodeDeviceCreateXML")?;
        let flags = ParseFlags { validate: flags != 0, ..ParseFlags::default() };
        let device = NodeDevice::parse(xml_desc, flags)?;
        if !is_fc_host(&device) {
            return Err(internal("Device is not a fibre channel HBA".to_owned()));
        }
        let devices = &self.world.devices;
        devices.check_parent(&device)?;
        let wwn = |name| fc_property(&device, name).unwrap_or_else(random_wwn);
        let (wwnn, wwpn) = (wwn("wwnn"), wwn("wwpn"));
        let dev = devices.insert(devices.create(&wwnn, &wwpn)?, false);
        let event = api::NODE_DEVICE_EVENT_CREATED;
        self.world.events.publish(&Event::NodeDeviceLifecycle {
            dev: dev.clone(),
            event,
            detail: 0,
        });
        Ok(dev)
    }

    /// Compat: what is no fibre channel host, or has lost its parent, stays, and nobody is told.
    fn destroy(&self, _: &Call<'_>, name: &str) -> Result<()> {
        let devices = &self.world.devices;
        let device = devices.get(name)?;
        let parent_is_there =
            device.parent.as_ref().is_some_and(|parent| devices.get(parent).is_ok());
        if !is_fc_host(&device) || !parent_is_there {
            return Ok(());
        }
        devices.lock().remove(name);
        let dev = NodeDeviceRef { name: name.into() };
        let event = api::NODE_DEVICE_EVENT_DELETED;
        self.world.events.publish(&Event::NodeDeviceLifecycle { dev, event, detail: 0 });
        Ok(())
    }

    fn is_persistent(&self, _: &Call<'_>, name: &str) -> Result<bool> {
        self.world.devices.find(name).map(|listed| listed.original)
    }

    fn is_active(&self, _: &Call<'_>, name: &str) -> Result<bool> {
        self.world.devices.find(name).map(|listed| listed.original)
    }
}
