//! What the RPC layer answers to frames, right and wrong: the words are libvirtd's.

mod raw;

use raw::{CALL, Raw, arguments, bytes, domain, open_arguments, raw_header, start};
use test_support::Daemon;
use virt_wire::{Header, MessageStatus, MessageType, keepalive, qemu, remote};

const NO_OP: u32 = remote::CONNECT_GET_LIB_VERSION;

#[test]
fn impossible_lengths_end_the_connection() {
    let virtd = start();
    for length in [0, 4, 27, 33_554_437, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let mut raw = Raw::connect(virtd.socket());
        raw.send(&raw_header(length, [remote::PROGRAM, 1, NO_OP, CALL, 1, 0]));
        assert!(raw.hung_up(), "{length}");
    }
    // The largest possible one is waited for, without memory being set aside for it.
    let mut raw = Raw::connect(virtd.socket());
    raw.send(&raw_header(33_554_436, [remote::PROGRAM, 1, NO_OP, CALL, 1, 0]));
    assert!(raw.silent());
    assert!(Raw::open(virtd.socket(), 0).call(NO_OP, &[]).is_ok());
}

#[test]
fn a_message_may_come_byte_by_byte_and_many_at_once() {
    let virtd = start();
    let mut raw = Raw::open(virtd.socket(), 0);
    let header = raw.header(NO_OP);
    for byte in bytes(header, &[]) {
        raw.send(&[byte]);
    }
    assert_eq!(raw.message().header, header.reply(MessageStatus::Ok));
    let calls: Vec<Header> = (0..500).map(|_| raw.header(NO_OP)).collect();
    let all: Vec<u8> = calls.iter().flat_map(|&call| bytes(call, &[])).collect();
    raw.send(&all);
    for call in calls {
        // Such calls are answered on the loop, so in order.
        assert_eq!(raw.message().header, call.reply(MessageStatus::Ok));
    }
}

#[test]
fn more_calls_in_flight_than_allowed_are_answered_all_the_same() {
    let virtd = start();
    let mut raw = Raw::open(virtd.socket(), 0);
    let name = arguments(|w| w.string("test", 64).expect("name"));
    let calls: Vec<Header> = (0..200).map(|_| raw.header(remote::DOMAIN_LOOKUP_BY_NAME)).collect();
    let all: Vec<u8> = calls.iter().flat_map(|&call| bytes(call, &name)).collect();
    raw.send(&all);
    let mut answered: Vec<u32> = calls.iter().map(|_| raw.message().header.serial).collect();
    answered.sort_unstable();
    assert_eq!(answered, calls.iter().map(|call| call.serial).collect::<Vec<_>>());
}

#[test]
fn what_is_unknown_is_refused_in_libvirts_words() {
    let virtd = start();
    let mut raw = Raw::connect(virtd.socket());
    let call = |program, version, procedure| Header::call(program, version, procedure, 1);
    for (header, message) in [
        (call(0x1234_5678, 1, 1), "Cannot find program 305419896 version 1"),
        (call(remote::PROGRAM, 7, 1), "Cannot find program 536903814 version 7"),
        (call(keepalive::PROGRAM, 1, 1), "Cannot find program 1801807216 version 1"),
        (call(remote::PROGRAM, 1, 9999), "unknown procedure: 9999"),
        (call(remote::PROGRAM, 1, 0), "unknown procedure: 0"),
        (call(remote::PROGRAM, 1, u32::MAX), "unknown procedure: -1"),
        (call(remote::PROGRAM, 1, 318), "unknown procedure: 318"),
        (call(qemu::PROGRAM, 1, 99), "unknown procedure: 99"),
    ] {
        let error = raw.exchange(header, &[]).expect_err(message);
        assert_eq!((error.number(), error.from_number()), (39, 7), "{message}");
        assert_eq!(error.message(), message);
        assert_eq!(error.texts()[0].as_deref(), Some("%s"));
    }
    for status in [MessageStatus::Error, MessageStatus::Continue] {
        let header = Header { status, ..raw.header(NO_OP) };
        raw.send_message(header, &[]);
        let answer = raw.message();
        assert_eq!(answer.header.status, MessageStatus::Error);
    }
}

#[test]
fn nothing_works_before_the_connection_is_open() {
    let virtd = start();
    let mut raw = Raw::connect(virtd.socket());
    let list = arguments(|w| {
        w.i32(1);
        w.u32(0);
    });
    for (procedure, arguments) in [
        (remote::CONNECT_LIST_ALL_DOMAINS, list.as_slice()),
        (remote::CONNECT_REGISTER_CLOSE_CALLBACK, &[]),
        (NO_OP, &[]),
        (remote::CONNECT_SUPPORTS_FEATURE, &[0, 0, 0, 14]),
    ] {
        let error = raw.call(procedure, arguments).expect_err("not open");
        assert_eq!(error.message(), "internal error: hypervisor connection not open");
        assert_eq!(error.from_number(), 7);
    }
    assert_eq!(raw.call(remote::CONNECT_SUPPORTS_FEATURE, &[0, 0, 0, 10]), Ok(vec![0, 0, 0, 1]));
    assert_eq!(raw.call(remote::AUTH_LIST, &[]), Ok(vec![0, 0, 0, 1, 0, 0, 0, 0]));
    for (arguments, message) in [
        (vec![0; 8], "internal error: connection not open"),
        (open_arguments("bogus:///x", 0), "no connection driver available for bogus:///x"),
        (open_arguments("::::", 0), "internal error: Unable to parse URI ::::"),
        (
            open_arguments("/x", 0),
            "no connection driver available for URI '/x' does not include a driver name",
        ),
        (vec![0, 0, 0, 1], "Unable to decode message payload"),
        (vec![], "Unable to decode message payload"),
        (
            arguments(|w| {
                w.u32(1);
                w.u32(4_194_305);
            }),
            "Unable to decode message payload",
        ),
    ] {
        let error = raw.call(remote::CONNECT_OPEN, &arguments).expect_err(message);
        assert_eq!(error.message(), message);
    }
    let open = open_arguments("test:///default", 0);
    raw.call(remote::CONNECT_OPEN, &open).expect("open");
    let error = raw.call(remote::CONNECT_OPEN, &open).expect_err("again");
    assert_eq!(error.message(), "internal error: connection already open");
    raw.call(remote::CONNECT_CLOSE, &[]).expect("close");
    assert!(raw.hung_up());
}

