//! Users in a guest: their passwords and the keys that let them in.

use virt_driver::Call;
use virt_error::Result;
use virt_json::Value;
use virt_types::{DomainRef, api};

use super::{ask_once, malformed, object};
use crate::core::Core;

/// `virDomainSetUserPassword`.
pub(crate) fn set_password(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    user: &str,
    password: &str,
    encrypted: bool,
) -> Result<()> {
    let arguments = object([
        ("crypted", encrypted.into()),
        ("username", user.into()),
        ("password", base64(password.as_bytes()).into()),
    ]);
    ask_once(core, call, dom, "guest-set-user-password", Some(arguments)).map(drop)
}

/// `virDomainAuthorizedSSHKeysGet`.
pub(crate) fn keys(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    user: &str,
) -> Result<Vec<String>> {
    let arguments = object([("username", user.into())]);
    let answer = ask_once(core, call, dom, "guest-ssh-get-authorized-keys", Some(arguments))?;
    let keys = answer.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or_else(|| malformed("qemu agent didn't return an array of keys"))?;
    let key = |key: &Value| key.as_str().map(str::to_owned);
    let keys: Option<Vec<String>> = keys.iter().map(key).collect();
    keys.ok_or_else(|| malformed("JSON string array contains non-string element"))
}

/// `virDomainAuthorizedSSHKeysSet`.
pub(crate) fn set_keys(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    user: &str,
    keys: &[String],
    flags: u32,
) -> Result<()> {
    let keys = Value::Array(keys.iter().map(|key| Value::from(key.as_str())).collect());
    let (name, arguments) = match flags & api::DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE != 0 {
        true => {
            let arguments = object([("username", user.into()), ("keys", keys)]);
            ("guest-ssh-remove-authorized-keys", arguments)
        }
        false => {
            let reset = flags & api::DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND == 0;
            let members = [("username", user.into()), ("keys", keys), ("reset", reset.into())];
            ("guest-ssh-add-authorized-keys", object(members))
        }
    };
    ask_once(core, call, dom, name, Some(arguments)).map(drop)
}

/// Bytes as the agent wants them in a text.
fn base64(bytes: &[u8]) -> String {
    let digit = |bits: u32| match u8::try_from(bits & 63).unwrap_or(0) {
        value @ 0..26 => b'A' + value,
        value @ 26..52 => b'a' + (value - 26),
        value @ 52..62 => b'0' + (value - 52),
        62 => b'+',
        _ => b'/',
    };
    let group = |group: &[u8]| {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * 3_usize.saturating_sub(group.len()));
        let shown = group.len().saturating_add(1);
        let places = [18, 12, 6, 0].into_iter().enumerate();
        places.map(move |(at, place)| {
            char::from(if at < shown { digit(bits >> place) } else { b'=' })
        })
    };
    bytes.chunks(3).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn bytes_are_written_in_64_digits() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("\u{fb}\u{ff}\u{fe}", "w7vDv8O+"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
