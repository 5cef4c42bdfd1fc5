//! Looking into a tree: children by name, text, attributes as numbers.

use std::borrow::Cow;

use crate::tree::{Element, Node};

/// A number that is none, or out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: element '{element}' has no number where one is needed: '{text}'")]
pub struct NumberError {
    pub element: String,
    pub text: String,
    pub line: u32,
}

/// Reads an integer as libvirt does: white space before it is skipped, a plus sign is allowed,
/// `0x` is hexadecimal where `radix` is 0 or 16, a leading 0 octal where it is 0.
pub fn parse_number(text: &str, radix: u32) -> Option<i128> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (radix, digits) = match (radix, hex) {
        (0 | 16, Some(hex)) => (16, hex),
        (0, None) if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        (0, None) => (10, digits),
        (radix, _) => (radix, digits),
    };
    // A second sign would be taken by the standard parser.
    if digits.starts_with(['-', '+']) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

impl<'a> Element<'a> {
    /// The value of an attribute.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|attr| attr.name == name).map(|attr| &*attr.value)
    }

    /// Sets an attribute, or adds it at the end.
    pub fn set_attr(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        let name = name.into();
        match self.attrs.iter_mut().find(|attr| attr.name == name) {
            Some(attr) => attr.value = value.into(),
            None => self.attrs.push(crate::Attr { name, value: value.into() }),
        }
    }

    /// The child elements, in order.
    pub fn elements(&self) -> impl DoubleEndedIterator<Item = &Element<'a>> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) | Node::Comment(_) => None,
        })
    }

    /// The first child element of that name.
    pub fn child(&self, name: &str) -> Option<&Element<'a>> {
        self.elements().find(|element| element.name == name)
    }

    /// All child elements of that name.
    pub fn children_named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Element<'a>> {
        self.elements().filter(move |element| element.name == name)
    }

    /// All text inside the element, that of its descendants included.
    pub fn text(&self) -> Cow<'_, str> {
        match self.children.as_slice() {
            [] => Cow::Borrowed(""),
            [Node::Text(text)] => Cow::Borrowed(text),
            children => {
                let mut out = String::new();
                for node in children {
                    match node {
                        Node::Text(text) => out.push_str(text),
                        Node::Element(element) => out.push_str(&element.text()),
                        Node::Comment(_) => {}
                    }
                }
                Cow::Owned(out)
            }
        }
    }

    /// The text of the first child of that name.
    pub fn child_text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.child(name).map(Element::text)
    }

    /// The whole text as a decimal number.
    pub fn number<T: TryFrom<i128>>(&self) -> Result<T, NumberError> {
        let text = self.text();
        parse_number(&text, 10).and_then(|value| T::try_from(value).ok()).ok_or_else(|| {
            NumberError {
                element: self.name.clone().into_owned(),
                text: text.into_owned(),
                line: self.line,
            }
        })
    }

    /// An attribute as a decimal number; `None` where the attribute is absent.
    pub fn attr_number<T: TryFrom<i128>>(&self, name: &str) -> Result<Option<T>, NumberError> {
        let Some(text) = self.attr(name) else { return Ok(None) };
        match parse_number(text, 10).and_then(|value| T::try_from(value).ok()) {
            Some(value) => Ok(Some(value)),
            None => Err(NumberError {
                element: self.name.clone().into_owned(),
                text: text.to_owned(),
                line: self.line,
            }),
        }
    }

    /// The prefix of the name, without the colon.
    pub fn prefix(&self) -> Option<&str> {
        self.name.split_once(':').map(|(prefix, _)| prefix)
    }

    /// The name without its prefix.
    pub fn local_name(&self) -> &str {
        self.name.split_once(':').map_or(&*self.name, |(_, local)| local)
    }

    /// The prefix that this element itself binds to a namespace.
    pub fn prefix_of(&self, namespace: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find(|attr| attr.value == namespace && attr.name.starts_with("xmlns:"))
            .and_then(|attr| attr.name.strip_prefix("xmlns:"))
    }

    /// The namespace that this element itself binds to a prefix.
    pub fn namespace_of(&self, prefix: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find(|attr| attr.name.strip_prefix("xmlns:") == Some(prefix))
            .map(|attr| &*attr.value)
    }
}
