//! Statistics of domains: CPU, memory, disks, interfaces, and all of them at once.

use virt_cli::{Args, Cell};
use virt_json::Value;
use virt_types::{DomainRef, TypedParam, TypedValue, api};

use crate::clock::{self, Date};
use crate::commands::info::word;
use crate::failure::{Done, During as _, Failure, fail};
use crate::lookup::{By, domain, find_domain};
use crate::options::{flags_of, impact};
use crate::report::{params_record, record, value_of};
use crate::shell::{Shell, say, sayln};
use crate::units::scale;
use crate::xml;

const STATS: &[(&str, u32)] = &[
    ("state", api::DOMAIN_STATS_STATE),
    ("cpu-total", api::DOMAIN_STATS_CPU_TOTAL),
    ("balloon", api::DOMAIN_STATS_BALLOON),
    ("vcpu", api::DOMAIN_STATS_VCPU),
    ("interface", api::DOMAIN_STATS_INTERFACE),
    ("block", api::DOMAIN_STATS_BLOCK),
    ("perf", api::DOMAIN_STATS_PERF),
    ("iothread", api::DOMAIN_STATS_IOTHREAD),
    ("memory", api::DOMAIN_STATS_MEMORY),
    ("dirtyrate", api::DOMAIN_STATS_DIRTYRATE),
    ("vm", api::DOMAIN_STATS_VM),
];

const STATS_FLAGS: &[(&str, u32)] = &[
    ("list-active", api::CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE),
    ("list-inactive", api::CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE),
    ("list-persistent", api::CONNECT_GET_ALL_DOMAINS_STATS_PERSISTENT),
    ("list-transient", api::CONNECT_GET_ALL_DOMAINS_STATS_TRANSIENT),
    ("list-running", api::CONNECT_GET_ALL_DOMAINS_STATS_RUNNING),
    ("list-paused", api::CONNECT_GET_ALL_DOMAINS_STATS_PAUSED),
    ("list-shutoff", api::CONNECT_GET_ALL_DOMAINS_STATS_SHUTOFF),
    ("list-other", api::CONNECT_GET_ALL_DOMAINS_STATS_OTHER),
    ("enforce", api::CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS),
    ("backing", api::CONNECT_GET_ALL_DOMAINS_STATS_BACKING),
    ("nowait", api::CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT),
];

pub(crate) fn cmd_domstats(shell: &mut Shell, args: &Args) -> Done {
    let (stats, flags) = (flags_of(args, STATS), flags_of(args, STATS_FLAGS));
    let connection = shell.connection()?;
    let mut records = Vec::new();
    if args.flag("domain") {
        let mut domains = Vec::new();
        for name in args.words("domain") {
            domains.push(find_domain(shell, args, name, By::ANY)?);
        }
        records.extend(connection.connect_get_all_domain_stats(&domains, stats, flags)?);
    } else {
        records.extend(connection.connect_get_all_domain_stats(&[], stats, flags)?);
    }
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            sayln!(shell);
        }
        sayln!(shell, "Domain: '{}'", record.dom.name);
        for TypedParam { field, value } in &record.params {
            let value = shown(field, value, args.flag("raw"));
            sayln!(shell, "  {}={}", field, value);
        }
    }
    shell.records(records.iter().map(|found| {
        let (name, uuid) = (found.dom.name.to_string(), found.dom.uuid.to_string());
        let stats = params_record(&found.params);
        record([("domain", name.into()), ("uuid", uuid.into()), ("stats", stats)])
    }));
    Ok(())
}

/// A statistic's value, with words for numbers where a person is to read it.
fn shown(field: &str, value: &TypedValue, raw: bool) -> String {
    const DIRTY_MODES: &[&str] = &["page-sampling", "dirty-bitmap", "dirty-ring"];
    match value {
        TypedValue::Int(mode) if !raw && field == "dirtyrate.calc_mode" => {
            word(DIRTY_MODES, *mode, "unknown").to_owned()
        }
        other => other.to_string(),
    }
}

