//! Forgetting a domain, and deleting its disks where that is asked for.

use virt_cli::Args;
use virt_driver::Connection;
use virt_types::{DomainRef, StorageVolRef, api};

use crate::commands::lifecycle::is_refusal;
use crate::failure::{Done, During as _, Failure, fail};
use crate::lookup::domain;
use crate::options::flags_of;
use crate::shell::{Shell, extra};
use crate::xml;

const FLAGS: &[(&str, u32)] = &[
    ("managed-save", api::DOMAIN_UNDEFINE_MANAGED_SAVE),
    ("snapshots-metadata", api::DOMAIN_UNDEFINE_SNAPSHOTS_METADATA),
    ("checkpoints-metadata", api::DOMAIN_UNDEFINE_CHECKPOINTS_METADATA),
    ("nvram", api::DOMAIN_UNDEFINE_NVRAM),
    ("keep-nvram", api::DOMAIN_UNDEFINE_KEEP_NVRAM),
    ("tpm", api::DOMAIN_UNDEFINE_TPM),
    ("keep-tpm", api::DOMAIN_UNDEFINE_KEEP_TPM),
];

/// A volume that is to go with the domain.
struct Doomed {
    target: String,
    source: String,
    volume: StorageVolRef,
}

pub(crate) fn cmd_undefine(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("nvram", "keep-nvram")?;
    args.exclusive("tpm", "keep-tpm")?;
    let flags = flags_of(args, FLAGS);
    // Compat: an empty list of volumes is none.
    let storage = args.raw_text("storage").filter(|list| !list.is_empty());
    let everything = args.flag("remove-all-storage");
    args.requires("delete-storage-volume-snapshots", "remove-all-storage")?;
    let deletes = storage.is_some() || everything;
    if args.flag("wipe-storage") && !deletes {
        return fail("'--wipe-storage' requires '--storage <string>' or '--remove-all-storage'");
    }
    let found = domain(shell, args)?;
    let doomed = if deletes { doomed_volumes(shell, &found, storage, everything)? } else { vec![] };
    let connection = shell.connection()?;
    let undefined = match connection.domain_undefine_flags(&found, flags) {
        Err(error) if is_refusal(&error) && flags & api::DOMAIN_UNDEFINE_NVRAM == 0 => {
            undefine_in_steps(&connection, &found, flags)
        }
        other => other.map_err(Failure::from),
    };
    let name = args.needed("domain")?;
    undefined.during(|| format!("Failed to undefine domain '{name}'"))?;
    extra!(shell, "Domain '{}' has been undefined", name);
    delete_volumes(shell, args, &doomed)
}

/// Compat: where a daemon does not know a flag, what it stands for is done by older calls, or not at
/// all where there is none.
fn undefine_in_steps(connection: &Connection, domain: &DomainRef, flags: u32) -> Done {
    if connection.domain_has_managed_save_image(domain, 0).unwrap_or_default() {
        if flags & api::DOMAIN_UNDEFINE_MANAGED_SAVE == 0 {
            return fail("Refusing to undefine while domain managed save image exists");
        }
        connection.domain_managed_save_remove(domain, 0)?;
    }
    let snapshots = connection.domain_list_all_snapshots(domain, 0).unwrap_or_default();
    if !snapshots.is_empty() && domain.id == -1 {
        if flags & api::DOMAIN_UNDEFINE_SNAPSHOTS_METADATA == 0 {
            let count = snapshots.len();
            return fail(format!("Refusing to undefine while {count} snapshots exist"));
        }
        for snapshot in &snapshots {
            let metadata = api::DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY;
            connection.domain_snapshot_delete(snapshot, metadata)?;
        }
    }
    Ok(connection.domain_undefine(domain)?)
}

/// The volumes behind the disks that were named. Compat: those that cannot be deleted are reported
/// and passed over; the domain is undefined all the same.
fn doomed_volumes(
    shell: &mut Shell,
    domain: &DomainRef,
    storage: Option<&str>,
    everything: bool,
) -> Result<Vec<Doomed>, Failure> {
    let connection = shell.connection()?;
    if domain.id != -1 {
        return fail("Storage volume deletion is supported only on stopped domains");
    }
    if storage.is_some() && everything {
        return fail("Specified both --storage and --remove-all-storage");
    }
    let text = connection
        .domain_get_xml_desc(domain, 0)
        .during(|| "Could not retrieve domain XML description")?;
    let document = xml::parse(&text)?;
    let mut wanted: Vec<&str> = storage.map(|list| list.split(',').collect()).unwrap_or_default();
    let mut doomed = Vec::new();
    for disk in xml::disks(&document) {
        let Some(source) = disk.source else { continue };
        let named = wanted.iter().position(|name| *name == disk.target || *name == source);
        match named {
            Some(at) => drop(wanted.remove(at)),
            None if everything => {}
            None => continue,
        }
        let (target, source) = (disk.target, source.to_owned());
        match connection.storage_vol_lookup_by_path(&source) {
            Ok(volume) => doomed.push(Doomed { target, source, volume }),
            Err(_) => shell.error(&format!(
                "Storage volume '{target}'({source}) is not managed by libvirt. Remove it manually."
            )),
        }
    }
    match wanted.first() {
        Some(name) => fail(format!("Volume '{name}' was not found in domain's definition.")),
        None => Ok(doomed),
    }
}

fn delete_volumes(shell: &mut Shell, args: &Args, doomed: &[Doomed]) -> Done {
    let connection = shell.connection()?;
    let mut flags = 0;
    if args.flag("delete-storage-volume-snapshots") {
        flags |= api::STORAGE_VOL_DELETE_WITH_SNAPSHOTS;
    }
    let mut outcome = Ok(());
    for Doomed { target, source, volume } in doomed {
        let shown = format!("volume '{target}'({source})");
        if args.flag("wipe-storage") {
            extra!(shell, "Wiping {} ... ", shown);
            if let Err(error) = connection.storage_vol_wipe(volume, 0) {
                let failure = Failure::from(error)
                    .during(format!("Failed to wipe {shown}! Volume not removed."));
                shell.report(&failure);
                outcome = Err(Failure::silent());
                continue;
            }
        }
        match connection.storage_vol_delete(volume, flags) {
            Ok(()) => extra!(shell, "Volume '{}'({}) removed.", target, source),
            Err(error) => {
                shell.report(
                    &Failure::from(error).during(format!("Failed to remove storage {shown}")),
                );
                outcome = Err(Failure::silent());
            }
        }
    }
    outcome
}
