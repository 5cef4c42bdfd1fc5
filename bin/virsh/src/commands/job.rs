//! Jobs of domains: how far they are, and ending them.

use virt_cli::Args;
use virt_driver::Connection;
use virt_error::Code;
use virt_json::Value;
use virt_types::{DomainGetJobStats, DomainJobInfo, DomainRef, TypedParam, TypedValue, api};

use crate::failure::{Done, During as _, Failure};
use crate::lookup::domain;
use crate::options::flags_of;
use crate::report::value_of;
use crate::shell::{Shell, say, sayln};
use crate::units::scale;

const KINDS: &[&str] = &["None", "Bounded", "Unbounded", "Completed", "Failed", "Cancelled"];

const OPERATIONS: &[&str] = &[
    "Unknown",
    "Start",
    "Save",
    "Restore",
    "Incoming migration",
    "Outgoing migration",
    "Snapshot",
    "Snapshot revert",
    "Dump",
    "Backup",
    "Snapshot delete",
];

/// How a statistic of a job is shown.
#[derive(Clone, Copy)]
enum Shown {
    /// Milliseconds.
    Time,
    /// Bytes in the unit that fits.
    Bytes,
    /// Bytes in the unit that fits, per second.
    Speed,
    /// A number, and what it counts.
    Count(&'static str),
    /// A number. Compat: one column wider.
    Wide,
    Operation,
    Text,
}

impl Shown {
    /// The statistic's name with its unit, where the driver's has none.
    fn key(self, field: &str) -> String {
        let unit = match self {
            Self::Time => "_ms",
            Self::Bytes if !field.ends_with("bytes") => "_bytes",
            Self::Speed => "_bytes_per_s",
            _ => "",
        };
        format!("{}{unit}", field.trim_end_matches("_bps"))
    }

    fn value(self, value: &TypedValue) -> Value {
        match self {
            Self::Operation => operation(value).into(),
            _ => value_of(value),
        }
    }
}

fn operation(value: &TypedValue) -> &'static str {
    let at = number(value).and_then(|at| i32::try_from(at).ok());
    super::info::word(OPERATIONS, at.unwrap_or(i32::MAX), "unknown")
}

/// What is shown of a job, in order.
const ROWS: &[(&str, &str, Shown)] = &[
    (api::DOMAIN_JOB_OPERATION, "Operation:", Shown::Operation),
    (api::DOMAIN_JOB_TIME_ELAPSED, "Time elapsed:", Shown::Time),
    (api::DOMAIN_JOB_TIME_ELAPSED_NET, "Time elapsed w/o network:", Shown::Time),
    (api::DOMAIN_JOB_TIME_REMAINING, "Time remaining:", Shown::Time),
    (api::DOMAIN_JOB_DATA_PROCESSED, "Data processed:", Shown::Bytes),
    (api::DOMAIN_JOB_DATA_REMAINING, "Data remaining:", Shown::Bytes),
    (api::DOMAIN_JOB_DATA_TOTAL, "Data total:", Shown::Bytes),
    (api::DOMAIN_JOB_MEMORY_PROCESSED, "Memory processed:", Shown::Bytes),
    (api::DOMAIN_JOB_MEMORY_REMAINING, "Memory remaining:", Shown::Bytes),
    (api::DOMAIN_JOB_MEMORY_TOTAL, "Memory total:", Shown::Bytes),
    (api::DOMAIN_JOB_MEMORY_BPS, "Memory bandwidth:", Shown::Speed),
    (api::DOMAIN_JOB_MEMORY_DIRTY_RATE, "Dirty rate:", Shown::Count("pages/s")),
    (api::DOMAIN_JOB_MEMORY_PAGE_SIZE, "Page size:", Shown::Count("bytes")),
    (api::DOMAIN_JOB_MEMORY_ITERATION, "Iteration:", Shown::Count("")),
    (api::DOMAIN_JOB_MEMORY_POSTCOPY_REQS, "Postcopy requests:", Shown::Count("")),
    (api::DOMAIN_JOB_DISK_PROCESSED, "File processed:", Shown::Bytes),
    (api::DOMAIN_JOB_DISK_REMAINING, "File remaining:", Shown::Bytes),
    (api::DOMAIN_JOB_DISK_TOTAL, "File total:", Shown::Bytes),
    (api::DOMAIN_JOB_DISK_BPS, "File bandwidth:", Shown::Speed),
    (api::DOMAIN_JOB_MEMORY_CONSTANT, "Constant pages:", Shown::Count("")),
    (api::DOMAIN_JOB_MEMORY_NORMAL, "Normal pages:", Shown::Count("")),
    (api::DOMAIN_JOB_MEMORY_NORMAL_BYTES, "Normal data:", Shown::Bytes),
    (api::DOMAIN_JOB_DOWNTIME, "Expected downtime:", Shown::Time),
    (api::DOMAIN_JOB_DOWNTIME_NET, "Downtime w/o network:", Shown::Time),
    (api::DOMAIN_JOB_SETUP_TIME, "Setup time:", Shown::Time),
    (api::DOMAIN_JOB_COMPRESSION_CACHE, "Compression cache:", Shown::Bytes),
    (api::DOMAIN_JOB_COMPRESSION_BYTES, "Compressed data:", Shown::Bytes),
    (api::DOMAIN_JOB_COMPRESSION_PAGES, "Compressed pages:", Shown::Wide),
    (api::DOMAIN_JOB_COMPRESSION_CACHE_MISSES, "Compression cache misses:", Shown::Wide),
    (api::DOMAIN_JOB_COMPRESSION_OVERFLOW, "Compression overflows:", Shown::Wide),
    (api::DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, "Auto converge throttle:", Shown::Wide),
    (api::DOMAIN_JOB_DISK_TEMP_USED, "Temporary disk space use:", Shown::Bytes),
    (api::DOMAIN_JOB_DISK_TEMP_TOTAL, "Temporary disk space total:", Shown::Bytes),
    (api::DOMAIN_JOB_ERRMSG, "Error message:", Shown::Text),
];

