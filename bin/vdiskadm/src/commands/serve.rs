//! `serve`: a vdisk as a network block device on a socket, for as long as one client uses it.
//!
//! The client is an emulator, which can read none of the difference formats but its own. The vdisk
//! is in use while this runs, and not a moment longer, however it ends.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use virt_disk::Chain;

use crate::commands::source::Source;
use crate::failure::{Failure, Result};
use crate::holders::{self, Holder};
use crate::nbd::{self, Backend};
use crate::vdisk::{Access, Vdisk};
use crate::words::{Name, Words};

/// Limit: an emulator connects as soon as it starts.
const CLIENT_WAIT_MAX: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// `serve [-r] -s SOCKET VDNAME`; `-` is a listening socket that is its standard input.
pub(crate) fn serve(words: &Words) -> Result<()> {
    let socket = Path::new(words.needed('s', "socket")?);
    let [name] = words.operands(["vdname"])?;
    let is_writer = !words.has('r');
    if fs::metadata(name).is_ok_and(|found| !found.is_dir()) {
        return serve_image(Path::new(name), socket, is_writer);
    }
    let folder = Name::vdisk(name)?;
    let holder = Holder::this(is_writer)?;
    let mut vdisk = Vdisk::open(&folder, Access::Change)?;
    match (vdisk.document.users()?, is_writer) {
        ((0, 0), _) | ((0, _), false) => {}
        _ => return Err(in_use(name)),
    }
    let mut disk = vdisk.open_disk(is_writer)?;
    let door = Door::open(socket)?;
    // Order: the vdisk is in use before anybody can connect who trusts in that.
    let held = hold(&mut vdisk, &holder);
    drop(vdisk);
    let result = held.and_then(|()| door.serve(&mut disk, is_writer));
    drop(door);
    drop(disk);
    let mut vdisk = Vdisk::open(&folder, Access::Change)?;
    release(&mut vdisk, &holder)?;
    result
}

/// Serves an image that is no vdisk. Nothing counts its users: they lock its file.
fn serve_image(path: &Path, socket: &Path, is_writer: bool) -> Result<()> {
    let name = path.display();
    let file = File::open(path).map_err(|error| Failure::io("open", path, error))?;
    let wanted = match is_writer {
        true => FlockOperation::NonBlockingLockExclusive,
        false => FlockOperation::NonBlockingLockShared,
    };
    match flock(&file, wanted) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use(&name.to_string())),
        Err(error) => return Err(Failure::io("lock", path, error)),
    }
    let mut source = Source::open_for_guest(path, is_writer)?;
    Door::open(socket)?.serve(&mut source.disk, is_writer)
}

fn in_use(name: &str) -> Failure {
    Failure::new(format!("'{name}' is in use"))
}

/// The socket that the one client comes through.
struct Door {
    listener: UnixListener,
    /// Removed at the end where it was made here.
    made: Option<PathBuf>,
}

impl Door {
    fn open(socket: &Path) -> Result<Self> {
        let is_given = socket == Path::new("-");
        let listener = match is_given {
            true => std::io::stdin().as_fd().try_clone_to_owned().map(UnixListener::from),
            false => UnixListener::bind(socket),
        };
        let listener = listener.map_err(|error| Failure::io("listen at", socket, error))?;
        Ok(Self { listener, made: (!is_given).then(|| socket.to_owned()) })
    }

    fn serve(&self, disk: &mut Chain, is_writer: bool) -> Result<()> {
        crate::out("ready")?;
        let client = self.accept();
        let client = client.map_err(|error| Failure::new(format!("nobody came: {error}")))?;
        talk(client, disk, is_writer)
    }

    fn accept(&self) -> std::io::Result<UnixStream> {
        let mut watched = [PollFd::new(&self.listener, PollFlags::IN)];
        match poll(&mut watched, Some(&CLIENT_WAIT_MAX))? {
            0 => Err(std::io::ErrorKind::TimedOut.into()),
            _ => Ok(self.listener.accept()?.0),
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(socket) = &self.made {
            let _ = fs::remove_file(socket);
        }
    }
}

fn hold(vdisk: &mut Vdisk, holder: &Holder) -> Result<()> {
    let mut all = holders::read(&vdisk.folder)?;
    all.push(holder.clone());
    holders::count(&mut vdisk.document, holder.is_writer, 1)?;
    vdisk.save_with_holders(&all)
}

fn release(vdisk: &mut Vdisk, holder: &Holder) -> Result<()> {
    let mut all = holders::read(&vdisk.folder)?;
    let Some(at) = all.iter().position(|held| held == holder) else { return Ok(()) };
    all.remove(at);
    holders::count(&mut vdisk.document, holder.is_writer, -1)?;
    vdisk.save_with_holders(&all)
}

fn talk(client: UnixStream, disk: &mut Chain, is_writer: bool) -> Result<()> {
    let said = |error: std::io::Error| Failure::new(format!("the client is lost: {error}"));
    let reader = client.try_clone().map_err(said)?;
    let mut backend = Disk { disk, is_writer };
    let done = nbd::serve(&mut Both { reader, writer: client }, &mut backend);
    // Whatever became of the client, what it was told to be written is on the disk.
    backend.flush().map_err(said)?;
    done.map_err(said)
}

struct Both {
    reader: UnixStream,
    writer: UnixStream,
}

impl Read for Both {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl Write for Both {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.writer.write(data)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

struct Disk<'a> {
    disk: &'a mut Chain,
    is_writer: bool,
}

impl Backend for Disk<'_> {
    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }

    fn is_writable(&self) -> bool {
        self.is_writer
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.disk.read(offset, buffer).map_err(std::io::Error::other)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.disk.write(offset, data).map_err(std::io::Error::other)
    }

    fn write_zeroes(&mut self, offset: u64, length: u64) -> std::io::Result<()> {
        self.disk.write_zeroes(offset, length).map_err(std::io::Error::other)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if !self.is_writer {
            return Ok(());
        }
        self.disk.flush(true).map_err(std::io::Error::other)
    }
}
