//! Volumes of disk servers: those that a domain's disks need, made with it and removed with it.

use virt_driver::Call;
use virt_error::{Code, Error, Result};

use crate::link::ORIGIN;
use crate::manager::Manager;
use crate::message::{Command, Content, Envelope, Item};
use crate::world::Service;

fn is(service: &Service, server: Option<&str>, volume: Option<&str>) -> bool {
    let item = &service.item;
    item.is("vds_volume")
        && item.get("vol_name") == volume
        && (item.get("service_name") == server || item.get("service_name").is_none())
}

/// Makes the volumes that are not there yet, and says which it made.
pub(crate) fn make(manager: &Manager, call: &Call<'_>, wanted: &[Item]) -> Result<Vec<Item>> {
    let mut made = Vec::new();
    for volume in wanted {
        let services = manager.services(call)?;
        let (server, name) = (volume.get("service_name"), volume.get("vol_name"));
        let known = services.iter().find(|service| is(service, server, name));
        let outcome = match known.map(|known| known.item.get("block_dev")) {
            Some(path) if path == volume.get("block_dev") => continue,
            Some(path) => {
                let (name, path) = (name.unwrap_or_default(), path.unwrap_or_default());
                let detail = format!("volume '{name}' exists already, with '{path}' behind it");
                Err(Error::new(Code::OperationFailed, ORIGIN, detail))
            }
            None => {
                let envelope = Envelope::object(volume.clone());
                let command = Command::new("add-vdiskserverdevice").about(envelope);
                manager.change(Some(call), "", command).map(drop)
            }
        };
        if let Err(error) = outcome {
            remove(manager, call, &made);
            return Err(error);
        }
        made.push(volume.clone());
    }
    Ok(made)
}

/// Removes volumes. What cannot be removed stays, and is told to the log.
pub(crate) fn remove(manager: &Manager, call: &Call<'_>, volumes: &[Item]) {
    for volume in volumes {
        let mut item = Item::new("vds_volume");
        item.set("vol_name", volume.get("vol_name"));
        item.set("service_name", volume.get("service_name"));
        let command = Command::new("remove-vdiskserverdevice").about(Envelope::object(item));
        if let Err(error) = manager.change(Some(call), "", command) {
            virt_log::warning!("ldoms", "a volume is left behind: {error}");
        }
    }
}

/// The volumes behind a domain's disks that this driver made: it names them after both.
pub(crate) fn made_for(content: &Content) -> Vec<Item> {
    let ours = content.of("disk").filter(|disk| {
        let name = disk.get("vdisk_name").unwrap_or_default();
        disk.get("vol_name") == Some(&format!("{}-{name}", content.id))
    });
    ours.map(volume_of).collect()
}

/// The volume behind a disk, by name.
pub(crate) fn volume_of(disk: &Item) -> Item {
    let mut volume = Item::new("vds_volume");
    volume.set("vol_name", disk.get("vol_name"));
    volume.set("service_name", disk.get("service_name"));
    volume
}

/// The path behind a disk, where the manager says it.
pub(crate) fn path<'a>(services: &'a [Service], disk: &Item) -> Option<&'a str> {
    let (server, volume) = (disk.get("service_name"), disk.get("vol_name"));
    let found = services.iter().find(|service| is(service, server, volume));
    found.and_then(|found| found.item.get("block_dev"))
}
