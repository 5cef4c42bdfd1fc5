//! A running domain, whoever tells of it: the hypervisor itself, or xend.

use virt_types::{DomainRef, Name, Uuid, api};

/// How a domain is that the hypervisor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    /// Waits for something; nothing of it wants to run.
    Blocked,
    Paused,
    /// Has ended by itself and is still there.
    Down,
    Crashed,
    /// Gives its memory back.
    Dying,
}

impl Life {
    /// `virDomainState`. Compat: the six states of the xVM guide; what is between up and gone is "in
    /// shutdown".
    pub(crate) fn state(self) -> i32 {
        match self {
            Self::Running => api::DOMAIN_RUNNING,
            Self::Blocked => api::DOMAIN_BLOCKED,
            Self::Paused => api::DOMAIN_PAUSED,
            Self::Down | Self::Dying => api::DOMAIN_SHUTDOWN,
            Self::Crashed => api::DOMAIN_CRASHED,
        }
    }

    pub(crate) fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Blocked | Self::Paused)
    }
}

/// A domain with a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) id: u32,
    pub(crate) uuid: Uuid,
    pub(crate) name: Name,
    pub(crate) life: Life,
    /// What it has ended for: 0 off, 1 reboot, 2 suspend, 3 crash.
    pub(crate) ended: Option<u32>,
    pub(crate) hvm: bool,
    pub(crate) memory_kib: u64,
    pub(crate) max_memory_kib: u64,
    pub(crate) vcpus: u32,
    pub(crate) max_vcpus: u32,
    pub(crate) cpu_time_ns: u64,
}

impl Running {
    pub(crate) fn is_control(&self) -> bool {
        self.id == 0
    }

    pub(crate) fn public_id(&self) -> i32 {
        i32::try_from(self.id).unwrap_or(-1)
    }

    pub(crate) fn to_ref(&self) -> DomainRef {
        DomainRef { name: self.name.clone(), uuid: self.uuid, id: self.public_id() }
    }
}

/// A virtual processor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vcpu {
    pub(crate) number: u32,
    pub(crate) online: bool,
    pub(crate) blocked: bool,
    pub(crate) running: bool,
    pub(crate) cpu_time_ns: u64,
    /// Where it ran last; -1 where nowhere.
    pub(crate) cpu: i32,
    /// Where it may run.
    pub(crate) pins: Vec<usize>,
}

impl Vcpu {
    pub(crate) fn state(&self) -> i32 {
        match self {
            Self { online: false, .. } => api::VCPU_OFFLINE,
            Self { blocked: true, running: false, .. } => api::VCPU_BLOCKED,
            _ => api::VCPU_RUNNING,
        }
    }
}

/// What the scheduler gives a domain: its share, and a limit in percent of one CPU, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credit {
    pub(crate) weight: u32,
    pub(crate) cap: u32,
}

/// What the machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Physical {
    pub(crate) cpus: u32,
    pub(crate) nodes: u32,
    pub(crate) cores: u32,
    pub(crate) threads: u32,
    pub(crate) mhz: u32,
    pub(crate) total_kib: u64,
    pub(crate) free_kib: u64,
    /// `xen-3.0-x86_64 hvm-3.0-x86_32 ...`.
    pub(crate) caps: String,
    /// Whether devices of the host can be given to guests.
    pub(crate) directio: bool,
    pub(crate) scheduler: String,
    /// Major, minor, and the release within it.
    pub(crate) version: (u32, u32, u32),
}

/// A node of memory, with the processors that lie in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) id: usize,
    pub(crate) memory_kib: u64,
    pub(crate) free_kib: u64,
    /// To each node, itself among them.
    pub(crate) distances: Vec<u32>,
    pub(crate) cpus: Vec<Place>,
}

/// A processor and where it lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) id: usize,
    pub(crate) socket: u32,
    pub(crate) core: u32,
}

/// How a domain is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    Id(u32),
    Name(&'a str),
    Uuid(Uuid),
}

impl Key<'_> {
    pub(crate) fn fits(&self, running: &Running) -> bool {
        match self {
            Self::Id(id) => running.id == *id,
            Self::Name(name) => *running.name == **name,
            Self::Uuid(uuid) => running.uuid == *uuid,
        }
    }
}
