//! The seam every hypervisor stands behind: traits, connection, jobs, events; no wire, no hypervisor.
//!
//! A driver answers one question per family of calls: "is it yours?" A [`Connection`] is an ordered
//! stack of drivers, and the first that answers owns the family. Callers use the façade methods of
//! the connection (`connection.domain_suspend(&dom)`), one per public call: they check what the
//! caller may do and name refusals after the call. Everything here is synchronous, so a driver runs
//! in the daemon, in a shell and in a C program alike.

mod access;
mod bulk;
mod call;
mod connection;
mod driver;
mod event;
mod generated;
mod job;
mod lazy;
mod list;
pub mod metadata;
mod monitor;
mod open;
mod stream;
mod table;

pub use access::{Access, AccessPolicy, Api, Asked, Caller, Listed, Names, Object, When};
pub use bulk::stats_asked;
pub use call::{Call, CallContext, Cancel};
pub use connection::{Connection, check_flags_of};
pub use driver::Driver;
pub use event::{
    Bus, EventBus, EventFilter, EventObject, EventSink, EventSource, SubscriptionId, Wanted,
};
pub use generated::api;
pub use generated::families::*;
pub use job::{AsyncJob, Cell, Job, Turn};
pub use lazy::{Lazy, is_own_uri, local_path};
pub use list::{
    DomainFacts, DomainGlance, check_flags, device_cap_filter, domain_matches, no_job, pick,
};
pub use monitor::{MonitorEvent, MonitorFilter, MonitorSink, MonitorSource};
pub use open::{Ask, OpenRequest, Opener, Question, Registry};
pub use stream::{Received, Stream};
pub use table::{Entry, Table};

use virt_error::{Error, Result};

/// The answer of a driver that does not serve a call.
pub fn unsupported<T>() -> Result<T> {
    Err(Error::unsupported())
}
