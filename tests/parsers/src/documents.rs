//! Documents: what the model prints it reads again, and prints the same; what it refuses, it explains.

use virt_error::Result;
use virt_model::backup::Backup;
use virt_model::capabilities::{Capabilities, DomainCapabilities, PoolCapabilities};
use virt_model::domain::{Domain, DomainRules};
use virt_model::filter::Filter;
use virt_model::filter_binding::FilterBinding;
use virt_model::host_interface::HostInterface;
use virt_model::network::{Network, NetworkPort};
use virt_model::node_device::NodeDevice;
use virt_model::schema::explain;
use virt_model::secret::Secret;
use virt_model::storage::{Pool, Volume, VolumeParse};
use virt_model::{Document, ParseFlags, PrintFlags};
use virt_xml::Element;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(tree) = virt_xml::parse(text) else { return };
    explained(text);
    match &*tree.name {
        "network" => stable::<Network>(&tree),
        "networkport" => stable::<NetworkPort>(&tree),
        "pool" => stable::<Pool>(&tree),
        "interface" => stable::<HostInterface>(&tree),
        "device" => stable::<NodeDevice>(&tree),
        "secret" => stable::<Secret>(&tree),
        "filter" => stable::<Filter>(&tree),
        "filterbinding" => stable::<FilterBinding>(&tree),
        "domainbackup" => stable::<Backup>(&tree),
        "capabilities" => stable::<Capabilities>(&tree),
        "domainCapabilities" => stable::<DomainCapabilities>(&tree),
        "storagepoolCapabilities" => stable::<PoolCapabilities>(&tree),
        "volume" => volume(text),
        _ => {}
    }
}

/// Whatever is said of a document stays in its bounds.
fn explained(text: &str) {
    let lines = explain::faults_of(text);
    assert!(lines.len() <= virt_model::schema::validate::FAULTS_MAX, "{lines:?}");
    for validate in [false, true] {
        let flags = ParseFlags { validate, ..ParseFlags::default() };
        if let Err(error) = Domain::load(text, flags, &Rules) {
            assert!(error.hint().is_some_and(|hint| hint.len() <= virt_error::HINT_BYTES_MAX));
        }
    }
}

/// No driver's rules: every guest can be.
struct Rules;

impl DomainRules for Rules {
    fn guest(&self, domain: &mut Domain) -> Result<()> {
        domain.os.kind.arch.get_or_insert_with(|| "x86_64".to_owned());
        Ok(())
    }
}

fn stable<T: Document>(tree: &Element<'_>) {
    let flags = ParseFlags::default();
    let Ok(document) = T::from_tree(tree, flags) else { return };
    // The first printing may lose what XML does not keep, as line breaks in attributes; the second may not.
    let once = again::<T>(&document.to_xml(PrintFlags::default()));
    assert_eq!(again::<T>(&once), once, "printing is not stable");
}

fn again<T: Document>(printed: &str) -> String {
    match T::parse(printed, ParseFlags::default()) {
        Ok(document) => document.to_xml(PrintFlags::default()),
        Err(error) => panic!("what was printed is not read: {}\n{printed}", error.message()),
    }
}

fn volume(text: &str) {
    let read = |text: &str| Volume::parse(text, Default::default(), VolumeParse::default());
    let Ok(volume) = read(text) else { return };
    let again = |printed: &str| match read(printed) {
        Ok(volume) => volume.to_xml(),
        Err(error) => panic!("what was printed is not read: {}\n{printed}", error.message()),
    };
    let once = again(&volume.to_xml());
    assert_eq!(again(&once), once, "printing is not stable");
}
