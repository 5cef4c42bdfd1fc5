//! Sessions by libvirt's shell and by ours, each on a fresh `test:///default`, and the files they name.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use test_support::{Normaliser, Outcome, Scratch, run, virsh};

const URI: &str = "test:///default";

/// libvirt's shell hangs now and then, even where nothing waits: it is tried again.
const LIMIT: Duration = Duration::from_secs(15);
const TRIES: usize = 4;

/// Sessions are short and mostly wait for the disk: a few at a time.
const WORKERS: usize = 3;

/// Where sessions lie that are written down, and the files that sessions name.
pub fn sessions_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sessions")
}

pub fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The paths in a folder, in order of their names.
pub fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// A file that sessions name, and its text.
pub struct Document {
    pub name: String,
    pub text: String,
}

fn documents() -> Vec<Document> {
    let files = listed(&sessions_folder().join("files")).into_iter();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.map(|path| Document { name: name(&path), text: text_of(&path) }).collect()
}

/// A session on which the two shells do not agree.
#[derive(Debug)]
pub struct Difference {
    pub session: String,
    pub wanted: Outcome,
    pub found: Outcome,
}

/// What came of comparing.
#[derive(Debug, Default)]
pub struct Compared {
    pub different: Vec<Difference>,
    /// Sessions in which libvirt's shell hung each time.
    pub unheard: usize,
}

/// Runs each session with both shells.
pub fn compare(theirs: &Path, ours: &Path, sessions: &[String]) -> Compared {
    compare_with(theirs, ours, sessions, &documents())
}

/// The same with files of the caller's own.
pub fn compare_with(
    theirs: &Path,
    ours: &Path,
    sessions: &[String],
    documents: &[Document],
) -> Compared {
    let (next, unheard) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let different = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(session) = sessions.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let wanted = outcome(theirs, session, documents);
                    if wanted.code.is_none() {
                        unheard.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    let found = outcome(ours, session, documents);
                    if wanted != found {
                        let difference = Difference { session: session.clone(), wanted, found };
                        different.lock().expect("nobody panics").push(difference);
                    }
                }
            });
        }
    });
    let mut different = different.into_inner().expect("nobody panics");
    different.sort_by_key(|one| sessions.iter().position(|session| *session == one.session));
    Compared { different, unheard: unheard.into_inner() }
}

/// What a shell makes of a session, with what differs by its nature taken out. Options of the shell
/// itself stand before the session in brackets.
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
        let mut command = virsh(shell, URI, home.path());
        // An editor that changes nothing.
        let ran = run(command.env("EDITOR", "true").args(&options).arg(line), LIMIT);
        let normaliser = Normaliser::new(&chosen).replacing(home.path().to_string_lossy(), "{DIR}");
        found = normaliser.outcome(&ran);
        if found.code.is_some() {
            break;
        }
    }
    found
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "virsh {}\n  {:?}\n  {:?}", self.session, self.wanted, self.found)
    }
}
