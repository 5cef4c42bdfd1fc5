//! Domain snapshots and checkpoints: a moment of a guest, and the domain as it was then.

use virt_error::{Code, Error, Origin, Result};
use virt_types::Uuid;
use virt_xml::Element;

use crate::domain::disk::{DiskType, SnapshotMode};
use crate::domain::source::StorageSource;
use crate::domain::{Domain, DomainRules};
use crate::schema::document::expect_root;
use crate::schema::{Body, Out, ParseFlags, PrintFlags, error, explain};

words! {
    pub enum MemorySnapshot {
        Default = "default",
        No = "no",
        Internal = "internal",
        External = "external",
    }
}

element! {
    pub struct Snapshot {
        name: String = text_or_empty("name"),
        description: Option<String> = text("description"),
        /// The guest's state at that moment, as `running` or `disk-snapshot`.
        state: Option<String> = text("state"),
        parent: Option<ParentName> = child("parent"),
        creation_time_s: Option<u64> = text("creationTime"),
        memory: Option<SnapshotMemory> = child("memory"),
        disks: Vec<SnapshotDisk> = wrapped("disks", "disk"),
        domain: Option<DomainThen> = domain_then("domain"),
        /// The stored definition, where it was another than the running one.
        inactive_domain: Option<DomainThen> = domain_then("inactiveDomain"),
        cookie: Option<Element<'static>> = tree("cookie"),
        /// Of the daemon's own files: whether this is the current snapshot.
        active: Option<u32> = text("active"),
    }
}

element! {
    pub struct ParentName {
        name: String = text_or_empty("name"),
    }
}

element! {
    pub struct SnapshotMemory {
        mode: MemorySnapshot = attr_req("snapshot"),
        file: Option<String> = attr("file"),
    }
}

/// One disk's part in a snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotDisk {
    /// The target's name, or the source's path.
    pub name: String,
    pub mode: Option<SnapshotMode>,
    /// Of what kind that is; a file of parts that are kept inside the image.
    pub kind: DiskType,
    /// Where writes go afterwards, of an external snapshot.
    pub source: Option<StorageSource>,
    pub format: Option<String>,
}

impl Body for SnapshotDisk {
    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let read = crate::schema::kinds::read_value::<DiskType>;
        let Some(name) = element.attr("name") else {
            let what = "missing name from disk snapshot element";
            return Err(Error::internal(Origin::DomainSnapshot, what));
        };
        let kind = read(element, "type")?.unwrap_or_default();
        let source = element
            .child("source")
            .map(|child| StorageSource::read(child, kind, flags))
            .transpose()?;
        let is_sourced = source.is_some();
        let source = source.filter(|source| !source.says_nothing());
        let format =
            element.child("driver").and_then(|driver| driver.attr("type")).map(str::to_owned);
        let mut mode = crate::schema::kinds::read_value(element, "snapshot")?;
        if is_sourced || format.is_some() {
            mode.get_or_insert(SnapshotMode::External);
        }
        let mut part = Self { name: name.to_owned(), mode, kind, source, format };
        if !part.is_outside() {
            part.kind = DiskType::default();
        }
        Ok(part)
    }

    fn attrs(&self, out: &mut Out) {
        out.w.attr("name", &self.name);
        if let Some(mode) = self.mode {
            out.w.attr("snapshot", mode.as_str());
        }
        if self.is_outside() {
            let kind = self.source.as_ref().map_or(self.kind, |source| source.kind);
            out.w.attr("type", kind.as_str());
        }
    }

    fn children(&self, out: &mut Out) {
        if let Some(format) = &self.format {
            out.w.open("driver");
            out.w.attr("type", format);
            out.w.close("driver");
        }
        if let Some(source) = &self.source {
            source.write("source", out);
        }
    }
}

impl SnapshotDisk {
    /// Whether there is, or is to be, another image.
    fn is_outside(&self) -> bool {
        self.mode == Some(SnapshotMode::External) || self.source.is_some()
    }
}

/// The domain at that moment: all of it, or only which one it was.
#[derive(Clone, Debug, PartialEq)]
pub enum DomainThen {
    Whole(Box<Domain>),
    Only(Uuid),
}

