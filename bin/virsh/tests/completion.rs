//! The completion scripts in the shells they are for, with the tab key of a real terminal.

mod answering;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use answering::Answering;
use test_support::{Scratch, Terminal, or_skip};

const LIMIT: Duration = Duration::from_secs(60);

/// A login shell with our `virsh` first on its path and nothing of the person's own.
fn login_shell(name: &str, args: &[&str], home: &Scratch) -> Result<Terminal, String> {
    let found = ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(name));
    let program = found.into_iter().find(|path| path.exists());
    let program = program.ok_or_else(|| format!("{name} is not installed"))?;
    let own = Path::new(env!("CARGO_BIN_EXE_virsh")).parent().unwrap_or(Path::new("/"));
    // Some shells insist on a terminal that is theirs alone.
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(program);
    command.env_clear().envs([("LC_ALL", "C.UTF-8"), ("TERM", "xterm"), ("PS1", "ready> ")]);
    command.env("HOME", home.path()).env("PATH", format!("{}:/usr/bin:/bin", own.display()));
    command.args(args);
    Terminal::start(&mut command).map_err(|error| error.to_string())
}

/// Types a line with tabs and waits for what the command then says.
fn expect(terminal: &mut Terminal, typed: &str, answer: &str) {
    terminal.send(typed).expect("the shell reads");
    terminal.send("\n").expect("the shell reads");
    if let Err(reason) = terminal.wait_for(answer, LIMIT) {
        panic!("{typed:?}: {reason}");
    }
}

/// The same of a daemon elsewhere, whose address a person has to quote, or need not.
fn walk_far(terminal: &mut Terminal, quotes: &[&str]) {
    let answering = Answering::start();
    for (number, quote) in quotes.iter().enumerate() {
        let typed = format!("virsh -q -c {quote}{}{quote} nwfilter-dumpxml \t", answering.uri());
        expect(terminal, &typed, "<filter name='a'/>");
        expect(terminal, &format!("echo fa\"\"r{number}"), &format!("far{number}"));
    }
}

/// A command, an option, an object on the URI that was typed, one that belongs to another, a format.
fn walk(terminal: &mut Terminal) {
    for (number, (typed, answer)) in [
        ("virsh -q -c test:///default domuu\tte\t", "6695eb01-f6a4-8304-79aa-97f2502e193f"),
        ("virsh --connect test:///default vol-l\tdef\t", "Path"),
        ("virsh -q -c test:///default net-info --net\tdef\t", "Bridge:"),
        ("virsh -q -c test:///default list --outp\tta\t", "id   name   state"),
        ("virsh -q -c test:///default domblkinfo test v\t", "Capacity:"),
    ]
    .into_iter()
    .enumerate()
    {
        expect(terminal, typed, answer);
        // What came before is not mistaken for the next answer.
        expect(terminal, &format!("echo ma\"\"rk{number}"), &format!("mark{number}"));
    }
}

#[test]
fn bash_completes_commands_options_and_objects() {
    let home = Scratch::new("bash");
    let mut terminal = or_skip!(login_shell("bash", &["--norc", "--noprofile", "-i"], &home));
    expect(&mut terminal, "source <(virsh completion bash); echo lo\"\"aded", "loaded");
    walk(&mut terminal);
    walk_far(&mut terminal, &["", "'", "\""]);
}

#[test]
fn zsh_completes_commands_options_and_objects() {
    let home = Scratch::new("zsh");
    let mut terminal = or_skip!(login_shell("zsh", &["-f", "-i"], &home));
    let load =
        "autoload -U compinit && compinit -u -D && source <(virsh completion zsh); echo lo\"\"aded";
    expect(&mut terminal, load, "loaded");
    walk(&mut terminal);
    walk_far(&mut terminal, &["'", "\""]);
}

#[test]
fn fish_completes_commands_options_and_objects() {
    let home = Scratch::new("fish");
    let mut terminal = or_skip!(login_shell("fish", &["--no-config", "-i"], &home));
    expect(&mut terminal, "virsh completion fish | source; echo lo\"\"aded", "loaded");
    walk(&mut terminal);
    walk_far(&mut terminal, &["'", "\""]);
}
