//! Vdisks: folders with images of formats that QEMU cannot write, each served to it on a socket.
//!
//! `vdiskadm serve` does it. It counts itself as the vdisk's user, so nobody else changes the vdisk
//! meanwhile, and it ends when the emulator lets go of the socket: it needs no looking after, not
//! even by a new daemon. It runs as the owner of the folder; the emulator has the socket alone.

use std::fs::{self, File};
use std::io::{PipeReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virt_error::{Code, Error, Origin, Result};
use virt_host::{Pidfd, RunAs, Signal, Spawn};
use virt_model::domain::{Disk, Domain as Document};

use crate::core::Core;
use crate::dirs::host_error;
use crate::security::{Identity, give};

/// The format as documents name it: `<driver name='tap' type='vdisk'/>`.
const FORMAT: &str = "vdisk";

/// Limit: the guest that had the vdisk before may still be writing it back.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(3);

/// Between two tries.
const LEAVE_STEP: Duration = Duration::from_millis(100);

/// Limit: how long a server may take to write back what a guest left.
pub(crate) const END_WAIT_MAX: Duration = Duration::from_secs(60);

/// Limit: what a server says before it is ready, or why it is not.
const WORDS_BYTES_MAX: usize = 4096;

/// Limit: how long a server may take to say its first words.
const READY_WAIT_S_MAX: i64 = 30;

/// Limit: a vdisk's document.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// Whether a disk is a vdisk.
pub(crate) fn is_vdisk(disk: &Disk) -> bool {
    disk.format() == Some(FORMAT) && disk.path().is_some()
}

/// Where the disk with this number is served to a guest with this directory.
pub(crate) fn socket(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("vdisk-{index}.sock"))
}

/// The servers of one guest that has not started yet; they end with this.
#[derive(Debug, Default)]
pub(crate) struct Servers(Vec<Arc<Pidfd>>);

impl Servers {
    /// The guest runs: they end when it does.
    pub(crate) fn keep(mut self) -> Vec<Arc<Pidfd>> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in &self.0 {
            // One that has ended cannot be signalled. What it counted is counted back by the next.
            let _ = server.signal(Signal::KILL);
            server.wait(END_WAIT_MAX);
            server.reap();
        }
    }
}

/// Waits for the servers of a guest that has ended.
pub(crate) fn see_off(servers: &[Arc<Pidfd>]) {
    for server in servers {
        server.wait(END_WAIT_MAX);
        server.reap();
    }
}

/// Serves all vdisks of a guest that is about to start.
pub(crate) fn serve(
    core: &Core,
    document: &Document,
    dir: &Path,
    whom: Option<&Identity>,
) -> Result<Servers> {
    let mut servers = Servers::default();
    for disk in document.devices.disks.iter().filter(|disk| is_vdisk(disk)) {
        let Some(index) = disk.source.as_ref().and_then(|source| source.index) else { continue };
        let folder = Path::new(disk.path().unwrap_or_default());
        let socket = socket(dir, index);
        let at = |error: std::io::Error| {
            Error::io(Origin::Qemu, &error, format!("cannot make socket '{}'", socket.display()))
        };
        let listener = OwnedFd::from(UnixListener::bind(&socket).map_err(at)?);
        give(&socket, whom)?;
        let owner = core.security.owner_of(folder)?;
        let gone = Instant::now().checked_add(LEAVE_WAIT_MAX);
        let server = loop {
            let tried = start(folder, disk.readonly, listener.try_clone().map_err(at)?, &owner);
            match tried {
                Err(Refusal::InUse(_)) if gone.is_some_and(|gone| Instant::now() < gone) => {
                    std::thread::sleep(LEAVE_STEP);
                }
                Err(Refusal::InUse(why) | Refusal::Other(why)) => {
                    let detail = format!("cannot use vdisk '{}': {why}", folder.display());
                    return Err(Error::new(Code::OperationFailed, Origin::Qemu, detail));
                }
                Err(Refusal::Failed(error)) => return Err(error),
                Ok(server) => break server,
            }
        };
        servers.0.push(Arc::new(server));
    }
    Ok(servers)
}

/// Why a vdisk is not served.
enum Refusal {
    InUse(String),
    Other(String),
    Failed(Error),
}

/// Starts one server and waits until it is ready.
fn start(
    folder: &Path,
    read_only: bool,
    listener: OwnedFd,
    owner: &Option<RunAs>,
) -> std::result::Result<Pidfd, Refusal> {
    let failed = |error: std::io::Error| {
        Refusal::Failed(Error::io(Origin::Qemu, &error, "cannot serve a vdisk"))
    };
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let mut args = vec!["serve".into()];
    args.extend(read_only.then(|| "-r".into()));
    args.extend(["-s".into(), "-".into(), folder.into()]);
    let spawn = Spawn {
        program: program(),
        args,
        env: vec![("LC_ALL".into(), "C".into())],
        stdin: Some(listener),
        output: File::from(OwnedFd::from(writer)),
        errors: None,
        user: owner.clone(),
    };
    let server = spawn.start().map_err(|error| Refusal::Failed(host_error(&error)))?.pidfd;
    let words = first_words(reader).map_err(failed)?;
    if words == "ready" {
        return Ok(server);
    }
    // It has said why not, or nothing in time.
    let _ = server.signal(Signal::KILL);
    server.wait(END_WAIT_MAX);
    server.reap();
    Err(if words.ends_with("is in use") { Refusal::InUse(words) } else { Refusal::Other(words) })
}

/// What a server says first: that it is ready, or why not before it ends.
fn first_words(mut reader: PipeReader) -> std::io::Result<String> {
    let limit = Timespec { tv_sec: READY_WAIT_S_MAX, tv_nsec: 0 };
    let mut words = Vec::new();
    let mut piece = [0; 256];
    while !words.ends_with(b"\n") && words.len() < WORDS_BYTES_MAX {
        if poll(&mut [PollFd::new(&reader, PollFlags::IN)], Some(&limit))? == 0 {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        match reader.read(&mut piece)? {
            0 => break,
            read => words.extend_from_slice(piece.get(..read).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&words).trim().to_owned())
}

/// The tool: beside the daemon's own program, else where the system has it.
fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("vdiskadm"));
    let found = beside.filter(|path| path.is_file());
    found.unwrap_or_else(|| PathBuf::from("/usr/bin/vdiskadm"))
}

/// The size of a vdisk as a guest sees it, by its document; and what its files take up.
pub(crate) fn sizes(folder: &Path) -> std::io::Result<(u64, u64)> {
    let text = virt_store::read_text(&folder.join("vdisk.xml"), DOCUMENT_BYTES_MAX);
    let text = text.map_err(std::io::Error::other)?;
    // No document type is read, and there is one.
    let text = text.find("<vdisk").and_then(|at| text.get(at..)).unwrap_or_default();
    let document = virt_xml::parse(text).map_err(std::io::Error::other)?;
    let size = document.child("diskprop").and_then(|properties| properties.child("max-size"));
    let size = size.and_then(|size| size.text().trim().parse().ok());
    let size = size.ok_or_else(|| std::io::Error::other("a vdisk without a size"))?;
    let mut taken = 0_u64;
    for entry in fs::read_dir(folder)? {
        taken = taken.saturating_add(entry?.metadata()?.blocks().saturating_mul(512));
    }
    Ok((size, taken))
}
