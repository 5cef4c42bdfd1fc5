//! Figures about guests: from `/proc`, from control groups, and from the balloon's driver in a guest.
//!
//! No job is taken. A guest whose figures do not come in time is not asked for a while: the tool's one
//! thread hangs in the question until the guest answers.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virt_driver::{Call, Job, domain_matches};
use virt_error::Result;
use virt_host::{Process, thread_times};
use virt_model::domain::Domain as Document;
use virt_model::domain::disk::Disk;
use virt_types::{
    DomainBlockInfo, DomainInterfaceStats, DomainMemoryStat, DomainRef, DomainStatsRecord,
    TypedParam, api,
};

use crate::core::{Core, Domain};
use crate::ipc::{Ipc, Stat};
use crate::{ORIGIN, argv, invalid_arg, vcpus};

/// How long a guest that did not tell its figures is not asked again.
const SILENCE: Duration = Duration::from_secs(30);

/// Limit: how long the balloons of many guests are asked in one call; those that are left show what
/// is known without.
const BULK_WAIT_MAX: Duration = Duration::from_secs(1);

/// All kinds of figures, which 0 stands for.
pub(crate) const ALL: u32 = 0x7ff;

/// The tag of all the memory that a guest's kernel has.
const TOTAL: u16 = 5;

/// The balloon's statistics by tag: the parameter's name, the public tag, and whether in bytes.
const BALLOON: [(u16, &str, i32, bool); 10] = [
    (0, "swap_in", api::DOMAIN_MEMORY_STAT_SWAP_IN, true),
    (1, "swap_out", api::DOMAIN_MEMORY_STAT_SWAP_OUT, true),
    (2, "major_fault", api::DOMAIN_MEMORY_STAT_MAJOR_FAULT, false),
    (3, "minor_fault", api::DOMAIN_MEMORY_STAT_MINOR_FAULT, false),
    (4, "unused", api::DOMAIN_MEMORY_STAT_UNUSED, true),
    (TOTAL, "available", api::DOMAIN_MEMORY_STAT_AVAILABLE, true),
    (6, "usable", api::DOMAIN_MEMORY_STAT_USABLE, true),
    (7, "disk_caches", api::DOMAIN_MEMORY_STAT_DISK_CACHES, true),
    (8, "hugetlb_pgalloc", api::DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC, false),
    (9, "hugetlb_pgfail", api::DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL, false),
];

/// What the balloon's driver in a guest says; nothing of a guest that has none, is paused, or is
/// silent.
fn ask(guest: &Domain) -> Vec<Stat> {
    let ipc = guest.read(|data| {
        let live = data.live.as_ref()?;
        let silent = live.silent_until.is_some_and(|until| until > Instant::now());
        let asked = argv::has_balloon(&live.document) && !silent;
        (asked && data.state == api::DOMAIN_RUNNING).then(|| live.ipc.clone())
    });
    let Some(ipc) = ipc else { return Vec::new() };
    // A guest must not be paused while it is asked; whoever changes it now is not held up.
    let Ok(mut turn) = guest.cell.begin(Job::Query, "virDomainMemoryStats", Duration::ZERO) else {
        return Vec::new();
    };
    if turn.read(|data| data.state != api::DOMAIN_RUNNING) {
        return Vec::new();
    }
    match Ipc::stats(&ipc) {
        Ok(stats) => stats,
        Err(error) => {
            virt_log::info!("kvmtool", "no figures of '{}': {error}", guest.name);
            let until = Instant::now().checked_add(SILENCE);
            turn.change(|data| data.live.iter_mut().for_each(|live| live.silent_until = until));
            Vec::new()
        }
    }
}

/// Each known statistic: parameter, tag, value.
fn known(stats: &[Stat]) -> Vec<(&'static str, i32, u64)> {
    let each = stats.iter().filter_map(|stat| {
        let (_, name, tag, bytes) = BALLOON.iter().find(|(tag, _, _, _)| *tag == stat.tag)?;
        Some((*name, *tag, if *bytes { stat.value / 1024 } else { stat.value }))
    });
    each.collect()
}

/// What a guest has now: what its kernel says or, where it does not, what the balloon was told.
fn actual_kib(stats: &[Stat], balloon_kib: u64) -> u64 {
    let total = stats.iter().find(|stat| stat.tag == TOTAL).map(|stat| stat.value / 1024);
    total.filter(|kib| *kib > 0).unwrap_or(balloon_kib)
}

/// The memory of a running guest for `virDomainGetInfo`.
pub(crate) fn memory_kib(call: &Call<'_>, guest: &Domain) -> Option<u64> {
    let balloon_kib = guest.read(|data| data.live.as_ref().map(|live| live.balloon_kib))?;
    let stats = call.waiting(|| ask(guest));
    Some(actual_kib(&stats, balloon_kib))
}

