//! Which subnets a bridge is on: a guest that moves keeps its address, which is of use on the same one alone.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use virt_model::domain::Domain as Document;
use virt_model::domain::interface::InterfaceType;

/// The kernel's table of routes, a line each, in which addresses are as they are on the wire.
const ROUTES: &str = "/proc/net/route";
/// Limit: subnets of which one host tells another.
const SUBNETS_MAX: usize = 32;

/// A subnet that a bridge is on: `xenbr0:192.0.2.0/24`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subnet {
    bridge: String,
    place: String,
}

impl Subnet {
    pub(super) fn bridge(&self) -> &str {
        &self.bridge
    }
}

/// The bridges that a guest's interfaces are on.
pub(super) fn bridges(document: &Document) -> BTreeSet<&str> {
    let interfaces = document.devices.interfaces.iter();
    let bridged = interfaces.filter(|interface| interface.kind == InterfaceType::Bridge);
    bridged.filter_map(|interface| interface.source.as_ref()?.bridge.as_deref()).collect()
}

/// This host's subnets.
pub(super) fn own() -> Vec<Subnet> {
    read(&std::fs::read_to_string(ROUTES).unwrap_or_default())
}

/// Those that are reached without a gateway.
fn read(routes: &str) -> Vec<Subnet> {
    let subnet = |line: &str| {
        let mut words = line.split_whitespace();
        let bridge = words.next()?.to_owned();
        let number = |word: Option<&str>| u32::from_str_radix(word?, 16).ok().map(u32::from_be);
        let (to, gateway) = (number(words.next())?, number(words.next())?);
        let mask = number(words.nth(4))?;
        let place = format!("{}/{}", Ipv4Addr::from(to), mask.count_ones());
        (gateway == 0 && mask != 0).then_some(Subnet { bridge, place })
    };
    routes.lines().skip(1).filter_map(subnet).collect()
}

/// Those of a guest's bridges, in one line.
pub(super) fn print(subnets: &[Subnet]) -> String {
    let words = subnets.iter().take(SUBNETS_MAX);
    let words = words.map(|Subnet { bridge, place }| format!("{bridge}:{place}"));
    words.collect::<Vec<_>>().join(" ")
}

pub(super) fn parse(line: &str) -> Vec<Subnet> {
    let word = |word: &str| {
        let (bridge, place) = word.rsplit_once(':')?;
        Some(Subnet { bridge: bridge.to_owned(), place: place.to_owned() })
    };
    line.split_whitespace().take(SUBNETS_MAX).filter_map(word).collect()
}

/// A bridge that is on other subnets there than here, in a line. Where either side knows none, nothing is said.
pub(super) fn differs(bridge: &str, there: &[Subnet], here: &[Subnet]) -> Option<String> {
    let of = |all: &[Subnet]| -> BTreeSet<String> {
        let own = all.iter().filter(|subnet| subnet.bridge == bridge);
        own.map(|subnet| subnet.place.clone()).collect()
    };
    let (there, here) = (of(there), of(here));
    if there.is_empty() || here.is_empty() || !there.is_disjoint(&here) {
        return None;
    }
    let list = |all: BTreeSet<String>| all.into_iter().collect::<Vec<_>>().join(", ");
    Some(format!(
        "bridge '{bridge}' is on another subnet: {} there, {} here",
        list(there),
        list(here)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n\
        xenbr0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\n\
        xenbr0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n\
        br1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\n\
        odd\tx\n";

    #[test]
    fn subnets_are_read_told_and_compared() {
        let here = read(TABLE);
        assert_eq!(print(&here), "xenbr0:192.0.2.0/24 br1:10.0.0.0/8");
        assert_eq!(parse(&print(&here)), here);
        let there = parse("xenbr0:198.51.100.0/24 br1:10.0.0.0/8 odd");
        let wanted =
            "bridge 'xenbr0' is on another subnet: 198.51.100.0/24 there, 192.0.2.0/24 here";
        assert_eq!(differs("xenbr0", &there, &here).as_deref(), Some(wanted));
        assert_eq!(differs("br1", &there, &here), None);
        assert_eq!(differs("br2", &there, &here), None);
        assert_eq!(differs("xenbr0", &[], &here), None);
    }
}
