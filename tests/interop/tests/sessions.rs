//! Sessions with every command and its options, by libvirt's shell and ours, each on its own driver.
//!
//! A line of a file below `sessions/` is one session on a fresh `test:///default`; options of the shell
//! itself stand before it in brackets. What may differ is in `sessions/known.tsv` with the reason, and
//! does differ: a line that is right again is taken out.

use std::collections::{BTreeMap, BTreeSet};

use interop::{compare, listed, sessions_folder, text_of};
use test_support::{or_skip, our_program, reference_program};

fn sessions() -> Vec<String> {
    let files = listed(&sessions_folder()).into_iter();
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "txt"));
    let lines =
        files.flat_map(|path| text_of(&path).lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| !line.is_empty()).collect()
}

/// Sessions that differ, and why.
fn known() -> BTreeMap<String, String> {
    let text = text_of(&sessions_folder().join("known.tsv"));
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let (reason, session) = row.split_once('\t').expect("a row is: reason, session");
        assert!(!reason.is_empty(), "no reason for {session}");
        (session.to_owned(), reason.to_owned())
    })
    .collect()
}

#[test]
fn our_shell_says_what_theirs_says_of_every_command() {
    let theirs = or_skip!(reference_program("virsh"));
    let (sessions, known) = (sessions(), known());
    let compared = compare(&theirs, &our_program("virsh"), &sessions);
    let count = sessions.len();
    eprintln!("{} of {count} sessions are the same", count - compared.different.len());
    assert!(count > 1000, "only {count} sessions");
    let unheard = compared.unheard;
    assert!(unheard * 50 < count, "libvirt's shell hung in {unheard} of {count} sessions");
    let new: Vec<String> = compared
        .different
        .iter()
        .filter(|one| !known.contains_key(&one.session))
        .map(ToString::to_string)
        .collect();
    assert!(new.is_empty(), "{} differ:\n{}", new.len(), new.join("\n"));
    let differ: BTreeSet<&str> =
        compared.different.iter().map(|one| one.session.as_str()).collect();
    for session in known.keys() {
        assert!(sessions.contains(session), "known.tsv has what is no session: {session}");
        let right = unheard == 0 && !differ.contains(session.as_str());
        assert!(!right, "in known.tsv, but right: {session}");
    }
}
