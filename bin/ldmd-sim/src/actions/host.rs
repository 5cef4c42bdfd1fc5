//! Saved configurations, delayed reconfiguration, and domains on their way to another machine.

use super::change::{initiating, refuse_beside_reconf};
use super::{Context, Effects, Migration, Notice, Outcome, Step, domain_of, item_of, list};
use crate::base64;
use crate::message::{Item, Object};
use crate::model::{Domain, Machine, Pending, State};

/// Limit: of a saved configuration's name, as documented.
const SPCONFIG_BYTES_MAX: usize = 64;
/// Limit: saved configurations.
const SPCONFIGS_MAX: usize = 64;
/// The configuration that is always there.
pub(crate) const FACTORY: &str = "factory-default";
/// How many times a migration tells how far it is.
const REPORTS: u32 = 4;

fn spconfig_of(object: &Object) -> Result<String, String> {
    let name = item_of(object, "spconfig")?.need("spconfig_name")?;
    if name.len() > SPCONFIG_BYTES_MAX || name.contains(char::is_whitespace) {
        return Err("Operation failed because an invalid configuration name was given".to_owned());
    }
    Ok(name.to_owned())
}

fn spconfig_done(action: &str, name: &str) -> Outcome {
    let item = Item::new("spconfig").with("spconfig_name", name);
    let object = Object { domain: None, items: vec![item] };
    Ok(Step::Done(Effects::notice(Notice::hardware(action, object))))
}

fn refuse_unknown(machine: &Machine, name: &str) -> Result<(), String> {
    if machine.spconfigs.iter().any(|saved| saved == name) {
        return Ok(());
    }
    Err(format!("Configuration {name} does not exist"))
}

pub(super) fn add_spconfig(machine: &mut Machine, _: &Context<'_>, object: &Object) -> Outcome {
    let name = spconfig_of(object)?;
    if machine.spconfigs.contains(&name) {
        return Err(format!("Configuration {name} already exists"));
    }
    if machine.spconfigs.len() >= SPCONFIGS_MAX {
        return Err("There is no room for another configuration".to_owned());
    }
    machine.spconfigs.push(name.clone());
    machine.spconfig.clone_from(&name);
    spconfig_done("add-spconfig", &name)
}

pub(super) fn set_spconfig(machine: &mut Machine, _: &Context<'_>, object: &Object) -> Outcome {
    let name = spconfig_of(object)?;
    refuse_unknown(machine, &name)?;
    machine.spconfig.clone_from(&name);
    spconfig_done("set-spconfig", &name)
}

pub(super) fn remove_spconfig(machine: &mut Machine, _: &Context<'_>, object: &Object) -> Outcome {
    let name = spconfig_of(object)?;
    refuse_unknown(machine, &name)?;
    if name == FACTORY {
        return Err(format!("Configuration {FACTORY} cannot be removed"));
    }
    machine.spconfigs.retain(|saved| *saved != name);
    if machine.spconfig == name {
        FACTORY.clone_into(&mut machine.spconfig);
    }
    spconfig_done("remove-spconfig", &name)
}

pub(super) fn start_reconf(machine: &mut Machine, _: &Context<'_>, object: &Object) -> Outcome {
    let name = domain_of(object)?;
    refuse_beside_reconf(machine, name)?;
    let domain = machine.settled_mut(name)?;
    if !domain.is_control() {
        return Err("Only the control domain can be in delayed reconfiguration".to_owned());
    }
    let mut warning = None;
    if domain.pending.is_none() {
        domain.pending = Some(Pending { wanted: domain.wanted.clone(), is_final: false });
        warning = Some(initiating(true, name));
    }
    Ok(Step::Done(Effects { notices: Vec::new(), warning }))
}

pub(super) fn cancel_reconf(machine: &mut Machine, _: &Context<'_>, object: &Object) -> Outcome {
    let name = domain_of(object)?;
    let domain = machine.settled_mut(name)?;
    match &domain.pending {
        None => Err(format!("LDom \"{name}\" is not in delayed reconfiguration")),
        Some(pending) if pending.is_final => Err(format!(
            "The delayed reconfiguration of LDom \"{name}\" cannot be cancelled: a virtual device \
             was removed"
        )),
        Some(_) => {
            domain.pending = None;
            Ok(Step::Done(Effects::default()))
        }
    }
}

