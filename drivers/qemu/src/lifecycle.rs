//! Starting and ending guests.
//!
//! ```text
//!   status file, pid 0 ─▶ emulator, stopped ─▶ status file, pid ─▶ one round of questions
//!       ─▶ status file, running ─▶ cont ─▶ answer to the caller
//! ```
//!
//! A daemon that dies on the way leaves a file from which its successor sees how far it came: what
//! was never answered is undone, what may have been answered is kept.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use virt_driver::{Call, Job, Turn};
use virt_error::{Error, Origin, Result};
use virt_guests::JOB_WAIT_MAX;
use virt_host::{Ended, Pidfd, Process, Signal, Spawn};
use virt_model::domain::Domain as Document;
use virt_store::Durability;
use virt_types::api;

use crate::core::{Core, MONITOR_WAIT_MAX, Work, monitor_error};
use crate::dirs::{host_error, store_error};
use crate::guest::{Data, Guest, Live, operation_failed};
use crate::interview::{interview, learn};
use crate::monitor::{Command, Monitor, MonitorError};
use crate::security::{self, Claim, Identity, give};
use crate::status::{self, Notes, Status};
use crate::{agent, argv, cpu, events, prepare, vcpus, vdisk};

/// Limit: how long a terminated guest may write back its disks before it is killed; libvirt's own.
const TERM_WAIT_MAX: Duration = Duration::from_secs(10);

/// Limit: a killed process that is still there after this hangs in the kernel.
const KILL_WAIT_MAX: Duration = Duration::from_secs(30);

/// Limit: how much of a guest's log is shown in an error.
const LOG_TAIL_BYTES_MAX: u64 = 2048;

/// Starts a guest from its definition.
pub(crate) fn start(work: &mut Work<'_>, definition: &Document, paused: bool) -> Result<()> {
    let (core, guest) = (work.core, work.guest);
    let id = core.guests.next_id();
    let mut document = definition.clone();
    document.id = Some(id);
    let whom = core.security.label(&mut document)?;
    prepare::for_start(core, &mut document, whom.as_ref())?;
    let emulator = PathBuf::from(document.devices.emulator.as_deref().unwrap_or_default());
    let capabilities = core.capabilities(&emulator)?;
    cpu::prepare(&mut document, &capabilities)?;
    let dir = core.dirs().guest(id, &document.name);
    let mut claim = None;
    let launched = launch(work, &document, &capabilities, &dir, whom.as_ref(), &mut claim);
    let result = launched.and_then(|()| {
        let answers = interview(work)?;
        learn(work, &answers)?;
        vcpus::add_at_start(work)?;
        run(work, paused)
    });
    if let Err(error) = result {
        fail(work, &dir);
        // Order: the files are given back by dropping the claim, when the emulator has ended.
        return Err(error);
    }
    claim.into_iter().for_each(Claim::keep);
    if agent::is_expected(definition) {
        let reason = api::CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_DOMAIN_STARTED;
        events::tell_of_agent(core, guest, false, reason);
    }
    let dom = guest.to_ref();
    if !paused {
        let detail = api::DOMAIN_EVENT_RESUMED_UNPAUSED;
        core.guests.publish_lifecycle(dom.clone(), api::DOMAIN_EVENT_RESUMED, detail);
    }
    let detail = api::DOMAIN_EVENT_STARTED_BOOTED;
    core.guests.publish_lifecycle(dom.clone(), api::DOMAIN_EVENT_STARTED, detail);
    if paused {
        let detail = api::DOMAIN_EVENT_SUSPENDED_PAUSED;
        core.guests.publish_lifecycle(dom, api::DOMAIN_EVENT_SUSPENDED, detail);
    }
    Ok(())
}

