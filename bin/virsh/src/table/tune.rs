//! Commands that tune domains: limits, weights and pinning.

use virt_cli::{Opt, Values};

use crate::commands::{guest, params, pin};
use crate::options::{CONFIG, CURRENT, DOMAIN, LIVE};
use crate::table::Entry;

/// The limits of disks and throttle groups, between the options that differ.
macro_rules! disk_limits {
    ([$($before:expr),*], [$($after:expr),*]) => {
        &[
            $($before,)*
            Opt::number("total-bytes-sec", "bytes per second, both ways"),
            Opt::number("read-bytes-sec", "bytes per second, reading"),
            Opt::number("write-bytes-sec", "bytes per second, writing"),
            Opt::number("total-iops-sec", "operations per second, both ways"),
            Opt::number("read-iops-sec", "operations per second, reading"),
            Opt::number("write-iops-sec", "operations per second, writing"),
            Opt::number("total-bytes-sec-max", "bytes per second in a burst, both ways"),
            Opt::number("read-bytes-sec-max", "bytes per second in a burst, reading"),
            Opt::number("write-bytes-sec-max", "bytes per second in a burst, writing"),
            Opt::number("total-iops-sec-max", "operations per second in a burst, both ways"),
            Opt::number("read-iops-sec-max", "operations per second in a burst, reading"),
            Opt::number("write-iops-sec-max", "operations per second in a burst, writing"),
            Opt::number("size-iops-sec", "bytes that count as one operation"),
            Opt::number("total-bytes-sec-max-length", "seconds that a burst of bytes may last, both ways"),
            Opt::number("read-bytes-sec-max-length", "seconds that a burst of bytes may last, reading"),
            Opt::number("write-bytes-sec-max-length", "seconds that a burst of bytes may last, writing"),
            Opt::number("total-iops-sec-max-length", "seconds that a burst of operations may last, both ways"),
            Opt::number("read-iops-sec-max-length", "seconds that a burst of operations may last, reading"),
            Opt::number("write-iops-sec-max-length", "seconds that a burst of operations may last, writing"),
            Opt::alias("total_bytes_sec", "total-bytes-sec"),
            Opt::alias("read_bytes_sec", "read-bytes-sec"),
            Opt::alias("write_bytes_sec", "write-bytes-sec"),
            Opt::alias("total_iops_sec", "total-iops-sec"),
            Opt::alias("read_iops_sec", "read-iops-sec"),
            Opt::alias("write_iops_sec", "write-iops-sec"),
            Opt::alias("total_bytes_sec_max", "total-bytes-sec-max"),
            Opt::alias("read_bytes_sec_max", "read-bytes-sec-max"),
            Opt::alias("write_bytes_sec_max", "write-bytes-sec-max"),
            Opt::alias("total_iops_sec_max", "total-iops-sec-max"),
            Opt::alias("read_iops_sec_max", "read-iops-sec-max"),
            Opt::alias("write_iops_sec_max", "write-iops-sec-max"),
            Opt::alias("size_iops_sec", "size-iops-sec"),
            Opt::alias("total_bytes_sec_max_length", "total-bytes-sec-max-length"),
            Opt::alias("read_bytes_sec_max_length", "read-bytes-sec-max-length"),
            Opt::alias("write_bytes_sec_max_length", "write-bytes-sec-max-length"),
            Opt::alias("total_iops_sec_max_length", "total-iops-sec-max-length"),
            Opt::alias("read_iops_sec_max_length", "read-iops-sec-max-length"),
            Opt::alias("write_iops_sec_max_length", "write-iops-sec-max-length"),
            CONFIG,
            LIVE,
            CURRENT,
            $($after,)*
        ]
    };
}

