//! SASL: who a client is, proved by a password that need not cross the wire.
//!
//! SCRAM-SHA-256 wherever SASL is asked for, PLAIN only where the channel is encrypted. Neither
//! brings encryption of its own.
//! Compat: libvirt's own clients take neither on plain TCP, where they insist on encryption by SASL.

mod base64;
mod client;
mod passwords;
mod server;

pub use client::ClientExchange;
pub use passwords::{Passwords, Secret};
pub use server::ServerExchange;

const SCRAM: &str = "SCRAM-SHA-256";
const PLAIN: &str = "PLAIN";

/// The mechanisms that are offered, as the wire has them.
pub fn offered(encrypted: bool) -> &'static str {
    if encrypted { "SCRAM-SHA-256,PLAIN" } else { SCRAM }
}

/// One turn of an exchange.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// What the other side is to be told; nothing is not the same as no bytes.
    pub data: Option<Vec<u8>>,
    /// Nothing more is expected of the other side.
    pub complete: bool,
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
        let folder = std::env::temp_dir().join(format!("virt-sasl-{mechanism}-{password}"));
        let secret = Secret::new("open sesame").expect("secret");
        std::fs::write(&folder, format!("# users\nali:b{secret}\nali:{secret}\n")).expect("write");
        let passwords = Passwords::at(&folder);
        let mut client = ClientExchange::new(mechanism, "ali", password)?;
        let mut server = ServerExchange::new(&passwords, client.mechanism(), true)?;
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
    fn plain_is_not_spoken_where_it_can_be_heard() {
        let passwords = Passwords::at(std::path::Path::new("/nonexistent"));
        assert!(ServerExchange::new(&passwords, PLAIN, false).is_err());
        assert!(ServerExchange::new(&passwords, SCRAM, false).is_ok());
        assert!(ClientExchange::choose("GSSAPI,PLAIN", false).is_err());
        assert_eq!(ClientExchange::choose("GSSAPI,PLAIN", true).ok(), Some(PLAIN));
        assert_eq!(ClientExchange::choose("PLAIN,SCRAM-SHA-256", true).ok(), Some(SCRAM));
    }
}
