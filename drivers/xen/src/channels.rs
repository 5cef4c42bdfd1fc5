//! The driver's own seam: what is asked of the machine, whichever channel answers it.
//!
//! [`Hypervisor`] is cheap and is asked all the time: hypercalls answer it, or xend where there are
//! none. [`Toolstack`] does what takes more than the hypervisor: xend does it, or `xl`.
//! [`Definitions`] keeps what does not run: xend itself, the folder of XM files, or files of ours.

use std::path::{Path, PathBuf};

use virt_error::Result;
use virt_model::domain::{Device, Domain as Document};
use virt_types::{Name, Uuid};

use crate::formats::Host;
use crate::hypercalls::HW_CAPS;
use crate::seen::{Cell, Credit, Key, Physical, Place, Running, Vcpu};

/// Limit: processors of a host.
pub(crate) const CPUS_MAX: u32 = 4096;
/// Limit: virtual processors of one domain, whoever tells of them: each has a map of where it may run.
pub(crate) const VCPUS_MAX: u32 = 1024;

/// Who knows what runs, and lets it run.
pub(crate) trait Hypervisor: Send + Sync {
    fn running(&self) -> Result<Vec<Running>>;

    /// One domain, where it runs.
    fn look(&self, key: Key<'_>) -> Result<Option<Running>> {
        Ok(self.running()?.into_iter().find(|running| key.fits(running)))
    }

    fn pause(&self, running: &Running) -> Result<()>;
    fn unpause(&self, running: &Running) -> Result<()>;
    fn vcpus(&self, running: &Running) -> Result<Vec<Vcpu>>;
    fn pin(&self, running: &Running, vcpu: u32, cpus: &[usize]) -> Result<()>;
    fn credit(&self, running: &Running) -> Result<Credit>;
    fn set_credit(&self, running: &Running, credit: Credit) -> Result<()>;
    fn physical(&self) -> Result<Physical>;

    /// How memory and processors lie together.
    fn cells(&self) -> Result<Vec<Cell>> {
        Ok(vec![one_cell(&self.physical()?)])
    }

    /// What the processors can do, in the words of `cpuid`; `None` where nobody says.
    fn hw_caps(&self) -> Result<Option<[u32; HW_CAPS]>> {
        Ok(None)
    }

    /// The nodes that a domain's memory comes from: all of them, where nobody says.
    fn domain_nodes(&self, _running: &Running) -> Result<Vec<usize>> {
        Ok(self.cells()?.iter().map(|cell| cell.id).collect())
    }

    /// Gives a domain another UUID; the tool stack of xend's time does so by itself.
    fn set_uuid(&self, running: &Running, uuid: Uuid) -> Result<()> {
        let detail = format!("domain '{}' cannot be given the UUID {uuid} here", running.name);
        Err(crate::unsupported(detail))
    }

    /// What this channel is called in the log.
    fn name(&self) -> &'static str;
}

/// All memory and all processors as one node: where nobody says how they lie.
pub(crate) fn one_cell(physical: &Physical) -> Cell {
    let each = physical.cores.saturating_mul(physical.threads).max(1);
    let cpus = (0..physical.cpus.min(CPUS_MAX)).zip(0..).map(|(number, id)| Place {
        id,
        socket: number / each,
        core: number % each / physical.threads.max(1),
    });
    let (memory_kib, free_kib) = (physical.total_kib, physical.free_kib);
    Cell { id: 0, memory_kib, free_kib, distances: vec![10], cpus: cpus.collect() }
}

/// How a guest is asked to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goodbye {
    Poweroff,
    Reboot,
}

impl Goodbye {
    /// As xend and the guest's node want it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Poweroff => "poweroff",
            Self::Reboot => "reboot",
        }
    }
}

/// What a core dump does beside.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dump {
    pub(crate) live: bool,
    pub(crate) crash: bool,
    pub(crate) reset: bool,
}

