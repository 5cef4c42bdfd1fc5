//! Limits and weights of domains: lists of named values that are shown, or changed where given.

use virt_cli::Args;
use virt_error::Result as Answer;
use virt_json::Value;
use virt_types::{TypedParam, TypedValue, api};
use virt_xml::Element;

use crate::failure::{Done, During as _, Failure, fail};
use crate::lookup::domain;
use crate::options::impact;
use crate::rate::{Direction, Rate};
use crate::shell::{Shell, sayln};
use crate::xml;

/// Prints named values in two columns.
fn print_params(shell: &mut Shell, params: &[TypedParam]) {
    for param in params {
        sayln!(shell, "{:<15}: {}", param.field, param.value);
    }
    shell.params(params);
}

/// Changes the values that were given; without any, shows those in force.
fn tune(
    shell: &mut Shell,
    params: &[TypedParam],
    failed: (&str, &str),
    get: impl FnOnce() -> Answer<Vec<TypedParam>>,
    set: impl FnOnce() -> Answer<()>,
) -> Done {
    if !params.is_empty() {
        return set().during(|| failed.1);
    }
    print_params(shell, &get().during(|| failed.0)?);
    Ok(())
}

/// Options and the names of their values.
type Names = [(&'static str, &'static str)];

const MEMORY: &Names = &[
    ("hard-limit", "hard_limit"),
    ("soft-limit", "soft_limit"),
    ("swap-hard-limit", "swap_hard_limit"),
    ("min-guarantee", "min_guarantee"),
];

/// What stands for no limit at all: the largest number of KiB that is still a number of bytes.
const UNLIMITED: u64 = (1 << 53) - 1;

fn memory_limit(args: &Args, option: &str) -> Result<Option<u64>, Failure> {
    if args.number::<i64>(option).is_ok_and(|value| value.is_some_and(|value| value < 0)) {
        return Ok(Some(UNLIMITED));
    }
    match args.scaled(option, 1024, u64::MAX) {
        Ok(bytes) => Ok(bytes.map(|bytes| bytes.div_ceil(1024))),
        Err(problem) => {
            // Compat: the option is named in words of its own, the reason stays.
            let mut failure = Failure::default();
            failure.lines.push(format!("Unable to parse integer parameter {option}"));
            failure.lines.extend(problem.detail);
            Err(failure)
        }
    }
}

pub(crate) fn cmd_memtune(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let mut params = Vec::new();
    for (option, name) in MEMORY {
        if let Some(limit_kib) = memory_limit(args, option)? {
            params.push(TypedParam::new(*name, limit_kib));
        }
    }
    let connection = shell.connection()?;
    tune(
        shell,
        &params,
        ("Unable to get number of memory parameters", "Unable to change memory parameters"),
        || {
            let mut limits = connection.domain_get_memory_parameters(&found, flags)?;
            for limit in &mut limits {
                if limit.value == TypedValue::Ullong(UNLIMITED) {
                    limit.value = "unlimited".into();
                }
            }
            Ok(limits)
        },
        || connection.domain_set_memory_parameters(&found, &params, flags),
    )?;
    if let Some(Value::Object(limits)) = shell.taken() {
        let limits = limits.iter().map(|(name, limit)| {
            let known = matches!(limit, Value::Number(_)).then(|| limit.clone());
            (format!("{name}_kib"), known.unwrap_or(Value::Null))
        });
        let limits: Vec<(String, Value)> = limits.collect();
        shell.facts(limits.iter().map(|(name, limit)| (name.as_str(), limit.clone())));
    }
    Ok(())
}

/// How memory is spread over nodes, by number.
pub(crate) const NUMA_MODES: &[&str] = &["strict", "preferred", "interleave", "restrictive"];

fn numa_mode(text: &str) -> Result<i32, Failure> {
    let named = NUMA_MODES.iter().position(|mode| *mode == text);
    let number = named.and_then(|at| i32::try_from(at).ok()).or_else(|| text.parse().ok());
    number.ok_or_else(|| Failure::new(format!("Invalid mode: {text}")))
}

