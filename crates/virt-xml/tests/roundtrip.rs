//! Trees survive printing and reading; nothing that is read can make the parser panic.

use std::borrow::Cow;

use proptest::prelude::*;
use virt_xml::{
    Attr, Element, ErrorKind, Limits, Node, parse, parse_bytes, parse_with, peek, to_string,
};

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z_][a-zA-Z0-9_.:-]{0,8}"
}

/// Text that has something to print: white space alone is laid out anew.
fn text() -> impl Strategy<Value = String> {
    "[ -~\n\tàß€]{0,20}".prop_filter("not blank", |text| !text.trim().is_empty())
}

fn leaf() -> impl Strategy<Value = Element<'static>> {
    let attrs = prop::collection::btree_map(name(), "[ -~àß€]{0,12}", 0..4);
    (name(), attrs, proptest::option::of(text())).prop_map(|(name, attrs, text)| {
        let mut element = Element::new(name);
        element.attrs = attrs
            .into_iter()
            .map(|(n, v)| Attr { name: Cow::Owned(n), value: Cow::Owned(v) })
            .collect();
        match text {
            Some(text) => element.with_text(text),
            None => element,
        }
    })
}

fn tree() -> impl Strategy<Value = Element<'static>> {
    leaf().prop_recursive(4, 40, 5, |inner| {
        (leaf(), prop::collection::vec(inner, 1..5)).prop_map(|(mut element, children)| {
            element.children = children.into_iter().map(Node::Element).collect();
            element
        })
    })
}

