//! Starting, stopping, pausing and defining domains.

use virt_cli::Args;
use virt_driver::Connection;
use virt_error::{Code, Error, Result as Answer};
use virt_types::{DomainRef, api};

use crate::console;
use crate::failure::{Done, During as _, Failure, fail};
use crate::files::{passing, read_document};
use crate::lookup::{By, domain, domain_by};
use crate::options::{flags_of, impact};
use crate::shell::{Shell, extra};

const CREATE_FLAGS: &[(&str, u32)] = &[
    ("paused", api::DOMAIN_START_PAUSED),
    ("autodestroy", api::DOMAIN_START_AUTODESTROY),
    ("validate", api::DOMAIN_START_VALIDATE),
    ("reset-nvram", api::DOMAIN_START_RESET_NVRAM),
];

pub(crate) fn cmd_create(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let xml = read_document(file)?;
    let flags = flags_of(args, CREATE_FLAGS);
    let connection = shell.connection()?;
    let created = match passed(args) {
        Some(numbers) => passing(&connection, numbers)?.domain_create_xml_with_files(&xml, flags),
        None => connection.domain_create_xml(&xml, flags),
    };
    let created = created.during(|| format!("Failed to create domain from {file}"))?;
    extra!(shell, "Domain '{}' created from {}", created.name, file);
    // Compat: a console that cannot be had is reported, but the domain is created.
    if let Err(failure) = attach_console(shell, args, &created) {
        shell.report(&failure);
    }
    Ok(())
}

pub(crate) fn cmd_define(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let xml = read_document(file)?;
    let connection = shell.connection()?;
    let defined = match args.flag("validate") {
        true => connection.domain_define_xml_flags(&xml, api::DOMAIN_DEFINE_VALIDATE),
        false => connection.domain_define_xml(&xml),
    };
    let defined = defined.during(|| format!("Failed to define domain from {file}"))?;
    extra!(shell, "Domain '{}' defined from {}", defined.name, file);
    Ok(())
}

/// The descriptors that go with a start. Compat: an empty list is none.
fn passed(args: &Args) -> Option<&str> {
    args.raw_text("pass-fds").filter(|numbers| !numbers.is_empty())
}

const START_FLAGS: &[(&str, u32)] = &[
    ("paused", api::DOMAIN_START_PAUSED),
    ("autodestroy", api::DOMAIN_START_AUTODESTROY),
    ("bypass-cache", api::DOMAIN_START_BYPASS_CACHE),
    ("force-boot", api::DOMAIN_START_FORCE_BOOT),
    ("reset-nvram", api::DOMAIN_START_RESET_NVRAM),
];

pub(crate) fn cmd_start(shell: &mut Shell, args: &Args) -> Done {
    let found = domain_by(shell, args, By { id: false, ..By::ANY })?;
    if found.id != -1 {
        return fail("Domain is already active");
    }
    let flags = flags_of(args, START_FLAGS);
    let connection = match passed(args) {
        Some(numbers) => passing(&shell.connection()?, numbers)?,
        None => shell.connection()?,
    };
    let create = |flags| create(&connection, &found, flags, passed(args).is_some());
    let mut started = create(flags);
    if flags & api::DOMAIN_START_FORCE_BOOT != 0 && started.as_ref().is_err_and(is_refusal) {
        // Compat: a daemon that cannot leave the saved state out is told to delete it first.
        started = delete_saved_state(&connection, &found)
            .and_then(|()| create(flags & !api::DOMAIN_START_FORCE_BOOT));
    }
    started.during(|| format!("Failed to start domain '{}'", found.name))?;
    extra!(shell, "Domain '{}' started", found.name);
    attach_console(shell, args, &found)
}

/// Starts by the oldest call that can express the flags.
fn create(connection: &Connection, domain: &DomainRef, flags: u32, passes: bool) -> Answer<()> {
    match flags {
        _ if passes => connection.domain_create_with_files(domain, flags).map(drop),
        0 => connection.domain_create(domain),
        _ => connection.domain_create_with_flags(domain, flags).map(drop),
    }
}

/// Whether a daemon does not know the call or a flag of it.
pub(crate) fn is_refusal(error: &Error) -> bool {
    error.is(Code::NoSupport) || error.is(Code::InvalidArg)
}

