//! What libvirt's calls are in the manager's steps.
//!
//! ```text
//! define   [volumes] add-domain [bind-domain]      undefine  [unbind-domain] remove-domain [volumes]
//! start    [bind-domain] start-domain              destroy   [stop-domain -f] unbind-domain
//! create   define, start; undone as a whole        shutdown  stop-domain
//! ```
//!
//! A step that fails ends the call; what was done before is undone where that leaves nothing half
//! done, and told where it is not.

use std::sync::Arc;

use virt_driver::Call;
use virt_error::{Code, Error, Result};
use virt_types::DomainRef;

use crate::document::{Plan, Servers, plan};
use crate::facts::{Facts, State};
use crate::link::{Define, ORIGIN};
use crate::manager::{Manager, Reply};
use crate::message::{Command, Content, Envelope, Item, parse_size};
use crate::world::Detail;
use crate::{queries, volumes};

pub(crate) fn invalid(detail: impl Into<String>) -> Error {
    Error::new(Code::OperationInvalid, ORIGIN, detail)
}

fn failed(detail: impl Into<String>) -> Error {
    Error::new(Code::OperationFailed, ORIGIN, detail)
}

/// Asks for one action on one domain.
pub(crate) fn act(manager: &Manager, call: &Call<'_>, action: &str, name: &str) -> Result<Reply> {
    let command = Command::new(action).about(Envelope::domain(name));
    manager.change(Some(call), name, command)
}

/// Asks for a change of one of a domain's resources.
pub(crate) fn act_on(
    manager: &Manager,
    call: &Call<'_>,
    action: &str,
    name: &str,
    item: Item,
) -> Result<Reply> {
    let contents = vec![Content::new(name).with(item)];
    let envelope = Envelope { contents, ..Envelope::default() };
    manager.change(Some(call), name, Command::new(action).about(envelope))
}

/// The control domain is the manager's own: it cannot be without it.
fn not_control(facts: &Facts) -> Result<()> {
    match facts.control {
        true => Err(invalid(format!("'{}' is the control domain, which stays", facts.name))),
        false => Ok(()),
    }
}

fn read(manager: &Manager, call: &Call<'_>, xml: &str, validate: bool) -> Result<Plan> {
    let mut plan = plan(xml, validate, &Servers::of(&manager.services(call)?))?;
    manager.all(Some(call))?;
    if !manager.world().knows_uuids() {
        // Compat: the first releases have no place for one, and refuse what they do not know.
        plan.uuid = None;
        for section in &mut plan.content.sections {
            section.items.iter_mut().for_each(|item| item.uuid = None);
            section.items.retain(|item| *item != Item::new("ldom_info"));
        }
        plan.content.sections.retain(|section| !section.items.is_empty());
    }
    Ok(plan)
}

/// The domain that a definition would replace, if any; one name and one UUID are one domain.
fn replaced(manager: &Manager, call: &Call<'_>, plan: &Plan) -> Result<Option<Arc<Facts>>> {
    let name = &plan.content.id;
    let named = manager.named(Some(call), name)?;
    if let (Some(named), Some(uuid)) = (&named, plan.uuid)
        && named.uuid != uuid
    {
        return Err(failed(format!("domain '{name}' already exists with uuid {}", named.uuid)));
    }
    if let (None, Some(uuid)) = (&named, plan.uuid)
        && let Some(other) = manager.with_uuid(Some(call), &uuid)?
    {
        let other = &other.name;
        return Err(failed(format!("domain '{other}' is already defined with uuid {uuid}")));
    }
    Ok(named)
}

pub(crate) fn define(
    manager: &Manager,
    call: &Call<'_>,
    xml: &str,
    validate: bool,
) -> Result<DomainRef> {
    let plan = read(manager, call, xml, validate)?;
    let name = plan.content.id.clone();
    match replaced(manager, call, &plan)? {
        Some(facts) => redefine(manager, call, &plan, &facts)?,
        None => {
            add(manager, call, &plan)?;
            bind_definition(manager, call, &name);
        }
    }
    told_dropped(manager, &plan);
    reference(manager, call, &name)
}

fn reference(manager: &Manager, call: &Call<'_>, name: &str) -> Result<DomainRef> {
    let facts = manager.named(Some(call), name)?;
    let facts = facts.ok_or_else(|| {
        queries::no_domain(format!("domain '{name}' is gone since it was defined"))
    })?;
    Ok(facts.to_ref())
}

