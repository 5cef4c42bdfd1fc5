//! `libvirtd.conf`: what it may say and what holds when it says nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use virt_access::Policy;
use virt_conf::{Conf, ConfError};

use crate::args::Args;
use crate::entry::Entries;
use crate::limits::Limits;

/// The folders the daemon works in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dirs {
    pub(crate) config: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) cache: PathBuf,
}

/// What drivers keep where below those folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As for root: each folder has one purpose.
    System,
    /// As for a user's own daemon: some folders are the same.
    Session,
}

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Root's daemon, for all users, as against a user's own.
    pub(crate) system: bool,
    /// The name that clients and administrators know this daemon by.
    pub(crate) daemon: String,
    /// How long it stays when nobody is there; for ever where it is none.
    pub(crate) idle_max: Option<Duration>,
    pub(crate) dirs: Dirs,
    pub(crate) layout: Layout,
    pub(crate) socket_dir: PathBuf,
    pub(crate) socket_group: Option<String>,
    pub(crate) socket_mode: u32,
    pub(crate) socket_mode_ro: u32,
    pub(crate) entries: Entries,
    pub(crate) limits: Limits,
    /// Seconds of silence before a ping; none when the file says -1.
    pub(crate) keepalive_interval_s: Option<u64>,
    /// The same for those who administer.
    pub(crate) admin_keepalive_interval_s: Option<u64>,
    /// Who may do what; everybody everything where it is missing.
    pub(crate) access_rules: Option<PathBuf>,
    /// Whether what the rules allow to change something is written to the log.
    pub(crate) access_log_allowed: bool,
    pub(crate) log_level: Option<u32>,
    pub(crate) log_filters: Option<String>,
    pub(crate) log_outputs: Option<String>,
    /// Where logs go when nobody says where; empty for standard error.
    pub(crate) log_outputs_usual: String,
}

/// The daemon for everything.
const WHOLE: &str = "libvirtd";

