//! What is asked of apt: its sources as they are, plus the backports where they are wanted.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::process;

const SOURCES: &str = "/etc/apt/sources.list.d";

/// Debian 12, whose own libvirt and QEMU are older than the ones we are held against.
const WITH_BACKPORTS: &str = "bookworm";

/// Installs packages, without what they only recommend.
pub(super) fn install(packages: &[&str]) -> Result<(), String> {
    if process::find_program("apt-get").is_none() {
        return Err(format!("no apt here; please install: {}", packages.join(" ")));
    }
    let backports = backports()?;
    println!("installing with apt: {}", packages.join(" "));
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    if let Some(suite) = &backports {
        args.extend(["--target-release", suite]);
    }
    args.extend(packages);
    let simulated: Vec<&str> = ["--simulate"].into_iter().chain(args.iter().copied()).collect();
    if !process::succeeds(&mut process::command("apt-get", &simulated)) {
        as_root("apt-get", &["update", "--quiet"])?;
    }
    as_root("apt-get", &args)
}

/// Downloads the newest package that `meta` stands for into a folder; it is not installed.
pub(super) fn download(meta: &str, folder: &Path) -> Result<PathBuf, String> {
    let depends = || process::output(&mut process::command("apt-cache", &["depends", meta]));
    let listed = match depends() {
        Ok(listed) if listed.contains("Depends:") => listed,
        _ => {
            as_root("apt-get", &["update", "--quiet"])?;
            depends()?
        }
    };
    let package = listed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .ok_or_else(|| format!("{meta} names no kernel"))?;
    let mut command = process::command("apt-get", &["download", "--quiet", package]);
    command.current_dir(folder);
    if process::output(&mut command).is_err() {
        // The list may be older than the archive.
        as_root("apt-get", &["update", "--quiet"])?;
        process::output(&mut command)?;
    }
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files = entries.flatten().map(|entry| entry.path());
    files
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| format!("apt-get left no {package} in {}", folder.display()))
}

/// The backports suite to install from, configured if it was not; `None` where none is wanted.
fn backports() -> Result<Option<String>, String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    if codename != Some(WITH_BACKPORTS) {
        return Ok(None);
    }
    let suite = format!("{WITH_BACKPORTS}-backports");
    let sources = sources();
    let is_named = |line: &str| !line.trim_start().starts_with('#') && line.contains(&suite);
    if !sources.iter().any(|text| text.lines().any(is_named)) {
        let stanza = sources
            .iter()
            .find_map(|text| backports_stanza(text, WITH_BACKPORTS))
            .ok_or("no apt source of Debian 12 to take the backports' address from")?;
        let path = format!("{SOURCES}/{suite}.sources");
        println!("adding the suite {suite} in {path}");
        write_as_root(&path, &stanza)?;
        as_root("apt-get", &["update", "--quiet"])?;
    }
    Ok(Some(suite))
}

/// The texts of all configured sources.
fn sources() -> Vec<String> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    let entries = fs::read_dir(SOURCES).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.extend(entries.filter(|path| {
        path.extension().is_some_and(|extension| extension == "sources" || extension == "list")
    }));
    paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// The source of the backports beside the source of `release` in either of apt's two formats.
fn backports_stanza(text: &str, release: &str) -> Option<String> {
    let deb822 = text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            let mut lines = stanza.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        };
        let has_release = field("Suites")?.split_whitespace().any(|suite| suite == release);
        (has_release && field("Types")?.contains("deb"))
            .then(|| (field("URIs").map(str::to_owned), field("Signed-By").map(str::to_owned)))
    });
    let (uri, key) = deb822.or_else(|| {
        text.lines().find_map(|line| {
            let rest = line.strip_prefix("deb ")?.trim_start();
            // Options in brackets may stand before the address.
            let (options, rest) = match rest.strip_prefix('[') {
                Some(inner) => inner.split_once(']')?,
                None => ("", rest),
            };
            let mut words = rest.split_whitespace();
            let (uri, suite) = (words.next()?, words.next()?);
            let key = options.split_whitespace().find_map(|word| word.strip_prefix("signed-by="));
            (suite == release).then(|| (Some(uri.to_owned()), key.map(str::to_owned)))
        })
    })?;
    let key = key.map(|key| format!("Signed-By: {key}\n")).unwrap_or_default();
    Some(format!(
        "Types: deb\nURIs: {}\nSuites: {release}-backports\nComponents: main\n{key}",
        uri?
    ))
}

/// Runs a command as root: directly, or through a sudo that asks nothing.
fn as_root(program: &str, args: &[&str]) -> Result<(), String> {
    let mut command = root_command(program, args)?;
    process::run(command.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn write_as_root(path: &str, text: &str) -> Result<(), String> {
    let mut command = root_command("tee", &[path])?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", process::words(&command)))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes()).map_err(|error| format!("{path}: {error}"))?;
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("cannot write {path}")) }
}

fn root_command(program: &str, args: &[&str]) -> Result<std::process::Command, String> {
    if rustix::process::geteuid().is_root() {
        return Ok(process::command(program, args));
    }
    if process::succeeds(&mut process::command("sudo", &["-n", "true"])) {
        let args: Vec<&str> = ["-n", program].into_iter().chain(args.iter().copied()).collect();
        return Ok(process::command("sudo", &args));
    }
    Err(format!(
        "this needs root, and sudo would ask for a password; please run it yourself: {program} {}",
        args.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &str = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\n\
        Components: main\nSigned-By: /k.gpg\n";

    #[test]
    fn the_backports_are_taken_from_either_format() {
        let stanzas = "Types: deb\nURIs: http://security.example/x\nSuites: bookworm-security\n\n\
            Types: deb\n# a comment\nURIs: http://mirror.example/debian\n\
            Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n";
        assert_eq!(backports_stanza(stanzas, "bookworm").as_deref(), Some(WANTED));
        let lines = "# deb http://no.example/ bookworm main\n\
            deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main\n";
        assert_eq!(backports_stanza(lines, "bookworm").as_deref(), Some(WANTED));
        assert_eq!(backports_stanza(stanzas, "trixie"), None);
    }
}
