//! Status files: what a daemon must know of a running guest after its predecessor died.
//!
//! The form is libvirt's `<domstatus>` with what belongs to the tool in an element of its own. A file
//! is written before the effect it describes; it only has to outlive the daemon, not the machine.

use std::path::{Path, PathBuf};

use virt_error::{Code, Error, Result};
use virt_guests::words;
use virt_model::domain::Domain as Document;
use virt_model::schema::Out;
use virt_model::{ParseFlags, PrintFlags};
use virt_store::Durability;
use virt_xml::Writer;

use crate::dirs::Dirs;
use crate::launch::Log;
use crate::{ORIGIN, store_error};

/// Limit: the largest status file that is read.
const STATUS_BYTES_MAX: u64 = 16 << 20;

/// What a status file says.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) state: i32,
    pub(crate) reason: i32,
    /// 0 while the process is being started.
    pub(crate) pid: u32,
    /// When it was started: two processes of one pid never share it.
    pub(crate) start_ticks: u64,
    pub(crate) socket: PathBuf,
    pub(crate) balloon_kib: u64,
    pub(crate) log: Log,
    /// The next end of the process is a reboot.
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
        out.w.open("kvmtool");
        out.w.attr("start", &self.start_ticks.to_string());
        out.w.attr("socket", &self.socket.to_string_lossy());
        out.w.attr("balloon", &self.balloon_kib.to_string());
        out.w.attr("log", &self.log.from.to_string());
        out.w.close("kvmtool");
        if self.rebooting {
            out.w.open("fakereboot");
            out.w.close("fakereboot");
        }
        out.element("domain", &self.document);
        out.w.close("domstatus");
        format!("{}{}", words::header(&self.document.name), out.w.finish())
    }

    /// Reads the file.
    pub(crate) fn read(dirs: &Dirs, name: &str) -> Result<Self> {
        let path = dirs.status(name);
        let text =
            virt_store::read_text(&path, STATUS_BYTES_MAX).map_err(|error| store_error(&error))?;
        Self::from_xml(&text, dirs.log_of(name)).map_err(|what| {
            let detail = format!("{what} in status file '{}'", path.display());
            Error::new(Code::XmlError, ORIGIN, detail)
        })
    }

    fn from_xml(text: &str, log: PathBuf) -> std::result::Result<Self, String> {
        let root = virt_xml::parse(text).map_err(|error| error.to_string())?;
        let domain = root.child("domain").ok_or("no domain")?;
        let tool = root.child("kvmtool").ok_or("no kvmtool")?;
        let number = |name: &str| tool.attr(name).and_then(|text| text.parse::<u64>().ok());
        let state = words::state_number(root.attr("state").unwrap_or_default());
        let document = Document::from_tree(domain, ParseFlags::default());
        Ok(Self {
            state,
            reason: words::reason_number(state, root.attr("reason").unwrap_or_default()),
            pid: root.attr("pid").and_then(|pid| pid.parse().ok()).unwrap_or(0),
            start_ticks: number("start").unwrap_or(0),
            socket: tool.attr("socket").ok_or("no socket")?.into(),
            balloon_kib: number("balloon").ok_or("no balloon")?,
            log: Log { path: log, from: number("log").unwrap_or(0) },
            rebooting: root.child("fakereboot").is_some(),
            document: document.map_err(|error| error.message().to_owned())?,
        })
    }
}

/// Takes away what tells of a running guest.
pub(crate) fn remove(dirs: &Dirs, name: &str) {
    // One that cannot be removed is seen to be stale by the next daemon.
    let _ = virt_store::remove(&dirs.status(name));
}

/// Whether a path is one of this guest's status file; used where a name comes from outside.
pub(crate) fn is_of(document: &Document, name: &str) -> bool {
    document.name == name && document.uuid.is_some() && !Path::new(name).is_absolute()
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_types::api;

    #[test]
    fn what_was_written_is_read_back() {
        let xml = "<domain type='kvmtool' id='7'><name>a</name>\
                   <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid><memory>65536</memory>\
                   <os><type>hvm</type><kernel>/k</kernel></os></domain>";
        let status = Status {
            state: api::DOMAIN_PAUSED,
            reason: api::DOMAIN_PAUSED_USER,
            pid: 123,
            start_ticks: 456,
            socket: "/home/.lkvm/a.sock".into(),
            balloon_kib: 32_768,
            log: Log { path: "/log".into(), from: 99 },
            rebooting: true,
            document: Document::parse(xml, ParseFlags::default()).unwrap(),
        };
        let read = Status::from_xml(&status.to_xml(), "/log".into()).unwrap();
        assert_eq!((read.state, read.reason, read.pid), (status.state, status.reason, 123));
        assert_eq!((read.start_ticks, read.balloon_kib, read.rebooting), (456, 32_768, true));
        assert_eq!((read.log, read.socket), (status.log, status.socket));
        assert_eq!(read.document.id, Some(7));
        assert!(is_of(&read.document, "a") && !is_of(&read.document, "b"));
        assert!(Status::from_xml("<domstatus/>", "/log".into()).is_err());
    }
}
