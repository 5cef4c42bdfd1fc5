//! Long calls: their progress on standard error, and Ctrl-C, which cancels the job and not the shell.

use std::io::Write as _;
use std::time::{Duration, Instant};

use virt_driver::Connection;
use virt_error::Result;
use virt_types::{DomainRef, api};

use crate::interrupt::Watched;

/// How often the call, Ctrl-C and the time are looked at: soon at first, as most calls are short.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK: Duration = Duration::from_millis(50);
/// How often a job is asked how far it is.
const ASK: Duration = Duration::from_millis(500);

/// The share of the work that is done, in percent. Compat: 100 stands for the end alone.
#[expect(clippy::cast_precision_loss, reason = "shown with two decimals only")]
pub(crate) fn percent(remaining: u64, total: u64) -> f64 {
    match (remaining, total) {
        (_, 0) if remaining != 0 => 0.0,
        (0, _) => 100.0,
        _ => {
            let done = total.saturating_sub(remaining) as f64;
            (done * 100.0 / total as f64).min(99.99)
        }
    }
}

/// Writes how far something is over what was written before.
pub(crate) fn show(label: &str, percent: f64) {
    // At once: what the terminal itself shows of a key pressed now does not come between.
    let line = format!("\r{label}: [{percent:5.2} %]");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Runs a call that lasts, in a thread of its own, and watches the domain's job meanwhile.
pub(crate) fn watch<T: Send>(
    connection: &Connection,
    domain: &DomainRef,
    label: Option<&str>,
    call: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    watch_until(connection, domain, label, None, call)
}

/// The same; what is to be done once it has taken so long is done once.
pub(crate) fn watch_until<T: Send>(
    connection: &Connection,
    domain: &DomainRef,
    label: Option<&str>,
    mut overdue: Option<(Duration, &dyn Fn())>,
    call: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let started = Instant::now();
    let watched = Watched::new();
    let mut label_shown = label;
    let mut asked = started;
    std::thread::scope(|scope| {
        let worker = scope.spawn(call);
        let mut look = LOOK_FIRST;
        while !worker.is_finished() {
            std::thread::park_timeout(look);
            look = (look * 2).min(LOOK);
            if watched.take() {
                // The call itself says what came of it.
                let _ = connection.domain_abort_job(domain);
            }
            if let Some((_, act)) = overdue.take_if(|(after, _)| started.elapsed() >= *after) {
                act();
            }
            if let Some(label) = label_shown.filter(|_| asked.elapsed() >= ASK) {
                asked = Instant::now();
                if !show_job(connection, domain, label) {
                    label_shown = None;
                }
            }
        }
        let result = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if let Some(label) = label.filter(|_| result.is_ok()) {
            show(label, percent(0, 1));
        }
        result
    })
}

/// Shows how far the domain's job is; false if the driver cannot say.
fn show_job(connection: &Connection, domain: &DomainRef, label: &str) -> bool {
    let Ok(info) = connection.domain_get_job_info(domain) else { return false };
    if info.kind == api::DOMAIN_JOB_BOUNDED || info.kind == api::DOMAIN_JOB_UNBOUNDED {
        show(label, percent(info.data_remaining, info.data_total));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn only_the_end_is_a_hundred() {
        for (remaining, total, want) in
            [(0, 0, 100.0), (0, 7, 100.0), (1, 4, 75.0), (1, u64::MAX, 99.99), (5, 0, 0.0)]
        {
            assert!((percent(remaining, total) - want).abs() < 1e-9, "{remaining} of {total}");
        }
    }
}
