//! The wall clock, which many made-up numbers are made from.

use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock in nanoseconds, which stands for a domain's CPU time.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX).saturating_mul(1000)
}
