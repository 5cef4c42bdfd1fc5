//! Running guests told what to do: pause, go on, give memory back, reboot, and magic keys.

use std::sync::Arc;

use virt_driver::{Call, Job};
use virt_error::{Code, Error, Result};
use virt_model::domain::Domain as Document;
use virt_types::{DomainRef, Event, api};

use crate::core::{Core, Working, ipc_error};
use crate::ipc::Ipc;
use crate::{ORIGIN, argv, invalid_arg, invalid_operation, lifecycle, operation_failed, vcpus};

const KIB_IN_MIB: u64 = 1024;

fn ipc_of(turn: &Working<'_>) -> Result<Ipc> {
    turn.read(|data| data.running().map(|live| live.ipc.clone()))
}

/// `virDomainSuspend`. A paused guest stays paused.
pub(crate) fn suspend(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    core.work(call, dom, Job::Suspend, |guest, turn| {
        let ipc = ipc_of(turn)?;
        if turn.read(|data| data.is_paused()) {
            return Ok(());
        }
        if !call.waiting(|| ipc.pause()).map_err(|error| ipc_error(&error))? {
            return Err(operation_failed("the guest did not pause"));
        }
        turn.change(|data| data.set_state(api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_USER));
        lifecycle::record(core, turn)?;
        let detail = api::DOMAIN_EVENT_SUSPENDED_PAUSED;
        core.guests.publish_lifecycle(guest.to_ref(), api::DOMAIN_EVENT_SUSPENDED, detail);
        Ok(())
    })
}

/// `virDomainResume`.
pub(crate) fn resume(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    core.work(call, dom, Job::Modify, |guest, turn| {
        let ipc = ipc_of(turn)?;
        if !turn.read(|data| data.is_paused()) {
            return Err(invalid_operation("domain is already running"));
        }
        if call.waiting(|| ipc.resume()).map_err(|error| ipc_error(&error))? {
            return Err(operation_failed("the guest did not go on"));
        }
        turn.change(|data| data.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_UNPAUSED));
        lifecycle::record(core, turn)?;
        let detail = api::DOMAIN_EVENT_RESUMED_UNPAUSED;
        core.guests.publish_lifecycle(guest.to_ref(), api::DOMAIN_EVENT_RESUMED, detail);
        Ok(())
    })
}

/// A running guest is told something that a paused one would not hear.
fn running(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    tell: impl FnOnce(&Ipc) -> Told,
) -> Result<()> {
    core.work(call, dom, Job::Modify, |_, turn| {
        let ipc = ipc_of(turn)?;
        if turn.read(|data| data.is_paused()) {
            return Err(invalid_operation("domain is paused"));
        }
        call.waiting(|| tell(&ipc)).map_err(|error| ipc_error(&error))
    })
}

type Told = std::result::Result<(), crate::ipc::IpcError>;

/// `virDomainReboot`: by the kernel's magic keys, over the first serial port. The tool ends when its
/// guest resets, and is started again.
pub(crate) fn reboot(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    core.work(call, dom, Job::Modify, |_, turn| {
        let ipc = ipc_of(turn)?;
        if turn.read(|data| data.is_paused()) {
            return Err(invalid_operation("domain is paused"));
        }
        turn.change(|data| data.live.iter_mut().for_each(|live| live.rebooting = true));
        // Order: a new daemon must know what the coming end means.
        lifecycle::record(core, turn)?;
        let keys = |ipc: &Ipc| b"sub".iter().try_for_each(|key| ipc.sysrq(*key));
        call.waiting(|| keys(&ipc)).map_err(|error| ipc_error(&error))
    })
}

/// `virDomainReset`: the tool cannot reset a guest, so a new one takes its place.
pub(crate) fn reset(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    core.work(call, dom, Job::Modify, |guest, turn| {
        turn.read(|data| data.running().map(drop))?;
        call.waiting(|| lifecycle::replace(core, guest, turn))
    })
}

/// `virDomainInjectNMI`.
pub(crate) fn inject_nmi(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    running(core, call, dom, |ipc| ipc.inject_nmi(0))
}

/// `virDomainSendKey`: only the kernel's magic keys, as Alt, SysRq and a letter in Linux's codes.
pub(crate) fn send_key(core: &Core, call: &Call<'_>, dom: &DomainRef, keys: &[u32]) -> Result<()> {
    const ALT: [u32; 2] = [56, 100];
    const SYSRQ: u32 = 99;
    const LETTERS: [(u32, &[u8]); 3] = [(16, b"qwertyuiop"), (30, b"asdfghjkl"), (44, b"zxcvbnm")];
    let letter = |code: u32| {
        LETTERS.iter().find_map(|(first, letters)| {
            letters.get(usize::try_from(code.checked_sub(*first)?).ok()?).copied()
        })
    };
    let key = match keys {
        [alt, SYSRQ, code] if ALT.contains(alt) => letter(*code),
        _ => None,
    };
    match key {
        Some(key) => running(core, call, dom, |ipc| ipc.sysrq(key)),
        None => lifecycle::refuse(
            "the native Linux KVM tool has no keyboard but for the kernel's magic keys: Alt, SysRq \
             and a letter, in codeset linux",
        ),
    }
}

