//! What a host, a hypervisor and the storage driver can do: the documents that clients read before they ask.

mod domain;
mod host;
mod pool;

pub use domain::{CpuMode, CpuModelUse, DomainCapabilities, Support};
pub use host::{Capabilities, Guest, GuestArch, GuestDomain, GuestFeature, Host, HostCpu, Machine};
pub use pool::{Options, PoolCapabilities, PoolSupport};

element! {
    /// Values that a word of another document may have.
    pub struct Choice {
        name: String = attr_req("name"),
        values: Vec<String> = texts("value"),
    }
}
