//! Figures about guests: read from `/proc` where they are there, and asked of QEMU in one question.
//!
//! No job is taken: the figures of a guest can be had while something else is done to it. Many
//! guests are asked before any is waited for, and none is waited for longer than all are.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use virt_driver::{Call, domain_matches};
use virt_error::Result;
use virt_host::{Process, thread_times};
use virt_model::domain::Domain as Document;
use virt_model::domain::disk::Disk;
use virt_types::{
    DomainDiskError, DomainMemoryStat, DomainRef, DomainStatsRecord, TypedParam, api,
};

use crate::core::{Core, MONITOR_WAIT_MAX, monitor_error};
use crate::guest::Guest;
use crate::monitor::{Command, Monitor, Replies, Sent};
use crate::{argv, image, vdisk};

/// Limit: how long the figures of many guests may be waited for, all together.
const BULK_WAIT_MAX: Duration = Duration::from_secs(1);

/// All kinds of figures, which 0 stands for.
pub(crate) const ALL: u32 = 0x7ff;

/// A guest at one moment.
struct Moment {
    id: i32,
    state: i32,
    reason: i32,
    document: Option<Arc<Document>>,
    running: Option<Running>,
}

struct Running {
    pid: u32,
    vcpu_threads: Vec<u32>,
    balloon_kib: u64,
    monitor: Arc<Monitor>,
}

fn moment(core: &Core, guest: &Guest) -> Moment {
    let mut moment = guest.read(|data| Moment {
        id: data.id(),
        state: data.state,
        reason: data.reason,
        document: data.live.as_ref().map(|live| Arc::clone(&live.document)),
        running: data.live.as_ref().map(|live| Running {
            pid: live.process.pid(),
            vcpu_threads: live.vcpu_threads.clone(),
            balloon_kib: live.balloon_kib,
            monitor: Arc::clone(&live.monitor),
        }),
    });
    if moment.document.is_none() {
        // A definition that cannot be read has no figures.
        moment.document = core.guests.stored(guest).ok().flatten();
    }
    moment
}

/// The one question to a guest: what it needs to hold for these kinds of figures.
fn question(document: &Document, kinds: u32) -> Vec<Command> {
    let mut commands = Vec::new();
    if kinds & api::DOMAIN_STATS_BALLOON != 0
        && let Some(alias) = balloon_alias(document)
    {
        commands.push(guest_stats(alias));
    }
    if kinds & api::DOMAIN_STATS_BLOCK != 0 && !document.devices.disks.is_empty() {
        commands.push(Command::new("query-blockstats"));
        commands.push(Command::with("query-named-block-nodes", json!({ "flat": true })));
    }
    commands
}

fn balloon_alias(document: &Document) -> Option<&str> {
    document.devices.memballoon.as_ref()?.info.alias.as_deref()
}

fn guest_stats(alias: &str) -> Command {
    let path = format!("/machine/peripheral/{alias}");
    Command::with("qom-get", json!({ "path": path, "property": "guest-stats" }))
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
    bulk(core, call, &guests, kinds)
}

