//! A guest crashes: nobody asked for it, and `on_crash` says what comes of it.

use std::sync::Arc;

use virt_driver::Job;
use virt_model::domain::LifecycleAction;
use virt_types::api;

use super::{Domain, State, lifecycle};
use crate::fault;
use crate::world::World;

/// Crashes a guest that runs; with `run`, only where it is still in that run.
///
/// Compat: what is told to whom, and the reasons, are what QEMU's driver does when a guest panics.
pub(crate) fn crash(world: &World, domain: &Arc<Domain>, run: Option<i32>) {
    // A guest whose turn is taken for so long is not there to crash any more.
    let Ok(Some(mut turn)) = domain.begin_as(Job::Modify, "crash") else { return };
    let live = turn.read(|state| state.id.filter(|id| run.is_none_or(|run| run == *id)));
    let crashed = turn.read(|state| state.state == api::DOMAIN_CRASHED);
    let Some(id) = live.filter(|_| !crashed) else { return };
    let (dom, action) = turn.change(|state| {
        state.set_state(api::DOMAIN_CRASHED, api::DOMAIN_CRASHED_PANICKED);
        (domain.ref_at(state), state.current.on_crash)
    });
    let crashed = api::DOMAIN_EVENT_CRASHED;
    world.publish_lifecycle(dom.clone(), crashed, api::DOMAIN_EVENT_CRASHED_PANICKED);
    match action.unwrap_or(LifecycleAction::Destroy) {
        LifecycleAction::Preserve => {}
        LifecycleAction::Destroy | LifecycleAction::CoredumpDestroy => {
            let detail = api::DOMAIN_EVENT_STOPPED_CRASHED;
            lifecycle::stop(world, domain, &mut turn, api::DOMAIN_SHUTOFF_CRASHED, detail);
        }
        LifecycleAction::Restart
        | LifecycleAction::RenameRestart
        | LifecycleAction::CoredumpRestart => {
            let again = |state: &mut State| {
                state.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_CRASHED);
            };
            turn.change(again);
            let resumed = api::DOMAIN_EVENT_RESUMED;
            world.publish_lifecycle(dom, resumed, api::DOMAIN_EVENT_RESUMED_UNPAUSED);
            fault::started(world, domain, id);
        }
    }
}