pub(crate) fn cmd_numatune(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let mut params = Vec::new();
    if let Some(nodes) = args.text("nodeset")? {
        params.push(TypedParam::new(api::DOMAIN_NUMA_NODESET, nodes));
    }
    if let Some(mode) = args.text("mode")? {
        params.push(TypedParam::new(api::DOMAIN_NUMA_MODE, numa_mode(mode)?));
    }
    let connection = shell.connection()?;
    tune(
        shell,
        &params,
        ("Unable to get numa parameters", "Unable to change numa parameters"),
        || {
            let mut values = connection.domain_get_numa_parameters(&found, flags)?;
            for param in &mut values {
                if let (api::DOMAIN_NUMA_MODE, TypedValue::Int(mode)) =
                    (param.field.as_str(), &param.value)
                {
                    param.value = super::info::word(NUMA_MODES, *mode, "?").into();
                }
            }
            Ok(values)
        },
        || connection.domain_set_numa_parameters(&found, &params, flags),
    )
}

const DEVICE_LIMITS: &Names = &[
    ("device-weights", api::DOMAIN_BLKIO_DEVICE_WEIGHT),
    ("device-read-iops-sec", api::DOMAIN_BLKIO_DEVICE_READ_IOPS),
    ("device-write-iops-sec", api::DOMAIN_BLKIO_DEVICE_WRITE_IOPS),
    ("device-read-bytes-sec", api::DOMAIN_BLKIO_DEVICE_READ_BPS),
    ("device-write-bytes-sec", api::DOMAIN_BLKIO_DEVICE_WRITE_BPS),
];

pub(crate) fn cmd_blkiotune(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let mut params = Vec::new();
    if let Some(weight) = args.number::<i32>("weight")? {
        match u32::try_from(weight) {
            Ok(value) if value > 0 => {
                params.push(TypedParam::new(api::DOMAIN_BLKIO_WEIGHT, value));
            }
            _ => return fail(format!("Invalid value of {weight} for I/O weight")),
        }
    }
    for (option, name) in DEVICE_LIMITS {
        let limits = args.text(option).or_else(|_| fail("Unable to parse string parameter"))?;
        params.extend(limits.map(|limits| TypedParam::new(*name, limits)));
    }
    let connection = shell.connection()?;
    tune(
        shell,
        &params,
        ("Unable to get number of blkio parameters", "Unable to change blkio parameters"),
        || connection.domain_get_blkio_parameters(&found, flags),
        || connection.domain_set_blkio_parameters(&found, &params, flags),
    )
}

pub(crate) fn cmd_domiftune(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let device = args.needed("interface")?;
    let inbound = Rate::of(args, Direction::Inbound)?;
    let outbound = Rate::of(args, Direction::Outbound)?;
    let mut params = Vec::new();
    for rate in [inbound, outbound].into_iter().flatten() {
        params.extend(rate.params());
    }
    let connection = shell.connection()?;
    tune(
        shell,
        &params,
        ("Unable to get interface parameters", "Unable to set interface parameters"),
        || connection.domain_get_interface_parameters(&found, device, flags),
        || connection.domain_set_interface_parameters(&found, device, &params, flags),
    )
}

/// Limits of disks: the option is the name with dashes; those of bytes take a unit.
pub(crate) const DISK_LIMITS: &[&str] = &[
    "total_bytes_sec",
    "read_bytes_sec",
    "write_bytes_sec",
    "total_bytes_sec_max",
    "read_bytes_sec_max",
    "write_bytes_sec_max",
    "total_iops_sec",
    "read_iops_sec",
    "write_iops_sec",
    "write_iops_sec_max",
    "read_iops_sec_max",
    "total_iops_sec_max",
    "size_iops_sec",
    "total_bytes_sec_max_length",
    "read_bytes_sec_max_length",
    "write_bytes_sec_max_length",
    "total_iops_sec_max_length",
    "read_iops_sec_max_length",
    "write_iops_sec_max_length",
];

fn disk_limits(args: &Args) -> Result<Vec<TypedParam>, Failure> {
    let mut params = Vec::new();
    // Compat: three of them are read in the other order than they are shown.
    let (before, rest) = DISK_LIMITS.split_at(9);
    let (turned, after) = rest.split_at(3);
    for name in before.iter().chain(turned.iter().rev()).chain(after) {
        let option = name.replace('_', "-");
        let scaled = name.contains("bytes") && !name.ends_with("length");
        let value = match scaled {
            true => args.scaled(&option, 1, u64::MAX),
            false => args.number::<u64>(&option),
        };
        let value = value.map_err(|problem| {
            // Compat: what the conversion says comes last.
            let mut failure = Failure::new(problem.message);
            failure.lines.push("Unable to parse integer parameter".to_owned());
            failure.lines.extend(problem.detail);
            failure
        })?;
        params.extend(value.map(|value| TypedParam::new(*name, value)));
    }
    Ok(params)
}

