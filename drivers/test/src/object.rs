//! What domains, networks and pools have in common: a name, a UUID, a turn, a way in and out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use virt_driver::{Call, Cell, Entry, Job, Table, Turn};
use virt_error::{Code, Error, Origin, Result};
use virt_types::{Name, Uuid};

use crate::fault::Plan;

/// How long a call waits for another one's turn at the same object.
const TURN_WAIT_MAX: Duration = Duration::from_secs(30);

/// An object as it is listed. Another name makes it another entry.
///
/// What a list asks for stands together in one cache line: most of the time that a list of
/// thousands takes is waiting for memory.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Object<S: Family> {
    pub(crate) name: Name,
    pub(crate) uuid: Uuid,
    /// What lists want to know of the state, without its lock.
    pub(crate) glance: S::Glance,
    cell: Cell<Slot<S>>,
    /// What goes wrong with it.
    plan: Mutex<Option<Arc<Plan>>>,
}

#[derive(Debug)]
struct Slot<S> {
    state: S,
    /// It is no longer listed: whoever waited for a turn finds nothing.
    gone: bool,
}

/// The changing part of an object.
pub(crate) trait Family: Send + Sync {
    /// What such an object is called.
    const WHAT: &'static str;
    /// Who reports that a name is taken.
    const ORIGIN: Origin;

    type Glance: Default + Send + Sync + std::fmt::Debug;

    /// Shows what has changed to lists.
    fn show(&self, glance: &Self::Glance);

    fn is_active(&self) -> bool;

    /// The error of an object that is not listed any more.
    fn lost(name: &str) -> Error;

    /// Says that the object of that name runs already.
    fn busy(name: &str) -> String;
}

/// Whether an object that runs already may get a new definition.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Running {
    Allowed,
    Refused,
}

/// The right to change an object.
pub(crate) struct Change<'a, S: Family> {
    turn: Turn<'a, Slot<S>>,
    glance: &'a S::Glance,
}

impl<S: Family> Change<'_, S> {
    pub(crate) fn read<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        self.turn.read(|slot| look(&slot.state))
    }

    pub(crate) fn change<R>(&mut self, edit: impl FnOnce(&mut S) -> R) -> R {
        let glance = self.glance;
        self.turn.change(|slot| {
            let result = edit(&mut slot.state);
            slot.state.show(glance);
            result
        })
    }

    /// Marks the object as gone, for those who wait for a turn.
    pub(crate) fn end(&mut self) {
        self.turn.change(|slot| slot.gone = true);
    }
}

impl<S: Family> Entry for Object<S> {
    fn name(&self) -> &Name {
        &self.name
    }

    fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl<S: Family> Object<S> {
    pub(crate) fn new(name: &str, uuid: Uuid, state: S) -> Self {
        let glance = S::Glance::default();
        state.show(&glance);
        let cell = Cell::new(Slot { state, gone: false });
        Self { name: name.into(), uuid, glance, cell, plan: Mutex::default() }
    }

    pub(crate) fn plan(&self) -> Option<Arc<Plan>> {
        self.locked_plan().clone()
    }

    /// Puts another plan in the place of the one it had.
    pub(crate) fn set_plan(&self, plan: Option<Arc<Plan>>) {
        *self.locked_plan() = plan;
    }

    fn locked_plan(&self) -> MutexGuard<'_, Option<Arc<Plan>>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        self.cell.read(|slot| look(&slot.state))
    }

    /// Takes the turn to change the object.
    pub(crate) fn begin(&self, call: &Call<'_>, job: Job) -> Result<Change<'_, S>> {
        let turn = self.cell.begin_for(job, call, TURN_WAIT_MAX)?;
        self.change(turn).ok_or_else(|| S::lost(&self.name))
    }

    /// The same in the name of a call; `None` when the object went while we waited.
    pub(crate) fn begin_as(&self, job: Job, api: &'static str) -> Result<Option<Change<'_, S>>> {
        Ok(self.change(self.cell.begin(job, api, TURN_WAIT_MAX)?))
    }

    fn change<'a>(&'a self, turn: Turn<'a, Slot<S>>) -> Option<Change<'a, S>> {
        let gone = turn.read(|slot| slot.gone);
        (!gone).then_some(Change { turn, glance: &self.glance })
    }
}

/// Runs `body` in a turn of the object of that name and UUID, which `fresh` makes where there is
/// none; an error where only one of the two fits.
pub(crate) fn with_entry<S: Family, R>(
    table: &Table<Object<S>>,
    api: &'static str,
    (name, uuid): (&str, Uuid),
    running: Running,
    fresh: impl Fn() -> S,
    body: impl FnOnce(&Arc<Object<S>>, &mut Change<'_, S>) -> Result<R>,
) -> Result<R> {
    loop {
        if let Some(existing) = known(table, name, uuid)? {
            // Where it goes while we wait, the name is free again.
            let Some(mut change) = existing.begin_as(Job::Modify, api)? else { continue };
            if running == Running::Refused && change.read(S::is_active) {
                return Err(Error::new(Code::OperationInvalid, S::ORIGIN, S::busy(name)));
            }
            return body(&existing, &mut change);
        }
        let object = Arc::new(Object::new(name, uuid, fresh()));
        // Order: the turn is taken before anybody can see the object.
        let Some(mut change) = object.begin_as(Job::Modify, api)? else { continue };
        if table.insert(Arc::clone(&object)).is_ok() {
            let result = body(&object, &mut change);
            if result.is_err() {
                remove(table, &object, &mut change);
            }
            return result;
        }
    }
}

/// The object of that name and UUID; an error where only one of them fits.
fn known<S: Family>(
    table: &Table<Object<S>>,
    name: &str,
    uuid: Uuid,
) -> Result<Option<Arc<Object<S>>>> {
    let refused = |detail| Err(Error::new(Code::OperationFailed, S::ORIGIN, detail));
    let what = S::WHAT;
    if let Some(existing) = table.by_uuid(&uuid) {
        if *existing.name != *name {
            let name = &existing.name;
            return refused(format!("{what} '{name}' is already defined with uuid {uuid}"));
        }
        return Ok(Some(existing));
    }
    match table.by_name(name) {
        // It came between the two looks.
        Some(existing) if existing.uuid == uuid => Ok(Some(existing)),
        Some(existing) => {
            let uuid = existing.uuid;
            refused(format!("{what} '{name}' already exists with uuid {uuid}"))
        }
        None => Ok(None),
    }
}

/// Takes an object off the list.
pub(crate) fn remove<S: Family>(
    table: &Table<Object<S>>,
    object: &Arc<Object<S>>,
    change: &mut Change<'_, S>,
) {
    change.end();
    table.remove(object);
}
