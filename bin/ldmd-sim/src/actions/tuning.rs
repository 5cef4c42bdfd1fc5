//! Virtual CPUs, whole cores, crypto units and memory.

use super::change::{Taken, When, change};
use super::{Context, Effects, Notice, Outcome, Sign, Step, domain_of, item_of};
use crate::message::{Item, Object};
use crate::model::{Machine, State, Wanted};
use crate::options::Guest;
use crate::profile::MemoryChange;
use crate::size;

/// Memory of a running guest comes and goes in pieces of this size.
const MEMORY_DR_BYTES: u64 = 256 << 20;

fn count(item: &Item) -> Result<u32, String> {
    let text = item.units.as_deref().unwrap_or_default();
    text.parse().map_err(|_| format!("Invalid number of {}: \"{text}\"", item.kind))
}

fn bytes(item: &Item) -> Result<u64, String> {
    let text = item.units.as_deref().unwrap_or_default();
    size::parse(text).ok_or_else(|| format!("Invalid memory size \"{text}\""))
}

fn combined<T: Copy + Ord>(
    sign: Sign,
    have: T,
    number: T,
    add: fn(T, T) -> Option<T>,
    subtract: fn(T, T) -> Option<T>,
    what: &str,
) -> Result<T, String> {
    match sign {
        Sign::Set => Ok(number),
        Sign::Add => add(have, number).ok_or_else(|| format!("Too many {what}")),
        Sign::Remove => {
            subtract(have, number).ok_or_else(|| format!("The LDom does not have that many {what}"))
        }
    }
}

fn combined_count(sign: Sign, have: u32, number: u32, what: &str) -> Result<u32, String> {
    combined(sign, have, number, u32::checked_add, u32::checked_sub, what)
}

/// What a new domain asks for.
pub(super) fn want(machine: &mut Machine, name: &str, item: &Item) -> Result<(), String> {
    let threads = machine.hardware.threads_per_core;
    let has_cores = machine.profile.has_cores();
    let wanted = &mut machine.domain_mut(name)?.wanted;
    match item.kind.as_str() {
        "cpu" => wanted.vcpus = count(item)?,
        "core" if has_cores => set_cores(wanted, count(item)?, threads)?,
        "mau" => wanted.maus = count(item)?,
        "memory" => wanted.memory_bytes = bytes(item)?,
        other => return Err(format!("Unknown or unexpected resource type {other}")),
    }
    Ok(())
}

fn set_cores(wanted: &mut Wanted, cores: u32, threads: u32) -> Result<(), String> {
    wanted.vcpus = cores.checked_mul(threads).ok_or("Too many cores")?;
    wanted.cores = Some(cores);
    Ok(())
}

pub(super) fn vcpu(
    machine: &mut Machine,
    context: &Context<'_>,
    object: &Object,
    sign: Sign,
) -> Outcome {
    let name = domain_of(object)?;
    let domain = machine.domain(name)?;
    let number = count(item_of(object, "cpu")?)?;
    if domain.asked().cores.is_some() {
        return Err(format!("LDom \"{name}\" has whole cores: its VCPUs are set by core"));
    }
    let have = domain.asked().vcpus;
    let new = combined_count(sign, have, number, "VCPUs")?;
    if new == 0 && (domain.state.holds() || sign == Sign::Remove) {
        return Err("An LDom must keep at least one VCPU".to_owned());
    }
    set_strands(machine, context, name, sign, new, |wanted| {
        wanted.vcpus = new;
        Ok(())
    })
}

pub(super) fn core(
    machine: &mut Machine,
    context: &Context<'_>,
    object: &Object,
    sign: Sign,
) -> Outcome {
    let name = domain_of(object)?;
    let number = count(item_of(object, "core")?)?;
    let domain = machine.domain(name)?;
    if domain.asked().cores.is_none() && domain.state.holds() {
        return Err(format!("LDom \"{name}\" does not have whole cores: it must be unbound first"));
    }
    let cores = combined_count(sign, domain.asked().cores.unwrap_or(0), number, "cores")?;
    if cores == 0 {
        return Err("An LDom must keep at least one core".to_owned());
    }
    let threads = machine.hardware.threads_per_core;
    let new = cores.checked_mul(threads).ok_or("Too many cores")?;
    set_strands(machine, context, name, sign, new, |wanted| set_cores(wanted, cores, threads))
}

