//! Moving domains to other hosts.

use std::time::Duration;

use virt_cli::Args;
use virt_driver::{Connection, check_flags_of};
use virt_error::{Code, Error, Origin, Result};
use virt_types::{DomainRef, TypedParam, TypedValue, api, feature};

use crate::failure::{Done, During as _, Failure, fail};
use crate::files::read_document;
use crate::lookup::domain;
use crate::openers;
use crate::options::flags_of;
use crate::progress::watch_until;
use crate::shell::Shell;
use crate::units::scale;

pub(crate) fn cmd_migrate_setmaxdowntime(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let downtime_ms = args.number::<u64>("downtime")?.unwrap_or_default();
    if downtime_ms == 0 {
        return fail("migrate: Invalid downtime");
    }
    Ok(shell.connection()?.domain_migrate_set_max_downtime(&found, downtime_ms, 0)?)
}

pub(crate) fn cmd_migrate_getmaxdowntime(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let downtime_ms = shell.connection()?.domain_migrate_get_max_downtime(&found, 0)?;
    shell.answer("downtime_ms", downtime_ms);
    Ok(())
}

pub(crate) fn cmd_migrate_compcache(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    if let Some(bytes) = args.number::<u64>("size")? {
        connection.domain_migrate_set_compression_cache(&found, bytes, 0)?;
    }
    let bytes = connection.domain_migrate_get_compression_cache(&found, 0)?;
    let (size, unit) = scale(bytes);
    shell.print(format_args!("Compression cache: {size:.3} {unit}"));
    shell.fact("size_bytes", bytes);
    Ok(())
}

const SPEED_FLAGS: &[(&str, u32)] = &[("postcopy", api::DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY)];

pub(crate) fn cmd_migrate_setspeed(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let speed = args.number_or_less("bandwidth")?.unwrap_or_default();
    let flags = flags_of(args, SPEED_FLAGS);
    Ok(shell.connection()?.domain_migrate_set_max_speed(&found, speed, flags)?)
}

pub(crate) fn cmd_migrate_getspeed(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let flags = flags_of(args, SPEED_FLAGS);
    let speed = shell.connection()?.domain_migrate_get_max_speed(&found, flags)?;
    shell.answer("speed_mib_per_s", speed);
    Ok(())
}

pub(crate) fn cmd_migrate_postcopy(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    Ok(shell.connection()?.domain_migrate_start_post_copy(&found, 0)?)
}

const FLAGS: &[(&str, u32)] = &[
    ("live", api::MIGRATE_LIVE),
    ("offline", api::MIGRATE_OFFLINE),
    ("p2p", api::MIGRATE_PEER2PEER),
    ("tunnelled", api::MIGRATE_TUNNELLED),
    ("persistent", api::MIGRATE_PERSIST_DEST),
    ("undefinesource", api::MIGRATE_UNDEFINE_SOURCE),
    ("suspend", api::MIGRATE_PAUSED),
    ("copy-storage-all", api::MIGRATE_NON_SHARED_DISK),
    ("copy-storage-inc", api::MIGRATE_NON_SHARED_INC),
    ("copy-storage-synchronous-writes", api::MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES),
    ("change-protection", api::MIGRATE_CHANGE_PROTECTION),
    ("unsafe", api::MIGRATE_UNSAFE),
    ("compressed", api::MIGRATE_COMPRESSED),
    ("auto-converge", api::MIGRATE_AUTO_CONVERGE),
    ("rdma-pin-all", api::MIGRATE_RDMA_PIN_ALL),
    ("abort-on-error", api::MIGRATE_ABORT_ON_ERROR),
    ("postcopy", api::MIGRATE_POSTCOPY),
    ("postcopy-resume", api::MIGRATE_POSTCOPY_RESUME),
    ("zerocopy", api::MIGRATE_ZEROCOPY),
    ("tls", api::MIGRATE_TLS),
    ("parallel", api::MIGRATE_PARALLEL),
];

