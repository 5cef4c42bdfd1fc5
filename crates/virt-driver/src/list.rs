//! Filters of list calls, and the check of flags, which are the same for every driver.

use virt_error::{Error, Origin, Result};
use virt_types::api;

/// What the filters of `virConnectListAllDomains` look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct DomainFacts {
    pub active: bool,
    pub persistent: bool,
    /// `virDomainState`.
    pub state: i32,
    pub managed_save: bool,
    pub autostart: bool,
    pub snapshot: bool,
    pub checkpoint: bool,
}

/// Whether one group of two opposite filters lets an object through: none or both set pass all.
pub fn pick(flags: u32, with: u32, without: u32, fact: bool) -> bool {
    let wanted = flags & (with | without);
    wanted == 0 || wanted & (if fact { with } else { without }) != 0
}

/// Whether a domain passes the filters of `virConnectListAllDomains`.
pub fn domain_matches(flags: u32, facts: &DomainFacts) -> bool {
    use api::*;
    if flags & !(CONNECT_LIST_DOMAINS_ACTIVE | CONNECT_LIST_DOMAINS_INACTIVE) == 0 {
        // The usual question, asked of ten thousand domains at a time.
        return pick(
            flags,
            CONNECT_LIST_DOMAINS_ACTIVE,
            CONNECT_LIST_DOMAINS_INACTIVE,
            facts.active,
        );
    }
    let states = CONNECT_LIST_DOMAINS_RUNNING
        | CONNECT_LIST_DOMAINS_PAUSED
        | CONNECT_LIST_DOMAINS_SHUTOFF
        | CONNECT_LIST_DOMAINS_OTHER;
    let state = match facts.state {
        DOMAIN_RUNNING => CONNECT_LIST_DOMAINS_RUNNING,
        DOMAIN_PAUSED => CONNECT_LIST_DOMAINS_PAUSED,
        DOMAIN_SHUTOFF => CONNECT_LIST_DOMAINS_SHUTOFF,
        _ => CONNECT_LIST_DOMAINS_OTHER,
    };
    pick(flags, CONNECT_LIST_DOMAINS_ACTIVE, CONNECT_LIST_DOMAINS_INACTIVE, facts.active)
        && pick(
            flags,
            CONNECT_LIST_DOMAINS_PERSISTENT,
            CONNECT_LIST_DOMAINS_TRANSIENT,
            facts.persistent,
        )
        && (flags & states == 0 || flags & state != 0)
        && pick(
            flags,
            CONNECT_LIST_DOMAINS_MANAGEDSAVE,
            CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE,
            facts.managed_save,
        )
        && pick(
            flags,
            CONNECT_LIST_DOMAINS_AUTOSTART,
            CONNECT_LIST_DOMAINS_NO_AUTOSTART,
            facts.autostart,
        )
        && pick(
            flags,
            CONNECT_LIST_DOMAINS_HAS_SNAPSHOT,
            CONNECT_LIST_DOMAINS_NO_SNAPSHOT,
            facts.snapshot,
        )
        && pick(
            flags,
            CONNECT_LIST_DOMAINS_HAS_CHECKPOINT,
            CONNECT_LIST_DOMAINS_NO_CHECKPOINT,
            facts.checkpoint,
        )
}

/// The filter of `virConnectListAllNodeDevices` for a capability by the name that older calls use.
pub fn device_cap_filter(name: &str) -> Option<u32> {
    /// In the order of the filters' bits.
    const NAMES: [&str; 24] = [
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
    ];
    NAMES.iter().position(|known| *known == name).map(|bit| 1 << bit)
}

/// Refuses flags that `function` does not know; unknown ones are never dropped silently.
///
/// Compat: the message names the driver's own function.
pub fn check_flags(flags: u32, known: u32, function: &str) -> Result<()> {
    let unknown = flags & !known;
    if unknown == 0 {
        return Ok(());
    }
    let message = format!("unsupported flags (0x{unknown:x}) in function {function}");
    Err(Error::argument(Origin::None, function, "flags", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposite_filters_together_let_everything_through() {
        let active = DomainFacts { active: true, state: 1, ..DomainFacts::default() };
        assert!(domain_matches(0, &active));
        assert!(domain_matches(3, &active));
        assert!(domain_matches(api::CONNECT_LIST_DOMAINS_ACTIVE, &active));
        assert!(!domain_matches(api::CONNECT_LIST_DOMAINS_INACTIVE, &active));
        assert!(!domain_matches(api::CONNECT_LIST_DOMAINS_PAUSED, &active));
    }
}
