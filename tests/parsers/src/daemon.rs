//! A whole daemon inside the process: calls of every program with arguments that fit or nearly fit,
//! streams, descriptors and frames that do not belong, said to it by a client without manners.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use protocol::sample::{Sampler, Source};
use protocol::{Call, Program};
use virt_driver::{Driver, OpenRequest, Opener, Registry};
use virt_wire::{FrameReader, Header, Message, MessageStatus, MessageType, keepalive, remote};
use virtd::harness::{Daemon, Entry};

/// Every call is answered before this, or its connection is over.
const ANSWER_MAX: Duration = Duration::from_secs(9);
/// What one input may say.
const STEPS_MAX: usize = 24;
/// What opens a world that nobody else sees.
const URI: &str = "test:///fresh";

/// The descriptions of all programs, as the tree has them.
fn programs() -> &'static [Program] {
    static PROGRAMS: OnceLock<Vec<Program>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let texts = [
            include_str!("../../../protocol/remote.virp"),
            include_str!("../../../protocol/qemu.virp"),
            include_str!("../../../protocol/lxc.virp"),
            include_str!("../../../protocol/admin.virp"),
        ];
        texts.map(|text| protocol::program(text).expect("a description")).into()
    })
}

/// A world of its own for every connection.
struct Fresh;

impl Opener for Fresh {
    fn open(&self, request: &OpenRequest<'_>) -> virt_error::Result<Option<Vec<Arc<dyn Driver>>>> {
        if request.uri != URI {
            return Ok(None);
        }
        Ok(Some(driver_test::fresh_world()?.drivers().to_vec()))
    }
}

/// The daemon that all inputs are said to.
pub(crate) fn daemon() -> &'static Daemon {
    static DAEMON: OnceLock<Daemon> = OnceLock::new();
    DAEMON.get_or_init(|| {
        virt_log::set_outputs(Vec::new());
        let passwords = crate::sasl::password_file();
        // Strangers come one after the other, and each may take its time.
        let conf = format!("sasl_password_file = \"{passwords}\"\nauth_timeout = 3600\n");
        Daemon::start(&conf, Registry::new().with(Fresh)).expect("a daemon")
    })
}

/// Bytes as a row of choices; when they are used up, every choice is the first.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        let choice = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        choice.checked_rem(count).unwrap_or(0)
    }

    pub(crate) fn bytes(&mut self, max: usize) -> Vec<u8> {
        let count = usize::from(self.byte()).min(max).min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes.to_vec()
    }
}

/// What is there by name, and documents that make more of it.
const TEXTS: &[&str] = &[
    "test",
    "",
    "default",
    "default-pool",
    "x",
    "eth1",
    "aa:bb:cc:dd:ee:ff",
    "vda",
    "0",
    "scsi_host1",
    URI,
    "<domain type='test'><name>x</name><memory>1024</memory><vcpu>2</vcpu><os><type>hvm</type></os>\
     <devices><disk type='file'><source file='/x'/><target dev='vda'/></disk></devices></domain>",
    "<network><name>x</name><bridge name='x0'/><ip address='10.0.0.1' netmask='255.0.0.0'/></network>",
    "<pool type='dir'><name>x</name><target><path>/x</path></target></pool>",
    "<volume><name>x</name><capacity>1024</capacity></volume>",
    "<interface type='ethernet' name='x'><mac address='aa:bb:cc:dd:ee:fe'/></interface>",
    "<device><parent>computer</parent><capability type='scsi_host'>\
     <capability type='fc_host'/></capability></device>",
    "<domainsnapshot><name>x</name></domainsnapshot>",
    "<domaincheckpoint><name>x</name></domaincheckpoint>",
    "<disk type='file'><source file='/x'/><target dev='vdb'/></disk>",
    "<cpu><arch>x86_64</arch><model>Nehalem</model></cpu>",
    "<source type='dir'/>",
];

const FIELDS: &[&str] = &["cpu_shares", "vcpu_quota", "limit", "memory", "nclients_max", "x", ""];

