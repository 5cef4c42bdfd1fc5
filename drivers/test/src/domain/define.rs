//! Where domains come from and where they go: define, undefine, create, rename.

use std::sync::Arc;

use virt_driver::{Call, Job};
use virt_error::{Code, Error, Origin, Result};
use virt_model::ParseFlags;
use virt_model::domain::Domain as Definition;
use virt_types::{DomainRef, api};

use super::{Domain, State, lifecycle, not_found, rules};
use crate::error::invalid_operation;
use crate::fault::{self, Plan};
use crate::object::{Change, Running, remove, with_entry};
use crate::world::World;

/// `virDomainDefineXML`.
pub(crate) fn define(call: &Call<'_>, world: &World, xml: &str, flags: u32) -> Result<DomainRef> {
    let validate = flags & api::DOMAIN_DEFINE_VALIDATE != 0;
    let definition =
        rules::parse(xml, ParseFlags { inactive: true, validate, ..ParseFlags::default() })?;
    enter(world, call.api.name, definition, Running::Allowed, |domain, turn, definition| {
        let (dom, detail) = turn.change(|state| {
            let detail = if state.persistent {
                api::DOMAIN_EVENT_DEFINED_UPDATED
            } else {
                api::DOMAIN_EVENT_DEFINED_ADDED
            };
            state.persistent = true;
            if state.active() {
                state.stored = Some(definition);
            } else {
                state.current = definition;
            }
            (domain.ref_at(state), detail)
        });
        world.publish_lifecycle(dom.clone(), api::DOMAIN_EVENT_DEFINED, detail);
        Ok(dom)
    })
}

/// `virDomainCreateXML`: a domain that is running as soon as it is there.
pub(crate) fn create(call: &Call<'_>, world: &World, xml: &str, flags: u32) -> Result<DomainRef> {
    let validate = flags & api::DOMAIN_START_VALIDATE != 0;
    let definition =
        rules::parse(xml, ParseFlags { inactive: true, validate, ..ParseFlags::default() })?;
    let started =
        Start { reason: api::DOMAIN_RUNNING_BOOTED, detail: api::DOMAIN_EVENT_STARTED_BOOTED };
    start_new(call, world, definition, started)
}

/// How a domain comes to run: for its state, and for its event.
pub(crate) struct Start {
    pub(crate) reason: i32,
    pub(crate) detail: i32,
}

/// Starts a domain with a definition of its own.
pub(crate) fn start_new(
    call: &Call<'_>,
    world: &World,
    definition: Definition,
    started: Start,
) -> Result<DomainRef> {
    fault::meet_new(call, &definition.name, &plan_of(&definition)?)?;
    enter(world, call.api.name, definition, Running::Refused, |domain, turn, definition| {
        turn.change(|state| {
            if state.persistent {
                state.stored = Some(Arc::clone(&state.current));
            }
            state.current = definition;
        });
        Ok(lifecycle::start(world, domain, turn, &started))
    })
}

/// Puts a domain of the world's own content in place; `settle` gives it its place in the world and
/// the state it is in, if it runs.
pub(crate) fn preset(
    world: &World,
    definition: Definition,
    settle: impl FnOnce(&mut State) -> Option<i32>,
) -> Result<()> {
    enter(world, "virConnectOpen", definition, Running::Allowed, |domain, turn, definition| {
        let run = turn.change(|state| {
            state.current = definition;
            if let Some(number) = settle(state) {
                lifecycle::run(world, state);
                // Compat: how it came into that state is not known.
                state.set_state(number, 0);
            }
            state.id
        });
        if let Some(run) = run {
            fault::started(world, domain, run);
        }
        Ok(())
    })
}

