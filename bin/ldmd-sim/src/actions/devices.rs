//! Disks, networks, physical devices, variables, the console, and types kept as they came.

use super::change::{Taken, When, change, refuse_beside_reconf};
use super::domain::check_mac;
use super::{Context, Effects, Notice, Outcome, Step, domain_of, item_of, name_warning};
use crate::message::{Item, Object};
use crate::model::{Machine, State};

/// The property that names a device of this type within its domain.
fn key_of(kind: &str) -> &'static str {
    match kind {
        "disk" => "vdisk_name",
        "network" => "vnet_name",
        "vdpcc" => "vdpcc_name",
        "vhba" => "vhba_name",
        "policy" => "policy_name",
        _ => "name",
    }
}

/// The word that stands for a type in the names of events.
fn word_of(kind: &str) -> &str {
    match kind {
        "disk" => "vdisk",
        "network" => "vnet",
        "physio_device" => "io",
        "var" => "variable",
        other => other,
    }
}

/// Types that a domain may have.
const KINDS: &[&str] =
    &["disk", "network", "physio_device", "vdpcc", "vhba", "policy", "var", "console"];
/// Limit: items of one domain.
const ITEMS_MAX: usize = 10_000;

/// Puts a device into a new domain; gives a warning, if there is one.
pub(super) fn insert(
    machine: &mut Machine,
    _: &Context<'_>,
    name: &str,
    item: &Item,
) -> Result<Option<String>, String> {
    let kind = item.kind.as_str();
    if !KINDS.contains(&kind) {
        return Err(format!("Unknown or unexpected resource type {kind}"));
    }
    let item = prepared(machine, name, item)?;
    let warning = item.get(key_of(kind)).and_then(name_warning);
    let wanted = machine.domain_mut(name)?.target();
    match kind {
        "console" => set_single(&mut wanted.items, &item),
        _ => wanted.items.push(item),
    }
    Ok(warning)
}

fn set_single(items: &mut Vec<Item>, item: &Item) {
    match items.iter_mut().find(|old| old.kind == item.kind) {
        Some(old) => old.update(item),
        None => items.push(item.clone()),
    }
}

/// A device as it goes into a domain, if nothing speaks against it.
fn prepared(machine: &mut Machine, name: &str, item: &Item) -> Result<Item, String> {
    let kind = item.kind.as_str();
    let mut item = item.clone();
    item.bindings.clear();
    if kind == "console" {
        return Ok(item);
    }
    let key = key_of(kind);
    let own = item.need(key)?;
    let asked = machine.domain(name)?.asked();
    if kind != "var" && asked.position(kind, key, own).is_some() {
        return Err(format!("{} {own} already exists in LDom \"{name}\"", word_of(kind)));
    }
    if asked.items.len() >= ITEMS_MAX {
        return Err(format!("LDom \"{name}\" has too many devices"));
    }
    match kind {
        "disk" => check_volume(machine, name, &item)?,
        "network" => {
            item.need("service_name")?;
            match &item.address {
                Some(mac) => check_mac(machine, mac, &[])?,
                None => item.address = Some(machine.new_mac()),
            }
        }
        "physio_device" => check_free(machine, &item)?,
        _ => {}
    }
    Ok(item)
}

/// A volume serves one disk only.
fn check_volume(machine: &Machine, name: &str, item: &Item) -> Result<(), String> {
    let (service, volume) = (item.need("service_name")?, item.need("vol_name")?);
    match machine.users("disk", service, Some(volume)).next() {
        None => Ok(()),
        Some(user) if user == name => {
            Err(format!("Volume {volume}@{service} is attached to LDom \"{name}\" already"))
        }
        Some(user) => Err(format!("Volume {volume}@{service} is attached to LDom \"{user}\"")),
    }
}

fn check_free(machine: &Machine, item: &Item) -> Result<(), String> {
    let device = item.need("name")?;
    let has = |domain: &&crate::model::Domain| {
        domain.asked().position("physio_device", "name", device).is_some()
    };
    match machine.domains.iter().find(has) {
        None => Ok(()),
        Some(owner) => Err(format!("Device {device} is attached to LDom \"{}\"", owner.name)),
    }
}

/// When a running guest takes a change of a device of this type.
fn when(machine: &Machine, kind: &str) -> When {
    match kind {
        "physio_device" => When::NextStart,
        "disk" | "network" if !machine.profile.has_virtual_io_dr() => When::NextStart,
        _ => When::Now,
    }
}

pub(super) fn add(machine: &mut Machine, _: &Context<'_>, object: &Object, kind: &str) -> Outcome {
    let name = domain_of(object)?;
    machine.domain(name)?;
    let item = item_of(object, kind)?;
    let item = prepared(machine, name, item)?;
    machine.check_backend(&item)?;
    let warning = item.get(key_of(kind)).and_then(name_warning);
    let taken = change(machine, name, when(machine, kind), |wanted| {
        wanted.items.push(item);
        Ok(())
    })?;
    done("add", kind, name, taken, warning)
}

