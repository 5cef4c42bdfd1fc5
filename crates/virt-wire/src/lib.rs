//! Message headers, frames, generated codec and procedure tables; no I/O, no sockets.
