//! Running guests told what to do: pause, go on, give memory back, reboot, and magic keys.

use std::sync::Arc;
use std::time::Duration;

use virt_driver::{Call, Job};
use virt_error::{Code, Error, Result};
use virt_guests::{Data, JOB_WAIT_MAX};
use virt_model::domain::Domain as Document;
use virt_types::{DomainRef, Event, api};

use crate::core::{Core, Domain, Run, Working, ipc_error};
use crate::ipc::{Ipc, IpcError};
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
        match call.waiting(|| ipc.pause()) {
            Ok(true) => is_now(core, guest, turn, PAUSED),
            Ok(false) => Err(operation_failed("the guest did not pause")),
            Err(error) => Err(unanswered(core, guest, turn, &error)),
        }
    })
}

/// `virDomainResume`.
pub(crate) fn resume(core: &Core, call: &Call<'_>, dom: &DomainRef) -> Result<()> {
    core.work(call, dom, Job::Modify, |guest, turn| {
        let ipc = ipc_of(turn)?;
        if !turn.read(|data| data.is_paused()) {
            return Err(invalid_operation("domain is already running"));
        }
        match call.waiting(|| ipc.resume()) {
            Ok(false) => is_now(core, guest, turn, UNPAUSED),
            Ok(true) => Err(operation_failed("the guest did not go on")),
            Err(error) => Err(unanswered(core, guest, turn, &error)),
        }
    })
}

/// A state and its reason.
type State = (i32, i32);

const PAUSED: State = (api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_USER);
const UNPAUSED: State = (api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_UNPAUSED);

/// Writes down that a guest is paused or runs, and tells it.
fn is_now(core: &Core, guest: &Domain, turn: &mut Working<'_>, state: State) -> Result<()> {
    turn.change(|data| data.set_state(state.0, state.1));
    lifecycle::record(core, turn)?;
    let (event, detail) = match state.0 {
        api::DOMAIN_PAUSED => (api::DOMAIN_EVENT_SUSPENDED, api::DOMAIN_EVENT_SUSPENDED_PAUSED),
        _ => (api::DOMAIN_EVENT_RESUMED, api::DOMAIN_EVENT_RESUMED_UNPAUSED),
    };
    core.guests.publish_lifecycle(guest.to_ref(), event, detail);
    Ok(())
}

/// Between two questions to a guest that does not answer.
const SETTLE_STEP: Duration = Duration::from_secs(1);

/// The error of a word that was not answered. The tool may hear it all the same, once whoever holds
/// its socket has gone: so the guest is asked until it answers, and its state is then what it says.
fn unanswered(core: &Core, guest: &Arc<Domain>, turn: &Working<'_>, error: &IpcError) -> Error {
    let asked = turn.read(|data| data.live.as_ref().map(|live| (live.run, live.ipc.clone())));
    if let (IpcError::Timeout, Some((run, ipc))) = (error, asked) {
        let guest = Arc::clone(guest);
        core.later(move |core| settle(&core, &guest, run, &ipc, [UNPAUSED, PAUSED]));
    }
    ipc_error(error)
}

/// Asks a guest whether it is paused until it answers; `states` are what it is if not, and if so.
pub(crate) fn settle(core: &Core, guest: &Arc<Domain>, run: u64, ipc: &Ipc, [not, so]: [State; 2]) {
    let runs = |data: &Data<Run>| data.live.as_ref().is_some_and(|live| live.run == run);
    while guest.read(runs) {
        // Order: first without the job, so that nobody waits for this one's answer.
        if ipc.is_paused().is_ok()
            && let Ok(mut turn) = guest.cell.begin(Job::Modify, "virDomainGetState", JOB_WAIT_MAX)
            && let Ok(paused) = ipc.is_paused()
        {
            if turn.read(|data| runs(data) && data.is_paused() != paused) {
                // What cannot be written down now is by the next change.
                let _ = is_now(core, guest, &mut turn, if paused { so } else { not });
            }
            return;
        }
        std::thread::sleep(SETTLE_STEP);
    }
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

type Told = std::result::Result<(), IpcError>;

/// Limit: how long a guest whose socket is gone may take to end.
const REBOOT_WAIT_MAX: Duration = Duration::from_secs(5);

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
        let process = turn.read(|data| data.running().map(|live| Arc::clone(&live.process)))?;
        let keys = |ipc: &Ipc| b"sub".iter().try_for_each(|key| ipc.sysrq(*key));
        match call.waiting(|| keys(&ipc)) {
            // The last key may be done before it is answered, and then it never is.
            Err(IpcError::Closed(_) | IpcError::Odd(_)) if process.wait(REBOOT_WAIT_MAX) => Ok(()),
            told => told.map_err(|error| ipc_error(&error)),
        }
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
