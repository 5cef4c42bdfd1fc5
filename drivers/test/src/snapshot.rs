//! Snapshots: documents that remember a definition and a state.

use std::sync::Arc;

use virt_driver::{Call, Job, Snapshots, pick};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::disk::SnapshotMode;
use virt_model::snapshot::{
    DomainThen, MemorySnapshot, MomentParse, ParentName, Snapshot, SnapshotDisk, SnapshotMemory,
};
use virt_model::{Flags, PrintFlags};
use virt_types::{DomainRef, DomainSnapshotRef, api};

use virt_xml::Element;

use crate::TestDriver;
use crate::clock::now_ns;
use crate::domain::{Domain, State, lifecycle, rules};
use crate::error::{check_flags, invalid_operation};
use crate::fault;
use crate::moment::{Extent, Moment, check_domain, check_time, not_found};
use crate::object::{Change, remove};
use crate::world::World;

impl Moment for Snapshot {
    const WORD: &'static str = "snapshot";
    const ORIGIN: Origin = Origin::DomainSnapshot;
    const NOT_FOUND: Code = Code::NoDomainSnapshot;

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

const RUNNING: &str = "running";
const PAUSED: &str = "paused";
const SHUT_OFF: &str = "shutoff";

/// The word for a domain's state in a snapshot.
fn state_word(state: &State) -> &'static str {
    match state.state {
        api::DOMAIN_SHUTOFF => SHUT_OFF,
        api::DOMAIN_PAUSED => PAUSED,
        api::DOMAIN_BLOCKED => "blocked",
        api::DOMAIN_SHUTDOWN => "shutdown",
        api::DOMAIN_CRASHED => "crashed",
        api::DOMAIN_PMSUSPENDED => "pmsuspended",
        api::DOMAIN_RUNNING => RUNNING,
        _ => "nostate",
    }
}

const STATE_WORDS: [&str; 9] = [
    "nostate",
    RUNNING,
    "blocked",
    PAUSED,
    "shutdown",
    SHUT_OFF,
    "crashed",
    "pmsuspended",
    "disk-snapshot",
];

pub(crate) fn seconds_now() -> u64 {
    now_ns() / 1_000_000_000
}

fn unsupported(detail: String) -> Error {
    Error::new(Code::ConfigUnsupported, Origin::DomainSnapshot, detail)
}

const NO_MEMORY: &str = "memory state cannot be saved with offline or disk-only snapshot";

/// Reads a document of a snapshot that is taken now.
fn take(state: &State, xml: &str, validate: bool) -> Result<Snapshot> {
    let now_s = seconds_now();
    let how = MomentParse { any_name: true, now_s, validate, ..MomentParse::default() };
    let mut snapshot = Snapshot::parse(xml, how, rules::RULES)?;
    snapshot.domain = Some(DomainThen::Whole(Box::new((*state.current).clone())));
    snapshot.state = Some(state_word(state).to_owned());
    let default = if state.active() { MemorySnapshot::Internal } else { MemorySnapshot::No };
    let memory = snapshot.memory.get_or_insert(SnapshotMemory { mode: default, file: None });
    if !state.active() && memory.mode == MemorySnapshot::Internal {
        return Err(unsupported(NO_MEMORY.to_owned()));
    }
    let external = memory.mode == MemorySnapshot::External;
    align_disks(&mut snapshot, state, external)?;
    Ok(snapshot)
}

