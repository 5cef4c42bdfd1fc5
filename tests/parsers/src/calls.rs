//! Calls: the arguments of any procedure, decoded and dispatched on a connection without drivers.

use std::sync::OnceLock;

use virt_driver::Connection;
use virt_wire::{Writer, lxc, qemu, remote};

const PROGRAMS: [u32; 3] = [remote::PROGRAM, qemu::PROGRAM, lxc::PROGRAM];

/// The first byte names the program, two the procedure; the rest are its arguments.
pub(crate) fn check(bytes: &[u8]) {
    let [program, high, low, arguments @ ..] = bytes else { return };
    let program = PROGRAMS[usize::from(*program) % PROGRAMS.len()];
    let number = u32::from(u16::from_be_bytes([*high, *low]));
    let Some(row) = virt_dispatch::find(program, number) else { return };
    static CONNECTION: OnceLock<Connection> = OnceLock::new();
    let connection = CONNECTION.get_or_init(|| Connection::new(Vec::new(), "test:///", false));
    let mut reply = Writer::new();
    let answer = virt_dispatch::dispatch(connection, row, arguments, &mut reply);
    assert!(answer.is_err() || reply.len() < 64, "nobody is there to answer");
}
