//! What the daemon must know of a procedure before it decodes its arguments.

/// One row of a program's table.
#[derive(Debug)]
pub struct Procedure {
    pub number: u32,
    pub name: &'static str,
    /// The public function it carries, as errors and audit lines name it.
    pub api: &'static str,
    pub lane: Lane,
    pub stream: Option<StreamWay>,
}

/// Where a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// On the I/O loop itself: the answer waits for no lock.
    Inline,
    /// By any worker, and by those kept for such calls when all others wait for a hypervisor.
    Priority,
    Normal,
}

/// Which way a stream's data goes, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamWay {
    Up,
    /// From the daemon; consoles take data both ways.
    Down,
}

/// The row of a procedure in a table ordered by number.
pub fn find(table: &'static [Procedure], number: u32) -> Option<&'static Procedure> {
    table
        .binary_search_by_key(&number, |procedure| procedure.number)
        .ok()
        .and_then(|at| table.get(at))
}