pub(super) fn set(machine: &mut Machine, _: &Context<'_>, object: &Object, kind: &str) -> Outcome {
    let name = domain_of(object)?;
    let item = item_of(object, kind)?;
    let (key, own) = (key_of(kind), item.need(key_of(kind))?);
    let at = position(machine, name, kind, own)?;
    let old = machine.domain(name)?.asked().items.get(at).cloned().unwrap_or_default();
    if let Some(mac) = &item.address {
        check_mac(machine, mac, &old.address.as_deref().map(|mac| vec![mac]).unwrap_or_default())?;
    }
    let mut new = old;
    new.update(item);
    machine.check_backend(&new)?;
    let taken = change(machine, name, when(machine, kind), |wanted| {
        let at = wanted.position(kind, key, own).unwrap_or(usize::MAX);
        if let Some(slot) = wanted.items.get_mut(at) {
            *slot = new;
        }
        Ok(())
    })?;
    done("set", kind, name, taken, None)
}

fn position(machine: &Machine, name: &str, kind: &str, own: &str) -> Result<usize, String> {
    let found = machine.domain(name)?.asked().position(kind, key_of(kind), own);
    found.ok_or_else(|| format!("{} {own} does not exist in LDom \"{name}\"", word_of(kind)))
}

pub(super) fn remove(
    machine: &mut Machine,
    context: &Context<'_>,
    object: &Object,
    kind: &str,
) -> Outcome {
    let name = domain_of(object)?;
    // Without a name all variables go, as on the command line.
    let has_name = object.item(kind).is_some_and(|item| item.get(key_of(kind)).is_some());
    if kind == "var" && !has_name {
        let taken = change(machine, name, When::Now, |wanted| {
            wanted.items.retain(|item| item.kind != "var");
            Ok(())
        })?;
        return done("remove", kind, name, taken, None);
    }
    let own = item_of(object, kind)?.need(key_of(kind))?;
    position(machine, name, kind, own)?;
    refuse_busy(machine, context, name, kind, own)?;
    let taken = change(machine, name, when(machine, kind), |wanted| {
        wanted.items.retain(|item| item.kind != kind || item.get(key_of(kind)) != Some(own));
        Ok(())
    })?;
    if let (Some(pending), "disk" | "network") = (&mut machine.domain_mut(name)?.pending, kind) {
        pending.is_final = true;
    }
    done("remove", kind, name, taken, None)
}

/// A running guest keeps what it has in use, if it is one of that kind.
fn refuse_busy(
    machine: &Machine,
    context: &Context<'_>,
    name: &str,
    kind: &str,
    own: &str,
) -> Result<(), String> {
    let is_active = machine.domain(name)?.state == State::Active;
    let is_busy = context.live.guest(name) == crate::options::Guest::NoDrd;
    if is_active && is_busy && !context.has_option("-f") && matches!(kind, "disk" | "network") {
        return Err(format!("{} {own} is in use by LDom \"{name}\"", word_of(kind)));
    }
    Ok(())
}

pub(super) fn set_variable(machine: &mut Machine, _: &Context<'_>, object: &Object) -> Outcome {
    let name = domain_of(object)?;
    item_of(object, "var")?;
    let mut taken = Taken::Applied;
    let variables: Vec<&Item> = object.items.iter().filter(|item| item.kind == "var").collect();
    for variable in variables {
        let own = variable.need("name")?;
        taken = change(machine, name, When::Now, |wanted| {
            let at = wanted.position("var", "name", own);
            let has_room = wanted.items.len() < ITEMS_MAX;
            match at.and_then(|at| wanted.items.get_mut(at)) {
                Some(old) => old.update(variable),
                None if has_room => wanted.items.push(variable.clone()),
                None => return Err(format!("LDom \"{name}\" has too many variables")),
            }
            Ok(())
        })?;
    }
    done("set", "var", name, taken, None)
}

/// Puts a console into a group, or on a port. It must not be bound: its port is chosen then.
pub(super) fn set_console(machine: &mut Machine, _: &Context<'_>, object: &Object) -> Outcome {
    let name = domain_of(object)?;
    refuse_beside_reconf(machine, name)?;
    let item = item_of(object, "console")?.clone();
    if let Some(service) = item.get("service_name")
        && machine.concentrator(Some(service)).is_none()
    {
        return Err(format!("Virtual console concentrator {service} does not exist"));
    }
    let domain = machine.settled_mut(name)?;
    if domain.is_control() {
        return Err(format!("LDom \"{name}\" is the control domain and has no virtual console"));
    }
    if domain.state == State::Active {
        return Err(format!("LDom \"{name}\" is in the active state, it must be stopped first"));
    }
    let before = domain.wanted.clone();
    let was_bound = domain.state == State::Bound;
    set_single(&mut domain.wanted.items, &item);
    if was_bound {
        let old = domain.bound.port.take();
        machine.give_back_port(old);
        match machine.pick_port(name) {
            Ok(port) => machine.domain_mut(name)?.bound.port = port,
            Err(reason) => {
                machine.domain_mut(name)?.wanted = before;
                let port = machine.pick_port(name).unwrap_or(None);
                machine.domain_mut(name)?.bound.port = port;
                return Err(reason);
            }
        }
    }
    Ok(Step::Done(Effects::notice(Notice::resource("set-vconsole", name))))
}

fn done(verb: &str, kind: &str, name: &str, taken: Taken, warning: Option<String>) -> Outcome {
    let notice = Notice::resource(&format!("{verb}-{}", word_of(kind)), name);
    Ok(Step::Done(Effects { notices: vec![notice], warning: warning.or(taken.notice()) }))
}
