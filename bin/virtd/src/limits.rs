//! The bounds of the daemon: each with its name, its default and the key that sets it.
//!
//! `docs/limits.md` is made of this table; `UPDATE=1` with the test at the end writes it anew.

use virt_conf::{Conf, ConfError};
use virt_wire::MESSAGE_BYTES_MAX;

/// A bound as the documentation shows it.
#[cfg(test)]
struct Row {
    what: &'static str,
    key: &'static str,
    default: usize,
    /// libvirt has it too, with this key and this default.
    libvirts: bool,
    reached: &'static str,
}

macro_rules! limits {
    ($($field:ident: $key:literal = $default:expr, $libvirts:literal, $what:literal, $reached:literal;)*) => {
        /// What may be taken up.
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct Limits {
            $(pub(crate) $field: usize,)*
        }

        impl Limits {
            pub(crate) fn from_conf(conf: &Conf) -> Result<Self, ConfError> {
                let size = |key: &str, otherwise: usize| -> Result<usize, ConfError> {
                    Ok(conf.unsigned32(key)?.map_or(otherwise, |number| number as usize))
                };
                Ok(Self { $($field: size($key, $default)?,)* })
            }
        }

        #[cfg(test)]
        const ROWS: &[Row] = &[$(Row {
            what: $what,
            key: $key,
            default: $default,
            libvirts: $libvirts,
            reached: $reached,
        },)*];
    };
}

limits! {
    clients_max: "max_clients" = 5000, true,
        "clients", "the next one waits in the socket's queue";
    clients_queued_max: "max_queued_clients" = 1000, true,
        "clients waiting there, for each socket", "the system refuses the connection, or holds it up";
    clients_anonymous_max: "max_anonymous_clients" = 20, true,
        "clients that have not shown who they are", "the next such one waits; others come in";
    auth_timeout_s: "auth_timeout" = 60, false,
        "seconds for showing it, a TLS handshake included", "the connection ends";
    workers_min: "min_workers" = 5, true,
        "workers that are kept", "–";
    workers_max: "max_workers" = 20, true,
        "workers; those that wait for a hypervisor are not counted", "calls wait";
    workers_priority: "prio_workers" = 5, true,
        "workers for calls that wait for no hypervisor", "such calls wait";
    threads_max: "max_threads" = 1024, false,
        "workers of all kinds, waiting ones included", "calls wait";
    requests_max: "max_client_requests" = 5, true,
        "calls of a client in flight", "the next ones are queued";
    requests_queued_max: "max_client_queued_requests" = 64, false,
        "calls of a client that are queued", "it is not read until some are answered";
    requests_queued_bytes_max: "max_client_queued_bytes" = 1 << 20, false,
        "bytes of those", "the same";
    keepalive_count: "keepalive_count" = 5, true,
        "pings without an answer", "the connection ends";
    admin_clients_max: "admin_max_clients" = 5000, true,
        "clients of the administration socket", "the next one waits in the socket's queue";
    admin_clients_queued_max: "admin_max_queued_clients" = 20, true,
        "clients waiting there", "the system holds up the connection";
    admin_requests_max: "admin_max_client_requests" = 5, true,
        "calls of such a client in flight", "the next ones are queued; all are answered at once";
    admin_keepalive_count: "admin_keepalive_count" = 5, true,
        "pings of such a client without an answer", "the connection ends";
    message_bytes_max: "max_message_size" = MESSAGE_BYTES_MAX, false,
        "bytes of a message; never more than the protocol's", "the connection ends";
    unread_bytes_max: "max_client_unread" = 4 << 20, false,
        "bytes of answers and streams that a client has not read; a descriptor counts 16 KiB",
        "it is not read until it has; pinged in vain, it loses its connection";
    unread_events_bytes_max: "max_client_unread_events" = 16 << 20, false,
        "the same, when an event comes on top", "the connection ends";
    streams_max: "max_client_streams" = 256, false,
        "open streams of a client", "the call fails: \"too many open streams\"";
    stream_bytes_max: "max_client_stream_data" = 1 << 20, false,
        "bytes for one stream that its driver has not taken", "the client is not read until it has";
    callbacks_max: "max_client_callbacks" = 1024, false,
        "registrations for events of a client", "the call fails: \"too many event callbacks\"";
}

