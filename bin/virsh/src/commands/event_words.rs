//! The words for events.

use std::fmt::Write as _;

use virt_types::{Event, EventClass, TypedParam};

use super::info::word;

/// A kind of event: its number in its class and its name.
pub(crate) struct Kind {
    pub(crate) id: i32,
    pub(crate) name: &'static str,
}

/// All kinds of one class.
#[derive(Clone, Copy)]
pub(crate) struct Kinds {
    pub(crate) class: EventClass,
    pub(crate) kinds: &'static [Kind],
}

const fn kind(id: i32, name: &'static str) -> Kind {
    Kind { id, name }
}

pub(crate) const DOMAIN_EVENTS: Kinds = Kinds {
    class: EventClass::Domain,
    kinds: &[
        kind(0, "lifecycle"),
        kind(1, "reboot"),
        kind(2, "rtc-change"),
        kind(3, "watchdog"),
        kind(4, "io-error"),
        kind(5, "graphics"),
        kind(6, "io-error-reason"),
        kind(7, "control-error"),
        kind(8, "block-job"),
        kind(9, "disk-change"),
        kind(10, "tray-change"),
        kind(11, "pm-wakeup"),
        kind(12, "pm-suspend"),
        kind(13, "balloon-change"),
        kind(14, "pm-suspend-disk"),
        kind(15, "device-removed"),
        kind(16, "block-job-2"),
        kind(17, "tunable"),
        kind(18, "agent-lifecycle"),
        kind(19, "device-added"),
        kind(20, "migration-iteration"),
        kind(21, "job-completed"),
        kind(22, "device-removal-failed"),
        kind(23, "metadata-change"),
        kind(24, "block-threshold"),
        kind(25, "memory-failure"),
        kind(26, "memory-device-size-change"),
        kind(27, "nic-mac-change"),
    ],
};

pub(crate) const NETWORK_EVENTS: Kinds = Kinds {
    class: EventClass::Network,
    kinds: &[kind(0, "lifecycle"), kind(1, "metadata-change")],
};

pub(crate) const POOL_EVENTS: Kinds =
    Kinds { class: EventClass::StoragePool, kinds: &[kind(0, "lifecycle"), kind(1, "refresh")] };

pub(crate) const DEVICE_EVENTS: Kinds =
    Kinds { class: EventClass::NodeDevice, kinds: &[kind(0, "lifecycle"), kind(1, "update")] };

pub(crate) const SECRET_EVENTS: Kinds =
    Kinds { class: EventClass::Secret, kinds: &[kind(0, "lifecycle"), kind(1, "value-changed")] };

/// What happened to a domain, and the details of each.
const LIFECYCLE: &[(&str, &[&str])] = &[
    ("Defined", &["Added", "Updated", "Renamed", "Snapshot"]),
    ("Undefined", &["Removed", "Renamed"]),
    ("Started", &["Booted", "Migrated", "Restored", "Snapshot", "Event wakeup", "Recreated"]),
    (
        "Suspended",
        &[
            "Paused",
            "Migrated",
            "I/O Error",
            "Watchdog",
            "Restored",
            "Snapshot",
            "API error",
            "Post-copy",
            "Post-copy Error",
            "Guest shutdown",
        ],
    ),
    ("Resumed", &["Unpaused", "Migrated", "Snapshot", "Post-copy", "Post-copy Error"]),
    (
        "Stopped",
        &[
            "Shutdown",
            "Destroyed",
            "Crashed",
            "Migrated",
            "Saved",
            "Failed",
            "Snapshot",
            "Recreated",
        ],
    ),
    ("Shutdown", &["Finished", "Finished after guest request", "Finished after host request"]),
    ("PMSuspended", &["Memory", "Disk"]),
    ("Crashed", &["Panicked", "Crashloaded"]),
];

fn lifecycle(event: i32, detail: i32) -> (&'static str, &'static str) {
    match usize::try_from(event).ok().and_then(|at| LIFECYCLE.get(at)) {
        Some((event, details)) => (event, word(details, detail, "unknown")),
        None => ("unknown", "unknown"),
    }
}

