//! The key that leaves a console.

/// One byte: a plain character or a control character written `^X`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Escape(pub(crate) u8);

impl Default for Escape {
    /// `^]`, as telnet has it.
    fn default() -> Self {
        Self(control(b']'))
    }
}

const fn control(letter: u8) -> u8 {
    letter.to_ascii_uppercase() & 0x1f
}

impl Escape {
    /// Reads `^X` or one character.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            [b'^'] => None,
            [plain] => Some(Self(*plain)),
            [b'^', letter] if letter.is_ascii() => Some(Self(control(*letter))),
            _ => None,
        }
    }

    /// How a person types it: `^] (Ctrl + ])`.
    pub(crate) fn describe(self) -> String {
        if self.0.is_ascii_control() {
            let key = char::from(self.0 ^ 0x40);
            format!("^{key} (Ctrl + {key})")
        } else {
            char::from(self.0).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Escape;

    #[test]
    fn spellings() {
        assert_eq!(Escape::default().describe(), "^] (Ctrl + ])");
        assert_eq!(Escape::parse("^a").map(Escape::describe).as_deref(), Some("^A (Ctrl + A)"));
        assert_eq!(Escape::parse("a"), Some(Escape(b'a')));
        for bad in ["", "^", "xy", "^ab"] {
            assert_eq!(Escape::parse(bad), None, "{bad}");
        }
    }
}
