//! The manager's releases: what each of them knows and does.

use std::fmt;

/// A release of the manager. Later releases compare as greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Profile {
    major: u8,
    minor: u8,
}

/// The releases that can be asked for.
pub(crate) const RELEASES: &[Profile] = &[
    release(1, 0),
    release(1, 1),
    release(1, 2),
    release(1, 3),
    release(2, 0),
    release(2, 1),
    release(2, 2),
    release(3, 0),
    release(3, 1),
    release(3, 2),
    release(3, 3),
    release(3, 4),
    release(3, 5),
    release(3, 6),
];

const fn release(major: u8, minor: u8) -> Profile {
    Profile { major, minor }
}

/// How the size of an active domain's memory changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryChange {
    /// At the domain's next start, by delayed reconfiguration.
    Delayed,
    /// Delayed for the control domain, refused for all others.
    ControlDelayed,
    /// At once, in steps of 256 MB.
    Dynamic,
}

impl Profile {
    /// Reads `1.3`, or `1`, `2` and `3` for the last release of a line.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let named = |found: &&Profile| found.to_string() == text;
        let last = |found: &&Profile| found.major.to_string() == text;
        RELEASES.iter().find(named).or_else(|| RELEASES.iter().rfind(last)).copied()
    }

    /// Documents of version 2.0 over a bare socket, and no events.
    pub(crate) fn is_legacy(self) -> bool {
        self < release(1, 1)
    }

    /// The version of answers to a request of version `asked`.
    pub(crate) fn interface(self, asked: Option<&str>) -> &'static str {
        match asked {
            _ if self >= release(3, 2) => "1.3",
            Some("1.1") if !self.is_legacy() => "1.1",
            _ => "1.0",
        }
    }

    pub(crate) fn event_version(self) -> &'static str {
        if self >= release(3, 2) { "1.1" } else { "1.0" }
    }

    /// Whether options of a request of this version stand in `<options>` instead of `<option>`.
    pub(crate) fn wants_options(self, asked: Option<&str>) -> bool {
        self >= release(3, 2) && asked == Some("1.3")
    }

    pub(crate) fn has_uuid(self) -> bool {
        self >= release(2, 2)
    }

    pub(crate) fn has_cores(self) -> bool {
        self >= release(2, 2)
    }

    /// Whether a success may carry a second response with a warning.
    pub(crate) fn has_warnings(self) -> bool {
        self >= release(3, 6)
    }

    pub(crate) fn tls12_only(self) -> bool {
        self >= release(3, 4)
    }

    pub(crate) fn memory_change(self) -> MemoryChange {
        match self {
            _ if self < release(1, 2) => MemoryChange::Delayed,
            _ if self < release(2, 0) => MemoryChange::ControlDelayed,
            _ => MemoryChange::Dynamic,
        }
    }

    /// Whether virtual devices of an active domain come and go at once.
    pub(crate) fn has_virtual_io_dr(self) -> bool {
        self >= release(1, 1)
    }

    /// Whether crypto units of an active domain come and go at once.
    pub(crate) fn has_crypto_dr(self) -> bool {
        self >= release(1, 3)
    }

    /// Whether delayed reconfiguration begins only when it is asked for.
    pub(crate) fn asks_for_reconf(self) -> bool {
        self >= release(2, 0)
    }

    /// Whether any domain can be in delayed reconfiguration, not the control domain only.
    pub(crate) fn any_domain_reconf(self) -> bool {
        self < release(1, 2)
    }

    /// Whether this release has that action.
    pub(crate) fn knows(self, action: &str) -> bool {
        let listed = ACTIONS.iter().find(|(names, ..)| names.contains(&action));
        listed.is_some_and(|(_, since, end)| self >= *since && self < *end)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

const ALWAYS: Profile = release(1, 0);
const NEVER: Profile = release(u8::MAX, 0);

/// Actions by the release they came with, and the one they were gone in. Long names only: the short
/// forms of the command line are refused.
const ACTIONS: &[(&[&str], Profile, Profile)] = &[
    (
        &[
            "list-bindings",
            "list-services",
            "list-constraints",
            "list-devices",
            "list-domain",
            "list-spconfig",
            "list-variable",
            "add-domain",
            "remove-domain",
            "bind-domain",
            "unbind-domain",
            "start-domain",
            "stop-domain",
            "panic-domain",
            "add-vcpu",
            "set-vcpu",
            "remove-vcpu",
            "add-memory",
            "set-memory",
            "remove-memory",
            "add-mau",
            "set-mau",
            "remove-mau",
            "add-io",
            "remove-io",
            "add-variable",
            "set-variable",
            "remove-variable",
            "set-vconsole",
            "add-vconscon",
            "set-vconscon",
            "remove-vconscon",
            "add-vnet",
            "set-vnet",
            "remove-vnet",
            "add-vswitch",
            "set-vswitch",
            "remove-vswitch",
            "add-vdisk",
            "remove-vdisk",
            "add-vdiskserver",
            "remove-vdiskserver",
            "add-vdiskserverdevice",
            "remove-vdiskserverdevice",
            "add-spconfig",
            "set-spconfig",
            "remove-spconfig",
            "remove-reconf",
        ],
        ALWAYS,
        NEVER,
    ),
    (
        &[
            "reg-domain-events",
            "reg-resource-events",
            "reg-hardware-events",
            "reg-all-events",
            "unreg-domain-events",
            "unreg-resource-events",
            "unreg-hardware-events",
            "unreg-all-events",
            "migrate-domain",
            "cancel-operation",
            "set-vdiskserverdevice",
        ],
        release(1, 1),
        NEVER,
    ),
    (&["add-vdpcc", "remove-vdpcc", "add-vdpcs", "remove-vdpcs"], ALWAYS, release(3, 4)),
    (&["set-domain"], release(1, 2), NEVER),
    (&["set-vdisk", "set-io", "start-reconf"], release(2, 0), NEVER),
    (&["add-core", "set-core", "remove-core"], release(2, 2), NEVER),
    (&["list-dependencies"], release(3, 4), NEVER),
    (&["list-io"], release(3, 5), NEVER),
    (
        &["add-vhba", "set-vhba", "remove-vhba", "rescan-vhba", "add-vsan", "remove-vsan"],
        release(3, 4),
        NEVER,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_named_in_full_or_by_their_line() {
        assert_eq!(Profile::parse("1.2"), Some(release(1, 2)));
        assert_eq!(Profile::parse("1"), Some(release(1, 3)));
        assert_eq!(Profile::parse("3"), Some(release(3, 6)));
        assert_eq!(Profile::parse("3.7"), None);
    }

    #[test]
    fn actions_come_and_go_with_releases_and_have_no_short_names() {
        assert!(!release(1, 1).knows("set-domain") && release(1, 2).knows("set-domain"));
        assert!(release(3, 3).knows("add-vdpcc") && !release(3, 4).knows("add-vdpcc"));
        assert!(!release(1, 0).knows("reg-all-events") && !release(3, 6).knows("rm-domain"));
    }
}
