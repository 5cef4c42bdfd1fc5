//! Running `xl`: with a limit of time and of what it says.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use virt_error::Result;

use crate::operation_failed;

/// Where it is on most hosts.
const USUAL: [&str; 3] = ["/usr/sbin/xl", "/sbin/xl", "/usr/local/sbin/xl"];
/// Limit: of what it says that is kept.
const SAID_BYTES_MAX: u64 = 256 * 1024;
/// How long most things may take; hotplug scripts have 40 seconds of their own.
pub(super) const USUAL_WAIT: Duration = Duration::from_secs(180);
/// How long saving, restoring and moving may take.
pub(super) const LONG_WAIT: Duration = Duration::from_secs(3600);
const STEP: Duration = Duration::from_millis(20);

/// The program.
#[derive(Clone, Debug)]
pub(crate) struct Xl(PathBuf);

/// What it said.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) errors: String,
    pub(super) code: Option<i32>,
}

impl Said {
    /// In one line, for a refusal: what it called errors, else its last words.
    pub(super) fn why(&self) -> String {
        let lines = || self.errors.lines().map(str::trim).filter(|line| !line.is_empty());
        let told: Vec<&str> =
            lines().filter(|line| line.to_lowercase().contains("error")).collect();
        let mut why = if told.is_empty() {
            lines().next_back().unwrap_or("").to_owned()
        } else {
            told.join("; ")
        };
        if why.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(why, "it ended with code {}", self.code.unwrap_or(-1));
        }
        why
    }
}

fn collect(from: impl Read + Send + 'static) -> std::sync::mpsc::Receiver<String> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut from = from.take(SAID_BYTES_MAX);
        let _ = from.read_to_end(&mut bytes);
        // What goes beyond is read, so that it does not wait, and forgotten.
        let _ = std::io::copy(&mut from.into_inner(), &mut std::io::sink());
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

impl Xl {
    /// The program that is named, or the usual one.
    pub(crate) fn find(named: Option<&Path>) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let runs = |path: &Path| {
            let meta = std::fs::metadata(path);
            meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        };
        let path = match named {
            Some(path) => Some(path.to_owned()),
            None => USUAL.iter().map(PathBuf::from).find(|path| runs(path)),
        };
        path.filter(|path| runs(path)).map(Self)
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(args).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(super) fn run(&self, args: &[&str], wait_max: Duration) -> Result<Said> {
        let child = self.command(args).spawn();
        let child = child.map_err(|error| {
            operation_failed(format!("cannot run {}: {error}", self.0.display()))
        })?;
        let what = args.first().copied().unwrap_or_default();
        finish(child, what, wait_max)
    }
}

/// Waits for its end; one that takes too long is ended.
pub(super) fn finish(mut child: Child, what: &str, wait_max: Duration) -> Result<Said> {
    let errors = child.stderr.take().map(collect);
    let until = Instant::now() + wait_max;
    let code = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.code(),
            Ok(None) if Instant::now() < until => std::thread::sleep(STEP),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                let seconds = wait_max.as_secs();
                return Err(operation_failed(format!(
                    "xl {what} took more than {seconds} seconds"
                )));
            }
            Err(error) => return Err(operation_failed(format!("xl {what}: {error}"))),
        }
    };
    // Children of its own may hold the pipe open: what has come by now is enough.
    let errors = errors.and_then(|errors| errors.recv_timeout(Duration::from_secs(5)).ok());
    Ok(Said { errors: errors.unwrap_or_default(), code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_told_in_one_line() {
        let said = |errors: &str| Said { errors: errors.to_owned(), code: Some(1) }.why();
        assert_eq!(
            said("Parsing config\nlibxl: error: a.c:1 no\nxl: error: b\n"),
            "libxl: error: a.c:1 no; xl: error: b"
        );
        assert_eq!(said("one\ntwo\n\n"), "two");
        assert_eq!(said(""), "it ended with code 1");
    }

    #[test]
    fn one_that_hangs_is_ended() {
        let xl = Xl(PathBuf::from("/bin/sleep"));
        let before = Instant::now();
        assert!(xl.run(&["60"], Duration::from_millis(50)).is_err());
        assert!(before.elapsed() < Duration::from_secs(30));
    }
}
