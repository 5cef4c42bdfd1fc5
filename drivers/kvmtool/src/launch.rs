//! The tool's process, from its first instruction to the moment its guest runs.
//!
//! A shell becomes the tool, because what the tool needs cannot be had otherwise without unsafe code:
//! SIGPIPE ignored (it dies of clients that leave early), and the console's slave open in it (without
//! one its terminal thread spins). Before that the shell waits for a word on its input. So the guest's
//! process is known, written down, in its groups and with its network before it does anything; and a
//! daemon that dies before the word leaves nothing, for then the input ends and the shell with it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use virt_error::{Error, Result};
use virt_guests::log_time;
use virt_host::{Pidfd, RunAs, Spawn};

use crate::terminal::Terminal;
use crate::{ORIGIN, host_error, vcpus};

/// Arguments: the console's slave, the tool, and the tool's own.
const SCRIPT: &str =
    "trap '' PIPE; read -r go || exit 125; exec 3<>\"$1\" 0<&1; shift; exec \"$@\"";

/// Limit: how long a guest may take until its processors run.
const READY_MAX: Duration = Duration::from_secs(20);

/// Between two looks whether it does; nothing tells.
const READY_STEP: Duration = Duration::from_millis(3);

/// Limit: how much of a guest's log is read.
const LOG_BYTES_MAX: u64 = 64 << 10;

/// Limit: how much of it is shown in an error.
const LOG_SHOWN_BYTES_MAX: usize = 2048;

/// What is started.
pub(crate) struct Order<'a> {
    pub(crate) tool: &'a Path,
    pub(crate) args: &'a [String],
    pub(crate) home: &'a Path,
    pub(crate) user: Option<&'a RunAs>,
    /// In a network of its own, which is made by this program.
    pub(crate) unshare: Option<&'a Path>,
}

/// A process that waits for the word to become the tool.
pub(crate) struct Waiting {
    pub(crate) process: Arc<Pidfd>,
    pub(crate) tty: PathBuf,
    gate: std::io::PipeWriter,
    _terminal: Terminal,
}

impl Order<'_> {
    /// Starts the process, which waits.
    pub(crate) fn start(&self, log: File) -> Result<Waiting> {
        let terminal = Terminal::new(self.user.map(|user| user.uid))?;
        let failed = |error: std::io::Error| Error::io(ORIGIN, &error, "cannot make a pipe");
        let (stdin, gate) = std::io::pipe().map_err(failed)?;
        let tty = terminal.path.clone();
        let mut args: Vec<OsString> = Vec::new();
        let mut program = PathBuf::from("/bin/sh");
        if let Some(unshare) = self.unshare {
            // A user that owns nothing makes a network in a user's world of its own.
            args.extend(self.user.map(|_| "--map-current-user".into()));
            args.extend(["--net".into(), "--".into(), program.into()]);
            program = unshare.to_owned();
        }
        args.extend(["-c".into(), SCRIPT.into(), "lkvm".into(), tty.clone().into()]);
        args.push(self.tool.into());
        args.extend(self.args.iter().map(OsString::from));
        let spawn = Spawn {
            program,
            args,
            env: vec![
                ("LC_ALL".into(), "C".into()),
                ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
                ("HOME".into(), self.home.into()),
            ],
            stdin: Some(stdin.into()),
            output: terminal.master.try_clone().map_err(failed)?,
            errors: Some(log),
            user: self.user.cloned(),
        };
        let process = Arc::new(spawn.start().map_err(|error| host_error(&error))?.pidfd);
        Ok(Waiting { process, tty, gate, _terminal: terminal })
    }
}

impl Waiting {
    /// Gives the word, and waits until the guest's processors are there.
    ///
    /// Compat: the tool dies of being told to pause while it has some of its processors and not all.
    pub(crate) fn go(mut self, log: &Log, vcpus: u32) -> Result<()> {
        // A process that has ended does not take it, which is seen below.
        let _ = self.gate.write_all(b"go\n");
        drop(self.gate);
        let deadline = Instant::now() + READY_MAX;
        loop {
            if self.process.wait(READY_STEP) {
                return Err(log.start_error());
            }
            let there = vcpus::threads(self.process.pid()).len();
            if there >= usize::try_from(vcpus).unwrap_or(usize::MAX) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                // The tool makes fewer where KVM does not take as many.
                if there > 0 {
                    return Ok(());
                }
                let detail = "the guest's processors did not start in time";
                return Err(Error::new(virt_error::Code::OperationTimeout, ORIGIN, detail));
            }
        }
    }
}

