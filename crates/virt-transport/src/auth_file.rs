//! `auth.conf`: credentials for hosts, so that nobody has to type them.
//!
//! `[credentials-NAME]` holds them, `[auth-SERVICE-HOST]` says which are for whom; the host
//! `default` stands for all others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use virt_error::{Code, Error, Origin, Result};

/// Limit: a file of credentials.
const FILE_BYTES_MAX: u64 = 1 << 20;

type Groups = HashMap<String, HashMap<String, String>>;

/// A file of credentials.
#[derive(Clone, Debug, Default)]
pub struct AuthFile {
    path: PathBuf,
    groups: Groups,
}

impl AuthFile {
    /// The file for a connection: named in its URI, by the environment, the person's or the host's.
    pub fn find(named: Option<&str>) -> Result<Option<Self>> {
        if let Some(path) = named {
            return Self::load(Path::new(path)).map(Some);
        }
        let env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(path) = env("LIBVIRT_AUTH_FILE") {
            return Self::load(Path::new(&path)).map(Some);
        }
        let own = env("XDG_CONFIG_HOME").map(PathBuf::from);
        let own = own.or_else(|| env("HOME").map(|home| PathBuf::from(home).join(".config")));
        let own = own.map(|folder| folder.join("libvirt/auth.conf"));
        let places = own.into_iter().chain([PathBuf::from("/etc/libvirt/auth.conf")]);
        places.into_iter().find(|path| path.exists()).map(|path| Self::load(&path)).transpose()
    }

    fn load(path: &Path) -> Result<Self> {
        let shown = path.display();
        let failed = |error: std::io::Error| {
            Error::io(Origin::Auth, &error, format_args!("Failed to open file '{shown}'"))
        };
        let meta = std::fs::metadata(path).map_err(failed)?;
        if meta.len() > FILE_BYTES_MAX {
            return Err(Error::internal(Origin::Auth, format!("{shown}: file too large")));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), groups: groups(&text) })
    }

    /// One credential (`authname`, `password`, …) for a service on a host; nothing where the file
    /// has none for that host.
    pub fn get(&self, service: &str, host: &str, name: &str) -> Result<Option<&str>> {
        let of = |host: &str| self.groups.get(&format!("auth-{service}-{host}"));
        let Some(found) = of(host).or_else(|| of("default")) else { return Ok(None) };
        let missing = |what: String| {
            let path = self.path.display();
            Err(Error::new(Code::ConfSyntax, Origin::Auth, format!("{what} in '{path}'")))
        };
        let Some(credentials) = found.get("credentials") else {
            return missing(format!("Missing item 'credentials' in group 'auth-{service}-{host}'"));
        };
        match self.groups.get(&format!("credentials-{credentials}")) {
            Some(group) => Ok(group.get(name).map(String::as_str)),
            None => missing(format!(
                "Missing group 'credentials-{credentials}' referenced from group \
                 'auth-{service}-{host}'"
            )),
        }
    }
}

fn groups(text: &str) -> Groups {
    let mut groups = Groups::new();
    let mut group = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut group);
        } else if let Some((key, value)) = line.split_once('=') {
            let group = groups.entry(group.clone()).or_default();
            group.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_by_host_or_for_all() {
        let text = "[credentials-test]\nauthname=fred\npassword=123456\n\
            [credentials-other]\nauthname=ann\n\
            [auth-libvirt-test1.example.com]\ncredentials=test\n\
            [auth-libvirt-default]\ncredentials=other\n[auth-esx-default]\ncredentials=gone\n";
        let file = AuthFile { path: "/a".into(), groups: groups(text) };
        let get = |host, name| file.get("libvirt", host, name).expect("found");
        assert_eq!(get("test1.example.com", "password"), Some("123456"));
        assert_eq!(get("elsewhere", "authname"), Some("ann"));
        assert_eq!(get("elsewhere", "password"), None);
        assert_eq!(file.get("test", "x", "authname"), Ok(None));
        assert!(file.get("esx", "x", "authname").is_err());
    }
}
