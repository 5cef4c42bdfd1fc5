//! XML: what is printed can be read again, and from then on stays the same; all of it can be judged, and every
//! refusal explained.

use virt_model::schema::explain;
use virt_xml::{parse, parse_bytes, peek, to_string};

pub(crate) fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = peek(text);
    }
    let tree = match parse_bytes(bytes) {
        Ok(tree) => tree,
        Err(error) => return drop(error.framed(None) + &error.help()),
    };
    drop(explain::warnings(&tree));
    // Compat: libvirt prints a line break in an attribute as it is, and reads it as a blank. So the
    // first printing may change the text; the second may not.
    let once = again(&to_string(&tree));
    assert_eq!(again(&once), once, "printing is not stable");
}

fn again(printed: &str) -> String {
    match parse(printed) {
        Ok(tree) => to_string(&tree),
        Err(error) => panic!("what was printed is not read: {error}\n{printed}"),
    }
}
