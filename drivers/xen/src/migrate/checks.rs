//! What must be so before a guest sets out: each that is not is told in a line of its own.

use std::path::Path;

use rustix::fs::Access;

use virt_model::domain::Domain as Document;
use virt_model::domain::disk::DiskType;

use super::cookie::Cookie;
use super::subnets;
use crate::seen::Physical;

const INTERFACES: &str = "/sys/class/net";

/// Who made this host's processors.
pub(super) fn vendor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("vendor_id"));
    line.and_then(|rest| rest.split_once(':')).map_or("", |(_, name)| name).trim().to_owned()
}

/// Everything that keeps a guest from running here.
pub(super) fn obstacles(document: &Document, from: &Cookie, here: &Physical) -> Vec<String> {
    let mut found = Vec::new();
    let (major, minor, _) = here.version;
    if let Some((a, b)) = from.xen.filter(|there| *there != (major, minor)) {
        found.push(format!(
            "the hosts have different releases of Xen: {a}.{b} there, {major}.{minor} here"
        ));
    }
    let own = vendor();
    if !from.vendor.is_empty() && !own.is_empty() && from.vendor != own {
        let there = &from.vendor;
        found.push(format!(
            "the hosts have processors of different makers: {there} there, {own} here"
        ));
    }
    let need_kib = document.current_memory_kib();
    if need_kib > here.free_kib {
        let free_kib = here.free_kib;
        found
            .push(format!("not enough memory: {need_kib} KiB are needed, {free_kib} KiB are free"));
    }
    if document.vcpu.count > here.cpus {
        let (need, have) = (document.vcpu.count, here.cpus);
        found.push(format!("not enough processors: {need} are needed, the host has {have}"));
    }
    let subnets = subnets::own();
    for bridge in subnets::bridges(document) {
        if bridge.contains('/') || !Path::new(INTERFACES).join(bridge).exists() {
            found
                .push(format!("no bridge '{bridge}' here, which an interface of the domain is on"));
        }
        found.extend(subnets::differs(bridge, &from.subnets, &subnets));
    }
    for disk in &document.devices.disks {
        let local = matches!(disk.kind, DiskType::File | DiskType::Block);
        let Some(path) = disk.path().filter(|_| local) else { continue };
        let dev = &disk.target.dev;
        found.extend(unreachable(dev, path, disk.readonly));
    }
    found
}

/// Why a guest cannot have a disk here. A folder of another host may be seen by root and not be root's.
fn unreachable(dev: &str, path: &str, readonly: bool) -> Option<String> {
    if !Path::new(path).exists() {
        return Some(format!("disk {dev} is not to be reached here under the same path '{path}'"));
    }
    let (rights, doing) = match readonly {
        true => (Access::READ_OK, "read"),
        false => (Access::READ_OK | Access::WRITE_OK, "read and write"),
    };
    let refused = rustix::fs::access(path, rights).err()?;
    Some(format!(
        "disk {dev} is at '{path}' here too, but root may not {doing} it: {}; is the folder shared with \
         root's rights?",
        std::io::Error::from(refused)
    ))
}
