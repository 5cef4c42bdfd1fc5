//! The way to a daemon: a channel by the transport that a URI names.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use virt_error::Result;
use virt_transport::tls::ClientTls;
use virt_transport::{Channel, Target, Transport, tcp};

/// Limit: how long a session daemon may take to answer after it was started.
const SPAWN_WAIT: Duration = Duration::from_secs(10);
/// After so many seconds without a client a session daemon ends.
const SESSION_TIMEOUT_S: &str = "120";

pub(crate) fn reach(target: &Target) -> Result<Channel> {
    match target.transport {
        Transport::Unix => reach_local(target).map(Channel::local),
        Transport::Tcp => {
            let port = target.port.unwrap_or(tcp::TCP_PORT);
            tcp::connect(&target.host, port).map(Channel::stream)
        }
        Transport::Tls => {
            let port = target.port.unwrap_or(tcp::TLS_PORT);
            let folder = target.params.get("pkipath").map(Path::new);
            let (verify, sane) = (!target.switch("no_verify"), !target.switch("no_sanity"));
            let priority = target.params.get("tls_priority");
            let session = ClientTls { folder, verify, sane, priority }.connect(&target.host)?;
            Channel::secure(tcp::connect(&target.host, port)?, session)
        }
        Transport::Ssh | Transport::Ext | Transport::Libssh2 | Transport::Libssh => {
            Channel::through_program(target)
        }
    }
}

/// The socket of a daemon on this host; a user's own daemon is started where it does not run.
pub fn reach_local(target: &Target) -> Result<UnixStream> {
    match (virt_transport::connect(&target.socket), &target.spawn) {
        (Err(error), Some(daemon)) => spawn_daemon(&target.socket, daemon)
            .map_err(|why| error.with_hint(format!("no session daemon could be started: {why}"))),
        (reached, _) => reached,
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
fn spawn_daemon(socket: &Path, daemon: &str) -> std::result::Result<UnixStream, String> {
    let program = daemon_program();
    let mut command = Command::new(&program);
    command.args(["--daemon", "--timeout", SESSION_TIMEOUT_S]);
    if daemon != "libvirtd" {
        command.args(["--serve-as", daemon]);
    }
    command
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
