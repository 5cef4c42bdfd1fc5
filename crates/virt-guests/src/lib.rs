//! What drivers share whose guests are processes of this host; no hypervisor.
//!
//! [`Guests`] holds the domains of a driver: which there are, their stored definitions, and whose
//! job may change one. What a running guest is, is the driver's own ([`Live`]). Beside it: the words
//! of status files, consoles on terminals, and the figures and the description of the host itself.

mod accounts;
mod console;
mod define;
mod guest;
mod guests;
pub mod node;
pub mod node_caps;
pub mod owner;
pub mod smbios;
pub mod words;

pub use accounts::Accounts;
pub use console::{Consoles, terminal};
pub use guest::{Data, Definition, Guest, Live, not_running};
pub use guests::{Guests, Impact, JOB_WAIT_MAX, Rules};

use virt_error::{Error, Origin};
use virt_types::api;

/// Now, as libvirt writes it in the logs of guests.
pub fn log_time() -> String {
    virt_log::timestamp(std::time::SystemTime::now())
}

/// Why a guest is shut off (a reason of `VIR_DOMAIN_SHUTOFF`) and how its process ended, as libvirt
/// writes it in the logs of guests.
pub fn log_reason(reason: i32, how: virt_host::Ended) -> String {
    use virt_host::Ended;
    let word = match reason {
        api::DOMAIN_SHUTOFF_DESTROYED => "destroyed",
        api::DOMAIN_SHUTOFF_SHUTDOWN => "shutdown",
        api::DOMAIN_SHUTOFF_CRASHED => "crashed",
        _ => "failed",
    };
    let how = match how {
        Ended::Exited(0) | Ended::Unknown => String::new(),
        Ended::Exited(code) => format!(", exit status {code}"),
        Ended::Killed(signal) => format!(", killed by signal {signal}"),
    };
    format!("reason={word}{how}")
}

/// A store error as the public one.
pub fn store_error(error: &virt_store::StoreError, origin: Origin) -> Error {
    match error.io() {
        Some(io) => Error::io(origin, io, error),
        None => Error::internal(origin, error.to_string()),
    }
}

/// A host error as the public one.
pub fn host_error(error: &virt_host::HostError, origin: Origin) -> Error {
    match error.source_io() {
        Some(io) => Error::io(origin, io, error),
        None => Error::internal(origin, error.to_string()),
    }
}

/// Limit: bytes of one map, which clients ask for in any length: libvirt's own highest processor.
const CPU_MAP_BYTES_MAX: usize = 2048;

/// A set of CPUs as bytes, eight to each, the lowest first.
pub fn cpu_map(cpus: &[usize], length: i32) -> Vec<u8> {
    let mut bytes = vec![0_u8; usize::try_from(length).unwrap_or(0).min(CPU_MAP_BYTES_MAX)];
    for cpu in cpus {
        if let Some(byte) = bytes.get_mut(cpu / 8) {
            *byte |= 1 << (cpu % 8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::cpu_map;

    #[test]
    fn cpu_maps_have_the_length_that_is_asked_for() {
        assert_eq!(cpu_map(&[0, 1, 9, 99], 2), [0b11, 0b10]);
        assert_eq!(cpu_map(&[0], 0), [0_u8; 0]);
        assert_eq!(cpu_map(&[3], -1), [0_u8; 0]);
        // A client may ask for any length; the last processor that there can be has its bit.
        assert_eq!(cpu_map(&[16_383], i32::MAX).len(), 2048);
        assert_eq!(cpu_map(&[16_383], i32::MAX).last(), Some(&0x80));
    }
}
