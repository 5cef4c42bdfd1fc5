//! A domain's life.

use crate::form::Form;
use crate::machine::State;
use crate::xend::Xend;
use crate::{config::Config, managed, sxp};

use super::{Done, find};

pub(super) fn act(xend: &Xend, key: &str, op: &str, form: &Form) -> Option<Done> {
    let managing = xend.profile().is_managing();
    Some(match op {
        "unpause" => set_state(xend, key, State::Paused, State::Up),
        "pause" => set_state(xend, key, State::Up, State::Paused),
        "shutdown" => shutdown(xend, key, form),
        "destroy" => destroy(xend, key),
        "start" if managing => start(xend, key),
        "delete" if managing => delete(xend, key),
        "rename" => rename(xend, key, form),
        "sysrq" => sysrq(xend, key, form),
        "wait_for_devices" => Ok(None),
        "configure" => configure(xend, key, form),
        "reset" => Ok(None),
        _ => return None,
    })
}

fn set_state(xend: &Xend, key: &str, from: State, to: State) -> Done {
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    let name = domain.config.name.clone();
    let run = domain.run.as_mut().ok_or_else(|| format!("Domain '{name}' is not started"))?;
    if run.state == from {
        run.state = to;
    }
    Ok(None)
}

fn shutdown(xend: &Xend, key: &str, form: &Form) -> Done {
    let reason = form.need("reason")?;
    if !["poweroff", "reboot", "suspend", "halt", "crash"].contains(&reason) {
        return Err(format!("Invalid reason: {reason}"));
    }
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    let Some(run) = &domain.run else {
        return Err(format!("Domain '{}' is not started", domain.config.name));
    };
    if run.state == State::Paused {
        return Err("Domain is paused".to_owned());
    }
    xend.ask(domain, reason);
    Ok(None)
}

fn destroy(xend: &Xend, key: &str) -> Done {
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    let Some(run) = &mut domain.run else {
        return Err(format!("Domain '{}' is not started", domain.config.name));
    };
    run.state = State::Dying;
    xend.reap(&mut world, at);
    Ok(None)
}

fn start(xend: &Xend, key: &str) -> Done {
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    xend.boot(&mut world, at)?;
    // Its `paused` argument never takes effect: it runs.
    let run = world.domains.get_mut(at).and_then(|domain| domain.run.as_mut());
    run.into_iter().for_each(|run| run.state = State::Up);
    Ok(None)
}

fn delete(xend: &Xend, key: &str) -> Done {
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    if domain.run.is_some() {
        return Err("Domain is still running".to_owned());
    }
    if let Some(dir) = xend.domains_dir() {
        managed::remove(dir, &domain.config.uuid);
    }
    world.domains.remove(at);
    Ok(None)
}

fn rename(xend: &Xend, key: &str, form: &Form) -> Done {
    let name = form.need("name")?.to_owned();
    let mut world = xend.world();
    if find(&world, &name).is_some() {
        return Err(format!("VM name '{name}' already exists"));
    }
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    if let Some(run) = &domain.run {
        xend.tree.write(&format!("/local/domain/{}/name", run.id), &name);
    }
    xend.edit(domain, |config| config.name = name)?;
    Ok(None)
}

/// `c` is a guest's own way to crash.
fn sysrq(xend: &Xend, key: &str, form: &Form) -> Done {
    let letter = form.need("key")?;
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    if letter == "c" {
        xend.ask(domain, "crash");
    }
    Ok(None)
}

fn configure(xend: &Xend, key: &str, form: &Form) -> Done {
    let config = Config::of(&sxp::parse(form.need("config")?)?, &xend.settings)?;
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    xend.edit(domain, |old| *old = config)?;
    Ok(None)
}