/// Gives every disk of the domain its part, all of one kind.
fn align_disks(snapshot: &mut Snapshot, state: &State, external: bool) -> Result<()> {
    let disks = &state.current.devices.disks;
    let mut named = std::mem::take(&mut snapshot.disks);
    if named.len() > disks.len() {
        return Err(unsupported("too many disk snapshot requests for domain".to_owned()));
    }
    let mode = if external { SnapshotMode::External } else { SnapshotMode::Internal };
    let mut parts = Vec::new();
    for disk in disks {
        let target = disk.target.dev.as_str();
        let is_meant =
            |part: &SnapshotDisk| part.name == target || Some(part.name.as_str()) == disk.path();
        let usable = disk.path().is_some() && !disk.readonly;
        let mut part = match named.iter().position(is_meant) {
            Some(at) => named.remove(at),
            None => SnapshotDisk {
                mode: Some(if usable { mode } else { SnapshotMode::No }),
                ..SnapshotDisk::default()
            },
        };
        part.name = target.to_owned();
        if part.mode.is_some_and(|own| own != mode) && usable {
            let detail = format!("disk '{target}' must use snapshot mode '{}'", mode.as_str());
            return Err(unsupported(detail));
        }
        part.mode.get_or_insert(mode);
        if external && part.source.is_none() && usable {
            let path = disk.path().unwrap_or_default();
            if !std::fs::metadata(path).is_ok_and(|file| file.is_file()) {
                return Err(unsupported(format!(
                    "source for disk '{target}' is not a regular file; refusing to generate \
                     external snapshot name"
                )));
            }
        }
        parts.push(part);
    }
    if let Some(unknown) = named.first() {
        return Err(unsupported(format!("no disk named '{}'", unknown.name)));
    }
    snapshot.disks = parts;
    Ok(())
}

/// Reads a document of a snapshot that was taken once.
fn retake(state: &State, xml: &str, validate: bool) -> Result<Snapshot> {
    let how = MomentParse { redefine: true, any_name: true, validate, ..MomentParse::default() };
    let mut snapshot = Snapshot::parse(xml, how, rules::RULES)?;
    check_time(&snapshot)?;
    let Some(word) = snapshot.state.clone() else {
        let detail = "missing state from existing snapshot";
        return Err(Error::new(Code::XmlError, Origin::DomainSnapshot, detail));
    };
    if !STATE_WORDS.contains(&word.as_str()) {
        return Err(unsupported(format!("Invalid state '{word}' in domain snapshot XML")));
    }
    let known = state.snapshots.by_name(&snapshot.name).ok();
    if snapshot.domain.as_ref().and_then(DomainThen::whole).is_none() {
        snapshot.domain = known.and_then(|known| known.domain.clone());
    }
    check_domain(&snapshot, state.current.uuid)?;
    let running = word == RUNNING || word == PAUSED;
    let mode = if running { MemorySnapshot::Internal } else { MemorySnapshot::No };
    let memory = snapshot.memory.get_or_insert(SnapshotMemory { mode, file: None });
    if !running && memory.mode == MemorySnapshot::Internal {
        return Err(Error::new(Code::XmlError, Origin::DomainSnapshot, NO_MEMORY));
    }
    known.map_or(Ok(()), |known| stay(known, &snapshot))?;
    Ok(snapshot)
}

/// Puts a snapshot of the world's own content in place, as a node file describes it.
pub(crate) fn preset(state: &mut State, tree: &Element<'_>) -> Result<()> {
    let mut tree = tree.to_static();
    tree.name = "domainsnapshot".into();
    let how = MomentParse { redefine: true, any_name: true, ..MomentParse::default() };
    let snapshot = Snapshot::parse(&virt_xml::to_string(&tree), how, rules::RULES)?;
    let current = tree.child_text("active").is_some_and(|text| text.trim() == "1");
    if current && state.snapshots.current().is_some() {
        let detail = "more than one snapshot claims to be active";
        return Err(Error::internal(Origin::Test, detail));
    }
    state.snapshots.preset(snapshot, current);
    Ok(())
}

/// A snapshot that is described anew must be of the same kind, and of a domain that the guest would take
/// for the same.
fn stay(known: &Snapshot, snapshot: &Snapshot) -> Result<()> {
    let is = |snapshot: &Snapshot, words: &[&str]| {
        snapshot.state.as_deref().is_some_and(|word| words.contains(&word))
    };
    for (words, what) in [
        (&[RUNNING, PAUSED][..], "online and offline snapshot state"),
        (&["disk-snapshot"], "disk only and full system"),
    ] {
        if is(known, words) != is(snapshot, words) {
            let detail = format!("cannot change between {what} in snapshot {}", snapshot.name);
            return Err(Error::new(Code::InvalidArg, Origin::DomainSnapshot, detail));
        }
    }
    if let (Some(DomainThen::Whole(before)), Some(DomainThen::Whole(after))) =
        (&known.domain, &snapshot.domain)
    {
        before.check_abi(after)?;
    }
    Ok(())
}

