//! What shall go wrong: lines of a file, each a name, some with a value after `=`.

use std::time::Duration;

fn lines() -> Vec<String> {
    let path = std::env::var_os("FAKE_LKVM_FAULTS");
    let text = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Whether this fault is asked for.
pub(crate) fn is(name: &str) -> bool {
    lines().iter().any(|line| line == name)
}

/// The value of a fault.
pub(crate) fn text(name: &str) -> Option<String> {
    let of = |line: &String| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    lines().iter().find_map(of)
}

/// Waits as long as a fault says.
pub(crate) fn wait(name: &str) {
    if let Some(ms) = text(name).and_then(|text| text.parse().ok()) {
        std::thread::sleep(Duration::from_millis(ms));
    }
}

/// Whether clients that leave early kill this process.
pub(crate) fn dies_of_sigpipe() -> bool {
    const SIGPIPE: u64 = 1 << 12;
    let mask = std::env::var("FAKE_LKVM_SIGIGN").unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & SIGPIPE == 0)
}
