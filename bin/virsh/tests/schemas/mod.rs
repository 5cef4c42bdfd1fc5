//! The schemas of `docs/schemas`, and as much of JSON Schema as they use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use virt_json::Value;

/// What each command that prints facts promises, by its name.
pub(crate) fn schemas() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    let files = std::fs::read_dir(folder).expect("there are schemas");
    let schema = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a schema is text");
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (name, virt_json::parse(&text).expect("a schema is JSON"))
    };
    files.map(|entry| schema(entry.expect("an entry").path())).collect()
}

/// What is wrong with a value, by as much of JSON Schema as ours use.
pub(crate) fn check(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let kinds = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(kind) => kind.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    let (kind, is_whole) = match value {
        Value::Null => ("null", false),
        Value::Bool(_) => ("boolean", false),
        Value::Number(text) => ("number", text.parse::<i128>().is_ok()),
        Value::String(_) => ("string", false),
        Value::Array(_) => ("array", false),
        Value::Object(_) => ("object", false),
    };
    let fits = kinds.contains(&kind) || (is_whole && kinds.contains(&"integer"));
    if !kinds.is_empty() && !fits {
        return Err(format!("{at}: {value} is not {kinds:?}"));
    }
    match value {
        Value::String(text) if schema.get("format").is_some() => {
            let groups: Vec<usize> = text.split('-').map(str::len).collect();
            let digits = text.bytes().all(|b| b == b'-' || matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            match digits && groups == [8, 4, 4, 4, 12] {
                true => Ok(()),
                false => Err(format!("{at}: '{text}' is no UUID")),
            }
        }
        Value::Array(items) => match schema.get("items") {
            Some(each) => items
                .iter()
                .enumerate()
                .try_for_each(|(number, item)| check(item, each, &format!("{at}[{number}]"))),
            None => Ok(()),
        },
        Value::Object(members) => check_members(members, schema, at),
        _ => Ok(()),
    }
}

fn check_members(members: &[(String, Value)], schema: &Value, at: &str) -> Result<(), String> {
    let required = schema.get("required").and_then(Value::as_array).unwrap_or_default();
    let has = |key: &Value| members.iter().any(|(name, _)| Some(name.as_str()) == key.as_str());
    if let Some(missing) = required.iter().find(|key| !has(key)) {
        return Err(format!("{at}: {missing} is missing"));
    }
    members.iter().try_for_each(|(name, value)| {
        let at = format!("{at}.{name}");
        let property = schema.get("properties").and_then(|properties| properties.get(name));
        match property.or_else(|| schema.get("additionalProperties")) {
            Some(Value::Bool(false)) => Err(format!("{at} is not in the schema")),
            Some(schema) => check(value, schema, &at),
            None => Ok(()),
        }
    })
}

/// What is wrong with an answer: of one that comes in lines, with each of them.
pub(crate) fn check_answer(answer: &str, schema: &Value, name: &str) -> Result<(), String> {
    let title = schema.get("title").and_then(Value::as_str).unwrap_or_default();
    let answers: Vec<&str> = match title.ends_with("each line") {
        true => answer.lines().collect(),
        false => vec![answer],
    };
    answers.into_iter().try_for_each(|answer| {
        let value = virt_json::parse(answer).map_err(|error| format!("{error}: {answer}"))?;
        check(&value, schema, name)
    })
}
