//! A driver that comes up when it is first needed, or before, when its daemon says so.

use std::sync::{Arc, Mutex, PoisonError};

use virt_error::{Error, Origin, Result};

/// A driver and what it comes up with. Cloning gives the same one.
pub struct Lazy<S, D>(Arc<Shared<S, D>>);

struct Shared<S, D> {
    settings: S,
    start: fn(S) -> Result<D>,
    driver: Mutex<Option<D>>,
}

impl<S: Clone, D: Clone> Lazy<S, D> {
    pub fn new(settings: S, start: fn(S) -> Result<D>) -> Self {
        Self(Arc::new(Shared { settings, start, driver: Mutex::new(None) }))
    }

    pub fn settings(&self) -> &S {
        &self.0.settings
    }

    /// The driver, brought up if it is not. After a failure the next caller tries again.
    pub fn up(&self) -> Result<D> {
        // Order: whoever comes second waits for the first.
        let mut driver = self.0.driver.lock().unwrap_or_else(PoisonError::into_inner);
        match &*driver {
            Some(driver) => Ok(driver.clone()),
            None => Ok(driver.insert((self.0.start)(self.0.settings.clone())?).clone()),
        }
    }

    /// The driver if it is up.
    pub fn running(&self) -> Option<D> {
        self.0.driver.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S, D> Clone for Lazy<S, D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: std::fmt::Debug, D> std::fmt::Debug for Lazy<S, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lazy").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

/// The path of a URI with this scheme and no host, or `None` for somebody else's URI.
///
/// ```
/// use virt_driver::local_path;
/// assert_eq!(local_path("qemu:///session?a=b", "qemu"), Some("/session"));
/// assert_eq!(local_path("xen://", "xen"), Some(""));
/// assert_eq!(local_path("qemu://host/system", "qemu"), None);
/// assert_eq!(local_path("qemu+unix:///system", "qemu"), None);
/// ```
pub fn local_path<'a>(uri: &'a str, scheme: &str) -> Option<&'a str> {
    let rest = uri.strip_prefix(scheme)?.strip_prefix(':')?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Whether a URI is for the guests of `own`, the URI of this daemon's: the system's or a user's.
/// One of this scheme that is neither is refused.
pub fn is_own_uri(uri: &str, scheme: &str, own: &str) -> Result<bool> {
    let Some(path) = local_path(uri, scheme) else { return Ok(false) };
    let ours = local_path(own, scheme).unwrap_or_default();
    // Compat: the system's daemon has no other guests for its own user's session.
    if path != ours && (path, ours) != ("/session", "/system") {
        let detail = format!("unexpected {scheme} URI path '{path}', try {scheme}://{ours}");
        return Err(Error::internal(Origin::None, detail));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use virt_error::Code;

    use super::*;

    fn start(tries: Arc<AtomicU32>) -> Result<u32> {
        match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Error::bare(Code::NoConnect, Origin::None)),
            number => Ok(number),
        }
    }

    #[test]
    fn it_comes_up_once_and_a_failure_is_tried_again() {
        let tries = Arc::new(AtomicU32::new(0));
        let lazy = Lazy::new(Arc::clone(&tries), start);
        assert!(lazy.running().is_none());
        assert!(lazy.up().is_err());
        assert_eq!((lazy.running(), lazy.up().ok()), (None, Some(1)));
        assert_eq!((lazy.clone().up().ok(), lazy.running()), (Some(1), Some(1)));
        assert_eq!(tries.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_daemon_serves_its_own_uri_and_the_systems_also_its_users() {
        let is = |uri, own| is_own_uri(uri, "qemu", own).ok();
        assert_eq!(is("qemu:///system?x=y", "qemu:///system"), Some(true));
        assert_eq!(is("qemu:///session", "qemu:///system"), Some(true));
        assert_eq!(is("qemu:///system", "qemu:///session"), None);
        assert_eq!(is("qemu:///other", "qemu:///system"), None);
        assert_eq!(is("qemu://host/system", "qemu:///system"), Some(false));
        assert_eq!(is("xen:///", "qemu:///system"), Some(false));
    }
}
