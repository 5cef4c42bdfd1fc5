//! The key that leaves a console.

/// One byte: a plain character or a control character written `^X`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Escape {
    pub(crate) byte: u8,
    /// The letter that is pressed with Ctrl, as the person wrote it.
    letter: Option<char>,
}

impl Default for Escape {
    /// `^]`, as telnet has it.
    fn default() -> Self {
        Self::control(b']')
    }
}

impl Escape {
    const fn control(letter: u8) -> Self {
        Self { byte: letter.to_ascii_uppercase() & 0x1f, letter: Some(letter as char) }
    }

    /// Reads `^X` or one character.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            [b'^'] => None,
            [plain] => Some(Self { byte: *plain, letter: None }),
            [b'^', letter @ (b'@'..=b'_' | b'a'..=b'z')] => Some(Self::control(*letter)),
            _ => None,
        }
    }

    /// How a person types it: `^] (Ctrl + ])`.
    pub(crate) fn describe(self) -> String {
        match self.letter {
            Some(letter) => format!("^{letter} (Ctrl + {letter})"),
            None => char::from(self.byte).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Escape;

    #[test]
    fn spellings() {
        assert_eq!(Escape::default().describe(), "^] (Ctrl + ])");
        assert_eq!(Escape::parse("^a").map(Escape::describe).as_deref(), Some("^a (Ctrl + a)"));
        assert_eq!(Escape::parse("a").map(|escape| escape.byte), Some(b'a'));
        for bad in ["", "^", "xy", "^ab", "^?", "^1"] {
            assert_eq!(Escape::parse(bad), None, "{bad}");
        }
    }
}
