//! The simulated manager: any bytes are answered, and every answer is a document.

use ldmd_sim::probe::answers;

pub(crate) fn check(bytes: &[u8]) {
    let Some((portions, whole)) = crate::portions(bytes) else { return };
    let found = answers(std::iter::once(whole));
    for answer in &found {
        let tree = virt_xml::parse(answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert_eq!(tree.children_named("response").count(), 1, "{answer}");
    }
    // Identifiers are random, so that only the number can be compared.
    assert_eq!(answers(portions).len(), found.len(), "portions change what is answered");
}
