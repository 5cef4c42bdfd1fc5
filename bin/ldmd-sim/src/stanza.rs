//! Cuts what a client sends into stanzas, knowing nothing of their meaning.
//!
//! Prefixes need no declarations here: names are compared as they are written. A stream header
//! opens no stanza, so that the same reader serves streams and single documents.

/// Limit: one stanza with everything inside.
pub(crate) const STANZA_BYTES_MAX: usize = 8 << 20;
/// Limit: elements inside one another.
const DEPTH_MAX: usize = 128;

/// What comes next in the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// `<stream:stream ...>`.
    Header,
    /// `</stream:stream>`.
    End,
    /// A whole element.
    Stanza(String),
    /// What cannot be read; nothing of what came so far is kept.
    Broken(&'static str),
}

/// Bytes in, pieces out.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    buffer: Vec<u8>,
    /// What is before it was looked at.
    at: usize,
    /// Where the stanza begins that is open.
    start: usize,
    open: Vec<String>,
}

enum Token {
    Skip,
    Start { name: String, empty: bool },
    End(String),
}

impl Splitter {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The name of the outermost element that is open.
    pub(crate) fn root(&self) -> Option<&str> {
        self.open.first().map(String::as_str)
    }

    /// The next whole piece, if there is one.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let text_len = rest.iter().position(|byte| *byte == b'<').unwrap_or(rest.len());
            let text = rest.get(..text_len).unwrap_or_default();
            if self.open.is_empty() && !text.iter().all(u8::is_ascii_whitespace) {
                return self.broken("text outside of a stanza");
            }
            if self.buffer.len().saturating_sub(self.start) > STANZA_BYTES_MAX {
                return self.broken("the stanza is too large");
            }
            self.at += text_len;
            if self.open.is_empty() {
                self.forget_before(self.at);
            }
            let (token, len) = match token(self.buffer.get(self.at..).unwrap_or_default()) {
                Ok(Some(found)) => found,
                Ok(None) => return None,
                Err(reason) => return self.broken(reason),
            };
            let begin = self.at;
            self.at += len;
            if let Some(piece) = self.take(token, begin) {
                return Some(piece);
            }
        }
    }

    fn take(&mut self, token: Token, begin: usize) -> Option<Piece> {
        match token {
            Token::Skip => None,
            Token::Start { name, .. } if self.open.is_empty() && local(&name) == "stream" => {
                self.forget_before(self.at);
                Some(Piece::Header)
            }
            Token::Start { name, empty } => {
                if self.open.is_empty() {
                    self.start = begin;
                }
                if empty && self.open.is_empty() {
                    return Some(self.whole());
                }
                if self.open.len() >= DEPTH_MAX {
                    return self.broken("the stanza is too deep");
                }
                if !empty {
                    self.open.push(name);
                }
                None
            }
            Token::End(name) => match self.open.pop() {
                None if local(&name) == "stream" => {
                    self.forget_before(self.at);
                    Some(Piece::End)
                }
                Some(expected) if expected == name => self.open.is_empty().then(|| self.whole()),
                _ => self.broken("an end tag has no start"),
            },
        }
    }

    fn whole(&mut self) -> Piece {
        let bytes = self.buffer.get(self.start..self.at).unwrap_or_default().to_vec();
        self.forget_before(self.at);
        String::from_utf8(bytes).map_or(Piece::Broken("not UTF-8"), Piece::Stanza)
    }

    fn broken(&mut self, reason: &'static str) -> Option<Piece> {
        *self = Self::default();
        Some(Piece::Broken(reason))
    }

    fn forget_before(&mut self, at: usize) {
        self.buffer.drain(..at.min(self.buffer.len()));
        self.at = 0;
        self.start = 0;
    }
}

/// The name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// The token at the start of `bytes`, which is `<`, with its length; none while it is not whole.
fn token(bytes: &[u8]) -> Result<Option<(Token, usize)>, &'static str> {
    for (open, close) in [("<?", "?>"), ("<!--", "-->"), ("<![CDATA[", "]]>")] {
        if bytes.starts_with(open.as_bytes()) {
            let rest = bytes.get(open.len()..).unwrap_or_default();
            let end = rest.windows(close.len()).position(|window| window == close.as_bytes());
            return Ok(end.map(|end| (Token::Skip, open.len() + end + close.len())));
        }
        if bytes.len() < open.len() && open.as_bytes().starts_with(bytes) {
            return Ok(None);
        }
    }
    if bytes.starts_with(b"<!") {
        return Err("declarations are not allowed");
    }
    let Some(end) = tag_end(bytes) else { return Ok(None) };
    let inside = bytes.get(1..end).unwrap_or_default();
    let inside = std::str::from_utf8(inside).map_err(|_| "not UTF-8")?;
    let name = |text: &str| {
        let end = text.find(|c: char| c.is_ascii_whitespace() || c == '/').unwrap_or(text.len());
        text.get(..end).filter(|name| !name.is_empty()).map(str::to_owned).ok_or("no name")
    };
    let token = match inside.strip_prefix('/') {
        Some(rest) => Token::End(name(rest)?),
        None => Token::Start { name: name(inside)?, empty: inside.ends_with('/') },
    };
    Ok(Some((token, end + 1)))
}

