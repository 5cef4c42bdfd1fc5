//! What the control domain's kernel counts of its guests' disks and interfaces.

use std::path::{Path, PathBuf};

use virt_error::Result;
use virt_types::{DomainBlockStats, DomainInterfaceStats};

use crate::devices::block_number;
use crate::invalid_arg;

/// Where the kernel shows the devices it serves.
const BACKENDS: &str = "/sys/bus/xen-backend/devices";
const INTERFACES: &str = "/sys/class/net";
/// The kernel counts disks in these.
const SECTOR_BYTES: i64 = 512;

fn number(path: &Path) -> Option<i64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The folder in which a disk is counted. Compat: each kind of backend has its own name for it.
fn backend(id: u32, dev: &str) -> Option<PathBuf> {
    let number = block_number(dev)?;
    ["vbd", "tap", "tap2", "qdisk"]
        .iter()
        .map(|kind| Path::new(BACKENDS).join(format!("{kind}-{id}-{number}")).join("statistics"))
        .find(|path| path.is_dir())
}

/// What a guest reads and writes on one disk.
pub(crate) fn block(id: u32, dev: &str) -> Result<DomainBlockStats> {
    let folder = backend(id, dev);
    let folder = folder.ok_or_else(|| {
        invalid_arg(format!(
            "disk {dev} is not counted: no backend of this host's kernel serves it"
        ))
    })?;
    let of = |name: &str| number(&folder.join(name)).unwrap_or(-1);
    let bytes = |sectors: i64| match sectors {
        -1 => -1,
        sectors => sectors.saturating_mul(SECTOR_BYTES),
    };
    Ok(DomainBlockStats {
        rd_req: of("rd_req"),
        rd_bytes: bytes(of("rd_sect")),
        wr_req: of("wr_req"),
        wr_bytes: bytes(of("wr_sect")),
        errs: of("oo_req"),
    })
}

/// How often a guest has had one disk write down what it was given.
pub(crate) fn flushes(id: u32, dev: &str) -> i64 {
    backend(id, dev).and_then(|folder| number(&folder.join("f_req"))).unwrap_or(-1)
}

/// What passes through one interface. What the host receives is what the guest has sent.
pub(crate) fn interface(name: &str) -> Result<DomainInterfaceStats> {
    let folder = Path::new(INTERFACES).join(name).join("statistics");
    if name.contains('/') || !folder.is_dir() {
        return Err(invalid_arg(format!("interface {name} is not there")));
    }
    let of = |name: &str| number(&folder.join(name)).unwrap_or(-1);
    Ok(DomainInterfaceStats {
        rx_bytes: of("tx_bytes"),
        rx_packets: of("tx_packets"),
        rx_errs: of("tx_errors"),
        rx_drop: of("tx_dropped"),
        tx_bytes: of("rx_bytes"),
        tx_packets: of("rx_packets"),
        tx_errs: of("rx_errors"),
        tx_drop: of("rx_dropped"),
    })
}

/// The host's side of a guest's interface.
pub(crate) fn vif(id: u32, at: usize) -> String {
    format!("vif{id}.{at}")
}
