//! Commands for snapshots and checkpoints.

use virt_cli::{Opt, Values};

use crate::commands::{backup, checkpoint, edit, snapshot};
use crate::options::{ACTIVE_DOMAIN, DOMAIN, LIVE, PRINT_XML, VALIDATE, WRAP, XPATH};
use crate::table::Entry;

pub(crate) static CHECKPOINT_COMMANDS: &[Entry] = &[
    Entry::new(
        "checkpoint-edit",
        edit::cmd_checkpoint_edit,
        "edit the document of a checkpoint",
        "Lets you change the document of a checkpoint in an editor.",
        &[
            DOMAIN,
            Opt::string("checkpointname", "the checkpoint")
                .needed()
                .of(Values::Object("checkpoint")),
        ],
    ),
    Entry::new(
        "checkpoint-create",
        checkpoint::cmd_checkpoint_create,
        "make a checkpoint from a document",
        "Begins to track changed blocks from now on.",
        &[
            DOMAIN,
            Opt::string("xmlfile", "file with the document").at().of(Values::File),
            Opt::flag("redefine", "it exists already: make the daemon know it again"),
            Opt::flag("redefine-validate", "and check that it fits"),
            Opt::flag("quiesce", "let the guest write its caches first"),
        ],
    ),
    Entry::new(
        "checkpoint-create-as",
        checkpoint::cmd_checkpoint_create_as,
        "make a checkpoint from options",
        "Begins to track changed blocks from now on, as the options say.",
        &[
            DOMAIN,
            Opt::string("name", "its name").unwanted(),
            Opt::string("description", "what it is for").unwanted(),
            PRINT_XML,
            Opt::flag("quiesce", "let the guest write its caches first"),
            Opt::argv("diskspec", "how a disk is treated: name[,key=value]...").unwanted(),
        ],
    ),
    Entry::new(
        "checkpoint-delete",
        checkpoint::cmd_checkpoint_delete,
        "delete a checkpoint",
        "Stops tracking what has changed since a checkpoint.",
        &[
            DOMAIN,
            Opt::string("checkpointname", "name of the checkpoint")
                .needed()
                .of(Values::Object("checkpoint")),
            Opt::flag("children", "and everything below"),
            Opt::flag("children-only", "only what is below"),
            Opt::flag("metadata", "only forget it, leave the data"),
        ],
    ),
    Entry::new(
        "checkpoint-dumpxml",
        checkpoint::cmd_checkpoint_dumpxml,
        "a checkpoint's XML document",
        "Prints the document of a checkpoint.",
        &[
            DOMAIN,
            Opt::string("checkpointname", "name of the checkpoint")
                .needed()
                .of(Values::Object("checkpoint")),
            Opt::flag("security-info", "with secrets"),
            Opt::flag("no-domain", "without the domain's document"),
            Opt::flag("size", "with what has changed since, in bytes"),
            XPATH,
            WRAP,
        ],
    ),
    Entry::new(
        "checkpoint-info",
        checkpoint::cmd_checkpoint_info,
        "facts about a checkpoint",
        "Shows where a checkpoint stands among the others.",
        &[
            DOMAIN,
            Opt::string("checkpointname", "name of the checkpoint")
                .needed()
                .of(Values::Object("checkpoint")),
        ],
    ),
    Entry::new(
        "checkpoint-list",
        checkpoint::cmd_checkpoint_list,
        "a domain's checkpoints",
        "Lists the checkpoints of a domain.",
        &[
            DOMAIN,
            Opt::flag("parent", "with the parent's name"),
            Opt::flag("roots", "only those without a parent"),
            Opt::flag("leaves", "only those without children"),
            Opt::flag("no-leaves", "only those with children"),
            Opt::flag("tree", "as a tree"),
            Opt::string("from", "only below this one").unwanted().of(Values::Object("checkpoint")),
            Opt::flag("descendants", "not only direct children"),
            Opt::flag("name", "only the names"),
            Opt::flag("topological", "parents before children"),
        ],
    ),
    Entry::new(
        "checkpoint-parent",
        checkpoint::cmd_checkpoint_parent,
        "what a checkpoint comes after",
        "Prints the name of the checkpoint before it.",
        &[
            DOMAIN,
            Opt::string("checkpointname", "name of the checkpoint")
                .needed()
                .of(Values::Object("checkpoint")),
        ],
    ),
];

