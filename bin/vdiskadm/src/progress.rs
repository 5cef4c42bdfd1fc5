//! What long work shows while it runs, and how it is ended.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::words::Words;

const SHOWN_EVERY: Duration = Duration::from_millis(200);
const BAR_COLUMNS: usize = 40;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    None,
    Bar,
    /// One JSON object a line.
    Lines,
}

/// The progress of one command. A signal that wants an end is seen between two steps.
#[derive(Debug)]
pub(crate) struct Progress {
    face: Face,
    what: &'static str,
    cancelled: Arc<AtomicBool>,
    shown: Option<Instant>,
    drawn: bool,
}

impl Progress {
    /// A bar on a terminal, lines where `--progress json` asks for them, else nothing.
    pub(crate) fn new(words: &Words, what: &'static str) -> Result<Self> {
        let face = match words.long("progress") {
            Some("json") => Face::Lines,
            Some("none") => Face::None,
            Some("bar") => Face::Bar,
            Some(other) => return Err(Failure::usage(format!("unknown progress '{other}'"))),
            None if words.has('q') || !std::io::stderr().is_terminal() => Face::None,
            None => Face::Bar,
        };
        let cancelled = Arc::new(AtomicBool::new(false));
        for signal in
            [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            signal_hook::flag::register(signal, cancelled.clone())
                .map_err(|error| Failure::new(format!("cannot watch for signals: {error}")))?;
        }
        Ok(Self { face, what, cancelled, shown: None, drawn: false })
    }

    fn show(&mut self, done: u64, total: u64) {
        let percent = (u128::from(done) * 100).checked_div(u128::from(total)).unwrap_or(100);
        let mut error = std::io::stderr().lock();
        // Who does not want to see it any more is not told.
        let _ = match self.face {
            Face::None => Ok(()),
            Face::Lines => {
                let (what, done_bytes, total_bytes) = (self.what, done, total);
                let line = serde_json::json!({
                    "what": what, "done-bytes": done_bytes, "total-bytes": total_bytes,
                });
                writeln!(error, "{line}")
            }
            Face::Bar => {
                let filled = BAR_COLUMNS * percent as usize / 100;
                let bar = format!("{}{}", "=".repeat(filled), " ".repeat(BAR_COLUMNS - filled));
                write!(error, "\r{} [{bar}] {percent:3}%", self.what)
            }
        };
        self.drawn = true;
    }
}

impl virt_disk::Progress for Progress {
    fn step(&mut self, done_bytes: u64, total_bytes: u64) -> bool {
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= SHOWN_EVERY);
        if self.face != Face::None && (is_due || done_bytes == total_bytes) {
            self.shown = Some(Instant::now());
            self.show(done_bytes, total_bytes);
        }
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn && self.face == Face::Bar {
            let _ = writeln!(std::io::stderr());
        }
    }
}
