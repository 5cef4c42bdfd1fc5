//! Network interfaces as `mac=...,bridge=...,script=...`.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::chardev::Name;
use virt_model::domain::interface::{
    Bandwidth, GuestIp, Interface, InterfaceModel, InterfaceSource, InterfaceTarget, InterfaceType,
    MacAddress, Rate, Script, VirtualPort, Vlan, VlanTag,
};
use virt_model::{Mac, Text, YesNo};

use super::config::{pairs, word};

/// The script that plugs an interface into a bridge where none is named.
const BRIDGE_SCRIPT: &str = "vif-bridge";
/// The script of Open vSwitch, whose bridges' names carry VLANs.
const SWITCH_SCRIPT: &str = "vif-openvswitch";

/// What a reader of native formats knows of an interface; S-expressions say the same in other words.
#[derive(Debug, Default)]
pub(crate) struct Vif<'a> {
    pub(crate) mac: Option<&'a str>,
    pub(crate) bridge: Option<&'a str>,
    pub(crate) script: Option<&'a str>,
    pub(crate) ip: Option<&'a str>,
    pub(crate) model: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) rate: Option<&'a str>,
    pub(crate) backend: Option<&'a str>,
}

/// Reads one line of `vif`.
pub(crate) fn parse(text: &str) -> Result<Interface> {
    let mut vif = Vif::default();
    for (key, value) in pairs(text) {
        let field = match key {
            "mac" => &mut vif.mac,
            "bridge" => &mut vif.bridge,
            "script" => &mut vif.script,
            "ip" => &mut vif.ip,
            "model" => &mut vif.model,
            "type" => &mut vif.kind,
            "vifname" => &mut vif.name,
            "rate" => &mut vif.rate,
            "backend" => &mut vif.backend,
            _ => continue,
        };
        *field = Some(value).filter(|value| !value.is_empty());
    }
    vif.interface()
}

impl Vif<'_> {
    pub(crate) fn interface(&self) -> Result<Interface> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let kind =
            if self.bridge.is_some() { InterfaceType::Bridge } else { InterfaceType::Ethernet };
        let mut interface = Interface { kind, ..Interface::default() };
        if let Some(text) = self.mac {
            let Some(address) = Mac::parse(text) else {
                let detail = format!("malformed mac address '{text}'");
                return Err(Error::internal(Origin::Xen, detail));
            };
            interface.mac = Some(MacAddress { address, ..MacAddress::default() });
        }
        let mut bridge = self.bridge;
        if let (Some(SWITCH_SCRIPT), Some(name)) = (self.script, self.bridge) {
            let (name, vlan) = switch(name)?;
            bridge = Some(name);
            interface.vlan = vlan;
            let kind = Some("openvswitch".to_owned());
            interface.virtualport = Some(VirtualPort { kind, parameters: None });
        }
        if bridge.is_some() {
            let bridge = owned(bridge);
            interface.source = Some(InterfaceSource { bridge, ..InterfaceSource::default() });
        }
        interface.script = owned(self.script).map(|path| Script { path });
        interface.ips = self.ip.into_iter().flat_map(str::split_whitespace).map(guest_ip).collect();
        let model = match self.kind {
            Some("netfront" | "vif") => Some("netfront".to_owned()),
            _ => owned(self.model),
        };
        interface.model = model.map(|kind| InterfaceModel { kind: Some(kind) });
        interface.target =
            owned(self.name).map(|dev| InterfaceTarget { dev: Some(dev), managed: None });
        interface.backenddomain = owned(self.backend).map(|name| Name { name });
        if let Some(text) = self.rate {
            let average = Some(rate_kib(text)?);
            let outbound = Some(Rate { average, ..Rate::default() });
            interface.bandwidth = Some(Bandwidth { inbound: None, outbound });
        }
        Ok(interface)
    }
}

fn guest_ip(text: &str) -> GuestIp {
    let family = if text.contains(':') { "ipv6" } else { "ipv4" };
    GuestIp { address: text.to_owned(), family: Some(family.to_owned()), ..GuestIp::default() }
}

/// Takes the VLANs off a switch's name: `br0.42` has one tag, `br0:42:43` is a trunk.
fn switch(text: &str) -> Result<(&str, Option<Vlan>)> {
    let tag = |text: &str| match text.parse() {
        Ok(id) => Ok(VlanTag { id, native_mode: None }),
        Err(_) => Err(Error::internal(Origin::Xen, format!("malformed VLAN tag '{text}'"))),
    };
    if let Some((name, tags)) = text.split_once(':') {
        let tags = tags.split(':').map(tag).collect::<Result<_>>()?;
        return Ok((name, Some(Vlan { trunk: Some(YesNo::Yes), tags })));
    }
    match text.split_once('.') {
        Some((name, id)) => Ok((name, Some(Vlan { trunk: None, tags: vec![tag(id)?] }))),
        None => Ok((text, None)),
    }
}

