//! What our readers are expected to say of broken documents is what libvirt's say.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use test_support::{or_skip, reference_program, run, system_python};

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn broken_documents_are_refused_as_libvirt_refuses_them() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    or_skip!(reference_program("virsh"));
    let python = or_skip!(system_python());
    let documents = here.join("../parsers/broken");
    let script = here.join("python/broken.py");
    let output = run(Command::new(python).arg(script).arg(documents), LIMIT).ok();
    let lines: Vec<&str> = output.lines().collect();
    let [differ @ .., compared, "done"] = lines.as_slice() else { panic!("{output}") };
    let compared: usize = compared.trim_end_matches(" compared").parse().expect("a count");
    assert!(compared >= 150, "{output}");
    let known = std::fs::read_to_string(here.join("broken-differs.txt")).expect("the list");
    let known: BTreeSet<&str> = known.lines().filter(|line| !line.starts_with('#')).collect();
    let differ: BTreeSet<&str> = differ.iter().copied().collect();
    assert_eq!(differ, known);
}
