//! Storage pools and volumes.

use virt_error::{Code, Error, Origin, Result};
use virt_types::Uuid;
use virt_xml::Element;

use crate::domain::Namespace;
use crate::schema::text::YesNo;
use crate::schema::{Body, Document, Out, ParseFlags, Row, Text, explain, kinds};

words! {
    pub enum PoolType {
        Dir = "dir",
        Fs = "fs",
        Netfs = "netfs",
        Logical = "logical",
        Disk = "disk",
        Iscsi = "iscsi",
        IscsiDirect = "iscsi-direct",
        Scsi = "scsi",
        Mpath = "mpath",
        Rbd = "rbd",
        Sheepdog = "sheepdog",
        Gluster = "gluster",
        Zfs = "zfs",
        Vstorage = "vstorage",
    }
}

element! {
    pub struct Pool {
        kind: PoolType = attr_req("type"),
        namespaces: Vec<Namespace> = namespaces(),
        name: String = text_or_empty("name"),
        uuid: Option<Uuid> = uuid_or_xml_error("uuid", virt_error::Origin::Storage),
        /// Sizes are the pool's state, not its definition: a document's are not read.
        capacity_bytes: u64 = bytes_state("capacity"),
        allocation_bytes: u64 = bytes_state("allocation"),
        available_bytes: u64 = bytes_state("available"),
        features: Option<PoolFeatures> = child_some("features"),
        source: PoolSource = child_long("source"),
        target: Option<PoolTarget> = child_some("target"),
        refresh: Option<Element<'static>> = tree("refresh"),
        foreign: Vec<Element<'static>> = foreign(),
    }
}

element! {
    pub struct PoolFeatures {
        cow: Option<StateYes> = child("cow"),
    }
}

element! {
    pub struct StateYes {
        state: YesNo = attr_req("state"),
    }
}

element! {
    pub struct PoolSource {
        hosts: Vec<PoolHost> = list("host"),
        devices: Vec<PoolDevice> = list("device"),
        dir: Option<PoolDir> = child("dir"),
        adapter: Option<Adapter> = child("adapter"),
        name: Option<String> = text("name"),
        initiator: Option<Element<'static>> = tree("initiator"),
        format: Option<Format> = child("format"),
        protocol: Option<ProtocolVersion> = child("protocol"),
        auth: Option<PoolAuth> = child("auth"),
        vendor: Option<super::domain::chardev::Name> = child("vendor"),
        product: Option<super::domain::chardev::Name> = child("product"),
    }
}

element! {
    pub struct PoolHost {
        name: String = attr_req("name"),
        port: Option<u32> = attr("port"),
    }
}

element! {
    pub struct PoolDevice {
        path: String = pool_device_path("path"),
        part_separator: Option<YesNo> = attr("part_separator"),
    }
}

element! {
    pub struct PoolDir {
        path: String = clean_path("path"),
    }
}

element! {
    /// A host adapter.
    pub struct Adapter {
        kind: Option<String> = adapter_type("type"),
        parent: Option<String> = attr("parent"),
        parent_wwnn: Option<String> = attr("parent_wwnn"),
        parent_wwpn: Option<String> = attr("parent_wwpn"),
        parent_fabric_wwn: Option<String> = attr("parent_fabric_wwn"),
        managed: Option<YesNo> = attr("managed"),
        name: Option<String> = attr("name"),
        wwnn: Option<String> = attr("wwnn"),
        wwpn: Option<String> = attr("wwpn"),
        parentaddr: Option<Element<'static>> = tree("parentaddr"),
    }
}

element! {
    pub struct Format {
        kind: String = attr_req("type"),
    }
}

element! {
    pub struct ProtocolVersion {
        version: String = attr_req("ver"),
    }
}

element! {
    pub struct PoolAuth {
        kind: String = attr_req("type"),
        username: String = attr_said_req("username", |_| {
            Error::new(Code::XmlError, Origin::Storage, "missing username for auth")
        }),
        secret: Option<Element<'static>> = tree("secret"),
    }
}

element! {
    pub struct PoolTarget {
        path: Option<String> = clean_path_text("path"),
        permissions: Option<Permissions> = child_some("permissions"),
    }
}

/// Owner, group and mode of a file or folder; what is absent is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    pub mode: Option<u32>,
    pub owner: Option<u32>,
    pub group: Option<u32>,
    pub label: Option<String>,
}

