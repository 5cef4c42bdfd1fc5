//! Limits of a guest, by control groups of version 1 or 2, each controller where the host has it.
//!
//! ```text
//!   machine/kvmtool-ID-NAME.libvirt-kvmtool    the whole tool: shares, quota, memory, disks
//!      └── vcpuN                               one virtual CPU's thread: its quota
//! ```
//!
//! A user's own daemon has no right to groups, nor may a host have any: then a document without limits
//! runs without, and one with limits is refused.

use std::path::Path;

use virt_driver::{Call, Job};
use virt_error::Result;
use virt_host::{Cgroups, Group, Version};
use virt_model::domain::Domain as Document;
use virt_model::domain::memory::Memtune;
use virt_model::domain::tune::Blkiotune;
use virt_types::{DomainGetCpuStats, DomainRef, TypedParam, TypedValue, api};

use crate::core::Core;
use crate::{host_error, invalid_arg, invalid_operation, vcpus};

const CONTROLLERS: [&str; 4] = ["cpu", "cpuacct", "memory", "blkio"];

/// What the public API calls memory without a limit.
const UNLIMITED_KIB: u64 = 9_007_199_254_740_991;

/// From here on the kernel means no limit: version 1 counts in pages, of up to 64 KiB.
const KERNEL_MOST_KIB: u64 = UNLIMITED_KIB - 64;

/// The period of a quota that names none.
const PERIOD_US: u64 = 100_000;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Shares,
    /// Of each virtual CPU.
    Period,
    Quota,
    /// Of the whole tool.
    GlobalPeriod,
    GlobalQuota,
    Hard,
    Soft,
    Swap,
    Weight,
}

use Limit::{GlobalPeriod, GlobalQuota, Hard, Period, Quota, Shares, Soft, Swap, Weight};

/// Compat: the names of the public API, in its order.
const SCHEDULER: [(Limit, &str); 5] = [
    (Shares, "cpu_shares"),
    (Period, "vcpu_period"),
    (Quota, "vcpu_quota"),
    (GlobalPeriod, "global_period"),
    (GlobalQuota, "global_quota"),
];
const MEMORY: [(Limit, &str); 3] =
    [(Hard, "hard_limit"), (Soft, "soft_limit"), (Swap, "swap_hard_limit")];
const BLKIO: [(Limit, &str); 1] = [(Weight, "weight")];

/// The kinds of parameters that are asked for and set together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Scheduler,
    Memory,
    Blkio,
}

impl Kind {
    fn all(self) -> &'static [(Limit, &'static str)] {
        match self {
            Self::Scheduler => &SCHEDULER,
            Self::Memory => &MEMORY,
            Self::Blkio => &BLKIO,
        }
    }

    fn controller(self) -> &'static str {
        match self {
            Self::Scheduler => "cpu",
            Self::Memory => "memory",
            Self::Blkio => "blkio",
        }
    }
}

/// A limit's value in a document; nothing where it names none.
fn of_document(document: &Document, limit: Limit) -> Option<i64> {
    let signed = |value: u64| i64::try_from(value).ok();
    let (cpu, memory) = (&document.cputune, document.memtune.as_ref());
    match limit {
        Shares => signed(cpu.shares?),
        Period => signed(cpu.period_us?),
        Quota => cpu.quota_us,
        GlobalPeriod => signed(cpu.global_period_us?),
        GlobalQuota => cpu.global_quota_us,
        Hard => signed(memory?.hard_limit_kib?),
        Soft => signed(memory?.soft_limit_kib?),
        Swap => signed(memory?.swap_hard_limit_kib?),
        Weight => document.blkiotune.as_ref()?.weight.map(i64::from),
    }
}

