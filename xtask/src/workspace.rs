//! The workspace as the tasks see it: its root, its crates, its files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process;

/// The folder with the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where cargo builds, and where the tasks keep what can be made again.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The shared folder with the recorded behaviour, where there is one.
pub(crate) fn shared() -> Option<PathBuf> {
    let folder = match std::env::var_os("FERROVIRT_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => root().parent()?.join("shared"),
    };
    folder.is_dir().then_some(folder)
}

/// A workspace crate or a dependency, as far as the checks need it.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Relative to the root; `None` for a crate that comes from outside.
    pub(crate) folder: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) for_tests: bool,
}

/// All packages of the workspace's lock file, as cargo sees them.
pub(crate) fn packages() -> Result<Vec<Package>, String> {
    let root = root();
    let text = process::output(&mut process::cargo(&root, &["metadata", "--format-version", "1"]))?;
    let metadata: Value =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    Ok(packages.iter().map(|package| read_package(package, &root)).collect())
}

fn read_package(package: &Value, root: &Path) -> Package {
    let text = |key: &str| package[key].as_str().map(str::to_owned);
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    let folder = Path::new(manifest)
        .parent()
        .filter(|_| package["source"].is_null())
        .and_then(|folder| folder.strip_prefix(root).ok())
        .map(|folder| folder.to_string_lossy().into_owned());
    let dependencies = package["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|dependency| Dependency {
            name: dependency["name"].as_str().unwrap_or_default().to_owned(),
            for_tests: dependency["kind"] == "dev",
        })
        .collect();
    Package {
        name: text("name").unwrap_or_default(),
        version: text("version").unwrap_or_default(),
        license: text("license"),
        folder,
        dependencies,
    }
}

/// A file of the project.
pub(crate) struct File {
    /// Relative to the root, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether a program wrote it: in a folder or a file named `generated`.
    pub(crate) fn is_generated(&self) -> bool {
        self.path.split('/').any(|part| part == "generated" || part == "generated.rs")
    }
}

/// All text files of the project: what is built, what is hidden and what is not UTF-8 is left out.
pub(crate) fn files() -> Result<Vec<File>, String> {
    let root = root();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && !matches!(name.as_str(), ".ci" | ".config");
            if hidden || name == "target" || name.starts_with("target-") {
                continue;
            }
            let path = entry.path();
            // A link is neither followed nor read: what it names is checked where it lies.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(&path)
            {
                let path = path.strip_prefix(&root).unwrap_or(&path);
                files.push(File { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
