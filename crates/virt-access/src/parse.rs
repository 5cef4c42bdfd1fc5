//! Reads a file of rules; what is wrong is told with its line and column, and what to write instead.

use std::fmt;

use virt_model::schema::nearest::nearest;

use crate::generated::PERMISSIONS;
use crate::rules::{Attribute, Pattern, Rule, Rules, Trait, Verdict};

/// Limit: a file of rules.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;
/// Limit: rules; every permission of every call looks at them in order.
const RULES_MAX: usize = 4096;
/// Limit: words of one rule.
const WORDS_MAX: usize = 256;

/// What is wrong with a file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesError {
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    what: String,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}

impl std::error::Error for RulesError {}

/// A word of a line, without its quotes.
struct Word {
    column: usize,
    text: String,
    /// It has quotes: then it is never one of the file's own words.
    quoted: bool,
}

type Fault = (usize, String);

pub(crate) fn rules(text: &str) -> Result<Rules, RulesError> {
    let fault = |line: usize, (column, what): Fault| RulesError { line, column, what };
    if text.len() > FILE_BYTES_MAX {
        return Err(fault(1, (1, format!("a file has at most {FILE_BYTES_MAX} bytes"))));
    }
    let mut list = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let words = words(line).map_err(|error| fault(number, error))?;
        if words.is_empty() {
            continue;
        }
        if list.len() >= RULES_MAX {
            return Err(fault(number, (1, format!("a file has at most {RULES_MAX} rules"))));
        }
        list.push(rule(number, line, &words).map_err(|error| fault(number, error))?);
    }
    Ok(Rules::new(list))
}

fn words(line: &str) -> Result<Vec<Word>, Fault> {
    let mut words: Vec<Word> = Vec::new();
    let mut inside: Option<Word> = None;
    let mut quote_at = None;
    let mut chars = line.chars().enumerate();
    while let Some((at, c)) = chars.next() {
        let column = at + 1;
        if quote_at.is_none() && (c.is_whitespace() || c == '#') {
            words.extend(inside.take());
            if c == '#' {
                break;
            }
            continue;
        }
        let word =
            inside.get_or_insert_with(|| Word { column, text: String::new(), quoted: false });
        match c {
            '"' => {
                word.quoted = true;
                quote_at = if quote_at.is_some() { None } else { Some(column) };
            }
            '\\' if quote_at.is_some() => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => word.text.push(c),
                _ => return Err((column, "'\\' stands before '\"' or '\\' only".to_owned())),
            },
            c => word.text.push(c),
        }
        if words.len() >= WORDS_MAX {
            return Err((column, format!("a rule has at most {WORDS_MAX} words")));
        }
    }
    if let Some(column) = quote_at {
        return Err((column, "the quote that begins here does not end on this line".to_owned()));
    }
    words.extend(inside);
    Ok(words)
}

/// The parts of a rule, in their order.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Who,
    What,
    On,
}

fn rule(line: usize, text: &str, words: &[Word]) -> Result<Rule, Fault> {
    let end = text.chars().count() + 1;
    let [verb, words @ ..] = words else { return Err((end, "a rule expected".to_owned())) };
    let verdict = match verb.text.as_str() {
        "allow" if !verb.quoted => Verdict::Allow,
        "deny" if !verb.quoted => Verdict::Deny,
        other => {
            let what = format!("a rule begins with 'allow' or 'deny', not with '{other}'");
            return Err((verb.column, what));
        }
    };
    let mut rule = Rule::new(verdict, line);
    let mut part = Part::Who;
    let (mut everyone, mut empty) = (false, true);
    for word in words {
        let next = match word.text.as_str() {
            "to" if !word.quoted => Some(Part::What),
            "on" if !word.quoted => Some(Part::On),
            _ => None,
        };
        match (part, next) {
            (Part::Who, Some(Part::What)) | (Part::What, Some(Part::On)) => {
                if empty {
                    return Err((word.column, missing(part)));
                }
                part = next.unwrap_or(part);
                empty = true;
                continue;
            }
            (_, Some(_)) => {
                let what = format!("'{}' cannot stand here; {ORDER}", word.text);
                return Err((word.column, what));
            }
            (Part::Who, None) if word.text == "everyone" && !word.quoted => everyone = true,
            (Part::Who, None) => rule.add_who(who(word)?),
            (Part::What, None) => rule.add_permission(permission(word)?),
            (Part::On, None) => {
                let (attribute, pattern) = condition(word, &Attribute::ALL.map(Attribute::word))?;
                let attribute = Attribute::ALL.into_iter().find(|one| one.word() == attribute);
                if let Some(attribute) = attribute {
                    rule.add_object(attribute, pattern);
                }
            }
        }
        if everyone && rule.has_who() {
            return Err((word.column, "'everyone' stands alone".to_owned()));
        }
        empty = false;
    }
    if part == Part::Who {
        return Err((end, format!("'to' and permissions are missing; {ORDER}")));
    }
    if empty {
        return Err((end, missing(part)));
    }
    Ok(rule)
}

const ORDER: &str = "a rule reads: allow WHO... to PERMISSION... [on OBJECT...]";

fn missing(part: Part) -> String {
    match part {
        Part::Who => "who? 'everyone', or conditions such as user=alice".to_owned(),
        Part::What => "which permissions? '*', or names such as domain.start".to_owned(),
        Part::On => "on which objects? conditions such as name=web-*".to_owned(),
    }
}

