//! The ways in: which there are, who may come by each, and what is asked of them first.

use std::net::SocketAddr;

use virt_conf::{Conf, ConfError};
use virt_transport::sasl;
use virt_transport::tcp;
use virt_transport::tls::{Files, ServerTls, Side};
use virt_types::glob;

use crate::polkit;

/// How somebody who comes by a way shows who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    None,
    Sasl,
    /// On unix sockets, and never of root.
    Polkit,
}

impl Auth {
    /// The number on the wire.
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::None => 0,
            Self::Sasl => 1,
            Self::Polkit => 2,
        }
    }
}

/// What carries the bytes. The numbers are those of the administration program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Unix,
    Tcp,
    Tls,
}

/// By which door a client came.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) way: Way,
    pub(crate) read_only: bool,
    /// It is served the administration program, and nothing else.
    pub(crate) admin: bool,
    pub(crate) auth: Auth,
    /// Over the network only.
    pub(crate) peer: Option<Box<SocketAddr>>,
}

impl Arrival {
    /// Whether a client has to show anything before it is let in.
    pub(crate) fn asks(&self) -> bool {
        self.auth != Auth::None || self.way == Way::Tls
    }
}

/// What `libvirtd.conf` says about the ways in.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    pub(crate) listen_tcp: bool,
    pub(crate) listen_tls: bool,
    pub(crate) listen_addr: Option<String>,
    pub(crate) tcp_port: u16,
    pub(crate) tls_port: u16,
    pub(crate) auth_unix_ro: Auth,
    pub(crate) auth_unix_rw: Auth,
    pub(crate) auth_tcp: Auth,
    pub(crate) auth_tls: Auth,
    /// Over plain TCP only mechanisms that encrypt are taken.
    pub(crate) tcp_encrypts: bool,
    tls_files: Files,
    tls_verify: bool,
    tls_sane: bool,
    /// Which versions may be spoken, in GnuTLS's words.
    tls_priority: Option<String>,
    /// Whose certificates let in; everybody's that our authority signed where the list is missing.
    x509_names: Option<Vec<String>>,
    /// Who may come in by SASL; everybody with a password where the list is missing.
    pub(crate) sasl_names: Option<Vec<String>>,
    /// Where the passwords are; in the folder of the configuration where it is missing.
    pub(crate) sasl_file: Option<String>,
}

impl Entries {
    pub(crate) fn from_conf(conf: &Conf, file: &str) -> Result<Self, String> {
        let shown = |error: ConfError| error.at(file);
        let switch = |key: &str, otherwise: bool| match conf.unsigned32(key).map_err(shown)? {
            None => Ok(otherwise),
            Some(number) => Ok::<_, String>(number != 0),
        };
        let auth = |key: &str, otherwise: Auth| auth(conf, file, key, otherwise);
        Ok(Self {
            listen_tcp: switch("listen_tcp", false)?,
            listen_tls: switch("listen_tls", true)?,
            listen_addr: conf.string("listen_addr").map_err(shown)?.map(str::to_owned),
            tcp_port: port(conf, file, "tcp_port", tcp::TCP_PORT)?,
            auth_unix_ro: auth("auth_unix_ro", Auth::None)?,
            auth_unix_rw: auth("auth_unix_rw", Auth::None)?,
            auth_tcp: auth("auth_tcp", Auth::Sasl)?,
            auth_tls: auth("auth_tls", Auth::None)?,
            tcp_encrypts: tcp_encrypts(conf).map_err(shown)??,
            tls_port: port(conf, file, "tls_port", tcp::TLS_PORT)?,
            tls_files: files(conf).map_err(shown)?,
            tls_verify: !switch("tls_no_verify_certificate", false)?,
            tls_sane: !switch("tls_no_sanity_certificate", false)?,
            tls_priority: conf.string("tls_priority").map_err(shown)?.map(str::to_owned),
            x509_names: names(conf, "tls_allowed_dn_list").map_err(shown)?,
            sasl_names: names(conf, "sasl_allowed_username_list").map_err(shown)?,
            sasl_file: conf.string("sasl_password_file").map_err(shown)?.map(str::to_owned),
        })
    }

    /// Whether the list of names lets somebody in.
    pub(crate) fn admits(&self, name: &str) -> bool {
        listed(self.sasl_names.as_deref(), name)
    }

    /// Whether the list of certificates lets somebody in.
    pub(crate) fn admits_certificate(&self, name: &str) -> bool {
        listed(self.x509_names.as_deref(), name)
    }

