//! Which flags of a public call exclude each other, and which need one another.
//!
//! Compat: libvirt's library looks at these before any driver does, so that a caller hears the same
//! words whatever serves the call. Found by asking it for every pair of bits of every call.

use virt_error::{Error, Origin, Result};
use virt_types::api::*;

use crate::Api;

/// A flag and its name.
type Flag = (u32, &'static str);

enum Rule {
    /// At most one of each two.
    One(&'static [Flag]),
    /// The first only together with the second.
    With(Flag, Flag),
}

macro_rules! flag {
    ($name:ident) => {
        ($name, concat!("VIR_", stringify!($name)))
    };
}

const LIVE_OR_CONFIG: Rule = Rule::One(&[flag!(DOMAIN_AFFECT_LIVE), flag!(DOMAIN_AFFECT_CONFIG)]);
const RUNNING_OR_PAUSED: Rule = Rule::One(&[flag!(DOMAIN_SAVE_RUNNING), flag!(DOMAIN_SAVE_PAUSED)]);
const CRASH_LIVE_RESET: Rule = Rule::One(&[flag!(DUMP_CRASH), flag!(DUMP_LIVE), flag!(DUMP_RESET)]);
const NETWORK_LIVE_OR_CONFIG: Rule =
    Rule::One(&[flag!(NETWORK_UPDATE_AFFECT_LIVE), flag!(NETWORK_UPDATE_AFFECT_CONFIG)]);
const COPIES: Rule = Rule::One(&[flag!(MIGRATE_NON_SHARED_DISK), flag!(MIGRATE_NON_SHARED_INC)]);
const COPIES_IN_STEP: Rule = Rule::With(
    flag!(MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES),
    (
        MIGRATE_NON_SHARED_DISK | MIGRATE_NON_SHARED_INC,
        "VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC",
    ),
);
const ONE_TUNNEL: Rule = Rule::One(&[flag!(MIGRATE_TUNNELLED), flag!(MIGRATE_PARALLEL)]);

const RULES: &[(&str, Rule)] = &[
    (
        "virDomainCheckpointCreateXML",
        Rule::With(
            flag!(DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE),
            flag!(DOMAIN_CHECKPOINT_CREATE_REDEFINE),
        ),
    ),
    (
        "virDomainCheckpointCreateXML",
        Rule::One(&[
            flag!(DOMAIN_CHECKPOINT_CREATE_REDEFINE),
            flag!(DOMAIN_CHECKPOINT_CREATE_QUIESCE),
        ]),
    ),
    (
        "virDomainCheckpointDelete",
        Rule::One(&[
            flag!(DOMAIN_CHECKPOINT_DELETE_CHILDREN),
            flag!(DOMAIN_CHECKPOINT_DELETE_CHILDREN_ONLY),
        ]),
    ),
    ("virDomainCoreDump", CRASH_LIVE_RESET),
    ("virDomainCoreDumpWithFormat", CRASH_LIVE_RESET),
    ("virDomainGetBlkioParameters", LIVE_OR_CONFIG),
    ("virDomainGetEmulatorPinInfo", LIVE_OR_CONFIG),
    ("virDomainGetIOThreadInfo", LIVE_OR_CONFIG),
    (
        "virDomainGetJobStats",
        Rule::With(flag!(DOMAIN_JOB_STATS_KEEP_COMPLETED), flag!(DOMAIN_JOB_STATS_COMPLETED)),
    ),
    ("virDomainGetMemoryParameters", LIVE_OR_CONFIG),
    ("virDomainGetMetadata", LIVE_OR_CONFIG),
    ("virDomainGetSchedulerParametersFlags", LIVE_OR_CONFIG),
    ("virDomainGetVcpuPinInfo", LIVE_OR_CONFIG),
    ("virDomainGetVcpusFlags", LIVE_OR_CONFIG),
    ("virDomainManagedSave", RUNNING_OR_PAUSED),
    ("virDomainManagedSaveDefineXML", RUNNING_OR_PAUSED),
    ("virDomainMemoryPeek", Rule::One(&[flag!(MEMORY_VIRTUAL), flag!(MEMORY_PHYSICAL)])),
    ("virDomainMigrate3", COPIES),
    ("virDomainMigrate3", COPIES_IN_STEP),
    ("virDomainMigrateToURI3", ONE_TUNNEL),
    ("virDomainMigrateToURI3", COPIES),
    ("virDomainMigrateToURI3", COPIES_IN_STEP),
    ("virDomainRestoreFlags", RUNNING_OR_PAUSED),
    ("virDomainRestoreParams", RUNNING_OR_PAUSED),
    (
        "virDomainRevertToSnapshot",
        Rule::One(&[flag!(DOMAIN_SNAPSHOT_REVERT_RUNNING), flag!(DOMAIN_SNAPSHOT_REVERT_PAUSED)]),
    ),
    ("virDomainSaveFlags", RUNNING_OR_PAUSED),
    ("virDomainSaveImageDefineXML", RUNNING_OR_PAUSED),
    ("virDomainSaveParams", RUNNING_OR_PAUSED),
    ("virDomainSetVcpusFlags", Rule::With(flag!(DOMAIN_VCPU_MAXIMUM), flag!(DOMAIN_AFFECT_CONFIG))),
    ("virDomainSetVcpusFlags", Rule::One(&[flag!(DOMAIN_VCPU_GUEST), flag!(DOMAIN_AFFECT_CONFIG)])),
    (
        "virDomainSnapshotCreateXML",
        Rule::With(flag!(DOMAIN_SNAPSHOT_CREATE_CURRENT), flag!(DOMAIN_SNAPSHOT_CREATE_REDEFINE)),
    ),
    (
        "virDomainSnapshotCreateXML",
        Rule::One(&[
            flag!(DOMAIN_SNAPSHOT_CREATE_REDEFINE),
            flag!(DOMAIN_SNAPSHOT_CREATE_NO_METADATA),
        ]),
    ),
    (
        "virDomainSnapshotCreateXML",
        Rule::One(&[flag!(DOMAIN_SNAPSHOT_CREATE_REDEFINE), flag!(DOMAIN_SNAPSHOT_CREATE_HALT)]),
    ),
    (
        "virDomainSnapshotDelete",
        Rule::One(&[
            flag!(DOMAIN_SNAPSHOT_DELETE_CHILDREN),
            flag!(DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY),
        ]),
    ),
    (
        "virDomainStartDirtyRateCalc",
        Rule::One(&[
            flag!(DOMAIN_DIRTYRATE_MODE_DIRTY_BITMAP),
            flag!(DOMAIN_DIRTYRATE_MODE_DIRTY_RING),
        ]),
    ),
    ("virNetworkGetMetadata", NETWORK_LIVE_OR_CONFIG),
];

pub(super) fn check(api: &Api, flags: u64) -> Result<()> {
    match u32::try_from(flags) {
        Ok(flags @ 1..) => check_flags_of(api.name, api.origin, flags),
        // No flag, or only such as no rule is about.
        _ => Ok(()),
    }
}

/// Refuses flags of a public call, for a caller that makes it out of several others.
pub fn check_flags_of(function: &str, origin: Origin, flags: u32) -> Result<()> {
    RULES.iter().filter(|(of, _)| *of == function).try_for_each(|(_, rule)| {
        let refusal = rule.refusal(flags);
        refusal.map_or(Ok(()), |why| Err(Error::argument(origin, function, "ctl", why)))
    })
}

impl Rule {
    fn refusal(&self, flags: u32) -> Option<String> {
        match self {
            Self::One(choices) => {
                let mut given = choices.iter().filter(|(flag, _)| flags & flag != 0);
                let ((_, one), (_, other)) = (given.next()?, given.next()?);
                Some(format!("Flags '{one}' and '{other}' are mutually exclusive"))
            }
            Self::With((flag, name), (needed, needed_name)) => {
                let alone = flags & flag != 0 && flags & needed == 0;
                alone.then(|| format!("Flag '{needed_name}' is required by flag '{name}'"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_do_not_go_together_are_named() {
        let said = |function: &str, flags: u32| {
            check_flags_of(function, Origin::Domain, flags)
                .map_err(|error| error.message().to_owned())
        };
        assert_eq!(said("virDomainSaveFlags", DOMAIN_SAVE_RUNNING), Ok(()));
        assert_eq!(
            said("virDomainSaveFlags", DOMAIN_SAVE_RUNNING | DOMAIN_SAVE_PAUSED),
            Err("Flags 'VIR_DOMAIN_SAVE_RUNNING' and 'VIR_DOMAIN_SAVE_PAUSED' are mutually exclusive"
                .to_owned())
        );
        assert_eq!(
            said("virDomainSnapshotCreateXML", DOMAIN_SNAPSHOT_CREATE_CURRENT),
            Err("Flag 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE' is required by flag \
                 'VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT'"
                .to_owned())
        );
        assert_eq!(said("virDomainSuspend", u32::MAX), Ok(()));
    }

    #[test]
    fn every_rule_is_about_a_call_that_is_there() {
        let known = include_str!("../generated/api.rs");
        for (function, _) in RULES {
            // These two are made of several calls, by the caller.
            let is_known = known.contains(&format!("name: \"{function}\""))
                || matches!(*function, "virDomainMigrate3" | "virDomainMigrateToURI3");
            assert!(is_known, "{function}");
        }
    }
}
