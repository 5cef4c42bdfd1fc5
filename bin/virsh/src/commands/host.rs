//! The host and its hypervisor.

use virt_cli::{Args, Cell};
use virt_error::Error;
use virt_json::Value;
use virt_types::api;

use crate::commands::lifecycle::suspend_target;
use crate::document::{check_path, print_document};
use crate::failure::{Done, During as _, Failure, fail};
use crate::options::flags_of;
use crate::report::{print_names, record};
use crate::shell::{Shell, say, sayln};
use crate::units::{bit, ranges};
use crate::xml;

/// The version of the library that this shell stands in for.
pub(crate) const VERSION: &str = "11.3.0";

pub(crate) fn cmd_hostname(shell: &mut Shell, _args: &Args) -> Done {
    let name = shell.connection()?.connect_get_hostname().during(|| "failed to get hostname")?;
    shell.answer("hostname", name);
    Ok(())
}

pub(crate) fn cmd_uri(shell: &mut Shell, _args: &Args) -> Done {
    let uri = shell.connection()?.connect_get_uri().during(|| "failed to get URI")?;
    shell.answer("uri", uri);
    Ok(())
}

/// A version number as the API packs it: major, minor and release by factors of a thousand.
fn unpacked(version: u64) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000)
}

pub(crate) fn cmd_version(shell: &mut Shell, args: &Args) -> Done {
    let connection = shell.connection()?;
    let kind = connection.connect_get_type().during(|| "failed to get hypervisor type")?;
    sayln!(shell, "Compiled against library: libvirt {}", VERSION);
    sayln!(shell, "Using library: libvirt {}", VERSION);
    sayln!(shell, "Using API: {} {}", kind, VERSION);
    let version = connection.connect_get_version();
    match version.during(|| "failed to get the hypervisor version")? {
        0 => sayln!(shell, "Cannot extract running {} hypervisor version", kind),
        version => {
            sayln!(shell, "Running hypervisor: {} {}", kind, unpacked(version));
            shell.fact("hypervisor_version", unpacked(version));
        }
    }
    shell.facts([("library", VERSION.into()), ("hypervisor", kind.into())]);
    if args.flag("daemon") {
        shell.fact("daemon", VERSION);
        sayln!(shell, "Running against daemon: {}", VERSION);
    }
    Ok(())
}

pub(crate) fn cmd_nodeinfo(shell: &mut Shell, _args: &Args) -> Done {
    let info = shell.connection()?.node_get_info().during(|| "failed to get node information")?;
    for (label, key, value) in [
        ("CPU model:", "model", Some(info.model.into())),
        ("CPU(s):", "cpus", Some(info.cpus.into())),
        // Some hosts do not say how fast they are.
        ("CPU frequency:", "mhz", (info.mhz != 0).then(|| Cell::counted(info.mhz, " MHz"))),
        ("CPU socket(s):", "sockets", Some(info.sockets.into())),
        ("Core(s) per socket:", "cores_per_socket", Some(info.cores.into())),
        ("Thread(s) per core:", "threads_per_core", Some(info.threads.into())),
        ("NUMA cell(s):", "numa_cells", Some(info.nodes.into())),
        ("Memory size:", "memory_kib", Some(Cell::counted(info.memory, " KiB"))),
    ] {
        let Some(Cell { text, value }) = value else { continue };
        sayln!(shell, "{:<20} {}", label, text);
        shell.fact(key, value);
    }
    Ok(())
}