#[test]
fn read_only_is_forced_by_flag_and_by_socket() {
    let virtd = start();
    let read_only = virtd.socket().with_file_name("libvirt-sock-ro");
    let mut connections = vec![Raw::open(virtd.socket(), 1)];
    if read_only.exists() {
        connections.push(Raw::open(&read_only, 0));
    }
    for mut raw in connections {
        let error = raw.call(remote::DOMAIN_DESTROY, &domain()).expect_err("read only");
        assert_eq!(
            error.message(),
            "operation forbidden: read only access prevents virDomainDestroy"
        );
        assert!(raw.call(remote::DOMAIN_GET_INFO, &domain()).is_ok());
    }
}

#[test]
fn messages_that_nobody_waits_for_are_passed_over() {
    let virtd = start();
    let mut raw = Raw::open(virtd.socket(), 0);
    for kind in [MessageType::Reply, MessageType::Message, MessageType::ReplyWithFds] {
        let header = Header { kind, ..raw.header(NO_OP) };
        raw.send_message(header, &[0; 4]);
    }
    // Streams that nobody opened, in every form.
    let call = raw.header(remote::DOMAIN_OPEN_CONSOLE);
    for status in [MessageStatus::Continue, MessageStatus::Ok, MessageStatus::Error] {
        raw.send_message(call.stream(status), b"data");
    }
    raw.send_message(Header { kind: MessageType::StreamHole, ..call }, &[0xff; 12]);
    assert!(raw.silent());
    assert!(raw.call(NO_OP, &[]).is_ok());
}

#[test]
fn descriptors_are_counted() {
    let virtd = start();
    let with_fds = |raw: &mut Raw| Header { kind: MessageType::CallWithFds, ..raw.header(NO_OP) };
    let mut raw = Raw::open(virtd.socket(), 0);
    let header = with_fds(&mut raw);
    raw.send_message(header, &[0; 4]);
    assert_eq!(raw.message().header.status, MessageStatus::Ok);
    for payload in [&[0, 0, 0, 33][..], &[], &[0xff; 4]] {
        let mut raw = Raw::open(virtd.socket(), 0);
        let header = with_fds(&mut raw);
        raw.send_message(header, payload);
        assert!(raw.hung_up(), "{payload:?}");
    }
    // The byte is there, but no descriptor came with it.
    let header = with_fds(&mut raw);
    raw.send_message(header, &[0, 0, 0, 1]);
    raw.send(&[0]);
    assert!(raw.hung_up());
}

#[test]
fn a_ping_is_answered_at_once_even_by_a_client_that_opened_nothing() {
    let virtd = start();
    let mut raw = Raw::connect(virtd.socket());
    let ping = Header::event(keepalive::PROGRAM, keepalive::VERSION, keepalive::PING);
    raw.send_message(ping, &[]);
    let pong = Header { procedure: keepalive::PONG, ..ping };
    assert_eq!(raw.message().header, pong);
    for odd in [Header { procedure: 3, ..ping }, Header { version: 2, ..ping }] {
        raw.send_message(odd, &[]);
    }
    assert!(raw.silent());
}

#[test]
fn a_client_that_vanishes_leaves_the_others_alone() {
    let virtd = start();
    let mut steady = Raw::open(virtd.socket(), 0);
    for round in 0..50_u32 {
        let mut raw = Raw::open(virtd.socket(), 0);
        let whole = bytes(raw.header(remote::DOMAIN_GET_INFO), &domain());
        let part = usize::try_from(round).expect("small") % whole.len();
        raw.send(&whole[..part]);
    }
    assert!(steady.call(NO_OP, &[]).is_ok());
}

#[test]
fn a_close_hangs_up_whatever_else_was_in_flight() {
    let virtd = start();
    let name = arguments(|w| w.string("test", 64).expect("name"));
    for _ in 0..200 {
        let mut raw = Raw::open(virtd.socket(), 0);
        let lookups: Vec<Header> =
            (0..4).map(|_| raw.header(remote::DOMAIN_LOOKUP_BY_NAME)).collect();
        let close = raw.header(remote::CONNECT_CLOSE);
        let mut all: Vec<u8> = lookups.iter().flat_map(|&call| bytes(call, &name)).collect();
        all.extend(bytes(close, &[]));
        raw.send(&all);
        for _ in 0..5 {
            raw.message();
        }
        assert!(raw.hung_up());
    }
}
