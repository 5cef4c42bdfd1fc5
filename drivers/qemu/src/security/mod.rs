//! Whom emulators run as, and which files are theirs while they run.
//!
//! Only the system's daemon, run by root, gives anything away; a user's own daemon starts emulators
//! as itself and leaves all files alone. The live document says what was done, in its `<seclabel>`,
//! and so does the status file: whoever finds the guest again can take it back.

mod files;
mod reach;

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use virt_error::{Code, Error, Origin, Result};
use virt_host::{Limits, RunAs};
use virt_model::YesNo;
use virt_model::domain::{Domain as Document, Seclabel, SeclabelType};

use crate::config::Config;
use files::Used;
use virt_guests::Accounts;
use virt_guests::owner::{self, Owner};

/// The account that Debian's packages of QEMU and libvirt make, and its group.
const USUAL: &str = "libvirt-qemu";

/// The one security driver there is: file owners.
pub(crate) const MODEL: &str = "dac";

/// A user as the kernel and as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) run_as: RunAs,
}

impl Identity {
    fn new(accounts: &Accounts, uid: u32, gid: u32, limits: Limits) -> Self {
        let groups = accounts.groups(uid, gid);
        Self { name: accounts.user_name(uid), run_as: RunAs { uid, gid, groups, limits } }
    }

    fn owner(&self) -> Owner {
        Owner { uid: self.run_as.uid, gid: self.run_as.gid }
    }

    /// As a label in documents.
    pub(crate) fn label(&self) -> String {
        self.owner().to_string()
    }
}

/// What the driver's configuration comes to on this host.
#[derive(Debug)]
pub(crate) struct Security {
    /// Whom emulators run as; without one, as the daemon's own user.
    usual: Option<Identity>,
    /// Whether files are handed over at all, and their owner remembered.
    dynamic: bool,
    remember: bool,
    /// One file at a time: reading a record and writing it are two steps.
    files: Mutex<()>,
}

impl Security {
    /// What holds for this daemon. Only a privileged one can start programs as somebody else.
    pub(crate) fn new(config: &Config, privileged: bool) -> Result<Self> {
        let usual = if privileged { usual(config, &Accounts::read())? } else { None };
        let dynamic = config.dynamic_ownership;
        Ok(Self { usual, dynamic, remember: config.remember_owner, files: Mutex::default() })
    }

    pub(crate) fn usual(&self) -> Option<&Identity> {
        self.usual.as_ref()
    }

    /// Whom a helper runs as that works on somebody's folder: its owner, unless that is the daemon.
    pub(crate) fn owner_of(&self, folder: &Path) -> Result<Option<RunAs>> {
        let Some(usual) = &self.usual else { return Ok(None) };
        let found = std::fs::metadata(folder).map_err(|error| {
            Error::io(Origin::Qemu, &error, format!("cannot stat file '{}'", folder.display()))
        })?;
        let limits = usual.run_as.limits;
        let owner = || Identity::new(&Accounts::read(), found.uid(), found.gid(), limits).run_as;
        Ok((found.uid() != 0).then(owner))
    }

    /// Says in a document that is about to run whom it runs as, and gives that user.
    pub(crate) fn label(&self, document: &mut Document) -> Result<Option<Identity>> {
        let Some(usual) = &self.usual else { return Ok(None) };
        for label in &document.seclabels {
            let model = label.model.as_deref().unwrap_or("none");
            if model != MODEL && model != "none" {
                let detail = format!("Security driver model '{model}' is not available");
                return Err(Error::new(Code::ConfigUnsupported, Origin::None, detail));
            }
        }
        let ours = |label: &&mut Seclabel| label.model.as_deref() == Some(MODEL);
        let Some(label) = document.seclabels.iter_mut().find(ours) else {
            document.seclabels.push(made_up(usual));
            return Ok(Some(usual.clone()));
        };
        match label.kind {
            Some(SeclabelType::None) => Ok(Some(usual.clone())),
            Some(SeclabelType::Static) => {
                let text = label.label.clone().unwrap_or_default();
                let accounts = Accounts::read();
                let Owner { uid, gid } = owner(&accounts, &text)?;
                if label.relabel == Some(YesNo::Yes) {
                    label.imagelabel = Some(text);
                }
                Ok(Some(Identity::new(&accounts, uid, gid, usual.run_as.limits)))
            }
            Some(SeclabelType::Dynamic) | None => {
                let baselabel = label.baselabel.take();
                *label = Seclabel { baselabel, ..made_up(usual) };
                Ok(Some(usual.clone()))
            }
        }
    }

