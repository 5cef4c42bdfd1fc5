//! What facts a command prints: a description in lines, and the JSON Schema made of it.
//!
//! A description begins at the margin: names of commands with commas, a shape, and the key that names
//! an object where there is one. The shape is `record` (one object), `rows` (a list of objects) or
//! `stream` (objects one after the other). Below it, two blanks deeper, a line for each fact:
//! `KEY KIND: what it is`. `KEY?` may be missing; `*` stands for any other key. A kind is `string`,
//! `uuid`, `integer`, `number`, `boolean`, `any` or `record`, whose facts are deeper again; `[KIND]`
//! is a list of them, `{KIND}` an object with any keys, `KIND|null` may be unknown.

use virt_json::Value;

/// How many objects there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Record,
    Rows,
    Stream,
}

/// What one command prints.
#[derive(Debug)]
pub struct Facts<'a> {
    pub shape: Shape,
    /// The key of an object's name; empty where objects have none.
    pub name: &'a str,
    keys: Vec<Key<'a>>,
}

/// One fact of an object.
#[derive(Debug)]
struct Key<'a> {
    name: &'a str,
    optional: bool,
    kind: &'a str,
    about: &'a str,
    /// Facts of objects within.
    keys: Vec<Key<'a>>,
}

impl<'a> Facts<'a> {
    /// What `command` prints, if the description says that it prints facts.
    ///
    /// A description that breaks the rules is a mistake in the program and panics.
    pub fn find(description: &'a str, command: &str) -> Option<Self> {
        let mut lines = description.lines();
        let head =
            lines.by_ref().find_map(|line| head(line).filter(|head| head.is_for(command)))?;
        let mut body = lines.take_while(|line| line.starts_with(' ')).peekable();
        Some(Self { shape: head.shape, name: head.name, keys: keys(&mut body, 1) })
    }

    /// Every command that is described, in order.
    pub fn commands(description: &'a str) -> impl Iterator<Item = &'a str> {
        description.lines().filter_map(head).flat_map(|head| head.commands.split(','))
    }

    /// The JSON Schema of what `command` prints, or of one line where it prints many.
    pub fn schema(&self, command: &str, about: &str) -> Value {
        let each = if self.shape == Shape::Stream { ", each line" } else { "" };
        let mut members = vec![
            member("$schema", "https://json-schema.org/draft/2020-12/schema"),
            member("title", format!("virsh {command} --output json{each}")),
            member("description", about),
        ];
        match self.shape {
            Shape::Record | Shape::Stream => members.extend(object(&self.keys)),
            Shape::Rows => {
                members.push(member("type", "array"));
                members.push(member("items", Value::Object(object(&self.keys))));
            }
        }
        Value::Object(members)
    }
}

fn member(key: &str, value: impl Into<Value>) -> (String, Value) {
    (key.to_owned(), value.into())
}

struct Head<'a> {
    commands: &'a str,
    shape: Shape,
    name: &'a str,
}

impl Head<'_> {
    fn is_for(&self, command: &str) -> bool {
        self.commands.split(',').any(|name| name == command)
    }
}

fn head(line: &str) -> Option<Head<'_>> {
    if line.is_empty() || line.starts_with([' ', '/']) {
        return None;
    }
    let mut words = line.split(' ');
    let commands = words.next()?;
    let shape = match words.next() {
        Some("record") => Shape::Record,
        Some("rows") => Shape::Rows,
        Some("stream") => Shape::Stream,
        other => panic!("{commands}: no such shape: {other:?}"),
    };
    Some(Head { commands, shape, name: words.next().unwrap_or_default() })
}

fn keys<'a>(
    lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
    depth: usize,
) -> Vec<Key<'a>> {
    let mut found = Vec::new();
    while let Some(line) = lines.peek() {
        let text = line.trim_start_matches(' ');
        if line.len() - text.len() < depth * 2 {
            break;
        }
        lines.next();
        let (words, about) = text.split_once(": ").unwrap_or((text, ""));
        let Some((name, kind)) = words.split_once(' ') else { panic!("no kind: {text}") };
        found.push(Key {
            name: name.trim_end_matches('?'),
            optional: name.ends_with('?'),
            kind: kind.trim(),
            about,
            keys: keys(lines, depth + 1),
        });
    }
    found
}

/// The schema's members for an object with these facts.
fn object(keys: &[Key<'_>]) -> Vec<(String, Value)> {
    let other = keys.iter().find(|key| key.name == "*");
    let named = || keys.iter().filter(|key| key.name != "*");
    let required: Vec<&str> = named().filter(|key| !key.optional).map(|key| key.name).collect();
    let properties = named().map(|key| (key.name.to_owned(), kind(key.kind, key, key.about)));
    let mut members =
        vec![member("type", "object"), member("properties", Value::Object(properties.collect()))];
    if !required.is_empty() {
        members.push(member("required", required));
    }
    members.push(member(
        "additionalProperties",
        other.map_or(Value::Bool(false), |key| kind(key.kind, key, key.about)),
    ));
    members
}

fn kind(text: &str, key: &Key<'_>, about: &str) -> Value {
    let (text, null) = match text.strip_suffix("|null") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let within = |open, close| text.strip_prefix(open).and_then(|text| text.strip_suffix(close));
    let (name, mut members) = if let Some(inner) = within('[', ']') {
        ("array", vec![member("items", kind(inner, key, ""))])
    } else if let Some(inner) = within('{', '}') {
        ("object", vec![member("additionalProperties", kind(inner, key, ""))])
    } else {
        match text {
            "any" => ("", Vec::new()),
            "uuid" => (
                "string",
                vec![
                    member("format", "uuid"),
                    member("pattern", "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
                ],
            ),
            "record" => ("object", object(&key.keys).split_off(1)),
            "string" | "integer" | "number" | "boolean" => (text, Vec::new()),
            _ => panic!("{}: no such kind: {text}", key.name),
        }
    };
    if !about.is_empty() {
        members.insert(0, member("description", about));
    }
    match (name, null) {
        ("", _) => {}
        (name, true) => members.insert(0, member("type", vec![name, "null"])),
        (name, false) => members.insert(0, member("type", name)),
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::{Facts, Shape};

    const TEXT: &str = "// what there is\n\nlist,ls rows name\n  id integer|null: its number\n  \
        name string\n  tags? [string]\nstat record\n  of record\n    a uuid\n  * any\n";

    #[test]
    fn a_schema_is_made_of_the_lines() {
        assert_eq!(Facts::commands(TEXT).collect::<Vec<_>>(), ["list", "ls", "stat"]);
        assert!(Facts::find(TEXT, "li").is_none());
        let list = Facts::find(TEXT, "ls").unwrap();
        assert_eq!((list.shape, list.name), (Shape::Rows, "name"));
        let schema = list.schema("ls", "lists").to_string();
        assert!(
            schema.ends_with(
                r#""type":"array","items":{"type":"object","properties":{"id":{"type":["integer","null"],"description":"its number"},"name":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}}},"required":["id","name"],"additionalProperties":false}}"#
            ),
            "{schema}"
        );
        let stat = Facts::find(TEXT, "stat").unwrap().schema("stat", "").to_string();
        assert!(
            stat.contains(r#""of":{"type":"object","properties":{"a":{"type":"string","#),
            "{stat}"
        );
        assert!(stat.ends_with(r#""required":["of"],"additionalProperties":{}}"#), "{stat}");
    }
}