/// A domain, running or kept or both.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) uuid: Uuid,
    pub(crate) name: Name,
    pub(crate) running: Option<Running>,
    pub(crate) kept: bool,
}

/// What makes guests and changes them.
pub(crate) trait Toolstack: Send + Sync {
    /// Whose formats it takes.
    fn host(&self) -> Host;

    /// Whether it keeps changes of running domains, and makes those of kept ones, by itself.
    fn keeps_changes(&self) -> bool;

    /// A running domain's document, with what it has at the moment.
    fn document(&self, running: &Running) -> Result<Document>;

    /// Makes a guest of a document; it is paused then.
    fn create(&self, document: &Document) -> Result<()>;

    /// Starts a kept domain, and says whether it is paused then.
    fn start(&self, subject: &Subject, document: &Document) -> Result<bool>;

    fn ask(&self, running: &Running, how: Goodbye) -> Result<()>;
    fn destroy(&self, running: &Running) -> Result<()>;
    fn rename(&self, subject: &Subject, name: &str) -> Result<()>;

    fn save(&self, running: &Running, document: &Document, file: &Path) -> Result<()>;
    /// Makes a guest of a file; it runs unless it shall be `paused`.
    fn restore(&self, file: &Path, xml: Option<&str>, paused: bool) -> Result<Document>;
    /// The document in a file.
    fn saved(&self, file: &Path) -> Result<Document>;
    fn dump(&self, running: &Running, file: &Path, how: Dump) -> Result<()>;

    fn set_memory(&self, subject: &Subject, memory_kib: u64) -> Result<()>;
    fn set_max_memory(&self, subject: &Subject, memory_kib: u64) -> Result<()>;
    fn set_vcpus(&self, subject: &Subject, count: u32) -> Result<()>;
    /// A kept domain's share; `None` where the scheduler is not told through this.
    fn kept_credit(&self, subject: &Subject, set: Option<Credit>) -> Result<Option<Credit>>;

    fn attach(&self, subject: &Subject, document: &Document, device: &Device) -> Result<()>;
    fn detach(&self, subject: &Subject, document: &Document, device: &Device) -> Result<()>;
    /// Puts another medium into a drive.
    fn insert(&self, subject: &Subject, document: &Document, device: &Device) -> Result<()>;

    /// Changes what is known of a running guest and is nothing to the guest itself.
    fn annotate(&self, _subject: &Subject, _edit: &dyn Fn(&mut Document)) -> Result<()> {
        Ok(())
    }

    /// Sends a guest to another host. It runs here or there afterwards, and never on both.
    fn migrate(&self, running: &Running, host: &str, port: Option<u16>, live: bool) -> Result<()>;

    /// Whether guests come in at a port of its own, which can be tried before.
    fn takes_guests_in(&self) -> bool;

    /// Whether guests that end by themselves are left for the daemon to deal with.
    fn wants_tending(&self) -> bool {
        false
    }

    /// Does what is to be done with a guest that has ended by itself.
    fn tend(&self, _running: &Running) {}
}

/// A domain that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) uuid: Uuid,
    pub(crate) name: Name,
}

/// Where definitions are.
pub(crate) trait Definitions: Send + Sync {
    fn list(&self) -> Result<Vec<Kept>>;

    fn find(&self, uuid: &Uuid) -> Result<Option<Kept>> {
        Ok(self.list()?.into_iter().find(|kept| kept.uuid == *uuid))
    }

    fn document(&self, kept: &Kept) -> Result<Document>;
    fn keep(&self, document: &Document) -> Result<()>;
    fn forget(&self, kept: &Kept) -> Result<()>;
    fn autostarts(&self, kept: &Kept) -> Result<bool>;
    fn set_autostart(&self, kept: &Kept, on: bool) -> Result<()>;

    /// The folder that people change by hand, where there is one.
    fn folder(&self) -> Option<PathBuf> {
        None
    }

    /// Sees to it that the tool stack knows what it is to start.
    fn adopt(&self, _kept: &Kept) -> Result<()> {
        Ok(())
    }
}
