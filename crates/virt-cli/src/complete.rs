//! What may stand where the cursor is, from the same table that the parser reads.

use crate::facts::Facts;
use crate::output::Format;
use crate::parse::Line;
use crate::table::{Opt, Table, Values};
use crate::words::{SplitWords, Token, Words as _};

/// The option for programs.
const OUTPUT: &str = "--output";

/// Candidates for the last word of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Completion {
    /// Whole words that fit what was typed.
    pub words: Vec<String>,
    /// Values the table cannot know.
    pub ask: Option<Ask>,
}

/// Values that the shell is asked for: files, or objects of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Ask {
    pub values: Values,
    /// What they begin with.
    pub typed: String,
    /// The other options: a volume is one of a pool that may be named already.
    pub others: Vec<(&'static str, String)>,
}

impl Completion {
    fn of(words: impl Iterator<Item = String>) -> Self {
        Self { words: words.collect(), ask: None }
    }
}

/// What is offered where nothing is typed yet and both may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Options. Compat: so programs expect it that ask through `complete`.
    Options,
    /// What the command is about, as a person expects; options once a dash is typed.
    Objects,
}

/// Completes the last of these words, which may be empty.
pub fn complete<H>(table: &Table<H>, words: &[String], offer: Offer) -> Completion {
    let Some((last, before)) = words.split_last() else { return starting(visible(table), "") };
    let Some((name, typed)) = before.split_first() else { return starting(visible(table), last) };
    let Some(command) = table.find(name) else { return Completion::of([].into_iter()) };
    let mut line = Line::new(command.name, command.options, table.facts);
    let valued = read_typed(&mut line, typed);
    if let Some(option) = valued {
        return values(table, &line, option, last);
    }
    let has_facts = || Facts::find(table.facts, command.name).is_some();
    if typed.last().is_some_and(|word| word == OUTPUT) && has_facts() {
        return starting(Format::WORDS.iter().copied(), last);
    }
    let next = line.args.next_positional();
    if last.starts_with('-') || (last.is_empty() && (offer == Offer::Options || next.is_none())) {
        let typed = last.as_str();
        let names = line.args.open_options().map(|option| format!("--{}", option.name));
        // Compat: the one option that libvirt's commands lack is offered where it is begun.
        let ours = typed.len() > 2 && OUTPUT.starts_with(typed) && has_facts();
        let ours = ours.then(|| OUTPUT.to_owned());
        return Completion::of(names.chain(ours).filter(|name| name.starts_with(typed)));
    }
    match next {
        Some(at) => values(table, &line, line.args.option(at), last),
        None => Completion::of([].into_iter()),
    }
}

/// Reads the words before the last; returns the option whose value the last word is.
///
/// A word that cannot be read ends the reading: what came before it still counts.
fn read_typed(line: &mut Line, typed: &[String]) -> Option<&'static Opt> {
    let mut rest = SplitWords(typed.iter());
    while let Ok(Token::Word(word)) = rest.next_token() {
        let bare = word.strip_prefix("--").filter(|name| !name.contains('='));
        let option =
            bare.and_then(|name| line.args.lookup(name)).filter(|(_, value)| value.is_none());
        if let Some((at, _)) = option
            && line.args.option(at).takes_value()
            && rest.0.as_slice().is_empty()
        {
            return Some(line.args.option(at));
        }
        if line.take(word, &mut rest).is_err() {
            return None;
        }
    }
    None
}

fn values<H>(table: &Table<H>, line: &Line, option: &Opt, typed: &str) -> Completion {
    match option.values {
        Values::Unknown => Completion::of([].into_iter()),
        Values::Words(words) => starting(words.iter().copied(), typed),
        Values::WordList(words) => {
            let (done, part) = match typed.rsplit_once(',') {
                Some((done, part)) => (format!("{done},"), part),
                None => (String::new(), typed),
            };
            let fresh = |word: &&&str| !done.split(',').any(|seen| seen == **word);
            let fits = words.iter().filter(fresh).filter(|word| word.starts_with(part));
            Completion::of(fits.map(|word| format!("{done}{word}")))
        }
        Values::Command => starting(visible(table), typed),
        Values::File | Values::Object(_) => {
            let others = line.args.typed().map(|(option, value)| (option.name, value.to_owned()));
            let (values, typed) = (option.values, typed.to_owned());
            Completion {
                words: Vec::new(),
                ask: Some(Ask { values, typed, others: others.collect() }),
            }
        }
    }
}

/// The names of all commands that a person is told of.
fn visible<H>(table: &Table<H>) -> impl Iterator<Item = &'static str> + use<H> {
    table.commands().filter(|command| !command.hidden).map(|command| command.name)
}

fn starting(words: impl Iterator<Item = &'static str>, typed: &str) -> Completion {
    Completion::of(words.filter(|word| word.starts_with(typed)).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::{Ask, Completion, Offer, complete};
    use crate::table::{Command, Group, Opt, Table, Values};

    static TABLE: Table<()> = Table {
        groups: &[Group {
            title: "Tests",
            keyword: "test",
            commands: &[&[
                Command::new(
                    "stats",
                    (),
                    "",
                    "",
                    &[
                        Opt::flag("raw", ""),
                        Opt::string("mode", "").of(Values::WordList(&["acpi", "agent"])),
                        Opt::alias("old", "raw"),
                        Opt::argv("domain", "").at().of(Values::Object("domain")),
                    ],
                ),
                Command::new("stop", (), "", "", &[]),
                Command::new("steal", (), "", "", &[]).hidden(),
            ]],
        }],
        facts: "stats rows\n  a any\n",
    };

    fn read(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        said(complete(&TABLE, &words, Offer::Options))
    }

    fn said(found: Completion) -> String {
        match found.ask {
            Some(Ask { values, typed, .. }) => format!("{values:?} {typed}"),
            None => found.words.join(" "),
        }
    }

    #[test]
    fn a_person_is_offered_objects_first() {
        let offered = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            said(complete(&TABLE, &words, Offer::Objects))
        };
        assert_eq!(offered("stats "), "Object(\"domain\") ");
        assert_eq!(offered("stats -"), "--raw --mode --domain");
        assert_eq!(offered("stop "), "");
        assert_eq!(offered("stop --out"), "");
        assert_eq!(offered("stats --out"), "--output");
        assert_eq!(offered("stats --output "), "json yaml table name");
        let words = ["stats", "--mode", "acpi", ""].map(str::to_owned);
        let ask = complete(&TABLE, &words, Offer::Objects).ask.unwrap();
        assert_eq!(ask.others, [("mode", "acpi".to_owned())]);
    }

    #[test]
    fn candidates() {
        for (line, want) in [
            ("st", "stats stop"),
            ("stop", "stop"),
            ("stats ", "--raw --mode --domain"),
            ("stats --raw --", "--mode --domain"),
            ("stats --raw", "--raw"),
            ("stats --nosuch --raw ", "--raw --mode --domain"),
            ("stats --domain ", "Object(\"domain\") "),
            ("stats --domain a b", "Object(\"domain\") b"),
            ("stats a --domain c", "Object(\"domain\") c"),
            ("stats a ", "--raw --mode --domain"),
            ("stats --mode ac", "acpi"),
            ("stats --mode acpi,", "acpi,agent"),
            ("stop x", ""),
            ("nosuch ", ""),
        ] {
            assert_eq!(read(line), want, "{line}");
        }
    }
}
