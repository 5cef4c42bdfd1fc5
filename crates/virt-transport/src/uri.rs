//! `driver[+transport]://[user@][host][:port]/path?params`, parsed and printed.

use std::fmt;

use virt_error::{Code, Error, Origin, Result};

/// Limit: a URI is a name, not a document.
const URI_BYTES_MAX: usize = 64 * 1024;

/// A connection URI in its parts.
///
/// ```
/// let uri = virt_transport::Uri::parse("qemu+ssh://root@host.example:22/system?keyfile=k")?;
/// assert_eq!(uri.driver(), Some("qemu"));
/// assert_eq!(uri.transport(), Some("ssh"));
/// assert_eq!((uri.path.as_str(), uri.params.get("keyfile")), ("/system", Some("k")));
/// # Ok::<(), virt_error::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    pub scheme: Option<String>,
    pub user: Option<String>,
    /// `Some("")` where there is an authority without a name, as in `test:///default`.
    pub host: Option<String>,
    pub port: Option<u16>,
    pub path: String,
    pub params: Params,
    pub fragment: Option<String>,
}

/// The parameters after the question mark, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// The value of the first parameter of that name. Compat: names know no case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Those whose name is not in the list.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let known = |key: &str| names.iter().any(|name| key.eq_ignore_ascii_case(name));
        Self(self.0.iter().filter(|(key, _)| !known(key)).cloned().collect())
    }

    fn parse(query: &str) -> Option<Self> {
        let mut params = Vec::new();
        for part in query.split(['&', ';']).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !name.is_empty() {
                params.push((decode(name)?, decode(value)?));
            }
        }
        Some(Self(params))
    }
}

impl Uri {
    /// Parses any URI that has at least a path or a scheme.
    pub fn parse(text: &str) -> Result<Self> {
        Self::split(text)
            .ok_or_else(|| Error::internal(Origin::Uri, format!("Unable to parse URI {text}")))
    }

    fn split(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^');
        if text.len() > URI_BYTES_MAX || !text.chars().all(plain) {
            return None;
        }
        let (text, fragment) = split_at_first(text, '#');
        let (text, query) = split_at_first(text, '?');
        let (scheme, rest) = split_scheme(text)?;
        let mut uri = Self {
            scheme,
            params: Params::parse(query.unwrap_or_default())?,
            fragment: fragment.map(str::to_owned),
            ..Self::default()
        };
        match rest.strip_prefix("//") {
            Some(rest) => {
                let slash = rest.find('/').unwrap_or(rest.len());
                let (authority, path) = rest.split_at(slash);
                uri.set_authority(authority)?;
                uri.path = decode(path)?;
            }
            None => uri.path = decode(rest)?,
        }
        Some(uri)
    }

    fn set_authority(&mut self, authority: &str) -> Option<()> {
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(decode(user)?), place),
            None => (None, authority),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        self.user = user;
        self.host = Some(decode(host)?);
        self.port = match port {
            None | Some("") => None,
            Some(digits) => Some(digits.parse().ok()?),
        };
        Some(())
    }

    /// The scheme before its `+`.
    pub fn driver(&self) -> Option<&str> {
        self.scheme.as_deref().map(|scheme| scheme.split('+').next().unwrap_or(scheme))
    }

    /// The scheme behind its `+`.
    pub fn transport(&self) -> Option<&str> {
        self.scheme.as_deref().and_then(|scheme| scheme.split_once('+')).map(|(_, name)| name)
    }

    /// The driver's name, or libvirt's complaint that there is none.
    pub fn require_driver(&self) -> Result<&str> {
        self.driver().ok_or_else(|| {
            let detail = format!("URI '{self}' does not include a driver name");
            Error::new(Code::NoConnect, Origin::None, detail)
        })
    }

    /// The host, where one is named.
    pub fn server(&self) -> Option<&str> {
        self.host.as_deref().filter(|host| !host.is_empty())
    }
}

/// Splits off a scheme: letters, digits, `+`, `-` and `.` up to a colon. Without a colon before
/// the first slash there is none; a colon with nothing good before it is refused.
fn split_scheme(text: &str) -> Option<(Option<String>, &str)> {
    let colon = text.find(':').filter(|&at| !text.get(..at).is_some_and(|s| s.contains('/')));
    let Some(colon) = colon else { return Some((None, text)) };
    let (scheme, rest) = (text.get(..colon)?, text.get(colon + 1..)?);
    let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    good.then(|| (Some(scheme.to_owned()), rest))
}

fn split_at_first(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}:")?;
        }
        if let Some(host) = &self.host {
            f.write_str("//")?;
            if let Some(user) = &self.user {
                write!(f, "{}@", Encoded(user, "!$&'()*+,;=:"))?;
            }
            if host.contains(':') {
                write!(f, "[{host}]")?;
            } else {
                write!(f, "{}", Encoded(host, "!$&'()*+,;="))?;
            }
            if let Some(port) = self.port {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "{}", Encoded(&self.path, "/!$&'()*+,;=:@"))?;
        for (at, (name, value)) in self.params.iter().enumerate() {
            let mark = if at == 0 { '?' } else { '&' };
            write!(f, "{mark}{}={}", Encoded(name, ""), Encoded(value, "/:"))?;
        }
        match &self.fragment {
            Some(fragment) => write!(f, "#{fragment}"),
            None => Ok(()),
        }
    }
}

/// Percent encoding of all but letters, digits, `-._~` and the bytes named.
struct Encoded<'a>(&'a str, &'static str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0.as_bytes() {
            let c = char::from(byte);
            if c.is_ascii_alphanumeric() || "-._~".contains(c) || self.1.contains(c) {
                write!(f, "{c}")?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        let digit = |hex: u8| char::from(hex).to_digit(16).and_then(|d| u8::try_from(d).ok());
        bytes.push(digit(*high)? << 4 | digit(*low)?);
        rest = after;
    }
    // A NUL would end the text for every C program behind us.
    if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_printed_as_they_came() {
        for text in [
            "test:///default",
            "qemu:///system",
            "qemu+ssh://root@host.example:22/system?keyfile=k&no_verify=1",
            "qemu+tls://[::1]:16514/system",
            "test:///tmp/some%20file.xml",
            "qemu+unix:///session?socket=/run/x",
            "xyz",
            "/x",
            "test:",
        ] {
            let uri = Uri::parse(text).expect(text);
            assert_eq!(uri.to_string(), text);
        }
    }

    #[test]
    fn refusals_are_libvirts() {
        for text in ["::::", "a b", "qemu://host:x/", "test:///%zz", "test:///%00", "q://[::1"] {
            let error = Uri::parse(text).expect_err(text);
            let expected = format!("internal error: Unable to parse URI {text}");
            assert_eq!(error.message(), expected);
        }
        let error = Uri::parse("/x").and_then(|uri| uri.require_driver().map(|_| ()));
        assert_eq!(
            error.expect_err("no driver").message(),
            "no connection driver available for URI '/x' does not include a driver name"
        );
    }

    #[test]
    fn parameters_are_decoded_and_separated_two_ways() {
        let uri = Uri::parse("test:///?socket=%2Ftmp/x;Mode=legacy&bare").expect("uri");
        assert_eq!(uri.params.get("socket"), Some("/tmp/x"));
        assert_eq!(uri.params.get("mode"), Some("legacy"));
        assert_eq!(uri.params.get("bare"), Some(""));
        assert_eq!(uri.params.without(&["socket", "bare"]).iter().count(), 1);
    }
}
