//! What must hold for the entries of a network, whether they are read with it or added to it later.

use std::net::IpAddr;

use virt_error::{Code, Error, Origin, Result};

use super::{DhcpHost, DhcpRange, DnsHost, Forwarder, Lease, Network, NetworkIp, Srv, Txt};
use crate::schema::Document;
use crate::{Mac, Text};

/// Limit: the largest range of addresses that dnsmasq may lease.
const RANGE_MAX: u128 = 65535;

/// Compat: the shortest lease that dnsmasq takes.
const LEASE_MIN_S: u64 = 120;

/// Compat: what is wrong with an entry for the name server is said without the code's own words.
fn dns(what: String) -> Error {
    Error::new(Code::XmlDetail, Origin::Network, what)
}

fn xml<T>(what: String) -> Result<T> {
    Err(Network::xml_error(what))
}

impl NetworkIp {
    pub fn is_v6(&self) -> bool {
        self.family.as_deref() == Some("ipv6")
    }

    fn ip(&self) -> Option<IpAddr> {
        self.address.as_ref()?.parse().ok()
    }

    /// How many bits of the address are the network's.
    pub fn prefix(&self) -> u32 {
        let netmask =
            self.netmask.as_ref().and_then(|text| text.parse::<std::net::Ipv4Addr>().ok());
        match (self.prefix, netmask, self.ip()) {
            (Some(prefix), ..) => prefix,
            (None, Some(mask), _) => mask.to_bits().leading_ones(),
            // Compat: an address of the old protocol has the prefix of its class.
            (None, None, Some(IpAddr::V4(ip))) => match ip.octets() {
                [0..128, ..] => 8,
                [128..192, ..] => 16,
                [192..224, ..] => 24,
                _ => 0,
            },
            (None, None, _) => 64,
        }
    }

    pub(super) fn check(&self, network: &str) -> Result<()> {
        let refused = |what: String| Err(Network::unsupported(what));
        let Some(address) = &self.address else {
            return xml(format!("Missing required address attribute in network '{network}'"));
        };
        let Some(ip) = self.ip() else {
            return xml(format!("Invalid address '{address}' in network '{network}'"));
        };
        match (self.family.as_deref(), ip) {
            (None, IpAddr::V6(_)) => {
                return refused(format!(
                    "no family specified for non-IPv4 address '{address}' in network '{network}'"
                ));
            }
            (Some("ipv4"), IpAddr::V6(_)) => {
                return refused(format!(
                    "ipv4 family specified for non-IPv4 address '{address}' in network '{network}'"
                ));
            }
            (Some("ipv6"), IpAddr::V4(_)) => {
                return refused(format!(
                    "Family 'ipv6' specified for non-IPv6 address '{address}' in network '{network}'"
                ));
            }
            (None | Some("ipv4" | "ipv6"), _) => {}
            (Some(other), _) => {
                return xml(format!("Unrecognized family '{other}' in network '{network}'"));
            }
        }
        if let Some(netmask) = &self.netmask {
            if self.prefix.is_some() {
                return refused(format!(
                    "Network '{network}' IP address cannot have both a prefix and a netmask"
                ));
            }
            if ip.is_ipv6() {
                return refused(format!(
                    "netmask not supported for address '{address}' in network '{network}' (IPv4 only)"
                ));
            }
            if netmask.parse::<std::net::Ipv4Addr>().is_err() {
                return xml(format!("Invalid netmask '{netmask}' in network '{network}'"));
            }
        }
        let (kind, most) = if ip.is_ipv4() { ("IPv4", 32) } else { ("IPv6", 128) };
        match self.prefix {
            Some(prefix) if prefix > most => {
                refused(format!("Invalid {kind} prefix '{prefix}' in network '{network}'"))
            }
            _ => self.check_dhcp(network),
        }
    }

    fn check_dhcp(&self, network: &str) -> Result<()> {
        let Some(dhcp) = &self.dhcp else { return Ok(()) };
        dhcp.ranges.iter().try_for_each(|range| range.check(self, network))?;
        dhcp.hosts.iter().try_for_each(|host| host.check(self.is_v6(), false, network))
    }
}

