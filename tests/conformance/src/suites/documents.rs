//! Documents that are read and printed: everything but domains.

use virt_error::{Error, Result};
use virt_model::backup::Backup;
use virt_model::capabilities::DomainCapabilities;
use virt_model::domain::disk::{Disk, DiskTarget, DiskType};
use virt_model::domain::source::StorageSource;
use virt_model::filter::Filter;
use virt_model::filter_binding::FilterBinding;
use virt_model::host_interface::HostInterface;
use virt_model::network::{Network, NetworkPort};
use virt_model::node_device::NodeDevice;
use virt_model::schema::validate;
use virt_model::secret::Secret;
use virt_model::snapshot::{
    Checkpoint, CheckpointDisk, CheckpointMode, DomainThen, MomentParse, ParentName, Snapshot,
};
use virt_model::storage::{Pool, Volume, VolumeParse};
use virt_model::{Document, ParseFlags, PrintFlags};

use super::domain::Plain;
use super::{outcome, verdict};
use crate::{Case, Check, Suite};

/// Something of the corpus that is not as its README says.
fn odd(what: String) -> Error {
    Error::internal(virt_error::Origin::None, what)
}

fn input(suite: &Suite, case: &Case, at: usize) -> Result<String> {
    suite.input(case, at).map_err(odd)
}

/// Reads and prints a document, as inactive where the flags say so.
fn document<T: Document>(suite: &Suite, case: &Case) -> Vec<Check> {
    let inactive = case.column("flags").contains("INACTIVE");
    let made = input(suite, case, 0).and_then(|text| {
        let document = T::parse(&text, ParseFlags { inactive, ..ParseFlags::default() })?;
        Ok(document.to_xml(PrintFlags { inactive, ..PrintFlags::default() }))
    });
    outcome(suite, case, made)
}

pub(super) fn network(suite: &Suite, case: &Case) -> Vec<Check> {
    document::<Network>(suite, case)
}

pub(super) fn network_port(suite: &Suite, case: &Case) -> Vec<Check> {
    document::<NetworkPort>(suite, case)
}

pub(super) fn pool(suite: &Suite, case: &Case) -> Vec<Check> {
    document::<Pool>(suite, case)
}

pub(super) fn interface(suite: &Suite, case: &Case) -> Vec<Check> {
    document::<HostInterface>(suite, case)
}

pub(super) fn node_device(suite: &Suite, case: &Case) -> Vec<Check> {
    document::<NodeDevice>(suite, case)
}

pub(super) fn secret(suite: &Suite, case: &Case) -> Vec<Check> {
    document::<Secret>(suite, case)
}

pub(super) fn filter(suite: &Suite, case: &Case) -> Vec<Check> {
    document::<Filter>(suite, case)
}

pub(super) fn filter_binding(suite: &Suite, case: &Case) -> Vec<Check> {
    document::<FilterBinding>(suite, case)
}

pub(super) fn volume(suite: &Suite, case: &Case) -> Vec<Check> {
    let make = || {
        let pool = Pool::parse(&input(suite, case, 1)?, ParseFlags::default())?;
        let flags = case.column("flags");
        let what = VolumeParse {
            no_capacity: flags.contains("NO_CAPACITY"),
            optional_capacity: flags.contains("OPT_CAPACITY"),
            ..VolumeParse::default()
        };
        Ok(Volume::parse(&input(suite, case, 0)?, pool.kind, what)?.to_xml())
    };
    outcome(suite, case, make())
}

/// A column that is a number.
fn number(case: &Case, column: &str) -> Result<u64> {
    let text = case.column(column);
    text.parse().map_err(|_| odd(format!("'{text}' in column {column} is no number")))
}

