//! The interactive shell: lines from a pipe, and a person at a terminal.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use test_support::{Scratch, Terminal, wait_until};

fn virsh() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virsh"));
    command.env_clear().envs([("LC_ALL", "C.UTF-8"), ("TERM", "xterm")]);
    command.args(["-c", "test:///default"]);
    command
}

#[test]
fn lines_from_a_pipe_are_shown_and_obeyed() {
    let mut child = virsh()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("virsh runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"nosuch\ndomstate test\necho a \\\n").expect("virsh reads");
    drop(input);
    let output = child.wait_with_output().expect("virsh ends");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "Welcome to virsh, the virtualization interactive terminal.\n\n\
         Type:  'help' for help with commands\n       'quit' to quit\n\n\
         virsh # nosuch\nvirsh # domstate test\nrunning\n\nvirsh # echo a \\\nvirsh # \n"
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: unknown command: 'nosuch'\nerror: dangling \\\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

/// How long a person would wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Our shell on a terminal of its own, which Ctrl-C reaches as a signal.
fn at_a_terminal(home: &Scratch, variables: &[(&str, &str)]) -> Terminal {
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_virsh"), "-c", "test:///default"]);
    command.env_clear().envs([("LC_ALL", "C.UTF-8"), ("TERM", "xterm"), ("VIRSH_HINTS", "0")]);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home.path()).env("TMPDIR", home.path()).current_dir(home.path());
    command.envs(variables.iter().copied());
    let mut terminal = Terminal::start(&mut command).expect("a terminal");
    see(&mut terminal, "virsh # ");
    terminal
}

/// Waits until `text` was printed after what was waited for before.
#[track_caller]
fn see(terminal: &mut Terminal, text: &str) -> String {
    terminal.wait_for(text, WAIT_MAX).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn type_in(terminal: &mut Terminal, keys: &str) {
    terminal.send(keys).expect("virsh reads");
}

fn leave(mut terminal: Terminal) {
    type_in(&mut terminal, "quit\r");
    assert_eq!(terminal.end(WAIT_MAX), Some(0));
}

#[test]
fn a_person_at_a_terminal_completes_runs_and_finds_the_history_again() {
    let home = Scratch::new("virsh-terminal");
    let mut terminal = at_a_terminal(&home, &[]);
    type_in(&mut terminal, "domstat\t");
    type_in(&mut terminal, "e tes\t\r");
    see(&mut terminal, "running");
    see(&mut terminal, "virsh # ");
    leave(terminal);
    let kept = std::fs::read_to_string(home.join(".cache/libvirt/virsh/history"));
    let kept = kept.unwrap_or_default();
    let lines: Vec<&str> = kept.lines().map(str::trim_end).collect();
    assert_eq!(lines, ["domstate test", "quit"]);
    // The next session finds the line again: twice up, past the one that left.
    let mut terminal = at_a_terminal(&home, &[]);
    type_in(&mut terminal, "\u{1b}[A\u{1b}[A\r");
    see(&mut terminal, "running");
    leave(terminal);
}

#[test]
fn a_person_at_a_terminal_moves_between_folders_and_connections() {
    let home = Scratch::new("virsh-terminal");
    let mut terminal = at_a_terminal(&home, &[]);
    type_in(&mut terminal, "cd /usr; pwd\r");
    see(&mut terminal, "/usr\r\n");
    type_in(&mut terminal, "cd; pwd\r");
    see(&mut terminal, &home.path().to_string_lossy());
    type_in(&mut terminal, "connect test:///default --readonly\r");
    see(&mut terminal, "virsh > ");
    type_in(&mut terminal, "destroy test\r");
    see(&mut terminal, "read only access prevents virDomainDestroy");
    type_in(&mut terminal, "connect\r");
    see(&mut terminal, "virsh # ");
    type_in(&mut terminal, "echo 'a  b'\r");
    see(&mut terminal, "\r\na  b\r\n");
    leave(terminal);
}

#[test]
fn an_interrupt_ends_what_waits_and_not_the_shell() {
    let home = Scratch::new("virsh-terminal");
    let mut terminal = at_a_terminal(&home, &[]);
    type_in(&mut terminal, "\u{3}");
    see(&mut terminal, "virsh # ");
    type_in(&mut terminal, "event --all --loop\r");
    // The terminal gives signals only while no line is being edited.
    assert!(wait_until(WAIT_MAX, || !terminal.is_raw()), "the event loop does not start");
    std::thread::sleep(Duration::from_millis(500));
    type_in(&mut terminal, "\u{3}");
    see(&mut terminal, "event loop interrupted");
    see(&mut terminal, "events received: 0");
    see(&mut terminal, "virsh # ");
    leave(terminal);
}

/// An editor that breaks the document the first time and mends it the second.
const CLUMSY: &str = "#!/bin/sh
if [ -e tried ]; then sed -i 's/<vcpx/<vcpu/; s/vcpx>/vcpu>/; s/8388608/8388609/' \"$1\"
else touch tried; sed -i 's/<vcpu/<vcpx/; s/vcpu>/vcpx>/' \"$1\"; fi
";

#[test]
fn a_refused_document_is_edited_again_with_what_was_changed() {
    let home = Scratch::new("virsh-terminal");
    home.write("editor", CLUMSY);
    home.set_mode(0o755);
    let editor = format!("sh {}", home.join("editor").display());
    let mut terminal = at_a_terminal(&home, &[("EDITOR", editor.as_str())]);
    type_in(&mut terminal, "edit test\r");
    see(&mut terminal, "Failed. Try again? [y,n,i,f,?]: ");
    type_in(&mut terminal, "?");
    see(&mut terminal, "y - yes, start editor again");
    see(&mut terminal, "Failed. Try again? [y,n,i,f,?]: ");
    type_in(&mut terminal, "y");
    see(&mut terminal, "Domain 'test' XML configuration edited.");
    see(&mut terminal, "virsh # ");
    type_in(&mut terminal, "dumpxml test --inactive --xpath /domain/memory\r");
    see(&mut terminal, "8388609");
    see(&mut terminal, "virsh # ");
    leave(terminal);
    let drafts = std::fs::read_dir(home.path()).expect("our folder");
    let drafts = drafts.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "xml"));
    assert_eq!(drafts.count(), 0, "a draft was left behind");
}

/// Nobody can be asked without a terminal, but what was typed is worth more than libvirt's silence.
#[test]
fn no_text_is_lost_where_nobody_can_be_asked() {
    let home = Scratch::new("virsh-edit");
    let output = virsh()
        .arg("edit test")
        .env("EDITOR", "sed -i s/vcpu/vcpx/g")
        .env("TMPDIR", home.path())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .output()
        .expect("virsh runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let kept = said.split("your changes are kept in ").nth(1).expect("where they are kept").trim();
    assert!(std::fs::read_to_string(kept).expect("the draft").contains("<vcpx"), "{said}");
}
