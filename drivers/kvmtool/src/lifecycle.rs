//! Starting and ending guests.
//!
//! ```text
//!   checks ─▶ taps ─▶ status file, pid 0 ─▶ process that waits ─▶ status file, pid
//!      ─▶ groups, network ─▶ the word: it becomes the tool ─▶ its processors run
//!      ─▶ status file, running ─▶ answer to the caller
//! ```
//!
//! A daemon that dies on the way leaves a file from which its successor sees how far it came: what was
//! never answered is undone, what may have been answered is kept. The end of a guest is the end of
//! its process, seen through a descriptor of it, and nothing else.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virt_driver::{Call, Job};
use virt_error::{Code, Error, Result};
use virt_guests::JOB_WAIT_MAX;
use virt_host::{Ended, Pidfd, Process, Signal};
use virt_model::YesNo;
use virt_model::domain::devices::Vsock;
use virt_model::domain::{Devices, Domain as Document, LifecycleAction};
use virt_types::{Event, api};

use crate::core::{Core, Domain, Run, Working};
use crate::ipc::{self, Ipc};
use crate::launch::{Log, Order};
use crate::limits::Limits;
use crate::status::{self, Status};
use crate::tool::Tool;
use crate::vnc::Relay;
use crate::{
    ORIGIN, argv, dirs, files, host_error, invalid_operation, kernel, net, operation_failed, rules,
    store_error, vnc,
};

/// Limit: how long a guest that was told to stop may take before it is killed.
const STOP_WAIT_MAX: Duration = Duration::from_secs(1);

/// Limit: a killed process that is still there after this hangs in the kernel.
const KILL_WAIT_MAX: Duration = Duration::from_secs(30);

/// Between two tries to get a place among those who wait for a guest.
const QUEUE_STEP: Duration = Duration::from_millis(100);

/// Why a guest is not started paused.
pub(crate) const NO_PAUSED_START: &str = "the native Linux KVM tool runs a guest's processors as soon as it starts: a guest cannot be \
     started paused";

/// Starts a guest from its definition, as `virDomainCreate` does.
pub(crate) fn start(
    core: &Core,
    guest: &Arc<Domain>,
    turn: &mut Working<'_>,
    definition: &Document,
) -> Result<()> {
    boot(core, guest, turn, definition, core.guests.next_id())?;
    let dom = guest.to_ref();
    let (event, detail) = (api::DOMAIN_EVENT_RESUMED, api::DOMAIN_EVENT_RESUMED_UNPAUSED);
    core.guests.publish_lifecycle(dom.clone(), event, detail);
    let (event, detail) = (api::DOMAIN_EVENT_STARTED, api::DOMAIN_EVENT_STARTED_BOOTED);
    core.guests.publish_lifecycle(dom, event, detail);
    Ok(())
}

/// Starts the process of a guest and waits until it runs.
fn boot(
    core: &Core,
    guest: &Arc<Domain>,
    turn: &mut Working<'_>,
    definition: &Document,
    id: i32,
) -> Result<()> {
    let tool = core.tool(definition.devices.emulator.as_deref())?;
    check(core, definition)?;
    let mut document = definition.clone();
    document.id = Some(id);
    prepare(&mut document);
    core.name_devices(&mut document);
    files::label(core, &mut document);
    let result = match vnc::listen(core, &mut document) {
        Ok(display) => launch(core, guest, turn, &mut document, &tool, display),
        Err(error) => {
            files::unlabel(&mut document);
            Err(error)
        }
    };
    if result.is_err() {
        fail(core, guest, turn, &document);
    }
    result
}