/// Tells the balloon of a guest, whose job is held, what to leave it.
///
/// Compat: the tool takes whole MiB, as differences, and never says where it stands.
pub(crate) fn balloon_to(turn: &mut Working<'_>, kib: u64) -> Result<()> {
    let (ipc, now_kib) =
        turn.read(|data| data.running().map(|live| (live.ipc.clone(), live.balloon_kib)))?;
    let (now, wanted) = (now_kib.div_ceil(KIB_IN_MIB), kib.div_ceil(KIB_IN_MIB));
    let mib = i64::try_from(now).unwrap_or(0).saturating_sub(i64::try_from(wanted).unwrap_or(0));
    let mib = i32::try_from(mib).map_err(|_| invalid_arg("too much memory at once"))?;
    if mib != 0 {
        ipc.balloon(mib).map_err(|error| ipc_error(&error))?;
        let kib = wanted.saturating_mul(KIB_IN_MIB);
        turn.change(|data| data.live.iter_mut().for_each(|live| live.balloon_kib = kib));
    }
    Ok(())
}

/// `virDomainSetMemoryFlags`.
pub(crate) fn set_memory(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    kib: u64,
    flags: u32,
) -> Result<()> {
    core.work(call, dom, Job::Modify, |guest, turn| {
        let impact = turn.read(|data| core.guests.impact(data, flags))?;
        if flags & api::DOMAIN_MEM_MAXIMUM != 0 {
            if impact.live {
                let detail = "cannot resize the maximum memory on an active domain";
                return Err(invalid_operation(detail));
            }
            return core.guests.edit(guest, turn, |document| {
                document.memory.kib = kib;
                document.current_memory_kib = Some(document.current_memory_kib().min(kib));
            });
        }
        let check = |document: &Document| match kib > document.memory.kib {
            true => Err(invalid_arg("cannot set memory higher than max memory")),
            false => Ok(()),
        };
        if impact.config {
            core.guests.stored(guest)?.as_deref().map_or(Ok(()), check)?;
        }
        if impact.live {
            let document = core.guests.current(guest)?;
            check(&document)?;
            if !argv::has_balloon(&document) {
                let detail = "Unable to change memory of active domain without the balloon \
                              device and guest OS balloon driver";
                return Err(invalid_operation(detail));
            }
            call.waiting(|| balloon_to(turn, kib))?;
            let actual = turn.read(|data| data.running().map(|live| live.balloon_kib))?;
            let put = |document: &mut Document| document.current_memory_kib = Some(actual);
            vcpus::edit_live(core, turn, put)?;
            core.guests.publish(&Event::DomainBalloonChange { dom: guest.to_ref(), actual });
        }
        if impact.config {
            let put = |document: &mut Document| document.current_memory_kib = Some(kib);
            core.guests.edit(guest, turn, put)?;
        }
        Ok(())
    })
}

/// `virDomainSetVcpusFlags`: only of a definition, and all that it has.
pub(crate) fn set_vcpus(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    count: u32,
    flags: u32,
) -> Result<()> {
    if !(1..=255).contains(&count) {
        return Err(invalid_arg("argument unsupported: vcpu count must be from 1 to 255"));
    }
    core.work(call, dom, Job::Modify, |guest, turn| {
        if turn.read(|data| core.guests.impact(data, flags))?.live {
            return lifecycle::refuse(
                "the native Linux KVM tool cannot change the virtual CPUs of a running guest",
            );
        }
        core.guests.edit(guest, turn, |document| {
            document.vcpu.count = count;
            document.cputune.vcpupins.retain(|pin| pin.vcpu < count);
        })
    })
}

/// The running definition, for calls that only look.
pub(crate) fn live_document(core: &Core, dom: &DomainRef) -> Result<Arc<Document>> {
    core.guests.find(dom)?.live(|live| Arc::clone(&live.document))
}

/// The refusal of whatever would need an agent in the guest.
pub(crate) fn no_agent<T>() -> Result<T> {
    let detail = "QEMU guest agent is not configured";
    Err(Error::new(Code::ArgumentUnsupported, ORIGIN, detail))
}
