//! Streams against the test driver: a screenshot is data of its own, read from a worker.

mod raw;

use raw::{Raw, arguments, domain, start};
use test_support::Daemon;
use virt_wire::{Header, MessageStatus, MessageType, Reader, remote};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Opens a screenshot's stream, and says what it is on.
fn screenshot(raw: &mut Raw) -> Header {
    let header = raw.header(remote::DOMAIN_SCREENSHOT);
    let mut wanted = domain();
    wanted.extend([0; 8]);
    raw.send_message(header, &wanted);
    let answer = raw.message();
    assert_eq!(answer.header, header.reply(MessageStatus::Ok), "{answer:?}");
    let mut r = Reader::new(&answer.payload);
    assert_eq!(r.optional(|r| r.string(64)), Ok(Some("image/png".to_owned())));
    header
}

/// Reads to the end of the daemon's data.
fn data(raw: &mut Raw, call: Header) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let message = raw.message();
        assert_eq!(message.header, call.stream(MessageStatus::Continue));
        if message.payload.is_empty() {
            return all;
        }
        all.extend(message.payload);
    }
}

#[test]
fn data_flows_down_to_its_end_and_the_end_is_confirmed() {
    let virtd = start();
    let mut raw = Raw::open(virtd.socket(), 0);
    let call = screenshot(&mut raw);
    assert!(data(&mut raw, call).starts_with(PNG));
    assert!(raw.silent());
    raw.send_message(call.stream(MessageStatus::Ok), &[]);
    assert_eq!(raw.message().header, call.stream(MessageStatus::Ok));
    // It is gone: what still comes for it is passed over.
    raw.send_message(call.stream(MessageStatus::Ok), &[]);
    raw.send_message(call.stream(MessageStatus::Continue), b"late");
    assert!(raw.silent());
}

#[test]
fn an_abort_is_confirmed_and_leaves_the_connection_alone() {
    let virtd = start();
    let mut raw = Raw::open(virtd.socket(), 0);
    for _ in 0..20 {
        let call = screenshot(&mut raw);
        raw.send_message(call.stream(MessageStatus::Error), &[]);
        loop {
            let message = raw.message();
            if message.header == call.stream(MessageStatus::Ok) {
                break;
            }
            assert_eq!(message.header, call.stream(MessageStatus::Continue));
        }
    }
    assert!(raw.call(remote::CONNECT_GET_TYPE, &[]).is_ok());
}

#[test]
fn many_streams_at_once_keep_apart() {
    let virtd = start();
    let mut raw = Raw::open(virtd.socket(), 0);
    let mut wanted = domain();
    wanted.extend([0; 8]);
    let calls: Vec<Header> = (0..32).map(|_| raw.header(remote::DOMAIN_SCREENSHOT)).collect();
    for &call in &calls {
        raw.send_message(call, &wanted);
    }
    let mut sizes = std::collections::HashMap::new();
    let mut ended = 0;
    while ended < calls.len() {
        let message = raw.message();
        if message.header.kind != MessageType::Stream {
            continue;
        }
        assert_eq!(message.header.status, MessageStatus::Continue);
        ended += usize::from(message.payload.is_empty());
        *sizes.entry(message.header.serial).or_insert(0) += message.payload.len();
    }
    let mut all: Vec<usize> = sizes.values().copied().collect();
    all.dedup();
    assert_eq!((sizes.len(), all.len()), (calls.len(), 1), "{sizes:?}");
}

#[test]
fn a_stream_that_takes_no_data_fails_alone() {
    let virtd = start();
    let mut raw = Raw::open(virtd.socket(), 0);
    let call = screenshot(&mut raw);
    data(&mut raw, call);
    raw.send_message(call.stream(MessageStatus::Continue), b"what for?");
    let hole = Header { kind: MessageType::StreamHole, ..call.stream(MessageStatus::Continue) };
    raw.send_message(hole, &arguments(|w| w.i64(-1)));
    let answer = raw.message();
    assert_eq!(answer.header, call.stream(MessageStatus::Error));
    assert!(raw.call(remote::CONNECT_GET_TYPE, &[]).is_ok());
}