    /// Hands a guest's files to its user, all or none. They are taken back when the result is
    /// dropped, unless the guest keeps them.
    pub(crate) fn claim<'a>(
        &'a self,
        document: &'a Document,
        whom: Option<&Identity>,
    ) -> Result<Claim<'a>> {
        let mut claim = Claim { security: self, files: Vec::new() };
        let Some(whom) = whom else { return Ok(claim) };
        for file in files::used(document, self.image_owner(document))? {
            if file.made {
                make(file.path)?;
            }
            reach::check(Path::new(file.path), whom)?;
            if self.hand_over(&file)? {
                claim.files.push(file);
            }
        }
        Ok(claim)
    }

    /// Takes back what an ended guest had.
    pub(crate) fn release(&self, document: &Document) {
        if self.usual.is_none() {
            return;
        }
        // A label that names nobody any more owns no files.
        for file in files::used(document, self.image_owner(document)).unwrap_or_default() {
            self.give_back(&file);
        }
    }

    /// Who has the files of a running guest, by its live document.
    fn image_owner(&self, document: &Document) -> Option<Owner> {
        let ours = document.seclabels.iter().find(|label| label.model.as_deref() == Some(MODEL));
        let label = ours?.imagelabel.as_deref()?;
        owner(&Accounts::read(), label).ok()
    }

    /// Whether there was something to hand over.
    fn hand_over(&self, file: &Used<'_>) -> Result<bool> {
        let (Some(owner), true) = (file.owner, self.dynamic) else { return Ok(false) };
        let path = Path::new(file.path);
        let _one = self.one_file();
        match owner::hand_over(path, owner, self.remember && !file.shared) {
            Ok(()) => Ok(true),
            // Whoever opens it says so.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                Err(crate::guest::invalid_operation(format!(
                    "Setting different DAC user or group on {} which is already in use",
                    file.path
                )))
            }
            Err(error) => Err(not_given(path, owner, &error)),
        }
    }

    fn give_back(&self, file: &Used<'_>) {
        let (Some(owner), true, false) = (file.owner, self.dynamic, file.shared) else { return };
        let _one = self.one_file();
        match owner::give_back(Path::new(file.path), owner) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                virt_log::warning!("qemu", "cannot give '{}' back: {error}", file.path);
            }
            _ => {}
        }
    }

    fn one_file(&self) -> MutexGuard<'_, ()> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Files that a guest which is being started has.
#[derive(Debug)]
#[must_use = "the files are taken back when this is dropped"]
pub(crate) struct Claim<'a> {
    security: &'a Security,
    files: Vec<Used<'a>>,
}

impl Claim<'_> {
    /// The guest runs, and has them until [`Security::release`].
    pub(crate) fn keep(mut self) {
        self.files.clear();
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        for file in &self.files {
            self.security.give_back(file);
        }
    }
}

/// The label that a live document says its process has.
pub(crate) fn label_of(document: &Document) -> Option<&str> {
    let mut labels = document.seclabels.iter();
    labels.find(|label| label.model.as_deref() == Some(MODEL))?.label.as_deref()
}

/// Gives a directory or file of the driver's own to a guest's user.
pub(crate) fn give(path: &Path, whom: Option<&Identity>) -> Result<()> {
    let Some(owner) = whom.map(Identity::owner) else { return Ok(()) };
    std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid))
        .map_err(|error| not_given(path, owner, &error))
}

/// Refuses a folder of the driver's own that a guest's user cannot get to.
pub(crate) fn check_reach(path: &Path, whom: Option<&Identity>) -> Result<()> {
    whom.map_or(Ok(()), |whom| reach::check(path, whom))
}

fn not_given(path: &Path, owner: Owner, error: &std::io::Error) -> Error {
    let Owner { uid, gid } = owner;
    let what = format!("unable to set user and group to '{uid}:{gid}' on '{}'", path.display());
    Error::io(Origin::Qemu, error, what)
}

/// Makes a file that the emulator could not make itself, being nobody in the folder.
fn make(path: &str) -> Result<()> {
    let options =
        std::fs::File::options().write(true).create(true).truncate(false).mode(0o600).open(path);
    let what = || format!("Unable to open file: {path}");
    options.map(drop).map_err(|error| Error::io(Origin::Qemu, &error, what()))
}

/// The label of a guest that brings none of its own.
fn made_up(whom: &Identity) -> Seclabel {
    Seclabel {
        kind: Some(SeclabelType::Dynamic),
        model: Some(MODEL.into()),
        relabel: Some(YesNo::Yes),
        label: Some(whom.label()),
        imagelabel: Some(whom.label()),
        baselabel: None,
    }
}

