//! Cutting a stream of bytes into the elements at its top, one byte at a time.
//!
//! The same reader serves both transports: the documents that LDoms 1.0 sends one after the other, and
//! the children of an XMPP stream, whose own tags are told apart by their name. It knows just as much
//! of XML as it takes to find where an element ends; everything else is the parser's to judge.

/// What stands next in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stanza {
    /// `<stream:stream …>`.
    Open,
    /// `</stream:stream>`.
    Close,
    /// A whole element.
    Element(String),
}

/// Why the stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StanzaError {
    #[error("text outside of an element")]
    StrayText,
    #[error("a document type declaration")]
    DocumentType,
    #[error("an end without a start")]
    StrayEnd,
    #[error("elements nest too deep")]
    TooDeep,
    #[error("an element is too large")]
    TooLarge,
    #[error("not UTF-8")]
    NotUtf8,
    #[error("broken markup")]
    Markup,
}

/// Where in the markup the next byte stands.
#[derive(Clone, Copy, Debug)]
enum State {
    Text,
    /// In a byte order mark, with which some managers begin a document; before this byte of it.
    Mark(u8),
    /// After `<`.
    Less,
    /// In a start tag, perhaps between these quotes.
    Start(Option<u8>),
    End,
    /// After `<!`.
    Bang,
    /// After `<!-`.
    Dash,
    /// In a comment, a CDATA section or an instruction, after so many of the bytes that may end it.
    Comment(u8),
    Cdata(u8),
    Instruction(u8),
}

/// The bytes of a byte order mark.
const MARK_0: u8 = 0xef;
const MARK_1: u8 = 0xbb;
const MARK_2: u8 = 0xbf;

/// The reader. Feed it with [`StanzaReader::push`], ask it with [`StanzaReader::next`].
#[derive(Debug)]
pub struct StanzaReader {
    buffer: Vec<u8>,
    /// Where the element or markup begins that is being read; what is before is done with.
    start: usize,
    /// How much of the buffer was looked at.
    at: usize,
    /// Where the tag begins that is being read.
    tag_at: usize,
    state: State,
    depth: usize,
}

impl Default for StanzaReader {
    fn default() -> Self {
        Self { buffer: Vec::new(), start: 0, at: 0, tag_at: 0, state: State::Text, depth: 0 }
    }
}

impl StanzaReader {
    /// Limit: a list of a thousand domains with all they have is some 10 MiB.
    pub const STANZA_BYTES_MAX: usize = 32 << 20;
    /// Limit: no document of the interface nests deeper than a dozen elements.
    pub const DEPTH_MAX: usize = 64;

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether nothing was pushed that has not been given out.
    pub fn is_empty(&self) -> bool {
        self.buffer.iter().skip(self.start).all(u8::is_ascii_whitespace)
    }

    /// The next whole thing, or `None` when more bytes are needed. After an error the stream is lost.
    #[allow(clippy::should_implement_trait, reason = "`None` is not the end")]
    pub fn next(&mut self) -> Result<Option<Stanza>, StanzaError> {
        while let Some(&byte) = self.buffer.get(self.at) {
            self.at += 1;
            if self.at - self.start > Self::STANZA_BYTES_MAX {
                return Err(StanzaError::TooLarge);
            }
            if let Some(stanza) = self.step(byte)? {
                return Ok(Some(stanza));
            }
        }
        self.buffer.drain(..self.start);
        (self.at, self.tag_at) = (self.at - self.start, self.tag_at.saturating_sub(self.start));
        self.start = 0;
        Ok(None)
    }

    fn step(&mut self, byte: u8) -> Result<Option<Stanza>, StanzaError> {
        self.state = match (self.state, byte) {
            (State::Text, b'<') => {
                self.tag_at = self.at - 1;
                State::Less
            }
            (State::Text, MARK_0) if self.depth == 0 => State::Mark(MARK_1),
            (State::Text, byte) => {
                self.text(byte)?;
                State::Text
            }
            (State::Mark(MARK_1), MARK_1) => State::Mark(MARK_2),
            (State::Mark(MARK_2), MARK_2) => self.between(),
            (State::Mark(_), _) => return Err(StanzaError::StrayText),
            (State::Less, b'?') => State::Instruction(0),
            (State::Less, b'!') => State::Bang,
            (State::Less, b'/') => State::End,
            (State::Less, b'>' | b'<') => return Err(StanzaError::Markup),
            (State::Less, _) => State::Start(None),
            (State::Start(None), b'>') => return self.start_tag(),
            (State::Start(None), quote @ (b'"' | b'\'')) => State::Start(Some(quote)),
            (State::Start(None), b'<') => return Err(StanzaError::Markup),
            (State::Start(Some(quote)), byte) if byte == quote => State::Start(None),
            (state @ State::Start(_), _) => state,
            (State::End, b'>') => return self.end_tag(),
            (State::End, _) => State::End,
            (State::Bang, b'-') => State::Dash,
            (State::Bang, b'[') if self.depth > 0 => State::Cdata(0),
            (State::Bang, _) => return Err(StanzaError::DocumentType),
            (State::Dash, b'-') => State::Comment(0),
            (State::Dash, _) => return Err(StanzaError::Markup),
            (State::Comment(seen), b'-') => State::Comment(seen.saturating_add(1)),
            (State::Comment(2..), b'>') | (State::Cdata(2..), b'>') => self.between(),
            (State::Comment(_), _) => State::Comment(0),
            (State::Cdata(seen), b']') => State::Cdata(seen.saturating_add(1)),
            (State::Cdata(_), _) => State::Cdata(0),
            (State::Instruction(1..), b'>') => self.between(),
            (State::Instruction(_), b'?') => State::Instruction(1),
            (State::Instruction(_), _) => State::Instruction(0),
        };
        Ok(None)
    }

