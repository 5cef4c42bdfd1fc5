//! `kvmtool.conf`: which tool is run, and where it finds its home.

use std::path::{Path, PathBuf};

use virt_conf::{Conf, ConfError};
use virt_error::{Error, Origin, Result};

use crate::store_error;

/// The keys that are honoured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// The tool itself; without it, one is looked for.
    pub(crate) tool: Option<PathBuf>,
    /// The home of the tool: its sockets are in `.lkvm` there, where `lkvm list` sees them.
    pub(crate) home: Option<PathBuf>,
    /// Whom the tool runs as; only the system's daemon can do so.
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    /// Where displays listen that name no address.
    pub(crate) vnc_listen: Option<String>,
}

impl Config {
    /// Reads the file. One that is not there says nothing.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = virt_store::read_text(path, virt_conf::FILE_BYTES_MAX as u64)
            .map_err(|error| store_error(&error))?;
        let conf = Conf::parse(&text).and_then(|conf| Self::from_conf(&conf));
        conf.map_err(|error| {
            // The code's words are part of what the file's reader says.
            let text = error.at(&path.display().to_string());
            let detail = text.strip_prefix("internal error: ").unwrap_or(&text);
            Error::internal(Origin::Conf, detail)
        })
    }

    fn from_conf(conf: &Conf) -> std::result::Result<Self, ConfError> {
        let text = |key: &str| -> std::result::Result<Option<String>, ConfError> {
            Ok(conf.string(key)?.map(str::to_owned))
        };
        Ok(Self {
            tool: text("tool")?.map(PathBuf::from),
            home: text("home")?.map(PathBuf::from),
            user: text("user")?,
            group: text("group")?,
            vnc_listen: text("vnc_listen")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_and_a_home_can_be_named() {
        let conf = Conf::parse("tool = \"/opt/lkvm\"\nhome = \"/srv\"\n");
        let config = conf.and_then(|conf| Config::from_conf(&conf));
        let wanted = Config {
            tool: Some("/opt/lkvm".into()),
            home: Some("/srv".into()),
            ..Config::default()
        };
        assert_eq!(config, Ok(wanted));
        let wrong = Conf::parse("tool = 3\n").and_then(|conf| Config::from_conf(&conf));
        assert!(wrong.is_err());
    }
}
