//! Documents changed in an editor, and tried again until they are taken or given up.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::termios::{OptionalActions, isatty, tcgetattr, tcsetattr};
use virt_cli::Args;
use virt_error::Code;
use virt_types::{DomainSnapshotRef, api};

use crate::failure::{Done, Failure, fail};
use crate::files::{absolute, read_document};
use crate::lookup::{By, domain, interface, network, nwfilter, pool};
use crate::options::flags_of;
use crate::shell::{Shell, extra, say};

/// A file for the editor; it is deleted when this goes away, unless it is to be kept.
struct Draft {
    path: PathBuf,
    kept: bool,
}

impl Draft {
    fn new(text: &str) -> Result<Self, Failure> {
        /// Limit: names that are tried; each of them being taken already is no accident.
        const NAMES_MAX: u32 = 100;
        let folder = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
        let folder = folder.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        for at in 0..NAMES_MAX {
            let path = folder.join(format!("virsh{}-{at}.xml", std::process::id()));
            let opened =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            match opened {
                Ok(mut file) => {
                    let draft = Self { path, kept: false };
                    return match file.write_all(text.as_bytes()) {
                        Ok(()) => Ok(draft),
                        Err(error) => {
                            let path = draft.path.display();
                            fail(format!(
                                "write: {path}: failed to write to temporary file: {error}"
                            ))
                        }
                    };
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return fail(format!("mkostemps: failed to create temporary file: {error}"));
                }
            }
        }
        fail("mkostemps: failed to create temporary file: File exists")
    }

    fn text(&self) -> Result<String, Failure> {
        read_document(&self.path.display().to_string())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The editor asked for, or the system's.
fn editor() -> String {
    let asked = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok());
    asked.unwrap_or_else(|| {
        let usual = ["sensible-editor", "vi"];
        usual.into_iter().find(|name| on_path(name)).unwrap_or(usual[0]).to_owned()
    })
}

fn on_path(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether a shell would read nothing but one plain word.
fn is_plain(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-/_.:@".contains(&byte))
}

/// Runs the editor on a file and waits for it.
fn run_editor(path: &Path) -> Done {
    let (editor, file) = (editor(), path.display().to_string());
    // Compat: an editor with options or more is a line for the shell, a plain one is run as it is.
    let (mut command, shown) = if is_plain(&editor) && is_plain(&file) {
        if !on_path(&editor) {
            return fail(format!("Cannot find '{editor}' in path: No such file or directory"));
        }
        let mut command = Command::new(&editor);
        command.arg(&file);
        (command, format!("{editor} {file}"))
    } else {
        let line = format!("{editor} {file}");
        let mut command = Command::new("sh");
        command.args(["-c", &line]);
        (command, format!("sh -c '{line}'"))
    };
    let status = command.status();
    let status = status.or_else(|error| {
        let why = error.raw_os_error().map_or_else(|| error.to_string(), virt_error::errno_text);
        fail(format!("Cannot run '{shown}': {why}"))
    })?;
    if status.success() {
        return Ok(());
    }
    use std::os::unix::process::ExitStatusExt as _;
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("fatal signal {signal}"),
        (None, None) => "status".to_owned(),
    };
    fail(format!("internal error: Child process ({shown}) unexpected {how}"))
}

/// Lets a person change a text that is no document, once; what the editor adds at the end goes.
/// `None` says that nothing was changed.
pub(crate) fn edit_text(before: &str) -> Result<Option<String>, Failure> {
    let draft = Draft::new(before)?;
    run_editor(&draft.path)?;
    let edited = draft.text()?;
    let edited = edited.strip_suffix('\n').unwrap_or(&edited);
    Ok((edited != before).then(|| edited.to_owned()))
}

/// What a person wants after a document was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Again,
    GiveUp,
    Force,
    Unchecked,
}

/// Asks what to do, with one key. Without a terminal there is nobody to ask.
fn ask(shell: &mut Shell, can_uncheck: bool) -> Result<Option<Answer>, Failure> {
    let terminal = std::io::stdin();
    if !isatty(&terminal) {
        return Ok(None);
    }
    shell.flush();
    let failed = |_| Failure::new("unable to set up the terminal");
    let before = tcgetattr(&terminal).map_err(failed)?;
    let mut raw = before.clone();
    raw.make_raw();
    tcsetattr(&terminal, OptionalActions::Flush, &raw).map_err(failed)?;
    let answer = read_answer(shell, can_uncheck);
    let _ = tcsetattr(&terminal, OptionalActions::Drain, &before);
    say!(shell, "\r\n");
    shell.flush();
    answer.map(Some)
}