/// Starts the process, stopped, with the monitor's socket listening already.
fn launch<'a, 'work: 'a>(
    work: &mut Work<'work>,
    document: &'a Document,
    capabilities: &crate::capabilities::Capabilities,
    dir: &Path,
    whom: Option<&Identity>,
    claim: &mut Option<Claim<'a>>,
) -> Result<()> {
    let (core, guest) = (work.core, work.guest);
    let args = argv::build(document, dir, &argv::Monitor::Stdin)?;
    virt_store::make_dir(dir, 0o750).map_err(|error| store_error(&error))?;
    security::check_reach(dir, whom)?;
    give(dir, whom)?;
    master_key(dir, whom)?;
    let path = dir.join("monitor.sock");
    let at = |error: std::io::Error| {
        Error::io(Origin::Qemu, &error, format!("cannot make socket '{}'", path.display()))
    };
    // One that an earlier daemon left is nobody's.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(at)?;
    let emulator = PathBuf::from(document.devices.emulator.as_deref().unwrap_or_default());
    let log = open_log(core, document, &emulator, &args, capabilities)?;
    let mut status = Status {
        state: api::DOMAIN_PAUSED,
        reason: api::DOMAIN_PAUSED_STARTING_UP,
        pid: 0,
        vcpu_threads: Vec::new(),
        rebooting: false,
        agent_timeout_s: api::DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK,
        notes: Notes::new(document, core.dirs()),
        document: document.clone(),
    };
    status.write(core.dirs())?;
    // Order: the status file says whose the files are before they are given away.
    *claim = Some(core.security.claim(document, whom)?);
    let servers = vdisk::serve(core, document, dir, whom)?;
    let spawn = Spawn {
        program: emulator,
        args,
        env: environment(dir, document, whom),
        stdin: Some(listener.into()),
        output: log,
        errors: None,
        user: whom.map(|whom| whom.run_as.clone()),
    };
    let process = Arc::new(spawn.start().map_err(|error| host_error(&error))?.pidfd);
    status.pid = process.pid();
    let watched = adopt(work, &status, &process);
    if let Err(error) = watched {
        let _ = process.signal(Signal::KILL);
        return Err(error);
    }
    work.change(|data| {
        data.set_state(api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_STARTING_UP);
        if let Some(live) = &mut data.live {
            live.servers = servers.keep();
        }
    });
    status.write(core.dirs())?;
    let pid = status.pid.to_string();
    virt_store::write(&core.dirs().pid(&guest.name), pid.as_bytes(), 0o644, Durability::Process)
        .map_err(|error| store_error(&error))
}

/// Connects to a process's monitor and makes it the guest's running one.
pub(crate) fn adopt(work: &mut Work<'_>, status: &Status, process: &Arc<Pidfd>) -> Result<()> {
    let (core, guest, document) = (work.core, work.guest, &status.document);
    let monitor = status.notes.monitor().unwrap_or_default();
    let at = |error: std::io::Error| {
        let what = format!("failed to connect to monitor socket '{}'", monitor.display());
        Error::io(Origin::Qemu, &error, what)
    };
    let monitor = Arc::new(UnixStream::connect(&monitor).and_then(Monitor::new).map_err(at)?);
    let run = core.next_run();
    let live = Live {
        id: document.id.unwrap_or(-1),
        run,
        process: Arc::clone(process),
        monitor: Arc::clone(&monitor),
        document: Arc::new(document.clone()),
        notes: status.notes.clone(),
        vcpu_threads: status.vcpu_threads.clone(),
        balloon_kib: document.memory.kib,
        servers: Vec::new(),
        rebooting: status.rebooting,
        agent: agent::connect(document),
        agent_timeout_s: status.agent_timeout_s,
        ending: None,
        shut_down: false,
    };
    work.change(|data| data.live = Some(live));
    let sink = core.sink(guest, run);
    core.watch().add(monitor, Arc::clone(process), sink).map_err(at)
}

/// The key under which secrets are handed to this emulator.
fn master_key(dir: &Path, whom: Option<&Identity>) -> Result<()> {
    let key = [virt_types::Uuid::random().0, virt_types::Uuid::random().0].concat();
    let path = dir.join("master-key.aes");
    virt_store::write(&path, &key, 0o600, Durability::Process)
        .map_err(|error| store_error(&error))?;
    give(&path, whom)
}