const MEMORY_STATS: &[&str] = &[
    "swap_in",
    "swap_out",
    "major_fault",
    "minor_fault",
    "unused",
    "available",
    "actual",
    "rss",
    "usable",
    "last_update",
    "disk_caches",
    "hugetlb_pgalloc",
    "hugetlb_pgfail",
];

pub(crate) fn cmd_dommemstat(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    if let Some(period) = args.number::<i32>("period")? {
        if period < 0 {
            return fail(format!("Invalid collection period value '{period}'"));
        }
        let changed = connection.domain_set_memory_stats_period(&found, period, flags);
        return changed.during(|| "Unable to change balloon collection period.");
    }
    let most = u32::try_from(MEMORY_STATS.len()).unwrap_or(u32::MAX);
    let stats = connection
        .domain_memory_stats(&found, most, 0)
        .during(|| format!("Failed to get memory statistics for domain {}", found.name))?;
    for stat in stats {
        let name = word(MEMORY_STATS, stat.tag, "");
        if !name.is_empty() {
            sayln!(shell, "{} {}", name, stat.val);
            shell.fact(&memory_key(name), stat.val);
        }
    }
    Ok(())
}

/// The statistic's name with its unit.
fn memory_key(name: &str) -> String {
    match name {
        "major_fault" | "minor_fault" | "hugetlb_pgalloc" | "hugetlb_pgfail" => name.to_owned(),
        "last_update" => format!("{name}_s"),
        _ => format!("{name}_kib"),
    }
}

pub(crate) fn cmd_domifstat(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let device = args.needed("interface")?;
    let stats = shell
        .connection()?
        .domain_interface_stats(&found, device)
        .during(|| format!("Failed to get interface stats {} {device}", found.name))?;
    shell.fact("interface", device);
    for (label, value) in [
        ("rx_bytes", stats.rx_bytes),
        ("rx_packets", stats.rx_packets),
        ("rx_errs", stats.rx_errs),
        ("rx_drop", stats.rx_drop),
        ("tx_bytes", stats.tx_bytes),
        ("tx_packets", stats.tx_packets),
        ("tx_errs", stats.tx_errs),
        ("tx_drop", stats.tx_drop),
    ] {
        if value >= 0 {
            sayln!(shell, "{} {} {}", device, label, value);
            shell.fact(label, value);
        }
    }
    Ok(())
}

/// The counters of a disk: name in parameters, short label, label for people.
const BLOCK_STATS: &[(&str, &str, &str)] = &[
    (api::DOMAIN_BLOCK_STATS_READ_REQ, "rd_req", "number of read operations:"),
    (api::DOMAIN_BLOCK_STATS_READ_BYTES, "rd_bytes", "number of bytes read:"),
    (api::DOMAIN_BLOCK_STATS_WRITE_REQ, "wr_req", "number of write operations:"),
    (api::DOMAIN_BLOCK_STATS_WRITE_BYTES, "wr_bytes", "number of bytes written:"),
    (api::DOMAIN_BLOCK_STATS_ERRS, "errs", "error count:"),
    (api::DOMAIN_BLOCK_STATS_FLUSH_REQ, "flush_operations", "number of flush operations:"),
    (api::DOMAIN_BLOCK_STATS_READ_TOTAL_TIMES, "rd_total_times", "total duration of reads (ns):"),
    (api::DOMAIN_BLOCK_STATS_WRITE_TOTAL_TIMES, "wr_total_times", "total duration of writes (ns):"),
    (
        api::DOMAIN_BLOCK_STATS_FLUSH_TOTAL_TIMES,
        "flush_total_times",
        "total duration of flushes (ns):",
    ),
];