impl Limits {
    /// What cannot work is refused.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.clients_max < self.clients_anonymous_max {
            return Err("internal error: The overall maximum number of clients must not be less \
                        than the number of clients waiting for authentication"
                .to_owned());
        }
        for (key, value) in [
            ("max_workers", self.workers_max),
            ("prio_workers", self.workers_priority),
            ("max_client_requests", self.requests_max),
            ("admin_max_client_requests", self.admin_requests_max),
            ("max_client_queued_requests", self.requests_queued_max),
            ("max_client_queued_bytes", self.requests_queued_bytes_max),
            ("max_client_unread", self.unread_bytes_max),
            ("max_client_unread_events", self.unread_events_bytes_max),
            ("max_client_stream_data", self.stream_bytes_max),
        ] {
            if value == 0 {
                return Err(format!("{key} must be greater than 0"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::path::Path;

    use super::*;
    use virt_wire::{MESSAGE_FDS_MAX, STREAM_DATA_BYTES_MAX};

    /// The protocol's own bounds, as they are generated from its description.
    const PROTOCOLS: &str = include_str!("../../../crates/virt-wire/src/generated/limits.rs");

    const HEAD: &str = "\
# Limits

Whatever comes from outside has a bound. Made by `cargo nextest run -p virtd limits` from
`bin/virtd/src/limits.rs` and the protocol's description; tried by `bin/virtd/tests/hostile.rs`,
`bin/virtd/tests/frames.rs` and `tests/interop/tests/strangers.rs`.

## The daemon's

Each is set by its key in `libvirtd.conf`. Where libvirt has it too, key and default are libvirt's.

| what | key | default | libvirt's | when it is reached |
|---|---|---|---|---|
";

    const BETWEEN: &str = "\
| seconds of silence before a ping; -1: none | `keepalive_interval`, `admin_keepalive_interval` | 5 | yes | – |
| seconds without clients and guests | `--timeout` on the command line | for ever | yes | the daemon ends |

The administration program is answered on the loop, from memory: it has no workers of its own, and
`admin_min_workers` and `admin_max_workers` have no meaning here.

## The protocol's

Both sides know them, so they have no keys. A message that is too long, or has too many descriptors,
ends the connection; a string or an array that is too long fails the call: \"Unable to decode message
payload\".

| what | most |
|---|---|
";

    fn document() -> String {
        let mut text = HEAD.to_owned();
        for Row { what, key, default, libvirts, reached } in ROWS {
            let libvirts = if *libvirts { "yes" } else { "–" };
            let _ = writeln!(text, "| {what} | `{key}` | {default} | {libvirts} | {reached} |");
        }
        text.push_str(BETWEEN);
        for (what, most) in [
            ("bytes of a message", MESSAGE_BYTES_MAX),
            ("descriptors of a message", MESSAGE_FDS_MAX),
            ("bytes of a stream in one message", STREAM_DATA_BYTES_MAX),
        ] {
            let _ = writeln!(text, "| {what} | {most} |");
        }
        for line in PROTOCOLS.lines() {
            let constant =
                line.strip_prefix("pub const ").and_then(|line| line.split_once(": usize = "));
            if let Some((name, value)) = constant {
                let value = value.trim_end_matches(';').replace('_', "");
                let _ = writeln!(text, "| `{name}` | {value} |");
            }
        }
        text
    }

    #[test]
    fn the_documentation_is_made_of_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/limits.md");
        let right = document();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &right).expect("write");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == right,
            "docs/limits.md is not what the table says: UPDATE=1 writes it anew"
        );
        assert!(PROTOCOLS.lines().filter(|line| line.starts_with("pub const")).count() > 50);
    }

    #[test]
    fn each_bound_is_set_by_its_key() {
        let usual = Limits::from_conf(&Conf::parse("").expect("empty")).expect("defaults");
        for Row { key, default, .. } in ROWS {
            let conf = Conf::parse(&format!("{key} = {}\n", default + 1)).expect("a line");
            let set = Limits::from_conf(&conf).expect("set");
            assert_ne!(format!("{set:?}"), format!("{usual:?}"), "{key}");
        }
        assert!(usual.check().is_ok());
    }
}
