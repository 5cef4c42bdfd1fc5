//! The host: processes, pidfds, cgroups, CPU and memory facts; no drivers.
//!
//! Everything is read where the kernel tells it and nothing is assumed to be there: a container may
//! lack any file under `/sys`. No `unsafe`: what the kernel offers is reached through rustix.

mod cgroup;
mod cpu;
mod group;
mod memory;
mod numa;
mod pidfd;
mod process;
mod readiness;
mod run_as;
mod spawn;
mod text;

pub use cgroup::{Cgroups, cgroups};
pub use cpu::{Cpu, CpuInfo, CpuTime, Nodes, Shape, Topology};
pub use group::{Group, Version};
pub use memory::{MemoryInfo, page_sizes_kib};
pub use numa::{Cell, cells};
pub use pidfd::{Ended, Pidfd, Signal};
pub use process::{Process, ThreadTimes, clock_ticks, thread_cpus, thread_times, threads};
pub use readiness::{Readiness, ReadinessThread};
pub use run_as::{Limits, RunAs, run_as_asked};
pub use spawn::{Child, Spawn};

use std::path::PathBuf;

/// What could not be learnt from the host or done to it.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("cannot {what}")]
    Io { what: String, source: std::io::Error },
    #[error("'{path}' does not read as expected: {what}")]
    Odd { path: PathBuf, what: &'static str },
}

impl HostError {
    fn io(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }

    /// The system's error, where there is one.
    pub fn source_io(&self) -> Option<&std::io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Odd { .. } => None,
        }
    }
}

/// The result of every operation here.
pub type Result<T> = std::result::Result<T, HostError>;

/// The host's name as the kernel has it, completed to a full name only where it already is one.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The kernel's release, as `uname -r` prints it.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The machine's architecture, as `uname -m` prints it.
pub fn architecture() -> String {
    rustix::system::uname().machine().to_string_lossy().into_owned()
}