/// Changes the number of strands, in the running guest too.
fn set_strands(
    machine: &mut Machine,
    context: &Context<'_>,
    name: &str,
    sign: Sign,
    new: u32,
    edit: impl FnOnce(&mut Wanted) -> Result<(), String>,
) -> Outcome {
    let guest = context.live.guest(name);
    let domain = machine.domain(name)?;
    let is_active = domain.state == State::Active && domain.pending.is_none();
    let have = domain.wanted.vcpus;
    if is_active && guest == Guest::NoDrd && new != have {
        return Err(format!(
            "LDom \"{name}\" does not support dynamic reconfiguration: its drd is not running"
        ));
    }
    if is_active && guest == Guest::PartialCpu && new < have {
        // The guest gives up half of them, rounded down.
        let given = (have - new) / 2;
        let kept = have - given;
        apply(machine, name, When::Now, Fit::Strands, |wanted| {
            wanted.vcpus = kept;
            Ok(())
        })?;
        let asked = have - new;
        return Err(format!("Only {given} of {asked} VCPUs could be removed from LDom \"{name}\""));
    }
    let taken = apply(machine, name, When::Now, Fit::Strands, edit)?;
    done(name, sign, "vcpu", taken)
}

pub(super) fn mau(machine: &mut Machine, _: &Context<'_>, object: &Object, sign: Sign) -> Outcome {
    let name = domain_of(object)?;
    let number = count(item_of(object, "mau")?)?;
    let new = combined_count(sign, machine.domain(name)?.asked().maus, number, "MAUs")?;
    let when = if machine.profile.has_crypto_dr() { When::Now } else { When::NextStart };
    let taken = apply(machine, name, when, Fit::Maus, |wanted| {
        wanted.maus = new;
        Ok(())
    })?;
    done(name, sign, "crypto", taken)
}

pub(super) fn memory(
    machine: &mut Machine,
    context: &Context<'_>,
    object: &Object,
    sign: Sign,
) -> Outcome {
    let name = domain_of(object)?;
    let number = bytes(item_of(object, "memory")?)?;
    let domain = machine.domain(name)?;
    let have = domain.asked().memory_bytes;
    let mut new = combined(sign, have, number, u64::checked_add, u64::checked_sub, "bytes")?;
    if new == 0 && domain.state.holds() {
        return Err("An LDom must keep some memory".to_owned());
    }
    let mut when = When::Now;
    if domain.state == State::Active && domain.pending.is_none() {
        match machine.profile.memory_change() {
            MemoryChange::Dynamic => {
                new = dynamic(context, name, have, new, sign)?;
            }
            MemoryChange::Delayed | MemoryChange::ControlDelayed => when = When::NextStart,
        }
    }
    let taken = apply(machine, name, when, Fit::Memory, |wanted| {
        wanted.memory_bytes = new;
        Ok(())
    })?;
    done(name, sign, "memory", taken)
}

/// The new size that a running guest can take: in steps, and only if it takes part.
fn dynamic(
    context: &Context<'_>,
    name: &str,
    have: u64,
    new: u64,
    sign: Sign,
) -> Result<u64, String> {
    if context.live.guest(name) == Guest::NoDrd {
        return Err(format!(
            "LDom \"{name}\" does not support dynamic reconfiguration: its drd is not running"
        ));
    }
    let delta = have.abs_diff(new);
    let measured = if sign == Sign::Set { new } else { delta };
    if measured.is_multiple_of(MEMORY_DR_BYTES) {
        return Ok(new);
    }
    if !context.has_option("--auto-adj") {
        return Err("The size of memory must be a multiple of 256MB.".to_owned());
    }
    let up = delta.next_multiple_of(MEMORY_DR_BYTES);
    let down = delta / MEMORY_DR_BYTES * MEMORY_DR_BYTES;
    Ok(if new > have { have.saturating_add(up) } else { have.saturating_sub(down) })
}

/// What has to be fitted to what is wanted.
#[derive(Clone, Copy)]
enum Fit {
    Strands,
    Maus,
    Memory,
}

/// Changes what is wanted and fits what is bound to it; neither, if one of them fails.
fn apply(
    machine: &mut Machine,
    name: &str,
    when: When,
    fit: Fit,
    edit: impl FnOnce(&mut Wanted) -> Result<(), String>,
) -> Result<Taken, String> {
    let before = machine.domain(name)?.wanted.clone();
    let taken = change(machine, name, when, edit)?;
    if matches!(taken, Taken::Delayed(_)) || !machine.domain(name)?.state.holds() {
        return Ok(taken);
    }
    let fitted = match fit {
        Fit::Strands => machine.refit_strands(name),
        Fit::Maus => machine.refit_maus(name),
        Fit::Memory => machine.refit_memory(name),
    };
    if let Err(reason) = fitted {
        machine.domain_mut(name)?.wanted = before;
        return Err(reason);
    }
    Ok(taken)
}

fn done(name: &str, sign: Sign, what: &str, taken: Taken) -> Outcome {
    let notice = Notice::resource(&format!("{}-{what}", sign.verb()), name);
    Ok(Step::Done(Effects { notices: vec![notice], warning: taken.notice() }))
}
