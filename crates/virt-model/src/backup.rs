//! The domain backup document: what is copied where, and since when.

use virt_error::{Code, Error, Origin, Result};
use virt_xml::Element;

use crate::domain::disk::{Disk, DiskType};
use crate::domain::source::StorageSource;
use crate::schema::document::expect_root;
use crate::schema::text::YesNo;
use crate::schema::{Body, Document, ParseFlags, error};
use crate::storage::Format;

words! {
    /// Who moves the bytes: the hypervisor, or a client that reads them from it.
    pub enum BackupMode {
        Push = "push",
        Pull = "pull",
    }
}

element! {
    pub struct Backup {
        mode: BackupMode = attr_def("mode"),
        /// The checkpoint since which changes are wanted.
        incremental: Option<String> = text("incremental"),
        server: Option<BackupServer> = child("server"),
        disks: Vec<BackupDisk> = wrapped("disks", "disk"),
        /// Of the driver's own files.
        private_data: Option<Element<'static>> = tree("privateData") when live,
    }
}

words! {
    pub enum BackupTransport {
        Tcp = "tcp",
        Unix = "unix",
        Fd = "fd",
    }
}

element! {
    /// Where a client reads from.
    pub struct BackupServer {
        transport: BackupTransport = attr_def("transport"),
        tls: Option<YesNo> = attr("tls"),
        name: Option<String> = attr("name"),
        port: Option<u16> = attr_said("port", |text| {
            error::invalid_arg(format!("port '{text}' out of range"))
        }),
        socket: Option<String> = attr("socket"),
        fdgroup: Option<String> = attr("fdgroup"),
    }
}

words! {
    pub enum BackupState {
        None = "none",
        Running = "running",
        Complete = "complete",
        Failed = "failed",
        Cancelling = "cancelling",
        Cancelled = "cancelled",
    }
}

words! {
    pub enum DiskBackupMode {
        Full = "full",
        Incremental = "incremental",
    }
}

element! {
    pub struct BackupDisk {
        name: String = attr_req("name"),
        backup: Option<YesNo> = attr("backup"),
        state: Option<BackupState> = attr("state") when live,
        kind: Option<DiskType> = attr("type"),
        mode: Option<DiskBackupMode> = attr("backupmode"),
        incremental: Option<String> = attr("incremental"),
        export_name: Option<String> = attr("exportname"),
        export_bitmap: Option<String> = attr("exportbitmap"),
        driver: Option<Format> = child("driver"),
        /// Where a push writes to.
        target: Option<StorageSource> = disk_source("target"),
        /// Where a pull keeps what the guest overwrites meanwhile.
        scratch: Option<StorageSource> = disk_source("scratch"),
    }
}

impl BackupDisk {
    pub fn takes_part(&self) -> bool {
        self.backup != Some(YesNo::No)
    }

    /// Since when changes are wanted, from what the whole backup says where the disk says nothing.
    fn settle_mode(&mut self, whole: Option<&String>) -> Result<()> {
        if self.mode == Some(DiskBackupMode::Full) {
            return Ok(());
        }
        if self.incremental.is_none() {
            self.incremental = whole.cloned();
        }
        let wanted = self.mode == Some(DiskBackupMode::Incremental);
        if wanted && self.incremental.is_none() {
            return Err(Backup::unsupported(format!(
                "'incremental' backup mode of disk '{}' requires setting 'incremental' field for disk or backup",
                self.name
            )));
        }
        let incremental = self.incremental.is_some();
        self.mode =
            Some(if incremental { DiskBackupMode::Incremental } else { DiskBackupMode::Full });
        Ok(())
    }

    /// The file beside the disk's own that is written where none was named.
    fn default_store(&mut self, mode: BackupMode, disk: &Disk, suffix: &str) -> Result<()> {
        let store = match mode {
            BackupMode::Push => &mut self.target,
            BackupMode::Pull => &mut self.scratch,
        };
        if store.is_some() {
            return Ok(());
        }
        let Some(path) = disk.path().filter(|_| disk.kind == DiskType::File) else {
            let what = format!("refusing to generate file name for disk '{}'", self.name);
            return Err(Backup::unsupported(what));
        };
        // Compat: it is a file, whatever the document said that it was to be.
        self.kind = Some(DiskType::File);
        let path = Some(format!("{path}.{suffix}"));
        *store = Some(StorageSource { path, ..StorageSource::default() });
        Ok(())
    }
}

impl Backup {
    /// Gives every disk of the domain its part. Disks that are not named take part where none is.
    pub fn align(&mut self, disks: &[Disk], suffix: &str) -> Result<()> {
        let all = self.disks.is_empty();
        let mut unnamed: Vec<&Disk> = disks.iter().collect();
        for part in &mut self.disks {
            let target = |disk: &&Disk| disk.target.dev == part.name;
            let Some(at) = unnamed.iter().position(target) else {
                let what = if disks.iter().any(|disk| disk.target.dev == part.name) {
                    format!("disk '{}' specified twice", part.name)
                } else {
                    format!("no disk named '{}'", part.name)
                };
                return Err(Self::unsupported(what));
            };
            let disk = unnamed.remove(at);
            if !part.takes_part() {
                continue;
            }
            if disk.source.as_ref().is_none_or(StorageSource::is_empty) {
                return Err(Self::unsupported(format!("disk '{}' has no media", part.name)));
            }
            part.backup = Some(YesNo::Yes);
            part.kind.get_or_insert_default();
            part.settle_mode(self.incremental.as_ref())?;
            part.default_store(self.mode, disk, suffix)?;
        }
        for disk in unnamed {
            let name = disk.target.dev.clone();
            let mut part = BackupDisk { name, backup: Some(YesNo::No), ..BackupDisk::default() };
            if all && disk.source.as_ref().is_some_and(|source| !source.is_empty()) {
                (part.backup, part.kind) = (Some(YesNo::Yes), Some(DiskType::File));
                part.settle_mode(self.incremental.as_ref())?;
                part.default_store(self.mode, disk, suffix)?;
            }
            self.disks.push(part);
        }
        Ok(())
    }

    fn check_server(&self) -> Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        let wrong = |what: &str| Err(Self::xml_error(what));
        if self.mode == BackupMode::Push {
            let what = "use of <server> requires pull mode backup";
            return Err(Error::new(Code::XmlError, Origin::Domain, what));
        }
        match server.transport {
            BackupTransport::Unix if server.socket.is_none() => {
                wrong("backup socket path must be specified for unix transport")
            }
            BackupTransport::Unix
                if server.socket.as_ref().is_some_and(|s| !s.starts_with('/')) =>
            {
                wrong("backup socket path must be absolute")
            }
            _ => Ok(()),
        }
    }
}

impl Document for Backup {
    const ROOT: &'static str = "domainbackup";
    const ORIGIN: Origin = Origin::Domain;

    /// Compat: a backup is always held against its schema, but where the daemon reads its own.
    fn from_tree(tree: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        expect_root(tree, Self::ROOT, !flags.status)?;
        let backup = Self::read(tree, flags)?;
        backup.check_server()?;
        Ok(backup)
    }
}