/// What neither side keeps of a document is said with the domain.
fn told_dropped(manager: &Manager, plan: &Plan) {
    if !plan.dropped.is_empty() {
        let said = format!("not kept of the definition: {}", plan.dropped.join(", "));
        manager.world().warned(&plan.content.id, &[said]);
    }
}

/// Adds a domain, with the volumes that it needs; whole or not at all.
fn add(manager: &Manager, call: &Call<'_>, plan: &Plan) -> Result<Vec<Item>> {
    let made = volumes::make(manager, call, &plan.volumes)?;
    let envelope = Envelope { contents: vec![plan.content.clone()], ..Envelope::default() };
    let command = Command::new("add-domain").about(envelope);
    match manager.change(Some(call), &plan.content.id, command) {
        Ok(_) => Ok(made),
        Err(error) => {
            volumes::remove(manager, call, &made);
            Err(error)
        }
    }
}

/// Binds a new definition, as the manager's own tools leave it. A definition stands without: what
/// keeps its resources from it is told with the domain, and by its start.
fn bind_definition(manager: &Manager, call: &Call<'_>, name: &str) {
    if manager.target.define == Define::Inactive {
        return;
    }
    if let Err(error) = act(manager, call, "bind-domain", name) {
        manager.world().warned(name, &[format!("defined but not bound: {}", error.message())]);
    }
}

/// Gives an inactive domain another definition: removed and added again, or as it was.
fn redefine(manager: &Manager, call: &Call<'_>, plan: &Plan, facts: &Facts) -> Result<()> {
    let name = &facts.name;
    let old = manager.detail(call, name, Detail::Constraints)?;
    if same_constraints(&old, &plan.content) {
        return Ok(());
    }
    if facts.state.is_active() {
        let detail = format!(
            "domain '{name}' is active: the LDoms Manager keeps no second definition of it; \
             change what can be changed with setvcpus, setmem, attach-device and detach-device"
        );
        return Err(invalid(detail));
    }
    let bound = facts.state == State::Bound;
    if bound {
        act(manager, call, "unbind-domain", name)?;
    }
    act(manager, call, "remove-domain", name)?;
    let added = add(manager, call, plan);
    if let Err(error) = added {
        let envelope = Envelope { contents: vec![(*old).clone()], ..Envelope::default() };
        let again = Command::new("add-domain").about(envelope);
        let restored = manager.change(Some(call), name, again).and_then(|_| match bound {
            true => act(manager, call, "bind-domain", name).map(drop),
            false => Ok(()),
        });
        return Err(match restored {
            Ok(()) => error,
            Err(second) => failed(format!(
                "{}; and the old definition could not be restored: {}",
                error.message(),
                second.message()
            )),
        });
    }
    let kept = volumes::made_for(&plan.content);
    let unused = volumes::made_for(&old).into_iter().filter(|volume| !kept.contains(volume));
    volumes::remove(manager, call, &unused.collect::<Vec<_>>());
    bind_definition(manager, call, name);
    Ok(())
}

/// Whether two sets of constraints ask for the same, in whatever order.
fn same_constraints(a: &Content, b: &Content) -> bool {
    let plain = |content: &Content| {
        let mut items: Vec<String> = content
            .items()
            .filter(|item| !item.is("ldom_info"))
            .map(|item| {
                let size = item.units.as_deref().filter(|_| item.is("memory")).and_then(parse_size);
                let units = size.map(|bytes| bytes.to_string()).or(item.units.clone());
                let address = item.address.as_deref().map(str::to_ascii_lowercase);
                let mut properties: Vec<(String, String)> = item
                    .properties
                    .iter()
                    .filter(|property| !property.value.is_empty())
                    .map(|property| (property.key.replace('-', "_"), property.value.clone()))
                    .collect();
                properties.sort();
                format!("{} {units:?} {address:?} {properties:?}", item.resource)
            })
            .collect();
        items.sort();
        items
    };
    plain(a) == plain(b)
}

