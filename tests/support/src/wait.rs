//! Waiting for something that another process does.

use std::time::{Duration, Instant};

/// How often to look. Only tests wait like this; the product waits on descriptors.
const STEP: Duration = Duration::from_millis(10);

/// Looks until `is_so`, and says whether it came true within `limit`.
pub fn wait_until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(STEP);
    }
}
