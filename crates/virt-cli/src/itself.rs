//! The commands that every shell has for itself.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::PathBuf;

use virt_error::errno_text;

use crate::args::Args;
use crate::complete::{Offer, complete};
use crate::failure::{Done, Failure, fail};
use crate::help::{command_help, group_help, options_overview};
use crate::hints::meant;
use crate::parse::Unknown;
use crate::shell::{Run, Shell};
use crate::table::{Command, Kind, Opt, Values};

const CD: &[Opt] = &[Opt::string("dir", "where to go").at().of(Values::File)];
const ECHO: &[Opt] = &[
    Opt::flag("shell", "escape for shell use"),
    Opt::flag("xml", "escape for XML use"),
    Opt::flag("split", "split each argument on ','; ',,' is an escape sequence"),
    Opt::flag("err", "output to stderr"),
    Opt::string("prefix", "prefix the message"),
    Opt::argv("string", "arguments to echo").at(),
    Opt::alias("str", "string"),
    Opt::alias("hi", "string=hello"),
];
const HELP: &[Opt] = &[Opt::string("command", "a command or a group").at().of(Values::Command)];
const COMPLETE: &[Opt] = &[
    Opt::flag("objects", "names of objects before options"),
    Opt::argv("string", "what was typed").at(),
];
const SELF_TEST: &[Opt] = &[
    Opt::flag("completers-missing", "list options whose values cannot be completed"),
    Opt::flag("dump-help", "print the help of every command"),
];

/// The entries of these commands in a shell's table.
impl<S: Shell> Command<Run<S>> {
    pub const fn cd() -> Self {
        let about = "Changes the folder that file names are relative to.";
        Self::new("cd", cmd_cd, "change the folder", about, CD).offline()
    }

    /// Compat: libvirt's own tests compare the words of this one command's help.
    pub const fn echo() -> Self {
        let about = "Echo back arguments, possibly with quoting. Used for internal testing.";
        Self::new("echo", cmd_echo, "echo arguments. Used for internal testing.", about, ECHO)
            .offline()
    }

    pub const fn exit() -> Self {
        Self::new("exit", cmd_quit, "leave the shell", "Leaves the shell.", &[]).offline()
    }

    pub const fn help() -> Self {
        let about = "Lists all commands, or explains one, or lists a group.";
        Self::new("help", cmd_help, "explain commands", about, HELP).offline()
    }

    pub const fn pwd() -> Self {
        let about = "Prints the folder that file names are relative to.";
        Self::new("pwd", cmd_pwd, "show the folder", about, &[]).offline()
    }

    pub const fn quit() -> Self {
        Self::new("quit", cmd_quit, "leave the shell", "Leaves the shell.", &[]).offline()
    }

    pub const fn complete() -> Self {
        let about = "For the calling shell: prints what may stand where the cursor is.";
        let summary = "candidates for completion";
        Self::new("complete", cmd_complete, summary, about, COMPLETE).offline().hidden()
    }

    pub const fn self_test() -> Self {
        let about = "For tests of shells: checks the table of commands, or prints parts of it.";
        let summary = "check the table of commands";
        Self::new("self-test", cmd_self_test, summary, about, SELF_TEST).offline().hidden()
    }

    /// Another name of a command.
    pub const fn other_name(name: &'static str, of: &'static str) -> Self {
        Self::new(name, cmd_quit, "", "", &[]).hidden().alias_of(of)
    }
}

fn cmd_cd<S: Shell>(_shell: &mut S, args: &Args) -> Done {
    let to = match args.text("dir") {
        Ok(Some(dir)) => PathBuf::from(dir),
        // Compat: an empty name is the home folder, as none is.
        Ok(None) | Err(_) => home(),
    };
    if let Err(error) = std::env::set_current_dir(&to) {
        let why = error.raw_os_error().map_or_else(|| error.to_string(), errno_text);
        return fail(format!("cd: {why}: {}", to.display()));
    }
    Ok(())
}

/// The home folder, or the root where there is none.
fn home() -> PathBuf {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty()).unwrap_or_else(|| "/".into())
}

fn cmd_pwd<S: Shell>(shell: &mut S, _args: &Args) -> Done {
    match std::env::current_dir() {
        Ok(dir) => {
            shell.session().print(format_args!("{}\n", dir.display()));
            Ok(())
        }
        Err(error) => {
            let why = match error.kind() {
                ErrorKind::NotFound => "No such file or directory".to_owned(),
                _ => error.to_string(),
            };
            fail(format!("pwd: cannot get current directory: {why}"))
        }
    }
}

