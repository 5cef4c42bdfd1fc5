//! The tool: found at run time, never mistaken for another program of the same name, and asked once
//! what it can do.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use virt_error::Result;
use virt_host::{Pidfd, Signal};

use crate::operation_failed;

/// Names it has had. The last two are other programs on many hosts: QEMU's, and an editor's.
const NAMES: [&str; 4] = ["lkvm", "kvmtool", "kvm", "vm"];

/// How the tool's own version line begins.
const SIGN: &str = "kvm tool";

/// Limit: how long it may take to say what it is.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Limit: what is read of its words; a pipe holds as much.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Limit: a program larger than this is not looked into.
const PROGRAM_BYTES_MAX: u64 = 64 << 20;

/// What one build of the tool is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) path: PathBuf,
    /// The first numbers of what it calls its version; zeros where it says none.
    pub(crate) version: (u32, u32, u32),
    /// The long options of `run`.
    options: Vec<String>,
    /// It is linked with the library that makes its display more than a word.
    pub(crate) vnc: bool,
}

impl Tool {
    /// Whether `run` takes this option.
    pub(crate) fn takes(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }

    /// The version as the public API has it.
    pub(crate) fn version_number(&self) -> u64 {
        let (major, minor, micro) = self.version;
        u64::from(major) * 1_000_000 + u64::from(minor) * 1000 + u64::from(micro)
    }
}

/// Inode, size and time of a program: another build has others.
type Build = (PathBuf, u64, u64, i64);

/// The tools that were asked already.
#[derive(Debug, Default)]
pub(crate) struct Tools(Mutex<HashMap<Build, Option<Arc<Tool>>>>);

impl Tools {
    /// The tool at this path or, without one, the first that is on the daemon's own path.
    pub(crate) fn find(&self, configured: Option<&Path>) -> Result<Arc<Tool>> {
        if let Some(path) = configured {
            return self.ask(path).ok_or_else(|| {
                operation_failed(format!("'{}' is not the native Linux KVM tool", path.display()))
            });
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let mut places =
            NAMES.iter().flat_map(|name| folders.iter().map(move |dir| dir.join(name)));
        places.find_map(|path| self.ask(&path)).ok_or_else(|| {
            operation_failed(
                "cannot find the native Linux KVM tool: neither lkvm nor kvmtool is on the path",
            )
        })
    }

    /// Asks a program what it is, once for each build.
    fn ask(&self, path: &Path) -> Option<Arc<Tool>> {
        let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let build = (path.to_owned(), file.ino(), file.size(), file.mtime());
        if let Some(known) = self.known().get(&build) {
            return known.clone();
        }
        let tool = describe(path).map(Arc::new);
        self.known().insert(build, tool.clone());
        tool
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Build, Option<Arc<Tool>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe(path: &Path) -> Option<Tool> {
    let version = version(&answer(path, &["version"])?)?;
    let options = options(&answer(path, &["run", "--help"])?);
    Some(Tool { path: path.to_owned(), version, options, vnc: links_vnc(path) })
}

/// What a program says, be it to its output or its errors.
fn answer(path: &Path, args: &[&str]) -> Option<String> {
    let (mut ours, theirs) = std::io::pipe().ok()?;
    let mut command = Command::new(path);
    command.args(args).env_clear().env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::null()).stdout(theirs.try_clone().ok()?).stderr(theirs);
    let mut child = command.spawn().ok()?;
    // The command holds the pipe's other end too.
    drop(command);
    let held = Pidfd::open(child.id()).ok().flatten();
    if !held.as_ref().is_some_and(|held| held.wait(ANSWER_MAX)) {
        // It may be ending just now.
        let _ = held.map(|held| held.signal(Signal::KILL));
        let _ = child.wait();
        return None;
    }
    let _ = child.wait();
    let mut bytes = Vec::new();
    Read::by_ref(&mut ours).take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The numbers at the start of a version, if this is the tool at all.
///
/// Compat: builds outside the kernel's tree say "kvm tool" and nothing, or 3.18.0 always; those inside
/// say things like "3.0.rc5.873.gb73216".
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let line = text.lines().map(str::trim).find(|line| line.starts_with(SIGN))?;
    let rest = line.strip_prefix(SIGN)?.trim_start();
    let mut numbers = rest.split('.').map_while(|part| part.parse::<u32>().ok());
    let mut next = || numbers.next().filter(|number| *number < 1000).unwrap_or(0);
    Some((next(), next(), next()))
}

/// The long options in a usage text.
fn options(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '=' | '<'));
    let names = words.filter_map(|word| word.strip_prefix("--"));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Whether the program is linked with a library for VNC. Compat: a build without it takes `--vnc` and
/// does nothing.
fn links_vnc(path: &Path) -> bool {
    const LIBRARY: &[u8] = b"libvncserver.so";
    virt_store::read(path, PROGRAM_BYTES_MAX)
        .is_ok_and(|bytes| bytes.windows(LIBRARY.len()).any(|part| part == LIBRARY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_versions_break_nothing() {
        assert_eq!(version("kvm tool 3.18.0\n"), Some((3, 18, 0)));
        assert_eq!(version("kvm tool 3.0.rc5.873.gb73216\n"), Some((3, 0, 0)));
        assert_eq!(version("kvm tool \n"), Some((0, 0, 0)));
        assert_eq!(version("kvm tool\n"), Some((0, 0, 0)));
        assert_eq!(version("kvm tool 4.99999.1\n"), Some((4, 0, 1)));
        assert_eq!(version("QEMU emulator version 10.0.2 (Debian)\n"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn options_are_found_in_a_usage_text() {
        let text =
            "    -c, --cpus <n>        Number\n        --[no-]nodefaults x\n    --balloon    b\n";
        let options = options(text);
        assert!(["cpus", "balloon"].iter().all(|name| options.iter().any(|one| one == name)));
    }

    #[test]
    fn a_program_that_is_another_one_is_not_the_tool() {
        let tools = Tools::default();
        assert!(tools.find(Some(Path::new("/bin/true"))).is_err());
        assert!(tools.find(Some(Path::new("/nonexistent/lkvm"))).is_err());
    }
}
