//! JSON: what is printed in either way is read as the same value.

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(value) = virt_json::parse(text) else { return };
    assert_eq!(virt_json::parse(&value.to_string()).as_ref(), Ok(&value));
    assert_eq!(virt_json::parse(&value.pretty()).as_ref(), Ok(&value));
    // Nested or refused; a second time there is nothing left to nest.
    if let Ok(nested) = value.deflattened() {
        assert_eq!(nested.deflattened().as_ref(), Ok(&nested), "nested twice");
    }
}
