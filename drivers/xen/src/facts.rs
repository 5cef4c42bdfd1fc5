//! What `xm info` tells of a host, in the guide's order, and xend's log: read from this host's own services.
//!
//! This opens no driver, so a shell may ask beside the daemon.

use std::path::Path;

use virt_error::{Code, Error, Result};

use crate::config::Config;
use crate::hypercalls::{Calls, HyperView};
use crate::store_channel::StoreChannel;
use crate::xend::{Xend, public};
use crate::{ORIGIN, channels::Hypervisor as _, open};

/// The fields, in the order of the xVM guide.
pub const FIELDS: [&str; 26] = [
    "host",
    "release",
    "version",
    "machine",
    "nr_cpus",
    "nr_nodes",
    "sockets_per_node",
    "cores_per_socket",
    "threads_per_core",
    "cpu_mhz",
    "hw_caps",
    "total_memory",
    "free_memory",
    "xen_major",
    "xen_minor",
    "xen_extra",
    "xen_caps",
    "xen_scheduler",
    "xen_pagesize",
    "platform_params",
    "xen_changeset",
    "cc_compiler",
    "cc_compile_by",
    "cc_compile_domain",
    "cc_compile_date",
    "xend_config_format",
];

/// Compat: the format of the last xend, whose fields today's tools still print.
const CONFIG_FORMAT: &str = "4";
/// Limit: of a log that is shown.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Where the tool stack of today writes, a file for each guest.
const LOGS: &str = "/var/log/xen";

/// The fields of this host; what a release does not say is empty. `config` is the driver's file.
pub fn host(config: &Path) -> Result<Vec<(&'static str, String)>> {
    let config = Config::read(config)?;
    let error = match Xend::new(open::xend_place(&config)).node_tree() {
        Ok(tree) => {
            let said = |name: &str| tree.value(name).map(str::to_owned);
            let field = |name: &'static str| (name, said(name).unwrap_or_default());
            let mut all: Vec<_> = FIELDS.into_iter().map(field).collect();
            fill_sockets(&mut all);
            return Ok(all);
        }
        Err(error) => public(&error),
    };
    let Some(calls) = open::hypercalls(&config) else { return Err(error) };
    of_hypervisor(calls, &config)
}

/// Compat: from 4.0 on xend does not say how many sockets there are.
fn fill_sockets(all: &mut [(&'static str, String)]) {
    let number = |wanted: &str| {
        let found = all.iter().find(|(name, _)| *name == wanted);
        found.and_then(|(_, text)| text.parse::<u32>().ok()).unwrap_or(1).max(1)
    };
    let each = number("nr_nodes")
        .saturating_mul(number("cores_per_socket"))
        .saturating_mul(number("threads_per_core"));
    let sockets = (number("nr_cpus") / each.max(1)).max(1);
    for (_, text) in
        all.iter_mut().filter(|(name, text)| *name == "sockets_per_node" && text.is_empty())
    {
        *text = sockets.to_string();
    }
}

fn of_hypervisor(calls: Calls, config: &Config) -> Result<Vec<(&'static str, String)>> {
    let wrong = |error: std::io::Error| {
        Error::new(Code::XenCall, ORIGIN, format!("what the hypervisor is: {error}"))
    };
    let build = calls.build().map_err(wrong)?;
    let store = std::sync::Arc::new(StoreChannel::new(config.xenstored_socket.clone()));
    let physical = HyperView::new(calls, store).physical()?;
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let (major, minor, _) = physical.version;
    let mib = |kib: u64| (kib / 1024).to_string();
    let values = [
        virt_host::hostname(),
        text(system.release()),
        text(system.version()),
        text(system.machine()),
        physical.cpus.to_string(),
        physical.nodes.to_string(),
        String::new(),
        physical.cores.to_string(),
        physical.threads.to_string(),
        physical.mhz.to_string(),
        build.hw_caps,
        mib(physical.total_kib),
        mib(physical.free_kib),
        major.to_string(),
        minor.to_string(),
        build.extra,
        physical.caps,
        physical.scheduler,
        build.page_bytes.to_string(),
        format!("virt_start={:#x}", build.virt_start),
        build.changeset,
        build.compiler,
        build.compiled_by,
        build.compile_domain,
        build.compile_date,
        CONFIG_FORMAT.to_owned(),
    ];
    let mut all: Vec<_> = FIELDS.into_iter().zip(values).collect();
    fill_sockets(&mut all);
    Ok(all)
}

/// xend's log; where there is no xend, what the tool stack of today has written of guests.
pub fn log(config: &Path) -> Result<String> {
    let config = Config::read(config)?;
    if let Ok(text) = Xend::new(open::xend_place(&config)).log() {
        return Ok(text);
    }
    let entries = std::fs::read_dir(LOGS).map_err(|error| Error::io(ORIGIN, &error, LOGS))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    let mut all = String::new();
    for path in paths {
        // One that cannot be read, or is too long, says nothing of the others.
        if let Ok(text) = virt_store::read_text(&path, LOG_BYTES_MAX) {
            all.push_str(&format!("{}:\n{text}", path.display()));
        }
    }
    Ok(all)
}
