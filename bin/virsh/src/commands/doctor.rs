//! The host's health: what guests need, what is missing, and the command that mends it.

use std::path::Path;

use virt_cli::Args;

use crate::failure::{Done, Failure, fail};
use crate::host::checks::CHECKS;
use crate::host::{Finding, Host, State};
use crate::report::record;
use crate::shell::{Shell, sayln};

/// The parts that can be looked at alone.
pub(crate) const PARTS: &[&str] = &[
    "groups", "sockets", "kvm", "cgroups", "bridges", "firewall", "storage", "versions", "daemon",
];

pub(crate) fn cmd_doctor(shell: &mut Shell, args: &Args) -> Done {
    let wanted = args.text("part")?;
    if let Some(part) = wanted.filter(|part| !PARTS.contains(part)) {
        return fail(format!("there is no part '{part}'"));
    }
    let host = match args.text("root")? {
        Some(root) if !Path::new(root).is_dir() => return fail(format!("'{root}' is no folder")),
        Some(root) => Host::below(Path::new(root)),
        None => Host::this(),
    };
    let is_wanted = |part: &str| wanted.is_none_or(|wanted| wanted == part);
    let mut found: Vec<(&str, Finding)> = Vec::new();
    for (part, check) in CHECKS.iter().filter(|(part, _)| is_wanted(part)) {
        found.extend(check(&host).into_iter().map(|finding| (*part, finding)));
    }
    // A daemon is asked only where that was wanted: a user's own would be started by the question.
    if is_wanted("daemon")
        && host.is_real()
        && (shell.settings.session.connects_first || wanted.is_some())
    {
        found.push(("daemon", daemon(shell)));
    }
    tell(shell, &found);
    match found.iter().any(|(_, finding)| finding.state == State::Fault) {
        true => Err(Failure::silent()),
        false => Ok(()),
    }
}

/// What the daemon of the connection says of itself.
fn daemon(shell: &mut Shell) -> Finding {
    match shell.connection() {
        Ok(connection) => {
            let version = |answer: virt_error::Result<u64>| {
                let number = answer.unwrap_or_default();
                format!("{}.{}.{}", number / 1_000_000, number / 1000 % 1000, number % 1000)
            };
            let library = version(connection.connect_get_lib_version());
            let hypervisor = version(connection.connect_get_version());
            let uri = connection.connect_get_uri().unwrap_or_default();
            Finding::good(format!("{uri} answers: library {library}, hypervisor {hypervisor}"))
        }
        Err(failure) => {
            let fix = failure.hint.unwrap_or_else(|| "virsh doctor sockets".to_owned());
            Finding::fault(failure.lines.join(": "), fix)
        }
    }
}

fn tell(shell: &mut Shell, found: &[(&str, Finding)]) {
    for (part, finding) in found {
        let state = word(finding.state);
        sayln!(shell, "{:<10} {:<6} {}", part, state, finding.what);
        for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
            sayln!(shell, "{:<10} {:<6} fix: {}", "", "", line);
        }
    }
    shell.records(found.iter().map(|(part, finding)| {
        record([
            ("part", (*part).into()),
            ("state", word(finding.state).into()),
            ("what", finding.what.as_str().into()),
            ("fix", finding.fix.as_deref().into()),
        ])
    }));
}

fn word(state: State) -> &'static str {
    match state {
        State::Good => "good",
        State::Note => "note",
        State::Fault => "fault",
    }
}
