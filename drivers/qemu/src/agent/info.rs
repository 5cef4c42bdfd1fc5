//! What a guest says of itself: its name, system, users, disks, addresses and load.

use virt_driver::Call;
use virt_error::{Code, Error, Origin, Result};
use virt_json::Value;
use virt_model::domain::Domain as Document;
use virt_types::{DomainRef, TypedParam, TypedValue, api};

use super::{Refusal, begin, files, malformed, nets, text_in};
use crate::core::Core;

/// The refusal where a guest's name cannot be found out.
fn no_hostname(dom: &DomainRef) -> Error {
    let detail = format!("no hostname found for domain {}", dom.name);
    Error::new(Code::NoHostname, Origin::Qemu, detail)
}

/// `virDomainGetHostname`. What an agent refuses is not told.
pub(crate) fn hostname(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    flags: u32,
) -> Result<String> {
    let guest = core.guests.find(dom)?;
    if flags & api::DOMAIN_GET_HOSTNAME_LEASE != 0 {
        // The host gives no addresses, so it knows no names either.
        guest.read(|data| data.running().map(drop))?;
        return Err(no_hostname(dom));
    }
    match begin(core, &guest, call)?.try_to_ask("guest-get-host-name", None) {
        Ok(answer) => {
            let name = answer.get("host-name").and_then(Value::as_str);
            name.map(str::to_owned).ok_or_else(|| no_hostname(dom))
        }
        Err(Refusal::Unheard(error) | Refusal::Gone(error)) => Err(error),
        Err(_) => Err(no_hostname(dom)),
    }
}

/// A kind of facts: what it is asked by, the command, and what is made of the answer.
struct Kind {
    flag: u32,
    command: &'static str,
    tell: fn(&mut Vec<TypedParam>, &Value, &Document) -> Result<()>,
}

/// All kinds, in the order in which they are told.
const KINDS: &[Kind] = &[
    Kind { flag: api::DOMAIN_GUEST_INFO_USERS, command: "guest-get-users", tell: users },
    Kind { flag: api::DOMAIN_GUEST_INFO_OS, command: "guest-get-osinfo", tell: system },
    Kind { flag: api::DOMAIN_GUEST_INFO_TIMEZONE, command: "guest-get-timezone", tell: timezone },
    Kind { flag: api::DOMAIN_GUEST_INFO_HOSTNAME, command: "guest-get-host-name", tell: name },
    Kind { flag: api::DOMAIN_GUEST_INFO_FILESYSTEM, command: files::COMMAND, tell: file_systems },
    Kind { flag: api::DOMAIN_GUEST_INFO_DISKS, command: "guest-get-disks", tell: disks },
    Kind { flag: api::DOMAIN_GUEST_INFO_INTERFACES, command: nets::COMMAND, tell: interfaces },
    Kind { flag: api::DOMAIN_GUEST_INFO_LOAD, command: "guest-get-load", tell: load },
];

/// `virDomainGetGuestInfo`. Who asks for nothing gets whatever this agent knows.
pub(crate) fn info(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    kinds: u32,
) -> Result<Vec<TypedParam>> {
    let known = KINDS.iter().fold(0, |known, kind| known | kind.flag);
    let unknown = kinds & !known;
    if unknown != 0 {
        let detail = format!("unsupported guest information types '0x{unknown:x}'");
        return Err(Error::new(Code::InvalidArg, Origin::Qemu, detail));
    }
    let guest = core.guests.find(dom)?;
    let mut talk = begin(core, &guest, call)?;
    let document = talk.document()?;
    let mut params = Vec::new();
    for kind in KINDS.iter().filter(|kind| kinds == 0 || kinds & kind.flag != 0) {
        match talk.try_to_ask(kind.command, None) {
            Ok(answer) => (kind.tell)(&mut params, &answer, &document)?,
            Err(Refusal::Unknown(_)) if kinds == 0 => {}
            Err(refusal) => return Err(refusal.told()),
        }
    }
    Ok(params)
}

fn push(params: &mut Vec<TypedParam>, field: impl Into<String>, value: impl Into<TypedValue>) {
    params.push(TypedParam::new(field, value));
}

fn push_text(params: &mut Vec<TypedParam>, field: String, text: Option<&str>) {
    if let Some(text) = text {
        push(params, field, text);
    }
}

fn count(list: &[impl Sized]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

/// An unsigned number, which the typed parameters' conversions leave to be said.
fn push_count(params: &mut Vec<TypedParam>, field: impl Into<String>, value: u32) {
    params.push(TypedParam { field: field.into(), value: TypedValue::Uint(value) });
}

/// Compat: but for users, none is not told.
fn push_some(params: &mut Vec<TypedParam>, field: impl Into<String>, count: u32) {
    if count > 0 {
        push_count(params, field, count);
    }
}

fn text<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    value.get(field).and_then(Value::as_str)
}

fn decimal(value: &Value, field: &str) -> Option<f64> {
    value.get(field).and_then(Value::as_number)
}

fn no_data(command: &str) -> Error {
    malformed(format!("{command} reply was missing return data"))
}

fn users(params: &mut Vec<TypedParam>, answer: &Value, _: &Document) -> Result<()> {
    let command = "guest-get-users";
    let users = answer.as_array().ok_or_else(|| no_data(command))?;
    push_count(params, "user.count", count(users));
    for (at, user) in users.iter().enumerate() {
        push(params, format!("user.{at}.name"), text_in(user, "user", command)?);
        push_text(params, format!("user.{at}.domain"), text(user, "domain"));
        let none = || malformed(format!("'login-time' missing in reply of {command}"));
        let login_ms = decimal(user, "login-time").ok_or_else(none)? * 1000.0;
        push(params, format!("user.{at}.login-time"), whole(login_ms));
    }
    Ok(())
}

