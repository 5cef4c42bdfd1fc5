//! A program that a test started itself.

use std::process::Child;

use test_support::{Signal, signal};

/// Told to end when dropped.
pub struct Own(pub Child);

impl Drop for Own {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            signal(pid, Signal::TERM);
        }
        drop(self.0.wait());
    }
}
