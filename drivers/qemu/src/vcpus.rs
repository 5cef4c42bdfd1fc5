//! The virtual CPUs of a guest: what they did, where they may run, and how many there are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use virt_driver::{Call, Job};
use virt_error::{Code, Error, Origin, Result};
use virt_guests::cpu_map;
use virt_host::thread_times;
use virt_model::domain::{Domain as Document, VcpuState};
use virt_model::{NumberSet, Text, YesNo};
use virt_types::{DomainGetVcpuPinInfo, DomainRef, DomainVcpus, VcpuInfo, api};

use crate::agent;
use crate::control::{edit, edit_live, tell};
use crate::core::{Core, MONITOR_WAIT_MAX, Work, monitor_error};
use crate::guest::{Guest, invalid_operation};
use crate::monitor::Command;

/// Limit: how long a guest may take to let a virtual CPU go.
const LEAVE_MAX: Duration = Duration::from_secs(5);
const LEAVE_STEP: Duration = Duration::from_millis(50);

fn invalid_arg(detail: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, Origin::Qemu, detail)
}

/// `virDomainGetVcpus`.
pub(crate) fn running(guest: &Guest, maxinfo: i32, maplen: i32) -> Result<DomainVcpus> {
    let (pid, threads) = guest.read(|data| {
        let live = data.live.as_ref().ok_or_else(|| {
            invalid_operation("cannot retrieve vcpu information for inactive domain")
        })?;
        Ok::<_, Error>((live.process.pid(), live.vcpu_threads.clone()))
    })?;
    let mut vcpus = DomainVcpus { info: Vec::new(), cpumaps: Vec::new() };
    for (at, thread) in threads.iter().enumerate().take(usize::try_from(maxinfo).unwrap_or(0)) {
        let times = thread_times(pid, *thread).unwrap_or_default();
        vcpus.info.push(VcpuInfo {
            number: u32::try_from(at).unwrap_or(0),
            state: api::VCPU_RUNNING,
            cpu_time: times.user_ns.saturating_add(times.system_ns),
            cpu: i32::try_from(times.cpu).unwrap_or(0),
        });
        let cpus = virt_host::thread_cpus(pid, *thread).unwrap_or_default();
        vcpus.cpumaps.extend(cpu_map(&cpus, maplen));
    }
    Ok(vcpus)
}

/// `virDomainGetVcpuPinInfo`.
pub(crate) fn pinned(
    core: &Core,
    guest: &Guest,
    ncpumaps: i32,
    maplen: i32,
    flags: u32,
) -> Result<DomainGetVcpuPinInfo> {
    let impact = guest.read(|data| core.guests.impact(data, flags))?;
    let stored = if impact.config { core.guests.stored(guest)? } else { None };
    let document = stored.map_or_else(|| core.guests.current(guest), Ok)?;
    let all: Vec<usize> = match &document.vcpu.cpuset {
        Some(set) => set.iter().collect(),
        None => virt_host::Topology::host().online.iter().map(|cpu| cpu.id).collect(),
    };
    let count = usize::try_from(document.vcpu.count).unwrap_or(0);
    let count = count.min(usize::try_from(ncpumaps).unwrap_or(0));
    let cpumaps = (0..count).flat_map(|_| cpu_map(&all, maplen)).collect();
    Ok(DomainGetVcpuPinInfo { cpumaps, num: i32::try_from(count).unwrap_or(0) })
}

/// How many virtual CPUs are on.
fn online(document: &Document) -> u32 {
    document.vcpu.current.unwrap_or(document.vcpu.count)
}

/// The states of all virtual CPUs, made from their number where the document does not list them.
fn states(document: &Document) -> Vec<VcpuState> {
    if !document.vcpus.is_empty() {
        return document.vcpus.clone();
    }
    let on = online(document);
    let one = |id: u32| VcpuState {
        id,
        enabled: (id < on).into(),
        hotpluggable: Some((id >= on).into()),
        order: None,
    };
    (0..document.vcpu.count).map(one).collect()
}

/// Takes a list of states into a document, and the number that follows from it.
fn take(document: &mut Document, states: Vec<VcpuState>) {
    let on = states.iter().filter(|state| state.enabled.is_yes()).count();
    let on = u32::try_from(on).unwrap_or(u32::MAX);
    document.vcpu.current = (on < document.vcpu.count).then_some(on);
    document.vcpus = states;
}

