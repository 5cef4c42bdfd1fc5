//! The shell's own commands.

use virt_cli::{Opt, Values};

use crate::commands::{doctor, itself};
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
    Entry::new(
        "completion",
        itself::cmd_completion,
        "a script that completes words",
        "Prints a script for your login shell: source <(virsh completion bash).",
        &[Opt::string("shell", "bash, zsh or fish").needed().of(Values::Words(itself::SHELLS))],
    )
    .offline(),
    Entry::new(
        "doctor",
        doctor::cmd_doctor,
        "check this host",
        "Looks at what guests need of this host, and says what mends each fault it finds. Ends with \
         an error where there is a fault. With -c it asks that daemon too.",
        &[
            Opt::string("part", "only this part").at().of(Values::Words(doctor::PARTS)),
            Opt::string("root", "the host whose files are below this folder").of(Values::File),
        ],
    )
    .offline(),
    Entry::complete(),
    Entry::self_test(),
];
