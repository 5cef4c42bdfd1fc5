//! Members with dotted keys as nested objects, as QEMU writes them in both ways.

use crate::{JsonError, Value};

impl Value {
    /// The same with every `"a.b": x` as `"a": {"b": x}`, and objects whose keys are 0, 1, … as arrays.
    pub fn deflattened(&self) -> Result<Value, JsonError> {
        let Value::Object(members) = self else { return Ok(self.clone()) };
        let mut out = nested(members)?;
        for (_, value) in &mut out {
            count_up(value);
        }
        Ok(Value::Object(out))
    }
}

fn nested(members: &[(String, Value)]) -> Result<Vec<(String, Value)>, JsonError> {
    let mut out = Vec::new();
    for (key, value) in members {
        let value = match value {
            Value::Object(inner) => Value::Object(nested(inner)?),
            other => other.clone(),
        };
        insert(&mut out, key, value)?;
    }
    Ok(out)
}

/// Puts a value where its dotted key says.
fn insert(into: &mut Vec<(String, Value)>, key: &str, value: Value) -> Result<(), JsonError> {
    let twice = || JsonError::Twice { key: key.to_owned() };
    let Some((first, rest)) = key.split_once('.') else {
        if into.iter().any(|(known, _)| known == key) {
            return Err(twice());
        }
        into.push((key.to_owned(), value));
        return Ok(());
    };
    let at = match into.iter().position(|(known, _)| known == first) {
        Some(at) => at,
        None => {
            into.push((first.to_owned(), Value::Object(Vec::new())));
            into.len() - 1
        }
    };
    match into.get_mut(at) {
        Some((_, Value::Object(inner))) => insert(inner, rest, value),
        _ => Err(twice()),
    }
}

/// Turns objects that only count their members into arrays.
fn count_up(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.iter_mut().for_each(|(_, value)| count_up(value));
            if let Some(values) = counted(members) {
                *value = Value::Array(values);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(count_up),
        _ => {}
    }
}

/// The members by number, where their keys are all numbers from 0 without a gap.
fn counted(members: &[(String, Value)]) -> Option<Vec<Value>> {
    if members.is_empty() {
        return None;
    }
    let mut values = vec![None; members.len()];
    for (key, value) in members {
        let at: usize = key.parse().ok()?;
        values.get_mut(at)?.replace(value.clone());
    }
    values.into_iter().collect()
}
