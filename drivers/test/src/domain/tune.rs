//! NUMA placement, performance events, and what a lifecycle event leads to.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::tune::{NumaMemory, NumaMode};
use virt_model::domain::{Domain as Definition, LifecycleAction, PerfEvent, PerfEventName};
use virt_model::{NumberSet, Text, YesNo};
use virt_types::{DomainGetSchedulerType, TypedParam, api};

use super::State;
use crate::error::{invalid_arg, invalid_operation};
use crate::params::{self, Kind};

const MODE: &str = "numa_mode";
const NODESET: &str = "numa_nodeset";

fn numa_memory(definition: &Definition) -> NumaMemory {
    definition.numatune.memory.clone().unwrap_or_default()
}

/// `virDomainGetNumaParameters`.
pub(crate) fn numa(state: &State, flags: u32) -> Result<Vec<TypedParam>> {
    let memory = numa_memory(state.affected(flags)?);
    let mode = memory.mode.unwrap_or_default() as i32;
    let nodeset = memory.nodeset.map(|set| set.print().into_owned()).unwrap_or_default();
    Ok(vec![TypedParam::new(MODE, mode), TypedParam::new(NODESET, nodeset)])
}

/// `virDomainSetNumaParameters`.
pub(crate) fn set_numa(state: &mut State, given: &[TypedParam], flags: u32) -> Result<()> {
    params::validate(given, &[(MODE, Kind::Int), (NODESET, Kind::String)])?;
    let mode = match params::int(given, MODE) {
        None => None,
        Some(number) => match NumaMode::ALL.iter().find(|mode| **mode as i32 == number) {
            Some(mode) => Some(*mode),
            None => {
                return Err(invalid_arg(format!("unsupported numatune mode: '{number}'")));
            }
        },
    };
    let nodeset = match params::string(given, NODESET) {
        None => None,
        Some(text) => match NumberSet::parse(text) {
            Some(set) => Some(set),
            None => {
                let detail = format!("Failed to parse bitmap '{text}'");
                return Err(Error::new(Code::InvalidArg, Origin::None, detail));
            }
        },
    };
    let live = state.active() && flags & api::DOMAIN_AFFECT_CONFIG == 0;
    if live || flags & api::DOMAIN_AFFECT_LIVE != 0 {
        let now =
            state.current.numatune.memory.as_ref().map(|memory| memory.mode.unwrap_or_default());
        if mode.is_some() && now.is_some() && mode != now {
            return Err(invalid_operation("can't change numatune mode for running domain"));
        }
    }
    let mut refused = false;
    state.change_affected(flags, |definition| {
        let mut memory = numa_memory(definition);
        memory.mode = Some(mode.or(memory.mode).unwrap_or_default());
        memory.nodeset = nodeset.clone().or(memory.nodeset);
        if memory.nodeset.is_none() {
            refused = true;
            return;
        }
        definition.numatune.memory = Some(memory);
    })?;
    if refused {
        let detail = "nodeset for NUMA memory tuning must be set if 'placement' is 'static'";
        return Err(Error::new(Code::ConfigUnsupported, Origin::Domain, detail));
    }
    Ok(())
}

/// `virDomainGetPerfEvents`.
pub(crate) fn perf(state: &State, flags: u32) -> Result<Vec<TypedParam>> {
    let perf = &state.affected(flags)?.perf;
    let enabled = |name| perf.iter().any(|event| event.name == name && event.enabled.is_yes());
    let all = PerfEventName::ALL.iter();
    Ok(all.map(|name| TypedParam::new(name.as_str(), enabled(*name))).collect())
}

/// `virDomainSetPerfEvents`.
pub(crate) fn set_perf(state: &mut State, given: &[TypedParam], flags: u32) -> Result<()> {
    let kinds: Vec<_> = PerfEventName::ALL.iter().map(|n| (n.as_str(), Kind::Boolean)).collect();
    params::validate(given, &kinds)?;
    state.change_affected(flags, |definition| {
        let old = std::mem::take(&mut definition.perf);
        for name in PerfEventName::ALL.iter().copied() {
            let known = old.iter().find(|event| event.name == name).map(|event| event.enabled);
            if let Some(enabled) = params::boolean(given, name.as_str()).map(YesNo::from).or(known)
            {
                definition.perf.push(PerfEvent { name, enabled });
            }
        }
    })
}

/// `virDomainSetLifecycleAction`.
pub(crate) fn set_lifecycle(state: &mut State, kind: u32, action: u32, flags: u32) -> Result<()> {
    const KINDS: [&str; 3] = ["poweroff", "reboot", "crash"];
    let refused = |code, detail| Err(Error::new(code, Origin::Domain, detail));
    let Some(name) = usize::try_from(kind).ok().and_then(|at| KINDS.get(at)) else {
        return refused(Code::InvalidArg, format!("invalid lifecycle type '{kind}'"));
    };
    let actions = LifecycleAction::ALL;
    let Some(action) = usize::try_from(action).ok().and_then(|at| actions.get(at)).copied() else {
        return refused(Code::InvalidArg, format!("invalid lifecycle action '{action}'"));
    };
    let dumps =
        matches!(action, LifecycleAction::CoredumpDestroy | LifecycleAction::CoredumpRestart);
    if dumps && *name != "crash" {
        return refused(
            Code::ConfigUnsupported,
            format!("Lifecycle event '{name}' doesn't support '{action}' action"),
        );
    }
    state.change_affected(flags, |definition| {
        let slot = match *name {
            "poweroff" => &mut definition.on_poweroff,
            "reboot" => &mut definition.on_reboot,
            _ => &mut definition.on_crash,
        };
        *slot = Some(action);
    })
}

const WEIGHT: &str = "weight";

/// `virDomainGetSchedulerType`.
pub(crate) fn scheduler_type() -> DomainGetSchedulerType {
    DomainGetSchedulerType { kind: "fair".to_owned(), nparams: 1 }
}

/// `virDomainGetSchedulerParameters`: there is one scheduler, and it is fair.
pub(crate) fn scheduler() -> Vec<TypedParam> {
    vec![TypedParam::new(WEIGHT, 50_u32)]
}

/// `virDomainSetSchedulerParameters`: taken, and forgotten.
pub(crate) fn set_scheduler(given: &[TypedParam]) -> Result<()> {
    params::validate(given, &[(WEIGHT, Kind::Uint)])
}
