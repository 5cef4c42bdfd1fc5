//! Agents that say what they like, as whoever is root in a guest can: nothing, halves, rubbish, too
//! much, the answer to something else, the end.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use driver_qemu::agent::{Link, LinkError};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);
const PING: &str = r#"{"execute":"guest-ping"}"#;

fn pair() -> (Link, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Link::new(ours).unwrap(), theirs)
}

/// The number in a command that wants it back, if it is one.
fn number(line: &str) -> Option<&str> {
    let rest = line.split_once(r#""guest-sync", "arguments":{"id":"#)?.1;
    rest.split_once('}').map(|(number, _)| number)
}

/// An agent that finds its peer as it should, and answers commands with these texts: one line in pieces,
/// several at once, since what comes when the next is asked is the answer to that.
fn answering(peer: UnixStream, answers: &'static [&'static [u8]]) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut out = peer.try_clone().unwrap();
        let mut answers = answers.iter();
        let mut heard = Vec::new();
        for line in BufReader::new(peer).lines().map_while(Result::ok) {
            let answer = match number(&line) {
                Some(number) => format!("{{\"return\": {number}}}\n").into_bytes(),
                None => match answers.next() {
                    Some(answer) => answer.to_vec(),
                    None => break,
                },
            };
            heard.push(line);
            let lines = answer.iter().filter(|byte| **byte == b'\n').count();
            let piece = if lines > 1 { answer.len() } else { 7 };
            if answer.chunks(piece).any(|piece| out.write_all(piece).is_err()) {
                break;
            }
        }
        heard
    })
}

fn ask(link: &Link, wait: Duration) -> Result<String, LinkError> {
    link.ask(PING, wait, &|| false).map(|answer| answer.to_string())
}

fn ok(answer: &str) -> Result<String, LinkError> {
    Ok(answer.to_owned())
}

