//! Emits the codec and the procedure tables of `virt-wire`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::names::{camel, decode, encode, encode_ref, fields_struct};
use protocol::{Event, Field, Program, Ret};

const USES: &str = "use virt_xdr::{Reader, Writer};\n\nuse crate::{Codec, Result};\n";

pub(super) fn limits(programs: &[Program]) -> String {
    let mut out =
        super::header("The limits of the wire: every length is checked against one of these.");
    let mut all: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, value) in programs.iter().flat_map(|program| &program.consts) {
        all.insert(name, *value);
    }
    out.push_str("pub const STRING_MAX: usize = 4_194_304;\n");
    for (name, value) in all {
        let _ = writeln!(out, "pub const {name}: usize = {value};");
    }
    out
}

pub(super) fn records(programs: &[Program]) -> String {
    let mut out = super::header("Codec of the records of the public API.");
    out.push_str("use virt_types::*;\n");
    out.push_str(USES);
    out.push_str("use super::limits;\n\n");
    for record in programs.iter().flat_map(|program| &program.records) {
        codec(&mut out, &record.name, &record.fields);
    }
    out
}

fn codec(out: &mut String, name: &str, fields: &[Field]) {
    let (w, r) = if fields.is_empty() { ("_w", "_r") } else { ("w", "r") };
    let _ = writeln!(out, "impl Codec for {name} {{");
    let _ = writeln!(out, "fn encode(&self, {w}: &mut Writer) -> Result<()> {{");
    for field in fields {
        let _ = writeln!(out, "{}", encode(&field.kind, &format!("self.{}", field.name)));
    }
    let _ =
        writeln!(out, "Ok(()) }}\n\nfn decode({r}: &mut Reader<'_>) -> Result<Self> {{ Ok(Self {{");
    for field in fields {
        let _ = writeln!(out, "{}: {},", field.name, decode(&field.kind));
    }
    out.push_str("}) }\n}\n\n");
}

pub(super) fn program(program: &Program, programs: &[Program]) -> String {
    let mut out =
        super::header(&format!("The {} program: procedures and their arguments.", program.name));
    out.push_str("#[allow(unused_imports)]\nuse virt_types::*;\n");
    out.push_str(USES);
    out.push_str("#[allow(unused_imports)]\nuse super::limits;\nuse crate::{Lane, Procedure};\n\n");
    let _ = writeln!(
        out,
        "pub const PROGRAM: u32 = {:#x};\npub const VERSION: u32 = {};\n",
        program.number, program.version
    );
    for call in &program.calls {
        let _ = writeln!(out, "pub const {}: u32 = {};", call.name, call.number);
    }
    for message in &program.messages {
        let _ = writeln!(out, "pub const {}: u32 = {};", message.name, message.number);
    }
    out.push_str("\n/// All calls, ordered by number.\npub static PROCEDURES: &[Procedure] = &[\n");
    let mut calls: Vec<_> = program.calls.iter().collect();
    calls.sort_by_key(|call| call.number);
    for call in &calls {
        let _ = writeln!(
            out,
            "Procedure {{ number: {}, name: {:?}, api: {:?}, lane: Lane::{}, stream: {} }},",
            call.number,
            call.name,
            call.api,
            camel(&call.lane),
            match call.stream.as_deref() {
                Some(way) => format!("Some(crate::StreamWay::{})", camel(way)),
                None => "None".into(),
            }
        );
    }
    out.push_str("];\n\n");
    for call in &calls {
        if !call.args.is_empty() {
            arguments(&mut out, &format!("{}Args", camel(&call.name)), &call.args);
        }
        if let Ret::Fields(fields) = &call.ret
            && fields.len() > 1
        {
            arguments(&mut out, &format!("{}Ret", camel(&call.name)), fields);
        }
    }
    for message in &program.messages {
        arguments(&mut out, &format!("{}Msg", camel(&message.name)), &message.fields);
    }
    let _ = programs;
    out
}

fn arguments(out: &mut String, name: &str, fields: &[Field]) {
    let _ = writeln!(
        out,
        "#[derive(Clone, Debug, PartialEq)]\npub struct {name} {{\n{}}}\n",
        fields_struct(fields)
    );
    codec(out, name, fields);
}

pub(super) fn events(program: &Program) -> String {
    let mut out =
        super::header("Event messages: with a callback id, and in the older form without.");
    out.push_str("use virt_types::*;\nuse virt_xdr::{Reader, Writer};\n\nuse super::limits;\nuse crate::{Codec, Result};\n\n");
    let _ = writeln!(out, "const _: fn() -> Option<Name> = || None;\n");
    out.push_str("/// The procedure that carries the event to a subscriber with a callback id.\npub fn procedure(event: &Event) -> u32 { match event {\n");
    for event in &program.events {
        let _ = writeln!(out, "Event::{} {{ .. }} => {},", event.name, event.number);
    }
    out.push_str("} }\n\n/// The procedure of the older form, where there is one.\npub fn legacy_procedure(event: &Event) -> Option<u32> { Some(match event {\n");
    for event in &program.events {
        if let Some(legacy) = event.legacy {
            let _ = writeln!(out, "Event::{} {{ .. }} => {legacy},", event.name);
        }
    }
    out.push_str("_ => return None, }) }\n\n/// Writes the event's fields, without the callback id.\npub fn encode(event: &Event, w: &mut Writer) -> Result<()> { match event {\n");
    for event in &program.events {
        let names: Vec<&str> = event.fields.iter().map(|field| field.name.as_str()).collect();
        let _ = writeln!(out, "Event::{} {{ {} }} => {{", event.name, names.join(", "));
        for field in &event.fields {
            let _ = writeln!(out, "{}", encode_ref(&field.kind, &field.name));
        }
        out.push_str("}\n");
    }
    out.push_str("} Ok(()) }\n\n/// Reads the fields of the event that procedure `number` carries; `None` for no event.\npub fn decode(number: u32, r: &mut Reader<'_>) -> Result<Option<Event>> { Ok(Some(match number {\n");
    for event in &program.events {
        decode_arm(&mut out, event);
    }
    out.push_str("_ => return Ok(None), })) }\n");
    out
}

fn decode_arm(out: &mut String, event: &Event) {
    let numbers = match event.legacy {
        Some(legacy) => format!("{} | {legacy}", event.number),
        None => event.number.to_string(),
    };
    let _ = writeln!(out, "{numbers} => Event::{} {{", event.name);
    for field in &event.fields {
        let _ = writeln!(out, "{}: {},", field.name, decode(&field.kind));
    }
    out.push_str("},\n");
}