/// Looks at what the tool would not look at.
fn check(core: &Core, definition: &Document) -> Result<()> {
    kernel::check(Path::new(definition.os.kernel.as_deref().unwrap_or_default()))?;
    for disk in &definition.devices.disks {
        kernel::check_raw(Path::new(disk.path().unwrap_or_default()))?;
    }
    let sockets = dirs::sockets(&core.home);
    virt_store::make_dir(&sockets, 0o755).map_err(|error| store_error(&error))?;
    if let Some(user) = &core.user {
        let given = std::os::unix::fs::chown(&sockets, Some(user.uid), Some(user.gid));
        let what = format!("unable to set user and group on '{}'", sockets.display());
        given.map_err(|error| Error::io(ORIGIN, &error, what))?;
    }
    let socket = socket_of(core, definition);
    if let Some(pid) = ipc::listener(&socket) {
        return Err(operation_failed(format!(
            "a guest of that name runs already outside of this daemon, as process {pid}"
        )));
    }
    // One that was left by a guest that was killed is nobody's.
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

fn socket_of(core: &Core, document: &Document) -> std::path::PathBuf {
    let sockets = core.sockets();
    sockets.join(format!("{}.sock", rules::tool_name(document, &sockets)))
}

/// Names the devices, for callers that name one, and numbers what may have any number.
fn prepare(document: &mut Document) {
    let devices = &mut document.devices;
    if let (Some(vsock), Some(uuid)) = (automatic_vsock(devices), document.uuid) {
        vsock.cid.address = Some(rules::socket_number(uuid));
    }
    let name = |stem: &str, infos: Vec<&mut virt_model::domain::DeviceInfo>| {
        for (at, info) in infos.into_iter().enumerate() {
            info.alias.get_or_insert_with(|| format!("{stem}{at}"));
        }
    };
    name("virtio-disk", devices.disks.iter_mut().map(|d| &mut d.info).collect());
    name("fs", devices.filesystems.iter_mut().map(|d| &mut d.info).collect());
    name("net", devices.interfaces.iter_mut().map(|d| &mut d.info).collect());
    name("serial", devices.serials.iter_mut().map(|d| &mut d.info).collect());
    name("balloon", devices.memballoon.iter_mut().map(|d| &mut d.info).collect());
    name("rng", devices.rngs.iter_mut().map(|d| &mut d.info).collect());
    name("vsock", devices.vsock.iter_mut().map(|d| &mut d.info).collect());
    let serial = devices.serials.first().and_then(|serial| serial.info.alias.clone());
    for (at, console) in devices.consoles.iter_mut().enumerate() {
        let alias = serial.clone().unwrap_or_else(|| format!("console{at}"));
        console.info.alias.get_or_insert(alias);
    }
}

/// The sockets between guest and host, where their number is not the document's.
fn automatic_vsock(devices: &mut Devices) -> Option<&mut Vsock> {
    devices.vsock.as_mut().filter(|vsock| vsock.cid.auto == Some(YesNo::Yes))
}

/// Writes the terminal where callers look for it.
fn set_terminal(document: &mut Document, tty: &Path) {
    let tty = tty.to_string_lossy().into_owned();
    for serial in &mut document.devices.serials {
        serial.source.path = Some(tty.clone());
    }
    for console in &mut document.devices.consoles {
        console.source.path = Some(tty.clone());
        console.tty = Some(tty.clone());
    }
}

/// The process itself, from the status file that foretells it to the one that says it runs.
fn launch(
    core: &Core,
    guest: &Arc<Domain>,
    turn: &mut Working<'_>,
    document: &mut Document,
    tool: &Tool,
    display: Option<TcpListener>,
) -> Result<()> {
    let args = argv::build(document, tool, &core.sockets())?;
    let (major, minor, micro) = tool.version;
    let command = argv::to_text(&tool.path, &args);
    let path = core.dirs().log_of(&guest.name);
    let (log, file) = Log::open(path, &format!("{major}.{minor}.{micro}"), &command)?;
    let unshare = vnc::unshare(document)?;
    let mut status = Status {
        state: api::DOMAIN_PAUSED,
        reason: api::DOMAIN_PAUSED_STARTING_UP,
        pid: 0,
        start_ticks: 0,
        socket: socket_of(core, document),
        balloon_kib: document.memory.kib,
        log: log.clone(),
        rebooting: false,
        document: document.clone(),
    };
    status.write(core.dirs())?;
    if let Err(error) = files::give(document) {
        files::unlabel(document);
        return Err(error);
    }
    net::make(core, document)?;
    let order = Order {
        tool: &tool.path,
        args: &args,
        home: &core.home,
        user: core.user.as_ref(),
        unshare: unshare.as_deref(),
    };
    let waiting = order.start(file)?;
    set_terminal(&mut status.document, &waiting.tty);
    let pid = waiting.process.pid();
    (status.pid, status.start_ticks) = (pid, Process(pid).start_ticks().unwrap_or(0));
    turn.change(|data| data.set_state(api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_STARTING_UP));
    adopt(core, guest, turn, &status, &waiting.process)?;
    status.write(core.dirs())?;
    turn.read(|data| data.running().map(|live| live.limits.clone()))?.enter(pid, document)?;
    if unshare.is_some() {
        net::move_in(core, document, pid)?;
    }
    waiting.go(&log, document.vcpu.count)?;
    turn.read(|data| data.running().map(|live| live.limits.clone()))?.apply(pid, document)?;
    let relay = display.map(|listener| Relay::start(listener, pid)).transpose()?;
    turn.change(|data| {
        data.set_state(api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_BOOTED);
        if let Some(live) = &mut data.live {
            live.relay = relay;
        }
    });
    deflate(turn, document)?;
    record(core, turn)
}

/// Takes from the guest at its start what its definition leaves it less.
fn deflate(turn: &mut Working<'_>, document: &Document) -> Result<()> {
    let current_kib = document.current_memory_kib();
    if current_kib >= document.memory.kib || !argv::has_balloon(document) {
        return Ok(());
    }
    crate::control::balloon_to(turn, current_kib)
}

/// Makes a process the guest's running one, and watches it.
pub(crate) fn adopt(
    core: &Core,
    guest: &Arc<Domain>,
    turn: &mut Working<'_>,
    status: &Status,
    process: &Arc<Pidfd>,
) -> Result<()> {
    let run = core.next_run();
    let id = status.document.id.unwrap_or(-1);
    let live = Run {
        id,
        run,
        process: Arc::clone(process),
        ipc: Ipc::new(status.socket.clone(), process.pid()),
        document: Arc::new(status.document.clone()),
        balloon_kib: status.balloon_kib,
        log: status.log.clone(),
        ending: None,
        rebooting: status.rebooting,
        again: false,
        silent_until: None,
        limits: Limits::of(id, &guest.name),
        relay: None,
    };
    turn.change(|data| data.live = Some(live));
    let (weak, ended) = (core.weak(), Arc::clone(guest));
    let sink = Box::new(move || {
        let Some(core) = weak.upgrade() else { return };
        core.later(move |core| watched(&core, &ended, run));
    });
    let watched = core.watch.add(run, process, sink);
    watched.map_err(|error| Error::io(ORIGIN, &error, "cannot watch a guest"))
}

/// The process of a run has ended by itself.
fn watched(core: &Core, guest: &Arc<Domain>, run: u64) {
    loop {
        if guest.read(|data| data.live.as_ref().is_none_or(|live| live.run != run)) {
            return;
        }
        let begun = guest.cell.begin(Job::Modify, "virDomainDestroy", JOB_WAIT_MAX);
        let Ok(mut turn) = begun else {
            // So many wait for this guest that there is no place in the queue.
            std::thread::sleep(QUEUE_STEP);
            continue;
        };
        if turn.read(|data| data.live.as_ref().is_some_and(|live| live.run == run)) {
            finish(core, guest, &mut turn);
        }
        return;
    }
}

/// Writes the status file of a running guest.
pub(crate) fn record(core: &Core, turn: &Working<'_>) -> Result<()> {
    let status = turn.read(|data| {
        let live = data.live.as_ref()?;
        let pid = live.process.pid();
        Some(Status {
            state: data.state,
            reason: data.reason,
            pid,
            start_ticks: Process(pid).start_ticks().unwrap_or(0),
            socket: live.ipc.path().to_owned(),
            balloon_kib: live.balloon_kib,
            log: live.log.clone(),
            rebooting: live.rebooting,
            document: (*live.document).clone(),
        })
    });
    status.map_or(Ok(()), |status| status.write(core.dirs()))
}

/// Takes a failed start back.
fn fail(core: &Core, guest: &Arc<Domain>, turn: &mut Working<'_>, document: &Document) {
    let live = turn.change(|data| {
        data.set_state(api::DOMAIN_SHUTOFF, api::DOMAIN_SHUTOFF_FAILED);
        data.live.take()
    });
    if let Some(live) = &live {
        // It may have ended by itself.
        let _ = live.process.signal(Signal::KILL);
        live.process.wait(KILL_WAIT_MAX);
        live.process.reap();
        let _ = std::fs::remove_file(live.ipc.path());
    }
    clear(core, guest, document);
}

/// Takes back what the daemon made for a run. The status file goes last, for by it a new daemon
/// finds what else there is to clear up.
pub(crate) fn clear(core: &Core, guest: &Arc<Domain>, document: &Document) {
    net::remove(core, document);
    files::give_back(document);
    core.release_names(document);
    Limits::of(document.id.unwrap_or(-1), &guest.name).remove();
    status::remove(core.dirs(), &guest.name);
}

/// Ends a guest at once; gracefully means that it is never killed.
pub(crate) fn destroy(
    core: &Core,
    guest: &Arc<Domain>,
    turn: &mut Working<'_>,
    graceful: bool,
) -> Result<()> {
    let (process, ipc) = turn.change(|data| {
        data.running().map(drop)?;
        let live = data.live.as_mut().ok_or_else(|| invalid_operation("domain is not running"))?;
        live.ending = Some(api::DOMAIN_SHUTOFF_DESTROYED);
        live.rebooting = false;
        Ok::<_, Error>((Arc::clone(&live.process), live.ipc.clone()))
    })?;
    let paused = turn.read(|data| data.is_paused());
    // Compat: a paused guest does not take it before it goes on, and it shall do nothing more.
    let asked = (!paused || graceful) && {
        let _ = if paused { ipc.resume() } else { Ok(false) };
        ipc.stop().is_ok()
    };
    if !(asked && has_stopped(&process, &ipc)) {
        let pid = process.pid();
        let busy = |how: &str| {
            let detail = format!("Failed to terminate process {pid}{how}: Device or resource busy");
            operation_failed(detail)
        };
        if graceful {
            turn.change(|data| data.live.iter_mut().for_each(|live| live.ending = None));
            return Err(busy(""));
        }
        process.signal(Signal::KILL).map_err(|error| host_error(&error))?;
        if !process.wait(KILL_WAIT_MAX) {
            return Err(busy(" with SIGKILL"));
        }
    }
    finish(core, guest, turn);
    Ok(())
}

/// Waits for the end of a guest that was told to stop, and sees to it that it hears it.
fn has_stopped(process: &Pidfd, ipc: &Ipc) -> bool {
    let deadline = Instant::now() + STOP_WAIT_MAX;
    while !process.wait(ipc::FORGOTTEN_AFTER) {
        if Instant::now() >= deadline {
            return false;
        }
        ipc.remind();
    }
    true
}

/// The process is gone: says why, takes everything back that belonged to the run, and starts the
/// guest over where it rebooted.
pub(crate) fn finish(core: &Core, guest: &Arc<Domain>, turn: &mut Working<'_>) {
    let Some((reason, how, live)) = turn.change(|data| {
        let live = data.live.take()?;
        let how = live.process.reap();
        Some((why(&live, how), how, live))
    }) else {
        return;
    };
    // Compat: left behind by every end but the tool's own.
    if ipc::listener(live.ipc.path()).is_none() {
        let _ = std::fs::remove_file(live.ipc.path());
    }
    clear(core, guest, &live.document);
    live.log.end(&virt_guests::log_reason(reason, how));
    let again = live.again
        || match reason {
            api::DOMAIN_SHUTOFF_SHUTDOWN => {
                live.rebooting || live.document.on_reboot == Some(LifecycleAction::Restart)
            }
            api::DOMAIN_SHUTOFF_CRASHED => live.document.on_crash == Some(LifecycleAction::Restart),
            _ => false,
        };
    let definition = definition_of(&live.document);
    let id = live.id;
    // The display's port must be free before the guest is started over.
    drop(live);
    if again && boot(core, guest, turn, &definition, id).is_ok() {
        core.guests.publish(&Event::DomainReboot { dom: guest.to_ref() });
        return;
    }
    core.guests.ended(guest, turn, reason);
}

/// Why a run ended, by what is known of its process and what the tool has written.
///
/// Compat: the tool ends with 0 also when KVM gave up on the guest, and a guest that rebooted looks
/// like one that was switched off.
fn why(live: &Run, how: Ended) -> i32 {
    if let Some(reason) = live.ending {
        return reason;
    }
    match how {
        _ if live.log.has_crash() => api::DOMAIN_SHUTOFF_CRASHED,
        Ended::Killed(_) => api::DOMAIN_SHUTOFF_CRASHED,
        Ended::Exited(0) => api::DOMAIN_SHUTOFF_SHUTDOWN,
        Ended::Exited(_) => api::DOMAIN_SHUTOFF_FAILED,
        Ended::Unknown if live.log.has_end() => api::DOMAIN_SHUTOFF_SHUTDOWN,
        Ended::Unknown => api::DOMAIN_SHUTOFF_CRASHED,
    }
}

/// What a running guest's document is without its run.
fn definition_of(live: &Document) -> Document {
    let mut document = live.clone();
    document.id = None;
    files::unlabel(&mut document);
    for serial in &mut document.devices.serials {
        serial.source.path = None;
    }
    for console in &mut document.devices.consoles {
        (console.source.path, console.tty) = (None, None);
    }
    for interface in document.devices.interfaces.iter_mut().filter(|one| net::is_made(one)) {
        interface.target = None;
    }
    if let Some(vsock) = automatic_vsock(&mut document.devices) {
        vsock.cid.address = None;
    }
    for graphics in &mut document.devices.graphics {
        if graphics.ports.autoport == Some(YesNo::Yes) {
            graphics.ports.port = Some(-1);
        }
    }
    document
}

/// The document as `domxml-to-native` takes it, in the tool's words.
pub(crate) fn to_native(core: &Core, xml: &str) -> Result<String> {
    let flags = virt_model::ParseFlags { inactive: true, ..Default::default() };
    let mut document = core.guests.load(xml, flags)?;
    let tool = core.tool(document.devices.emulator.as_deref())?;
    prepare(&mut document);
    net::name(&mut net::Taken::new(), &mut document);
    let args = argv::build(&document, &tool, &core.sockets())?;
    Ok(argv::to_text(&tool.path, &args))
}

/// Ends a guest with the connection that started it, where that was asked for.
pub(crate) fn end_with(
    core: &Core,
    call: &Call<'_>,
    guest: &Arc<Domain>,
    turn: &Working<'_>,
    flags: u32,
) {
    if flags & api::DOMAIN_START_AUTODESTROY == 0 {
        return;
    }
    let (weak, guest) = (core.weak(), Arc::clone(guest));
    let run = turn.read(|data| data.live.as_ref().map(|live| live.run));
    call.connection.on_close(move || {
        let Some(core) = weak.upgrade() else { return };
        core.later(move |core| {
            let begun = guest.cell.begin(Job::Destroy, "virDomainDestroy", JOB_WAIT_MAX);
            let Ok(mut turn) = begun else { return };
            if turn.read(|data| data.live.as_ref().map(|live| live.run)) == run {
                // One that does not go is seen as what still runs.
                let _ = destroy(&core, &guest, &mut turn, false);
            }
        });
    });
}

/// Ends a guest's process and starts it over, as a reset would.
pub(crate) fn replace(core: &Core, guest: &Arc<Domain>, turn: &mut Working<'_>) -> Result<()> {
    let process = turn.change(|data| {
        data.running().map(drop)?;
        let live = data.live.as_mut().ok_or_else(|| invalid_operation("domain is not running"))?;
        live.again = true;
        Ok::<_, Error>(Arc::clone(&live.process))
    })?;
    process.signal(Signal::KILL).map_err(|error| host_error(&error))?;
    process.wait(KILL_WAIT_MAX);
    finish(core, guest, turn);
    turn.read(|data| data.running().map(drop))
}

/// What the tool does not do, and why.
pub(crate) fn refuse<T>(why: &str) -> Result<T> {
    Err(Error::new(Code::OperationUnsupported, ORIGIN, why))
}