/// Options that are one parameter each: texts, and numbers of two widths.
const TEXTS: &[(&str, &str)] = &[
    ("migrateuri", api::MIGRATE_PARAM_URI),
    ("graphicsuri", api::MIGRATE_PARAM_GRAPHICS_URI),
    ("listen-address", api::MIGRATE_PARAM_LISTEN_ADDRESS),
    ("dname", api::MIGRATE_PARAM_DEST_NAME),
    ("disks-uri", api::MIGRATE_PARAM_DISKS_URI),
    ("tls-destination", api::MIGRATE_PARAM_TLS_DESTINATION),
];
const DOCUMENTS: &[(&str, &str)] =
    &[("xml", api::MIGRATE_PARAM_DEST_XML), ("persistent-xml", api::MIGRATE_PARAM_PERSIST_XML)];
const LISTS: &[(&str, &str)] = &[
    ("migrate-disks", api::MIGRATE_PARAM_MIGRATE_DISKS),
    ("migrate-disks-detect-zeroes", api::MIGRATE_PARAM_MIGRATE_DISKS_DETECT_ZEROES),
    ("comp-methods", api::MIGRATE_PARAM_COMPRESSION),
];
const NUMBERS: &[(&str, &str)] = &[
    ("disks-port", api::MIGRATE_PARAM_DISKS_PORT),
    ("comp-mt-level", api::MIGRATE_PARAM_COMPRESSION_MT_LEVEL),
    ("comp-mt-threads", api::MIGRATE_PARAM_COMPRESSION_MT_THREADS),
    ("comp-mt-dthreads", api::MIGRATE_PARAM_COMPRESSION_MT_DTHREADS),
    ("comp-zlib-level", api::MIGRATE_PARAM_COMPRESSION_ZLIB_LEVEL),
    ("comp-zstd-level", api::MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL),
    ("auto-converge-initial", api::MIGRATE_PARAM_AUTO_CONVERGE_INITIAL),
    ("auto-converge-increment", api::MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT),
    ("parallel-connections", api::MIGRATE_PARAM_PARALLEL_CONNECTIONS),
];
const LARGE_NUMBERS: &[(&str, &str)] = &[
    ("bandwidth", api::MIGRATE_PARAM_BANDWIDTH),
    ("postcopy-bandwidth", api::MIGRATE_PARAM_BANDWIDTH_POSTCOPY),
    ("available-switchover-bandwidth", api::MIGRATE_PARAM_BANDWIDTH_AVAIL_SWITCHOVER),
    ("comp-xbzrle-cache", api::MIGRATE_PARAM_COMPRESSION_XBZRLE_CACHE),
];

fn params_of(args: &Args) -> std::result::Result<Vec<TypedParam>, Failure> {
    let mut params = Vec::new();
    for (option, field) in TEXTS {
        params.extend(args.text(option)?.map(|text| TypedParam::new(*field, text)));
    }
    for (option, field) in DOCUMENTS {
        if let Some(file) = args.text(option)? {
            let read = read_document(file).during(|| format!("cannot read file '{file}'"));
            params.push(TypedParam::new(*field, read?));
        }
    }
    for (option, field) in LISTS {
        let list = args.text(option)?.unwrap_or_default();
        let items = list.split(',').filter(|item| !item.is_empty());
        params.extend(items.map(|item| TypedParam::new(*field, item)));
    }
    for (option, field) in NUMBERS {
        params.extend(args.number::<i32>(option)?.map(|number| TypedParam::new(*field, number)));
    }
    for (option, field) in LARGE_NUMBERS {
        params.extend(args.number::<u64>(option)?.map(|number| TypedParam::new(*field, number)));
    }
    Ok(params)
}

/// What is done with a migration that takes too long.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Late {
    Suspend,
    Postcopy,
}

/// Which options cannot stand together, and which need one another.
fn check(args: &Args) -> std::result::Result<(), Failure> {
    args.exclusive("live", "offline")?;
    args.exclusive("timeout-suspend", "timeout-postcopy")?;
    args.exclusive("copy-storage-all", "copy-storage-inc")?;
    for (option, other) in [
        ("postcopy-after-precopy", "postcopy"),
        ("postcopy-resume", "postcopy"),
        ("timeout-postcopy", "postcopy"),
        ("persistent-xml", "persistent"),
        ("tls-destination", "tls"),
    ] {
        args.requires(option, other)?;
    }
    Ok(())
}

