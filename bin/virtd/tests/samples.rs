//! Recorded sessions of libvirt's own client are answered as its own daemon answered them.

mod raw;

use raw::{Raw, start};
use test_support::{Daemon, or_skip, shared};
use virt_wire::{FrameReader, Header, Message, MessageType};

struct Session {
    name: String,
    /// Whether the client said it, and what.
    messages: Vec<(bool, Message)>,
}

fn sessions(text: &str) -> Vec<Session> {
    let read = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("json");
        let messages = value["messages"].as_array().expect("messages").iter().map(|message| {
            let hex = message["hex"].as_str().expect("hex");
            let bytes: Vec<u8> = (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
                .collect();
            let mut frames = FrameReader::new();
            frames.feed(&bytes);
            let whole = frames.next_message().expect("frame").expect("whole");
            (message["dir"] == "c>s", whole)
        });
        Session {
            name: value["session"].as_str().expect("name").to_owned(),
            messages: messages.collect(),
        }
    };
    text.lines().map(read).collect()
}

/// The answer that was recorded for a call.
fn recorded(session: &Session, call: Header) -> Option<&Message> {
    let replies = session.messages.iter().filter(|(by_client, _)| !by_client);
    replies.map(|(_, message)| message).find(|message| {
        message.header.kind == MessageType::Reply
            && (message.header.serial, message.header.procedure) == (call.serial, call.procedure)
    })
}

/// Answers that tell the time or the host's name, and so differ from run to run.
const VARY: &[u32] = &[
    virt_wire::remote::CONNECT_GET_HOSTNAME,
    virt_wire::remote::DOMAIN_GET_INFO,
    virt_wire::remote::DOMAIN_GET_VCPUS,
    virt_wire::remote::DOMAIN_BLOCK_STATS,
    virt_wire::remote::DOMAIN_BLOCK_STATS_FLAGS,
    virt_wire::remote::DOMAIN_INTERFACE_STATS,
    virt_wire::remote::DOMAIN_GET_JOB_INFO,
    virt_wire::remote::DOMAIN_GET_JOB_STATS,
];

/// The first call that is answered otherwise than it was.
fn replay(socket: &std::path::Path, session: &Session) -> Option<u32> {
    let mut raw = Raw::connect(socket);
    let calls = session
        .messages
        .iter()
        .filter(|(by_client, message)| *by_client && message.header.kind == MessageType::Call);
    for (_, call) in calls {
        raw.send_message(call.header, &call.payload);
        let answer = loop {
            let message = raw.message();
            if message.header.kind == MessageType::Reply {
                break message;
            }
        };
        let expected = recorded(session, call.header);
        let varies = VARY.contains(&call.header.procedure);
        if expected.is_some_and(|expected| *expected != answer && !varies) {
            return Some(call.header.procedure);
        }
    }
    None
}

#[test]
fn recorded_sessions_are_answered_alike() {
    let path = or_skip!(shared("protocol/wire_samples.jsonl"));
    let text = std::fs::read_to_string(path).expect("samples");
    let mut virtd = start();
    let mut alike = 0;
    let mut differing = Vec::new();
    // The sessions marked so need what only the recording's own setup had.
    let all = sessions(&text).into_iter().filter(|session| !session.name.starts_with("extra/"));
    for session in all {
        match replay(virtd.socket(), &session) {
            None => alike += 1,
            Some(procedure) => {
                differing.push(format!("{}: {procedure}", session.name));
                // It was left in its middle, and its world may end later than the next one begins.
                virtd = start();
            }
        }
    }
    let total = alike + differing.len();
    println!("{alike} of {total} alike; others:\n{}", differing.join("\n"));
    assert!(alike >= ALIKE_MIN, "{alike} of {total}");
}

/// What the drivers of this version reach; it only rises.
const ALIKE_MIN: usize = 60;
