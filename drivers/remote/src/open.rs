//! The way to a daemon: which URIs lead to one, how it is reached and greeted.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use virt_client::Client;
use virt_driver::{Driver, OpenRequest, Opener};
use virt_error::{Code, Error, Origin, Result};
use virt_transport::{Target, Transport, Uri, User};
use virt_types::feature;
use virt_wire::{Header, remote};

use crate::RemoteDriver;
use crate::driver::ask;
use crate::events::{Subscribers, publish};

/// What a program asks of all its remote connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Keepalive: seconds between pings (0 for none), and unanswered ones allowed.
    pub keepalive_interval_s: u32,
    pub keepalive_count: u32,
}

/// Limit: how long a session daemon may take to answer after it was started.
const SPAWN_WAIT: Duration = Duration::from_secs(10);
/// After so many seconds without a client a session daemon ends.
const SESSION_TIMEOUT_S: &str = "120";

const READ_ONLY: u32 = 1;

/// Takes every URI that nobody in this process serves.
pub fn opener(settings: Settings) -> impl Opener {
    RemoteOpener { settings }
}

struct RemoteOpener {
    settings: Settings,
}

impl Opener for RemoteOpener {
    fn open(&self, request: &OpenRequest<'_>) -> Result<Option<Vec<Arc<dyn Driver>>>> {
        let uri = if request.uri.is_empty() { "remote+unix:///" } else { request.uri };
        let uri = Uri::parse(uri)?;
        let target = Target::of(&uri, &User::current(), request.read_only)?;
        let socket = reach(&target)?;
        let subscribers = Arc::new(Subscribers::default());
        let told = Arc::clone(&subscribers);
        let handler = move |header: Header, payload: &[u8]| publish(&told, header, payload);
        let client = Arc::new(Client::new(socket, Box::new(handler)));
        greet(&client, &target, request.read_only, self.settings)?;
        Ok(Some(vec![Arc::new(RemoteDriver::new(client, subscribers))]))
    }

    /// Compat: root's own hypervisor is the system's, everybody else's is the session's.
    fn probe(&self) -> Option<String> {
        let system = User::current().root || Path::new("/var/run/libvirt/libvirt-sock").exists();
        Some(if system { "qemu:///system" } else { "qemu:///session" }.into())
    }
}

fn reach(target: &Target) -> Result<UnixStream> {
    if target.transport != Transport::Unix {
        let detail = format!("transport {:?} is not supported yet", target.transport);
        return Err(Error::new(Code::InvalidArg, Origin::Remote, detail));
    }
    match virt_transport::connect(&target.socket) {
        Err(error) if target.spawn.is_some() => spawn_daemon(&target.socket)
            .map_err(|why| error.with_hint(format!("no session daemon could be started: {why}"))),
        reached => reached,
    }
}

/// The session daemon's program: named by the environment, beside this program, or on the path.
fn daemon_program() -> PathBuf {
    if let Some(program) = std::env::var_os("LIBVIRTD_PATH").filter(|path| !path.is_empty()) {
        return program.into();
    }
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("virtd"));
    beside.filter(|path| path.exists()).unwrap_or_else(|| "virtd".into())
}

/// Starts a session daemon and waits until it listens. Two clients may do so at the same time: the
/// daemon's own pid file lets only one of them live, and both end up with it.
fn spawn_daemon(socket: &Path) -> std::result::Result<UnixStream, String> {
    let program = daemon_program();
    Command::new(&program)
        .args(["--daemon", "--timeout", SESSION_TIMEOUT_S])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let deadline = Instant::now() + SPAWN_WAIT;
    loop {
        match virt_transport::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > deadline => return Err(error.message().to_owned()),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// What every client of the C library says first: authentication, keepalive, open.
fn greet(client: &Arc<Client>, target: &Target, read_only: bool, settings: Settings) -> Result<()> {
    authenticate(client)?;
    let arguments = remote::ConnectSupportsFeatureArgs { feature: feature::PROGRAM_KEEPALIVE };
    let keepalive = ask(client, remote::CONNECT_SUPPORTS_FEATURE, &arguments, |r| r.flag())?;
    let name = (!target.name.is_empty()).then(|| target.name.clone());
    let flags = if read_only { READ_ONLY } else { 0 };
    let arguments = remote::ConnectOpenArgs { name, flags };
    ask(client, remote::CONNECT_OPEN, &arguments, |_| Ok(()))?;
    if keepalive && settings.keepalive_interval_s > 0 {
        client.set_keepalive(settings.keepalive_interval_s, settings.keepalive_count)?;
    }
    Ok(())
}

fn authenticate(client: &Arc<Client>) -> Result<()> {
    const NONE: i32 = 0;
    const POLKIT: i32 = 2;
    let types = ask(client, remote::AUTH_LIST, &(), |r| {
        r.list(virt_wire::limits::AUTH_TYPE_LIST_MAX, |r| r.i32())
    })?;
    match types.first() {
        None | Some(&NONE) => Ok(()),
        Some(&POLKIT) => ask(client, remote::AUTH_POLKIT, &(), |_| Ok(())),
        Some(other) => {
            let detail = format!("unsupported authentication type {other}");
            Err(Error::new(Code::AuthFailed, Origin::Remote, detail))
        }
    }
}
