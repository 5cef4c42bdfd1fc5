//! Reads the protocol descriptions beside it: `*.virp` into programs, records, calls and events.
//!
//! The generator makes code of them, and tests hold the programs against them. The crate knows no
//! other.

pub mod sample;

use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    Int(&'static str),
    Flag,
    Text,
    Name,
    Uuid,
    Bytes(String),
    Chars(String),
    CharsFixed(usize),
    Octets(String),
    List(Box<Type>, String),
    Optional(Box<Type>),
    TypedParam,
    Record(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub kind: Type,
}

#[derive(Debug, Clone)]
pub struct Record {
    pub name: String,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Ret {
    Nothing,
    /// The fields of an anonymous answer: one value, or the two of a `list` or `params` call.
    Fields(Vec<Field>),
    Record(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Via {
    Hand,
    Session,
    Method { form: Form, family: String, method: String, args: Vec<String> },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    Plain,
    List,
    Params,
    Whole,
}

#[derive(Debug, Clone)]
pub struct Call {
    pub number: u32,
    pub name: String,
    pub args: Vec<Field>,
    pub ret: Ret,
    pub doc: Vec<String>,
    pub api: String,
    pub lane: String,
    pub allow: Vec<String>,
    /// Whether a read-only connection refuses the call, where the permissions say otherwise.
    pub read_only_refused: Option<bool>,
    /// An argument that the public function refuses to be 0.
    pub nonzero: Option<String>,
    pub filter: Option<String>,
    pub stream: Option<String>,
    pub via: Via,
}

#[derive(Debug, Clone)]
pub struct Event {
    pub number: u32,
    pub class: String,
    pub id: u32,
    pub name: String,
    pub legacy: Option<u32>,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub struct Message {
    pub number: u32,
    pub name: String,
    pub fields: Vec<Field>,
}

#[derive(Debug, Default)]
pub struct Program {
    pub name: String,
    pub number: u32,
    pub version: u32,
    pub consts: Vec<(String, u64)>,
    pub records: Vec<Record>,
    pub calls: Vec<Call>,
    pub events: Vec<Event>,
    pub messages: Vec<Message>,
}

/// The programs of libvirt's wire, as files name them.
pub const PROGRAMS: [&str; 4] = ["remote", "qemu", "lxc", "admin"];

/// A permission that a call needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub object: String,
    pub permission: String,
    pub when: When,
}

/// The flags of a call for which a permission is needed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    Always,
    AnyOf(u64),
    NoneOf(u64),
}

impl Rule {
    fn read(text: &str) -> Result<Self, String> {
        let mut words = text.split(' ');
        let (object, permission) =
            words.next().and_then(|word| word.split_once(':')).ok_or("object:permission")?;
        let when = match (words.next(), words.next()) {
            (None, _) => When::Always,
            (Some("if"), Some(mask)) => When::AnyOf(hex_or_decimal(mask)?.into()),
            (Some("unless"), Some(mask)) => When::NoneOf(hex_or_decimal(mask)?.into()),
            _ => return Err("if MASK or unless MASK expected".into()),
        };
        Ok(Self { object: object.to_owned(), permission: permission.to_owned(), when })
    }

    /// Whether a call with these flags needs it.
    pub fn applies(&self, flags: u64) -> bool {
        match self.when {
            When::Always => true,
            When::AnyOf(mask) => flags & mask != 0,
            When::NoneOf(mask) => flags & mask == 0,
        }
    }

    /// Whether a read-only caller has this permission.
    pub fn readable(&self) -> bool {
        matches!(self.permission.as_str(), "getattr" | "read")
            || self.permission.starts_with("search_")
    }
}

impl Call {
    /// What a caller must be allowed.
    pub fn rules(&self) -> Result<Vec<Rule>, String> {
        self.allow.iter().map(|text| Rule::read(text)).collect()
    }

    /// What an object in the answer must allow to be listed.
    pub fn filter_rule(&self) -> Result<Option<Rule>, String> {
        self.filter.as_deref().map(Rule::read).transpose()
    }

    /// Whether a read-only connection refuses the call whatever its flags.
    pub fn refused_read_only(&self) -> Result<bool, String> {
        let rules = self.rules()?;
        let write = rules.iter().any(|rule| rule.when == When::Always && !rule.readable());
        Ok(self.read_only_refused.unwrap_or(write))
    }
}

impl Program {
    pub fn record(&self, name: &str) -> Option<&Record> {
        self.records.iter().find(|record| record.name == name)
    }
}

/// Reads one description. Errors name the line.
pub fn program(text: &str) -> Result<Program, String> {
    let mut program = Program::default();
    let mut doc = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(words) = line.strip_prefix("## ") {
            doc.push(words.to_owned());
        } else {
            read_line(&mut program, line, &mut doc)
                .map_err(|error| format!("line {}: {error}: {line}", at + 1))?;
        }
    }
    Ok(program)
}

fn read_line(program: &mut Program, line: &str, doc: &mut Vec<String>) -> Result<(), String> {
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(());
    }
    if let Some(attribute) = line.strip_prefix("  ") {
        let call = program.calls.last_mut().ok_or("an attribute without a call")?;
        return call_attribute(call, attribute);
    }
    let (word, rest) = line.split_once(' ').ok_or("one word only")?;
    match word {
        "program" => {
            let parts: Vec<&str> = rest.split_whitespace().collect();
            let [name, number, version] = parts[..] else {
                return Err("three words expected".into());
            };
            program.name = name.to_owned();
            program.number = hex_or_decimal(number)?;
            program.version = hex_or_decimal(version)?;
        }
        "const" => {
            let (name, value) = rest.split_once(" = ").ok_or("= expected")?;
            let value = value.parse().map_err(|_| "a number expected")?;
            program.consts.push((name.to_owned(), value));
        }
        "struct" => {
            let (name, body) = rest.split_once(' ').ok_or("a body expected")?;
            program.records.push(Record { name: name.to_owned(), fields: braced(body)? });
        }
        "call" => {
            let mut call = call_line(program, rest)?;
            call.doc = std::mem::take(doc);
            program.calls.push(call);
        }
        "event" => program.events.push(event_line(rest)?),
        "message" => {
            let (number, rest) = rest.split_once(' ').ok_or("a name expected")?;
            let (name, body) = rest.split_once(' ').ok_or("a body expected")?;
            program.messages.push(Message {
                number: hex_or_decimal(number)?,
                name: name.to_owned(),
                fields: braced(body)?,
            });
        }
        _ => return Err("unknown line".into()),
    }
    Ok(())
}

fn call_line(program: &mut Program, rest: &str) -> Result<Call, String> {
    let (number, rest) = rest.split_once(' ').ok_or("a name expected")?;
    let (name, rest) = rest.split_once('(').ok_or("( expected")?;
    let (args, rest) = rest.split_once(')').ok_or(") expected")?;
    let ret = match rest.trim().strip_prefix("-> ") {
        None => Ret::Nothing,
        Some(text) if text.starts_with('{') => Ret::Fields(braced(text)?),
        Some(text) if text.contains('{') => {
            let (name, body) = text.split_once(' ').ok_or("a body expected")?;
            let record = Record { name: name.to_owned(), fields: braced(body)? };
            match program.record(name) {
                None => program.records.push(record),
                Some(known) if known.fields == record.fields => {}
                Some(_) => return Err(format!("{name} is declared twice")),
            }
            Ret::Record(name.to_owned())
        }
        Some(text) if text.contains(':') => Ret::Fields(fields(text)?),
        Some(text) => Ret::Record(text.to_owned()),
    };
    Ok(Call {
        number: hex_or_decimal(number)?,
        name: name.to_owned(),
        args: fields(args)?,
        ret,
        doc: Vec::new(),
        api: String::new(),
        lane: "normal".into(),
        allow: Vec::new(),
        read_only_refused: None,
        nonzero: None,
        filter: None,
        stream: None,
        via: Via::Session,
    })
}

fn call_attribute(call: &mut Call, line: &str) -> Result<(), String> {
    let (word, rest) = line.split_once(' ').ok_or("a value expected")?;
    match word {
        "api" => call.api = rest.to_owned(),
        "lane" => call.lane = rest.to_owned(),
        "allow" => call.allow = rest.split(", ").map(str::to_owned).collect(),
        "readonly" => call.read_only_refused = Some(rest == "refused"),
        "nonzero" => call.nonzero = Some(rest.to_owned()),
        "filter" => call.filter = Some(rest.to_owned()),
        "stream" => call.stream = Some(rest.to_owned()),
        "via" => call.via = via(rest)?,
        _ => return Err("unknown attribute".into()),
    }
    Ok(())
}

fn via(text: &str) -> Result<Via, String> {
    let (form, text) = match text {
        "hand" => return Ok(Via::Hand),
        "session" => return Ok(Via::Session),
        _ if text.starts_with("list ") => (Form::List, &text["list ".len()..]),
        _ if text.starts_with("params ") => (Form::Params, &text["params ".len()..]),
        _ if text.starts_with("whole ") => (Form::Whole, &text["whole ".len()..]),
        _ => (Form::Plain, text),
    };
    let (family, rest) = text.split_once('.').ok_or("family.method expected")?;
    let (method, rest) = rest.split_once('(').ok_or("( expected")?;
    let args = rest.strip_suffix(')').ok_or(") expected")?;
    Ok(Via::Method {
        form,
        family: family.to_owned(),
        method: method.to_owned(),
        args: args.split(", ").filter(|arg| !arg.is_empty()).map(str::to_owned).collect(),
    })
}

fn event_line(rest: &str) -> Result<Event, String> {
    let (head, body) = rest.split_once(" {").ok_or("{ expected")?;
    let words: Vec<&str> = head.split_whitespace().collect();
    let (number, class, id, name, legacy) = match words[..] {
        [number, class, id, name] => (number, class, id, name, None),
        [number, class, id, name, "legacy", legacy] => (number, class, id, name, Some(legacy)),
        _ => return Err("NUMBER class ID Name [legacy NUMBER] expected".into()),
    };
    Ok(Event {
        number: hex_or_decimal(number)?,
        class: class.to_owned(),
        id: hex_or_decimal(id)?,
        name: name.to_owned(),
        legacy: legacy.map(hex_or_decimal).transpose()?,
        fields: braced(&format!("{{{body}"))?,
    })
}

fn braced(text: &str) -> Result<Vec<Field>, String> {
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    fields(inner.ok_or("{ … } expected")?)
}

fn fields(text: &str) -> Result<Vec<Field>, String> {
    text.split(", ")
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, kind) = part.split_once(": ").ok_or("name: type expected")?;
            Ok(Field { name: name.to_owned(), kind: field_type(kind)? })
        })
        .collect()
}

