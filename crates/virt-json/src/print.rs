//! Values to text, without a blank or laid out in lines.

use std::fmt;

use crate::Value;

impl fmt::Display for Value {
    /// Without any blank.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_value(f, self, None)
    }
}

impl Value {
    /// Laid out with two blanks a level; no newline at the end.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        // Writing into a string cannot fail.
        let _ = write_value(&mut out, self, Some(0));
        out
    }
}

/// Prints one value; `depth` is how deep it stands where lines are wanted.
fn write_value(out: &mut dyn fmt::Write, value: &Value, depth: Option<usize>) -> fmt::Result {
    let inner = depth.map(|depth| depth + 1);
    match value {
        Value::Null => out.write_str("null"),
        Value::Bool(yes) => write!(out, "{yes}"),
        Value::Number(text) => out.write_str(text),
        Value::String(text) => write_string(out, text),
        Value::Array(values) if values.is_empty() => out.write_str("[]"),
        Value::Array(values) => {
            out.write_char('[')?;
            for (at, value) in values.iter().enumerate() {
                separate(out, at, inner)?;
                write_value(out, value, inner)?;
            }
            new_line(out, depth)?;
            out.write_char(']')
        }
        Value::Object(members) if members.is_empty() => out.write_str("{}"),
        Value::Object(members) => {
            out.write_char('{')?;
            for (at, (key, value)) in members.iter().enumerate() {
                separate(out, at, inner)?;
                write_string(out, key)?;
                out.write_str(if depth.is_some() { ": " } else { ":" })?;
                write_value(out, value, inner)?;
            }
            new_line(out, depth)?;
            out.write_char('}')
        }
    }
}

fn separate(out: &mut dyn fmt::Write, at: usize, depth: Option<usize>) -> fmt::Result {
    if at > 0 {
        out.write_char(',')?;
    }
    new_line(out, depth)
}

fn new_line(out: &mut dyn fmt::Write, depth: Option<usize>) -> fmt::Result {
    match depth {
        Some(depth) => write!(out, "\n{:1$}", "", depth * 2),
        None => Ok(()),
    }
}

/// Compat: a slash and what is not ASCII stand as they are.
fn write_string(out: &mut dyn fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '\u{8}' => out.write_str("\\b")?,
            '\u{c}' => out.write_str("\\f")?,
            c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}
