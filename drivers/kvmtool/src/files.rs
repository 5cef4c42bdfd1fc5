//! Disks handed to the user that the tool runs as, and given back.

use std::io::ErrorKind;
use std::path::Path;

use virt_error::{Error, Result};
use virt_guests::owner::{self, Owner};
use virt_model::YesNo;
use virt_model::domain::{Domain, Seclabel, SeclabelType};

use crate::ORIGIN;
use crate::core::Core;

/// How the file owners' security driver is called in documents.
const MODEL: &str = "dac";

fn is_ours(label: &Seclabel) -> bool {
    label.model.as_deref() == Some(MODEL)
}

/// Says in a document that is about to run whom its disks belong to while it does.
pub(crate) fn label(core: &Core, document: &mut Domain) {
    let Some(user) = &core.user else { return };
    let text = Owner { uid: user.uid, gid: user.gid }.to_string();
    document.seclabels.retain(|label| !is_ours(label));
    document.seclabels.push(Seclabel {
        kind: Some(SeclabelType::Dynamic),
        model: Some(MODEL.into()),
        relabel: Some(YesNo::Yes),
        label: Some(text.clone()),
        imagelabel: Some(text),
        ..Seclabel::default()
    });
}

/// Takes that out of a document again.
pub(crate) fn unlabel(document: &mut Domain) {
    document.seclabels.retain(|label| !is_ours(label));
}

/// Who has the disks of a running guest, by its document, and which they are.
fn given(document: &Domain) -> Option<(Owner, Vec<&str>)> {
    let label = document.seclabels.iter().find(|label| is_ours(label))?;
    let owner = Owner::parse(label.imagelabel.as_deref()?)?;
    Some((owner, document.devices.disks.iter().filter_map(|disk| disk.path()).collect()))
}

/// Hands a guest's disks over, all or none; who owned them before is written down beside each.
pub(crate) fn give(document: &Domain) -> Result<()> {
    let Some((owner, paths)) = given(document) else { return Ok(()) };
    for (at, path) in paths.iter().enumerate() {
        if let Err(error) = owner::hand_over(Path::new(path), owner, true) {
            paths.iter().take(at).for_each(|path| take(path, owner));
            let what = format!("unable to set user and group on '{path}'");
            return Err(Error::io(ORIGIN, &error, what));
        }
    }
    Ok(())
}

/// Gives back what a guest had.
pub(crate) fn give_back(document: &Domain) {
    if let Some((owner, paths)) = given(document) {
        paths.into_iter().for_each(|path| take(path, owner));
    }
}

fn take(path: &str, owner: Owner) {
    match owner::give_back(Path::new(path), owner) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            virt_log::warning!("kvmtool", "cannot give '{path}' back: {error}");
        }
        _ => {}
    }
}
