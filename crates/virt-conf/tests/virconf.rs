//! Every file of the virconf suite comes out as libvirt writes it.

use std::path::PathBuf;

use virt_conf::Conf;

#[test]
fn files_are_written_back_as_libvirt_writes_them() {
    let shared = std::env::var_os("FERROVIRT_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let suite = shared.join("conformance/virconf");
    let Ok(cases) = std::fs::read_to_string(suite.join("cases.tsv")) else {
        eprintln!("skipped: no {}", suite.display());
        return;
    };
    let mut count = 0;
    for case in cases.lines().skip(1) {
        let columns: Vec<_> = case.split('\t').collect();
        let [name, _, input, expected] = columns[..] else { panic!("columns: {case}") };
        let read = |file: &str| std::fs::read_to_string(suite.join(file)).expect(file);
        let printed = Conf::parse(&read(input)).expect(name).to_string();
        assert_eq!(printed, read(expected), "{name}");
        count += 1;
    }
    assert!(count > 0);
}
