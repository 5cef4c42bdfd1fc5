//! The values of the public API: objects, records, events, typed parameters; no I/O, no wire.
//!
//! Drivers, the wire and the shells all speak in these values, so nothing has to be copied from one
//! shape into another on the way through. The records are generated from `protocol/`; what is
//! written by hand here are the values with rules of their own.

mod generated;
mod glob;
mod params;
mod uuid;

pub use generated::*;

/// The constants of the public API.
pub use generated::constants as api;
pub use glob::glob;
pub use params::{TypedParam, TypedValue};
/// The name of an object. Names are short: most are copied whole, without counting owners.
pub use smol_str::SmolStr as Name;
pub use uuid::Uuid;

/// The release of libvirt whose interface this is: 1,000,000 × major + 1,000 × minor + release.
pub const LIB_VERSION: u64 = 11_003_000;

/// What a node device can be: first, in the order of their bits, those that
/// `virConnectListAllNodeDevices` can filter by.
pub const NODE_DEVICE_KINDS: &[&str] = &[
    "system",
    "pci",
    "usb_device",
    "usb",
    "net",
    "scsi_host",
    "scsi_target",
    "scsi",
    "storage",
    "fc_host",
    "vports",
    "scsi_generic",
    "drm",
    "mdev_types",
    "mdev",
    "ccw",
    "css",
    "vdpa",
    "ap_card",
    "ap_queue",
    "ap_matrix",
    "vpd",
    "ccwgroup",
    "ccwgroup_member",
    "mdev_parent",
    "fc_remote_port",
];

/// The features a connection can be asked for (`VIR_DRV_FEATURE_…`), by number.
pub mod feature {
    /// Migration in two, three phases with and without parameters.
    pub const MIGRATION_V1: i32 = 1;
    pub const REMOTE: i32 = 2;
    pub const MIGRATION_V2: i32 = 3;
    pub const MIGRATION_P2P: i32 = 4;
    pub const MIGRATION_DIRECT: i32 = 5;
    pub const MIGRATION_V3: i32 = 6;
    pub const MIGRATE_CHANGE_PROTECTION: i32 = 7;
    /// The daemon passes file descriptors.
    pub const FD_PASSING: i32 = 8;
    /// Typed parameters may be strings.
    pub const TYPED_PARAM_STRING: i32 = 9;
    /// The daemon answers keepalive.
    pub const PROGRAM_KEEPALIVE: i32 = 10;
    pub const XML_MIGRATABLE: i32 = 11;
    pub const MIGRATION_OFFLINE: i32 = 12;
    pub const MIGRATION_PARAMS: i32 = 13;
    /// Events carry callback ids.
    pub const REMOTE_EVENT_CALLBACK: i32 = 14;
    pub const REMOTE_CLOSE_CALLBACK: i32 = 15;
    /// `virNetworkUpdate` has its arguments in the documented order.
    pub const NETWORK_UPDATE_HAS_CORRECT_ORDER: i32 = 16;
}
