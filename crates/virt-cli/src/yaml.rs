//! Values as YAML: one fact a line, documents as blocks of text.

use std::fmt::Write as _;

use virt_json::Value;

/// A value as one YAML document, with a line's end.
pub(crate) fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(_) | Value::Object(_) if !is_empty(value) => block(&mut out, value, 0),
        _ => {
            scalar(&mut out, value, 0);
            out.push('\n');
        }
    }
    out
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// A list or an object with something in it, each of whose lines begins `depth` levels in; the first
/// line's blanks are there already where something stands before it.
fn block(out: &mut String, value: &Value, depth: usize) {
    let mut first = out.is_empty() || out.ends_with('\n');
    let mut line = |out: &mut String| {
        if std::mem::replace(&mut first, true) {
            out.extend(std::iter::repeat_n("  ", depth));
        }
    };
    match value {
        Value::Array(values) => {
            for value in values {
                line(out);
                out.push('-');
                inner(out, value, depth + 1, true);
            }
        }
        Value::Object(members) => {
            for (key, value) in members {
                line(out);
                plain_or_quoted(out, key);
                out.push(':');
                inner(out, value, depth + 1, false);
            }
        }
        _ => {}
    }
}

/// What follows a dash or a key. A block after a dash begins on the dash's own line.
fn inner(out: &mut String, value: &Value, depth: usize, after_dash: bool) {
    match value {
        Value::Array(_) | Value::Object(_) if !is_empty(value) => {
            out.push(if after_dash { ' ' } else { '\n' });
            block(out, value, depth);
        }
        _ => {
            out.push(' ');
            scalar(out, value, depth);
            out.push('\n');
        }
    }
}

fn scalar(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::String(text) if is_block(text) => {
            out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
            for line in text.lines() {
                out.push('\n');
                if !line.is_empty() {
                    out.extend(std::iter::repeat_n("  ", depth));
                    out.push_str(line);
                }
            }
        }
        Value::String(text) => plain_or_quoted(out, text),
        // Writing to a String cannot fail, here and below.
        other => drop(write!(out, "{other}")),
    }
}

/// Whether a text of several lines may stand as it is: what a reader would change may not.
fn is_block(text: &str) -> bool {
    let inner = text.strip_suffix('\n').unwrap_or(text);
    inner.contains('\n')
        && !text.starts_with([' ', '\n'])
        && !inner.ends_with('\n')
        && text.chars().all(|c| c == '\n' || is_printable(c))
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Words that a reader would take for something else than a text.
const RESERVED: &[&str] = &["true", "false", "yes", "no", "on", "off", "null", "y", "n"];

fn plain_or_quoted(out: &mut String, text: &str) {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./+@".contains(c);
    if begins && text.chars().all(plain) && !RESERVED.contains(&text.to_ascii_lowercase().as_str())
    {
        out.push_str(text);
        return;
    }
    for c in Value::from(text).to_string().chars() {
        match is_printable(c) {
            true => out.push(c),
            false => drop(write!(out, "\\u{:04x}", u32::from(c))),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_yaml_readers_read_back() {
        for (json, want) in [
            ("[]", "[]\n"),
            ("7", "7\n"),
            (
                r#"[{"id":1,"name":"a b","on":[true,"yes"]},{"id":null,"x":{},"y":{"z":"/p"}}]"#,
                "- id: 1\n  name: \"a b\"\n  \"on\":\n    - true\n    - \"yes\"\n- id: null\n  \
                 x: {}\n  \"y\":\n    z: /p\n",
            ),
            (r#"[[1,2],["1e5",""]]"#, "- - 1\n  - 2\n- - \"1e5\"\n  - \"\"\n"),
            (
                r#"{"xml":"<a>\n  <b/>\n\n</a>\n","t":"a\nb","q":" a\nb","u":"a\u0085"}"#,
                "xml: |\n  <a>\n    <b/>\n\n  </a>\nt: |-\n  a\n  b\nq: \" a\\nb\"\n\
                 u: \"a\\u0085\"\n",
            ),
        ] {
            let value = virt_json::parse(json).unwrap();
            assert_eq!(super::text(&value), want, "{json}");
        }
    }
}
