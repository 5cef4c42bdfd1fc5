//! A client made of plain frames: it says what it is told to, right or wrong.
#![allow(dead_code)] // each test uses its own part

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use test_support::Virtd;
use virt_error::Error;
use virt_wire::{
    FrameReader, Header, Message, MessageStatus, MessageType, Reader, Writer, decode_error, remote,
};

/// Long enough for a busy machine; a test that works never waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a socket must be silent to count as silent.
const SILENCE: Duration = Duration::from_millis(200);

pub(crate) fn start() -> Virtd {
    Virtd::start_program(PathBuf::from(env!("CARGO_BIN_EXE_virtd")))
}

pub(crate) struct Raw {
    pub(crate) socket: UnixStream,
    frames: FrameReader,
    serial: u32,
}

/// What the daemon did next.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Message(Message),
    HungUp,
    Silent,
}

impl Raw {
    pub(crate) fn connect(path: &Path) -> Self {
        Self::on(UnixStream::connect(path).expect("connect"))
    }

    /// On a connection that is there already.
    pub(crate) fn on(socket: UnixStream) -> Self {
        Self { socket, frames: FrameReader::new(), serial: 0 }
    }

    /// Connected, with the default world open.
    pub(crate) fn open(path: &Path, flags: u32) -> Self {
        let mut raw = Self::connect(path);
        raw.call(remote::AUTH_LIST, &[]).expect("auth");
        raw.call(remote::CONNECT_OPEN, &open_arguments("test:///default", flags)).expect("open");
        raw
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("write");
    }

    pub(crate) fn send_message(&mut self, header: Header, payload: &[u8]) {
        let bytes = bytes(header, payload);
        self.send(&bytes);
    }

    /// The header of the next call.
    pub(crate) fn header(&mut self, procedure: u32) -> Header {
        self.serial += 1;
        Header::call(remote::PROGRAM, remote::VERSION, procedure, self.serial)
    }

    pub(crate) fn call(&mut self, procedure: u32, arguments: &[u8]) -> Result<Vec<u8>, Error> {
        let header = self.header(procedure);
        self.exchange(header, arguments)
    }

    /// Sends a call and gives what it is answered.
    pub(crate) fn exchange(&mut self, header: Header, arguments: &[u8]) -> Result<Vec<u8>, Error> {
        self.send_message(header, arguments);
        let answer = self.message();
        assert_eq!(answer.header, header.reply(answer.header.status));
        match answer.header.status {
            MessageStatus::Ok => Ok(answer.payload),
            _ => Err(decode_error(&mut Reader::new(&answer.payload)).expect("error")),
        }
    }

    pub(crate) fn message(&mut self) -> Message {
        match self.next_within(PATIENCE) {
            Next::Message(message) => message,
            other => panic!("{other:?} where a message was expected"),
        }
    }

    pub(crate) fn hung_up(&mut self) -> bool {
        self.next_within(PATIENCE) == Next::HungUp
    }

    pub(crate) fn silent(&mut self) -> bool {
        self.next_within(SILENCE) == Next::Silent
    }

    pub(crate) fn next_within(&mut self, patience: Duration) -> Next {
        self.socket.set_read_timeout(Some(patience)).expect("timeout");
        loop {
            if let Some(message) = self.frames.next_message().expect("frame") {
                return Next::Message(message);
            }
            let mut bytes = [0; 65536];
            match self.socket.read(&mut bytes) {
                Ok(0) => return Next::HungUp,
                Ok(count) => self.frames.feed(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Silent,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Next::HungUp,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

pub(crate) fn bytes(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut message = header.start();
    message.raw(payload);
    Header::finish(message).expect("message")
}

pub(crate) fn event(procedure: u32) -> Header {
    Header::event(remote::PROGRAM, remote::VERSION, procedure)
}

pub(crate) fn open_arguments(uri: &str, flags: u32) -> Vec<u8> {
    arguments(|w| {
        w.flag(true);
        w.string(uri, 4096).expect("uri");
        w.u32(flags);
    })
}

pub(crate) fn arguments(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    write(&mut w);
    w.into_vec()
}

/// The default world's domain, as an argument.
pub(crate) fn domain() -> Vec<u8> {
    const UUID: [u8; 16] = [
        0x66, 0x95, 0xeb, 0x01, 0xf6, 0xa4, 0x83, 0x04, 0x79, 0xaa, 0x97, 0xf2, 0x50, 0x2e, 0x19,
        0x3f,
    ];
    arguments(|w| {
        w.string("test", 64).expect("name");
        w.fixed(&UUID);
        w.i32(1);
    })
}

/// A header of six words as they are, however wrong.
pub(crate) fn raw_header(length: u32, words: [u32; 6]) -> Vec<u8> {
    std::iter::once(length).chain(words).flat_map(u32::to_be_bytes).collect()
}

pub(crate) const CALL: u32 = MessageType::Call as u32;
