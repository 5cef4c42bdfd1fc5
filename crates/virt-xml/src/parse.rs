//! Text to tree. The only file that names quick-xml; everything it reads is bounded by [`Limits`].

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::error::{Error, ErrorKind};
use crate::fault::{self, Fault};
use crate::scan;
use crate::tree::{Attr, Element, Node};

/// Limit: bounds of a document, checked before anything is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub size_bytes: usize,
    pub depth: usize,
    pub elements: usize,
    pub attributes_per_element: usize,
    pub text_bytes: usize,
}

impl Limits {
    /// Larger than any document libvirt's wire protocol can carry.
    pub const SIZE_BYTES_MAX: usize = 32 << 20;
    /// A backing chain of 200 images nests 200 deep; this leaves room, and recursion stays small.
    pub const DEPTH_MAX: usize = 256;
    pub const ELEMENTS_MAX: usize = 1 << 20;
    pub const ATTRIBUTES_PER_ELEMENT_MAX: usize = 256;
    /// One text or attribute value.
    pub const TEXT_BYTES_MAX: usize = 10_000_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            size_bytes: Self::SIZE_BYTES_MAX,
            depth: Self::DEPTH_MAX,
            elements: Self::ELEMENTS_MAX,
            attributes_per_element: Self::ATTRIBUTES_PER_ELEMENT_MAX,
            text_bytes: Self::TEXT_BYTES_MAX,
        }
    }
}

/// Reads a document.
pub fn parse(text: &str) -> Result<Element<'_>, Error> {
    parse_with(text, &Limits::default())
}

/// Reads a document from bytes, which must be UTF-8.
pub fn parse_bytes(bytes: &[u8]) -> Result<Element<'_>, Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let text = String::from_utf8_lossy(valid);
            Err(error_at(&text, text.len(), ErrorKind::NotUtf8))
        }
    }
}

/// Reads a document within other limits.
pub fn parse_with<'a>(text: &'a str, limits: &Limits) -> Result<Element<'a>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let fail = |at: usize, kind| error_at(text, at, kind);
    if text.len() > limits.size_bytes {
        return Err(fail(0, ErrorKind::Limit("size")));
    }
    if text.is_empty() {
        return Err(fail(0, ErrorKind::Empty));
    }
    if let Some((at, c)) = scan::forbidden(text) {
        return Err(fail(at, ErrorKind::ForbiddenChar(c)));
    }
    let mut builder =
        Builder { text, limits, stack: Vec::new(), root: None, elements: 0, seen: Place::start() };
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    // The tree checks both itself, with positions.
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    loop {
        let start = position(&reader);
        let event = reader.read_event().map_err(|error| {
            let at = usize::try_from(reader.error_position()).unwrap_or(start);
            let (at, kind) = fault::broken_markup(text, at, &error);
            Error { inside: builder.path(), ..fail(at, kind) }
        })?;
        let end = position(&reader);
        if matches!(event, Event::Eof) {
            break;
        }
        let taken = builder.take(&event, start, end);
        taken.map_err(|(at, kind)| Error { inside: builder.path(), ..fail(at, kind) })?;
    }
    let inside = builder.path();
    builder.finish().map_err(|(at, kind)| Error { inside, ..fail(at, kind) })
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// An error with its line and column worked out.
fn error_at(text: &str, at: usize, kind: ErrorKind) -> Error {
    let mut place = Place::start();
    let at = at.min(text.len());
    // Compat: past the last line ends there is no line to show; the one before them is.
    let shown = if at == text.len() { text.trim_end_matches(['\n', '\r']).len() } else { at };
    place.advance(text, shown);
    let (line_start, column, source_line_number) = (place.line_start, place.column(), place.line);
    place.advance(text, at);
    let line = text.get(line_start..).unwrap_or_default();
    let source_line = line.split(['\n', '\r']).next().unwrap_or_default();
    let (line, source_line) = (place.line, source_line.to_owned());
    Error { kind, line, column, source_line, source_line_number, inside: String::new() }
}

