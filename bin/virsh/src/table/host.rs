//! Commands about the host.

use virt_cli::{Opt, Values};

use crate::commands::{cpu, event, host, nodedev};
use crate::options::{CONFIG, CURRENT, DEVICE, FILE, LIVE, VALIDATE, WRAP, XPATH};
use crate::table::Entry;

pub(crate) static HOST_COMMANDS: &[Entry] = &[
    Entry::new(
        "allocpages",
        host::cmd_allocpages,
        "set pages aside",
        "Changes how many pages of a size the host keeps for guests.",
        &[
            Opt::number("pagesize", "size of a page, with a unit if it is not KiB").needed(),
            Opt::number("pagecount", "how many pages").needed(),
            Opt::number("cellno", "which NUMA cell").unwanted(),
            Opt::flag("add", "these on top of those that are there"),
            Opt::flag("all", "every cell"),
        ],
    ),
    Entry::new(
        "capabilities",
        host::cmd_capabilities,
        "what the host can do",
        "Prints what the host and its hypervisor can do.",
        &[XPATH, WRAP],
    ),
    Entry::new(
        "cpu-baseline",
        cpu::cmd_cpu_baseline,
        "what several CPUs have in common",
        "Finds a CPU that every one of those in a file can stand in for.",
        &[
            FILE,
            Opt::flag("features", "list every feature of the result"),
            Opt::flag("migratable", "only features that can be migrated"),
        ],
    ),
    Entry::new(
        "cpu-compare",
        cpu::cmd_cpu_compare,
        "compare a CPU with the host's",
        "Says whether the host can give a guest the CPU in a file.",
        &[FILE, Opt::flag("error", "an incompatible CPU is a failure"), VALIDATE],
    ),
    Entry::new(
        "cpu-models",
        host::cmd_cpu_models,
        "names of CPU models",
        "Lists the CPU models of an architecture.",
        &[Opt::string("arch", "processor architecture").needed()],
    ),
    Entry::new(
        "domcapabilities",
        host::cmd_domcapabilities,
        "what a domain can be given",
        "Prints which devices and features a guest can have here.",
        &[
            Opt::string("virttype", "kind of virtualization").unwanted(),
            Opt::string("emulatorbin", "path of the emulator").unwanted(),
            Opt::string("arch", "processor architecture").unwanted(),
            Opt::string("machine", "machine type").unwanted(),
            XPATH,
            WRAP,
            Opt::flag("disable-deprecated-features", "take features out that are on their way out"),
        ],
    ),
    Entry::new(
        "freecell",
        host::cmd_freecell,
        "free memory",
        "Shows how much memory is free, on one cell or on all.",
        &[Opt::number("cellno", "which NUMA cell").unwanted(), Opt::flag("all", "every cell")],
    ),
    Entry::new(
        "freepages",
        host::cmd_freepages,
        "free pages",
        "Shows how many pages of a size are free.",
        &[
            Opt::number("cellno", "which NUMA cell").unwanted(),
            Opt::number("pagesize", "size of a page, with a unit if it is not KiB").unwanted(),
            Opt::flag("all", "every cell"),
        ],
    ),
    Entry::new(
        "hostname",
        host::cmd_hostname,
        "the host's name",
        "Prints the name of the host.",
        &[],
    ),
    Entry::new(
        "hypervisor-cpu-baseline",
        cpu::cmd_hypervisor_cpu_baseline,
        "what several CPUs have in common here",
        "Finds a CPU that the hypervisor can give wherever those in a file can be had.",
        &[
            Opt::string("file", "file with the XML documents").unwanted(),
            Opt::string("virttype", "kind of virtualization").unwanted(),
            Opt::string("emulator", "path of the emulator").unwanted(),
            Opt::string("arch", "processor architecture").unwanted(),
            Opt::string("machine", "machine type").unwanted(),
            Opt::flag("features", "list every feature of the result"),
            Opt::flag("migratable", "only features that can be migrated"),
            Opt::string("model", "name of a CPU model").unwanted(),
        ],
    ),
    Entry::new(
        "hypervisor-cpu-compare",
        cpu::cmd_hypervisor_cpu_compare,
        "compare a CPU with the hypervisor's",
        "Says whether the hypervisor can give a guest the CPU in a file.",
        &[
            Opt::string("file", "file with the XML document").needed(),
            Opt::string("virttype", "kind of virtualization").unwanted(),
            Opt::string("emulator", "path of the emulator").unwanted(),
            Opt::string("arch", "processor architecture").unwanted(),
            Opt::string("machine", "machine type").unwanted(),
            Opt::flag("error", "an incompatible CPU is a failure"),
            VALIDATE,
        ],
    ),
    Entry::new(
        "hypervisor-cpu-models",
        cpu::cmd_hypervisor_cpu_models,
        "CPU models of the hypervisor",
        "Lists the CPU models that the hypervisor can give.",
        &[
            Opt::string("virttype", "kind of virtualization"),
            Opt::string("emulator", "path of the emulator"),
            Opt::string("arch", "processor architecture"),
            Opt::string("machine", "machine type"),
            Opt::flag("all", "those this host cannot give as well"),
        ],
    ),
    Entry::new(
        "maxvcpus",
        host::cmd_maxvcpus,
        "most virtual CPUs of a domain",
        "Prints how many virtual CPUs a domain can have.",
        &[Opt::string("type", "kind of virtualization").unwanted()],
    ),
    Entry::new(
        "node-memory-tune",
        host::cmd_node_memory_tune,
        "how equal pages are merged",
        "Shows or sets how the host looks for equal pages.",
        &[
            Opt::number("shm-pages-to-scan", "pages to look at before a pause").unwanted(),
            Opt::number("shm-sleep-millisecs", "length of that pause").unwanted(),
            Opt::number("shm-merge-across-nodes", "merge equal pages of different cells")
                .unwanted(),
        ],
    ),
    Entry::new(
        "nodecpumap",
        host::cmd_nodecpumap,
        "the host's CPUs",
        "Shows which CPUs are there and which of them are on.",
        &[Opt::flag("pretty", "as ranges")],
    ),
    Entry::new(
        "nodecpustats",
        host::cmd_nodecpustats,
        "the host's CPU time",
        "Shows what the host's CPUs have done.",
        &[
            Opt::number("cpu", "which CPU of the host").unwanted(),
            Opt::flag("percent", "as shares of one second"),
        ],
    ),
    Entry::new(
        "nodeinfo",
        host::cmd_nodeinfo,
        "facts about the host",
        "Shows the host's processors and memory.",
        &[],
    ),
    Entry::new(
        "nodememstats",
        host::cmd_nodememstats,
        "the host's memory",
        "Shows how the host uses its memory.",
        &[Opt::number("cell", "which NUMA cell").unwanted()],
    ),
    Entry::new(
        "nodesevinfo",
        host::cmd_nodesevinfo,
        "the host's memory encryption",
        "Shows what the host's memory encryption can do.",
        &[],
    ),
    Entry::new(
        "nodesuspend",
        host::cmd_nodesuspend,
        "put the host to sleep",
        "Puts the whole host to sleep for a while.",
        &[
            Opt::string("target", "mem, disk or hybrid")
                .needed()
                .of(Values::Words(&["mem", "disk", "hybrid"])),
            Opt::number("duration", "seconds until it wakes up by itself, at least 60").needed(),
        ],
    ),
    Entry::new(
        "sysinfo",
        host::cmd_sysinfo,
        "the host's hardware tables",
        "Prints what the host's firmware says of it.",
        &[],
    ),
    Entry::new(
        "uri",
        host::cmd_uri,
        "where this shell is connected to",
        "Prints the address of this connection.",
        &[],
    ),
    Entry::new(
        "version",
        host::cmd_version,
        "versions",
        "Shows the versions of this shell, the library and the hypervisor.",
        &[Opt::flag("daemon", "the daemon's version too")],
    ),
];

