//! Network interfaces.

use virt_error::Result;
use virt_xml::Element;

use crate::domain::DeviceInfo;
use crate::domain::misc::VirtioOptions;
use crate::schema::text::{Mac, OnOff, YesNo};
use crate::schema::{Body, Out, ParseFlags, form, kinds};

words! {
    pub enum InterfaceType {
        User = "user",
        Ethernet = "ethernet",
        VhostUser = "vhostuser",
        Server = "server",
        Client = "client",
        Mcast = "mcast",
        Network = "network",
        Bridge = "bridge",
        Internal = "internal",
        Direct = "direct",
        Hostdev = "hostdev",
        Udp = "udp",
        Vdpa = "vdpa",
        Null = "null",
        Vds = "vds",
    }
}

element! {
    pub struct Interface {
        kind: InterfaceType = attr_req("type"),
        managed: Option<YesNo> = attr("managed"),
        trust_guest_rx_filters: Option<YesNo> = attr("trustGuestRxFilters"),
        mac: Option<MacAddress> = child("mac"),
        /// Of a device of the host that is handed over whole; printed before it.
        host_driver: Option<Element<'static>> = host_driver("driver"),
        source: Option<InterfaceSource> = interface_source("source"),
        /// What the network of the source came to be.
        actual: Option<Element<'static>> = own_tree("actual") when status,
        vlan: Option<Vlan> = child_some("vlan"),
        virtualport: Option<VirtualPort> = child("virtualport"),
        port: Option<crate::network::Isolated> = child_some("port"),
        bandwidth: Option<Bandwidth> = child_some("bandwidth"),
        /// Guest addresses of the interface.
        ips: Vec<GuestIp> = list("ip"),
        routes: Vec<crate::network::Route> = list("route"),
        port_forwards: Vec<Element<'static>> = trees_of("portForward", &form::PORT_FORWARD),
        script: Option<Script> = child("script"),
        downscript: Option<Script> = child("downscript"),
        backenddomain: Option<super::chardev::Name> = child("backenddomain"),
        target: Option<InterfaceTarget> = interface_target("target"),
        guest: Option<GuestDev> = child_some("guest"),
        model: Option<InterfaceModel> = child_some("model"),
        driver: Option<InterfaceDriver> = interface_driver("driver"),
        backend: Option<InterfaceBackend> = child_some("backend"),
        filterref: Option<FilterRef> = child("filterref"),
        tune: Option<Tune> = child_some("tune"),
        teaming: Option<Teaming> = child("teaming"),
        link: Option<Link> = child_some("link"),
        mtu: Option<Mtu> = child_some("mtu"),
        coalesce: Option<Coalesce> = child_some("coalesce"),
        info: DeviceInfo = flat(),
    }
}

/// Adapters that libvirt knows by name; others are taken as written.
pub(crate) const MODELS: &[&str] = &[
    "netfront",
    "rtl8139",
    "virtio",
    "e1000",
    "e1000e",
    "igb",
    "virtio-transitional",
    "virtio-non-transitional",
    "usb-net",
    "spapr-vlan",
    "lan9118",
    "smc91c111",
    "vlance",
    "vmxnet",
    "vmxnet2",
    "vmxnet3",
    "Am79C970A",
    "Am79C973",
    "82540EM",
    "82545EM",
    "82543GC",
];

words! {
    pub enum MacType {
        Generated = "generated",
        Static = "static",
    }
}

element! {
    pub struct MacAddress {
        address: Mac = mac("address"),
        kind: Option<MacType> = attr("type"),
        check: Option<YesNo> = attr("check"),
    }
}

/// Where the interface is plugged in on the host. The attributes are those its type knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InterfaceSource {
    pub network: Option<String>,
    pub portgroup: Option<String>,
    pub portid: Option<String>,
    pub bridge: Option<String>,
    pub dev: Option<String>,
    pub mode: Option<String>,
    /// Of sockets and vhost-user.
    pub kind: Option<String>,
    pub path: Option<String>,
    pub address: Option<String>,
    pub port: Option<u32>,
    pub name: Option<String>,
    /// Further attributes of rarer types, in order.
    pub attrs: Vec<(String, String)>,
    /// The host's device that is handed over whole.
    pub pci: Option<crate::domain::address::Pci>,
    pub children: Vec<Element<'static>>,
}

