//! Processes that use a vdisk through us, so that what a killed one held is given back.
//!
//! The counts in the document are for everybody; who else counts there (`ref-inc`) has to count
//! back itself. For those that are named here, a process that has ended is reason enough.

use std::fs;
use std::path::Path;

use virt_host::Process;

use crate::document::Document;
use crate::failure::{Failure, Result};

pub(crate) const HOLDERS: &str = "vdisk.holders";
/// Limit: a line for each process.
const HOLDERS_BYTES_MAX: u64 = 1 << 16;

/// One process, and what it uses the vdisk for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pid: u32,
    /// With the pid and the boot it names a process for good.
    start_ticks: u64,
    boot: String,
    pub(crate) is_writer: bool,
}

impl Holder {
    /// This very process.
    pub(crate) fn this(is_writer: bool) -> Result<Self> {
        let pid = std::process::id();
        let start_ticks = Process(pid).start_ticks();
        let start_ticks = start_ticks.ok_or_else(|| Failure::new("cannot read /proc"))?;
        Ok(Self { pid, start_ticks, boot: boot(), is_writer })
    }

    fn is_alive(&self) -> bool {
        self.boot == boot() && Process(self.pid).start_ticks() == Some(self.start_ticks)
    }

    fn line(&self) -> String {
        let role = if self.is_writer { "rw" } else { "ro" };
        format!("{} {} {} {role}\n", self.pid, self.start_ticks, self.boot)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            pid: words.next()?.parse().ok()?,
            start_ticks: words.next()?.parse().ok()?,
            boot: words.next()?.to_owned(),
            is_writer: words.next()? == "rw",
        })
    }
}

/// Which start of the machine this is.
fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// The processes that are noted in a folder.
pub(crate) fn read(folder: &Path) -> Result<Vec<Holder>> {
    let path = folder.join(HOLDERS);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = virt_store::read_text(&path, HOLDERS_BYTES_MAX)?;
    Ok(text.lines().filter_map(Holder::parse).collect())
}

pub(crate) fn print(holders: &[Holder]) -> String {
    holders.iter().map(Holder::line).collect()
}

/// Counts one user more or less.
pub(crate) fn count(document: &mut Document, is_writer: bool, more: i64) -> Result<()> {
    let (writers, readers) = document.users()?;
    let (name, now) = if is_writer { ("rwcnt", writers) } else { ("rocnt", readers) };
    document.set(name, &now.saturating_add(more).max(0).to_string());
    Ok(())
}

/// Those that still run; the counts are taken back for the others.
pub(crate) fn bury(document: &mut Document, holders: Vec<Holder>) -> Result<Vec<Holder>> {
    let (alive, dead): (Vec<_>, Vec<_>) = holders.into_iter().partition(Holder::is_alive);
    for holder in dead {
        count(document, holder.is_writer, -1)?;
    }
    Ok(alive)
}
