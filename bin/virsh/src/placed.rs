//! Where a document is wrong that a command read from a file, for a person who reads along.
//!
//! Errors of our daemons and drivers carry it. Where another's does not, and where a document is taken that
//! says things nobody knows, the shell looks at the document itself. Scripts see nothing of it.

use std::cell::RefCell;

use virt_cli::hints_wanted;
use virt_model::schema::explain;

use crate::failure::Done;

/// A document as it was read.
struct Document {
    path: String,
    text: String,
}

thread_local! {
    /// What the command that runs has read.
    static READ: RefCell<Vec<Document>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a document that a command reads, until it has ended.
pub(crate) fn keep(path: &str, text: &str) {
    if hints_wanted() {
        let document = Document { path: path.to_owned(), text: text.to_owned() };
        READ.with_borrow_mut(|read| read.push(document));
    }
}

/// Gives a failure the file's name, or the help that its error did not bring; or tells of what nothing will
/// come of.
pub(crate) fn explain(outcome: &mut Done) -> Vec<String> {
    let read = READ.take();
    match outcome {
        Ok(()) => said(&read, explain::warnings_of),
        Err(failure) => {
            let lines = match &failure.hint {
                Some(hint) => in_files(&read, hint),
                None => said(&read, explain::faults_of),
            };
            failure.hint = Some(lines.join("\n")).filter(|hint| !hint.is_empty());
            Vec::new()
        }
    }
}

fn said(read: &[Document], look: fn(&str) -> Vec<String>) -> Vec<String> {
    let of = |document: &Document| {
        let lines = look(&document.text);
        lines.iter().map(|line| format!("{}: {line}", document.path)).collect::<Vec<_>>()
    };
    read.iter().flat_map(of).collect()
}

/// Help with the file's name before its places, where only one file can be meant.
fn in_files(read: &[Document], hint: &str) -> Vec<String> {
    let place = |line: &str| match read {
        [only] if line.starts_with("line ") => format!("{}: {line}", only.path),
        _ => line.to_owned(),
    };
    hint.lines().map(place).collect()
}