fn put(document: &mut Document, limit: Limit, value: i64) {
    let unsigned = u64::try_from(value).ok();
    let limited = unsigned.filter(|kib| *kib < UNLIMITED_KIB);
    match limit {
        Shares => document.cputune.shares = unsigned,
        Period => document.cputune.period_us = unsigned,
        Quota => document.cputune.quota_us = Some(value),
        GlobalPeriod => document.cputune.global_period_us = unsigned,
        GlobalQuota => document.cputune.global_quota_us = Some(value),
        Hard => memtune(document).hard_limit_kib = limited,
        Soft => memtune(document).soft_limit_kib = limited,
        Swap => memtune(document).swap_hard_limit_kib = limited,
        Weight => {
            let tune = document.blkiotune.get_or_insert_with(Blkiotune::default);
            tune.weight = unsigned.and_then(|weight| u32::try_from(weight).ok());
        }
    }
}

fn memtune(document: &mut Document) -> &mut Memtune {
    document.memtune.get_or_insert_with(Memtune::default)
}

/// The groups of one guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    group: Group,
}

impl Limits {
    /// Those of a guest by its id and name, whether they are there or not.
    pub(crate) fn of(id: i32, name: &str) -> Self {
        Self::at(&virt_host::cgroups(), id, name)
    }

    fn at(cgroups: &Cgroups, id: i32, name: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let short: String = name.chars().take(20).map(plain).collect();
        let path = format!("machine/kvmtool-{id}-{short}.libvirt-kvmtool");
        Self { group: Group::at(cgroups, Path::new(&path), &CONTROLLERS) }
    }

    /// Makes the groups, moves a process that waits into them, and sets what its document says.
    pub(crate) fn enter(&self, pid: u32, document: &Document) -> Result<()> {
        let mut group = self.group.clone();
        group.make();
        if let Err(error) = group.add(pid) {
            group.remove();
            virt_log::debug!("kvmtool", "no control groups for '{}': {error}", document.name);
        }
        for kind in [Kind::Scheduler, Kind::Memory, Kind::Blkio] {
            for (limit, _) in kind.all().iter().filter(|(limit, _)| !of_vcpu(*limit)) {
                if let Some(value) = of_document(document, *limit) {
                    self.set(kind, *limit, value, pid)?;
                }
            }
        }
        Ok(())
    }

    /// Does to a guest's threads what its document says, now that they are there.
    pub(crate) fn apply(&self, pid: u32, document: &Document) -> Result<()> {
        vcpus::place(pid, document)?;
        for limit in [Period, Quota] {
            if let Some(value) = of_document(document, limit) {
                self.set(Kind::Scheduler, limit, value, pid)?;
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&self) {
        self.group.remove();
    }

    /// Sets one limit of a running guest.
    fn set(&self, kind: Kind, limit: Limit, value: i64, pid: u32) -> Result<()> {
        let controller = kind.controller();
        let Some((_, version)) = self.group.place(controller) else {
            return Err(invalid_operation(format!(
                "cgroup {} controller is not mounted",
                match kind {
                    Kind::Scheduler => "CPU",
                    Kind::Memory => "memory",
                    Kind::Blkio => "blkio",
                }
            )));
        };
        let groups = match of_vcpu(limit) {
            false => vec![self.group.clone()],
            true => self.vcpu_groups(pid)?,
        };
        for group in groups {
            let (file, text) = file(&group, limit, value, version);
            group.set(controller, file, &text).map_err(|error| host_error(&error))?;
        }
        Ok(())
    }

    /// Each virtual CPU's own group, made where it is not there.
    fn vcpu_groups(&self, pid: u32) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        for (at, thread) in vcpus::threads(pid).into_iter().enumerate() {
            let group = self.group.child("cpu", &format!("vcpu{at}"));
            group.make_for_thread(thread).map_err(|error| host_error(&error))?;
            groups.push(group);
        }
        Ok(groups)
    }

    /// One limit of a running guest, as the kernel has it.
    fn get(&self, kind: Kind, limit: Limit) -> Option<i64> {
        let first = self.group.child("cpu", "vcpu0");
        let group = if of_vcpu(limit) { &first } else { &self.group };
        let controller = kind.controller();
        let (_, version) = group.place(controller)?;
        let number = |file: &str| group.get(controller, file)?.parse::<i64>().ok();
        let kib = |file: &str| {
            let text = group.get(controller, file)?;
            let kib = text.parse::<u64>().unwrap_or(u64::MAX) / 1024;
            i64::try_from(if kib >= KERNEL_MOST_KIB { UNLIMITED_KIB } else { kib }).ok()
        };
        let two = || {
            let text = group.get("cpu", "cpu.max")?;
            let (quota, period) = text.split_once(' ')?;
            Some((quota.parse().unwrap_or(-1), period.parse::<i64>().ok()?))
        };
        match (limit, version) {
            (Shares, Version::V1) => number("cpu.shares"),
            (Shares, Version::V2) => number("cpu.weight"),
            (Period | GlobalPeriod, Version::V1) => number("cpu.cfs_period_us"),
            (Quota | GlobalQuota, Version::V1) => number("cpu.cfs_quota_us"),
            (Period | GlobalPeriod, Version::V2) => Some(two()?.1),
            (Quota | GlobalQuota, Version::V2) => Some(two()?.0),
            (Hard, Version::V1) => kib("memory.limit_in_bytes"),
            (Soft, Version::V1) => kib("memory.soft_limit_in_bytes"),
            (Swap, Version::V1) => kib("memory.memsw.limit_in_bytes"),
            (Hard, Version::V2) => kib("memory.max"),
            (Soft, Version::V2) => kib("memory.high"),
            (Swap, Version::V2) => kib("memory.swap.max"),
            (Weight, Version::V1) => number("blkio.weight").or_else(|| number("blkio.bfq.weight")),
            (Weight, Version::V2) => {
                let text = group.get(controller, "io.weight")?;
                text.split_whitespace().last()?.parse().ok()
            }
        }
    }

    /// The processor time of the guest's whole group, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        if let Some(text) = self.group.get("cpuacct", "cpuacct.usage") {
            return text.parse().ok();
        }
        let text = self.group.get("cpu", "cpu.stat")?;
        let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        used.parse::<u64>().ok()?.checked_mul(1000)
    }

    /// The same on each of the host's processors; only version 1 tells.
    fn cpu_ns_each(&self) -> Vec<u64> {
        let text = self.group.get("cpuacct", "cpuacct.usage_percpu").unwrap_or_default();
        text.split_whitespace().map_while(|number| number.parse().ok()).collect()
    }
}