impl Source for Choices<'_> {
    fn number(&mut self, field: &str) -> u64 {
        match self.byte() {
            small @ 0..=0x7f => u64::from(small % 16),
            0x80..=0xa0 if field == "flags" => 1 << (self.byte() % 32),
            0x80..=0xa0 => u64::MAX,
            0xa1..=0xc0 => u64::from(self.byte()) << (self.byte() % 64),
            0xc1..=0xd0 => i32::MIN.unsigned_abs().into(),
            _ => u64::from_be_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn text(&mut self, field: &str) -> Vec<u8> {
        // Limit: what these say is a path on this host, where nothing is to be left.
        if matches!(field, "to" | "from" | "file" | "path") {
            return b"/nonexistent/x".to_vec();
        }
        let texts = if field == "field" { FIELDS } else { TEXTS };
        match self.byte() {
            0xf0.. if field != "params" => self.bytes(64),
            choice => texts[usize::from(choice) % texts.len()].as_bytes().to_vec(),
        }
    }

    fn is_some(&mut self, _: &str) -> bool {
        self.byte() & 1 == 1
    }

    fn count(&mut self, _: &str, max: usize) -> usize {
        usize::from(self.byte() % 4).min(max)
    }
}

/// A client of the daemon in this process.
pub(crate) struct Peer {
    socket: UnixStream,
    frames: FrameReader,
    serial: u32,
}

impl Peer {
    pub(crate) fn connect(entry: Entry) -> Self {
        let socket = daemon().connect(entry).expect("a connection");
        socket.set_read_timeout(Some(ANSWER_MAX)).expect("a time-out");
        Self { socket, frames: FrameReader::new(), serial: 0 }
    }

    /// Sends bytes; false when the daemon has hung up.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Calls, and waits for the answer with its status; nothing when the daemon hangs up.
    pub(crate) fn call(
        &mut self,
        program: u32,
        procedure: u32,
        arguments: &[u8],
    ) -> Option<Message> {
        self.serial += 1;
        let header = Header::call(program, 1, procedure, self.serial);
        let mut w = header.start();
        w.raw(arguments);
        let message = Header::finish(w).ok()?;
        if !self.send(&message) {
            return None;
        }
        self.answer(self.serial)
    }

    /// The answer to the call of this number. What else comes is passed over.
    fn answer(&mut self, serial: u32) -> Option<Message> {
        let begun = Instant::now();
        let mut bytes = [0; 4096];
        loop {
            while let Some(message) = self.frames.next_message().expect("frames") {
                let kind = message.header.kind;
                let is_reply = matches!(kind, MessageType::Reply | MessageType::ReplyWithFds);
                if is_reply && message.header.serial == serial {
                    sane(&message);
                    return Some(message);
                }
            }
            assert!(begun.elapsed() < ANSWER_MAX, "a call is not answered");
            match self.socket.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.frames.feed(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("a call is not answered")
                }
                Err(_) => return None,
            }
        }
    }
}

/// A worker that panicked says so in its answer.
fn sane(message: &Message) {
    let found = message.payload.windows(19).any(|part| part == b"failed unexpectedly");
    assert!(!found, "a call panicked");
}

/// Opens the world of a connection.
fn open(peer: &mut Peer, flags: u32) {
    let mut w = virt_wire::Writer::new();
    w.u32(1);
    w.string(URI, 64).expect("short");
    w.u32(flags);
    peer.call(remote::PROGRAM, remote::CONNECT_OPEN, &w.into_vec());
}

/// A client that was there before is served as ever; where an administrator may have closed it, whose
/// right that is, one that comes after.
pub(crate) fn others_are_served(may_be_closed: bool) {
    static OTHER: OnceLock<std::sync::Mutex<Peer>> = OnceLock::new();
    let another = || {
        let mut peer = Peer::connect(Entry::ReadWrite);
        open(&mut peer, 0);
        peer
    };
    let other = OTHER.get_or_init(|| another().into());
    let mut other = other.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let ask = |peer: &mut Peer| peer.call(remote::PROGRAM, remote::CONNECT_GET_LIB_VERSION, &[]);
    let mut answer = ask(&mut other);
    if answer.is_none() && may_be_closed {
        *other = another();
        answer = ask(&mut other);
    }
    assert_eq!(answer.expect("an answer").header.status, MessageStatus::Ok);
}