pub(crate) fn environment(
    dir: &Path,
    document: &Document,
    whom: Option<&Identity>,
) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let mut env = vec![("LC_ALL".into(), "C".into())];
    let keep = |env: &mut Vec<_>, names: &[&str]| {
        for name in names {
            env.extend(std::env::var_os(name).map(|value| ((*name).into(), value)));
        }
    };
    keep(&mut env, &["LD_PRELOAD", "LD_LIBRARY_PATH", "PATH"]);
    match whom {
        None => keep(&mut env, &["HOME", "USER", "LOGNAME", "TMPDIR"]),
        // Compat: another user is at home where it may write.
        Some(_) => {
            keep(&mut env, &["TMPDIR"]);
            env.push(("HOME".into(), dir.into()));
            env.push(("XDG_DATA_HOME".into(), dir.join(".local/share").into()));
            env.push(("XDG_CONFIG_HOME".into(), dir.join(".config").into()));
        }
    }
    env.push(("XDG_CACHE_HOME".into(), dir.join(".cache").into()));
    env.extend(argv::passthrough_env(document));
    env
}

/// The guest's log, with a line that says what is started and how.
fn open_log(
    core: &Core,
    document: &Document,
    emulator: &Path,
    args: &[std::ffi::OsString],
    capabilities: &crate::capabilities::Capabilities,
) -> Result<File> {
    let path = core.dirs().log.join(format!("{}.log", document.name));
    let failed = |error: std::io::Error| {
        Error::io(Origin::Qemu, &error, format!("Unable to open file: {}", path.display()))
    };
    let mut log =
        File::options().append(true).create(true).mode(0o600).open(&path).map_err(failed)?;
    let (major, minor, micro) = capabilities.version;
    let mut text = format!(
        "{}: starting up ferrovirt version: {}, qemu version: {major}.{minor}.{micro}{}, kernel: {}, \
         hostname: {}\n{}",
        virt_guests::log_time(),
        env!("CARGO_PKG_VERSION"),
        capabilities.package,
        virt_host::kernel_release(),
        virt_host::hostname(),
        emulator.display(),
    );
    for arg in args {
        let quoted = argv::quoted(&arg.to_string_lossy());
        let separator = if quoted.starts_with('-') { " \\\n" } else { " " };
        text.push_str(separator);
        text.push_str(&quoted);
    }
    text.push('\n');
    log.write_all(text.as_bytes()).map_err(failed)?;
    Ok(log)
}

/// What the emulator said before it ended is the best explanation there is.
pub(crate) fn start_error(work: &Work<'_>, error: &MonitorError) -> Error {
    if *error != MonitorError::Closed {
        return monitor_error(error);
    }
    let path = work.core.dirs().log.join(format!("{}.log", work.guest.name));
    let said = log_tail(&path).unwrap_or_default();
    let name = &work.guest.name;
    let detail = format!("QEMU unexpectedly closed the monitor (vm='{name}'): {said}");
    Error::internal(Origin::Qemu, detail)
}