fn of_vcpu(limit: Limit) -> bool {
    matches!(limit, Period | Quota)
}

/// The file of a limit, and what is written into it.
fn file(group: &Group, limit: Limit, value: i64, version: Version) -> (&'static str, String) {
    // Compat: 0 and more than there can be both mean no quota.
    let quota = |value: i64| if value <= 0 || value > 17_592_186_044_415 { -1 } else { value };
    let bytes = |none: &str| match u64::try_from(value) {
        Ok(kib) if kib < UNLIMITED_KIB => kib.saturating_mul(1024).to_string(),
        _ => none.to_owned(),
    };
    // Version 2 has quota and period in one file: the other one stays.
    let pair = |quota: Option<i64>, period: Option<i64>| {
        let old = group.get("cpu", "cpu.max").unwrap_or_default();
        let (old_quota, old_period) = old.split_once(' ').unwrap_or(("max", "100000"));
        let quota = quota.map_or_else(
            || old_quota.to_owned(),
            |quota| if quota < 0 { "max".into() } else { quota.to_string() },
        );
        format!("{quota} {}", period.map_or_else(|| old_period.to_owned(), |us| us.to_string()))
    };
    match (limit, version) {
        (Shares, Version::V1) => ("cpu.shares", value.to_string()),
        (Shares, Version::V2) => ("cpu.weight", value.to_string()),
        (Period | GlobalPeriod, Version::V1) => ("cpu.cfs_period_us", value.to_string()),
        (Quota | GlobalQuota, Version::V1) => ("cpu.cfs_quota_us", quota(value).to_string()),
        (Period | GlobalPeriod, Version::V2) => ("cpu.max", pair(None, Some(value))),
        (Quota | GlobalQuota, Version::V2) => ("cpu.max", pair(Some(quota(value)), None)),
        (Hard, Version::V1) => ("memory.limit_in_bytes", bytes("-1")),
        (Soft, Version::V1) => ("memory.soft_limit_in_bytes", bytes("-1")),
        (Swap, Version::V1) => ("memory.memsw.limit_in_bytes", bytes("-1")),
        (Hard, Version::V2) => ("memory.max", bytes("max")),
        (Soft, Version::V2) => ("memory.high", bytes("max")),
        (Swap, Version::V2) => ("memory.swap.max", bytes("max")),
        (Weight, Version::V1) if group.get("blkio", "blkio.weight").is_none() => {
            ("blkio.bfq.weight", value.to_string())
        }
        (Weight, Version::V1) => ("blkio.weight", value.to_string()),
        (Weight, Version::V2) => ("io.weight", value.to_string()),
    }
}

