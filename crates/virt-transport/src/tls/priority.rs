//! `tls_priority`: which versions may be spoken, in GnuTLS's words.
//!
//! What can be done here is done: the versions. What cannot be, as a choice of ciphers, is refused
//! and never taken for granted.

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use virt_error::Result;

use super::failed;

/// Sets of ciphers; each holds what is spoken here, which has nothing weaker than 128 bits.
const SETS: [&str; 7] =
    ["NORMAL", "SYSTEM", "PERFORMANCE", "PFS", "SECURE", "SECURE128", "DEFAULT"];

/// The versions that a text allows.
pub(super) fn versions(text: Option<&str>) -> Result<Vec<&'static SupportedProtocolVersion>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(vec![&TLS13, &TLS12]) };
    let refused = |why: &str| {
        Err(failed(format_args!("Failed to set TLS session priority to {text}: {why}")))
    };
    let (mut tls12, mut tls13) = (true, true);
    for (at, word) in text.split(':').enumerate() {
        let known = match word.split_at_checked(1) {
            Some(("@", names)) if at == 0 => names.split(',').any(|name| SETS.contains(&name)),
            Some((sign @ ("+" | "-" | "!"), name)) => {
                let on = sign == "+";
                match name {
                    "VERS-ALL" | "VERS-TLS-ALL" => (tls12, tls13) = (on, on),
                    "VERS-TLS1.2" => tls12 = on,
                    "VERS-TLS1.3" => tls13 = on,
                    // Never spoken here, so that they can only be left out.
                    "VERS-TLS1.0" | "VERS-TLS1.1" | "VERS-SSL3.0" if !on => {}
                    _ => return refused("only versions can be chosen here"),
                }
                true
            }
            _ => at == 0 && SETS.contains(&word),
        };
        if !known {
            return refused("The request is invalid.");
        }
    }
    let wanted = [(tls13, &TLS13), (tls12, &TLS12)];
    let all: Vec<_> = wanted.into_iter().filter(|(on, _)| *on).map(|(_, one)| one).collect();
    if all.is_empty() { refused("no version is left") } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_chosen_and_all_else_is_refused() {
        let count = |text: &str| versions(Some(text)).map(|all| all.len()).ok();
        for (text, expected) in [
            ("", Some(2)),
            ("NORMAL", Some(2)),
            ("@LIBVIRT,SYSTEM", Some(2)),
            ("NORMAL:-VERS-TLS1.3", Some(1)),
            ("NORMAL:-VERS-ALL:+VERS-TLS1.3", Some(1)),
            ("NORMAL:-VERS-TLS1.0:-VERS-TLS1.1", Some(2)),
            ("NORMAL:+VERS-TLS1.0", None),
            ("NORMAL:-VERS-ALL", None),
            ("NORMAL:-AES-128-CBC", None),
            ("SECURE256", None),
            ("bogus", None),
            ("VERS-TLS1.3", None),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
        let error = versions(Some("bogus")).expect_err("refused");
        let expected = "Failed to set TLS session priority to bogus: The request is invalid.";
        assert_eq!(error.message(), expected);
    }
}
