//! Options before the command, in the manner of GNU `getopt_long`: short ones bundled, long ones
//! abbreviated, the first word that is no option ends them.

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Value,
    /// A value only after `=`, and only for the long form.
    Maybe,
}

/// One option of the program itself.
#[derive(Clone, Copy, Debug)]
pub struct GlobalOption {
    /// What [`Typed::option`] says; also the short form, if `short`.
    pub letter: char,
    pub short: bool,
    /// Empty: there is no long form.
    pub long: &'static str,
    pub takes: Takes,
}

/// An option as it was typed.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    pub option: char,
    /// As typed, for messages: `-k` or `--keepalive-interval`.
    pub spelling: String,
    pub value: Option<String>,
}

/// Reads the options and returns them with the index of the first word that is none.
///
/// A mistake ends the list: options before it still count, as they are obeyed in order.
pub fn scan_globals(
    options: &[GlobalOption],
    words: &[String],
) -> (Vec<Typed>, Result<usize, String>) {
    let mut scanner = Scanner { options, words, at: 0, found: Vec::new() };
    let end = scanner.run();
    (scanner.found, end)
}

struct Scanner<'a> {
    options: &'a [GlobalOption],
    words: &'a [String],
    at: usize,
    found: Vec<Typed>,
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<usize, String> {
        while let Some(word) = self.words.get(self.at) {
            if word == "--" {
                return Ok(self.at + 1);
            }
            if let Some(long) = word.strip_prefix("--") {
                self.at += 1;
                self.long(word, long)?;
            } else if word.len() > 1 && word.starts_with('-') {
                self.at += 1;
                self.bundle(&word[1..])?;
            } else {
                return Ok(self.at);
            }
        }
        Ok(self.at)
    }

    fn long(&mut self, word: &str, text: &str) -> Result<(), String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let option = self.match_long(name).ok_or_else(|| unsupported(word))?;
        let value = match (option.takes, value) {
            (Takes::Nothing, Some(_)) => return Err(unsupported(&format!("-{}", option.letter))),
            (Takes::Value, None) => Some(self.next_value(option)?),
            (_, value) => value,
        };
        self.found.push(Typed {
            option: option.letter,
            spelling: format!("--{}", option.long),
            value,
        });
        Ok(())
    }

    /// The option of this name, or the only one that begins so.
    fn match_long(&self, name: &str) -> Option<GlobalOption> {
        if let Some(exact) = self.options.iter().find(|o| !o.long.is_empty() && o.long == name) {
            return Some(*exact);
        }
        let mut like =
            self.options.iter().filter(|o| !o.long.is_empty() && o.long.starts_with(name));
        let first = like.next()?;
        like.next().is_none().then_some(*first)
    }

    fn bundle(&mut self, letters: &str) -> Result<(), String> {
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            let spelling = format!("-{letter}");
            let option = self.options.iter().find(|o| o.short && o.letter == letter);
            let option = *option.ok_or_else(|| unsupported(&spelling))?;
            let value = match (option.takes, rest.as_str()) {
                (Takes::Value, "") => Some(self.next_value(option)?),
                (Takes::Value, glued) => Some(glued.to_owned()),
                _ => None,
            };
            let ends = value.is_some();
            self.found.push(Typed { option: letter, spelling, value });
            if ends {
                break;
            }
        }
        Ok(())
    }

    fn next_value(&mut self, option: GlobalOption) -> Result<String, String> {
        let value = self.words.get(self.at).cloned();
        self.at += 1;
        let (letter, long) = (option.letter, option.long);
        value.ok_or_else(|| match option.short {
            true => format!("option '-{letter}'/'--{long}' requires an argument"),
            false => format!("option '--{long}' requires an argument"),
        })
    }
}

fn unsupported(word: &str) -> String {
    format!("unsupported option '{word}'. See --help.")
}

#[cfg(test)]
mod tests {
    use super::{GlobalOption, Takes, scan_globals};

    const fn option(letter: char, short: bool, long: &'static str, takes: Takes) -> GlobalOption {
        GlobalOption { letter, short, long, takes }
    }

    const OPTIONS: &[GlobalOption] = &[
        option('c', true, "connect", Takes::Value),
        option('q', true, "quiet", Takes::Nothing),
        option('k', true, "keepalive-interval", Takes::Value),
        option('K', true, "keepalive-count", Takes::Value),
        option('v', true, "version", Takes::Maybe),
    ];

    fn read(line: &str) -> String {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let (found, end) = scan_globals(OPTIONS, &words);
        let mut out: Vec<String> = found
            .iter()
            .map(|typed| match &typed.value {
                Some(value) => format!("{}={value}", typed.spelling),
                None => typed.spelling.clone(),
            })
            .collect();
        out.push(match end {
            Ok(at) => format!("@{at}"),
            Err(error) => format!("! {error}"),
        });
        out.join(" ")
    }

    #[test]
    fn forms() {
        for (line, want) in [
            ("list -q", "@0"),
            ("-q list", "-q @1"),
            ("-qc u list", "-q -c=u @2"),
            ("-qcu list", "-q -c=u @1"),
            ("--connect=u --qui", "--connect=u --quiet @2"),
            ("--c u -- -q", "--connect=u @3"),
            ("--version=long", "--version=long @1"),
            ("--version long", "--version @1"),
            ("-v", "-v @1"),
            ("- x", "@0"),
            ("-q -x", "-q ! unsupported option '-x'. See --help."),
            ("--ke 5", "! unsupported option '--ke'. See --help."),
            ("--nosuch", "! unsupported option '--nosuch'. See --help."),
            ("--quiet=3", "! unsupported option '-q'. See --help."),
            ("--connect", "! option '-c'/'--connect' requires an argument"),
            ("-K", "! option '-K'/'--keepalive-count' requires an argument"),
        ] {
            assert_eq!(read(line), want, "{line}");
        }
    }
}
