//! Where the driver keeps what; only the tool's own sockets are elsewhere, where the tool wants them.

use std::path::{Path, PathBuf};

/// The driver's directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// Definitions, `NAME.xml`, with `autostart` below.
    pub config: PathBuf,
    /// Status files.
    pub run: PathBuf,
    /// The home of guests where no user's is taken.
    pub lib: PathBuf,
    /// Each guest's own output.
    pub log: PathBuf,
}

impl Dirs {
    pub(crate) fn status(&self, name: &str) -> PathBuf {
        self.run.join(format!("{name}.xml"))
    }

    pub(crate) fn log_of(&self, name: &str) -> PathBuf {
        self.log.join(format!("{name}.log"))
    }

    /// Makes what is missing.
    pub(crate) fn make(&self) -> Result<(), virt_store::StoreError> {
        for dir in [&self.config, &self.run, &self.lib, &self.log] {
            virt_store::make_dir(dir, 0o755)?;
        }
        Ok(())
    }
}

/// Where the tool keeps its sockets, by its own policy.
pub(crate) fn sockets(home: &Path) -> PathBuf {
    home.join(".lkvm")
}
