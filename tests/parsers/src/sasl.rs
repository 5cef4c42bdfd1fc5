//! Exchanges by SASL on an unencrypted socket: honest ones, ones with a word changed, and noise.

use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use virt_transport::sasl::{ClientExchange, Secret};
use virt_wire::{MessageStatus, Writer, remote};
use virtd::harness::Entry;

use crate::daemon::{Choices, Peer, others_are_served};

const USER: &str = "fred";
const PASSWORD: &str = "open sesame";
const TURNS_MAX: usize = 6;
const MECHANISMS: &[&str] =
    &["SCRAM-SHA-256", "PLAIN", "", "GSSAPI", "SCRAM-SHA-256-PLUS", "ANONYMOUS"];

/// The file of users, in memory: it is gone with the process.
pub(crate) fn password_file() -> &'static str {
    static FILE: OnceLock<(std::fs::File, String)> = OnceLock::new();
    let (_, path) = FILE.get_or_init(|| {
        let made = rustix::fs::memfd_create("users", rustix::fs::MemfdFlags::CLOEXEC);
        let mut file = std::fs::File::from(made.expect("a file in memory"));
        let secret = Secret::new(PASSWORD).expect("randomness");
        std::io::Write::write_all(&mut file, format!("{USER}:{secret}\n").as_bytes())
            .expect("memory");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        (file, path)
    });
    path
}

/// One client that wants in.
pub(crate) fn check(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut peer = Peer::connect(Entry::Sasl);
    let honest = choices.byte() % 2 == 0;
    let password = if choices.byte() % 4 == 0 { "wrong" } else { PASSWORD };
    let mut exchange = ClientExchange::new("SCRAM-SHA-256", USER, password).expect("an exchange");
    let mut heard: Option<Vec<u8>> = None;
    let mut proved = honest && password == PASSWORD;
    let mut complete = false;
    for turn in 0..TURNS_MAX {
        let said = if honest {
            exchange.step(heard.as_deref()).ok().and_then(|step| step.data)
        } else {
            None
        };
        let mut data = said.unwrap_or_else(|| choices.bytes(255));
        if choices.byte() % 8 == 7 {
            let at = choices.below(data.len().max(1));
            let flip = choices.byte();
            data.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= flip);
            proved &= flip == 0 || data.is_empty();
        }
        let mechanism = match choices.byte() {
            0xe0.. => MECHANISMS[choices.below(MECHANISMS.len())],
            _ => MECHANISMS[0],
        };
        let Some((status, payload)) = turn_of(&mut peer, turn == 0, mechanism, &data) else {
            break;
        };
        if status != MessageStatus::Ok {
            break;
        }
        (complete, heard) = read(&payload);
        if complete {
            break;
        }
    }
    // Whoever has not proved it knows the password is let in to nothing.
    let answer = peer.call(remote::PROGRAM, remote::CONNECT_SUPPORTS_FEATURE, &[0, 0, 0, 10]);
    let let_in = answer.is_some_and(|answer| answer.header.status == MessageStatus::Ok);
    assert_eq!(let_in, complete);
    assert!(!let_in || proved, "let in without the password");
    others_are_served(false);
}

fn turn_of(
    peer: &mut Peer,
    first: bool,
    mechanism: &str,
    data: &[u8],
) -> Option<(MessageStatus, Vec<u8>)> {
    let mut w = Writer::new();
    if first {
        w.string(mechanism, 64).ok()?;
    }
    w.i32(0);
    w.octets(data, 65536).ok()?;
    let procedure = if first { remote::AUTH_SASL_START } else { remote::AUTH_SASL_STEP };
    let answer = peer.call(remote::PROGRAM, procedure, &w.into_vec())?;
    Some((answer.header.status, answer.payload))
}

/// Whether the daemon is content, and what it says.
fn read(payload: &[u8]) -> (bool, Option<Vec<u8>>) {
    let r = &mut virt_wire::Reader::new(payload);
    let complete = r.i32().expect("complete") != 0;
    let nil = r.i32().expect("nil") != 0;
    let data = r.octets(65536).expect("data");
    (complete, (!nil).then_some(data))
}