impl DomainThen {
    pub(crate) fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        if element.attr("type").is_some() {
            return Ok(Self::Whole(Box::new(Domain::read(element, flags)?)));
        }
        let uuid = element.child_text("uuid").and_then(|text| Uuid::parse(&text));
        uuid.map(Self::Only).ok_or_else(|| error::xml("missing domain in snapshot"))
    }

    pub(crate) fn write(&self, name: &str, out: &mut Out) {
        match self {
            Self::Whole(domain) => {
                let flags = out.flags;
                out.flags = PrintFlags { inactive: true, ..flags };
                out.element(name, &**domain);
                out.flags = flags;
            }
            Self::Only(uuid) => {
                out.w.open(name);
                out.w.text_element("uuid", &uuid.to_string());
                out.w.close(name);
            }
        }
    }

    /// The whole domain, where it is known.
    pub fn whole(&self) -> Option<&Domain> {
        match self {
            Self::Whole(domain) => Some(domain),
            Self::Only(_) => None,
        }
    }
}

/// How a moment's document is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MomentParse {
    /// It describes a snapshot that exists already: what the driver once filled in is taken over.
    pub redefine: bool,
    /// It is the daemon's own file.
    pub internal: bool,
    /// The driver keeps no files, so a name may hold what a file's name cannot.
    pub any_name: bool,
    /// A snapshot's document must conform to the schema; a checkpoint's always must.
    pub validate: bool,
    /// The time now, in seconds, which also names a moment without a name.
    pub now_s: u64,
}

fn check_name(name: &str, what: &str, origin: Origin) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::new(Code::XmlDetail, origin, format!("invalid {what} name '{name}': {why}")))
    };
    if name.contains('/') {
        return refuse("name can't contain '/'");
    }
    if name.starts_with('.') {
        return refuse("name can't start with '.'");
    }
    Ok(())
}

impl Snapshot {
    /// Reads a snapshot document.
    pub fn parse(xml: &str, how: MomentParse, rules: &dyn DomainRules) -> Result<Self> {
        explain::reading(xml, Origin::DomainSnapshot, |tree| Self::from_tree(tree, how, rules))
    }

    fn from_tree(tree: &Element<'_>, how: MomentParse, rules: &dyn DomainRules) -> Result<Self> {
        expect_root(tree, "domainsnapshot", how.validate)?;
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        let mut snapshot = Self::read(tree, flags)?;
        if how.redefine {
            if snapshot.name.is_empty() {
                let what = "a redefined snapshot must have a name";
                return Err(Error::new(Code::XmlError, Origin::DomainSnapshot, what));
            }
            for then in [&mut snapshot.domain, &mut snapshot.inactive_domain].into_iter().flatten()
            {
                if let DomainThen::Whole(domain) = then {
                    domain.complete(flags, rules)?;
                }
            }
        } else {
            (snapshot.state, snapshot.parent) = (None, None);
            (snapshot.domain, snapshot.inactive_domain) = (None, None);
            snapshot.creation_time_s = Some(how.now_s).filter(|now| *now > 0);
            if snapshot.name.is_empty() && how.now_s > 0 {
                snapshot.name = how.now_s.to_string();
            }
        }
        if !how.internal {
            snapshot.active = None;
        }
        if !how.any_name {
            check_name(&snapshot.name, "snapshot", Origin::DomainSnapshot)?;
        }
        snapshot.check_memory()?;
        Ok(snapshot)
    }

    fn check_memory(&self) -> Result<()> {
        let Some(memory) = &self.memory else { return Ok(()) };
        let wrong = |text: String| Err(Error::new(Code::XmlError, Origin::DomainSnapshot, text));
        match (memory.mode, &memory.file) {
            (MemorySnapshot::External, Some(file)) if !file.starts_with('/') => {
                wrong(format!("memory snapshot file path ({file}) must be absolute"))
            }
            (MemorySnapshot::External, None) => {
                wrong("external memory snapshots require a filename".to_owned())
            }
            (MemorySnapshot::External, Some(_)) | (_, None) => Ok(()),
            (_, Some(file)) => {
                wrong(format!("memory filename '{file}' requires external snapshot"))
            }
        }
    }

