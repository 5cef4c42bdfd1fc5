//! Clients that mean harm, on the daemon's own sockets: each is refused with the right words or sent
//! away, nothing of theirs is kept, and others are served meanwhile.

mod raw;

use std::fs::File;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use raw::{Raw, arguments, bytes, domain, open_arguments, start};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use test_support::{Daemon, Virtd, wait_until};
use virt_driver::Registry;
use virt_wire::{Header, Message, MessageStatus, MessageType, admin, remote};
use virtd::harness;

const NO_OP: u32 = remote::CONNECT_GET_LIB_VERSION;
const LIMIT: Duration = Duration::from_secs(60);

/// Somebody who was there before is answered.
fn others_are_served(other: &mut Raw) {
    assert!(other.call(NO_OP, &[]).is_ok());
}

/// How many descriptors the daemon has open.
fn descriptors(virtd: &Virtd) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", virtd.pid())).map_or(0, Iterator::count)
}

/// [`descriptors`], once its drivers, which may still be on their way, have all of theirs.
fn settled_descriptors(virtd: &Virtd) -> usize {
    let (mut last, mut same) = (0, 0);
    let settled = || {
        let now = descriptors(virtd);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        std::thread::sleep(Duration::from_millis(50));
        same >= 20
    };
    assert!(wait_until(LIMIT, settled), "never the same number");
    last
}

/// What the daemon holds in memory.
fn resident_kib(virtd: &Virtd) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", virtd.pid()));
    let status = status.expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Sends bytes with so many descriptors; false when the daemon has hung up.
fn send_with(socket: &UnixStream, bytes: &[u8], count: usize) -> bool {
    let file = File::open("/dev/null").expect("it is there");
    let fds = vec![file.as_fd(); count];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).is_ok()
}

/// A call that says that so many descriptors come with it.
fn with_count(raw: &mut Raw, procedure: u32, count: u32) -> Vec<u8> {
    let header = Header { kind: MessageType::CallWithFds, ..raw.header(procedure) };
    bytes(header, &count.to_be_bytes())
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    let virtd = start();
    let mut other = Raw::open(virtd.socket(), 0);
    others_are_served(&mut other);
    let before = settled_descriptors(&virtd);
    // More than a message may have, more than there can be, and ones that never come.
    for (count, follow) in [(33, 0), (u32::MAX, 0), (0x8000_0000, 0), (1, 1), (32, 32)] {
        let mut raw = Raw::open(virtd.socket(), 0);
        let message = with_count(&mut raw, NO_OP, count);
        raw.send(&message);
        raw.send(&vec![0; follow]);
        assert!(raw.hung_up(), "{count}");
    }
    // With a call that takes none they are closed when it is answered.
    let mut raw = Raw::open(virtd.socket(), 0);
    for _ in 0..50 {
        let message = with_count(&mut raw, NO_OP, 1);
        raw.send(&message);
        assert!(send_with(&raw.socket, &[0], 1));
        assert_eq!(raw.message().header.status, MessageStatus::Ok);
    }
    // Each descriptor ends a read: what is behind it is read all the same.
    for together in [1, 2, 32] {
        let message = with_count(&mut raw, NO_OP, together);
        raw.send(&message);
        for _ in 0..together {
            assert!(send_with(&raw.socket, &[0], 1));
        }
        assert_eq!(raw.message().header.status, MessageStatus::Ok, "{together}");
    }
    drop(raw);
    // A flood that belongs to no message ends the connection.
    for each in [16, 32] {
        let mut raw = Raw::open(virtd.socket(), 0);
        let half = bytes(Header::call(remote::PROGRAM, 1, NO_OP, 9), &[]);
        let sent = half.iter().take(20).take_while(|byte| send_with(&raw.socket, &[**byte], each));
        assert!(sent.count() > 0);
        assert!(raw.hung_up(), "{each}");
        others_are_served(&mut other);
    }
    assert!(wait_until(LIMIT, || descriptors(&virtd) <= before + 1), "{}", descriptors(&virtd));
}

