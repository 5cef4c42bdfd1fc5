//! The table of commands: what each is called, takes and does.

use crate::commands;
use crate::failure::Result;
use crate::words::Words;

/// One command.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// What follows the name.
    pub(crate) synopsis: &'static str,
    pub(crate) about: &'static str,
    /// In getopt's style.
    pub(crate) letters: &'static str,
    pub(crate) long: &'static [&'static str],
    /// Not listed: meant for programs.
    pub(crate) is_private: bool,
    pub(crate) run: fn(&Words) -> Result<()>,
}

const OUTPUT: &[&str] = &["output"];
const PROGRESS: &[&str] = &["progress"];

const fn command(
    name: &'static str,
    synopsis: &'static str,
    about: &'static str,
    letters: &'static str,
    long: &'static [&'static str],
    run: fn(&Words) -> Result<()>,
) -> Command {
    Command { name, synopsis, about, letters, long, is_private: false, run }
}

const fn private(command: Command) -> Command {
    Command { is_private: true, ..command }
}

/// All commands, in the order of the help.
pub(crate) static COMMANDS: &[Command] = &[
    command(
        "create",
        "-s size [-t type[:opt],[opt]] [-c comment] vdname",
        "Makes a new vdisk of that size (1.5G, 800m). Types: vmdk:sparse (the default),\n\
         vmdk:fixed, vdi:sparse, vdi:fixed, vhd:sparse, vhd:fixed, raw:fixed, qcow2:sparse.",
        "s:t:c:",
        PROGRESS,
        commands::create,
    ),
    command(
        "destroy",
        "[-r] vdname|snapshot",
        "Removes a vdisk (with -r its snapshots, too), or one snapshot, whose data goes into the\n\
         next younger image.",
        "r",
        PROGRESS,
        commands::destroy,
    ),
    command(
        "snapshot",
        "vdname@snapname",
        "Keeps the disk as it is now under a name.",
        "",
        &[],
        commands::snapshot,
    ),
    command(
        "rollback",
        "[-r] snapshot",
        "Goes back to a snapshot: the newest one, or with -r to any, removing those after it.",
        "r",
        &[],
        commands::rollback,
    ),
    command(
        "clone",
        "[-c comment] vdname|snapshot clone_vdname",
        "Makes a vdisk of its own with the same content, type and size.",
        "c:",
        PROGRESS,
        commands::clone,
    ),
    command(
        "move",
        "vdname dir",
        "Puts a vdisk into another directory.",
        "",
        PROGRESS,
        commands::move_vdisk,
    ),
    command(
        "rename",
        "vdname|snapshot vdname|snapshot",
        "Gives a vdisk or a snapshot another name.",
        "",
        &[],
        commands::rename,
    ),
    command(
        "list",
        "[-fp] vdname",
        "Lists the snapshots, oldest first, and the vdisk; with -f the files, with -p in a form\n\
         for programs. --output json tells all of it.",
        "fp",
        OUTPUT,
        commands::list,
    ),
    command(
        "verify",
        "vdname",
        "Succeeds if this is a vdisk whose images all open; says nothing.",
        "",
        OUTPUT,
        commands::verify,
    ),
    command(
        "prop-get",
        "[-l] -p property vdname",
        "Shows a property, or all of them (-p all); with -l whether it can be set.",
        "lp:",
        OUTPUT,
        commands::prop_get,
    ),
    command(
        "prop-set",
        "-p property=value vdname",
        "Sets owner, description or a property of the user's; sets rwcnt or rocnt back to 0.",
        "p:",
        &[],
        commands::prop_set,
    ),
    command(
        "prop-add",
        "-p property=value vdname",
        "Adds a property of the user's; its name has a colon (user:colour).",
        "p:",
        &[],
        commands::prop_add,
    ),
    command(
        "prop-del",
        "-p property vdname",
        "Removes a property of the user's.",
        "p:",
        &[],
        commands::prop_del,
    ),
    command(
        "import",
        "[-fnpqm] [-x type] -d file|zvol|dsk [-t type[:opt]] vdname",
        "Makes a vdisk of an image file or a device. -n only tries, -f lists the files (-p in a\n\
         form for programs), -q shows no progress, -m moves the file where its type stays.",
        "fnpqmx:d:t:",
        PROGRESS,
        commands::import,
    ),
    command(
        "export",
        "-x type[:opt] -d file|zvol|dsk vdname",
        "Writes what the vdisk shows now to an image file (also vmdk:stream) or to a device.",
        "x:d:q",
        PROGRESS,
        commands::export,
    ),
    command(
        "convert",
        "[-t type[:opt]] vdname",
        "Changes the type of a vdisk. With snapshots only with -r, which gives them up.",
        "t:rq",
        PROGRESS,
        commands::convert,
    ),
    command(
        "translate",
        "[-i type[:opt]] -I input_file -x type[:opt] -d output_file",
        "Makes one image file from another.",
        "i:I:x:d:q",
        PROGRESS,
        commands::translate,
    ),
    command("help", "[command]", "Shows this, or the page of one command.", "", &[], |_| Ok(())),
    private(command(
        "ref-inc",
        "[-r|-w] vdname",
        "Notes a writer, or with -r a reader, of the vdisk.",
        "rw",
        &[],
        commands::ref_inc,
    )),
    private(command(
        "serve",
        "[-r] -s socket vdname",
        "Serves a vdisk, or an image, to one client as a network block device, with -r for reading\n\
         only. It is in use for as long. A socket of - is the standard input, which listens already.",
        "rs:",
        &[],
        commands::serve,
    )),
    private(command(
        "ref-dec",
        "vdname",
        "Takes back a note of ref-inc.",
        "",
        &[],
        commands::ref_dec,
    )),
];

pub(crate) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The page of one command.
pub(crate) fn page(command: &Command) -> String {
    let Command { name, synopsis, about, .. } = command;
    format!("Usage:\n\tvdiskadm {name} {synopsis}\n\n{about}\n")
}

/// What there is.
pub(crate) fn overview() -> String {
    let mut text = String::from("Usage:\n\tvdiskadm [-u user] subcommand ...\n");
    for command in COMMANDS.iter().filter(|command| !command.is_private) {
        text.push_str(&format!("\tvdiskadm {} {}\n", command.name, command.synopsis));
    }
    text
}