pub(crate) static NODEDEV_COMMANDS: &[Entry] = &[
    Entry::new(
        "nodedev-create",
        nodedev::cmd_nodedev_create,
        "make a device from an XML file",
        "Makes a virtual device of the host, not kept when it stops.",
        &[FILE, VALIDATE],
    ),
    Entry::new(
        "nodedev-destroy",
        nodedev::cmd_nodedev_destroy,
        "stop a device",
        "Stops a device of the host.",
        &[DEVICE, Opt::alias("name", "device")],
    ),
    Entry::new(
        "nodedev-detach",
        nodedev::cmd_nodedev_detach,
        "take a device from its driver",
        "Takes a device away from the host, so that a guest can have it.",
        &[DEVICE, Opt::string("driver", "which driver takes it over").unwanted()],
    ),
    Entry::new(
        "nodedev-dumpxml",
        nodedev::cmd_nodedev_dumpxml,
        "a device's XML document",
        "Prints the document of a device.",
        &[
            DEVICE,
            Opt::flag("inactive", "what the next start will use, not what runs"),
            XPATH,
            WRAP,
        ],
    ),
    Entry::new(
        "nodedev-list",
        nodedev::cmd_nodedev_list,
        "the host's devices",
        "Lists the devices of the host.",
        &[
            Opt::flag("tree", "as a tree"),
            Opt::string("cap", "only devices with these capabilities, with commas")
                .unwanted()
                .of(Values::WordList(nodedev::CAPABILITY_WORDS)),
            Opt::flag("inactive", "only those that are not active"),
            Opt::flag("all", "active or not"),
            Opt::flag("persistent", "only those that are defined"),
            Opt::flag("transient", "only those that vanish when they stop"),
        ],
    ),
    Entry::new(
        "nodedev-reattach",
        nodedev::cmd_nodedev_reattach,
        "give a device back to its driver",
        "Gives a device back to the host.",
        &[DEVICE],
    ),
    Entry::new(
        "nodedev-reset",
        nodedev::cmd_nodedev_reset,
        "reset a device",
        "Resets a device before or after a guest has it.",
        &[DEVICE],
    ),
    Entry::new(
        "nodedev-event",
        event::cmd_nodedev_event,
        "wait for events of devices",
        "Prints what happens to devices, as it happens.",
        &[
            Opt::string("device", "only of this device").unwanted().of(Values::Object("device")),
            Opt::string("event", "which kind of event")
                .unwanted()
                .of(Values::Words(&["lifecycle", "update"])),
            Opt::flag("loop", "go on after the first one"),
            Opt::number("timeout", "give up after this many seconds").unwanted(),
            Opt::flag("list", "list the kinds of event"),
            Opt::flag("timestamp", "say when each one came"),
        ],
    ),
    Entry::new(
        "nodedev-define",
        nodedev::cmd_nodedev_define,
        "keep a device from an XML file",
        "Keeps a device's definition, or changes it.",
        &[FILE, VALIDATE],
    ),
    Entry::new(
        "nodedev-undefine",
        nodedev::cmd_nodedev_undefine,
        "forget a device",
        "Deletes a device's definition.",
        &[DEVICE],
    ),
    Entry::new(
        "nodedev-start",
        nodedev::cmd_nodedev_start,
        "start a device",
        "Starts a defined device.",
        &[DEVICE],
    ),
    Entry::new(
        "nodedev-autostart",
        nodedev::cmd_nodedev_autostart,
        "start a device by itself with the host",
        "Marks a device so that the daemon starts it when the host boots.",
        &[DEVICE, Opt::flag("disable", "turn it off again")],
    ),
    Entry::new(
        "nodedev-info",
        nodedev::cmd_nodedev_info,
        "facts about a device",
        "Shows what a device is and how it does.",
        &[DEVICE],
    ),
    Entry::new(
        "nodedev-update",
        nodedev::cmd_nodedev_update,
        "change a device",
        "Changes a device by a new document.",
        &[DEVICE, FILE, CONFIG, LIVE, CURRENT],
    ),
    Entry::new("nodedev-dettach", nodedev::cmd_nodedev_detach, "", "", &[])
        .hidden()
        .alias_of("nodedev-detach"),
];
