//! Sessions that a generator makes from the table of commands, by libvirt's shell and ours.
//!
//! `FERROVIRT_SEED` runs the sessions of another seed. What may differ is in `invented-known.tsv`: the
//! reason, and a part of the session's text.

use interop::{compare, invented, sessions_folder, table, text_of};
use test_support::{long_run, or_skip, our_program, reference_program, shared};

const SESSIONS: usize = 60;
const SESSIONS_LONG: usize = 200;
const SEEDS_LONG: std::ops::RangeInclusive<u64> = 1..=10;

/// Texts in sessions that may differ, and why.
fn known() -> Vec<(String, String)> {
    let text = text_of(&sessions_folder().join("invented-known.tsv"));
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let (reason, part) = row.split_once('\t').expect("a row is: reason, part of a session");
        (part.to_owned(), reason.to_owned())
    })
    .collect()
}

#[test]
fn nobody_can_tell_the_shells_apart_by_sessions_that_nobody_wrote() {
    let theirs = or_skip!(reference_program("virsh"));
    let table = table(&or_skip!(shared("protocol")));
    assert!(table.len() > 250, "only {} commands", table.len());
    let asked = std::env::var("FERROVIRT_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let (seeds, count) = match asked {
        Some(seed) => (seed..=seed, SESSIONS_LONG),
        None if long_run() => (SEEDS_LONG, SESSIONS_LONG),
        None => (1..=1, SESSIONS),
    };
    let known = known();
    let is_known = |session: &str| known.iter().any(|(part, _)| session.contains(part));
    let (ours, mut new) = (our_program("virsh"), Vec::new());
    for seed in seeds {
        let sessions = invented(seed, count, &table);
        let compared = compare(&theirs, &ours, &sessions);
        let differ = compared.different.len();
        println!(
            "seed {seed}: {} of {count} sessions are the same, {} unheard",
            count - differ - compared.unheard,
            compared.unheard
        );
        assert!(compared.unheard * 20 < count, "libvirt's shell hung {} times", compared.unheard);
        let unknown = compared.different.iter().filter(|one| !is_known(&one.session));
        new.extend(unknown.map(ToString::to_string));
    }
    assert!(new.is_empty(), "{} differ:\n{}", new.len(), new.join("\n"));
}
