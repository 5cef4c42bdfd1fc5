//! Which manager a URI means, and how it is to be dealt with.

use std::path::PathBuf;
use std::time::Duration;

use virt_error::{Code, Error, Result};
use virt_transport::Uri;

use super::{ORIGIN, Protocol};

/// Compat: registered as `ldoms-mgmt`, and used by every release.
const PORT: u16 = 6482;

/// The manager of this machine's control domain, or of another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether the manager runs in this domain: it then asks nobody for a password.
    pub(crate) local: bool,
    pub(crate) user: Option<String>,
    pub(crate) auth_file: Option<PathBuf>,
    /// Found out by asking where not given.
    pub(crate) protocol: Option<Protocol>,
    pub(crate) trust: Trust,
    /// The version of the interface to speak from the start.
    pub(crate) version: Option<String>,
    pub(crate) define: Define,
    /// Where the console concentrator listens, when not beside the manager.
    pub(crate) console_host: Option<String>,
    /// How long a question may take, when not as long as usual.
    pub(crate) timeout: Option<Duration>,
}

/// How a manager's certificate is judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// Anyone: on the same machine, or where the caller says so.
    Anyone,
    /// The one certificate with this SHA-256 sum.
    Fingerprint([u8; 32]),
    /// Signed by one of the authorities in this file, for the host's name.
    Authority(PathBuf),
}

/// What is left of a definition: the domain with its resources bound to it, or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Define {
    Bound,
    Inactive,
}

/// Compat: where libvirt looks for the authority that it trusts.
const AUTHORITY: &str = "/etc/pki/CA/cacert.pem";

/// What an address may say beside who and where.
pub const PARAMETERS: &[&str] = &[
    "port",
    "protocol",
    "interface",
    "define",
    "console_host",
    "no_verify",
    "fingerprint",
    "cacert",
    "authfile",
    "timeout",
];

impl Target {
    /// The target of a URI, or `None` for somebody else's: another driver's, or one for a daemon.
    pub(crate) fn of(text: &str) -> Result<Option<Self>> {
        if !text.starts_with("ldoms:") {
            return Ok(None);
        }
        let uri = Uri::parse(text)?;
        if !matches!(uri.path.as_str(), "" | "/" | "/default") {
            let detail = format!("unexpected LDoms URI path '{}', try ldoms:///default", uri.path);
            return Err(invalid(detail));
        }
        let parameter = |name: &str| uri.params.get(name).filter(|value| !value.is_empty());
        if let Some((name, _)) = uri.params.iter().find(|(name, _)| !PARAMETERS.contains(name)) {
            return Err(invalid(format!("unknown parameter '{name}' of an LDoms URI")));
        }
        let local = uri.host.as_deref().unwrap_or_default().is_empty();
        let host = uri.host.filter(|_| !local).unwrap_or_else(|| "127.0.0.1".to_owned());
        let port = match parameter("port") {
            Some(port) => Some(port.parse().map_err(|_| invalid(format!("port '{port}'")))?),
            None => uri.port,
        };
        let define = match parameter("define") {
            None | Some("bound") => Define::Bound,
            Some("inactive") => Define::Inactive,
            Some(other) => return Err(invalid(format!("define '{other}': bound or inactive"))),
        };
        let protocol = match parameter("protocol") {
            None | Some("auto") => None,
            Some("xmpp") => Some(Protocol::Xmpp),
            Some("socket") => Some(Protocol::Socket),
            Some(other) => {
                return Err(invalid(format!("protocol '{other}': auto, xmpp or socket")));
            }
        };
        let timeout = match parameter("timeout").map(|text| (text, text.parse::<u64>())) {
            None => None,
            Some((_, Ok(seconds))) if (1..=86_400).contains(&seconds) => Some(seconds),
            Some((text, _)) => {
                return Err(invalid(format!("timeout '{text}': 1 to 86400 seconds")));
            }
        };
        Ok(Some(Self {
            host,
            port: port.unwrap_or(PORT),
            local,
            user: uri.user,
            auth_file: parameter("authfile").map(PathBuf::from),
            protocol,
            trust: trust(local, &parameter)?,
            version: parameter("interface").map(str::to_owned),
            define,
            console_host: parameter("console_host").map(str::to_owned),
            timeout: timeout.map(Duration::from_secs),
        }))
    }

    /// Where the consoles are.
    pub(crate) fn console_host(&self) -> &str {
        self.console_host.as_deref().unwrap_or(&self.host)
    }
}

fn trust<'a>(local: bool, parameter: &impl Fn(&str) -> Option<&'a str>) -> Result<Trust> {
    if let Some(sum) = parameter("fingerprint") {
        let sum = fingerprint(sum).ok_or_else(|| {
            invalid("fingerprint: the SHA-256 sum of a certificate, 64 hexadecimal digits")
        })?;
        return Ok(Trust::Fingerprint(sum));
    }
    if let Some(file) = parameter("cacert") {
        return Ok(Trust::Authority(PathBuf::from(file)));
    }
    match parameter("no_verify") {
        Some("1") => Ok(Trust::Anyone),
        None | Some("0") if !local => Ok(Trust::Authority(PathBuf::from(AUTHORITY))),
        None | Some("0") => Ok(Trust::Anyone),
        Some(other) => Err(invalid(format!("no_verify '{other}': 0 or 1"))),
    }
}

/// Hexadecimal digits, with or without colons.
fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |sum, digit| sum << 4 | digit)).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

pub(crate) fn invalid(detail: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, ORIGIN, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Target {
        Target::of(uri).expect(uri).expect(uri)
    }

    #[test]
    fn the_local_manager_is_trusted_and_another_must_prove_itself() {
        let local = target("ldoms:///default");
        assert_eq!((local.host.as_str(), local.port, local.local), ("127.0.0.1", 6482, true));
        assert_eq!(local.trust, Trust::Anyone);
        let remote = target("ldoms://root@ctl.example:7000/?define=inactive");
        assert_eq!((remote.host.as_str(), remote.port, remote.local), ("ctl.example", 7000, false));
        assert_eq!(remote.user.as_deref(), Some("root"));
        assert_eq!(remote.define, Define::Inactive);
        assert_eq!(remote.trust, Trust::Authority(PathBuf::from(AUTHORITY)));
        let sum = "ab:".repeat(31) + "ab";
        let pinned = target(&format!("ldoms://h/?fingerprint={sum}"));
        assert_eq!(pinned.trust, Trust::Fingerprint([0xab; 32]));
    }

    #[test]
    fn others_uris_are_left_alone_and_odd_ones_refused() {
        for uri in ["qemu:///system", "ldoms+unix:///default", "test:///default"] {
            assert_eq!(Target::of(uri), Ok(None), "{uri}");
        }
        for uri in [
            "ldoms:///system",
            "ldoms:///default?colour=red",
            "ldoms:///default?port=x",
            "ldoms:///default?define=maybe",
            "ldoms:///default?fingerprint=ab",
        ] {
            assert!(Target::of(uri).is_err(), "{uri}");
        }
    }
}
