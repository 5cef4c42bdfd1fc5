//! Interfaces of the host: Ethernet devices, bridges, bonds and VLANs.

use virt_error::{Code, Error, Origin, Result};
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
        mode: StartMode = attr_said_req("mode", |word| {
            wrong(format!("unknown interface startmode {}", word.unwrap_or("(null)")))
        }),
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
        family: String = attr_said_req("family", |_| {
            wrong("protocol misses the family attribute".to_owned())
        }),
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
        /// Compat: a word that is neither counts as none.
        stp: Option<OnOff> = attr_lenient("stp"),
        delay: Option<String> = attr("delay"),
        members: Vec<Member> = list_long("interface"),
    }
}

element! {
    pub struct Vlan {
        tag: String = attr_said_req("tag", |_| {
            wrong("vlan interface misses the tag attribute".to_owned())
        }),
        members: Vec<VlanParent> = list("interface"),
    }
}

element! {
    /// The interface that a VLAN runs over.
    pub struct VlanParent {
        name: String = attr_said_req("name", |_| {
            wrong("vlan interface misses name attribute".to_owned())
        }),
    }
}

fn wrong(what: String) -> Error {
    Error::new(Code::XmlError, Origin::Interface, what)
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

impl Bond {
    fn check(&self) -> Result<()> {
        const MODES: &[&str] = &[
            "balance-rr",
            "active-backup",
            "balance-xor",
            "broadcast",
            "802.3ad",
            "balance-tlb",
            "balance-alb",
        ];
        let unknown = |what: &str, word: Option<&str>, known: &[&str]| match word {
            Some(word) if !known.contains(&word) => Err(wrong(format!("unknown {what} {word}"))),
            _ => Ok(()),
        };
        let number = |element: &Element<'_>, name: &str| {
            element.attr(name).map(|text| text.parse::<u32>().is_ok())
        };
        unknown("bonding mode", self.mode.as_deref(), MODES)?;
        if let Some(watch) = &self.miimon {
            if number(watch, "freq") != Some(true) {
                return Err(wrong("bond interface miimon freq missing or invalid".to_owned()));
            }
            for name in ["downdelay", "updelay"] {
                if number(watch, name) == Some(false) {
                    return Err(wrong(format!("bond interface miimon {name} invalid")));
                }
            }
            unknown("mii bonding carrier", watch.attr("carrier"), &["ioctl", "netif"])?;
        }
        if let Some(watch) = &self.arpmon {
            if number(watch, "interval") != Some(true) {
                return Err(wrong("bond interface arpmon interval missing or invalid".to_owned()));
            }
            if watch.attr("target").is_none() {
                return Err(wrong("bond interface arpmon target missing".to_owned()));
            }
            let known = &["active", "backup", "all"];
            unknown("arp bonding validate", watch.attr("validate"), known)?;
        }
        Ok(())
    }
}

impl HostInterface {
    /// Whether each kind has what makes it one, and its words are known.
    fn check(&self) -> Result<()> {
        let there = match self.kind {
            HostInterfaceType::Ethernet => true,
            HostInterfaceType::Bridge => self.bridge.is_some(),
            HostInterfaceType::Bond => self.bond.is_some(),
            HostInterfaceType::Vlan => self.vlan.is_some(),
        };
        if !there {
            return Err(wrong(format!("{0} interface misses the {0} element", self.kind)));
        }
        for protocol in &self.protocols {
            if !matches!(protocol.family.as_str(), "ipv4" | "ipv6") {
                return Err(wrong(format!("unsupported protocol family '{}'", protocol.family)));
            }
        }
        if self.vlan.as_ref().is_some_and(|vlan| vlan.members.is_empty()) {
            return Err(wrong("vlan interface misses name attribute".to_owned()));
        }
        self.bond.as_ref().map_or(Ok(()), Bond::check)?;
        let bridged = self.bridge.iter().flat_map(|bridge| &bridge.members);
        let bonded = self.bond.iter().flat_map(|bond| &bond.members);
        bridged.chain(bonded).try_for_each(|member| member.interface.check())
    }

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
            return Err(wrong("interface has no name".to_owned()));
        }
        self.check()
    }
}
