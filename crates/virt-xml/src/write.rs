//! Tree and documents to text, as libvirt prints: two spaces, single quotes, `<x/>` for empty.

use crate::tree::{Element, Node};

/// Appends text with libvirt's escapes.
///
/// Compat: both quotes are escaped in texts too, and control characters are left out.
pub fn escape_into(out: &mut String, text: &str) {
    let special = |byte: u8| {
        matches!(byte, b'&' | b'<' | b'>' | b'\'' | b'"')
            || byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')
    };
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| special(*byte)) {
        out.push_str(text.get(from..at).unwrap_or_default());
        out.push_str(match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'\'' => "&apos;",
            b'"' => "&quot;",
            _ => "",
        });
        from = at + 1;
    }
    out.push_str(text.get(from..).unwrap_or_default());
}

/// Prints elements one after another; a start tag stays open for attributes until something goes in.
///
/// ```
/// let mut writer = virt_xml::Writer::new();
/// writer.open("disk");
/// writer.attr("type", "file");
/// writer.text_element("serial", "a<b");
/// writer.close("disk");
/// assert_eq!(writer.finish(), "<disk type='file'>\n  <serial>a&lt;b</serial>\n</disk>\n");
/// ```
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
    depth: usize,
    tag_open: bool,
    /// Text went into the element that is open: its end tag follows on the same line.
    inline: bool,
}

/// A point in what a [`Writer`] printed.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    len: usize,
    depth: usize,
    tag_open: bool,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer whose elements stand `depth` levels deep.
    pub fn at_depth(depth: usize) -> Self {
        Self { depth, ..Self::default() }
    }

    /// A point to come back to.
    pub fn mark(&self) -> Mark {
        Mark { len: self.out.len(), depth: self.depth, tag_open: self.tag_open }
    }

    /// Forgets what was printed since the mark.
    pub fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.len);
        self.depth = mark.depth;
        self.tag_open = mark.tag_open;
        self.inline = false;
    }

    /// Everything printed so far.
    pub fn finish(self) -> String {
        self.out
    }

    /// How much was printed so far; grows with every call but [`Writer::close`] of nothing.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    fn end_start_tag(&mut self) {
        if self.tag_open {
            self.out.push_str(">\n");
            self.tag_open = false;
        }
    }

    fn indent(&mut self) {
        const SPACES: &str = "                                ";
        let mut left = self.depth * 2;
        while left > 0 {
            let some = left.min(SPACES.len());
            self.out.push_str(SPACES.get(..some).unwrap_or_default());
            left -= some;
        }
    }

    /// Begins an element.
    pub fn open(&mut self, name: &str) {
        self.end_start_tag();
        self.indent();
        self.out.push('<');
        self.out.push_str(name);
        self.tag_open = true;
        self.depth += 1;
    }

    /// An attribute of the element begun last. Attributes come before anything inside.
    pub fn attr(&mut self, name: &str, value: &str) {
        self.begin_attr(name);
        escape_into(&mut self.out, value);
        self.out.push('\'');
    }

    fn begin_attr(&mut self, name: &str) {
        assert!(self.tag_open, "attribute {name} after the start tag was finished");
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("='");
    }

    /// The same whose value is `0x` and at least so many hexadecimal digits.
    pub fn attr_hex(&mut self, name: &str, value: u64, digits: u32) {
        self.begin_attr(name);
        self.out.push_str("0x");
        let needed = (u64::BITS - value.leading_zeros()).div_ceil(4);
        for at in (0..needed.max(digits).max(1)).rev() {
            let [low, ..] = value.checked_shr(at * 4).unwrap_or(0).to_le_bytes();
            self.out.extend(char::from_digit(u32::from(low & 0xf), 16));
        }
        self.out.push('\'');
    }

    /// Ends an element: `<x/>` when nothing went in.
    pub fn close(&mut self, name: &str) {
        self.depth = self.depth.saturating_sub(1);
        if self.tag_open {
            self.out.push_str("/>\n");
            self.tag_open = false;
            return;
        }
        if !std::mem::take(&mut self.inline) {
            self.indent();
        }
        self.end_tag(name);
    }

    /// Ends an element, never in the short form.
    pub fn close_long(&mut self, name: &str) {
        self.end_start_tag();
        self.close(name);
    }

    /// The text of an element that has nothing else inside.
    pub fn text(&mut self, text: &str) {
        assert!(self.tag_open, "text after the start tag was finished");
        self.out.push('>');
        self.tag_open = false;
        self.inline = true;
        escape_into(&mut self.out, text);
    }

    /// `<name>text</name>`.
    pub fn text_element(&mut self, name: &str, text: &str) {
        self.open(name);
        self.text(text);
        self.close(name);
    }

    fn end_tag(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push_str(">\n");
    }

    /// A whole tree. White space between elements is laid out anew; comments are left out.
    pub fn element(&mut self, element: &Element<'_>) {
        self.open(&element.name);
        for attr in &element.attrs {
            self.attr(&attr.name, &attr.value);
        }
        if element.elements().next().is_some() {
            for child in element.elements() {
                self.element(child);
            }
        } else if element.children.iter().any(|node| matches!(node, Node::Text(_))) {
            self.text(&element.text());
        }
        self.close(&element.name);
    }

    /// Text that is laid out already.
    pub fn raw(&mut self, text: &str) {
        self.end_start_tag();
        self.out.push_str(text);
    }

    /// The spaces that a line at this depth begins with.
    pub fn depth(&self) -> usize {
        self.depth
    }
}

/// A tree as text.
pub fn to_string(element: &Element<'_>) -> String {
    let mut writer = Writer::new();
    writer.element(element);
    writer.finish()
}