impl Settings {
    /// Folders by the command line, then the file in them, then the folders the file names.
    pub(crate) fn load(args: &Args) -> Result<Self, String> {
        let system = rustix::process::geteuid().is_root();
        let (dirs, layout) = match &args.base_dir {
            Some(base) => (Dirs::under(&absolute(base)?), Layout::System),
            None if system => (Dirs::system(), Layout::System),
            None => (Dirs::session(), Layout::Session),
        };
        let daemon = args.serve_as.as_deref().unwrap_or(WHOLE);
        let usual = || dirs.config.join(format!("{daemon}.conf"));
        let path = args.config.clone().unwrap_or_else(usual);
        let shown = path.display().to_string();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if args.config.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                String::new()
            }
            Err(error) => {
                let reason = virt_error::errno_text(error.raw_os_error().unwrap_or(0));
                return Err(format!(
                    "Can't load config file: Failed to open file '{shown}': {reason}: {shown}"
                ));
            }
        };
        let mut settings = Self::parse(&text, &shown, system, dirs, layout)
            .map_err(|text| format!("Can't load config file: {text}: {shown}"))?;
        daemon.clone_into(&mut settings.daemon);
        settings.idle_max = args.timeout_s.map(Duration::from_secs);
        if args.daemon {
            settings.log_outputs_usual = settings.outputs_of_service();
        }
        Ok(settings)
    }

    fn outputs_of_service(&self) -> String {
        if Path::new("/run/systemd/journal/socket").exists() {
            return "1:journald".to_owned();
        }
        format!("1:file:{}", self.dirs.log.join("virtd.log").display())
    }

    /// What a text says, with all folders below `base`.
    pub(crate) fn from_text(text: &str, base: &Path) -> Result<Self, String> {
        Self::parse(text, "(text)", true, Dirs::under(base), Layout::System)
    }

    fn parse(
        text: &str,
        shown: &str,
        system: bool,
        dirs: Dirs,
        layout: Layout,
    ) -> Result<Self, String> {
        let conf = Conf::parse(text).map_err(|error| error.at(shown))?;
        let entries = Entries::from_conf(&conf, shown)?;
        let settings = Self::from_conf(&conf, system, dirs, layout, entries)
            .map_err(|error| error.at(shown))?;
        settings.limits.check()?;
        let unknown = conf.strings("access_drivers").map_err(|error| error.at(shown))?;
        let unknown = unknown.unwrap_or_default().into_iter().find(|name| *name != "none");
        match unknown {
            None => Ok(settings),
            // What cannot be checked is refused, never ignored.
            Some(name) => Err(format!(
                "access_drivers: the driver '{name}' is not available; name a file of rules with \
                 access_rules_file instead"
            )),
        }
    }

    fn from_conf(
        conf: &Conf,
        system: bool,
        dirs: Dirs,
        layout: Layout,
        entries: Entries,
    ) -> Result<Self, ConfError> {
        let dir = |key: &str, otherwise: PathBuf| -> Result<PathBuf, ConfError> {
            Ok(conf.string(key)?.map_or(otherwise, PathBuf::from))
        };
        let dirs = Dirs {
            config: dir("config_dir", dirs.config)?,
            state: dir("state_dir", dirs.state)?,
            run: dir("run_dir", dirs.run)?,
            log: dir("log_dir", dirs.log)?,
            cache: dir("cache_dir", dirs.cache)?,
        };
        let number = |key: &str, otherwise: u32| -> Result<u32, ConfError> {
            Ok(conf.unsigned32(key)?.unwrap_or(otherwise))
        };
        let seconds = |key: &str| -> Result<Option<u64>, ConfError> {
            Ok(match conf.signed(key)? {
                None => Some(5),
                Some(seconds) => u64::try_from(seconds).ok().filter(|&seconds| seconds > 0),
            })
        };
        let text = |key: &str| Ok(conf.string(key)?.map(str::to_owned));
        let mode = |key: &'static str, otherwise: u32| match conf.string(key)? {
            None => Ok(otherwise),
            Some(digits) => match u32::from_str_radix(digits, 8) {
                Ok(mode) if mode <= 0o777 => Ok(mode),
                _ => Err(ConfError::Kind { key: key.to_owned(), wanted: "an octal mode" }),
            },
        };
        Ok(Self {
            system,
            daemon: WHOLE.to_owned(),
            idle_max: None,
            layout,
            entries,
            socket_dir: dir("unix_sock_dir", dirs.run.clone())?,
            socket_group: text("unix_sock_group")?,
            // Without polkit the read-write socket is the owner's, and the group's when named.
            socket_mode: mode("unix_sock_rw_perms", 0o700)?,
            socket_mode_ro: mode("unix_sock_ro_perms", if system { 0o777 } else { 0o700 })?,
            limits: Limits::from_conf(conf)?,
            keepalive_interval_s: seconds("keepalive_interval")?,
            admin_keepalive_interval_s: seconds("admin_keepalive_interval")?,
            access_rules: conf.string("access_rules_file")?.map(PathBuf::from),
            access_log_allowed: number("access_log_allowed", 0)? != 0,
            log_level: conf.unsigned32("log_level")?,
            log_filters: text("log_filters")?,
            log_outputs: text("log_outputs")?,
            log_outputs_usual: String::new(),
            dirs,
        })
    }

    /// The rules of the file that is named.
    pub(crate) fn access(&self) -> Result<Option<Arc<Policy>>, String> {
        let load = |path: &PathBuf| Policy::load(path, self.access_log_allowed);
        self.access_rules.as_ref().map(load).transpose().map_err(|error| error.to_string())
    }

    /// Where passwords for SASL are.
    pub(crate) fn password_file(&self) -> PathBuf {
        match &self.entries.sasl_file {
            Some(file) => file.into(),
            None => self.dirs.config.join("sasl-passwords"),
        }
    }

    /// Compat: the daemon for everything, and the one that stands for it, have their sockets under
    /// the library's name.
    fn socket_stem(&self) -> &str {
        match self.daemon.as_str() {
            WHOLE | "virtproxyd" => "libvirt",
            other => other,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.socket_dir.join(format!("{}-sock", self.socket_stem()))
    }

    pub(crate) fn socket_admin(&self) -> PathBuf {
        let stem = if self.daemon == WHOLE { "libvirt" } else { &self.daemon };
        self.socket_dir.join(format!("{stem}-admin-sock"))
    }

    /// Compat: a user's own daemon has no read-only socket.
    pub(crate) fn socket_ro(&self) -> Option<PathBuf> {
        self.system.then(|| self.socket_dir.join(format!("{}-sock-ro", self.socket_stem())))
    }
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

impl Dirs {
    fn system() -> Self {
        Self {
            config: "/etc/libvirt".into(),
            state: "/var/lib/libvirt".into(),
            run: "/run/libvirt".into(),
            log: "/var/log/libvirt".into(),
            cache: "/var/cache/libvirt".into(),
        }
    }

    fn session() -> Self {
        let env = |name: &str| std::env::var_os(name).filter(|dir| !dir.is_empty());
        let home = PathBuf::from(env("HOME").unwrap_or_else(|| "/".into()));
        let dir = |name: &str, otherwise: &str| {
            env(name).map_or_else(|| home.join(otherwise), PathBuf::from).join("libvirt")
        };
        let config = dir("XDG_CONFIG_HOME", ".config");
        let cache = dir("XDG_CACHE_HOME", ".cache");
        Self {
            // Compat: a user's daemon keeps its state beside its configuration.
            state: config.clone(),
            log: cache.clone(),
            run: virt_transport::session_run_dir(),
            config,
            cache,
        }
    }

    fn under(base: &Path) -> Self {
        let dir = |name: &str| base.join(name).join("libvirt");
        Self {
            config: dir("etc"),
            state: dir("lib"),
            run: dir("run"),
            log: dir("log"),
            cache: dir("cache"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Result<Settings, String> {
        Settings::parse(text, "c", true, Dirs::under(Path::new("/b")), Layout::System)
    }

    #[test]
    fn what_holds_without_a_file() {
        let settings = from("").expect("settings");
        assert_eq!(settings.socket(), Path::new("/b/run/libvirt/libvirt-sock"));
        assert_eq!(settings.socket_ro(), Some("/b/run/libvirt/libvirt-sock-ro".into()));
        assert_eq!((settings.limits.workers_min, settings.limits.workers_max), (5, 20));
        assert_eq!(settings.keepalive_interval_s, Some(5));
    }

    #[test]
    fn each_folder_and_limit_can_be_set_alone() {
        let settings = from(
            "run_dir = \"/r\"\nlog_dir = \"/l\"\nkeepalive_interval = -1\nmax_workers = 3\n\
             unix_sock_rw_perms = \"0770\"\n",
        )
        .expect("settings");
        assert_eq!(settings.socket(), Path::new("/r/libvirt-sock"));
        assert_eq!(settings.dirs.log, Path::new("/l"));
        assert_eq!(settings.dirs.state, Path::new("/b/lib/libvirt"));
        assert_eq!(settings.keepalive_interval_s, None);
        assert_eq!(settings.limits.workers_max, 3);
        assert_eq!(settings.socket_mode, 0o770);
    }

    #[test]
    fn what_cannot_be_granted_is_refused() {
        for (text, message) in [
            (
                "unix_sock_rw_perms = \"9\"",
                "internal error: c: expected an octal mode for 'unix_sock_rw_perms' parameter",
            ),
            ("max_workers = 0", "max_workers must be greater than 0"),
            (
                "max_clients = -1",
                "internal error: c: expected an unsigned integer for 'max_clients' parameter",
            ),
        ] {
            assert_eq!(from(text).map(|_| ()), Err(message.to_owned()), "{text}");
        }
    }
}
