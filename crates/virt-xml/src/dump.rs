//! Foreign trees (`<metadata>` and its like) as libvirt keeps them: comments stay, double quotes.

use crate::tree::{Element, Node};

/// Prints a foreign tree, its first line without indentation, the others for `depth`.
///
/// Compat: quotes are double, both kinds of quote stay plain in texts, an element with text among
/// its children is printed on one line as it came, others are indented anew.
pub fn dump_foreign(element: &Element<'_>, depth: usize) -> String {
    let mut out = String::new();
    dump(&mut out, element, depth, true);
    out
}

fn dump(out: &mut String, element: &Element<'_>, depth: usize, indent: bool) {
    out.push('<');
    out.push_str(&element.name);
    let is_declaration = |name: &str| name == "xmlns" || name.starts_with("xmlns:");
    let (declarations, attrs): (Vec<_>, Vec<_>) =
        element.attrs.iter().partition(|attr| is_declaration(&attr.name));
    for attr in declarations.into_iter().chain(attrs) {
        out.push(' ');
        out.push_str(&attr.name);
        out.push_str("=\"");
        escape(out, &attr.value, true);
        out.push('"');
    }
    let mixed = element
        .children
        .iter()
        .any(|node| matches!(node, Node::Text(text) if !text.trim().is_empty()));
    let only_text = element.children.iter().all(|node| matches!(node, Node::Text(_)));
    // White space counts as content only where there is nothing else.
    let kept: Vec<&Node<'_>> = element
        .children
        .iter()
        .filter(|node| mixed || only_text || !matches!(node, Node::Text(_)))
        .collect();
    if kept.is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    let indent = indent && !mixed && !only_text;
    for node in kept {
        if indent {
            line_break(out, depth + 1);
        }
        match node {
            Node::Element(child) => dump(out, child, depth + 1, indent),
            Node::Text(text) => escape(out, text, false),
            Node::Comment(text) => {
                out.push_str("<!--");
                out.push_str(text);
                out.push_str("-->");
            }
        }
    }
    if indent {
        line_break(out, depth);
    }
    out.push_str("</");
    out.push_str(&element.name);
    out.push('>');
}

fn line_break(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

fn escape(out: &mut String, text: &str, in_attribute: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if in_attribute => out.push_str("&quot;"),
            '\n' if in_attribute => out.push_str("&#10;"),
            '\t' if in_attribute => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
}
