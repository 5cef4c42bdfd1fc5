//! Where a change goes: to what is bound now, or to what waits for the domain's next start.

use crate::model::{Machine, Pending, State, Wanted};

/// Whether the running guest can take a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Now,
    NextStart,
}

/// How a change was taken.
pub(super) enum Taken {
    Applied,
    /// It waits; with the notice that the manager gives.
    Delayed(String),
}

impl Taken {
    pub(super) fn notice(self) -> Option<String> {
        match self {
            Self::Applied => None,
            Self::Delayed(notice) => Some(notice),
        }
    }
}

/// Changes what a domain wants. The edit must leave it as it was when it fails.
pub(super) fn change(
    machine: &mut Machine,
    name: &str,
    when: When,
    edit: impl FnOnce(&mut Wanted) -> Result<(), String>,
) -> Result<Taken, String> {
    refuse_beside_reconf(machine, name)?;
    let profile = machine.profile;
    let domain = machine.settled_mut(name)?;
    if let Some(pending) = &mut domain.pending {
        edit(&mut pending.wanted)?;
        let subject = subject(profile.asks_for_reconf(), name);
        return Ok(Taken::Delayed(format!(
            "Notice: {subject} is in the process of a delayed reconfiguration. Any changes made \
             to this domain will only take effect after it reboots."
        )));
    }
    if domain.state != State::Active || when == When::Now {
        edit(&mut domain.wanted)?;
        return Ok(Taken::Applied);
    }
    let may_wait = profile.any_domain_reconf() || domain.is_control();
    if profile.asks_for_reconf() || !may_wait {
        return Err(format!(
            "LDom \"{name}\" is in the active state: this change needs it to be stopped{}",
            if domain.is_control() { " or in delayed reconfiguration" } else { "" }
        ));
    }
    let mut wanted = domain.wanted.clone();
    edit(&mut wanted)?;
    domain.pending = Some(Pending { wanted, is_final: false });
    Ok(Taken::Delayed(initiating(profile.asks_for_reconf(), name)))
}

/// The notice of a delayed reconfiguration that begins.
pub(super) fn initiating(is_new_wording: bool, name: &str) -> String {
    let subject = subject(is_new_wording, name);
    format!(
        "Initiating delayed reconfigure operation on {subject}. All configuration changes for \
         other LDoms are disabled until the LDom reboots, at which time the new configuration for \
         {subject} will also take effect."
    )
}

fn subject(is_new_wording: bool, name: &str) -> String {
    if is_new_wording { format!("the {name} domain") } else { format!("LDom {name}") }
}

/// While one domain waits for its reconfiguration the others stay as they are.
pub(super) fn refuse_beside_reconf(machine: &Machine, name: &str) -> Result<(), String> {
    let mut others = machine.domains.iter().filter(|domain| domain.name != name);
    match others.find(|domain| domain.pending.is_some()) {
        None => Ok(()),
        Some(waiting) => Err(format!(
            "LDom {} is in the process of a delayed reconfiguration: configuration changes for \
             other LDoms are disabled",
            waiting.name
        )),
    }
}
