//! Memory and virtual CPUs of a domain.

use virt_cli::{Args, Cell, Problem};
use virt_driver::Connection;
use virt_error::{Code, Error};
use virt_types::{DomainRef, api};

use crate::failure::{Done, During as _, Failure, fail};
use crate::lookup::domain;
use crate::options::{flags_of, impact};
use crate::shell::{Shell, say, sayln};
use crate::units::{bit, ranges, tenths};

const KIB: u64 = 1024;

/// The size that was asked for, in KiB and rounded up.
fn size_kib(args: &Args) -> Result<u64, Problem> {
    Ok(args.scaled("size", KIB, u64::MAX)?.unwrap_or_default().div_ceil(KIB))
}

pub(crate) fn cmd_setmem(shell: &mut Shell, args: &Args) -> Done {
    let (flags, given) = impact(args)?;
    let found = domain(shell, args)?;
    let memory_kib = size_kib(args)?;
    // Compat: without any flag it is about what runs.
    let flags = if given { flags } else { api::DOMAIN_AFFECT_LIVE };
    Ok(shell.connection()?.domain_set_memory_flags(&found, memory_kib, flags)?)
}

pub(crate) fn cmd_setmaxmem(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let memory_kib = size_kib(args)?;
    let flags = flags | api::DOMAIN_MEM_MAXIMUM;
    let changed = shell.connection()?.domain_set_memory_flags(&found, memory_kib, flags);
    changed.during(|| "Unable to change MaxMemorySize")
}

pub(crate) fn cmd_setvcpus(shell: &mut Shell, args: &Args) -> Done {
    let (mut flags, given) = impact(args)?;
    args.exclusive("guest", "config")?;
    args.requires("maximum", "config")?;
    flags |= flags_of(
        args,
        &[
            ("guest", api::DOMAIN_VCPU_GUEST),
            ("maximum", api::DOMAIN_VCPU_MAXIMUM),
            ("hotpluggable", api::DOMAIN_VCPU_HOTPLUGGABLE),
        ],
    );
    let found = domain(shell, args)?;
    let count = args.number::<u32>("count")?.unwrap_or_default();
    if count == 0 {
        return fail("Can't set 0 processors for a VM");
    }
    let connection = shell.connection()?;
    // Compat: without any flag it is the oldest of the calls, which every daemon has.
    match flags == 0 && !given {
        true => connection.domain_set_vcpus(&found, count)?,
        false => connection.domain_set_vcpus_flags(&found, count, flags)?,
    }
    Ok(())
}

/// One count, by its flags.
fn vcpu_count(connection: &Connection, domain: &DomainRef, flags: u32) -> Result<i32, Failure> {
    let count = connection.domain_get_vcpus_flags(domain, flags);
    // Compat: said only of a daemon that does not know the question.
    let strange = |error: &Error| error.is(Code::NoSupport) || error.is(Code::InvalidArg);
    match flags & api::DOMAIN_VCPU_GUEST != 0 && count.as_ref().is_err_and(strange) {
        true => count.during(|| "Failed to retrieve vCPU count from the guest"),
        false => Ok(count?),
    }
}

pub(crate) fn cmd_vcpucount(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("live", "config")?;
    args.exclusive("active", "maximum")?;
    // Compat: beside these two alone it is looked at.
    if args.flag("active") || args.flag("maximum") {
        args.exclusive("current", "config")?;
        args.exclusive("current", "live")?;
    }
    args.exclusive("guest", "config")?;
    let flags = flags_of(
        args,
        &[
            ("maximum", api::DOMAIN_VCPU_MAXIMUM),
            ("config", api::DOMAIN_AFFECT_CONFIG),
            ("live", api::DOMAIN_AFFECT_LIVE),
            ("guest", api::DOMAIN_VCPU_GUEST),
        ],
    );
    let single = ["maximum", "active", "config", "live", "current", "guest"];
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    if single.iter().any(|option| args.flag(option)) {
        let count = vcpu_count(&connection, &found, flags)?;
        shell.answer("count", count);
        return Ok(());
    }
    const MAXIMUM: u32 = api::DOMAIN_VCPU_MAXIMUM;
    for (label, which, flags) in [
        ("maximum", "config", MAXIMUM | api::DOMAIN_AFFECT_CONFIG),
        ("maximum", "live", MAXIMUM | api::DOMAIN_AFFECT_LIVE),
        ("current", "config", api::DOMAIN_AFFECT_CONFIG),
        ("current", "live", api::DOMAIN_AFFECT_LIVE),
    ] {
        if let Ok(count) = connection.domain_get_vcpus_flags(&found, flags) {
            sayln!(shell, "{:<12} {:<12} {:>3}", label, which, count);
            shell.fact(&format!("{label}_{which}"), count);
        }
    }
    Ok(())
}