/// An address as a number, and how many bits it has.
fn bits(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    }
}

impl DhcpRange {
    /// Compat: these are faults of the program in libvirt's words, but for texts that are no address.
    pub(super) fn check(&self, of: &NetworkIp, network: &str) -> Result<()> {
        let (start, end) = (&self.start, &self.end);
        for (name, text) in [("start", start), ("end", end)] {
            if text.is_empty() {
                return xml(format!(
                    "Missing '{name}' attribute in dhcp range for network '{network}'"
                ));
            }
        }
        let wrong = |what: String| Err(Error::internal(Origin::None, what));
        let (first, last) = (address(start)?, address(end)?);
        let Some(own) = of.ip() else { return Ok(()) };
        if first.is_ipv4() != last.is_ipv4() {
            return wrong(format!("mismatch of address family in range {start} - {end}"));
        }
        if first.is_ipv4() != own.is_ipv4() {
            let what = format!("mismatch of address family in range {start} - {end}");
            return wrong(format!("{what} for network {own}"));
        }
        let (prefix, (first_bits, width)) = (of.prefix(), bits(first));
        let (last_bits, own_bits) = (bits(last).0, bits(own).0);
        let host_bits = width.saturating_sub(prefix);
        let part = |ip: u128| ip.checked_shr(host_bits).unwrap_or_default();
        if part(first_bits) != part(own_bits) || part(last_bits) != part(own_bits) {
            return wrong(format!(
                "range {start} - {end} is not entirely within network {own}/{prefix}"
            ));
        }
        if first_bits > last_bits {
            let how = if first.is_ipv4() { "is reversed " } else { "start larger than end" };
            return wrong(format!("range {start} - {end} {how}"));
        }
        if last_bits - first_bits >= RANGE_MAX && first.is_ipv6() {
            return wrong(format!("range {start} - {end} is too large (> {RANGE_MAX})"));
        }
        let hosts = 1_u128.checked_shl(host_bits).map_or(u128::MAX, |size| size - 1);
        let within = format!("range {start} - {end} in network {own}/{prefix}");
        if first.is_ipv4() && first_bits & hosts == 0 {
            return wrong(format!("start of {within} is the network address"));
        }
        if first.is_ipv4() && last_bits & hosts == hosts {
            return wrong(format!("end of {within} is the broadcast address"));
        }
        self.lease.as_ref().map_or(Ok(()), Lease::check)
    }
}

/// Compat: libvirt asks the resolver, whose refusal this is.
fn address(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| {
        let what = format!("Cannot parse socket address '{text}': Name or service not known");
        Error::new(Code::SystemError, Origin::None, what)
    })
}

impl Lease {
    fn check(&self) -> Result<()> {
        let seconds = self.unit.as_deref() == Some("seconds");
        if seconds && (1..LEASE_MIN_S).contains(&self.expiry) {
            let what = "The minimum lease time should be greater than 2 minutes";
            return Err(Network::unsupported(what));
        }
        Ok(())
    }
}

