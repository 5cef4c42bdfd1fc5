//! Every command: name, options, words.

use virt_cli::{Command, Group, Opt, Table, Values};

use crate::commands;
use crate::shell::Run;

type Entry = Command<Run>;

pub(crate) static TABLE: Table<Run> = Table {
    facts: "",
    groups: &[
        Group { title: "Virt-admin itself", keyword: "virt-admin", commands: &[ITSELF] },
        Group { title: "Monitoring commands", keyword: "monitor", commands: &[MONITORING] },
        Group { title: "Management commands", keyword: "management", commands: &[MANAGEMENT] },
        Group { title: "", keyword: "", commands: &[UNLISTED] },
    ],
};

const SERVER: Opt =
    Opt::string("server", "a server of the daemon").needed().of(Values::Object("server"));

static ITSELF: &[Entry] = &[
    Entry::cd(),
    Entry::echo(),
    Entry::exit(),
    Entry::help(),
    Entry::pwd(),
    Entry::quit(),
    Entry::new(
        "uri",
        commands::cmd_uri,
        "show which daemon this is",
        "Prints the URI of the daemon that is administered.",
        &[],
    ),
    Entry::new(
        "version",
        commands::cmd_version,
        "show versions",
        "Prints the versions of this program and of the daemon.",
        &[],
    ),
    Entry::new(
        "connect",
        commands::cmd_connect,
        "connect to another daemon",
        "Leaves the daemon for another, or connects to it again.",
        &[Opt::string("name", "the other daemon's URI").at().or_empty()],
    )
    .offline(),
];

static MONITORING: &[Entry] = &[
    Entry::new(
        "server-list",
        commands::cmd_server_list,
        "list the daemon's servers",
        "Lists the servers that the daemon has.",
        &[],
    ),
    Entry::new(
        "server-threadpool-info",
        commands::cmd_server_threadpool_info,
        "show a server's workers",
        "Prints how many workers a server has and may have, and what waits for them.",
        &[SERVER],
    ),
    Entry::new(
        "client-list",
        commands::cmd_client_list,
        "list a server's clients",
        "Lists who is connected to a server, by which way and since when.",
        &[SERVER],
    ),
    Entry::new(
        "client-info",
        commands::cmd_client_info,
        "show who a client is",
        "Prints what is known about a client: where it comes from and what it has shown.",
        &[SERVER, Opt::string("client", "the client's number").needed()],
    ),
    Entry::new(
        "server-clients-info",
        commands::cmd_server_clients_info,
        "show how many clients a server takes",
        "Prints how many clients a server has and may have.",
        &[SERVER],
    ),
];

static MANAGEMENT: &[Entry] = &[
    Entry::new(
        "server-threadpool-set",
        commands::cmd_server_threadpool_set,
        "set how many workers a server has",
        "Sets how many workers a server may have, from now on.",
        &[
            SERVER,
            Opt::number("min-workers", "how many are kept").unwanted(),
            Opt::number("max-workers", "how many there may be").unwanted(),
            Opt::number("priority-workers", "how many are for calls that must not wait").unwanted(),
        ],
    ),
    Entry::new(
        "client-disconnect",
        commands::cmd_client_disconnect,
        "send a client away",
        "Ends a client's connection to a server.",
        &[SERVER, Opt::number("client", "the client's number").needed()],
    ),
    Entry::new(
        "server-clients-set",
        commands::cmd_server_clients_set,
        "set how many clients a server takes",
        "Sets how many clients a server may have, from now on.",
        &[
            SERVER,
            Opt::number("max-clients", "how many there may be").unwanted(),
            Opt::number("max-unauth-clients", "how many may wait to show who they are").unwanted(),
        ],
    ),
    Entry::new(
        "server-update-tls",
        commands::cmd_server_update_tls,
        "read certificates anew",
        "Lets the daemon read its TLS files anew; who is connected keeps the old ones.",
        &[SERVER],
    ),
    Entry::new(
        "daemon-log-filters",
        commands::cmd_daemon_log_filters,
        "show or set what is logged",
        "Prints the filters of the daemon's log, or sets others.",
        &[Opt::string("filters", "the filters to set").at().or_empty()],
    ),
    Entry::new(
        "daemon-log-outputs",
        commands::cmd_daemon_log_outputs,
        "show or set where logs go",
        "Prints the outputs of the daemon's log, or sets others.",
        &[Opt::string("outputs", "the outputs to set").at().or_empty()],
    ),
    Entry::new(
        "daemon-timeout",
        commands::cmd_daemon_timeout,
        "set when an idle daemon ends",
        "Sets after how many seconds without clients the daemon ends; 0 for never.",
        &[Opt::number("timeout", "seconds").needed()],
    ),
    Entry::new(
        "daemon-shutdown",
        commands::cmd_daemon_shutdown,
        "stop the daemon",
        "Lets the daemon end.",
        &[Opt::flag("preserve", "keep what would be lost")],
    ),
];

static UNLISTED: &[Entry] = &[
    Entry::self_test(),
    Entry::complete(),
    Entry::other_name("srv-list", "server-list"),
    Entry::other_name("srv-threadpool-info", "server-threadpool-info"),
    Entry::other_name("srv-clients-list", "client-list"),
    Entry::other_name("srv-clients-info", "server-clients-info"),
    Entry::other_name("srv-threadpool-set", "server-threadpool-set"),
    Entry::other_name("srv-clients-set", "server-clients-set"),
    Entry::other_name("srv-update-tls", "server-update-tls"),
];
