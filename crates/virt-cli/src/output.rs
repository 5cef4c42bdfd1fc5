//! Answers for programs: the formats, and a value written in one of them.

use virt_json::Value;

use crate::grid::{Charset, Grid};
use crate::yaml;

/// How facts are written where `--output` asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    Table,
    /// One object's name a line.
    Name,
}

impl Format {
    pub const WORDS: &[&str] = &["json", "yaml", "table", "name"];

    /// The format of this name, or what to say to the person who asked for another.
    pub fn parse(word: &str) -> Result<Self, String> {
        match word {
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "table" => Ok(Self::Table),
            "name" => Ok(Self::Name),
            _ => Err(format!(
                "unknown output format '{word}': expected one of {}",
                Self::WORDS.join(", ")
            )),
        }
    }
}

/// What a command found, in one of the formats; `name` is the key of an object's name.
pub fn render(value: &Value, format: Format, name: &str, charset: Charset) -> String {
    match format {
        Format::Json => format!("{}\n", value.pretty()),
        Format::Yaml => yaml::text(value),
        Format::Table => table(value, charset),
        Format::Name => names(value, name),
    }
}

/// One of many answers that come one after the other: a line of JSON, a document of YAML.
pub fn render_next(value: &Value, format: Format, name: &str, charset: Charset) -> String {
    match format {
        Format::Json => format!("{value}\n"),
        Format::Yaml => format!("---\n{}", yaml::text(value)),
        Format::Table | Format::Name => render(value, format, name, charset),
    }
}

/// The records of an answer: it is a list of them, or one.
fn records(value: &Value) -> &[Value] {
    value.as_array().unwrap_or(std::slice::from_ref(value))
}

fn names(value: &Value, name: &str) -> String {
    let named = records(value).iter().filter_map(|record| record.get(name));
    named.map(|name| format!("{}\n", shown(name))).collect()
}

/// A list has a row for each record, a record one for each fact.
fn table(value: &Value, charset: Charset) -> String {
    let mut grid;
    match value {
        Value::Array(rows) => {
            let mut keys: Vec<&str> = Vec::new();
            for (key, _) in rows.iter().filter_map(Value::as_object).flatten() {
                if !keys.contains(&key.as_str()) {
                    keys.push(key);
                }
            }
            if keys.is_empty() {
                return String::new();
            }
            grid = Grid::new(charset, &keys);
            for row in rows {
                grid.row(keys.iter().map(|key| row.get(key).map_or_else(absent, shown)));
            }
        }
        Value::Object(members) => {
            grid = Grid::new(charset, &["key", "value"]);
            for (key, value) in members {
                grid.row([key.clone(), shown(value)]);
            }
        }
        other => return format!("{}\n", shown(other)),
    }
    grid.text(true)
}

fn absent() -> String {
    "-".to_owned()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => absent(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, render, render_next};
    use crate::grid::Charset::Ascii;

    #[test]
    fn one_answer_in_every_format() {
        let value = r#"[{"id":1,"name":"a"},{"name":"b c","tags":["x"]}]"#;
        let value = virt_json::parse(value).unwrap();
        assert_eq!(render(&value, Format::Name, "name", Ascii), "a\nb c\n");
        assert_eq!(
            render(&value, Format::Table, "name", Ascii),
            " id   name   tags\n--------------------\n 1    a      -\n -    b c    [\"x\"]\n"
        );
        assert_eq!(render_next(&value, Format::Json, "", Ascii), format!("{value}\n"));
        let one = &value.as_array().unwrap()[0];
        assert_eq!(
            render(one, Format::Table, "name", Ascii),
            " key    value\n---------------\n id     1\n name   a\n"
        );
        assert_eq!(render(one, Format::Name, "id", Ascii), "1\n");
    }
}
