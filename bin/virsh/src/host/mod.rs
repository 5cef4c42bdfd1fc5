//! The host as it is found, for `doctor` and for hints: files below a root, and who looks at them.
//!
//! Nothing here changes the host, and nothing is assumed that can be looked up. The root may be another
//! folder than `/`: an image that is mounted, or a made-up host in a test. There, what a person may do
//! follows from the files' modes; on the host itself the kernel is asked.

pub(crate) mod checks;
pub(crate) mod socket;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

/// Limit: the longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Who looks.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) uid: u32,
    pub(crate) gids: Vec<u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct Host {
    root: PathBuf,
    pub(crate) person: Person,
}

/// A state of affairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Good,
    /// Something is missing that not everybody needs.
    Note,
    Fault,
}

/// What was found, and what mends it: a command that can be typed as it stands or, behind `#`, what no
/// command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) state: State,
    pub(crate) what: String,
    pub(crate) fix: Option<String>,
}

impl Finding {
    pub(crate) fn good(what: impl Into<String>) -> Self {
        Self { state: State::Good, what: what.into(), fix: None }
    }

    pub(crate) fn note(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Note, what: what.into(), fix: Some(fix.into()) }
    }

    pub(crate) fn fault(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Fault, what: what.into(), fix: Some(fix.into()) }
    }
}

impl Host {
    /// This host, and who runs this program.
    pub(crate) fn this() -> Self {
        Self::below(Path::new("/"))
    }

    /// The host whose files are below `root`.
    pub(crate) fn below(root: &Path) -> Self {
        let mut gids = vec![rustix::process::getegid().as_raw()];
        let more = rustix::process::getgroups().unwrap_or_default();
        gids.extend(more.into_iter().map(|gid| gid.as_raw()));
        let uid = rustix::process::geteuid().as_raw();
        Self { root: root.to_owned(), person: Person { uid, gids } }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.person.uid == 0
    }

    /// Whether it is the host that this program runs on.
    pub(crate) fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a path of the host lies for this program.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(crate) fn metadata(&self, path: impl AsRef<Path>) -> Option<Metadata> {
        std::fs::metadata(self.at(path)).ok()
    }

    pub(crate) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.metadata(path).is_some()
    }

    /// A small file's text.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let path = self.at(path);
        let small = std::fs::metadata(&path).ok()?.len() <= FILE_BYTES_MAX;
        let text = std::fs::read(path).ok().filter(|_| small)?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// The names in a folder, sorted.
    pub(crate) fn entries(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let entries = std::fs::read_dir(self.at(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Whether the person may use a file so.
    pub(crate) fn may(&self, path: impl AsRef<Path>, wanted: Access) -> bool {
        let path = self.at(path);
        if self.is_real() {
            return rustix::fs::accessat(
                rustix::fs::CWD,
                &path,
                wanted,
                rustix::fs::AtFlags::EACCESS,
            )
            .is_ok();
        }
        let Ok(found) = std::fs::metadata(&path) else { return false };
        let shift = if self.person.uid == found.uid() {
            6
        } else if self.person.gids.contains(&found.gid()) {
            3
        } else {
            0
        };
        let bits = found.mode() >> shift & 7;
        self.is_root() || wanted.bits() & !bits == 0
    }

    /// A line of `/etc/passwd` or `/etc/group`, by the name or number in one of its fields.
    fn account(&self, file: &str, field: usize, wanted: &str) -> Option<Vec<String>> {
        let text = self.read(file)?;
        let found = text.lines().find(|line| line.split(':').nth(field) == Some(wanted))?;
        Some(found.split(':').map(str::to_owned).collect())
    }

    /// The name of who looks.
    pub(crate) fn user_name(&self) -> String {
        let uid = self.person.uid.to_string();
        let found = self.account("/etc/passwd", 2, &uid);
        found.and_then(|fields| fields.into_iter().next()).unwrap_or(uid)
    }

    pub(crate) fn has_user(&self, name: &str) -> bool {
        self.account("/etc/passwd", 0, name).is_some()
    }

    pub(crate) fn group_of(&self, gid: u32) -> Option<String> {
        self.account("/etc/group", 2, &gid.to_string())?.into_iter().next()
    }

    /// Whether the person is in a group now, and whether the next login will bring it.
    pub(crate) fn membership(&self, group: &str) -> Membership {
        let Some(fields) = self.account("/etc/group", 0, group) else { return Membership::NoGroup };
        let gid = fields.get(2).and_then(|gid| gid.parse().ok());
        if gid.is_some_and(|gid| self.person.gids.contains(&gid)) {
            return Membership::Now;
        }
        let user = self.user_name();
        let members = fields.get(3).map(String::as_str).unwrap_or_default();
        match members.split(',').any(|member| member == user) {
            true => Membership::NextLogin,
            false => Membership::No,
        }
    }

    /// The folders that programs are looked for in.
    const PROGRAMS: &[&str] =
        &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

    /// Where a program is.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let places = Self::PROGRAMS.iter().map(|folder| Path::new(folder).join(name));
        places.into_iter().find(|path| self.exists(path))
    }

    /// Commands for the administrator, as this person types them.
    pub(crate) fn as_root(&self, commands: &str) -> String {
        let sudo = if self.is_root() { "" } else { "sudo " };
        let each: Vec<String> =
            commands.split(" && ").map(|command| format!("{sudo}{command}")).collect();
        each.join(" && ")
    }

    /// The command that installs a package here.
    pub(crate) fn install(&self, apt: &str, dnf: &str) -> String {
        let command = match (self.program("apt-get"), self.program("dnf")) {
            (Some(_), _) => format!("apt-get install {apt}"),
            (None, Some(_)) => format!("dnf install {dnf}"),
            (None, None) => return format!("# install {apt} with this host's package manager"),
        };
        self.as_root(&command)
    }

    /// The command that lets this person use what a group may use.
    pub(crate) fn join(&self, group: &str) -> String {
        match self.membership(group) {
            Membership::NoGroup => self.as_root(&format!("groupadd --system {group}")),
            Membership::Now => String::new(),
            Membership::NextLogin => format!("newgrp {group}  # or log in again"),
            Membership::No => {
                let user = self.user_name();
                let joined = self.as_root(&format!("usermod -aG {group} {user}"));
                format!("{joined}  # then log in again")
            }
        }
    }

    /// The command that lets this person use a device that a group is for.
    pub(crate) fn open_device(&self, device: &str, group: &str) -> String {
        let for_group = self.metadata(device).is_some_and(|found| {
            self.group_of(found.gid()).as_deref() == Some(group) && found.mode() & 0o060 == 0o060
        });
        let membership = self.membership(group);
        if for_group && membership != Membership::NoGroup {
            return self.join(group);
        }
        let mut steps = Vec::new();
        if membership == Membership::NoGroup {
            steps.push(format!("groupadd --system {group}"));
        }
        steps.push(format!("chgrp {group} {device}"));
        steps.push(format!("chmod g+rw {device}"));
        if matches!(membership, Membership::NoGroup | Membership::No) {
            steps.push(format!("usermod -aG {group} {}", self.user_name()));
        }
        let steps = self.as_root(&steps.join(" && "));
        if membership == Membership::Now { steps } else { format!("{steps}  # then log in again") }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    NoGroup,
    No,
    NextLogin,
    Now,
}