fn read_answer(shell: &mut Shell, can_uncheck: bool) -> Result<Answer, Failure> {
    let keys = if can_uncheck { "y,n,i,f,?" } else { "y,n,f,?" };
    loop {
        say!(shell, "\rFailed. Try again? [{keys}]: ");
        shell.flush();
        let mut key = [0];
        let count = std::io::stdin().lock().read(&mut key).unwrap_or(0);
        match key[0].to_ascii_lowercase() {
            _ if count == 0 => return Ok(Answer::GiveUp),
            b'y' => return Ok(Answer::Again),
            b'n' | 0x03 => return Ok(Answer::GiveUp),
            b'f' => return Ok(Answer::Force),
            b'i' if can_uncheck => return Ok(Answer::Unchecked),
            b'?' => {
                say!(shell, "\r\ny - yes, start editor again\r\nn - no, throw away my changes\r\n");
                if can_uncheck {
                    say!(shell, "i - turn off validation and try to redefine again\r\n");
                }
                say!(shell, "f - force, try to redefine again\r\n? - print this help\r\n");
            }
            _ => {}
        }
    }
}

/// What is edited, and how.
struct Edit<'a, T> {
    /// Gives the document as it is now.
    get: &'a mut dyn FnMut() -> virt_error::Result<String>,
    /// Takes the new document; the flag asks for a check of it against its schema.
    put: &'a mut dyn FnMut(&str, bool) -> Result<T, Failure>,
    /// It can be checked against a schema, and is at first.
    checked: bool,
    /// The document is taken even if nothing was changed.
    even_unchanged: bool,
}

/// Lets a person edit a document until it is taken. `None` says that nothing was changed.
fn edit<T>(shell: &mut Shell, mut what: Edit<'_, T>) -> Result<Option<T>, Failure> {
    let before = (what.get)()?;
    let mut draft = Draft::new(&before)?;
    let mut can_uncheck = what.checked;
    let mut again = true;
    loop {
        if again {
            run_editor(&draft.path)?;
        }
        let edited = draft.text()?;
        if edited == before && !what.even_unchanged {
            return Ok(None);
        }
        let refusal = match unless_changed(&mut what, &before) {
            Ok(()) => match (what.put)(&edited, what.checked) {
                Ok(done) => return Ok(Some(done)),
                Err(refusal) => refusal,
            },
            Err(refusal) => refusal,
        };
        shell.report(&refusal);
        match ask(shell, can_uncheck)? {
            Some(Answer::Again) => again = true,
            Some(Answer::Force) => again = false,
            Some(Answer::Unchecked) => {
                (again, can_uncheck, what.checked) = (false, false, false);
            }
            Some(Answer::GiveUp) => return Err(Failure::silent()),
            None => {
                // Nobody can be asked, so the work is kept where it can be found.
                draft.kept = true;
                return fail("Failed.")
                    .map_err(|failure: Failure| failure.then(kept_in(&draft.path)));
            }
        }
    }
}

fn kept_in(path: &Path) -> String {
    format!("your changes are kept in {}", path.display())
}

/// Refuses to write over what somebody else has changed meanwhile.
fn unless_changed<T>(what: &mut Edit<'_, T>, before: &str) -> Done {
    match (what.get)()? == before {
        true => Ok(()),
        false => fail("The XML configuration was changed by another user."),
    }
}

/// The usual command: one object, its document, and a call that takes another one.
macro_rules! edit_command {
    (
        $shell:ident, $checked:expr, get $get:expr, put $put:expr,
        unchanged $unchanged:expr, edited $edited:expr
    ) => {{
        let edited = edit(
            $shell,
            Edit { get: &mut $get, put: &mut $put, checked: $checked, even_unchanged: false },
        )?;
        let text = match edited {
            None => $unchanged,
            Some(done) => $edited(done),
        };
        extra!($shell, "{}", text);
        Ok(())
    }};
}

/// Lets a person edit metadata, which may be none yet.
pub(crate) fn edit_metadata(
    shell: &mut Shell,
    get: &dyn Fn() -> virt_error::Result<String>,
    put: &dyn Fn(&str) -> virt_error::Result<()>,
) -> Done {
    let edited = edit(
        shell,
        Edit {
            get: &mut || match get() {
                Err(error)
                    if [Code::NoDomainMetadata, Code::NoNetworkMetadata]
                        .iter()
                        .any(|code| error.is(*code)) =>
                {
                    Ok("\n".to_owned())
                }
                other => other,
            },
            put: &mut |xml, _| Ok(put(xml)?),
            checked: false,
            even_unchanged: false,
        },
    )?;
    match edited {
        None => shell.print_extra(format_args!("Metadata not changed")),
        Some(()) => extra!(shell, "Metadata modified"),
    }
    Ok(())
}

