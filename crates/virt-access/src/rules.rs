//! The rules themselves: the first one that fits decides, and where none does the answer is no.

use virt_types::glob;

use crate::accounts::Identity;
use crate::object::{Facts, Known};
use crate::parse::{self, RulesError};

/// A file of rules, read.
#[derive(Debug, Default)]
pub struct Rules {
    list: Vec<Rule>,
}

impl Rules {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        parse::rules(text)
    }

    pub(crate) fn new(list: Vec<Rule>) -> Self {
        Self { list }
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What the rules say, and the line of the one that says so.
    pub(crate) fn decide(
        &self,
        who: &Identity,
        permission: &str,
        object: &Facts<'_>,
    ) -> (Verdict, Option<usize>) {
        let decides = |rule: &&Rule| rule.decides(who, permission, object);
        match self.list.iter().find(decides) {
            Some(rule) => (rule.verdict, Some(rule.line)),
            None => (Verdict::Deny, None),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    Deny,
}

/// A text in which `*` stands for anything and `?` for one character.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    pub(crate) fn fits(&self, text: &str) -> bool {
        glob(&self.0, text)
    }
}

macro_rules! keys {
    ($(#[$doc:meta])* $name:ident[$count:literal] { $($variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($variant,)*
        }

        impl $name {
            pub(crate) const ALL: [Self; $count] = [$(Self::$variant,)*];

            /// As it is written in a rule.
            pub(crate) fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

keys! {
    /// By what somebody is recognised.
    Trait[8] {
        User = "user",
        Uid = "uid",
        Group = "group",
        Gid = "gid",
        Sasl = "sasl",
        X509 = "x509",
        Socket = "socket",
        ReadOnly = "readonly",
    }
}

keys! {
    /// By what an object is recognised.
    Attribute[5] {
        Driver = "driver",
        Name = "name",
        Uuid = "uuid",
        Pool = "pool",
        Network = "network",
    }
}

/// One line. A key that stands there more than once takes any of its patterns; every key has to fit.
#[derive(Debug)]
pub(crate) struct Rule {
    verdict: Verdict,
    line: usize,
    who: Vec<(Trait, Vec<Pattern>)>,
    permissions: Vec<Pattern>,
    objects: Vec<(Attribute, Vec<Pattern>)>,
}

impl Rule {
    pub(crate) fn new(verdict: Verdict, line: usize) -> Self {
        Self { verdict, line, who: Vec::new(), permissions: Vec::new(), objects: Vec::new() }
    }

    pub(crate) fn add_who(&mut self, (key, pattern): (Trait, Pattern)) {
        add(&mut self.who, key, pattern);
    }

    pub(crate) fn has_who(&self) -> bool {
        !self.who.is_empty()
    }

    pub(crate) fn add_permission(&mut self, pattern: Pattern) {
        self.permissions.push(pattern);
    }

    pub(crate) fn add_object(&mut self, key: Attribute, pattern: Pattern) {
        // A UUID is the same in either case, with dashes or without.
        let pattern = match key {
            Attribute::Uuid => Pattern(pattern.0.to_ascii_lowercase()),
            _ => pattern,
        };
        add(&mut self.objects, key, pattern);
    }

    fn decides(&self, who: &Identity, permission: &str, object: &Facts<'_>) -> bool {
        self.permissions.iter().any(|pattern| pattern.fits(permission))
            && self
                .who
                .iter()
                .all(|(key, patterns)| patterns.iter().any(|pattern| who.has(*key, pattern)))
            && self.objects.iter().all(|(key, patterns)| match object.known(*key) {
                Known::Is(text) => patterns.iter().any(|pattern| pattern.fits(&text)),
                Known::Never => false,
                // Nobody can say yet: what allows does not reach so far, what denies does.
                Known::NotYet => self.verdict == Verdict::Deny,
            })
    }
}

fn add<K: PartialEq>(list: &mut Vec<(K, Vec<Pattern>)>, key: K, pattern: Pattern) {
    match list.iter_mut().find(|(known, _)| *known == key) {
        Some((_, patterns)) => patterns.push(pattern),
        None => list.push((key, vec![pattern])),
    }
}
