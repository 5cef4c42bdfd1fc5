//! The `tests` folder of libvirt's sources as a corpus.
//!
//! The same files as in a corpus with tables, under libvirt's own names: [`crate::places`] says where. How a
//! case is read stands only in libvirt's test programs. Where a table of another corpus has the case, it is
//! read so; else it is read in each way that the suite knows, and counts as right if it comes out as expected
//! in one of them. A document that must be refused is known only by a file with the message.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::Case;
use crate::places::{FIXTURES, Folder, Guess, PLACES, Place};

pub(crate) fn is_libvirt_tree(folder: &Path) -> bool {
    folder.join("networkxml2xmlin").is_dir() || folder.join("qemuxmlconfdata").is_dir()
}

/// The suites whose inputs are there.
pub(crate) fn suites(root: &Path) -> Vec<String> {
    let there = |place: &&Place| place.folders.iter().any(|folder| folder.place(root).is_some());
    PLACES.iter().filter(there).map(|place| place.suite.to_owned()).collect()
}

/// Where the tree has a file that a corpus has under that name.
pub(crate) fn path(root: &Path, suite: &str, file: &str) -> Option<PathBuf> {
    let place = PLACES.iter().find(|place| place.suite == suite)?;
    place.folders.iter().find_map(|folder| folder.path(root, file))
}

/// The same for what several suites need.
pub(crate) fn fixture(root: &Path, file: &str) -> Option<PathBuf> {
    FIXTURES.iter().find_map(|folder| folder.path(root, file))
}

/// Where a file is to be put so that it is found there.
pub fn home(suite: &str, file: &str) -> Option<PathBuf> {
    let place = PLACES.iter().find(|place| place.suite == suite);
    let folders = place.map_or(FIXTURES, |place| place.folders);
    folders.iter().find_map(|folder| folder.candidates(file).into_iter().next())
}

/// The cases of a suite: those of the table whose files are there, and what else can be guessed.
pub(crate) fn cases(root: &Path, suite: &str, table: Vec<Case>) -> Vec<Case> {
    let there = |file: &String| path(root, suite, file).is_some();
    let mut cases: Vec<Case> = table
        .into_iter()
        .filter(|case| case.inputs.iter().chain(&case.expected).all(there))
        .collect();
    let Some(place) = PLACES.iter().find(|place| place.suite == suite) else { return cases };
    let Some(guess) = &place.guess else { return cases };
    let known: BTreeSet<String> =
        cases.iter().flat_map(|case| case.inputs.iter().chain(&case.expected)).cloned().collect();
    let names = place.folders.iter().filter(|folder| folder.corpus == guess.input);
    let names: BTreeSet<String> =
        names.flat_map(|folder| folder.names(root, guess.input_end)).collect();
    let new = names
        .iter()
        .filter(|name| !known.contains(&format!("{}{name}{}", guess.input, guess.input_end)));
    cases.extend(new.filter_map(|name| guessed(root, suite, guess, name)));
    cases
}

fn guessed(root: &Path, suite: &str, guess: &Guess, name: &str) -> Option<Case> {
    let input = format!("{}{name}{}", guess.input, guess.input_end);
    let expected: Vec<String> = match guess.output {
        None => vec![input.clone()],
        Some(output) => {
            let files = guess.output_ends.iter().map(|end| format!("{output}{name}{end}"));
            files.filter(|file| *file != input && path(root, suite, file).is_some()).collect()
        }
    };
    let only_error = expected.first()?.ends_with(".err");
    let result = if only_error { "parse-error" } else { "ok" }.to_owned();
    let common = of_document(root, suite, &expected);
    let base = Case { name: name.to_owned(), result, expected, ..Case::default() };
    let seconds = if guess.seconds.is_empty() { &[""] } else { guess.seconds };
    let mut ways = Vec::new();
    for way in guess.ways {
        let own = way.split(' ').filter_map(|column| column.split_once('='));
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let columns: Vec<(String, String)> = own.chain(common.clone()).collect();
        for second in seconds {
            let inputs = [input.as_str(), second].into_iter().filter(|file| !file.is_empty());
            let inputs = inputs.map(str::to_owned).collect();
            ways.push(Case { inputs, columns: columns.clone(), ..base.clone() });
        }
    }
    let mut first = (!ways.is_empty()).then(|| ways.remove(0))?;
    first.other_ways = ways;
    Some(first)
}

/// What the expected document tells of how it was made: the time of a snapshot, and its domain.
fn of_document(root: &Path, suite: &str, expected: &[String]) -> Vec<(String, String)> {
    let file = expected.first().and_then(|file| path(root, suite, file));
    let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let Ok(tree) = virt_xml::parse(&text) else { return Vec::new() };
    let time = tree.child_text("creationTime").unwrap_or("0".into());
    let uuid = tree.child("domain").and_then(|domain| domain.child_text("uuid"));
    let column = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    vec![
        column("creation_time", &time),
        column("uuid", &uuid.unwrap_or("NULL".into())),
        column("variant", "x86_64-latest"),
        column("extra", "-"),
        column("config", "-"),
        column("replace_vars", "yes"),
        column("kind", "parse-file"),
    ]
}

impl Folder {
    fn place(&self, root: &Path) -> Option<PathBuf> {
        self.tree.iter().map(|folder| root.join(folder)).find(|folder| folder.is_dir())
    }

    /// A file's name in the tree under each of its folders and prefixes.
    fn candidates(&self, file: &str) -> Vec<PathBuf> {
        let Some(rest) = file.strip_prefix(self.corpus) else { return Vec::new() };
        if !self.corpus.is_empty() && rest.is_empty() {
            return self.tree.iter().map(PathBuf::from).collect();
        }
        let (stem, end) = rest.rsplit_once('.').unwrap_or((rest, ""));
        let named = |prefix: &str| match end {
            "" => format!("{prefix}{stem}{}", self.stem_end),
            end => format!("{prefix}{stem}{}.{end}", self.stem_end),
        };
        let of = |folder: &&str| {
            let folder = PathBuf::from(folder);
            let names = self.prefixes.iter().map(|prefix| named(prefix));
            names.map(move |name| folder.join(name)).collect::<Vec<_>>()
        };
        self.tree.iter().flat_map(of).collect()
    }

    fn path(&self, root: &Path, file: &str) -> Option<PathBuf> {
        self.candidates(file).into_iter().map(|name| root.join(name)).find(|path| path.exists())
    }

    /// The names, without what the tree adds, of the files that end so.
    fn names(&self, root: &Path, end: &str) -> Vec<String> {
        let Some(folder) = self.place(root) else { return Vec::new() };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let name = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let stem = name.strip_suffix(end)?.strip_suffix(self.stem_end)?;
            let prefixes = self.prefixes.iter().rev();
            let bare = prefixes.filter_map(|prefix| stem.strip_prefix(prefix)).next();
            bare.map(str::to_owned)
        };
        entries.filter_map(name).collect()
    }
}
