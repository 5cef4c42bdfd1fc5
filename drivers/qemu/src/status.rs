//! Status files: what a daemon must know of a running guest after its predecessor died.
//!
//! The form is libvirt's own `<domstatus>`, so that guests of a running libvirtd can be taken over, and
//! taken back: what nobody here acts on is kept as it came, in its place. A file is written before the
//! effect it describes: before the process is started, with pid 0, and before the guest is let run. It
//! only has to outlive the daemon, not the machine.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use virt_error::{Code, Error, Origin, Result};
use virt_guests::words;
use virt_model::domain::Domain as Document;
use virt_model::domain::disk::{Disk, DiskBus};
use virt_model::domain::{Address, DeviceInfo};
use virt_model::schema::Out;
use virt_model::{ParseFlags, PrintFlags};
use virt_store::Durability;
use virt_types::api;
use virt_xml::Element;

use crate::argv;
use crate::dirs::{Dirs, store_error};

/// Limit: the largest status file that is read.
const STATUS_BYTES_MAX: u64 = 16 << 20;

/// How the document in a status file is read and printed.
const PARSE: ParseFlags = ParseFlags {
    inactive: false,
    validate: false,
    abi_update: false,
    skip_post_parse: true,
    status: true,
};
const PRINT: PrintFlags = PrintFlags {
    secure: true,
    inactive: false,
    update_cpu: false,
    migratable: false,
    status: true,
};

const AGENT_TIMEOUT: &str = "agentTimeout";

/// That the next shutdown is to become a reboot, and what stands before it.
const REBOOT: &str = "fakereboot";
const BEFORE_REBOOT: &[&str] =
    &["taint", "monitor", "namespaces", "vcpus", "qemuCaps", "lockstate", "job"];

/// What a status file says.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) state: i32,
    pub(crate) reason: i32,
    /// 0 while the process is being started.
    pub(crate) pid: u32,
    pub(crate) vcpu_threads: Vec<u32>,
    pub(crate) rebooting: bool,
    /// As in the public API.
    pub(crate) agent_timeout_s: i32,
    pub(crate) notes: Notes,
    pub(crate) document: Document,
}

/// Everything that stands before the domain, in its order: where the monitor is, the folders, the jobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Vec<Element<'static>>>);

impl Notes {
    /// Of a guest that is about to be started.
    pub(crate) fn new(document: &Document, dirs: &Dirs) -> Self {
        let (id, name) = (document.id.unwrap_or(-1), &document.name);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let at = |element: &'static str, path: PathBuf| {
            Element::new(element).with_attr("path", text(path))
        };
        let lib = dirs.guest(id, name);
        let aliases = aliases(document);
        let device = |alias: String| Element::new("device").with_attr("alias", alias);
        let devices =
            aliases.into_iter().map(device).fold(Element::new("devices"), Element::with_child);
        let mut notes = vec![
            at("monitor", lib.join("monitor.sock")).with_attr("type", "unix"),
            Element::new("vcpus"),
            devices,
            at("libDir", lib),
            at("channelTargetDir", dirs.guest_channels(id, name)),
        ];
        let disks = document.devices.disks.iter();
        let last = disks.filter_map(|disk| disk.source.as_ref()?.index).max().unwrap_or(0);
        notes.push(Element::new("nodename").with_attr("index", last.to_string()));
        complete(&mut notes, document, dirs);
        Self(Arc::new(notes))
    }

    /// The monitor's socket.
    pub(crate) fn monitor(&self) -> Option<PathBuf> {
        Some(self.find("monitor")?.attr("path")?.into())
    }

    fn find(&self, name: &str) -> Option<&Element<'static>> {
        self.0.iter().find(|element| element.name == name)
    }

    fn agent_timeout_s(&self) -> Option<i32> {
        self.find(AGENT_TIMEOUT)?.text().trim().parse().ok()
    }

    fn threads(&self) -> Vec<u32> {
        let vcpus = self.find("vcpus").into_iter().flat_map(Element::elements);
        vcpus.filter_map(|vcpu| vcpu.attr("pid")?.parse().ok()).collect()
    }
}

/// Adds what older versions did not note.
fn complete(notes: &mut Vec<Element<'static>>, document: &Document, dirs: &Dirs) {
    let place = |notes: &[Element<'static>], name: &str| notes.iter().position(|e| e.name == name);
    let number = |name: &'static str| Element::new(name).with_attr("index", "0");
    if place(notes, "memoryBackingDir").is_none() {
        let path = dirs.guest_memory(document.id.unwrap_or(-1), &document.name);
        let path = path.to_string_lossy().into_owned();
        let after = place(notes, "channelTargetDir").map_or(notes.len(), |at| at.saturating_add(1));
        notes.insert(after, Element::new("memoryBackingDir").with_attr("path", path));
    }
    if place(notes, "blockjobs").is_none() {
        notes.push(Element::new("blockjobs").with_attr("active", "no"));
    }
    for element in [number("nodename"), number("fdset")] {
        if place(notes, &element.name).is_none() {
            let before = place(notes, "blockjobs").unwrap_or(notes.len());
            notes.insert(before, element);
        }
    }
    if place(notes, AGENT_TIMEOUT).is_none() {
        // Compat: forever, until somebody says otherwise.
        let after = place(notes, "blockjobs").map_or(notes.len(), |at| at.saturating_add(1));
        notes.insert(after, agent_timeout(api::DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK));
    }
}

/// How long an agent may take.
fn agent_timeout(timeout_s: i32) -> Element<'static> {
    Element::new(AGENT_TIMEOUT).with_text(timeout_s.to_string())
}

