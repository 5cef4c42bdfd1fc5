//! Answers for programs: what a command found, collected while the words for people are left out.
//!
//! A command says its facts once, through [`Shell::field`], [`Shell::answer`] or a list; whether they
//! become lines or records is decided here. What facts a command has is described in `facts.tbl`.

use virt_cli::{
    Cell, Column, Facts, Format, Listing, Parsed, charset, render, render_next, unsupported,
};
use virt_json::Value;
use virt_types::{TypedParam, TypedValue};

use crate::failure::Failure;
use crate::shell::{Run, Shell};

/// What commands print, in lines of our own.
pub(crate) const FACTS: &str = include_str!("facts.tbl");

/// The facts of the command that runs.
#[derive(Debug)]
pub(crate) struct Report {
    format: Format,
    name: &'static str,
    found: Option<Value>,
}

impl Report {
    /// The report that is asked for by the command's own option or the program's, if any is.
    pub(crate) fn of(
        parsed: &Parsed<Run>,
        general: Option<Format>,
    ) -> Result<Option<Self>, Failure> {
        let Some(format) = parsed.output.or(general) else { return Ok(None) };
        let command = parsed.command.name;
        let Some(facts) = Facts::find(FACTS, command) else {
            return Err(Failure::new(unsupported(command, "output")));
        };
        if format == Format::Name && facts.name.is_empty() {
            return Err(Failure::new(format!("command '{command}' has no names to print")));
        }
        Ok(Some(Self { format, name: facts.name, found: None }))
    }

    /// The whole answer; nothing where the command changed something and had nothing to say.
    /// Several answers of one line are several documents.
    pub(crate) fn text(&self, is_first: bool) -> Option<String> {
        let text = render(self.found.as_ref()?, self.format, self.name, charset());
        Some(match self.format {
            Format::Yaml if !is_first => format!("---\n{text}"),
            _ => text,
        })
    }

    fn add(&mut self, key: &str, value: Value) {
        let record = self.found.get_or_insert_with(|| Value::Object(Vec::new()));
        if let Value::Object(members) = record {
            members.retain(|(name, _)| name != key);
            members.push((key.to_owned(), value));
        }
    }
}

impl Shell {
    /// Whether the answer is for a program, so that facts are worth asking for which are not shown.
    pub(crate) fn reports(&self) -> bool {
        self.report.is_some()
    }

    /// A fact that is for programs only, or shown in words of its own.
    pub(crate) fn fact(&mut self, key: &str, value: impl Into<Value>) {
        if let Some(report) = &mut self.report {
            report.add(key, value.into());
        }
    }

    /// A fact on a line of an information block.
    pub(crate) fn field(&mut self, label: &str, key: &str, cell: impl Into<Cell>) {
        let cell = cell.into();
        let label = format!("{label}:");
        self.print(format_args!("{label:<15} {}\n", cell.text));
        self.fact(key, cell.value);
    }

    /// A fact on a line of its own.
    pub(crate) fn answer(&mut self, key: &str, cell: impl Into<Cell>) {
        let cell = cell.into();
        self.print(format_args!("{}\n", cell.text));
        self.fact(key, cell.value);
    }

    /// Facts as a driver names them, printed by the caller.
    pub(crate) fn params(&mut self, params: &[TypedParam]) {
        self.facts(params.iter().map(|param| (param.field.as_str(), value_of(&param.value))));
    }

