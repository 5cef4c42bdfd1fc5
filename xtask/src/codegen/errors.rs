//! Emits the error codes and domains of `virt-error`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::names::camel;
use protocol::ErrorLine;

pub(super) fn emit(lines: &BTreeMap<String, Vec<ErrorLine>>) -> String {
    let mut out = super::header("Error codes, their message templates, and error domains.");
    let empty = Vec::new();
    let codes = lines.get("error").unwrap_or(&empty);
    let origins = lines.get("domain").unwrap_or(&empty);
    enumeration(&mut out, "Code", "What went wrong: `virErrorNumber`.", codes);
    out.push_str("impl Code {\n");
    from_number(&mut out, codes);
    texts(&mut out, "bare", "The message of an error without a detail.", codes, 0);
    texts(&mut out, "with_detail", "The message with `%s` where the detail goes.", codes, 1);
    out.push_str("}\n\n");
    enumeration(&mut out, "Origin", "Who reports it: `virErrorDomain`.", origins);
    out.push_str("impl Origin {\n");
    from_number(&mut out, origins);
    texts(&mut out, "label", "The name used in logs.", origins, 0);
    out.push_str("}\n");
    out
}

fn enumeration(out: &mut String, name: &str, doc: &str, lines: &[ErrorLine]) {
    let _ = writeln!(out, "/// {doc}");
    out.push_str("#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\n#[repr(i32)]\n");
    let _ = writeln!(out, "pub enum {name} {{");
    for (number, variant, _) in lines {
        let _ = writeln!(out, "    {} = {number},", camel(variant));
    }
    out.push_str("}\n\n");
}

fn from_number(out: &mut String, lines: &[ErrorLine]) {
    out.push_str("pub fn from_number(number: i32) -> Option<Self> { Some(match number {\n");
    for (number, variant, _) in lines {
        let _ = writeln!(out, "{number} => Self::{},", camel(variant));
    }
    out.push_str("_ => return None, }) }\n");
}

fn texts(out: &mut String, name: &str, doc: &str, lines: &[ErrorLine], at: usize) {
    let _ = writeln!(out, "/// {doc}\npub fn {name}(self) -> &'static str {{ match self {{");
    for (_, variant, texts) in lines {
        let text = texts.get(at).map_or("", String::as_str);
        let _ = writeln!(out, "Self::{} => {text:?},", camel(variant));
    }
    out.push_str("} }\n");
}