/// `virDomainSetVcpusFlags`.
pub(crate) fn set_count(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    count: u32,
    flags: u32,
) -> Result<()> {
    let guest = core.guests.find(dom)?;
    if flags & api::DOMAIN_VCPU_GUEST != 0 {
        guest.read(|data| core.guests.impact(data, flags))?;
        return agent::set_count(core, call, dom, usize::try_from(count).unwrap_or(usize::MAX));
    }
    let mut work = core.work(&guest, Job::Modify, call)?;
    let impact = work.read(|data| core.guests.impact(data, flags))?;
    if count == 0 {
        return Err(invalid_arg("argument unsupported: vcpu count must be greater than 0"));
    }
    if flags & api::DOMAIN_VCPU_MAXIMUM != 0 {
        if impact.live {
            return Err(invalid_arg("maximum vcpu count of a live domain can't be modified"));
        }
        return edit(&mut work, |document| set_maximum(document, count));
    }
    let over = |kind: &str, max: u32| {
        let detail = "requested vcpus is greater than max allowable vcpus for the";
        invalid_arg(format!("{detail} {kind} domain: {count} > {max}"))
    };
    let stored = if impact.config { core.guests.stored(&guest)? } else { None };
    if let Some(max) = stored.map(|document| document.vcpu.count).filter(|max| count > *max) {
        return Err(over("persistent", max));
    }
    if impact.live {
        let document = core.guests.current(&guest)?;
        if count > document.vcpu.count {
            return Err(over("live", document.vcpu.count));
        }
        for (id, on) in changes(&document, count)? {
            switch(&mut work, call, id, on)?;
        }
    }
    if impact.config {
        let hotpluggable = flags & api::DOMAIN_VCPU_HOTPLUGGABLE != 0;
        edit(&mut work, |document| set_stored(document, count, hotpluggable))?;
    }
    Ok(())
}

fn set_maximum(document: &mut Document, count: u32) {
    if document.vcpus.is_empty() {
        document.vcpu.current = document.vcpu.current.filter(|current| *current < count);
        document.vcpu.count = count;
        return;
    }
    let mut states = states(document);
    states.retain(|state| state.id < count);
    let first = u32::try_from(states.len()).unwrap_or(count);
    let added = |id| VcpuState { id, enabled: YesNo::No, hotpluggable: None, order: None };
    states.extend((first..count).map(added));
    document.vcpu.count = count;
    take(document, states);
}

fn set_stored(document: &mut Document, count: u32, hotpluggable: bool) {
    if document.vcpus.is_empty() {
        document.vcpu.current = (count < document.vcpu.count).then_some(count);
        return;
    }
    let mut states = states(document);
    for state in &mut states {
        let on = state.id < count;
        if on && !state.enabled.is_yes() {
            state.hotpluggable.get_or_insert(hotpluggable.into());
        }
        state.enabled = on.into();
    }
    take(document, states);
}

/// Which virtual CPUs to switch so that this many are on: the lowest on, the highest off.
fn changes(document: &Document, count: u32) -> Result<Vec<(u32, bool)>> {
    let states = states(document);
    let now = online(document);
    let wanted = usize::try_from(now.abs_diff(count)).unwrap_or(0);
    let found: Vec<(u32, bool)> = if count >= now {
        let off = states.iter().filter(|state| !state.enabled.is_yes());
        off.map(|state| (state.id, true)).take(wanted).collect()
    } else {
        let can_go = |state: &&VcpuState| {
            state.enabled.is_yes() && state.hotpluggable.is_some_and(YesNo::is_yes)
        };
        states.iter().rev().filter(can_go).map(|state| (state.id, false)).take(wanted).collect()
    };
    if found.len() < wanted {
        let detail = "failed to find appropriate hotpluggable vcpus to reach the desired target \
                      vcpu count";
        return Err(Error::new(Code::ConfigUnsupported, Origin::Qemu, detail));
    }
    Ok(found)
}

/// `virDomainSetVcpu`.
pub(crate) fn set_one(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    list: &str,
    on: bool,
    flags: u32,
) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let mut work = core.work(&guest, Job::Modify, call)?;
    let impact = work.read(|data| core.guests.impact(data, flags))?;
    let set = NumberSet::parse(list).filter(|set| !set.is_empty());
    let set = set.ok_or_else(|| invalid_arg(format!("Failed to parse bitmap '{list}'")))?;
    let ids: Vec<u32> = set.iter().filter_map(|id| u32::try_from(id).ok()).collect();
    let last = ids.last().copied().unwrap_or(0);
    let absent = |kind: &str| invalid_arg(format!("vcpu {last} is not present in {kind} config"));
    if impact.live {
        let document = core.guests.current(&guest)?;
        if last >= document.vcpu.count {
            return Err(absent("live"));
        }
        let [id] = ids.as_slice() else {
            return Err(invalid_arg("only one hotpluggable entity can be selected"));
        };
        may_switch(&document, *id, on)?;
        switch(&mut work, call, *id, on)?;
    }
    if impact.config {
        let stored = core.guests.stored(&guest)?;
        if stored.is_some_and(|document| last >= document.vcpu.count) {
            return Err(absent("persistent"));
        }
        edit(&mut work, |document| {
            let mut states = states(document);
            for state in states.iter_mut().filter(|state| ids.contains(&state.id)) {
                state.enabled = on.into();
                state.hotpluggable = Some(YesNo::Yes);
            }
            take(document, states);
        })?;
    }
    Ok(())
}

fn may_switch(document: &Document, id: u32, on: bool) -> Result<()> {
    let states = states(document);
    let Some(state) = states.iter().find(|state| state.id == id) else { return Ok(()) };
    if state.enabled.is_yes() == on {
        return Err(invalid_arg(format!("vcpu '{id}' is already in requested state")));
    }
    if !on && !state.hotpluggable.is_some_and(YesNo::is_yes) {
        let detail = format!("vcpu '{id}' can't be unplugged");
        return Err(Error::new(Code::OperationUnsupported, Origin::Qemu, detail));
    }
    Ok(())
}