pub(crate) fn cmd_domblkstat(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let device = args.text("device")?.unwrap_or_default();
    let connection = shell.connection()?;
    let name = args.needed("domain")?;
    let failed = || format!("Failed to get block stats {name} {device}");
    let values = match connection.domain_block_stats_flags(&found, device, 0) {
        Ok(params) => params
            .into_iter()
            .map(|param| (param.field, value_of(&param.value)))
            .collect::<Vec<_>>(),
        Err(error) if error.is(virt_error::Code::NoSupport) => {
            let stats = connection.domain_block_stats(&found, device).during(failed)?;
            let values = [stats.rd_req, stats.rd_bytes, stats.wr_req, stats.wr_bytes, stats.errs];
            BLOCK_STATS
                .iter()
                .zip(values)
                .filter(|(_, value)| *value >= 0)
                .map(|((name, ..), value)| ((*name).to_owned(), Value::from(value)))
                .collect()
        }
        Err(error) => return Err(error).during(failed),
    };
    let human = args.flag("human");
    if human {
        sayln!(shell, "Device: {}", device);
    }
    shell.fact("device", device);
    let mut others: Vec<&(String, Value)> = values.iter().collect();
    for (name, short, long) in BLOCK_STATS {
        let Some(at) = others.iter().position(|(field, _)| field == name) else { continue };
        let (_, value) = others.remove(at);
        match human {
            true => sayln!(shell, " {:<31} {}", long, value),
            false => sayln!(shell, "{} {} {}", device, short, value),
        }
        let unit = if short.ends_with("_times") { "_ns" } else { "" };
        shell.fact(&format!("{short}{unit}"), value.clone());
    }
    for (field, value) in others {
        sayln!(shell, "{} {} {}", device, field, value);
        shell.fact(field, value.clone());
    }
    Ok(())
}

fn block_size(bytes: u64, human: bool) -> Cell {
    match human {
        true => {
            let (value, unit) = scale(bytes);
            Cell::new(format!("{value:.3} {unit}"), bytes)
        }
        false => bytes.into(),
    }
}

pub(crate) fn cmd_domblkinfo(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("all", "device")?;
    let (all, human) = (args.flag("all"), args.flag("human"));
    let found = domain(shell, args)?;
    if all {
        return all_block_info(shell, &found, human);
    }
    // Compat: an empty name is none.
    let Some(device) = args.raw_text("device").filter(|device| !device.is_empty()) else {
        return fail("command 'domblkinfo' requires <device> option");
    };
    let info = shell.connection()?.domain_get_block_info(&found, device, 0)?;
    shell.fact("target", device);
    for (label, key, bytes) in [
        ("Capacity", "capacity_bytes", info.capacity),
        ("Allocation", "allocation_bytes", info.allocation),
        ("Physical", "physical_bytes", info.physical),
    ] {
        shell.field(label, key, block_size(bytes, human));
    }
    let only = shell.taken();
    shell.records(only);
    Ok(())
}

fn all_block_info(shell: &mut Shell, found: &DomainRef, human: bool) -> Done {
    let connection = shell.connection()?;
    let text = connection.domain_get_xml_desc(found, 0)?;
    let root = xml::parse(&text)?;
    let mut list = shell.listing(&[
        ("Target", "target"),
        ("Capacity", "capacity_bytes"),
        ("Allocation", "allocation_bytes"),
        ("Physical", "physical_bytes"),
    ]);
    for disk in xml::disks(&root) {
        let row = match connection.domain_get_block_info(found, &disk.target, 0) {
            Ok(info) => [info.capacity, info.allocation, info.physical]
                .map(|value| block_size(value, human)),
            // A drive without a medium has no sizes.
            Err(_) if disk.source.is_none() => ["-"; 3].map(Cell::none),
            Err(error) => return Err(error.into()),
        };
        list.row(std::iter::once(disk.target.into()).chain(row));
    }
    shell.print_listing(list);
    Ok(())
}