pub(crate) static SNAPSHOT_COMMANDS: &[Entry] = &[
    Entry::new(
        "snapshot-edit",
        edit::cmd_snapshot_edit,
        "edit the document of a snapshot",
        "Lets you change the document of a snapshot in an editor.",
        &[
            DOMAIN,
            Opt::string("snapshotname", "the snapshot").at().of(Values::Object("snapshot")),
            Opt::flag("current", "the current one, or make it that"),
            Opt::flag("rename", "its new name replaces the old"),
            Opt::flag("clone", "its new name makes another snapshot"),
        ],
    ),
    Entry::new(
        "snapshot-create",
        snapshot::cmd_snapshot_create,
        "make a snapshot from a document",
        "Makes a snapshot as a document says.",
        &[
            DOMAIN,
            Opt::string("xmlfile", "file with the document").at().of(Values::File),
            Opt::flag("redefine", "it exists already: make the daemon know it again"),
            Opt::flag("current", "with redefine: make it the current one"),
            Opt::flag("no-metadata", "make it and forget it"),
            Opt::flag("halt", "stop the domain afterwards"),
            Opt::flag("disk-only", "only the disks, not the memory"),
            Opt::flag("reuse-external", "write into files that are there"),
            Opt::flag("quiesce", "let the guest write its caches first"),
            Opt::flag("atomic", "all or nothing"),
            LIVE,
            VALIDATE,
        ],
    ),
    Entry::new(
        "snapshot-create-as",
        snapshot::cmd_snapshot_create_as,
        "make a snapshot from options",
        "Makes a snapshot as the options say.",
        &[
            DOMAIN,
            Opt::string("name", "its name").unwanted(),
            Opt::string("description", "what it is for").unwanted(),
            PRINT_XML,
            Opt::flag("no-metadata", "make it and forget it"),
            Opt::flag("halt", "stop the domain afterwards"),
            Opt::flag("disk-only", "only the disks, not the memory"),
            Opt::flag("reuse-external", "write into files that are there"),
            Opt::flag("quiesce", "let the guest write its caches first"),
            Opt::flag("atomic", "all or nothing"),
            LIVE,
            VALIDATE,
            Opt::string("memspec", "where the memory goes: [file=]name[,snapshot=type]"),
            Opt::argv("diskspec", "how a disk is treated: name[,key=value]...").unwanted(),
        ],
    ),
    Entry::new(
        "snapshot-current",
        snapshot::cmd_snapshot_current,
        "a domain's current snapshot",
        "Shows which snapshot the domain stands on, or changes that.",
        &[
            DOMAIN,
            Opt::flag("name", "only its name"),
            Opt::flag("security-info", "with secrets"),
            Opt::string("snapshotname", "make this one current instead")
                .at()
                .of(Values::Object("snapshot")),
        ],
    ),
    Entry::new(
        "snapshot-delete",
        snapshot::cmd_snapshot_delete,
        "delete a snapshot",
        "Deletes a snapshot and what it keeps.",
        &[
            DOMAIN,
            Opt::string("snapshotname", "name of the snapshot").at().of(Values::Object("snapshot")),
            Opt::flag("current", "the current one"),
            Opt::flag("children", "and everything below"),
            Opt::flag("children-only", "only what is below"),
            Opt::flag("metadata", "only forget it, leave the data"),
        ],
    ),
    Entry::new(
        "snapshot-dumpxml",
        snapshot::cmd_snapshot_dumpxml,
        "a snapshot's XML document",
        "Prints the document of a snapshot.",
        &[
            DOMAIN,
            Opt::string("snapshotname", "name of the snapshot")
                .needed()
                .of(Values::Object("snapshot")),
            Opt::flag("security-info", "with secrets"),
            XPATH,
            WRAP,
        ],
    ),
    Entry::new(
        "snapshot-info",
        snapshot::cmd_snapshot_info,
        "facts about a snapshot",
        "Shows what a snapshot is and where it stands among the others.",
        &[
            DOMAIN,
            Opt::string("snapshotname", "name of the snapshot").at().of(Values::Object("snapshot")),
            Opt::flag("current", "the current one"),
        ],
    ),
    Entry::new(
        "snapshot-list",
        snapshot::cmd_snapshot_list,
        "a domain's snapshots",
        "Lists the snapshots of a domain.",
        &[
            DOMAIN,
            Opt::flag("parent", "with the parent's name"),
            Opt::flag("roots", "only those without a parent"),
            Opt::flag("leaves", "only those without children"),
            Opt::flag("no-leaves", "only those with children"),
            Opt::flag("metadata", "only those known to the daemon"),
            Opt::flag("no-metadata", "only those not known to the daemon"),
            Opt::flag("inactive", "only those of a domain that was off"),
            Opt::flag("active", "only those of a domain that ran"),
            Opt::flag("disk-only", "only those of disks alone"),
            Opt::flag("internal", "only those inside the images"),
            Opt::flag("external", "only those in files of their own"),
            Opt::flag("tree", "as a tree"),
            Opt::string("from", "only below this one").unwanted().of(Values::Object("snapshot")),
            Opt::flag("current", "only below the current one"),
            Opt::flag("descendants", "not only direct children"),
            Opt::flag("name", "only the names"),
            Opt::flag("topological", "parents before children"),
        ],
    ),
    Entry::new(
        "snapshot-parent",
        snapshot::cmd_snapshot_parent,
        "what a snapshot comes after",
        "Prints the name of the snapshot before it.",
        &[
            DOMAIN,
            Opt::string("snapshotname", "name of the snapshot").at().of(Values::Object("snapshot")),
            Opt::flag("current", "the current one"),
        ],
    ),
    Entry::new(
        "snapshot-revert",
        snapshot::cmd_snapshot_revert,
        "go back to a snapshot",
        "Makes the domain what it was when the snapshot was made.",
        &[
            DOMAIN,
            Opt::string("snapshotname", "name of the snapshot").at().of(Values::Object("snapshot")),
            Opt::flag("current", "the current one"),
            Opt::flag("running", "let it run afterwards"),
            Opt::flag("paused", "leave it paused afterwards"),
            Opt::flag("force", "even where it is risky"),
            Opt::flag("reset-nvram", "begin with fresh firmware variables"),
        ],
    ),
];

pub(crate) static BACKUP_COMMANDS: &[Entry] = &[
    Entry::new(
        "backup-begin",
        backup::cmd_backup_begin,
        "back up disks while they are used",
        "Starts a backup of the disks of a running domain.",
        &[
            ACTIVE_DOMAIN,
            Opt::string("backupxml", "file that says how").at().of(Values::File),
            Opt::string("checkpointxml", "file with a checkpoint to make beside it")
                .unwanted()
                .of(Values::File),
            Opt::flag("reuse-external", "the destinations are there already"),
        ],
    ),
    Entry::new(
        "backup-dumpxml",
        backup::cmd_backup_dumpxml,
        "document of a backup",
        "Prints the document of the backup that runs, or a part of it.",
        &[ACTIVE_DOMAIN, XPATH, WRAP],
    ),
];