pub(crate) fn cmd_blkdeviotune(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let disk = args.needed("device")?;
    let mut params = disk_limits(args)?;
    let group = args.text("group-name");
    let unread = |problem| Failure::from(problem).then("Unable to parse group-name parameter");
    if let Some(group) = group.map_err(unread)? {
        params.push(TypedParam::new("group_name", group));
    }
    let connection = shell.connection()?;
    // Compat: the disk is the second thing that is asked about; flags fail at the first.
    let both = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG;
    let unread = match flags & both == both {
        true => "Unable to get number of block I/O throttle parameters",
        false => "Unable to get block I/O throttle parameters",
    };
    tune(
        shell,
        &params,
        (unread, "Unable to change block I/O throttle"),
        || connection.domain_get_block_io_tune(&found, Some(disk), flags),
        || connection.domain_set_block_io_tune(&found, disk, &params, flags),
    )
}

pub(crate) fn cmd_domthrottlegroupset(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let group = args.needed("group-name")?;
    let params = disk_limits(args)?;
    let changed = shell.connection()?.domain_set_throttle_group(&found, group, &params, flags);
    changed.during(|| "Unable to set throttle group")
}

pub(crate) fn cmd_domthrottlegroupdel(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = domain(shell, args)?;
    let group = args.needed("group-name")?;
    Ok(shell.connection()?.domain_del_throttle_group(&found, Some(group), flags)?)
}

/// The throttle groups in a domain's document, by name.
fn throttle_groups<'e, 'a>(root: &'e Element<'a>) -> Vec<(String, &'e Element<'a>)> {
    let groups = root.child("throttlegroups").into_iter();
    let groups = groups.flat_map(|groups| groups.children_named("throttlegroup"));
    groups.filter_map(|group| Some((group.child_text("group_name")?.into_owned(), group))).collect()
}

fn throttle_document(shell: &mut Shell, args: &Args) -> Result<String, Failure> {
    let found = domain(shell, args)?;
    let flags = if args.flag("inactive") { api::DOMAIN_XML_INACTIVE } else { 0 };
    Ok(shell.connection()?.domain_get_xml_desc(&found, flags)?)
}

pub(crate) fn cmd_domthrottlegrouplist(shell: &mut Shell, args: &Args) -> Done {
    let text = throttle_document(shell, args)?;
    let root = xml::parse(&text)?;
    let mut list = shell.listing(&[("Name", "name")]);
    for (name, _) in throttle_groups(&root) {
        list.row([name.into()]);
    }
    shell.print_listing(list);
    Ok(())
}

pub(crate) fn cmd_domthrottlegroupinfo(shell: &mut Shell, args: &Args) -> Done {
    let group = args.needed("group-name")?;
    let text = throttle_document(shell, args)?;
    let root = xml::parse(&text)?;
    for (name, element) in throttle_groups(&root) {
        let limits = element.elements().filter(|limit| limit.name != "group_name");
        for limit in limits.filter(|_| name == group) {
            let text = limit.text();
            sayln!(shell, "{:<15}: {}", limit.name, text);
            shell.fact(
                &limit.name,
                text.parse::<u64>().map_or_else(|_| (&*text).into(), Value::from),
            );
        }
    }
    Ok(())
}

fn print_perf_events(shell: &mut Shell, events: &[TypedParam]) {
    for TypedParam { field, value } in events {
        let state = if *value == TypedValue::Boolean(true) { "enabled" } else { "disabled" };
        sayln!(shell, "{:<15}: {}", field, state);
    }
    shell.params(events);
}

pub(crate) fn cmd_perf(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let mut params = Vec::new();
    for (option, state) in [("enable", true), ("disable", false)] {
        let names = args.text(option)?.into_iter().flat_map(|names| names.split(','));
        params.extend(names.map(|name| TypedParam::new(name, state)));
    }
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    if params.is_empty() {
        let events = connection.domain_get_perf_events(&found, flags);
        print_perf_events(shell, &events.during(|| "Unable to get perf events")?);
        return Ok(());
    }
    let changed = connection.domain_set_perf_events(&found, &params, flags);
    changed.during(|| "Unable to enable/disable perf events")?;
    print_perf_events(shell, &params);
    Ok(())
}