pub(crate) fn cmd_domjobinfo(shell: &mut Shell, args: &Args) -> Done {
    args.requires("keep-completed", "completed")?;
    let found = domain(shell, args)?;
    let flags = flags_of(
        args,
        &[
            ("completed", api::DOMAIN_JOB_STATS_COMPLETED),
            ("keep-completed", api::DOMAIN_JOB_STATS_KEEP_COMPLETED),
        ],
    );
    let raw = args.flag("rawstats");
    let connection = shell.connection()?;
    let job = job_of(&connection, &found, flags, raw)?;
    if raw {
        sayln!(shell, "Job type: {}\n", job.kind);
        job.params.iter().for_each(|param| sayln!(shell, "{}: {}", param.field, param.value));
        shell.fact("type", super::info::word(KINDS, job.kind, "unknown"));
        shell.params(&job.params);
        return Ok(());
    }
    let kind = super::info::word(KINDS, job.kind, "unknown");
    shell.fact("type", kind);
    sayln!(shell, "{:<17} {:<12}", "Job type:", kind);
    if job.kind == api::DOMAIN_JOB_NONE {
        return Ok(());
    }
    // Compat: of a job that has ended its operation alone is told, unless that was asked for.
    let told = match job.kind {
        api::DOMAIN_JOB_BOUNDED | api::DOMAIN_JOB_UNBOUNDED => true,
        api::DOMAIN_JOB_COMPLETED => args.flag("completed"),
        _ => false,
    };
    let rows = if told || args.flag("anystats") { ROWS } else { &ROWS[..1] };
    for (field, label, shown) in rows {
        let found = job.params.iter().find(|param| param.field == *field);
        let value = found.map(|param| param.value.clone()).or_else(|| absent(&job, field));
        if let Some(value) = value.filter(|_| worth_showing(&job, field)) {
            let over = *field == api::DOMAIN_JOB_DOWNTIME && job.kind == api::DOMAIN_JOB_COMPLETED;
            show(shell, if over { "Total downtime:" } else { label }, *shown, &value);
            shell.fact(&shown.key(field), shown.value(&value));
        }
    }
    Ok(())
}

/// A job's kind of amounts of work: what there is altogether, done, and left.
const AMOUNTS: [&str; 3] = ["total", "processed", "remaining"];

fn amount(job: &DomainGetJobStats, field: &str) -> u64 {
    let found = job.params.iter().find(|param| param.field == field);
    found.and_then(|param| number(&param.value)).unwrap_or_default()
}

/// Whether there is anything to do of a kind: `data`, `memory`, `disk`.
fn is_at_work(job: &DomainGetJobStats, kind: &str) -> bool {
    AMOUNTS.iter().any(|part| amount(job, &format!("{kind}_{part}")) != 0)
}

/// What stands for a statistic that the driver does not give; most are left out.
fn absent(job: &DomainGetJobStats, field: &str) -> Option<TypedValue> {
    let known = match field.split_once('_') {
        Some((kind @ ("data" | "memory" | "disk"), part)) => {
            AMOUNTS.contains(&part) && is_at_work(job, kind)
        }
        _ => [
            api::DOMAIN_JOB_OPERATION,
            api::DOMAIN_JOB_TIME_ELAPSED,
            api::DOMAIN_JOB_TIME_REMAINING,
        ]
        .contains(&field),
    };
    known.then_some(TypedValue::Ullong(0))
}