#[test]
fn two_that_agree_waste_no_words() {
    let (link, peer) = pair();
    let agent = answering(peer, &[b"{\"return\": {}}\n", b"{\"return\": 2}\n"]);
    assert_eq!(ask(&link, LONG), ok(r#"{"return":{}}"#));
    assert_eq!(ask(&link, LONG), ok(r#"{"return":2}"#));
    link.end();
    let heard = agent.join().unwrap();
    assert!(number(&heard[0]).is_some(), "{heard:?}");
    assert_eq!(heard[1..], [PING, PING]);
}

#[test]
fn what_comes_late_or_unasked_is_nobodys_answer() {
    let (link, peer) = pair();
    // Silence; then two answers to one command, and one to none.
    let agent = answering(
        peer.try_clone().unwrap(),
        &[
            b"",
            b"{\"return\": 1}\n{\"return\": \"extra\"}\n",
            b"{\"return\": 2}\n",
            b"{\"return\": 3}\n",
        ],
    );
    // Long enough for the two to find each other on a busy machine.
    let patient = Duration::from_secs(3);
    assert_eq!(ask(&link, patient), Err(LinkError::Timeout(patient)));
    (&peer).write_all(b"{\"return\": \"late\"}\nhello\n\xff{\"return\": 5}\n").unwrap();
    assert_eq!(ask(&link, LONG), ok(r#"{"return":1}"#));
    assert_eq!(ask(&link, LONG), ok(r#"{"return":2}"#));
    (&peer).write_all(b"{\"return\": \"unasked\"}\n").unwrap();
    assert_eq!(ask(&link, LONG), ok(r#"{"return":3}"#));
    link.end();
    agent.join().unwrap();
}

#[test]
fn an_agent_that_is_not_there_or_gives_a_wrong_number_is_found_out() {
    let (link, peer) = pair();
    assert_eq!(ask(&link, SHORT), Err(LinkError::Absent(SHORT)));
    (&peer).write_all(b"{\"return\": 7}\n").unwrap();
    let began = Instant::now();
    let patient = Duration::from_secs(1);
    assert_eq!(ask(&link, patient), Err(LinkError::Absent(patient)));
    assert!(began.elapsed() < LONG);
    assert_eq!(ask(&link, Duration::ZERO), Err(LinkError::Absent(Duration::ZERO)));
    assert!(!link.is_broken(), "it may come back");
    let agent = answering(peer, &[b"{\"return\": {}}\n"]);
    assert_eq!(ask(&link, LONG), ok(r#"{"return":{}}"#));
    link.end();
    agent.join().unwrap();
}

#[test]
fn rubbish_is_told_and_ends_the_trust() {
    let deep = [vec![b'['; 50_000], vec![b'\n']].concat().leak();
    let cases: [(&'static [u8], &str); 7] = [
        (b"hello\n", "failed to parse JSON: unexpected character"),
        (b"{\"return\": 1\n", "failed to parse JSON: continue"),
        (b"[1]\n", "Parsed JSON reply '[1]' isn't an object"),
        (b"{}\n", "Unknown JSON reply '{}'"),
        (b"{\"return\": 1}{\"x\": 2}\n", "failed to parse JSON: unexpected character"),
        (b"\xfe\xfd\n", "failed to parse JSON: invalid utf-8 string"),
        (deep, "failed to parse JSON: byte 65: deeper than 64 levels"),
    ];
    for (said, why) in cases {
        let (link, peer) = pair();
        let agent = answering(peer, vec![said].leak());
        assert_eq!(ask(&link, LONG), Err(LinkError::Rubbish(why.to_owned())));
        assert!(link.is_broken());
        link.end();
        agent.join().unwrap();
    }
}

#[test]
fn an_answer_without_end_takes_bounded_memory_and_time() {
    let (link, peer) = pair();
    let flood = std::thread::spawn(move || {
        let mut peer = peer;
        let mut lines = BufReader::new(peer.try_clone().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let number = number(&line).unwrap();
        peer.write_all(format!("{{\"return\": {number}}}\n{{\"return\": \"").as_bytes()).unwrap();
        let portion = vec![b'x'; 1 << 16];
        let mut sent = 0;
        while peer.write_all(&portion).is_ok() {
            sent += portion.len();
        }
        sent
    });
    assert_eq!(ask(&link, LONG), Err(LinkError::TooMuch));
    assert!(link.is_broken());
    link.end();
    assert!(flood.join().unwrap() < 32 << 20);
}

#[test]
fn chatter_in_place_of_an_agreement_ends_too() {
    let (link, peer) = pair();
    let chatter = std::thread::spawn(move || {
        let line = format!("{{\"return\": \"{}\"}}\n", "x".repeat(4000));
        let mut peer = peer;
        while peer.write_all(line.as_bytes()).is_ok() {}
    });
    // Whichever comes first: too much, or too long.
    let refused = ask(&link, LONG).unwrap_err();
    assert!(matches!(refused, LinkError::TooMuch | LinkError::Absent(_)), "{refused}");
    link.end();
    chatter.join().unwrap();
}

#[test]
fn an_end_in_the_middle_of_an_answer_is_told_at_once() {
    let (link, peer) = pair();
    let agent = answering(peer, &[b"{\"return\": [1, 2"]);
    let link = Arc::new(link);
    let waiting = Arc::clone(&link);
    let waiter = std::thread::spawn(move || ask(&waiting, LONG));
    std::thread::sleep(SHORT);
    let began = Instant::now();
    // As the daemon does when it hears that nobody listens any more.
    link.end();
    assert_eq!(waiter.join().unwrap(), Err(LinkError::Closed));
    assert!(began.elapsed() < Duration::from_secs(20));
    agent.join().unwrap();
    assert_eq!(ask(&link, LONG), Err(LinkError::Closed));
}

#[test]
fn a_caller_that_goes_leaves_nobody_waiting() {
    let (link, peer) = pair();
    let agent = answering(peer, &[b"", b"{\"return\": {}}\n"]);
    let gone = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| link.ask(PING, LONG * 60, &|| gone.load(Ordering::Relaxed)));
        std::thread::sleep(SHORT);
        gone.store(true, Ordering::Relaxed);
        assert_eq!(waiter.join().unwrap(), Err(LinkError::GivenUp));
    });
    assert_eq!(ask(&link, LONG), ok(r#"{"return":{}}"#));
    link.end();
    agent.join().unwrap();
}

#[test]
fn an_agent_that_reads_nothing_holds_up_its_caller_and_no_longer_than_asked() {
    let (link, peer) = pair();
    let large = format!("{{\"execute\":\"guest-file-write\",\"x\":\"{}\"}}", "x".repeat(2 << 20));
    let sync = std::thread::spawn(move || {
        // It agrees, and then stops to read; afterwards everything is read at once.
        let mut out = peer.try_clone().unwrap();
        let mut lines = BufReader::new(peer).split(b'\n').map_while(Result::ok);
        let line = String::from_utf8(lines.next().unwrap()).unwrap();
        out.write_all(format!("{{\"return\": {}}}\n", number(&line).unwrap()).as_bytes()).unwrap();
        (out, lines)
    });
    let waited = link.ask(&large, SHORT * 5, &|| false);
    assert_eq!(waited, Err(LinkError::Timeout(SHORT * 5)));
    let (mut out, lines) = sync.join().unwrap();
    let agent = std::thread::spawn(move || {
        for line in lines {
            // After a command that was cut off stands a mark: what is behind it counts.
            let line = line.rsplit(|byte| *byte == 0xff).next().unwrap().to_vec();
            let line = String::from_utf8(line).unwrap();
            let answer = number(&line).unwrap_or("1");
            if out.write_all(format!("{{\"return\": {answer}}}\n").as_bytes()).is_err() {
                return;
            }
        }
    });
    assert_eq!(ask(&link, LONG), ok(r#"{"return":1}"#));
    link.end();
    agent.join().unwrap();
}
