//! A folder of definitions that people change by hand: the kernel says when something in it has changed.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::Errno;

use crate::core::Core;

/// How often it is seen whether anybody has the driver still; and whether a folder that was not there is.
const WAIT: Duration = Duration::from_secs(5);
/// How long what is written in several steps is gathered.
const PAUSE: Duration = Duration::from_millis(50);
/// Limit: what is taken off the kernel's queue at once.
const EVENTS_BYTES: usize = 16 * 1024;

/// A folder that is watched.
struct Folder {
    events: OwnedFd,
    path: PathBuf,
}

impl Folder {
    fn open(path: &Path) -> rustix::io::Result<Self> {
        let events = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let folder = Self { events, path: path.to_owned() };
        folder.look_on()?;
        Ok(folder)
    }

    /// Files that are there whole, are gone, or are called otherwise. Doing it again does no harm, and fails
    /// where the folder is not there any more.
    fn look_on(&self) -> rustix::io::Result<()> {
        let changes =
            WatchFlags::CLOSE_WRITE | WatchFlags::MOVE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        add_watch(&self.events, &self.path, changes).map(drop)
    }

    /// Waits until something has changed, at most so long; an error where it cannot be watched any more.
    fn wait(&self, wait_max: Duration) -> rustix::io::Result<bool> {
        let timeout = Timespec::try_from(wait_max).ok();
        let mut fds = [PollFd::new(&self.events, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        std::thread::sleep(PAUSE);
        let mut bytes = [0; EVENTS_BYTES];
        while rustix::io::read(&self.events, &mut bytes).is_ok_and(|count| count > 0) {}
        self.look_on()?;
        Ok(true)
    }
}

/// Has a thread look at the domains whenever something in the folder changes, as long as anybody has the driver.
pub(crate) fn watch(core: Weak<Core>, path: PathBuf) {
    let thread = std::thread::Builder::new().name("xen-folder".to_owned());
    let started = thread.spawn(move || {
        // Another one is watched by another thread.
        let is_ours = |core: &Arc<Core>| core.definitions().folder().as_ref() == Some(&path);
        loop {
            let folder = Folder::open(&path);
            while let Ok(changed) =
                folder.as_ref().map_err(|error| *error).and_then(|f| f.wait(WAIT))
            {
                let Some(core) = core.upgrade().filter(is_ours) else { return };
                if changed {
                    core.watch.look(&core);
                }
            }
            if core.upgrade().filter(is_ours).is_none() {
                return;
            }
            std::thread::sleep(WAIT);
        }
    });
    if let Err(error) = started {
        virt_log::warning!("xen", "cannot start a thread: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_in_a_folder_is_told() {
        let scratch = test_support::Scratch::new("folder");
        let folder = Folder::open(scratch.path()).expect("it is watched");
        assert_eq!(folder.wait(Duration::ZERO), Ok(false));
        let long = Duration::from_secs(60);
        let file = scratch.write("guest", "memory = 64\n");
        assert_eq!(folder.wait(long), Ok(true));
        assert_eq!(folder.wait(Duration::ZERO), Ok(false), "once");
        std::fs::rename(&file, scratch.join("other")).expect("another name");
        assert_eq!(folder.wait(long), Ok(true));
        std::fs::remove_file(scratch.join("other")).expect("it goes");
        assert_eq!(folder.wait(long), Ok(true));
        assert!(Folder::open(&scratch.join("nowhere")).is_err());
    }
}
