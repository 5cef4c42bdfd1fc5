//! Snapshots and checkpoints: no domain has any, which is told as libvirt tells it.

use virt_driver::{Call, Checkpoints, Snapshots};
use virt_error::{Code, Error, Origin, Result};
use virt_types::{DomainCheckpointRef, DomainRef, DomainSnapshotRef, api};

use crate::QemuDriver;
use crate::domains::check_flags;

/// The filters of the list of snapshots.
const SNAPSHOT_FILTERS: u32 = api::DOMAIN_SNAPSHOT_LIST_ROOTS
    | api::DOMAIN_SNAPSHOT_LIST_METADATA
    | api::DOMAIN_SNAPSHOT_LIST_LEAVES
    | api::DOMAIN_SNAPSHOT_LIST_NO_LEAVES
    | api::DOMAIN_SNAPSHOT_LIST_NO_METADATA
    | api::DOMAIN_SNAPSHOT_LIST_INACTIVE
    | api::DOMAIN_SNAPSHOT_LIST_ACTIVE
    | api::DOMAIN_SNAPSHOT_LIST_DISK_ONLY
    | api::DOMAIN_SNAPSHOT_LIST_INTERNAL
    | api::DOMAIN_SNAPSHOT_LIST_EXTERNAL
    | api::DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL;

/// The filters of the list of checkpoints.
const CHECKPOINT_FILTERS: u32 = api::DOMAIN_CHECKPOINT_LIST_ROOTS
    | api::DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL
    | api::DOMAIN_CHECKPOINT_LIST_LEAVES
    | api::DOMAIN_CHECKPOINT_LIST_NO_LEAVES;

impl QemuDriver {
    fn no_snapshot<T>(&self, dom: &DomainRef, detail: impl Into<String>) -> Result<T> {
        self.0.guests.find(dom)?;
        Err(Error::new(Code::NoDomainSnapshot, Origin::Qemu, detail))
    }
}

impl Snapshots for QemuDriver {
    fn list_all(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<DomainSnapshotRef>> {
        check_flags(flags, SNAPSHOT_FILTERS, "qemuDomainListAllSnapshots")?;
        self.0.guests.find(dom)?;
        Ok(Vec::new())
    }

    fn has_current(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<bool> {
        check_flags(flags, 0, "qemuDomainHasCurrentSnapshot")?;
        self.0.guests.find(dom).map(|_| false)
    }

    fn current(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainSnapshotRef> {
        check_flags(flags, 0, "qemuDomainSnapshotCurrent")?;
        self.no_snapshot(dom, "the domain does not have a current snapshot")
    }

    fn lookup_by_name(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        name: &str,
        flags: u32,
    ) -> Result<DomainSnapshotRef> {
        check_flags(flags, 0, "qemuDomainSnapshotLookupByName")?;
        self.no_snapshot(dom, format!("no domain snapshot with matching name '{name}'"))
    }
}

impl Checkpoints for QemuDriver {
    fn list_all(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<DomainCheckpointRef>> {
        check_flags(flags, CHECKPOINT_FILTERS, "qemuDomainListAllCheckpoints")?;
        self.0.guests.find(dom)?;
        Ok(Vec::new())
    }

    fn lookup_by_name(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        name: &str,
        flags: u32,
    ) -> Result<DomainCheckpointRef> {
        check_flags(flags, 0, "qemuDomainCheckpointLookupByName")?;
        self.0.guests.find(dom)?;
        let detail = format!("no domain checkpoint with matching name '{name}'");
        Err(Error::new(Code::NoDomainCheckpoint, Origin::Qemu, detail))
    }
}