/// A call that opens a stream of the daemon's data.
fn screenshot(raw: &mut Raw, serial: u32) -> Header {
    let header = Header::call(remote::PROGRAM, 1, remote::DOMAIN_SCREENSHOT, serial);
    let mut wanted = domain();
    wanted.extend([0; 8]);
    raw.send_message(header, &wanted);
    header
}

#[test]
fn streams_cannot_be_abused() {
    let virtd = start();
    let mut other = Raw::open(virtd.socket(), 0);
    let stream = |serial, kind, status| Header {
        kind,
        status,
        ..Header::call(remote::PROGRAM, 1, remote::DOMAIN_SCREENSHOT, serial)
    };
    // Words for a stream that was never opened, of every kind, are passed over.
    let mut raw = Raw::open(virtd.socket(), 0);
    for kind in [MessageType::Stream, MessageType::StreamHole] {
        for status in [MessageStatus::Continue, MessageStatus::Ok, MessageStatus::Error] {
            raw.send_message(stream(77, kind, status), b"12345678");
        }
    }
    others_are_served(&mut raw);
    // A hole of less than nothing, and one that is cut short, end the stream they are for.
    for hole in [&(-1_i64).to_be_bytes()[..], &[0, 0]] {
        let mut raw = Raw::open(virtd.socket(), 0);
        let call = screenshot(&mut raw, 5);
        assert_eq!(raw.message().header, call.reply(MessageStatus::Ok));
        raw.send_message(stream(5, MessageType::StreamHole, MessageStatus::Continue), hole);
        let ended = |message: &virt_wire::Message| {
            message.header == call.stream(MessageStatus::Ok)
                || message.header == call.stream(MessageStatus::Error)
        };
        while !ended(&raw.message()) {}
        others_are_served(&mut raw);
    }
    // The same number for many streams: each takes the place of the one before.
    let mut raw = Raw::open(virtd.socket(), 0);
    for _ in 0..200 {
        screenshot(&mut raw, 6);
    }
    // More streams than one client may have.
    for serial in 1000..2000 {
        screenshot(&mut raw, serial);
    }
    let mut refused = 0;
    let mut answered = 0;
    while answered < 1200 {
        let message = raw.message();
        if message.header.kind == MessageType::Reply {
            answered += 1;
            if message.header.status == MessageStatus::Error {
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1000 - (256 - 1));
    others_are_served(&mut other);
    drop(raw);
    others_are_served(&mut other);
}

/// Says calls until the daemon hears no more, and says how many it heard.
fn say_until_unheard(raw: &mut Raw, call: &[u8], calls_max: usize) -> usize {
    raw.socket.set_write_timeout(Some(Duration::from_secs(2))).expect("a time-out");
    let mut bytes = 0;
    let many = call.repeat(1000);
    while bytes < calls_max * call.len() {
        let part = many.get(bytes % many.len()..).expect("below its length");
        match raw.socket.write(part) {
            Ok(count) => bytes += count,
            Err(_) => break,
        }
    }
    bytes / call.len()
}

#[test]
fn answers_that_nobody_reads_hold_up_only_who_does_not_read() {
    let virtd = start();
    let mut other = Raw::open(virtd.socket(), 0);
    let mut raw = Raw::open(virtd.socket(), 0);
    others_are_served(&mut other);
    let before = resident_kib(&virtd);
    // Each answer is kilobytes: without a bound these would be hundreds of megabytes.
    let call = bytes(raw.header(remote::CONNECT_GET_CAPABILITIES), &[]);
    let said = say_until_unheard(&mut raw, &call, 200_000);
    assert!(said < 200_000, "everything was heard");
    others_are_served(&mut other);
    let grown = resident_kib(&virtd).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB for {said} calls");
    // Whoever begins to read gets every answer, and is heard again.
    for _ in 0..said {
        assert_eq!(raw.message().header.status, MessageStatus::Ok);
    }
    drop(raw);
    // The same where workers answer and streams have more to say.
    let mut raw = Raw::open(virtd.socket(), 0);
    let mut wanted = domain();
    wanted.extend([0; 8]);
    let calls: Vec<Header> = (0..200).map(|_| raw.header(remote::DOMAIN_SCREENSHOT)).collect();
    for &call in &calls {
        raw.send_message(call, &wanted);
    }
    let look_up = raw.header(remote::DOMAIN_GET_XML_DESC);
    let mut wanted = domain();
    wanted.extend([0; 4]);
    let said = say_until_unheard(&mut raw, &bytes(look_up, &wanted), 20_000);
    others_are_served(&mut other);
    let (mut ended, mut answered) = (0, 0);
    while ended < calls.len() || answered < said + calls.len() {
        let Message { header, payload } = raw.message();
        assert_ne!(header.status, MessageStatus::Error, "{header:?}");
        match header.kind {
            MessageType::Stream => ended += usize::from(payload.is_empty()),
            _ => answered += 1,
        }
    }
}

#[test]
fn ten_thousand_may_come_and_go() {
    let virtd = start();
    let mut other = Raw::open(virtd.socket(), 0);
    others_are_served(&mut other);
    let before = (settled_descriptors(&virtd), resident_kib(&virtd));
    for round in 0..50 {
        let mut crowd: Vec<Raw> = (0..200).map(|_| Raw::connect(virtd.socket())).collect();
        for (number, one) in crowd.iter_mut().enumerate() {
            match number % 4 {
                // Silent ones, half a word, a word without waiting for the answer, and a farewell.
                0 => {}
                1 => one.send(&[0, 0, 0]),
                2 => {
                    let header = one.header(remote::AUTH_LIST);
                    one.send_message(header, &[]);
                }
                _ => one.socket.shutdown(std::net::Shutdown::Write).expect("ours"),
            }
        }
        drop(crowd);
        if round % 10 == 0 {
            others_are_served(&mut other);
        }
    }
    let left = || descriptors(&virtd);
    assert!(wait_until(LIMIT, || left() <= before.0), "{} became {}", before.0, left());
    let grown = resident_kib(&virtd).saturating_sub(before.1);
    assert!(grown < 32 << 10, "{grown} KiB");
    assert!(Raw::open(virtd.socket(), 0).call(NO_OP, &[]).is_ok());
}

#[test]
fn what_is_said_out_of_turn_is_refused_in_libvirts_words() {
    let virtd = start();
    let mut other = Raw::open(virtd.socket(), 0);
    let long_name = arguments(|w| w.u32(4_194_305));
    let endless = arguments(|w| w.u32(u32::MAX));
    let short = arguments(|w| w.u32(100));
    let mut many_params = domain();
    many_params.extend(17_u32.to_be_bytes());
    let mut negative = domain();
    negative.extend((-1_i32).to_be_bytes());
    let undecodable = "Unable to decode message payload";
    let name = remote::DOMAIN_LOOKUP_BY_NAME;
    let tune = remote::DOMAIN_SET_SCHEDULER_PARAMETERS;
    let cases: Vec<(u32, Vec<u8>, &str)> = vec![
        (name, long_name, undecodable),
        (name, endless, undecodable),
        (name, short, undecodable),
        (name, vec![0xff; 3], undecodable),
        (name, arguments(|w| w.raw(&[0, 0, 0, 2, 0xc3, 0x28, 0, 0])), ""),
        (tune, many_params, undecodable),
        (tune, negative, undecodable),
        (remote::CONNECT_OPEN, open_arguments("test:///default", 0), "connection already open"),
        (remote::AUTH_SASL_INIT, vec![], "authentication failed"),
        (remote::AUTH_SASL_STEP, vec![0; 8], "authentication failed"),
        (remote::AUTH_POLKIT, vec![], "authentication failed"),
        (remote::CONNECT_DOMAIN_EVENT_DEREGISTER_ANY, vec![0, 0, 0, 1], "not registered"),
        (remote::CONNECT_DOMAIN_EVENT_REGISTER_ANY, vec![0, 0, 0, 99], "unsupported event ID"),
    ];
    let mut raw = Raw::open(virtd.socket(), 0);
    for (procedure, payload, refusal) in cases {
        let error = raw.call(procedure, &payload).expect_err(refusal);
        assert!(error.message().contains(refusal), "{procedure}: {}", error.message());
        others_are_served(&mut raw);
    }
    // One program is served at each door.
    let error = raw.exchange(Header::call(admin::PROGRAM, 1, 1, 99), &[0; 4]).expect_err("no");
    assert!(error.message().contains("Cannot find program"), "{}", error.message());
    let door = virtd.socket().with_file_name("libvirt-admin-sock");
    let mut administrator = Raw::connect(&door);
    let error = administrator.call(remote::CONNECT_OPEN, &[0; 8]).expect_err("no");
    assert!(error.message().contains("Cannot find program"), "{}", error.message());
    // After the farewell nothing more is heard.
    let mut raw = Raw::open(virtd.socket(), 0);
    let (close, call) = (raw.header(remote::CONNECT_CLOSE), raw.header(NO_OP));
    raw.send(&[bytes(close, &[]), bytes(call, &[])].concat());
    assert_eq!(raw.message().header, close.reply(MessageStatus::Ok));
    assert!(raw.hung_up());
    others_are_served(&mut other);
}

#[test]
fn registrations_are_bounded() {
    let virtd = start();
    let mut raw = Raw::open(virtd.socket(), 0);
    let mut registered = 0;
    let refusal = (0..2000_u32).find_map(|number| {
        let wanted = arguments(|w| {
            w.i32(0);
            w.u32(1);
            w.string("test", 64).expect("short");
            w.fixed(&[number.to_be_bytes(); 4].concat().try_into().unwrap_or([0; 16]));
            w.i32(-1);
        });
        let answer = raw.call(remote::CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, &wanted);
        registered += u32::from(answer.is_ok());
        answer.err()
    });
    assert_eq!(refusal.expect("a bound").message(), "too many event callbacks");
    assert_eq!(registered, 1024);
    others_are_served(&mut raw);
}

#[test]
fn each_bound_can_be_set_lower() {
    let text = "max_message_size = 1000\nmax_client_streams = 2\nmax_client_callbacks = 3\n\
                max_client_unread = 4096\nmax_client_unread_events = 4096\n\
                max_client_requests = 1\nmax_client_queued_requests = 2\n";
    let registry = Registry::new().with(driver_test::opener());
    let daemon = harness::Daemon::start(text, registry).expect("a daemon");
    let open = || {
        let mut raw = Raw::on(daemon.connect(harness::Entry::ReadWrite).expect("a socket"));
        raw.call(remote::CONNECT_OPEN, &open_arguments("test:///default", 0)).expect("open");
        raw
    };
    let mut raw = open();
    let header = raw.header(NO_OP);
    raw.send_message(header, &[0; 1000 - 28]);
    assert_eq!(raw.message().header, header.reply(MessageStatus::Ok));
    raw.send_message(header, &[0; 1001 - 28]);
    assert!(raw.hung_up());

    let mut raw = open();
    let mut said = Vec::new();
    for serial in 100..104 {
        screenshot(&mut raw, serial);
    }
    while said.len() < 4 {
        let message = raw.message();
        if message.header.kind == MessageType::Reply {
            said.push(message.header.status);
        }
    }
    said.sort_by_key(|status| *status as i32);
    let (fine, refused) = (MessageStatus::Ok, MessageStatus::Error);
    assert_eq!(said, [fine, fine, refused, refused]);

    let mut raw = open();
    let wanted = |id| {
        arguments(|w| {
            w.i32(id);
            w.flag(false);
        })
    };
    for id in 0..3 {
        assert!(raw.call(remote::CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, &wanted(id)).is_ok());
    }
    let refused = raw.call(remote::CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, &wanted(3));
    assert_eq!(refused.expect_err("a bound").message(), "too many event callbacks");

    // More is asked for at once than may wait, in flight, queued or unread: all of it is answered.
    let mut raw = open();
    let mut wanted = domain();
    wanted.extend([0; 4]);
    let calls: Vec<Header> = (0..300).map(|_| raw.header(remote::DOMAIN_GET_XML_DESC)).collect();
    let mut socket = raw.socket.try_clone().expect("the same");
    let all: Vec<u8> = calls.iter().flat_map(|&call| bytes(call, &wanted)).collect();
    std::thread::scope(|scope| {
        scope.spawn(move || socket.write_all(&all).expect("heard in the end"));
        std::thread::sleep(Duration::from_millis(300));
        for _ in &calls {
            assert_eq!(raw.message().header.status, MessageStatus::Ok);
        }
    });
}