fn to_ref(dom: &DomainRef, name: &str) -> DomainSnapshotRef {
    DomainSnapshotRef { name: name.into(), dom: dom.clone() }
}

/// Stops a domain that runs, because another state of it is wanted.
fn halt(world: &World, domain: &Domain, change: &mut Change<'_, State>) {
    let stopped = change.change(|state| {
        let was_active = state.active();
        if was_active {
            lifecycle::halt(state, api::DOMAIN_SHUTOFF_FROM_SNAPSHOT);
        }
        was_active
    });
    if stopped {
        let dom = domain.to_ref();
        let detail = api::DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT;
        world.publish_lifecycle(dom, api::DOMAIN_EVENT_STOPPED, detail);
    }
}

/// `virDomainRevertToSnapshot`.
///
/// Compat: a domain that runs is always started anew. One that is to run although the snapshot was
/// taken of it shut off is announced as started, and stays off.
fn revert(
    world: &World,
    domain: &Arc<Domain>,
    change: &mut Change<'_, State>,
    name: &str,
    flags: u32,
) -> Result<()> {
    let snapshot = change.read(|state| state.snapshots.by_name(name).cloned())?;
    let word = snapshot.state.as_deref().unwrap_or(SHUT_OFF);
    let runs = word == RUNNING || word == PAUSED;
    let wants_run =
        flags & (api::DOMAIN_SNAPSHOT_REVERT_RUNNING | api::DOMAIN_SNAPSHOT_REVERT_PAUSED);
    if !runs && wants_run == 0 && !change.read(|state| state.persistent) {
        let detail =
            "transient domain needs to request run or pause to revert to inactive snapshot";
        return Err(invalid_operation(detail));
    }
    let Some(then) = snapshot.domain.as_ref().and_then(DomainThen::whole) else {
        return Err(Error::internal(Origin::DomainSnapshot, "missing domain in snapshot"));
    };
    halt(world, domain, change);
    let run = change.change(|state| {
        state.snapshots.set_current(name);
        state.current = Arc::new(then.clone());
        if runs {
            lifecycle::run(world, state);
            state.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_FROM_SNAPSHOT);
        } else {
            state.set_state(api::DOMAIN_SHUTOFF, api::DOMAIN_SHUTOFF_FROM_SNAPSHOT);
        }
        state.id
    });
    if let Some(run) = run {
        fault::started(world, domain, run);
    }
    if !runs && wants_run == 0 {
        return Ok(());
    }
    let detail = api::DOMAIN_EVENT_STARTED_FROM_SNAPSHOT;
    world.publish_lifecycle(domain.to_ref(), api::DOMAIN_EVENT_STARTED, detail);
    let paused = match wants_run {
        0 => word == PAUSED,
        _ => wants_run & api::DOMAIN_SNAPSHOT_REVERT_PAUSED != 0,
    };
    if paused {
        if runs {
            change.change(|state| {
                state.set_state(api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_FROM_SNAPSHOT);
            });
        }
        let detail = api::DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT;
        world.publish_lifecycle(domain.to_ref(), api::DOMAIN_EVENT_SUSPENDED, detail);
    }
    Ok(())
}

