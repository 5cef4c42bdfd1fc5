//! Who uses a vdisk: one writer, or any number of readers.

use crate::failure::{Failure, Result};
use crate::vdisk::{Access, Vdisk};
use crate::words::{Name, Words};

/// `ref-inc [-r] VDNAME`
pub(crate) fn ref_inc(words: &Words) -> Result<()> {
    let [name] = words.operands(["vdname"])?;
    let mut vdisk = Vdisk::open(&Name::vdisk(name)?, Access::Change)?;
    let busy = || Err(Failure::new(format!("'{name}' is in use")));
    let (writers, readers) = vdisk.document.users()?;
    match words.has('r') && !words.has('w') {
        true if writers != 0 => return busy(),
        true => vdisk.document.set("rocnt", &readers.saturating_add(1).to_string()),
        false if writers != 0 || readers != 0 => return busy(),
        false => vdisk.document.set("rwcnt", "1"),
    }
    vdisk.save()
}

/// `ref-dec VDNAME`
pub(crate) fn ref_dec(words: &Words) -> Result<()> {
    let [name] = words.operands(["vdname"])?;
    let mut vdisk = Vdisk::open(&Name::vdisk(name)?, Access::Change)?;
    match vdisk.document.users()? {
        (0, 0) => return Err(Failure::new(format!("'{name}' is not in use"))),
        (0, readers) => vdisk.document.set("rocnt", &(readers.saturating_sub(1)).to_string()),
        (writers, _) => vdisk.document.set("rwcnt", &(writers.saturating_sub(1)).to_string()),
    }
    vdisk.save()
}
