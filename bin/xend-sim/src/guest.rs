//! A guest's console: a terminal that greets, and answers each line with itself.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A terminal; the guest ends with it.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) path: String,
    /// Keeps the terminal when nobody else has it open.
    _other: File,
    master: OwnedFd,
}

impl Console {
    pub(crate) fn open(name: &str) -> std::io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = ptsname(&master, Vec::new())?;
        let path = path.to_string_lossy().into_owned();
        let other = File::options().read(true).write(true).open(&path)?;
        let mut raw = rustix::termios::tcgetattr(&other)?;
        raw.make_raw();
        rustix::termios::tcsetattr(&other, rustix::termios::OptionalActions::Now, &raw)?;
        let mut guest = File::from(master.try_clone()?);
        let greeting = format!("{name} login: ");
        std::thread::spawn(move || {
            let mut bytes = [0; 256];
            let _ = guest.write_all(greeting.as_bytes());
            // A terminal that is gone ends the guest's side of it.
            while let Ok(count) = guest.read(&mut bytes) {
                let Some(heard) = bytes.get(..count).filter(|heard| !heard.is_empty()) else {
                    return;
                };
                if heard == b"\x04" || guest.write_all(heard).is_err() {
                    return;
                }
            }
        });
        Ok(Self { path, _other: other, master })
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // The guest's thread reads this, which ends it.
        let _ = (&self._other).write_all(b"\x04");
        let _ = rustix::termios::tcdrain(&self.master);
    }
}
