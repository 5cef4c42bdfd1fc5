//! The client's `libvirt.conf`: the default URI and names for URIs.

use std::path::{Path, PathBuf};

use virt_conf::{Conf, FILE_BYTES_MAX};
use virt_error::{Code, Error, Origin, Result};

/// What a client's configuration file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientConf {
    pub uri_default: Option<String>,
    aliases: Vec<(String, String)>,
}

impl ClientConf {
    /// Where a file of clients is: the host's for its administrator, else the person's own.
    pub fn usual_path(file: &str) -> PathBuf {
        if rustix::process::geteuid().is_root() {
            return Path::new("/etc/libvirt").join(file);
        }
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let own = folder("XDG_CONFIG_HOME").map(PathBuf::from);
        let own = own.or_else(|| folder("HOME").map(|home| PathBuf::from(home).join(".config")));
        own.unwrap_or_default().join("libvirt").join(file)
    }

    /// Reads a file; one that is not there says nothing.
    pub fn load(path: &Path) -> Result<Self> {
        let shown = path.display();
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Ok(meta) if meta.len() > FILE_BYTES_MAX as u64 => {
                return Err(Error::internal(Origin::Conf, format!("{shown}: file too large")));
            }
            _ => {}
        }
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::io(Origin::Conf, &error, format_args!("Failed to open file '{shown}'"))
        })?;
        Self::parse(&text, &shown.to_string())
    }

    fn parse(text: &str, path: &str) -> Result<Self> {
        let bad = |error: virt_conf::ConfError| {
            Error::new(Code::ConfSyntax, Origin::Conf, format!("{path}:{error}"))
        };
        let conf = Conf::parse(text).map_err(bad)?;
        let mut aliases = Vec::new();
        for alias in conf.strings("uri_aliases").map_err(bad)?.unwrap_or_default() {
            let Some((name, uri)) = alias.split_once('=') else {
                let detail = format!(
                    "Malformed 'uri_aliases' config entry '{alias}', \
                     expected 'alias=uri://host/path'"
                );
                return Err(Error::new(Code::ConfSyntax, Origin::Conf, detail));
            };
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if name.is_empty() || !name.chars().all(good) {
                let detail = format!(
                    "Malformed 'uri_aliases' config entry '{alias}', \
                     aliases may only contain 'a-Z, 0-9, _, -'"
                );
                return Err(Error::new(Code::ConfSyntax, Origin::Conf, detail));
            }
            aliases.push((name.to_owned(), uri.to_owned()));
        }
        let uri_default = conf.string("uri_default").map_err(bad)?.map(str::to_owned);
        Ok(Self { uri_default, aliases })
    }

    /// The URI that a name stands for, or the text itself.
    pub fn resolve<'a>(&'a self, text: &'a str) -> &'a str {
        let found = self.aliases.iter().find(|(name, _)| name == text);
        found.map_or(text, |(_, uri)| uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_uris() {
        let text = "uri_aliases = [\n \"hail=qemu+ssh://root@hail/system\",\n]\n\
                    uri_default = \"qemu:///system\"\n";
        let conf = ClientConf::parse(text, "x").expect("conf");
        assert_eq!(conf.resolve("hail"), "qemu+ssh://root@hail/system");
        assert_eq!(conf.resolve("test:///default"), "test:///default");
        assert_eq!(conf.uri_default.as_deref(), Some("qemu:///system"));
        assert!(ClientConf::parse("uri_aliases = [ \"nouri\" ]", "x").is_err());
        assert!(ClientConf::parse("uri_aliases = [ \"a b=c\" ]", "x").is_err());
    }
}