fn cmd_quit<S: Shell>(shell: &mut S, _args: &Args) -> Done {
    shell.session().quitting = true;
    Ok(())
}

fn cmd_help<S: Shell>(shell: &mut S, args: &Args) -> Done {
    let Some(name) = args.text("command")? else {
        shell
            .session()
            .print(format_args!("Grouped commands:\n\n{}", options_overview(S::table(), true)));
        return Ok(());
    };
    if let Some(command) = S::table().find(name) {
        shell.session().print(format_args!("{}", command_help(command)));
    } else if let Some(group) = S::table().group(name) {
        shell.session().print(format_args!("{}", group_help(group, true)));
    } else {
        let mut failure = Failure::new(format!("command or command group '{name}' doesn't exist"));
        failure.hint = meant(S::table(), &Unknown::Command(name.to_owned()));
        return Err(failure);
    }
    Ok(())
}

/// Splits at commas; two commas in a row stand for one.
fn split_for_echo(word: &str) -> Vec<String> {
    if word.is_empty() { Vec::new() } else { split_commas(word) }
}

/// A word as the Bourne shell reads it back.
fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "+-_./:=@%,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn xml_escaped(word: &str) -> String {
    let mut out = String::new();
    virt_xml::escape_into(&mut out, word);
    out
}

/// For scripts and tests: says its arguments again, quoted or split as asked.
fn cmd_echo<S: Shell>(shell: &mut S, args: &Args) -> Done {
    args.exclusive("shell", "xml")?;
    args.exclusive("shell", "split")?;
    args.exclusive("xml", "split")?;
    let mut text = match args.text("prefix") {
        Ok(Some(prefix)) => prefix.to_owned(),
        Ok(None) => String::new(),
        Err(problem) => {
            shell.session().report(&Failure::from(problem));
            String::new()
        }
    };
    let mut separator = if text.is_empty() { "" } else { " " };
    for word in args.words("string") {
        text.push_str(separator);
        separator = " ";
        if args.flag("split") {
            for part in split_for_echo(word) {
                let _ = writeln!(text, "{part}");
            }
            continue;
        }
        let mut shown = word.to_owned();
        if args.flag("xml") {
            shown = xml_escaped(&shown);
        }
        if args.flag("shell") {
            shown = shell_quoted(&shown);
        }
        text.push_str(&shown);
    }
    if args.flag("err") {
        if !text.is_empty() {
            shell.session().error(&text);
        }
    } else {
        shell.session().print(format_args!("{text}"));
    }
    Ok(())
}

/// For the calling shell's completion: the words that fit, one a line.
fn cmd_complete<S: Shell>(shell: &mut S, args: &Args) -> Done {
    let words: Vec<String> = args.words("string").map(str::to_owned).collect();
    let offer = if args.flag("objects") { Offer::Objects } else { Offer::Options };
    let found = complete(S::table(), &words, offer);
    let mut candidates = found.words;
    if let Some(ask) = found.ask {
        // Completion is silent about a host it cannot reach.
        candidates.extend(shell.names(&ask).unwrap_or_default());
    }
    for candidate in &candidates {
        shell.session().print(format_args!("{candidate}\n"));
    }
    if candidates.is_empty() { Err(Failure::silent()) } else { Ok(()) }
}

/// Prints parts of the table; that the table is sound is a test of its own.
fn cmd_self_test<S: Shell>(shell: &mut S, args: &Args) -> Done {
    for command in S::table().commands().filter(|command| command.alias_of.is_none()) {
        if args.flag("dump-help") {
            let text = command_help(command);
            shell.session().print(format_args!("{text}"));
        }
        if args.flag("completers-missing") {
            let unknown = command
                .options
                .iter()
                .filter(|option| option.kind == Kind::String && option.values == Values::Unknown);
            let names: Vec<&str> = unknown.map(|option| option.name).collect();
            if !names.is_empty() {
                let names = names.join(",");
                shell.session().print(format_args!("{}: {names}\n", command.name));
            }
        }
    }
    Ok(())
}

/// Splits at commas; two commas in a row stand for one.
pub fn split_commas(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ',' && rest.next_if_eq(&',').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::split_commas;

    #[test]
    fn commas() {
        assert_eq!(split_commas("a,b,,c,,,d"), ["a", "b,c,", "d"]);
        assert_eq!(split_commas(""), [""]);
    }
}