/// The places for virtual CPUs, the first first.
fn slots(work: &Work<'_>, call: &Call<'_>) -> Result<Vec<Value>> {
    let answer = tell(work, call, Command::new("query-hotpluggable-cpus"))?;
    Ok(in_order(&answer))
}

/// Compat: QEMU lists the last slot first.
fn in_order(answer: &Value) -> Vec<Value> {
    answer.as_array().into_iter().flatten().rev().cloned().collect()
}

fn threads(answer: &Value) -> Vec<u32> {
    let cpus = answer.as_array().into_iter().flatten();
    let thread = |cpu: &Value| u32::try_from(cpu.get("thread-id")?.as_u64()?).ok();
    cpus.filter_map(thread).collect()
}

/// The command that puts a virtual CPU into its place.
fn addition(slots: &[Value], id: u32) -> Result<Command> {
    let slot = usize::try_from(id).ok().and_then(|at| slots.get(at));
    let none = || Error::internal(Origin::Qemu, format!("no place for vcpu '{id}'"));
    let slot = slot.ok_or_else(none)?;
    let mut arguments = slot.get("props").cloned().unwrap_or_else(|| json!({}));
    arguments["driver"] = slot.get("type").cloned().unwrap_or(Value::Null);
    arguments["id"] = json!(format!("vcpu{id}"));
    Ok(Command::with("device_add", arguments))
}

/// Those of a document's virtual CPUs that a new guest does not boot with: they can be taken again.
pub(crate) fn added_at_start(document: &Document) -> Vec<u32> {
    let states = document
        .vcpus
        .iter()
        .filter(|state| state.enabled.is_yes() && state.hotpluggable.is_some_and(YesNo::is_yes));
    states.map(|state| state.id).collect()
}

/// Adds them to a new guest before it runs.
pub(crate) fn add_at_start(work: &mut Work<'_>) -> Result<()> {
    let (monitor, document) = work.read(|data| {
        let live = data.running()?;
        Ok::<_, Error>((Arc::clone(&live.monitor), Arc::clone(&live.document)))
    })?;
    if document.vcpus.is_empty() {
        return Ok(());
    }
    let run =
        |command| monitor.run(command, MONITOR_WAIT_MAX).map_err(|error| monitor_error(&error));
    let added = added_at_start(&document);
    if !added.is_empty() {
        let slots = in_order(&run(Command::new("query-hotpluggable-cpus"))?);
        for id in added {
            run(addition(&slots, id)?)?;
        }
    }
    let threads = threads(&run(Command::new("query-cpus-fast"))?);
    work.change(|data| {
        if let Some(live) = &mut data.live {
            live.vcpu_threads = threads;
            number(&mut Arc::make_mut(&mut live.document).vcpus);
        }
    });
    Ok(())
}

/// Adds or takes one virtual CPU of a running guest.
fn switch(work: &mut Work<'_>, call: &Call<'_>, id: u32, on: bool) -> Result<()> {
    if on {
        let slots = slots(work, call)?;
        tell(work, call, addition(&slots, id)?)?;
    } else {
        let name = format!("vcpu{id}");
        tell(work, call, Command::with("device_del", json!({ "id": name })))?;
        left(work, call, &name)?;
    }
    learn_threads(work, call)?;
    edit_live(work, |document| {
        let mut states = states(document);
        if let Some(state) = states.iter_mut().find(|state| state.id == id) {
            state.enabled = on.into();
        }
        number(&mut states);
        take(document, states);
    })
}

/// In which order those that are on came to be so: as they stand.
fn number(states: &mut [VcpuState]) {
    let mut order = 0_u32;
    for state in states {
        if state.id == 0 {
            state.hotpluggable = Some(YesNo::No);
        }
        state.order = state.enabled.is_yes().then(|| {
            order = order.saturating_add(1);
            order
        });
    }
}

/// Waits until the guest has let a virtual CPU go.
fn left(work: &Work<'_>, call: &Call<'_>, name: &str) -> Result<()> {
    let path = format!("/machine/peripheral/{name}");
    let until = Instant::now() + LEAVE_MAX;
    loop {
        let slots = slots(work, call)?;
        let here = |slot: &Value| slot.get("qom-path").and_then(Value::as_str) == Some(&path);
        if !slots.iter().any(here) {
            return Ok(());
        }
        if Instant::now() >= until {
            let detail = "vcpu unplug request timed out. Unplug result must be manually inspected \
                          in the domain";
            return Err(Error::new(Code::OperationTimeout, Origin::Qemu, detail));
        }
        call.waiting(|| std::thread::sleep(LEAVE_STEP));
    }
}

fn learn_threads(work: &mut Work<'_>, call: &Call<'_>) -> Result<()> {
    let threads = threads(&tell(work, call, Command::new("query-cpus-fast"))?);
    work.change(|data| {
        if let Some(live) = &mut data.live {
            live.vcpu_threads = threads;
        }
    });
    Ok(())
}
