//! The monitor against a fake emulator that says what it likes: nothing, halves, rubbish, the end.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use driver_qemu::monitor::{Command, Monitor, MonitorError, Progress, ReadError};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::json;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

/// A monitor with a thread that reads it, and the fake emulator's end.
struct Bench {
    monitor: Arc<Monitor>,
    events: Arc<Mutex<Vec<String>>>,
    peer: UnixStream,
    reader: Option<JoinHandle<()>>,
}

impl Bench {
    fn new() -> Self {
        let (ours, peer) = UnixStream::pair().unwrap();
        let monitor = Arc::new(Monitor::new(ours).unwrap());
        let events = Arc::new(Mutex::new(Vec::new()));
        let (read, heard) = (Arc::clone(&monitor), Arc::clone(&events));
        let reader = std::thread::spawn(move || {
            loop {
                poll(&mut [PollFd::new(&*read, PollFlags::IN)], None).unwrap();
                let progress = read.read(&mut |event| heard.lock().unwrap().push(event.name));
                if progress == Progress::Ended {
                    return;
                }
            }
        });
        Self { monitor, events, peer, reader: Some(reader) }
    }

    /// Lets the fake answer each command it reads, until it has nothing more to say.
    fn answering(&self, answers: Vec<String>) -> JoinHandle<()> {
        let mut peer = self.peer.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut commands = BufReader::new(peer.try_clone().unwrap());
            for answer in answers {
                let mut line = String::new();
                commands.read_line(&mut line).unwrap();
                let command: serde_json::Value = serde_json::from_str(&line).unwrap();
                let answer = answer.replace("ID", &command["id"].to_string());
                // In pieces, as a slow pipe would deliver it.
                for piece in answer.as_bytes().chunks(7) {
                    peer.write_all(piece).unwrap();
                }
            }
        })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.monitor.end(MonitorError::Closed);
        self.reader.take().unwrap().join().unwrap();
    }
}

fn query(name: &'static str) -> Command {
    Command::new(name)
}

#[test]
fn answers_come_in_pieces_and_with_events_between() {
    let bench = Bench::new();
    let said = "{\"event\": \"RESUME\"}\r\n{\"return\": {\"status\": \"running\"}, \"id\": ID}\r\n\
                {\"event\": \"STOP\"}\r\n";
    let fake = bench.answering(vec![said.into()]);
    let answer = bench.monitor.run(query("query-status"), LONG).unwrap();
    assert_eq!(answer, json!({ "status": "running" }));
    // Order: what came before the answer is known before the caller goes on.
    assert_eq!(bench.events.lock().unwrap().first().unwrap(), "RESUME");
    fake.join().unwrap();
}

#[test]
fn answers_in_any_order_find_their_commands() {
    let bench = Bench::new();
    let mut peer = bench.peer.try_clone().unwrap();
    let fake = std::thread::spawn(move || {
        let mut lines = BufReader::new(peer.try_clone().unwrap()).lines();
        let ids: Vec<u64> = (0..3)
            .map(|_| {
                let command: serde_json::Value =
                    serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
                command["id"].as_u64().unwrap()
            })
            .collect();
        for id in ids.iter().rev() {
            let line = match id % 2 {
                0 => json!({ "error": { "class": "GenericError", "desc": "no" }, "id": id }),
                _ => json!({ "return": id, "id": id }),
            };
            peer.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        }
    });
    let answers = bench.monitor.run_all(&[query("a"), query("b"), query("c")], LONG).unwrap();
    assert_eq!(answers[0], Ok(json!(1)));
    assert_eq!(answers[1].as_ref().unwrap_err().desc, "no");
    assert_eq!(answers[2], Ok(json!(3)));
    fake.join().unwrap();
}

#[test]
fn silence_times_out_and_a_late_answer_is_nobodys() {
    let bench = Bench::new();
    let began = Instant::now();
    assert_eq!(bench.monitor.run(query("query-status"), SHORT), Err(MonitorError::Timeout));
    assert!(began.elapsed() < LONG);
    // The answer to the first command comes before that to the second.
    let fake = bench.answering(vec!["{\"return\": 1, \"id\": ID}\r\n".into(); 2]);
    assert_eq!(bench.monitor.run(query("query-status"), LONG), Ok(json!(1)));
    fake.join().unwrap();
    assert!(format!("{:?}", bench.monitor).contains("in_flight: 0"));
}

#[test]
fn half_an_answer_is_none() {
    let bench = Bench::new();
    let fake = bench.answering(vec!["{\"return\": {}, \"id\"".into()]);
    assert_eq!(bench.monitor.run(query("query-status"), SHORT), Err(MonitorError::Timeout));
    fake.join().unwrap();
    let mut peer = &bench.peer;
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(bench.monitor.run(query("query-status"), LONG), Err(MonitorError::Closed));
    let _ = peer.flush();
}

#[test]
fn the_end_wakes_everyone_who_waits() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        let waiters: Vec<_> =
            (0..4).map(|_| scope.spawn(|| bench.monitor.run(query("stop"), LONG))).collect();
        let mut line = String::new();
        BufReader::new(&bench.peer).read_line(&mut line).unwrap();
        let began = Instant::now();
        bench.peer.shutdown(std::net::Shutdown::Both).unwrap();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Err(MonitorError::Closed));
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn rubbish_ends_the_monitor_with_its_reason() {
    for (said, reason) in [
        ("hello\r\n".to_owned(), ReadError::NotJson),
        ("{\"hello\": 1}\r\n".to_owned(), ReadError::NotQmp),
        (format!("{{\"return\": \"{}", "x".repeat(40 << 20)), ReadError::TooLong),
    ] {
        let bench = Bench::new();
        let mut peer = bench.peer.try_clone().unwrap();
        // The monitor hangs up in the middle of what is too long.
        let fake = std::thread::spawn(move || drop(peer.write_all(said.as_bytes())));
        let answer = bench.monitor.run(query("query-status"), LONG);
        assert_eq!(answer, Err(MonitorError::Garbage(reason)));
        assert_eq!(bench.monitor.run(query("again"), LONG), Err(MonitorError::Garbage(reason)));
        fake.join().unwrap();
    }
}

#[test]
fn an_emulator_that_reads_nothing_costs_its_callers_their_time_and_no_more() {
    let bench = Bench::new();
    let large = || Command::with("qom-set", json!({ "value": "x".repeat(300_000) }));
    for _ in 0..12 {
        let began = Instant::now();
        assert_eq!(bench.monitor.run(large(), SHORT), Err(MonitorError::Timeout));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    // It comes back: what was kept for it arrives whole, and in order.
    let mut peer = bench.peer.try_clone().unwrap();
    let fake = std::thread::spawn(move || {
        let mut last = 0;
        for line in BufReader::new(peer.try_clone().unwrap()).lines() {
            let Ok(line) = line else { return };
            let command: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert!(command["id"].as_u64().unwrap() > last);
            last = command["id"].as_u64().unwrap();
            if peer
                .write_all(format!("{{\"return\": {last}, \"id\": {last}}}\r\n").as_bytes())
                .is_err()
            {
                return;
            }
        }
    });
    let answer = std::iter::repeat_with(|| bench.monitor.run(query("query-status"), LONG))
        .find(|answer| *answer != Err(MonitorError::Timeout));
    assert!(matches!(answer, Some(Ok(_))), "{answer:?}");
    bench.monitor.end(MonitorError::Closed);
    fake.join().unwrap();
}
