//! A daemon's socket that cannot be reached: which part of the path, or which service, is at fault.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{Finding, Host, Membership};

/// Service managers' names for daemons that may make a system socket, the likeliest first.
const UNITS: &[&str] = &["virtd", "virtqemud", "libvirtd"];
const UNIT_FOLDERS: &[&str] =
    &["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// The command that starts the daemon of this socket.
pub(crate) fn start(host: &Host, own: bool) -> String {
    if own {
        return "virtd --daemon".to_owned();
    }
    let manager = host.exists("/run/systemd/system");
    for unit in UNITS.iter().filter(|_| manager) {
        for ending in ["socket", "service"] {
            let file = format!("{unit}.{ending}");
            if UNIT_FOLDERS.iter().any(|folder| host.exists(Path::new(folder).join(&file))) {
                return host.as_root(&format!("systemctl start {file}"));
            }
        }
    }
    match ["virtd", "libvirtd"].iter().find(|name| host.program(name).is_some()) {
        Some(program) => host.as_root(&format!("{program} --daemon")),
        None => host.install("libvirt-daemon-system", "libvirt-daemon"),
    }
}

/// The folders on the way to a path, the uppermost first.
fn ancestors(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
    found.reverse();
    found.retain(|folder| !folder.as_os_str().is_empty());
    found
}

/// Why a socket cannot be reached; nothing where it can. `own` is a user's own daemon.
pub(crate) fn blame(host: &Host, socket: &Path, own: bool) -> Option<Finding> {
    for folder in ancestors(socket) {
        let shown = folder.display();
        let Some(found) = host.metadata(&folder) else {
            let what = format!("'{shown}' does not exist: no daemon has made its socket there");
            return Some(Finding::fault(what, start(host, own)));
        };
        if !found.is_dir() {
            let what = format!("'{shown}' is no folder");
            return Some(Finding::fault(what, "# name another socket: ?socket=PATH in the URI"));
        }
        if !host.may(&folder, Access::EXEC_OK) {
            let (user, mode) = (host.user_name(), found.mode() & 0o7777);
            let what = format!("'{shown}' (mode {mode:04o}) may not be searched by '{user}'");
            let fix = match host.program("setfacl") {
                Some(_) => format!("setfacl -m u:{user}:x {shown}"),
                None => format!("chmod o+x {shown}"),
            };
            return Some(Finding::fault(what, host.as_root(&fix)));
        }
    }
    let shown = socket.display();
    let Some(found) = host.metadata(socket) else {
        let what = format!("'{shown}' does not exist: its daemon does not run");
        return Some(Finding::fault(what, start(host, own)));
    };
    if !host.may(socket, Access::READ_OK | Access::WRITE_OK) {
        return Some(forbidden(host, socket, found.gid(), found.mode()));
    }
    if !host.is_real() {
        return None;
    }
    if !found.file_type().is_socket() {
        let what = format!("'{shown}' is no socket");
        return Some(Finding::fault(what, "# name another socket: ?socket=PATH in the URI"));
    }
    UnixStream::connect(socket).err().map(|error| {
        let what = format!("'{shown}' is there, but nobody listens ({error})");
        Finding::fault(what, start(host, own))
    })
}

fn forbidden(host: &Host, socket: &Path, gid: u32, mode: u32) -> Finding {
    let (user, shown) = (host.user_name(), socket.display());
    let group = host.group_of(gid).unwrap_or_else(|| gid.to_string());
    let for_group = mode & 0o060 == 0o060 && group != "root";
    let what =
        format!("'{shown}' (mode {:04o}, group '{group}') is closed to '{user}'", mode & 0o7777);
    match for_group && host.membership(&group) != Membership::Now {
        true => Finding::fault(what, host.join(&group)),
        false => Finding::fault(
            what,
            "# use qemu:///session, or set unix_sock_group and unix_sock_rw_perms in \
             /etc/libvirt/libvirtd.conf",
        ),
    }
}
