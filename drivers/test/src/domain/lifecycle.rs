//! Starting, stopping and pausing.
//!
//! ```text
//!             start                    suspend
//!   shut off ───────▶ running ────────────────────▶ paused
//!      ▲                │  ▲           resume          │
//!      │ destroy,       │  └───────────────────────────┤
//!      │ shutdown       │    reboot that restarts      │
//!      └────────────────┴──────────────────────────────┘
//! ```
//! A domain that is not stored leaves the world when it stops.

use std::sync::Arc;

use virt_driver::{Call, Job};
use virt_error::Result;
use virt_model::domain::LifecycleAction;
use virt_types::{DomainRef, api};

use super::define::Start;
use super::{Domain, State};
use crate::error::internal;
use crate::fault;
use crate::object::{Change, remove};
use crate::world::World;

/// Makes a domain run: an id, and a stored definition of its own where it is persistent.
pub(crate) fn run(world: &World, state: &mut State) {
    if state.persistent && state.stored.is_none() {
        state.stored = Some(Arc::clone(&state.current));
    }
    let id = world.next_id();
    state.id = Some(id);
    Arc::make_mut(&mut state.current).id = Some(id);
    state.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_BOOTED);
}

/// Starts a domain and tells everybody.
pub(crate) fn start(
    world: &World,
    domain: &Domain,
    turn: &mut Change<'_, State>,
    started: &Start,
) -> DomainRef {
    let dom = turn.change(|state| {
        run(world, state);
        state.set_state(api::DOMAIN_RUNNING, started.reason);
        domain.ref_at(state)
    });
    world.publish_lifecycle(dom.clone(), api::DOMAIN_EVENT_STARTED, started.detail);
    fault::started(world, domain, dom.id);
    dom
}

/// Ends a domain's run; what is stored becomes current again.
pub(crate) fn halt(state: &mut State, reason: i32) {
    state.id = None;
    match state.stored.take() {
        Some(stored) => state.current = stored,
        None => Arc::make_mut(&mut state.current).id = None,
    }
    state.set_state(api::DOMAIN_SHUTOFF, reason);
}

/// Stops a domain, tells everybody, and lets it go where it is not stored.
pub(crate) fn stop(
    world: &World,
    domain: &Arc<Domain>,
    turn: &mut Change<'_, State>,
    reason: i32,
    detail: i32,
) {
    let (dom, persistent) = turn.change(|state| {
        // Compat: the event of a domain that is stored nowhere still carries its id.
        let running = domain.ref_at(state);
        let dom = if state.stored.is_some() { DomainRef { id: -1, ..running } } else { running };
        halt(state, reason);
        (dom, state.persistent)
    });
    world.publish_lifecycle(dom, api::DOMAIN_EVENT_STOPPED, detail);
    if !persistent {
        remove(&world.domains, domain, turn);
    }
}

/// `virDomainCreate`.
pub(crate) fn create(call: &Call<'_>, world: &World, dom: &DomainRef) -> Result<DomainRef> {
    let domain = world.domain(dom)?;
    let mut turn = domain.begin(call, Job::Modify)?;
    if turn.read(|state| state.state != api::DOMAIN_SHUTOFF) {
        return Err(internal(format!("Domain '{}' is already running", dom.name)));
    }
    turn.change(|state| state.managed_save = false);
    let started =
        Start { reason: api::DOMAIN_RUNNING_BOOTED, detail: api::DOMAIN_EVENT_STARTED_BOOTED };
    Ok(start(world, &domain, &mut turn, &started))
}

/// `virDomainDestroy`.
pub(crate) fn destroy(call: &Call<'_>, world: &World, dom: &DomainRef) -> Result<()> {
    let domain = world.domain(dom)?;
    let mut turn = domain.begin(call, Job::Destroy)?;
    turn.read(State::require_active)?;
    let detail = api::DOMAIN_EVENT_STOPPED_DESTROYED;
    stop(world, &domain, &mut turn, api::DOMAIN_SHUTOFF_DESTROYED, detail);
    Ok(())
}

