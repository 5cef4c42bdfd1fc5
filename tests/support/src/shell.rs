//! Running a program to its end with a limit on the time, keeping all it said.

use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::wait::wait_until;

/// What a program said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    /// `None` if it was ended by a signal, or by us because its time was up.
    pub code: Option<i32>,
}

impl Outcome {
    /// The standard output of a program that must succeed without a word of complaint.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "stdout: {}", self.stdout);
        self.stdout
    }
}

/// Runs a program with empty input.
pub fn run(command: &mut Command, limit: Duration) -> Outcome {
    run_with_input(command, "", limit)
}

/// Runs a program; if it does not end within `limit` it is killed and has no exit code.
pub fn run_with_input(command: &mut Command, input: &str, limit: Duration) -> Outcome {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("the input is a pipe");
    let input = input.to_owned();
    // A program may end before it has read all: that is its own affair.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let stdout = reader(child.stdout.take().expect("the output is a pipe"));
    let stderr = reader(child.stderr.take().expect("the errors are a pipe"));
    let code = end_within(&mut child, limit);
    let join = |reader: thread::JoinHandle<String>| reader.join().expect("a reader does not panic");
    writer.join().expect("the writer does not panic");
    Outcome { stdout: join(stdout), stderr: join(stderr), code }
}

/// Runs a program with empty input, and gives what it wrote to both outputs in the order written.
pub fn run_merged(
    command: &mut Command,
    limit: Duration,
) -> std::io::Result<(String, Option<i32>)> {
    let (from, to) = std::io::pipe()?;
    let outputs = command.stdin(Stdio::null()).stdout(to.try_clone()?).stderr(to);
    let child = outputs.spawn();
    // The command would hold the pipe open, and its end would never come.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child?;
    let text = reader(from);
    let code = end_within(&mut child, limit);
    Ok((text.join().expect("a reader does not panic"), code))
}

fn reader(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is what there is to show.
        drop(pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for a child's end, and kills it when its time is up.
pub(crate) fn end_within(child: &mut Child, limit: Duration) -> Option<i32> {
    let mut status = None;
    let ended = wait_until(limit, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    if !ended {
        drop(child.kill());
        drop(child.wait());
    }
    status.and_then(|status| status.code())
}

/// A virsh (theirs or ours) on a connection, with nothing of the person's own settings around it.
pub fn virsh(program: &Path, uri: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["-c", uri]).env_clear().current_dir(home);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env("PATH", path).env("HOME", home);
    for (variable, folder) in
        [("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache"), ("XDG_RUNTIME_DIR", "run")]
    {
        command.env(variable, home.join(folder));
    }
    for (variable, value) in [("LC_ALL", "C"), ("LANG", "C"), ("TZ", "UTC"), ("TERM", "dumb")] {
        command.env(variable, value);
    }
    command
}
