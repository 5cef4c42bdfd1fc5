//! Message headers, frames, generated codec and procedure tables; no I/O, no sockets.
//!
//! A message is a length word, a header of six words and a payload in XDR. What a payload holds is
//! generated from `protocol/`; this crate turns bytes into values and back and knows nothing of who
//! sends them.

mod codec;
mod error;
mod frame;
mod generated;
mod procedure;

pub use codec::{Codec, Result};
pub use error::{decode_error, encode_error};
pub use frame::{
    FrameReader, HEADER_BYTES, Header, LEGACY_PAYLOAD_BYTES_MAX, MESSAGE_BYTES_MAX,
    MESSAGE_FDS_MAX, Message, MessageStatus, MessageType, STREAM_DATA_BYTES_MAX,
};
pub use generated::{admin, events, limits, lxc, qemu, remote};
pub use procedure::{Lane, Procedure, StreamWay, find};
pub use virt_xdr::{Reader, Writer, XdrError};

/// The keepalive program: pings and pongs without a payload.
pub mod keepalive {
    pub const PROGRAM: u32 = 0x6b65_6570;
    pub const VERSION: u32 = 1;
    pub const PING: u32 = 1;
    pub const PONG: u32 = 2;
}
