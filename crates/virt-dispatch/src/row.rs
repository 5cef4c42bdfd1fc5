//! One row of the dispatch table, and the errors of coding.

use std::sync::Arc;

use virt_driver::{Connection, Stream};
use virt_error::{Code, Error, Origin, Result};
use virt_wire::{Reader, Writer, XdrError};

/// Decodes the arguments, makes the call, encodes the answer; a stream is given back.
type Run = fn(&Connection, &mut Reader<'_>, &mut Writer) -> Result<Option<Arc<dyn Stream>>>;

/// How one procedure is served.
pub struct Row {
    pub number: u32,
    pub run: Run,
}

/// An error of the RPC layer itself.
pub fn rpc_error(detail: impl Into<String>) -> Error {
    Error::new(Code::Rpc, Origin::Rpc, detail)
}

/// Arguments that could not be decoded. Compat: libvirt's words, which name no position.
pub(crate) fn read<T>(decoded: std::result::Result<T, XdrError>) -> Result<T> {
    decoded.map_err(|_| rpc_error("Unable to decode message payload"))
}

/// Appends a part of the answer; one that does not fit the protocol's limits is an error.
pub(crate) fn put(
    w: &mut Writer,
    write: impl FnOnce(&mut Writer) -> std::result::Result<(), XdrError>,
) -> Result<()> {
    write(w).map_err(|_| rpc_error("Unable to encode message payload"))
}
