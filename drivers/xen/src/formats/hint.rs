//! Help beside errors about native texts: where the thing stands that an error names, and what was meant.
//!
//! Errors keep libvirt's words, which name a key or quote a value; here both are looked up in the text.

use virt_error::Error;
use virt_model::schema::nearest::nearest;

/// Limit: how much of a message is looked through.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Limit: how many of its words are looked up.
const WORDS_MAX: usize = 16;

/// What an error says, as far as it is looked through.
pub(crate) fn message(error: &Error) -> String {
    let mut message = error.message().to_owned();
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    message
}

/// What stands between quotes, in order.
pub(crate) fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('\'').skip(1).step_by(2).filter(|text| !text.is_empty()).take(WORDS_MAX)
}

/// The words of a message that could be names, the last first: that is where a name stands.
pub(crate) fn words(message: &str) -> impl Iterator<Item = &str> {
    message.rsplit(|c: char| !is_name(c)).filter(|word| !word.is_empty()).take(WORDS_MAX)
}

/// The line and column of an offset; a column counts bytes.
pub(crate) fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1) + 1;
    format!("line {line}, column {column}")
}

/// Where a word or a value stands by itself, and not as a part of another.
pub(crate) fn find(text: &str, word: &str) -> Option<usize> {
    let alone = |at: &usize| {
        let before = text.get(..*at).and_then(|text| text.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    };
    text.match_indices(word).map(|(at, _)| at).find(alone)
}

/// A name that is not there, and the one that may stand for it.
pub(crate) fn missing<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    nearest(name, known.into_iter().filter(|known| *known != name))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}
