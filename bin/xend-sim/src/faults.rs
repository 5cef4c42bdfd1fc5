//! What no xend and no xenstored should ever say, for clients that must live through it.
//!
//! Each is asked for by a line `fault=WORD` in the control file, and gone when the line is.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::xend::Xend;

/// How long an answer goes on that never ends.
const ENDLESS: Duration = Duration::from_secs(120);
/// Between the bytes of one that comes drop by drop.
const DROP: Duration = Duration::from_millis(200);
/// Names in a list of too many.
const NAMES: usize = 50_000;
/// Answers until now: what changes each time is made of it.
static ANSWERS: AtomicUsize = AtomicUsize::new(1);

/// An answer's body as faults have it.
pub(crate) fn spoil(xend: &Xend, body: String) -> String {
    if !body.starts_with('(') {
        return body;
    }
    let has = |name: &str| xend.has_fault(name);
    match () {
        // An expression that holds itself is one that never closes.
        () if has("cyclic") => "(".repeat(100_000),
        () if has("deep") => "(".repeat(50_000) + &")".repeat(50_000),
        () if has("names") && body.starts_with("(Domain-0") => names(),
        () if has("sizes") => numbers(&body, |name| match name {
            "domid" => Some("-3".to_owned()),
            "memory" | "maxmem" | "vcpus" | "cpu_time" | "online_vcpus" | "nr_cpus"
            | "total_memory" => Some("99999999999999999999999".to_owned()),
            "name" => Some(format!("'{}\\x1b[2J\\n7 b'", "n".repeat(5000))),
            _ => None,
        }),
        () if has("states") => {
            let count = ANSWERS.fetch_add(1, Ordering::Relaxed);
            let states = ["r-----", "-b----", "--p---", "---s--", "----c-", "-----d"];
            let state = states.get(count % states.len()).copied().unwrap_or_default();
            numbers(&body, |name| match name {
                "domid" => Some((count % 60_000 + 1).to_string()),
                "state" => Some(state.to_owned()),
                _ => None,
            })
        }
        () => body,
    }
}

/// Names that are none: too many, too long, numbers, paths, lines.
fn names() -> String {
    let odd = (0..NAMES).map(|at| match at % 4 {
        0 => format!("n{at}"),
        1 => format!("'../../{at}'"),
        2 => format!("'a\\n{at}\\x1b[2J'"),
        _ => at.to_string(),
    });
    let long = "n".repeat(100_000);
    format!("(Domain-0 {} {long})", odd.collect::<Vec<_>>().join(" "))
}

/// The body with other values behind some names.
fn numbers(body: &str, other: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some((before, after)) = rest.split_once('(') {
        out.push_str(before);
        out.push('(');
        rest = after;
        let Some((name, value)) = after.split_once(' ') else { continue };
        let end = value.find(['(', ')']).filter(|end| value[*end..].starts_with(')'));
        if let (Some(new), Some(end)) = (other(name), end) {
            out.push_str(&format!("{name} {new}"));
            rest = &value[end..];
        }
    }
    out.push_str(rest);
    out
}

/// Sends an answer as faults have it; `false` where none is asked for.
pub(crate) fn send(xend: &Xend, stream: &mut (impl Read + Write), whole: &str) -> bool {
    let until = Instant::now() + ENDLESS;
    let mut go_on = |head: &str, part: &str, wait: Duration| {
        let mut alive = stream.write_all(head.as_bytes()).is_ok();
        while alive && Instant::now() < until {
            std::thread::sleep(wait);
            alive = stream.write_all(part.as_bytes()).is_ok();
        }
        true
    };
    let status = "HTTP/1.1 200 OK\r\n";
    let part = "(a b)".repeat(1000);
    match () {
        () if xend.has_fault("endless") => go_on(&format!("{status}\r\n("), &part, Duration::ZERO),
        () if xend.has_fault("endless-head") => {
            go_on(status, &"X-More: x\r\n".repeat(100), Duration::ZERO)
        }
        () if xend.has_fault("drops") => {
            go_on(&format!("{status}Content-Length: 100000\r\n\r\n("), "a", DROP)
        }
        () if xend.has_fault("long") => go_on(
            &format!("{status}Content-Length: 18446744073709551615\r\n\r\n("),
            &part,
            Duration::ZERO,
        ),
        () if xend.has_fault("garbage") => {
            let _ = stream.write_all(&[0xff; 4096]);
            true
        }
        () if xend.has_fault("half") => {
            // A client that has gone does not read.
            let _ = stream.write_all(whole.as_bytes().get(..whole.len() / 2).unwrap_or_default());
            true
        }
        () => false,
    }
}

/// An answer of xenstored's as faults have it: what is sent instead, and whether the connection goes on.
/// `None` where none is asked for.
pub(crate) fn store(
    has: &dyn Fn(&str) -> bool,
    kind: u32,
    answer: &[u8],
) -> Option<(Vec<u8>, bool)> {
    let message = |words: [u32; 4], payload: &[u8]| {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend_from_slice(payload);
        bytes
    };
    let request =
        answer.get(4..8).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes);
    Some(match () {
        () if has("store-silent") => (Vec::new(), true),
        () if has("store-half") => (answer.get(..answer.len() / 2)?.to_vec(), false),
        () if has("store-long") => (message([kind, request, 0, u32::MAX], &[b'a'; 4096]), true),
        () if has("store-kind") => (message([99, request, 0, 4], b"OK\0\0"), true),
        () if has("store-others") => (message([kind, request ^ 0x55, 0, 4], b"OK\0\0"), true),
        () if has("store-text") && kind == 2 => {
            (message([kind, request, 0, 4096], &[0x1b; 4096]), true)
        }
        () if has("store-storm") => {
            let mut bytes = Vec::new();
            for at in 0..5000 {
                let event = format!("/local/domain/{at}/data\0@releaseDomain\0");
                let length = u32::try_from(event.len()).ok()?;
                bytes.extend(message([15, 0, 0, length], event.as_bytes()));
            }
            bytes.extend_from_slice(answer);
            (bytes, true)
        }
        () => return None,
    })
}
