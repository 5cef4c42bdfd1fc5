//! The client against a peer made of plain frames: answers out of order, events, streams, faults.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use virt_client::{Client, Taken};
use virt_error::{Code, Error, Origin};
use virt_transport::Channel;
use virt_wire::{
    FrameReader, Header, Message, MessageStatus, MessageType, encode_error, keepalive, remote,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// The daemon's side.
struct Peer {
    socket: UnixStream,
    frames: FrameReader,
}

impl Peer {
    fn next(&mut self) -> Message {
        loop {
            if let Some(message) = self.frames.next_message().expect("frame") {
                return message;
            }
            let mut bytes = [0; 4096];
            let count = self.socket.read(&mut bytes).expect("read");
            assert!(count > 0, "the client hung up");
            self.frames.feed(&bytes[..count]);
        }
    }

    fn send(&mut self, header: Header, payload: &[u8]) {
        let mut message = header.start();
        message.raw(payload);
        self.socket.write_all(&Header::finish(message).expect("message")).expect("write");
    }

    fn reply(&mut self, call: &Message, payload: &[u8]) {
        self.send(call.header.reply(MessageStatus::Ok), payload);
    }
}

type Events = mpsc::Receiver<(u32, Vec<u8>)>;

fn pair() -> (Arc<Client>, Peer, Events) {
    let (near, far) = UnixStream::pair().expect("pair");
    far.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let (tx, rx) = mpsc::channel();
    let handler = move |header: Header, payload: &[u8]| {
        // The test may have ended already.
        let _ = tx.send((header.procedure, payload.to_vec()));
    };
    let client = Arc::new(Client::new(Channel::local(near), Box::new(handler)));
    (client, Peer { socket: far, frames: FrameReader::new() }, rx)
}

fn ask(client: &Client, number: u32) -> virt_error::Result<Vec<u8>> {
    let arguments = |w: &mut virt_wire::Writer| {
        w.u32(number);
        Ok(())
    };
    client.call(remote::PROGRAM, number, arguments, &[]).map(|reply| reply.payload)
}

#[test]
fn answers_find_their_callers_in_any_order() {
    let (client, mut peer, _events) = pair();
    let callers: Vec<_> = (1..=8_u32)
        .map(|number| {
            let client = Arc::clone(&client);
            std::thread::spawn(move || ask(&client, number).expect("answer"))
        })
        .collect();
    let mut calls: Vec<_> = (0..8).map(|_| peer.next()).collect();
    calls.sort_by_key(|call| call.header.procedure);
    for call in calls.iter().rev() {
        peer.reply(call, &call.payload.clone());
    }
    for (caller, number) in callers.into_iter().zip(1_u32..) {
        assert_eq!(caller.join().expect("caller"), number.to_be_bytes());
    }
}

#[test]
fn an_error_comes_whole_and_a_dead_connection_fails_every_call() {
    let (client, mut peer, _events) = pair();
    let caller = Arc::clone(&client);
    let first = std::thread::spawn(move || ask(&caller, 7));
    let call = peer.next();
    let error = Error::new(Code::NoDomain, Origin::Test, "no domain");
    let mut payload = virt_wire::Writer::new();
    encode_error(&error, &mut payload).expect("encode");
    peer.send(call.header.reply(MessageStatus::Error), payload.as_slice());
    assert_eq!(first.join().expect("first"), Err(error));

    let caller = Arc::clone(&client);
    let second = std::thread::spawn(move || ask(&caller, 8));
    peer.next();
    drop(peer);
    let error = second.join().expect("second").expect_err("hung up");
    assert_eq!(error.message(), "End of file while reading data: Input/output error");
    assert!(!client.is_alive());
    let error = ask(&client, 9).expect_err("closed");
    assert_eq!(error.message(), "internal error: client socket is closed");
}

#[test]
fn events_arrive_without_a_call_and_pings_are_answered() {
    let (client, mut peer, events) = pair();
    client.attend().expect("attend");
    let event = Header::event(remote::PROGRAM, remote::VERSION, 318);
    for number in 0..100_u32 {
        peer.send(event, &number.to_be_bytes());
    }
    let ping = Header::event(keepalive::PROGRAM, keepalive::VERSION, keepalive::PING);
    peer.send(ping, &[]);
    assert_eq!(peer.next().header.procedure, keepalive::PONG);
    for number in 0..100_u32 {
        let (procedure, payload) = events.recv_timeout(PATIENCE).expect("event");
        assert_eq!((procedure, payload), (318, number.to_be_bytes().to_vec()));
    }
}

#[test]
fn a_handler_may_call() {
    let (near, far) = UnixStream::pair().expect("pair");
    let slot: Arc<std::sync::OnceLock<Arc<Client>>> = Arc::default();
    let (tx, rx) = mpsc::channel();
    let inner = Arc::clone(&slot);
    let handler = move |_: Header, _: &[u8]| {
        let answer = inner.get().map(|client| ask(client, 3));
        tx.send(answer).expect("send");
    };
    let client = Arc::new(Client::new(Channel::local(near), Box::new(handler)));
    assert!(slot.set(Arc::clone(&client)).is_ok());
    client.attend().expect("attend");
    let mut peer = Peer { socket: far, frames: FrameReader::new() };
    peer.send(Header::event(remote::PROGRAM, remote::VERSION, 318), &[]);
    let call = peer.next();
    peer.reply(&call, b"yes!");
    assert_eq!(rx.recv_timeout(PATIENCE).expect("handled"), Some(Ok(b"yes!".to_vec())));
}

fn wait_taken(stream: &virt_client::ClientStream, buffer: &mut [u8]) -> Taken {
    loop {
        match stream.take(buffer).expect("take") {
            Taken::Nothing => {
                let mut fds = [rustix::event::PollFd::from_borrowed_fd(
                    stream.poll_fd(),
                    rustix::event::PollFlags::IN,
                )];
                let patience = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
                let ready = rustix::event::poll(&mut fds, Some(&patience)).expect("poll");
                assert_eq!(ready, 1, "nothing came");
            }
            other => return other,
        }
    }
}

#[test]
fn a_stream_flows_both_ways_and_ends_with_a_confirmation() {
    let (client, mut peer, _events) = pair();
    let caller = Arc::clone(&client);
    let opened = std::thread::spawn(move || {
        caller.open_stream(remote::PROGRAM, remote::DOMAIN_OPEN_CONSOLE, |_| Ok(()))
    });
    let call = peer.next();
    let data = call.header.stream(MessageStatus::Continue);
    // Data may come before anybody has looked at the answer.
    peer.reply(&call, &[]);
    peer.send(data, b"hello");
    let (_, stream) = opened.join().expect("thread").expect("open");
    let mut buffer = [0; 3];
    assert_eq!(wait_taken(&stream, &mut buffer), Taken::Data(3));
    assert_eq!(wait_taken(&stream, &mut buffer), Taken::Data(2));
    assert_eq!(stream.send(b"typed").expect("send"), 5);
    let typed = peer.next();
    assert_eq!((typed.header, &typed.payload[..]), (data, &b"typed"[..]));
    let hole = Header { kind: MessageType::StreamHole, ..data };
    peer.send(hole, &[0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0]);
    peer.send(data, &[]);
    assert_eq!(wait_taken(&stream, &mut buffer), Taken::Hole(4096));
    assert_eq!(wait_taken(&stream, &mut buffer), Taken::End);
    let ending = std::thread::spawn(move || stream.finish());
    assert_eq!(peer.next().header, call.header.stream(MessageStatus::Ok));
    peer.send(call.header.stream(MessageStatus::Ok), &[]);
    ending.join().expect("thread").expect("finish");
}

#[test]
fn descriptors_travel_with_calls_and_answers() {
    let (client, mut peer, _events) = pair();
    let (mut inner_near, inner_far) = UnixStream::pair().expect("pair");
    let caller = Arc::clone(&client);
    let fds = vec![OwnedFd::from(inner_far)];
    let calling = std::thread::spawn(move || caller.call(remote::PROGRAM, 309, |_| Ok(()), &fds));
    let (mut bytes, mut came) = ([0; 64], Vec::new());
    let mut count = 0;
    while came.is_empty() {
        rustix::event::poll(
            &mut [rustix::event::PollFd::new(&peer.socket, rustix::event::PollFlags::IN)],
            None,
        )
        .expect("poll");
        count += virt_transport::fds::receive(peer.socket.as_fd(), &mut bytes[count..], &mut came)
            .expect("receive");
    }
    assert_eq!(count, 4 + 24 + 4 + 1);
    peer.frames.feed(&bytes[..count - 1]);
    let call = peer.next();
    assert_eq!(call.header.kind, MessageType::CallWithFds);
    let reply = Header { kind: MessageType::ReplyWithFds, ..call.header.reply(MessageStatus::Ok) };
    peer.send(reply, &[0, 0, 0, 1, 0, 0, 0, 9]);
    virt_transport::fds::send_fd_waiting(peer.socket.as_fd(), came[0].as_fd()).expect("send");
    let reply = calling.join().expect("thread").expect("answer");
    assert_eq!((reply.payload.as_slice(), reply.fds.len()), (&[0, 0, 0, 9][..], 1));
    let mut passed = UnixStream::from(reply.fds.into_iter().next().expect("one"));
    passed.write_all(b"x").expect("write");
    inner_near.read_exact(&mut bytes[..1]).expect("read");
}
