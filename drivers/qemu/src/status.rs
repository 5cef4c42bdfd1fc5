//! Status files: what a daemon must know of a running guest after its predecessor died.
//!
//! The form is libvirt's own `<domstatus>`, so that guests of a running libvirtd can be taken over.
//! A file is written before the effect it describes: before the process is started, with pid 0, and
//! before the guest is let run. It only has to outlive the daemon, not the machine.

use std::path::{Path, PathBuf};

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Document;
use virt_model::schema::Out;
use virt_model::{ParseFlags, PrintFlags};
use virt_store::Durability;
use virt_types::api;
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

/// Names of states and reasons in the file, by number.
const STATES: [&str; 8] = [
    "no state",
    "running",
    "blocked",
    "paused",
    "in shutdown",
    "shut off",
    "crashed",
    "pmsuspended",
];
const RUNNING: [&str; 13] = [
    "unknown",
    "booted",
    "migrated",
    "restored",
    "from snapshot",
    "unpaused",
    "migration canceled",
    "save canceled",
    "wakeup",
    "crashed",
    "post-copy",
    "post-copy failed",
    "",
];
const PAUSED: [&str; 15] = [
    "unknown",
    "user",
    "migration",
    "save",
    "dump",
    "ioerror",
    "watchdog",
    "from snapshot",
    "shutdown",
    "snapshot",
    "crashed",
    "starting up",
    "post-copy",
    "post-copy failed",
    "api-error",
];

fn reasons(state: i32) -> &'static [&'static str] {
    match state {
        api::DOMAIN_RUNNING => &RUNNING,
        api::DOMAIN_PAUSED => &PAUSED,
        api::DOMAIN_SHUTDOWN => &["unknown", "user"],
        _ => &["unknown"],
    }
}

fn word(words: &[&'static str], number: i32) -> &'static str {
    usize::try_from(number).ok().and_then(|at| words.get(at)).copied().unwrap_or("unknown")
}

fn number(words: &[&str], word: &str) -> i32 {
    let at = words.iter().position(|known| *known == word);
    at.and_then(|at| i32::try_from(at).ok()).unwrap_or(0)
}

/// The comment at the head of every file that the daemon writes for itself.
///
/// Compat: the name cannot end the comment early; two dashes are written apart.
pub(crate) fn header(name: &str) -> String {
    let name = name.replace("--", "- -");
    format!(
        "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE\n\
         OVERWRITTEN AND LOST. Changes to this xml configuration should be made using:\n  \
         virsh edit {name}\nor other application using the libvirt API.\n-->\n\n"
    )
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
        out.w.attr("state", word(&STATES, self.state));
        out.w.attr("reason", word(reasons(self.state), self.reason));
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
        format!("{}{}", header(&self.document.name), out.w.finish())
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
        let state = number(&STATES, root.attr("state").unwrap_or_default());
        let threads = root.child("vcpus").into_iter().flat_map(Element::elements);
        Ok(Self {
            state,
            reason: number(reasons(state), root.attr("reason").unwrap_or_default()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_states_are_read_back() {
        for state in 0..8 {
            assert_eq!(number(&STATES, word(&STATES, state)), state);
        }
        assert_eq!(word(&PAUSED, api::DOMAIN_PAUSED_STARTING_UP), "starting up");
        assert_eq!(word(&RUNNING, api::DOMAIN_RUNNING_UNPAUSED), "unpaused");
        assert_eq!(word(&RUNNING, -1), "unknown");
    }

    #[test]
    fn a_name_cannot_end_the_comment() {
        assert!(!header("a--><x/>").replace("-->\n", "").contains("-->"));
    }
}
