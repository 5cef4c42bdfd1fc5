//! The options before the command.

use virt_cli::{
    GlobalOption, GlobalTyped, Session, Takes, complain, options_overview, scan_globals,
};

use crate::shell::Shell;
use crate::table::TABLE;

/// The version of libvirt whose interface this is.
pub(crate) const VERSION: &str = "11.3.0";

/// The long form `--version` has no letter of its own; this one stands for it in what was typed.
const LONG_VERSION: char = 'w';

const fn option(letter: char, short: bool, long: &'static str, takes: Takes) -> GlobalOption {
    GlobalOption { letter, short, long, takes }
}

const OPTIONS: &[GlobalOption] = &[
    option('c', true, "connect", Takes::Value),
    option('d', true, "debug", Takes::Value),
    option('h', true, "help", Takes::Nothing),
    option('l', true, "log", Takes::Value),
    option('q', true, "quiet", Takes::Nothing),
    option('v', true, "", Takes::Nothing),
    option('V', true, "", Takes::Nothing),
    option(LONG_VERSION, false, "version", Takes::Maybe),
];

/// What the options lead to.
pub(crate) enum Start {
    /// Run the rest of the words.
    Run(Box<Shell>, Vec<String>),
    /// Everything is said; whether it was a success.
    Done(bool),
}

pub(crate) fn read(words: &[String]) -> Start {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut session = Session::new("virt-admin");
    if let Some(level) = named("VIRT_ADMIN_DEBUG").and_then(|text| text.parse().ok()) {
        session.debug = level;
    }
    let mut uri = named("LIBVIRT_ADMIN_DEFAULT_URI");
    let (typed, end) = scan_globals(OPTIONS, words);
    for option in &typed {
        match obey(&mut session, &mut uri, option) {
            Ok(true) => {}
            Ok(false) => return Start::Done(true),
            Err(message) => return refuse(&message),
        }
    }
    match end {
        Ok(at) => {
            let rest = words.get(at..).unwrap_or_default().to_vec();
            Start::Run(Box::new(Shell::new(session, uri)), rest)
        }
        Err(message) => refuse(&message),
    }
}

fn refuse(message: &str) -> Start {
    complain(format_args!("error: {message}"));
    Start::Done(false)
}

/// Obeys one option. False when there is nothing left to do.
fn obey(
    session: &mut Session,
    uri: &mut Option<String>,
    typed: &GlobalTyped,
) -> Result<bool, String> {
    let value = typed.value.as_deref().unwrap_or_default();
    match (typed.option, value) {
        ('c', value) => {
            *uri = (!value.is_empty()).then(|| value.to_owned());
            session.connects_first = true;
        }
        ('d', _) => session.set_debug(typed)?,
        ('l', value) => session.set_log(value)?,
        ('q', _) => session.quiet = true,
        (option, value) => {
            let text = match (option, value) {
                ('h', _) => usage(),
                ('V', _) | (LONG_VERSION, "long") => long_version(),
                _ => format!("{VERSION}\n"),
            };
            session.print(format_args!("{text}"));
            session.flush();
            return Ok(false);
        }
    }
    Ok(true)
}

fn long_version() -> String {
    format!(
        "Virt-admin command line tool of libvirt {VERSION}\n\
         Ferrovirt's own: see CONTRIBUTING.md beside its sources\n\n\
         Compiled with support for: Daemon Debug Readline\n"
    )
}

fn usage() -> String {
    format!(
        "\nvirt-admin [options]... [<command_string>]\n\
         virt-admin [options]... <command> [args...]\n\n  options:\n    \
         -c | --connect=URI      which daemon to administer\n    \
         -d | --debug=NUM        show messages from this level on [0-4]\n    \
         -h | --help             show this\n    \
         -l | --log=FILE         also write errors to this file\n    \
         -q | --quiet            print results only\n    \
         -v                      short version\n    \
         -V                      long version\n         \
         --version[=TYPE]   version, TYPE is short or long (default short)\n  \
         commands (non interactive mode):\n\n{}\n  \
         (help <group> lists the commands of a group)\n\n  \
         (help <command> explains one command)\n\n",
        options_overview(&TABLE, false)
    )
}
