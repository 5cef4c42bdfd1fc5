//! Network interfaces that QEMU can serve by itself.

use virt_error::Result;
use virt_model::domain::Domain;
use virt_model::domain::boot::BootDevice;
use virt_model::domain::interface::{Interface, InterfaceType};

use super::disk::os_order;
use super::{Argv, Object, alias, at_pci, boot_index, set, unsupported};

pub(super) fn interfaces(argv: &mut Argv, domain: &Domain) -> Result<()> {
    for (at, interface) in domain.devices.interfaces.iter().enumerate() {
        let host = format!("hostnet{at}");
        let netdev = match interface.kind {
            InterfaceType::User => user(interface, &host)?,
            kind => {
                let kind = kind.as_str();
                return unsupported(format!(
                    "network interface type '{kind}' is not supported yet"
                ));
            }
        };
        argv.option("-netdev", netdev.finish());
        let order = boot_index(&interface.info)
            .or_else(|| os_order(domain, BootDevice::Network).filter(|_| at == 0));
        let mac = interface.mac.as_ref().map(|mac| mac.address.to_string());
        let device = Object::new("driver", driver(interface)?)
            .text("netdev", &host)
            .text("id", alias(&interface.info))
            .maybe("mac", mac.as_deref())
            .maybe_number("bootindex", order);
        argv.device(at_pci(device, &interface.info, domain));
    }
    Ok(())
}

fn driver(interface: &Interface) -> Result<&str> {
    match interface.model_name() {
        None => unsupported("network interface without a model"),
        Some("virtio") => Ok("virtio-net-pci"),
        Some("virtio-transitional") => Ok("virtio-net-pci-transitional"),
        Some("virtio-non-transitional") => Ok("virtio-net-pci-non-transitional"),
        Some(model) => Ok(model),
    }
}

fn user(interface: &Interface, id: &str) -> Result<Object> {
    let settings = [
        ("vlan", set(&interface.vlan)),
        ("virtualport", set(&interface.virtualport)),
        ("bandwidth", set(&interface.bandwidth)),
        ("driver", set(&interface.driver)),
        ("backend", set(&interface.backend)),
        ("filterref", set(&interface.filterref)),
        ("tune", set(&interface.tune)),
        ("link", set(&interface.link)),
        ("mtu", set(&interface.mtu)),
        ("coalesce", set(&interface.coalesce)),
        ("teaming", set(&interface.teaming)),
        ("rom", set(&interface.info.rom)),
    ];
    if let Some((what, _)) = settings.iter().find(|(_, there)| *there) {
        return unsupported(format!("interface setting '{what}' is not supported yet"));
    }
    if !interface.port_forwards.is_empty() {
        return unsupported("port forwarding needs the passt backend, which is not supported yet");
    }
    let mut netdev = Object::new("type", "user");
    for ip in &interface.ips {
        let address = ip.address.as_str();
        match ip.family.as_deref().unwrap_or("ipv4") {
            "ipv4" => {
                let prefix = ip.prefix.unwrap_or(24);
                netdev = netdev.text("net", &format!("{address}/{prefix}"));
            }
            _ => netdev = netdev.text("ipv6-prefix", address),
        }
    }
    Ok(netdev.text("id", id))
}
