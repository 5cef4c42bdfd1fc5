//! Binding, starting and stopping, and what guests do by themselves.

use std::time::Duration;

use super::{Context, Effects, Notice, Outcome, Step, domain_of};
use crate::message::Object;
use crate::model::{Domain, Machine, State, now_s};
use crate::options::Guest;

/// Shows the state that lasts for `wait`, then does the rest.
fn after(
    machine: &mut Machine,
    name: &str,
    state: State,
    wait: Duration,
    rest: impl FnOnce(&mut Machine) -> Result<Effects, String> + Send + 'static,
) -> Outcome {
    if wait.is_zero() {
        return rest(machine).map(Step::Done);
    }
    machine.domain_mut(name)?.state = state;
    let name = name.to_owned();
    let rest = move |machine: &mut Machine| match machine.domain(&name)?.state == state {
        true => rest(machine),
        // It was stopped by force meanwhile.
        false => Ok(Effects::default()),
    };
    Ok(Step::Wait(wait, Box::new(rest)))
}

/// The domain, if it is in the state that the action needs.
fn in_state<'a>(
    machine: &'a mut Machine,
    name: &str,
    state: State,
    verb: &str,
) -> Result<&'a mut Domain, String> {
    let domain = machine.settled_mut(name)?;
    if domain.state == state {
        return Ok(domain);
    }
    let found = domain.state.name();
    Err(format!("LDom \"{name}\" is in the {found} state and cannot be {verb}"))
}

pub(super) fn bind(machine: &mut Machine, context: &Context<'_>, object: &Object) -> Outcome {
    let name = domain_of(object)?.to_owned();
    in_state(machine, &name, State::Inactive, "bound")?;
    super::change::refuse_beside_reconf(machine, &name)?;
    // All or none: the resources are taken at once, and the state shows how long it takes.
    machine.bind(&name)?;
    let wait = context.live.bind_delay;
    after(machine, &name.clone(), State::Binding, wait, move |machine| {
        machine.domain_mut(&name)?.state = State::Bound;
        Ok(Effects::notice(Notice::domain("bind-domain", &name)))
    })
}

pub(super) fn unbind(machine: &mut Machine, context: &Context<'_>, object: &Object) -> Outcome {
    let name = domain_of(object)?.to_owned();
    refuse_control(&name, "unbound")?;
    in_state(machine, &name, State::Bound, "unbound")?;
    let wait = context.live.unbind_delay;
    after(machine, &name.clone(), State::Unbinding, wait, move |machine| {
        machine.unbind(&name)?;
        Ok(Effects::notice(Notice::domain("unbind-domain", &name)))
    })
}

pub(super) fn start(machine: &mut Machine, context: &Context<'_>, object: &Object) -> Outcome {
    let name = domain_of(object)?.to_owned();
    in_state(machine, &name, State::Bound, "started")?;
    let wait = context.live.start_delay;
    after(machine, &name.clone(), State::Starting, wait, move |machine| {
        let domain = machine.domain_mut(&name)?;
        run(domain);
        Ok(Effects::notice(Notice::domain("start-domain", &name)))
    })
}

fn run(domain: &mut Domain) {
    let auto_boot = domain.wanted.position("var", "name", "auto-boot?");
    let auto_boot = auto_boot.and_then(|at| domain.wanted.items.get(at)?.get("value"));
    domain.stays_in_openboot = auto_boot == Some("false");
    domain.state = State::Active;
    domain.started_s = now_s();
}

fn refuse_control(name: &str, verb: &str) -> Result<(), String> {
    if name != crate::model::CONTROL {
        return Ok(());
    }
    Err(format!("LDom \"{name}\" is the control domain and cannot be {verb}"))
}

