//! What domains are and how they do: lists, states, names.

use std::collections::HashMap;

use virt_cli::{Args, Cell};
use virt_driver::Connection;
use virt_error::Code;
use virt_types::{DomainRef, DomainStatsRecord, TypedValue, Uuid, api};

use crate::failure::{Done, Failure, fail};
use crate::lookup::{By, domain, domain_by};
use crate::options::flags_of;
use crate::report::{cells, record};
use crate::shell::{LEVEL_DEBUG, Shell, sayln};
use crate::units::tenths;

const STATES: &[&str] =
    &["no state", "running", "idle", "paused", "in shutdown", "shut off", "crashed", "pmsuspended"];

const RUNNING: &[&str] = &[
    "unknown",
    "booted",
    "migrated",
    "restored",
    "from snapshot",
    "unpaused",
    "migration canceled",
    "save canceled",
    "event wakeup",
    "crashed",
    "post-copy",
    "post-copy failed",
];
const PAUSED: &[&str] = &[
    "unknown",
    "user",
    "migrating",
    "saving",
    "dumping",
    "I/O error",
    "watchdog",
    "from snapshot",
    "shutting down",
    "creating snapshot",
    "crashed",
    "starting up",
    "post-copy",
    "post-copy failed",
    "api error",
];
const SHUTDOWN: &[&str] = &["unknown", "user"];
const SHUTOFF: &[&str] = &[
    "unknown",
    "shutdown",
    "destroyed",
    "crashed",
    "migrated",
    "saved",
    "failed",
    "from snapshot",
    "daemon",
];
const CRASHED: &[&str] = &["unknown", "panicked"];

/// The word at a number that came from outside.
pub(crate) fn word(words: &[&'static str], number: i32, otherwise: &'static str) -> &'static str {
    usize::try_from(number).ok().and_then(|at| words.get(at)).copied().unwrap_or(otherwise)
}

pub(crate) fn state_word(state: i32) -> &'static str {
    word(STATES, state, "no state")
}

pub(crate) fn reason_word(state: i32, reason: i32) -> &'static str {
    let reasons = match state {
        api::DOMAIN_RUNNING => RUNNING,
        api::DOMAIN_PAUSED => PAUSED,
        api::DOMAIN_SHUTDOWN => SHUTDOWN,
        api::DOMAIN_SHUTOFF => SHUTOFF,
        api::DOMAIN_CRASHED => CRASHED,
        _ => &[],
    };
    word(reasons, reason, "unknown")
}

pub(crate) fn cmd_domstate(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let state = shell.connection()?.domain_get_state(&found, 0)?;
    let shown = state_word(state.state);
    let reason = reason_word(state.state, state.reason);
    match args.flag("reason") {
        true => sayln!(shell, "{} ({})", shown, reason),
        false => sayln!(shell, "{}", shown),
    }
    shell.facts([("state", shown.into()), ("reason", reason.into())]);
    Ok(())
}

pub(crate) fn cmd_domid(shell: &mut Shell, args: &Args) -> Done {
    let found = domain_by(shell, args, By { id: false, ..By::ANY })?;
    shell.answer("id", cells::id(found.id));
    Ok(())
}

pub(crate) fn cmd_domname(shell: &mut Shell, args: &Args) -> Done {
    let found = domain_by(shell, args, By { name: false, ..By::ANY })?;
    shell.answer("name", Cell::word(&found.name));
    Ok(())
}

pub(crate) fn cmd_domuuid(shell: &mut Shell, args: &Args) -> Done {
    let found = domain_by(shell, args, By { uuid: false, ..By::ANY })?;
    shell.answer("uuid", Cell::word(found.uuid));
    Ok(())
}

const CONTROL_STATES: &[&str] = &["ok", "background job", "occupied", "error"];
const CONTROL_ERRORS: &[&str] = &["", "unknown", "monitor failure", "internal (locking) error"];

pub(crate) fn cmd_domcontrol(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let info = shell.connection()?.domain_get_control_info(&found, 0)?;
    let state = i32::try_from(info.state).unwrap_or(-1);
    let shown = word(CONTROL_STATES, state, "unknown");
    shell.facts([("state", shown.into()), ("in_state_ms", info.state_time.into())]);
    if state == api::DOMAIN_CONTROL_OK {
        sayln!(shell, "{}", shown);
    } else if state == api::DOMAIN_CONTROL_ERROR {
        let why = word(CONTROL_ERRORS, i32::try_from(info.details).unwrap_or(-1), "unknown");
        sayln!(shell, "{}: {}", shown, why);
        shell.fact("details", why);
    } else {
        #[expect(clippy::cast_precision_loss, reason = "shown with milliseconds only")]
        let seconds = info.state_time as f64 / 1000.0;
        sayln!(shell, "{} ({:0.3}s)", shown, seconds);
    }
    Ok(())
}

