//! Wire call in, driver call out, with access checked on the way; no sockets, no hypervisor.
//!
//! A row decodes the arguments of one procedure, makes the call on the connection's façade (which
//! checks what the caller may do) and encodes the answer. The rows are generated; procedures that
//! are the daemon's own (opening, authentication, registration of events) have none.

mod generated;
mod row;

use std::sync::Arc;

use virt_driver::{Api, Connection, Stream};
use virt_error::Result;
use virt_wire::{Reader, Writer, lxc, qemu, remote};

pub use row::{Row, rpc_error};

/// The row that serves a procedure, if a driver does.
pub fn find(program: u32, number: u32) -> Option<&'static Row> {
    let rows = match program {
        remote::PROGRAM => generated::REMOTE,
        qemu::PROGRAM => generated::QEMU,
        lxc::PROGRAM => generated::LXC,
        _ => return None,
    };
    rows.binary_search_by_key(&number, |row| row.number).ok().and_then(|at| rows.get(at))
}

/// What a procedure needs that the daemon answers itself.
pub fn own(program: u32, number: u32) -> Option<&'static Api> {
    let own = match program {
        remote::PROGRAM => generated::REMOTE_OWN,
        qemu::PROGRAM => generated::QEMU_OWN,
        lxc::PROGRAM => generated::LXC_OWN,
        _ => return None,
    };
    own.binary_search_by_key(&number, |(known, _)| *known)
        .ok()
        .and_then(|at| own.get(at))
        .map(|(_, api)| *api)
}

/// Makes one call. The answer is appended to `reply`; a stream is given back to be pumped.
pub fn dispatch(
    connection: &Connection,
    row: &Row,
    arguments: &[u8],
    reply: &mut Writer,
) -> Result<Option<Arc<dyn Stream>>> {
    (row.run)(connection, &mut Reader::new(arguments), reply)
}