/// The same tree without the white space that the printer put between elements.
fn settled(element: &Element<'_>) -> Element<'static> {
    let mut out = element.to_static();
    if out.elements().next().is_some() {
        out.children = element.elements().map(|child| Node::Element(settled(child))).collect();
    }
    out
}

proptest! {
    #[test]
    fn numbers_print_as_hexadecimal_digits(value: u64, shift in 0..64_u32, digits in 0..17_u32) {
        let (value, width) = (value >> shift, digits as usize);
        let mut writer = virt_xml::Writer::new();
        writer.open("a");
        writer.attr_hex("n", value, digits);
        writer.close("a");
        prop_assert_eq!(writer.finish(), format!("<a n='0x{value:0width$x}'/>\n"));
    }

    #[test]
    fn printing_then_reading_gives_the_same_tree(tree in tree()) {
        let printed = to_string(&tree);
        let read = parse(&printed).expect("what we print is well formed");
        prop_assert_eq!(settled(&read), tree);
        prop_assert_eq!(to_string(&read), printed);
    }

    #[test]
    fn nothing_read_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_bytes(&bytes);
        let _ = peek(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn nothing_like_xml_makes_it_panic(text in "[<>/=!?&;'\"a-c \\-\\[\\]#x0-9\n]{0,60}") {
        if let Err(error) = parse(&text) {
            prop_assert!(!error.framed(None).is_empty());
        }
        let _ = peek(&text);
    }

    #[test]
    fn a_glance_agrees_with_the_whole(name in text(), inner in tree()) {
        let root = Element::new("domain").with_attr("type", "kvm").with_attr("id", "7")
            .with_child(Element::new("name").with_text(name.clone()))
            .with_child(inner)
            .with_child(Element::new("uuid").with_text("u"));
        let printed = to_string(&root);
        if let Some(head) = peek(&printed) {
            let whole = parse(&printed).expect("well formed");
            let name = whole.child_text("name").map(Cow::into_owned);
            prop_assert_eq!(head.name.map(Cow::into_owned), name);
            prop_assert_eq!(head.kind.as_deref(), Some("kvm"));
            prop_assert_eq!(head.id.as_deref(), Some("7"));
        }
    }
}

#[test]
fn errors_name_the_place() {
    let cases: &[(&str, u32, u32, &str)] = &[
        ("", 1, 1, "Document is empty"),
        ("hello", 1, 1, "Start tag expected, '<' not found"),
        ("<a/>\n<b/>", 2, 1, "Extra content at the end of the document"),
        ("<a>\n  <b>\n</a>", 3, 5, "Opening and ending tag mismatch: b line 2 and a"),
        ("<a x='1' x='2'/>", 1, 15, "Attribute x redefined"),
        ("<a x=1/>", 1, 6, "AttValue: \" or ' expected"),
        ("<a>&foo;</a>", 1, 9, "Entity 'foo' not defined"),
        ("<a><b></b>", 1, 11, "Premature end of data in tag a line 1"),
        ("  ", 1, 3, "Start tag expected, '<' not found"),
        ("<a>\n<b c='d'\n", 3, 9, "Couldn't find end of Start Tag b line 2"),
        ("<a b='1'", 1, 9, "attributes construct error"),
        ("<a b='x", 1, 8, "AttValue: ' expected"),
        ("<a b>", 1, 5, "Specification mandates value for attribute b"),
        ("<a><b></b\n</a>", 2, 1, "expected '>'"),
        ("</a>", 1, 2, "StartTag: invalid element name"),
        ("<a>&</a>", 1, 5, "xmlParseEntityRef: no name"),
        ("<a>&lt</a>", 1, 7, "EntityRef: expecting ';'"),
        ("<a>&#xzz;</a>", 1, 7, "CharRef: invalid hexadecimal value"),
        ("<a>&#0;</a>", 1, 8, "xmlParseCharRef: invalid xmlChar value 0"),
        ("<a>x]]>y</a>", 1, 4, "Sequence ']]>' not allowed in content"),
        ("<!-- a -- b --><a/>", 1, 8, "Double hyphen within comment: <!-- a "),
        ("<a/>\n\nxx", 3, 1, "Extra content at the end of the document"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", 1, 1, "document type declarations are not allowed"),
    ];
    for &(text, line, column, message) in cases {
        let error = parse(text).expect_err(text);
        assert_eq!(
            (error.line, error.column, error.kind.to_string().as_str()),
            (line, column, message),
            "{text}"
        );
    }
}

#[test]
fn the_frame_shows_the_line() {
    let error = parse("<domain/><domain/>").expect_err("two roots");
    assert_eq!(
        error.framed(None),
        "at line 1: Extra content at the end of the document\n<domain/><domain/>\n---------^"
    );
    assert_eq!(
        parse("").expect_err("empty").framed(None),
        "at line 1: Document is empty\n(null)\n^"
    );
}

#[test]
fn limits_hold() {
    let limits = Limits {
        depth: 3,
        elements: 10,
        attributes_per_element: 2,
        text_bytes: 5,
        size_bytes: 100,
    };
    let over = |text: &str| match parse_with(text, &limits) {
        Err(error) => matches!(error.kind, ErrorKind::Limit(_)),
        Ok(_) => false,
    };
    assert!(!over("<a><b><c>12345</c></b></a>"));
    assert!(over("<a><b><c><d></d></c></b></a>"));
    assert!(over("<a x='1' y='2' z='3'/>"));
    assert!(over("<a>123456</a>"));
    assert!(over("<a>123&amp;456</a>"));
    assert!(over("<a x='123456'/>"));
    assert!(over(&format!("<a>{}</a>", "<b/>".repeat(11))));
    assert!(over(&format!("<a>{}</a>", " ".repeat(100))));
    let deep = "<a>".repeat(100_000);
    assert!(matches!(parse(&deep).expect_err("too deep").kind, ErrorKind::Limit("depth")));
}

#[test]
fn references_and_sections_are_text() {
    let tree = parse("<a b='&lt;&#65;&#x42;\n'>x&amp;<![CDATA[<y>]]>\r\nz<!-- no --></a>")
        .expect("well formed");
    assert_eq!(tree.attr("b"), Some("<AB "));
    assert_eq!(tree.text(), "x&<y>\nz");
}

#[test]
fn a_glance_reads_only_as_far_as_it_must() {
    let head = peek("<?xml version='1.0'?>\n<!-- <name>no</name> -->\n<domain type='kvm' id='3'>\n  <metadata><name>inner</name></metadata>\n  <name>a &amp; b</name>\n  <uuid>u</uuid>\n  <broken").expect("a head");
    assert_eq!(
        (head.root, head.kind.as_deref(), head.id.as_deref()),
        ("domain", Some("kvm"), Some("3"))
    );
    assert_eq!((head.name.as_deref(), head.uuid.as_deref()), (Some("a & b"), Some("u")));
    assert_eq!(peek("no document"), None);
}

#[test]
fn foreign_trees_keep_their_own_form() {
    let tree = parse(
        "<metadata>\n<a:b xmlns:a='urn:a'  x='1'><!-- c --><a:c>t\"'</a:c>  <d>mixed <e/> text</d></a:b></metadata>",
    )
    .expect("well formed");
    assert_eq!(
        virt_xml::dump_foreign(&tree, 1),
        "<metadata>\n    <a:b xmlns:a=\"urn:a\" x=\"1\">\n      <!-- c -->\n      <a:c>t\"'</a:c>\n      <d>mixed <e/> text</d>\n    </a:b>\n  </metadata>"
    );
}