/// Facts of a kind of work that is shown with its amounts, and not without.
const WITHIN: &[&str] = &[
    api::DOMAIN_JOB_MEMORY_DIRTY_RATE,
    api::DOMAIN_JOB_MEMORY_PAGE_SIZE,
    api::DOMAIN_JOB_MEMORY_ITERATION,
    api::DOMAIN_JOB_MEMORY_POSTCOPY_REQS,
];

fn worth_showing(job: &DomainGetJobStats, field: &str) -> bool {
    match field.split_once('_') {
        Some((kind @ ("data" | "memory" | "disk"), part)) => {
            let within = AMOUNTS.contains(&part) || WITHIN.contains(&field);
            let speed = part == "bps";
            !(within || speed) || is_at_work(job, kind) && (!speed || amount(job, field) != 0)
        }
        Some(("time", "remaining")) => job.kind == api::DOMAIN_JOB_BOUNDED,
        _ => true,
    }
}

fn number(value: &TypedValue) -> Option<u64> {
    match value {
        TypedValue::Int(value) => u64::try_from(*value).ok(),
        TypedValue::Uint(value) => Some(u64::from(*value)),
        TypedValue::Llong(value) => u64::try_from(*value).ok(),
        TypedValue::Ullong(value) => Some(*value),
        _ => None,
    }
}

fn show(shell: &mut Shell, label: &str, shown: Shown, value: &TypedValue) {
    let amount = number(value).unwrap_or_default();
    say!(shell, "{label:<17} ");
    match shown {
        Shown::Time => sayln!(shell, "{:<12} ms", amount),
        Shown::Wide => sayln!(shell, "{:<13}", amount),
        Shown::Count("") => sayln!(shell, "{:<12}", amount),
        Shown::Count(what) => sayln!(shell, "{:<12} {}", amount, what),
        Shown::Bytes | Shown::Speed => {
            let (size, unit) = scale(amount);
            let per = if matches!(shown, Shown::Speed) { "/s" } else { "" };
            sayln!(shell, "{:.3} {}{}", size, unit, per);
        }
        Shown::Operation => sayln!(shell, "{:<12}", operation(value)),
        Shown::Text => sayln!(shell, "{}", value),
    }
}

/// The statistics of a job. Compat: a driver without them is asked for the older, shorter record,
/// which knows of no job but the current one.
fn job_of(
    connection: &Connection,
    found: &DomainRef,
    flags: u32,
    raw: bool,
) -> Result<DomainGetJobStats, Failure> {
    match connection.domain_get_job_stats(found, flags) {
        Err(error) if !error.is(Code::NoSupport) => Err(error.into()),
        Err(error) if flags != 0 || raw => {
            Err(error).during(|| "Optional flags or --rawstats are not supported by the daemon")
        }
        Err(_) => Ok(as_stats(&connection.domain_get_job_info(found)?)),
        Ok(stats) => Ok(stats),
    }
}

fn as_stats(info: &DomainJobInfo) -> DomainGetJobStats {
    let params = [
        (api::DOMAIN_JOB_TIME_ELAPSED, info.time_elapsed),
        (api::DOMAIN_JOB_TIME_REMAINING, info.time_remaining),
        (api::DOMAIN_JOB_DATA_TOTAL, info.data_total),
        (api::DOMAIN_JOB_DATA_PROCESSED, info.data_processed),
        (api::DOMAIN_JOB_DATA_REMAINING, info.data_remaining),
        (api::DOMAIN_JOB_MEMORY_TOTAL, info.mem_total),
        (api::DOMAIN_JOB_MEMORY_PROCESSED, info.mem_processed),
        (api::DOMAIN_JOB_MEMORY_REMAINING, info.mem_remaining),
        (api::DOMAIN_JOB_DISK_TOTAL, info.file_total),
        (api::DOMAIN_JOB_DISK_PROCESSED, info.file_processed),
        (api::DOMAIN_JOB_DISK_REMAINING, info.file_remaining),
    ];
    let params = params.map(|(field, value)| TypedParam::new(field, value));
    DomainGetJobStats { kind: info.kind, params: params.into() }
}

pub(crate) fn cmd_domjobabort(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let flags = flags_of(args, &[("postcopy", api::DOMAIN_ABORT_JOB_POSTCOPY)]);
    let connection = shell.connection()?;
    // Compat: the oldest call that can express what was asked.
    match flags {
        0 => connection.domain_abort_job(&found)?,
        _ => connection.domain_abort_job_flags(&found, flags)?,
    }
    Ok(())
}