/// The calls of the main, qemu and lxc programs.
pub(crate) fn messages(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let entry = match choices.byte() % 8 {
        0 => Entry::ReadOnly,
        1 => Entry::Sasl,
        _ => Entry::ReadWrite,
    };
    let mut peer = Peer::connect(entry);
    if choices.byte() % 8 != 0 {
        open(&mut peer, 0);
    }
    talk(&mut peer, &mut choices, &programs()[..3]);
    others_are_served(false);
}

/// The calls of the administration program.
pub(crate) fn admin(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut peer = Peer::connect(Entry::Admin);
    talk(&mut peer, &mut choices, &programs()[3..]);
    others_are_served(true);
}

fn talk(peer: &mut Peer, choices: &mut Choices<'_>, programs: &[Program]) {
    let calls: Vec<(&Program, &Call)> = programs
        .iter()
        .flat_map(|program| program.calls.iter().map(move |call| (program, call)))
        .filter(|(program, call)| {
            // Limit: it would write where the input says.
            program.name != "admin" || call.name != "CONNECT_SET_LOGGING_OUTPUTS"
        })
        .collect();
    for _ in 0..STEPS_MAX {
        if choices.is_empty() || !step(peer, choices, &calls) {
            return;
        }
    }
}

/// Says one thing. False when the daemon has hung up.
fn step(peer: &mut Peer, choices: &mut Choices<'_>, calls: &[(&Program, &Call)]) -> bool {
    let what = choices.byte();
    let (program, call) = calls[choices.below(calls.len())];
    let arguments = Sampler::new(self::programs()).arguments(call, choices);
    let header = Header::call(program.number, program.version, call.number, peer.serial);
    match what % 16 {
        // A stream's words for the last call: data, holes, ends and errors.
        0 => {
            let kind = [MessageType::Stream, MessageType::StreamHole][choices.below(2)];
            let status = [MessageStatus::Continue, MessageStatus::Ok, MessageStatus::Error];
            let status = status[choices.below(3)];
            said(peer, Header { kind, status, ..header }, &choices.bytes(64))
        }
        // Kinds and states that a client has no use for.
        1 => {
            let kinds = [MessageType::Reply, MessageType::Message, MessageType::ReplyWithFds];
            let kind = kinds[choices.below(3)];
            let status = [MessageStatus::Continue, MessageStatus::Ok, MessageStatus::Error];
            said(peer, Header { kind, status: status[choices.below(3)], ..header }, &arguments)
        }
        2 => {
            let procedure = choices.number("procedure") as u32;
            let header = Header::call(keepalive::PROGRAM, 1, procedure % 4, 0);
            said(peer, Header { kind: MessageType::Message, ..header }, &[])
        }
        // It says that descriptors come with it, and only the bytes that should carry them do.
        3 => {
            let count = choices.number("count") as u32 % 64;
            let arguments = [&count.to_be_bytes()[..], &arguments].concat();
            said(peer, Header { kind: MessageType::CallWithFds, ..header }, &arguments)
                && peer.send(&vec![0; count as usize])
        }
        // Arguments cut short, or with bytes changed.
        4..=6 if !touches_files(call) => {
            let mut arguments = arguments;
            let at = choices.below(arguments.len().max(1));
            match choices.byte() % 3 {
                0 => arguments.truncate(at),
                1 => arguments.extend(choices.bytes(64)),
                _ => arguments.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0xff),
            }
            peer.call(program.number, call.number, &arguments).is_some()
        }
        _ => peer.call(program.number, call.number, &arguments).is_some(),
    }
}

fn said(peer: &mut Peer, header: Header, payload: &[u8]) -> bool {
    let mut w = header.start();
    w.raw(payload);
    Header::finish(w).is_ok_and(|message| peer.send(&message))
}

/// Whether a call's arguments, wherever they were changed, may name a file of this host.
fn touches_files(call: &Call) -> bool {
    ["SAVE", "RESTORE", "CORE_DUMP"].iter().any(|word| call.name.contains(word))
}
