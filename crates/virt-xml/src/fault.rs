//! What is wrong with broken markup, and where a reader of libxml2's messages expects the caret.

use quick_xml::errors::{Error as RawError, SyntaxError};

use crate::error::ErrorKind;
use crate::scan;

/// What is wrong, after the offset where it is.
pub(crate) type Fault = (usize, ErrorKind);

/// Limit: how much of a comment or a section its error quotes.
const QUOTED_BYTES_MAX: usize = 50;

/// Why the markup at an offset cannot be read.
pub(crate) fn broken_markup(text: &str, at: usize, raw: &RawError) -> Fault {
    let markup = text.get(at..).unwrap_or_default();
    let unclosed = |what: &str| (text.len(), ErrorKind::Syntax(what.to_owned()));
    if markup.starts_with("<!--") {
        return unclosed("Comment not terminated");
    }
    if let Some(inside) = markup.strip_prefix("<![CDATA[") {
        return unclosed(&unclosed_section(inside));
    }
    if matches!(raw, RawError::Syntax(SyntaxError::UnclosedDoctype)) {
        return (at, ErrorKind::DocumentType);
    }
    if let Some(rest) = markup.strip_prefix("<?") {
        let name = scan::name(rest);
        let why = if rest.len() == name.len() { "space expected" } else { "never end ..." };
        return unclosed(&format!("ParsePI: PI {name} {why}"));
    }
    let found = if markup.starts_with("</") {
        end_name(text, at).map(|_| ())
    } else if markup.starts_with('<') {
        start_tag(text, at)
    } else if markup.starts_with('&') {
        reference_at(text, at).map(|_| ())
    } else {
        Ok(())
    };
    found.err().unwrap_or_else(|| (at, ErrorKind::Syntax(raw.to_string())))
}

/// Compat: libxml2 quotes the section, without the two characters that it holds back to look for the end;
/// where there are no more than these it has no words at all.
fn unclosed_section(inside: &str) -> String {
    let count = inside.chars().count();
    if count < 2 {
        return "Unregistered error message".to_owned();
    }
    let mut quoted: String = inside.chars().take(count - 2).collect();
    quoted.truncate(quoted.floor_char_boundary(QUOTED_BYTES_MAX));
    format!("CData section not finished\n{quoted}")
}

/// The first fault of the start tag at an offset.
fn start_tag(text: &str, at: usize) -> Result<(), Fault> {
    let inside_at = at.saturating_add(1);
    let inside = text.get(inside_at..).unwrap_or_default();
    let name = scan::name(inside);
    if name.is_empty() {
        return Err((inside_at, ErrorKind::NoName));
    }
    let mut end = name.len();
    let shifted = |(offset, kind): Fault| (inside_at + offset, kind);
    while let Some(attr) = scan::next_attribute(inside, end).map_err(shifted)? {
        end = attr.end;
    }
    // Compat: a tag that breaks off behind a value lacks a blank first.
    if end > name.len() && end == inside.len() {
        return Err((text.len(), ErrorKind::BadAttribute("attributes construct error")));
    }
    let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    Err((text.len(), ErrorKind::UnclosedTag(format!("{name} line {line}"))))
}

/// The name in the end tag at an offset.
pub(crate) fn end_name(text: &str, at: usize) -> Result<&str, Fault> {
    let inside = text.get(at.saturating_add(2)..).unwrap_or_default();
    let name = scan::name(inside);
    let rest = scan::after_blanks(inside.get(name.len()..).unwrap_or_default());
    if rest.starts_with('>') {
        return Ok(name);
    }
    Err((text.len() - rest.len(), ErrorKind::UnclosedMarkup("expected '>'")))
}

/// What the reference at an offset stands for.
pub(crate) fn reference_at(text: &str, at: usize) -> Result<char, Fault> {
    let inside_at = at.saturating_add(1);
    let inside = text.get(inside_at..).unwrap_or_default();
    let (c, _) = scan::reference(inside).map_err(|(offset, kind)| (inside_at + offset, kind))?;
    Ok(c)
}

/// Refuses a comment, given without its ends, with two hyphens in it.
pub(crate) fn check_comment(inner: &str, inner_at: usize) -> Result<(), Fault> {
    let Some(offset) = inner.find("--") else { return Ok(()) };
    let before: String = inner
        .char_indices()
        .take_while(|(at, _)| *at < offset.min(QUOTED_BYTES_MAX))
        .map(|(_, c)| c)
        .collect();
    let what = format!("Double hyphen within comment: <!--{before}");
    Err((inner_at + offset, ErrorKind::Syntax(what)))
}
