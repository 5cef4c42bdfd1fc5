//! Commands that send something into a guest or ask it.

use virt_cli::{Opt, Values};

use crate::commands::guest;
use crate::options::{ACTIVE_DOMAIN, DOMAIN};
use crate::table::Entry;

pub(crate) static GUEST_COMMANDS: &[Entry] = &[
    Entry::new(
        "domdirtyrate-calc",
        guest::cmd_domdirtyrate_calc,
        "measure how fast memory changes",
        "Starts to measure how fast a guest changes its memory; domstats shows the result.",
        &[
            DOMAIN,
            Opt::number("seconds", "how long to measure, 1 to 60").unwanted(),
            Opt::string("mode", "page-sampling, dirty-bitmap or dirty-ring")
                .unwanted()
                .of(Values::Words(&["page-sampling", "dirty-bitmap", "dirty-ring"])),
        ],
    ),
    Entry::new(
        "get-user-sshkeys",
        guest::cmd_get_user_sshkeys,
        "SSH keys of a user in the guest",
        "Lists the keys that let somebody in as a user of the guest.",
        &[DOMAIN, Opt::string("user", "the user").needed()],
    ),
    Entry::new(
        "guest-agent-timeout",
        guest::cmd_guest_agent_timeout,
        "how long to wait for the guest agent",
        "Sets how long the guest agent may take to answer.",
        &[DOMAIN, Opt::number("timeout", "seconds; -2 for ever, -1 the default, 0 not at all")],
    ),
    Entry::new(
        "guestinfo",
        guest::cmd_guestinfo,
        "what the guest says of itself",
        "Asks the guest agent about the guest.",
        &[
            DOMAIN,
            Opt::flag("user", "who is logged in"),
            Opt::flag("os", "the operating system"),
            Opt::flag("timezone", "the time zone"),
            Opt::flag("hostname", "the host name"),
            Opt::flag("filesystem", "file systems"),
            Opt::flag("disk", "disks"),
            Opt::flag("interface", "network interfaces"),
            Opt::flag("load", "how busy it is"),
        ],
    ),
    Entry::new(
        "screenshot",
        guest::cmd_screenshot,
        "take a picture of a display",
        "Writes what a display shows to a file.",
        &[
            ACTIVE_DOMAIN,
            Opt::string("file", "where to write").unwanted().of(Values::File),
            Opt::number("screen", "which display").unwanted(),
        ],
    ),
    Entry::new(
        "send-key",
        guest::cmd_send_key,
        "press keys",
        "Presses keys on the guest's keyboard, all at once.",
        &[
            ACTIVE_DOMAIN,
            Opt::string("codeset", "what the codes mean; linux if not given")
                .of(Values::Words(guest::CODESETS)),
            Opt::number("holdtime", "how long, in milliseconds"),
            Opt::argv("keycode", "codes or names of keys").needed(),
        ],
    ),
    Entry::new(
        "set-user-sshkeys",
        guest::cmd_set_user_sshkeys,
        "change SSH keys of a user in the guest",
        "Adds, replaces or removes keys that let somebody in as a user of the guest.",
        &[
            DOMAIN,
            Opt::string("user", "the user").needed(),
            Opt::string("file", "file with the keys").at().of(Values::File),
            Opt::flag("reset", "remove all others"),
            Opt::flag("remove", "remove these"),
        ],
    ),
];
