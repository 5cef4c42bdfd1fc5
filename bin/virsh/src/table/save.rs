//! Commands that save, restore and dump domains.

use virt_cli::{Opt, Values};

use crate::commands::{edit, save};
use crate::options::{ACTIVE_DOMAIN, DOMAIN, FILE, WRAP, XPATH};
use crate::table::Entry;

const SAVED: Opt = Opt::string("file", "file with the saved state").needed().of(Values::File);
const NEW_XML: Opt = Opt::string("xml", "file with the new document").needed().of(Values::File);
const OTHER_XML: Opt =
    Opt::string("xml", "file with a document to save instead").unwanted().of(Values::File);
const CHANNELS: Opt = Opt::number("parallel-channels", "how many channels work side by side");
const CACHE: Opt = Opt::flag("bypass-cache", "do not fill the host's cache");
const RUNNING: Opt = Opt::flag("running", "it is to run once restored");
const PAUSED: Opt = Opt::flag("paused", "it is to be paused once restored");
const SECRETS: Opt = Opt::flag("security-info", "with secrets");
const VERBOSE: Opt = Opt::flag("verbose", "show how far it is");

pub(crate) static SAVE_COMMANDS: &[Entry] = &[
    Entry::new(
        "managedsave-edit",
        edit::cmd_managedsave_edit,
        "edit the document of a managed save",
        "Lets you change the document that goes with a managed save, in an editor.",
        &[DOMAIN, RUNNING, PAUSED],
    ),
    Entry::new(
        "save-image-edit",
        edit::cmd_save_image_edit,
        "edit the document in a saved state",
        "Lets you change the document in a file that a domain was saved to, in an editor.",
        &[SAVED, RUNNING, PAUSED],
    ),
    Entry::new(
        "edit",
        edit::cmd_edit,
        "edit the document of a domain",
        "Lets you change the document of a domain in an editor.",
        &[DOMAIN, Opt::flag("skip-validate", "do not check it against its schema")],
    ),
    Entry::new(
        "dump",
        save::cmd_dump,
        "write a domain's memory to a file",
        "Writes the memory of a domain to a file, for analysis.",
        &[
            ACTIVE_DOMAIN,
            Opt::string("file", "where to write").needed().of(Values::File),
            Opt::flag("live", "do not pause it meanwhile"),
            Opt::flag("crash", "stop it as crashed afterwards"),
            CACHE,
            Opt::flag("reset", "reset it afterwards"),
            VERBOSE,
            Opt::flag("memory-only", "only memory and registers"),
            Opt::string("format", "kdump-zlib, kdump-lzo, kdump-snappy, win-dmp or elf")
                .unwanted()
                .of(Values::Words(&["kdump-zlib", "kdump-lzo", "kdump-snappy", "win-dmp", "elf"])),
        ],
    ),
    Entry::new(
        "managedsave",
        save::cmd_managedsave,
        "save a domain where its next start finds it",
        "Saves the state of a domain and stops it; its next start goes on from there.",
        &[ACTIVE_DOMAIN, CACHE, RUNNING, PAUSED, VERBOSE],
    ),
    Entry::new(
        "managedsave-define",
        save::cmd_managedsave_define,
        "change the document of a managed save",
        "Replaces the document that goes with a managed save.",
        &[DOMAIN, NEW_XML, RUNNING, PAUSED],
    ),
    Entry::new(
        "managedsave-dumpxml",
        save::cmd_managedsave_dumpxml,
        "document of a managed save",
        "Prints the document that goes with a managed save, or a part of it.",
        &[DOMAIN, SECRETS, XPATH, WRAP],
    ),
    Entry::new(
        "managedsave-remove",
        save::cmd_managedsave_remove,
        "throw a managed save away",
        "Deletes the state that the next start would go on from.",
        &[DOMAIN],
    ),
    Entry::new(
        "restore",
        save::cmd_restore,
        "restore a domain from a file",
        "Lets a domain go on from a state that was saved to a file.",
        &[
            FILE,
            CACHE,
            CHANNELS,
            OTHER_XML,
            RUNNING,
            PAUSED,
            Opt::flag("reset-nvram", "begin with fresh firmware variables"),
        ],
    ),
    Entry::new(
        "save",
        save::cmd_save,
        "save a domain to a file",
        "Saves the state of a domain to a file and stops it.",
        &[
            ACTIVE_DOMAIN,
            Opt::string("file", "where to save").needed().of(Values::File),
            CACHE,
            CHANNELS,
            Opt::string("image-format", "format of the file"),
            OTHER_XML,
            RUNNING,
            PAUSED,
            VERBOSE,
        ],
    ),
    Entry::new(
        "save-image-define",
        save::cmd_save_image_define,
        "change the document in a saved state",
        "Replaces the document in a file that a domain was saved to.",
        &[SAVED, NEW_XML, RUNNING, PAUSED],
    ),
    Entry::new(
        "save-image-dumpxml",
        save::cmd_save_image_dumpxml,
        "document in a saved state",
        "Prints the document in a file that a domain was saved to, or a part of it.",
        &[SAVED, SECRETS, XPATH, WRAP],
    ),
];
