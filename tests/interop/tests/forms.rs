//! Parts of domain documents in every form that they may have, defined and printed by both shells.
//!
//! A line of `forms.txt` is what stands in a domain's `<devices>`, or after a `=` beside it. Other
//! orders, other spellings of numbers, parts that mean nothing where they stand and parts that are
//! refused are all there: both must print the same, or refuse it with the same words.

use std::path::Path;

use interop::{Document, compare_with, text_of};
use test_support::{or_skip, our_program, reference_program};

/// How many documents one pair of shells is given.
const SESSION: usize = 12;

fn document(at: usize, line: &str) -> Document {
    let body = match line.strip_prefix("= ") {
        Some(beside) => beside.to_owned(),
        None => format!("<devices>{line}</devices>"),
    };
    let vcpu = if body.contains("<vcpu>") { "" } else { "<vcpu>4</vcpu>" };
    let text = format!(
        "<domain type='test'><name>form{at:03}</name>\
         <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1{at:03}</uuid><memory>1048576</memory>{vcpu}\
         <os><type arch='i686'>hvm</type></os>{body}</domain>"
    );
    Document { name: format!("form{at:03}.xml"), text }
}

#[test]
fn every_form_is_printed_as_libvirt_prints_it() {
    let theirs = or_skip!(reference_program("virsh"));
    let text = text_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("forms.txt"));
    let documents: Vec<Document> =
        text.lines().enumerate().map(|(at, line)| document(at, line)).collect();
    assert!(documents.len() > 200, "only {} forms", documents.len());
    let commands = |document: &Document| {
        let name = document.name.trim_end_matches(".xml");
        format!("define {0}; dumpxml {name} --inactive --security-info", document.name)
    };
    let sessions: Vec<String> = documents
        .chunks(SESSION)
        .map(|part| part.iter().map(commands).collect::<Vec<_>>().join("; "))
        .collect();
    let compared = compare_with(&theirs, &our_program("virsh"), &sessions, &documents);
    assert!(compared.unheard * 2 < sessions.len(), "libvirt's shell hung too often");
    let differ: Vec<String> = compared.different.iter().map(ToString::to_string).collect();
    assert!(differ.is_empty(), "{} sessions differ:\n{}", differ.len(), differ.join("\n"));
}
