//! Domains come, change and go.

use super::change::refuse_beside_reconf;
use super::{
    Context, Effects, Notice, Outcome, Step, devices, domain_of, item_of, services, tuning,
};
use crate::message::{Item, Object};
use crate::model::{Domain, Machine, State, hostid};

/// Limit: of a domain's name, as documented.
pub(crate) const NAME_BYTES_MAX: usize = 256;
/// Limit: domains of one machine.
const DOMAINS_MAX: usize = 10_000;
/// Domains that one may depend on.
const MASTERS_MAX: usize = 4;

pub(super) fn add(machine: &mut Machine, context: &Context<'_>, object: &Object) -> Outcome {
    let name = domain_of(object)?;
    check_name(name)?;
    refuse_beside_reconf(machine, name)?;
    if machine.domain(name).is_ok() {
        return Err(format!("LDom \"{name}\" already exists"));
    }
    if machine.domains.len() >= DOMAINS_MAX {
        return Err("There are too many LDoms".to_owned());
    }
    machine.domains.push(Domain::new(machine.next_number, name));
    machine.next_number += 1;
    match fill(machine, context, name, object) {
        Ok(warning) => {
            let notices = vec![Notice::domain("add-domain", name)];
            Ok(Step::Done(Effects { notices, warning }))
        }
        Err(reason) => {
            machine.domains.pop();
            Err(reason)
        }
    }
}

/// Gives a new domain what the request says of it.
fn fill(
    machine: &mut Machine,
    context: &Context<'_>,
    name: &str,
    object: &Object,
) -> Result<Option<String>, String> {
    let plain = Item::new("ldom_info");
    let info = object.item("ldom_info").unwrap_or(&plain);
    set_info(machine, name, info)?;
    let mac = match &info.address {
        Some(_) => None,
        None => Some(machine.new_mac()),
    };
    let has_uuid = machine.profile.has_uuid();
    let domain = machine.domain_mut(name)?;
    if let Some(mac) = mac {
        domain.info.address = Some(mac);
    }
    let mac = domain.info.address.clone().unwrap_or_default();
    if domain.info.get("hostid").is_none() {
        domain.info.set("hostid", &hostid(&mac));
    }
    if has_uuid && domain.info.uuid.is_none() {
        domain.info.uuid = Some(random_uuid());
    }
    let mut warning = None;
    for item in &object.items {
        let said = match item.kind.as_str() {
            "ldom_info" => None,
            "cpu" | "core" | "mau" | "memory" => {
                tuning::want(machine, name, item)?;
                None
            }
            "vds" | "vsw" | "vcc" | "vdpcs" | "vsan" => {
                services::insert(machine, name, item)?;
                None
            }
            "vds_volume" => {
                services::insert_volume(machine, name, item)?;
                None
            }
            _ => devices::insert(machine, context, name, item)?,
        };
        warning = warning.or(said);
    }
    Ok(warning)
}

pub(super) fn set(machine: &mut Machine, _: &Context<'_>, object: &Object) -> Outcome {
    let name = domain_of(object)?;
    refuse_beside_reconf(machine, name)?;
    let info = item_of(object, "ldom_info")?;
    let domain = machine.settled_mut(name)?;
    if domain.state.holds() && (info.address.is_some() || info.get("hostid").is_some()) {
        return Err(format!("LDom \"{name}\" must be inactive to change its address or hostid"));
    }
    set_info(machine, name, info)?;
    Ok(Step::Done(Effects::default()))
}

/// Checks what is said of the domain itself, and takes it over.
fn set_info(machine: &mut Machine, name: &str, info: &Item) -> Result<(), String> {
    if let Some(mac) = &info.address {
        check_mac(machine, mac, &[])?;
    }
    let policy = info.get("failure-policy");
    if policy.is_some_and(|policy| !["ignore", "panic", "reset", "stop"].contains(&policy)) {
        return Err(format!("Invalid failure-policy {}", policy.unwrap_or_default()));
    }
    let masters: Vec<&str> =
        info.get("master").map(|list| list.split(',').collect()).unwrap_or_default();
    if masters.len() > MASTERS_MAX {
        return Err(format!("An LDom has at most {MASTERS_MAX} masters"));
    }
    for master in masters {
        if master == name {
            return Err(format!("LDom \"{name}\" cannot be its own master"));
        }
        machine.domain(master)?;
    }
    if let Some(uuid) = &info.uuid {
        let is_taken =
            |domain: &Domain| domain.name != name && domain.info.uuid.as_ref() == Some(uuid);
        if machine.domains.iter().any(is_taken) {
            return Err(format!("UUID {uuid} already exists"));
        }
    }
    let has_uuid = machine.profile.has_uuid();
    let domain = machine.domain_mut(name)?;
    // What only the manager says is not taken from a request.
    let is_said = |key: &str| {
        !["state", "flags", "utilization", "uptime", "progress", "status", "source"].contains(&key)
    };
    let mut said = info.clone();
    said.properties.retain(|(key, _)| is_said(key));
    if !has_uuid {
        said.uuid = None;
    }
    domain.info.update(&said);
    Ok(())
}

pub(super) fn remove(machine: &mut Machine, context: &Context<'_>, object: &Object) -> Outcome {
    if context.has_option("-a") {
        let all: Vec<String> = machine.domains.iter().map(|domain| domain.name.clone()).collect();
        let mut effects = Effects::default();
        for name in all.iter().skip(1) {
            effects.notices.push(remove_one(machine, name)?);
        }
        return Ok(Step::Done(effects));
    }
    let name = domain_of(object)?;
    remove_one(machine, name).map(|notice| Step::Done(Effects::notice(notice)))
}

fn remove_one(machine: &mut Machine, name: &str) -> Result<Notice, String> {
    refuse_beside_reconf(machine, name)?;
    let domain = machine.settled_mut(name)?;
    if domain.is_control() {
        return Err(format!("LDom \"{name}\" is the control domain and cannot be removed"));
    }
    if domain.state != State::Inactive {
        let state = domain.state.name();
        return Err(format!("LDom \"{name}\" is in the {state} state, it must be unbound first"));
    }
    let services: Vec<(String, String)> = domain
        .wanted
        .items
        .iter()
        .filter_map(|item| Some((item.kind.clone(), item.get("service_name")?.to_owned())))
        .collect();
    for (kind, service) in services {
        services::refuse_in_use(machine, &kind, &service)?;
    }
    let number = machine.domain(name)?.number;
    machine.domains.retain(|domain| domain.number != number);
    machine.changed.remove(&number);
    machine.removed.insert(number);
    Ok(Notice::domain("remove-domain", name))
}

fn check_name(name: &str) -> Result<(), String> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+#.:;~()".contains(&byte));
    if !first || !rest || name.len() > NAME_BYTES_MAX {
        return Err(format!("Invalid LDom name \"{name}\""));
    }
    Ok(())
}

/// Refuses an address that is none, or that another has.
pub(super) fn check_mac(machine: &Machine, mac: &str, own: &[&str]) -> Result<(), String> {
    let parts: Vec<&str> = mac.split(':').collect();
    let is_hex = |part: &&str| {
        (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if parts.len() != 6 || !parts.iter().all(is_hex) {
        return Err(format!("Invalid MAC address {mac}"));
    }
    if machine.has_mac(mac) && !own.iter().any(|own| own.eq_ignore_ascii_case(mac)) {
        return Err(format!("MAC address {mac} already exists"));
    }
    Ok(())
}

/// A random identifier, version 4.
fn random_uuid() -> String {
    let mut bytes = [0u8; 16];
    // Only a system without random numbers fails here; then the identifier is not random.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
