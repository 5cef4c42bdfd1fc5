//! The manual page of a shell, made from its command table.

use std::fmt::Write as _;

use crate::help::{label, synopsis};
use crate::table::{Command, Kind, Table};

/// What a manual page says beside the commands.
#[derive(Clone, Copy, Debug)]
pub struct Manual {
    pub name: &'static str,
    pub summary: &'static str,
    /// What stands before the commands, and after them, in the formatter's own language.
    pub before: &'static str,
    pub after: &'static str,
    /// The options before a command: how each is written, and what it does.
    pub options: &'static [(&'static str, &'static str)],
}

/// The page, with every command and option of the table.
pub fn manual<H: Copy>(table: &Table<H>, page: &Manual) -> String {
    let name = page.name;
    let mut out = format!(
        ".\\\" Made from the command table: UPDATE=1 cargo nextest run -p {name} manual\n\
         .TH {} 1 \"\" Ferrovirt \"Virtual machines\"\n.SH NAME\n{name} \\- {}\n",
        name.to_uppercase(),
        plain(page.summary)
    );
    out.push_str(page.before);
    out.push_str(".SH OPTIONS\n");
    for (spelling, help) in page.options {
        let _ = writeln!(out, ".TP\n.B {}\n{}", plain(spelling.trim()), plain(help));
    }
    out.push_str(".SH COMMANDS\n");
    for group in table.groups {
        let _ = writeln!(out, ".SS {}", plain(group.title));
        for command in group.commands() {
            command_entry(&mut out, command);
        }
    }
    out.push_str(page.after);
    out
}

// Writing to a String cannot fail, here as above.
fn command_entry<H: Copy>(out: &mut String, command: &Command<H>) {
    let (name, rest) = (command.name, synopsis(command));
    let _ = writeln!(out, ".TP\n\\fB{}\\fR{}", plain(name), plain(&rest));
    if let Some(target) = command.alias_of {
        let _ = writeln!(out, "Another name of \\fB{}\\fR.", plain(target));
        return;
    }
    let about = if command.about.is_empty() { command.summary } else { command.about };
    let _ = writeln!(out, "{}", plain(&sentence(about)));
    if command.options.is_empty() {
        return;
    }
    out.push_str(".RS\n");
    for option in command.options {
        let _ = match option.kind {
            Kind::Alias(target) => writeln!(
                out,
                ".TP\n.B {}\nAnother name of \\fB{}\\fR.",
                plain(&format!("--{}", option.name)),
                plain(&format!("--{target}"))
            ),
            _ => writeln!(out, ".TP\n.B {}\n{}", plain(&label(option)), plain(option.help)),
        };
    }
    out.push_str(".RE\n");
}

/// A summary as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

/// A text that means itself to the formatter.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let text: Vec<&str> = text.split('\n').collect();
    let guarded = |line: &&str| match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => (*line).to_owned(),
    };
    text.iter().map(guarded).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Group, Opt};

    static TABLE: Table<()> = Table {
        groups: &[Group {
            title: "Tests",
            keyword: "test",
            commands: &[&[
                Command::new(
                    "try-it",
                    (),
                    "tries it",
                    "",
                    &[Opt::flag("live", ".now"), Opt::alias("old", "live")],
                ),
                Command::new("attempt", (), "", "", &[]).alias_of("try-it"),
            ]],
        }],
        facts: "",
    };

    #[test]
    fn commands_options_and_other_names_are_there() {
        let page = Manual {
            name: "shell",
            summary: "one",
            before: ".SH DESCRIPTION\nx\n",
            after: ".SH END\n",
            options: &[("-q | --quiet", "says little")],
        };
        let page = manual(&TABLE, &page);
        let body = page.split_once(".SH NAME\n").unwrap().1;
        assert_eq!(
            body,
            "shell \\- one\n.SH DESCRIPTION\nx\n.SH OPTIONS\n.TP\n.B \\-q | \\-\\-quiet\n\
             says little\n.SH COMMANDS\n.SS Tests\n.TP\n\\fBtry\\-it\\fR [\\-\\-live]\n\
             Tries it.\n.RS\n.TP\n.B \\-\\-live\n\\&.now\n.TP\n.B \\-\\-old\n\
             Another name of \\fB\\-\\-live\\fR.\n.RE\n.TP\n\\fBattempt\\fR\n\
             Another name of \\fBtry\\-it\\fR.\n.SH END\n"
        );
    }
}