/// The default of a limit that nobody set.
fn usual(limit: Limit) -> i64 {
    match limit {
        Shares | Weight => 0,
        Period | GlobalPeriod => i64::try_from(PERIOD_US).unwrap_or(0),
        Quota | GlobalQuota => 0,
        Hard | Soft | Swap => i64::try_from(UNLIMITED_KIB).unwrap_or(i64::MAX),
    }
}

fn to_value(limit: Limit, value: i64) -> TypedValue {
    match limit {
        Quota | GlobalQuota => TypedValue::Llong(value),
        Weight => TypedValue::Uint(u32::try_from(value).unwrap_or(0)),
        _ => TypedValue::Ullong(u64::try_from(value).unwrap_or(0)),
    }
}

/// `virDomainGet…Parameters` of one kind.
pub(crate) fn parameters(
    core: &Core,
    dom: &DomainRef,
    kind: Kind,
    flags: u32,
) -> Result<Vec<TypedParam>> {
    let guest = core.guests.find(dom)?;
    let impact = guest.read(|data| core.guests.impact(data, flags))?;
    let document = core.guests.meant(&guest, flags)?;
    let limits = match impact.live {
        true => Some(guest.live(|live| live.limits.clone())?),
        false => None,
    };
    let each = kind.all().iter().map(|(limit, name)| {
        let live = limits.as_ref().and_then(|limits| limits.get(kind, *limit));
        let value = live.or_else(|| of_document(&document, *limit)).unwrap_or(usual(*limit));
        TypedParam::new(*name, to_value(*limit, value))
    });
    Ok(each.collect())
}

/// `virDomainSet…Parameters` of one kind.
pub(crate) fn set_parameters(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    kind: Kind,
    params: &[TypedParam],
    flags: u32,
) -> Result<()> {
    let wanted = params.iter().map(|param| wanted(kind, param)).collect::<Result<Vec<_>>>()?;
    core.work(call, dom, Job::Modify, |guest, turn| {
        let impact = turn.read(|data| core.guests.impact(data, flags))?;
        if impact.live {
            let (limits, pid) = turn.read(|data| {
                data.running().map(|live| (live.limits.clone(), live.process.pid()))
            })?;
            for (limit, value) in &wanted {
                limits.set(kind, *limit, *value, pid)?;
            }
        }
        let edit = |document: &mut Document| {
            wanted.iter().for_each(|(limit, value)| put(document, *limit, *value));
        };
        if impact.live {
            vcpus::edit_live(core, turn, edit)?;
        }
        if impact.config {
            core.guests.edit(guest, turn, edit)?;
        }
        Ok(())
    })
}

fn wanted(kind: Kind, param: &TypedParam) -> Result<(Limit, i64)> {
    let name = param.field.as_str();
    let found = kind.all().iter().find(|(_, known)| *known == name);
    let (limit, _) =
        found.ok_or_else(|| invalid_arg(format!("parameter '{name}' not supported")))?;
    let value = match &param.value {
        TypedValue::Int(value) => Some(i64::from(*value)),
        TypedValue::Uint(value) => Some(i64::from(*value)),
        TypedValue::Llong(value) => Some(*value),
        TypedValue::Ullong(value) => Some(i64::try_from(*value).unwrap_or(i64::MAX)),
        _ => None,
    };
    let value = value.ok_or_else(|| invalid_arg(format!("invalid type for parameter '{name}'")))?;
    let fits = match limit {
        Shares => (2..=262_144).contains(&value),
        Period | GlobalPeriod => (1000..=1_000_000).contains(&value),
        Weight => (10..=10_000).contains(&value),
        Quota | GlobalQuota => value <= 0 || value >= 1000,
        Hard | Soft | Swap => value >= 0,
    };
    match fits {
        true => Ok((*limit, value)),
        false => Err(invalid_arg(format!("value of '{name}' is out of range"))),
    }
}