impl InterfaceSource {
    const CHILDREN: &'static [&'static str] = &["ip", "route", "local", "reconnect"];

    pub(crate) fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let mut source = Self::default();
        for attr in &element.attrs {
            let value = Some(attr.value.clone().into_owned());
            match &*attr.name {
                "network" => source.network = value,
                "portgroup" => source.portgroup = value,
                // Compat: the port of a network is known only while the domain runs.
                "portid" if element.attr("switchid").is_some() => {
                    source.attrs.push(("portid".to_owned(), attr.value.clone().into_owned()));
                }
                "portid" => source.portid = value.filter(|_| !flags.inactive),
                "bridge" => source.bridge = value,
                "dev" => source.dev = value,
                "mode" => source.mode = value,
                "type" => source.kind = value,
                "path" => source.path = value,
                "address" => source.address = value,
                "port" => source.port = kinds::read_value(element, "port")?,
                "name" => source.name = value,
                "switchid" | "portgroupid" | "connectionid" => {
                    source
                        .attrs
                        .push((attr.name.clone().into_owned(), attr.value.clone().into_owned()));
                }
                _ => {}
            }
        }
        source.pci = element.child("address").map(crate::domain::address::Pci::read).transpose()?;
        for name in Self::CHILDREN {
            source.children.extend(element.children_named(name).map(Element::content));
        }
        Ok(source)
    }
}

impl Body for InterfaceSource {
    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        Self::read(element, flags)
    }

    fn attrs(&self, out: &mut Out) {
        for (name, value) in [
            ("network", &self.network),
            ("portgroup", &self.portgroup),
            ("bridge", &self.bridge),
            ("dev", &self.dev),
            ("type", &self.kind),
            ("path", &self.path),
            ("mode", &self.mode),
            ("address", &self.address),
            ("port", &self.port.map(|port| port.to_string())),
            ("name", &self.name),
        ] {
            kinds::attr::attrs(value, out, name);
        }
        for (name, value) in &self.attrs {
            out.w.attr(name, value);
        }
        if !out.flags.inactive {
            kinds::attr::attrs(&self.portid, out, "portid");
        }
    }

    fn children(&self, out: &mut Out) {
        if let Some(pci) = &self.pci {
            out.w.open("address");
            out.w.attr("type", "pci");
            pci.write(out);
            out.w.close("address");
        }
        for child in &self.children {
            out.w.element(child);
        }
    }
}

element! {
    pub struct Script {
        path: String = attr_req("path"),
    }
}

element! {
    pub struct InterfaceTarget {
        dev: Option<String> = attr("dev"),
        managed: Option<YesNo> = attr("managed"),
    }
}

element! {
    pub struct InterfaceModel {
        kind: Option<String> = net_model("type"),
    }
}

element! {
    pub struct InterfaceDriver {
        name: Option<String> = attr("name"),
        txmode: Option<String> = attr("txmode"),
        ioeventfd: Option<OnOff> = attr("ioeventfd"),
        event_idx: Option<OnOff> = attr("event_idx"),
        queues: Option<u32> = attr("queues"),
        rx_queue_size: Option<u32> = attr("rx_queue_size"),
        tx_queue_size: Option<u32> = attr("tx_queue_size"),
        rss: Option<OnOff> = attr("rss"),
        rss_hash_report: Option<OnOff> = attr("rss_hash_report"),
        virtio: VirtioOptions = flat(),
        host: Option<HostOffloads> = child_some("host"),
        guest: Option<GuestOffloads> = child_some("guest"),
    }
}

element! {
    pub struct InterfaceBackend {
        kind: Option<String> = attr_not_word("type", "default"),
        tap: Option<String> = attr("tap"),
        vhost: Option<String> = attr("vhost"),
        log_file: Option<String> = attr("logFile"),
        hostname: Option<String> = attr("hostname"),
        fqdn: Option<String> = attr("fqdn"),
    }
}

words! {
    pub enum LinkState {
        Up = "up",
        Down = "down",
    }
}