/// `virDomainShutdown`: what happens then is up to `on_poweroff`.
pub(crate) fn shutdown(call: &Call<'_>, world: &World, dom: &DomainRef) -> Result<()> {
    let domain = world.domain(dom)?;
    let mut turn = domain.begin(call, Job::Modify)?;
    let action = turn.read(|state| {
        if state.state == api::DOMAIN_SHUTOFF {
            return Err(internal(format!("domain '{}' not running", dom.name)));
        }
        Ok(state.current.on_poweroff)
    })?;
    power_off(world, &domain, &mut turn, action.unwrap_or(LifecycleAction::Destroy));
    Ok(())
}

/// Compat: every way to reboot that the API knows is taken, and they are all the same.
pub(crate) const REBOOT_FLAGS: u32 = api::DOMAIN_REBOOT_ACPI_POWER_BTN
    | api::DOMAIN_REBOOT_GUEST_AGENT
    | api::DOMAIN_REBOOT_INITCTL
    | api::DOMAIN_REBOOT_SIGNAL
    | api::DOMAIN_REBOOT_PARAVIRT;

/// `virDomainReboot`: what happens then is up to `on_reboot`.
pub(crate) fn reboot(call: &Call<'_>, world: &World, dom: &DomainRef) -> Result<()> {
    let domain = world.domain(dom)?;
    let mut turn = domain.begin(call, Job::Modify)?;
    turn.read(State::require_active)?;
    let action = turn.read(|state| state.current.on_reboot);
    power_off(world, &domain, &mut turn, action.unwrap_or(LifecycleAction::Restart));
    Ok(())
}

/// The guest switched itself off or asked for a reset.
///
/// Compat: a restart is told to nobody, and to preserve is to stop.
fn power_off(
    world: &World,
    domain: &Arc<Domain>,
    turn: &mut Change<'_, State>,
    action: LifecycleAction,
) {
    match action {
        LifecycleAction::Restart | LifecycleAction::RenameRestart => {
            turn.change(|state| state.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_BOOTED))
        }
        _ => {
            let detail = api::DOMAIN_EVENT_STOPPED_SHUTDOWN;
            stop(world, domain, turn, api::DOMAIN_SHUTOFF_SHUTDOWN, detail);
        }
    }
}

/// `virDomainReset`: nothing that anybody could see.
pub(crate) fn reset(call: &Call<'_>, world: &World, dom: &DomainRef) -> Result<()> {
    world.change(call, dom, |state| state.require_active())
}

/// `virDomainSuspend`.
pub(crate) fn suspend(call: &Call<'_>, world: &World, dom: &DomainRef) -> Result<()> {
    let domain = world.domain(dom)?;
    let mut turn = domain.begin(call, Job::Suspend)?;
    let event = turn.change(|state| {
        if matches!(state.state, api::DOMAIN_SHUTOFF | api::DOMAIN_PAUSED) {
            return Err(internal(format!("domain '{}' not running", dom.name)));
        }
        state.set_state(api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_USER);
        Ok(domain.ref_at(state))
    })?;
    let suspended = api::DOMAIN_EVENT_SUSPENDED;
    world.publish_lifecycle(event, suspended, api::DOMAIN_EVENT_SUSPENDED_PAUSED);
    Ok(())
}

/// `virDomainResume`.
pub(crate) fn resume(call: &Call<'_>, world: &World, dom: &DomainRef) -> Result<()> {
    let domain = world.domain(dom)?;
    let mut turn = domain.begin(call, Job::Modify)?;
    let event = turn.change(|state| {
        if state.state != api::DOMAIN_PAUSED {
            return Err(internal(format!("domain '{}' not paused", dom.name)));
        }
        state.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_UNPAUSED);
        Ok(domain.ref_at(state))
    })?;
    let resumed = api::DOMAIN_EVENT_RESUMED;
    world.publish_lifecycle(event, resumed, api::DOMAIN_EVENT_RESUMED_UNPAUSED);
    Ok(())
}

/// `virDomainSetAutostart`.
pub(crate) fn set_autostart(
    call: &Call<'_>,
    world: &World,
    dom: &DomainRef,
    autostart: bool,
) -> Result<()> {
    world.change(call, dom, |state| {
        state.autostart = autostart;
        Ok(())
    })
}