fn delete_saved_state(connection: &Connection, domain: &DomainRef) -> Answer<()> {
    match connection.domain_has_managed_save_image(domain, 0)? {
        true => connection.domain_managed_save_remove(domain, 0),
        false => Ok(()),
    }
}

/// Compat: a console that cannot be had does not undo the start, but the command fails.
fn attach_console(shell: &mut Shell, args: &Args, domain: &DomainRef) -> Done {
    match args.flag("console") {
        true => console::run(shell, domain, None, 0),
        false => Ok(()),
    }
}

/// A command that is one call on a domain: what it does, and how it says so.
fn change(
    shell: &mut Shell,
    args: &Args,
    failed: &str,
    done: &str,
    call: impl FnOnce(&Connection, &DomainRef) -> Answer<()>,
) -> Done {
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    // Compat: the domain is called what the caller called it.
    let name = args.needed("domain")?;
    call(&connection, &found).during(|| format!("Failed to {failed} domain '{name}'"))?;
    extra!(shell, "Domain '{}' {}", name, done);
    Ok(())
}

pub(crate) fn cmd_destroy(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(
        args,
        &[
            ("graceful", api::DOMAIN_DESTROY_GRACEFUL),
            ("remove-logs", api::DOMAIN_DESTROY_REMOVE_LOGS),
        ],
    );
    change(shell, args, "destroy", "destroyed", |connection, domain| match flags {
        0 => connection.domain_destroy(domain),
        _ => connection.domain_destroy_flags(domain, flags),
    })
}

pub(crate) fn cmd_suspend(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "suspend", "suspended", |connection, domain| {
        connection.domain_suspend(domain)
    })
}

pub(crate) fn cmd_resume(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "resume", "resumed", |connection, domain| connection.domain_resume(domain))
}

pub(crate) fn cmd_reset(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "reset", "was reset", |connection, domain| {
        connection.domain_reset(domain, 0)
    })
}

/// The ways to ask a guest to stop, and the flag of each; the same bits for both commands.
const MODES: &[(&str, u32)] = &[
    ("acpi", api::DOMAIN_SHUTDOWN_ACPI_POWER_BTN),
    ("agent", api::DOMAIN_SHUTDOWN_GUEST_AGENT),
    ("initctl", api::DOMAIN_SHUTDOWN_INITCTL),
    ("signal", api::DOMAIN_SHUTDOWN_SIGNAL),
    ("paravirt", api::DOMAIN_SHUTDOWN_PARAVIRT),
];

fn modes(args: &Args, comma: &str) -> Result<u32, Failure> {
    let Some(text) = args.text("mode")? else { return Ok(0) };
    let mut flags = 0;
    for mode in text.split(',') {
        match MODES.iter().find(|(name, _)| *name == mode) {
            Some((_, flag)) => flags |= flag,
            None => {
                return fail(format!(
                    "Unknown mode {mode} value, expecting 'acpi', 'agent', 'initctl', \
                     'signal'{comma} or 'paravirt'"
                ));
            }
        }
    }
    Ok(flags)
}

pub(crate) fn cmd_shutdown(shell: &mut Shell, args: &Args) -> Done {
    let flags = modes(args, ",")?;
    change(shell, args, "shutdown", "is being shutdown", |connection, domain| match flags {
        0 => connection.domain_shutdown(domain),
        _ => connection.domain_shutdown_flags(domain, flags),
    })
}

pub(crate) fn cmd_reboot(shell: &mut Shell, args: &Args) -> Done {
    let flags = modes(args, "")?;
    change(shell, args, "reboot", "is being rebooted", |connection, domain| {
        connection.domain_reboot(domain, flags)
    })
}

pub(crate) fn cmd_autostart(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let (on, name) = (!args.flag("disable"), args.needed("domain")?);
    let mark = if on { "mark" } else { "unmark" };
    if args.flag("once") {
        let change = connection.domain_set_autostart_once(&found, i32::from(on));
        change
            .during(|| format!("Failed to {mark} domain '{name}' as autostarted on next boot"))?;
        extra!(shell, "Domain '{}' {}ed as autostarted on next boot", name, mark);
    } else {
        let change = connection.domain_set_autostart(&found, i32::from(on));
        change.during(|| format!("Failed to {mark} domain '{name}' as autostarted"))?;
        extra!(shell, "Domain '{}' {}ed as autostarted", name, mark);
    }
    Ok(())
}

