//! Commands for networks, interfaces, filters and secrets.

use virt_cli::{Opt, Values};

use crate::commands::network::SECTIONS;
use crate::commands::{bridge, edit, event, interface, network, security};
use crate::options::{
    CONFIG, CURRENT, FILE, INTERFACE, LIVE, NETWORK, NWFILTER, SECRET, VALIDATE, WRAP, XPATH,
};
use crate::table::Entry;

pub(crate) static INTERFACE_COMMANDS: &[Entry] = &[
    Entry::new(
        "iface-bridge",
        bridge::cmd_iface_bridge,
        "make a bridge of an interface",
        "Makes a bridge that takes the place of an interface, with that attached.",
        &[
            INTERFACE,
            Opt::string("bridge", "name of the bridge").needed(),
            Opt::flag("no-stp", "without spanning tree"),
            Opt::number("delay", "seconds before a new port forwards").unwanted(),
            Opt::flag("no-start", "do not start it"),
        ],
    ),
    Entry::new(
        "iface-edit",
        edit::cmd_iface_edit,
        "edit the document of an interface",
        "Lets you change the document of an interface in an editor.",
        &[INTERFACE],
    ),
    Entry::new(
        "iface-unbridge",
        bridge::cmd_iface_unbridge,
        "take a bridge apart",
        "Removes a bridge and gives its interface its place back.",
        &[
            Opt::string("bridge", "the bridge").needed().of(Values::Object("interface")),
            Opt::flag("no-start", "do not start the interface"),
        ],
    ),
    Entry::new(
        "iface-begin",
        interface::cmd_iface_begin,
        "begin to change interfaces",
        "Keeps the interfaces as they are, to come back to if the changes do not work.",
        &[],
    ),
    Entry::new(
        "iface-commit",
        interface::cmd_iface_commit,
        "keep changed interfaces",
        "Keeps what has changed since the beginning.",
        &[],
    ),
    Entry::new(
        "iface-define",
        interface::cmd_iface_define,
        "keep an interface from an XML file",
        "Keeps an interface's definition, or changes it.",
        &[FILE, VALIDATE],
    ),
    Entry::new(
        "iface-destroy",
        interface::cmd_iface_destroy,
        "take an interface down",
        "Takes an interface of the host down.",
        &[INTERFACE],
    ),
    Entry::new(
        "iface-dumpxml",
        interface::cmd_iface_dumpxml,
        "an interface's XML document",
        "Prints the document of an interface.",
        &[
            INTERFACE,
            Opt::flag("inactive", "what the next start will use, not what runs"),
            XPATH,
            WRAP,
        ],
    ),
    Entry::new(
        "iface-list",
        interface::cmd_iface_list,
        "the host's interfaces",
        "Lists the network interfaces of the host.",
        &[
            Opt::flag("inactive", "only those that are not active"),
            Opt::flag("all", "active or not"),
        ],
    ),
    Entry::new(
        "iface-mac",
        interface::cmd_iface_mac,
        "MAC address of an interface",
        "Prints the MAC address of an interface named by name.",
        &[INTERFACE],
    ),
    Entry::new(
        "iface-name",
        interface::cmd_iface_name,
        "name of an interface",
        "Prints the name of an interface named by MAC address.",
        &[INTERFACE],
    ),
    Entry::new(
        "iface-rollback",
        interface::cmd_iface_rollback,
        "undo changed interfaces",
        "Goes back to how it was at the beginning.",
        &[],
    ),
    Entry::new(
        "iface-start",
        interface::cmd_iface_start,
        "bring an interface up",
        "Brings an interface of the host up.",
        &[INTERFACE],
    ),
    Entry::new(
        "iface-undefine",
        interface::cmd_iface_undefine,
        "forget an interface",
        "Deletes an interface's definition.",
        &[INTERFACE],
    ),
];

pub(crate) static FILTER_COMMANDS: &[Entry] = &[
    Entry::new(
        "nwfilter-edit",
        edit::cmd_nwfilter_edit,
        "edit the document of a filter",
        "Lets you change the document of a network filter in an editor.",
        &[NWFILTER],
    ),
    Entry::new(
        "nwfilter-define",
        security::cmd_nwfilter_define,
        "keep a filter from an XML file",
        "Keeps a network filter, or changes it.",
        &[FILE, VALIDATE],
    ),
    Entry::new(
        "nwfilter-dumpxml",
        security::cmd_nwfilter_dumpxml,
        "a filter's XML document",
        "Prints the document of a network filter.",
        &[NWFILTER, XPATH, WRAP],
    ),
    Entry::new(
        "nwfilter-list",
        security::cmd_nwfilter_list,
        "network filters",
        "Lists the network filters.",
        &[],
    ),
    Entry::new(
        "nwfilter-undefine",
        security::cmd_nwfilter_undefine,
        "forget a filter",
        "Deletes a network filter.",
        &[NWFILTER],
    ),
    Entry::new(
        "nwfilter-binding-create",
        security::cmd_nwfilter_binding_create,
        "bind a filter to a port",
        "Puts a network filter in front of a port.",
        &[FILE, VALIDATE],
    ),
    Entry::new(
        "nwfilter-binding-delete",
        security::cmd_nwfilter_binding_delete,
        "unbind a filter",
        "Takes the network filter away from a port.",
        &[Opt::string("binding", "name of the port's device")
            .needed()
            .of(Values::Object("binding"))],
    ),
    Entry::new(
        "nwfilter-binding-dumpxml",
        security::cmd_nwfilter_binding_dumpxml,
        "a binding's XML document",
        "Prints which filter a port has, and with what parameters.",
        &[
            Opt::string("binding", "name of the port's device")
                .needed()
                .of(Values::Object("binding")),
            XPATH,
            WRAP,
        ],
    ),
    Entry::new(
        "nwfilter-binding-list",
        security::cmd_nwfilter_binding_list,
        "bound filters",
        "Lists the ports that have a network filter.",
        &[],
    ),
];

