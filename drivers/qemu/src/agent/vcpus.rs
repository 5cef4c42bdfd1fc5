//! The virtual CPUs that a guest uses of those it has.

use virt_driver::Call;
use virt_error::{Code, Error, Origin, Result};
use virt_json::Value;
use virt_model::{NumberSet, Text};
use virt_types::{DomainRef, TypedParam};

use super::{Talk, begin, malformed, object};
use crate::core::Core;

/// One of the guest's.
#[derive(Clone, Copy)]
struct Vcpu {
    id: u32,
    online: bool,
    can_leave: bool,
}

fn ask(talk: &mut Talk<'_>) -> Result<Vec<Vcpu>> {
    let command = "guest-get-vcpus";
    let answer = talk.ask(command, None)?;
    let listed = answer.as_array();
    let listed =
        listed.ok_or_else(|| malformed(format!("{command} reply was missing return data")))?;
    let vcpu = |value: &Value| {
        let missing = |field: &str| malformed(format!("'{field}' missing in reply of {command}"));
        let id = value.get("logical-id").and_then(Value::as_number);
        let online = value.get("online").and_then(Value::as_bool);
        Ok(Vcpu {
            id: id.ok_or_else(|| missing("logical-id"))?,
            online: online.ok_or_else(|| missing("online"))?,
            can_leave: value.get("can-offline").and_then(Value::as_bool).unwrap_or(false),
        })
    };
    listed.iter().map(vcpu).collect()
}

/// Tells the guest; what it did only in part is asked for again.
fn tell(talk: &mut Talk<'_>, mut changes: Vec<(u32, bool)>) -> Result<()> {
    while !changes.is_empty() {
        let one = |(id, online): &(u32, bool)| {
            object([("logical-id", (*id).into()), ("online", (*online).into())])
        };
        let list = Value::Array(changes.iter().map(one).collect());
        let answer = talk.ask("guest-set-vcpus", Some(object([("vcpus", list)])))?;
        let done: Option<usize> = answer.as_number();
        match done.filter(|done| (1..=changes.len()).contains(done)) {
            Some(done) => drop(changes.drain(..done)),
            None => {
                let detail = "guest agent returned malformed or invalid return value";
                return Err(malformed(detail));
            }
        }
    }
    Ok(())
}

/// `virDomainGetVcpusFlags` of the guest.
pub(crate) fn count(core: &Core, call: &Call<'_>, dom: &DomainRef, maximum: bool) -> Result<i32> {
    let guest = core.guests.find(dom)?;
    let vcpus = ask(&mut begin(core, &guest, call)?)?;
    let count = vcpus.iter().filter(|vcpu| maximum || vcpu.online).count();
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

fn invalid_arg(detail: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, Origin::Qemu, detail)
}

/// `virDomainSetVcpusFlags` of the guest.
pub(crate) fn set_count(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    wanted: usize,
) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let document = guest.live(|live| std::sync::Arc::clone(&live.document))?;
    let enabled = document.vcpu.current.unwrap_or(document.vcpu.count);
    if usize::try_from(enabled).is_ok_and(|enabled| wanted > enabled) {
        let detail =
            "requested vcpu count is greater than the count of enabled vcpus in the domain";
        return Err(invalid_arg(format!("{detail}: {wanted} > {enabled}")));
    }
    let mut talk = begin(core, &guest, call)?;
    let vcpus = ask(&mut talk)?;
    if wanted > vcpus.len() {
        return Err(invalid_arg("guest agent reports less cpu than requested"));
    }
    let online = vcpus.iter().filter(|vcpu| vcpu.online).count();
    let grows = wanted > online;
    let can = vcpus.iter().filter(|vcpu| vcpu.online != grows && (grows || vcpu.can_leave));
    let missing = online.abs_diff(wanted);
    let changes: Vec<_> = can.take(missing).map(|vcpu| (vcpu.id, grows)).collect();
    if changes.len() < missing {
        return Err(invalid_arg("Cannot offline enough CPUs"));
    }
    tell(&mut talk, changes)
}

/// `virDomainGetGuestVcpus`.
pub(crate) fn summary(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<Vec<TypedParam>> {
    let guest = core.guests.find(dom)?;
    let vcpus = ask(&mut begin(core, &guest, call)?)?;
    let set = |which: fn(&Vcpu) -> bool| numbers(vcpus.iter().filter(|v| which(v)).map(|v| v.id));
    Ok(vec![
        TypedParam::new("vcpus", set(|_| true).print().into_owned()),
        TypedParam::new("online", set(|vcpu| vcpu.online).print().into_owned()),
        TypedParam::new("offlinable", set(|vcpu| vcpu.can_leave).print().into_owned()),
    ])
}

fn numbers(ids: impl Iterator<Item = u32>) -> NumberSet {
    NumberSet::from_numbers(ids.filter_map(|id| usize::try_from(id).ok()))
}

/// `virDomainSetGuestVcpus`.
pub(crate) fn set_some(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    map: &str,
    online: bool,
) -> Result<()> {
    let failed = || invalid_arg(format!("Failed to parse bitmap '{map}'"));
    let wanted = NumberSet::parse(map).ok_or_else(failed)?;
    let guest = core.guests.find(dom)?;
    let mut talk = begin(core, &guest, call)?;
    let vcpus = ask(&mut talk)?;
    let known = numbers(vcpus.iter().map(|vcpu| vcpu.id));
    let absent = wanted.iter().filter(|id| !known.contains(*id));
    let absent = NumberSet::from_numbers(absent);
    if !absent.is_empty() {
        return Err(invalid_arg(format!("guest is missing vCPUs '{}'", absent.print())));
    }
    let meant = |vcpu: &&Vcpu| usize::try_from(vcpu.id).is_ok_and(|id| wanted.contains(id));
    let mut changes = Vec::new();
    for vcpu in vcpus.iter().filter(meant) {
        if !online && !vcpu.can_leave {
            let detail = format!("vCPU '{}' is not offlinable", vcpu.id);
            return Err(Error::new(Code::OperationUnsupported, Origin::Qemu, detail));
        }
        changes.push((vcpu.id, online));
    }
    tell(&mut talk, changes)
}
