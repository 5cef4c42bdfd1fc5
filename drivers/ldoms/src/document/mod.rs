//! Domain documents and the manager's constraints, both ways.
//!
//! What libvirt's elements have a place for stands there; everything else of the manager's stands in an
//! element of our own namespace, item by item, so that a document that was dumped defines what was
//! there:
//!
//! ```xml
//! <ldoms:constraints xmlns:ldoms='urn:ferrovirt:domain:ldoms:1.0'>
//!   <ldoms:crypto units='1'/>
//!   <ldoms:variable name='auto-boot?' value='false'/>
//!   <ldoms:item resource='disk' name='vd0'>
//!     <ldoms:property key='service_name' value='primary-vds0'/>
//!     <ldoms:property key='vol_name' value='web1-root'/>
//!   </ldoms:item>
//! </ldoms:constraints>
//! ```

mod boot;
mod extras;
mod native;
mod network;
mod read;
mod write;

pub(crate) use native::{from_native, to_native};
pub(crate) use network::vnet;
pub(crate) use read::{Plan, Plugged, Servers, plan, plugged_items, read_device, same_mac};
pub(crate) use write::{View, domain};

/// The namespace of what libvirt has no element for.
pub(crate) const NAMESPACE: &str = "urn:ferrovirt:domain:ldoms:1.0";
pub(crate) const PREFIX: &str = "ldoms";

pub(crate) const ARCH: &str = "sparc64";
pub(crate) const MACHINE: &str = "sun4v";
