//! The shell's own commands.

use virt_cli::Opt;

use crate::commands::itself;
use crate::table::Entry;

pub(crate) static ITSELF: &[Entry] = &[
    Entry::cd(),
    Entry::echo(),
    Entry::exit(),
    Entry::help(),
    Entry::pwd(),
    Entry::quit(),
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
    Entry::complete(),
    Entry::self_test(),
];
