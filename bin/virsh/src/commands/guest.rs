//! What is asked of a guest, and what is sent into it.

use virt_cli::Args;
use virt_types::api;

use crate::failure::{Done, During as _, fail};
use crate::files::read_document;
use crate::lookup::domain;
use crate::options::flags_of;
use crate::report::record;
use crate::shell::{Shell, say, sayln};
use crate::{clock, console, keys};

pub(crate) fn cmd_set_user_password(shell: &mut Shell, args: &Args) -> Done {
    let (user, password) = (args.needed("user")?, args.needed("password")?);
    let found = domain(shell, args)?;
    let flags = flags_of(args, &[("encrypted", api::DOMAIN_PASSWORD_ENCRYPTED)]);
    let connection = shell.connection()?;
    connection.domain_set_user_password(&found, Some(user), Some(password), flags)?;
    let name = args.needed("domain")?;
    shell.print_extra(format_args!("Password set successfully for {user} in {name}"));
    Ok(())
}

pub(crate) fn cmd_domblkthreshold(shell: &mut Shell, args: &Args) -> Done {
    let disk = args.needed("dev")?;
    let threshold = args.scaled("threshold", 1, u64::MAX)?.unwrap_or_default();
    let found = domain(shell, args)?;
    Ok(shell.connection()?.domain_set_block_threshold(&found, disk, threshold, 0)?)
}

/// Sets of key codes, by number.
pub(crate) const CODESETS: &[&str] =
    &["linux", "xt", "atset1", "atset2", "atset3", "os_x", "xt_kbd", "usb", "win32", "qnum"];

/// The number that stands for a key in a set: a number, or a name of the set.
fn key_code(text: &str, codeset: &str) -> Option<u32> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    number.filter(|code| *code > 0).or_else(|| match codeset {
        "linux" => keys::linux_code(text),
        _ => None,
    })
}

pub(crate) fn cmd_send_key(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    // Compat: an empty name is none.
    let codeset = args.raw_text("codeset").filter(|name| !name.is_empty()).unwrap_or("linux");
    let hold_ms = args.number::<u32>("holdtime")?.unwrap_or_default();
    let Some(number) = CODESETS.iter().position(|name| *name == codeset) else {
        return fail(format!("unknown codeset: '{codeset}'"));
    };
    let mut codes = Vec::new();
    for key in args.words("keycode") {
        match key_code(key, codeset) {
            Some(_) if codes.len() >= KEYS_MAX => return fail("too many keycodes"),
            Some(code) => codes.push(code),
            None => return fail(format!("invalid keycode: '{key}'")),
        }
    }
    let number = u32::try_from(number).unwrap_or_default();
    Ok(shell.connection()?.domain_send_key(&found, number, hold_ms, &codes, 0)?)
}

/// Limit: of the public API.
const KEYS_MAX: usize = 16;

/// The name of a screenshot's file where none is given: the domain, the time and the kind of image.
fn screenshot_name(domain: &str, kind: Option<&str>) -> String {
    let ending = match kind {
        Some("image/x-portable-pixmap") => ".ppm",
        Some("image/png") => ".png",
        _ => "",
    };
    format!("{domain}-{}{ending}", clock::file_stamp())
}

pub(crate) fn cmd_screenshot(shell: &mut Shell, args: &Args) -> Done {
    let file = args.text("file")?;
    let screen = args.number::<u32>("screen")?.unwrap_or_default();
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let shot = connection.domain_screenshot(&found, screen, 0);
    let (kind, stream) =
        shot.during(|| format!("could not take a screenshot of {}", found.name))?;
    let path = file.map_or_else(|| screenshot_name(&found.name, kind.as_deref()), str::to_owned);
    let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(&path);
    let opened = opened.or_else(|_| fail(format!("cannot create file {path}")))?;
    console::drain(stream.as_ref(), opened).map_err(|failure| {
        failure.during(format!("could not receive data from domain {}", found.name))
    })?;
    stream.finish()?;
    let kind = kind.unwrap_or_default();
    shell.print_extra(format_args!("Screenshot saved to {path}, with type of {kind}"));
    Ok(())
}

