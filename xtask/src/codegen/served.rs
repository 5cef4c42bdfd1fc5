//! Emits both ends of the wire: the dispatch rows of the daemon and the calls of the remote driver.

use std::fmt::Write as _;

use super::names::{borrowed, camel, decoder, encode, keep, lend};
use super::seam::{family_names, method_args, method_result, methods};
use protocol::{Call, Field, Form, Program, Ret, Type, Via};

pub(super) fn dispatch(programs: &[Program]) -> Result<String, String> {
    let mut out =
        super::header("Dispatch rows: decode the arguments, make the call, encode the answer.");
    out.push_str(
        "use virt_driver::{Api, api};\nuse virt_wire::{Codec, limits};\n\nuse crate::row::{Row, put, read};\n\n",
    );
    for program in programs.iter().filter(|program| program.name != "admin") {
        let _ = writeln!(
            out,
            "/// The rows of the {0} program, ordered by number.\npub(crate) static {1}: &[Row] = &[",
            program.name,
            program.name.to_uppercase()
        );
        let mut calls: Vec<_> = program.calls.iter().collect();
        calls.sort_by_key(|call| call.number);
        for call in &calls {
            if call.via != Via::Session {
                row(&mut out, program, call);
            }
        }
        out.push_str("];\n\n");
        let _ = writeln!(
            out,
            "/// The daemon's own procedures of the {} program.\npub(crate) static {}_OWN: &[(u32, &Api)] = &[",
            program.name,
            program.name.to_uppercase()
        );
        for call in calls.iter().filter(|call| call.via == Via::Session) {
            let _ = writeln!(out, "({}, &api::{}),", call.number, call.name);
        }
        out.push_str("];\n\n");
    }
    Ok(out)
}

fn row(out: &mut String, program: &Program, call: &Call) {
    let form = match &call.via {
        Via::Method { form, .. } => *form,
        _ => Form::Plain,
    };
    let mut body = String::new();
    if !call.args.is_empty() {
        let _ = writeln!(
            body,
            "let a = read(virt_wire::{}::{}Args::decode(r))?;",
            program.name,
            camel(&call.name)
        );
    }
    let passed: Vec<String> = call
        .args
        .iter()
        .filter(|arg| match form {
            Form::List => arg.name != "need_results",
            Form::Params | Form::Whole => arg.name != "nparams",
            Form::Plain => true,
        })
        .map(|arg| lend(&arg.kind, &format!("a.{}", arg.name)))
        .collect();
    let invoke = format!("c.{}({})?", call.name.to_lowercase(), passed.join(", "));
    let (pattern, stream) = match (&call.ret, &call.stream) {
        (Ret::Nothing, None) => ("", "None"),
        (Ret::Nothing, Some(_)) => ("let stream = ", "Some(stream)"),
        (_, None) => ("let value = ", "None"),
        (_, Some(_)) => ("let (value, stream) = ", "Some(stream)"),
    };
    let _ = writeln!(body, "{pattern}{invoke};");
    answer(&mut body, call, form);
    let r = if call.args.is_empty() { "_" } else { "r" };
    let w = if call.ret == Ret::Nothing { "_" } else { "w" };
    let _ = writeln!(
        out,
        "Row {{ number: {}, run: |c, {r}, {w}| {{\n{body}Ok({stream})\n}} }},",
        call.number
    );
}

fn answer(body: &mut String, call: &Call, form: Form) {
    match (&call.ret, form) {
        (Ret::Nothing, _) => {}
        (Ret::Record(_), _) => body.push_str("put(w, |w| value.encode(w))?;\n"),
        (Ret::Fields(fields), Form::List) => {
            let list = encode(&fields[0].kind, "value");
            let _ = writeln!(
                body,
                "let count = value.len();\n\
                 let value = if a.need_results == 0 {{ Vec::new() }} else {{ value }};\n\
                 put(w, |w| {{ {list} Ok(()) }})?;\n{}",
                count_word(&fields[1], "count")
            );
        }
        (Ret::Fields(fields), Form::Params) => {
            let list = encode(&fields[0].kind, "value");
            let count = match fields.get(1) {
                Some(field) => count_word(field, "count"),
                None => "let _ = count;".into(),
            };
            let _ = writeln!(
                body,
                "let mut value = value;\nlet count = value.len();\n\
                 value.truncate(usize::try_from(a.nparams).unwrap_or(0));\n\
                 let count = if value.is_empty() {{ count }} else {{ value.len() }};\n\
                 put(w, |w| {{ {list} Ok(()) }})?;\n{count}"
            );
        }
        (Ret::Fields(fields), Form::Whole) if fields.len() > 1 => {
            let _ = writeln!(
                body,
                "let count = value.len();\nput(w, |w| {{ {} Ok(()) }})?;\n{}",
                encode(&fields[0].kind, "value"),
                count_word(&fields[1], "count")
            );
        }
        (Ret::Fields(fields), Form::Plain | Form::Whole) => {
            let _ =
                writeln!(body, "put(w, |w| {{ {} Ok(()) }})?;", encode(&fields[0].kind, "value"));
        }
    }
}

fn count_word(field: &Field, name: &str) -> String {
    match field.kind {
        Type::Int("i32") => format!("w.i32(i32::try_from({name}).unwrap_or(i32::MAX));"),
        _ => format!("w.u32(u32::try_from({name}).unwrap_or(u32::MAX));"),
    }
}