pub(crate) fn cmd_capabilities(shell: &mut Shell, args: &Args) -> Done {
    check_path(args)?;
    let text =
        shell.connection()?.connect_get_capabilities().during(|| "failed to get capabilities")?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_domcapabilities(shell: &mut Shell, args: &Args) -> Done {
    let (virttype, emulator) = (args.text("virttype")?, args.text("emulatorbin")?);
    let (arch, machine) = (args.text("arch")?, args.text("machine")?);
    let flags = flags_of(
        args,
        &[(
            "disable-deprecated-features",
            api::CONNECT_GET_DOMAIN_CAPABILITIES_DISABLE_DEPRECATED_FEATURES,
        )],
    );
    check_path(args)?;
    let text = shell
        .connection()?
        .connect_get_domain_capabilities(emulator, arch, machine, virttype, flags)
        .during(|| "failed to get emulator capabilities")?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_maxvcpus(shell: &mut Shell, args: &Args) -> Done {
    let kind = args.text("type")?;
    let connection = shell.connection()?;
    // Compat: the emulator's own limit counts before the driver's, where it is known.
    let capabilities = connection.connect_get_domain_capabilities(None, None, None, kind, 0);
    let limit = capabilities.ok().and_then(|text| {
        let root = xml::parse(&text).ok()?;
        Some(xml::attr_at(&root, &["vcpu"], "max")?.to_owned())
    });
    match limit {
        Some(limit) => {
            let value = limit.parse::<u32>().ok();
            shell.answer("count", Cell::new(limit, value));
        }
        None => shell.answer("count", connection.connect_get_max_vcpus(kind)?),
    }
    Ok(())
}

pub(crate) fn cmd_sysinfo(shell: &mut Shell, _args: &Args) -> Done {
    let text = shell.connection()?.connect_get_sysinfo(0).during(|| "failed to get sysinfo")?;
    say!(shell, "{text}");
    shell.fact("xml", text);
    Ok(())
}

pub(crate) fn cmd_freecell(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("all", "cellno")?;
    let connection = shell.connection()?;
    if args.flag("all") {
        return freecell_all(shell);
    }
    match args.number::<i32>("cellno")? {
        Some(cell) => {
            if cell < 0 {
                return fail("startCell in virNodeGetCellsFreeMemory must be zero or greater");
            }
            let free = connection.node_get_cells_free_memory(cell, 1)?;
            let Some(free) = free.first() else { return Err(Failure::silent()) };
            sayln!(shell, "{}: {} KiB", cell, free / 1024);
            shell.fact("cells", vec![free_cell(cell, free / 1024)]);
        }
        None => {
            let free = connection.node_get_free_memory()?;
            sayln!(shell, "Total: {} KiB", free / 1024);
            shell.fact("total_kib", free / 1024);
        }
    }
    Ok(())
}

/// The numbers of the host's memory cells, from its capabilities.
fn cells(shell: &mut Shell) -> Result<Vec<i32>, Failure> {
    let text = shell
        .connection()?
        .connect_get_capabilities()
        .during(|| "unable to get node capabilities")?;
    let root = xml::parse(&text)?;
    let cells = xml::at(&root, &["host", "topology", "cells"]);
    let cells = cells.into_iter().flat_map(|cells| cells.children_named("cell"));
    cells
        .map(|cell| {
            let id = cell.attr("id").and_then(|id| id.parse().ok());
            id.ok_or_else(|| Failure::new("conversion from string failed"))
        })
        .collect()
}

fn free_cell(cell: i32, free_kib: u64) -> Value {
    record([("cell", cell.into()), ("free_kib", free_kib.into())])
}

fn freecell_all(shell: &mut Shell) -> Done {
    let connection = shell.connection()?;
    let (mut total, mut records) = (0_u64, Vec::new());
    for cell in cells(shell)? {
        let free = connection
            .node_get_cells_free_memory(cell, 1)
            .during(|| format!("failed to get free memory for NUMA node number: {cell}"))?;
        let kib = free.first().copied().unwrap_or_default() / 1024;
        sayln!(shell, "{:>5}: {:>10} KiB", cell, kib);
        records.push(free_cell(cell, kib));
        total = total.saturating_add(kib);
    }
    sayln!(shell, "--------------------");
    sayln!(shell, "{:>5}: {:>10} KiB", "Total", total);
    shell.facts([("cells", records.into()), ("total_kib", total.into())]);
    Ok(())
}

pub(crate) fn cmd_freepages(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("all", "cellno")?;
    if args.flag("all") {
        return freepages_all(shell, args);
    }
    // Compat: a size must be a number of KiB that fits 32 bits, whatever else is missing.
    let size = args.scaled("pagesize", 1024, u64::from(u32::MAX) * 1024)?;
    let Some(cell) = args.number::<i32>("cellno")? else { return fail("missing cellno argument") };
    if cell < -1 {
        return fail("cell number must be non-negative integer or -1");
    }
    let Some(size) = size else {
        return fail("missing pagesize argument");
    };
    let Ok(kib) = u32::try_from(size / 1024) else {
        return fail(format!("page size has to be less than {}", u32::MAX));
    };
    let counts = shell.connection()?.node_get_free_pages(&[kib], cell, 1, 0)?;
    let count = counts.first().copied().unwrap_or_default();
    sayln!(shell, "{}KiB: {}", kib, count);
    shell.records([free_pages(cell, kib, count)]);
    Ok(())
}

fn free_pages(cell: i32, page_kib: u32, free: u64) -> Value {
    record([("cell", cell.into()), ("page_kib", page_kib.into()), ("free", free.into())])
}

fn freepages_all(shell: &mut Shell, args: &Args) -> Done {
    let connection = shell.connection()?;
    let sizes = match args.scaled("pagesize", 1024, u64::MAX)? {
        Some(size) => vec![u32::try_from(size / 1024).unwrap_or(u32::MAX)],
        None => page_sizes(shell)?,
    };
    let mut records = Vec::new();
    for (at, cell) in cells(shell)?.into_iter().enumerate() {
        if at > 0 {
            sayln!(shell);
        }
        sayln!(shell, "Node {}:", cell);
        let counts = connection.node_get_free_pages(&sizes, cell, 1, 0)?;
        for (size, count) in sizes.iter().zip(counts) {
            sayln!(shell, "{}KiB: {}", size, count);
            records.push(free_pages(cell, *size, count));
        }
    }
    sayln!(shell);
    shell.records(records);
    Ok(())
}

/// The host's page sizes in KiB, smallest first.
fn page_sizes(shell: &mut Shell) -> Result<Vec<u32>, Failure> {
    let text = shell
        .connection()?
        .connect_get_capabilities()
        .during(|| "unable to get node capabilities")?;
    let root = xml::parse(&text)?;
    let cpu = xml::at(&root, &["host", "cpu"]);
    let pages = cpu.into_iter().flat_map(|cpu| cpu.children_named("pages"));
    let mut sizes: Vec<u32> = pages.filter_map(|pages| pages.attr("size")?.parse().ok()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    Ok(sizes)
}

pub(crate) fn cmd_allocpages(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("all", "cellno")?;
    let cell = args.number::<i32>("cellno")?;
    let size = args.scaled("pagesize", 1024, u64::from(u32::MAX) * 1024)?.unwrap_or_default();
    let count = args.number::<u64>("pagecount")?.unwrap_or_default();
    let flags = flags_of(args, &[("add", api::NODE_ALLOC_PAGES_ADD)]);
    let kib = u32::try_from(size / 1024).unwrap_or(u32::MAX);
    let connection = shell.connection()?;
    let (start, cells) = match args.flag("all") {
        true => {
            let cells = connection.node_get_info()?.nodes;
            (0, u32::try_from(cells).unwrap_or_default())
        }
        false => (cell.unwrap_or(-1), 1),
    };
    connection.node_alloc_pages(&[kib], &[count], start, cells, flags)?;
    Ok(())
}

pub(crate) fn cmd_nodecpumap(shell: &mut Shell, args: &Args) -> Done {
    let map = shell.connection()?.node_get_cpu_map(1, 1, 0);
    let map = map.during(|| "Unable to get cpu map")?;
    let cpus = usize::try_from(map.ret).unwrap_or_default();
    shell.field("CPUs present", "present", cpus);
    shell.field("CPUs online", "online", map.online);
    let online = ranges(&map.cpumap, cpus);
    let shown = match args.flag("pretty") {
        true => online.clone(),
        false => (0..cpus).map(|at| if bit(&map.cpumap, at) { 'y' } else { '-' }).collect(),
    };
    shell.field("CPU map", "cpus", Cell::new(shown, online));
    Ok(())
}

/// The kinds of time that are shown, in order.
const CPU_TIMES: &[&str] = &["user", "kernel", "idle", "iowait", "intr", "utilization"];
const CPU_LABELS: &[&str] = &["user:", "system:", "idle:", "iowait:", "intr:", "usage:"];

pub(crate) fn cmd_nodecpustats(shell: &mut Shell, args: &Args) -> Done {
    let cpu = args.number::<i32>("cpu")?;
    if cpu.is_some_and(|cpu| cpu < -1) {
        return fail("Invalid value of cpuNum");
    }
    let cpu = cpu.unwrap_or(api::NODE_CPU_STATS_ALL_CPUS);
    let connection = shell.connection()?;
    let read = || connection.node_get_cpu_stats(cpu, 0).during(|| "Unable to get node cpu stats");
    let first = times(&read()?);
    if !args.flag("percent") {
        for (label, time) in CPU_LABELS.iter().zip(first) {
            if let Some(time) = time {
                sayln!(shell, "{:<15} {:>20}", label, time);
                shell.fact(&cpu_key(label, "ns"), time);
            }
        }
        return Ok(());
    }
    if let Some(usage) = first[5] {
        sayln!(shell, "{:<15} {:>5.1}%", "usage:", usage);
        shell.fact("usage_percent", usage);
        return Ok(());
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    let second = times(&read()?);
    let spent: Vec<f64> = first
        .iter()
        .zip(second)
        .map(|(before, after)| {
            #[expect(clippy::cast_precision_loss, reason = "shown as a percentage")]
            let spent = after.unwrap_or(0).saturating_sub(before.unwrap_or(0)) as f64;
            spent
        })
        .collect();
    let total: f64 = spent.iter().take(4).sum();
    let usage = ("usage:", total - spent[2]);
    let parts = CPU_LABELS.iter().copied().zip(spent.iter().copied()).take(4);
    for (label, part) in std::iter::once(usage).chain(parts) {
        let percent = part / total * 100.0;
        match total > 0.0 {
            true => sayln!(shell, "{:<15} {:>5.1}%", label, percent),
            // Compat: no time has passed between the two looks.
            false => sayln!(shell, "{:<15}  -nan%", label),
        }
        shell.fact(&cpu_key(label, "percent"), percent);
    }
    Ok(())
}

fn cpu_key(label: &str, unit: &str) -> String {
    format!("{}_{unit}", label.trim_end_matches(':'))
}

fn times(stats: &[virt_types::NodeCpuStat]) -> [Option<u64>; 6] {
    let mut found = [None; 6];
    for (slot, name) in found.iter_mut().zip(CPU_TIMES) {
        *slot = stats.iter().find(|stat| stat.field == *name).map(|stat| stat.value);
    }
    found
}

pub(crate) fn cmd_nodememstats(shell: &mut Shell, args: &Args) -> Done {
    let cell = args.number::<i32>("cell")?.unwrap_or(api::NODE_MEMORY_STATS_ALL_CELLS);
    let stats = shell.connection()?.node_get_memory_stats(cell, 0);
    for stat in stats.during(|| "Unable to get number of memory stats")? {
        sayln!(shell, "{:<7}: {:>20} KiB", stat.field, stat.value);
        shell.fact(&format!("{}_kib", stat.field), stat.value);
    }
    Ok(())
}

pub(crate) fn cmd_nodesuspend(shell: &mut Shell, args: &Args) -> Done {
    let target = args.needed("target")?;
    let duration = args.number::<i64>("duration")?.unwrap_or_default();
    let target = suspend_target(target)?;
    let Ok(duration) = u64::try_from(duration) else { return fail("Invalid duration") };
    let asked = shell.connection()?.node_suspend_for_duration(target, duration, 0);
    asked.during(|| "The host was not suspended")
}

/// Prints named values in two columns, as a driver gives them.
fn print_params(shell: &mut Shell, params: &[virt_types::TypedParam]) {
    for param in params {
        sayln!(shell, "\t{:<15} {}", param.field, param.value);
    }
    shell.params(params);
}

pub(crate) fn cmd_nodesevinfo(shell: &mut Shell, _args: &Args) -> Done {
    let params = shell.connection()?.node_get_sev_info(0);
    let params = params.during(|| "Unable to get host SEV information")?;
    for param in &params {
        sayln!(shell, "{:<18}: {}", param.field, param.value);
    }
    shell.params(&params);
    Ok(())
}

pub(crate) fn cmd_node_memory_tune(shell: &mut Shell, args: &Args) -> Done {
    let mut params = Vec::new();
    for (option, name) in [
        ("shm-pages-to-scan", "shm_pages_to_scan"),
        ("shm-sleep-millisecs", "shm_sleep_millisecs"),
        ("shm-merge-across-nodes", "shm_merge_across_nodes"),
    ] {
        if let Some(value) = args.number::<u32>(option)? {
            params.push(virt_types::TypedParam::new(name, value));
        }
    }
    let connection = shell.connection()?;
    if params.is_empty() {
        let params = connection.node_get_memory_parameters(0);
        let params = params.during(|| "Unable to get number of memory parameters")?;
        sayln!(shell, "Shared memory:");
        print_params(shell, &params);
        return Ok(());
    }
    let changed = connection.node_set_memory_parameters(&params, 0);
    changed.during(|| "Unable to change memory parameters")
}

pub(crate) fn cmd_cpu_models(shell: &mut Shell, args: &Args) -> Done {
    let arch = args.needed("arch")?;
    let names = shell.connection()?.connect_get_cpu_model_names(arch, 0);
    let names: Vec<String> = names
        .map_err(|error: Error| Failure::from(error).during("failed to get CPU model names"))?;
    if names.is_empty() {
        sayln!(shell, "all CPU models are accepted");
    }
    print_names(shell, names.into_iter());
    Ok(())
}
