//! Small scanners over a start tag and over text: names, attributes, references.

use std::borrow::Cow;

use crate::error::ErrorKind;

/// The name that the text begins with; empty where it begins with none.
pub(crate) fn name(text: &str) -> &str {
    let start = |c: u8| c.is_ascii_alphabetic() || matches!(c, b'_' | b':') || !c.is_ascii();
    let rest = |c: u8| start(c) || c.is_ascii_digit() || matches!(c, b'-' | b'.');
    if !text.bytes().next().is_some_and(start) {
        return "";
    }
    let end = text.bytes().position(|c| !rest(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// The text without the white space at its beginning.
pub(crate) fn after_blanks(text: &str) -> &str {
    let blank = |c: u8| matches!(c, b' ' | b'\t' | b'\n' | b'\r');
    let at = text.bytes().position(|c| !blank(c)).unwrap_or(text.len());
    text.get(at..).unwrap_or_default()
}

/// Whether XML 1.0 allows the character at all.
fn is_allowed(c: char) -> bool {
    !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// The first character that XML 1.0 forbids, with its offset.
pub(crate) fn forbidden(text: &str) -> Option<(usize, char)> {
    // Fast path: only control characters and the two non-characters (EF BF BE/BF) are forbidden.
    // A block is looked at whole, which the compiler turns into few instructions.
    let suspect = |byte: u8| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r') || byte == 0xef;
    let in_block = |block: &[u8]| block.iter().fold(false, |found, byte| found | suspect(*byte));
    if !text.as_bytes().chunks(64).any(in_block) {
        return None;
    }
    text.char_indices().find(|(_, c)| !is_allowed(*c))
}

/// One attribute of a start tag, as written, or what was expected at an offset.
///
/// The tag may be followed by more text: its end is no attribute.
pub(crate) fn next_attribute(
    tag: &str,
    at: usize,
) -> Result<Option<RawAttr<'_>>, (usize, ErrorKind)> {
    let before = tag.get(at..).unwrap_or_default();
    let text = after_blanks(before);
    if text.is_empty() || text.starts_with('>') || text.starts_with("/>") {
        return Ok(None);
    }
    let offset = |rest: &str| tag.len() - rest.len();
    let name_at = offset(text);
    if text.len() == before.len() && !text.starts_with('/') {
        return Err((name_at, ErrorKind::BadAttribute("attributes construct error")));
    }
    let name = name(text);
    if name.is_empty() {
        return Err((name_at, ErrorKind::BadAttribute("error parsing attribute name")));
    }
    let rest = after_blanks(text.get(name.len()..).unwrap_or_default());
    let Some(rest) = rest.strip_prefix('=') else {
        return Err((offset(rest), ErrorKind::NoValue(name.to_owned())));
    };
    let rest = after_blanks(rest);
    let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        return Err((offset(rest), ErrorKind::BadAttribute("AttValue: \" or ' expected")));
    };
    let value_at = offset(rest) + 1;
    let rest = tag.get(value_at..).unwrap_or_default();
    let Some(len) = rest.bytes().position(|c| char::from(c) == quote || c == b'<') else {
        return Err((tag.len(), ErrorKind::BadAttribute("AttValue: ' expected")));
    };
    let (value, behind) = rest.split_at(len);
    if behind.starts_with('<') {
        let what = "Unescaped '<' not allowed in attributes values";
        return Err((value_at + len, ErrorKind::BadAttribute(what)));
    }
    Ok(Some(RawAttr { name, value, value_at, end: value_at + value.len() + 1 }))
}

pub(crate) struct RawAttr<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
    pub(crate) value_at: usize,
    pub(crate) end: usize,
}

/// An attribute's value: references resolved, white space as spaces.
pub(crate) fn attribute_value(raw: &str) -> Result<Cow<'_, str>, (usize, ErrorKind)> {
    if !raw.bytes().any(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r')) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        rest = if let Some(after) = special.strip_prefix('&') {
            let offset = raw.len() - special.len();
            let (c, len) = reference(after).map_err(|(inner, kind)| (offset + 1 + inner, kind))?;
            out.push(c);
            after.get(len..).unwrap_or_default()
        } else {
            out.push(' ');
            special.strip_prefix("\r\n").unwrap_or_else(|| special.get(1..).unwrap_or_default())
        };
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// What the reference stands for whose `&` was read, and how much of the text it takes: one of the
/// five predefined entities, or a character by its number.
///
/// Limit: no other entity exists, so nothing can expand to more than it was.
pub(crate) fn reference(text: &str) -> Result<(char, usize), (usize, ErrorKind)> {
    if let Some(number) = text.strip_prefix('#') {
        return character(number).map(|(c, len)| (c, len + 1)).map_err(|(at, kind)| (at + 1, kind));
    }
    let name = name(text);
    if name.is_empty() {
        return Err((0, ErrorKind::BadReference("xmlParseEntityRef: no name")));
    }
    if !text.get(name.len()..).is_some_and(|rest| rest.starts_with(';')) {
        return Err((name.len(), ErrorKind::BadReference("EntityRef: expecting ';'")));
    }
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "apos" => '\'',
        "quot" => '"',
        name => return Err((name.len() + 1, ErrorKind::UnknownEntity(name.to_owned()))),
    };
    Ok((c, name.len() + 1))
}

/// The character whose number stands after `&#`.
fn character(text: &str) -> Result<(char, usize), (usize, ErrorKind)> {
    let (radix, prefix, what) = if text.starts_with('x') {
        (16, 1, "CharRef: invalid hexadecimal value")
    } else {
        (10, 0, "CharRef: invalid decimal value")
    };
    let digits = text.get(prefix..).unwrap_or_default();
    let len = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let end = prefix + len;
    if !text.get(end..).is_some_and(|rest| rest.starts_with(';')) {
        return Err((end, ErrorKind::BadReference(what)));
    }
    let value = u32::from_str_radix(digits.get(..len).unwrap_or_default(), radix).unwrap_or(0);
    let c = char::from_u32(value).filter(|c| is_allowed(*c));
    let bad = || {
        let what = format!("xmlParseCharRef: invalid xmlChar value {value}");
        (end + 1, ErrorKind::Syntax(what))
    };
    c.map(|c| (c, end + 1)).ok_or_else(bad)
}

/// Text with the line ends of XML: `\r\n` and a lone `\r` are read as `\n`.
pub(crate) fn normal_line_ends(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') {
        Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(raw)
    }
}
