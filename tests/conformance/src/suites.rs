//! The suites that are run, and what judges each.

mod cpu;
mod documents;
mod domain;
mod host;
mod network;
mod qemu;
mod shell;
mod text;
mod xen;

use crate::{Case, Check, Judge, Suite, Verdict, compare};

/// The judges by suite.
pub const JUDGES: &[(&str, Judge)] = &[
    ("backup-xml2xml", documents::backup),
    ("checkpoint-xml2xml", documents::checkpoint),
    ("cpu", cpu::judge),
    ("domain-capabilities", documents::domain_capabilities),
    ("domain-schema", documents::schema),
    ("generic-xml2xml", domain::generic),
    ("hostcpu-sample", host::processors),
    ("interface-xml2xml", documents::interface),
    ("json", text::json),
    ("network-update", network::update),
    ("network-xml2xml", documents::network),
    ("networkport-xml2xml", documents::network_port),
    ("nodedev-xml2xml", documents::node_device),
    ("nwfilter-xml2xml", documents::filter),
    ("nwfilterbinding-xml2xml", documents::filter_binding),
    ("qemu-active-xml", qemu::active),
    ("qemu-firmware", qemu::firmware),
    ("qemu-status", qemu::status),
    ("qemu-xmlconf", qemu::xmlconf),
    ("secret-xml2xml", documents::secret),
    ("snapshot-xml2xml", documents::snapshot),
    ("storage-backing-string", text::backing),
    ("storagepool-xml2xml", documents::pool),
    ("storagevol-xml2xml", documents::volume),
    ("virconf", text::virconf),
    ("virsh-selftest", shell::judge),
    ("xen-caps", xen::capabilities),
    ("xen-domconfig", xen::domain_config),
    ("xen-sexpr2xml", xen::sexpr_to_xml),
    ("xen-xl", xen::xl),
    ("xen-xm", xen::xm),
    ("xen-xml2sexpr", xen::xml_to_sexpr),
];

/// What judges a suite.
pub fn judge(suite: &str) -> Option<Judge> {
    JUDGES.iter().find(|(name, _)| *name == suite).map(|(_, judge)| *judge)
}

/// Judges a text, or the message of an error, by what the case expects.
pub(crate) fn outcome(suite: &Suite, case: &Case, made: virt_error::Result<String>) -> Vec<Check> {
    vec![verdict(suite, case, ".xml", made.map_err(|error| error.message().to_owned())).into()]
}

/// The same against the expected file with that ending.
pub(crate) fn verdict(
    suite: &Suite,
    case: &Case,
    ending: &str,
    made: Result<String, String>,
) -> Verdict {
    let wanted = suite.expected(case, ".err").transpose()?;
    match (case.result.as_str(), made) {
        ("ok", Err(message)) => Err(format!("error: {message}\n")),
        ("ok", Ok(text)) => match suite.expected(case, ending) {
            Some(wanted) => compare::text(&wanted?, &text),
            None => Ok(()),
        },
        (_, Ok(_)) => {
            Err(format!("no error, wanted: {}\n", wanted.as_deref().unwrap_or("any").trim_end()))
        }
        (_, Err(message)) => match wanted {
            Some(wanted) if wanted.trim_end() != message.trim_end() => {
                Err(format!("-{}\n+{message}\n", wanted.trim_end()))
            }
            _ => Ok(()),
        },
    }
}
