//! What is read and printed stays the same; what is no JSON is refused, wherever it is cut.

use proptest::prelude::*;
use virt_json::{DEPTH_MAX, JsonError, Value, parse};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?".prop_map(Value::Number),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_the_same(value in value()) {
        prop_assert_eq!(parse(&value.to_string()), Ok(value.clone()));
        prop_assert_eq!(parse(&value.pretty()), Ok(value));
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}", value in value(), cut in any::<prop::sample::Index>()) {
        let _ = parse(&text);
        let whole = value.to_string();
        let at = cut.index(whole.len() + 1);
        let _ = parse(whole.get(..at).unwrap_or_default()).map(|value| value.deflattened());
    }
}

#[test]
fn texts_come_out_as_libvirt_prints_them() {
    for (given, printed) in [
        ("[ 1.024e19 ]", "[1.024e19]"),
        ("\"\\u00e9\\ud83d\\ude00/\\/\\u0001\"", "\"é😀//\\u0001\""),
        ("{\"b\":1,\"a\":{},\"b\":[]}", "{\"b\":[],\"a\":{}}"),
        (" [true , false,null] ", "[true,false,null]"),
    ] {
        assert_eq!(parse(given).map(|value| value.to_string()).as_deref(), Ok(printed), "{given}");
    }
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for (given, at) in
        [("[1,]", 3), ("[1 2]", 3), ("{1:1}", 1), ("01", 1), ("[\"x]", 2), ("tr", 0), ("1] [2", 1)]
    {
        let place = match parse(given) {
            Err(JsonError::Expected { at, .. }) => Some(at),
            _ => None,
        };
        assert_eq!(place, Some(at), "{given}");
    }
    let deep = "[".repeat(DEPTH_MAX + 2);
    assert!(matches!(parse(&deep), Err(JsonError::TooDeep { .. })));
}
