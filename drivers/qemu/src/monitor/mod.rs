//! The QMP monitor of a guest: bytes to messages, calls with deadlines, and the thread that reads.

mod client;
mod reader;
mod watch;

pub use client::{Command, Monitor, MonitorError, Progress, Replies, Sent};
pub use reader::{Event, Message, QmpError, ReadError, Reader, Version};
pub(crate) use watch::{Happening, Sink, Watch};