pub(crate) fn cmd_get_user_sshkeys(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let user = args.needed("user")?;
    let keys = shell.connection()?.domain_authorized_ssh_keys_get(&found, user, 0)?;
    // Compat: one after the other, with nothing between them.
    keys.iter().for_each(|key| say!(shell, "{}", key));
    shell.records(keys.into_iter().map(|key| record([("key", key.into())])));
    Ok(())
}

pub(crate) fn cmd_set_user_sshkeys(shell: &mut Shell, args: &Args) -> Done {
    args.requires("remove", "file")?;
    args.exclusive("reset", "remove")?;
    let found = domain(shell, args)?;
    let (user, file) = (args.needed("user")?, args.text("file")?);
    let keys: Vec<String> = match file {
        Some(file) => read_document(file)?
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect(),
        None if args.flag("reset") => Vec::new(),
        None => return fail("Option --file is required"),
    };
    let flags = match (args.flag("reset"), args.flag("remove")) {
        (true, _) => 0,
        (false, true) => api::DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE,
        (false, false) => api::DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND,
    };
    Ok(shell.connection()?.domain_authorized_ssh_keys_set(&found, user, &keys, flags)?)
}

pub(crate) fn cmd_guestinfo(shell: &mut Shell, args: &Args) -> Done {
    let kinds = flags_of(
        args,
        &[
            ("user", api::DOMAIN_GUEST_INFO_USERS),
            ("os", api::DOMAIN_GUEST_INFO_OS),
            ("timezone", api::DOMAIN_GUEST_INFO_TIMEZONE),
            ("hostname", api::DOMAIN_GUEST_INFO_HOSTNAME),
            ("filesystem", api::DOMAIN_GUEST_INFO_FILESYSTEM),
            ("disk", api::DOMAIN_GUEST_INFO_DISKS),
            ("interface", api::DOMAIN_GUEST_INFO_INTERFACES),
            ("load", api::DOMAIN_GUEST_INFO_LOAD),
        ],
    );
    let found = domain(shell, args)?;
    let params = shell.connection()?.domain_get_guest_info(&found, kinds, 0)?;
    for param in &params {
        sayln!(shell, "{:<20}: {}", param.field, param.value);
    }
    shell.params(&params);
    Ok(())
}

pub(crate) fn cmd_guest_agent_timeout(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let otherwise = api::DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK;
    let timeout_s = args.number::<i32>("timeout")?.unwrap_or(otherwise);
    let connection = shell.connection()?;
    let before = connection.domain_agent_set_response_timeout(&found, timeout_s, 0)?;
    // Compat: a person is not told what it was.
    shell.fact("old_timeout_s", before);
    Ok(())
}

/// How the rate of changes is measured, and the flag of each.
const RATE_MODES: &[(&str, u32)] = &[
    ("page-sampling", api::DOMAIN_DIRTYRATE_MODE_PAGE_SAMPLING),
    ("dirty-bitmap", api::DOMAIN_DIRTYRATE_MODE_DIRTY_BITMAP),
    ("dirty-ring", api::DOMAIN_DIRTYRATE_MODE_DIRTY_RING),
];

pub(crate) fn cmd_domdirtyrate_calc(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let seconds = args.number::<i32>("seconds")?.unwrap_or(1);
    let flags = match args.text("mode")? {
        None => 0,
        Some(text) => match RATE_MODES.iter().find(|(name, _)| *name == text) {
            Some((_, flag)) => *flag,
            None => return fail(format!("Unknown calculation mode '{text}'")),
        },
    };
    shell.connection()?.domain_start_dirty_rate_calc(&found, seconds, flags)?;
    shell
        .print_extra(format_args!("Start to calculate domain's memory dirty rate successfully.\n"));
    Ok(())
}
