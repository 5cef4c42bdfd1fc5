//! `top`: what domains use, again and again.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use virt_types::Uuid;

use crate::Failure;
use crate::domains::{Seen, all, connect, letters};
use crate::options::Options;
use crate::terminal::Keys;

/// How long between two looks, unless told otherwise.
const WAIT_S: u32 = 3;
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// What was used at the last look, and when that was.
#[derive(Default)]
struct Last {
    used_ns: HashMap<Uuid, u64>,
    at: Option<Instant>,
}

impl Last {
    /// Hundredths of one processor since the last look.
    fn percent(&self, seen: &Seen) -> f64 {
        let (Some(at), Some(before)) = (self.at, self.used_ns.get(&seen.dom.uuid)) else {
            return 0.0;
        };
        let used = seen.info.cpu_time.saturating_sub(*before) as f64;
        100.0 * used / (at.elapsed().as_nanos().max(1) as f64)
    }
}

fn table(seen: &[Seen], last: &Last, total_kib: u64) -> String {
    let mut text = format!(
        "{:>15} {:>6} {:>10} {:>6} {:>10} {:>6} {:>10} {:>5}\n",
        "NAME", "STATE", "CPU(sec)", "CPU(%)", "MEM(k)", "MEM(%)", "MAXMEM(k)", "VCPUS"
    );
    for seen in seen {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:>15} {:>6} {:>10} {:>6.1} {:>10} {:>6.1} {:>10} {:>5}",
            seen.dom.name.as_str(),
            letters(seen.info.state),
            seen.info.cpu_time / 1_000_000_000,
            last.percent(seen),
            seen.info.memory,
            100.0 * seen.info.memory as f64 / (total_kib.max(1) as f64),
            seen.info.max_mem,
            seen.info.nr_virt_cpu,
        );
    }
    text
}

/// Until `q` is typed, or as often as `-i` says; `-b` prints one table behind the other.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let connection = connect(options)?;
    let wait = Duration::from_secs(options.number("-d", "--delay")?.unwrap_or(WAIT_S).into());
    let rounds = options.number("-i", "--iterations")?;
    let keys = if options.has("-b", "--batch") { None } else { Keys::take() };
    let total_kib = connection.node_get_info()?.memory;
    let mut last = Last::default();
    let mut round = 0_u32;
    loop {
        let seen = all(&connection, true)?;
        let clear = if keys.is_some() { CLEAR } else { "" };
        let text = table(&seen, &last, total_kib);
        // On a terminal that takes each key a line's end must say where the next begins.
        let text = if keys.is_some() { text.replace('\n', "\r\n") } else { text };
        print!("{clear}{text}");
        std::io::stdout().flush()?;
        last.used_ns = seen.iter().map(|seen| (seen.dom.uuid, seen.info.cpu_time)).collect();
        last.at = Some(Instant::now());
        round = round.saturating_add(1);
        if rounds.is_some_and(|rounds| round >= rounds) {
            return Ok(());
        }
        match &keys {
            Some(keys) if keys.asks_to_end(wait) => return Ok(()),
            Some(_) => {}
            None => std::thread::sleep(wait),
        }
    }
}