pub(crate) static NETWORK_COMMANDS: &[Entry] = &[
    Entry::new(
        "net-edit",
        edit::cmd_net_edit,
        "edit the document of a network",
        "Lets you change the document of a network in an editor.",
        &[NETWORK],
    ),
    Entry::new(
        "net-autostart",
        network::cmd_net_autostart,
        "start a network by itself with the host",
        "Marks a network so that the daemon starts it when the host boots.",
        &[NETWORK, Opt::flag("disable", "turn it off again")],
    ),
    Entry::new(
        "net-create",
        network::cmd_net_create,
        "start a network from an XML file",
        "Starts a network that is not kept when it stops.",
        &[FILE, VALIDATE],
    ),
    Entry::new(
        "net-define",
        network::cmd_net_define,
        "keep a network from an XML file",
        "Keeps a network's definition, or changes it.",
        &[FILE, VALIDATE],
    ),
    Entry::new(
        "net-desc",
        network::cmd_net_desc,
        "show or set a network's title or description",
        "Shows the description or title of a network, or sets it.",
        &[
            NETWORK,
            LIVE,
            CONFIG,
            CURRENT,
            Opt::flag("title", "the title, not the description"),
            Opt::flag("edit", "change it in an editor"),
            Opt::argv("new-desc", "the new text").at(),
        ],
    ),
    Entry::new(
        "net-destroy",
        network::cmd_net_destroy,
        "stop a network",
        "Stops a network. Its definition stays.",
        &[NETWORK],
    ),
    Entry::new(
        "net-dhcp-leases",
        network::cmd_net_dhcp_leases,
        "addresses that a network gave out",
        "Lists the leases of a network's DHCP server.",
        &[NETWORK, Opt::string("mac", "only for this MAC address").unwanted()],
    ),
    Entry::new(
        "net-dumpxml",
        network::cmd_net_dumpxml,
        "a network's XML document",
        "Prints the document of a network, or a part of it.",
        &[
            NETWORK,
            Opt::flag("inactive", "what the next start will use, not what runs"),
            XPATH,
            WRAP,
        ],
    ),
    Entry::new(
        "net-event",
        event::cmd_net_event,
        "wait for events of networks",
        "Prints what happens to networks, as it happens.",
        &[
            Opt::string("network", "only of this network").unwanted().of(Values::Object("network")),
            Opt::string("event", "which kind of event")
                .unwanted()
                .of(Values::Words(&["lifecycle", "metadata-change"])),
            Opt::flag("loop", "go on after the first one"),
            Opt::number("timeout", "give up after this many seconds").unwanted(),
            Opt::flag("list", "list the kinds of event"),
            Opt::flag("timestamp", "say when each one came"),
        ],
    ),
    Entry::new(
        "net-info",
        network::cmd_net_info,
        "facts about a network",
        "Shows what a network is and how it does.",
        &[NETWORK],
    ),
    Entry::new(
        "net-list",
        network::cmd_net_list,
        "list networks",
        "Lists the networks of a host.",
        &[
            Opt::flag("inactive", "only those that are not active"),
            Opt::flag("all", "active or not"),
            Opt::flag("persistent", "only those that are defined"),
            Opt::flag("transient", "only those that vanish when they stop"),
            Opt::flag("autostart", "only those that start by themselves"),
            Opt::flag("no-autostart", "only those that do not start by themselves"),
            Opt::flag("uuid", "only the UUIDs"),
            Opt::flag("name", "only the names"),
            Opt::flag("table", "a table, as without any of these"),
            Opt::flag("title", "with their titles"),
        ],
    ),
    Entry::new(
        "net-metadata",
        network::cmd_net_metadata,
        "show or set a network's own metadata",
        "Shows, sets or removes what an application keeps with a network.",
        &[
            NETWORK,
            Opt::string("uri", "name space of the metadata").needed(),
            LIVE,
            CONFIG,
            CURRENT,
            Opt::flag("edit", "change it in an editor"),
            Opt::string("key", "prefix for the name space").unwanted(),
            Opt::string("set", "the new metadata, an XML element").unwanted(),
            Opt::flag("remove", "take the metadata out"),
        ],
    ),
    Entry::new(
        "net-name",
        network::cmd_net_name,
        "name of a network",
        "Prints the name of a network named by UUID.",
        &[NETWORK],
    ),
    Entry::new(
        "net-start",
        network::cmd_net_start,
        "start a network",
        "Starts a defined network.",
        &[NETWORK],
    ),
    Entry::new(
        "net-undefine",
        network::cmd_net_undefine,
        "forget a network",
        "Deletes a network's definition.",
        &[NETWORK],
    ),
    Entry::new(
        "net-update",
        network::cmd_net_update,
        "change a part of a network",
        "Adds, changes or deletes one element of a network.",
        &[
            NETWORK,
            Opt::string("command", "add, add-first, add-last, delete or modify")
                .needed()
                .of(Values::Words(&["add", "add-first", "add-last", "delete", "modify"])),
            Opt::string("section", "which part of the network")
                .needed()
                .of(Values::Words(SECTIONS)),
            Opt::string("xml", "the element itself, or a file that has it").needed(),
            Opt::number("parent-index", "which of several parents").unwanted(),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
    Entry::new(
        "net-uuid",
        network::cmd_net_uuid,
        "UUID of a network",
        "Prints the UUID of a network named by name.",
        &[NETWORK],
    ),
    Entry::new(
        "net-port-list",
        network::cmd_net_port_list,
        "a network's ports",
        "Lists what is plugged into a network.",
        &[
            NETWORK,
            Opt::flag("uuid", "only the UUIDs"),
            Opt::flag("table", "a table, as without any of these"),
        ],
    ),
    Entry::new(
        "net-port-create",
        network::cmd_net_port_create,
        "make a port from an XML file",
        "Plugs a port into a network.",
        &[NETWORK, Opt::string("file", "file with the XML document").needed(), VALIDATE],
    ),
    Entry::new(
        "net-port-dumpxml",
        network::cmd_net_port_dumpxml,
        "a port's XML document",
        "Prints the document of a network's port.",
        &[NETWORK, Opt::string("port", "the port's UUID").needed(), XPATH, WRAP],
    ),
    Entry::new(
        "net-port-delete",
        network::cmd_net_port_delete,
        "delete a port",
        "Unplugs a port from a network.",
        &[NETWORK, Opt::string("port", "the port's UUID").needed()],
    ),
];

pub(crate) static SECRET_COMMANDS: &[Entry] = &[
    Entry::new(
        "secret-define",
        security::cmd_secret_define,
        "keep a secret from an XML file",
        "Keeps what is known of a secret, or changes it.",
        &[FILE, VALIDATE],
    ),
    Entry::new(
        "secret-dumpxml",
        security::cmd_secret_dumpxml,
        "a secret's XML document",
        "Prints the document of a secret, without its value.",
        &[SECRET, XPATH, WRAP],
    ),
    Entry::new(
        "secret-event",
        event::cmd_secret_event,
        "wait for events of secrets",
        "Prints what happens to secrets, as it happens.",
        &[
            Opt::string("secret", "only of this secret").unwanted().of(Values::Object("secret")),
            Opt::string("event", "which kind of event")
                .unwanted()
                .of(Values::Words(&["lifecycle", "value-changed"])),
            Opt::flag("loop", "go on after the first one"),
            Opt::number("timeout", "give up after this many seconds").unwanted(),
            Opt::flag("list", "list the kinds of event"),
            Opt::flag("timestamp", "say when each one came"),
        ],
    ),
    Entry::new(
        "secret-get-value",
        security::cmd_secret_get_value,
        "value of a secret",
        "Prints the value of a secret.",
        &[SECRET, Opt::flag("plain", "as it is, not in base64")],
    ),
    Entry::new(
        "secret-list",
        security::cmd_secret_list,
        "list secrets",
        "Lists the secrets that the daemon keeps.",
        &[
            Opt::flag("ephemeral", "only those that are kept in memory"),
            Opt::flag("no-ephemeral", "only those that are kept on disk"),
            Opt::flag("private", "only those that are never shown"),
            Opt::flag("no-private", "only those that can be shown"),
        ],
    ),
    Entry::new(
        "secret-set-value",
        security::cmd_secret_set_value,
        "set the value of a secret",
        "Gives a secret its value.",
        &[
            SECRET,
            Opt::string("file", "file with the value"),
            Opt::flag("plain", "the file has it as it is, not in base64"),
            Opt::flag("interactive", "ask for it at the terminal, unseen"),
            Opt::string("base64", "the value in base64").unwanted(),
        ],
    ),
    Entry::new(
        "secret-undefine",
        security::cmd_secret_undefine,
        "forget a secret",
        "Deletes a secret and its value.",
        &[SECRET],
    ),
];
