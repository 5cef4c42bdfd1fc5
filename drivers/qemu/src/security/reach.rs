//! Whether another user gets to a file at all: each folder on the way must let it pass.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::getxattr;
use virt_error::{Error, Origin, Result};

use super::Identity;

/// Refuses a path that the user cannot get to, with the folder that is in the way.
///
/// What is not there is not looked at: whoever opens it says so.
pub(crate) fn check(path: &Path, whom: &Identity) -> Result<()> {
    let Some(closed) = path.parent().and_then(|parent| closed_folder(parent, whom)) else {
        return Ok(());
    };
    let (folder, mode) = (closed.0.display(), closed.1.mode() & 0o7777);
    let (name, uid) = (&whom.name, whom.run_as.uid);
    let detail = format!(
        "cannot access '{}' as user '{name}' (uid {uid}), which may not search '{folder}' (mode \
         {mode:04o}, owner {}:{}); 'chmod o+x {folder}' or 'user' in qemu.conf changes that",
        path.display(),
        closed.1.uid(),
        closed.1.gid(),
    );
    Err(Error::system(Origin::Qemu, rustix::io::Errno::ACCESS.raw_os_error(), detail))
}

/// The first folder from the root down that the user may not pass through.
fn closed_folder(folder: &Path, whom: &Identity) -> Option<(PathBuf, Metadata)> {
    // Where links lead is what counts.
    let folder = std::fs::canonicalize(folder).ok()?;
    let mut way: Vec<&Path> = folder.ancestors().collect();
    way.reverse();
    way.into_iter().find_map(|step| {
        let meta = std::fs::metadata(step).ok()?;
        let open = may_search(&meta, whom) || has_list(step);
        (!open).then(|| (step.to_owned(), meta))
    })
}

fn may_search(meta: &Metadata, whom: &Identity) -> bool {
    let user = &whom.run_as;
    let bit = if user.uid == 0 {
        return true;
    } else if user.uid == meta.uid() {
        0o100
    } else if user.gid == meta.gid() || user.groups.contains(&meta.gid()) {
        0o010
    } else {
        0o001
    };
    meta.mode() & bit != 0
}

/// A folder with an access list may let others pass than its mode says; the kernel will tell.
fn has_list(path: &Path) -> bool {
    let mut none: [u8; 0] = [];
    getxattr(path, "system.posix_acl_access", &mut none).is_ok_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_host::RunAs;

    #[test]
    fn the_folder_in_the_way_is_named() {
        let scratch = test_support::Scratch::new("reach");
        let file = scratch.write("disk", "");
        let own = rustix::process::geteuid().as_raw();
        let whom = |uid| Identity {
            name: "guest".into(),
            run_as: RunAs { uid, gid: 4_000_001, ..RunAs::default() },
        };
        scratch.set_mode(0o711);
        assert!(check(&file, &whom(4_000_001)).is_ok());
        scratch.set_mode(0o700);
        let error = check(&file, &whom(4_000_001)).map_err(|error| error.message().to_owned());
        let error = error.err().unwrap_or_default();
        let folder = scratch.path().display();
        assert!(error.contains("as user 'guest' (uid 4000001)"), "{error}");
        assert!(error.contains(&format!("'{folder}' (mode 0700, owner {own}:")), "{error}");
        assert!(check(&file, &whom(own)).is_ok());
    }
}
