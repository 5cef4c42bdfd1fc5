//! Help for those who read along: what a word may have meant. Scripts see libvirt's text alone.

use virt_model::schema::nearest::nearest;

use crate::args::Args;
use crate::complete::Ask;
use crate::parse::Unknown;
use crate::shell::Shell;
use crate::table::{Table, Values};

/// Whether a person reads along.
pub fn hints_wanted() -> bool {
    match std::env::var_os("VIRSH_HINTS") {
        Some(wish) => wish == "1",
        None => rustix::termios::isatty(std::io::stderr()),
    }
}

/// What a word may have meant that the table does not have.
pub(crate) fn meant<H>(table: &Table<H>, unknown: &Unknown) -> Option<String> {
    Some(match unknown {
        Unknown::Command(name) => {
            let known = table.commands().filter(|command| !command.hidden);
            match nearest(name, known.map(|command| command.name)) {
                Some(command) => format!("did you mean '{command}'?"),
                None => "'help' lists all commands".to_owned(),
            }
        }
        Unknown::Option(command, name) => {
            let known = table.commands().find(|known| known.name == *command)?.options;
            match nearest(name, known.iter().map(|option| option.name)) {
                Some(option) => format!("did you mean '--{option}'?"),
                None => format!("'help {command}' explains its options"),
            }
        }
    })
}

/// What was meant by the name of an object that is not there, where a failure is about one.
pub(crate) fn no_such_object<S: Shell>(
    shell: &mut S,
    args: &Args,
    lines: &[String],
) -> Option<String> {
    let others: Vec<(&'static str, String)> =
        args.typed().map(|(option, value)| (option.name, value.to_owned())).collect();
    for (option, value) in args.typed() {
        let Values::Object(kind) = option.values else { continue };
        if value.is_empty() || !lines.iter().any(|line| line.contains(value)) {
            continue;
        }
        // Any state is as good: what is there but in another state is not misspelt.
        let kind = kind.rsplit(' ').next().unwrap_or(kind);
        let ask =
            Ask { values: Values::Object(kind), typed: String::new(), others: others.clone() };
        let names = shell.names(&ask)?;
        if names.iter().any(|name| name == value) {
            continue;
        }
        return Some(match nearest(value, names.iter().map(String::as_str)) {
            Some(name) => format!("did you mean '{name}'?"),
            None if names.is_empty() => format!("there is no {kind} at all"),
            None => format!("there is no {kind} of that name; there are: {}", shortened(&names)),
        });
    }
    None
}

/// Limit: so many names are listed in a hint.
const NAMES_MAX: usize = 8;

fn shortened(names: &[String]) -> String {
    let mut shown = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_MAX {
        shown.push_str(", …");
    }
    shown
}
