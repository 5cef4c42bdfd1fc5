//! Figures about single disks and network interfaces, in the public calls' forms.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use virt_driver::Call;
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Document;
use virt_model::domain::disk::Disk;
use virt_types::{
    DomainBlockInfo, DomainGetDiskErrors, DomainInterfaceStats, DomainRef, TypedParam,
};

use crate::core::Core;
use crate::guest::Data;
use crate::monitor::Monitor;
use crate::stats::{self, Counters};
use crate::vdisk;

/// The counters of a disk as `virDomainBlockStatsFlags` names them.
const NAMES: [(&str, &str); 8] = [
    ("wr.bytes", "wr_bytes"),
    ("wr.reqs", "wr_operations"),
    ("rd.bytes", "rd_bytes"),
    ("rd.reqs", "rd_operations"),
    ("fl.reqs", "flush_operations"),
    ("wr.times", "wr_total_times"),
    ("rd.times", "rd_total_times"),
    ("fl.times", "flush_total_times"),
];

fn invalid_arg(origin: Origin, detail: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, origin, detail)
}

/// The disk with this target or source.
fn find_disk<'a>(document: &'a Document, path: &str) -> Option<&'a Disk> {
    let named = |disk: &&Disk| disk.target.dev == path || disk.path() == Some(path);
    document.devices.disks.iter().find(named)
}

/// `virDomainGetBlockInfo`.
pub(crate) fn info(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    path: &str,
) -> Result<DomainBlockInfo> {
    let guest = core.guests.find(dom)?;
    let document = core.guests.current(&guest)?;
    let disk = find_disk(&document, path).ok_or_else(|| {
        invalid_arg(Origin::Qemu, format!("invalid path {path} not assigned to domain"))
    })?;
    let Some(source) = disk.path() else {
        let detail = format!("disk '{path}' does not currently have a source assigned");
        return Err(invalid_arg(Origin::Qemu, detail));
    };
    let stat = |error: std::io::Error| {
        Error::io(Origin::Qemu, &error, format!("cannot stat file '{source}'"))
    };
    let monitor = guest.read(|data| data.live.as_ref().map(|live| Arc::clone(&live.monitor)));
    let size = match &monitor {
        // Its emulator knows nothing of the files behind the socket.
        _ if vdisk::is_vdisk(disk) => None,
        Some(monitor) => stats::one_disk(call, monitor, disk)?.1,
        None => None,
    };
    let file = std::fs::metadata(source).map_err(stat)?;
    Ok(match size {
        // A driver that has written nothing yet stands for what the file takes up.
        Some(size) => DomainBlockInfo {
            allocation: if size.allocation == 0 { size.physical } else { size.allocation },
            capacity: size.capacity,
            physical: file.size(),
        },
        None => {
            let size = stats::stored_size(disk).map_err(stat)?;
            let stats::Size { allocation, capacity, physical } = size;
            DomainBlockInfo { allocation, capacity, physical }
        }
    })
}

/// The counters of one disk of a running guest, or of all its disks together.
pub(crate) fn counters(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    path: &str,
) -> Result<Counters> {
    let guest = core.guests.find(dom)?;
    let (document, monitor) = guest.read(live)?;
    if path.is_empty() {
        return stats::all_disks(call, &monitor, &document);
    }
    let disk = find_disk(&document, path)
        .ok_or_else(|| invalid_arg(Origin::Qemu, format!("invalid path: {path}")))?;
    Ok(stats::one_disk(call, &monitor, disk)?.0)
}

/// `virDomainGetDiskErrors`: a limit of 0 asks how many there could be.
pub(crate) fn errors(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    max: u32,
) -> Result<DomainGetDiskErrors> {
    let guest = core.guests.find(dom)?;
    let (document, monitor) = guest.read(live)?;
    let count = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
    if max == 0 {
        let nerrors = count(document.devices.disks.len());
        return Ok(DomainGetDiskErrors { errors: Vec::new(), nerrors });
    }
    let mut errors = stats::disk_errors(call, &monitor, &document)?;
    errors.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    Ok(DomainGetDiskErrors { nerrors: count(errors.len()), errors })
}

/// What a running guest is asked by, and the definition it runs with.
fn live(data: &Data) -> Result<(Arc<Document>, Arc<Monitor>)> {
    let live = data.running()?;
    Ok((Arc::clone(&live.document), Arc::clone(&live.monitor)))
}

/// Counters as typed parameters.
pub(crate) fn params(counters: &Counters) -> Vec<TypedParam> {
    let each = NAMES.iter().filter_map(|(ours, public)| {
        let (_, value) = counters.iter().find(|(known, _)| known == ours)?;
        Some(TypedParam::new(*public, i64::try_from(*value).ok()?))
    });
    each.collect()
}

/// `virDomainInterfaceStats`: only interfaces with a device on the host are counted there.
pub(crate) fn interface(
    core: &Core,
    dom: &DomainRef,
    device: &str,
) -> Result<DomainInterfaceStats> {
    let guest = core.guests.find(dom)?;
    let document = guest.read(|data| data.running().map(|live| Arc::clone(&live.document)))?;
    let named = |interface: &virt_model::domain::interface::Interface| {
        let mac = interface.mac.as_ref().map(|mac| mac.address.to_string());
        mac.is_some_and(|mac| mac.eq_ignore_ascii_case(device))
    };
    if document.devices.interfaces.iter().any(named) {
        return Err(Error::internal(Origin::None, "Interface name not provided"));
    }
    Err(invalid_arg(Origin::Domain, format!("'{device}' is not a known interface")))
}
