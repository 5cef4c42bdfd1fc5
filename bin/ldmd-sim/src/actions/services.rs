//! Disk servers with their volumes, switches and console concentrators.

use super::change::refuse_beside_reconf;
use super::domain::check_mac;
use super::{Context, Effects, Notice, Outcome, Step, item_of};
use crate::message::{Item, Object};
use crate::model::{CONTROL, Machine};

/// How a service of this type is called in the names of events and in texts.
fn words_of(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "vds" => ("vdiskserver", "Virtual disk server"),
        "vsw" => ("vswitch", "Virtual switch"),
        "vcc" => ("vconscon", "Virtual console concentrator"),
        "vdpcs" => ("vdpcs", "Data plane channel service"),
        _ => ("vsan", "Virtual storage area network"),
    }
}

/// The type of device that uses a service of this type.
fn user_of(kind: &str) -> &'static str {
    match kind {
        "vds" => "disk",
        "vsw" => "network",
        "vcc" => "console",
        "vdpcs" => "vdpcc",
        _ => "vhba",
    }
}

/// The domain of a service that a request may name by itself.
fn home(machine: &Machine, object: &Object, kind: &str, service: &str) -> Result<String, String> {
    if let Some(domain) = &object.domain {
        machine.domain(domain)?;
        return Ok(domain.clone());
    }
    match machine.service(kind, service) {
        Some((domain, _)) => Ok(domain.name.clone()),
        None => Err(missing(kind, service)),
    }
}

fn missing(kind: &str, service: &str) -> String {
    format!("{} {service} does not exist", words_of(kind).1)
}

/// Puts a service into a domain.
pub(super) fn insert(machine: &mut Machine, name: &str, item: &Item) -> Result<(), String> {
    let service = item.need("service_name")?;
    let kind = item.kind.as_str();
    if machine.service(kind, service).is_some() {
        return Err(format!("{} {service} already exists", words_of(kind).1));
    }
    let mut item = item.clone();
    item.bindings.clear();
    match kind {
        "vcc" => check_range(&item)?,
        "vsw" => match &item.address {
            Some(mac) => check_mac(machine, mac, &[])?,
            None => item.address = Some(machine.new_mac()),
        },
        _ => {}
    }
    machine.settled_mut(name)?.target().items.push(item);
    Ok(())
}

fn check_range(item: &Item) -> Result<(), String> {
    let port = |key| -> Result<u16, String> {
        let text = item.need(key)?;
        text.parse().map_err(|_| format!("Invalid port {text}"))
    };
    if port("min_port")? > port("max_port")? {
        return Err("The first port of the range is behind its last".to_owned());
    }
    Ok(())
}

pub(super) fn add(machine: &mut Machine, _: &Context<'_>, object: &Object, kind: &str) -> Outcome {
    // Without a domain the control domain is meant.
    let name = object.domain.as_deref().unwrap_or(CONTROL);
    machine.domain(name)?;
    refuse_beside_reconf(machine, name)?;
    insert(machine, name, item_of(object, kind)?)?;
    // Volumes that came with their server.
    for volume in object.items.iter().filter(|item| kind == "vds" && item.kind == "vds_volume") {
        insert_volume(machine, name, volume)?;
    }
    let action = format!("add-{}", words_of(kind).0);
    Ok(Step::Done(Effects::notice(Notice::resource(&action, name))))
}

pub(super) fn set(machine: &mut Machine, _: &Context<'_>, object: &Object, kind: &str) -> Outcome {
    let item = item_of(object, kind)?;
    let service = item.need("service_name")?;
    let name = home(machine, object, kind, service)?;
    refuse_beside_reconf(machine, &name)?;
    let (_, old) = machine.service(kind, service).ok_or_else(|| missing(kind, service))?;
    let mut new = old.clone();
    new.update(item);
    if kind == "vcc" {
        check_range(&new)?;
    }
    if let Some(mac) = &item.address {
        check_mac(machine, mac, &old.address.as_deref().map(|mac| vec![mac]).unwrap_or_default())?;
    }
    let wanted = machine.settled_mut(&name)?.target();
    let at = wanted.position(kind, "service_name", service);
    if let Some(slot) = at.and_then(|at| wanted.items.get_mut(at)) {
        *slot = new;
    }
    let action = format!("set-{}", words_of(kind).0);
    Ok(Step::Done(Effects::notice(Notice::service(&action, &name, kind, service))))
}