fn field_type(text: &str) -> Result<Type, String> {
    if let Some(inner) = text.strip_suffix('?') {
        return Ok(Type::Optional(Box::new(field_type(inner)?)));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, max) = rest.split_once("]<=").ok_or("a list without a limit")?;
        return Ok(Type::List(Box::new(field_type(inner)?), max.to_owned()));
    }
    for (prefix, make) in [
        ("bytes<=", Type::Bytes as fn(String) -> Type),
        ("chars<=", Type::Chars),
        ("octets<=", Type::Octets),
    ] {
        if let Some(max) = text.strip_prefix(prefix) {
            return Ok(make(max.to_owned()));
        }
    }
    if let Some(count) = text.strip_prefix("chars=") {
        return Ok(Type::CharsFixed(count.parse().map_err(|_| "a count expected")?));
    }
    for int in ["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "f64"] {
        if text == int {
            return Ok(Type::Int(int));
        }
    }
    Ok(match text {
        "flag" => Type::Flag,
        "string" => Type::Text,
        "name" => Type::Name,
        "uuid" => Type::Uuid,
        "TypedParam" => Type::TypedParam,
        _ if text.starts_with(char::is_uppercase) => Type::Record(text.to_owned()),
        _ => return Err(format!("unknown type {text}")),
    })
}

fn hex_or_decimal(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text} is not a number"))
}

/// `error` and `domain` lines of `errors.virp`: number, name, texts.
pub type ErrorLine = (i32, String, Vec<String>);

pub fn errors(text: &str) -> Result<BTreeMap<String, Vec<ErrorLine>>, String> {
    let mut lines: BTreeMap<String, Vec<ErrorLine>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.split(" | ");
        let head: Vec<&str> = parts.next().unwrap_or_default().split_whitespace().collect();
        let [kind, number, name] = head[..] else { return Err(format!("bad line: {line}")) };
        let number = number.parse().map_err(|_| format!("bad number: {line}"))?;
        let texts = parts.map(|part| if part == "-" { "" } else { part }.to_owned()).collect();
        lines.entry(kind.to_owned()).or_default().push((number, name.to_owned(), texts));
    }
    Ok(lines)
}
