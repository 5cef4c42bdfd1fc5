//! The QEMU driver: guests as processes, driven over QMP.
//!
//! One [`QemuDriver`] owns a set of directories and the guests in them, for as long as the daemon
//! lives; guests outlive it. Start at `core.rs` (who may change what when), `lifecycle.rs` (start and
//! end of a guest) and `monitor/` (how it is spoken to).

pub mod agent;
mod argv;
mod blocks;
mod capabilities;
mod config;
mod control;
mod core;
#[cfg(feature = "corpus")]
pub mod corpus;
mod cpu;
mod dirs;
mod displays;
mod domains;
mod events;
mod firmware;
mod guest;
mod host;
mod image;
mod interview;
mod jobs;
mod lifecycle;

pub mod monitor;
mod native;
mod open;
mod prepare;
mod raw;
mod recover;
mod rules;
mod said;
mod security;
mod snapshots;
mod stats;
mod status;
mod vcpus;
mod vdisk;

use std::sync::Arc;

use virt_driver::{Driver, EventSource, MonitorSource};

pub use crate::core::Settings;
pub use dirs::Dirs;
pub use open::{QemuOpener, opener};

/// The driver. Cloning gives the same one.
#[derive(Clone, Debug)]
pub struct QemuDriver(Arc<core::Core>);

/// The short questions that need no definition, which may still have to be read from a disk; in the
/// order of their names.
const AT_ONCE: &[&str] = &[
    "virDomainGetAutostart",
    "virDomainGetState",
    "virDomainIsActive",
    "virDomainIsPersistent",
    "virDomainIsUpdated",
    "virDomainLookupByID",
    "virDomainLookupByName",
    "virDomainLookupByUUID",
];

impl Driver for QemuDriver {
    fn name(&self) -> &str {
        "QEMU"
    }

    fn events(&self) -> Option<&dyn EventSource> {
        Some(&self.0.guests.events)
    }

    fn monitors(&self) -> Option<&dyn MonitorSource> {
        Some(&self.0.monitors)
    }

    fn answers_at_once(&self, function: &str) -> bool {
        AT_ONCE.binary_search(&function).is_ok()
    }

    fn supports_feature(&self, feature: i32) -> bool {
        use virt_types::feature::*;
        matches!(feature, XML_MIGRATABLE | TYPED_PARAM_STRING | FD_PASSING)
    }

    virt_driver::owns! {
        host: Host,
        snapshots: Snapshots,
        checkpoints: Checkpoints,
        qemu: Qemu,
        domains: Domains,
        domain_tuning: DomainTuning,
        domain_stats: DomainStats,
        domain_devices: DomainDevices,
        domain_jobs: DomainJobs,
        domain_guest: DomainGuest,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn short_questions_can_be_searched() {
        assert!(super::AT_ONCE.is_sorted());
    }
}
