//! Makes the output of two runs comparable: what differs by its nature becomes a name.
//!
//! The rules are those of the recorded sessions: UUIDs and MAC addresses that nobody chose, times
//! near now, CPU times, the names of internal functions.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::shell::Outcome;

/// Of the default world of the test driver; these are the same everywhere.
const FIXED: &[&str] = &[
    "6695eb01-f6a4-8304-79aa-97f2502e193f",
    "dd8fe884-6c02-601e-7551-cca97df1c5df",
    "dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566",
    "11111111-2222-3333-4444-555555555555",
    "00000000-0000-0000-0000-000000000000",
    "aa:bb:cc:dd:ee:ff",
    "00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff",
];

/// `x` stands for a hexadecimal digit, `9` for a decimal one.
const UUID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
const MAC: &str = "xx:xx:xx:xx:xx:xx";
const DATE: &str = "9999-99-99 99:99:99";
const EPOCH: &str = "9999999999";

/// How far from now a number of seconds is still a time of this run.
const NEAR_S: u64 = 3 * 86_400;

pub struct Normaliser {
    known: String,
    replaced: Vec<(String, String)>,
}

impl Normaliser {
    /// `known` is all the text that the test itself chose: names in it are kept.
    pub fn new(known: &str) -> Self {
        Self { known: known.to_lowercase(), replaced: Vec::new() }
    }

    /// Also replaces a text, as a folder's or an address's, by a name.
    #[must_use]
    pub fn replacing(mut self, text: impl Into<String>, name: &str) -> Self {
        self.replaced.push((text.into(), name.to_owned()));
        self
    }

    /// Both outputs of one run: the first UUID in them is `{UUID1}` wherever it stands.
    pub fn outcome(&self, outcome: &Outcome) -> Outcome {
        let (mut uuids, mut macs) = (Vec::new(), Vec::new());
        let mut one = |text: &str| {
            let mut text = text.to_owned();
            for (from, to) in &self.replaced {
                text = text.replace(from, to);
            }
            text = after(&text, "CPU time:", |rest| {
                let blanks = rest.len() - rest.trim_start().len();
                let digits = rest[blanks..].find(|c: char| !c.is_ascii_digit() && c != '.');
                digits.map(|length| (format!("{}{{SECONDS}}", &rest[..blanks]), blanks + length))
            });
            text = after(&text, " in function ", |rest| {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                Some(("{FUNC}".to_owned(), end.unwrap_or(rest.len())))
            });
            text = each(&text, EPOCH, |found| self.is_near(found).then(|| "{EPOCH}".to_owned()));
            text = each(&text, DATE, |found| {
                let now = self.today_and_neighbours();
                now.iter().any(|day| found.starts_with(day)).then(|| "{DATE}".to_owned())
            });
            text = each(&text, UUID, |found| self.numbered(found, "UUID", &mut uuids));
            each(&text, MAC, |found| self.numbered(found, "MAC", &mut macs))
        };
        let (stdout, stderr) = (one(&outcome.stdout), one(&outcome.stderr));
        Outcome { stdout, stderr, code: outcome.code }
    }

    fn numbered(&self, found: &str, kind: &str, seen: &mut Vec<String>) -> Option<String> {
        if FIXED.contains(&found) || self.known.contains(found) {
            return None;
        }
        let at = seen.iter().position(|other| other == found).unwrap_or_else(|| {
            seen.push(found.to_owned());
            seen.len() - 1
        });
        Some(format!("{{{kind}{}}}", at + 1))
    }

    fn is_near(&self, found: &str) -> bool {
        let near = |seconds: u64| now_s().abs_diff(seconds) < NEAR_S;
        !self.known.contains(found) && found.parse().is_ok_and(near)
    }

    fn today_and_neighbours(&self) -> [String; 3] {
        let day = now_s() / 86_400;
        [day - 1, day, day + 1].map(date)
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The date of a day counted from 1970, as `2026-11-21`.
fn date(day: u64) -> String {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut left) = (1970, day);
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", left + 1)
}

/// Replaces what follows each `label`: `of` gives the new text and how much of the old it is for.
fn after(text: &str, label: &str, of: impl Fn(&str) -> Option<(String, usize)>) -> String {
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(label) {
        let (before, from) = rest.split_at(at + label.len());
        made.push_str(before);
        let (new, length) = of(from).unwrap_or_default();
        made.push_str(&new);
        rest = &from[length..];
    }
    made + rest
}

/// Replaces each stretch of the form `form`, standing alone, for which `of` gives a new text.
fn each(text: &str, form: &str, mut of: impl FnMut(&str) -> Option<String>) -> String {
    let mut made = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let end = at + form.len();
        let found = text.get(at..end).filter(|part| has_form(part, form) && alone(text, at, end));
        match found.and_then(&mut of) {
            Some(new) => {
                made.push_str(&new);
                at = end;
            }
            None => {
                made.push(next);
                at += next.len_utf8();
            }
        }
    }
    made
}

fn has_form(part: &str, form: &str) -> bool {
    part.bytes().zip(form.bytes()).all(|(byte, wanted)| match wanted {
        b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        b'9' => byte.is_ascii_digit(),
        other => byte == other,
    })
}

fn alone(text: &str, start: usize, end: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    !text[..start].ends_with(is_word) && !text[end..].starts_with(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(known: &str, stdout: &str, stderr: &str) -> (String, String) {
        let outcome =
            Outcome { stdout: stdout.to_owned(), stderr: stderr.to_owned(), code: Some(0) };
        let outcome = Normaliser::new(known).replacing("/tmp/x", "{DIR}").outcome(&outcome);
        (outcome.stdout, outcome.stderr)
    }

    #[test]
    fn only_what_nobody_chose_is_renamed() {
        let chosen = "12345678-1234-1234-1234-123456789012";
        let made = "abcdefab-1234-1234-1234-123456789012";
        let fixed = FIXED[0];
        let (stdout, stderr) = normalised(
            &format!("<uuid>{chosen}</uuid>"),
            &format!("{chosen} {made} {fixed} 52:54:00:11:22:33 /tmp/x/a"),
            made,
        );
        assert_eq!(stdout, format!("{chosen} {{UUID1}} {fixed} {{MAC1}} {{DIR}}/a"));
        assert_eq!(stderr, "{UUID1}");
    }

    #[test]
    fn times_near_now_are_renamed() {
        let now = now_s();
        let text =
            format!("CPU time:       12.5s\n{now} 1234567890 {} 10:00:00", date(now / 86_400));
        assert_eq!(
            normalised("", &text, "bad flags in function virX\n"),
            (
                "CPU time:       {SECONDS}s\n{EPOCH} 1234567890 {DATE}".to_owned(),
                "bad flags in function {FUNC}\n".to_owned()
            )
        );
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(20_778), "2026-11-21");
    }
}
