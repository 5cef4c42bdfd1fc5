//! SASL: who a client is, proved by a password that need not cross the wire, or by a ticket.
//!
//! SCRAM-SHA-256 wherever SASL is asked for, PLAIN only where the channel is encrypted. Neither
//! brings encryption of its own. GSSAPI, with the feature `gssapi`, does where the channel has none.
//! Compat: libvirt's own clients take nothing else on plain TCP, where they insist on encryption by
//! SASL.

mod base64;
mod client;
#[cfg(feature = "gssapi")]
mod gssapi;
#[cfg(not(feature = "gssapi"))]
#[path = "no_gssapi.rs"]
mod gssapi;
mod layer;
mod passwords;
mod server;

pub use client::ClientExchange;
pub use layer::{Layer, Seal};
pub use passwords::{Passwords, Secret};
pub use server::ServerExchange;

const SCRAM: &str = "SCRAM-SHA-256";
const PLAIN: &str = "PLAIN";
const GSSAPI: &str = "GSSAPI";

/// Whether this program can encrypt by SASL.
pub const ENCRYPTS: bool = cfg!(feature = "gssapi");

/// A way as an exchange sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is encrypted already.
    Encrypted,
    /// It stays within the host: nobody else hears what is said, but a password is not said either.
    Local,
    /// Others may hear it.
    Open,
    /// The same, and an exchange without encryption is not wanted.
    OpenToEncrypt,
}

impl Way {
    /// Whether what is said after the exchange needs no encryption by it.
    fn is_private(self) -> bool {
        matches!(self, Self::Encrypted | Self::Local)
    }

    /// The mechanisms that may be, the best first.
    fn allows(self) -> &'static [&'static str] {
        match self {
            Self::Encrypted => &[GSSAPI, SCRAM, PLAIN],
            Self::Local | Self::Open => &[GSSAPI, SCRAM],
            Self::OpenToEncrypt => &[GSSAPI],
        }
    }
}

/// The mechanisms that are offered, as the wire has them.
pub fn offered(way: Way) -> String {
    let can = |name: &&&str| **name != GSSAPI || gssapi::has_key();
    way.allows().iter().filter(can).copied().collect::<Vec<_>>().join(",")
}

/// One turn of an exchange.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// What the other side is to be told; nothing is not the same as no bytes.
    pub data: Option<Vec<u8>>,
    /// Nothing more is expected of the other side.
    pub complete: bool,
}

/// Whether every part of a message has a letter and an equals sign, as SCRAM's grammar wants; the
/// header of a client's first message, its first two parts, is made differently.
///
/// Limit: the library below takes this for granted and panics where it is not so.
fn is_whole(message: &[u8], header: bool) -> bool {
    message.split(|byte| *byte == b',').enumerate().all(|(at, part)| match at {
        0 if header => true,
        1 if header => part.is_empty() || part.starts_with(b"a="),
        _ => matches!(part, [_, b'=', ..]),
    })
}

/// Why an exchange fails. The other side is told no more than that it did.
#[derive(Debug, thiserror::Error)]
pub enum SaslError {
    #[error("mechanism '{0}' is not available")]
    Mechanism(String),
    #[error("no worthy mechs found in '{0}'")]
    NoneWorthy(String),
    #[error("{0}")]
    Exchange(String),
    #[error("wrong user name or password")]
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(mechanism: &'static str, password: &str) -> Result<Option<String>, SaslError> {
        let way = Way::Encrypted;
        let folder = std::env::temp_dir().join(format!("virt-sasl-{mechanism}-{password}"));
        let secret = Secret::new("open sesame").expect("secret");
        std::fs::write(&folder, format!("# users\nali:b{secret}\nali:{secret}\n")).expect("write");
        let passwords = Passwords::at(&folder);
        let mut client = ClientExchange::new(mechanism, "ali", password)?;
        let mut server = ServerExchange::new(&passwords, client.mechanism(), way)?;
        let mut from_client = client.step(None)?;
        let result = loop {
            let from_server = match server.step(from_client.data.as_deref()) {
                Ok(step) => step,
                Err(error) => break Err(error),
            };
            if from_server.complete {
                if let Some(data) = &from_server.data {
                    client.step(Some(data))?;
                }
                break Ok(server.user().map(str::to_owned));
            }
            from_client = client.step(from_server.data.as_deref())?;
        };
        std::fs::remove_file(&folder).expect("remove");
        result
    }

    #[test]
    fn the_right_password_lets_in_and_another_does_not() {
        for mechanism in [SCRAM, PLAIN] {
            let user = exchange(mechanism, "open sesame").expect(mechanism);
            assert_eq!(user.as_deref(), Some("ali"));
            assert!(exchange(mechanism, "open wheat").is_err(), "{mechanism}");
        }
    }

    #[test]
    fn messages_with_parts_missing_are_refused() {
        let passwords = Passwords::at(std::path::Path::new("/nonexistent"));
        let first: &[u8] = b"n,,n=fred,r=abcdefgh";
        for (first, last) in [
            (&b"n,a,n=fred,r=abcdefgh"[..], &b""[..]),
            (b"n,,n,r=abcdefgh", b""),
            (b"n,,", b""),
            (first, b"c"),
            (first, b""),
            (first, b"c=biws,r,p=AA"),
            (first, b"c=biws,r=abcdefgh,"),
        ] {
            let mut exchange = ServerExchange::new(&passwords, SCRAM, Way::Open).expect("exchange");
            let asked = exchange.step(Some(first));
            let refused = asked.is_err() || exchange.step(Some(last)).is_err();
            assert!(refused, "{last:?}");
        }
        for last in [&b""[..], b"r", b"r=abc", b"r=abc,s,i=1", b"r=abc,s=AA==,i=4294967295"] {
            let mut exchange = ClientExchange::new(SCRAM, "fred", "x").expect("exchange");
            exchange.step(None).expect("the first word");
            assert!(exchange.step(Some(last)).is_err(), "{last:?}");
        }
    }

    #[test]
    fn plain_is_not_spoken_where_it_can_be_heard() {
        let passwords = Passwords::at(std::path::Path::new("/nonexistent"));
        assert!(ServerExchange::new(&passwords, PLAIN, Way::Local).is_err());
        assert!(ServerExchange::new(&passwords, SCRAM, Way::Open).is_ok());
        assert!(ServerExchange::new(&passwords, SCRAM, Way::OpenToEncrypt).is_err());
        assert_eq!(offered(Way::Encrypted).replace("GSSAPI,", ""), "SCRAM-SHA-256,PLAIN");
        assert!(ClientExchange::choose("DIGEST-MD5,PLAIN", false).is_err());
        assert_eq!(ClientExchange::choose("DIGEST-MD5,PLAIN", true).ok(), Some(PLAIN));
        assert_eq!(ClientExchange::choose("PLAIN,SCRAM-SHA-256", true).ok(), Some(SCRAM));
    }
}