/// The same for these guests.
fn bulk(core: &Core, call: &Call<'_>, guests: &[Arc<Guest>], kinds: u32) -> Vec<DomainStatsRecord> {
    let kinds = if kinds == 0 { ALL } else { kinds };
    let deadline = Instant::now() + BULK_WAIT_MAX;
    let asked: Vec<(Moment, Vec<&'static str>, Option<Sent>)> = guests
        .iter()
        .map(|guest| {
            let moment = moment(core, guest);
            let commands = match &moment.document {
                Some(document) if moment.running.is_some() => question(document, kinds),
                _ => Vec::new(),
            };
            // A full pipe belongs to a guest that does not read: it is not waited for.
            let sent = moment.running.as_ref().filter(|_| !commands.is_empty());
            let sent =
                sent.and_then(|running| running.monitor.send(&commands, Instant::now()).ok());
            (moment, commands.iter().map(|command| command.name).collect(), sent)
        })
        .collect();
    call.waiting(|| {
        let each = guests.iter().zip(asked).map(|(guest, (moment, names, sent))| {
            let replies = match (&moment.running, sent) {
                (Some(running), Some(sent)) => running.monitor.collect(sent, deadline).ok(),
                _ => None,
            };
            let params = figures(&moment, kinds, &Answers { names, replies });
            DomainStatsRecord { dom: guest.ref_with(moment.id), params }
        });
        each.collect()
    })
}

/// What a guest answered, by command.
struct Answers {
    names: Vec<&'static str>,
    replies: Option<Replies>,
}

impl Answers {
    fn of(&self, name: &str) -> Option<&Value> {
        let at = self.names.iter().position(|known| *known == name)?;
        self.replies.as_ref()?.get(at)?.as_ref().ok()
    }
}

fn figures(moment: &Moment, kinds: u32, answers: &Answers) -> Vec<TypedParam> {
    let mut out = Vec::new();
    if kinds & api::DOMAIN_STATS_STATE != 0 {
        out.push(TypedParam::new("state.state", moment.state));
        out.push(TypedParam::new("state.reason", moment.reason));
    }
    if kinds & api::DOMAIN_STATS_CPU_TOTAL != 0 {
        cpu(&mut out, moment);
    }
    let Some(document) = &moment.document else { return out };
    if kinds & api::DOMAIN_STATS_BALLOON != 0 {
        balloon(&mut out, moment, document, answers);
    }
    if kinds & api::DOMAIN_STATS_VCPU != 0 {
        vcpus(&mut out, moment, document);
    }
    if kinds & api::DOMAIN_STATS_INTERFACE != 0 && moment.running.is_some() {
        // Compat: interfaces without a device on the host are counted and have no figures.
        out.push(TypedParam::new("net.count", count(document.devices.interfaces.len())));
    }
    if kinds & api::DOMAIN_STATS_BLOCK != 0 {
        out.push(TypedParam::new("block.count", count(document.devices.disks.len())));
        for (at, disk) in document.devices.disks.iter().enumerate() {
            block(&mut out, at, disk, answers, moment.running.is_some());
        }
    }
    if kinds & api::DOMAIN_STATS_DIRTYRATE != 0 && moment.running.is_some() {
        out.push(TypedParam::new("dirtyrate.calc_status", 0_i32));
        out.push(TypedParam::new("dirtyrate.calc_start_time", 0_i64));
        out.push(TypedParam::new("dirtyrate.calc_period", 0_i32));
        out.push(TypedParam::new("dirtyrate.calc_mode", "page-sampling"));
    }
    out
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn cpu(out: &mut Vec<TypedParam>, moment: &Moment) {
    let Some(running) = &moment.running else { return };
    let Some(times) = Process(running.pid).times() else { return };
    out.push(TypedParam::new("cpu.time", times.user_ns.saturating_add(times.system_ns)));
    out.push(TypedParam::new("cpu.user", times.user_ns));
    out.push(TypedParam::new("cpu.system", times.system_ns));
    out.push(TypedParam::new("cpu.cache.monitor.count", 0_u32));
    out.push(TypedParam::new("cpu.haltpoll.success.time", 0_u64));
    out.push(TypedParam::new("cpu.haltpoll.fail.time", 0_u64));
}

/// The balloon's statistics: QEMU's name, the parameter's name, the tag, and whether in bytes.
const BALLOON: [(&str, &str, i32, bool); 10] = [
    ("stat-swap-in", "swap_in", api::DOMAIN_MEMORY_STAT_SWAP_IN, true),
    ("stat-swap-out", "swap_out", api::DOMAIN_MEMORY_STAT_SWAP_OUT, true),
    ("stat-major-faults", "major_fault", api::DOMAIN_MEMORY_STAT_MAJOR_FAULT, false),
    ("stat-minor-faults", "minor_fault", api::DOMAIN_MEMORY_STAT_MINOR_FAULT, false),
    ("stat-free-memory", "unused", api::DOMAIN_MEMORY_STAT_UNUSED, true),
    ("stat-total-memory", "available", api::DOMAIN_MEMORY_STAT_AVAILABLE, true),
    ("stat-available-memory", "usable", api::DOMAIN_MEMORY_STAT_USABLE, true),
    ("stat-disk-caches", "disk_caches", api::DOMAIN_MEMORY_STAT_DISK_CACHES, true),
    ("stat-htlb-pgalloc", "hugetlb_pgalloc", api::DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC, false),
    ("stat-htlb-pgfail", "hugetlb_pgfail", api::DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL, false),
];

/// Each known statistic of an answer: parameter, tag, value.
fn guest_memory(answer: &Value) -> Vec<(&'static str, i32, u64)> {
    let stats = answer.get("stats");
    let each = BALLOON.iter().filter_map(|(theirs, ours, tag, bytes)| {
        // A figure that the guest does not know is all ones.
        let value = stats?.get(theirs)?.as_u64().filter(|value| *value != u64::MAX)?;
        Some((*ours, *tag, if *bytes { value / 1024 } else { value }))
    });
    each.collect()
}

fn last_update(answer: Option<&Value>) -> u64 {
    let seconds = answer.and_then(|answer| answer.get("last-update")).and_then(Value::as_i64);
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0)
}

fn balloon(out: &mut Vec<TypedParam>, moment: &Moment, document: &Document, answers: &Answers) {
    let running = moment.running.as_ref();
    let current_kib = running.map_or(document.current_memory_kib(), |running| running.balloon_kib);
    out.push(TypedParam::new("balloon.current", current_kib));
    out.push(TypedParam::new("balloon.maximum", document.memory.kib));
    let Some(running) = running else { return };
    if balloon_alias(document).is_some() {
        let answer = answers.of("qom-get");
        for (name, _, value) in answer.map(guest_memory).unwrap_or_default() {
            out.push(TypedParam::new(format!("balloon.{name}"), value));
        }
        out.push(TypedParam::new("balloon.last-update", last_update(answer)));
    }
    if let Some(kib) = Process(running.pid).resident_kib() {
        out.push(TypedParam::new("balloon.rss", kib));
    }
}

fn vcpus(out: &mut Vec<TypedParam>, moment: &Moment, document: &Document) {
    let all = document.vcpu.count;
    out.push(TypedParam::new("vcpu.current", document.vcpu.current.unwrap_or(all)));
    out.push(TypedParam::new("vcpu.maximum", all));
    let Some(running) = &moment.running else { return };
    for (at, thread) in running.vcpu_threads.iter().enumerate() {
        let Some(times) = thread_times(running.pid, *thread) else { continue };
        out.push(TypedParam::new(format!("vcpu.{at}.state"), api::VCPU_RUNNING));
        let time = times.user_ns.saturating_add(times.system_ns);
        out.push(TypedParam::new(format!("vcpu.{at}.time"), time));
        out.push(TypedParam::new(format!("vcpu.{at}.wait"), 0_u64));
        out.push(TypedParam::new(format!("vcpu.{at}.delay"), times.delay_ns));
    }
}

/// A disk's counters: QEMU's name and the parameter's.
const BLOCK: [(&str, &str); 8] = [
    ("rd_operations", "rd.reqs"),
    ("rd_bytes", "rd.bytes"),
    ("rd_total_time_ns", "rd.times"),
    ("wr_operations", "wr.reqs"),
    ("wr_bytes", "wr.bytes"),
    ("wr_total_time_ns", "wr.times"),
    ("flush_operations", "fl.reqs"),
    ("flush_total_time_ns", "fl.times"),
];

fn block(out: &mut Vec<TypedParam>, at: usize, disk: &Disk, answers: &Answers, running: bool) {
    out.push(TypedParam::new(format!("block.{at}.name"), disk.target.dev.as_str()));
    if let Some(path) = disk.path() {
        out.push(TypedParam::new(format!("block.{at}.path"), path));
    }
    if let Some(index) = disk.source.as_ref().and_then(|source| source.index) {
        out.push(TypedParam::new(format!("block.{at}.backingIndex"), index));
    }
    if let Some(stats) = answers.of("query-blockstats").and_then(|all| device_stats(all, disk)) {
        for (theirs, ours) in BLOCK {
            if let Some(value) = stats.get(theirs).and_then(Value::as_u64) {
                out.push(TypedParam::new(format!("block.{at}.{ours}"), value));
            }
        }
    }
    let size = match running {
        true => size_of(disk, answers),
        false => stored_size(disk).ok(),
    };
    if let Some(size) = size {
        out.push(TypedParam::new(format!("block.{at}.allocation"), size.allocation));
        out.push(TypedParam::new(format!("block.{at}.capacity"), size.capacity));
        out.push(TypedParam::new(format!("block.{at}.physical"), size.physical));
    }
}

/// A disk's own entry among the statistics of all.
fn device_stats<'a>(all: &'a Value, disk: &Disk) -> Option<&'a Value> {
    device_entry(all, disk)?.get("stats")
}