/// Where the tag's `>` is, which may not stand inside a value.
fn tag_end(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, *byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(splitter: &mut Splitter) -> Vec<Piece> {
        std::iter::from_fn(|| splitter.next()).collect()
    }

    fn stanza(text: &str) -> Piece {
        Piece::Stanza(text.to_owned())
    }

    const SESSION: &str = "<?xml version='1.0'?><stream:stream a=\">\" version='1.0'>\n\
        <?xml version='1.0'?><a x='/>'><b/><!-- <c> --><![CDATA[</a>]]></a> <e/></stream:stream>";

    #[test]
    fn a_stream_is_cut_alike_however_it_arrives() {
        let expected = [
            Piece::Header,
            stanza("<a x='/>'><b/><!-- <c> --><![CDATA[</a>]]></a>"),
            stanza("<e/>"),
            Piece::End,
        ];
        for step in [1, 2, 7, 1000] {
            let mut splitter = Splitter::default();
            let mut found = Vec::new();
            for bytes in SESSION.as_bytes().chunks(step) {
                splitter.push(bytes);
                found.extend(all(&mut splitter));
            }
            assert_eq!(found, expected, "{step} bytes at a time");
        }
    }

    #[test]
    fn broken_input_is_said_once_and_then_forgotten() {
        for text in ["hello", "<a></b>", "</a>", "<!DOCTYPE a>", "<a>\u{0}</a", "<>"] {
            let mut splitter = Splitter::default();
            splitter.push(text.as_bytes());
            let found = all(&mut splitter);
            let open = text.ends_with("</a");
            assert_eq!(matches!(found.as_slice(), [Piece::Broken(_)]), !open, "{text}");
            if !open {
                splitter.push(b"<ok/>");
                assert_eq!(all(&mut splitter), [stanza("<ok/>")]);
            }
        }
    }

    #[test]
    fn limits_hold() {
        let mut splitter = Splitter::default();
        splitter.push("<a>".repeat(DEPTH_MAX + 1).as_bytes());
        assert!(matches!(all(&mut splitter).as_slice(), [Piece::Broken(_)]));
        splitter.push(b"<a>");
        splitter.push(&vec![b'x'; STANZA_BYTES_MAX]);
        assert!(matches!(splitter.next(), Some(Piece::Broken(_))));
    }

    proptest::proptest! {
        /// Whatever comes, and however it is cut, ends in pieces, and they are the same ones.
        #[test]
        fn any_bytes_are_cut_alike(
            words in proptest::collection::vec(proptest::sample::select(WORDS), 0..40),
            step in 1usize..9,
        ) {
            let text = words.concat();
            let mut whole = Splitter::default();
            whole.push(text.as_bytes());
            let expected = all(&mut whole);
            let mut splitter = Splitter::default();
            let mut found = Vec::new();
            for bytes in text.as_bytes().chunks(step) {
                splitter.push(bytes);
                found.extend(all(&mut splitter));
            }
            // After what is broken nothing is sure: how much of it came decides.
            let sure = |pieces: &[Piece]| {
                let is_sure = |piece: &&Piece| !matches!(piece, Piece::Broken(_));
                pieces.iter().take_while(is_sure).cloned().collect::<Vec<_>>()
            };
            proptest::prop_assert_eq!(sure(&found), sure(&expected));
            for piece in expected {
                if let Piece::Stanza(text) = piece {
                    crate::message::Request::parse(&text);
                }
            }
        }
    }

    const WORDS: &[&str] = &[
        "<",
        ">",
        "/",
        "a",
        "<a>",
        "</a>",
        "<b/>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?x",
        "?>",
        "'",
        "\"",
        " ",
        "=",
        "&amp;",
        "&",
        "<stream:stream>",
        "</stream:stream>",
        "\u{e9}",
        "<LDM_interface>",
        "</LDM_interface>",
        "<cmd>",
        "</cmd>",
        "<data>",
        "</data>",
        "<ldom>",
        "</ldom>",
        "<Envelope>",
        "</Envelope>",
        "<Content id='x'>",
        "</Content>",
        "<Item>",
    ];
}
