//! A saved guest's file: libvirt's head with the document, then what `xl` wrote.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use virt_error::{Error, Result};

use crate::{ORIGIN, operation_failed};

/// Compat: the head of libvirt's own files. What follows it there is the library's stream alone.
const MAGIC: &[u8; 16] = b"libvirt-xml\n \0 \r";
const VERSION: u32 = 2;
const HEAD_BYTES: usize = 64;
/// Limit: a document.
const XML_BYTES_MAX: u32 = 16 << 20;

fn io(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |error| Error::io(ORIGIN, &error, format!("saved guest '{}'", path.display()))
}

/// Starts a file with a document; what follows is to be appended.
pub(super) fn begin(path: &Path, xml: &str) -> Result<File> {
    let length = u32::try_from(xml.len()).ok().filter(|length| *length <= XML_BYTES_MAX);
    let length = length.ok_or_else(|| operation_failed("document is too long"))?;
    let mut head = Vec::with_capacity(HEAD_BYTES + xml.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&length.to_le_bytes());
    head.resize(HEAD_BYTES, 0);
    head.extend_from_slice(xml.as_bytes());
    let mut file = File::create(path).map_err(io(path))?;
    file.write_all(&head).map_err(io(path))?;
    Ok(file)
}

/// Opens a file: its document, and the file where what `xl` wrote begins.
pub(super) fn open(path: &Path) -> Result<(String, File)> {
    let odd = || operation_failed(format!("'{}' is no file of a saved guest", path.display()));
    let mut file = File::open(path).map_err(io(path))?;
    let mut head = [0; HEAD_BYTES];
    file.read_exact(&mut head).map_err(|_| odd())?;
    let number = |at: usize| {
        let four = head.get(at..).and_then(|rest| rest.first_chunk::<4>());
        four.map_or(0, |four| u32::from_le_bytes(*four))
    };
    let (version, length) = (number(16), number(20));
    if !head.starts_with(MAGIC) || version != VERSION || length > XML_BYTES_MAX {
        return Err(odd());
    }
    let mut xml = String::new();
    let mut part = (&mut file).take(u64::from(length));
    let read = part.read_to_string(&mut xml).map_err(|_| odd())?;
    if u32::try_from(read) != Ok(length) {
        return Err(odd());
    }
    let at = (HEAD_BYTES as u64).saturating_add(u64::from(length));
    file.seek(SeekFrom::Start(at)).map_err(io(path))?;
    Ok((xml.trim_end_matches('\0').to_owned(), file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_begun_is_opened_where_it_ended() {
        let scratch = test_support::Scratch::new("record");
        let path = scratch.join("a");
        let mut file = begin(&path, "<domain/>").expect("a file");
        file.write_all(b"stream").expect("the rest");
        let (xml, mut rest) = open(&path).expect("it is one");
        let mut stream = String::new();
        rest.read_to_string(&mut stream).expect("the rest");
        assert_eq!((xml.as_str(), stream.as_str()), ("<domain/>", "stream"));
        for bad in [&b""[..], b"libvirt-xml\n \0 \r", &[0xff; 80]] {
            scratch.write("b", bad);
            assert!(open(&scratch.join("b")).is_err());
        }
    }
}