fn device_entry<'a>(all: &'a Value, disk: &Disk) -> Option<&'a Value> {
    let alias = disk.info.alias.as_deref()?;
    all.as_array()?.iter().find(|entry| {
        let qdev = entry.get("qdev").and_then(Value::as_str).unwrap_or_default();
        qdev.split('/').any(|part| part == alias)
    })
}

/// A disk's counters by the names of [`BLOCK`].
pub(crate) type Counters = Vec<(&'static str, u64)>;

/// The size of a disk as the guest sees it and as the host stores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) allocation: u64,
    pub(crate) capacity: u64,
    pub(crate) physical: u64,
}

fn size_of(disk: &Disk, answers: &Answers) -> Option<Size> {
    let node = argv::node_name(disk)?;
    let nodes = answers.of("query-named-block-nodes")?.as_array()?;
    let named = |entry: &&Value| entry.get("node-name").and_then(Value::as_str) == Some(&node);
    let image = nodes.iter().find(named)?.get("image")?;
    let written = answers.of("query-blockstats").and_then(|all| device_stats(all, disk));
    let written = written.and_then(|stats| stats.get("wr_highest_offset")).and_then(Value::as_u64);
    let capacity = image.get("virtual-size").and_then(Value::as_u64)?;
    let physical = image.get("actual-size").and_then(Value::as_u64).unwrap_or(capacity);
    Some(Size { allocation: written.unwrap_or(0), capacity, physical })
}

