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

pub(super) fn lifecycle(event: i32, detail: i32) -> (&'static str, &'static str) {
    match usize::try_from(event).ok().and_then(|at| LIFECYCLE.get(at)) {
        Some((event, details)) => (event, word(details, detail, "unknown")),
        None => ("unknown", "unknown"),
    }
}

/// The name of an event's kind.
pub(super) fn kind_name(event: &Event) -> &'static str {
    let (class, id) = event.kind();
    let kinds = match class {
        EventClass::Domain => DOMAIN_EVENTS,
        EventClass::Network => NETWORK_EVENTS,
        EventClass::StoragePool => POOL_EVENTS,
        EventClass::NodeDevice => DEVICE_EVENTS,
        EventClass::Secret => SECRET_EVENTS,
    };
    kinds.kinds.iter().find(|kind| kind.id == id).map_or("unknown", |kind| kind.name)
}

/// An event as one text, without its line's end. What is particular to it follows the name of its
/// kind and of its object.
pub(crate) fn describe(event: &Event) -> String {
    let name = kind_name(event);
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

/// What stands after the object's name; nothing where there is nothing to tell.
fn details(event: &Event) -> String {
    match event {
        Event::NetworkLifecycle { event, .. } => said(NETWORK, *event),
        Event::NetworkMetadataChange { kind, nsuri, .. } => metadata(*kind, nsuri.as_deref()),
        Event::StoragePoolLifecycle { event, .. } => said(POOL, *event),
        Event::NodeDeviceLifecycle { event, .. } => said(DEVICE, *event),
        Event::SecretLifecycle { event, .. } => said(SECRET, *event),
        of_domain => domain_details(of_domain),
    }
}

fn domain_details(event: &Event) -> String {
    match event {
        Event::DomainLifecycle { event, detail, .. } => {
            let (event, detail) = lifecycle(*event, *detail);
            format!(": {event} {detail}")
        }
        Event::DomainRtcChange { offset, .. } => format!(": {offset}"),
        Event::DomainWatchdog { action, .. } => said(WATCHDOG, *action),
        Event::DomainGraphics { .. } => graphics(event),
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
        Event::DomainMetadataChange { kind, nsuri, .. } => metadata(*kind, nsuri.as_deref()),
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
        of_disk => disk_details(of_disk),
    }
}

fn disk_details(event: &Event) -> String {
    match event {
        Event::DomainIoError { src_path, dev_alias, action, .. } => {
            format!(": {src_path} ({dev_alias}) {}", word(IO_ERROR, *action, "unknown"))
        }
        Event::DomainIoErrorReason { src_path, dev_alias, action, reason, .. } => {
            let action = word(IO_ERROR, *action, "unknown");
            format!(": {src_path} ({dev_alias}) {action} due to {reason}")
        }
        Event::DomainBlockJob { path, kind, status, .. } => block_job(path, *kind, *status),
        Event::DomainBlockJob2 { dst, kind, status, .. } => block_job(dst, *kind, *status),
        Event::DomainBlockThreshold { dev, path, threshold, excess, .. } => {
            let path = path.as_deref().unwrap_or_default();
            format!(": dev: {dev}({path}) {threshold} {excess}")
        }
        Event::DomainDiskChange { old_src_path, new_src_path, dev_alias, reason, .. } => {
            let (old, new) = (shown(old_src_path.as_deref()), shown(new_src_path.as_deref()));
            format!(" disk {dev_alias}: {old} -> {new}{}", said(DISK_CHANGE, *reason))
        }
        Event::DomainTrayChange { dev_alias, reason, .. } => {
            format!(" disk {dev_alias}{}", said(TRAY, *reason))
        }
        _ => String::new(),
    }
}

/// A colon and the word for a number.
fn said(words: &[&'static str], number: i32) -> String {
    format!(": {}", word(words, number, "unknown"))
}

fn metadata(kind: i32, nsuri: Option<&str>) -> String {
    format!(": type {}, uri {}", word(METADATA, kind, "unknown"), shown(nsuri))
}

/// Compat: as the C library prints a text that is not there.
fn shown(text: Option<&str>) -> &str {
    text.unwrap_or("<null>")
}

pub(super) const NETWORK: &[&str] = &["Defined", "Undefined", "Started", "Stopped"];
pub(super) const DEVICE: &[&str] = &["Created", "Deleted", "Defined", "Undefined"];
pub(super) const SECRET: &[&str] = &["Defined", "Undefined"];
pub(super) const POOL: &[&str] =
    &["Defined", "Undefined", "Started", "Stopped", "Created", "Deleted"];
pub(super) const WATCHDOG: &[&str] =
    &["none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi"];
pub(super) const IO_ERROR: &[&str] = &["none", "pause", "report"];
pub(super) const BLOCK_JOBS: &[&str] =
    &["Unknown job", "Block Pull", "Block Copy", "Block Commit", "Active Block Commit", "Backup"];
pub(super) const BLOCK_STATUS: &[&str] = &["completed", "failed", "canceled", "ready"];
pub(super) const DISK_CHANGE: &[&str] = &["changed", "dropped"];
pub(super) const TRAY: &[&str] = &["opened", "closed"];
pub(super) const AGENT_STATE: &[&str] = &["unknown", "connected", "disconnected"];
pub(super) const AGENT_REASON: &[&str] = &["unknown", "domain started", "channel event"];
pub(super) const METADATA: &[&str] = &["description", "title", "element"];
pub(super) const FAILURE_RECIPIENT: &[&str] = &["hypervisor", "guest"];
pub(super) const FAILURE_ACTION: &[&str] = &["ignore", "inject", "fatal", "reset"];
pub(super) const GRAPHICS_PHASE: &[&str] = &["connect", "initialize", "disconnect"];
pub(super) const GRAPHICS_FAMILY: &[&str] = &["IPv4", "IPv6", "unix"];

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
    use virt_types::{DomainRef, Event, NetworkRef, StoragePoolRef, Uuid};

    fn test() -> DomainRef {
        DomainRef { name: "test".into(), uuid: Uuid([1; 16]), id: 1 }
    }

    #[test]
    fn the_words_of_some_events() {
        let pool = StoragePoolRef { name: "p1".into(), uuid: Uuid([2; 16]) };
        let net = NetworkRef { name: "n1".into(), uuid: Uuid([3; 16]) };
        let (old_src_path, new_src_path) = (Some("/a".to_owned()), None);
        let dev_alias = "ide0".to_owned();
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
                Event::DomainDiskChange {
                    dom: test(),
                    old_src_path,
                    new_src_path,
                    dev_alias: dev_alias.clone(),
                    reason: 1,
                },
                "event 'disk-change' for domain 'test' disk ide0: /a -> <null>: dropped",
            ),
            (
                Event::DomainTrayChange { dom: test(), dev_alias, reason: 7 },
                "event 'tray-change' for domain 'test' disk ide0: unknown",
            ),
            (
                Event::NetworkMetadataChange { net, kind: 2, nsuri: Some("urn:x".to_owned()) },
                "event 'metadata-change' for network n1: type element, uri urn:x",
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
