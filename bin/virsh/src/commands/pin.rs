//! Which of the host's CPUs the threads of a domain may run on.

use virt_cli::Args;
use virt_driver::Connection;
use virt_types::{DomainRef, TypedParam, api};

use super::tune::host_cpus;
use crate::failure::{Done, During as _, Failure, fail};
use crate::lookup::domain;
use crate::options::impact;
use crate::shell::{Shell, extra};
use crate::units::{parse_cpus, ranges};

/// Reads a list of CPUs into a map for a host of so many.
fn cpu_map(text: &str, cpus: usize) -> Result<Vec<u8>, Failure> {
    let listed: std::collections::BTreeSet<usize> = match text {
        "r" => (0..cpus).collect(),
        _ => parse_cpus(text).ok_or_else(|| {
            Failure::new(format!("invalid argument: Failed to parse bitmap '{text}'"))
                .during(format!("Invalid cpulist '{text}'"))
        })?,
    };
    if listed.is_empty() {
        return fail(format!("Invalid cpulist '{text}'"));
    }
    let mut map = vec![0_u8; cpus.div_ceil(8)];
    for cpu in listed {
        match map.get_mut(cpu / 8) {
            Some(byte) if cpu < cpus => *byte |= 1 << (cpu % 8),
            _ => return fail(format!("CPU {cpu} in cpulist '{text}' exceed the maxcpu {cpus}")),
        }
    }
    Ok(map)
}

fn map_length(cpus: usize) -> i32 {
    i32::try_from(cpus.div_ceil(8)).unwrap_or(i32::MAX)
}

pub(crate) fn cmd_vcpupin(shell: &mut Shell, args: &Args) -> Done {
    let (flags, given) = impact(args)?;
    let vcpu = args.number::<u32>("vcpu")?;
    let list = args.raw_text("cpulist");
    let vcpu = match (vcpu, list) {
        (None, Some(_)) => return fail("vcpupin: Missing vCPU number in pin mode."),
        (vcpu, None) => return show_vcpu_pins(shell, args, vcpu),
        (Some(vcpu), Some(_)) => vcpu,
    };
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let map = cpu_map(list.unwrap_or_default(), host_cpus(&connection)?)?;
    // Compat: without any flag it is the oldest of the calls, which every daemon has.
    match given {
        true => connection.domain_pin_vcpu_flags(&found, vcpu, &map, flags)?,
        false => connection.domain_pin_vcpu(&found, vcpu, &map)?,
    }
    Ok(())
}

/// Whether it is about what runs, for a domain that may run or not.
fn about_live(connection: &Connection, found: &DomainRef, flags: u32) -> Result<bool, Failure> {
    match flags {
        0 => Ok(connection.domain_is_active(found)?),
        flags => Ok(flags & api::DOMAIN_AFFECT_LIVE != 0),
    }
}

fn show_vcpu_pins(shell: &mut Shell, args: &Args, vcpu: Option<u32>) -> Done {
    args.exclusive("live", "config")?;
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let cpus = host_cpus(&connection)?;
    let live = about_live(&connection, &found, flags)?;
    if live && !connection.domain_is_active(&found)? {
        return fail("cannot get vcpupin for offline domain");
    }
    let which = if live { api::DOMAIN_AFFECT_LIVE } else { api::DOMAIN_AFFECT_CONFIG };
    let count =
        connection.domain_get_vcpus_flags(&found, which | api::DOMAIN_VCPU_MAXIMUM)?.unsigned_abs();
    if let Some(vcpu) = vcpu.filter(|vcpu| *vcpu >= count) {
        let kind = if live { "live" } else { "persistent" };
        return fail(format!("vcpu {vcpu} is out of range of {kind} cpu count {count}"));
    }
    let vcpus = i32::try_from(count).unwrap_or(i32::MAX);
    let pins = connection.domain_get_vcpu_pin_info(&found, vcpus, map_length(cpus), flags)?;
    let mut list = shell.listing(&[("VCPU", "vcpu"), ("CPU Affinity", "cpus")]);
    let maps = pins.cpumaps.chunks(cpus.div_ceil(8).max(1));
    let maps = (0..).zip(maps.take(usize::try_from(pins.num).unwrap_or_default()));
    for (at, map) in maps.filter(|(at, _)| vcpu.is_none_or(|vcpu| vcpu == *at)) {
        list.row([at.into(), ranges(map, cpus).into()]);
    }
    shell.print_listing(list);
    Ok(())
}

