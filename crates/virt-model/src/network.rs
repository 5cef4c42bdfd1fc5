//! The network document.

use virt_error::{Code, Error, Origin, Result};
use virt_types::Uuid;
use virt_xml::Element;

use crate::domain::Namespace;
use crate::domain::interface::{Bandwidth, VirtualPort, Vlan};
use crate::schema::text::{Mac, OnOff, YesNo};
use crate::schema::{Body, Document, Out, ParseFlags, kinds};

mod entries;
mod port;
mod update;

pub use port::{NetworkPort, Plug, PlugAddress, PlugType, PortBandwidth, PortOwner, RxFilters};
pub use update::Update;

words! {
    /// How a network reaches the outside. [`ForwardMode::None`] where it does not.
    pub enum ForwardMode {
        None = "none",
        Nat = "nat",
        Route = "route",
        Open = "open",
        Bridge = "bridge",
        Private = "private",
        Vepa = "vepa",
        Passthrough = "passthrough",
        Hostdev = "hostdev",
    }
}

element! {
    pub struct Network {
        /// How many guests use it; only of a running network.
        connections: u32 = count_state("connections") when live,
        ipv6: bool = attr_yes("ipv6"),
        trust_guest_rx_filters: Option<YesNo> = attr("trustGuestRxFilters"),
        namespaces: Vec<Namespace> = namespaces(),
        name: String = name_of("name", virt_error::Origin::Network),
        uuid: Option<Uuid> = uuid_of("uuid", virt_error::Origin::Network),
        title: Option<String> = text("title"),
        description: Option<String> = text("description"),
        metadata: Option<Element<'static>> = metadata("metadata"),
        forward: Option<Forward> = child("forward"),
        bridge: Option<Bridge> = network_bridge("bridge"),
        mtu: Option<crate::domain::interface::Mtu> = child("mtu"),
        mac: Option<NetworkMac> = bridge_mac("mac"),
        domain: Option<NetworkDomain> = child("domain"),
        dns: Option<Dns> = child_some("dns"),
        vlan: Option<Vlan> = child_some("vlan"),
        bandwidth: Option<Bandwidth> = child_some("bandwidth"),
        port: Option<Isolated> = child("port"),
        ips: Vec<NetworkIp> = list_long("ip"),
        routes: Vec<Route> = list("route"),
        virtualport: Option<VirtualPort> = child("virtualport"),
        portgroups: Vec<Portgroup> = list_long("portgroup"),
        foreign: Vec<Element<'static>> = foreign(),
    }
}

element! {
    pub struct Forward {
        dev: Option<String> = attr("dev"),
        mode: Option<ForwardMode> = forward_mode("mode"),
        managed: bool = attr_yes("managed"),
        driver: Option<Element<'static>> = tree("driver"),
        nat: Option<Nat> = child_some("nat"),
        pfs: Vec<ForwardDev> = list("pf"),
        interfaces: Vec<ForwardDev> = list("interface"),
        addresses: Vec<ForwardAddress> = list("address"),
    }
}

element! {
    pub struct ForwardDev {
        dev: String = attr_req("dev"),
        connections: u32 = count_state("connections") when live,
    }
}

/// A PCI device of the host that serves one guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForwardAddress {
    pub pci: crate::domain::address::Pci,
}

impl Body for ForwardAddress {
    fn read(element: &Element<'_>, _: ParseFlags) -> Result<Self> {
        Ok(Self { pci: crate::domain::address::Pci::read(element)? })
    }

    fn attrs(&self, out: &mut Out) {
        out.w.attr("type", "pci");
        self.pci.write(out);
    }

    fn children(&self, _: &mut Out) {}
}

element! {
    pub struct Nat {
        ipv6: bool = attr_yes("ipv6"),
        address: Option<Range> = child("address"),
        port: Option<Range> = child("port"),
    }
}

element! {
    /// The first and the last of something.
    pub struct Range {
        start: String = attr_req("start"),
        end: String = attr_req("end"),
    }
}

/// The bridge that the guests are plugged into.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bridge {
    /// Given by the driver where absent.
    pub name: Option<String>,
    pub zone: Option<String>,
    pub stp: OnOff,
    pub delay_s: u64,
    pub mac_table_manager: Option<String>,
    /// The bridge is the host's own: nothing but its name is ours to say.
    pub external: bool,
}

