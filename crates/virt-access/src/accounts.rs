//! Who somebody is: the names behind the numbers of a socket's peer, and what they have shown.

use std::fmt::{self, Write as _};
use std::path::Path;

use virt_driver::Caller;

use crate::rules::{Pattern, Trait};

/// By what kind of socket somebody came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    Unix,
    Tcp,
    Tls,
}

impl Socket {
    fn word(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// Everything rules can look at of somebody. The groups are those at the time they came.
#[derive(Clone, Debug)]
pub struct Identity {
    client_id: u64,
    uid: Option<u32>,
    user: Option<String>,
    /// Numbers with their names, where they have one.
    groups: Vec<(u32, Option<String>)>,
    sasl: Option<String>,
    x509: Option<String>,
    socket: Socket,
    read_only: bool,
}

impl Identity {
    /// Looks the numbers up in the host's files of users and groups.
    pub fn of(caller: &Caller, socket: Socket, read_only: bool) -> Self {
        let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
        Self::with_files(caller, socket, read_only, &read("/etc/passwd"), &read("/etc/group"))
    }

    fn with_files(
        caller: &Caller,
        socket: Socket,
        read_only: bool,
        passwd: &str,
        group: &str,
    ) -> Self {
        let user = caller.uid.and_then(|uid| name_of(passwd, uid));
        let mut groups: Vec<(u32, Option<String>)> =
            caller.gid.map(|gid| (gid, name_of(group, gid))).into_iter().collect();
        if let Some(user) = &user {
            // Compat: somebody is in the group of their account and in those that list them,
            // whatever the process at the other end made of it.
            let own = fields_of(passwd).find(|fields| fields.first() == Some(&user.as_str()));
            let gid: Option<u32> = own.and_then(|fields| fields.get(3)?.parse().ok());
            groups.extend(gid.map(|gid| (gid, name_of(group, gid))));
            groups.extend(fields_of(group).filter_map(|fields| {
                let members = fields.get(3)?;
                let listed = members.split(',').any(|member| member == user);
                let gid = fields.get(2)?.parse().ok()?;
                listed.then(|| (gid, fields.first().map(|&name| name.to_owned())))
            }));
        }
        let names = caller.names.as_deref().cloned().unwrap_or_default();
        Self {
            client_id: caller.client_id,
            uid: caller.uid,
            user,
            groups,
            sasl: names.sasl,
            x509: names.x509,
            socket,
            read_only,
        }
    }

    pub(crate) fn has(&self, key: Trait, pattern: &Pattern) -> bool {
        let text = |text: &Option<String>| text.as_deref().is_some_and(|text| pattern.fits(text));
        match key {
            Trait::User => text(&self.user),
            Trait::Uid => self.uid.is_some_and(|uid| pattern.text().parse() == Ok(uid)),
            Trait::Group => self.groups.iter().any(|(_, name)| text(name)),
            Trait::Gid => self.groups.iter().any(|(gid, _)| pattern.text().parse() == Ok(*gid)),
            Trait::Sasl => text(&self.sasl),
            Trait::X509 => text(&self.x509),
            Trait::Socket => pattern.text() == self.socket.word(),
            Trait::ReadOnly => pattern.text() == if self.read_only { "yes" } else { "no" },
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = format!("client={}", self.client_id);
        for (label, name) in [("user", &self.user), ("sasl", &self.sasl), ("x509", &self.x509)] {
            if let Some(name) = name {
                // What others chose is shown with its odd characters escaped.
                let _ = write!(out, " {label}={name:?}");
            }
        }
        if let Some(uid) = self.uid {
            let _ = write!(out, " uid={uid}");
        }
        let _ = write!(out, " socket={}", self.socket.word());
        f.write_str(&out)
    }
}

fn fields_of(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().map(|line| line.split(':').collect())
}

/// The name of a number, which is the third field in either file.
fn name_of(file: &str, id: u32) -> Option<String> {
    let found =
        fields_of(file).find(|fields| fields.get(2).and_then(|n| n.parse().ok()) == Some(id));
    found.and_then(|fields| fields.first().map(|&name| name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_driver::Names;

    const PASSWD: &str =
        "root:x:0:0::/root:/bin/sh\nann:x:7:70::/:/bin/sh\nbob:x:8:80::/:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nstaff:x:70:\nops:x:90:bob,ann\nother:x:91:bobby\n";

    #[test]
    fn numbers_have_names_and_groups() {
        let caller = Caller { uid: Some(8), gid: Some(70), ..Caller::default() };
        let who = Identity::with_files(&caller, Socket::Unix, true, PASSWD, GROUP);
        for (key, pattern, fits) in [
            (Trait::User, "bob", true),
            (Trait::User, "b*", true),
            (Trait::User, "ann", false),
            (Trait::Uid, "8", true),
            (Trait::Uid, "80", false),
            (Trait::Group, "ops", true),
            (Trait::Group, "staff", true),
            (Trait::Group, "other", false),
            (Trait::Gid, "80", true),
            (Trait::Gid, "0", false),
            (Trait::Sasl, "*", false),
            (Trait::Socket, "unix", true),
            (Trait::Socket, "tls", false),
            (Trait::ReadOnly, "yes", true),
        ] {
            assert_eq!(who.has(key, &Pattern::new(pattern)), fits, "{key:?} {pattern}");
        }
    }

    #[test]
    fn over_the_network_nobody_has_a_number() {
        let names = Names { sasl: Some("fred@A".to_owned()), x509: None };
        let caller = Caller { names: Some(Box::new(names)), ..Caller::default() };
        let who = Identity::with_files(&caller, Socket::Tcp, false, PASSWD, GROUP);
        assert!(who.has(Trait::Sasl, &Pattern::new("*@A")));
        assert!(!who.has(Trait::User, &Pattern::new("*")));
        assert!(!who.has(Trait::Uid, &Pattern::new("0")));
    }
}
