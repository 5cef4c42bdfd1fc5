//! What an emulator can do: asked once of the binary itself, kept on disk while it stays the same.

mod kvm;
mod probe;

#[cfg(feature = "corpus")]
pub(crate) use probe::TYPES;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use virt_error::{Code, Error, Origin, Result};
use virt_store::Durability;

use crate::monitor::Watch;

/// Limit: a cached answer is some 100 KiB.
const CACHE_BYTES_MAX: u64 = 8 << 20;

/// Grows when the cached form changes; older files are asked anew.
const FORM: u32 = 2;

/// One emulator's abilities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capabilities {
    pub version: (u64, u64, u64),
    pub package: String,
    pub arch: String,
    pub machines: Vec<Machine>,
    pub cpus: Vec<CpuModel>,
    /// The features of the best processor it can emulate by itself, in its own words; x86 only.
    pub maximum: Vec<String>,
    /// And the vendor that it says made it.
    pub maximum_vendor: String,
    /// The device and object types of [`probe::TYPES`] that it has.
    pub types: Vec<String>,
    /// Whether Linux guests really run with hardware support; unknown while it was never tried.
    pub(crate) kvm: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub name: String,
    pub alias: Option<String>,
    pub max_cpus: u32,
    pub default: bool,
    pub deprecated: bool,
    pub hotplug_cpus: bool,
    pub default_cpu: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CpuModel {
    pub name: String,
    /// The version that the name stands for, where it is not one itself.
    pub canonical: Option<String>,
    pub deprecated: bool,
    /// What the host lacks for it; empty where it can be used.
    pub blockers: Vec<String>,
    pub known: bool,
}

impl Capabilities {
    /// The machine with this name or alias.
    pub(crate) fn machine(&self, name: &str) -> Option<&Machine> {
        let machines = || self.machines.iter();
        machines()
            .find(|machine| machine.name == name)
            .or_else(|| machines().find(|machine| machine.alias.as_deref() == Some(name)))
    }

    /// The machine a guest gets that names none.
    pub(crate) fn default_machine(&self) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.default)
    }

    /// Whether guests can use KVM now: it was seen to work, and the device is there.
    pub(crate) fn kvm(&self) -> bool {
        self.kvm == Some(true) && kvm::device_opens()
    }

    pub(crate) fn has(&self, kind: &str) -> bool {
        self.types.iter().any(|known| known == kind)
    }

    /// The version as the public API gives it: 10.0.2 is 10000002.
    pub(crate) fn version_number(&self) -> u64 {
        let (major, minor, micro) = self.version;
        major
            .saturating_mul(1_000_000)
            .saturating_add(minor.saturating_mul(1000))
            .saturating_add(micro)
    }
}

/// What an answer depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    form: u32,
    size: u64,
    modified: (i64, i64),
    inode: u64,
    kernel: String,
    cpu: String,
}

#[derive(Serialize, Deserialize)]
struct Cached {
    key: Key,
    capabilities: Capabilities,
}

/// The known emulators of this host.
#[derive(Debug)]
pub(crate) struct Emulators {
    cache: PathBuf,
    known: Mutex<HashMap<PathBuf, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    key: Key,
    capabilities: Arc<Capabilities>,
}

impl Emulators {
    pub(crate) fn new(cache: PathBuf) -> Self {
        Self { cache: cache.join("capabilities"), known: Mutex::default() }
    }

    /// What this emulator can do.
    ///
    /// Whether `/dev/kvm` is there is no part of the key: a device that comes and goes must not have
    /// the binary asked again at every start. It is looked at when a guest wants it.
    pub(crate) fn get(&self, emulator: &Path, watch: &Watch) -> Result<Arc<Capabilities>> {
        let key = key(emulator)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = known.get(emulator).filter(|found| found.key == key);
        let tried = |found: &Capabilities| found.kvm.is_some() || !kvm::device_opens();
        if let Some(found) = kept.filter(|found| tried(&found.capabilities)) {
            return Ok(Arc::clone(&found.capabilities));
        }
        let cached = kept.map(|found| (*found.capabilities).clone());
        let cached = cached.or_else(|| self.load(emulator, &key));
        let fresh = cached.as_ref().is_none_or(|cached| !tried(cached));
        let mut capabilities = match cached {
            Some(cached) => cached,
            None => probe::ask(emulator, watch)?,
        };
        if !tried(&capabilities) {
            capabilities.kvm = Some(kvm::runs_linux(emulator));
        }
        if fresh {
            self.store(emulator, &key, &capabilities);
        }
        let capabilities = Arc::new(capabilities);
        known.insert(emulator.to_owned(), Known { key, capabilities: Arc::clone(&capabilities) });
        Ok(capabilities)
    }

    fn file(&self, emulator: &Path) -> PathBuf {
        let name = emulator.to_string_lossy().replace('/', "-");
        self.cache.join(format!("{}.json", name.trim_start_matches('-')))
    }

    fn load(&self, emulator: &Path, key: &Key) -> Option<Capabilities> {
        let bytes = virt_store::read(&self.file(emulator), CACHE_BYTES_MAX).ok()?;
        let cached: Cached = serde_json::from_slice(&bytes).ok()?;
        (cached.key == *key).then_some(cached.capabilities)
    }

    /// A cache that cannot be written costs time later and nothing else.
    fn store(&self, emulator: &Path, key: &Key, capabilities: &Capabilities) {
        let cached = Cached { key: key.clone(), capabilities: capabilities.clone() };
        let Ok(bytes) = serde_json::to_vec(&cached) else { return };
        if virt_store::make_dir(&self.cache, 0o755).is_ok() {
            let _ = virt_store::write(&self.file(emulator), &bytes, 0o600, Durability::Process);
        }
    }
}

fn key(emulator: &Path) -> Result<Key> {
    let metadata = std::fs::metadata(emulator).map_err(|error| {
        let what = format!("Cannot check QEMU binary {}", emulator.display());
        match error.kind() {
            std::io::ErrorKind::NotFound => Error::io(Origin::Qemu, &error, what),
            _ => Error::new(Code::OperationFailed, Origin::Qemu, what),
        }
    })?;
    Ok(Key {
        form: FORM,
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        inode: metadata.ino(),
        kernel: virt_host::kernel_release(),
        cpu: virt_host::CpuInfo::host().model_name,
    })
}