    /// Facts that are printed by the caller; that there are none is an answer too.
    pub(crate) fn facts<'a>(&mut self, facts: impl IntoIterator<Item = (&'a str, Value)>) {
        if let Some(report) = &mut self.report {
            report.found.get_or_insert_with(|| Value::Object(Vec::new()));
            facts.into_iter().for_each(|(key, value)| report.add(key, value));
        }
    }

    pub(crate) fn listing(&self, columns: &[Column]) -> Listing {
        Listing::new(columns)
    }

    /// A list: a table to a person, records to a program.
    pub(crate) fn print_listing(&mut self, listing: Listing) {
        match &mut self.report {
            Some(report) => report.found = Some(listing.records()),
            None => {
                let text = listing.grid(charset()).text(!self.settings.session.quiet);
                self.print(format_args!("{text}"));
            }
        }
    }

    /// Records whose words for people are printed by the caller.
    pub(crate) fn records(&mut self, records: impl IntoIterator<Item = Value>) {
        if let Some(report) = &mut self.report {
            report.found = Some(Value::Array(records.into_iter().collect()));
        }
    }

    /// The facts so far, as one record of many.
    pub(crate) fn taken(&mut self) -> Option<Value> {
        self.report.as_mut()?.found.take()
    }

    /// One of many answers, written at once.
    pub(crate) fn next_record(&mut self, record: impl FnOnce() -> Value) {
        if let Some(Report { format, name, .. }) = self.report {
            self.write_bytes(render_next(&record(), format, name, charset()).as_bytes());
            self.flush();
        }
    }
}

pub(crate) fn value_of(value: &TypedValue) -> Value {
    match value {
        TypedValue::Int(number) => (*number).into(),
        TypedValue::Uint(number) => (*number).into(),
        TypedValue::Llong(number) => (*number).into(),
        TypedValue::Ullong(number) => (*number).into(),
        TypedValue::Double(number) => (*number).into(),
        TypedValue::Boolean(yes) => (*yes).into(),
        TypedValue::String(text) => text.as_str().into(),
    }
}

/// One object of some facts.
pub(crate) fn record<const N: usize>(facts: [(&str, Value); N]) -> Value {
    Value::Object(facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The facts of one object that a driver names.
pub(crate) fn params_record(params: &[TypedParam]) -> Value {
    let facts = params.iter().map(|param| (param.field.clone(), value_of(&param.value)));
    Value::Object(facts.collect())
}

/// Names, one a line.
pub(crate) fn print_names(shell: &mut Shell, names: impl Iterator<Item = String>) {
    let mut records = Vec::new();
    for name in names {
        shell.print(format_args!("{name}\n"));
        records.push(record([("name", name.into())]));
    }
    shell.records(records);
}

/// Cells that many commands share.
pub(crate) mod cells {
    use virt_cli::Cell;

    use crate::units::{pretty_size, yes_no};

    /// The number of a domain, which has none while it does not run.
    pub(crate) fn id(id: i32) -> Cell {
        if id == -1 { Cell::none("-") } else { id.into() }
    }

    pub(crate) fn yes(yes: bool) -> Cell {
        Cell::new(yes_no(yes), yes)
    }

    /// Something that could not be found out.
    pub(crate) fn yes_or<E>(answer: Result<bool, E>, otherwise: &str) -> Cell {
        answer.map_or_else(|_| Cell::none(otherwise), yes)
    }

    /// A text that may not be there.
    pub(crate) fn or_dash(text: Option<String>) -> Cell {
        text.map_or_else(|| Cell::none("-"), Cell::from)
    }

    /// A number of bytes, in the unit that fits.
    pub(crate) fn size(bytes: u64) -> Cell {
        Cell::new(pretty_size(bytes), bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use virt_cli::Facts;

    use super::FACTS;
    use crate::table::TABLE;

    fn schemas() -> BTreeMap<String, String> {
        let schema = |name: &'static str| {
            let command = TABLE.find(name).unwrap_or_else(|| panic!("no command {name}"));
            let facts = Facts::find(FACTS, name).expect("it is described");
            let text = facts.schema(name, command.about).pretty();
            (format!("{name}.json"), format!("{text}\n"))
        };
        Facts::commands(FACTS).map(schema).collect()
    }

    /// `UPDATE=1` writes the schemas anew.
    #[test]
    fn the_schemas_are_those_of_the_table() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
        let want = schemas();
        assert!(want.len() > 120, "only {} commands print facts", want.len());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            for (file, text) in &want {
                std::fs::write(folder.join(file), text).unwrap();
            }
        }
        let written = std::fs::read_dir(&folder).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        });
        let written: BTreeMap<String, String> = written.collect();
        for (file, text) in &want {
            assert_eq!(written.get(file), Some(text), "{file}");
        }
        assert_eq!(written.len(), want.len(), "a schema of no command");
    }
}