/// The names of the devices that the emulator can unplug.
fn aliases(document: &Document) -> Vec<String> {
    let there = |info: &&DeviceInfo| info.address != Address::None;
    let infos = document.devices.infos();
    infos.into_iter().filter(there).filter_map(|info| info.alias.clone()).collect()
}

impl Status {
    /// Writes the file.
    pub(crate) fn write(&self, dirs: &Dirs) -> Result<()> {
        let path = dirs.status(&self.document.name);
        let text = format!("{}{}", words::header(&self.document.name), self.to_xml());
        virt_store::write(&path, text.as_bytes(), 0o600, Durability::Process)
            .map_err(|error| store_error(&error))
    }

    pub(crate) fn to_xml(&self) -> String {
        let mut out = Out::new(PRINT);
        out.w.open("domstatus");
        out.w.attr("state", words::state_word(self.state));
        out.w.attr("reason", words::reason_word(self.state, self.reason));
        out.w.attr("pid", &self.pid.to_string());
        self.notes_now().iter().for_each(|note| out.w.element(note));
        out.element("domain", &self.document);
        out.w.close("domstatus");
        out.w.finish()
    }

    /// The notes with what has changed since they were made.
    fn notes_now(&self) -> Vec<Cow<'_, Element<'static>>> {
        let kept = self.notes.0.iter().filter(|note| note.name != REBOOT);
        let mut notes: Vec<Cow<'_, Element<'static>>> = kept.map(Cow::Borrowed).collect();
        if self.notes.threads() != self.vcpu_threads
            && let Some(note) = notes.iter_mut().find(|note| note.name == "vcpus")
        {
            *note = Cow::Owned(vcpus(&self.vcpu_threads));
        }
        if let Some(note) = notes.iter_mut().find(|note| note.name == AGENT_TIMEOUT) {
            *note = Cow::Owned(agent_timeout(self.agent_timeout_s));
        }
        if self.rebooting {
            let at = notes.iter().position(|note| !BEFORE_REBOOT.contains(&&*note.name));
            notes.insert(at.unwrap_or(notes.len()), Cow::Owned(Element::new(REBOOT)));
        }
        notes
    }

    /// Reads the file.
    pub(crate) fn read(path: &Path, dirs: &Dirs) -> Result<Self> {
        let text =
            virt_store::read_text(path, STATUS_BYTES_MAX).map_err(|error| store_error(&error))?;
        Self::parse(&text, dirs).map_err(|error| {
            let detail = format!("{} in status file '{}'", error.message(), path.display());
            Error::new(Code::XmlError, Origin::Qemu, detail)
        })
    }

    pub(crate) fn parse(text: &str, dirs: &Dirs) -> Result<Self> {
        let odd = |what: &str| Error::new(Code::XmlError, Origin::Qemu, what);
        let root = virt_xml::parse(text).map_err(|error| odd(&error.to_string()))?;
        let domain = root.child("domain").ok_or_else(|| odd("no domain"))?;
        let state = words::state_number(root.attr("state").unwrap_or_default());
        let document = Document::from_tree(domain, PARSE)?;
        let notes = root.elements().filter(|element| element.name != "domain");
        let mut notes: Vec<Element<'static>> = notes.map(Element::to_static).collect();
        complete(&mut notes, &document, dirs);
        let notes = Notes(Arc::new(notes));
        notes.monitor().ok_or_else(|| odd("no monitor"))?;
        Ok(Self {
            state,
            reason: words::reason_number(state, root.attr("reason").unwrap_or_default()),
            pid: root.attr("pid").and_then(|pid| pid.parse().ok()).unwrap_or(0),
            vcpu_threads: notes.threads(),
            rebooting: notes.find(REBOOT).is_some(),
            agent_timeout_s: notes
                .agent_timeout_s()
                .unwrap_or(api::DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK),
            notes,
            document,
        })
    }
}

fn vcpus(threads: &[u32]) -> Element<'static> {
    let vcpu = |(id, thread): (usize, &u32)| {
        Element::new("vcpu").with_attr("id", id.to_string()).with_attr("pid", thread.to_string())
    };
    threads.iter().enumerate().map(vcpu).fold(Element::new("vcpus"), Element::with_child)
}

/// Notes the names of disks' nodes and devices, which libvirt looks for.
pub(crate) fn note_disks(document: &mut Document) {
    for disk in &mut document.devices.disks {
        let Some(alias) = &disk.info.alias else { continue };
        let name = match disk.target.bus {
            Some(DiskBus::Virtio) => format!("/machine/peripheral/{alias}/virtio-backend"),
            _ => alias.clone(),
        };
        let qom = Element::new("qom").with_attr("name", name);
        disk.info.private_data = Some(Element::new("privateData").with_child(qom));
        note_nodes(disk);
    }
}

fn note_nodes(disk: &mut Disk) {
    let names = argv::own_node_names(disk);
    let Some(source) = &mut disk.source else { return };
    if names.is_empty() {
        return;
    }
    let node = |(kind, name): (&'static str, String)| {
        Element::new("nodename").with_attr("type", kind).with_attr("name", name)
    };
    let names = names.into_iter().map(node).fold(Element::new("nodenames"), Element::with_child);
    source.rest.push(Element::new("privateData").with_child(names));
}

/// Takes away what tells of a running guest.
pub(crate) fn remove(dirs: &Dirs, name: &str) {
    // Order: the status file last, for by it a new daemon finds what else there is to clear up.
    // What cannot be removed is seen to be stale then.
    let _ = virt_store::remove(&dirs.pid(name));
    let _ = virt_store::remove(&dirs.status(name));
}