pub(super) fn snapshot(suite: &Suite, case: &Case) -> Vec<Check> {
    let has = |flag: &str| case.column("flags").contains(flag);
    let make = || {
        let how = MomentParse {
            redefine: has("REDEFINE"),
            internal: has("INTERNAL"),
            now_s: number(case, "creation_time")?,
            ..MomentParse::default()
        };
        let mut snapshot = Snapshot::parse(&input(suite, case, 0)?, how, &Plain)?;
        if has("RUNNING") {
            snapshot.state = Some("running".to_owned());
        }
        if let Some(uuid) = virt_types::Uuid::parse(case.column("uuid")) {
            snapshot.domain.get_or_insert(DomainThen::Only(uuid));
        }
        Ok(snapshot.to_xml(PrintFlags { secure: true, ..PrintFlags::default() }))
    };
    outcome(suite, case, make())
}

pub(super) fn checkpoint(suite: &Suite, case: &Case) -> Vec<Check> {
    let has = |flag: &str| case.column("flags").contains(flag);
    let make = || {
        let now_s = number(case, "creation_time")?;
        let redefine = has("REDEFINE");
        let how = MomentParse { now_s, redefine, ..MomentParse::default() };
        let mut checkpoint = Checkpoint::parse(&input(suite, case, 0)?, how, &Plain)?;
        if has("PARENT") {
            checkpoint.parent = Some(ParentName { name: "1525111885".to_owned() });
        }
        // What a driver would align against: a domain of one disk, whose part gets the flags' values.
        if checkpoint.disks.is_empty() {
            checkpoint.disks.push(CheckpointDisk {
                name: "vda".to_owned(),
                mode: Some(CheckpointMode::Bitmap),
                ..CheckpointDisk::default()
            });
        }
        let name = checkpoint.name.clone();
        for disk in checkpoint.disks.iter_mut().filter(|disk| disk.name == "vda") {
            disk.bitmap = has("VDA_BITMAP").then(|| name.clone());
            disk.size_bytes = has("SIZE").then_some(1_048_576);
        }
        Ok(checkpoint.to_xml(PrintFlags::default()))
    };
    outcome(suite, case, make())
}

pub(super) fn backup(suite: &Suite, case: &Case) -> Vec<Check> {
    let inactive = case.column("internal") != "yes";
    let make = || {
        let flags = ParseFlags { inactive, status: !inactive, ..ParseFlags::default() };
        let mut backup = Backup::parse(&input(suite, case, 0)?, flags)?;
        let named = backup.disks.iter().map(|disk| disk.name.clone());
        let disks: Vec<Disk> =
            named.chain(["vdextradisk".to_owned()]).map(|name| fake_disk(&name)).collect();
        backup.align(&disks, "SUFFIX")?;
        Ok(backup.to_xml(PrintFlags { inactive, ..PrintFlags::default() }))
    };
    outcome(suite, case, make())
}

fn fake_disk(name: &str) -> Disk {
    let path = Some(format!("/fake/{name}.qcow2"));
    Disk {
        kind: DiskType::File,
        target: DiskTarget { dev: name.to_owned(), ..DiskTarget::default() },
        source: Some(StorageSource { path, ..StorageSource::default() }),
        ..Disk::default()
    }
}

/// Whether the documents come out of the model as they went in; what a driver puts in is its own suite.
pub(super) fn domain_capabilities(suite: &Suite, case: &Case) -> Vec<Check> {
    let kind = Some("document");
    let check = |text: String| {
        let made = DomainCapabilities::parse(&text, ParseFlags::default())
            .map(|document| document.to_xml(PrintFlags::default()));
        verdict(suite, case, ".xml", made.map_err(|error| error.message().to_owned()))
    };
    let Some(text) = suite.expected(case, ".xml") else { return Vec::new() };
    vec![Check { kind, verdict: text.and_then(check) }]
}

pub(super) fn schema(suite: &Suite, case: &Case) -> Vec<Check> {
    let judge = || {
        let text = suite.input(case, 0)?;
        let tree = virt_xml::parse(&text).map_err(|error| error.to_string())?;
        let faults = validate::faults(&tree);
        match (case.column("valid"), faults.first()) {
            ("yes", Some(fault)) => Err(format!("{}\n", fault.explained())),
            ("no", None) => Err("nothing wrong was found\n".to_owned()),
            _ => Ok(()),
        }
    };
    vec![judge().into()]
}
