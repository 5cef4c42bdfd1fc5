//! The terminal of a guest's console: its master is the tool's, its slave everybody's.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use virt_error::{Error, Result};

use crate::ORIGIN;

/// A new terminal. The slave is open as long as this is: without any, what is written is lost.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) master: File,
    pub(crate) path: PathBuf,
    _slave: File,
}

impl Terminal {
    /// Makes one. The tool writes to it without waiting: a console that nobody reads would stop the
    /// guest's processor, and with it the tool's own end.
    pub(crate) fn new(owner: Option<u32>) -> Result<Self> {
        let made = make(owner);
        made.map_err(|error| Error::io(ORIGIN, &error, "cannot make a terminal for the console"))
    }
}

fn make(owner: Option<u32>) -> std::io::Result<Terminal> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let path = PathBuf::from(ptsname(&master, Vec::new())?.to_string_lossy().into_owned());
    let slave = open_slave(&path)?;
    let mut settings = tcgetattr(&slave)?;
    settings.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &settings)?;
    rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
    if owner.is_some() {
        std::os::unix::fs::chown(&path, owner, None)?;
    }
    Ok(Terminal { master: File::from(master), path, _slave: slave })
}

fn open_slave(path: &Path) -> std::io::Result<File> {
    let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap_or(0);
    File::options().read(true).write(true).custom_flags(flags).open(path)
}
