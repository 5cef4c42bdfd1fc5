//! Events for programs: what happened to which object, as facts.

use virt_json::Value;
use virt_types::{DomainEventGraphicsAddress, Event};

use super::event_words as words;
use super::info::word;
use crate::report::{params_record, record};

/// What an event tells: its kind, its object, and what is particular to it.
pub(super) fn told(event: &Event) -> Vec<(String, Value)> {
    let (object, name, uuid) = object(event);
    let mut facts = vec![
        ("event".to_owned(), words::kind_name(event).into()),
        ("object".to_owned(), object.into()),
    ];
    facts.extend(name.map(|name| ("name".to_owned(), name.into())));
    facts.extend(uuid.map(|uuid| ("uuid".to_owned(), uuid.into())));
    let details = details(event);
    if details != Value::Object(Vec::new()) {
        facts.push(("details".to_owned(), details));
    }
    facts
}

type Object = (&'static str, Option<String>, Option<String>);

fn object(event: &Event) -> Object {
    let both = |kind, name: &dyn ToString, uuid: &dyn ToString| {
        (kind, Some(name.to_string()), Some(uuid.to_string()))
    };
    if let Some(domain) = event.domain() {
        both("domain", &domain.name, &domain.uuid)
    } else if let Some(network) = event.network() {
        both("network", &network.name, &network.uuid)
    } else if let Some(pool) = event.storage_pool() {
        both("pool", &pool.name, &pool.uuid)
    } else if let Some(device) = event.node_device() {
        ("device", Some(device.name.to_string()), None)
    } else if let Some(secret) = event.secret() {
        ("secret", None, Some(secret.uuid.to_string()))
    } else {
        ("unknown", None, None)
    }
}

fn said(names: &[&'static str], number: i32) -> Value {
    word(names, number, "unknown").into()
}

fn details(event: &Event) -> Value {
    match event {
        Event::NetworkLifecycle { event, .. } => record([("change", said(words::NETWORK, *event))]),
        Event::StoragePoolLifecycle { event, .. } => {
            record([("change", said(words::POOL, *event))])
        }
        Event::NodeDeviceLifecycle { event, .. } => {
            record([("change", said(words::DEVICE, *event))])
        }
        Event::SecretLifecycle { event, .. } => record([("change", said(words::SECRET, *event))]),
        Event::DomainLifecycle { event, detail, .. } => {
            let (change, detail) = words::lifecycle(*event, *detail);
            record([("change", change.into()), ("reason", detail.into())])
        }
        Event::NetworkMetadataChange { kind, nsuri, .. }
        | Event::DomainMetadataChange { kind, nsuri, .. } => {
            record([("type", said(words::METADATA, *kind)), ("uri", nsuri.clone().into())])
        }
        Event::DomainRtcChange { offset, .. } => record([("offset_s", (*offset).into())]),
        Event::DomainWatchdog { action, .. } => {
            record([("action", said(words::WATCHDOG, *action))])
        }
        Event::DomainBalloonChange { actual, .. } => record([("memory_kib", (*actual).into())]),
        Event::DomainTunable { params, .. } | Event::DomainJobCompleted { params, .. } => {
            params_record(params)
        }
        Event::DomainAgentLifecycle { state, reason, .. } => record([
            ("state", said(words::AGENT_STATE, *state)),
            ("reason", said(words::AGENT_REASON, *reason)),
        ]),
        Event::DomainMigrationIteration { iteration, .. } => {
            record([("iteration", (*iteration).into())])
        }
        Event::DomainGraphics { .. } => graphics(event),
        of_device => device_details(of_device),
    }
}

fn device_details(event: &Event) -> Value {
    let text = |text: &String| Value::from(text.as_str());
    match event {
        Event::DomainDeviceRemoved { dev_alias, .. }
        | Event::DomainDeviceAdded { dev_alias, .. }
        | Event::DomainDeviceRemovalFailed { dev_alias, .. } => {
            record([("alias", text(dev_alias))])
        }
        Event::DomainMemoryFailure { recipient, action, flags, .. } => record([
            ("recipient", said(words::FAILURE_RECIPIENT, *recipient)),
            ("action", said(words::FAILURE_ACTION, *action)),
            ("action_required", (flags & 1 != 0).into()),
            ("recursive", (flags & 2 != 0).into()),
        ]),
        Event::DomainMemoryDeviceSizeChange { alias, size, .. } => {
            record([("alias", text(alias)), ("size_kib", (*size).into())])
        }
        Event::DomainNicMacChange { alias, old_mac, new_mac, .. } => {
            record([("alias", text(alias)), ("old_mac", text(old_mac)), ("new_mac", text(new_mac))])
        }
        Event::DomainIoError { src_path, dev_alias, action, .. } => record([
            ("path", text(src_path)),
            ("alias", text(dev_alias)),
            ("action", said(words::IO_ERROR, *action)),
        ]),
        Event::DomainIoErrorReason { src_path, dev_alias, action, reason, .. } => record([
            ("path", text(src_path)),
            ("alias", text(dev_alias)),
            ("action", said(words::IO_ERROR, *action)),
            ("reason", text(reason)),
        ]),
        Event::DomainBlockJob { path: disk, kind, status, .. }
        | Event::DomainBlockJob2 { dst: disk, kind, status, .. } => record([
            ("disk", text(disk)),
            ("type", said(words::BLOCK_JOBS, *kind)),
            ("status", said(words::BLOCK_STATUS, *status)),
        ]),
        Event::DomainBlockThreshold { dev, path, threshold, excess, .. } => record([
            ("disk", text(dev)),
            ("path", path.clone().into()),
            ("threshold_bytes", (*threshold).into()),
            ("excess_bytes", (*excess).into()),
        ]),
        Event::DomainDiskChange { old_src_path, new_src_path, dev_alias, reason, .. } => record([
            ("alias", text(dev_alias)),
            ("old_path", old_src_path.clone().into()),
            ("new_path", new_src_path.clone().into()),
            ("reason", said(words::DISK_CHANGE, *reason)),
        ]),
        Event::DomainTrayChange { dev_alias, reason, .. } => {
            record([("alias", text(dev_alias)), ("change", said(words::TRAY, *reason))])
        }
        _ => record([]),
    }
}

fn graphics(event: &Event) -> Value {
    let Event::DomainGraphics { phase, local, remote, auth_scheme, subject, .. } = event else {
        return record([]);
    };
    let address = |address: &DomainEventGraphicsAddress| {
        record([
            ("family", said(words::GRAPHICS_FAMILY, address.family)),
            ("node", address.node.as_str().into()),
            ("service", address.service.as_str().into()),
        ])
    };
    let identities = subject.iter().map(|identity| {
        let (kind, name) = (identity.kind.as_str(), identity.name.as_str());
        record([("type", kind.into()), ("name", name.into())])
    });
    record([
        ("phase", said(words::GRAPHICS_PHASE, *phase)),
        ("local", address(local)),
        ("remote", address(remote)),
        ("auth", auth_scheme.as_str().into()),
        ("subject", Value::Array(identities.collect())),
    ])
}
