//! The users that may log in from afar.

use std::path::Path;

use crate::base64;

/// Limit: of the file with the users.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The name and the rights of the user whose PLAIN credentials these are.
pub(crate) fn login(file: Option<&Path>, credentials: &str) -> Option<(String, bool)> {
    let credentials = String::from_utf8(base64::decode(credentials)?).ok()?;
    let mut parts = credentials.split('\0');
    let (_, name, password) = (parts.next()?, parts.next()?, parts.next()?);
    // Users may be added while the manager runs.
    let text = virt_store::read_text(file?, FILE_BYTES_MAX).ok()?;
    if parts.next().is_some() {
        return None;
    }
    rights(&text, name, password).map(|may_write| (name.to_owned(), may_write))
}

/// Whether the user may write; none if there is no such user.
fn rights(text: &str, name: &str, password: &str) -> Option<bool> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let mut users = lines.filter_map(|line| {
        let (known, rest) = line.split_once(':')?;
        let (secret, rights) = rest.rsplit_once(':')?;
        Some((known, secret, rights))
    });
    let (.., rights) = users.find(|(known, secret, _)| (*known, *secret) == (name, password))?;
    match rights {
        "write" => Some(true),
        "read" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_the_rights_of_their_line() {
        let text = "# remark\nroot:s3:cret:write\nguest:g:read\nodd:o:x\n";
        assert_eq!(rights(text, "root", "s3:cret"), Some(true));
        assert_eq!(rights(text, "guest", "g"), Some(false));
        for (name, password) in [("root", "s3"), ("odd", "o"), ("none", ""), ("", "")] {
            assert_eq!(rights(text, name, password), None, "{name}");
        }
    }
}
