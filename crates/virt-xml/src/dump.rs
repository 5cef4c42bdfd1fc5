//! Foreign trees (`<metadata>` and its like) as libvirt keeps them: comments stay, double quotes.

use crate::tree::{Element, Node, owned};

/// Prints a foreign tree, its first line without indentation, the others for `depth`.
///
/// Compat: quotes are double, both kinds of quote stay plain in texts, an element with text among
/// its children is printed on one line as it came, others are indented anew.
pub fn dump_foreign(element: &Element<'_>, depth: usize) -> String {
    let mut out = String::new();
    dump(&mut out, element, depth, true);
    out
}

/// A copy that borrows nothing, of what [`dump_foreign`] prints.
pub fn foreign_content(element: &Element<'_>) -> Element<'static> {
    let mut copy = element.start_tag();
    copy.attrs.sort_by_key(|attr| !is_declaration(&attr.name));
    for node in kept(element) {
        match (node, copy.children.last_mut()) {
            (Node::Text(more), Some(Node::Text(text))) => text.to_mut().push_str(more),
            (Node::Text(text), _) => copy.children.push(Node::Text(owned(text))),
            (Node::Comment(text), _) => copy.children.push(Node::Comment(owned(text))),
            (Node::Element(child), _) => copy.children.push(Node::Element(foreign_content(child))),
        }
    }
    copy
}

/// Whether an attribute binds a prefix to a namespace.
fn is_declaration(name: &str) -> bool {
    name == "xmlns" || name.starts_with("xmlns:")
}

/// Whether there is text among the children that is more than white space.
fn is_mixed(element: &Element<'_>) -> bool {
    let is_text = |node: &Node<'_>| matches!(node, Node::Text(text) if !text.trim().is_empty());
    element.children.iter().any(is_text)
}

fn is_only_text(element: &Element<'_>) -> bool {
    element.children.iter().all(|node| matches!(node, Node::Text(_)))
}

/// What is printed of the children: white space counts as content only where there is nothing else.
fn kept<'e, 'a>(element: &'e Element<'a>) -> Vec<&'e Node<'a>> {
    let all = is_mixed(element) || is_only_text(element);
    element.children.iter().filter(|node| all || !matches!(node, Node::Text(_))).collect()
}

fn dump(out: &mut String, element: &Element<'_>, depth: usize, indent: bool) {
    out.push('<');
    out.push_str(&element.name);
    let (declarations, attrs): (Vec<_>, Vec<_>) =
        element.attrs.iter().partition(|attr| is_declaration(&attr.name));
    for attr in declarations.into_iter().chain(attrs) {
        out.push(' ');
        out.push_str(&attr.name);
        out.push_str("=\"");
        escape(out, &attr.value, true);
        out.push('"');
    }
    let kept = kept(element);
    if kept.is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    let indent = indent && !is_mixed(element) && !is_only_text(element);
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