impl Body for Permissions {
    const ROWS: &'static [Row] = &[
        Row { kind: "text", name: "mode" },
        Row { kind: "text", name: "owner" },
        Row { kind: "text", name: "group" },
        Row { kind: "text", name: "label" },
    ];

    fn read(element: &Element<'_>, _: ParseFlags) -> Result<Self> {
        let storage_error = |text: &str| Error::new(Code::XmlError, Origin::Storage, text);
        let mode = match element.child_text("mode").filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => Some(
                u32::from_str_radix(&text, 8)
                    .ok()
                    .filter(|mode| *mode <= 0o7777)
                    .ok_or_else(|| storage_error("malformed octal mode"))?,
            ),
        };
        let id = |name: &str| match element.child_text(name).as_deref() {
            None | Some("-1") => Ok(None),
            Some(text) => u32::parse(text)
                .map(Some)
                .ok_or_else(|| storage_error(&format!("malformed {name} element"))),
        };
        let label = element.child_text("label").map(std::borrow::Cow::into_owned);
        Ok(Self { mode, owner: id("owner")?, group: id("group")?, label })
    }

    fn attrs(&self, _: &mut Out) {}

    fn children(&self, out: &mut Out) {
        if let Some(mode) = self.mode {
            out.w.text_element("mode", &format!("0{mode:o}"));
        }
        kinds::text::children(&self.owner, out, "owner");
        kinds::text::children(&self.group, out, "group");
        kinds::text::children(&self.label, out, "label");
    }
}