/// The same of what is looked at only once the domain is found; and how long it may take.
fn check_found(args: &Args) -> std::result::Result<Option<(Duration, Late)>, Failure> {
    let copies = args.flag("copy-storage-all") || args.flag("copy-storage-inc");
    for option in
        ["copy-storage-synchronous-writes", "migrate-disks", "migrate-disks-detect-zeroes"]
    {
        if args.flag(option) && !copies {
            return fail(format!(
                "'--{option}' requires one of '--copy-storage-all', '--copy-storage-inc'"
            ));
        }
    }
    let seconds = args.number::<u32>("timeout")?;
    let late = if args.flag("timeout-postcopy") { Late::Postcopy } else { Late::Suspend };
    match seconds {
        Some(seconds) if !args.flag("live") && seconds > 0 => {
            fail("migrate: Unexpected timeout for offline migration")
        }
        None if args.flag("timeout-suspend") || args.flag("timeout-postcopy") => {
            fail("migrate: Unexpected --timeout-* option without --timeout")
        }
        Some(0) | None => Ok(None),
        Some(seconds) => Ok(Some((Duration::from_secs(seconds.into()), late))),
    }
}

pub(crate) fn cmd_migrate(shell: &mut Shell, args: &Args) -> Done {
    check(args)?;
    let found = domain(shell, args)?;
    let limit = check_found(args)?;
    let target = args.needed("desturi")?;
    let flags = flags_of(args, FLAGS);
    let connection = shell.connection()?;
    let managed = args.flag("p2p") || args.flag("direct");
    let dest = match managed {
        true => None,
        false => Some(openers::open(Some(target), false, shell.settings.keepalive)?),
    };
    let params = params_of(args)?;
    let label = args.flag("verbose").then_some("Migration");
    let started_late = || {
        if let Some((_, late)) = limit {
            // The migration goes on either way, and says itself what comes of it.
            let _ = match late {
                Late::Suspend => connection.domain_suspend(&found),
                Late::Postcopy => connection.domain_migrate_start_post_copy(&found, 0),
            };
        }
    };
    let overdue = limit.map(|(after, _)| (after, &started_late as &dyn Fn()));
    watch_until(&connection, &found, label, overdue, || match &dest {
        Some(dest) => in_phases(&connection, dest, &found, &params, flags),
        None => by_the_host(&connection, &found, target, &params, flags),
    })?;
    Ok(())
}

/// The source's daemon does it all.
fn by_the_host(
    connection: &Connection,
    found: &DomainRef,
    target: &str,
    params: &[TypedParam],
    flags: u32,
) -> Result<()> {
    let (number, way) = match flags & api::MIGRATE_PEER2PEER != 0 {
        true => (feature::MIGRATION_P2P, "p2p"),
        false => (feature::MIGRATION_DIRECT, "direct"),
    };
    if !connection.supports_feature(number) {
        let detail = format!("{way} migration is not supported by the source host");
        return Err(Error::new(Code::ArgumentUnsupported, Origin::None, detail));
    }
    if way == "direct" && !connection.supports_feature(feature::MIGRATION_PARAMS) {
        return by_an_old_driver(connection, found, params, flags);
    }
    let target = (way == "p2p").then_some(target);
    connection.domain_migrate_perform3_params(found, target, params, &[], flags).map(drop)
}

