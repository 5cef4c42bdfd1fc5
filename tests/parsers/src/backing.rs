//! Backing files as images name them: whatever a guest wrote there, it is a source or it is refused.

use virt_model::domain::backing::Backing;
use virt_model::domain::disk::DiskType;
use virt_model::domain::source::StorageSource;
use virt_model::{Out, ParseFlags, PrintFlags};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(backing) = Backing::parse(text) else { return };
    let printed = print(&backing.source);
    if printed.is_empty() {
        return;
    }
    // Characters that XML cannot hold are left out when printed; from then on nothing changes.
    let once = again(&printed, backing.source.kind);
    assert_eq!(again(&once, backing.source.kind), once, "printing is not stable");
}

fn print(source: &StorageSource) -> String {
    let mut out = Out::new(PrintFlags::default());
    source.write("source", &mut out);
    out.w.finish()
}

fn again(printed: &str, kind: DiskType) -> String {
    let tree = virt_xml::parse(printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    match StorageSource::read(&tree, kind, ParseFlags::default()) {
        Ok(source) => print(&source),
        Err(error) => panic!("what was printed is not read: {}\n{printed}", error.message()),
    }
}
