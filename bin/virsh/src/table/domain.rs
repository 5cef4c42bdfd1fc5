//! Commands that manage domains.

use virt_cli::{Opt, Values};

use crate::commands::{documents, info, lifecycle, monitor, tune, undefine};
use crate::options::{
    ACTIVE_DOMAIN, CONFIG, CURRENT, DOMAIN, FILE, INACTIVE_DOMAIN, LIVE, PASS_FDS, VALIDATE, WRAP,
    XPATH,
};
use crate::table::Entry;

/// The ways to ask a guest to stop.
const MODES: &[&str] = &["acpi", "agent", "initctl", "signal", "paravirt"];

pub(crate) static DOMAIN_COMMANDS: &[Entry] = &[
    Entry::new(
        "autostart",
        lifecycle::cmd_autostart,
        "start a domain by itself with the host",
        "Marks a domain so that the daemon starts it when the host boots.",
        &[
            DOMAIN,
            Opt::flag("disable", "turn it off again"),
            Opt::flag("once", "only at the next start of the daemon"),
        ],
    ),
    Entry::new(
        "console",
        lifecycle::cmd_console,
        "go to a guest's console",
        "Connects this terminal to the guest's console; the escape key leaves it.",
        &[
            ACTIVE_DOMAIN,
            Opt::string("devname", "alias of the console, serial or parallel device").unwanted(),
            Opt::flag("force", "take the console away from whoever has it"),
            Opt::flag("resume", "let a paused guest go on once connected"),
            Opt::flag("safe", "only if nobody else can be on it"),
        ],
    ),
    Entry::new(
        "cpu-stats",
        monitor::cmd_cpu_stats,
        "CPU time of a domain",
        "Shows how much time a domain has used on each CPU of the host, and in total.",
        &[
            ACTIVE_DOMAIN,
            Opt::flag("total", "only the sum over all CPUs"),
            Opt::number("start", "first CPU to show").unwanted(),
            Opt::number("count", "how many to show").unwanted(),
        ],
    ),
    Entry::new(
        "create",
        lifecycle::cmd_create,
        "start a domain from an XML file",
        "Starts a domain that is not kept when it stops.",
        &[
            FILE,
            Opt::flag("console", "go to its console afterwards"),
            Opt::flag("paused", "leave it paused at its first instruction"),
            Opt::flag("autodestroy", "stop it when this connection ends"),
            PASS_FDS,
            VALIDATE,
            Opt::flag("reset-nvram", "begin with fresh firmware variables"),
        ],
    ),
    Entry::new(
        "define",
        lifecycle::cmd_define,
        "keep a domain from an XML file",
        "Keeps a domain's definition without starting it.",
        &[FILE, VALIDATE],
    ),
    Entry::new(
        "desc",
        documents::cmd_desc,
        "show or set a domain's title or description",
        "Shows the description or title of a domain, or sets it.",
        &[
            DOMAIN,
            LIVE,
            CONFIG,
            CURRENT,
            Opt::flag("title", "the title, not the description"),
            Opt::flag("edit", "change it in an editor"),
            Opt::argv("new-desc", "the new text").at(),
        ],
    ),
    Entry::new(
        "destroy",
        lifecycle::cmd_destroy,
        "stop a domain at once",
        "Stops a domain as pulling the plug would. Its definition and disks stay.",
        &[
            ACTIVE_DOMAIN,
            Opt::flag("graceful", "let the emulator write its caches first"),
            Opt::flag("remove-logs", "delete its log files too"),
        ],
    ),
    Entry::new(
        "domdisplay",
        documents::cmd_domdisplay,
        "address of a domain's display",
        "Prints the address at which a viewer finds the display.",
        &[
            ACTIVE_DOMAIN,
            Opt::flag("include-password", "show the password as part of the address"),
            Opt::string("type", "which kind: vnc, spice, rdp, dbus")
                .at()
                .of(Values::Words(&["vnc", "spice", "rdp", "dbus"])),
            Opt::flag("all", "every display"),
        ],
    ),
    Entry::new(
        "domfsfreeze",
        monitor::cmd_domfsfreeze,
        "freeze a guest's filesystems",
        "Lets the guest write its caches and hold back until it is thawed.",
        &[ACTIVE_DOMAIN, Opt::argv("mountpoint", "where a filesystem is mounted").at()],
    ),
    Entry::new(
        "domfsthaw",
        monitor::cmd_domfsthaw,
        "thaw a guest's filesystems",
        "Lets frozen filesystems go on.",
        &[ACTIVE_DOMAIN, Opt::argv("mountpoint", "where a filesystem is mounted").at()],
    ),
    Entry::new(
        "domfsinfo",
        monitor::cmd_domfsinfo,
        "a guest's mounted filesystems",
        "Lists what the guest has mounted and on which disks.",
        &[ACTIVE_DOMAIN],
    ),
    Entry::new(
        "domfstrim",
        monitor::cmd_domfstrim,
        "give unused blocks back",
        "Tells the guest to give blocks it does not use back to the host.",
        &[
            ACTIVE_DOMAIN,
            Opt::number("minimum", "leave smaller holes alone").unwanted(),
            Opt::string("mountpoint", "where a filesystem is mounted").unwanted(),
        ],
    ),
    Entry::new(
        "domhostname",
        info::cmd_domhostname,
        "a guest's host name",
        "Prints the host name that the guest has.",
        &[
            DOMAIN,
            Opt::string("source", "where to ask: agent or lease")
                .unwanted()
                .of(Values::Words(&["agent", "lease"])),
        ],
    ),
    Entry::new(
        "domid",
        info::cmd_domid,
        "id of a domain",
        "Prints the id of a domain named by name or UUID.",
        &[DOMAIN],
    ),
    Entry::new(
        "domname",
        info::cmd_domname,
        "name of a domain",
        "Prints the name of a domain named by id or UUID.",
        &[DOMAIN],
    ),
    Entry::new(
        "domrename",
        lifecycle::cmd_domrename,
        "give a domain another name",
        "Renames a domain that does not run.",
        &[DOMAIN, Opt::string("new-name", "the name it is to have").needed()],
    ),
    Entry::new(
        "dompmsuspend",
        lifecycle::cmd_dompmsuspend,
        "put a guest to sleep",
        "Asks the guest to go to sleep by its own power management.",
        &[
            ACTIVE_DOMAIN,
            Opt::string("target", "mem, disk or hybrid")
                .needed()
                .of(Values::Words(&["mem", "disk", "hybrid"])),
            Opt::number("duration", "seconds until it wakes up by itself; 0 for never"),
        ],
    ),
    Entry::new(
        "dompmwakeup",
        lifecycle::cmd_dompmwakeup,
        "wake a sleeping guest",
        "Wakes a guest that went to sleep.",
        &[DOMAIN],
    ),
    Entry::new(
        "domuuid",
        info::cmd_domuuid,
        "UUID of a domain",
        "Prints the UUID of a domain named by name or id.",
        &[DOMAIN],
    ),
    Entry::new(
        "dumpxml",
        documents::cmd_dumpxml,
        "a domain's XML document",
        "Prints the document of a domain, or a part of it.",
        &[
            DOMAIN,
            Opt::flag("inactive", "what the next start will use, not what runs"),
            Opt::flag("security-info", "with secrets"),
            Opt::flag("update-cpu", "with the CPU as this host would give it"),
            Opt::flag("migratable", "only features that can be migrated"),
            XPATH,
            WRAP,
        ],
    ),
    Entry::new(
        "inject-nmi",
        lifecycle::cmd_inject_nmi,
        "send a guest an NMI",
        "Interrupts the guest in a way that it cannot ignore.",
        &[ACTIVE_DOMAIN],
    ),
    Entry::new(
        "metadata",
        documents::cmd_metadata,
        "show or set a domain's own metadata",
        "Shows, sets or removes what an application keeps with a domain.",
        &[
            DOMAIN,
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
        "reboot",
        lifecycle::cmd_reboot,
        "reboot a domain",
        "Asks the guest to reboot. That may take a while after the answer.",
        &[
            ACTIVE_DOMAIN,
            Opt::string(
                "mode",
                "how to ask: acpi, agent, initctl, signal, paravirt; several with commas",
            )
            .at()
            .of(Values::WordList(MODES)),
        ],
    ),
    Entry::new(
        "reset",
        lifecycle::cmd_reset,
        "reset a domain",
        "Resets the machine as its button would.",
        &[ACTIVE_DOMAIN],
    ),
    Entry::new(
        "resume",
        lifecycle::cmd_resume,
        "let a paused domain go on",
        "Ends a suspend.",
        &[ACTIVE_DOMAIN],
    ),
    Entry::new(
        "send-process-signal",
        lifecycle::cmd_send_process_signal,
        "signal a process of a guest",
        "Sends a signal to a process inside the guest.",
        &[
            DOMAIN,
            Opt::string("pid", "number of the process in the guest").needed(),
            Opt::string("signame", "name or number of the signal")
                .needed()
                .of(Values::Words(lifecycle::SIGNALS)),
        ],
    ),
    Entry::new(
        "set-lifecycle-action",
        lifecycle::cmd_set_lifecycle_action,
        "what happens when a guest stops",
        "Changes what becomes of a domain that powers off, reboots or crashes.",
        &[
            DOMAIN,
            Opt::string("type", "the occasion: poweroff, reboot or crash")
                .needed()
                .of(Values::Words(&["poweroff", "reboot", "crash"])),
            Opt::string("action", "destroy, restart, rename-restart, preserve or coredump-...")
                .needed(),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
    Entry::new(
        "setmaxmem",
        tune::cmd_setmaxmem,
        "change the memory limit",
        "Changes the most memory a domain can have.",
        &[
            DOMAIN,
            Opt::number("size", "new size, with a unit if it is not KiB").needed(),
            CONFIG,
            LIVE,
            CURRENT,
            Opt::alias("kilobytes", "size"),
        ],
    ),
    Entry::new(
        "setmem",
        tune::cmd_setmem,
        "change the memory in use",
        "Changes how much memory the guest has now.",
        &[
            DOMAIN,
            Opt::number("size", "new size, with a unit if it is not KiB").needed(),
            CONFIG,
            LIVE,
            CURRENT,
            Opt::alias("kilobytes", "size"),
        ],
    ),
    Entry::new(
        "setvcpus",
        tune::cmd_setvcpus,
        "change the number of virtual CPUs",
        "Changes how many virtual CPUs the guest has.",
        &[
            DOMAIN,
            Opt::number("count", "how many").needed(),
            Opt::flag("maximum", "change the upper limit, for the next start"),
            CONFIG,
            LIVE,
            CURRENT,
            Opt::flag("guest", "ask the guest itself"),
            Opt::flag("hotpluggable", "the added ones can be taken away again"),
        ],
    ),
    Entry::new(
        "shutdown",
        lifecycle::cmd_shutdown,
        "ask a domain to shut down",
        "Asks the guest to shut down. It may take its time, or not obey at all.",
        &[
            ACTIVE_DOMAIN,
            Opt::string(
                "mode",
                "how to ask: acpi, agent, initctl, signal, paravirt; several with commas",
            )
            .at()
            .of(Values::WordList(MODES)),
        ],
    ),
    Entry::new(
        "start",
        lifecycle::cmd_start,
        "start a domain",
        "Starts a defined domain, from its saved state if there is one.",
        &[
            INACTIVE_DOMAIN,
            Opt::flag("console", "go to its console afterwards"),
            Opt::flag("paused", "leave it paused at its first instruction"),
            Opt::flag("autodestroy", "stop it when this connection ends"),
            Opt::flag("bypass-cache", "do not fill the host's cache while reading the saved state"),
            Opt::flag("force-boot", "throw the saved state away"),
            PASS_FDS,
            Opt::flag("reset-nvram", "begin with fresh firmware variables"),
        ],
    ),
    Entry::new(
        "suspend",
        lifecycle::cmd_suspend,
        "pause a domain",
        "Stops the guest's CPUs; its memory stays where it is.",
        &[ACTIVE_DOMAIN],
    ),
    Entry::new(
        "ttyconsole",
        documents::cmd_ttyconsole,
        "device of a domain's console",
        "Prints the terminal device behind the guest's console.",
        &[DOMAIN],
    ),
    Entry::new(
        "undefine",
        undefine::cmd_undefine,
        "forget a domain",
        "Deletes a domain's definition. If it runs, it is gone when it stops.",
        &[
            DOMAIN,
            Opt::flag("managed-save", "delete its saved state too"),
            Opt::string(
                "storage",
                "delete the volumes of these disks too, by target or path, with commas",
            )
            .unwanted(),
            Opt::flag("remove-all-storage", "delete the volumes of all its disks too"),
            Opt::flag("delete-storage-volume-snapshots", "and the snapshots inside those volumes"),
            Opt::flag("wipe-storage", "overwrite those volumes first"),
            Opt::flag("snapshots-metadata", "forget its snapshots too"),
            Opt::flag("checkpoints-metadata", "forget its checkpoints too"),
            Opt::flag("nvram", "delete its firmware variables too"),
            Opt::flag("keep-nvram", "keep its firmware variables"),
            Opt::flag("tpm", "delete its TPM state too"),
            Opt::flag("keep-tpm", "keep its TPM state"),
            Opt::alias("delete-snapshots", "delete-storage-volume-snapshots"),
        ],
    ),
    Entry::new(
        "vcpucount",
        tune::cmd_vcpucount,
        "number of virtual CPUs",
        "Shows how many virtual CPUs a domain has, or one of those numbers.",
        &[
            DOMAIN,
            Opt::flag("maximum", "the upper limit"),
            Opt::flag("active", "those in use now"),
            Opt::flag("live", "what runs now"),
            Opt::flag("config", "what the next start will use"),
            Opt::flag("current", "whichever of the two is in force"),
            Opt::flag("guest", "what the guest itself says"),
        ],
    ),
    Entry::new(
        "vcpuinfo",
        tune::cmd_vcpuinfo,
        "state of the virtual CPUs",
        "Shows where each virtual CPU runs, how it does, and where it may run.",
        &[DOMAIN, Opt::flag("pretty", "the affinity as ranges")],
    ),
    Entry::new(
        "vncdisplay",
        documents::cmd_vncdisplay,
        "a domain's VNC display",
        "Prints the address and number of the VNC display.",
        &[ACTIVE_DOMAIN],
    ),
];
