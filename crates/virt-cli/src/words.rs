//! Words of a command line: from one string with quotes, or already split by the calling shell.

use std::str::Chars;

/// What comes next on the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Word(String),
    /// `;` or a line's end: the command is complete, another may follow.
    EndOfCommand,
    End,
}

/// A source of words. Reading stops at the first error, which is the message to show.
pub(crate) trait Words {
    fn next_token(&mut self) -> Result<Token, &'static str>;
}

/// Words that the calling shell has split: all of them are one command.
pub(crate) struct SplitWords<'a>(pub std::slice::Iter<'a, String>);

impl Words for SplitWords<'_> {
    fn next_token(&mut self) -> Result<Token, &'static str> {
        Ok(self.0.next().map_or(Token::End, |word| Token::Word(word.clone())))
    }
}

/// Words in one string, with quotes, escapes, comments and several commands.
pub(crate) struct QuotedWords<'a> {
    rest: Chars<'a>,
}

impl<'a> QuotedWords<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        Self { rest: line.chars() }
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let next = self.peek().filter(|c| wanted(*c));
        if next.is_some() {
            self.rest.next();
        }
        next
    }

    /// Skips what may stand between words: blanks, continued lines, a comment.
    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => {
                    self.rest.next();
                }
                Some('\\') if self.rest.as_str().starts_with("\\\n") => {
                    self.rest.nth(1);
                }
                Some('#') => while self.next_if(|c| c != '\n').is_some() {},
                _ => return,
            }
        }
    }

    /// The character after a backslash; `None` for a continued line, which stands for nothing.
    fn escaped(&mut self) -> Result<Option<char>, &'static str> {
        let next = self.rest.next().ok_or("dangling \\")?;
        Ok((next != '\n').then_some(next))
    }

    fn double_quoted(&mut self, word: &mut String) -> Result<(), &'static str> {
        loop {
            match self.rest.next().ok_or("missing \"")? {
                '"' => return Ok(()),
                '\\' => word.extend(self.escaped()?),
                other => word.push(other),
            }
        }
    }
}

impl Words for QuotedWords<'_> {
    fn next_token(&mut self) -> Result<Token, &'static str> {
        self.skip_blanks();
        match self.peek() {
            None => return Ok(Token::End),
            Some(';' | '\n') => {
                self.rest.next();
                return Ok(Token::EndOfCommand);
            }
            Some(_) => {}
        }
        let mut word = String::new();
        while let Some(next) = self.next_if(|c| !matches!(c, ' ' | '\t' | ';' | '\n')) {
            match next {
                // Compat: a single quote without its partner ends with the line, silently.
                '\'' => word.extend(self.rest.by_ref().take_while(|c| *c != '\'')),
                '"' => self.double_quoted(&mut word)?,
                '\\' => word.extend(self.escaped()?),
                other => word.push(other),
            }
        }
        Ok(Token::Word(word))
    }
}

#[cfg(test)]
mod tests {
    use super::{QuotedWords, Token, Words};

    fn split(line: &str) -> Result<Vec<String>, &'static str> {
        let mut words = QuotedWords::new(line);
        let mut found = Vec::new();
        loop {
            match words.next_token()? {
                Token::Word(word) => found.push(word),
                Token::EndOfCommand => found.push("<;>".into()),
                Token::End => return Ok(found),
            }
        }
    }

    #[test]
    fn quotes_and_escapes() {
        for (line, want) in [
            ("echo a \t b", vec!["echo", "a", "b"]),
            ("echo \"a \t b\"", vec!["echo", "a \t b"]),
            ("echo a\\ \\\t\\ b", vec!["echo", "a \t b"]),
            ("'a\\b' \"a\\b\" \"a\\\"b\" a\\\\b", vec!["a\\b", "ab", "a\"b", "a\\b"]),
            ("a \"b\"c'd' e", vec!["a", "bcd", "e"]),
            ("echo 'abc", vec!["echo", "abc"]),
            ("'' x \"\"", vec!["", "x", ""]),
            ("a;b\nc;;", vec!["a", "<;>", "b", "<;>", "c", "<;>", "<;>"]),
            ("a #b 'c\nd", vec!["a", "<;>", "d"]),
            ("a#b '#' \\#", vec!["a#b", "#", "#"]),
            ("ec\\\nho \\\n \"a\\\nb\" 'x\\\ny'", vec!["echo", "ab", "x\\\ny"]),
            ("", vec![]),
        ] {
            assert_eq!(
                split(line).as_deref(),
                Ok(&*want.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()),
                "{line}"
            );
        }
    }

    #[test]
    fn unfinished_lines() {
        assert_eq!(split("echo \"abc"), Err("missing \""));
        assert_eq!(split("echo a \\"), Err("dangling \\"));
    }
}
