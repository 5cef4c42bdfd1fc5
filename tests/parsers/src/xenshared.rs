//! Configurations in xenstore: any texts are read or refused, and what is read can be put back.

use driver_xen::{Entry, Host};
use virt_types::Uuid;

/// The folder in which the texts stand.
const UUID: Uuid = Uuid([0x42; 16]);

pub(crate) fn check(bytes: &[u8]) {
    // A name and the parts of a document, with zeros between, as xenstore has no text with one.
    let mut texts =
        bytes.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
    let Some(name) = texts.next() else { return };
    let host = Host::default();
    let entry = Entry { name, parts: texts.collect() };
    let Ok(document) = entry.document(&UUID, &host) else { return };
    assert_eq!(document.name, entry.name);
    // The first writing may lose what XML does not keep; the second may not.
    let once = again(&document, &host);
    let Some(once) = once else { return };
    assert_eq!(again(&once, &host), Some(once), "what is put back changes");
}

/// Writes a document and reads it; `None` for one that is too long to be put there.
fn again(document: &virt_model::domain::Domain, host: &Host) -> Option<virt_model::domain::Domain> {
    let written = Entry::of(document).ok()?;
    match written.document(&UUID, host) {
        Ok(read) => Some(read),
        Err(error) => {
            panic!("what was written is not read: {}\n{}", error.message(), written.parts.concat())
        }
    }
}