/// What is before the point; what does not fit is the nearest that does.
fn whole(number: f64) -> u64 {
    format!("{:.0}", number.clamp(0.0, 9e18).trunc()).parse().unwrap_or(0)
}

fn system(params: &mut Vec<TypedParam>, answer: &Value, _: &Document) -> Result<()> {
    answer.as_object().ok_or_else(|| no_data("guest-get-osinfo"))?;
    for field in [
        "id",
        "name",
        "pretty-name",
        "version",
        "version-id",
        "machine",
        "variant",
        "variant-id",
        "kernel-release",
        "kernel-version",
    ] {
        push_text(params, format!("os.{field}"), text(answer, field));
    }
    Ok(())
}

fn timezone(params: &mut Vec<TypedParam>, answer: &Value, _: &Document) -> Result<()> {
    let command = "guest-get-timezone";
    answer.as_object().ok_or_else(|| no_data(command))?;
    push_text(params, "timezone.name".to_owned(), text(answer, "zone"));
    let offset_s: Option<i32> = answer.get("offset").and_then(Value::as_number);
    let none = || malformed(format!("'offset' missing in reply of {command}"));
    push(params, "timezone.offset", offset_s.ok_or_else(none)?);
    Ok(())
}

fn name(params: &mut Vec<TypedParam>, answer: &Value, _: &Document) -> Result<()> {
    push_text(params, "hostname".to_owned(), text(answer, "host-name"));
    Ok(())
}

fn file_systems(params: &mut Vec<TypedParam>, answer: &Value, document: &Document) -> Result<()> {
    let found = files::read(answer)?;
    push_some(params, "fs.count", count(&found));
    for (at, one) in found.into_iter().enumerate() {
        let field = |name: &str| format!("fs.{at}.{name}");
        push(params, field("name"), one.name);
        push(params, field("mountpoint"), one.mountpoint);
        push(params, field("fstype"), one.kind);
        for (name, bytes) in [("total-bytes", one.total_bytes), ("used-bytes", one.used_bytes)] {
            if let Some(bytes) = bytes {
                push(params, field(name), bytes);
            }
        }
        push_count(params, field("disk.count"), count(&one.disks));
        for (number, disk) in one.disks.iter().enumerate() {
            let field = |name: &str| format!("fs.{at}.disk.{number}.{name}");
            push_text(params, field("alias"), disk.target(document));
            push_text(params, field("serial"), disk.serial.as_deref());
            push_text(params, field("device"), disk.device.as_deref());
        }
    }
    Ok(())
}

fn disks(params: &mut Vec<TypedParam>, answer: &Value, document: &Document) -> Result<()> {
    let command = "guest-get-disks";
    let none = || malformed("qemu agent didn't return an array of disks");
    let disks = answer.as_array().ok_or_else(none)?;
    push_some(params, "disk.count", count(disks));
    for (at, disk) in disks.iter().enumerate() {
        let field = |name: &str| format!("disk.{at}.{name}");
        push(params, field("name"), text_in(disk, "name", command)?);
        let partition = disk.get("partition").and_then(Value::as_bool);
        let none = || malformed(format!("'partition' missing in reply of {command}"));
        push(params, field("partition"), partition.ok_or_else(none)?);
        let on = disk.get("dependencies").and_then(Value::as_array).unwrap_or_default();
        push_some(params, field("dependency.count"), count(on));
        for (number, name) in on.iter().enumerate() {
            push_text(params, field(&format!("dependency.{number}.name")), name.as_str());
        }
        if let Some(address) = disk.get("address") {
            let its = files::disk(address)?;
            push_text(params, field("serial"), its.serial.as_deref());
            push_text(params, field("alias"), its.target(document));
            push_text(params, field("guest_bus"), its.bus.as_deref());
        }
        push_text(params, field("guest_alias"), text(disk, "alias"));
    }
    Ok(())
}

fn interfaces(params: &mut Vec<TypedParam>, answer: &Value, _: &Document) -> Result<()> {
    let found = nets::interfaces(answer)?;
    push_some(params, "if.count", count(&found));
    for (at, interface) in found.into_iter().enumerate() {
        push(params, format!("if.{at}.name"), interface.name);
        push(params, format!("if.{at}.hwaddr"), interface.hwaddr.unwrap_or_default());
        push_count(params, format!("if.{at}.addr.count"), count(&interface.addrs));
        for (number, address) in interface.addrs.into_iter().enumerate() {
            let field = |name: &str| format!("if.{at}.addr.{number}.{name}");
            let kind = if address.kind == api::IP_ADDR_TYPE_IPV4 { "ipv4" } else { "ipv6" };
            push(params, field("type"), kind);
            push(params, field("addr"), address.addr);
            push_count(params, field("prefix"), address.prefix);
        }
    }
    Ok(())
}

fn load(params: &mut Vec<TypedParam>, answer: &Value, _: &Document) -> Result<()> {
    let none = || malformed("qemu agent didn't return an array of loads");
    answer.as_object().ok_or_else(none)?;
    for (param, field) in [("1m", "load1m"), ("5m", "load5m"), ("15m", "load15m")] {
        let none =
            || malformed(format!("parameter '{field}' is missing in reply of guest-get-load"));
        push(params, format!("load.{param}"), decimal(answer, field).ok_or_else(none)?);
    }
    Ok(())
}