/// The size of a disk that no guest uses.
pub(crate) fn stored_size(disk: &Disk) -> std::io::Result<Size> {
    let path = Path::new(disk.path().unwrap_or_default());
    if vdisk::is_vdisk(disk) && path.is_dir() {
        let (capacity, taken) = vdisk::sizes(path)?;
        return Ok(Size { allocation: taken, capacity, physical: taken });
    }
    let file = std::fs::metadata(path)?;
    let capacity = match disk.format() {
        Some("qcow2") => image::qcow2(path)?.capacity_bytes,
        _ => file.size(),
    };
    let allocation = file.blocks().saturating_mul(512);
    Ok(Size { allocation, capacity, physical: file.size() })
}

/// Counters and size of one disk of a running guest.
pub(crate) fn one_disk(
    call: &Call<'_>,
    monitor: &Monitor,
    disk: &Disk,
) -> Result<(Counters, Option<Size>)> {
    let answers = ask_disks(call, monitor)?;
    Ok((counters_of(disk, &answers), size_of(disk, &answers)))
}

/// The counters of all disks together.
pub(crate) fn all_disks(
    call: &Call<'_>,
    monitor: &Monitor,
    document: &Document,
) -> Result<Counters> {
    let answers = ask_disks(call, monitor)?;
    let mut sums: Counters = BLOCK.iter().map(|(_, ours)| (*ours, 0)).collect();
    for disk in &document.devices.disks {
        for (name, value) in counters_of(disk, &answers) {
            let sum = sums.iter_mut().find(|(known, _)| *known == name);
            sum.into_iter().for_each(|(_, sum)| *sum = sum.saturating_add(value));
        }
    }
    Ok(sums)
}

fn ask_disks(call: &Call<'_>, monitor: &Monitor) -> Result<Answers> {
    let commands = [
        Command::new("query-blockstats"),
        Command::with("query-named-block-nodes", json!({ "flat": true })),
    ];
    let replies = call.waiting(|| monitor.run_all(&commands, MONITOR_WAIT_MAX));
    let replies = Some(replies.map_err(|error| monitor_error(&error))?);
    Ok(Answers { names: commands.iter().map(|command| command.name).collect(), replies })
}

/// The disks that QEMU could not read or write.
pub(crate) fn disk_errors(
    call: &Call<'_>,
    monitor: &Monitor,
    document: &Document,
) -> Result<Vec<DomainDiskError>> {
    let answer = call.waiting(|| monitor.run(Command::new("query-block"), MONITOR_WAIT_MAX));
    let answer = answer.map_err(|error| monitor_error(&error))?;
    let each = document.devices.disks.iter().filter_map(|disk| {
        let error = match device_entry(&answer, disk)?.get("io-status")?.as_str()? {
            "failed" => api::DOMAIN_DISK_ERROR_UNSPEC,
            "nospace" => api::DOMAIN_DISK_ERROR_NO_SPACE,
            _ => return None,
        };
        Some(DomainDiskError { disk: disk.target.dev.clone(), error })
    });
    Ok(each.collect())
}

fn counters_of(disk: &Disk, answers: &Answers) -> Counters {
    let stats = answers.of("query-blockstats").and_then(|all| device_stats(all, disk));
    let each =
        BLOCK.iter().filter_map(|(theirs, ours)| Some((*ours, stats?.get(theirs)?.as_u64()?)));
    each.collect()
}

/// `virDomainMemoryStats` of a running guest.
pub(crate) fn memory(
    call: &Call<'_>,
    document: &Document,
    monitor: &Monitor,
    balloon_kib: u64,
    pid: u32,
) -> Result<Vec<DomainMemoryStat>> {
    let stat = |tag: i32, val: u64| DomainMemoryStat { tag, val };
    let mut out = vec![stat(api::DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, balloon_kib)];
    if let Some(alias) = balloon_alias(document) {
        let answer = call.waiting(|| monitor.run(guest_stats(alias), MONITOR_WAIT_MAX));
        let answer = answer.map_err(|error| monitor_error(&error))?;
        out.extend(guest_memory(&answer).into_iter().map(|(_, tag, value)| stat(tag, value)));
        out.push(stat(api::DOMAIN_MEMORY_STAT_LAST_UPDATE, last_update(Some(&answer))));
    }
    if let Some(kib) = Process(pid).resident_kib() {
        out.push(stat(api::DOMAIN_MEMORY_STAT_RSS, kib));
    }
    Ok(out)
}