/// `virDomainMemoryStats`.
pub(crate) fn memory(
    call: &Call<'_>,
    core: &Core,
    dom: &DomainRef,
) -> Result<Vec<DomainMemoryStat>> {
    let guest = core.guests.find(dom)?;
    let (balloon_kib, pid) = guest.live(|live| (live.balloon_kib, live.process.pid()))?;
    let stats = call.waiting(|| ask(&guest));
    let stat = |tag: i32, val: u64| DomainMemoryStat { tag, val };
    let actual = actual_kib(&stats, balloon_kib);
    let mut out = vec![stat(api::DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, actual)];
    out.extend(known(&stats).into_iter().map(|(_, tag, value)| stat(tag, value)));
    if let Some(kib) = Process(pid).resident_kib() {
        out.push(stat(api::DOMAIN_MEMORY_STAT_RSS, kib));
    }
    Ok(out)
}

/// CPU time of a guest: of its group or, without one, of its process.
pub(crate) fn cpu_ns(guest: &Domain) -> u64 {
    let found =
        guest.read(|data| data.live.as_ref().map(|live| (live.limits.clone(), live.process.pid())));
    let Some((limits, pid)) = found else { return 0 };
    limits.cpu_ns().unwrap_or_else(|| {
        let times = Process(pid).times().unwrap_or_default();
        times.user_ns.saturating_add(times.system_ns)
    })
}

