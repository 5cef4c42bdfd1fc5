//! The network port document: how one guest's interface is plugged into a network.

use virt_error::{Error, Origin, Result};
use virt_types::Uuid;
use virt_xml::Element;

use super::Isolated;
use crate::domain::address::Pci;
use crate::domain::interface::{Rate, VirtualPort, Vlan};
use crate::schema::text::{Mac, YesNo};
use crate::schema::{Body, Document, Out, ParseFlags};

element! {
    pub struct NetworkPort {
        uuid: Option<Uuid> = uuid_named("uuid", virt_error::Origin::Network),
        owner: Option<PortOwner> = child("owner"),
        /// The port group of the network.
        group: Option<String> = text("group"),
        mac: Option<Mac> = mac_child("mac", virt_error::Origin::Network),
        virtualport: Option<VirtualPort> = child("virtualport"),
        bandwidth: Option<PortBandwidth> = child_some("bandwidth"),
        vlan: Option<Vlan> = child_some("vlan"),
        port: Option<Isolated> = child("port"),
        rxfilters: Option<RxFilters> = child("rxfilters"),
        plug: Option<Plug> = child("plug"),
    }
}

element! {
    /// The domain that the interface belongs to.
    pub struct PortOwner {
        name: Option<String> = text("name"),
        uuid: Option<Uuid> = uuid_named("uuid", virt_error::Origin::Network),
    }
}

element! {
    pub struct PortBandwidth {
        /// The class of traffic on the bridge, where a least rate was promised.
        class_id: Option<u32> = attr("classID"),
        inbound: Option<Rate> = child_some("inbound"),
        outbound: Option<Rate> = child_some("outbound"),
    }
}

element! {
    pub struct RxFilters {
        trust_guest: YesNo = attr_req("trustGuest"),
    }
}

words! {
    /// What a port is plugged into.
    pub enum PlugType {
        None = "none",
        Network = "network",
        Bridge = "bridge",
        Direct = "direct",
        HostdevPci = "hostdev-pci",
    }
}

element! {
    pub struct Plug {
        kind: PlugType = attr_def("type"),
        bridge: Option<String> = attr("bridge"),
        mac_table_manager: Option<String> = attr("macTableManager"),
        dev: Option<String> = attr("dev"),
        mode: Option<String> = attr("mode"),
        managed: Option<YesNo> = attr("managed"),
        driver: Option<Element<'static>> = tree("driver"),
        address: Option<PlugAddress> = child("address"),
    }
}

/// The host's device that is handed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlugAddress {
    pub pci: Pci,
}

impl Body for PlugAddress {
    fn read(element: &Element<'_>, _: ParseFlags) -> Result<Self> {
        Ok(Self { pci: Pci::read(element)? })
    }

    fn attrs(&self, out: &mut Out) {
        self.pci.write(out);
    }

    fn children(&self, _: &mut Out) {}
}

impl NetworkPort {
    fn check_plug(&mut self) -> Result<()> {
        // Compat: a plug without a type is none.
        self.plug = self.plug.take().filter(|plug| plug.kind != PlugType::None);
        let Some(plug) = &mut self.plug else { return Ok(()) };
        let wrong = |what: &str| Err(Self::xml_error(what));
        if let Some(word) = plug.mac_table_manager.as_deref()
            && !["kernel", "libvirt"].contains(&word)
        {
            return wrong(&format!("Invalid macTableManager setting '{word}' in network port"));
        }
        match plug.kind {
            PlugType::Network | PlugType::Bridge if plug.bridge.is_none() => {
                wrong("Missing network port bridge name")
            }
            PlugType::Direct if plug.dev.is_none() => {
                wrong("Missing network port link device name")
            }
            PlugType::HostdevPci => {
                plug.managed.get_or_insert(YesNo::No);
                if plug.address.is_some() {
                    Ok(())
                } else {
                    wrong("Missing network port PCI address")
                }
            }
            _ => Ok(()),
        }
    }
}

impl Document for NetworkPort {
    const ROOT: &'static str = "networkport";
    const ORIGIN: Origin = Origin::Network;

    fn complete(&mut self, _: ParseFlags) -> Result<()> {
        let owner = self.owner.as_ref();
        let missing = if self.uuid.is_none() {
            "uuid"
        } else if owner.is_none_or(|owner| owner.name.is_none()) {
            "owner name"
        } else if owner.is_none_or(|owner| owner.uuid.is_none()) {
            "owner UUID"
        } else if self.mac.is_none() {
            "mac"
        } else {
            return self.check_plug();
        };
        Err(Error::internal(Self::ORIGIN, format!("network port has no {missing}")))
    }
}
