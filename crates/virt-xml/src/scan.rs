//! Small scanners over a start tag and over text: names, attributes, references.

use std::borrow::Cow;

use crate::error::ErrorKind;

/// Whether the text may name an element or attribute.
pub(crate) fn is_name(name: &str) -> bool {
    let start = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':') || !c.is_ascii();
    let rest = |c: char| start(c) || c.is_ascii_digit() || matches!(c, '-' | '.');
    name.chars().next().is_some_and(start) && name.chars().all(rest)
}

/// Whether XML 1.0 allows the character at all.
fn is_allowed(c: char) -> bool {
    !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// The first character that XML 1.0 forbids, with its offset.
pub(crate) fn forbidden(text: &str) -> Option<(usize, char)> {
    // Fast path: only control characters and the two non-characters (EF BF BE/BF) are forbidden.
    if !text
        .bytes()
        .any(|byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r') || byte == 0xef)
    {
        return None;
    }
    text.char_indices().find(|(_, c)| !is_allowed(*c))
}

/// One attribute of a start tag, as written, or what was expected at an offset.
pub(crate) fn next_attribute(
    tag: &str,
    at: usize,
) -> Result<Option<RawAttr<'_>>, (usize, ErrorKind)> {
    let rest = tag.get(at..).unwrap_or_default();
    let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
    if trimmed.is_empty() {
        return Ok(None);
    }
    let name_at = tag.len() - trimmed.len();
    if trimmed.len() == rest.len() {
        return Err((name_at, ErrorKind::BadAttribute("attributes construct error")));
    }
    let name_len = trimmed.find([' ', '\t', '\n', '\r', '=', '\'', '"']).unwrap_or(trimmed.len());
    let (name, rest) = trimmed.split_at(name_len);
    if !is_name(name) {
        return Err((name_at, ErrorKind::BadName(name.to_owned())));
    }
    let rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
    let offset = |rest: &str| tag.len() - rest.len();
    let Some(rest) = rest.strip_prefix('=') else {
        return Err((
            offset(rest),
            ErrorKind::BadAttribute("Specification mandates value for attribute"),
        ));
    };
    let rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
    let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        return Err((offset(rest), ErrorKind::BadAttribute("AttValue: \" or ' expected")));
    };
    let value_at = offset(rest) + 1;
    let value = tag.get(value_at..).unwrap_or_default();
    let Some(len) = value.find(quote) else {
        return Err((offset(rest), ErrorKind::BadAttribute("AttValue: ' expected")));
    };
    let value = value.get(..len).unwrap_or_default();
    if let Some(bad) = value.find('<') {
        let what = "Unescaped '<' not allowed in attributes values";
        return Err((value_at + bad, ErrorKind::BadAttribute(what)));
    }
    Ok(Some(RawAttr { name, name_at, value, value_at, end: value_at + len + 1 }))
}

pub(crate) struct RawAttr<'a> {
    pub(crate) name: &'a str,
    pub(crate) name_at: usize,
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
            let Some((name, after)) = after.split_once(';') else {
                return Err((offset, ErrorKind::BadReference));
            };
            out.push(reference(name).map_err(|kind| (offset, kind))?);
            after
        } else {
            out.push(' ');
            special.strip_prefix("\r\n").unwrap_or_else(|| special.get(1..).unwrap_or_default())
        };
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// What `&name;` stands for: one of the five predefined entities, or a character by its number.
///
/// Limit: no other entity exists, so nothing can expand to more than it was.
pub(crate) fn reference(name: &str) -> Result<char, ErrorKind> {
    let number = match name {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "apos" => return Ok('\''),
        "quot" => return Ok('"'),
        name => name.strip_prefix('#'),
    };
    let Some(number) = number else {
        let known = is_name(name);
        return Err(if known {
            ErrorKind::UnknownEntity(name.to_owned())
        } else {
            ErrorKind::BadReference
        });
    };
    let parsed = match number.strip_prefix('x') {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u32::from_str_radix(hex, 16).ok()
        }
        None if number.bytes().all(|b| b.is_ascii_digit()) => number.parse().ok(),
        _ => None,
    };
    parsed.and_then(char::from_u32).filter(|c| is_allowed(*c)).ok_or_else(|| {
        ErrorKind::Syntax(format!("xmlParseCharRef: invalid character reference '&{name};'"))
    })
}

/// Text with the line ends of XML: `\r\n` and a lone `\r` are read as `\n`.
pub(crate) fn normal_line_ends(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') {
        Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(raw)
    }
}
