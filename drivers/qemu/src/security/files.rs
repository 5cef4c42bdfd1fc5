//! The files that a document names and its emulator opens.

use virt_error::Result;
use virt_model::domain::chardev::{ChardevSource, ChardevType};
use virt_model::domain::disk::DiskType;
use virt_model::domain::source::{BackingStore, StorageSource};
use virt_model::domain::{Disk, Domain as Document};
use virt_xml::Element;

use super::{MODEL, owner};
use crate::vdisk;
use virt_guests::Accounts;
use virt_guests::owner::Owner;

/// A file of a guest's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Used<'a> {
    pub(super) path: &'a str,
    /// Who has it while the guest runs; nobody else than before without one.
    pub(super) owner: Option<Owner>,
    /// Compat: what guests may share is handed over but neither remembered nor given back.
    pub(super) shared: bool,
    /// A file that is made where it is not there.
    pub(super) made: bool,
}

/// All of them, with `image` as their owner where the document names no other.
pub(super) fn used(document: &Document, image: Option<Owner>) -> Result<Vec<Used<'_>>> {
    let mut used = Vec::new();
    for disk in &document.devices.disks {
        of_disk(disk, image, &mut used)?;
    }
    let devices = &document.devices;
    // A console repeats the first serial device.
    let sources = devices.serials.iter().map(|device| &device.source);
    let sources = sources.chain(devices.parallels.iter().map(|device| &device.source));
    for source in sources.chain(devices.channels.iter().map(|device| &device.source)) {
        of_chardev(source, image, &mut used)?;
    }
    let os = &document.os;
    let nvram = os.nvram.as_ref().and_then(|nvram| nvram.path.as_ref());
    let boot = [&os.kernel, &os.initrd, &os.dtb].into_iter().flatten();
    used.extend(boot.chain(nvram).map(|path| plain(path, image)));
    Ok(used)
}

fn plain(path: &str, owner: Option<Owner>) -> Used<'_> {
    Used { path, owner, shared: false, made: false }
}

fn of_disk<'a>(disk: &'a Disk, image: Option<Owner>, used: &mut Vec<Used<'a>>) -> Result<()> {
    let mut add = |source: &'a StorageSource, shared| {
        if let (DiskType::File | DiskType::Block, Some(path)) = (source.kind, source.path()) {
            let labels = source.rest.iter().filter(|element| element.name == "seclabel");
            used.push(Used { shared, ..plain(path, by_labels(labels, image)?) });
        }
        Ok(())
    };
    // A vdisk is its server's, which hands the emulator a socket.
    if let Some(source) = disk.source.as_ref().filter(|_| !vdisk::is_vdisk(disk)) {
        add(source, disk.readonly || disk.shareable)?;
    }
    let next = |store: &'a Option<BackingStore>| store.as_ref()?.image.as_deref();
    let mut below = next(&disk.backing_store);
    while let Some(image) = below {
        add(&image.source, true)?;
        below = next(&image.backing_store);
    }
    Ok(())
}

fn of_chardev<'a>(
    source: &'a ChardevSource,
    image: Option<Owner>,
    used: &mut Vec<Used<'a>>,
) -> Result<()> {
    let made = source.kind == ChardevType::File;
    if let (ChardevType::File | ChardevType::Dev | ChardevType::Pipe, Some(path)) =
        (source.kind, &source.path)
    {
        used.push(Used { made, ..plain(path, by_labels(source.seclabels.iter(), image)?) });
    }
    Ok(())
}

/// What a source's own `<seclabel>` says of its owner.
fn by_labels<'a>(
    labels: impl Iterator<Item = &'a Element<'static>>,
    image: Option<Owner>,
) -> Result<Option<Owner>> {
    let mut ours = labels.filter(|label| label.attr("model").is_none_or(|model| model == MODEL));
    let Some(label) = ours.next() else { return Ok(image) };
    match (label.attr("relabel"), label.child("label")) {
        (Some("no"), _) => Ok(None),
        (_, Some(text)) => owner(&Accounts::read(), text.text().trim()).map(Some),
        (_, None) => Ok(image),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_model::ParseFlags;

    #[test]
    fn a_document_says_which_files_are_whose() {
        let text = "<domain type='qemu'><name>a</name><memory>1</memory><os><type>hvm</type>\
            <kernel>/k</kernel></os><devices>\
            <disk type='file'><source file='/own'/><target dev='vda'/></disk>\
            <disk type='file'><source file='/shared'/><target dev='vdb'/><readonly/></disk>\
            <disk type='file'><source file='/left'><seclabel model='dac' relabel='no'/></source>\
            <target dev='vdc'/></disk>\
            <disk type='block'><source dev='/other'><seclabel model='dac'><label>+3:+4</label>\
            </seclabel></source><target dev='vdd'/></disk>\
            <disk type='network'><source protocol='nbd' name='x'><host name='h'/></source>\
            <target dev='vde'/></disk>\
            <serial type='file'><source path='/log'/></serial><serial type='pty'/>\
            </devices></domain>";
        let tree = virt_xml::parse(text).expect("well-formed");
        let document = Document::from_tree(&tree, ParseFlags::default()).expect("a domain");
        let guest = Owner { uid: 1, gid: 2 };
        let found = used(&document, Some(guest)).expect("owners");
        let own = |path| plain(path, Some(guest));
        assert_eq!(
            found,
            [
                own("/own"),
                Used { shared: true, ..own("/shared") },
                plain("/left", None),
                plain("/other", Some(Owner { uid: 3, gid: 4 })),
                Used { made: true, ..own("/log") },
                own("/k"),
            ]
        );
    }
}