    /// Text; between elements only blanks, which keep a connection alive, are allowed.
    fn text(&mut self, byte: u8) -> Result<(), StanzaError> {
        if self.depth > 0 {
            return Ok(());
        }
        if !byte.is_ascii_whitespace() {
            return Err(StanzaError::StrayText);
        }
        self.forget();
        Ok(())
    }

    /// After a comment or an instruction: outside of elements it is dropped.
    fn between(&mut self) -> State {
        if self.depth == 0 {
            self.forget();
        }
        State::Text
    }

    /// Drops what was looked at.
    fn forget(&mut self) {
        self.start = self.at;
    }

    fn tag(&self, skip: usize) -> &[u8] {
        let tag = self.buffer.get(self.tag_at.saturating_add(skip)..self.at).unwrap_or_default();
        let end =
            tag.iter().position(|byte| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace());
        let name = tag.get(..end.unwrap_or(tag.len())).unwrap_or_default();
        name.rsplit(|byte| *byte == b':').next().unwrap_or_default()
    }

    fn start_tag(&mut self) -> Result<Option<Stanza>, StanzaError> {
        self.state = State::Text;
        let empty = self.buffer.get(self.at.saturating_sub(2)) == Some(&b'/');
        if self.depth == 0 && !empty && self.tag(1) == b"stream" {
            self.forget();
            return Ok(Some(Stanza::Open));
        }
        if !empty {
            self.depth += 1;
            if self.depth > Self::DEPTH_MAX {
                return Err(StanzaError::TooDeep);
            }
        }
        self.whole()
    }

    fn end_tag(&mut self) -> Result<Option<Stanza>, StanzaError> {
        self.state = State::Text;
        if self.depth == 0 {
            if self.tag(2) == b"stream" {
                self.forget();
                return Ok(Some(Stanza::Close));
            }
            return Err(StanzaError::StrayEnd);
        }
        self.depth -= 1;
        self.whole()
    }

    /// The element that has just ended, where it stands at the top.
    fn whole(&mut self) -> Result<Option<Stanza>, StanzaError> {
        if self.depth > 0 {
            return Ok(None);
        }
        let element = self.buffer.get(self.start..self.at).unwrap_or_default();
        let text = std::str::from_utf8(element).map_err(|_| StanzaError::NotUtf8)?.to_owned();
        self.forget();
        Ok(Some(Stanza::Element(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(portions: &[&str]) -> Result<Vec<Stanza>, StanzaError> {
        let mut reader = StanzaReader::default();
        let mut found = Vec::new();
        for portion in portions {
            reader.push(portion.as_bytes());
            while let Some(stanza) = reader.next()? {
                found.push(stanza);
            }
        }
        Ok(found)
    }

    fn element(text: &str) -> Stanza {
        Stanza::Element(text.to_owned())
    }

    #[test]
    fn a_stream_is_cut_wherever_its_bytes_are_split() {
        let text = "<?xml version='1.0'?><stream:stream id='1' x=\">\"> <stream:features>\
                    <a b='</stream:features>'/><!-- > -- --></stream:features>\n\
                    <?xml version='1.0'?><LDM_interface v='é'><![CDATA[</LDM_interface>]]>x</LDM_interface>\
                    <e/></stream:stream>";
        let expected = vec![
            Stanza::Open,
            element("<stream:features><a b='</stream:features>'/><!-- > -- --></stream:features>"),
            element("<LDM_interface v='é'><![CDATA[</LDM_interface>]]>x</LDM_interface>"),
            element("<e/>"),
            Stanza::Close,
        ];
        assert_eq!(all(&[text]), Ok(expected.clone()));
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            let (a, b) = text.split_at(at);
            assert_eq!(all(&[a, b]), Ok(expected.clone()), "split at {at}");
        }
    }

    #[test]
    fn a_mark_of_the_byte_order_may_stand_before_each_document() {
        let text = "\u{feff}<a/>\n \u{feff}<b>\u{feff}</b>".as_bytes();
        for length in 1..text.len() {
            let mut reader = StanzaReader::default();
            let mut found = Vec::new();
            for portion in text.chunks(length) {
                reader.push(portion);
                while let Some(stanza) = reader.next().unwrap() {
                    found.push(stanza);
                }
            }
            assert_eq!(found, [element("<a/>"), element("<b>\u{feff}</b>")], "{length}");
        }
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        for (text, error) in [
            ("\u{feff}\u{feff}\u{fee0}", StanzaError::StrayText),
            ("é", StanzaError::StrayText),
            ("HTTP/1.1 400", StanzaError::StrayText),
            ("<!DOCTYPE a>", StanzaError::DocumentType),
            ("<a><!ENTITY b 'c'></a>", StanzaError::DocumentType),
            ("</a>", StanzaError::StrayEnd),
            ("<>", StanzaError::Markup),
            ("<a <b>", StanzaError::Markup),
            (&"<a>".repeat(65), StanzaError::TooDeep),
        ] {
            assert_eq!(all(&[text]), Err(error), "{text}");
        }
        let mut reader = StanzaReader::default();
        reader.push(b"<a>\xff</a>");
        assert_eq!(reader.next(), Err(StanzaError::NotUtf8));
    }

    #[test]
    fn an_endless_element_is_given_up() {
        let mut reader = StanzaReader::default();
        reader.push(b"<a>");
        let portion = vec![b'x'; 1 << 20];
        let ended = (0..64).find_map(|_| {
            reader.push(&portion);
            reader.next().err()
        });
        assert_eq!(ended, Some(StanzaError::TooLarge));
    }
}
