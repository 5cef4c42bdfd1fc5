//! Interfaces of the host: Ethernet devices, bridges, bonds and VLANs.

use virt_error::{Origin, Result};
use virt_xml::Element;

use crate::schema::text::{OnOff, YesNo};
use crate::schema::{Body, Document, Out, ParseFlags};

words! {
    pub enum HostInterfaceType {
        Ethernet = "ethernet",
        Bridge = "bridge",
        Bond = "bond",
        Vlan = "vlan",
    }
}

element! {
    pub struct HostInterface {
        kind: HostInterfaceType = attr_req("type"),
        name: Option<String> = attr("name"),
        start: Option<Start> = child("start"),
        mtu: Option<crate::domain::interface::Mtu> = child("mtu"),
        protocols: Vec<Protocol> = list_long("protocol"),
        link: Option<LinkSpeed> = child_some("link"),
        bond: Option<Bond> = child("bond"),
        bridge: Option<Bridge> = child_long_opt("bridge"),
        vlan: Option<Vlan> = child("vlan"),
        mac: Option<MacText> = child("mac"),
    }
}

words! {
    pub enum StartMode {
        None = "none",
        Onboot = "onboot",
        Hotplug = "hotplug",
    }
}

element! {
    pub struct Start {
        mode: StartMode = attr_req("mode"),
    }
}

element! {
    pub struct LinkSpeed {
        speed_mbps: Option<u32> = attr("speed"),
        state: Option<String> = attr("state"),
    }
}

element! {
    pub struct MacText {
        address: String = attr_req("address"),
    }
}

element! {
    pub struct Protocol {
        family: String = attr_req("family"),
        autoconf: bool = flag("autoconf"),
        dhcp: Option<Dhcp> = child("dhcp"),
        ips: Vec<Address> = list("ip"),
        routes: Vec<Gateway> = list("route"),
    }
}

element! {
    pub struct Dhcp {
        peerdns: Option<YesNo> = attr("peerdns"),
    }
}

element! {
    pub struct Address {
        address: String = attr_req("address"),
        prefix: Option<u32> = attr("prefix"),
    }
}

element! {
    pub struct Gateway {
        gateway: String = attr_req("gateway"),
    }
}

element! {
    pub struct Bond {
        mode: Option<String> = attr("mode"),
        miimon: Option<Element<'static>> = tree("miimon"),
        arpmon: Option<Element<'static>> = tree("arpmon"),
        members: Vec<Member> = list_long("interface"),
    }
}

element! {
    pub struct Bridge {
        stp: Option<OnOff> = attr("stp"),
        delay: Option<String> = attr("delay"),
        members: Vec<Member> = list_long("interface"),
    }
}

element! {
    pub struct Vlan {
        tag: u32 = attr_req("tag"),
        members: Vec<VlanParent> = list("interface"),
    }
}

element! {
    /// The interface that a VLAN runs over.
    pub struct VlanParent {
        name: String = attr_req("name"),
    }
}

/// An interface inside another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    pub interface: Box<HostInterface>,
}

impl Body for Member {
    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        Ok(Self { interface: Box::new(HostInterface::read(element, flags)?) })
    }

    fn attrs(&self, out: &mut Out) {
        self.interface.attrs(out);
    }

    fn children(&self, out: &mut Out) {
        self.interface.children(out);
    }
}

impl HostInterface {
    /// The device's hardware address.
    pub fn mac(&self) -> Option<&str> {
        self.mac.as_ref().map(|mac| mac.address.as_str())
    }
}

impl Document for HostInterface {
    const ROOT: &'static str = "interface";
    const ORIGIN: Origin = Origin::Interface;

    fn complete(&mut self, _: ParseFlags) -> Result<()> {
        if self.name.as_ref().is_none_or(String::is_empty) {
            return Err(Self::xml_error("interface has no name"));
        }
        Ok(())
    }
}
