//! The driver of the native Linux KVM tool: guests as `lkvm` processes.
//!
//! The tool keeps a socket for each guest and nothing else, so this driver keeps the rest: the
//! definitions, the terminal of the console, what the balloon was told, the taps and control groups
//! it made. Guests outlive the daemon. Start at `lifecycle.rs` (start and end of a guest) and `ipc.rs`
//! (how it is spoken to, and what must never be done to that socket).

mod argv;
mod capabilities;
mod config;
mod console;
mod control;
mod core;
mod devices;
mod dirs;
mod domains;
mod files;
mod host;
mod ipc;
mod kernel;
mod launch;
mod lifecycle;
mod limits;
mod net;
mod open;
mod recover;
mod rules;
mod stats;
mod status;
mod terminal;
mod tool;
mod vcpus;
mod vnc;
mod watch;

use std::sync::Arc;

use virt_driver::{Driver, EventSource};
use virt_error::{Code, Error, Origin};

pub use crate::core::Settings;
pub use dirs::Dirs;
pub use open::{KvmtoolOpener, opener};

/// Who reports this driver's errors. Compat: libvirt has no number for it.
pub(crate) const ORIGIN: Origin = Origin::Domain;

/// The driver. Cloning gives the same one.
#[derive(Clone, Debug)]
pub struct KvmtoolDriver(Arc<core::Core>);

impl Driver for KvmtoolDriver {
    fn name(&self) -> &str {
        "kvmtool"
    }

    fn events(&self) -> Option<&dyn EventSource> {
        Some(&self.0.guests.events)
    }

    fn supports_feature(&self, feature: i32) -> bool {
        feature == virt_types::feature::TYPED_PARAM_STRING
    }

    virt_driver::owns! {
        host: Host,
        domains: Domains,
        domain_tuning: DomainTuning,
        domain_stats: DomainStats,
        domain_devices: DomainDevices,
        domain_jobs: DomainJobs,
        domain_guest: DomainGuest,
    }
}

/// A configuration that the tool cannot run.
pub(crate) fn unsupported<T>(detail: impl Into<String>) -> virt_error::Result<T> {
    Err(Error::new(Code::ConfigUnsupported, ORIGIN, detail))
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

pub(crate) fn store_error(error: &virt_store::StoreError) -> Error {
    virt_guests::store_error(error, ORIGIN)
}

pub(crate) fn host_error(error: &virt_host::HostError) -> Error {
    virt_guests::host_error(error, ORIGIN)
}
