//! Where a URI leads: transport, socket, and the name the daemon is asked to open.

use std::path::{Path, PathBuf};

use virt_error::{Code, Error, Origin, Result};

use crate::{Params, Uri};

/// Compat: what clients print is the path under `/var/run`, a link to `/run` everywhere.
const SYSTEM_RUN_DIR: &str = "/var/run/libvirt";

/// How bytes get to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tls,
    Unix,
    Ssh,
    Ext,
    Tcp,
    Libssh2,
    Libssh,
}

impl Transport {
    fn from_name(name: &str) -> Result<Self> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "tls" => Self::Tls,
            "unix" => Self::Unix,
            "ssh" => Self::Ssh,
            "ext" => Self::Ext,
            "tcp" => Self::Tcp,
            "libssh2" => Self::Libssh2,
            "libssh" => Self::Libssh,
            _ => {
                return Err(invalid(
                    "remote_open: transport in URL not recognised \
                     (should be tls|unix|ssh|ext|tcp|libssh2|libssh)",
                ));
            }
        })
    }
}

/// Which daemon's socket is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Whichever is there.
    #[default]
    Auto,
    /// The one daemon for all drivers.
    Legacy,
    /// The driver's own daemon, as `virtqemud`.
    Direct,
}

/// On whose behalf sockets are looked for.
#[derive(Clone, Debug)]
pub struct User {
    pub root: bool,
    /// Where the user's own daemon has its sockets.
    pub run_dir: PathBuf,
}

impl User {
    /// The user of this process.
    pub fn current() -> Self {
        Self { root: rustix::process::geteuid().is_root(), run_dir: session_run_dir() }
    }
}

/// `$XDG_RUNTIME_DIR/libvirt`. Compat: without that variable, libvirt's sockets lie in the cache.
pub fn session_run_dir() -> PathBuf {
    let dir = |name: &str| std::env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let base = dir("XDG_RUNTIME_DIR")
        .or_else(|| dir("XDG_CACHE_HOME"))
        .unwrap_or_else(|| dir("HOME").unwrap_or_else(|| "/".into()).join(".cache"));
    base.join("libvirt")
}

/// Parameters that are for the transport; all others are the driver's and are passed on.
const TRANSPORT_PARAMS: &[&str] = &[
    "name",
    "command",
    "socket",
    "auth",
    "sshauth",
    "netcat",
    "keyfile",
    "pkipath",
    "known_hosts",
    "known_hosts_verify",
    "tls_priority",
    "mode",
    "proxy",
    "no_sanity",
    "no_verify",
    "no_tty",
];

/// Where a URI leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub transport: Transport,
    /// What CONNECT_OPEN is to name: the URI without transport, host and transport parameters.
    pub name: String,
    /// Where the daemon is; this host where none is named.
    pub host: String,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub mode: Mode,
    pub read_only: bool,
    /// All of the URI's.
    pub params: Params,
    /// The daemon's own socket, on its host.
    pub socket: PathBuf,
    /// The name of the daemon to start when nobody listens: only for a user's own.
    pub spawn: Option<String>,
}

impl Target {
    /// Works out the target of a URI; `read_only` chooses the other system socket.
    pub fn of(uri: &Uri, user: &User, read_only: bool) -> Result<Self> {
        let driver = uri.require_driver()?;
        let transport = match (uri.transport(), uri.server()) {
            (Some(name), _) => Transport::from_name(name)?,
            (None, Some(_)) => Transport::Tls,
            (None, None) => Transport::Unix,
        };
        let mode = match uri.params.get("mode") {
            None | Some("auto") => Mode::Auto,
            Some("legacy") => Mode::Legacy,
            Some("direct") => Mode::Direct,
            Some(other) => return Err(invalid(format!("Unknown remote mode '{other}'"))),
        };
        if let (Transport::Unix, Some(host)) = (transport, uri.server()) {
            return Err(invalid(format!(
                "using unix socket and remote server '{host}' is not supported."
            )));
        }
        if transport == Transport::Ext && uri.params.get("command").is_none() {
            return Err(invalid("remote_open: for 'ext' transport, command is required"));
        }
        let own = uri.path == "/session" || (driver == "test" && uri.transport().is_some());
        let own = own && !user.root;
        let place = |daemon: &str| match own {
            true => user.run_dir.join(socket_name(daemon, false)),
            false => Path::new(SYSTEM_RUN_DIR).join(socket_name(daemon, read_only)),
        };
        let direct = format!("virt{driver}d");
        let daemon = match mode {
            Mode::Direct => direct,
            // Compat: a driver's own daemon is preferred where it is there.
            Mode::Auto if transport == Transport::Unix && place(&direct).exists() => direct,
            Mode::Auto | Mode::Legacy => "libvirtd".to_owned(),
        };
        let (socket, spawn) = match uri.params.get("socket") {
            Some(socket) => (PathBuf::from(socket), None),
            None => (place(&daemon), own.then_some(daemon)),
        };
        Ok(Self {
            transport,
            name: remote_name(uri, driver),
            // Compat: a certificate or a log names the host like this too.
            host: uri.server().unwrap_or("localhost").to_owned(),
            port: uri.port,
            user: uri.user.clone(),
            mode,
            read_only,
            params: uri.params.clone(),
            socket,
            spawn,
        })
    }
}