pub(super) fn cancel_operation(
    machine: &mut Machine,
    context: &Context<'_>,
    object: &Object,
) -> Outcome {
    if context.has_option("reconf") {
        return cancel_reconf(machine, context, object);
    }
    if !context.has_option("migration") {
        return Err("The operation to cancel must be migration or reconf".to_owned());
    }
    let name = domain_of(object)?;
    let domain = machine.domain_mut(name)?;
    if domain.state != State::Suspended {
        return Err(format!("LDom \"{name}\" is not being migrated"));
    }
    // The migration finds out when it looks at its domain the next time.
    resume(domain);
    Ok(Step::Done(Effects::default()))
}

/// Begins to send a domain away.
///
/// The first object is the domain, the second one says where to, and under which name. A host that
/// is named `refuses…` has no room for it.
pub(super) fn migrate(machine: &mut Machine, context: &Context<'_>, objects: &[Object]) -> Outcome {
    let source = objects.first().ok_or("The request names no LDom")?;
    let name = domain_of(source)?.to_owned();
    let goal = objects.get(1).unwrap_or(source);
    let new_name = goal.domain.clone().unwrap_or_else(|| name.clone());
    refuse_beside_reconf(machine, &name)?;
    let domain = machine.settled_mut(&name)?;
    if domain.is_control() {
        return Err(format!("LDom \"{name}\" is the control domain and cannot be migrated"));
    }
    if domain.state != State::Active && domain.state != State::Bound {
        return Err(format!("LDom \"{name}\" must be active or bound to be migrated"));
    }
    let target = item_of(goal, "ldom_info")?;
    let host = target.need("target")?.to_owned();
    let secret = |key: &str| {
        let text = base64::decode(target.need(key)?).and_then(|text| String::from_utf8(text).ok());
        text.ok_or_else(|| format!("Property {key} of the target is not base64"))
    };
    let (username, password) = (secret("username")?, secret("password")?);
    if host.starts_with("refuses") {
        return Err(format!(
            "Unable to bind {} memory region at real address 0x8000000\nDomain Migration of LDom \
             {name} failed",
            crate::size::with_unit(domain.bound.memory_bytes())
        ));
    }
    if context.has_option("-n") {
        return Ok(Step::Done(Effects::default()));
    }
    let before = domain.state;
    domain.state = State::Suspended;
    let reports = (1..=REPORTS).map(|at| at * 100 / REPORTS);
    let notices =
        reports.map(|done| progress(&name, done, if done == 100 { "done" } else { "ongoing" }));
    let migration = Migration {
        name: name.clone(),
        object: Object { domain: Some(new_name), ..list::constraints(machine, context, &name)? },
        is_active: before == State::Active,
        host,
        username,
        password,
        notices: notices.collect(),
        pause: context.live.migrate_delay / REPORTS,
    };
    Ok(Step::Migrate(Box::new(migration), Box::new(move |machine| gone(machine, &name))))
}

/// The domain arrived elsewhere.
fn gone(machine: &mut Machine, name: &str) -> Result<Effects, String> {
    machine.unbind(name)?;
    let number = machine.domain(name)?.number;
    machine.domains.retain(|domain| domain.number != number);
    machine.changed.remove(&number);
    machine.removed.insert(number);
    Ok(Effects::notice(Notice::domain("migrate-domain", name)))
}

/// What it was before its migration.
fn resume(domain: &mut Domain) {
    domain.state = if domain.started_s == 0 { State::Bound } else { State::Active };
}

/// Whether nobody cancelled a migration.
pub(crate) fn migration_goes_on(machine: &Machine, name: &str) -> bool {
    machine.domain(name).is_ok_and(|domain| domain.state == State::Suspended)
}

/// Lets a migration come to its end, unless somebody cancelled it; from here on nobody can.
pub(crate) fn migration_ends(machine: &mut Machine, name: &str) -> bool {
    let goes_on = migration_goes_on(machine, name);
    if goes_on && let Ok(domain) = machine.domain_mut(name) {
        domain.state = State::Stopping;
    }
    goes_on
}

/// The domain stays; gives what is told of that.
pub(crate) fn migration_failed(machine: &mut Machine, name: &str) -> Notice {
    if let Ok(domain) = machine.domain_mut(name)
        && matches!(domain.state, State::Suspended | State::Stopping)
    {
        resume(domain);
    }
    progress(name, 0, "failed")
}

fn progress(name: &str, percent: u32, status: &str) -> Notice {
    let item = Item::new("ldom_info")
        .with("progress", format!("{percent}%"))
        .with("status", status)
        .with("source", "ldmd-sim");
    Notice::hardware("migration-process", Object::of(name, vec![item]))
}
