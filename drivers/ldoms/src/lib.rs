//! The LDoms driver: Logical Domains through the XML interface of their manager.
//!
//! A `Manager` is shared by all connections to it; what is known of its domains is in `world.rs`, and
//! holds until one of the manager's events says otherwise (`watch.rs`). `message/` is what is said,
//! `link/` how it gets there, `document/` what it means as a domain document, `lifecycle.rs` what
//! libvirt's calls are in the manager's steps.

mod console;
mod document;
mod domains;
mod facts;
mod host;
mod lifecycle;
mod link;
mod manager;
pub mod message;
mod migrate;
mod open;
mod queries;
mod stats;
#[cfg(test)]
mod suite;
mod volumes;
mod watch;
mod world;

use std::sync::Arc;

use virt_driver::{Driver, EventSource};

pub use link::PARAMETERS;
pub use open::opener;

/// The driver of one connection.
#[derive(Clone, Debug)]
pub(crate) struct LdomsDriver(pub(crate) Arc<manager::Manager>);

impl LdomsDriver {
    pub(crate) fn manager(&self) -> &manager::Manager {
        &self.0
    }
}

impl Driver for LdomsDriver {
    fn name(&self) -> &str {
        "LDoms"
    }

    fn events(&self) -> Option<&dyn EventSource> {
        Some(&*self.0)
    }

    fn supports_feature(&self, feature: i32) -> bool {
        use virt_types::feature::*;
        matches!(feature, MIGRATION_DIRECT | MIGRATION_V1 | TYPED_PARAM_STRING)
    }

    fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    virt_driver::owns! {
        host: Host,
        domains: Domains,
        domain_tuning: DomainTuning,
        domain_stats: DomainStats,
        domain_devices: DomainDevices,
        domain_guest: DomainGuest,
        domain_jobs: DomainJobs,
        migration: Migration,
    }
}
