//! A caller's own words to an agent, how long answers may take, and the guest's clock.

use serde_json::Value as QmpValue;
use virt_driver::{Call, Job};
use virt_error::{Code, Error, Origin, Result};
use virt_json::Value;
use virt_types::{DomainRef, DomainTime, api};

use super::{Refusal, ask_once, begin, check, malformed, object, reader, wait_of};
use crate::control::tell;
use crate::core::Core;
use crate::lifecycle;
use crate::monitor::Command;

const NS_PER_S: u64 = 1_000_000_000;

fn invalid_arg(detail: String) -> Error {
    Error::new(Code::InvalidArg, Origin::Qemu, detail)
}

fn check_timeout(timeout_s: i32) -> Result<()> {
    let least = api::DOMAIN_QEMU_AGENT_COMMAND_MIN;
    if timeout_s >= least {
        return Ok(());
    }
    let detail = format!("guest agent timeout '{timeout_s}' is less than the minimum '{least}'");
    Err(invalid_arg(detail))
}

/// `virDomainQemuAgentCommand`.
pub(crate) fn raw(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    text: &str,
    timeout_s: i32,
) -> Result<Option<String>> {
    let guest = core.guests.find(dom)?;
    let mut talk = begin(core, &guest, call)?;
    check_timeout(timeout_s)?;
    let command = reader::json(text).map_err(malformed)?;
    talk.wait = wait_of(timeout_s);
    let answer = talk.say(&command).map_err(Refusal::told)?;
    let name = command.get("execute").and_then(Value::as_str).unwrap_or("<unknown>");
    check(name, &answer).map_err(Refusal::told)?;
    Ok(Some(answer.to_string()))
}

/// `virDomainAgentSetResponseTimeout`, for all later calls but those that bring a time of their own.
pub(crate) fn set_timeout(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    timeout_s: i32,
) -> Result<i32> {
    check_timeout(timeout_s)?;
    let guest = core.guests.find(dom)?;
    let mut work = core.work(&guest, Job::Modify, call)?;
    work.change(|data| {
        let live = data.live.as_mut().ok_or_else(virt_guests::not_running)?;
        live.agent_timeout_s = timeout_s;
        Ok::<_, Error>(())
    })?;
    lifecycle::record(&work)?;
    Ok(0)
}

/// `virDomainGetTime`.
pub(crate) fn clock(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<DomainTime> {
    let answer = ask_once(core, call, dom, "guest-get-time", None)?;
    // Compat: times before 1970 come round from above.
    let time_ns = answer.as_number::<i64>().map(i64::cast_unsigned).or(answer.as_number());
    let time_ns: u64 = time_ns.ok_or_else(|| malformed("malformed return value"))?;
    Ok(DomainTime {
        seconds: (time_ns / NS_PER_S).cast_signed(),
        nseconds: u32::try_from(time_ns % NS_PER_S).unwrap_or(0),
    })
}

/// `virDomainSetTime`; without a time the guest takes that of its hardware clock.
pub(crate) fn set_clock(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    time: Option<DomainTime>,
) -> Result<()> {
    let arguments = time.map(|DomainTime { seconds, nseconds }| {
        let time_ns = seconds
            .checked_mul(NS_PER_S.cast_signed())
            .and_then(|time_ns| time_ns.checked_add(i64::from(nseconds)));
        let too_big = || invalid_arg(format!("Time '{seconds}' is too big for guest agent"));
        Ok::<_, Error>(object([("time", time_ns.ok_or_else(too_big)?.into())]))
    });
    ask_once(core, call, dom, "guest-set-time", arguments.transpose()?)?;
    // Ticks that the guest missed are not to be made up for any more.
    let guest = core.guests.find(dom)?;
    let work = core.work(&guest, Job::Modify, call)?;
    let done: Result<QmpValue> = tell(&work, call, Command::new("rtc-reset-reinjection"));
    done.map(drop)
}