const VCPU_STATES: &[&str] = &["offline", "running", "blocked"];

pub(crate) fn cmd_vcpuinfo(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let cpus = host_cpus(&connection)?;
    let info = connection.domain_get_info(&found)?;
    let vcpus = i32::from(info.nr_virt_cpu);
    let map_bytes = cpus.div_ceil(8);
    let map_length = i32::try_from(map_bytes).unwrap_or(i32::MAX);
    let pretty = args.flag("pretty");
    let (states, maps) = match connection.domain_get_vcpus(&found, vcpus, map_length) {
        Ok(answer) => (Some(answer.info), answer.cpumaps),
        Err(error) => match connection.domain_is_active(&found) {
            Ok(false) => (None, planned_affinity(&connection, &found, vcpus, map_length)?),
            _ => return Err(error.into()),
        },
    };
    let count = states.as_ref().map_or(usize::from(info.nr_virt_cpu), Vec::len);
    let mut records = Vec::new();
    for at in 0..count {
        shell.field("VCPU", "vcpu", at);
        show_vcpu(shell, states.as_ref().and_then(|states| states.get(at)));
        let map = maps.get(at * map_bytes..(at + 1) * map_bytes).unwrap_or_default();
        let shown = Cell::new(affinity(map, cpus, pretty), ranges(map, cpus));
        shell.field("CPU Affinity", "cpus", shown);
        if at + 1 < count {
            sayln!(shell);
        }
        records.extend(shell.taken());
    }
    shell.records(records);
    Ok(())
}

/// Where a virtual CPU runs, and how; nothing is known of one whose domain does not run.
fn show_vcpu(shell: &mut Shell, state: Option<&virt_types::VcpuInfo>) {
    let Some(state) = state else {
        for (label, key) in [("CPU", "cpu"), ("State", "state")] {
            shell.field(label, key, Cell::none("N/A"));
        }
        say!(shell, "{:<15} N/A\n", "CPU time");
        return;
    };
    let cpu = match state.cpu {
        api::VCPU_INFO_CPU_OFFLINE | api::VCPU_INFO_CPU_UNAVAILABLE => Cell::none("N/A"),
        cpu => cpu.into(),
    };
    shell.field("CPU", "cpu", cpu);
    shell.field("State", "state", super::info::word(VCPU_STATES, state.state, "no state"));
    if state.cpu_time != 0 {
        shell.field("CPU time", "cpu_time_ns", Cell::new(tenths(state.cpu_time), state.cpu_time));
    }
}

fn affinity(map: &[u8], cpus: usize, pretty: bool) -> String {
    match pretty {
        true => format!("{} (out of {cpus})", ranges(map, cpus)),
        false => (0..cpus).map(|cpu| if bit(map, cpu) { 'y' } else { '-' }).collect(),
    }
}

/// How many CPUs the host has, present or not.
pub(crate) fn host_cpus(connection: &Connection) -> Result<usize, Failure> {
    if let Ok(map) = connection.node_get_cpu_map(0, 0, 0)
        && let Ok(cpus) = usize::try_from(map.ret)
    {
        return Ok(cpus);
    }
    let info = connection.node_get_info()?;
    let shape = [info.nodes, info.sockets, info.cores, info.threads];
    let cpus = shape.iter().try_fold(1_i32, |all, part| all.checked_mul(*part));
    Ok(cpus.and_then(|cpus| usize::try_from(cpus).ok()).unwrap_or_default())
}

/// The affinity that a domain will start with.
fn planned_affinity(
    connection: &Connection,
    domain: &DomainRef,
    vcpus: i32,
    map_length: i32,
) -> Result<Vec<u8>, Failure> {
    let flags = api::DOMAIN_AFFECT_CONFIG;
    Ok(connection.domain_get_vcpu_pin_info(domain, vcpus, map_length, flags)?.cpumaps)
}