/// Runs `body` in a turn of the domain that `definition` is for, which is new where there is none.
fn enter<R>(
    world: &World,
    api: &'static str,
    mut definition: Definition,
    running: Running,
    body: impl FnOnce(&Arc<Domain>, &mut Change<'_, State>, Arc<Definition>) -> Result<R>,
) -> Result<R> {
    let plan = world.faults.admit(plan_of(&definition)?);
    definition.id = None;
    let key = (definition.name.clone(), definition.uuid.unwrap_or_default());
    let definition = Arc::new(definition);
    with_entry(
        &world.domains,
        api,
        (&key.0, key.1),
        running,
        || State::new(Arc::clone(&definition)),
        |domain, change| {
            domain.set_plan(plan.clone());
            body(domain, change, Arc::clone(&definition))
        },
    )
}

fn plan_of(definition: &Definition) -> Result<Plan> {
    Plan::of_foreign(&definition.namespaces, &definition.foreign)
}

/// What may go with a domain.
pub(crate) const UNDEFINE_FLAGS: u32 =
    api::DOMAIN_UNDEFINE_MANAGED_SAVE | api::DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;

/// `virDomainUndefine`. A domain that runs goes on as a transient one.
pub(crate) fn undefine(call: &Call<'_>, world: &World, dom: &DomainRef, flags: u32) -> Result<()> {
    let domain = world.domain(dom)?;
    let mut turn = domain.begin(call, Job::Modify)?;
    let (dom, active) = turn.change(|state| {
        if state.managed_save && flags & api::DOMAIN_UNDEFINE_MANAGED_SAVE == 0 {
            return Err(invalid_operation(
                "Refusing to undefine while domain managed save image exists",
            ));
        }
        let count = state.snapshots.len();
        if !state.active() && count > 0 && flags & api::DOMAIN_UNDEFINE_SNAPSHOTS_METADATA == 0 {
            let detail = format!("cannot delete inactive domain with {count} snapshots");
            return Err(invalid_operation(detail));
        }
        state.managed_save = false;
        state.persistent = false;
        Ok((domain.ref_at(state), state.active()))
    })?;
    world.publish_lifecycle(dom, api::DOMAIN_EVENT_UNDEFINED, api::DOMAIN_EVENT_UNDEFINED_REMOVED);
    if !active {
        remove(&world.domains, &domain, &mut turn);
    }
    Ok(())
}

/// `virDomainRename`.
pub(crate) fn rename(
    call: &Call<'_>,
    world: &World,
    dom: &DomainRef,
    new_name: &str,
) -> Result<i32> {
    let domain = world.domain(dom)?;
    let mut turn = domain.begin(call, Job::Modify)?;
    let old = turn.read(|state| {
        if state.active() {
            return Err(invalid_operation("cannot rename active domain"));
        }
        if !state.persistent {
            return Err(invalid_operation("cannot rename a transient domain"));
        }
        Ok(state.clone())
    })?;
    if new_name.contains('/') {
        let detail = format!("name {new_name} cannot contain '/'");
        return Err(Error::new(Code::XmlError, Origin::Test, detail));
    }
    let taken = |detail| Err(Error::new(Code::OperationInvalid, Origin::Domain, detail));
    if *domain.name == *new_name {
        return taken("Can't rename domain to itself".to_owned());
    }
    if world.domains.by_name(new_name).is_some() {
        return taken(format!("domain with name '{new_name}' already exists"));
    }
    let mut definition = (*old.current).clone();
    definition.name = new_name.to_owned();
    let state = State { current: Arc::new(definition), ..old };
    let renamed = Arc::new(Domain::new(new_name, domain.uuid, state));
    renamed.set_plan(domain.plan());
    let _new_turn = renamed.begin(call, Job::Modify)?;
    if !world.domains.replace(&domain, Arc::clone(&renamed)) {
        return taken(format!("domain with name '{new_name}' already exists"));
    }
    turn.end();
    let undefined = api::DOMAIN_EVENT_UNDEFINED;
    world.publish_lifecycle(domain.to_ref(), undefined, api::DOMAIN_EVENT_UNDEFINED_RENAMED);
    let defined = api::DOMAIN_EVENT_DEFINED;
    world.publish_lifecycle(renamed.to_ref(), defined, api::DOMAIN_EVENT_DEFINED_RENAMED);
    Ok(0)
}

/// Finds a domain by its id, which only a running one has.
pub(crate) fn by_id(world: &World, id: i32) -> Result<DomainRef> {
    let found = world.domains.collect(|domain| {
        domain.read(|state| (state.id == Some(id)).then(|| domain.ref_at(state)))
    });
    found.into_iter().next().ok_or_else(not_found)
}