/// `virDomainGetCPUStats`: of the whole guest, or on each of the host's processors.
pub(crate) fn cpu_stats(
    core: &Core,
    dom: &DomainRef,
    nparams: u32,
    start: i32,
    ncpus: u32,
) -> Result<DomainGetCpuStats> {
    let guest = core.guests.find(dom)?;
    let (limits, pid) = guest.live(|live| (live.limits.clone(), live.process.pid()))?;
    let times = virt_host::Process(pid).times().unwrap_or_default();
    let param = |name: &str, value: u64| TypedParam::new(name, value);
    if start == -1 {
        let all = times.user_ns.saturating_add(times.system_ns);
        let params = vec![
            param("cpu_time", limits.cpu_ns().unwrap_or(all)),
            param("user_time", times.user_ns),
            param("system_time", times.system_ns),
        ];
        let answer = |params: Vec<TypedParam>| DomainGetCpuStats { nparams: 3, params };
        return Ok(answer(if nparams == 0 { Vec::new() } else { params }));
    }
    let each = limits.cpu_ns_each();
    let count = |length: usize| i32::try_from(length).unwrap_or(0);
    if each.is_empty() {
        return Err(invalid_operation("cgroup CPUACCT controller is not mounted"));
    }
    if ncpus == 0 {
        return Ok(DomainGetCpuStats { nparams: count(each.len()), params: Vec::new() });
    }
    if nparams == 0 {
        return Ok(DomainGetCpuStats { nparams: 1, params: Vec::new() });
    }
    let first = usize::try_from(start).unwrap_or(usize::MAX);
    let most = usize::try_from(ncpus).unwrap_or(0);
    let params = each.iter().skip(first).take(most).map(|ns| param("cpu_time", *ns)).collect();
    Ok(DomainGetCpuStats { nparams: 1, params })
}

/// `virDomainGetSchedulerType`'s answer.
pub(crate) const SCHEDULER_TYPE: (&str, i32) = ("posix", SCHEDULER.len() as i32);

/// What may be asked of limits.
pub(crate) const FLAGS: u32 =
    api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG | api::TYPED_PARAM_STRING_OKAY;

#[cfg(test)]
mod tests {
    use virt_model::ParseFlags;

    use super::*;
    use crate::rules::KvmtoolRules;

    const LIMITED: &str = "<domain type='kvmtool'><name>one</name><memory unit='MiB'>64</memory>
        <blkiotune><weight>300</weight></blkiotune>
        <memtune><hard_limit unit='MiB'>256</hard_limit><soft_limit unit='MiB'>128</soft_limit>
        <swap_hard_limit unit='MiB'>512</swap_hard_limit></memtune>
        <vcpu>2</vcpu>
        <cputune><shares>512</shares><global_period>20000</global_period>
        <global_quota>30000</global_quota><period>50000</period><quota>25000</quota></cputune>
        <os><type>hvm</type><kernel>/k</kernel></os></domain>";

    fn document() -> Document {
        let rules = KvmtoolRules {
            tools: std::sync::Arc::default(),
            config: crate::config::Config::default(),
        };
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        Document::load(LIMITED, flags, &rules).unwrap()
    }

    /// Threads with the names that the tool gives its processors, until the test has ended.
    fn processors(count: usize) -> Vec<std::sync::mpsc::Sender<()>> {
        let each = (0..count).map(|number| {
            let (end, ended) = std::sync::mpsc::channel::<()>();
            let builder = std::thread::Builder::new().name(format!("kvm-vcpu-{number}"));
            builder.spawn(move || ended.recv()).unwrap();
            end
        });
        let all: Vec<_> = each.collect();
        let me = std::process::id();
        while vcpus::threads(me).len() < count {
            std::thread::yield_now();
        }
        all
    }