/// Starts a document's domain at once. The manager has no transient domains: it stays defined.
pub(crate) fn create(
    manager: &Manager,
    call: &Call<'_>,
    xml: &str,
    validate: bool,
) -> Result<DomainRef> {
    let plan = read(manager, call, xml, validate)?;
    let name = plan.content.id.clone();
    if let Some(facts) = replaced(manager, call, &plan)? {
        return Err(failed(format!("domain '{name}' already exists with uuid {}", facts.uuid)));
    }
    let made = add(manager, call, &plan)?;
    let mut bound = false;
    let started = act(manager, call, "bind-domain", &name).and_then(|_| {
        bound = true;
        act(manager, call, "start-domain", &name)
    });
    if let Err(error) = started {
        let undone = match bound {
            true => act(manager, call, "unbind-domain", &name).map(drop),
            false => Ok(()),
        };
        let undone = undone.and_then(|()| act(manager, call, "remove-domain", &name).map(drop));
        return Err(match undone {
            Ok(()) => {
                volumes::remove(manager, call, &made);
                error
            }
            Err(second) => failed(format!(
                "{}; and domain '{name}' could not be removed again: {}",
                error.message(),
                second.message()
            )),
        });
    }
    told_dropped(manager, &plan);
    reference(manager, call, &name)
}

pub(crate) fn start(manager: &Manager, call: &Call<'_>, dom: &DomainRef) -> Result<DomainRef> {
    let facts = manager.find(call, dom)?;
    let name = &facts.name;
    if facts.state.is_active() {
        return Err(invalid("domain is already running"));
    }
    manager.world().hush(name);
    let bind = facts.state != State::Bound;
    if bind {
        act(manager, call, "bind-domain", name)?;
    }
    if let Err(error) = act(manager, call, "start-domain", name) {
        if bind {
            // It was not bound before; that it stays so is no second failure to tell of.
            let _ = act(manager, call, "unbind-domain", name);
        }
        return Err(error);
    }
    reference(manager, call, name)
}

pub(crate) fn shutdown(manager: &Manager, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    let facts = active(manager, call, dom)?;
    not_control(&facts)?;
    act(manager, call, "stop-domain", &facts.name).map(drop)
}

/// Compat: only the 3.x releases take the option.
pub(crate) fn reboot(manager: &Manager, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    let facts = active(manager, call, dom)?;
    not_control(&facts)?;
    if !manager.is_recent() {
        let detail = "this release of the LDoms Manager cannot reboot a domain";
        return Err(Error::new(Code::OperationUnsupported, ORIGIN, detail));
    }
    let command = Command::new("stop-domain").option("-r").about(Envelope::domain(&facts.name));
    manager.change(Some(call), &facts.name, command).map(drop)
}

/// The domain, if it runs.
pub(crate) fn active(manager: &Manager, call: &Call<'_>, dom: &DomainRef) -> Result<Arc<Facts>> {
    let facts = manager.find(call, dom)?;
    match facts.state.is_active() {
        true => Ok(facts),
        false => Err(invalid("domain is not running")),
    }
}

/// Stops a domain at once and gives its resources back. A bound one has those to give back too.
pub(crate) fn destroy(
    manager: &Manager,
    call: &Call<'_>,
    dom: &DomainRef,
    graceful: bool,
) -> Result<()> {
    let facts = manager.find(call, dom)?;
    let name = &facts.name;
    not_control(&facts)?;
    if !facts.state.is_bound() {
        return Err(invalid("domain is not running"));
    }
    if facts.state.is_active() {
        let stop = Command::new("stop-domain");
        let stop = if graceful { stop } else { stop.option("-f") };
        manager.change(Some(call), name, stop.about(Envelope::domain(name)))?;
    }
    act(manager, call, "unbind-domain", name).map(drop)
}

pub(crate) fn undefine(manager: &Manager, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    let facts = manager.find(call, dom)?;
    let name = &facts.name;
    not_control(&facts)?;
    if facts.state.is_active() {
        let detail = format!("domain '{name}' is active: the LDoms Manager removes inactive ones");
        return Err(invalid(detail));
    }
    let made = manager.detail(call, name, Detail::Constraints);
    let made = made.map(|content| volumes::made_for(&content)).unwrap_or_default();
    if facts.state.is_bound() {
        act(manager, call, "unbind-domain", name)?;
    }
    act(manager, call, "remove-domain", name)?;
    volumes::remove(manager, call, &made);
    Ok(())
}