impl DhcpHost {
    /// One that is only looked for (`partial`) may say as little as it likes, but not nothing.
    pub(super) fn check(&self, v6: bool, partial: bool, network: &str) -> Result<()> {
        if let Some(mac) = &self.mac {
            if v6 {
                return xml(format!(
                    "Invalid to specify MAC address '{mac}' in network '{network}' IPv6 static host definition"
                ));
            }
            match Mac::parse(mac) {
                None => {
                    return xml(format!("Cannot parse MAC address '{mac}' in network '{network}'"));
                }
                Some(parsed) if parsed.is_multicast() => {
                    return xml(format!(
                        "expected unicast mac address, found multicast '{mac}' in network '{network}'"
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(id) = self.id.as_ref().filter(|_| v6)
            && let Some(odd) = id.chars().find(|c| !c.is_ascii_hexdigit() && *c != ':')
        {
            return xml(format!("Invalid character '{odd}' in id '{id}' of network '{network}'"));
        }
        if let Some(name) = self.name.as_ref()
            && !name.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            return xml(format!("Cannot use host name '{name}' in network '{network}'"));
        }
        let has_ip = match &self.ip {
            Some(text) if text.parse::<IpAddr>().is_err() => {
                return xml(format!(
                    "Invalid IP address in static host definition for network '{network}'"
                ));
            }
            ip => ip.is_some(),
        };
        let (kind, who) = if v6 { ("IPv6", "id") } else { ("IPv4", "mac") };
        let known = self.name.is_some() || if v6 { &self.id } else { &self.mac }.is_some();
        if partial {
            if self.mac.is_none() && self.name.is_none() && !has_ip {
                return xml(format!(
                    "At least one of name, mac, or ip attribute must be specified for static host definition in network '{network}'"
                ));
            }
            return Ok(());
        }
        if !known {
            return xml(format!(
                "Static host definition in {kind} network '{network}' must have {who} or name attribute"
            ));
        }
        if !has_ip {
            return xml(format!(
                "Missing IP address in static host definition for network '{network}'"
            ));
        }
        self.lease.as_ref().map_or(Ok(()), Lease::check)
    }
}

impl DnsHost {
    pub(super) fn check(&self, partial: bool, network: &str) -> Result<()> {
        let wrong = |what: &str| Err(dns(format!("{what} in network '{network}' DNS HOST record")));
        if !self.ip.is_empty() && self.ip.parse::<IpAddr>().is_err() {
            return wrong("Invalid IP address");
        }
        if self.hostnames.iter().any(String::is_empty) {
            return wrong("Missing hostname");
        }
        match (self.ip.is_empty(), self.hostnames.is_empty()) {
            (true, true) if partial => wrong("Missing ip and hostname"),
            _ if partial => Ok(()),
            (_, true) => wrong("Missing hostname"),
            (true, _) => wrong("Missing IP address"),
            _ => Ok(()),
        }
    }
}

impl Txt {
    pub(super) fn check(&self, partial: bool, network: &str) -> Result<()> {
        let name = &self.name;
        if name.is_empty() {
            let what = "missing required name attribute in DNS TXT record of network";
            return Err(dns(format!("{what} {network}")));
        }
        if name.contains([' ', ',']) {
            let what = format!("prohibited character in DNS TXT record name '{name}'");
            return Err(dns(format!("{what} of network {network}")));
        }
        if self.value.is_none() && !partial {
            let what = format!("missing required value attribute in DNS TXT record named '{name}'");
            return Err(dns(format!("{what} of network {network}")));
        }
        Ok(())
    }
}

impl Srv {
    pub(super) fn check(&self, partial: bool, network: &str) -> Result<()> {
        let service = &self.service;
        if service.is_empty() && !partial {
            let what = "missing required service attribute in DNS SRV record of network";
            return Err(dns(format!("{what} '{network}'")));
        }
        if self.protocol.is_empty() && !partial {
            let what = format!("missing required protocol attribute in DNS SRV record '{service}'");
            return Err(dns(format!("{what} of network '{network}'")));
        }
        let places = [("port", self.port), ("priority", self.priority), ("weight", self.weight)];
        for (name, _) in places.into_iter().filter(|(_, number)| number.is_some()) {
            if self.target.is_none() {
                let what = format!("DNS SRV {name} attribute not permitted without target");
                return Err(dns(format!("{what} for service '{service}' in network '{network}'")));
            }
        }
        Ok(())
    }
}

impl Forwarder {
    pub(super) fn check(&self, network: &str) -> Result<()> {
        match &self.addr {
            None if self.domain.is_none() => {
                xml("Invalid forwarder element, must contain at least one of addr or domain"
                    .to_owned())
            }
            Some(addr) if addr.parse::<IpAddr>().is_err() => {
                xml(format!("Invalid forwarder IP address '{addr}' in network '{network}'"))
            }
            _ => Ok(()),
        }
    }
}