/// An event as one text, without its line's end. What is particular to it follows the name of its
/// kind and of its object.
pub(crate) fn describe(event: &Event) -> String {
    let (class, id) = event.kind();
    let kinds = match class {
        EventClass::Domain => DOMAIN_EVENTS,
        EventClass::Network => NETWORK_EVENTS,
        EventClass::StoragePool => POOL_EVENTS,
        EventClass::NodeDevice => DEVICE_EVENTS,
        EventClass::Secret => SECRET_EVENTS,
    };
    let name = kinds.kinds.iter().find(|kind| kind.id == id).map_or("unknown", |kind| kind.name);
    let object = if let Some(domain) = event.domain() {
        format!("domain '{}'", domain.name)
    } else if let Some(network) = event.network() {
        format!("network {}", network.name)
    } else if let Some(pool) = event.storage_pool() {
        format!("storage pool {}", pool.name)
    } else if let Some(device) = event.node_device() {
        format!("node device {}", device.name)
    } else if let Some(secret) = event.secret() {
        format!("secret {}", secret.uuid)
    } else {
        "an unknown object".to_owned()
    };
    format!("event '{name}' for {object}{}", details(event))
}

/// What stands after the object's name.
fn details(event: &Event) -> String {
    match event {
        Event::DomainLifecycle { event, detail, .. } => {
            let (event, detail) = lifecycle(*event, *detail);
            format!(": {event} {detail}")
        }
        Event::DomainRtcChange { offset, .. } => format!(": {offset}"),
        Event::DomainWatchdog { action, .. } => format!(": {}", word(WATCHDOG, *action, "unknown")),
        Event::DomainIoError { src_path, dev_alias, action, .. } => {
            format!(": {src_path} ({dev_alias}) {}", word(IO_ERROR, *action, "unknown"))
        }
        Event::DomainIoErrorReason { src_path, dev_alias, action, reason, .. } => {
            let action = word(IO_ERROR, *action, "unknown");
            format!(": {src_path} ({dev_alias}) {action} due to {reason}")
        }
        Event::DomainGraphics { .. } => graphics(event),
        Event::DomainBlockJob { path, kind, status, .. } => block_job(path, *kind, *status),
        Event::DomainBlockJob2 { dst, kind, status, .. } => block_job(dst, *kind, *status),
        Event::DomainDiskChange { old_src_path, new_src_path, dev_alias, reason, .. } => {
            let shown = |path: &Option<String>| path.clone().unwrap_or_else(|| "<null>".into());
            let (old, new) = (shown(old_src_path), shown(new_src_path));
            format!(" disk {dev_alias}: {old} -> {new}: {}", word(DISK_CHANGE, *reason, "unknown"))
        }
        Event::DomainTrayChange { dev_alias, reason, .. } => {
            format!(" disk {dev_alias}: {}", word(TRAY, *reason, "unknown"))
        }
        Event::DomainBalloonChange { actual, .. } => format!(": {actual}KiB"),
        Event::DomainDeviceRemoved { dev_alias, .. }
        | Event::DomainDeviceAdded { dev_alias, .. }
        | Event::DomainDeviceRemovalFailed { dev_alias, .. } => format!(": {dev_alias}"),
        Event::DomainTunable { params, .. } | Event::DomainJobCompleted { params, .. } => {
            listed(params)
        }
        Event::DomainAgentLifecycle { state, reason, .. } => {
            let state = word(AGENT_STATE, *state, "unknown");
            let reason = word(AGENT_REASON, *reason, "unknown");
            format!(": state: '{state}' reason: '{reason}'")
        }
        Event::DomainMigrationIteration { iteration, .. } => format!(": iteration: '{iteration}'"),
        Event::DomainMetadataChange { kind, nsuri, .. }
        | Event::NetworkMetadataChange { kind, nsuri, .. } => {
            let kind = word(METADATA, *kind, "unknown");
            format!(": type {kind}, uri {}", nsuri.as_deref().unwrap_or("<null>"))
        }
        Event::NetworkLifecycle { event, .. } => {
            format!(
                ": {}",
                word(&["Defined", "Undefined", "Started", "Stopped"], *event, "unknown")
            )
        }
        Event::StoragePoolLifecycle { event, .. } => format!(": {}", word(POOL, *event, "unknown")),
        Event::NodeDeviceLifecycle { event, .. } => {
            format!(
                ": {}",
                word(&["Created", "Deleted", "Defined", "Undefined"], *event, "unknown")
            )
        }
        Event::SecretLifecycle { event, .. } => {
            format!(": {}", word(&["Defined", "Undefined"], *event, "unknown"))
        }
        other => rare_details(other),
    }
}

