//! Files that commands read, bounded, and descriptors that they hand on.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use virt_driver::{CallContext, Connection};
use virt_error::errno_text;
use virt_types::feature;

use crate::failure::{Failure, fail};
use crate::placed;

/// Limit: no document of the public API is larger; the wire's own string limit is 4 MiB.
const DOCUMENT_BYTES_MAX: u64 = 10 << 20;

/// Reads a document that a command was given by name.
pub(crate) fn read_document(path: &str) -> Result<String, Failure> {
    let file = File::open(path).map_err(|error| refusal("open", path, &error))?;
    let mut text = Vec::new();
    let read = file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| refusal("read", path, &error))?;
    if text.len() as u64 > DOCUMENT_BYTES_MAX {
        return fail(format!("Failed to read file '{path}': {}", errno_text(EOVERFLOW)));
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    placed::keep(path, &text);
    Ok(text)
}

const EOVERFLOW: i32 = 75;

fn refusal(verb: &str, path: &str, error: &std::io::Error) -> Failure {
    let why = error.raw_os_error().map_or_else(|| error.to_string(), errno_text);
    Failure::new(format!("Failed to {verb} file '{path}': {why}"))
}

/// The path that a daemon, which works in a folder of its own, finds the file by.
pub(crate) fn absolute(path: &str) -> String {
    match std::env::current_dir() {
        Ok(folder) if !path.starts_with('/') => format!("{}/{path}", folder.display()),
        _ => path.to_owned(),
    }
}

/// Whether a path is a block device of this host.
pub(crate) fn is_block_device(path: &str) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device())
}

/// Limit: descriptors that go with one call.
const PASSED_MAX: usize = 32;

/// The connection for one call that copies of this process's descriptors go with: `3,4`.
pub(crate) fn passing(connection: &Connection, numbers: &str) -> Result<Connection, Failure> {
    let numbers = Some(numbers).filter(|numbers| !numbers.is_empty());
    let numbers = numbers.into_iter().flat_map(|numbers| numbers.split(','));
    let parsed = numbers.map(|text| match text.parse::<i32>() {
        Ok(number) => Ok(number),
        Err(_) => fail(format!("Unable to parse FD number '{text}'")),
    });
    let parsed = parsed.collect::<Result<Vec<i32>, Failure>>()?;
    if parsed.len() > PASSED_MAX {
        return fail(format!("too many descriptors: {}", parsed.len()));
    }
    // Compat: a driver that takes none is asked all the same, and refuses the call.
    let files = match connection.supports_feature(feature::FD_PASSING) {
        true => parsed.into_iter().map(copy_of).collect::<Result<_, _>>()?,
        false => Vec::new(),
    };
    Ok(connection.with_context(Arc::new(CallContext::new(files, |_| {}))))
}

/// What the system shows of a descriptor is opened, so that no borrowed number is needed.
fn copy_of(number: i32) -> Result<OwnedFd, Failure> {
    let path = format!("/proc/self/fd/{number}");
    let file = File::options().read(true).write(true).open(&path).or_else(|_| File::open(&path));
    file.map(OwnedFd::from).map_err(|error| refusal("pass", &path, &error))
}
