//! Users of a node file, and the credentials that a URI names.
//!
//! A file of credentials has groups: `[auth-test-localhost]` says which credentials are for whom,
//! `[credentials-NAME]` holds them.

use std::collections::HashMap;

use virt_error::{Code, Error, Origin, Result};
use virt_xml::Element;

use crate::nodefile::read_file;

fn refused(code: Code, detail: &str) -> Error {
    Error::new(code, Origin::Auth, detail)
}

/// Lets a connection in where the node file names no users, or where its credentials are one's.
pub(crate) fn check(node: &Element<'_>, file: Option<&str>) -> Result<()> {
    let users: Vec<&Element<'_>> =
        node.child("auth").into_iter().flat_map(Element::elements).collect();
    if users.is_empty() {
        return Ok(());
    }
    let missing = || refused(Code::InvalidArg, "Missing authentication credentials");
    let (name, password) =
        credentials(&read_file(file.ok_or_else(missing)?)?).ok_or_else(missing)?;
    let known = users.iter().find(|user| user.text().trim() == name);
    let fits = known.is_some_and(|user| match user.attr("password") {
        Some(own) => password.as_deref() == Some(own),
        None => true,
    });
    if fits {
        Ok(())
    } else {
        Err(refused(
            Code::AuthFailed,
            "authentication failed, see test XML for the correct username/password",
        ))
    }
}

/// The user and the password for this driver.
fn credentials(text: &str) -> Option<(String, Option<String>)> {
    let mut groups: HashMap<&str, HashMap<&str, &str>> = HashMap::new();
    let mut group = "";
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            group = name;
        } else if let Some((key, value)) = line.split_once('=') {
            groups.entry(group).or_default().insert(key.trim(), value.trim());
        }
    }
    let service = groups.get("auth-test-localhost").or_else(|| groups.get("auth-test-default"))?;
    let found = groups.get(format!("credentials-{}", service.get("credentials")?).as_str())?;
    let value = |key: &str| found.get(key).map(|value| (*value).to_owned());
    Some((value("username")?, value("password")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_through_their_group() {
        let text = "# ours\n[credentials-x]\nusername = a\npassword=b\n\n[auth-test-default]\ncredentials=x\n";
        assert_eq!(credentials(text), Some(("a".to_owned(), Some("b".to_owned()))));
        assert_eq!(credentials("[auth-test-default]\ncredentials=y\n"), None);
        assert_eq!(credentials("nonsense"), None);
    }
}
