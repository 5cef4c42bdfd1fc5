//! Firmware descriptors: what QEMU's interface files say of the images that are installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Limit: a descriptor is about 1 KiB.
const DESCRIPTOR_BYTES_MAX: u64 = 1 << 20;

/// Limit: descriptors in one folder.
const DESCRIPTORS_MAX: usize = 256;

/// Where descriptors are, the later before the earlier.
const FOLDERS: [&str; 2] = ["/usr/share/qemu/firmware", "/etc/qemu/firmware"];

/// One descriptor.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Firmware {
    #[serde(rename = "interface-types")]
    pub(crate) interfaces: Vec<String>,
    pub(crate) mapping: Mapping,
    pub(crate) targets: Vec<Target>,
    #[serde(default)]
    pub(crate) features: Vec<String>,
}

/// How the image gets into the guest.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "device", rename_all = "lowercase")]
pub(crate) enum Mapping {
    Flash {
        #[serde(default)]
        mode: Mode,
        executable: Image,
        #[serde(rename = "nvram-template", skip_serializing_if = "Option::is_none")]
        template: Option<Image>,
    },
    Kernel {
        filename: String,
    },
    Memory {
        filename: String,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    #[default]
    Split,
    Combined,
    Stateless,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Image {
    pub(crate) filename: String,
    pub(crate) format: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Target {
    pub(crate) architecture: String,
    pub(crate) machines: Vec<String>,
}

/// Compat: what libvirt 11.3 knows of what a firmware can do; the rest it passes over.
const FEATURES: [&str; 10] = [
    "acpi-s3",
    "acpi-s4",
    "amd-sev",
    "amd-sev-es",
    "amd-sev-snp",
    "enrolled-keys",
    "requires-smm",
    "secure-boot",
    "verbose-dynamic",
    "verbose-static",
];

impl Firmware {
    /// Reads a descriptor; nothing where it is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut firmware: Self = serde_json::from_slice(bytes).ok()?;
        firmware.features.retain(|feature| FEATURES.contains(&feature.as_str()));
        Some(firmware)
    }

    pub(crate) fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    /// Whether it is for that machine.
    pub(crate) fn suits(&self, arch: &str, machine: &str) -> bool {
        let suits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(stem) => machine.starts_with(stem),
            None => machine == pattern,
        };
        let arch = if arch == "i686" { "i386" } else { arch };
        self.targets
            .iter()
            .any(|target| target.architecture == arch && target.machines.iter().any(suits))
    }
}

/// The descriptors of this host, the best first.
pub(crate) fn installed() -> Vec<Firmware> {
    let user = std::env::var_os("HOME").map(|home| Path::new(&home).join(".config/qemu/firmware"));
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
    folders.extend(user.filter(|_| !rustix::process::geteuid().is_root()));
    load(&folders)
}

/// Reads folders: a file hides one of the same name in an earlier folder, an empty one altogether.
///
/// Compat: a descriptor that cannot be read is as if it were not there.
pub(crate) fn load(folders: &[PathBuf]) -> Vec<Firmware> {
    let mut files = BTreeMap::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        let json = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
        let paths = entries.take(DESCRIPTORS_MAX).filter_map(|entry| Some(entry.ok()?.path()));
        for path in paths.filter(json) {
            files.extend(path.file_name().map(|name| (name.to_owned(), path.clone())));
        }
    }
    let read = |path: &PathBuf| {
        let bytes = virt_store::read(path, DESCRIPTOR_BYTES_MAX).ok()?;
        Firmware::parse(&bytes)
    };
    files.values().filter_map(read).collect()
}