/// `virConnectGetAllDomainStats`: of these domains, or of all.
pub(crate) fn all(
    core: &Core,
    call: &Call<'_>,
    doms: &[DomainRef],
    kinds: u32,
    filters: u32,
) -> Vec<DomainStatsRecord> {
    let mut guests = match doms {
        [] => core.guests.all(),
        some => some.iter().filter_map(|dom| core.guests.find(dom).ok()).collect(),
    };
    guests.retain(|guest| guest.read(|data| !data.gone && domain_matches(filters, &data.facts())));
    let since = Instant::now();
    let one = |guest: &Arc<Domain>| {
        let wanted = kinds & api::DOMAIN_STATS_BALLOON != 0 && since.elapsed() < BULK_WAIT_MAX;
        let stats = if wanted { ask(guest) } else { Vec::new() };
        let params = figures(core, guest, kinds, &stats);
        DomainStatsRecord { dom: guest.to_ref(), params }
    };
    call.waiting(|| guests.iter().map(one).collect())
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn figures(core: &Core, guest: &Domain, kinds: u32, stats: &[Stat]) -> Vec<TypedParam> {
    let mut out = Vec::new();
    let (state, reason, live) = guest.read(|data| {
        let live = data.live.as_ref().map(|live| (live.process.pid(), live.balloon_kib));
        (data.state, data.reason, live)
    });
    if kinds & api::DOMAIN_STATS_STATE != 0 {
        out.push(TypedParam::new("state.state", state));
        out.push(TypedParam::new("state.reason", reason));
    }
    if kinds & api::DOMAIN_STATS_CPU_TOTAL != 0
        && let Some((pid, _)) = live
    {
        let times = Process(pid).times().unwrap_or_default();
        out.push(TypedParam::new("cpu.time", cpu_ns(guest)));
        out.push(TypedParam::new("cpu.user", times.user_ns));
        out.push(TypedParam::new("cpu.system", times.system_ns));
    }
    // A definition that cannot be read has no figures.
    let Ok(document) = core.guests.current(guest) else { return out };
    if kinds & api::DOMAIN_STATS_BALLOON != 0 {
        let target = live.map_or(document.current_memory_kib(), |(_, kib)| kib);
        out.push(TypedParam::new("balloon.current", actual_kib(stats, target)));
        out.push(TypedParam::new("balloon.maximum", document.memory.kib));
        for (name, _, value) in known(stats) {
            out.push(TypedParam::new(format!("balloon.{name}"), value));
        }
        if let Some(kib) = live.and_then(|(pid, _)| Process(pid).resident_kib()) {
            out.push(TypedParam::new("balloon.rss", kib));
        }
    }
    if kinds & api::DOMAIN_STATS_VCPU != 0 {
        processors(&mut out, &document, live.map(|(pid, _)| pid));
    }
    if kinds & api::DOMAIN_STATS_INTERFACE != 0 && live.is_some() {
        interfaces(&mut out, &document);
    }
    if kinds & api::DOMAIN_STATS_BLOCK != 0 {
        out.push(TypedParam::new("block.count", count(document.devices.disks.len())));
        for (at, disk) in document.devices.disks.iter().enumerate() {
            block(&mut out, at, disk);
        }
    }
    out
}

fn processors(out: &mut Vec<TypedParam>, document: &Document, pid: Option<u32>) {
    out.push(TypedParam::new("vcpu.current", document.vcpu.count));
    out.push(TypedParam::new("vcpu.maximum", document.vcpu.count));
    let Some(pid) = pid else { return };
    for (at, thread) in vcpus::threads(pid).into_iter().enumerate() {
        let Some(times) = thread_times(pid, thread) else { continue };
        out.push(TypedParam::new(format!("vcpu.{at}.state"), api::VCPU_RUNNING));
        let time = times.user_ns.saturating_add(times.system_ns);
        out.push(TypedParam::new(format!("vcpu.{at}.time"), time));
        out.push(TypedParam::new(format!("vcpu.{at}.wait"), 0_u64));
        out.push(TypedParam::new(format!("vcpu.{at}.delay"), times.delay_ns));
    }
}

/// A device's counters on the host, which are the guest's the other way round.
struct Counters(std::path::PathBuf);

impl Counters {
    fn of(device: &str) -> Option<Self> {
        let dir = std::path::Path::new("/sys/class/net").join(device).join("statistics");
        (!device.is_empty() && !device.contains('/') && dir.is_dir()).then_some(Self(dir))
    }

    fn get(&self, name: &str) -> i64 {
        let text = std::fs::read_to_string(self.0.join(name)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}

/// The public names, and the device's: what it receives on the host the guest has sent.
const NET: [(&str, &str); 8] = [
    ("rx.bytes", "tx_bytes"),
    ("rx.pkts", "tx_packets"),
    ("rx.errs", "tx_errors"),
    ("rx.drop", "tx_dropped"),
    ("tx.bytes", "rx_bytes"),
    ("tx.pkts", "rx_packets"),
    ("tx.errs", "rx_errors"),
    ("tx.drop", "rx_dropped"),
];

fn interfaces(out: &mut Vec<TypedParam>, document: &Document) {
    out.push(TypedParam::new("net.count", count(document.devices.interfaces.len())));
    for (at, interface) in document.devices.interfaces.iter().enumerate() {
        let device = interface.target_dev().unwrap_or_default();
        let Some(counters) = Counters::of(device) else { continue };
        out.push(TypedParam::new(format!("net.{at}.name"), device));
        for (ours, theirs) in NET {
            let value = u64::try_from(counters.get(theirs)).unwrap_or(0);
            out.push(TypedParam::new(format!("net.{at}.{ours}"), value));
        }
    }
}

/// `virDomainInterfaceStats`, of an interface by its device or its address.
pub(crate) fn interface(document: &Document, name: &str) -> Result<DomainInterfaceStats> {
    let found = document.devices.interfaces.iter().find(|interface| {
        let mac = interface.mac.as_ref().map(|mac| mac.address.to_string());
        interface.target_dev() == Some(name)
            || mac.is_some_and(|mac| mac.eq_ignore_ascii_case(name))
    });
    let unknown = || invalid_arg(format!("'{name}' is not a known interface"));
    let device = found.ok_or_else(unknown)?.target_dev().unwrap_or_default();
    let counters = Counters::of(device).ok_or_else(|| {
        virt_error::Error::internal(ORIGIN, "the interface has no device on the host")
    })?;
    Ok(DomainInterfaceStats {
        rx_bytes: counters.get("tx_bytes"),
        rx_packets: counters.get("tx_packets"),
        rx_errs: counters.get("tx_errors"),
        rx_drop: counters.get("tx_dropped"),
        tx_bytes: counters.get("rx_bytes"),
        tx_packets: counters.get("rx_packets"),
        tx_errs: counters.get("rx_errors"),
        tx_drop: counters.get("rx_dropped"),
    })
}

/// Size of a disk: capacity, allocation, physical. A block device says its size at its end.
fn size(path: &str) -> std::io::Result<DomainBlockInfo> {
    use std::io::{Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let data = file.metadata()?;
    let length = file.seek(SeekFrom::End(0))?;
    let allocated = if data.is_file() { data.blocks().saturating_mul(512) } else { length };
    Ok(DomainBlockInfo { allocation: allocated, capacity: length, physical: length })
}

fn block(out: &mut Vec<TypedParam>, at: usize, disk: &Disk) {
    out.push(TypedParam::new(format!("block.{at}.name"), disk.target.dev.as_str()));
    let path = disk.path().unwrap_or_default();
    out.push(TypedParam::new(format!("block.{at}.path"), path));
    if let Ok(size) = size(path) {
        out.push(TypedParam::new(format!("block.{at}.allocation"), size.allocation));
        out.push(TypedParam::new(format!("block.{at}.capacity"), size.capacity));
        out.push(TypedParam::new(format!("block.{at}.physical"), size.physical));
    }
}

/// `virDomainGetBlockInfo`.
pub(crate) fn block_info(document: &Document, path: &str) -> Result<DomainBlockInfo> {
    let named = |disk: &&Disk| disk.target.dev == path || disk.path() == Some(path);
    let disk = document.devices.disks.iter().find(named);
    let unknown = || invalid_arg(format!("invalid path {path} not assigned to domain"));
    let source = disk.ok_or_else(unknown)?.path().unwrap_or_default();
    size(source).map_err(|error| {
        virt_error::Error::io(ORIGIN, &error, format!("cannot stat file '{source}'"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_kib_and_what_the_guest_says_counts() {
        let stats = [Stat { tag: TOTAL, value: 48 << 20 }, Stat { tag: 3, value: 7 }];
        let minor = api::DOMAIN_MEMORY_STAT_MINOR_FAULT;
        let all = api::DOMAIN_MEMORY_STAT_AVAILABLE;
        assert_eq!(known(&stats), [("available", all, 48 << 10), ("minor_fault", minor, 7)]);
        assert_eq!(actual_kib(&stats, 1), 48 << 10);
        assert_eq!(actual_kib(&[], 65_536), 65_536);
    }
}