/// The lines that the emulator itself wrote at the end of its log.
fn log_tail(path: &Path) -> std::io::Result<String> {
    let mut log = File::open(path)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    log.take(LOG_TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let own = text.rfind("-msg timestamp=on\n").map_or(0, |at| at.saturating_add(18));
    Ok(text.get(own..).unwrap_or_default().trim_end().to_owned())
}

/// Lets the guest run, or leaves it paused; the status file says so first.
fn run(work: &mut Work<'_>, paused: bool) -> Result<()> {
    let (state, reason) = if paused {
        (api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_USER)
    } else {
        (api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_BOOTED)
    };
    work.change(|data| data.set_state(state, reason));
    write_status(work.core, work.guest)?;
    if paused {
        return Ok(());
    }
    let monitor = work.read(|data| data.running().map(|live| Arc::clone(&live.monitor)))?;
    let done = monitor.run(Command::new("cont"), MONITOR_WAIT_MAX);
    done.map(drop).map_err(|error| start_error(work, &error))
}

/// Takes a failed start back.
fn fail(work: &mut Work<'_>, dir: &Path) {
    let live = work.change(|data| {
        data.set_state(api::DOMAIN_SHUTOFF, api::DOMAIN_SHUTOFF_FAILED);
        data.live.take()
    });
    if let Some(live) = live {
        // It may have ended by itself; the watching thread reaps it.
        let _ = live.process.signal(Signal::KILL);
        live.process.wait(KILL_WAIT_MAX);
        vdisk::see_off(&live.servers);
        let _ = std::fs::remove_dir_all(work.core.dirs().guest_channels(live.id, &work.guest.name));
    }
    status::remove(work.core.dirs(), &work.guest.name);
    let _ = std::fs::remove_dir_all(dir);
}

/// Writes the status file of a running guest.
fn write_status(core: &Core, guest: &Guest) -> Result<()> {
    let status = guest.read(|data| {
        let live = data.live.as_ref()?;
        Some(Status {
            state: data.state,
            reason: data.reason,
            pid: live.process.pid(),
            vcpu_threads: live.vcpu_threads.clone(),
            rebooting: live.rebooting,
            agent_timeout_s: live.agent_timeout_s,
            notes: live.notes.clone(),
            document: (*live.document).clone(),
        })
    });
    status.map_or(Ok(()), |status| status.write(core.dirs()))
}

/// [`write_status`] where a failure cannot be told to anybody: the file stays as it was.
pub(crate) fn save_status(core: &Core, guest: &Guest) {
    let _ = write_status(core, guest);
}

/// [`write_status`] before a change that a caller waits for.
pub(crate) fn record(work: &Work<'_>) -> Result<()> {
    write_status(work.core, work.guest)
}

/// Before a destroy waits for its turn: a call that waits for a guest which never answers would hold
/// it up, and the guest is about to go anyway.
pub(crate) fn hasten(guest: &Guest) {
    let stuck = guest.read(|data| {
        let live = data.live.as_ref()?;
        let stopped = Process(live.process.pid()).is_stopped();
        (stopped && guest.cell.busy_with().is_some()).then(|| Arc::clone(&live.monitor))
    });
    if let Some(monitor) = stuck {
        monitor.end(MonitorError::Closed);
    }
}

/// Ends a guest with the connection that started it, where that was asked for.
pub(crate) fn end_with(work: &Work<'_>, call: &Call<'_>, flags: u32) {
    if flags & api::DOMAIN_START_AUTODESTROY == 0 {
        return;
    }
    let run_of = |data: &Data| data.live.as_ref().map(|live| live.run);
    let (weak, guest, run) = (work.core.weak(), Arc::clone(work.guest), work.read(run_of));
    call.connection.on_close(move || {
        let Some(core) = weak.upgrade() else { return };
        core.later(move |core| {
            hasten(&guest);
            let begun = guest.cell.begin(Job::Destroy, "virDomainDestroy", JOB_WAIT_MAX);
            let Ok(turn) = begun else { return };
            let mut work = Work::new(&core, &guest, turn);
            if work.read(run_of) == run {
                // One that does not go is seen as what still runs.
                let _ = destroy(&mut work, false);
            }
        });
    });
}

/// Ends a guest at once; gracefully means that it is never killed.
pub(crate) fn destroy(work: &mut Work<'_>, graceful: bool) -> Result<()> {
    let (process, quick) = work.change(|data| {
        let live = data.live.as_mut().ok_or_else(virt_guests::not_running)?;
        live.ending = Some(api::DOMAIN_SHUTOFF_DESTROYED);
        let quick = !graceful && !live.shut_down && !holds_data(&live.document);
        live.shut_down |= quick;
        Ok::<_, Error>((Arc::clone(&live.process), quick))
    })?;
    let pid = process.pid();
    let failed = |error| host_error(&error);
    if quick {
        // Compat: what the emulator itself would have told, had it been asked to end.
        let detail = api::DOMAIN_EVENT_SHUTDOWN_HOST;
        work.core.guests.publish_lifecycle(work.guest.to_ref(), api::DOMAIN_EVENT_SHUTDOWN, detail);
        process.signal(Signal::KILL).map_err(failed)?;
    } else {
        process.signal(Signal::TERM).map_err(failed)?;
    }
    // A stopped process never gets to its end: there is nothing to wait for.
    let stopped = !quick && !graceful && Process(pid).is_stopped();
    let patience = if stopped { Duration::ZERO } else { TERM_WAIT_MAX };
    if !process.wait(patience) {
        if graceful {
            work.change(|data| data.live.iter_mut().for_each(|live| live.ending = None));
            let detail =
                format!("Failed to terminate process {pid} with SIGTERM: Device or resource busy");
            return Err(operation_failed(detail));
        }
        process.signal(Signal::KILL).map_err(failed)?;
        if !process.wait(KILL_WAIT_MAX) {
            let detail =
                format!("Failed to terminate process {pid} with SIGKILL: Device or resource busy");
            return Err(operation_failed(detail));
        }
    }
    finish(work)
}

/// Whether the emulator may hold what is not in its files yet: formats with tables of their own are
/// written back late, raw images and everything else go straight to the host.
fn holds_data(document: &Document) -> bool {
    let devices = &document.devices;
    let late = |disk: &virt_model::domain::Disk| {
        disk.path().is_some() && !disk.readonly && disk.format() != Some("raw")
    };
    devices.disks.iter().any(late)
}

/// Waits until the watching thread has told all that the ended guest had to say, and clears up.
pub(crate) fn finish(work: &mut Work<'_>) -> Result<()> {
    let deadline = Instant::now() + KILL_WAIT_MAX;
    let run = work.read(|data| data.live.as_ref().map(|live| live.run));
    while work.read(|data| data.live.is_some()) && Instant::now() < deadline {
        match work.guest.inbox.wait(deadline.saturating_duration_since(Instant::now())) {
            Some((of, happening)) if Some(of) == run => work.handle(of, happening),
            _ => {}
        }
    }
    Ok(())
}

/// The process is gone: takes everything back that belonged to the run.
pub(crate) fn stopped(
    core: &Core,
    guest: &Arc<Guest>,
    turn: &mut Turn<'_, Data>,
    reason: i32,
    how: Ended,
) {
    let dom = guest.to_ref();
    // Order: as long as the file is there a new daemon looks for the process, so it goes first.
    status::remove(core.dirs(), &guest.name);
    let (live, transient) = turn.change(|data| {
        data.set_state(api::DOMAIN_SHUTOFF, reason);
        let transient = data.definition.is_none();
        data.gone |= transient;
        (data.live.take(), transient)
    });
    let Some(live) = live else { return };
    core.security.release(&live.document);
    if !live.servers.is_empty() {
        core.later(move |_| vdisk::see_off(&live.servers));
    }
    let _ = std::fs::remove_dir_all(core.dirs().guest(live.id, &guest.name));
    let _ = std::fs::remove_dir_all(core.dirs().guest_channels(live.id, &guest.name));
    log_end(core, &guest.name, reason, how);
    if transient {
        core.guests.remove(guest);
    }
    let detail = match reason {
        api::DOMAIN_SHUTOFF_DESTROYED => api::DOMAIN_EVENT_STOPPED_DESTROYED,
        api::DOMAIN_SHUTOFF_SHUTDOWN => api::DOMAIN_EVENT_STOPPED_SHUTDOWN,
        api::DOMAIN_SHUTOFF_CRASHED => api::DOMAIN_EVENT_STOPPED_FAILED,
        _ => api::DOMAIN_EVENT_STOPPED_FAILED,
    };
    core.guests.publish_lifecycle(dom, api::DOMAIN_EVENT_STOPPED, detail);
}

fn log_end(core: &Core, name: &str, reason: i32, how: Ended) {
    let path = core.dirs().log.join(format!("{name}.log"));
    if let Ok(mut log) = File::options().append(true).open(path) {
        let (time, reason) = (virt_guests::log_time(), virt_guests::log_reason(reason, how));
        let line = format!("{time}: shutting down, {reason}\n");
        // A log that is full loses a line.
        let _ = log.write_all(line.as_bytes());
    }
}
