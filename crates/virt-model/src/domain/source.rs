//! Where a disk's bytes are: files, block devices, network storage, volumes, and their chains.

use virt_error::Result;
use virt_xml::Element;

use crate::domain::disk::DiskType;
use crate::schema::text::YesNo;
use crate::schema::{Body, Out, ParseFlags, PrintFlags, error, kinds};

/// What the driver noted of an image; only the daemon's own files have it.
const PRIVATE: &str = "privateData";

/// A storage source. Which fields are there depends on [`StorageSource::kind`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageSource {
    pub kind: DiskType,
    /// `file`, `dev`, `dir`, or the socket of a vhost-user disk.
    pub path: Option<String>,
    /// Network storage.
    pub protocol: Option<String>,
    pub name: Option<String>,
    pub query: Option<String>,
    pub tls: Option<YesNo>,
    pub tls_hostname: Option<String>,
    pub hosts: Vec<Host>,
    /// A volume of a pool.
    pub pool: Option<String>,
    pub volume: Option<String>,
    pub mode: Option<String>,
    /// In the daemon's own files: what the volume is, or where TLS was configured.
    pub own_attrs: Vec<(String, String)>,
    pub startup_policy: Option<String>,
    /// The number the driver knows this image by.
    pub index: Option<u32>,
    /// A passed file descriptor group.
    pub fdgroup: Option<String>,
    /// Further attributes of rarer kinds, in order.
    pub attrs: Vec<(String, String)>,
    /// Further children (`auth`, `cookies`, `encryption`, `slices`, ...), in print order.
    pub rest: Vec<Element<'static>>,
}

element! {
    pub struct Host {
        name: Option<String> = attr("name"),
        port: Option<String> = attr("port"),
        transport: Option<String> = attr("transport"),
        socket: Option<String> = attr("socket"),
    }
}

element! {
    /// The format of an image further down a chain.
    pub struct ImageFormat {
        kind: Option<String> = attr("type"),
        metadata_cache: Option<crate::domain::disk::MetadataCache> = child_some("metadata_cache"),
    }
}