/// Whether a snapshot passes the filters of a list.
fn is_wanted(flags: u32, snapshot: &Snapshot) -> bool {
    use api::*;
    let kinds = DOMAIN_SNAPSHOT_LIST_INACTIVE
        | DOMAIN_SNAPSHOT_LIST_ACTIVE
        | DOMAIN_SNAPSHOT_LIST_DISK_ONLY;
    let kind = match snapshot.state.as_deref() {
        Some(SHUT_OFF) => DOMAIN_SNAPSHOT_LIST_INACTIVE,
        Some("disk-snapshot") => DOMAIN_SNAPSHOT_LIST_DISK_ONLY,
        _ => DOMAIN_SNAPSHOT_LIST_ACTIVE,
    };
    let external_memory =
        snapshot.memory.as_ref().is_some_and(|memory| memory.mode == MemorySnapshot::External);
    let external = external_memory
        || snapshot.disks.iter().any(|disk| disk.mode == Some(SnapshotMode::External));
    (flags & kinds == 0 || flags & kind != 0)
        && pick(flags, DOMAIN_SNAPSHOT_LIST_EXTERNAL, DOMAIN_SNAPSHOT_LIST_INTERNAL, external)
        && pick(flags, DOMAIN_SNAPSHOT_LIST_METADATA, DOMAIN_SNAPSHOT_LIST_NO_METADATA, true)
}

const LIST_FLAGS: u32 = (api::DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL << 1) - 1;

impl TestDriver {
    fn list_snapshots(
        &self,
        dom: &DomainRef,
        root: Option<&str>,
        flags: u32,
    ) -> Result<Vec<DomainSnapshotRef>> {
        self.world.look(dom, |state| {
            let list = state.snapshots.listed(root, flags)?.into_iter();
            let wanted = list.filter(|snapshot| is_wanted(flags, snapshot));
            Ok(wanted.map(|snapshot| to_ref(dom, &snapshot.name)).collect())
        })
    }
}

impl Snapshots for TestDriver {
    fn create_xml(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        xml_desc: &str,
        flags: u32,
    ) -> Result<DomainSnapshotRef> {
        use api::*;
        const KNOWN: u32 = DOMAIN_SNAPSHOT_CREATE_REDEFINE
            | DOMAIN_SNAPSHOT_CREATE_CURRENT
            | DOMAIN_SNAPSHOT_CREATE_HALT
            | DOMAIN_SNAPSHOT_CREATE_QUIESCE
            | DOMAIN_SNAPSHOT_CREATE_ATOMIC
            | DOMAIN_SNAPSHOT_CREATE_LIVE
            | DOMAIN_SNAPSHOT_CREATE_VALIDATE;
        check_flags(flags, KNOWN, "testDomainSnapshotCreateXML")?;
        let domain = self.world.domain(dom)?;
        let mut change = domain.begin(call, Job::Modify)?;
        let again = flags & DOMAIN_SNAPSHOT_CREATE_REDEFINE != 0;
        let snapshot = change.read(|state| {
            if !state.checkpoints.is_empty() {
                let detail = "cannot create snapshot while checkpoint exists";
                return Err(Error::new(Code::OperationUnsupported, Origin::Test, detail));
            }
            let validate = flags & DOMAIN_SNAPSHOT_CREATE_VALIDATE != 0;
            if again { retake(state, xml_desc, validate) } else { take(state, xml_desc, validate) }
        })?;
        let name = snapshot.name.clone();
        change.change(|state| {
            if again {
                let make_current = flags & DOMAIN_SNAPSHOT_CREATE_CURRENT != 0;
                state.snapshots.redefine(snapshot, make_current)
            } else {
                state.snapshots.add(snapshot)
            }
        })?;
        if !again && flags & DOMAIN_SNAPSHOT_CREATE_HALT != 0 {
            halt(&self.world, &domain, &mut change);
            if !change.read(|state| state.persistent) {
                remove(&self.world.domains, &domain, &mut change);
            }
        }
        Ok(to_ref(dom, &name))
    }

    fn get_xml_desc(&self, _: &Call<'_>, snap: &DomainSnapshotRef, flags: u32) -> Result<String> {
        check_flags(flags, api::DOMAIN_SNAPSHOT_XML_SECURE, "testDomainSnapshotGetXMLDesc")?;
        self.world.look(&snap.dom, |state| {
            let snapshot = state.snapshots.by_name(&snap.name)?;
            Ok(snapshot.to_xml(PrintFlags::from_bits(flags)))
        })
    }

