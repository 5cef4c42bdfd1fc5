//! The verbs of `xm`, and which of virsh's does the same.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::Failure;
use crate::options::Options;

/// How a verb is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// Here.
    Here,
    /// By virsh, which takes the same words.
    Same(&'static str),
    /// By virsh, in words of its own, which are said.
    Otherwise(&'static str),
    /// By virsh, in words of its own, which are made of those of `xm migrate`.
    Moves(&'static str),
}

use Served::{Here, Moves, Otherwise, Same};

/// A verb, its words, and how it is served.
pub(crate) const VERBS: &[(&str, &str, Served)] = &[
    ("info", "", Here),
    ("list", "[-l] [DOMAIN]", Here),
    ("sched-credit", "[-d DOMAIN [-w WEIGHT] [-c CAP]]", Here),
    ("log", "", Here),
    ("top", "[-b] [-d SECONDS] [-i ROUNDS]", Here),
    ("help", "", Here),
    ("console", "DOMAIN", Same("console")),
    ("create", "FILE", Otherwise("domxml-from-native xen-xm FILE >XML; virsh create XML")),
    ("new", "FILE", Otherwise("domxml-from-native xen-xm FILE >XML; virsh define XML")),
    ("delete", "DOMAIN", Same("undefine")),
    ("destroy", "DOMAIN", Same("destroy")),
    ("domid", "DOMAIN", Same("domid")),
    ("domname", "ID", Same("domname")),
    ("dump-core", "DOMAIN FILE", Same("dump")),
    ("mem-max", "DOMAIN MIB", Otherwise("setmaxmem DOMAIN MIBM")),
    ("mem-set", "DOMAIN MIB", Otherwise("setmem DOMAIN MIBM")),
    ("migrate", "[-l] [-p PORT] DOMAIN HOST", Moves("migrate DOMAIN --live xen:// xenmigr://HOST")),
    ("pause", "DOMAIN", Same("suspend")),
    ("unpause", "DOMAIN", Same("resume")),
    ("reboot", "DOMAIN", Same("reboot")),
    ("rename", "DOMAIN NAME", Same("domrename")),
    ("restore", "FILE", Same("restore")),
    ("resume", "DOMAIN", Same("start")),
    ("save", "DOMAIN FILE", Same("save")),
    ("shutdown", "DOMAIN", Same("shutdown")),
    ("start", "DOMAIN", Same("start")),
    ("suspend", "DOMAIN", Same("managedsave")),
    ("uptime", "", Otherwise("domstats --vcpu")),
    ("vcpu-list", "DOMAIN", Same("vcpuinfo")),
    ("vcpu-pin", "DOMAIN VCPU CPUS", Same("vcpupin")),
    ("vcpu-set", "DOMAIN COUNT", Same("setvcpus")),
    ("block-attach", "DOMAIN BACKEND TARGET MODE", Otherwise("attach-disk DOMAIN SOURCE TARGET")),
    ("block-detach", "DOMAIN TARGET", Same("detach-disk")),
    ("block-list", "DOMAIN", Same("domblklist")),
    ("network-attach", "DOMAIN", Otherwise("attach-interface DOMAIN bridge BRIDGE")),
    ("network-detach", "DOMAIN", Otherwise("detach-interface DOMAIN bridge --mac MAC")),
    ("network-list", "DOMAIN", Same("domiflist")),
    ("dmesg", "", Otherwise("not virsh's: the hypervisor's own console; `xl dmesg`")),
];

/// All verbs.
pub(crate) fn help() -> String {
    let mut text = "Usage: virt-xm [--connect URI] [--config FILE] VERB ...\n\n".to_owned();
    for (verb, words, served) in VERBS {
        let line = format!("{verb} {words}");
        let by = match served {
            Here => String::new(),
            Same(other) => format!("virsh {other}"),
            Otherwise(other) | Moves(other) => format!("virsh {other}"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", format!("  {line:<48}{by}").trim_end());
    }
    text
}

/// virsh: beside this program, or where programs are.
fn shell() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("virsh")));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| "virsh".into())
}

/// What is left where the shell cannot be started.
fn become_shell(options: &Options, words: &[String]) -> Failure {
    let mut command = Command::new(shell());
    command.args(["--connect", &options.uri]).args(words);
    Failure::Usage(format!("{}: {}", shell().display(), command.exec()))
}

/// `xm migrate` as virsh has it: the guide's `xen://` is the daemon that is asked.
fn moves(options: &Options) -> Result<Vec<String>, Failure> {
    let port = options.number("-p", "--port")?;
    let mut words = options.rest.iter().map(String::as_str);
    let mut named = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-p" | "--port" => drop(words.next()),
            _ if word.starts_with('-') => {}
            _ => named.push(word),
        }
    }
    let [domain, host] = named[..] else {
        return Err(Failure::Usage("migrate: a domain and a host are needed".to_owned()));
    };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let live = options.has("-l", "--live").then(|| "--live".to_owned());
    let to = [options.uri.clone(), format!("xenmigr://{host}{port}")];
    Ok(["migrate".to_owned(), domain.to_owned()].into_iter().chain(live).chain(to).collect())
}

/// Becomes the shell, where it takes the same words; says which do it, where it does not.
pub(crate) fn pass_on(verb: &str, options: &Options) -> Result<(), Failure> {
    let found = VERBS.iter().find(|(name, _, _)| *name == verb);
    let (_, _, served) = found.ok_or_else(|| {
        Failure::Usage(format!("no verb '{verb}': 'virt-xm help' names them all"))
    })?;
    match served {
        Same(other) => {
            let words: Vec<String> =
                [(*other).to_owned()].into_iter().chain(options.rest.clone()).collect();
            Err(become_shell(options, &words))
        }
        Moves(_) => Err(become_shell(options, &moves(options)?)),
        Otherwise(other) => Err(Failure::Usage(format!("'{verb}' is virsh's: virsh {other}"))),
        Here => Ok(()),
    }
}