pub(super) fn stop(machine: &mut Machine, context: &Context<'_>, object: &Object) -> Outcome {
    if context.has_option("-a") && object.domain.is_none() {
        return stop_all(machine, context);
    }
    let name = domain_of(object)?.to_owned();
    refuse_control(&name, "stopped")?;
    let is_forced = context.has_option("-f");
    if is_forced && machine.domain(&name)?.state == State::Stopping {
        return guest_powered_off(machine, &name).map(|done| Step::Done(Effects::notice(done)));
    }
    in_state(machine, &name, State::Active, "stopped")?;
    if context.has_option("-r") {
        return after(
            machine,
            &name.clone(),
            State::Stopping,
            context.live.stop_delay,
            move |machine| guest_reset(machine, &name).map(Effects::notice),
        );
    }
    if !is_forced && context.live.guest(&name) == Guest::IgnoresStop {
        return after(
            machine,
            &name.clone(),
            State::Stopping,
            context.live.stop_timeout,
            move |machine| {
                machine.domain_mut(&name)?.state = State::Active;
                Err(format!("LDom \"{name}\" stop request timed out: the guest does not respond"))
            },
        );
    }
    let wait = if is_forced { Duration::ZERO } else { context.live.stop_delay };
    after(machine, &name.clone(), State::Stopping, wait, move |machine| {
        guest_powered_off(machine, &name).map(Effects::notice)
    })
}

fn stop_all(machine: &mut Machine, context: &Context<'_>) -> Outcome {
    let is_forced = context.has_option("-f");
    let mut effects = Effects::default();
    let active = machine.domains.iter().filter(|domain| domain.state == State::Active);
    let names: Vec<String> =
        active.filter(|domain| !domain.is_control()).map(|domain| domain.name.clone()).collect();
    for name in names {
        if is_forced || context.live.guest(&name) != Guest::IgnoresStop {
            effects.notices.push(guest_powered_off(machine, &name)?);
        }
    }
    Ok(Step::Done(effects))
}

pub(super) fn panic(machine: &mut Machine, _: &Context<'_>, object: &Object) -> Outcome {
    let name = domain_of(object)?;
    in_state(machine, name, State::Active, "made to panic")?;
    guest_panicked(machine, name).map(|notices| Step::Done(Effects { notices, warning: None }))
}

/// The domain ran, and is bound now, with what was waiting for this.
pub(crate) fn guest_powered_off(machine: &mut Machine, name: &str) -> Result<Notice, String> {
    let domain = machine.domain_mut(name)?;
    domain.state = State::Bound;
    domain.started_s = 0;
    apply_pending(machine, name)?;
    Ok(Notice::domain("stop-domain", name))
}

/// The domain begins anew, with what was waiting for this.
pub(crate) fn guest_reset(machine: &mut Machine, name: &str) -> Result<Notice, String> {
    apply_pending(machine, name)?;
    run(machine.domain_mut(name)?);
    Ok(Notice::domain("domain-reset", name))
}

/// The guest dumps and begins anew.
pub(crate) fn guest_panicked(machine: &mut Machine, name: &str) -> Result<Vec<Notice>, String> {
    let reset = guest_reset(machine, name)?;
    Ok(vec![Notice::domain("panic-domain", name), reset])
}

/// Takes over a delayed reconfiguration. What the machine has no room for stays as it was.
fn apply_pending(machine: &mut Machine, name: &str) -> Result<(), String> {
    let domain = machine.domain_mut(name)?;
    let Some(pending) = domain.pending.take() else { return Ok(()) };
    let before = std::mem::replace(&mut domain.wanted, pending.wanted);
    let bound = domain.bound.clone();
    let mut refit = || {
        machine.refit_strands(name)?;
        machine.refit_maus(name)?;
        machine.refit_memory(name)
    };
    if let Err(why) = refit() {
        // The domain stopped or began anew all the same.
        eprintln!("ldmd-sim: the reconfiguration of {name} is given up: {why}");
        let domain = machine.domain_mut(name)?;
        domain.wanted = before;
        domain.bound = bound;
    }
    Ok(())
}
