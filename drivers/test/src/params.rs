//! Typed parameters: what a call takes, and reading them.

use virt_error::{Code, Error, Origin, Result};
use virt_types::{TypedParam, TypedValue};

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Uint,
    Ullong,
    Boolean,
    String,
}

impl Kind {
    fn of(value: &TypedValue) -> (Option<Self>, &'static str) {
        match value {
            TypedValue::Int(_) => (Some(Self::Int), "int"),
            TypedValue::Uint(_) => (Some(Self::Uint), "uint"),
            TypedValue::Llong(_) => (None, "llong"),
            TypedValue::Ullong(_) => (Some(Self::Ullong), "ullong"),
            TypedValue::Double(_) => (None, "double"),
            TypedValue::Boolean(_) => (Some(Self::Boolean), "boolean"),
            TypedValue::String(_) => (Some(Self::String), "string"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Ullong => "ullong",
            Self::Boolean => "boolean",
            Self::String => "string",
        }
    }
}

/// Refuses parameters that the call does not take, that come twice, or are of another type.
pub(crate) fn validate(params: &[TypedParam], known: &[(&str, Kind)]) -> Result<()> {
    let refused = |code, detail| Err(Error::new(code, Origin::None, detail));
    for (at, param) in params.iter().enumerate() {
        let name = &param.field;
        let Some((_, kind)) = known.iter().find(|(known, _)| known == name) else {
            let detail = format!("parameter '{name}' not supported");
            return refused(Code::ArgumentUnsupported, detail);
        };
        let (found, found_name) = Kind::of(&param.value);
        if found != Some(*kind) {
            let detail = format!(
                "invalid type '{found_name}' for parameter '{name}', expected '{}'",
                kind.name()
            );
            return refused(Code::InvalidArg, detail);
        }
        if params.iter().take(at).any(|earlier| earlier.field == *name) {
            return refused(Code::InvalidArg, format!("parameter '{name}' occurs multiple times"));
        }
    }
    Ok(())
}

fn value<'a>(params: &'a [TypedParam], name: &str) -> Option<&'a TypedValue> {
    params.iter().find(|param| param.field == name).map(|param| &param.value)
}

pub(crate) fn int(params: &[TypedParam], name: &str) -> Option<i32> {
    match value(params, name)? {
        TypedValue::Int(value) => Some(*value),
        _ => None,
    }
}

pub(crate) fn uint(params: &[TypedParam], name: &str) -> Option<u32> {
    match value(params, name)? {
        TypedValue::Uint(value) => Some(*value),
        _ => None,
    }
}

pub(crate) fn ullong(params: &[TypedParam], name: &str) -> Option<u64> {
    match value(params, name)? {
        TypedValue::Ullong(value) => Some(*value),
        _ => None,
    }
}

pub(crate) fn boolean(params: &[TypedParam], name: &str) -> Option<bool> {
    match value(params, name)? {
        TypedValue::Boolean(value) => Some(*value),
        _ => None,
    }
}

pub(crate) fn string<'a>(params: &'a [TypedParam], name: &str) -> Option<&'a str> {
    match value(params, name)? {
        TypedValue::String(value) => Some(value),
        _ => None,
    }
}
