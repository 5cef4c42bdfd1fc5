//! The boot order: OpenBoot's variable `boot-device`, and what libvirt says of it.
//!
//! The variable lists names of disks and networks (which OpenBoot has aliases for) or device paths.
//! Names become a boot order; a list with anything else stays a variable.

use virt_model::domain::Domain;
use virt_model::domain::boot::{Boot, BootDevice};

use virt_model::domain::address::BootOrder;

use crate::message::Item;

pub(super) const VARIABLE: &str = "boot-device";

/// Whether an item is the variable.
pub(super) fn is_order(item: &Item) -> bool {
    item.is("var") && item.get("name") == Some(VARIABLE)
}

/// Puts the order of `value` into a document; whether it could be said there.
pub(super) fn show(domain: &mut Domain, value: &str) -> bool {
    let names: Vec<&str> = value.split_whitespace().collect();
    let devices = &mut domain.devices;
    let disk = |name: &&str| devices.disks.iter().position(|disk| disk.target.dev == **name);
    let net =
        |name: &&str| devices.interfaces.iter().position(|net| net.target_dev() == Some(*name));
    let found: Option<Vec<(bool, usize)>> = names
        .iter()
        .map(|name| disk(name).map(|at| (true, at)).or_else(|| net(name).map(|at| (false, at))))
        .collect();
    let Some(found) = found.filter(|found| !found.is_empty()) else {
        show_paths(domain, &names);
        return false;
    };
    // The first of a kind is what libvirt means by the kind.
    if found.len() <= 2 && found.iter().all(|(_, at)| *at == 0) {
        let kind = |disk| if disk { BootDevice::Hd } else { BootDevice::Network };
        domain.os.boot = found.iter().map(|(disk, _)| Boot { dev: kind(*disk) }).collect();
        return true;
    }
    for (order, (disk, at)) in (1..).zip(found) {
        let info = match disk {
            true => devices.disks.get_mut(at).map(|disk| &mut disk.info),
            false => devices.interfaces.get_mut(at).map(|net| &mut net.info),
        };
        if let Some(info) = info {
            info.boot = Some(BootOrder { order, loadparm: None });
        }
    }
    true
}

/// Device paths say at least which kind of device is meant.
fn show_paths(domain: &mut Domain, names: &[&str]) {
    for name in names {
        let dev = match name {
            name if name.contains("/disk@") || name.starts_with("disk") => BootDevice::Hd,
            name if name.contains("/network@") || name.starts_with("net") => BootDevice::Network,
            _ => continue,
        };
        if !domain.os.boot.iter().any(|boot| boot.dev == dev) {
            domain.os.boot.push(Boot { dev });
        }
    }
}

/// The variable's value for the order that a document asks for, if it asks for one.
pub(super) fn order(domain: &Domain) -> Option<String> {
    let disks = domain.devices.disks.iter().map(|disk| (&disk.info, disk.target.dev.as_str()));
    let nets = domain.devices.interfaces.iter();
    let nets = nets.filter_map(|net| Some((&net.info, net.target_dev()?)));
    let mut ordered: Vec<(u32, &str)> = disks
        .chain(nets)
        .filter_map(|(info, name)| Some((info.boot.as_ref()?.order, name)))
        .collect();
    ordered.sort_by_key(|(order, _)| *order);
    let mut names: Vec<&str> = ordered.into_iter().map(|(_, name)| name).collect();
    if names.is_empty() {
        let disk = domain.devices.disks.first().map(|disk| disk.target.dev.as_str());
        let net = domain.devices.interfaces.first().and_then(|net| net.target_dev());
        names.extend(domain.os.boot.iter().filter_map(|boot| match boot.dev {
            BootDevice::Hd | BootDevice::Cdrom => disk,
            BootDevice::Network => net,
            BootDevice::Fd => None,
        }));
        names.dedup();
    }
    (!names.is_empty()).then(|| names.join(" "))
}