pub(crate) fn cmd_domifaddr(shell: &mut Shell, args: &Args) -> Done {
    let wanted = args.text("interface")?;
    let source = match args.text("source")? {
        None | Some("lease") => api::DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
        Some("agent") => api::DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
        Some("arp") => api::DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
        Some(other) => return fail(format!("Unknown data source '{other}'")),
    };
    let found = domain(shell, args)?;
    let source = u32::try_from(source).unwrap_or_default();
    let interfaces = shell
        .connection()?
        .domain_interface_addresses(&found, source, 0)
        .during(|| "Failed to query for interfaces addresses")?;
    shell.print_extra(format_args!(
        " {:<10} {:<20} {:<8}     {}\n{}\n",
        "Name",
        "MAC address",
        "Protocol",
        "Address",
        "-".repeat(79)
    ));
    let mut records = Vec::new();
    for interface in interfaces {
        if wanted.is_some_and(|wanted| wanted != interface.name) {
            continue;
        }
        let mac = interface.hwaddr.as_deref().unwrap_or("N/A");
        let known = |protocol: Option<&str>, address: Option<&str>| {
            record([
                ("interface", interface.name.as_str().into()),
                ("mac", interface.hwaddr.as_deref().into()),
                ("protocol", protocol.into()),
                ("address", address.into()),
            ])
        };
        if interface.addrs.is_empty() {
            records.push(known(None, None));
            sayln!(shell, " {:<10} {:<17}    {:<12} {}", interface.name, mac, "N/A", "N/A");
        }
        for (at, address) in interface.addrs.iter().enumerate() {
            let kind = if address.kind == 0 { "ipv4" } else { "ipv6" };
            let text = format!("{}/{}", address.addr, address.prefix);
            let (name, mac) = match at == 0 || args.flag("full") {
                true => (interface.name.as_str(), mac),
                false => ("-", "-"),
            };
            sayln!(shell, " {:<10} {:<17}    {:<12} {}", name, mac, kind, text);
            records.push(known(Some(kind), Some(&text)));
        }
    }
    shell.records(records);
    Ok(())
}

pub(crate) fn cmd_domtime(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("time", "now")?;
    args.exclusive("time", "sync")?;
    args.exclusive("now", "sync")?;
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let sync = args.flag("sync");
    let time = args.number::<i64>("time")?;
    if time.is_none() && !args.flag("now") && !sync {
        let time = connection.domain_get_time(&found, 0)?;
        match args.flag("pretty") {
            true => say!(shell, "Time: {}", Date::of(time.seconds)),
            false => say!(shell, "Time: {}", time.seconds),
        }
        shell.fact("seconds", time.seconds);
        return Ok(());
    }
    let now = clock::now();
    let (seconds, nanoseconds) = match (time, args.flag("now")) {
        (Some(seconds), _) => (seconds, 0),
        (None, true) => (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos()),
        (None, false) => (0, 0),
    };
    let flags = if sync { api::DOMAIN_TIME_SYNC } else { 0 };
    Ok(connection.domain_set_time(&found, seconds, nanoseconds, flags)?)
}

pub(crate) fn cmd_cpu_stats(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let failed = || format!("Failed to retrieve CPU statistics for domain '{}'", found.name);
    let start = args.number::<i32>("start")?;
    if start.is_some_and(|start| start < 0) {
        return fail("Invalid value for start CPU");
    }
    let count = args.number::<i32>("count")?;
    if count.is_some_and(|count| count < 0) {
        return fail("Invalid value for number of CPUs to show");
    }
    let total = args.flag("total");
    let some = start.is_some() || count.is_some();
    if !total || some {
        let cpus = connection.domain_get_cpu_stats(&found, 0, 0, 0, 0).during(failed)?.nparams;
        let start = start.unwrap_or(0);
        if start >= cpus {
            let last = cpus - 1;
            return fail(format!("Start CPU {start} is out of range (min: 0, max: {last})"));
        }
        let left = cpus - start;
        if count.is_some_and(|count| count > left) {
            sayln!(shell, "Only {} CPUs available to show", left);
        }
        print_cpus(shell, &found, start, count.map_or(left, |count| count.min(left)))?;
    }
    if total || !some {
        let params = connection.domain_get_cpu_stats(&found, 0, -1, 1, 0).during(failed)?.nparams;
        let params = u32::try_from(params).unwrap_or(0);
        let answer = connection.domain_get_cpu_stats(&found, params, -1, 1, 0).during(failed)?;
        sayln!(shell, "Total:");
        for param in &answer.params {
            print_cpu_param(shell, param);
        }
        shell.fact("total", cpu_record(&answer.params));
    }
    Ok(())
}

/// Limit: a daemon answers for at most this many CPUs at a time.
const CPUS_PER_CALL_MAX: i32 = 128;

