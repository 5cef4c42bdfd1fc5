//! The manual page: what stands in it beside the commands, and that docs/man has it as it is.

use std::path::Path;

use virt_cli::{Kind, Manual, manual};

use crate::globals::EXPLAINED;
use crate::table::TABLE;

const PAGE: Manual = Manual {
    name: "virsh",
    summary: "manage virtual machines and what they need",
    before: BEFORE,
    after: AFTER,
    options: EXPLAINED,
};

const BEFORE: &str = r#".SH SYNOPSIS
.nf
\fBvirsh\fR [\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]
\fBvirsh\fR [\fIOPTIONS\fR] \(dq\fICOMMAND\fR [\fIARGUMENTS\fR]; \fICOMMAND\fR ...\(dq
\fBvirsh\fR [\fIOPTIONS\fR]
.fi
.SH DESCRIPTION
The first form runs one command and ends.
The second runs several, one after the other, whatever becomes of each.
The third reads commands from the terminal, with history and completion, until \fBquit\fR or the end of the input;
lines may come from a pipe too.
.PP
Most commands are about a \fIdomain\fR, which is what a virtual machine is called here.
It is named by its name, its UUID, or while it runs by its number.
Networks, storage pools, volumes, devices, snapshots and the rest are named in the same way.
.SS How commands are written
An option is written \fB\-\-name value\fR or \fB\-\-name=value\fR; options shown without their name may leave it out and are
filled in their order.
After \fB\-\-\fR nothing is an option.
Words are separated by blanks; blanks within quotes, single or double, or after a backslash belong to the word.
A semicolon that is a word's end, or a newline, ends a command; a # begins a comment.
Sizes take a unit: \fB2G\fR and \fB2GiB\fR are powers of 1024, \fB2GB\fR is a power of 1000.
"#;

const AFTER: &str = r#".SH CONNECTIONS
.TP
.B test:///default
a world in memory, for trying things
.TP
.BR qemu:///system ", " qemu:///session
the system's guests, and one's own
.TP
.BI qemu+ssh:// HOST /system
another machine's, through ssh; \fBtls\fR, \fBtcp\fR, \fBunix\fR and \fBext\fR are other ways
.TP
.BR kvmtool:///system ", " ldoms:///default ", " xen:///system
other hypervisors
.SH INTERRUPTION
Ctrl\-C ends what waits and not the shell: a command that waits for a job cancels the job first, and one that listens for
events stops listening.
A console is left with its escape key, Ctrl\-] unless \fB\-\-escape\fR says another.
.SH EXIT STATUS
0 when the command, or the last of several, succeeded; 1 otherwise.
.SH ENVIRONMENT
.TP
.BR VIRSH_DEFAULT_CONNECT_URI ", " LIBVIRT_DEFAULT_URI
where to connect to without \fB\-\-connect\fR
.TP
.B VIRSH_DEBUG
the level of messages, as \fB\-\-debug\fR
.TP
.B VIRSH_HINTS
1 for hints behind errors, 0 for none; otherwise they are there on a terminal
.TP
.BR VIRSH_HISTSIZE
how many lines the history keeps
.TP
.BR VISUAL ", " EDITOR
the editor of the commands that edit a document
.SH FILES
.TP
.I ~/.cache/libvirt/virsh/history
the history of the interactive shell
.SH SEE ALSO
.BR virt\-admin (1),
.BR ldoms (7)
"#;

/// `UPDATE=1` writes the page anew.
#[test]
fn the_manual_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/man/virsh.1");
    let page = manual(&TABLE, &PAGE);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/man/virsh.1 is not what the table says: UPDATE=1 writes it anew");
}

#[test]
fn the_manual_has_every_command_and_option() {
    let page = manual(&TABLE, &PAGE).replace("\\-", "-");
    for command in TABLE.commands() {
        let head = format!("\n\\fB{}\\fR", command.name);
        let entry = page.split(&head).nth(1).unwrap_or_else(|| panic!("{}", command.name));
        let entry = entry.split("\n.TP\n\\fB").next().unwrap_or_default();
        for option in command.options.iter().filter(|_| command.alias_of.is_none()) {
            assert!(
                entry.contains(&format!("--{}", option.name)),
                "{} {}",
                command.name,
                option.name
            );
            let explained = !option.help.is_empty() || matches!(option.kind, Kind::Alias(_));
            assert!(explained, "{} --{} has no word", command.name, option.name);
        }
    }
}