/// User and group of a label: two names or numbers.
fn owner(accounts: &Accounts, label: &str) -> Result<Owner> {
    let (user, group) = label.split_once(':').ok_or_else(|| {
        let detail = format!("Failed to parse uid and gid from '{label}'");
        Error::new(Code::InvalidArg, Origin::None, detail)
    })?;
    Ok(Owner { uid: accounts.user(user)?, gid: accounts.group(group)? })
}

/// Whom emulators run as by configuration, or by what this host has.
fn usual(config: &Config, accounts: &Accounts) -> Result<Option<Identity>> {
    let uid = match &config.user {
        Some(user) => accounts.user(user)?,
        None => match accounts.user_named(USUAL) {
            Some(uid) => uid,
            None => {
                virt_log::warning!(
                    "qemu",
                    "there is no user '{USUAL}': emulators run as the daemon's own; 'user' in \
                     qemu.conf names another"
                );
                return Ok(None);
            }
        },
    };
    let gid = match &config.group {
        Some(group) => accounts.group(group)?,
        None => accounts.group_named(USUAL).or(accounts.main_group(uid)).unwrap_or(uid),
    };
    Ok(Some(Identity::new(accounts, uid, gid, config.limits)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_model::ParseFlags;

    fn domain(labels: &str) -> Document {
        let text = format!(
            "<domain type='qemu'><name>a</name><memory>1</memory><os><type>hvm</type></os>{labels}\
             </domain>"
        );
        let tree = virt_xml::parse(&text).expect("well-formed");
        Document::from_tree(&tree, ParseFlags::default()).expect("a domain")
    }

    fn security() -> Security {
        let run_as = RunAs { uid: 64_055, gid: 993, ..RunAs::default() };
        let usual = Some(Identity { name: "virt".into(), run_as });
        Security { usual, dynamic: true, remember: true, files: Mutex::default() }
    }

    /// Label and image label of the live document, and the user.
    fn labelled(labels: &str) -> Result<(Option<String>, Option<String>, u32)> {
        let mut document = domain(labels);
        let whom = security().label(&mut document)?.expect("a user");
        let ours = document.seclabels.iter().find(|label| label.model.as_deref() == Some(MODEL));
        let ours = ours.cloned().unwrap_or_default();
        Ok((ours.label, ours.imagelabel, whom.run_as.uid))
    }

    #[test]
    fn the_live_document_says_whom_it_runs_as() {
        let text = |text: &str| Some(text.to_owned());
        let made = || Ok((text("+64055:+993"), text("+64055:+993"), 64_055));
        assert_eq!(labelled(""), made());
        assert_eq!(labelled("<seclabel type='none' model='none'/>"), made());
        let dynamic = "<seclabel type='dynamic' model='dac' relabel='yes'><label>x:y</label>\
                       <baselabel>b:c</baselabel></seclabel>";
        assert_eq!(labelled(dynamic), made());
        assert_eq!(labelled("<seclabel type='none' model='dac'/>"), Ok((None, None, 64_055)));
        let fixed = |relabel| {
            labelled(&format!(
                "<seclabel type='static' model='dac' relabel='{relabel}'><label>+7:+8</label>\
                 </seclabel>"
            ))
        };
        assert_eq!(fixed("yes"), Ok((text("+7:+8"), text("+7:+8"), 7)));
        assert_eq!(fixed("no"), Ok((text("+7:+8"), None, 7)));
    }

    #[test]
    fn labels_that_cannot_be_honoured_are_refused() {
        for (model, label, message) in [
            ("dac", "bad", "invalid argument: Failed to parse uid and gid from 'bad'"),
            ("dac", "no-such-user:0", "invalid argument: Failed to parse user 'no-such-user'"),
            (
                "selinux",
                "x",
                "unsupported configuration: Security driver model 'selinux' is not available",
            ),
        ] {
            let labels = format!(
                "<seclabel type='static' model='{model}' relabel='no'><label>{label}</label></seclabel>"
            );
            let error = labelled(&labels).map_err(|error| error.message().to_owned());
            assert_eq!(error, Err(message.to_owned()));
        }
    }

    #[test]
    fn a_daemon_without_rights_labels_nothing() {
        let config = Config::read(Path::new("/nonexistent/qemu.conf")).expect("no file");
        let security = Security::new(&config, false).expect("nothing to look up");
        let mut document = domain("");
        assert_eq!(security.label(&mut document), Ok(None));
        assert!(document.seclabels.is_empty());
    }
}
