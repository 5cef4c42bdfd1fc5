//! Where the programs under test are, and the ones they are held against.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// The folder cargo builds into.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// A program of ours: from the folder that `FERROVIRT_BIN_DIR` names or, without it, built now.
pub fn our_program(name: &str) -> PathBuf {
    let folder = match std::env::var_os("FERROVIRT_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => build(name),
    };
    let program = folder.join(name);
    assert!(program.is_file(), "{} is not there", program.display());
    program
}

/// A program of ours that was built with the feature `gssapi`, which the long form of the tests does;
/// or why there is none.
pub fn gssapi_program(name: &str) -> Result<PathBuf, String> {
    if !crate::long_run() {
        return Err("nothing is built with gssapi but for the long form".to_owned());
    }
    let folder = std::env::var_os("FERROVIRT_GSSAPI_BIN_DIR").map(PathBuf::from);
    let program = folder.unwrap_or_else(|| target().join("gssapi/debug")).join(name);
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("{} is not there (cargo xtask test --long)", program.display()))
    }
}

fn build(name: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status =
        Command::new(cargo).current_dir(root()).args(["build", "--quiet", "-p", name]).status();
    assert!(status.is_ok_and(|status| status.success()), "{name} does not build");
    target().join("debug")
}

/// libvirt's own program of this name, of the version we are held against; or why there is none.
pub fn reference_program(name: &str) -> Result<PathBuf, String> {
    const VERSION: &str = "11.3.";
    let program = debian_program(name)?;
    let output = Command::new(&program).arg("--version").output();
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // The daemon says "libvirtd (libvirt) 11.3.0", the shell just the number.
    if version.rsplit(' ').next().is_some_and(|number| number.starts_with(VERSION)) {
        return Ok(program);
    }
    Err(format!("{name} is of version '{version}', not {VERSION}x"))
}

/// A program installed by Debian, or why there is none.
pub fn debian_program(name: &str) -> Result<PathBuf, String> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| format!("{name} is not installed (cargo xtask setup)"))
}

/// Debian's Python with libvirt's bindings, or why there is none.
pub fn system_python() -> Result<PathBuf, String> {
    let python = debian_program("python3")?;
    let output = Command::new(&python).args(["-c", "import libvirt"]).output();
    if output.is_ok_and(|output| output.status.success()) {
        return Ok(python);
    }
    Err("python3-libvirt is not installed (cargo xtask setup)".to_owned())
}

/// The Python with modules that Debian does not have, or why there is none.
pub fn python_with_modules() -> Result<PathBuf, String> {
    let python = target().join("python/bin/python");
    if python.is_file() {
        return Ok(python);
    }
    Err("the readers from Python's index are not installed (cargo xtask setup)".to_owned())
}

/// virt-manager's sources, or why there are none.
pub fn virt_manager() -> Result<PathBuf, String> {
    let named = std::env::var_os("FERROVIRT_VIRT_MANAGER").map(PathBuf::from);
    let sources = named.unwrap_or_else(|| target().join("virt-manager/sources"));
    if sources.join("tests").is_dir() {
        return Ok(sources);
    }
    Err("there are no sources of virt-manager (cargo xtask setup)".to_owned())
}

/// A file or folder of the shared folder with recorded behaviour, or why there is none.
pub fn shared(path: &str) -> Result<PathBuf, String> {
    let folder = match std::env::var_os("FERROVIRT_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => root().parent().unwrap_or(root()).join("shared"),
    };
    let path = folder.join(path);
    if path.exists() { Ok(path) } else { Err(format!("no shared folder with {}", path.display())) }
}