pub(super) fn remote(programs: &[Program]) -> Result<String, String> {
    let mut out = super::header(
        "The remote driver's families: every method is the oldest call that can express it.",
    );
    out.push_str("use std::sync::Arc;\n\nuse virt_driver::{Call, Stream};\nuse virt_error::Result;\nuse virt_types::*;\n#[allow(unused_imports)]\nuse virt_wire::{Codec, limits, lxc, qemu, remote};\n\nuse crate::RemoteDriver;\n\n");
    for family in family_names(programs) {
        let _ = writeln!(out, "impl virt_driver::{} for RemoteDriver {{", camel(&family));
        for (method, wide) in methods(programs, &family)? {
            remote_method(&mut out, programs, &family, &method, wide);
        }
        out.push_str("}\n\n");
    }
    Ok(out)
}

fn remote_method(out: &mut String, programs: &[Program], family: &str, method: &str, wide: &Call) {
    let Via::Method { form, args: wide_args, .. } = &wide.via else { return };
    let params: String = method_args(wide)
        .iter()
        .map(|(name, kind)| format!(", {name}: {}", borrowed(kind)))
        .collect();
    if method_args(wide).len() > 5 {
        out.push_str("#[allow(clippy::too_many_arguments)]\n");
    }
    let _ = writeln!(
        out,
        "fn {method}(&self, call: &Call<'_>{params}) -> Result<{}> {{",
        method_result(wide, *form)
    );
    let mut forms: Vec<(&Program, &Call)> = Vec::new();
    for program in programs {
        for call in &program.calls {
            match &call.via {
                Via::Method { family: f, method: m, form: of, .. }
                    if f == family && m == method && of == form && same_answer(call, wide) =>
                {
                    forms.push((program, call));
                }
                _ => {}
            }
        }
    }
    forms.sort_by_key(|(_, call)| (call.number == wide.number, call.number));
    for (program, call) in forms {
        let Via::Method { args, .. } = &call.via else { continue };
        let conditions: Vec<String> = args
            .iter()
            .zip(wide_args)
            .filter(|(arg, _)| !super::is_arg(call, arg))
            .map(|(literal, param)| match literal.as_str() {
                "None" => format!("{param}.is_none()"),
                number => format!("{param} == {number}"),
            })
            .collect();
        let invoke = invocation(program, call, args, wide_args, *form);
        if conditions.is_empty() {
            let _ = writeln!(out, "{invoke}");
        } else {
            let _ = writeln!(out, "if {} {{ return {invoke}; }}", conditions.join(" && "));
        }
    }
    out.push_str("}\n\n");
}

/// A call that is made twice: with room for nothing, which gives the count, and with that many.
///
/// Compat: some drivers refuse any other number than theirs.
fn counted_params(path: &str, call: &Call, arguments: &str, read: &str) -> String {
    let one = |read: &str| {
        format!("self.call(call, {path}::PROGRAM, {path}::{}, {arguments}{read})", call.name)
    };
    let count = format!(", |r| {path}::{}Ret::decode(r).map(|ret| ret.nparams)", camel(&call.name));
    format!("{{ let nparams = 0; let nparams = {}?; {} }}", one(&count), one(read))
}

fn same_answer(call: &Call, wide: &Call) -> bool {
    match (&call.ret, &wide.ret) {
        (Ret::Fields(one), Ret::Fields(other)) => one[0].kind == other[0].kind,
        (one, other) => one == other,
    }
}

fn invocation(
    program: &Program,
    call: &Call,
    args: &[String],
    wide_args: &[String],
    form: Form,
) -> String {
    let path = &program.name;
    let mut values = String::new();
    for arg in &call.args {
        let value = match (form, arg.name.as_str()) {
            (Form::List, "need_results") => "1".to_owned(),
            (Form::Whole, "nparams") => "0".to_owned(),
            (Form::Params, "nparams") => match &call.ret {
                Ret::Fields(fields) if fields.len() > 1 => "nparams".into(),
                Ret::Fields(fields) => match &fields[0].kind {
                    Type::List(_, max) => format!("limits::{max} as i32"),
                    _ => "0".into(),
                },
                _ => "0".into(),
            },
            _ => {
                let at = args.iter().position(|name| *name == arg.name);
                let param = at.and_then(|at| wide_args.get(at)).unwrap_or(&arg.name);
                keep(&arg.kind, param)
            }
        };
        if value == arg.name {
            let _ = write!(values, "{value}, ");
        } else {
            let _ = write!(values, "{}: {value}, ", arg.name);
        }
    }
    let arguments = if call.args.is_empty() {
        "&()".to_owned()
    } else {
        format!("&{path}::{}Args {{ {values} }}", camel(&call.name))
    };
    let read = match &call.ret {
        Ret::Nothing => "|_| Ok(())".to_owned(),
        Ret::Record(name) => format!("{name}::decode"),
        Ret::Fields(fields) => decoder(&fields[0].kind),
    };
    let verb = match (&call.stream, &call.ret) {
        (None, _) => "call",
        (Some(_), Ret::Nothing) => "open_stream",
        (Some(_), _) => "call_stream",
    };
    let read = if verb == "open_stream" { String::new() } else { format!(", {read}") };
    if let (Form::Params, Ret::Fields(fields)) = (form, &call.ret)
        && fields.len() > 1
    {
        return counted_params(path, call, &arguments, &read);
    }
    format!("self.{verb}(call, {path}::PROGRAM, {path}::{}, {arguments}{read})", call.name)
}
