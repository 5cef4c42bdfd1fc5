//! `qemu.conf`: what it says of the emulators, and what holds where it says nothing.

use std::path::Path;

use virt_conf::{Conf, ConfError};
use virt_error::{Error, Origin, Result};
use virt_host::Limits;

/// The keys that are honoured; all others are left to those who read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Whom emulators run as; only the system's daemon can do so.
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    /// Whether images are handed to that user while a guest runs.
    pub(crate) dynamic_ownership: bool,
    /// Whether their owner before is written down, and gets them back.
    pub(crate) remember_owner: bool,
    pub(crate) limits: Limits,
    /// Where displays listen that name no address.
    pub(crate) vnc_listen: String,
    /// Whether guests with VNC, and those without a display, are heard on the host.
    pub(crate) vnc_host_audio: bool,
    pub(crate) nographics_host_audio: bool,
}

impl Config {
    /// Reads the file. One that is not there says nothing.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let text = match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            _ => virt_store::read_text(path, virt_conf::FILE_BYTES_MAX as u64)
                .map_err(|error| crate::dirs::store_error(&error))?,
        };
        let conf = Conf::parse(&text).and_then(|conf| Self::from_conf(&conf));
        conf.map_err(|error| {
            // The code's words are part of what the file's reader says.
            let text = error.at(&shown);
            let detail = text.strip_prefix("internal error: ").unwrap_or(&text);
            Error::internal(Origin::Conf, detail)
        })
    }

    fn from_conf(conf: &Conf) -> std::result::Result<Self, ConfError> {
        let text = |key: &str| -> std::result::Result<Option<String>, ConfError> {
            Ok(conf.string(key)?.map(str::to_owned))
        };
        if conf.boolean("clear_emulator_capabilities")? == Some(false) {
            virt_log::warning!(
                "qemu",
                "clear_emulator_capabilities: unprivileged emulators keep none"
            );
        }
        // Compat: 0 leaves the daemon's own limit.
        let limit = |key: &str| -> std::result::Result<Option<u64>, ConfError> {
            Ok(conf.unsigned(key)?.filter(|limit| *limit > 0))
        };
        Ok(Self {
            user: text("user")?,
            group: text("group")?,
            dynamic_ownership: conf.boolean("dynamic_ownership")?.unwrap_or(true),
            remember_owner: conf.boolean("remember_owner")?.unwrap_or(true),
            limits: Limits {
                max_processes: limit("max_processes")?,
                // Compat: one more than the file says.
                max_files: limit("max_files")?.map(|limit| limit.saturating_add(1)),
            },
            vnc_listen: text("vnc_listen")?.unwrap_or_else(|| "127.0.0.1".into()),
            vnc_host_audio: conf.boolean("vnc_allow_host_audio")?.unwrap_or(false),
            nographics_host_audio: conf.boolean("nographics_allow_host_audio")?.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_libvirt_has_it() {
        let empty = Config::read(Path::new("/nonexistent/qemu.conf")).ok();
        let empty = empty.map(|config| {
            let Config { user, dynamic_ownership, remember_owner, vnc_listen, .. } = config;
            (user, dynamic_ownership, remember_owner, vnc_listen)
        });
        assert_eq!(empty, Some((None, true, true, "127.0.0.1".to_owned())));
        let conf = Conf::parse("user = \"+7\"\nmax_files = 9\nmax_processes = 0\nelse = 1\n");
        let config = conf.and_then(|conf| Config::from_conf(&conf));
        let config = config.map(|config| (config.user, config.limits));
        let limits = Limits { max_files: Some(10), max_processes: None };
        assert_eq!(config, Ok((Some("+7".to_owned()), limits)));
    }

    #[test]
    fn what_is_said_wrongly_is_an_error() {
        for text in ["user = 7", "dynamic_ownership = 2", "max_files = -1"] {
            let conf = Conf::parse(text).and_then(|conf| Config::from_conf(&conf));
            assert!(conf.is_err(), "{text}");
        }
    }
}
