//! How a described type is spelled in Rust: owned, borrowed, and turned from one into the other.

use protocol::{Field, Type};

/// `DOMAIN_GET_INFO` → `DomainGetInfo`.
pub(super) fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_uppercase() + &rest.to_lowercase()
        })
        .collect()
}

/// The owned type of a field.
pub(super) fn owned(kind: &Type) -> String {
    match kind {
        Type::Int(name) => (*name).to_owned(),
        Type::Flag => "bool".into(),
        Type::Text | Type::Chars(_) | Type::CharsFixed(_) => "String".into(),
        Type::Name => "Name".into(),
        Type::Uuid => "Uuid".into(),
        Type::Bytes(_) | Type::Octets(_) => "Vec<u8>".into(),
        Type::List(inner, _) => format!("Vec<{}>", owned(inner)),
        Type::Optional(inner) => format!("Option<{}>", owned(inner)),
        Type::TypedParam => "TypedParam".into(),
        Type::Record(name) => name.clone(),
    }
}

/// The type of a parameter that carries the field into a call.
pub(super) fn borrowed(kind: &Type) -> String {
    match kind {
        Type::Int(_) | Type::Flag => owned(kind),
        Type::Text | Type::Chars(_) | Type::CharsFixed(_) | Type::Name => "&str".into(),
        Type::Bytes(_) | Type::Octets(_) => "&[u8]".into(),
        Type::List(inner, _) => format!("&[{}]", owned(inner)),
        Type::Optional(inner) => format!("Option<{}>", borrowed(inner)),
        Type::Uuid | Type::TypedParam | Type::Record(_) => format!("&{}", owned(kind)),
    }
}

/// An owned field `place` lent to a call.
pub(super) fn lend(kind: &Type, place: &str) -> String {
    match kind {
        Type::Int(_) | Type::Flag => place.to_owned(),
        Type::Optional(inner) => match **inner {
            Type::Int(_) | Type::Flag => place.to_owned(),
            Type::Text | Type::Chars(_) | Type::Bytes(_) | Type::List(..) => {
                format!("{place}.as_deref()")
            }
            _ => format!("{place}.as_ref()"),
        },
        _ => format!("&{place}"),
    }
}

/// A borrowed parameter made into the owned field.
pub(super) fn keep(kind: &Type, name: &str) -> String {
    match kind {
        Type::Int(_) | Type::Flag => name.to_owned(),
        Type::Text | Type::Chars(_) | Type::CharsFixed(_) => format!("{name}.to_owned()"),
        Type::Name => format!("Name::from({name})"),
        Type::Uuid => format!("*{name}"),
        Type::Bytes(_) | Type::Octets(_) | Type::List(..) => format!("{name}.to_vec()"),
        Type::Optional(inner) => match **inner {
            Type::Int(_) | Type::Flag => name.to_owned(),
            Type::Text | Type::Chars(_) => format!("{name}.map(str::to_owned)"),
            Type::Bytes(_) | Type::List(..) => format!("{name}.map(<[_]>::to_vec)"),
            _ => format!("{name}.cloned()"),
        },
        Type::TypedParam | Type::Record(_) => format!("{name}.clone()"),
    }
}

fn limit(max: &str) -> String {
    if max.chars().all(|c| c.is_ascii_digit()) { max.to_owned() } else { format!("limits::{max}") }
}

/// A statement that writes the value at `place`, an owned place such as `self.field`.
pub(super) fn encode(kind: &Type, place: &str) -> String {
    encode_from(kind, place, &format!("&{place}"))
}

/// A statement that writes the value that the variable `name` refers to.
pub(super) fn encode_ref(kind: &Type, name: &str) -> String {
    match kind {
        Type::Int(_) | Type::Flag => encode(kind, &format!("*{name}")),
        _ => encode_from(kind, name, name),
    }
}

fn encode_from(kind: &Type, place: &str, reference: &str) -> String {
    match kind {
        Type::Int("i8" | "i16") => format!("w.i32(i32::from({place}));"),
        Type::Int("u8" | "u16") => format!("w.u32(u32::from({place}));"),
        Type::Int(name) => format!("w.{name}({place});"),
        Type::Flag => format!("w.flag({place});"),
        Type::Text | Type::Name => format!("w.string({reference}, limits::STRING_MAX)?;"),
        Type::Uuid => format!("w.fixed(&{place}.0);"),
        Type::Bytes(max) => format!("w.bytes({reference}, {})?;", limit(max)),
        Type::Chars(max) => format!("w.chars({reference}, {})?;", limit(max)),
        Type::Octets(max) => format!("w.octets({reference}, {})?;", limit(max)),
        Type::CharsFixed(count) => format!("w.chars_fixed({reference}, {count});"),
        Type::List(inner, max) => format!(
            "w.count({place}.len(), {})?; for item in {reference} {{ {} }}",
            limit(max),
            encode_ref(inner, "item")
        ),
        Type::Optional(inner) => format!(
            "w.flag({place}.is_some()); if let Some(value) = {reference} {{ {} }}",
            encode_ref(inner, "value")
        ),
        Type::TypedParam | Type::Record(_) => format!("{place}.encode(w)?;"),
    }
}

/// An expression that reads a value.
pub(super) fn decode(kind: &Type) -> String {
    match kind {
        Type::Int(name @ ("i8" | "u8" | "i16" | "u16")) => format!("r.small::<{name}>()?"),
        Type::Int(name) => format!("r.{name}()?"),
        Type::Flag => "r.flag()?".into(),
        Type::Text => "r.string(limits::STRING_MAX)?".into(),
        Type::Name => "Name::from(r.str(limits::STRING_MAX)?)".into(),
        Type::Uuid => "Uuid(r.fixed()?)".into(),
        Type::Bytes(max) => format!("r.bytes({})?", limit(max)),
        Type::Chars(max) => format!("r.chars({})?", limit(max)),
        Type::Octets(max) => format!("r.octets({})?", limit(max)),
        Type::CharsFixed(count) => format!("r.chars_fixed({count})?"),
        Type::List(inner, max) => format!("r.list({}, {})?", limit(max), decoder(inner)),
        Type::Optional(inner) => format!("r.optional({})?", decoder(inner)),
        Type::TypedParam => "TypedParam::decode(r)?".into(),
        Type::Record(name) => format!("{name}::decode(r)?"),
    }
}

/// A function of the reader that reads a value.
pub(super) fn decoder(kind: &Type) -> String {
    match kind {
        Type::TypedParam | Type::Record(_) => format!("{}::decode", owned(kind)),
        Type::Name | Type::Uuid => format!("|r| Ok({})", decode(kind)),
        _ => format!("|r| {}", decode(kind).trim_end_matches('?')),
    }
}

pub(super) fn fields_struct(fields: &[Field]) -> String {
    fields
        .iter()
        .map(|field| format!("    pub {}: {},\n", field.name, owned(&field.kind)))
        .collect()
}
