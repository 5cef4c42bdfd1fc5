//! Filters of list calls, and the check of flags, which are the same for every driver.

use std::sync::atomic::{AtomicU64, Ordering};

use virt_error::{Error, Origin, Result};
use virt_types::{DomainJobInfo, api};

/// What the filters of `virConnectListAllDomains` look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// The id and the facts of a domain as of its last change, to be had without its lock: a list of
/// thousands takes no lock of any of them.
#[derive(Debug, Default)]
pub struct DomainGlance(AtomicU64);

impl DomainGlance {
    const ACTIVE: u64 = 1;
    const PERSISTENT: u64 = 1 << 1;
    const MANAGED_SAVE: u64 = 1 << 2;
    const AUTOSTART: u64 = 1 << 3;
    const SNAPSHOT: u64 = 1 << 4;
    const CHECKPOINT: u64 = 1 << 5;
    /// Above the flags: eight bits of state, and at the top the 32 bits of the id.
    const STATE_AT: u32 = 8;
    const ID_AT: u32 = 32;

    /// `id` is -1 for a domain that does not run.
    pub fn set(&self, id: i32, facts: &DomainFacts) {
        let flags = [
            (facts.active, Self::ACTIVE),
            (facts.persistent, Self::PERSISTENT),
            (facts.managed_save, Self::MANAGED_SAVE),
            (facts.autostart, Self::AUTOSTART),
            (facts.snapshot, Self::SNAPSHOT),
            (facts.checkpoint, Self::CHECKPOINT),
        ];
        let flags = flags.iter().filter(|(fact, _)| *fact).fold(0, |all, (_, flag)| all | flag);
        let state = u64::from(u8::try_from(facts.state).unwrap_or_default()) << Self::STATE_AT;
        let id = u64::from(id.cast_unsigned()) << Self::ID_AT;
        self.0.store(id | state | flags, Ordering::Release);
    }

    pub fn get(&self) -> (i32, DomainFacts) {
        let packed = self.0.load(Ordering::Acquire);
        let is = |flag| packed & flag != 0;
        let facts = DomainFacts {
            active: is(Self::ACTIVE),
            persistent: is(Self::PERSISTENT),
            state: i32::from((packed >> Self::STATE_AT) as u8),
            managed_save: is(Self::MANAGED_SAVE),
            autostart: is(Self::AUTOSTART),
            snapshot: is(Self::SNAPSHOT),
            checkpoint: is(Self::CHECKPOINT),
        };
        (((packed >> Self::ID_AT) as u32).cast_signed(), facts)
    }
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
    /// How many of the kinds have a filter; they are in the order of its bits.
    const FILTERED: usize = 24;
    let mut filtered = virt_types::NODE_DEVICE_KINDS.iter().take(FILTERED);
    filtered.position(|known| *known == name).map(|bit| 1 << bit)
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

/// What `virDomainGetJobInfo` says of a domain without a job.
pub const fn no_job() -> DomainJobInfo {
    DomainJobInfo {
        kind: api::DOMAIN_JOB_NONE,
        time_elapsed: 0,
        time_remaining: 0,
        data_total: 0,
        data_processed: 0,
        data_remaining: 0,
        mem_total: 0,
        mem_processed: 0,
        mem_remaining: 0,
        file_total: 0,
        file_processed: 0,
        file_remaining: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_shows_what_it_was_given() {
        let glance = DomainGlance::default();
        let all = DomainFacts {
            active: true,
            persistent: true,
            state: api::DOMAIN_PMSUSPENDED,
            managed_save: true,
            autostart: true,
            snapshot: true,
            checkpoint: true,
        };
        let few = DomainFacts { state: api::DOMAIN_SHUTOFF, autostart: true, ..Default::default() };
        for (id, facts) in [(i32::MAX, all), (-1, few), (0, DomainFacts::default())] {
            glance.set(id, &facts);
            assert_eq!(glance.get(), (id, facts));
        }
    }

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
