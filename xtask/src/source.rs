//! A small reader of formatted Rust source: which functions there are, and how long each is.
//!
//! It relies on `cargo fmt`: an item ends at the first line of the same indent that starts with
//! `}` or, for one without a body, that ends with `;`. It knows nothing of macros and types.

/// A function in a source file.
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// The functions of a formatted source text, in order.
pub(crate) fn functions(text: &str) -> Vec<Function<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        found.push(Function { name, line: at + 1, lines: item_length(&lines[at..]) });
    }
    found
}

/// The lines of the item that starts at `start`.
pub(crate) fn block<'a>(lines: &'a [&'a str], start: usize) -> &'a [&'a str] {
    let rest = &lines[start..];
    &rest[..item_length(rest)]
}

fn item_length(lines: &[&str]) -> usize {
    let Some(first) = lines.first() else { return 0 };
    if first.ends_with(';') {
        return 1;
    }
    if first.ends_with("{}") || (first.contains('{') && first.ends_with('}')) {
        return 1;
    }
    let indent = indent_of(first);
    let mut opened = first.ends_with('{');
    for (at, line) in lines.iter().enumerate().skip(1) {
        if line.trim().is_empty() || indent_of(line) > indent {
            continue;
        }
        if !opened && line.ends_with(';') {
            return at + 1;
        }
        opened |= line.ends_with('{');
        if opened && line.trim_start().starts_with('}') || line.ends_with("{}") {
            return at + 1;
        }
    }
    lines.len()
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The name in a line that starts a function.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    loop {
        let (word, after) = rest.split_once(' ')?;
        match word {
            "fn" => {
                let end = after.find(['(', '<'])?;
                return Some(&after[..end]);
            }
            "pub" | "pub(crate)" | "pub(super)" | "const" | "async" | "unsafe" | "extern"
            | "\"C\"" => rest = after,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_length() {
        let text = "fn one() {}\n\nimpl X {\n    pub(crate) fn two(\n        a: u32,\n    ) -> u32 {\n        a\n    }\n    fn three(&self) -> u32;\n    fn four(\n        &self,\n    ) -> u32;\n}\n";
        let found: Vec<_> =
            functions(text).iter().map(|f| (f.name.to_owned(), f.line, f.lines)).collect();
        assert_eq!(
            found,
            [
                ("one".to_owned(), 1, 1),
                ("two".to_owned(), 4, 5),
                ("three".to_owned(), 9, 1),
                ("four".to_owned(), 10, 3),
            ]
        );
    }
}