pub(crate) fn cmd_emulatorpin(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let cpus = host_cpus(&connection)?;
    if let Some(list) = args.raw_text("cpulist") {
        let map = cpu_map(list, cpus)?;
        return Ok(connection.domain_pin_emulator(&found, &map, flags)?);
    }
    let pins = connection.domain_get_emulator_pin_info(&found, map_length(cpus), flags)?;
    extra!(shell, "emulator: CPU Affinity\n----------------------------------");
    shell.print_extra(format_args!("       *: "));
    shell.answer("cpus", ranges(&pins.cpumaps, cpus));
    Ok(())
}

pub(crate) fn cmd_iothreadinfo(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let cpus = host_cpus(&connection)?;
    let threads = connection.domain_get_iothread_info(&found, flags);
    let threads = threads.during(|| "Unable to get domain IOThreads information")?.info;
    if threads.is_empty() {
        shell.print_extra(format_args!("No IOThreads found for the domain"));
        shell.records([]);
        return Ok(());
    }
    let mut list = shell.listing(&[("IOThread ID", "id"), ("CPU Affinity", "cpus")]);
    for thread in &threads {
        list.row([thread.iothread_id.into(), ranges(&thread.cpumap, cpus).into()]);
    }
    shell.print_listing(list);
    Ok(())
}

pub(crate) fn cmd_iothreadpin(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let thread = args.number::<u32>("iothread")?.unwrap_or_default();
    let connection = shell.connection()?;
    let list = args.needed("cpulist")?;
    let map = cpu_map(list, host_cpus(&connection)?)?;
    Ok(connection.domain_pin_iothread(&found, thread, &map, flags)?)
}

/// The id of an I/O thread; there is none with number 0.
fn thread_id(args: &Args) -> Result<u32, Failure> {
    let id = args.number::<i32>("id")?.unwrap_or_default();
    match u32::try_from(id) {
        Ok(id) if id > 0 => Ok(id),
        _ => fail(format!("Invalid IOThread id value: '{id}'")),
    }
}

pub(crate) fn cmd_iothreadadd(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let id = thread_id(args)?;
    Ok(shell.connection()?.domain_add_iothread(&found, id, flags)?)
}

pub(crate) fn cmd_iothreaddel(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let id = thread_id(args)?;
    Ok(shell.connection()?.domain_del_iothread(&found, id, flags)?)
}

pub(crate) fn cmd_iothreadset(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let id = thread_id(args)?;
    let mut params = Vec::new();
    if let Some(most) = args.number::<u64>("poll-max-ns")? {
        params.push(TypedParam::new(api::DOMAIN_IOTHREAD_POLL_MAX_NS, most));
    }
    for (option, name) in [
        ("poll-grow", api::DOMAIN_IOTHREAD_POLL_GROW),
        ("poll-shrink", api::DOMAIN_IOTHREAD_POLL_SHRINK),
    ] {
        // Compat: what does not fit is sent as it is, for the driver to refuse.
        let value = args.number::<u64>(option)?;
        params.extend(value.map(|value| match u32::try_from(value) {
            Ok(value) => TypedParam::new(name, value),
            Err(_) => TypedParam::new(name, value),
        }));
    }
    for (option, name) in [
        ("thread-pool-min", api::DOMAIN_IOTHREAD_THREAD_POOL_MIN),
        ("thread-pool-max", api::DOMAIN_IOTHREAD_THREAD_POOL_MAX),
    ] {
        params.extend(args.number::<i32>(option)?.map(|value| TypedParam::new(name, value)));
    }
    if params.is_empty() {
        return fail("Not enough arguments passed, nothing to set");
    }
    Ok(shell.connection()?.domain_set_iothread_params(&found, id, &params, flags)?)
}

pub(crate) fn cmd_setvcpu(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("enable", "disable")?;
    let (flags, _) = impact(args)?;
    let enable = args.flag("enable");
    if !enable && !args.flag("disable") {
        return fail("one of --enable, --disable is required");
    }
    let list = args.needed("vcpulist")?;
    let found = domain(shell, args)?;
    Ok(shell.connection()?.domain_set_vcpu(&found, list, i32::from(enable), flags)?)
}