    /// A host with version 2 alone, as far as files can show one.
    #[test]
    fn version_2_has_every_limit_in_files_of_its_own() {
        let root = std::env::temp_dir().join(format!("fv-limits-{}", std::process::id()));
        let controllers = ["cpu", "io", "memory"].map(str::to_owned).to_vec();
        let cgroups = Cgroups { legacy: Vec::new(), unified: Some((root.clone(), controllers)) };
        let limits = Limits::at(&cgroups, 7, "one");
        let (me, document) = (std::process::id(), document());
        let _processors = processors(2);
        limits.enter(me, &document).unwrap();
        limits.apply(me, &document).unwrap();
        let group = root.join("machine/kvmtool-7-one.libvirt-kvmtool");
        let read = |file: &str| std::fs::read_to_string(group.join(file)).unwrap_or_default();
        for (file, text) in [
            ("cgroup.procs", me.to_string().as_str()),
            ("cpu.weight", "512"),
            ("cpu.max", "30000 20000"),
            ("memory.max", "268435456"),
            ("memory.high", "134217728"),
            ("memory.swap.max", "536870912"),
            ("io.weight", "300"),
            ("vcpu0/cgroup.type", "threaded"),
            ("vcpu1/cpu.max", "25000 50000"),
            ("cgroup.subtree_control", "+cpu"),
        ] {
            assert_eq!(read(file), text, "{file}");
        }
        let threads = ["vcpu0", "vcpu1"].map(|name| read(&format!("{name}/cgroup.threads")));
        assert_eq!(
            threads.to_vec(),
            vcpus::threads(me).iter().map(u32::to_string).collect::<Vec<_>>()
        );
        for kind in [Kind::Scheduler, Kind::Memory, Kind::Blkio] {
            for (limit, name) in kind.all() {
                assert_eq!(limits.get(kind, *limit), of_document(&document, *limit), "{name}");
            }
        }
        limits.set(Kind::Scheduler, Quota, -1, me).unwrap();
        assert_eq!(read("vcpu0/cpu.max"), "max 50000");
        assert_eq!(limits.get(Kind::Scheduler, Quota), Some(-1));
        limits.set(Kind::Memory, Hard, i64::MAX, me).unwrap();
        assert_eq!(limits.get(Kind::Memory, Hard), Some(UNLIMITED_KIB.cast_signed()));
        std::fs::write(group.join("cpu.stat"), "usage_usec 1500\nuser_usec 1000\n").unwrap();
        assert_eq!(limits.cpu_ns(), Some(1_500_000));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_version_1_has_for_no_limit_is_none() {
        let root = std::env::temp_dir().join(format!("fv-unlimited-{}", std::process::id()));
        let legacy = vec![("memory".to_owned(), root.clone())];
        let limits = Limits::at(&Cgroups { legacy, unified: None }, 9, "three");
        limits.group.clone().make();
        let file = root.join("machine/kvmtool-9-three.libvirt-kvmtool/memory.limit_in_bytes");
        for (bytes, kib) in [("9223372036854771712", UNLIMITED_KIB.cast_signed()), ("4096", 4)] {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(limits.get(Kind::Memory, Hard), Some(kib));
        }
        std::fs::remove_dir_all(root).unwrap();
    }

    /// Controllers that a host does not have are not there, whatever else is.
    #[test]
    fn a_host_that_lacks_a_controller_says_so() {
        let root = std::env::temp_dir().join(format!("fv-lacks-{}", std::process::id()));
        let unified = Some((root.clone(), vec!["memory".to_owned()]));
        let limits = Limits::at(&Cgroups { legacy: Vec::new(), unified }, 8, "two");
        let error = limits.enter(std::process::id(), &document()).unwrap_err();
        assert!(error.message().contains("cgroup CPU controller is not mounted"), "{error:?}");
        limits.set(Kind::Memory, Hard, 1024, 0).unwrap();
        assert_eq!(limits.get(Kind::Memory, Hard), Some(1024));
        assert_eq!(limits.cpu_ns(), None);
        std::fs::remove_dir_all(root).unwrap();
    }
}
