//! The network interfaces that a guest says it has.

use virt_driver::Call;
use virt_error::Result;
use virt_json::Value;
use virt_types::{DomainInterface, DomainIpAddr, DomainRef, api};

use super::{ask_once, malformed};
use crate::core::Core;

pub(super) const COMMAND: &str = "guest-network-get-interfaces";

/// `virDomainInterfaceAddresses`, as the agent tells.
pub(crate) fn addresses(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
) -> Result<Vec<DomainInterface>> {
    interfaces(&ask_once(core, call, dom, COMMAND, None)?)
}

pub(super) fn interfaces(answer: &Value) -> Result<Vec<DomainInterface>> {
    let listed = answer.as_array();
    let listed =
        listed.ok_or_else(|| malformed("qemu agent didn't return an array of interfaces"))?;
    let mut found: Vec<DomainInterface> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for interface in listed {
        let name = interface.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| malformed("qemu agent didn't provide 'name' field"))?;
        // Compat: `eth0:1` is another name of `eth0`.
        let own = name.split(':').next().unwrap_or(name);
        let at = *places.entry(own.to_owned()).or_insert(found.len());
        if at == found.len() {
            let hwaddr = interface.get("hardware-address").and_then(Value::as_str);
            let (name, hwaddr) = (own.to_owned(), hwaddr.map(str::to_owned));
            found.push(DomainInterface { name, hwaddr, addrs: Vec::new() });
        }
        let addresses = interface.get("ip-addresses").and_then(Value::as_array);
        for address in addresses.unwrap_or_default() {
            let address = self::address(address, name)?;
            if let Some(interface) = found.get_mut(at) {
                interface.addrs.push(address);
            }
        }
    }
    Ok(found)
}

fn address(value: &Value, interface: &str) -> Result<DomainIpAddr> {
    let field = |field: &str| {
        let missing = || {
            let detail = "qemu agent didn't provide";
            malformed(format!("{detail} '{field}' field for interface '{interface}'"))
        };
        value.get(field).and_then(Value::as_str).ok_or_else(missing)
    };
    let kind = match field("ip-address-type")? {
        "ipv4" => api::IP_ADDR_TYPE_IPV4,
        "ipv6" => api::IP_ADDR_TYPE_IPV6,
        other => return Err(malformed(format!("unknown ip address type '{other}'"))),
    };
    let addr = field("ip-address")?.to_owned();
    let prefix = value.get("prefix").and_then(Value::as_number);
    let prefix = prefix.ok_or_else(|| malformed("malformed 'prefix' field"))?;
    Ok(DomainIpAddr { kind, addr, prefix })
}
