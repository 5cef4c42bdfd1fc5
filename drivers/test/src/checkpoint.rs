//! Checkpoints: points in time since which changes to disks would be counted.

use virt_driver::{Call, Checkpoints};
use virt_error::{Code, Error, Origin, Result};
use virt_model::snapshot::{Checkpoint, DomainThen, MomentParse, ParentName};
use virt_model::{Flags, PrintFlags};
use virt_types::{DomainCheckpointRef, DomainRef, api};

use crate::TestDriver;
use crate::domain::{State, rules};
use crate::error::check_flags;
use crate::moment::{Extent, Moment, check_domain, check_time};
use crate::snapshot::seconds_now;

impl Moment for Checkpoint {
    const WORD: &'static str = "checkpoint";
    const ORIGIN: Origin = Origin::DomainCheckpoint;
    const NOT_FOUND: Code = Code::NoDomainCheckpoint;

    fn name(&self) -> &str {
        &self.name
    }

    fn parent(&self) -> Option<&str> {
        self.parent.as_ref().map(|parent| parent.name.as_str())
    }

    fn set_parent(&mut self, parent: Option<String>) {
        self.parent = parent.map(|name| ParentName { name });
    }

    fn creation_time_s(&self) -> Option<u64> {
        self.creation_time_s
    }

    fn domain(&self) -> Option<&DomainThen> {
        self.domain.as_ref()
    }
}

fn take(state: &State, xml: &str) -> Result<Checkpoint> {
    let how = MomentParse { now_s: seconds_now(), ..MomentParse::default() };
    let mut checkpoint = Checkpoint::parse(xml, how, rules::RULES)?;
    checkpoint.align(&state.current)?;
    checkpoint.domain = Some(DomainThen::Whole(Box::new((*state.current).clone())));
    Ok(checkpoint)
}

fn retake(state: &State, xml: &str) -> Result<Checkpoint> {
    let how = MomentParse { redefine: true, ..MomentParse::default() };
    let checkpoint = Checkpoint::parse(xml, how, rules::RULES)?;
    if checkpoint.name.is_empty() {
        let what = "a redefined checkpoint must have a name";
        return Err(Error::new(Code::XmlError, Origin::DomainCheckpoint, what));
    }
    check_time(&checkpoint)?;
    check_domain(&checkpoint, state.current.uuid)?;
    Ok(checkpoint)
}

fn to_ref(dom: &DomainRef, name: &str) -> DomainCheckpointRef {
    DomainCheckpointRef { name: name.into(), dom: dom.clone() }
}

const LIST_FLAGS: u32 = api::DOMAIN_CHECKPOINT_LIST_ROOTS
    | api::DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL
    | api::DOMAIN_CHECKPOINT_LIST_LEAVES
    | api::DOMAIN_CHECKPOINT_LIST_NO_LEAVES;

impl TestDriver {
    fn list_checkpoints(
        &self,
        dom: &DomainRef,
        root: Option<&str>,
        flags: u32,
    ) -> Result<Vec<DomainCheckpointRef>> {
        // Compat: both kinds at once are neither.
        let leaves = api::DOMAIN_CHECKPOINT_LIST_LEAVES | api::DOMAIN_CHECKPOINT_LIST_NO_LEAVES;
        let none = flags & leaves == leaves;
        self.world.look(dom, |state| {
            let list = state.checkpoints.listed(root, flags)?.into_iter();
            let list = list.filter(|_| !none);
            Ok(list.map(|checkpoint| to_ref(dom, &checkpoint.name)).collect())
        })
    }
}

