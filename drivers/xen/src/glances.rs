//! What a list has just shown, for the questions that follow it.
//!
//! Shells ask for a list and then for the state of each domain in it. The list has seen the states, so
//! one look at the hypervisor answers all: to the same caller, once for each domain, for a moment, and
//! only as long as nothing is known to have changed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use virt_driver::Call;
use virt_types::{DomainState, Uuid};

/// How long a list is taken for now.
const FRESH: Duration = Duration::from_secs(1);
/// Limit: callers whose lists are remembered.
const CALLERS_MAX: usize = 64;

struct Glance {
    at: Instant,
    states: HashMap<Uuid, DomainState>,
}

/// The lists that are fresh, by caller.
#[derive(Default)]
pub(crate) struct Glances(Mutex<HashMap<usize, Glance>>);

/// A connection's own place in memory tells it from the others that are there.
fn caller(call: &Call<'_>) -> usize {
    std::ptr::from_ref(call.caller()) as usize
}

impl Glances {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Glance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what a list shows.
    pub(crate) fn keep(&self, call: &Call<'_>, states: HashMap<Uuid, DomainState>) {
        let mut all = self.lock();
        all.retain(|_, glance| glance.at.elapsed() < FRESH);
        if all.len() < CALLERS_MAX {
            all.insert(caller(call), Glance { at: Instant::now(), states });
        }
    }

    /// A domain's state as the caller's list has seen it.
    pub(crate) fn take(&self, call: &Call<'_>, uuid: &Uuid) -> Option<DomainState> {
        let mut all = self.lock();
        let glance = all.get_mut(&caller(call)).filter(|glance| glance.at.elapsed() < FRESH)?;
        glance.states.remove(uuid)
    }

    /// Something has changed.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }
}
