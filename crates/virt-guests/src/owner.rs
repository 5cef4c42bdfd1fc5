//! Files handed to the user of an emulator, and given back.
//!
//! Who owned a file before is written beside it, in libvirt's own extended attributes: with a count
//! of the guests that use the file, and with the time the host was booted, after which nobody does.

use std::fs::Metadata;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileTypeExt, MetadataExt, chown};
use std::path::Path;

use rustix::fs::{XattrFlags, getxattr, removexattr, setxattr};
use rustix::io::Errno;

const OWNER: &str = "trusted.libvirt.security.dac";
const COUNT: &str = "trusted.libvirt.security.ref_dac";
const BOOTED: &str = "trusted.libvirt.security.timestamp_dac";

/// Limit: the longest attribute of ours.
const ATTRIBUTE_BYTES_MAX: usize = 64;

/// User and group of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "+{}:+{}", self.uid, self.gid)
    }
}

impl Owner {
    fn of(meta: &Metadata) -> Self {
        Self { uid: meta.uid(), gid: meta.gid() }
    }

    /// Reads what is printed.
    pub fn parse(text: &str) -> Option<Self> {
        let (uid, gid) = text.split_once(':')?;
        let number = |text: &str| text.strip_prefix('+')?.parse().ok();
        Some(Self { uid: number(uid)?, gid: number(gid)? })
    }
}

/// Who owned a file before, and how many guests have it.
struct Record {
    owner: Owner,
    count: u32,
}

impl Record {
    /// The record of a file, unless it is from before the host was booted.
    fn read(path: &Path) -> Option<Self> {
        let text = |name| {
            let mut bytes = [0; ATTRIBUTE_BYTES_MAX];
            let length = getxattr(path, name, &mut bytes).ok()?;
            Some(std::str::from_utf8(bytes.get(..length)?).ok()?.to_owned())
        };
        let record =
            Self { owner: Owner::parse(&text(OWNER)?)?, count: text(COUNT)?.parse().ok()? };
        (text(BOOTED)? == booted() && record.count > 0).then_some(record)
    }

    /// A file system without such attributes forgets the owner, as it does with libvirt.
    fn write(&self, path: &Path) -> bool {
        let set = |name, value: String| setxattr(path, name, value.as_bytes(), XattrFlags::empty());
        // Order: the count last, for without it there is no record.
        set(BOOTED, booted()).is_ok()
            && set(OWNER, self.owner.to_string()).is_ok()
            && set(COUNT, self.count.to_string()).is_ok()
    }

    fn remove(path: &Path) {
        for name in [COUNT, OWNER, BOOTED] {
            // What is not there is removed.
            let _ = removexattr(path, name);
        }
    }
}

/// When the host was booted, in seconds of the kernel's own count.
fn booted() -> String {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.unwrap_or_default().trim().to_owned()
}

/// Hands a file over. With `remember` it will be given back by [`give_back`].
pub fn hand_over(path: &Path, to: Owner, remember: bool) -> Result<()> {
    let meta = std::fs::metadata(path)?;
    if is_everybodys(&meta) {
        return Ok(());
    }
    let before = remember.then(|| Record::read(path)).flatten();
    if let Some(record) = &before
        && Owner::of(&meta) != to
        && record.count > 0
    {
        return Err(Error::from(ErrorKind::ResourceBusy));
    }
    let remembered = remember && {
        let record = Record {
            owner: before.as_ref().map_or(Owner::of(&meta), |record| record.owner),
            count: before.as_ref().map_or(1, |record| record.count.saturating_add(1)),
        };
        record.write(path)
    };
    let done = change(path, to);
    if done.is_err() && remembered {
        forget(path);
    }
    done
}

/// Takes one user of a file off its record, and gives it back when that was the last.
///
/// What is not the guest's any more is left alone: somebody else has given it away since.
pub fn give_back(path: &Path, from: Owner) -> Result<()> {
    let meta = std::fs::metadata(path)?;
    if is_everybodys(&meta) {
        return Ok(());
    }
    // Compat: what nobody remembers becomes root's.
    let owner = match forget(path) {
        Forgotten::Used => return Ok(()),
        Forgotten::Owner(owner) => owner,
        Forgotten::Nothing => Owner { uid: 0, gid: 0 },
    };
    if Owner::of(&meta) == from { change(path, owner) } else { Ok(()) }
}

enum Forgotten {
    Nothing,
    Used,
    Owner(Owner),
}

fn forget(path: &Path) -> Forgotten {
    match Record::read(path) {
        None => Forgotten::Nothing,
        Some(Record { owner, count }) if count > 1 => {
            Record { owner, count: count.saturating_sub(1) }.write(path);
            Forgotten::Used
        }
        Some(Record { owner, .. }) => {
            Record::remove(path);
            Forgotten::Owner(owner)
        }
    }
}

/// A device that all may use, as `/dev/null`, is never given to one.
fn is_everybodys(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.mode() & 0o006 == 0o006
}

fn change(path: &Path, to: Owner) -> Result<()> {
    let done = chown(path, Some(to.uid), Some(to.gid));
    match done.as_ref().err().and_then(Errno::from_io_error) {
        // Compat: where owners cannot be changed, the emulator finds out whether it may.
        Some(Errno::PERM | Errno::OPNOTSUPP | Errno::ROFS | Errno::INVAL | Errno::NOSYS) => Ok(()),
        _ => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_reads_as_it_is_written() {
        let owner = Owner { uid: 64_055, gid: 993 };
        assert_eq!(owner.to_string(), "+64055:+993");
        assert_eq!(Owner::parse("+64055:+993"), Some(owner));
        for text in ["", "+1", "1:1", "+1:+", "+1:+x", "+-1:+1"] {
            assert_eq!(Owner::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_goes_back_when_the_last_guest_has_ended() {
        if !rustix::process::geteuid().is_root() {
            return test_support::skipped("only root may give files away");
        }
        let scratch = test_support::Scratch::new("owner");
        let path = scratch.write("disk", "");
        let owner = || std::fs::metadata(&path).map(|meta| Owner::of(&meta)).ok();
        let (first, guest) = (Owner { uid: 12, gid: 34 }, Owner { uid: 56, gid: 78 });
        assert!(change(&path, first).is_ok() && owner() == Some(first));
        assert!(hand_over(&path, guest, true).is_ok() && owner() == Some(guest));
        if Record::read(&path).is_none() {
            return test_support::skipped("no trusted attributes on the temporary folder");
        }
        assert!(hand_over(&path, guest, true).is_ok());
        let other = hand_over(&path, Owner { uid: 9, gid: 9 }, true);
        assert_eq!(other.map_err(|error| error.kind()), Err(ErrorKind::ResourceBusy));
        assert!(give_back(&path, guest).is_ok() && owner() == Some(guest), "still used");
        assert!(give_back(&path, guest).is_ok() && owner() == Some(first), "the last one");
        assert!(Record::read(&path).is_none());
        assert!(give_back(&path, guest).is_ok() && owner() == Some(first), "not the guest's");
    }

    #[test]
    fn what_is_everybodys_stays_so() {
        let Ok(meta) = std::fs::metadata("/dev/null") else { return };
        assert!(is_everybodys(&meta));
    }
}