/// What the tool writes about one run: the guest's log from where the run began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) path: PathBuf,
    pub(crate) from: u64,
}

impl Log {
    /// Opens the log of a run, with a line that says what is started.
    pub(crate) fn open(path: PathBuf, version: &str, command: &str) -> Result<(Self, File)> {
        let failed = |error: std::io::Error| {
            Error::io(ORIGIN, &error, format!("Unable to open file: {}", path.display()))
        };
        let mut file = File::options();
        let mut file = file.append(true).create(true).mode(0o600).open(&path).map_err(failed)?;
        let text = format!(
            "{}: starting up ferrovirt version: {}, kvmtool version: {version}, kernel: {}, \
             hostname: {}\n{command}",
            log_time(),
            env!("CARGO_PKG_VERSION"),
            virt_host::kernel_release(),
            virt_host::hostname(),
        );
        file.write_all(text.as_bytes()).map_err(failed)?;
        let from = file.metadata().map_err(failed)?.len();
        Ok((Self { path, from }, file))
    }

    /// What the tool said; the end of it where that is much.
    fn said(&self) -> std::io::Result<String> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(self.from.max(length.saturating_sub(LOG_BYTES_MAX))))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether KVM gave up on the guest. Compat: the tool ends with 0 then, as after any other end.
    pub(crate) fn has_crash(&self) -> bool {
        self.said().is_ok_and(|text| text.contains("KVM exit reason"))
    }

    /// Whether the tool says that the guest's session came to its end.
    pub(crate) fn has_end(&self) -> bool {
        self.said().is_ok_and(|text| text.contains("KVM session ended normally"))
    }

    fn start_error(&self) -> Error {
        let said = self.said().unwrap_or_default();
        let said = said.trim();
        let from = said.len().saturating_sub(LOG_SHOWN_BYTES_MAX);
        let shown = (from..=said.len()).find_map(|at| said.get(at..)).unwrap_or_default();
        Error::internal(ORIGIN, format!("the native Linux KVM tool ended at its start: {shown}"))
    }

    /// Adds the line that ends a run.
    pub(crate) fn end(&self, words: &str) {
        if let Ok(mut file) = File::options().append(true).open(&self.path) {
            // A log that is full loses a line.
            let _ = file.write_all(format!("{}: shutting down, {words}\n", log_time()).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("fv-launch-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn order<'a>(args: &'a [String], home: &'a Path) -> Order<'a> {
        Order { tool: Path::new("/bin/sh"), args, home, user: None, unshare: None }
    }

    #[test]
    fn nothing_is_started_when_the_daemon_goes_before_the_word() {
        let dir = scratch("gate");
        let mark = dir.join("mark");
        let args = ["-c".to_owned(), format!("touch {}", mark.display())];
        let log = File::create(dir.join("log")).unwrap();
        let Waiting { process, gate, .. } = order(&args, &dir).start(log).unwrap();
        drop(gate);
        assert!(process.wait(Duration::from_secs(10)));
        assert_eq!(process.reap(), virt_host::Ended::Exited(125));
        assert!(!mark.exists());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_tool_ignores_sigpipe_and_has_a_terminal_with_a_slave() {
        let dir = scratch("tool");
        let script = "grep SigIgn /proc/self/status >&2; readlink /proc/$$/fd/3 >&2; \
                      test -t 0 && test -t 1 && echo $HOME terminal >&2";
        let args = ["-c".to_owned(), script.to_owned()];
        let log = Log { path: dir.join("log"), from: 0 };
        let waiting = order(&args, &dir).start(File::create(&log.path).unwrap()).unwrap();
        let tty = waiting.tty.clone();
        let error = waiting.go(&log, 1).unwrap_err();
        let said = log.said().unwrap();
        let mask = said.lines().next().and_then(|line| line.split_whitespace().nth(1));
        let mask = u64::from_str_radix(mask.unwrap(), 16).unwrap();
        assert_ne!(mask & 1 << 12, 0, "{said}");
        assert!(said.contains(&format!("{}\n", tty.display())), "{said}");
        assert!(said.contains(&format!("{} terminal", dir.display())), "{said}");
        assert!(error.message().contains("terminal"), "{}", error.message());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