pub(crate) static TUNE_COMMANDS: &[Entry] = &[
    Entry::new(
        "blkdeviotune",
        params::cmd_blkdeviotune,
        "limit the traffic of a disk",
        "Shows or changes how much a disk may be used.",
        disk_limits!(
            [
                DOMAIN,
                Opt::string("device", "the disk: target or path")
                    .needed()
                    .of(Values::Object("disk")),
                Opt::string("group-name", "disks that share the limits")
            ],
            [Opt::alias("group_name", "group-name")]
        ),
    ),
    Entry::new(
        "blkiotune",
        params::cmd_blkiotune,
        "weigh the disk traffic of a domain",
        "Shows or changes the share of the host's disk traffic.",
        &[
            DOMAIN,
            Opt::number("weight", "share of the whole").unwanted(),
            Opt::string("device-weights", "share for each device: /path,weight,...").unwanted(),
            Opt::string(
                "device-read-iops-sec",
                "reads per second for each device: /path,number,...",
            )
            .unwanted(),
            Opt::string(
                "device-write-iops-sec",
                "writes per second for each device: /path,number,...",
            )
            .unwanted(),
            Opt::string(
                "device-read-bytes-sec",
                "bytes read per second for each device: /path,number,...",
            )
            .unwanted(),
            Opt::string(
                "device-write-bytes-sec",
                "bytes written per second for each device: /path,number,...",
            )
            .unwanted(),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
    Entry::new(
        "domblkthreshold",
        guest::cmd_domblkthreshold,
        "be told when a disk fills up",
        "Sets how far a disk may fill before there is an event.",
        &[
            DOMAIN,
            Opt::string("dev", "the disk or its source").needed().of(Values::Object("disk")),
            Opt::number("threshold", "how far, in bytes or with a unit").needed(),
        ],
    ),
    Entry::new(
        "domiftune",
        params::cmd_domiftune,
        "limit the traffic of an interface",
        "Shows or changes how much an interface may be used.",
        &[
            DOMAIN,
            Opt::string("interface", "the interface: target or MAC address")
                .needed()
                .of(Values::Object("nic")),
            Opt::string("inbound", "to the guest: average,peak,burst,floor").unwanted(),
            Opt::string("outbound", "from the guest: average,peak,burst").unwanted(),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
    Entry::new(
        "domlaunchsecinfo",
        params::cmd_domlaunchsecinfo,
        "how a domain was launched securely",
        "Shows the values of the domain's launch security.",
        &[DOMAIN],
    ),
    Entry::new(
        "domthrottlegroupdel",
        params::cmd_domthrottlegroupdel,
        "delete a throttle group",
        "Deletes limits that disks share.",
        &[DOMAIN, Opt::string("group-name", "the group").needed(), CONFIG, LIVE, CURRENT],
    ),
    Entry::new(
        "domthrottlegroupinfo",
        params::cmd_domthrottlegroupinfo,
        "limits of a throttle group",
        "Shows limits that disks share.",
        &[
            DOMAIN,
            Opt::string("group-name", "the group").needed(),
            Opt::flag("inactive", "what the next start will use, not what runs"),
        ],
    ),
    Entry::new(
        "domthrottlegrouplist",
        params::cmd_domthrottlegrouplist,
        "list throttle groups",
        "Lists the throttle groups of a domain.",
        &[DOMAIN, Opt::flag("inactive", "what the next start will use, not what runs")],
    ),
    Entry::new(
        "domthrottlegroupset",
        params::cmd_domthrottlegroupset,
        "add or change a throttle group",
        "Sets limits that disks share.",
        disk_limits!([DOMAIN, Opt::string("group-name", "the group").needed()], []),
    ),
    Entry::new(
        "emulatorpin",
        pin::cmd_emulatorpin,
        "pin the emulator to CPUs",
        "Shows or changes where the emulator's own threads may run.",
        &[
            DOMAIN,
            Opt::string("cpulist", "CPUs of the host, such as 0-3,^2; r for all").unwanted(),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
    Entry::new(
        "guestvcpus",
        params::cmd_guestvcpus,
        "virtual CPUs as the guest has them",
        "Asks the guest about its CPUs, or to use them or not.",
        &[
            DOMAIN,
            Opt::string("cpulist", "which CPUs").unwanted(),
            Opt::flag("enable", "use them"),
            Opt::flag("disable", "use them no more"),
        ],
    ),
    Entry::new(
        "iothreadadd",
        pin::cmd_iothreadadd,
        "add an I/O thread",
        "Gives a domain one more I/O thread.",
        &[DOMAIN, Opt::number("id", "number of the thread").needed(), CONFIG, LIVE, CURRENT],
    ),
    Entry::new(
        "iothreaddel",
        pin::cmd_iothreaddel,
        "take an I/O thread away",
        "Takes an I/O thread from a domain.",
        &[DOMAIN, Opt::number("id", "number of the thread").needed(), CONFIG, LIVE, CURRENT],
    ),
    Entry::new(
        "iothreadinfo",
        pin::cmd_iothreadinfo,
        "I/O threads of a domain",
        "Lists the I/O threads and where they may run.",
        &[DOMAIN, CONFIG, LIVE, CURRENT],
    ),
    Entry::new(
        "iothreadpin",
        pin::cmd_iothreadpin,
        "pin an I/O thread to CPUs",
        "Changes where an I/O thread may run.",
        &[
            DOMAIN,
            Opt::number("iothread", "number of the thread").needed(),
            Opt::string("cpulist", "CPUs of the host, such as 0-3,^2; r for all").needed(),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
    Entry::new(
        "iothreadset",
        pin::cmd_iothreadset,
        "change how an I/O thread works",
        "Changes how long an I/O thread polls and how many workers it has.",
        &[
            DOMAIN,
            Opt::number("id", "number of the thread").needed(),
            Opt::number("poll-max-ns", "longest time to poll, in nanoseconds").unwanted(),
            Opt::number("poll-grow", "factor that the time grows by").unwanted(),
            Opt::number("poll-shrink", "divisor that the time shrinks by").unwanted(),
            Opt::number("thread-pool-min", "fewest workers").unwanted(),
            Opt::number("thread-pool-max", "most workers").unwanted(),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
    Entry::new(
        "memtune",
        params::cmd_memtune,
        "limit the memory of a domain",
        "Shows or changes how much of the host's memory the domain may use.",
        &[
            DOMAIN,
            Opt::number(
                "hard-limit",
                "never more than this, in KiB or with a unit; -1 for no limit",
            )
            .unwanted(),
            Opt::number("soft-limit", "no more than this when memory is short").unwanted(),
            Opt::number("swap-hard-limit", "never more than this, memory and swap together")
                .unwanted(),
            Opt::number("min-guarantee", "at least this much").unwanted(),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
    Entry::new(
        "numatune",
        params::cmd_numatune,
        "spread a domain over NUMA nodes",
        "Shows or changes which of the host's nodes memory comes from.",
        &[
            DOMAIN,
            Opt::string("mode", "strict, preferred, interleave or restrictive")
                .unwanted()
                .of(Values::Words(params::NUMA_MODES)),
            Opt::string("nodeset", "which nodes").unwanted(),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
    Entry::new(
        "perf",
        params::cmd_perf,
        "count performance events",
        "Shows which performance events are counted, or changes it.",
        &[
            DOMAIN,
            Opt::string("enable", "count these events, with commas").unwanted(),
            Opt::string("disable", "do not count these, with commas").unwanted(),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
    Entry::new(
        "schedinfo",
        params::cmd_schedinfo,
        "how a domain is scheduled",
        "Shows or changes what the host's scheduler knows of a domain.",
        &[
            DOMAIN,
            Opt::number("weight", "its weight").unwanted(),
            Opt::number("cap", "its cap").unwanted(),
            CURRENT,
            CONFIG,
            LIVE,
            Opt::argv("set", "name=value").at(),
        ],
    ),
    Entry::new(
        "set-user-password",
        guest::cmd_set_user_password,
        "change a password in the guest",
        "Changes the password of a user inside the guest.",
        &[
            DOMAIN,
            Opt::string("user", "the user").needed(),
            Opt::string("password", "the new password").needed(),
            Opt::flag("encrypted", "it is encrypted already"),
        ],
    ),
    Entry::new(
        "setvcpu",
        pin::cmd_setvcpu,
        "switch single virtual CPUs",
        "Adds or removes single virtual CPUs.",
        &[
            DOMAIN,
            Opt::string("vcpulist", "which ones").needed(),
            Opt::flag("enable", "add them"),
            Opt::flag("disable", "remove them"),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
    Entry::new(
        "vcpupin",
        pin::cmd_vcpupin,
        "pin virtual CPUs to CPUs",
        "Shows or changes where each virtual CPU may run.",
        &[
            DOMAIN,
            Opt::number("vcpu", "number of the virtual CPU").unwanted(),
            Opt::string("cpulist", "CPUs of the host, such as 0-3,^2; r for all").unwanted(),
            CONFIG,
            LIVE,
            CURRENT,
        ],
    ),
];