pub(crate) fn cmd_domrename(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let name = args.needed("new-name")?;
    shell.connection()?.domain_rename(&found, Some(name), 0)?;
    extra!(shell, "Domain successfully renamed");
    Ok(())
}

pub(crate) fn cmd_inject_nmi(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    Ok(shell.connection()?.domain_inject_nmi(&found, 0)?)
}

/// Names of process signals, by number.
pub(crate) const SIGNALS: &[&str] = &[
    "nop", "hup", "int", "quit", "ill", "trap", "abrt", "bus", "fpe", "kill", "usr1", "segv",
    "usr2", "pipe", "alrm", "term", "stkflt", "chld", "cont", "stop", "tstp", "ttin", "ttou",
    "urg", "xcpu", "xfsz", "vtalrm", "prof", "winch", "poll", "pwr", "sys", "rt0", "rt1", "rt2",
    "rt3", "rt4", "rt5", "rt6", "rt7", "rt8", "rt9", "rt10", "rt11", "rt12", "rt13", "rt14",
    "rt15", "rt16", "rt17", "rt18", "rt19", "rt20", "rt21", "rt22", "rt23", "rt24", "rt25", "rt26",
    "rt27", "rt28", "rt29", "rt30", "rt31", "rt32",
];

fn signal_number(text: &str) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let name = text.to_ascii_lowercase();
    let name = name.strip_prefix("sig_").or_else(|| name.strip_prefix("sig")).unwrap_or(&name);
    let at = SIGNALS.iter().position(|signal| *signal == name)?;
    u32::try_from(at).ok()
}

pub(crate) fn cmd_send_process_signal(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let pid = args.number::<i64>("pid")?.unwrap_or_default();
    let name = args.needed("signame")?;
    let Some(number) = signal_number(name) else {
        return fail(format!("malformed signal name: {name}"));
    };
    Ok(shell.connection()?.domain_send_process_signal(&found, pid, number, 0)?)
}

const OCCASIONS: &[&str] = &["poweroff", "reboot", "crash"];
const ACTIONS: &[&str] =
    &["destroy", "restart", "rename-restart", "preserve", "coredump-destroy", "coredump-restart"];

pub(crate) fn cmd_set_lifecycle_action(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let (occasion, action) = (args.needed("type")?, args.needed("action")?);
    let number = |names: &[&str], text: &str, what: &str| match names
        .iter()
        .position(|name| *name == text)
    {
        Some(at) => Ok(u32::try_from(at).unwrap_or_default()),
        None => fail(format!("Invalid lifecycle {what} '{text}'.")),
    };
    let occasion = number(OCCASIONS, occasion, "type")?;
    let action = number(ACTIONS, action, "action")?;
    let found = domain(shell, args)?;
    let change = shell.connection()?.domain_set_lifecycle_action(&found, occasion, action, flags);
    change.during(|| "Unable to change lifecycle action.")
}

pub(crate) fn cmd_dompmsuspend(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let duration = args.number::<u64>("duration")?.unwrap_or_default();
    let target = suspend_target(args.needed("target")?)?;
    let change = shell.connection()?.domain_pm_suspend_for_duration(&found, target, duration, 0);
    change.during(|| format!("Domain '{}' could not be suspended", found.name))?;
    // Compat: without an end of the line.
    shell.print_extra(format_args!("Domain '{}' successfully suspended", found.name));
    Ok(())
}

/// The sleep that a word names, for guests and hosts alike.
pub(crate) fn suspend_target(text: &str) -> Result<u32, Failure> {
    match text {
        "mem" => Ok(0),
        "disk" => Ok(1),
        "hybrid" => Ok(2),
        _ => fail("Invalid target"),
    }
}

pub(crate) fn cmd_dompmwakeup(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let change = shell.connection()?.domain_pm_wakeup(&found, 0);
    change.during(|| format!("Domain '{}' could not be woken up", found.name))?;
    shell.print_extra(format_args!("Domain '{}' successfully woken up", found.name));
    Ok(())
}

pub(crate) fn cmd_console(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let flags =
        flags_of(args, &[("force", api::DOMAIN_CONSOLE_FORCE), ("safe", api::DOMAIN_CONSOLE_SAFE)]);
    let device = args.text("devname")?;
    console::run_with(shell, &found, device, flags, args.flag("resume"))
}