    /// Prints the document.
    pub fn to_xml(&self, flags: PrintFlags) -> String {
        let mut out = Out::new(flags);
        out.element("domainsnapshot", self);
        out.w.finish()
    }
}

words! {
    pub enum CheckpointMode {
        Bitmap = "bitmap",
        No = "no",
    }
}

element! {
    pub struct Checkpoint {
        name: String = text_or_empty("name"),
        description: Option<String> = text("description"),
        parent: Option<ParentName> = child("parent"),
        creation_time_s: Option<u64> = text("creationTime"),
        disks: Vec<CheckpointDisk> = wrapped("disks", "disk"),
        domain: Option<DomainThen> = domain_then("domain"),
        active: Option<u32> = text("active"),
    }
}

element! {
    pub struct CheckpointDisk {
        name: String = checkpoint_disk_name("name"),
        mode: Option<CheckpointMode> = attr("checkpoint"),
        bitmap: Option<String> = attr("bitmap"),
        /// How much changed since; asked for with a flag of its own.
        size_bytes: Option<u64> = attr("size"),
    }
}

impl Checkpoint {
    /// Reads a checkpoint document.
    pub fn parse(xml: &str, how: MomentParse, rules: &dyn DomainRules) -> Result<Self> {
        explain::reading(xml, Origin::DomainCheckpoint, |tree| Self::from_tree(tree, how, rules))
    }

    fn from_tree(tree: &Element<'_>, how: MomentParse, rules: &dyn DomainRules) -> Result<Self> {
        // Compat: a checkpoint is always held against its schema.
        expect_root(tree, "domaincheckpoint", !how.internal)?;
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        let mut checkpoint = Self::read(tree, flags)?;
        if how.redefine {
            if let Some(DomainThen::Whole(domain)) = &mut checkpoint.domain {
                domain.complete(flags, rules)?;
            }
        } else {
            (checkpoint.parent, checkpoint.domain) = (None, None);
            checkpoint.creation_time_s = Some(how.now_s).filter(|now| *now > 0);
            if checkpoint.name.is_empty() {
                checkpoint.name = how.now_s.to_string();
            }
        }
        if !how.any_name {
            check_name(&checkpoint.name, "checkpoint", Origin::DomainCheckpoint)?;
        }
        for disk in &mut checkpoint.disks {
            // A size is the driver's answer, never a wish.
            disk.size_bytes = None;
            disk.mode.get_or_insert_default();
        }
        Ok(checkpoint)
    }

    /// Gives every disk of the domain its part: those not named take part where no disk is named.
    pub fn align(&mut self, domain: &Domain) -> Result<()> {
        let wrong =
            |text: String| Err(Error::new(Code::ConfigUnsupported, Origin::DomainCheckpoint, text));
        let unnamed =
            if self.disks.is_empty() { CheckpointMode::Bitmap } else { CheckpointMode::No };
        let mut named = std::mem::take(&mut self.disks);
        for disk in &domain.devices.disks {
            let target = disk.target.dev.as_str();
            let same =
                |d: &CheckpointDisk| d.name == target || Some(d.name.as_str()) == disk.path();
            let mut part = match named.iter().position(same) {
                Some(at) => named.remove(at),
                None => {
                    let usable = disk.source.as_ref().is_some_and(|source| !source.is_empty())
                        && !disk.readonly;
                    let mode = if usable { unnamed } else { CheckpointMode::No };
                    CheckpointDisk { mode: Some(mode), ..CheckpointDisk::default() }
                }
            };
            part.name = target.to_owned();
            if part.mode == Some(CheckpointMode::Bitmap) {
                part.bitmap.get_or_insert_with(|| self.name.clone());
            }
            self.disks.push(part);
        }
        match named.first() {
            Some(unknown) => wrong(format!("no disk named '{}'", unknown.name)),
            None => Ok(()),
        }
    }

    /// Prints the document.
    pub fn to_xml(&self, flags: PrintFlags) -> String {
        let mut out = Out::new(flags);
        out.element("domaincheckpoint", self);
        out.w.finish()
    }
}
