//! Emits the records and events of `virt-types`.

use std::fmt::Write as _;

use super::names::fields_struct;
use protocol::{Event, Field, Program, Type};

pub(super) fn emit(programs: &[Program]) -> String {
    let mut out = super::header("Objects, records and events of the public API.");
    out.push_str("use crate::{Name, TypedParam, Uuid};\n\n");
    for program in programs {
        for record in &program.records {
            let hash = if record.fields.iter().all(|field| hashable(&field.kind, program)) {
                ", Eq, Hash"
            } else {
                ""
            };
            let _ = writeln!(
                out,
                "/// `{}` of the {} program.\n#[derive(Clone, Debug, PartialEq{hash})]\n\
                 pub struct {} {{\n{}}}\n",
                record.name,
                program.name,
                record.name,
                fields_struct(&record.fields)
            );
        }
        if !program.events.is_empty() {
            event_enum(&mut out, &program.events);
        }
    }
    out
}

fn hashable(kind: &Type, program: &Program) -> bool {
    match kind {
        Type::Int("f64") | Type::TypedParam => false,
        Type::List(inner, _) | Type::Optional(inner) => hashable(inner, program),
        Type::Record(name) => program
            .record(name)
            .is_some_and(|record| record.fields.iter().all(|field| hashable(&field.kind, program))),
        _ => true,
    }
}

fn variant_fields(fields: &[Field]) -> String {
    fields_struct(fields).replace("    pub ", "")
}

fn event_enum(out: &mut String, events: &[Event]) {
    out.push_str("/// Something that happened to an object.\n#[derive(Clone, Debug, PartialEq)]\npub enum Event {\n");
    for event in events {
        let _ = writeln!(out, "{} {{\n{}}},", event.name, variant_fields(&event.fields));
    }
    out.push_str("}\n\n");
    out.push_str("/// The kinds of object that have events.\n#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\npub enum EventClass {\n");
    let mut classes: Vec<&str> = Vec::new();
    for event in events {
        if !classes.contains(&event.class.as_str()) {
            classes.push(&event.class);
        }
    }
    for class in &classes {
        let _ = writeln!(out, "{},", super::names::camel(class));
    }
    out.push_str("}\n\nimpl Event {\n");
    out.push_str("/// The class of object and the event's number within it.\npub fn kind(&self) -> (EventClass, i32) { match self {\n");
    for event in events {
        let class = super::names::camel(&event.class);
        let _ =
            writeln!(out, "Self::{} {{ .. }} => (EventClass::{class}, {}),", event.name, event.id);
    }
    out.push_str("} }\n\n");
    for class in &classes {
        object_of(out, events, class);
    }
    out.push_str("}\n");
}

/// `event.domain()`: the object of an event of one class.
fn object_of(out: &mut String, events: &[Event], class: &str) {
    let of_class: Vec<&Event> = events.iter().filter(|event| event.class == class).collect();
    let object = |event: &Event| {
        event.fields.iter().find_map(|field| match &field.kind {
            Type::Record(name) if name.ends_with("Ref") => Some((field.name.clone(), name.clone())),
            _ => None,
        })
    };
    let Some((_, record)) = of_class.first().and_then(|event| object(event)) else { return };
    let _ = writeln!(
        out,
        "/// The {} an event of that class is about.\npub fn {class}(&self) -> Option<&{record}> {{ match self {{",
        class.replace('_', " ")
    );
    for event in &of_class {
        if let Some((field, _)) = object(event) {
            let _ = writeln!(out, "Self::{} {{ {field}, .. }} => Some({field}),", event.name);
        }
    }
    out.push_str("_ => None, } }\n\n");
}