pub(super) fn remove(
    machine: &mut Machine,
    context: &Context<'_>,
    object: &Object,
    kind: &str,
) -> Outcome {
    let service = item_of(object, kind)?.need("service_name")?;
    let name = home(machine, object, kind, service)?;
    refuse_beside_reconf(machine, &name)?;
    if machine.domain(&name)?.asked().position(kind, "service_name", service).is_none() {
        return Err(missing(kind, service));
    }
    if !context.has_option("-f") {
        refuse_in_use(machine, kind, service)?;
    }
    machine.settled_mut(&name)?.target().items.retain(|item| {
        let is_it = item.kind == kind || kind == "vds" && item.kind == "vds_volume";
        !is_it || item.get("service_name") != Some(service)
    });
    let action = format!("remove-{}", words_of(kind).0);
    let notice = match kind {
        "vcc" => Notice::resource(&action, &name),
        _ => Notice::service(&action, &name, kind, service),
    };
    Ok(Step::Done(Effects::notice(notice)))
}

/// Refuses to take a service from the domains that use it.
pub(super) fn refuse_in_use(machine: &Machine, kind: &str, service: &str) -> Result<(), String> {
    let mut users = machine.users(user_of(kind), service, None);
    match users.next() {
        Some(user) if machine.service(kind, service).is_some() => {
            Err(format!("{} {service} is attached to LDom \"{user}\"", words_of(kind).1))
        }
        _ => Ok(()),
    }
}

/// The disk server and the name of the volume that a request is about.
fn volume_of(object: &Object) -> Result<(&Item, &str, &str), String> {
    let item = item_of(object, "vds_volume")?;
    Ok((item, item.need("service_name")?, item.need("vol_name")?))
}

/// Puts a volume into the domain of its server.
pub(super) fn insert_volume(machine: &mut Machine, name: &str, item: &Item) -> Result<(), String> {
    let (service, volume) = (item.need("service_name")?, item.need("vol_name")?);
    item.need("block_dev")?;
    if machine.volume(service, volume).is_some() {
        return Err(format!("Volume {volume} already exists in {service}"));
    }
    check_options(item)?;
    let mut item = item.clone();
    item.bindings.clear();
    machine.settled_mut(name)?.target().items.push(item);
    Ok(())
}

fn check_options(item: &Item) -> Result<(), String> {
    let options = item.get("vol_opts").unwrap_or_default();
    let unknown = options
        .split(',')
        .map(str::trim)
        .find(|option| !["", "ro", "slice", "excl"].contains(option));
    match unknown {
        None => Ok(()),
        Some(option) => Err(format!("Invalid volume option {option}")),
    }
}

pub(super) fn add_volume(machine: &mut Machine, _: &Context<'_>, object: &Object) -> Outcome {
    let (item, service, _) = volume_of(object)?;
    let (server, _) = machine.service("vds", service).ok_or_else(|| missing("vds", service))?;
    let name = server.name.clone();
    refuse_beside_reconf(machine, &name)?;
    insert_volume(machine, &name, item)?;
    volume_done("add", &name, service)
}

pub(super) fn set_volume(machine: &mut Machine, _: &Context<'_>, object: &Object) -> Outcome {
    let (item, service, volume) = volume_of(object)?;
    let (server, old) =
        machine.volume(service, volume).ok_or_else(|| no_volume(service, volume))?;
    let (name, mut new) = (server.name.clone(), old.clone());
    refuse_beside_reconf(machine, &name)?;
    check_options(item)?;
    new.update(item);
    let is_it = |item: &&mut Item| {
        item.kind == "vds_volume"
            && item.get("service_name") == Some(service)
            && item.get("vol_name") == Some(volume)
    };
    if let Some(slot) = machine.settled_mut(&name)?.target().items.iter_mut().find(is_it) {
        *slot = new;
    }
    volume_done("set", &name, service)
}

pub(super) fn remove_volume(
    machine: &mut Machine,
    context: &Context<'_>,
    object: &Object,
) -> Outcome {
    let (_, service, volume) = volume_of(object)?;
    let (server, _) = machine.volume(service, volume).ok_or_else(|| no_volume(service, volume))?;
    let name = server.name.clone();
    refuse_beside_reconf(machine, &name)?;
    let user = machine.users("disk", service, Some(volume)).next();
    if let Some(user) = user.filter(|_| !context.has_option("-f")) {
        return Err(format!("Volume {volume}@{service} is attached to LDom \"{user}\""));
    }
    machine.settled_mut(&name)?.target().items.retain(|item| {
        item.kind != "vds_volume"
            || item.get("service_name") != Some(service)
            || item.get("vol_name") != Some(volume)
    });
    volume_done("remove", &name, service)
}

fn no_volume(service: &str, volume: &str) -> String {
    format!("Volume {volume} does not exist in {service}")
}

fn volume_done(verb: &str, name: &str, service: &str) -> Outcome {
    let action = format!("{verb}-vdiskserverdevice");
    Ok(Step::Done(Effects::notice(Notice::service(&action, name, "vds", service))))
}
