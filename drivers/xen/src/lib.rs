//! The Xen driver: every release from xend's first to today's.
//!
//! `channels.rs` is its own seam: a hypervisor that is asked, a tool stack that does things, and a
//! place where definitions are. `xend/` answers all three on hosts of its time, hypercalls and `xl` on
//! today's; `core.rs` holds whichever were found. Everything that needs no running Xen hangs on
//! [`formats::Host`]: native formats, rules of documents.

pub mod capabilities;
mod channels;
mod config;
mod console;
mod core;
mod definitions;
mod devices;
mod domains;
pub mod facts;
mod folder;
pub mod formats;
mod glances;
mod hypercalls;
mod jobs;
pub mod libxl;
mod lifecycle;
mod metadata;
mod migrate;
mod node;
mod notes;
mod open;
pub mod rules;
mod seen;
pub mod sexpr;
mod stats;
mod store_channel;
#[cfg(test)]
mod suite;
mod sys;
mod today;
mod watch;
pub mod xend;
pub mod xenstore;
mod xl;

use std::sync::Arc;

use virt_driver::{Driver, EventSource};
use virt_error::{Code, Error, Origin};

pub use crate::core::{Dirs, Settings};
pub use definitions::Entry;
pub use formats::{Era, Format, Host, Kind, Toolstack};
pub use open::{XenOpener, opener};

/// Who reports this driver's errors.
pub(crate) const ORIGIN: Origin = Origin::Xen;

/// The driver. Cloning gives the same one.
#[derive(Clone, Debug)]
pub struct XenDriver(Arc<core::Core>);

impl XenDriver {
    pub(crate) fn core(&self) -> &core::Core {
        &self.0
    }
}

impl Driver for XenDriver {
    /// Compat: what libvirt's drivers for Xen have always called themselves.
    fn name(&self) -> &str {
        "Xen"
    }

    fn events(&self) -> Option<&dyn EventSource> {
        Some(&*self.0)
    }

    fn supports_feature(&self, feature: i32) -> bool {
        use virt_types::feature::*;
        matches!(
            feature,
            MIGRATION_V1 | MIGRATION_V3 | MIGRATION_PARAMS | MIGRATION_DIRECT | TYPED_PARAM_STRING
        )
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

pub(crate) fn invalid_operation(detail: impl Into<String>) -> Error {
    Error::new(Code::OperationInvalid, ORIGIN, detail)
}

pub(crate) fn invalid_arg(detail: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, ORIGIN, detail)
}

pub(crate) fn operation_failed(detail: impl Into<String>) -> Error {
    Error::new(Code::OperationFailed, ORIGIN, detail)
}

pub(crate) fn unsupported(detail: impl Into<String>) -> Error {
    Error::new(Code::OperationUnsupported, ORIGIN, detail)
}

pub(crate) fn store_error(error: &virt_store::StoreError) -> Error {
    virt_guests::store_error(error, ORIGIN)
}
