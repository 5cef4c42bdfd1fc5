//! Sessions with every command and its options, by libvirt's shell and ours, each on its own driver.
//!
//! A line of a file below `sessions/` is one session on a fresh `test:///default`; options of the shell
//! itself stand before it in brackets. What may differ is in `sessions/known.tsv` with the reason, and
//! does differ: a line that is right again is taken out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use test_support::{
    Normaliser, Outcome, Scratch, or_skip, our_program, reference_program, run, virsh,
};

const URI: &str = "test:///default";

/// libvirt's shell hangs now and then, even where nothing waits: it is tried again.
const LIMIT: Duration = Duration::from_secs(15);
const TRIES: usize = 4;

/// Sessions are short and mostly wait for the disk: a few at a time.
const WORKERS: usize = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sessions")
}

fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The paths in a folder, in order of their names.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn sessions() -> Vec<String> {
    let files = listed(&folder()).into_iter();
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "txt"));
    let lines =
        files.flat_map(|path| text_of(&path).lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| !line.is_empty()).collect()
}

/// Sessions that differ, and why.
fn known() -> BTreeMap<String, String> {
    let text = text_of(&folder().join("known.tsv"));
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let (reason, session) = row.split_once('\t').expect("a row is: reason, session");
        assert!(!reason.is_empty(), "no reason for {session}");
        (session.to_owned(), reason.to_owned())
    })
    .collect()
}

/// A file that sessions name, and its text.
struct Document {
    name: String,
    text: String,
}

fn documents() -> Vec<Document> {
    let files = listed(&folder().join("files")).into_iter();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.map(|path| Document { name: name(&path), text: text_of(&path) }).collect()
}

/// What a shell makes of a session, with what differs by its nature taken out.
fn outcome(shell: &Path, session: &str, documents: &[Document]) -> Outcome {
    let (options, line) = match session.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((options, line)) => (options.split(' ').collect::<Vec<_>>(), line),
        None => (Vec::new(), session),
    };
    let mut found = Outcome { stdout: String::new(), stderr: String::new(), code: None };
    for _ in 0..TRIES {
        let home = Scratch::new("sessions");
        let mut chosen = line.to_owned();
        for document in documents.iter().filter(|document| line.contains(&document.name)) {
            home.write(&document.name, &document.text);
            chosen += &document.text;
        }
        let ran = run(virsh(shell, URI, home.path()).args(&options).arg(line), LIMIT);
        let normaliser = Normaliser::new(&chosen).replacing(home.path().to_string_lossy(), "{DIR}");
        found = normaliser.outcome(&ran);
        if found.code.is_some() {
            break;
        }
    }
    found
}

#[test]
fn our_shell_says_what_theirs_says_of_every_command() {
    let theirs = or_skip!(reference_program("virsh"));
    let ours = our_program("virsh");
    let (sessions, documents, known) = (sessions(), documents(), known());
    let (next, unheard) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (different, right_again) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(session) = sessions.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let wanted = outcome(&theirs, session, &documents);
                    if wanted.code.is_none() {
                        unheard.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    let found = outcome(&ours, session, &documents);
                    match (wanted == found, known.contains_key(session)) {
                        (false, false) => {
                            let text = format!("virsh {session}\n  {wanted:?}\n  {found:?}");
                            different.lock().expect("nobody panics").push(text);
                        }
                        (true, true) => {
                            right_again.lock().expect("nobody panics").push(session.clone());
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    let different = different.into_inner().expect("nobody panics");
    let count = sessions.len();
    eprintln!("{} of {count} sessions are the same", count - different.len() - known.len());
    assert!(count > 1000, "only {count} sessions");
    let unheard = unheard.into_inner();
    assert!(unheard * 50 < count, "libvirt's shell hung in {unheard} of {count} sessions");
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    let right_again = right_again.into_inner().expect("nobody panics");
    assert!(right_again.is_empty(), "in known.tsv, but right: {right_again:#?}");
    for session in known.keys() {
        assert!(sessions.contains(session), "known.tsv has what is no session: {session}");
    }
}
