//! Opening `ldoms:///default`, and `ldoms://user@host/` straight to a remote manager.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use virt_driver::{Ask, Driver, OpenRequest, Opener};
use virt_error::{Code, Error, Result};

use crate::LdomsDriver;
use crate::link::{ORIGIN, Target};
use crate::manager::{Manager, lock};

/// Limit: managers that a process deals with at the same time.
const MANAGERS_MAX: usize = 64;

/// Opens LDoms URIs that name no transport to a daemon.
///
/// All connections to one manager share what is known of it, for as long as the process lives: the
/// numbers of its domains stay the same, and the next client finds the list already there. `ask` is
/// asked for names and passwords that no file tells.
pub fn opener(ask: Option<Ask>) -> impl Opener {
    LdomsOpener { ask, managers: Mutex::default() }
}

struct LdomsOpener {
    ask: Option<Ask>,
    managers: Mutex<HashMap<Target, Arc<Manager>>>,
}

impl LdomsOpener {
    fn manager(&self, target: Target) -> Result<Arc<Manager>> {
        if let Some(known) = lock(&self.managers).get(&target) {
            return Ok(Arc::clone(known));
        }
        let manager = Manager::new(target.clone(), self.ask.clone());
        manager.reach()?;
        let mut managers = lock(&self.managers);
        if managers.len() >= MANAGERS_MAX {
            managers.retain(|_, manager| Arc::strong_count(manager) > 1);
        }
        if managers.len() >= MANAGERS_MAX {
            let detail = format!("more than {MANAGERS_MAX} LDoms Managers in use");
            return Err(Error::new(Code::ResourceBusy, ORIGIN, detail));
        }
        Ok(Arc::clone(managers.entry(target).or_insert(manager)))
    }
}

impl Opener for LdomsOpener {
    fn open(&self, request: &OpenRequest<'_>) -> Result<Option<Vec<Arc<dyn Driver>>>> {
        let Some(target) = Target::of(request.uri)? else { return Ok(None) };
        let manager = self.manager(target)?;
        if !manager.is_alive() {
            // Whoever opens a connection learns whether the manager is there.
            manager.reach()?;
        }
        Ok(Some(vec![Arc::new(LdomsDriver(manager))]))
    }
}