/// `key=pattern`, with a key that is known.
fn condition<'k>(word: &Word, known: &[&'k str]) -> Result<(&'k str, Pattern), Fault> {
    let Some((key, pattern)) = word.text.split_once('=') else {
        let what = format!("'{}' is no condition; one reads KEY=PATTERN", word.text);
        return Err((word.column, what));
    };
    let Some(key) = known.iter().find(|one| **one == key) else {
        let hint = match nearest(key, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("there are: {}", known.join(", ")),
        };
        return Err((word.column, format!("there is no key '{key}' here; {hint}")));
    };
    if pattern.is_empty() {
        let column = word.column + key.len() + 1;
        return Err((column, format!("a pattern is missing; '{key}=*' takes any")));
    }
    Ok((key, Pattern::new(pattern)))
}

fn who(word: &Word) -> Result<(Trait, Pattern), Fault> {
    let (key, pattern) = condition(word, &Trait::ALL.map(Trait::word))?;
    let found = Trait::ALL.into_iter().find(|one| one.word() == key).unwrap_or(Trait::User);
    let wanted: Option<&[&str]> = match found {
        Trait::ReadOnly => Some(&["yes", "no"]),
        Trait::Socket => Some(&["unix", "tcp", "tls"]),
        _ => None,
    };
    let column = word.column + key.len() + 1;
    if let Some(wanted) = wanted.filter(|wanted| !wanted.contains(&pattern.text())) {
        return Err((column, format!("'{key}' is {}", wanted.join(" or "))));
    }
    let is_number = matches!(found, Trait::Uid | Trait::Gid);
    if is_number && pattern.text().parse::<u32>().is_err() {
        return Err((column, format!("'{key}' is a number, not '{}'", pattern.text())));
    }
    Ok((found, pattern))
}

/// A permission or a pattern of some; libvirt writes `-` and `_` in them, here either will do.
fn permission(word: &Word) -> Result<Pattern, Fault> {
    let name = word.text.replace('-', "_");
    let pattern = Pattern::new(&name);
    if PERMISSIONS.iter().any(|known| pattern.fits(known)) {
        return Ok(pattern);
    }
    let hint = match nearest(&name, PERMISSIONS.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => "docs/access.md lists them".to_owned(),
    };
    Err((word.column, format!("there is no permission '{}'; {hint}", word.text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told_with_its_place_and_what_to_write() {
        for (text, said) in [
            (
                "alow user=a to *",
                "1, column 1: a rule begins with 'allow' or 'deny', not with 'alow'",
            ),
            (
                "\n# x\nallow usr=a to *",
                "3, column 7: there is no key 'usr' here; did you mean 'user'?",
            ),
            (
                "allow colour=a to *",
                "1, column 7: there is no key 'colour' here; there are: user, uid, group, gid, sasl, x509, socket, readonly",
            ),
            ("allow fred to *", "1, column 7: 'fred' is no condition; one reads KEY=PATTERN"),
            ("allow user= to *", "1, column 12: a pattern is missing; 'user=*' takes any"),
            ("allow to *", "1, column 7: who? 'everyone', or conditions such as user=alice"),
            (
                "allow user=a",
                "1, column 13: 'to' and permissions are missing; a rule reads: allow WHO... to PERMISSION... [on OBJECT...]",
            ),
            (
                "allow user=a to",
                "1, column 16: which permissions? '*', or names such as domain.start",
            ),
            (
                "allow user=a to * on",
                "1, column 21: on which objects? conditions such as name=web-*",
            ),
            (
                "allow user=a on name=b",
                "1, column 14: 'on' cannot stand here; a rule reads: allow WHO... to PERMISSION... [on OBJECT...]",
            ),
            (
                "allow user=a to * on nmae=b",
                "1, column 22: there is no key 'nmae' here; did you mean 'name'?",
            ),
            ("allow user=a everyone to *", "1, column 14: 'everyone' stands alone"),
            (
                "deny everyone to domain.strt",
                "1, column 18: there is no permission 'domain.strt'; did you mean 'domain.start'?",
            ),
            (
                "deny everyone to guests.*",
                "1, column 18: there is no permission 'guests.*'; docs/access.md lists them",
            ),
            (
                "allow x509=\"CN=a to *",
                "1, column 12: the quote that begins here does not end on this line",
            ),
            ("allow user=\"a\\b\" to *", "1, column 14: '\\' stands before '\"' or '\\' only"),
            ("allow readonly=1 to *", "1, column 16: 'readonly' is yes or no"),
            ("allow uid=x to *", "1, column 11: 'uid' is a number, not 'x'"),
        ] {
            let error = rules(text).map(|rules| rules.len()).expect_err(text);
            assert_eq!(error.to_string(), format!("line {said}"), "{text}");
        }
    }

    #[test]
    fn quotes_hold_blanks_and_words_together() {
        let text =
            "allow x509=\"C=GB,O=A \\\"B\\\", Inc.,CN=fred\" \"user=to\" to storage-vol.* # all\n";
        assert_eq!(rules(text).map(|rules| rules.len()), Ok(1));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let many = "allow everyone to *\n".repeat(RULES_MAX + 1);
        assert!(rules(&many).is_err());
        let long = format!("allow everyone to {}\n", "* ".repeat(WORDS_MAX + 1));
        assert!(rules(&long).is_err());
        assert!(rules(&" ".repeat(FILE_BYTES_MAX + 1)).is_err());
    }
}