impl Body for Bridge {
    fn read(element: &Element<'_>, _: ParseFlags) -> Result<Self> {
        let text =
            |name: &str| element.attr(name).filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Self {
            name: text("name"),
            zone: text("zone"),
            // Compat: anything but `off` is on.
            stp: (element.attr("stp") != Some("off")).into(),
            delay_s: kinds::read_value(element, "delay")?.unwrap_or_default(),
            mac_table_manager: text("macTableManager"),
            external: false,
        })
    }

    fn attrs(&self, out: &mut Out) {
        kinds::attr::attrs(&self.name, out, "name");
        kinds::attr::attrs(&self.zone, out, "zone");
        if !self.external {
            out.w.attr("stp", self.stp.as_str());
            out.w.attr("delay", &self.delay_s.to_string());
        }
        kinds::attr::attrs(&self.mac_table_manager, out, "macTableManager");
    }

    fn children(&self, _: &mut Out) {}
}

element! {
    pub struct NetworkMac {
        address: Mac = mac("address"),
    }
}

element! {
    /// The DNS domain of the guests.
    pub struct NetworkDomain {
        name: Option<String> = attr("name"),
        local_only: Option<YesNo> = attr("localOnly"),
        register: Option<YesNo> = attr("register"),
    }
}

element! {
    pub struct Dns {
        enable: Option<YesNo> = attr("enable"),
        forward_plain_names: Option<YesNo> = attr("forwardPlainNames"),
        forwarders: Vec<Forwarder> = list("forwarder"),
        txts: Vec<Txt> = list("txt"),
        srvs: Vec<Srv> = list("srv"),
        hosts: Vec<DnsHost> = list("host"),
    }
}

element! {
    pub struct Forwarder {
        domain: Option<String> = attr("domain"),
        addr: Option<String> = attr("addr"),
        port: Option<u16> = attr("port"),
    }
}

element! {
    pub struct Txt {
        name: String = attr_odd("name"),
        value: Option<String> = attr("value"),
    }
}

element! {
    pub struct Srv {
        service: String = attr_odd("service"),
        protocol: String = attr_odd("protocol"),
        domain: Option<String> = attr("domain"),
        target: Option<String> = attr("target"),
        port: Option<u16> = attr("port"),
        priority: Option<u16> = attr("priority"),
        weight: Option<u16> = attr("weight"),
    }
}

element! {
    pub struct DnsHost {
        ip: String = attr_odd("ip"),
        hostnames: Vec<String> = texts("hostname"),
    }
}

element! {
    pub struct Isolated {
        isolated: Option<YesNo> = attr("isolated"),
    }
}

element! {
    /// An address of the network on the host.
    pub struct NetworkIp {
        family: Option<String> = attr("family"),
        address: Option<String> = attr("address"),
        netmask: Option<String> = attr("netmask"),
        prefix: Option<u32> = attr("prefix"),
        local_ptr: Option<YesNo> = attr("localPtr"),
        tftp: Option<Tftp> = child("tftp"),
        dhcp: Option<Dhcp> = child_some("dhcp"),
    }
}

element! {
    pub struct Tftp {
        root: String = attr_req("root"),
    }
}

element! {
    pub struct Dhcp {
        ranges: Vec<DhcpRange> = list("range"),
        hosts: Vec<DhcpHost> = list("host"),
        bootp: Option<Bootp> = child("bootp"),
    }
}

element! {
    pub struct DhcpRange {
        start: String = attr_odd("start"),
        end: String = attr_odd("end"),
        lease: Option<Lease> = child("lease"),
    }
}

element! {
    pub struct DhcpHost {
        mac: Option<String> = attr("mac"),
        id: Option<String> = attr("id"),
        name: Option<String> = attr("name"),
        ip: Option<String> = attr("ip"),
        lease: Option<Lease> = child("lease"),
    }
}

element! {
    /// How long a guest may keep an address; 0 is for ever.
    pub struct Lease {
        expiry: u64 = attr_req("expiry"),
        unit: Option<String> = lease_unit("unit"),
    }
}

element! {
    pub struct Bootp {
        file: String = attr_req("file"),
        server: Option<String> = attr("server"),
    }
}

element! {
    pub struct Route {
        family: Option<String> = attr("family"),
        address: String = attr_req("address"),
        netmask: Option<String> = attr("netmask"),
        prefix: Option<u32> = attr("prefix"),
        gateway: String = attr_req("gateway"),
        metric: Option<u32> = attr("metric"),
    }
}

