//! The conformance corpora as judges of the model: each suite prints how many cases pass and may not
//! fall below what it once reached.

#![allow(clippy::print_stdout, reason = "counts and skips are what these tests report")]

mod suite;

use suite::{Case, Suite};
use virt_error::Result;
use virt_model::domain::{Domain, DomainRules};
use virt_model::host_interface::HostInterface;
use virt_model::network::Network;
use virt_model::node_device::NodeDevice;
use virt_model::secret::Secret;
use virt_model::snapshot::{
    Checkpoint, CheckpointDisk, CheckpointMode, DomainThen, MomentParse, ParentName, Snapshot,
};
use virt_model::storage::{Pool, Volume, VolumeParse};
use virt_model::{Document, ParseFlags, PrintFlags};

/// A driver without rules of its own, as generic-xml2xml asks for.
struct Plain;

impl DomainRules for Plain {
    fn guest(&self, domain: &mut Domain) -> Result<()> {
        domain.os.kind.arch.get_or_insert_with(|| "x86_64".to_owned());
        Ok(())
    }

    fn random_uuid(&self) -> virt_types::Uuid {
        virt_types::Uuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    }

    fn random_mac(&self, virt_type: virt_model::domain::VirtType) -> virt_model::Mac {
        let [a, b, c] = virt_model::domain::rules::mac_prefix(virt_type);
        virt_model::Mac([a, b, c, 0, 0, 0])
    }

    fn features(&self) -> virt_model::domain::DriverFeatures {
        virt_model::domain::DriverFeatures {
            individual_vcpus: true,
            user_aliases: true,
            memory_hotplug: true,
            ..Default::default()
        }
    }
}

fn domain_case(suite: &Suite, case: &Case, inactive: bool) -> std::result::Result<String, String> {
    let text = suite.read(&case.inputs[0]);
    let abi_update = case.column("extra").contains("ABI_UPDATE");
    let flags = ParseFlags { inactive, abi_update, ..ParseFlags::default() };
    let domain = Domain::load(&text, flags, &Plain).map_err(|e| e.message().to_owned())?;
    Ok(domain.to_xml(PrintFlags { inactive, secure: true, ..PrintFlags::default() }))
}

#[test]
fn generic_xml2xml() {
    let Some(suite) = Suite::open("generic-xml2xml") else { return };
    suite.run(43, |case| domain_case(&suite, case, case.column("live") == "no"));
}

#[test]
fn qemu_xmlconf() {
    let Some(suite) = Suite::open("qemu-xmlconf") else { return };
    // Without QEMU's own rules only refusals and the plainest guests can agree; the driver has the rest.
    suite.run(100, |case| domain_case(&suite, case, true));
}

/// Reads and prints a document as inactive where the flags say so.
fn document<T: Document>(suite: &Suite, case: &Case) -> std::result::Result<String, String> {
    let inactive = case.column("flags").contains("INACTIVE");
    let flags = ParseFlags { inactive, ..ParseFlags::default() };
    let document =
        T::parse(&suite.read(&case.inputs[0]), flags).map_err(|e| e.message().to_owned())?;
    Ok(document.to_xml(PrintFlags { inactive, ..PrintFlags::default() }))
}

#[test]
fn network_xml2xml() {
    let Some(suite) = Suite::open("network-xml2xml") else { return };
    suite.run(32, |case| document::<Network>(&suite, case));
}

#[test]
fn storagepool_xml2xml() {
    let Some(suite) = Suite::open("storagepool-xml2xml") else { return };
    suite.run(29, |case| document::<Pool>(&suite, case));
}

#[test]
fn storagevol_xml2xml() {
    let Some(suite) = Suite::open("storagevol-xml2xml") else { return };
    suite.run(16, |case| {
        let pool = Pool::parse(&suite.read(&case.inputs[1]), ParseFlags::default())
            .map_err(|e| e.message().to_owned())?;
        let what = VolumeParse {
            no_capacity: case.column("flags").contains("NO_CAPACITY"),
            ..Default::default()
        };
        let volume = Volume::parse(&suite.read(&case.inputs[0]), pool.kind, what);
        Ok(volume.map_err(|e| e.message().to_owned())?.to_xml())
    });
}

#[test]
fn interface_xml2xml() {
    let Some(suite) = Suite::open("interface-xml2xml") else { return };
    suite.run(9, |case| document::<HostInterface>(&suite, case));
}

#[test]
fn nodedev_xml2xml() {
    let Some(suite) = Suite::open("nodedev-xml2xml") else { return };
    suite.run(36, |case| document::<NodeDevice>(&suite, case));
}

#[test]
fn secret_xml2xml() {
    let Some(suite) = Suite::open("secret-xml2xml") else { return };
    suite.run(4, |case| document::<Secret>(&suite, case));
}

#[test]
fn snapshot_xml2xml() {
    let Some(suite) = Suite::open("snapshot-xml2xml") else { return };
    suite.run(12, |case| {
        let has = |flag: &str| case.column("flags").contains(flag);
        let how = MomentParse {
            redefine: has("REDEFINE"),
            internal: has("INTERNAL"),
            now_s: case.column("creation_time").parse().expect("a number"),
            ..MomentParse::default()
        };
        let mut snapshot = Snapshot::parse(&suite.read(&case.inputs[0]), how, &Plain)
            .map_err(|e| e.message().to_owned())?;
        if has("RUNNING") {
            snapshot.state = Some("running".to_owned());
        }
        if let Some(uuid) = virt_types::Uuid::parse(case.column("uuid")) {
            snapshot.domain.get_or_insert(DomainThen::Only(uuid));
        }
        Ok(snapshot.to_xml(PrintFlags { secure: true, ..PrintFlags::default() }))
    });
}

#[test]
fn checkpoint_xml2xml() {
    let Some(suite) = Suite::open("checkpoint-xml2xml") else { return };
    suite.run(5, |case| {
        let has = |flag: &str| case.column("flags").contains(flag);
        let how = MomentParse {
            now_s: case.column("creation_time").parse().expect("a number"),
            ..MomentParse::default()
        };
        let mut checkpoint = Checkpoint::parse(&suite.read(&case.inputs[0]), how, &Plain)
            .map_err(|e| e.message().to_owned())?;
        if has("PARENT") {
            checkpoint.parent = Some(ParentName { name: "1525111885".to_owned() });
        }
        // What a driver would align against: a domain of one disk, whose part gets the flags' values.
        if checkpoint.disks.is_empty() {
            let part = CheckpointDisk {
                name: "vda".to_owned(),
                mode: Some(CheckpointMode::Bitmap),
                ..Default::default()
            };
            checkpoint.disks.push(part);
        }
        let name = checkpoint.name.clone();
        for disk in checkpoint.disks.iter_mut().filter(|disk| disk.name == "vda") {
            disk.bitmap = has("VDA_BITMAP").then(|| name.clone());
            disk.size_bytes = has("SIZE").then_some(1_048_576);
        }
        Ok(checkpoint.to_xml(PrintFlags::default()))
    });
}
