//! Network interfaces.

use virt_error::Result;
use virt_xml::Element;

use crate::domain::DeviceInfo;
use crate::domain::misc::VirtioOptions;
use crate::schema::text::{Mac, OnOff, YesNo};
use crate::schema::{Body, Out, ParseFlags, kinds};

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
        source: Option<InterfaceSource> = interface_source("source"),
        vlan: Option<Element<'static>> = tree("vlan"),
        virtualport: Option<Element<'static>> = tree("virtualport"),
        port: Option<Element<'static>> = tree("port"),
        bandwidth: Option<Element<'static>> = tree("bandwidth"),
        /// Guest addresses of the interface.
        ips: Vec<Element<'static>> = trees("ip"),
        routes: Vec<Element<'static>> = trees("route"),
        port_forwards: Vec<Element<'static>> = trees("portForward"),
        script: Option<Script> = child("script"),
        downscript: Option<Script> = child("downscript"),
        backenddomain: Option<Element<'static>> = tree("backenddomain"),
        target: Option<InterfaceTarget> = interface_target("target"),
        guest: Option<Element<'static>> = tree("guest"),
        model: Option<InterfaceModel> = child_some("model"),
        driver: Option<InterfaceDriver> = child_some("driver"),
        backend: Option<InterfaceBackend> = child_some("backend"),
        filterref: Option<Element<'static>> = tree("filterref"),
        tune: Option<Element<'static>> = tree("tune"),
        link: Option<Link> = child_some("link"),
        mtu: Option<Mtu> = child("mtu"),
        coalesce: Option<Element<'static>> = tree("coalesce"),
        teaming: Option<Element<'static>> = tree("teaming"),
        info: DeviceInfo = flat(),
    }
}

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
    pub children: Vec<Element<'static>>,
}

impl InterfaceSource {
    const CHILDREN: &'static [&'static str] = &["address", "ip", "route", "local", "reconnect"];

    pub(crate) fn read(element: &Element<'_>) -> Result<Self> {
        let mut source = Self::default();
        for attr in &element.attrs {
            let value = Some(attr.value.clone().into_owned());
            match &*attr.name {
                "network" => source.network = value,
                "portgroup" => source.portgroup = value,
                "portid" => source.portid = value,
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
        for name in Self::CHILDREN {
            source.children.extend(element.children_named(name).map(Element::to_static));
        }
        Ok(source)
    }
}

impl Body for InterfaceSource {
    fn read(element: &Element<'_>, _: ParseFlags) -> Result<Self> {
        Self::read(element)
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
        // Compat: the port of a network is known only while the domain runs.
        if !out.flags.inactive {
            kinds::attr::attrs(&self.portid, out, "portid");
        }
    }

    fn children(&self, out: &mut Out) {
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
        kind: Option<String> = attr("type"),
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
        host: Option<Element<'static>> = tree("host"),
        guest: Option<Element<'static>> = tree("guest"),
    }
}

element! {
    pub struct InterfaceBackend {
        kind: Option<String> = attr("type"),
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

impl Interface {
    /// The name of the host's device, where one was asked for or given.
    pub fn target_dev(&self) -> Option<&str> {
        self.target.as_ref().and_then(|target| target.dev.as_deref())
    }

    pub fn model_name(&self) -> Option<&str> {
        self.model.as_ref().and_then(|model| model.kind.as_deref())
    }
}