fn print_cpus(shell: &mut Shell, found: &DomainRef, start: i32, count: i32) -> Done {
    let connection = shell.connection()?;
    let failed = || format!("Failed to retrieve CPU statistics for domain '{}'", found.name);
    let params = connection.domain_get_cpu_stats(found, 0, 0, 1, 0).during(failed)?.nparams;
    let params = usize::try_from(params).unwrap_or(0);
    let (mut at, end) = (start, start.saturating_add(count));
    let mut records = Vec::new();
    while at < end && params > 0 {
        let now = (end - at).min(CPUS_PER_CALL_MAX);
        let (width, cpus) = (u32::try_from(params).unwrap_or(0), u32::try_from(now).unwrap_or(0));
        let answer = connection.domain_get_cpu_stats(found, width, at, cpus, 0).during(failed)?;
        for (cpu, values) in answer.params.chunks(params).enumerate() {
            let number = i64::from(at) + i64::try_from(cpu).unwrap_or(0);
            sayln!(shell, "CPU{}:", number);
            values.iter().for_each(|param| print_cpu_param(shell, param));
            records.push(record([("cpu", number.into()), ("spent", cpu_record(values))]));
        }
        at += now;
    }
    shell.fact("cpus", records);
    Ok(())
}

/// Whether a statistic of CPUs is a time, in nanoseconds.
fn is_time(field: &str) -> bool {
    matches!(field, "cpu_time" | "vcpu_time" | "user_time" | "system_time")
}

fn cpu_record(params: &[TypedParam]) -> Value {
    let facts = params.iter().map(|TypedParam { field, value }| {
        let unit = if is_time(field) { "_ns" } else { "" };
        (format!("{field}{unit}"), value_of(value))
    });
    Value::Object(facts.collect())
}

fn print_cpu_param(shell: &mut Shell, param: &TypedParam) {
    let TypedParam { field, value } = param;
    match value {
        TypedValue::Ullong(time) if is_time(field) => {
            let (seconds, rest) = (time / 1_000_000_000, time % 1_000_000_000);
            sayln!(shell, "\t{:<12} {:>9}.{:09} seconds", field, seconds, rest);
        }
        other => sayln!(shell, "\t{:<12} {}", field, other),
    }
}

pub(crate) fn cmd_domfsinfo(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let info = shell
        .connection()?
        .domain_get_fsinfo(&found, 0)
        .during(|| "Unable to get filesystem information")?
        .info;
    if info.is_empty() {
        // Compat: without an end of the line.
        shell.print_extra(format_args!("No filesystems are mounted in the domain"));
        shell.records(std::iter::empty());
        return Ok(());
    }
    let mut list = shell.listing(&[
        ("Mountpoint", "mountpoint"),
        ("Name", "name"),
        ("Type", "type"),
        ("Target", "targets"),
    ]);
    for filesystem in info {
        let targets = Cell::new(filesystem.dev_aliases.join(","), filesystem.dev_aliases);
        let (mountpoint, name) = (filesystem.mountpoint.into(), filesystem.name.into());
        list.row([mountpoint, name, filesystem.fstype.into(), targets]);
    }
    shell.print_listing(list);
    Ok(())
}

fn mountpoints(args: &Args) -> Vec<String> {
    args.words("mountpoint").map(str::to_owned).collect()
}

pub(crate) fn cmd_domfsfreeze(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let frozen = shell
        .connection()?
        .domain_fsfreeze(&found, &mountpoints(args), 0)
        .during(|| "Unable to freeze filesystems")?;
    shell.print_extra(format_args!("Froze {frozen} filesystem(s)\n"));
    Ok(())
}

pub(crate) fn cmd_domfsthaw(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let thawed = shell
        .connection()?
        .domain_fsthaw(&found, &mountpoints(args), 0)
        .during(|| "Unable to thaw filesystems")?;
    shell.print_extra(format_args!("Thawed {thawed} filesystem(s)\n"));
    Ok(())
}

pub(crate) fn cmd_domfstrim(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let minimum = args.number::<u64>("minimum")?.unwrap_or(0);
    let mountpoint = args.text("mountpoint")?;
    let trimmed = shell.connection()?.domain_fstrim(&found, mountpoint, minimum, 0);
    trimmed.map_err(|error| Failure::from(error).during("Unable to invoke fstrim"))
}
