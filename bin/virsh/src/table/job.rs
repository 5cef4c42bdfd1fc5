//! Commands for jobs of domains and their disks, and for QEMU itself.

use virt_cli::{Opt, Values};

use crate::commands::{block, event, job, qemu};
use crate::options::{ACTIVE_DOMAIN, DOMAIN};
use crate::table::Entry;

const DISK: Opt =
    Opt::string("path", "the disk: target or source").needed().of(Values::Object("disk"));
const BANDWIDTH: Opt = Opt::number("bandwidth", "limit in MiB/s, or with a unit").unwanted();
const BYTES: Opt = Opt::flag("bytes", "the limit is in bytes/s");
const WAIT: Opt = Opt::flag("wait", "wait until it has ended or is ready");
const VERBOSE: Opt = Opt::flag("verbose", "show how far it is");
const TIMEOUT: Opt = Opt::number("timeout", "give it up after so many seconds").unwanted();
const ASYNC: Opt = Opt::flag("async", "do not wait until a job given up has ended");
const BASE: Opt = Opt::string("base", "the image to work down to").unwanted();
const NATIVE: Opt = Opt::string("format", "the native format").needed();

pub(crate) static JOB_COMMANDS: &[Entry] = &[
    Entry::new(
        "blockcommit",
        block::cmd_blockcommit,
        "write an overlay back into its base",
        "Moves what an overlay holds down into an image that it is based on.",
        &[
            ACTIVE_DOMAIN,
            DISK,
            BANDWIDTH,
            BASE,
            Opt::flag("shallow", "the base is what top is based on"),
            Opt::string("top", "the overlay to begin with").unwanted(),
            Opt::flag("active", "the overlay in use too, in two phases"),
            Opt::flag("delete", "delete images that are no longer needed"),
            WAIT,
            VERBOSE,
            TIMEOUT,
            Opt::flag("pivot", "go over to the base once ready; implies --active --wait"),
            Opt::flag("keep-overlay", "stay on the overlay once ready; implies --active --wait"),
            ASYNC,
            Opt::flag("keep-relative", "keep names of images relative"),
            BYTES,
        ],
    ),
    Entry::new(
        "blockcopy",
        block::cmd_blockcopy,
        "copy a disk while it is used",
        "Copies a disk, and keeps the copy as new as the disk until the job is ended.",
        &[
            ACTIVE_DOMAIN,
            DISK,
            Opt::string("dest", "where to copy to").unwanted().of(Values::File),
            BANDWIDTH,
            Opt::flag("shallow", "only the uppermost image"),
            Opt::flag("reuse-external", "the destination is there already"),
            Opt::flag("blockdev", "the destination is a block device"),
            WAIT,
            VERBOSE,
            TIMEOUT,
            Opt::flag("pivot", "go over to the copy once ready; implies --wait"),
            Opt::flag("finish", "end once ready, staying on the disk; implies --wait"),
            ASYNC,
            Opt::string("xml", "file that describes the destination").unwanted().of(Values::File),
            Opt::string("format", "format of the destination").unwanted(),
            Opt::number("granularity", "a power of two: how much is copied at a time").unwanted(),
            Opt::number("buf-size", "bytes on their way at most").unwanted(),
            BYTES,
            Opt::flag("transient-job", "the job ends with the domain"),
            Opt::flag("synchronous-writes", "the guest waits until both are written"),
            Opt::flag("print-xml", "print the document, change nothing"),
            Opt::alias("raw", "format=raw"),
        ],
    ),
    Entry::new(
        "blockjob",
        block::cmd_blockjob,
        "look at a job on a disk, or end it",
        "Shows the job on a disk, limits its speed, or ends it.",
        &[
            ACTIVE_DOMAIN,
            DISK,
            Opt::flag("abort", "end the job"),
            Opt::flag("async", "end it without waiting"),
            Opt::flag("pivot", "end a copy or commit by going over"),
            Opt::flag("info", "show the job"),
            BYTES,
            Opt::flag("raw", "show the job in numbers"),
            BANDWIDTH,
        ],
    ),
    Entry::new(
        "blockpull",
        block::cmd_blockpull,
        "take a base into its overlay",
        "Copies what a disk finds in its base into its own image.",
        &[
            ACTIVE_DOMAIN,
            DISK,
            BANDWIDTH,
            BASE,
            WAIT,
            VERBOSE,
            TIMEOUT,
            ASYNC,
            Opt::flag("keep-relative", "keep names of images relative"),
            BYTES,
        ],
    ),
    Entry::new(
        "blockresize",
        block::cmd_blockresize,
        "change the size of a disk",
        "Changes the size of a disk of a running domain.",
        &[
            ACTIVE_DOMAIN,
            DISK,
            Opt::number("size", "the new size in KiB, or with a unit").at(),
            Opt::flag("capacity", "as large as its block device"),
        ],
    ),
    Entry::new(
        "dom-fd-associate",
        qemu::cmd_dom_fd_associate,
        "give a domain open files",
        "Hands open files of this shell to a domain, under a name.",
        &[
            DOMAIN,
            Opt::string("name", "name of the group of files").needed(),
            Opt::string("pass-fds", "their numbers, with commas").needed(),
            Opt::flag("seclabel-writable", "label them for writing"),
            Opt::flag("seclabel-restore", "restore their labels afterwards"),
        ],
    ),
    Entry::new(
        "domdisplay-reload",
        qemu::cmd_domdisplay_reload,
        "read certificates of displays again",
        "Lets a domain read the certificates of its displays again.",
        &[ACTIVE_DOMAIN, Opt::number("type", "number of the kind of display")],
    ),
    Entry::new(
        "domjobabort",
        job::cmd_domjobabort,
        "give up the job of a domain",
        "Ends the job that runs on a domain.",
        &[ACTIVE_DOMAIN, Opt::flag("postcopy", "stop a migration in its second phase")],
    ),
    Entry::new(
        "domjobinfo",
        job::cmd_domjobinfo,
        "how far the job of a domain is",
        "Shows the job that runs on a domain, or that has ended.",
        &[
            DOMAIN,
            Opt::flag("completed", "the job that ended last"),
            Opt::flag("keep-completed", "and do not forget it"),
            Opt::flag("anystats", "whatever became of it"),
            Opt::flag("rawstats", "as the driver names it"),
        ],
    ),
    Entry::new(
        "domsetlaunchsecstate",
        qemu::cmd_domsetlaunchsecstate,
        "give a guest its launch secret",
        "Puts a secret into a guest whose memory is encrypted.",
        &[
            ACTIVE_DOMAIN,
            Opt::string("secrethdr", "file with the secret's header").of(Values::File),
            Opt::string("secret", "file with the secret").of(Values::File),
            Opt::number("set-address", "where it goes in memory").unwanted(),
        ],
    ),
    Entry::new(
        "domxml-from-native",
        qemu::cmd_domxml_from_native,
        "a native configuration as a document",
        "Turns the configuration of another tool into a document.",
        &[NATIVE, Opt::string("config", "file with the configuration").needed().of(Values::File)],
    ),
    Entry::new(
        "domxml-to-native",
        qemu::cmd_domxml_to_native,
        "a document as a native configuration",
        "Turns a document into the configuration of another tool.",
        &[
            NATIVE,
            Opt::string("domain", "a domain whose document it is").of(Values::Object("domain")),
            Opt::string("xml", "file with the document").unwanted().of(Values::File),
        ],
    ),
    Entry::new(
        "lxc-enter-namespace",
        qemu::cmd_lxc_enter_namespace,
        "run a program in a container",
        "Runs a program within the namespaces of a container.",
        &[
            ACTIVE_DOMAIN,
            Opt::flag("noseclabel", "without its security label"),
            Opt { required: true, ..Opt::argv("cmd", "the program and its arguments").at() },
        ],
    ),
    Entry::new(
        "qemu-agent-command",
        qemu::cmd_qemu_agent_command,
        "talk to a guest's agent",
        "Sends a command to the agent in a guest and prints its answer.",
        &[
            ACTIVE_DOMAIN,
            Opt::number("timeout", "seconds to wait for the answer"),
            Opt::flag("async", "do not wait for it"),
            Opt::flag("block", "wait for it without end"),
            Opt::flag("pretty", "one member a line"),
            Opt { required: true, ..Opt::argv("cmd", "the command").at() },
        ],
    ),
    Entry::new(
        "qemu-attach",
        qemu::cmd_qemu_attach,
        "take over a QEMU",
        "Makes a domain of a QEMU that runs already.",
        &[Opt::string("pid", "its process").needed()],
    ),
    Entry::new(
        "qemu-monitor-command",
        qemu::cmd_qemu_monitor_command,
        "talk to QEMU",
        "Sends a command to the monitor of a QEMU and prints its answer.",
        &[
            ACTIVE_DOMAIN,
            Opt::flag("hmp", "the command is one for people"),
            Opt::flag("pretty", "one member a line"),
            Opt::flag("return-value", "only what the command returned"),
            Opt::string("pass-fds", "numbers of files to hand over, with commas"),
            Opt { required: true, ..Opt::argv("cmd", "the command").at() },
        ],
    ),
    Entry::new(
        "qemu-monitor-event",
        event::cmd_qemu_monitor_event,
        "wait for events of QEMU",
        "Prints what the monitors of QEMUs report.",
        &[
            Opt::string("domain", "only of this domain").unwanted().of(Values::Object("domain")),
            Opt::string("event", "only events of this name").unwanted(),
            Opt::flag("pretty", "one member a line"),
            Opt::flag("loop", "wait for more than one"),
            Opt::number("timeout", "give up after so many seconds").unwanted(),
            Opt::flag("regex", "the name is a regular expression"),
            Opt::flag("no-case", "the case of the name does not matter"),
            Opt::flag("timestamp", "with the time of each"),
        ],
    ),
];
