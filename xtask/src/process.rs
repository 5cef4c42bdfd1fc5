//! Running other programs: said aloud, checked, and with errors that name the command.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command that is not started yet.
pub(crate) fn command(program: impl AsRef<OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Cargo, as the one that runs this task; with the workspace as its folder.
pub(crate) fn cargo(root: &Path, args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = command(program, args);
    command.current_dir(root);
    command
}

/// Runs to the end with the terminal's own input and output; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", words(command))) }
}

/// Runs to the end with `text` as its input, and what it prints thrown away.
pub(crate) fn feed(command: &mut Command, text: &str) -> Result<(), String> {
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().map_err(|error| not_started(command, &error))?;
    // Dropped when written: the command waits for the end of its input.
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(text.as_bytes()));
    let status = child.wait().map_err(|error| not_started(command, &error))?;
    match written {
        Ok(()) if status.success() => Ok(()),
        Err(error) => Err(format!("{}: {error}", words(command))),
        Ok(()) => Err(format!("{} failed: {status}", words(command))),
    }
}

/// Runs to the end and gives what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} failed: {}\n{errors}", words(command), output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} wrote no UTF-8", words(command)))
}

/// Whether the command runs and succeeds; its output is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Finds a program as the shell would, or in the folders for administrators.
pub(crate) fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The command as one would type it.
pub(crate) fn words(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

fn not_started(command: &Command, error: &std::io::Error) -> String {
    format!("cannot run {}: {error}", words(command))
}
