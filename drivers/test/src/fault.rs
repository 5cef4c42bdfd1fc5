//! Trouble on request: calls that take long, fail or hang, and guests that crash.
//!
//! Elements of a namespace of our own say what goes wrong and when. At the top of a node file they
//! are for every call on its world; in the document of a domain, a network or a pool, whether it
//! stands in a node file or is defined later, they are for the calls on that object and on what is
//! in it. They come before the call's own work, and outside its turn: a call that is made to wait
//! holds up nobody else.
//!
//! ```text
//!   <domain type='test' xmlns:fault='urn:ferrovirt:fault:1'>
//!     ...
//!     <fault:latency call='virDomain*' ms='200' jitter-ms='50'/>
//!     <fault:fail call='virDomainCreate*' code='operation-failed' skip='1' times='2'/>
//!     <fault:crash after-ms='1500' percent='10' seed='7'/>
//!   </domain>
//! ```

mod alarm;
mod plan;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use virt_driver::{Call, Object};
use virt_error::{Error, Result};
use virt_types::{DomainRef, Name};

use crate::domain::{Domain, crash};
use crate::world::World;

use alarm::Alarm;
pub(crate) use plan::{NAMESPACE, Plan};

/// Limit: how long a call hangs that nobody gives up.
const HANG_MAX: Duration = Duration::from_secs(60 * 60);

/// How often a call that waits looks whether its caller gave up.
const LOOK: Duration = Duration::from_millis(20);

/// What goes wrong in a world.
#[derive(Debug)]
pub(crate) struct Faults {
    /// What the node file says of every call.
    node: Plan,
    /// Something has been asked for, here or in a document.
    armed: AtomicBool,
    alarm: Arc<Alarm>,
}

impl Faults {
    pub(crate) fn new(node: Plan) -> Self {
        let armed = AtomicBool::new(!node.is_empty());
        Self { node, armed, alarm: Arc::default() }
    }

    pub(crate) fn armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }

    /// The plan in a document, whose owner is about to come into the world.
    pub(crate) fn admit(&self, plan: Plan) -> Option<Arc<Plan>> {
        if plan.is_empty() {
            return None;
        }
        self.armed.store(true, Ordering::Release);
        Some(Arc::new(plan))
    }

    /// Lets guests crash in a world that others have by now.
    pub(crate) fn watch(&self, world: Weak<World>) {
        self.alarm.start(world);
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.alarm.end();
    }
}

/// What comes before a call's own work.
#[derive(Debug, Default)]
struct Trouble {
    wait: Duration,
    crash: bool,
    failure: Option<Error>,
}

/// Meets a call with what was asked for: waits, crashes its guest, refuses it.
pub(crate) fn meet(world: &World, call: &Call<'_>, object: Object<'_>) -> Result<()> {
    let name = name_of(object);
    let own = owner(world, object);
    let mut trouble = Trouble::default();
    world.faults.node.collect(call.api.name, name.as_deref(), &mut trouble);
    if let Some(plan) = &own {
        plan.collect(call.api.name, name.as_deref(), &mut trouble);
    }
    if trouble.crash
        && let Some(domain) = domain_of(object).and_then(|dom| world.domains.by_uuid(&dom.uuid))
    {
        crash::crash(world, &domain, None);
    }
    settle(call, trouble)
}

/// The same for a document that starts what it describes: its own plan holds already.
pub(crate) fn meet_new(call: &Call<'_>, name: &str, plan: &Plan) -> Result<()> {
    let mut trouble = Trouble::default();
    plan.collect(call.api.name, Some(name), &mut trouble);
    settle(call, trouble)
}

/// The same for the opening of a connection, which no driver has yet.
pub(crate) fn meet_open(world: &World) -> Result<()> {
    let mut trouble = Trouble::default();
    world.faults.node.collect("virConnectOpen", None, &mut trouble);
    std::thread::sleep(trouble.wait.min(HANG_MAX));
    trouble.failure.map_or(Ok(()), Err)
}

fn settle(call: &Call<'_>, trouble: Trouble) -> Result<()> {
    if !trouble.wait.is_zero() {
        call.waiting(|| pause(call, trouble.wait))?;
    }
    trouble.failure.map_or(Ok(()), Err)
}

/// Waits; whoever gives up meanwhile gets an error.
fn pause(call: &Call<'_>, wait: Duration) -> Result<()> {
    let end = Instant::now().checked_add(wait.min(HANG_MAX));
    loop {
        let left = end.map_or(LOOK, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(());
        }
        if call.cancelled() {
            return Err(call.given_up());
        }
        std::thread::sleep(left.min(LOOK));
    }
}

/// A guest runs from now on: it may be one that crashes later.
pub(crate) fn started(world: &World, domain: &Domain, run: i32) {
    if !world.faults.armed() {
        return;
    }
    let own = domain.plan();
    let plans = std::iter::once(&world.faults.node).chain(own.as_deref());
    for after in plans.filter_map(|plan| plan.crash_after(&domain.name)) {
        world.faults.alarm.set(after, domain.uuid, run);
    }
}

/// The plan of the object that a call is about, or that holds what it is about.
fn owner(world: &World, object: Object<'_>) -> Option<Arc<Plan>> {
    if let Some(dom) = domain_of(object) {
        return world.domains.by_uuid(&dom.uuid)?.plan();
    }
    match object {
        Object::Network(net) | Object::NewPort { network: net, .. } => {
            world.networks.by_uuid(&net.uuid)?.plan()
        }
        Object::NetworkPort(port) => world.networks.by_uuid(&port.net.uuid)?.plan(),
        Object::StoragePool(pool) | Object::NewVolume { pool, .. } => {
            world.pools.by_uuid(&pool.uuid)?.plan()
        }
        Object::StorageVol(volume) => world.pools.by_name(&volume.pool)?.plan(),
        _ => None,
    }
}

fn domain_of(object: Object<'_>) -> Option<&DomainRef> {
    match object {
        Object::Domain(dom) => Some(dom),
        Object::DomainSnapshot(snapshot) => Some(&snapshot.dom),
        Object::DomainCheckpoint(checkpoint) => Some(&checkpoint.dom),
        _ => None,
    }
}

/// The name of the object that a call is about.
fn name_of(object: Object<'_>) -> Option<Name> {
    if let Some(dom) = domain_of(object) {
        return Some(dom.name.clone());
    }
    match object {
        Object::Network(net) => Some(net.name.clone()),
        Object::NetworkPort(port) => Some(port.net.name.clone()),
        Object::StoragePool(pool) => Some(pool.name.clone()),
        Object::StorageVol(volume) => Some(volume.name.as_str().into()),
        Object::Interface(interface) => Some(interface.name.as_str().into()),
        Object::NodeDevice(device) => Some(device.name.as_str().into()),
        Object::NodeDeviceNamed(name) => Some(name.into()),
        Object::NewVolume { xml, .. } | Object::Described { name: None, xml: Some(xml) } => {
            Some(virt_xml::parse(xml).ok()?.child_text("name")?.as_ref().into())
        }
        Object::Described { name: Some(name), .. } => Some(name.into()),
        _ => None,
    }
}