impl Checkpoints for TestDriver {
    fn create_xml(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        xml_desc: &str,
        flags: u32,
    ) -> Result<DomainCheckpointRef> {
        use api::*;
        const KNOWN: u32 = DOMAIN_CHECKPOINT_CREATE_REDEFINE | DOMAIN_CHECKPOINT_CREATE_QUIESCE;
        check_flags(flags, KNOWN, "testDomainCheckpointCreateXML")?;
        self.world.change(call, dom, |state| {
            let refused =
                |detail| Err(Error::new(Code::OperationUnsupported, Origin::Test, detail));
            if !state.snapshots.is_empty() {
                return refused("cannot create checkpoint while snapshot exists");
            }
            if !state.active() {
                return refused("cannot create checkpoint for inactive domain");
            }
            let name;
            if flags & DOMAIN_CHECKPOINT_CREATE_REDEFINE != 0 {
                let checkpoint = retake(state, xml_desc)?;
                name = checkpoint.name.clone();
                let is_first = state.checkpoints.is_empty();
                state.checkpoints.redefine(checkpoint, is_first)?;
            } else {
                let checkpoint = take(state, xml_desc)?;
                name = checkpoint.name.clone();
                state.checkpoints.add(checkpoint)?;
            }
            Ok(to_ref(dom, &name))
        })
    }

    fn get_xml_desc(
        &self,
        _: &Call<'_>,
        checkpoint: &DomainCheckpointRef,
        flags: u32,
    ) -> Result<String> {
        use api::*;
        const KNOWN: u32 = DOMAIN_CHECKPOINT_XML_SECURE
            | DOMAIN_CHECKPOINT_XML_NO_DOMAIN
            | DOMAIN_CHECKPOINT_XML_SIZE;
        check_flags(flags, KNOWN, "testDomainCheckpointGetXMLDesc")?;
        self.world.look(&checkpoint.dom, |state| {
            let mut found = state.checkpoints.by_name(&checkpoint.name)?.clone();
            if flags & DOMAIN_CHECKPOINT_XML_NO_DOMAIN != 0 {
                found.domain = None;
            }
            Ok(found.to_xml(PrintFlags::from_bits(flags & DOMAIN_CHECKPOINT_XML_SECURE)))
        })
    }

    fn list_all(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<DomainCheckpointRef>> {
        check_flags(flags, LIST_FLAGS, "testDomainListAllCheckpoints")?;
        self.list_checkpoints(dom, None, flags)
    }

    fn list_all_children(
        &self,
        _: &Call<'_>,
        checkpoint: &DomainCheckpointRef,
        flags: u32,
    ) -> Result<Vec<DomainCheckpointRef>> {
        check_flags(flags, LIST_FLAGS, "testDomainCheckpointListAllChildren")?;
        self.list_checkpoints(&checkpoint.dom, Some(&checkpoint.name), flags)
    }

    fn lookup_by_name(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        name: &str,
        flags: u32,
    ) -> Result<DomainCheckpointRef> {
        check_flags(flags, 0, "testDomainCheckpointLookupByName")?;
        self.world.look(dom, |state| state.checkpoints.by_name(name).map(drop))?;
        Ok(to_ref(dom, name))
    }

    fn get_parent(
        &self,
        _: &Call<'_>,
        checkpoint: &DomainCheckpointRef,
        flags: u32,
    ) -> Result<DomainCheckpointRef> {
        check_flags(flags, 0, "testDomainCheckpointGetParent")?;
        let DomainCheckpointRef { name, dom } = checkpoint;
        self.world.look(dom, |state| Ok(to_ref(dom, state.checkpoints.parent_of(name)?)))
    }

    fn delete(&self, call: &Call<'_>, checkpoint: &DomainCheckpointRef, flags: u32) -> Result<()> {
        use api::*;
        const KNOWN: u32 = DOMAIN_CHECKPOINT_DELETE_CHILDREN
            | DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY
            | DOMAIN_CHECKPOINT_DELETE_CHILDREN_ONLY;
        check_flags(flags, KNOWN, "testDomainCheckpointDelete")?;
        self.world.change(call, &checkpoint.dom, |state| {
            state.checkpoints.delete(&checkpoint.name, Extent::of(flags))
        })
    }
}
