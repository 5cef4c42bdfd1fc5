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
}

use Served::{Here, Otherwise, Same};

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
    ("migrate", "-l DOMAIN HOST", Otherwise("migrate DOMAIN --live xen:// xenmigr://HOST")),
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
            Otherwise(other) => format!("virsh {other}"),
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

/// Becomes the shell, where it takes the same words; says which do it, where it does not.
pub(crate) fn pass_on(verb: &str, options: &Options) -> Result<(), Failure> {
    let found = VERBS.iter().find(|(name, _, _)| *name == verb);
    let (_, _, served) = found.ok_or_else(|| {
        Failure::Usage(format!("no verb '{verb}': 'virt-xm help' names them all"))
    })?;
    match served {
        Same(other) => {
            let mut command = Command::new(shell());
            command.args(["--connect", &options.uri, other]).args(&options.rest);
            Err(Failure::Usage(format!("{}: {}", shell().display(), command.exec())))
        }
        Otherwise(other) => Err(Failure::Usage(format!("'{verb}' is virsh's: virsh {other}"))),
        Here => Ok(()),
    }
}
