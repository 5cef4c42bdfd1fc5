//! Stored passwords: a file of users with the salted keys of SCRAM-SHA-256, never a password.
//!
//! One line a user, in the form of RFC 5803:
//! `name:SCRAM-SHA-256$4096:SALT$STORED_KEY:SERVER_KEY`, the last three in base64. Lines that begin
//! with `#` are comments. `virtd --sasl-password NAME` makes such a line of a password it reads.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use ring::rand::SecureRandom;
use ring::{digest, hmac, pbkdf2, rand};

use super::base64;

/// Limit: a file of users.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What RFC 7677 asks for at least.
const ITERATIONS: u32 = 4096;
/// Limit: rounds that a file may ask for; each costs time at every login.
pub(super) const ITERATIONS_MAX: u32 = 10_000_000;
/// Limit: bytes of salt that a file may give.
const SALT_BYTES_MAX: usize = 256;
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const SCHEME: &str = "SCRAM-SHA-256$";

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Vec<u8>,
    pub(super) server_key: Vec<u8>,
}

impl Secret {
    /// What to keep of a password, with a salt of its own.
    pub fn new(password: &str) -> Option<Self> {
        let mut salt = vec![0; SALT_BYTES];
        rand::SystemRandom::new().fill(&mut salt).ok()?;
        Self::derive(password.as_bytes(), salt, ITERATIONS)
    }

    fn derive(password: &[u8], salt: Vec<u8>, iterations: u32) -> Option<Self> {
        let mut salted = [0; KEY_BYTES];
        let rounds = NonZeroU32::new(iterations)?;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password, &mut salted);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let client_key = hmac::sign(&key, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref()).as_ref().to_vec();
        let server_key = hmac::sign(&key, b"Server Key").as_ref().to_vec();
        Some(Self { iterations, salt, stored_key, server_key })
    }

    /// What a user who does not exist is asked to prove: it looks like a user's and stays the same.
    pub(super) fn of_nobody(name: &str, key: &[u8]) -> Self {
        let sign = |what: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            hmac::sign(&key, format!("{what}{name}").as_bytes()).as_ref().to_vec()
        };
        let mut salt = sign("salt");
        salt.truncate(SALT_BYTES);
        let (stored_key, server_key) = (sign("stored"), sign("server"));
        Self { iterations: ITERATIONS, salt, stored_key, server_key }
    }

    /// Whether this is the password. Takes a while, as it should.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        let other = Self::derive(password, self.salt.clone(), self.iterations);
        other.is_some_and(|other| {
            let pairs = other.stored_key.iter().zip(&self.stored_key);
            pairs.fold(0, |different, (one, two)| different | (one ^ two)) == 0
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (start, keys) = text.strip_prefix(SCHEME)?.split_once('$')?;
        let (iterations, salt) = start.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let secret = Self {
            iterations: iterations.parse().ok()?,
            salt: base64::decode(salt)?,
            stored_key: base64::decode(stored_key)?,
            server_key: base64::decode(server_key)?,
        };
        let sound = (1..=ITERATIONS_MAX).contains(&secret.iterations)
            && (1..=SALT_BYTES_MAX).contains(&secret.salt.len())
            && secret.stored_key.len() == KEY_BYTES
            && secret.server_key.len() == KEY_BYTES;
        sound.then_some(secret)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt, &self.stored_key, &self.server_key].map(|bytes| base64::encode(bytes));
        write!(f, "{SCHEME}{}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The file of users. It is read anew for every login, so that a change counts at once.
#[derive(Clone, Debug)]
pub struct Passwords {
    path: PathBuf,
    /// Makes up what users who do not exist are asked.
    key: [u8; KEY_BYTES],
}

impl Passwords {
    pub fn at(path: &Path) -> Self {
        let mut key = [0; KEY_BYTES];
        // Without randomness, who exists could be guessed; nobody could log in who may not.
        let _ = rand::SystemRandom::new().fill(&mut key);
        Self { path: path.to_owned(), key }
    }

    /// The user's secret; one that fits no password where there is no such user.
    pub(super) fn of(&self, name: &str) -> Secret {
        self.find(name).unwrap_or_else(|| Secret::of_nobody(name, &self.key))
    }

    fn find(&self, name: &str) -> Option<Secret> {
        let meta = std::fs::metadata(&self.path).ok()?;
        if meta.len() > FILE_BYTES_MAX {
            return None;
        }
        let text = std::fs::read_to_string(&self.path).ok()?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut entries = lines.filter_map(|line| line.trim_end().rsplit_once(":SCRAM"));
        let (_, secret) = entries.find(|(user, _)| *user == name)?;
        Secret::parse(&format!("SCRAM{secret}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn keys_are_those_of_the_standard() {
        let salt = base64::decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("salt");
        let secret = Secret::derive(b"pencil", salt, 4096).expect("secret");
        assert_eq!(
            secret.to_string(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
             WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
             wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert_eq!(Secret::parse(&secret.to_string()), Some(secret.clone()));
        assert!(secret.is_of(b"pencil"));
        assert!(!secret.is_of(b"pencils"));
    }

    #[test]
    fn broken_lines_are_nobodys() {
        for text in [
            "",
            "SCRAM-SHA-256$0:YQ==$YQ==:YQ==",
            "SCRAM-SHA-256$4096:YQ==$YQ==:YQ==",
            "SCRAM-SHA-256$99999999999:YQ==$YQ==:YQ==",
            "SCRAM-SHA-1$4096:YQ==$YQ==:YQ==",
        ] {
            assert_eq!(Secret::parse(text), None, "{text}");
        }
    }

    #[test]
    fn who_does_not_exist_is_asked_the_same_each_time() {
        let passwords = Passwords::at(Path::new("/nonexistent"));
        assert_eq!(passwords.of("eve"), passwords.of("eve"));
        assert_ne!(passwords.of("eve"), passwords.of("mallory"));
        assert!(!passwords.of("eve").is_of(b""));
    }
}
