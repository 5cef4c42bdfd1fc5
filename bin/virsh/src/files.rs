//! Files that commands read, bounded.

use std::fs::File;
use std::io::Read as _;

use virt_error::errno_text;

use crate::failure::{Failure, fail};

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
    Ok(String::from_utf8_lossy(&text).into_owned())
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
