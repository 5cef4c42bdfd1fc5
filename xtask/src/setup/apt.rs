//! What is asked of apt: its sources as they are, plus the backports where they are wanted.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process;

const SOURCES: &str = "/etc/apt/sources.list.d";

/// Debian 12, whose own libvirt and QEMU are older than the ones we are held against.
const WITH_BACKPORTS: &str = "bookworm";

/// Installs packages, without what they only recommend.
pub(super) fn install(packages: &[&str]) -> Result<(), String> {
    if process::find_program("apt-get").is_none() {
        return Err(format!("no apt here; please install: {}", packages.join(" ")));
    }
    let (suite, mut steps) = backports()?;
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    if let Some(suite) = &suite {
        args.extend(["--target-release", suite]);
    }
    args.extend(packages);
    let simulated: Vec<&str> = ["--simulate"].into_iter().chain(args.iter().copied()).collect();
    if !steps.is_empty() || !process::succeeds(&mut process::command("apt-get", &simulated)) {
        steps.push(RootStep::update());
    }
    steps.push(RootStep::run("apt-get", &args));
    as_root(&steps)
}

/// The newest kernel that a package stands for.
pub(super) fn kernel_of(meta: &str) -> Result<String, String> {
    let depends = || process::output(&mut process::command("apt-cache", &["depends", meta]));
    let listed = match depends() {
        Ok(listed) if listed.contains("Depends:") => listed,
        _ => {
            as_root(&[RootStep::update()])?;
            depends()?
        }
    };
    let mut packages = listed.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let package = packages.find(|name| name.starts_with("linux-image-"));
    package.map(str::to_owned).ok_or_else(|| format!("{meta} names no kernel"))
}

/// Downloads a package into a folder; it is not installed.
pub(super) fn download(package: &str, folder: &Path) -> Result<PathBuf, String> {
    let (suite, steps) = backports()?;
    let mut command = process::command("apt-get", &["download", "--quiet"]);
    // What goes with the emulator comes from where that came from, where nothing is to be configured first.
    if let (Some(suite), []) = (&suite, steps.as_slice()) {
        command.args(["--target-release", suite]);
    }
    command.arg(package).current_dir(folder);
    if process::output(&mut command).is_err() {
        // The list may be older than the archive.
        as_root(&[RootStep::update()])?;
        process::output(&mut command)?;
    }
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files = entries.flatten().map(|entry| entry.path());
    files
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| format!("apt-get left no {package} in {}", folder.display()))
}

/// Downloads the source of a package as it was written, in the first of these suites that has it, into a
/// folder, with lists of its own: what the host's apt knows is not changed, and nobody need be root.
pub(super) fn download_source(
    package: &str,
    suites: &[&str],
    folder: &Path,
) -> Result<PathBuf, String> {
    let release = codename().ok_or("this is no release of Debian's")?;
    let sources = sources();
    let mirror = sources.iter().find_map(|text| Mirror::of(text, &release));
    let mirror = mirror.ok_or(format!("no apt source of {release} to take an address from"))?;
    let mut problem = String::new();
    for suite in suites.iter().chain([&release.as_str()]) {
        let stanza = mirror.stanza("deb-src", suite);
        match download_from(&stanza, package, folder) {
            Ok(archive) => return Ok(archive),
            Err(message) => problem = message,
        }
    }
    Err(problem)
}

fn download_from(stanza: &str, package: &str, folder: &Path) -> Result<PathBuf, String> {
    let own = folder.join("apt");
    let text = |error: std::io::Error| format!("{}: {error}", own.display());
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(own.join(part)).map_err(text)?;
    }
    fs::write(own.join("own.sources"), stanza).map_err(text)?;
    let own = own.display();
    let options = [
        format!("Dir::Etc::SourceList={own}/own.sources"),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        format!("Dir::State::Lists={own}/lists"),
        format!("Dir::Cache={own}/cache"),
        // The folder may be one that nobody else enters.
        "APT::Sandbox::User=root".to_owned(),
    ];
    let apt_get = |args: &[&str]| {
        let mut command = process::command("apt-get", &["--quiet"]);
        for option in &options {
            command.args(["-o", option]);
        }
        process::output(command.args(args).current_dir(folder))
    };
    apt_get(&["update", "--error-on=any"])?;
    apt_get(&["source", "--download-only", package])?;
    let start = format!("{package}_");
    let is_original = |name: &str| name.starts_with(&start) && name.contains(".orig.tar");
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files = entries.flatten();
    let found = files.find(|entry| is_original(&entry.file_name().to_string_lossy()));
    let found = found.ok_or_else(|| format!("apt-get left no source of {package}"))?;
    Ok(found.path())
}

/// The release of this host.
fn codename() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let line = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    line.map(str::to_owned)
}