/// A hypervisor that does it all by itself, and is told no more than libvirt's first version could.
fn by_an_old_driver(
    connection: &Connection,
    found: &DomainRef,
    params: &[TypedParam],
    flags: u32,
) -> Result<()> {
    const KNOWN: &[&str] =
        &[api::MIGRATE_PARAM_URI, api::MIGRATE_PARAM_DEST_NAME, api::MIGRATE_PARAM_BANDWIDTH];
    only_old(params, KNOWN)?;
    let value = |field: &str| params.iter().find(|param| param.field == field).map(|p| &p.value);
    let text = |field: &str| match value(field) {
        Some(TypedValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let bandwidth = match value(api::MIGRATE_PARAM_BANDWIDTH) {
        Some(TypedValue::Ullong(mib)) => *mib,
        _ => 0,
    };
    let uri = text(api::MIGRATE_PARAM_URI).unwrap_or_default();
    let name = text(api::MIGRATE_PARAM_DEST_NAME);
    connection.domain_migrate_perform(found, &[], uri, flags.into(), name, bandwidth)
}

/// Parameters that came later cannot be passed on to who does not know them.
fn only_old(params: &[TypedParam], known: &[&str]) -> Result<()> {
    if params.iter().all(|param| known.contains(&param.field.as_str())) {
        return Ok(());
    }
    let detail = "Migration APIs with extensible parameters are not supported but extended \
                  parameters were passed";
    Err(Error::new(Code::ArgumentUnsupported, Origin::None, detail))
}

/// Refuses what one of the two sides cannot do, in the order in which libvirt asks.
fn check_both(
    source: &Connection,
    dest: &Connection,
    params: &[TypedParam],
    flags: u32,
) -> Result<()> {
    let unsupported =
        |detail: &str| Err(Error::new(Code::ArgumentUnsupported, Origin::None, detail));
    if source.is_read_only() {
        let detail = "read only access prevents virDomainMigrate3";
        return Err(Error::new(Code::OperationDenied, Origin::None, detail));
    }
    check_flags_of("virDomainMigrate3", Origin::Domain, flags)?;
    if flags & api::MIGRATE_OFFLINE != 0 {
        for (side, name) in [(source, "source"), (dest, "destination")] {
            if !side.supports_feature(feature::MIGRATION_OFFLINE) {
                return unsupported(&format!(
                    "offline migration is not supported by the {name} host"
                ));
            }
        }
    }
    if flags & api::MIGRATE_TUNNELLED != 0 {
        let detail = "cannot perform tunnelled migration without using peer2peer flag";
        return Err(Error::argument(Origin::Domain, "virDomainMigrate3", "ctl", detail.to_owned()));
    }
    let both = |number| source.supports_feature(number) && dest.supports_feature(number);
    if flags & api::MIGRATE_CHANGE_PROTECTION != 0 && !both(feature::MIGRATE_CHANGE_PROTECTION) {
        return unsupported("cannot enforce change protection");
    }
    const OLD: &[&str] = &[
        api::MIGRATE_PARAM_URI,
        api::MIGRATE_PARAM_DEST_NAME,
        api::MIGRATE_PARAM_DEST_XML,
        api::MIGRATE_PARAM_BANDWIDTH,
    ];
    if !both(feature::MIGRATION_PARAMS) {
        only_old(params, OLD)?;
    }
    match both(feature::MIGRATION_V3) && both(feature::MIGRATION_PARAMS) {
        true => Ok(()),
        false => Err(Error::new(Code::NoSupport, Origin::None, "virDomainMigrate3")),
    }
}

/// This shell carries what the two daemons have to tell each other, in five phases.
fn in_phases(
    source: &Connection,
    dest: &Connection,
    found: &DomainRef,
    params: &[TypedParam],
    flags: u32,
) -> Result<()> {
    check_both(source, dest, params, flags)?;
    let begun = source.domain_migrate_begin3_params(found, params, flags)?;
    let mut told = params.to_vec();
    told.retain(|param| param.field != api::MIGRATE_PARAM_DEST_XML);
    told.push(TypedParam::new(api::MIGRATE_PARAM_DEST_XML, begun.xml));
    let prepared = match dest.domain_migrate_prepare3_params(&told, &begun.cookie_out, flags) {
        Ok(prepared) => prepared,
        Err(error) => {
            // What went wrong first is what is told.
            let _ = source.domain_migrate_confirm3_params(found, params, &[], flags, 1);
            return Err(error);
        }
    };
    if let Some(uri) = prepared.uri_out {
        told.retain(|param| param.field != api::MIGRATE_PARAM_URI);
        told.push(TypedParam::new(api::MIGRATE_PARAM_URI, uri));
    }
    let performed = match flags & api::MIGRATE_OFFLINE != 0 {
        true => Ok(prepared.cookie_out),
        false => {
            source.domain_migrate_perform3_params(found, None, &told, &prepared.cookie_out, flags)
        }
    };
    let (cookie, failed) = match performed {
        Ok(cookie) => (cookie, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let cancelled = i32::from(failed.is_some());
    let finished = dest.domain_migrate_finish3_params(&told, &cookie, flags, cancelled);
    let (cookie, lost) = match (finished, failed) {
        (Ok(finished), None) => (finished.cookie_out, None),
        (_, Some(error)) | (Err(error), None) => (Vec::new(), Some(error)),
    };
    let cancelled = i32::from(lost.is_some());
    let confirmed = source.domain_migrate_confirm3_params(found, &told, &cookie, flags, cancelled);
    lost.map_or(confirmed, Err)
}