    fn lookup_by_name(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        name: &str,
        flags: u32,
    ) -> Result<DomainSnapshotRef> {
        check_flags(flags, 0, "testDomainSnapshotLookupByName")?;
        self.world.look(dom, |state| state.snapshots.by_name(name).map(drop))?;
        Ok(to_ref(dom, name))
    }

    fn has_current(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<bool> {
        check_flags(flags, 0, "testDomainHasCurrentSnapshot")?;
        self.world.look(dom, |state| Ok(state.snapshots.current().is_some()))
    }

    fn current(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<DomainSnapshotRef> {
        check_flags(flags, 0, "testDomainSnapshotCurrent")?;
        self.world.look(dom, |state| match state.snapshots.current() {
            Some(name) => Ok(to_ref(dom, name)),
            None => {
                Err(not_found::<Snapshot>("the domain does not have a current snapshot".to_owned()))
            }
        })
    }

    fn revert(&self, call: &Call<'_>, snap: &DomainSnapshotRef, flags: u32) -> Result<()> {
        use api::*;
        const RUN_OR_PAUSE: u32 = DOMAIN_SNAPSHOT_REVERT_RUNNING | DOMAIN_SNAPSHOT_REVERT_PAUSED;
        let known = RUN_OR_PAUSE | DOMAIN_SNAPSHOT_REVERT_FORCE;
        check_flags(flags, known, "testDomainRevertToSnapshot")?;
        let domain = self.world.domain(&snap.dom)?;
        let mut change = domain.begin(call, Job::Modify)?;
        revert(&self.world, &domain, &mut change, &snap.name, flags)
    }

    fn delete(&self, call: &Call<'_>, snap: &DomainSnapshotRef, flags: u32) -> Result<()> {
        let (children, only) =
            (api::DOMAIN_SNAPSHOT_DELETE_CHILDREN, api::DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY);
        check_flags(flags, children | only, "testDomainSnapshotDelete")?;
        self.world
            .change(call, &snap.dom, |state| state.snapshots.delete(&snap.name, Extent::of(flags)))
    }

    fn get_parent(
        &self,
        _: &Call<'_>,
        snap: &DomainSnapshotRef,
        flags: u32,
    ) -> Result<DomainSnapshotRef> {
        check_flags(flags, 0, "testDomainSnapshotGetParent")?;
        let DomainSnapshotRef { name, dom } = snap;
        self.world.look(dom, |state| Ok(to_ref(dom, state.snapshots.parent_of(name)?)))
    }

    fn is_current(&self, _: &Call<'_>, snap: &DomainSnapshotRef, flags: u32) -> Result<bool> {
        check_flags(flags, 0, "testDomainSnapshotIsCurrent")?;
        self.world.look(&snap.dom, |state| {
            state.snapshots.by_name(&snap.name)?;
            Ok(state.snapshots.current() == Some(&*snap.name))
        })
    }

    fn has_metadata(&self, _: &Call<'_>, snap: &DomainSnapshotRef, flags: u32) -> Result<bool> {
        check_flags(flags, 0, "testDomainSnapshotHasMetadata")?;
        self.world.look(&snap.dom, |state| state.snapshots.by_name(&snap.name).map(|_| true))
    }

    fn list_all(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<DomainSnapshotRef>> {
        check_flags(flags, LIST_FLAGS, "testDomainListAllSnapshots")?;
        self.list_snapshots(dom, None, flags)
    }

    fn list_all_children(
        &self,
        _: &Call<'_>,
        snapshot: &DomainSnapshotRef,
        flags: u32,
    ) -> Result<Vec<DomainSnapshotRef>> {
        check_flags(flags, LIST_FLAGS, "testDomainSnapshotListAllChildren")?;
        self.list_snapshots(&snapshot.dom, Some(&snapshot.name), flags)
    }
}
