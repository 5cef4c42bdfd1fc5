//! Names in certificates: the whole one, in the spelling that lists of allowed names use, and the
//! common name, which old certificates have for a host's.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use virt_error::Result;
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::failed;

const COMMON_NAME: &str = "2.5.4.3";

/// Compat: GnuTLS's words for the parts of a name; other parts are shown by number.
const WORDS: &[(&str, &str)] = &[
    (COMMON_NAME, "CN"),
    ("2.5.4.4", "surName"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "givenName"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "EMAIL"),
];

fn parse(certificate: &CertificateDer<'_>) -> Option<Certificate> {
    Certificate::from_der(certificate).ok()
}

/// The whole name of whom a certificate is for.
///
/// Compat: in the order of the certificate, which is the order that `tls_allowed_dn_list` knows.
pub(super) fn distinguished(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = parse(certificate)?;
    let mut parts = Vec::new();
    for part in certificate.tbs_certificate().subject().iter_rdn() {
        let pieces: Option<Vec<String>> = part.iter().map(spelled).collect();
        parts.push(pieces?.join("+"));
    }
    Some(parts.join(","))
}

fn spelled(piece: &AttributeTypeAndValue) -> Option<String> {
    let number = piece.oid.to_string();
    let word = WORDS.iter().find(|(known, _)| *known == number).map(|(_, word)| *word);
    let text = std::str::from_utf8(piece.value.value()).ok()?;
    match word {
        Some(word) => Some(format!("{word}={}", escaped(text))),
        None => {
            let hex: String =
                piece.value.value().iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("{number}=#{hex}"))
        }
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        let edge = (c == ' ' && (at == 0 || at == last)) || (c == '#' && at == 0);
        if edge || ",+\"\\<>;".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Whether a certificate that names no host as such has this one for its common name.
pub(super) fn is_common_name(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Some(certificate) = parse(certificate) else { return false };
    let subject = certificate.tbs_certificate();
    let names_hosts = match subject.get_extension::<SubjectAltName>() {
        Ok(Some((_, names))) => names
            .0
            .iter()
            .any(|name| matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_))),
        Ok(None) => false,
        Err(_) => true,
    };
    let pieces = subject.subject().iter();
    let mut common = pieces.filter(|piece| piece.oid.to_string() == COMMON_NAME);
    !names_hosts
        && common.any(|piece| {
            std::str::from_utf8(piece.value.value()).is_ok_and(|name| fits(name, host))
        })
}

/// A name, or one with a star for its first part.
fn fits(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(rest) => host
            .split_once('.')
            .is_some_and(|(first, tail)| !first.is_empty() && tail.eq_ignore_ascii_case(rest)),
        None => name.eq_ignore_ascii_case(host),
    }
}

/// Refuses to show a certificate that everybody else would refuse.
pub(super) fn check_lifetime(chain: &[CertificateDer<'_>], path: &Path, whose: &str) -> Result<()> {
    let Some(certificate) = chain.first().and_then(parse) else { return Ok(()) };
    let shown = path.display();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let validity = certificate.tbs_certificate().validity();
    if validity.not_after.to_unix_duration() < now {
        return Err(failed(format_args!("The {whose} certificate {shown} has expired")));
    }
    if validity.not_before.to_unix_duration() > now {
        return Err(failed(format_args!("The {whose} certificate {shown} is not yet active")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_fit_names() {
        for (name, host, fit) in [
            ("a.example", "A.example", true),
            ("*.example", "a.example", true),
            ("*.example", "a.b.example", false),
            ("*.example", ".example", false),
            ("a", "b", false),
        ] {
            assert_eq!(fits(name, host), fit, "{name} {host}");
        }
    }

    #[test]
    fn what_means_something_in_a_name_is_escaped() {
        assert_eq!(escaped("Red Hat, Inc."), "Red Hat\\, Inc.");
        assert_eq!(escaped(" #a\"b+ "), "\\ #a\\\"b\\+\\ ");
        assert_eq!(escaped("#x"), "\\#x");
    }
}