/// A path without doubled and trailing slashes.
///
/// Compat: two slashes at the start, and no more, are kept, as POSIX lets them mean something.
pub fn clean_path(path: &str) -> String {
    let rest = path.trim_start_matches('/');
    let slashes = path.len() - rest.len();
    let mut out = "/".repeat(if slashes == 2 { 2 } else { slashes.min(1) });
    out.push_str(&rest.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"));
    out
}

impl Pool {
    /// The folder or device folder that volumes appear in.
    pub fn target_path(&self) -> Option<&str> {
        self.target.as_ref().and_then(|target| target.path.as_deref())
    }

    fn has_target(&self) -> bool {
        use PoolType::{Gluster, IscsiDirect, Rbd, Sheepdog};
        !matches!(self.kind, Rbd | Sheepdog | Gluster | IscsiDirect)
    }

    fn check_auth(&self) -> Result<()> {
        let Some(auth) = &self.source.auth else { return Ok(()) };
        if !matches!(auth.kind.as_str(), "chap" | "ceph") {
            return Err(Self::unsupported(format!("unknown auth type '{}'", auth.kind)));
        }
        match &auth.secret {
            None => Err(Self::xml_error("Missing <secret> element in auth")),
            Some(secret) if secret.attr("uuid").or(secret.attr("usage")).is_none() => {
                let what = "missing secret uuid or usage attribute";
                Err(Error::new(Code::XmlError, Origin::None, what))
            }
            Some(_) => Ok(()),
        }
    }

    /// What a pool of host adapters is found by.
    fn check_adapter(&self) -> Result<()> {
        let Some(adapter) = &self.source.adapter else {
            return Err(Self::xml_error("missing storage pool source adapter"));
        };
        let world_wide = adapter.wwnn.is_some() && adapter.wwpn.is_some();
        let host = adapter.name.is_some() || adapter.parentaddr.is_some();
        match adapter.kind.as_deref() {
            Some("fc_host") if !world_wide => Err(Self::xml_error(
                "'wwnn' and 'wwpn' must be specified for adapter type 'fchost'",
            )),
            Some("scsi_host") if !host => Err(Self::xml_error(
                "Either 'name' or 'parent' must be specified for the 'scsi_host' adapter",
            )),
            _ => Ok(()),
        }
    }

    fn check_source(&mut self) -> Result<()> {
        use PoolType::{
            Disk, Fs, Gluster, Iscsi, IscsiDirect, Logical, Netfs, Rbd, Scsi, Sheepdog,
        };
        let needs_host =
            matches!(self.kind, Netfs | Iscsi | IscsiDirect | Rbd | Sheepdog | Gluster);
        if needs_host && self.source.hosts.is_empty() {
            return Err(Self::xml_error("missing storage pool source host name"));
        }
        let needs_dir = self.kind == Netfs || self.kind == Gluster;
        if needs_dir && self.source.dir.is_none() {
            return Err(Self::xml_error("missing storage pool source path"));
        }
        let (known, default): (&[&str], _) = match self.kind {
            Fs => (
                &[
                    "auto", "ext2", "ext3", "ext4", "ufs", "iso9660", "udf", "gfs", "gfs2", "vfat",
                    "hfs+", "xfs", "ocfs2", "vmfs",
                ],
                Some("auto"),
            ),
            Netfs => (&["auto", "nfs", "glusterfs", "cifs"], Some("auto")),
            Logical => (&["unknown", "lvm2"], Some("lvm2")),
            Disk => (
                &["unknown", "dos", "dvh", "gpt", "mac", "bsd", "pc98", "sun", "lvm2"],
                Some("unknown"),
            ),
            _ => (&[], None),
        };
        match &self.source.format {
            Some(format) if default.is_some() && !known.contains(&format.kind.as_str()) => {
                return Err(Self::unsupported(format!("unknown pool format type {}", format.kind)));
            }
            None => self.source.format = default.map(|kind| Format { kind: kind.to_owned() }),
            Some(_) => {}
        }
        if matches!(self.kind, Fs | Disk) && self.source.devices.is_empty() {
            return Err(Self::xml_error("missing storage pool source device name"));
        }
        if self.kind == Scsi { self.check_adapter() } else { Ok(()) }
    }
}

impl Document for Pool {
    const ROOT: &'static str = "pool";
    const ORIGIN: Origin = Origin::Storage;

    fn complete(&mut self, _: ParseFlags) -> Result<()> {
        if self.name.is_empty() {
            self.name = self.source.name.clone().unwrap_or_default();
        }
        if self.name.is_empty() {
            return Err(Self::xml_error("missing pool source name element"));
        }
        if self.name.contains('/') {
            return Err(Self::xml_error(format!("name {} cannot contain '/'", self.name)));
        }
        self.uuid.get_or_insert_with(Uuid::random);
        if matches!(self.kind, PoolType::Logical | PoolType::Zfs) {
            self.source.name.get_or_insert_with(|| self.name.clone());
        }
        self.check_auth()?;
        self.check_source()?;
        if !self.has_target() {
            self.target = None;
            return Ok(());
        }
        let name = self.source.name.clone().unwrap_or_default();
        let target = self.target.get_or_insert_default();
        match self.kind {
            PoolType::Logical => target.path = Some(format!("/dev/{name}")),
            PoolType::Zfs => target.path = Some(format!("/dev/zvol/{name}")),
            PoolType::Mpath if target.path.is_none() => {
                target.path = Some("/dev/mapper".to_owned())
            }
            _ if target.path.is_none() => {
                return Err(Self::xml_error("missing storage pool target path"));
            }
            _ => {}
        }
        Ok(())
    }
}

words! {
    pub enum VolumeType {
        File = "file",
        Block = "block",
        Dir = "dir",
        Network = "network",
        Netdir = "netdir",
        Ploop = "ploop",
    }
}

element! {
    pub struct Volume {
        kind: Option<VolumeType> = volume_type("type"),
        name: String = text_or_empty("name"),
        key: Option<String> = text("key"),
        capacity_bytes: Option<u64> = bytes_text("capacity"),
        allocation_bytes: Option<u64> = bytes_text("allocation"),
        physical_bytes: Option<u64> = bytes_text("physical"),
        target: VolumeTarget = child_def("target"),
        backing_store: Option<VolumeBacking> = child_some("backingStore"),
    }
}

element! {
    pub struct VolumeTarget {
        path: Option<String> = text("path"),
        format: Option<Format> = child("format"),
        permissions: Option<Permissions> = child_some("permissions"),
        timestamps: Option<Element<'static>> = not_read("timestamps"),
        encryption: Option<Element<'static>> = tree("encryption"),
        compat: Option<String> = text("compat"),
        cluster_size_bytes: Option<u64> = bytes_short("clusterSize"),
        nocow: bool = flag("nocow"),
        features: Option<VolumeFeatures> = child("features"),
    }
}

element! {
    pub struct VolumeFeatures {
        lazy_refcounts: bool = flag("lazy_refcounts"),
        extended_l2: bool = flag("extended_l2"),
    }
}

element! {
    pub struct VolumeBacking {
        path: Option<String> = text("path"),
        format: Option<Format> = child("format"),
        permissions: Option<Permissions> = child_some("permissions"),
    }
}

/// What a volume document may leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeParse {
    pub no_capacity: bool,
    pub optional_capacity: bool,
    /// The document must conform to the schema.
    pub validate: bool,
}