element! {
    pub struct Link {
        state: Option<LinkState> = attr("state"),
    }
}

element! {
    pub struct Mtu {
        size: u32 = attr_req("size"),
    }
}

element! {
    /// How long frames wait for others.
    pub struct Coalesce {
        rx: Option<CoalesceDirection> = child_some("rx"),
    }
}

element! {
    pub struct CoalesceDirection {
        frames: Option<Frames> = child_some("frames"),
    }
}

element! {
    pub struct Frames {
        max: u32 = attr_odd("max"),
    }
}

element! {
    /// Two interfaces that stand in for each other.
    pub struct Teaming {
        kind: String = attr_req("type"),
        persistent: Option<String> = attr("persistent"),
    }
}

element! {
    pub struct Vlan {
        trunk: Option<YesNo> = attr("trunk"),
        tags: Vec<VlanTag> = list("tag"),
    }
}

element! {
    pub struct VlanTag {
        id: u32 = vlan_tag_id("id"),
        native_mode: Option<String> = attr("nativeMode"),
    }
}

element! {
    /// How the interface is known to a switch.
    pub struct VirtualPort {
        kind: Option<String> = attr("type"),
        parameters: Option<PortParameters> = child_some("parameters"),
    }
}

element! {
    pub struct PortParameters {
        managerid: Option<u32> = attr("managerid"),
        typeid: Option<u32> = attr("typeid"),
        typeidversion: Option<u32> = attr("typeidversion"),
        instanceid: Option<virt_types::Uuid> = attr("instanceid"),
        interfaceid: Option<virt_types::Uuid> = attr("interfaceid"),
        profileid: Option<String> = attr("profileid"),
    }
}

element! {
    pub struct Bandwidth {
        inbound: Option<Rate> = child_some("inbound"),
        outbound: Option<Rate> = child_some("outbound"),
    }
}

element! {
    /// Kilobytes a second; `burst` in kilobytes.
    pub struct Rate {
        average: Option<u64> = attr("average"),
        peak: Option<u64> = attr("peak"),
        floor: Option<u64> = attr("floor"),
        burst: Option<u64> = attr("burst"),
    }
}

element! {
    pub struct GuestIp {
        address: String = attr_req("address"),
        family: Option<String> = ip_family("family"),
        prefix: Option<u32> = attr("prefix"),
        peer: Option<String> = attr("peer"),
    }
}

element! {
    pub struct GuestDev {
        dev: Option<String> = attr("dev"),
        actual: Option<String> = attr("actual"),
    }
}

element! {
    pub struct FilterRef {
        filter: String = attr_req("filter"),
        parameters: Vec<FilterParameter> = filter_parameters("parameter"),
    }
}

element! {
    pub struct FilterParameter {
        name: String = attr_req("name"),
        value: String = attr_req("value"),
    }
}

element! {
    pub struct Tune {
        sndbuf_bytes: Option<u64> = text("sndbuf"),
    }
}

element! {
    pub struct HostOffloads {
        csum: Option<OnOff> = attr("csum"),
        gso: Option<OnOff> = attr("gso"),
        tso4: Option<OnOff> = attr("tso4"),
        tso6: Option<OnOff> = attr("tso6"),
        ecn: Option<OnOff> = attr("ecn"),
        ufo: Option<OnOff> = attr("ufo"),
        mrg_rxbuf: Option<OnOff> = attr("mrg_rxbuf"),
    }
}

element! {
    pub struct GuestOffloads {
        csum: Option<OnOff> = attr("csum"),
        tso4: Option<OnOff> = attr("tso4"),
        tso6: Option<OnOff> = attr("tso6"),
        ecn: Option<OnOff> = attr("ecn"),
        ufo: Option<OnOff> = attr("ufo"),
    }
}

impl Interface {
    /// The name of the host's device, where one was asked for or given.
    pub fn target_dev(&self) -> Option<&str> {
        self.target.as_ref().and_then(|target| target.dev.as_deref())
    }

    pub fn model_name(&self) -> Option<&str> {
        self.model.as_ref().and_then(|model| model.kind.as_deref())
    }
}
