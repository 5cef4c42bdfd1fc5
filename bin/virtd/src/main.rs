//! The daemon: sockets, worker pool, and the drivers it serves.

fn main() {}