pub(crate) fn cmd_dominfo(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    shell.field("Id", "id", cells::id(found.id));
    shell.field("Name", "name", Cell::word(&found.name));
    shell.field("UUID", "uuid", Cell::word(found.uuid));
    if let Ok(os_type) = connection.domain_get_os_type(&found) {
        shell.field("OS Type", "os_type", os_type);
    }
    let info = connection.domain_get_info(&found)?;
    shell.field("State", "state", state_word(i32::from(info.state)));
    shell.field("CPU(s)", "vcpus", info.nr_virt_cpu);
    if info.cpu_time != 0 {
        shell.field("CPU time", "cpu_time_ns", Cell::new(tenths(info.cpu_time), info.cpu_time));
    }
    let max_memory = match info.max_mem {
        NO_LIMIT => Cell::none("no limit"),
        kib => Cell::counted(kib, " KiB"),
    };
    shell.field("Max memory", "max_memory_kib", max_memory);
    shell.field("Used memory", "used_memory_kib", Cell::counted(info.memory, " KiB"));
    let persistent = connection.domain_is_persistent(&found);
    if let Ok(persistent) = &persistent {
        let number = u8::from(*persistent);
        shell.note(LEVEL_DEBUG, format_args!("Domain persistent flag value: {number}"));
    }
    shell.field("Persistent", "persistent", cells::yes_or(persistent, "unknown"));
    let enabled = |on: bool| Cell::new(if on { "enable" } else { "disable" }, on);
    if let Ok(on) = connection.domain_get_autostart(&found) {
        shell.field("Autostart", "autostart", enabled(on));
    }
    if let Ok(on) = connection.domain_get_autostart_once(&found) {
        shell.field("Autostart Once", "autostart_once", enabled(on));
    }
    let saved = connection.domain_has_managed_save_image(&found, 0);
    shell.field("Managed save", "managed_save", cells::yes_or(saved, "unknown"));
    print_security(shell, &connection, &found)?;
    print_messages(shell, &connection, &found);
    Ok(())
}

/// What a driver answers for memory without a limit.
const NO_LIMIT: u64 = u64::MAX;