    /// Reads what the files say now.
    pub(crate) fn server_tls(&self) -> virt_error::Result<ServerTls> {
        let priority = self.tls_priority.as_deref();
        ServerTls::load(&self.tls_files, self.tls_verify, self.tls_sane, priority)
    }
}

/// Whether encryption is asked of SASL. What cannot be granted is refused, never ignored: it is about
/// what others can overhear.
fn tcp_encrypts(conf: &Conf) -> Result<Result<bool, String>, ConfError> {
    /// The least that Kerberos gives with the ciphers it has not given up.
    const SSF_MAX: u32 = 112;
    let asked = conf.unsigned32("tcp_min_ssf")?.unwrap_or(0);
    Ok(match asked {
        0 => Ok(false),
        _ if !sasl::ENCRYPTS => {
            Err("tcp_min_ssf: no SASL mechanism of this build encrypts; use TLS".to_owned())
        }
        1..=SSF_MAX => Ok(true),
        _ => Err(format!("tcp_min_ssf: more than {SSF_MAX} cannot be promised; use TLS")),
    })
}

fn listed(patterns: Option<&[String]>, name: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| glob(pattern, name)))
}

fn names(conf: &Conf, key: &str) -> Result<Option<Vec<String>>, ConfError> {
    let names = conf.strings(key)?;
    Ok(names.map(|names| names.into_iter().map(str::to_owned).collect()))
}

fn files(conf: &Conf) -> Result<Files, ConfError> {
    let mut files = Files::usual(Side::Server);
    for (key, file) in [
        ("ca_file", &mut files.ca),
        ("crl_file", &mut files.crl),
        ("cert_file", &mut files.certificate),
        ("key_file", &mut files.key),
    ] {
        if let Some(path) = conf.string(key)?.filter(|path| !path.is_empty()) {
            *file = path.into();
        }
    }
    Ok(files)
}

fn auth(conf: &Conf, file: &str, key: &str, otherwise: Auth) -> Result<Auth, String> {
    match conf.string(key).map_err(|error| error.at(file))? {
        None => Ok(otherwise),
        Some("none") => Ok(Auth::None),
        Some("sasl") => Ok(Auth::Sasl),
        Some("polkit") if key.starts_with("auth_unix") => match polkit::program() {
            Some(_) => Ok(Auth::Polkit),
            None => Err(format!(
                "{key}: 'polkit' needs the program 'pkcheck', which is not in PATH; install polkit, \
                 or use \"none\" with unix_sock_group, or \"sasl\""
            )),
        },
        Some(kind) => {
            Err(format!("unsupported configuration: {file}: {key}: unsupported auth {kind}"))
        }
    }
}

/// A port by its number or its name.
fn port(conf: &Conf, file: &str, key: &str, otherwise: u16) -> Result<u16, String> {
    let Some(text) = conf.string(key).map_err(|error| error.at(file))? else {
        return Ok(otherwise);
    };
    let by_name = || {
        let services = std::fs::read_to_string("/etc/services").ok()?;
        services.lines().find_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let name = words.next()?;
            let port = words.next()?.strip_suffix("/tcp")?;
            (name == text || words.any(|alias| alias == text)).then(|| port.parse().ok())?
        })
    };
    text.parse().ok().or_else(by_name).ok_or_else(|| format!("{key}: there is no port '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_granted_is_refused() {
        let entries = |text: &str| Entries::from_conf(&Conf::parse(text).expect("conf"), "c");
        for (text, message) in [
            (
                "auth_tcp = \"polkit\"",
                "unsupported configuration: c: auth_tcp: unsupported auth polkit",
            ),
            ("tcp_port = \"nosuchport\"", "tcp_port: there is no port 'nosuchport'"),
        ] {
            assert_eq!(entries(text).map(|_| ()), Err(message.to_owned()), "{text}");
        }
        assert_eq!(entries("tcp_min_ssf = 112").is_ok(), sasl::ENCRYPTS);
        assert!(entries("tcp_min_ssf = 113").is_err());
        let entries = entries("sasl_allowed_username_list = [ \"a*\", \"joe\" ]").expect("entries");
        assert!(entries.admits("ann") && entries.admits("joe") && !entries.admits("bob"));
        assert_eq!((entries.tcp_port, entries.auth_tcp), (16509, Auth::Sasl));
    }
}