element! {
    pub struct Portgroup {
        name: String = attr_req("name"),
        default: bool = attr_yes("default"),
        trust_guest_rx_filters: Option<YesNo> = attr("trustGuestRxFilters"),
        vlan: Option<Vlan> = child_some("vlan"),
        virtualport: Option<VirtualPort> = child("virtualport"),
        bandwidth: Option<Bandwidth> = child_some("bandwidth"),
    }
}

impl Network {
    pub fn forward_mode(&self) -> ForwardMode {
        self.forward
            .as_ref()
            .map_or(ForwardMode::None, |forward| forward.mode.unwrap_or(ForwardMode::Nat))
    }

    /// Whether the network's bridge is made by us.
    pub fn owns_bridge(&self) -> bool {
        use ForwardMode::{Nat, None, Open, Route};
        matches!(self.forward_mode(), None | Nat | Route | Open)
    }

    fn complete_forward(&mut self, flags: ParseFlags) -> Result<()> {
        let name = &self.name;
        let Some(forward) = &mut self.forward else { return Ok(()) };
        let mode = *forward.mode.get_or_insert(ForwardMode::Nat);
        if let Some(dev) = &forward.dev {
            match forward.interfaces.first() {
                None => forward
                    .interfaces
                    .push(ForwardDev { dev: dev.clone(), ..ForwardDev::default() }),
                Some(first) if first.dev == *dev => {}
                Some(first) => {
                    return Err(Self::xml_error(format!(
                        "forward dev '{dev}' must match first interface element dev '{}' in network '{name}'",
                        first.dev
                    )));
                }
            }
        }
        if forward.pfs.len() > 1 {
            let what = format!("Only one <pf> element is allowed in <forward> of network {name}");
            return Err(Self::xml_error(what));
        }
        if !forward.pfs.is_empty() && flags.inactive {
            // What a physical function offers is found anew at each start.
            forward.interfaces.clear();
            forward.addresses.clear();
        }
        forward.dev = forward.interfaces.first().map(|interface| interface.dev.clone());
        if mode == ForwardMode::Open && forward.dev.is_some() {
            return Err(Self::xml_error(format!(
                "forward dev not allowed for network '{name}' with forward mode='{mode}'"
            )));
        }
        Ok(())
    }

    /// What is routed must have addresses to route to.
    fn check_routed(&self) -> Result<()> {
        let mode = self.forward.as_ref().and_then(|forward| forward.mode);
        match mode {
            Some(mode @ (ForwardMode::Nat | ForwardMode::Route)) if self.ips.is_empty() => {
                Err(Self::xml_error(format!(
                    "{mode} forwarding requested, but no IP address provided for network '{}'",
                    self.name
                )))
            }
            _ => Ok(()),
        }
    }

    fn check_dns(&self) -> Result<()> {
        let Some(dns) = &self.dns else { return Ok(()) };
        let empty = dns.forwarders.is_empty()
            && dns.txts.is_empty()
            && dns.srvs.is_empty()
            && dns.hosts.is_empty();
        if dns.enable == Some(YesNo::No) && !empty {
            return Err(Self::xml_error(format!("Extra data in disabled network '{}'", self.name)));
        }
        let name = &self.name;
        dns.forwarders.iter().try_for_each(|forwarder| forwarder.check(name))?;
        dns.hosts.iter().try_for_each(|host| host.check(false, name))?;
        dns.srvs.iter().try_for_each(|srv| srv.check(false, name))?;
        dns.txts.iter().try_for_each(|txt| txt.check(false, name))
    }
}

impl Document for Network {
    const ROOT: &'static str = "network";
    const ORIGIN: Origin = Origin::Network;

    fn complete(&mut self, flags: ParseFlags) -> Result<()> {
        if self.name.contains('/') {
            // Compat: this message has no frame.
            return Err(Error::new(Code::XmlDetail, Origin::Xml, "invalid char in name: /"));
        }
        self.uuid.get_or_insert_with(Uuid::random);
        self.complete_forward(flags)?;
        self.check_dns()?;
        self.ips.iter().try_for_each(|ip| ip.check(&self.name))?;
        self.check_routed()?;
        if self.owns_bridge() {
            self.bridge.get_or_insert_default();
        } else {
            let nothing = Bridge { external: true, ..Bridge::default() };
            let own =
                |bridge: Bridge| Bridge { external: true, stp: OnOff::On, delay_s: 0, ..bridge };
            self.bridge = self.bridge.take().map(own).filter(|bridge| *bridge != nothing);
        }
        Ok(())
    }
}