/// A rate as `10240KB/s`, or with `Kb/s` in bits; what follows an `@` is how often it is refilled.
fn rate_kib(text: &str) -> Result<u64> {
    let bad = || Error::internal(Origin::Xen, format!("Invalid rate '{text}' specified"));
    let amount = text.split('@').next().unwrap_or_default().trim();
    let end = amount.find(|c: char| !c.is_ascii_digit()).unwrap_or(amount.len());
    let (digits, unit) = amount.split_at(end);
    let number: u64 = digits.parse().map_err(|_| bad())?;
    let (factor, divisor) = match unit.trim_end_matches("/s") {
        "" | "B" => (1, 1024),
        "KB" => (1, 1),
        "MB" => (1024, 1),
        "GB" => (1024 * 1024, 1),
        "b" => (1, 8 * 1024),
        "Kb" => (1, 8),
        "Mb" => (1024, 8),
        "Gb" => (1024 * 1024, 8),
        _ => return Err(bad()),
    };
    number.checked_mul(factor).map(|kib| kib / divisor).ok_or_else(bad)
}

/// How a tool stack wants interfaces written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VifStyle {
    pub(crate) hvm: bool,
    /// What the interface of the guest's own driver is called: `netfront` for xend, `vif` for xl.
    pub(crate) netfront: &'static str,
    /// Whether an emulated card must be asked for.
    pub(crate) ioemu: bool,
}

/// The keys of an interface with their values, in print order.
pub(crate) fn fields(
    interface: &Interface,
    style: VifStyle,
) -> Result<Vec<(&'static str, String)>> {
    let mut fields: Vec<(&'static str, String)> = Vec::new();
    if let Some(mac) = &interface.mac {
        fields.push(("mac", mac.address.to_string()));
    }
    let script = interface.script.as_ref().map(|script| script.path.clone());
    match interface.kind {
        InterfaceType::Bridge => {
            let source = interface.source.as_ref();
            let mut bridge = source.and_then(|source| source.bridge.clone()).unwrap_or_default();
            let mut default = BRIDGE_SCRIPT;
            let port = interface.virtualport.as_ref().and_then(|port| port.kind.as_deref());
            if port == Some("openvswitch") {
                default = SWITCH_SCRIPT;
                bridge.push_str(&interface.vlan.as_ref().map(vlan).unwrap_or_default());
            } else if interface.vlan.is_some() {
                // Left out, it would be on a network that it was to be kept from.
                let detail = format!(
                    "VLAN of an interface on bridge '{bridge}': only Open vSwitch's bridges have any \
                     (<virtualport type='openvswitch'/>)"
                );
                return Err(Error::new(Code::ConfigUnsupported, Origin::Xen, detail));
            }
            fields.push(("bridge", bridge));
            fields.push(("script", script.unwrap_or_else(|| default.to_owned())));
        }
        InterfaceType::Ethernet => fields.extend(script.map(|script| ("script", script))),
        InterfaceType::Network => {
            // The network's own bridge is known only to the network driver.
            let name = interface.source.as_ref().and_then(|source| source.network.as_deref());
            let detail = format!("network {} is not active", name.unwrap_or_default());
            return Err(Error::internal(Origin::Xen, detail));
        }
        other => {
            let detail = format!("unsupported interface type '{other}'");
            return Err(Error::new(Code::ConfigUnsupported, Origin::Xen, detail));
        }
    }
    if !interface.ips.is_empty() {
        let ips: Vec<&str> = interface.ips.iter().map(|ip| ip.address.as_str()).collect();
        fields.push(("ip", ips.join(" ")));
    }
    match interface.model_name() {
        Some("netfront") if style.hvm => fields.push(("type", style.netfront.to_owned())),
        model => {
            fields.extend(model.map(|model| ("model", model.to_owned())));
            if style.hvm && style.ioemu {
                fields.push(("type", "ioemu".to_owned()));
            }
        }
    }
    if let Some(name) = interface.target_dev() {
        fields.push(("vifname", name.to_owned()));
    }
    let outbound = interface.bandwidth.as_ref().and_then(|bandwidth| bandwidth.outbound.as_ref());
    if let Some(average) = outbound.and_then(|rate| rate.average).filter(|kib| *kib > 0) {
        fields.push(("rate", format!("{average}KB/s")));
    }
    if let Some(backend) = &interface.backenddomain {
        fields.push(("backend", backend.name.clone()));
    }
    Ok(fields)
}

fn vlan(vlan: &Vlan) -> String {
    let trunk = vlan.trunk == Some(YesNo::Yes) || vlan.tags.len() > 1;
    let mark = if trunk { ':' } else { '.' };
    vlan.tags.iter().map(|tag| format!("{mark}{}", tag.id)).collect()
}

/// Prints one line of `vif`.
pub(crate) fn print(interface: &Interface, style: VifStyle) -> Result<String> {
    let fields = fields(interface, style)?;
    for (key, value) in &fields {
        word(key, value)?;
    }
    let parts: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Ok(parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_kilobytes_a_second() {
        for (text, kib) in [
            ("10240KB/s", Some(10240)),
            ("10MB/s@20ms", Some(10240)),
            ("80Mb/s", Some(10240)),
            ("2048", Some(2)),
            ("fast", None),
            ("10parsecs", None),
            ("99999999999999999GB/s", None),
        ] {
            assert_eq!(rate_kib(text).ok(), kib, "{text}");
        }
    }
}
