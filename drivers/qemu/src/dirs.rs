//! Where the driver keeps what: libvirt's own layout, each directory changeable.

use std::path::{Path, PathBuf};

use virt_host::HostError;

/// The driver's directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// Definitions, `NAME.xml`, with `autostart` below.
    pub config: PathBuf,
    /// Status files and pid files.
    pub run: PathBuf,
    /// Each running guest's own directory.
    pub lib: PathBuf,
    /// Each guest's own output.
    pub log: PathBuf,
    /// What may be lost: the capabilities of emulators.
    pub cache: PathBuf,
    /// Sockets of channels.
    pub channel: PathBuf,
    /// The variables of guests with EFI.
    pub nvram: PathBuf,
    /// Files that are guests' memory.
    pub memory: PathBuf,
}

impl Dirs {
    /// Those of a daemon for all users, or below a base directory: a folder of its own in each of the
    /// daemon's.
    pub fn within(config: &Path, state: &Path, run: &Path, log: &Path, cache: &Path) -> Self {
        let run = run.join("qemu");
        Self {
            config: config.join("qemu"),
            lib: state.join("qemu"),
            nvram: state.join("qemu/nvram"),
            memory: state.join("qemu/ram"),
            log: log.join("qemu"),
            cache: cache.join("qemu"),
            channel: run.join("channel"),
            run,
        }
    }

    /// Those of a user's own daemon, in the user's configuration, cache and run folders.
    ///
    /// Compat: laid out otherwise than the system's.
    pub fn session(config: &Path, run: &Path, cache: &Path) -> Self {
        let (config, run, cache) = (config.join("qemu"), run.join("qemu/run"), cache.join("qemu"));
        Self {
            lib: config.join("lib"),
            nvram: config.join("nvram"),
            memory: config.join("ram"),
            log: cache.join("log"),
            channel: run.join("channel"),
            cache: cache.join("cache"),
            config,
            run,
        }
    }

    pub(crate) fn status(&self, name: &str) -> PathBuf {
        self.run.join(format!("{name}.xml"))
    }

    pub(crate) fn pid(&self, name: &str) -> PathBuf {
        self.run.join(format!("{name}.pid"))
    }

    /// Compat: the directory is named after id and name, and the name is cut to keep the paths of
    /// sockets below the kernel's limit.
    pub(crate) fn guest(&self, id: i32, name: &str) -> PathBuf {
        let short: String = name.chars().take(20).collect();
        self.lib.join(format!("domain-{id}-{short}"))
    }

    pub(crate) fn guest_channels(&self, id: i32, name: &str) -> PathBuf {
        let short: String = name.chars().take(20).collect();
        self.channel.join(format!("{id}-{short}"))
    }

    /// Where a guest's memory is, where it is to be a file.
    pub(crate) fn guest_memory(&self, id: i32, name: &str) -> PathBuf {
        let short: String = name.chars().take(20).collect();
        self.memory.join(format!("{id}-{short}"))
    }

    /// Makes what is missing.
    pub(crate) fn make(&self) -> Result<(), virt_store::StoreError> {
        for (dir, mode) in [
            (&self.config, 0o755),
            (&self.run, 0o755),
            (&self.lib, 0o755),
            (&self.log, 0o755),
            (&self.cache, 0o755),
            (&self.channel, 0o755),
        ] {
            virt_store::make_dir(dir, mode)?;
        }
        Ok(())
    }
}

/// A host error as the public one.
pub(crate) fn host_error(error: &HostError) -> virt_error::Error {
    match error.source_io() {
        Some(io) => virt_error::Error::io(virt_error::Origin::Qemu, io, error),
        None => virt_error::Error::internal(virt_error::Origin::Qemu, error.to_string()),
    }
}

/// A store error as the public one.
pub(crate) fn store_error(error: &virt_store::StoreError) -> virt_error::Error {
    match error.io() {
        Some(io) => virt_error::Error::io(virt_error::Origin::Qemu, io, error),
        None => virt_error::Error::internal(virt_error::Origin::Qemu, error.to_string()),
    }
}