impl StorageSource {
    /// The order in which the children other than `host` are printed.
    const REST_ORDER: &'static [&'static str] = &[
        "snapshot",
        "config",
        "initiator",
        "address",
        "ssl",
        "cookies",
        "readahead",
        "timeout",
        "reconnect",
        "knownHosts",
        "identity",
        "slices",
        "auth",
        "dataStore",
        "seclabel",
        "encryption",
        "reservations",
        PRIVATE,
    ];

    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// What the driver noted of the image when it opened it.
    pub fn private_data(&self) -> Option<&Element<'static>> {
        self.rest.iter().find(|element| element.name == PRIVATE)
    }

    /// Whether there is nothing to read from: an empty drive.
    pub fn is_empty(&self) -> bool {
        self.path.is_none()
            && self.protocol.is_none()
            && self.pool.is_none()
            && self.attrs.is_empty()
    }

    /// Whether nothing of it is printed.
    pub(crate) fn says_nothing(&self) -> bool {
        *self == Self { kind: self.kind, ..Self::default() }
    }

    fn path_attr(kind: DiskType) -> Option<&'static str> {
        match kind {
            DiskType::File => Some("file"),
            DiskType::Block | DiskType::VhostVdpa => Some("dev"),
            DiskType::Dir => Some("dir"),
            DiskType::VhostUser => Some("path"),
            DiskType::Network | DiskType::Volume | DiskType::Nvme => None,
        }
    }

    /// Reads a `<source>` of the kind that its owner's `type` names.
    pub fn read(element: &Element<'_>, kind: DiskType, flags: ParseFlags) -> Result<Self> {
        let text = |name: &str| element.attr(name).map(str::to_owned);
        let mut source = Self { kind, ..Self::default() };
        source.path = Self::path_attr(kind)
            .and_then(|name| element.attr(name))
            .filter(|p| !p.is_empty())
            .map(str::to_owned);
        match kind {
            DiskType::File => source.fdgroup = text("fdgroup"),
            DiskType::Network => {
                source.protocol = Some(
                    text("protocol")
                        .ok_or_else(|| error::missing_attribute(element, "protocol"))?,
                );
                source.name = text("name");
                source.query = text("query");
                source.tls = kinds::read_value(element, "tls")?;
                source.tls_hostname = text("tlsHostname");
                source.hosts = element
                    .children_named("host")
                    .map(|host| Host::read(host, flags))
                    .collect::<Result<_>>()?;
            }
            DiskType::Volume => {
                source.pool = text("pool");
                source.volume = text("volume");
                source.mode = text("mode");
            }
            DiskType::Nvme => {
                for name in ["type", "managed", "namespace"] {
                    source.attrs.extend(text(name).map(|value| (name.to_owned(), value)));
                }
            }
            DiskType::VhostUser => source.attrs.push(("type".to_owned(), "unix".to_owned())),
            DiskType::Block | DiskType::Dir | DiskType::VhostVdpa => {}
        }
        source.startup_policy = text("startupPolicy");
        if !flags.inactive {
            source.index = kinds::read_value::<u32>(element, "index")?.filter(|index| *index > 0);
        }
        if flags.status {
            source.own_attrs = Self::own_attrs(element, kind);
        }
        let skipped = |e: &&Element<'_>| {
            flags.inactive && is_skipped_label(e) || !flags.status && e.name == PRIVATE
        };
        for name in Self::REST_ORDER {
            let kept = element.children_named(name).filter(|e| !skipped(e));
            source.rest.extend(kept.map(Element::content));
        }
        Ok(source)
    }

    /// Attributes of the daemon's own files, in their order.
    fn own_attrs(element: &Element<'_>, kind: DiskType) -> Vec<(String, String)> {
        let known: &[&str] = match kind {
            DiskType::Volume => &["actualType", "file", "dev", "dir", "protocol", "name"],
            DiskType::Network => &["tlsFromConfig"],
            _ => &[],
        };
        let of = |name: &&str| Some(((*name).to_owned(), element.attr(name)?.to_owned()));
        known.iter().filter_map(of).collect()
    }

    fn write_attrs(&self, out: &mut Out) {
        let text = |out: &mut Out, name: &'static str, value: &Option<String>| {
            kinds::attr::attrs(value, out, name);
        };
        let many = |out: &mut Out, attrs: &[(String, String)]| {
            attrs.iter().for_each(|(name, value)| out.w.attr(name, value));
        };
        text(out, "protocol", &self.protocol);
        text(out, "name", &self.name);
        text(out, "query", &self.query);
        kinds::attr::attrs(&self.tls, out, "tls");
        text(out, "tlsHostname", &self.tls_hostname);
        many(out, &self.attrs);
        if let Some(name) = Self::path_attr(self.kind) {
            text(out, name, &self.path);
        }
        text(out, "fdgroup", &self.fdgroup);
        text(out, "pool", &self.pool);
        text(out, "volume", &self.volume);
        text(out, "mode", &self.mode);
        if out.flags.status {
            many(out, &self.own_attrs);
        }
        text(out, "startupPolicy", &self.startup_policy);
        kinds::attr::attrs(&self.index, out, "index");
    }

    /// Prints `<source>` unless there is nothing to say.
    pub fn write(&self, name: &str, out: &mut Out) {
        let mark = out.w.mark();
        out.w.open(name);
        let opened = out.w.len();
        self.write_attrs(out);
        for host in &self.hosts {
            out.element("host", host);
        }
        let PrintFlags { inactive, status, .. } = out.flags;
        let skipped =
            |e: &Element<'_>| inactive && is_skipped_label(e) || !status && e.name == PRIVATE;
        for element in self.rest.iter().filter(|e| !skipped(e)) {
            out.w.element(element);
        }
        if out.w.len() == opened { out.w.rewind(mark) } else { out.w.close(name) }
    }
}

/// Compat: that a label was skipped is known only while the guest runs.
fn is_skipped_label(element: &Element<'_>) -> bool {
    element.name == "seclabel" && element.attr("labelskip") == Some("yes")
}

/// One image further down a chain; an empty one ends the chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackingStore {
    /// `None` marks the end of the chain.
    pub image: Option<Box<BackingImage>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackingImage {
    pub kind: DiskType,
    pub index: Option<u32>,
    pub format: Option<ImageFormat>,
    pub source: StorageSource,
    pub backing_store: Option<BackingStore>,
}

impl BackingStore {
    pub(crate) fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let Some(kind) = kinds::read_value::<DiskType>(element, "type")? else {
            return Ok(Self::default());
        };
        let source = match element.child("source") {
            Some(source) => StorageSource::read(source, kind, flags)?,
            None => return Err(error::xml("missing disk source")),
        };
        let index = if flags.inactive { None } else { kinds::read_value(element, "index")? };
        let format =
            element.child("format").map(|format| ImageFormat::read(format, flags)).transpose()?;
        let backing_store =
            element.child("backingStore").map(|below| Self::read(below, flags)).transpose()?;
        Ok(Self {
            image: Some(Box::new(BackingImage { kind, index, format, source, backing_store })),
        })
    }

    pub(crate) fn write(&self, out: &mut Out) {
        out.w.open("backingStore");
        if let Some(image) = &self.image {
            out.w.attr("type", image.kind.as_str());
            if let Some(index) = image.index {
                out.w.attr("index", &index.to_string());
            }
            if let Some(format) = &image.format {
                out.element("format", format);
            }
            // Always there, even where it says nothing: without it the image could not be read again.
            let mark = out.w.len();
            image.source.write("source", out);
            if out.w.len() == mark {
                out.w.open("source");
                out.w.close("source");
            }
            if let Some(below) = &image.backing_store {
                below.write(out);
            }
        }
        out.w.close("backingStore");
    }
}
