//! Xenstore over its socket: a small tree of texts that tool stack, guests and backends share.
//!
//! [`Store`] asks and is answered; what it watches comes out of [`Watcher`]. Guests may write into their
//! own part of the tree, so nothing that is read here is trusted to be short, whole or text.

mod client;
mod error;
mod events;
pub mod wire;

pub use client::{Store, Transaction};
pub use error::StoreError;
pub use events::{Event, Watcher};

/// Limit: what the protocol says of absolute paths.
pub const PATH_BYTES_MAX: usize = 3072;

/// Events that no node stands for.
const SPECIAL: &[&str] = &["@introduceDomain", "@releaseDomain"];

/// Whether the server would take the path: absolute, without empty parts, of plain characters.
pub fn is_path(path: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-/_@".contains(&c);
    path.len() <= PATH_BYTES_MAX
        && path.starts_with('/')
        && path.bytes().all(plain)
        && !path.contains("//")
        && (path == "/" || !path.ends_with('/'))
}

/// Whether it can be watched.
pub fn is_watchable(path: &str) -> bool {
    SPECIAL.contains(&path) || is_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_judged_before_they_are_sent() {
        for path in ["/", "/local/domain/0", "/vm/4dea22b3-1d52", "/a@b_c"] {
            assert!(is_path(path), "{path}");
        }
        let long = format!("/{}", "a".repeat(PATH_BYTES_MAX));
        for path in ["", "local", "/a/", "/a//b", "/a b", "/a\0b", "/ü", "@releaseDomain", &long] {
            assert!(!is_path(path), "{path}");
        }
        assert!(is_watchable("@releaseDomain"));
        assert!(!is_watchable("@anything"));
    }
}