/// Image formats a volume can have.
const VOLUME_FORMATS: &[&str] = &[
    "raw", "dir", "bochs", "cloop", "dmg", "iso", "vpc", "vdi", "fat", "vhd", "ploop", "cow",
    "qcow", "qcow2", "qed", "vmdk",
];

/// What a partition of a disk can hold.
const PARTITION_FORMATS: &[&str] =
    &["none", "linux", "fat16", "fat32", "linux-swap", "linux-lvm", "linux-raid", "extended"];

/// The formats of a pool's volumes, the usual one first; nothing where a volume has none.
fn formats(pool: PoolType) -> &'static [&'static str] {
    use PoolType::*;
    match pool {
        Dir | Fs | Netfs | Gluster | Vstorage | Rbd => VOLUME_FORMATS,
        Disk => PARTITION_FORMATS,
        _ => &[],
    }
}

/// Gives a volume, or what is behind it, the usual format where it says none.
fn complete_format(format: &mut Option<Format>, known: &[&str]) -> Result<()> {
    let Some(usual) = known.first() else {
        *format = None;
        return Ok(());
    };
    let format = format.get_or_insert_with(|| Format { kind: (*usual).to_owned() });
    if known.contains(&format.kind.as_str()) {
        return Ok(());
    }
    let text = format!("unknown volume format type {}", format.kind);
    Err(Error::new(Code::ConfigUnsupported, Origin::Storage, text))
}

impl Volume {
    /// Reads a volume of that kind of pool.
    pub fn parse(xml: &str, pool: PoolType, what: VolumeParse) -> Result<Self> {
        explain::reading(xml, Origin::Storage, |tree| {
            crate::schema::document::expect_root(tree, "volume", what.validate)?;
            let mut volume = Self::read(tree, ParseFlags::default())?;
            volume.complete(pool, what)?;
            Ok(volume)
        })
    }

    fn complete(&mut self, pool: PoolType, what: VolumeParse) -> Result<()> {
        let error = |text: &str| Error::new(Code::XmlError, Origin::Storage, text);
        if self.name.is_empty() {
            return Err(error("missing volume name element"));
        }
        let optional = what.no_capacity || what.optional_capacity && self.backing_store.is_some();
        match self.capacity_bytes {
            None if !optional => return Err(error("missing capacity element")),
            capacity => {
                let capacity = *self.capacity_bytes.insert(capacity.unwrap_or(0));
                self.allocation_bytes.get_or_insert(capacity);
            }
        }
        // Compat: whatever the pool is made of.
        self.kind.get_or_insert(VolumeType::File);
        self.check_encryption()?;
        let known = formats(pool);
        if let Some(backing) = &mut self.backing_store {
            complete_format(&mut backing.format, known)?;
        }
        complete_format(&mut self.target.format, known)?;
        if known == VOLUME_FORMATS {
            let modern = self.target.features.is_some() || self.target.cluster_size_bytes.is_some();
            if modern && self.target.compat.is_none() {
                self.target.compat = Some("1.1".to_owned());
            }
        }
        Ok(())
    }

    fn check_encryption(&self) -> Result<()> {
        let Some(encryption) = &self.target.encryption else { return Ok(()) };
        let wrong = |what: &str, word: Option<&str>| {
            let (code, detail) = match word {
                None => (Code::XmlError, format!("unknown volume encryption {what}")),
                Some(word) => (
                    Code::ConfigUnsupported,
                    format!("unknown volume encryption {what} type {word}"),
                ),
            };
            Err(Error::new(code, Origin::Storage, detail))
        };
        match encryption.attr("format") {
            Some("default" | "qcow" | "luks" | "luks2" | "luks-any") => {}
            word => return wrong("format", word),
        }
        for secret in encryption.children_named("secret") {
            match secret.attr("type") {
                Some("passphrase") => {}
                None => return wrong("secret type", None),
                Some(word) => return wrong("secret", Some(word)),
            }
        }
        Ok(())
    }

    /// Prints the document.
    pub fn to_xml(&self) -> String {
        let mut out = Out::new(crate::schema::PrintFlags::default());
        out.element("volume", self);
        out.w.finish()
    }
}
