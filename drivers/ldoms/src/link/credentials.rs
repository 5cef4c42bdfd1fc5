//! Names and passwords for remote managers, from libvirt's file of credentials.
//!
//! What the file does not tell a person may be asked for, once: whoever typed a password is not asked
//! again when a connection is made anew. Its groups `[auth-ldoms-HOST]` say which credentials are for whom; `username` and `password` are
//! what is looked for in them.

use std::sync::{Mutex, PoisonError};

use virt_driver::{Ask, Question};
use virt_transport::AuthFile;

use super::{LinkError, Linked, Target};

/// Who one is to a manager.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Who can be asked, and what the answers were.
pub(crate) struct Person {
    ask: Option<Ask>,
    told: Mutex<Option<Credentials>>,
}

impl Person {
    pub(crate) fn new(ask: Option<Ask>) -> Self {
        Self { ask, told: Mutex::default() }
    }

    fn ask(&self, prompt: &str, echo: bool) -> Option<String> {
        self.ask.as_ref().and_then(|ask| ask(&Question { prompt, echo }))
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Option<Credentials>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told is wrong.
    pub(crate) fn forget(&self) {
        self.told().take();
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Those for the manager on `host`, or why there are none.
    pub(crate) fn find(
        target: &Target,
        host: &str,
        user: Option<&str>,
        person: Option<&Person>,
    ) -> Linked<Self> {
        if let Some(told) = person.and_then(|person| person.told().clone()) {
            return Ok(told);
        }
        let missing = |why: &str| {
            LinkError::Refused(format!("no password for the LDoms Manager on {host}: {why}"))
        };
        let named = target.auth_file.as_ref().and_then(|path| path.to_str());
        let file = AuthFile::find(named).map_err(|error| missing(error.message()))?;
        let get = |name: &str| -> Linked<Option<String>> {
            let Some(file) = &file else { return Ok(None) };
            let found = file.get("ldoms", host, name).map_err(|error| missing(error.message()))?;
            Ok(found.map(str::to_owned))
        };
        let ask = |prompt: String, echo| person.and_then(|person| person.ask(&prompt, echo));
        let own = get("username")?;
        let name = user.map(str::to_owned).or_else(|| own.clone());
        let name = name.or_else(|| ask(format!("Enter username for {host}"), true));
        let name = name.ok_or_else(|| missing("neither the URI nor auth.conf names a user"))?;
        // Another one's password is never shown for this one.
        let others = own.is_some_and(|own| own != name);
        let kept = if others { None } else { get("password")? };
        if let Some(password) = kept {
            return Ok(Self { user: name, password });
        }
        let password = ask(format!("Enter {name}'s password for {host}"), false);
        let password = password.ok_or_else(|| match (&file, others) {
            (None, _) => missing("no auth.conf was found"),
            (_, true) => missing(&format!("the credentials of auth.conf are not for user {name}")),
            _ => missing("auth.conf has none for [auth-ldoms-…]"),
        })?;
        let told = Self { user: name, password };
        if let Some(person) = person {
            person.told().replace(told.clone());
        }
        Ok(told)
    }

    /// SASL PLAIN's one message.
    pub(crate) fn plain(&self) -> String {
        encode64(format!("\0{}\0{}", self.user, self.password).as_bytes())
    }
}

/// Base 64, as RFC 4648 has it.
pub(crate) fn encode64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let word = a << 16 | b << 8 | c;
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) as usize & 63;
            let c = if digit <= chunk.len() { DIGITS.get(index).copied() } else { None };
            out.push(char::from(c.unwrap_or(b'=')));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standards() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in cases {
            assert_eq!(encode64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials { user: "u".to_owned(), password: "hidden".to_owned() };
        assert!(!format!("{credentials:?}").contains("hidden"));
        assert_eq!(credentials.plain(), encode64(b"\0u\0hidden"));
    }
}
