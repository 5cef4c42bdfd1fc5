//! The shell's own commands.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::PathBuf;

use virt_cli::{Args, command_help, complete, group_help, options_overview};
use virt_error::errno_text;

use crate::completion;
use crate::failure::{Done, Failure, fail};
use crate::shell::{Shell, say, sayln};
use crate::table::TABLE;

pub(crate) fn cmd_cd(_shell: &mut Shell, args: &Args) -> Done {
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

pub(crate) fn cmd_pwd(shell: &mut Shell, _args: &Args) -> Done {
    match std::env::current_dir() {
        Ok(dir) => {
            sayln!(shell, "{}", dir.display());
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

pub(crate) fn cmd_quit(shell: &mut Shell, _args: &Args) -> Done {
    shell.quitting = true;
    Ok(())
}

pub(crate) fn cmd_connect(shell: &mut Shell, args: &Args) -> Done {
    let name = args.text("name")?;
    let read_only = args.flag("readonly");
    shell.reconnect(name, read_only)
}

pub(crate) fn cmd_help(shell: &mut Shell, args: &Args) -> Done {
    let Some(name) = args.text("command")? else {
        say!(shell, "Grouped commands:\n\n{}", options_overview(&TABLE, true));
        return Ok(());
    };
    if let Some(command) = TABLE.find(name) {
        say!(shell, "{}", command_help(command));
    } else if let Some(group) = TABLE.group(name) {
        say!(shell, "{}", group_help(group, true));
    } else {
        return fail(format!("command or command group '{name}' doesn't exist"));
    }
    Ok(())
}

/// Splits at commas; two commas in a row stand for one.
fn split_for_echo(word: &str) -> Vec<String> {
    if word.is_empty() { Vec::new() } else { super::moment::split_commas(word) }
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
pub(crate) fn cmd_echo(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("shell", "xml")?;
    args.exclusive("shell", "split")?;
    args.exclusive("xml", "split")?;
    let mut text = match args.text("prefix") {
        Ok(Some(prefix)) => format!("{prefix} "),
        Ok(None) => String::new(),
        Err(problem) => {
            shell.report(&Failure::from(problem));
            String::new()
        }
    };
    let mut separator = "";
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
        shell.error(&text);
    } else {
        say!(shell, "{text}");
    }
    Ok(())
}

/// For the calling shell's completion: the words that fit, one a line.
pub(crate) fn cmd_complete(shell: &mut Shell, args: &Args) -> Done {
    let words: Vec<String> = args.words("string").map(str::to_owned).collect();
    let found = complete(&TABLE, &words);
    let mut candidates = found.words;
    if let Some((values, typed)) = found.ask {
        // Completion is silent about a host it cannot reach.
        candidates.extend(completion::objects(shell, values, &typed));
    }
    for candidate in &candidates {
        sayln!(shell, "{}", candidate);
    }
    if candidates.is_empty() { Err(Failure::silent()) } else { Ok(()) }
}

/// Prints parts of the table; that the table is sound is a test of its own.
pub(crate) fn cmd_self_test(shell: &mut Shell, args: &Args) -> Done {
    for command in TABLE.commands().filter(|command| command.alias_of.is_none()) {
        if args.flag("dump-help") {
            let text = virt_cli::command_help(command);
            shell.print(format_args!("{text}"));
        }
        if args.flag("completers-missing") {
            let unknown = command.options.iter().filter(|option| {
                option.kind == virt_cli::Kind::String && option.values == virt_cli::Values::Unknown
            });
            let names: Vec<&str> = unknown.map(|option| option.name).collect();
            if !names.is_empty() {
                sayln!(shell, "{}: {}", command.name, names.join(","));
            }
        }
    }
    Ok(())
}