/// Reads a value as the kind that a driver has for it.
fn value_like(old: &TypedParam, text: &str) -> Result<TypedValue, Failure> {
    let (read, expected): (Option<TypedValue>, _) = match old.value {
        TypedValue::Int(_) => (text.parse().ok().map(TypedValue::Int), "int"),
        TypedValue::Uint(_) => (text.parse().ok().map(TypedValue::Uint), "unsigned int"),
        TypedValue::Llong(_) => (text.parse().ok().map(TypedValue::Llong), "long long"),
        TypedValue::Ullong(_) => (text.parse().ok().map(TypedValue::Ullong), "unsigned long long"),
        TypedValue::Double(_) => (text.parse().ok().map(TypedValue::Double), "double"),
        TypedValue::Boolean(_) => match text {
            "0" => (Some(false.into()), "boolean"),
            "1" => (Some(true.into()), "boolean"),
            _ => (None, "boolean"),
        },
        TypedValue::String(_) => (Some(text.into()), "string"),
    };
    read.ok_or_else(|| {
        let field = &old.field;
        Failure::new(format!(
            "invalid argument: Invalid value for field '{field}': expected {expected}"
        ))
    })
}

/// What `--weight`, `--cap` and `--set` change among the values that there are.
fn scheduler_changes(args: &Args, known: &[TypedParam]) -> Result<Vec<TypedParam>, Failure> {
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    let mut numbers = Vec::new();
    for option in ["weight", "cap"] {
        // Compat: less than nothing is as much as there is.
        let number = match args.number::<i32>(option) {
            Ok(Some(negative @ ..0)) => Some(negative.cast_unsigned().to_string()),
            _ => args.text(option)?.map(str::to_owned),
        };
        numbers.extend(number.map(|number| (option, number)));
    }
    wanted.extend(numbers.iter().map(|(option, number)| (*option, number.as_str())));
    for word in args.words("set") {
        match word.split_once('=') {
            Some(pair) => wanted.push(pair),
            None => return fail("Invalid syntax for --set, expecting name=value"),
        }
    }
    let change = |(name, value): (&str, &str)| match known.iter().find(|old| old.field == name) {
        Some(old) => Ok(TypedParam::new(name, value_like(old, value)?)),
        None => fail(format!("invalid scheduler option: {name}")),
    };
    wanted.into_iter().map(change).collect()
}

pub(crate) fn cmd_schedinfo(shell: &mut Shell, args: &Args) -> Done {
    let (flags, given) = impact(args)?;
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let scheduler = connection.domain_get_scheduler_type(&found)?;
    sayln!(shell, "{:<15}: {}", "Scheduler", scheduler.kind);
    shell.fact("scheduler", scheduler.kind.as_str());
    if scheduler.nparams == 0 {
        return Ok(());
    }
    // Compat: without any flag it is the oldest of the calls, which every daemon has.
    // Compat: both at once are asked for as neither.
    let both = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG;
    let flags = if flags == both { 0 } else { flags };
    let read = || match given {
        true => connection.domain_get_scheduler_parameters_flags(&found, flags),
        false => connection.domain_get_scheduler_parameters(&found),
    };
    let mut values = read()?;
    let changes = scheduler_changes(args, &values)?;
    if !changes.is_empty() {
        match given {
            true => connection.domain_set_scheduler_parameters_flags(&found, &changes, flags)?,
            false => connection.domain_set_scheduler_parameters(&found, &changes)?,
        }
        values = read()?;
    }
    print_params(shell, &values);
    Ok(())
}

pub(crate) fn cmd_domlaunchsecinfo(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let values = shell.connection()?.domain_get_launch_security_info(&found, 0);
    print_params(shell, &values.during(|| "Unable to get launch security parameters")?);
    Ok(())
}

pub(crate) fn cmd_guestvcpus(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("enable", "disable")?;
    args.requires("enable", "cpulist")?;
    args.requires("disable", "cpulist")?;
    let (enable, list) = (args.flag("enable"), args.text("cpulist")?);
    if list.is_some() && !enable && !args.flag("disable") {
        return fail("One of options --enable or --disable is required by option --cpulist");
    }
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    match list {
        Some(list) => Ok(connection.domain_set_guest_vcpus(&found, list, i32::from(enable), 0)?),
        None => {
            print_params(shell, &connection.domain_get_guest_vcpus(&found, 0)?);
            Ok(())
        }
    }
}