pub(crate) fn cmd_edit(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let flags = api::DOMAIN_XML_SECURE | api::DOMAIN_XML_INACTIVE;
    let skip = args.flag("skip-validate");
    edit_command!(
        shell,
        true,
        get || connection.domain_get_xml_desc(&found, flags),
        put |xml: &str, check: bool| {
            let validate = if check && !skip { api::DOMAIN_DEFINE_VALIDATE } else { 0 };
            Ok(connection.domain_define_xml_flags(xml, validate)?)
        },
        unchanged format!("Domain '{}' XML configuration not changed.", found.name),
        edited |done: virt_types::DomainRef| format!("Domain '{}' XML configuration edited.", done.name)
    )
}

/// Compat: a driver that keeps one document only refuses to be asked for the stored one.
fn or_current(
    flags: u32,
    get: impl Fn(u32) -> virt_error::Result<String>,
) -> virt_error::Result<String> {
    match get(flags) {
        Err(error) if error.is(Code::InvalidArg) => get(0),
        other => other,
    }
}

pub(crate) fn cmd_net_edit(shell: &mut Shell, args: &Args) -> Done {
    let found = network(shell, args)?;
    let connection = shell.connection()?;
    edit_command!(
        shell,
        false,
        get || or_current(api::NETWORK_XML_INACTIVE, |flags| {
            connection.network_get_xml_desc(&found, flags)
        }),
        put |xml: &str, _| Ok(connection.network_define_xml(xml)?),
        unchanged format!("Network {} XML configuration not changed.", found.name),
        edited |done: virt_types::NetworkRef| format!("Network {} XML configuration edited.", done.name)
    )
}

pub(crate) fn cmd_pool_edit(shell: &mut Shell, args: &Args) -> Done {
    let found = pool(shell, args)?;
    let connection = shell.connection()?;
    edit_command!(
        shell,
        false,
        get || or_current(api::STORAGE_XML_INACTIVE, |flags| {
            connection.storage_pool_get_xml_desc(&found, flags)
        }),
        put |xml: &str, _| Ok(connection.storage_pool_define_xml(xml, 0)?),
        unchanged format!("Pool {} XML configuration not changed.", found.name),
        edited |done: virt_types::StoragePoolRef| format!("Pool {} XML configuration edited.", done.name)
    )
}

pub(crate) fn cmd_nwfilter_edit(shell: &mut Shell, args: &Args) -> Done {
    let found = nwfilter(shell, args)?;
    let connection = shell.connection()?;
    edit_command!(
        shell,
        false,
        get || connection.nwfilter_get_xml_desc(&found, 0),
        put |xml: &str, _| Ok(connection.nwfilter_define_xml(xml)?),
        unchanged format!("Network filter {} XML configuration not changed.", found.name),
        edited |done: virt_types::NwfilterRef| {
            format!("Network filter {} XML configuration edited.", done.name)
        }
    )
}

pub(crate) fn cmd_iface_edit(shell: &mut Shell, args: &Args) -> Done {
    let found = interface(shell, args, By::ANY)?;
    let connection = shell.connection()?;
    edit_command!(
        shell,
        false,
        get || connection.interface_get_xml_desc(&found, api::INTERFACE_XML_INACTIVE),
        put |xml: &str, _| Ok(connection.interface_define_xml(xml, 0)?),
        unchanged format!("Interface {} XML configuration not changed.", found.name),
        edited |done: virt_types::InterfaceRef| {
            format!("Interface {} XML configuration edited.", done.name)
        }
    )
}

const STATES: &[(&str, u32)] =
    &[("running", api::DOMAIN_SAVE_RUNNING), ("paused", api::DOMAIN_SAVE_PAUSED)];

pub(crate) fn cmd_save_image_edit(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("running", "paused")?;
    let file = args.needed("file")?;
    let path = absolute(file);
    let flags = flags_of(args, STATES);
    let connection = shell.connection()?;
    let secure = api::DOMAIN_SAVE_IMAGE_XML_SECURE;
    let edited = edit(
        shell,
        Edit {
            get: &mut || connection.domain_save_image_get_xml_desc(&path, secure),
            put: &mut |xml, _| Ok(connection.domain_save_image_define_xml(&path, xml, flags)?),
            checked: false,
            even_unchanged: false,
        },
    )?;
    match edited {
        None => extra!(shell, "Saved image {} XML configuration not changed.", file),
        Some(()) => extra!(shell, "State file {} edited.", file),
    }
    Ok(())
}

