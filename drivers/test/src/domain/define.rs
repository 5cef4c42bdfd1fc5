//! Where domains come from and where they go: define, undefine, create, rename.

use std::sync::Arc;

use virt_driver::{Call, Job, Turn};
use virt_error::{Code, Error, Origin, Result};
use virt_model::ParseFlags;
use virt_model::domain::Domain as Definition;
use virt_types::{DomainRef, api};

use super::{Domain, State, lifecycle, not_found, rules};
use crate::error::invalid_operation;
use crate::world::World;

/// Whether a domain that runs already may get the definition.
#[derive(Clone, Copy, PartialEq)]
enum Running {
    Allowed,
    Refused,
}

/// `virDomainDefineXML`.
pub(crate) fn define(call: &Call<'_>, world: &World, xml: &str, flags: u32) -> Result<DomainRef> {
    let validate = flags & api::DOMAIN_DEFINE_VALIDATE != 0;
    let definition =
        rules::parse(xml, ParseFlags { inactive: true, validate, ..ParseFlags::default() })?;
    with_entry(world, call.api.name, definition, Running::Allowed, |domain, turn, definition| {
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
    with_entry(world, call.api.name, definition, Running::Refused, |domain, turn, definition| {
        turn.change(|state| {
            if state.persistent {
                state.stored = Some(Arc::clone(&state.current));
            }
            state.current = definition;
        });
        Ok(lifecycle::start(world, domain, turn, api::DOMAIN_EVENT_STARTED_BOOTED))
    })
}

/// Puts a domain of the world's own content in place, running.
pub(crate) fn preset(world: &World, xml: &str) -> Result<()> {
    let definition = rules::parse(xml, ParseFlags { inactive: true, ..ParseFlags::default() })?;
    with_entry(world, "virConnectOpen", definition, Running::Refused, |_, turn, definition| {
        turn.change(|state| {
            state.current = definition;
            state.persistent = true;
            lifecycle::run(world, state);
            // Compat: how it came to run is not known.
            state.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_UNKNOWN);
        });
        Ok(())
    })
}

/// Runs `body` in a turn of the domain that `definition` is for, which is new where there is none.
fn with_entry<R>(
    world: &World,
    api: &'static str,
    mut definition: Definition,
    running: Running,
    body: impl FnOnce(&Arc<Domain>, &mut Turn<'_, State>, Arc<Definition>) -> Result<R>,
) -> Result<R> {
    let uuid = definition.uuid.unwrap_or_default();
    definition.id = None;
    loop {
        if let Some(existing) = known(world, &definition)? {
            let mut turn = match existing.begin_as(Job::Modify, api) {
                // It went while we waited: the name is free again.
                Err(error) if error.is(Code::NoDomain) => continue,
                turn => turn?,
            };
            if running == Running::Refused && turn.read(State::active) {
                let detail = format!("domain '{}' is already active", existing.name);
                return Err(Error::new(Code::OperationInvalid, Origin::Domain, detail));
            }
            return body(&existing, &mut turn, Arc::new(definition));
        }
        let fresh = Arc::new(Domain::new(definition.clone(), uuid));
        // Order: the turn is taken before anybody can see the domain.
        let mut turn = fresh.begin_as(Job::Modify, api)?;
        if world.domains.insert(Arc::clone(&fresh)).is_ok() {
            return body(&fresh, &mut turn, Arc::new(definition));
        }
    }
}

/// The domain with the name and UUID of `definition`; an error where only one of them fits.
fn known(world: &World, definition: &Definition) -> Result<Option<Arc<Domain>>> {
    let uuid = definition.uuid.unwrap_or_default();
    let refused = |detail| Err(Error::new(Code::OperationFailed, Origin::Domain, detail));
    if let Some(existing) = world.domains.by_uuid(&uuid) {
        if *existing.name != *definition.name {
            let name = &existing.name;
            return refused(format!("domain '{name}' is already defined with uuid {uuid}"));
        }
        return Ok(Some(existing));
    }
    match world.domains.by_name(&definition.name) {
        Some(existing) => refused(format!(
            "domain '{}' already exists with uuid {}",
            existing.name, existing.uuid
        )),
        None => Ok(None),
    }
}

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
        state.managed_save = false;
        state.persistent = false;
        Ok((domain.ref_at(state), state.active()))
    })?;
    world.publish_lifecycle(dom, api::DOMAIN_EVENT_UNDEFINED, api::DOMAIN_EVENT_UNDEFINED_REMOVED);
    if !active {
        remove(world, &domain, &mut turn);
    }
    Ok(())
}

/// Takes a domain off the list; who still waits for a turn finds nothing.
pub(crate) fn remove(world: &World, domain: &Arc<Domain>, turn: &mut Turn<'_, State>) {
    turn.change(|state| state.gone = true);
    world.domains.remove(domain);
}

/// `virDomainRename`.
pub(crate) fn rename(
    call: &Call<'_>,
    world: &World,
    dom: &DomainRef,
    new_name: &str,
) -> Result<i32> {
    if new_name.contains('/') {
        let detail = format!("name {new_name} cannot contain '/'");
        return Err(Error::new(Code::XmlError, Origin::Test, detail));
    }
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
    let taken = |detail| Err(Error::new(Code::OperationInvalid, Origin::Domain, detail));
    if *domain.name == *new_name {
        return taken("Can't rename domain to itself".to_owned());
    }
    if world.domains.by_name(new_name).is_some() {
        return taken(format!("domain with name '{new_name}' already exists"));
    }
    let mut definition = (*old.current).clone();
    definition.name = new_name.to_owned();
    let renamed = Arc::new(Domain::new(definition, domain.uuid));
    let mut new_turn = renamed.begin(call, Job::Modify)?;
    new_turn.change(|state| {
        let current = Arc::clone(&state.current);
        *state = State { current, ..old };
    });
    if !world.domains.replace(&domain, Arc::clone(&renamed)) {
        return taken(format!("domain with name '{new_name}' already exists"));
    }
    turn.change(|state| state.gone = true);
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
