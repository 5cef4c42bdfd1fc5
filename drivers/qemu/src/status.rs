//! Status files: what a daemon must know of a running guest after its predecessor died.
//!
//! The form is libvirt's own `<domstatus>`, so that guests of a running libvirtd can be taken over.
//! A file is written before the effect it describes: before the process is started, with pid 0, and
//! before the guest is let run. It only has to outlive the daemon, not the machine.

use std::path::{Path, PathBuf};

use virt_error::{Code, Error, Origin, Result};
use virt_guests::words;
use virt_model::domain::Domain as Document;
use virt_model::schema::Out;
use virt_model::{ParseFlags, PrintFlags};
use virt_store::Durability;
use virt_xml::{Element, Writer};

use crate::dirs::{Dirs, store_error};

/// Limit: the largest status file that is read.
const STATUS_BYTES_MAX: u64 = 16 << 20;

/// What a status file says.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) state: i32,
    pub(crate) reason: i32,
    /// 0 while the process is being started.
    pub(crate) pid: u32,
    pub(crate) monitor: PathBuf,
    pub(crate) vcpu_threads: Vec<u32>,
    pub(crate) rebooting: bool,
    pub(crate) document: Document,
}

impl Status {
    /// Writes the file.
    pub(crate) fn write(&self, dirs: &Dirs) -> Result<()> {
        let path = dirs.status(&self.document.name);
        virt_store::write(&path, self.to_xml().as_bytes(), 0o600, Durability::Process)
            .map_err(|error| store_error(&error))
    }

    fn to_xml(&self) -> String {
        let mut out = Out::new(PrintFlags { secure: true, ..PrintFlags::default() });
        out.w = Writer::new();
        out.w.open("domstatus");
        out.w.attr("state", words::state_word(self.state));
        out.w.attr("reason", words::reason_word(self.state, self.reason));
        out.w.attr("pid", &self.pid.to_string());
        out.w.open("monitor");
        out.w.attr("path", &self.monitor.to_string_lossy());
        out.w.attr("type", "unix");
        out.w.close("monitor");
        out.w.open("vcpus");
        for (id, thread) in self.vcpu_threads.iter().enumerate() {
            out.w.open("vcpu");
            out.w.attr("id", &id.to_string());
            out.w.attr("pid", &thread.to_string());
            out.w.close("vcpu");
        }
        out.w.close("vcpus");
        if self.rebooting {
            out.w.open("fakereboot");
            out.w.close("fakereboot");
        }
        out.element("domain", &self.document);
        out.w.close("domstatus");
        format!("{}{}", words::header(&self.document.name), out.w.finish())
    }

    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            virt_store::read_text(path, STATUS_BYTES_MAX).map_err(|error| store_error(&error))?;
        let odd = |what: &str| {
            let detail = format!("{what} in status file '{}'", path.display());
            Error::new(Code::XmlError, Origin::Qemu, detail)
        };
        let root = virt_xml::parse(&text).map_err(|error| odd(&error.to_string()))?;
        let domain = root.child("domain").ok_or_else(|| odd("no domain"))?;
        let monitor = root.child("monitor").and_then(|monitor| monitor.attr("path"));
        let state = words::state_number(root.attr("state").unwrap_or_default());
        let threads = root.child("vcpus").into_iter().flat_map(Element::elements);
        Ok(Self {
            state,
            reason: words::reason_number(state, root.attr("reason").unwrap_or_default()),
            pid: root.attr("pid").and_then(|pid| pid.parse().ok()).unwrap_or(0),
            monitor: monitor.ok_or_else(|| odd("no monitor"))?.into(),
            vcpu_threads: threads
                .filter_map(|vcpu| vcpu.attr("pid").and_then(|pid| pid.parse().ok()))
                .collect(),
            rebooting: root.child("fakereboot").is_some(),
            document: Document::from_tree(domain, ParseFlags::default())?,
        })
    }
}

/// Takes away what tells of a running guest.
pub(crate) fn remove(dirs: &Dirs, name: &str) {
    // Order: the status file last, for by it a new daemon finds what else there is to clear up.
    // What cannot be removed is seen to be stale then.
    let _ = virt_store::remove(&dirs.pid(name));
    let _ = virt_store::remove(&dirs.status(name));
}