pub(crate) fn cmd_managedsave_edit(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("running", "paused")?;
    let found = domain(shell, args)?;
    let flags = flags_of(args, STATES);
    let connection = shell.connection()?;
    let secure = api::DOMAIN_SAVE_IMAGE_XML_SECURE;
    let edited = edit(
        shell,
        Edit {
            get: &mut || connection.domain_managed_save_get_xml_desc(&found, secure),
            put: &mut |xml, _| {
                Ok(connection.domain_managed_save_define_xml(&found, Some(xml), flags)?)
            },
            checked: false,
            even_unchanged: false,
        },
    )?;
    match edited {
        None => {
            extra!(
                shell,
                "Managed save image of domain '{}' XML configuration not changed.",
                found.name
            )
        }
        Some(()) => {
            extra!(shell, "Managed save image of Domain '{}' XML configuration edited.", found.name)
        }
    }
    Ok(())
}

pub(crate) fn cmd_checkpoint_edit(shell: &mut Shell, args: &Args) -> Done {
    let owner = domain(shell, args)?;
    let name = args.needed("checkpointname")?;
    let connection = shell.connection()?;
    let found = connection.domain_checkpoint_lookup_by_name(&owner, name, 0)?;
    let secure = api::DOMAIN_CHECKPOINT_XML_SECURE;
    let redefine = api::DOMAIN_CHECKPOINT_CREATE_REDEFINE;
    edit_command!(
        shell,
        false,
        get || connection.domain_checkpoint_get_xml_desc(&found, secure),
        put |xml: &str, _| {
            // Another name would leave two checkpoints where one was.
            if let Ok(root) = crate::xml::parse(xml)
                && let Some(new) = root.child("name").map(|child| child.text())
                && new != name
            {
                let why = fail(format!("Cannot rename checkpoint {name} to {new}"));
                return why.map_err(|why: Failure| why.then(format!("Failed to update {name}")));
            }
            Ok(connection.domain_checkpoint_create_xml(&owner, xml, redefine)?)
        },
        unchanged format!("Checkpoint {name} XML configuration not changed."),
        edited |_| format!("Checkpoint {name} edited.")
    )
}

pub(crate) fn cmd_snapshot_edit(shell: &mut Shell, args: &Args) -> Done {
    let (rename, clone) = (args.flag("rename"), args.flag("clone"));
    args.exclusive("rename", "clone")?;
    let owner = domain(shell, args)?;
    let connection = shell.connection()?;
    let current = args.flag("current");
    let found = match args.text("snapshotname")? {
        Some(name) => connection.domain_snapshot_lookup_by_name(&owner, name, 0)?,
        None if current => connection.domain_snapshot_current(&owner, 0)?,
        None => return fail("--snapshotname or --current is required"),
    };
    let name = found.name.to_string();
    let mut flags = api::DOMAIN_SNAPSHOT_CREATE_REDEFINE;
    if current && args.flag("snapshotname") {
        flags |= api::DOMAIN_SNAPSHOT_CREATE_CURRENT;
    }
    let metadata = api::DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY;
    let edited = edit(
        shell,
        Edit {
            get: &mut || {
                connection.domain_snapshot_get_xml_desc(&found, api::DOMAIN_SNAPSHOT_XML_SECURE)
            },
            put: &mut |xml, _| Ok(connection.domain_snapshot_create_xml(&owner, xml, flags)?),
            checked: false,
            // Compat: making it the current one may be all that changes.
            even_unchanged: flags & api::DOMAIN_SNAPSHOT_CREATE_CURRENT != 0,
        },
    )?;
    let Some(done) = edited else {
        extra!(shell, "Snapshot {} XML configuration not changed.", name);
        return Ok(());
    };
    let delete = |which: &DomainSnapshotRef| {
        connection.domain_snapshot_delete(which, metadata).map_err(|error| {
            let why = Failure::from(error).then(format!("Failed to clean up {}", which.name));
            why.then(format!("Failed to update {name}"))
        })
    };
    if *done.name == *name {
        extra!(shell, "Snapshot {} edited.", name);
    } else if clone {
        extra!(shell, "Snapshot {} cloned to {}.", name, done.name);
    } else if rename {
        delete(&found)?;
        extra!(shell, "Snapshot {} renamed to {}.", name, done.name);
    } else {
        // The name changed, which was not asked for: the copy is taken back.
        delete(&done)?;
        return fail(format!("Must use --rename or --clone to change {name} to {}", done.name));
    }
    Ok(())
}
