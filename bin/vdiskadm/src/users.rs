//! Names of users, as the host's own file lists them.

use std::fs;

use crate::failure::{Failure, Result};

const PASSWD: &str = "/etc/passwd";

/// Name, number and group of everybody.
fn all() -> Vec<(String, u32, u32)> {
    let text = fs::read_to_string(PASSWD).unwrap_or_default();
    let entry = |line: &str| {
        let mut words = line.split(':');
        let name = words.next()?.to_owned();
        Some((name, words.nth(1)?.parse().ok()?, words.next()?.parse().ok()?))
    };
    text.lines().filter_map(entry).collect()
}

/// The name of a user; the number where there is none.
pub(crate) fn name(uid: u32) -> String {
    let found = all().into_iter().find(|(_, known, _)| *known == uid);
    found.map_or_else(|| uid.to_string(), |(name, _, _)| name)
}

/// Number and group of a user that must exist.
pub(crate) fn find(name: &str) -> Result<(u32, u32)> {
    let found = all().into_iter().find(|(known, _, _)| known == name);
    found
        .map(|(_, uid, gid)| (uid, gid))
        .ok_or_else(|| Failure::new(format!("there is no user '{name}'")))
}