/// A place in the text; only ever moves forward, so each byte is counted once.
struct Place {
    at: usize,
    line: u32,
    line_start: usize,
}

impl Place {
    fn start() -> Self {
        Self { at: 0, line: 1, line_start: 0 }
    }

    fn advance(&mut self, text: &str, to: usize) {
        let bytes = text.as_bytes().get(self.at..to).unwrap_or_default();
        for offset in memchr::memchr_iter(b'\n', bytes) {
            self.line = self.line.saturating_add(1);
            self.line_start = self.at + offset + 1;
        }
        self.at = self.at.max(to);
    }

    fn column(&self) -> u32 {
        u32::try_from(self.at.saturating_sub(self.line_start)).unwrap_or(u32::MAX).saturating_add(1)
    }
}

struct Builder<'a, 'l> {
    text: &'a str,
    limits: &'l Limits,
    stack: Vec<Element<'a>>,
    root: Option<Element<'a>>,
    elements: usize,
    seen: Place,
}

impl<'a> Builder<'a, '_> {
    /// The open elements, as `domain/devices`.
    fn path(&self) -> String {
        let names: Vec<&str> = self.stack.iter().map(|element| &*element.name).collect();
        names.join("/")
    }

    fn take(&mut self, event: &Event<'_>, start: usize, end: usize) -> Result<(), Fault> {
        match event {
            Event::Start(_) => {
                let element = self.start_tag(start, end.saturating_sub(1))?;
                if self.stack.len() >= self.limits.depth {
                    return Err((start, ErrorKind::Limit("depth")));
                }
                self.stack.push(element);
                Ok(())
            }
            Event::Empty(_) => {
                let element = self.start_tag(start, end.saturating_sub(2))?;
                self.add_element(element);
                Ok(())
            }
            Event::End(_) => self.end_tag(start, end),
            Event::Text(_) => {
                let text = self.slice(start, end);
                if text.contains(']') && text.contains("]]>") && !self.stack.is_empty() {
                    let what = "Sequence ']]>' not allowed in content".to_owned();
                    return Err((start, ErrorKind::Syntax(what)));
                }
                self.text(start, scan::normal_line_ends(text))
            }
            Event::CData(_) => {
                // `<![CDATA[` and `]]>`.
                let inner = self.slice(start.saturating_add(9), end.saturating_sub(3));
                self.text(start, scan::normal_line_ends(inner))
            }
            Event::GeneralRef(_) => {
                let text = match self.stack.last() {
                    Some(_) => fault::reference_at(self.text, start)?.to_string(),
                    None => "&".to_owned(),
                };
                self.text(start, Cow::Owned(text))
            }
            Event::Comment(_) => {
                // `<!--` and `-->`.
                let inner = self.slice(start.saturating_add(4), end.saturating_sub(3));
                fault::check_comment(inner, start.saturating_add(4))?;
                if let Some(parent) = self.stack.last_mut() {
                    parent.children.push(Node::Comment(scan::normal_line_ends(inner)));
                }
                Ok(())
            }
            Event::DocType(_) => Err((start, ErrorKind::DocumentType)),
            Event::Decl(_) if start > 0 => {
                let what = "XML declaration allowed only at the start of the document".to_owned();
                Err((start.saturating_add(5), ErrorKind::Syntax(what)))
            }
            Event::Decl(_) => self.declaration(start, end),
            Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// The declaration may name no other encoding than the one in use.
    fn declaration(&self, start: usize, end: usize) -> Result<(), Fault> {
        let inner = self.slice(start.saturating_add(5), end.saturating_sub(2));
        let mut at = 0;
        while let Some(attr) = scan::next_attribute(inner, at).map_err(|(_, kind)| (start, kind))? {
            let utf8 = attr.value.eq_ignore_ascii_case("utf-8")
                || attr.value.eq_ignore_ascii_case("us-ascii");
            if attr.name == "encoding" && !utf8 {
                let what = format!("Unsupported encoding {}", attr.value);
                return Err((start.saturating_add(5) + attr.end, ErrorKind::Syntax(what)));
            }
            at = attr.end;
        }
        Ok(())
    }

    /// A start tag whose inside (name and attributes) ends at `end`.
    fn start_tag(&mut self, start: usize, end: usize) -> Result<Element<'a>, Fault> {
        if self.stack.is_empty() && self.root.is_some() {
            return Err((start, ErrorKind::TrailingContent));
        }
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err((start, ErrorKind::Limit("number of elements")));
        }
        self.seen.advance(self.text, start);
        let inside_at = start.saturating_add(1);
        let inside = self.slice(inside_at, end);
        let name = scan::name(inside);
        if name.is_empty() {
            return Err((inside_at, ErrorKind::NoName));
        }
        let attrs = self.attributes(inside, inside_at, name.len())?;
        let (line, column) = (self.seen.line, self.seen.column());
        Ok(Element { name: Cow::Borrowed(name), attrs, children: Vec::new(), line, column })
    }

    fn attributes(
        &self,
        inside: &'a str,
        inside_at: usize,
        name_len: usize,
    ) -> Result<Vec<Attr<'a>>, Fault> {
        let mut attrs: Vec<Attr<'a>> = Vec::new();
        let mut at = name_len;
        while let Some(raw) =
            scan::next_attribute(inside, at).map_err(|(offset, kind)| (inside_at + offset, kind))?
        {
            if attrs.iter().any(|attr| attr.name == raw.name) {
                let name = raw.name.to_owned();
                return Err((inside_at + raw.end, ErrorKind::DuplicateAttribute(name)));
            }
            if attrs.len() >= self.limits.attributes_per_element {
                return Err((inside_at, ErrorKind::Limit("number of attributes")));
            }
            if raw.value.len() > self.limits.text_bytes {
                return Err((inside_at + raw.value_at, ErrorKind::Limit("length of a value")));
            }
            let value = scan::attribute_value(raw.value)
                .map_err(|(offset, kind)| (inside_at + raw.value_at + offset, kind))?;
            attrs.push(Attr { name: Cow::Borrowed(raw.name), value });
            at = raw.end;
        }
        Ok(attrs)
    }

    fn end_tag(&mut self, start: usize, end: usize) -> Result<(), Fault> {
        let Some(element) = self.stack.last() else {
            return Err(match self.root {
                Some(_) => (start, ErrorKind::TrailingContent),
                None => (start.saturating_add(1), ErrorKind::NoName),
            });
        };
        let found = fault::end_name(self.text, start)?;
        if element.name != found {
            let expected = format!("{} line {}", element.name, element.line);
            return Err((end, ErrorKind::MismatchedEnd { expected, found: found.to_owned() }));
        }
        if let Some(element) = self.stack.pop() {
            self.add_element(element);
        }
        Ok(())
    }

    fn add_element(&mut self, element: Element<'a>) {
        match self.stack.last_mut() {
            Some(parent) => parent.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, start: usize, text: Cow<'a, str>) -> Result<(), Fault> {
        let Some(parent) = self.stack.last_mut() else {
            let content = scan::after_blanks(&text);
            if content.is_empty() {
                return Ok(());
            }
            let outside =
                if self.root.is_some() { ErrorKind::TrailingContent } else { ErrorKind::NoRoot };
            return Err((start.saturating_add(text.len() - content.len()), outside));
        };
        let mut length = text.len();
        match parent.children.last_mut() {
            // References split a text in pieces; the tree holds it whole.
            Some(Node::Text(before)) => {
                before.to_mut().push_str(&text);
                length = before.len();
            }
            _ => parent.children.push(Node::Text(text)),
        }
        if length > self.limits.text_bytes {
            return Err((start, ErrorKind::Limit("length of a text")));
        }
        Ok(())
    }

    fn finish(self) -> Result<Element<'a>, Fault> {
        let end = self.text.len();
        if let Some(open) = self.stack.last() {
            return Err((end, ErrorKind::MissingEnd(format!("{} line {}", open.name, open.line))));
        }
        self.root.ok_or((end, ErrorKind::NoRoot))
    }
}
