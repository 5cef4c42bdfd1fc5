//! Which drivers this shell opens itself, and which it leaves to a daemon.

use std::sync::Arc;

use virt_driver::{Connection, Registry};
use virt_error::Result;
use virt_transport::ClientConf;

use crate::credentials;

/// Opens a connection; without a URI, the one the person's configuration or this host would take.
///
/// The test driver's world lives in this process unless a transport is named, and an LDoms Manager
/// is spoken to directly; every other hypervisor is a daemon's.
pub(crate) fn open(
    uri: Option<&str>,
    read_only: bool,
    keepalive: (Option<i32>, Option<i32>),
) -> Result<Connection> {
    let conf = ClientConf::load(&ClientConf::usual_path("libvirt.conf"))?;
    let uri = match uri {
        Some(uri) => Some(conf.resolve(uri)),
        None => conf.uri_default.as_deref(),
    };
    let number = |value: Option<i32>, otherwise: u32| {
        value.and_then(|value| u32::try_from(value).ok()).unwrap_or(otherwise)
    };
    let settings = driver_remote::Settings {
        keepalive_interval_s: number(keepalive.0, KEEPALIVE_INTERVAL_S),
        keepalive_count: number(keepalive.1, KEEPALIVE_COUNT),
        ask: Some(Arc::new(credentials::ask)),
    };
    Registry::new()
        .with(driver_test::opener())
        .with(driver_ldoms::opener(Some(Arc::new(credentials::ask))))
        .with(driver_remote::opener(settings))
        .open(uri, read_only)
}

/// Compat: what a daemon's clients see of this shell unless other numbers are asked for.
const KEEPALIVE_INTERVAL_S: u32 = 5;
const KEEPALIVE_COUNT: u32 = 6;
