//! The shell's own commands.

use virt_cli::{Opt, Values};

use crate::commands::itself;
use crate::table::Entry;

pub(crate) static ITSELF: &[Entry] = &[
    Entry::new(
        "cd",
        itself::cmd_cd,
        "change the folder",
        "Changes the folder that file names are relative to.",
        &[Opt::string("dir", "where to go").at().of(Values::File)],
    )
    .offline(),
    Entry::new(
        "echo",
        itself::cmd_echo,
        "say arguments again",
        "Says its arguments again, quoted or split as asked. For scripts and tests.",
        &[
            Opt::flag("shell", "quote for the Bourne shell"),
            Opt::flag("xml", "escape for XML"),
            Opt::flag("split", "at commas, of which two mean one"),
            Opt::flag("err", "as an error message"),
            Opt::string("prefix", "say this first"),
            Opt::argv("string", "what to say").at(),
            Opt::alias("str", "string"),
            Opt::alias("hi", "string=hello"),
        ],
    )
    .offline(),
    Entry::new("exit", itself::cmd_quit, "leave the shell", "Leaves the shell.", &[]).offline(),
    Entry::new(
        "help",
        itself::cmd_help,
        "explain commands",
        "Lists all commands, or explains one, or lists a group.",
        &[Opt::string("command", "a command or a group").at().of(Values::Command)],
    )
    .offline(),
    Entry::new(
        "pwd",
        itself::cmd_pwd,
        "show the folder",
        "Prints the folder that file names are relative to.",
        &[],
    )
    .offline(),
    Entry::new("quit", itself::cmd_quit, "leave the shell", "Leaves the shell.", &[]).offline(),
    Entry::new(
        "connect",
        itself::cmd_connect,
        "connect to another hypervisor",
        "Leaves the connection for another, or opens it again.",
        &[
            Opt::string("name", "where to connect to").at().or_empty(),
            Opt::flag("readonly", "without the right to change anything"),
        ],
    )
    .offline(),
    Entry::new(
        "complete",
        itself::cmd_complete,
        "candidates for completion",
        "For the calling shell: prints what may stand where the cursor is.",
        &[Opt::argv("string", "what was typed").at()],
    )
    .offline()
    .hidden(),
    Entry::new(
        "self-test",
        itself::cmd_self_test,
        "check the table of commands",
        "For tests of shells: checks the table of commands, or prints parts of it.",
        &[
            Opt::flag("completers-missing", "list options whose values cannot be completed"),
            Opt::flag("dump-help", "print the help of every command"),
        ],
    )
    .offline()
    .hidden(),
];
