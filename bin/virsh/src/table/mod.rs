//! Every command of the shell: name, options, words. What it does is a function in `commands`.

mod devices;
mod domain;
mod guest;
mod host;
mod itself;
mod job;
mod migrate;
mod moment;
mod monitor;
mod network;
mod save;
mod storage;
mod tune;

use virt_cli::{Command, Group, Table};

use crate::shell::Run;

/// One command of this shell.
pub(crate) type Entry = Command<Run>;

pub(crate) static TABLE: Table<Run> = Table {
    groups: &[
        Group {
            title: "Domain Management",
            keyword: "domain",
            commands: &[
                domain::DOMAIN_COMMANDS,
                devices::DEVICE_COMMANDS,
                save::SAVE_COMMANDS,
                job::JOB_COMMANDS,
                migrate::MIGRATE_COMMANDS,
                tune::TUNE_COMMANDS,
                guest::GUEST_COMMANDS,
            ],
        },
        Group {
            title: "Domain Monitoring",
            keyword: "monitor",
            commands: &[monitor::MONITOR_COMMANDS],
        },
        Group { title: "Domain Events", keyword: "events", commands: &[monitor::EVENTS_COMMANDS] },
        Group { title: "Host and Hypervisor", keyword: "host", commands: &[host::HOST_COMMANDS] },
        Group {
            title: "Checkpoint",
            keyword: "checkpoint",
            commands: &[moment::CHECKPOINT_COMMANDS],
        },
        Group {
            title: "Interface",
            keyword: "interface",
            commands: &[network::INTERFACE_COMMANDS],
        },
        Group { title: "Network Filter", keyword: "filter", commands: &[network::FILTER_COMMANDS] },
        Group { title: "Networking", keyword: "network", commands: &[network::NETWORK_COMMANDS] },
        Group { title: "Node Device", keyword: "nodedev", commands: &[host::NODEDEV_COMMANDS] },
        Group { title: "Secret", keyword: "secret", commands: &[network::SECRET_COMMANDS] },
        Group { title: "Snapshot", keyword: "snapshot", commands: &[moment::SNAPSHOT_COMMANDS] },
        Group { title: "Backup", keyword: "backup", commands: &[moment::BACKUP_COMMANDS] },
        Group { title: "Storage Pool", keyword: "pool", commands: &[storage::POOL_COMMANDS] },
        Group { title: "Storage Volume", keyword: "volume", commands: &[storage::VOLUME_COMMANDS] },
        Group { title: "Virsh itself", keyword: "virsh", commands: &[itself::ITSELF] },
    ],
    facts: crate::report::FACTS,
};