impl Target {
    /// Whether a parameter is a number other than 0.
    pub fn switch(&self, name: &str) -> bool {
        self.params.get(name).is_some_and(|number| number.parse() != Ok(0) && !number.is_empty())
    }

    /// What a helper on the daemon's host is told to reach.
    pub(crate) fn helper_uri(&self) -> String {
        let mode = self.params.get("mode").map_or(String::new(), |mode| {
            let mark = if self.name.contains('?') { '&' } else { '?' };
            format!("{mark}mode={mode}")
        });
        format!("{}{mode}", self.name)
    }
}

fn socket_name(daemon: &str, read_only: bool) -> String {
    // Compat: the one daemon's socket is named after the project, the others' after themselves.
    let stem = if daemon == "libvirtd" { "libvirt" } else { daemon };
    format!("{stem}-sock{}", if read_only { "-ro" } else { "" })
}

fn remote_name(uri: &Uri, driver: &str) -> String {
    if let Some(name) = uri.params.get("name") {
        return name.to_owned();
    }
    if driver == "remote" {
        // The daemon chooses.
        return String::new();
    }
    let local = Uri {
        scheme: Some(driver.to_owned()),
        host: Some(String::new()),
        path: uri.path.clone(),
        params: uri.params.without(TRANSPORT_PARAMS),
        fragment: uri.fragment.clone(),
        ..Uri::default()
    };
    local.to_string()
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, Origin::Remote, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str, root: bool) -> Result<Target> {
        let user = User { root, run_dir: "/run/user/7/libvirt".into() };
        Target::of(&Uri::parse(text)?, &user, false)
    }

    #[test]
    fn sockets_and_names() {
        for (uri, root, socket, spawn, name) in [
            ("qemu:///system", false, "/var/run/libvirt/libvirt-sock", None, "qemu:///system"),
            (
                "qemu:///session",
                false,
                "/run/user/7/libvirt/libvirt-sock",
                Some("libvirtd"),
                "qemu:///session",
            ),
            ("qemu:///session", true, "/var/run/libvirt/libvirt-sock", None, "qemu:///session"),
            (
                "test+unix:///default?mode=direct",
                false,
                "/run/user/7/libvirt/virttestd-sock",
                Some("virttestd"),
                "test:///default",
            ),
            ("qemu+unix:///session?socket=/x&a=1", false, "/x", None, "qemu:///session?a=1"),
            ("test+unix:///default?name=xen:///&socket=/x", false, "/x", None, "xen:///"),
            ("remote+unix:///?socket=/x", false, "/x", None, ""),
        ] {
            let target = target(uri, root).expect(uri);
            assert_eq!(target.socket, Path::new(socket), "{uri}");
            assert_eq!(target.spawn.as_deref(), spawn, "{uri}");
            assert_eq!(target.name, name, "{uri}");
            assert_eq!(target.transport, Transport::Unix, "{uri}");
        }
        assert_eq!(target("qemu+ssh://h/system", false).map(|t| t.transport), Ok(Transport::Ssh));
        assert_eq!(target("qemu://h/system", false).map(|t| t.name), Ok("qemu:///system".into()));
    }

    #[test]
    fn refusals_are_libvirts() {
        for (uri, message) in [
            (
                "test+bogus:///default",
                "invalid argument: remote_open: transport in URL not recognised \
                 (should be tls|unix|ssh|ext|tcp|libssh2|libssh)",
            ),
            (
                "test+unix://host/default",
                "invalid argument: using unix socket and remote server 'host' is not supported.",
            ),
            ("test+unix:///default?mode=foo", "invalid argument: Unknown remote mode 'foo'"),
            (
                "test+ext:///default",
                "invalid argument: remote_open: for 'ext' transport, command is required",
            ),
        ] {
            assert_eq!(target(uri, true).expect_err(uri).message(), message);
        }
    }
}
