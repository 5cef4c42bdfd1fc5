//! Forgetting a domain, and deleting its disks where that is asked for.

use virt_cli::Args;
use virt_types::{DomainRef, StorageVolRef, api};

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
    let storage = args.text("storage")?;
    let everything = args.flag("remove-all-storage");
    let deletes = storage.is_some() || everything;
    for option in ["wipe-storage", "delete-storage-volume-snapshots"] {
        if args.flag(option) && !deletes {
            let needs = "'--storage <string>' or '--remove-all-storage'";
            return fail(format!("'--{option}' requires {needs}"));
        }
    }
    let found = domain(shell, args)?;
    let doomed = if deletes { doomed_volumes(shell, &found, storage, everything)? } else { vec![] };
    let undefined = shell.connection()?.domain_undefine_flags(&found, flags);
    undefined.during(|| format!("Failed to undefine domain '{}'", found.name))?;
    extra!(shell, "Domain '{}' has been undefined", found.name);
    delete_volumes(shell, args, &doomed)
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
    for name in wanted {
        shell.error(&format!("Volume '{name}' was not found in domain's definition.\n"));
    }
    Ok(doomed)
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
