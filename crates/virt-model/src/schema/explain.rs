//! Help beside an error about a document, and warnings about one that was taken.
//!
//! libvirt's message says what is wrong in a few words, without a place. The tables know more: what does
//! not conform, where, and what may have been meant. Where a document conforms and is refused all the same,
//! the element is found that the message speaks of.

use std::sync::OnceLock;

use virt_error::{Origin, Result};
use virt_xml::{Element, Node};

use crate::schema::error;
use crate::schema::validate::{self, Fault};

/// Limit: how much of a message is looked through.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Limit: how many quoted texts and how many words of a message are looked up.
const QUOTED_MAX: usize = 8;
const WORDS_MAX: usize = 32;

/// Who is told of elements and attributes that nothing will come of.
static LISTENER: OnceLock<fn(&Fault)> = OnceLock::new();

/// Names whom to tell of unknown elements and attributes in documents that are taken; a program's log.
///
/// Only the first caller is heard.
pub fn listen(listener: fn(&Fault)) {
    let _ = LISTENER.set(listener);
}

/// Reads a document's text. What is refused is refused with help.
pub(crate) fn reading<T>(
    xml: &str,
    from: Origin,
    read: impl FnOnce(&Element<'_>) -> Result<T>,
) -> Result<T> {
    let tree = virt_xml::parse(xml).map_err(|e| error::malformed(&e, from))?;
    let document = helped(&tree, read(&tree))?;
    if let Some(listener) = LISTENER.get() {
        warnings(&tree).iter().for_each(listener);
    }
    Ok(document)
}

/// What came of reading a tree; an error without help gets it.
pub fn helped<T>(tree: &Element<'_>, read: Result<T>) -> Result<T> {
    read.map_err(|error| match error.hint() {
        Some(_) => error,
        None => {
            let help = help(tree, error.message());
            error.with_hint(help)
        }
    })
}

/// The elements and attributes that are neither read nor allowed by the schema.
pub fn warnings(tree: &Element<'_>) -> Vec<Fault> {
    let mut faults = validate::faults(tree);
    faults.retain(|fault| fault.unknown);
    faults
}

/// [`warnings`] of a text, as lines; none of what is no document.
pub fn warnings_of(text: &str) -> Vec<String> {
    lines_of(text, warnings)
}

/// Everything in a text that does not conform, as lines; none of what is no document.
pub fn faults_of(text: &str) -> Vec<String> {
    lines_of(text, validate::faults)
}

fn lines_of(text: &str, look: fn(&Element<'_>) -> Vec<Fault>) -> Vec<String> {
    if !text.trim_start().starts_with('<') {
        return Vec::new();
    }
    match virt_xml::parse(text) {
        Ok(tree) => look(&tree).iter().map(Fault::explained).collect(),
        Err(error) => vec![error.help()],
    }
}

/// What helps with an error about a document: its faults, those first that the message speaks of, or the
/// place it speaks of.
fn help(tree: &Element<'_>, message: &str) -> String {
    let message = message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or_default();
    let quoted: Vec<&str> = message.split('\'').skip(1).step_by(2).take(QUOTED_MAX).collect();
    let words: Vec<&str> = message
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| c.is_ascii_punctuation()))
        .filter(|word| word.len() > 1)
        .take(WORDS_MAX)
        .collect();
    let mut faults = validate::faults(tree);
    if !faults.is_empty() {
        let spoken_of =
            |fault: &Fault| quoted.iter().filter(|text| fault.what.contains(**text)).count();
        faults.sort_by_key(|fault| std::cmp::Reverse(spoken_of(fault)));
        return faults.iter().map(Fault::explained).collect::<Vec<_>>().join("\n");
    }
    let mut search = Search { quoted: &quoted, words: &words, path: Vec::new(), best: None };
    search.look_at(tree);
    let (path, line, column) = match search.best {
        Some((_, path, line, column)) => (path, line, column),
        None => (tree.name.to_string(), tree.line, tree.column),
    };
    format!("line {line}, column {column}, in {path}: the error is about this")
}

/// Looks for the element with most of what a message quotes, and of its other words.
struct Search<'q, 't> {
    quoted: &'q [&'q str],
    words: &'q [&'q str],
    path: Vec<&'t str>,
    /// How much of it, the path, and the place.
    best: Option<(usize, String, u32, u32)>,
}

impl<'t> Search<'_, 't> {
    fn look_at(&mut self, element: &'t Element<'_>) {
        self.path.push(&element.name);
        let is_name = |text: &str| element.name == text;
        let quoted =
            self.quoted.iter().filter(|text| is_name(text) || holds(element, text)).count();
        let held = self.words.iter().filter(|text| holds(element, text)).count();
        let named = self.words.iter().filter(|text| is_name(text)).count();
        // What is quoted is meant; a word may be one by chance.
        let found = 4 * quoted + 2 * held + named;
        if found > self.best.as_ref().map_or(0, |(most, ..)| *most) {
            self.best = Some((found, self.path.join("/"), element.line, element.column));
        }
        element.elements().for_each(|child| self.look_at(child));
        self.path.pop();
    }
}

/// Whether a text is the name of an attribute, or a value, or what the element holds.
fn holds(element: &Element<'_>, text: &str) -> bool {
    element.attrs.iter().any(|attr| attr.name == text || attr.value == text)
        || matches!(element.children.as_slice(), [Node::Text(inside)] if inside == text)
}
