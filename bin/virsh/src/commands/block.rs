//! Jobs on disks of running domains: copying, committing, pulling; and resizing disks.

use std::time::{Duration, Instant};

use virt_cli::Args;
use virt_driver::Connection;
use virt_types::{DomainRef, TypedParam, api};
use virt_xml::Element;

use crate::failure::{Done, During as _, Failure, fail};
use crate::files::read_document;
use crate::interrupt::Watched;
use crate::lookup::domain;
use crate::options::flags_of;
use crate::progress;
use crate::shell::{Shell, say, sayln};
use crate::xml;

const MIB: u64 = 1 << 20;

/// The limit of `--bandwidth`: in MiB/s, or with `--bytes` in bytes/s.
fn bandwidth(args: &Args) -> Result<u64, Failure> {
    if args.flag("bytes") {
        return scaled_bytes(args);
    }
    match args.number_or_less("bandwidth") {
        Ok(limit) => Ok(limit.unwrap_or_default()),
        // Compat: a limit with a unit is one in bytes.
        Err(_) => Ok(scaled_bytes(args)? >> 20),
    }
}

fn scaled_bytes(args: &Args) -> Result<u64, Failure> {
    let Some(text) = args.raw_text("bandwidth") else { return Ok(0) };
    virt_cli::parse_scaled(text, 1, u64::MAX).map_err(|detail| {
        let mut failure = Failure::from(args.malformed("Scaled numeric", "--bandwidth", text));
        failure.lines.extend((!detail.is_empty()).then_some(detail));
        failure
    })
}

/// A command that starts a job on a disk, and how it waits for that job's end.
struct Waiting {
    /// What is shown in front of the percentage.
    label: &'static str,
    /// What is shown if the job was given up.
    aborted: &'static str,
    wait: bool,
    verbose: bool,
    timeout: Option<Duration>,
    /// Do not wait until a job that is given up has ended.
    asynchronous: bool,
}

impl Waiting {
    /// `implying` are the options that mean `--wait`; without any, `--wait` itself must be there.
    fn of(
        args: &Args,
        label: &'static str,
        aborted: &'static str,
        implying: &[&str],
    ) -> Result<Self, Failure> {
        let implied = implying.iter().any(|option| args.flag(option));
        let mut wait = args.flag("wait") || implied;
        let timeout = super::event::timeout_of(args)?;
        wait |= timeout.is_some();
        let asynchronous = args.flag("async");
        for option in ["verbose", "async"] {
            if !wait && args.flag(option) {
                let last = implying.last().copied().unwrap_or_default();
                return fail(format!(
                    "--{option} requires at least one of --timeout, --wait, --pivot, or --{last}"
                ));
            }
        }
        Ok(Self { label, aborted, wait, verbose: args.flag("verbose"), timeout, asynchronous })
    }

