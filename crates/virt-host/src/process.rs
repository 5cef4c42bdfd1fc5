//! What `/proc` tells about a process and its threads.

use std::path::PathBuf;

use crate::text;

/// One process, as `/proc/PID` shows it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

/// Times of a process or thread in nanoseconds, and the CPU it ran on last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadTimes {
    pub user_ns: u64,
    pub system_ns: u64,
    pub cpu: u32,
    /// In clock ticks after the boot: with the pid it names a process for good.
    pub start_ticks: u64,
    /// Time spent runnable but not running.
    pub delay_ns: u64,
}

impl Process {
    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }

    /// The words of the command line; nothing when the process has ended, be it a zombie or not.
    pub fn command_line(self) -> Option<Vec<String>> {
        let text = text::read(self.file("cmdline"))?;
        if text.is_empty() {
            return None;
        }
        Some(text.trim_end_matches('\0').split('\0').map(str::to_owned).collect())
    }

    /// When it was started: two processes of one pid never share it.
    pub fn start_ticks(self) -> Option<u64> {
        stat(&text::read(self.file("stat"))?).map(|times| times.start_ticks)
    }

    /// Whether it is stopped by a signal, and so takes no other but the one that kills.
    pub fn is_stopped(self) -> bool {
        let line = text::read(self.file("stat")).unwrap_or_default();
        let state = line.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
        matches!(state, Some("T" | "t"))
    }

    /// The times of all its threads together.
    pub fn times(self) -> Option<ThreadTimes> {
        stat(&text::read(self.file("stat"))?)
    }

    /// Resident memory.
    pub fn resident_kib(self) -> Option<u64> {
        let pages: u64 = text::read(self.file("statm"))?.split_whitespace().nth(1)?.parse().ok()?;
        let page_bytes = u64::try_from(rustix::param::page_size()).ok()?;
        pages.checked_mul(page_bytes)?.checked_div(1024)
    }
}

/// Limit: how often a list of threads is read until two agree.
const READS_MAX: u32 = 5;

/// The threads of a process with their names, in the order of their numbers.
///
/// The kernel ends its list early where the thread at which it stands ends meanwhile, so that is read
/// until two in a row agree.
pub fn threads(pid: u32) -> Vec<(u32, String)> {
    let mut last = threads_once(pid);
    for _ in 1..READS_MAX {
        let now = threads_once(pid);
        if now == last {
            break;
        }
        last = now;
    }
    last
}

fn threads_once(pid: u32) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut threads: Vec<(u32, String)> = entries
        .filter_map(|entry| {
            let name = text::read(entry.path().join("comm"))?;
            Some((entry.file_name().to_str()?.parse().ok()?, name.trim_end().to_owned()))
        })
        .collect();
    threads.sort_unstable();
    threads
}

/// The times of one thread of a process.
pub fn thread_times(pid: u32, thread: u32) -> Option<ThreadTimes> {
    let dir = format!("/proc/{pid}/task/{thread}");
    let mut times = stat(&text::read(format!("{dir}/stat"))?)?;
    if let Some(waited) = text::read(format!("{dir}/schedstat")) {
        times.delay_ns = waited.split_whitespace().nth(1)?.parse().ok()?;
    }
    Some(times)
}

/// The CPUs that one thread of a process may run on.
pub fn thread_cpus(pid: u32, thread: u32) -> Option<Vec<usize>> {
    let status = text::read(format!("/proc/{pid}/task/{thread}/status"))?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(text::list(list))
}

/// Clock ticks a second, the unit of the times in `/proc`.
pub fn clock_ticks() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

/// Reads a `stat` line. The command in it may hold anything, blanks and brackets included.
fn stat(line: &str) -> Option<ThreadTimes> {
    let (_, rest) = line.rsplit_once(')')?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    // Field 3 of the manual page, the state, is the first word here.
    let number = |field: usize| words.get(field.checked_sub(3)?)?.parse::<u64>().ok();
    let nanoseconds = |ticks: u64| Some(ticks.checked_mul(1_000_000_000)? / clock_ticks());
    Some(ThreadTimes {
        user_ns: nanoseconds(number(14)?)?,
        system_ns: nanoseconds(number(15)?)?,
        cpu: u32::try_from(number(39)?).ok()?,
        start_ticks: number(22)?,
        delay_ns: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_does_not_shift_the_fields() {
        let mut line = String::from("7 (a) b) (c) S");
        for field in 4..=52 {
            line.push_str(&format!(" {field}"));
        }
        let times = stat(&line).unwrap();
        let tick_ns = 1_000_000_000 / clock_ticks();
        assert_eq!((times.user_ns, times.system_ns), (14 * tick_ns, 15 * tick_ns));
        assert_eq!((times.start_ticks, times.cpu), (22, 39));
        assert_eq!(stat("7 (a) S 1 2"), None);
        assert_eq!(stat(""), None);
    }

    #[test]
    fn this_very_process_is_known() {
        let this = Process(std::process::id());
        assert!(this.start_ticks().unwrap() > 0);
        assert!(this.resident_kib().unwrap() > 100);
        assert!(!this.command_line().unwrap().is_empty());
        assert!(thread_times(std::process::id(), std::process::id()).is_some());
        assert_eq!(Process(u32::MAX).command_line(), None);
    }
}