/// The backports suite to install from, and what configures it if nothing did; `None` where none
/// is wanted.
fn backports() -> Result<(Option<String>, Vec<RootStep>), String> {
    if codename().as_deref() != Some(WITH_BACKPORTS) {
        return Ok((None, Vec::new()));
    }
    let suite = format!("{WITH_BACKPORTS}-backports");
    let sources = sources();
    let is_named = |line: &str| !line.trim_start().starts_with('#') && line.contains(&suite);
    if sources.iter().any(|text| text.lines().any(is_named)) {
        return Ok((Some(suite), Vec::new()));
    }
    let mirror = sources
        .iter()
        .find_map(|text| Mirror::of(text, WITH_BACKPORTS))
        .ok_or("no apt source of Debian 12 to take the backports' address from")?;
    let stanza = mirror.stanza("deb", &suite);
    let write = RootStep::write(&format!("{SOURCES}/{suite}.sources"), stanza);
    Ok((Some(suite), vec![write]))
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

/// Where packages of a release come from.
struct Mirror {
    uri: String,
    key: Option<String>,
}

impl Mirror {
    /// The source of `release` in either of apt's two formats.
    fn of(text: &str, release: &str) -> Option<Self> {
        text.split("\n\n")
            .find_map(|stanza| Self::in_stanza(stanza, release))
            .or_else(|| text.lines().find_map(|line| Self::in_line(line, release)))
    }

    fn in_stanza(stanza: &str, release: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = stanza.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        };
        let has_release = field("Suites")?.split_whitespace().any(|suite| suite == release);
        let is_ours = has_release && field("Types")?.contains("deb");
        let key = field("Signed-By").map(str::to_owned);
        is_ours.then_some(Self { uri: field("URIs")?.to_owned(), key })
    }

    fn in_line(line: &str, release: &str) -> Option<Self> {
        let rest = line.strip_prefix("deb ")?.trim_start();
        // Options in brackets may stand before the address.
        let (options, rest) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        let key = options.split_whitespace().find_map(|word| word.strip_prefix("signed-by="));
        (suite == release).then(|| Self { uri: uri.to_owned(), key: key.map(str::to_owned) })
    }

    /// What configures another suite of the same place.
    fn stanza(&self, kind: &str, suite: &str) -> String {
        let Self { uri, key } = self;
        let key = key.as_ref().map(|key| format!("Signed-By: {key}\n")).unwrap_or_default();
        format!("Types: {kind}\nURIs: {uri}\nSuites: {suite}\nComponents: main\n{key}")
    }
}

/// Something that only root may do: a command, with what it reads.
struct RootStep {
    words: Vec<String>,
    input: String,
}

impl RootStep {
    fn run(program: &str, args: &[&str]) -> RootStep {
        let words = [program].iter().chain(args).map(|&word| word.to_owned()).collect();
        RootStep { words, input: String::new() }
    }

    fn write(path: &str, text: String) -> RootStep {
        RootStep { input: text, ..RootStep::run("tee", &[path]) }
    }

    fn update() -> RootStep {
        RootStep::run("apt-get", &["update", "--quiet"])
    }

    /// As one would type it into a shell; a text ends with a newline.
    fn typed(&self) -> String {
        let words = self.words.join(" ");
        if self.input.is_empty() {
            return words;
        }
        format!("{words} <<END\n{}END", self.input)
    }

    fn take(&self, before: &[&str]) -> Result<(), String> {
        println!("{}", self.typed());
        let (program, before) = before.split_first().ok_or("nothing to run it with")?;
        let mut command = process::command(program, before);
        command.args(&self.words);
        if self.input.is_empty() {
            return process::run(&mut command);
        }
        process::feed(&mut command, &self.input)
    }
}

/// Takes the steps as root, or through a sudo that asks nothing; else says what is to be done.
fn as_root(steps: &[RootStep]) -> Result<(), String> {
    // sudo keeps no environment, so it is set behind it.
    let with_sudo = ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"];
    let before = if rustix::process::geteuid().is_root() {
        &with_sudo[2..]
    } else if process::succeeds(&mut process::command("sudo", &["-n", "true"])) {
        &with_sudo[..]
    } else {
        return Err(to_be_done(steps));
    };
    steps.iter().try_for_each(|step| step.take(before))
}

fn to_be_done(steps: &[RootStep]) -> String {
    let typed: Vec<String> = steps.iter().map(RootStep::typed).collect();
    format!(
        "this needs root, and there is no sudo that asks nothing; please run as root:\n\n{}\n",
        typed.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &str = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\n\
        Components: main\nSigned-By: /k.gpg\n";

    #[test]
    fn other_suites_are_taken_from_either_format() {
        let stanzas = "Types: deb\nURIs: http://security.example/x\nSuites: bookworm-security\n\n\
            Types: deb\n# a comment\nURIs: http://mirror.example/debian\n\
            Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n";
        let backports = |text: &str, release: &str| {
            Some(Mirror::of(text, release)?.stanza("deb", "bookworm-backports"))
        };
        assert_eq!(backports(stanzas, "bookworm").as_deref(), Some(WANTED));
        let lines = "# deb http://no.example/ bookworm main\n\
            deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main\n";
        assert_eq!(backports(lines, "bookworm").as_deref(), Some(WANTED));
        assert_eq!(backports(stanzas, "trixie"), None);
    }

    #[test]
    fn who_is_not_root_is_told_what_to_type() {
        let steps = [
            RootStep::write("/etc/a.sources", "Types: deb\n".to_owned()),
            RootStep::update(),
            RootStep::run("apt-get", &["install", "qemu"]),
        ];
        let typed = "\n\ntee /etc/a.sources <<END\nTypes: deb\nEND\napt-get update --quiet\n\
            apt-get install qemu\n";
        assert!(to_be_done(&steps).ends_with(typed));
    }
}
