//! Interfaces: a virtual network device on a virtual switch, with its VLANs.

use virt_error::{Code, Error, Result};
use virt_model::domain::Interface;
use virt_model::domain::interface::{
    InterfaceModel, InterfaceSource, InterfaceTarget, InterfaceType, MacAddress, Mtu, Vlan, VlanTag,
};
use virt_model::{Mac, Text, YesNo};

use crate::link::ORIGIN;
use crate::message::Item;

/// What [`interface`] says of an item.
pub(super) const TOLD: &[&str] = &["vnet_name", "service_name", "address"];
const MODEL: &str = "vnet";
const UNTAGGED: &str = "untagged";

/// An item as an interface, and which of its properties that says.
pub(super) fn interface(item: &Item) -> (Interface, Vec<&'static str>) {
    let mut told = TOLD.to_vec();
    let bridge = item.get("service_name").map(str::to_owned);
    let mac = item.address.as_deref().and_then(Mac::parse);
    let mut interface = Interface {
        kind: InterfaceType::Bridge,
        mac: mac.map(|address| MacAddress { address, ..MacAddress::default() }),
        source: Some(InterfaceSource { bridge, ..InterfaceSource::default() }),
        target: Some(InterfaceTarget {
            dev: item.get("vnet_name").map(str::to_owned),
            ..InterfaceTarget::default()
        }),
        model: Some(InterfaceModel { kind: Some(MODEL.to_owned()) }),
        ..Interface::default()
    };
    if let Some(vlan) = vlan(item) {
        interface.vlan = Some(vlan);
        told.extend(["pvid", "vid"]);
    }
    if let Some(size) = item.get("mtu").and_then(|text| text.parse().ok()) {
        interface.mtu = Some(Mtu { size });
        told.push("mtu");
    }
    (interface, told)
}

/// The port's own VLAN is untagged in the guest; those that the guest tags make it a trunk.
fn vlan(item: &Item) -> Option<Vlan> {
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let own = item.get("pvid").map(|text| number(text).ok_or(())).transpose().ok()?;
    let tagged: Vec<u32> = match item.get("vid") {
        Some(text) => text.split(',').map(number).collect::<Option<_>>()?,
        None => Vec::new(),
    };
    let trunk = !tagged.is_empty();
    let native_mode = trunk.then(|| UNTAGGED.to_owned());
    let own = own.map(|id| VlanTag { id, native_mode });
    let tags: Vec<VlanTag> = own
        .into_iter()
        .chain(tagged.into_iter().map(|id| VlanTag { id, native_mode: None }))
        .collect();
    (!tags.is_empty()).then(|| Vlan { trunk: trunk.then_some(YesNo::Yes), tags })
}

/// The item that an interface asks for.
pub(crate) fn vnet(interface: &Interface, name: &str, switch: &str) -> Result<Item> {
    let source = interface.source.as_ref();
    let on = match interface.kind {
        InterfaceType::Bridge => source.and_then(|source| source.bridge.as_deref()),
        InterfaceType::Network => source.and_then(|source| source.network.as_deref()),
        kind => {
            let detail =
                format!("interface type '{kind}': LDoms has virtual switches only (bridge)");
            return Err(Error::new(Code::ConfigUnsupported, ORIGIN, detail));
        }
    };
    // Compat: tools that know no switch name libvirt's own network, which means the usual one.
    let on = match (interface.kind, on) {
        (InterfaceType::Network, None | Some("default")) | (_, None) => switch,
        (_, Some(on)) => on,
    };
    let mut item = Item::new("network").with("vnet_name", name).with("service_name", on);
    let mac = interface.mac.as_ref().filter(|mac| mac.address != Mac::default());
    item.address = mac.map(|mac| mac.address.to_string());
    if let Some(vlan) = &interface.vlan {
        let is_own = |tag: &&VlanTag| {
            vlan.trunk != Some(YesNo::Yes) && vlan.tags.len() == 1
                || tag.native_mode.as_deref() == Some(UNTAGGED)
        };
        let ids = |own| {
            let tags = vlan.tags.iter().filter(|tag| is_own(tag) == own);
            tags.map(|tag| tag.id.to_string()).collect::<Vec<_>>().join(",")
        };
        item.set("pvid", Some(ids(true)).filter(|ids| !ids.is_empty()).as_deref());
        item.set("vid", Some(ids(false)).filter(|ids| !ids.is_empty()).as_deref());
    }
    if let Some(mtu) = &interface.mtu {
        item.set("mtu", Some(&mtu.size.to_string()));
    }
    Ok(item)
}
