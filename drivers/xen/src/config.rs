//! `xen.conf`: where Xen's own services are, where that is not where they usually are.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use virt_conf::{Conf, ConfError};
use virt_error::{Error, Origin, Result};

use crate::store_error;

/// The keys that are honoured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// xend's socket, where `(xend-unix-server yes)` is said.
    pub(crate) xend_socket: PathBuf,
    /// xend over TCP, where `(xend-http-server yes)` is said; nobody is asked there unless named.
    pub(crate) xend_address: Option<SocketAddr>,
    /// xenstored's socket; without one, where it is on old and on new hosts.
    pub(crate) xenstored_socket: Option<PathBuf>,
    /// Where xend keeps managed domains.
    pub(crate) xend_domains: PathBuf,
    /// Where XM files are.
    pub(crate) xm_dir: PathBuf,
    /// The tool stack of today; without one, it is looked for.
    pub(crate) xl: Option<PathBuf>,
    /// The hypervisor's device; empty for none.
    pub(crate) privcmd: PathBuf,
    /// A folder of xenstore that configurations are read from and written to, beside their files.
    pub(crate) xenstore_path: Option<String>,
    /// Where displays listen that name no address.
    pub(crate) vnc_listen: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            xend_socket: "/var/lib/xend/xend-socket".into(),
            xend_address: None,
            xenstored_socket: None,
            xend_domains: "/var/lib/xend/domains".into(),
            xm_dir: "/etc/xen".into(),
            xl: None,
            privcmd: "/dev/xen/privcmd".into(),
            xenstore_path: None,
            vnc_listen: None,
        }
    }
}

impl Config {
    /// Reads the file. One that is not there says nothing.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = virt_store::read_text(path, virt_conf::FILE_BYTES_MAX as u64)
            .map_err(|error| store_error(&error))?;
        let wrong = |detail: String| Error::internal(Origin::Conf, detail);
        let conf = Conf::parse(&text).and_then(|conf| Self::from_conf(&conf));
        conf.map_err(|error| {
            // The code's words are part of what the file's reader says.
            let text = error.at(&path.display().to_string());
            wrong(text.strip_prefix("internal error: ").unwrap_or(&text).to_owned())
        })?
        .map_err(|what| wrong(format!("{}: {what}", path.display())))
    }

    /// The inner refusal is of a value that is a text and yet no address.
    fn from_conf(conf: &Conf) -> std::result::Result<std::result::Result<Self, String>, ConfError> {
        let path = |key: &str| -> std::result::Result<Option<PathBuf>, ConfError> {
            Ok(conf.string(key)?.map(PathBuf::from))
        };
        let text = |key: &str| -> std::result::Result<Option<String>, ConfError> {
            Ok(conf.string(key)?.map(str::to_owned))
        };
        let usual = Self::default();
        let address = text("xend_address")?;
        let parsed = address.as_deref().map(str::parse).transpose();
        let Ok(xend_address) = parsed else {
            let given = address.unwrap_or_default();
            return Ok(Err(format!("xend_address '{given}' is no address with a port")));
        };
        let xenstore_path = text("xenstore_path")?;
        if let Some(path) = xenstore_path.as_deref().filter(|path| !crate::xenstore::is_path(path))
        {
            return Ok(Err(format!("xenstore_path '{path}' is no path of xenstore")));
        }
        Ok(Ok(Self {
            xend_socket: path("xend_socket")?.unwrap_or(usual.xend_socket),
            xend_address,
            xenstored_socket: path("xenstored_socket")?,
            xend_domains: path("xend_domains_dir")?.unwrap_or(usual.xend_domains),
            xm_dir: path("xm_dir")?.unwrap_or(usual.xm_dir),
            xl: path("xl")?,
            privcmd: path("privcmd")?.unwrap_or(usual.privcmd),
            xenstore_path,
            vnc_listen: text("vnc_listen")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<Config, String> {
        let conf = Conf::parse(text).and_then(|conf| Config::from_conf(&conf));
        conf.map_err(|error| format!("{error:?}")).and_then(|config| config)
    }

    #[test]
    fn services_can_be_elsewhere() {
        let config = read("xend_address = \"127.0.0.1:8000\"\nxm_dir = \"/srv/xen\"\n");
        let address = "127.0.0.1:8000".parse().ok();
        let wanted =
            Config { xend_address: address, xm_dir: "/srv/xen".into(), ..Config::default() };
        assert_eq!(config, Ok(wanted));
        assert!(read("xend_address = \"here\"\n").is_err());
        assert!(read("xenstore_path = \"a//b\"\n").is_err());
        assert!(read("xend_socket = 3\n").is_err());
    }
}
