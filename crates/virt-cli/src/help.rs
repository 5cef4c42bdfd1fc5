//! Help pages, made from the command table.

use std::fmt::Write as _;

use crate::table::{Command, Group, Kind, Opt, Table};

/// The page of one command.
pub fn command_help<H>(command: &Command<H>) -> String {
    let mut out = format!("  NAME\n    {} - {}\n", command.name, command.summary);
    out.push_str("\n  SYNOPSIS\n    ");
    out.push_str(command.name);
    out.push_str(&synopsis(command));
    out.push('\n');
    if !command.about.is_empty() {
        // Writing to a String cannot fail, here and below.
        let _ = write!(out, "\n  DESCRIPTION\n    {}\n", command.about);
    }
    if !command.options.is_empty() {
        out.push_str("\n  OPTIONS\n");
        for option in command.options.iter().filter(|o| !matches!(o.kind, Kind::Alias(_))) {
            let _ = writeln!(out, "    {:<15}  {}", label(option), option.help);
        }
    }
    out
}

/// What may follow the name of a command.
pub(crate) fn synopsis<H>(command: &Command<H>) -> String {
    let mut out = String::new();
    command.options.iter().for_each(|option| write_synopsis(&mut out, option));
    out
}

fn write_synopsis(out: &mut String, option: &Opt) {
    let (name, value) = (option.name, option.placeholder());
    let _ = match (option.kind, option.positional, option.required) {
        (Kind::Alias(_), ..) => Ok(()),
        (Kind::Bool, ..) => write!(out, " [--{name}]"),
        (Kind::Argv, true, true) => write!(out, " <{name}>..."),
        (Kind::Argv, true, false) => write!(out, " [<{name}>]..."),
        (Kind::Argv, false, _) => write!(out, " [--{name} <{value}>]..."),
        (_, true, true) => write!(out, " <{name}>"),
        (_, true, false) => write!(out, " [<{name}>]"),
        (_, false, true) => write!(out, " --{name} <{value}>"),
        (_, false, false) => write!(out, " [--{name} <{value}>]"),
    };
}

/// An option's left column on the page.
pub(crate) fn label(option: &Opt) -> String {
    let (name, value) = (option.name, option.placeholder());
    match (option.kind, option.positional) {
        (Kind::Bool, _) => format!("--{name}"),
        (Kind::Argv, true) => format!("[--{name}] <{value}>..."),
        (Kind::Argv, false) => format!("--{name} <{value}>..."),
        (_, true) => format!("[--{name}] <{value}>"),
        (_, false) => format!("--{name} <{value}>"),
    }
}

/// The commands of one group, a line each.
pub fn group_help<H>(group: &Group<H>, colon: bool) -> String {
    let colon = if colon { ":" } else { "" };
    let mut out = format!(" {} (help keyword '{}'){colon}\n", group.title, group.keyword);
    for command in group.commands().filter(|command| !command.hidden) {
        let _ = writeln!(out, "    {:<30} {}", command.name, command.summary);
    }
    out
}

/// Every group after another, as the program's own help shows them.
pub fn options_overview<H>(table: &Table<H>, colon: bool) -> String {
    let mut out = String::new();
    let visible = |group: &&Group<H>| group.commands().any(|command| !command.hidden);
    for group in table.groups.iter().filter(visible) {
        out.push_str(&group_help(group, colon));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::table::{Command, Group, Opt};

    static GROUP: Group<()> = Group {
        title: "Tests",
        keyword: "test",
        commands: &[&[
            Command::new(
                "try",
                (),
                "tries it",
                "Tries it hard.",
                &[
                    Opt::string("domain", "which").needed(),
                    Opt::number("count", "how many").at(),
                    Opt::flag("live", "now"),
                    Opt::string("very-long-option", "x"),
                    Opt::alias("old", "live"),
                    Opt::argv("word", "more").at(),
                    Opt::argv("spec", "each").unwanted(),
                ],
            ),
            Command::new("plain", (), "does", "", &[]),
            Command::new("secret", (), "hides", "", &[]).hidden(),
        ]],
    };

    #[test]
    fn pages() {
        assert_eq!(
            super::command_help(&GROUP.commands[0][0]),
            "  NAME\n    try - tries it\n\n  SYNOPSIS\n    try <domain> [<count>] [--live] \
             [--very-long-option <string>] [<word>]... [--spec <string>]...\n\n  DESCRIPTION\n    \
             Tries it hard.\n\n  OPTIONS\n    [--domain] <string>  which\n    \
             [--count] <number>  how many\n    --live           now\n    \
             --very-long-option <string>  x\n    [--word] <string>...  more\n    \
             --spec <string>...  each\n"
        );
        assert_eq!(
            super::command_help(&GROUP.commands[0][1]),
            "  NAME\n    plain - does\n\n  SYNOPSIS\n    plain\n"
        );
        assert_eq!(
            super::group_help(&GROUP, true),
            " Tests (help keyword 'test'):\n    try                            tries it\n    \
             plain                          does\n"
        );
    }
}