fn print_security(shell: &mut Shell, connection: &Connection, domain: &DomainRef) -> Done {
    let model = match connection.node_get_security_model() {
        Ok(model) => model,
        Err(error) if error.is(Code::NoSupport) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if model.model.is_empty() {
        return Ok(());
    }
    shell.field("Security model", "security_model", model.model);
    shell.field("Security DOI", "security_doi", model.doi);
    let label = connection.domain_get_security_label(domain)?;
    if !label.label.is_empty() {
        let mode = if label.enforcing { "enforcing" } else { "permissive" };
        let shown = format!("{} ({mode})", label.label);
        shell.field("Security label", "security_label", Cell::new(shown, label.label));
    }
    Ok(())
}

/// Compat: messages are a courtesy; a driver without them is not mentioned.
fn print_messages(shell: &mut Shell, connection: &Connection, domain: &DomainRef) {
    let messages = connection.domain_get_messages(domain, 0).unwrap_or_default();
    for (at, message) in messages.iter().enumerate() {
        let label = if at == 0 { "Messages:" } else { "" };
        sayln!(shell, "{:<15} {}", label, message);
    }
    shell.fact("messages", messages);
}

const LIST_FLAGS: &[(&str, u32)] = &[
    ("persistent", api::CONNECT_LIST_DOMAINS_PERSISTENT),
    ("transient", api::CONNECT_LIST_DOMAINS_TRANSIENT),
    ("with-snapshot", api::CONNECT_LIST_DOMAINS_HAS_SNAPSHOT),
    ("without-snapshot", api::CONNECT_LIST_DOMAINS_NO_SNAPSHOT),
    ("with-checkpoint", api::CONNECT_LIST_DOMAINS_HAS_CHECKPOINT),
    ("without-checkpoint", api::CONNECT_LIST_DOMAINS_NO_CHECKPOINT),
    ("state-running", api::CONNECT_LIST_DOMAINS_RUNNING),
    ("state-paused", api::CONNECT_LIST_DOMAINS_PAUSED),
    ("state-shutoff", api::CONNECT_LIST_DOMAINS_SHUTOFF),
    ("state-other", api::CONNECT_LIST_DOMAINS_OTHER),
    ("autostart", api::CONNECT_LIST_DOMAINS_AUTOSTART),
    ("no-autostart", api::CONNECT_LIST_DOMAINS_NO_AUTOSTART),
    ("with-managed-save", api::CONNECT_LIST_DOMAINS_MANAGEDSAVE),
    ("without-managed-save", api::CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE),
];

pub(crate) fn cmd_list(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("table", "name")?;
    args.exclusive("table", "id")?;
    let plain = ["uuid", "name", "id"].iter().any(|option| args.flag(option));
    let table = !plain || args.flag("table") || shell.reports();
    let mut flags = flags_of(args, LIST_FLAGS);
    if !args.flag("inactive") || args.flag("all") {
        flags |= api::CONNECT_LIST_DOMAINS_ACTIVE;
    }
    if args.flag("inactive") || args.flag("all") {
        flags |= api::CONNECT_LIST_DOMAINS_INACTIVE;
    }
    let mut domains = all_domains(&shell.connection()?, flags)?;
    sort_domains(&mut domains);
    match table {
        true => list_table(shell, args, &domains),
        false => {
            for domain in &domains {
                list_plain(shell, args, domain);
            }
            Ok(())
        }
    }
}

pub(crate) fn all_domains(connection: &Connection, flags: u32) -> Result<Vec<DomainRef>, Failure> {
    connection
        .connect_list_all_domains(flags)
        .map_err(|error| Failure::from(error).during("Failed to list domains"))
}

/// Running ones first, by id; the others by name, whatever the case of its letters.
fn sort_domains(domains: &mut [DomainRef]) {
    domains.sort_by_cached_key(|domain| match domain.id {
        -1 => (true, 0, domain.name.to_ascii_lowercase()),
        id => (false, id, String::new()),
    });
}

fn list_plain(shell: &mut Shell, args: &Args, domain: &DomainRef) {
    let mut words = Vec::new();
    if args.flag("uuid") {
        words.push(domain.uuid.to_string());
    }
    if args.flag("id") && domain.id != -1 {
        words.push(domain.id.to_string());
    }
    if args.flag("name") {
        words.push(domain.name.to_string());
    }
    if !words.is_empty() {
        sayln!(shell, "{}", words.join(" "));
    }
}

fn list_table(shell: &mut Shell, args: &Args, domains: &[DomainRef]) -> Done {
    let connection = shell.connection()?;
    let uuids = args.flag("uuid") || shell.reports();
    let mut header = vec![("Id", "id"), ("Name", "name"), ("State", "state")];
    header.extend(args.flag("title").then_some(("Title", "title")));
    header.extend(uuids.then_some(("UUID", "uuid")));
    let mut list = shell.listing(&header);
    let states = states_of_many(&connection, domains);
    for domain in domains {
        let saved = args.flag("managed-save")
            && domain.id == -1
            && connection.domain_has_managed_save_image(domain, 0).unwrap_or(false);
        let state = match states.get(&domain.uuid) {
            Some(state) => Ok(*state),
            None => connection.domain_get_state(domain, 0).map(|state| state.state),
        };
        let state = match state {
            _ if saved => "saved",
            Ok(state) => state_word(state),
            // It went away while the list was made.
            Err(_) if domain.id == -1 => state_word(api::DOMAIN_SHUTOFF),
            Err(_) => state_word(api::DOMAIN_NOSTATE),
        };
        let mut row = vec![cells::id(domain.id), Cell::word(&domain.name), state.into()];
        if args.flag("title") {
            row.push(title(&connection, domain).into());
        }
        if uuids {
            row.push(Cell::word(domain.uuid));
        }
        list.row(row);
    }
    shell.print_listing(list);
    Ok(())
}

/// The states of many domains by one call, where the driver has it; of a few, or of those that it
/// leaves out, each is asked by itself.
fn states_of_many(connection: &Connection, domains: &[DomainRef]) -> HashMap<Uuid, i32> {
    const FEW: usize = 8;
    if domains.len() <= FEW {
        return HashMap::new();
    }
    let stats = connection.connect_get_all_domain_stats(domains, api::DOMAIN_STATS_STATE, 0);
    let state = |record: DomainStatsRecord| {
        record.params.iter().find_map(|param| match (&*param.field, &param.value) {
            ("state.state", TypedValue::Int(state)) => Some((record.dom.uuid, *state)),
            _ => None,
        })
    };
    stats.unwrap_or_default().into_iter().filter_map(state).collect()
}

fn title(connection: &Connection, domain: &DomainRef) -> String {
    connection.domain_get_metadata(domain, api::DOMAIN_METADATA_TITLE, None, 0).unwrap_or_default()
}

pub(crate) fn cmd_domblkerror(shell: &mut Shell, args: &Args) -> Done {
    const ERRORS: &[&str] = &["no error", "unspecified error", "no space"];
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let count = connection.domain_get_disk_errors(&found, 0, 0)?.nerrors;
    let count = u32::try_from(count).unwrap_or(0);
    let errors = match count {
        0 => Vec::new(),
        _ => connection.domain_get_disk_errors(&found, count, 0)?.errors,
    };
    if errors.is_empty() {
        sayln!(shell, "No errors found");
    }
    let mut found = Vec::new();
    for disk in errors {
        let error = word(ERRORS, disk.error, "no error");
        sayln!(shell, "{}: {}", disk.disk, error);
        found.push(record([("target", disk.disk.into()), ("error", error.into())]));
    }
    shell.records(found);
    Ok(())
}

pub(crate) fn cmd_domhostname(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let flags = match args.text("source")? {
        None => 0,
        Some("lease") => api::DOMAIN_GET_HOSTNAME_LEASE,
        Some("agent") => api::DOMAIN_GET_HOSTNAME_AGENT,
        Some(other) => return fail(format!("Unknown data source '{other}'")),
    };
    let name = shell.connection()?.domain_get_hostname(&found, flags);
    let name = name.map_err(|error| Failure::from(error).during("failed to get hostname"))?;
    shell.answer("hostname", name);
    Ok(())
}
