//! What volumes contain: to a file and from one.

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use rustix::event::{PollFd, PollFlags, poll};
use virt_cli::Args;
use virt_driver::{Received, Stream};
use virt_types::api;

use crate::failure::{Done, During as _, Failure, fail};
use crate::lookup::volume;
use crate::options::flags_of;
use crate::shell::Shell;

/// Limit: bytes moved at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Offset and length that were asked for; a length of 0 goes on to the end.
fn range(args: &Args) -> Result<(u64, u64), Failure> {
    let offset = args.number::<u64>("offset")?.unwrap_or_default();
    let length = args.number_or_less("length")?.unwrap_or_default();
    Ok((offset, length))
}

pub(crate) fn cmd_vol_download(shell: &mut Shell, args: &Args) -> Done {
    let (offset, length) = range(args)?;
    let found = volume(shell, args)?;
    let file = args.needed("file")?;
    let flags = flags_of(args, &[("sparse", api::STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)]);
    let made = File::options().write(true).create_new(true).mode(0o666).open(file);
    let (mut out, ours) = match made {
        Ok(out) => (out, true),
        Err(_) => match File::options().write(true).truncate(true).open(file) {
            Ok(out) => (out, false),
            Err(_) => return fail(format!("cannot create {file}")),
        },
    };
    let name = &found.name;
    let connection = shell.connection()?;
    let downloaded = connection
        .storage_vol_download(&found, offset, length, flags)
        .during(|| format!("cannot download from volume {name}"))
        .and_then(|stream| {
            let received = receive(stream.as_ref(), &mut out);
            received.during(|| format!("cannot receive data from volume {name}"))?;
            stream.finish().during(|| "cannot close volume")
        });
    // A file of our own making is not left behind half full.
    if downloaded.is_err() && ours {
        let _ = std::fs::remove_file(file);
    }
    downloaded
}

/// Waits until a stream has something to say.
fn wait(stream: &dyn Stream, what: PollFlags) -> Done {
    let Some(fd) = stream.poll_fd() else { return Ok(()) };
    match poll(&mut [PollFd::from_borrowed_fd(fd, what)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => fail(error.to_string()),
    }
}

fn io_failure(error: std::io::Error) -> Failure {
    Failure::new(error.raw_os_error().map_or_else(|| error.to_string(), virt_error::errno_text))
}

/// Writes what a stream brings; its holes become holes of the file.
fn receive(stream: &dyn Stream, out: &mut File) -> Done {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = 0_u64;
    loop {
        match stream.recv(&mut buffer)? {
            Received::Data(count) => {
                let data = buffer.get(..count).unwrap_or_default();
                out.write_all_at(data, at).map_err(io_failure)?;
                at = at.saturating_add(count as u64);
            }
            Received::Hole(length) => {
                at = at.saturating_add(length);
                out.set_len(at).map_err(io_failure)?;
            }
            Received::Pending => wait(stream, PollFlags::IN)?,
            Received::End => return out.flush().map_err(io_failure),
        }
    }
}

pub(crate) fn cmd_vol_upload(shell: &mut Shell, args: &Args) -> Done {
    let (offset, length) = range(args)?;
    let found = volume(shell, args)?;
    let file = args.needed("file")?;
    let flags = flags_of(args, &[("sparse", api::STORAGE_VOL_UPLOAD_SPARSE_STREAM)]);
    let Ok(input) = File::open(file) else { return fail(format!("cannot read {file}")) };
    let name = &found.name;
    let connection = shell.connection()?;
    let uploaded = connection.storage_vol_upload(&found, offset, length, flags);
    let stream = uploaded.during(|| format!("cannot upload to volume {name}"))?;
    let sent = match args.flag("sparse") {
        true => send_sparse(stream.as_ref(), &input, length),
        false => send_all(stream.as_ref(), &input, length),
    };
    if let Err(failure) = sent {
        stream.abort();
        return Err(failure.during(format!("cannot send data to volume {name}")));
    }
    stream.finish().during(|| format!("cannot close volume {name}"))
}

/// Sends the file's bytes; `length` of them if that is not 0.
fn send_all(stream: &dyn Stream, input: &File, length: u64) -> Done {
    let length = if length == 0 { u64::MAX } else { length };
    copy_some(stream, input, length)
}

fn copy_some(stream: &dyn Stream, input: &File, length: u64) -> Done {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut input = input.take(length);
    loop {
        let count = input.read(&mut buffer).map_err(io_failure)?;
        let mut data = buffer.get(..count).unwrap_or_default();
        if data.is_empty() {
            return Ok(());
        }
        while !data.is_empty() {
            let sent = stream.send(data)?;
            data = data.get(sent..).unwrap_or_default();
            if sent == 0 {
                wait(stream, PollFlags::OUT)?;
            }
        }
    }
}

/// Sends data as data and holes as holes.
fn send_sparse(stream: &dyn Stream, mut input: &File, length: u64) -> Done {
    use rustix::fs::{SeekFrom, seek};
    use std::io::Seek as _;
    let size = input.metadata().map_err(io_failure)?.len();
    let end = if length == 0 { size } else { size.min(length) };
    let mut at = 0;
    while at < end {
        let data = seek(input, SeekFrom::Data(at)).unwrap_or(end).min(end);
        if data > at {
            stream.send_hole(data - at)?;
        }
        if data == end {
            break;
        }
        let hole = seek(input, SeekFrom::Hole(data)).unwrap_or(end).min(end);
        input.seek(std::io::SeekFrom::Start(data)).map_err(io_failure)?;
        copy_some(stream, input, hole - data)?;
        at = hole;
    }
    Ok(())
}
