//! A first glance at a document: root, name and UUID, without building a tree.

use std::borrow::Cow;

use crate::scan;

/// What identifies a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    pub root: &'a str,
    /// The root's attributes.
    pub id: Option<Cow<'a, str>>,
    pub kind: Option<Cow<'a, str>>,
    /// Texts of the root's direct children.
    pub name: Option<Cow<'a, str>>,
    pub uuid: Option<Cow<'a, str>>,
}

/// Reads only as far as the root's `name` and `uuid`. What follows is neither read nor checked.
///
/// `None` where a glance is not enough (no such children near the start, or anything unusual on the
/// way): the caller then reads the whole document.
pub fn peek(text: &str) -> Option<Head<'_>> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = loop {
        let tag = next_tag(&mut rest)?;
        if !tag.starts_with(['?', '!']) {
            break tag;
        }
        if tag.starts_with("!D") {
            return None;
        }
    };
    let (inside, empty) = tag_inside(root);
    let root_name = Some(scan::name(inside)).filter(|name| !name.is_empty())?;
    let mut head = Head { root: root_name, ..Head::default() };
    let mut at = root_name.len();
    while let Some(attr) = scan::next_attribute(inside, at).ok()? {
        match attr.name {
            "id" => head.id = Some(scan::attribute_value(attr.value).ok()?),
            "type" => head.kind = Some(scan::attribute_value(attr.value).ok()?),
            _ => {}
        }
        at = attr.end;
    }
    if empty {
        return Some(head);
    }
    let mut depth = 0_usize;
    while head.name.is_none() || head.uuid.is_none() {
        let tag = next_tag(&mut rest)?;
        if tag.starts_with(['?', '!']) {
            // A CDATA section could hold a `<`.
            if !tag.starts_with("!--") {
                return None;
            }
        } else if let Some(end) = tag.strip_prefix('/') {
            if depth == 0 {
                return (end.trim_end() == root_name).then_some(head);
            }
            depth -= 1;
        } else {
            let (inside, empty) = tag_inside(tag);
            let slot = match (depth, inside) {
                (0, "name") => Some(&mut head.name),
                (0, "uuid") => Some(&mut head.uuid),
                _ => None,
            };
            if let (Some(slot @ None), false) = (slot, empty) {
                let end = rest.find('<')?;
                *slot = Some(plain_text(rest.get(..end)?)?);
            }
            depth += usize::from(!empty);
        }
    }
    Some(head)
}

/// The inside of the next markup, up to its `>`; a comment is passed whole.
fn next_tag<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (_, after) = rest.split_once('<')?;
    if after.starts_with("!--") {
        let (comment, tail) = after.split_once("-->")?;
        *rest = tail;
        return Some(comment);
    }
    let mut quote = None;
    let end = after.bytes().position(|byte| match (quote, byte) {
        (None, b'>') => true,
        (None, b'\'' | b'"') => {
            quote = Some(byte);
            false
        }
        (Some(open), byte) => {
            if open == byte {
                quote = None;
            }
            false
        }
        _ => false,
    })?;
    *rest = after.get(end.checked_add(1)?..)?;
    after.get(..end)
}

/// A start tag's inside without the slash of an empty element.
fn tag_inside(tag: &str) -> (&str, bool) {
    match tag.strip_suffix('/') {
        Some(inside) => (inside.trim_end(), true),
        None => (tag.trim_end(), false),
    }
}

fn plain_text(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains(['&', '\r']) {
        return Some(Cow::Borrowed(raw));
    }
    let mut out = String::new();
    let normal = scan::normal_line_ends(raw);
    let mut rest = &*normal;
    while let Some((plain, after)) = rest.split_once('&') {
        out.push_str(plain);
        let (c, len) = scan::reference(after).ok()?;
        out.push(c);
        rest = after.get(len..)?;
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}