/// What stands after the name for events that few hosts ever see; nothing where there is nothing.
fn rare_details(event: &Event) -> String {
    match event {
        Event::DomainBlockThreshold { dev, path, threshold, excess, .. } => {
            let path = path.as_deref().unwrap_or_default();
            format!(": dev: {dev}({path}) {threshold} {excess}")
        }
        Event::DomainMemoryFailure { recipient, action, flags, .. } => format!(
            ":\nrecipient: {}\naction: {}\naction required: {}\nrecursive: {}",
            word(FAILURE_RECIPIENT, *recipient, "unknown"),
            word(FAILURE_ACTION, *action, "unknown"),
            u32::from(flags & 1 != 0),
            u32::from(flags & 2 != 0)
        ),
        Event::DomainMemoryDeviceSizeChange { alias, size, .. } => {
            format!(":\nalias: {alias}\nsize: {size}")
        }
        Event::DomainNicMacChange { alias, old_mac, new_mac, .. } => {
            format!(": alias: {alias}, old MAC: {old_mac}, new MAC: {new_mac}")
        }
        _ => String::new(),
    }
}

const POOL: &[&str] = &["Defined", "Undefined", "Started", "Stopped", "Created", "Deleted"];
const WATCHDOG: &[&str] =
    &["none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi"];
const IO_ERROR: &[&str] = &["none", "pause", "report"];
const BLOCK_JOBS: &[&str] =
    &["Unknown job", "Block Pull", "Block Copy", "Block Commit", "Active Block Commit", "Backup"];
const BLOCK_STATUS: &[&str] = &["completed", "failed", "canceled", "ready"];
const DISK_CHANGE: &[&str] = &["changed", "dropped"];
const TRAY: &[&str] = &["opened", "closed"];
const AGENT_STATE: &[&str] = &["unknown", "connected", "disconnected"];
const AGENT_REASON: &[&str] = &["unknown", "domain started", "channel event"];
const METADATA: &[&str] = &["description", "title", "element"];
const FAILURE_RECIPIENT: &[&str] = &["hypervisor", "guest"];
const FAILURE_ACTION: &[&str] = &["ignore", "inject", "fatal", "reset"];
const GRAPHICS_PHASE: &[&str] = &["connect", "initialize", "disconnect"];
const GRAPHICS_FAMILY: &[&str] = &["IPv4", "IPv6", "unix"];

fn block_job(path: &str, kind: i32, status: i32) -> String {
    let kind = word(BLOCK_JOBS, kind, "unknown");
    format!(": {kind} for {path} {}", word(BLOCK_STATUS, status, "unknown"))
}

fn graphics(event: &Event) -> String {
    let Event::DomainGraphics { phase, local, remote, auth_scheme, subject, .. } = event else {
        return String::new();
    };
    let address = |address: &virt_types::DomainEventGraphicsAddress| {
        let family = word(GRAPHICS_FAMILY, address.family, "unknown");
        format!("[{family} {} {}]", address.node, address.service)
    };
    let phase = word(GRAPHICS_PHASE, *phase, "unknown");
    let mut out =
        format!(": {phase} local{} remote{} {auth_scheme}", address(local), address(remote));
    for identity in subject {
        // Writing to a String cannot fail, here and below.
        let _ = write!(out, "\n\t{}={}", identity.kind, identity.name);
    }
    out
}

fn listed(params: &[TypedParam]) -> String {
    let mut out = ":".to_owned();
    for TypedParam { field, value } in params {
        let _ = write!(out, "\n\t{field}: {value}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{DOMAIN_EVENTS, describe};
    use virt_types::{DomainRef, Event, StoragePoolRef, Uuid};

    fn test() -> DomainRef {
        DomainRef { name: "test".into(), uuid: Uuid([1; 16]), id: 1 }
    }

    #[test]
    fn the_words_of_some_events() {
        let pool = StoragePoolRef { name: "p1".into(), uuid: Uuid([2; 16]) };
        for (event, want) in [
            (
                Event::DomainLifecycle { dom: test(), event: 3, detail: 0 },
                "event 'lifecycle' for domain 'test': Suspended Paused",
            ),
            (Event::DomainReboot { dom: test() }, "event 'reboot' for domain 'test'"),
            (
                Event::DomainMetadataChange { dom: test(), kind: 0, nsuri: None },
                "event 'metadata-change' for domain 'test': type description, uri <null>",
            ),
            (
                Event::StoragePoolLifecycle { pool, event: 5, detail: 0 },
                "event 'lifecycle' for storage pool p1: Deleted",
            ),
        ] {
            assert_eq!(describe(&event), want);
        }
        assert!(DOMAIN_EVENTS.kinds.iter().enumerate().all(|(at, kind)| kind.id as usize == at));
    }
}