    /// Waits until the job has ended or is ready to be ended. False if it was given up.
    fn until_ready(
        &self,
        shell: &mut Shell,
        connection: &Connection,
        found: &DomainRef,
        disk: &str,
    ) -> Result<bool, Failure> {
        const LOOK: Duration = Duration::from_millis(50);
        /// How often the job is asked how far it is.
        const ASK: Duration = Duration::from_millis(500);
        let watched = Watched::new();
        let started = Instant::now();
        let mut asked: Option<Instant> = None;
        loop {
            if asked.is_none_or(|asked| asked.elapsed() >= ASK) {
                asked = Some(Instant::now());
                let info = connection.domain_get_block_job_info(found, disk, 0);
                let info = info.during(|| format!("failed to query job for disk {disk}"))?;
                let ended = info.found == 0;
                if self.verbose {
                    let shown = match ended {
                        true => 100.0,
                        false => share(info.cur, info.end),
                    };
                    progress::show(self.label, shown);
                }
                if ended {
                    return Ok(true);
                }
                let phases =
                    [api::DOMAIN_BLOCK_JOB_TYPE_COPY, api::DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT];
                let all = info.cur == info.end && info.end != 0;
                if all && phases.contains(&info.kind) && is_ready(connection, found, disk) {
                    return Ok(true);
                }
            }
            let late = self.timeout.is_some_and(|timeout| started.elapsed() >= timeout);
            if late || watched.pressed() {
                let flags = if self.asynchronous { api::DOMAIN_BLOCK_JOB_ABORT_ASYNC } else { 0 };
                let aborted = connection.domain_block_job_abort(found, disk, flags);
                aborted.during(|| format!("failed to abort job for disk {disk}"))?;
                say!(shell, "\n{}", self.aborted);
                return Ok(false);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Whether a job of two phases is in its second: the domain's document tells. What is not found there
/// is taken as ready.
fn is_ready(connection: &Connection, found: &DomainRef, disk: &str) -> bool {
    let Ok(text) = connection.domain_get_xml_desc(found, 0) else { return true };
    let Ok(root) = xml::parse(&text) else { return true };
    xml::mirror_of(&root, disk).is_none_or(|mirror| mirror.attr("ready").is_some())
}

/// How far a job on a disk is, in percent.
fn share(cur: u64, end: u64) -> f64 {
    match end {
        0 => 0.0,
        _ => progress::percent(end.saturating_sub(cur), end),
    }
}

pub(crate) fn cmd_blockcommit(shell: &mut Shell, args: &Args) -> Done {
    let (pivot, keep) = (args.flag("pivot"), args.flag("keep-overlay"));
    args.exclusive("pivot", "keep-overlay")?;
    args.needed("path")?;
    let (base, top) = (args.text("base")?, args.text("top")?);
    let waiting = Waiting::of(args, "Block commit", "Commit aborted", &["pivot", "keep-overlay"])?;
    let disk = args.needed("path")?;
    let limit = bandwidth(args)?;
    let active = args.flag("active") || pivot || keep;
    let mut flags = flags_of(
        args,
        &[
            ("shallow", api::DOMAIN_BLOCK_COMMIT_SHALLOW),
            ("delete", api::DOMAIN_BLOCK_COMMIT_DELETE),
            ("keep-relative", api::DOMAIN_BLOCK_COMMIT_RELATIVE),
            ("bytes", api::DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES),
        ],
    );
    if active {
        flags |= api::DOMAIN_BLOCK_COMMIT_ACTIVE;
    }
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    connection.domain_block_commit(&found, disk, base, top, limit, flags)?;
    if !waiting.wait {
        let what = if active { "Active Block Commit started" } else { "Block Commit started" };
        say!(shell, "{what}");
        return Ok(());
    }
    if !waiting.until_ready(shell, &connection, &found, disk)? {
        return Err(Failure::silent());
    }
    if pivot {
        end_with_pivot(&connection, &found, disk)?;
        say!(shell, "\nSuccessfully pivoted");
    } else if keep {
        let ended = connection.domain_block_job_abort(&found, disk, 0);
        ended.during(|| format!("failed to finish job for disk {disk}"))?;
        say!(shell, "\nCommit complete, overlay image kept");
    } else if active {
        say!(shell, "\nNow in synchronized phase");
    } else {
        say!(shell, "\nCommit complete");
    }
    Ok(())
}

fn end_with_pivot(connection: &Connection, found: &DomainRef, disk: &str) -> Done {
    let flags = api::DOMAIN_BLOCK_JOB_ABORT_PIVOT;
    let ended = connection.domain_block_job_abort(found, disk, flags);
    ended.during(|| format!("failed to pivot job for disk {disk}"))
}

pub(crate) fn cmd_blockpull(shell: &mut Shell, args: &Args) -> Done {
    args.requires("verbose", "wait")?;
    args.requires("async", "wait")?;
    let disk = args.needed("path")?;
    let base = args.text("base")?;
    let waiting = Waiting::of(args, "Block Pull", "Pull aborted", &[])?;
    let limit = bandwidth(args)?;
    let relative = args.flag("keep-relative");
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    // Compat: the oldest call that can express what was asked.
    if base.is_some() || relative {
        let mut flags = flags_of(args, &[("bytes", api::DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES)]);
        if relative {
            flags |= api::DOMAIN_BLOCK_REBASE_RELATIVE;
        }
        connection.domain_block_rebase(&found, disk, base, limit, flags)?;
    } else {
        let flags = flags_of(args, &[("bytes", api::DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES)]);
        connection.domain_block_pull(&found, disk, limit, flags)?;
    }
    if !waiting.wait {
        say!(shell, "Block Pull started");
        return Ok(());
    }
    if !waiting.until_ready(shell, &connection, &found, disk)? {
        return Err(Failure::silent());
    }
    say!(shell, "\nPull complete");
    Ok(())
}

pub(crate) fn cmd_blockcopy(shell: &mut Shell, args: &Args) -> Done {
    for (one, other) in
        [("dest", "xml"), ("format", "xml"), ("blockdev", "xml"), ("pivot", "finish")]
    {
        args.exclusive(one, other)?;
    }
    let disk = args.needed("path")?;
    let (given, dest, format) = (args.text("xml")?, args.text("dest")?, args.text("format")?);
    let limit = bandwidth(args)?;
    let (granularity, in_flight) =
        (args.number::<u32>("granularity")?, args.number::<u64>("buf-size")?);
    // Compat: a number that is none is said before what is missing.
    super::event::timeout_of(args)?;
    let document = match (given, dest) {
        (Some(file), _) => read_document(file)?,
        (None, Some(dest)) => copy_document(dest, format, args.flag("blockdev")),
        (None, None) => return fail("need either --dest or --xml"),
    };
    let waiting = Waiting::of(args, "Block Copy", "Copy aborted", &["pivot", "finish"])?;
    if args.flag("print-xml") {
        say!(shell, "{document}");
        return Ok(());
    }
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let newer = given.is_some()
        || format.is_some_and(|format| format != "raw")
        || granularity.is_some()
        || in_flight.is_some()
        || args.flag("transient-job")
        || args.flag("synchronous-writes");
    // Compat: the oldest call that can express what was asked.
    match dest.filter(|_| !newer) {
        Some(dest) => {
            let flags = api::DOMAIN_BLOCK_REBASE_COPY | rebase_flags(args, format);
            connection.domain_block_rebase(&found, disk, Some(dest), limit, flags)?;
        }
        None => {
            let mut params = Vec::new();
            if limit != 0 {
                let bytes = if args.flag("bytes") { limit } else { limit.saturating_mul(MIB) };
                params.push(TypedParam::new(api::DOMAIN_BLOCK_COPY_BANDWIDTH, bytes));
            }
            if let Some(granularity) = granularity {
                params.push(TypedParam::new(api::DOMAIN_BLOCK_COPY_GRANULARITY, granularity));
            }
            if let Some(bytes) = in_flight {
                params.push(TypedParam::new(api::DOMAIN_BLOCK_COPY_BUF_SIZE, bytes));
            }
            let flags = flags_of(
                args,
                &[
                    ("shallow", api::DOMAIN_BLOCK_COPY_SHALLOW),
                    ("reuse-external", api::DOMAIN_BLOCK_COPY_REUSE_EXT),
                    ("transient-job", api::DOMAIN_BLOCK_COPY_TRANSIENT_JOB),
                    ("synchronous-writes", api::DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES),
                ],
            );
            connection.domain_block_copy(&found, disk, &document, &params, flags)?;
        }
    }
    if !waiting.wait {
        say!(shell, "Block Copy started");
        return Ok(());
    }
    if !waiting.until_ready(shell, &connection, &found, disk)? {
        return Err(Failure::silent());
    }
    finish_copy(shell, args, (&connection, &found, disk))
}

fn rebase_flags(args: &Args, format: Option<&str>) -> u32 {
    let raw = if format.is_some() { api::DOMAIN_BLOCK_REBASE_COPY_RAW } else { 0 };
    raw | flags_of(
        args,
        &[
            ("shallow", api::DOMAIN_BLOCK_REBASE_SHALLOW),
            ("reuse-external", api::DOMAIN_BLOCK_REBASE_REUSE_EXT),
            ("blockdev", api::DOMAIN_BLOCK_REBASE_COPY_DEV),
            ("bytes", api::DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES),
        ],
    )
}

/// What becomes of a copy that is as new as its disk.
fn finish_copy(shell: &mut Shell, args: &Args, job: (&Connection, &DomainRef, &str)) -> Done {
    let (connection, found, disk) = job;
    if args.flag("pivot") {
        end_with_pivot(connection, found, disk)?;
        say!(shell, "\nSuccessfully pivoted");
    } else if args.flag("finish") {
        let ended = connection.domain_block_job_abort(found, disk, 0);
        ended.during(|| format!("failed to finish job for disk {disk}"))?;
        say!(shell, "\nSuccessfully copied");
    } else {
        say!(shell, "\nNow in mirroring phase");
    }
    Ok(())
}

/// The document of a copy's destination.
fn copy_document(dest: &str, format: Option<&str>, block: bool) -> String {
    let (kind, attr) = if block { ("block", "dev") } else { ("file", "file") };
    let mut disk = Element::new("disk")
        .with_attr("type", kind)
        .with_child(Element::new("source").with_attr(attr, dest));
    if let Some(format) = format {
        disk = disk.with_child(Element::new("driver").with_attr("type", format));
    }
    xml::own_document(&disk)
}

const JOBS: &[&str] =
    &["Unknown job", "Block Pull", "Block Copy", "Block Commit", "Active Block Commit", "Backup"];

pub(crate) fn cmd_blockjob(shell: &mut Shell, args: &Args) -> Done {
    for (one, other) in [
        ("info", "abort"),
        ("info", "async"),
        ("info", "pivot"),
        ("info", "bandwidth"),
        ("raw", "abort"),
        ("raw", "async"),
        ("raw", "pivot"),
        ("raw", "bandwidth"),
        ("bytes", "abort"),
        ("bytes", "async"),
        ("bytes", "pivot"),
    ] {
        args.exclusive(one, other)?;
    }
    let found = domain(shell, args)?;
    let disk = args.needed("path")?;
    let connection = shell.connection()?;
    if args.flag("bandwidth") {
        let limit = bandwidth(args)?;
        let flags = flags_of(args, &[("bytes", api::DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES)]);
        return Ok(connection.domain_block_job_set_speed(&found, disk, limit, flags)?);
    }
    if ["abort", "pivot", "async"].iter().any(|option| args.flag(option)) {
        let flags = flags_of(
            args,
            &[
                ("async", api::DOMAIN_BLOCK_JOB_ABORT_ASYNC),
                ("pivot", api::DOMAIN_BLOCK_JOB_ABORT_PIVOT),
            ],
        );
        return Ok(connection.domain_block_job_abort(&found, disk, flags)?);
    }
    show_job(shell, args, &connection, (&found, disk))
}

fn show_job(
    shell: &mut Shell,
    args: &Args,
    connection: &Connection,
    (found, disk): (&DomainRef, &str),
) -> Done {
    let (raw, in_bytes) = (args.flag("raw"), api::DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES);
    let flags = if args.flag("bytes") || !raw { in_bytes } else { 0 };
    let info = connection.domain_get_block_job_info(found, disk, flags)?;
    shell.facts([]);
    if info.found == 0 {
        if !raw {
            shell.print_extra(format_args!("No current block job for {disk}"));
        }
        return Ok(());
    }
    let kind = super::info::word(JOBS, info.kind, "Unknown job");
    let limit = if flags == 0 { "bandwidth_mib_per_s" } else { "bandwidth_bytes_per_s" };
    shell.facts([
        ("type", kind.into()),
        (limit, info.bandwidth.into()),
        ("cur", info.cur.into()),
        ("end", info.end.into()),
    ]);
    if shell.reports() {
        return Ok(());
    }
    if raw {
        sayln!(shell, " type={}\n bandwidth={}", kind, info.bandwidth);
        sayln!(shell, " cur={}\n end={}", info.cur, info.end);
        return Ok(());
    }
    progress::show(kind, share(info.cur, info.end));
    if info.bandwidth != 0 {
        let (size, unit) = crate::units::scale(info.bandwidth);
        say!(shell, "    Bandwidth limit: {} bytes/s ({size:.3} {unit}/s)", info.bandwidth);
    }
    sayln!(shell);
    Ok(())
}

pub(crate) fn cmd_blockresize(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("size", "capacity")?;
    if !args.flag("size") && !args.flag("capacity") {
        return fail("Either --size or --capacity must be provided");
    }
    let disk = args.needed("path")?;
    const KIB: u64 = 1024;
    let mut size = args.scaled("size", KIB, u64::MAX)?;
    let mut flags = 0;
    if args.flag("capacity") {
        flags = api::DOMAIN_BLOCK_RESIZE_BYTES | api::DOMAIN_BLOCK_RESIZE_CAPACITY;
        size = Some(0);
    }
    let Some(mut size) = size else {
        return fail("Either --size or --capacity must be provided");
    };
    // Compat: whole KiB go in the form that every daemon knows.
    match flags {
        0 if size % KIB == 0 => size /= KIB,
        _ => flags |= api::DOMAIN_BLOCK_RESIZE_BYTES,
    }
    let found = domain(shell, args)?;
    let resized = shell.connection()?.domain_block_resize(&found, disk, size, flags);
    resized.during(|| format!("Failed to resize block device '{disk}'"))?;
    say!(shell, "Block device '{disk}' is resized");
    Ok(())
}
