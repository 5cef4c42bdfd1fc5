//! Users and groups by name, from the system's own files.
//!
//! Limit: accounts that only a name service knows are not seen; their numbers work everywhere.

use std::path::{Path, PathBuf};

use virt_error::{Code, Error, Origin, Result};

/// Limit: a larger file of accounts is not read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The files of accounts as they are now.
#[derive(Debug, Default)]
pub struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// What cannot be read names nobody.
    pub fn read() -> Self {
        let text = |path| virt_store::read_text(Path::new(path), FILE_BYTES_MAX);
        Self {
            passwd: text("/etc/passwd").unwrap_or_default(),
            group: text("/etc/group").unwrap_or_default(),
        }
    }

    /// A user by name or number. Compat: a plus sign says that it is a number, whatever is called so.
    pub fn user(&self, text: &str) -> Result<u32> {
        id(&self.passwd, text).ok_or_else(|| {
            let detail = format!("Failed to parse user '{text}'");
            Error::new(Code::InvalidArg, Origin::None, detail)
        })
    }

    /// A group likewise.
    pub fn group(&self, text: &str) -> Result<u32> {
        id(&self.group, text).ok_or_else(|| {
            let detail = format!("Failed to parse group '{text}'");
            Error::new(Code::InvalidArg, Origin::None, detail)
        })
    }

    pub fn user_named(&self, name: &str) -> Option<u32> {
        by_name(&self.passwd, name)
    }

    pub fn group_named(&self, name: &str) -> Option<u32> {
        by_name(&self.group, name)
    }

    /// A user's name, or the number where it has none.
    pub fn user_name(&self, uid: u32) -> String {
        self.entry(uid).map_or_else(|| uid.to_string(), |fields| fields.0.to_owned())
    }

    /// The group that a user's own entry names.
    pub fn main_group(&self, uid: u32) -> Option<u32> {
        self.entry(uid).map(|fields| fields.1)
    }

    /// A user's home, where it is there.
    pub fn home(&self, uid: u32) -> Option<PathBuf> {
        let line = self.passwd.lines().find(|line| {
            let number = line.split(':').nth(2).and_then(|number| number.parse().ok());
            number == Some(uid)
        });
        line?.split(':').nth(5).map(PathBuf::from).filter(|home| home.is_dir())
    }

    /// All groups of a user that runs with this group: its own, and those that list it.
    pub fn groups(&self, uid: u32, gid: u32) -> Vec<u32> {
        let mut groups = vec![gid];
        if let Some((name, main)) = self.entry(uid) {
            groups.push(main);
            groups.extend(self.group.lines().filter_map(|line| {
                let mut fields = line.split(':').skip(2);
                let (number, members) = (fields.next()?, fields.next()?);
                members
                    .split(',')
                    .any(|member| member == name)
                    .then(|| number.parse::<u32>().ok())?
            }));
        }
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// Name and group of the first entry with this number.
    fn entry(&self, uid: u32) -> Option<(&str, u32)> {
        self.passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let number: u32 = fields.nth(1)?.parse().ok()?;
            (number == uid).then(|| Some((name, fields.next()?.parse().ok()?)))?
        })
    }
}

/// In both files the name stands first and the number third.
fn by_name(file: &str, name: &str) -> Option<u32> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

fn id(file: &str, text: &str) -> Option<u32> {
    match text.strip_prefix('+') {
        Some(number) => number.parse().ok(),
        None => by_name(file, text).or_else(|| text.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\n7:x:77:5::/:/bin/sh\n\
                     virt:x:64055:993:Virt,,,:/var/lib:/usr/sbin/nologin\n"
                .into(),
            group: "root:x:0:\nkvm:x:993:\nvirt:x:64055:virt\nmany:x:12:a,virt,b\n".into(),
        }
    }

    #[test]
    fn names_come_before_numbers_and_a_plus_before_names() {
        let accounts = some();
        assert_eq!(accounts.user("virt").ok(), Some(64_055));
        assert_eq!(accounts.user("7").ok(), Some(77));
        assert_eq!(accounts.user("+7").ok(), Some(7));
        assert_eq!(accounts.user("8").ok(), Some(8));
        assert_eq!(accounts.group("kvm").ok(), Some(993));
        let error = accounts.user("nosuch").err().map(|error| error.message().to_owned());
        assert_eq!(error.as_deref(), Some("invalid argument: Failed to parse user 'nosuch'"));
        assert!(accounts.group("").is_err() && accounts.user("+").is_err());
        assert_eq!(accounts.user_name(64_055), "virt");
        assert_eq!(accounts.user_name(9), "9");
    }

    #[test]
    fn a_user_has_its_own_group_and_those_that_list_it() {
        assert_eq!(some().groups(64_055, 64_055), [12, 993, 64_055]);
        assert_eq!(some().groups(1234, 5), [5]);
    }
}
