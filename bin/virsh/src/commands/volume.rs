//! Storage volumes.

use virt_cli::{Args, Cell, parse_scaled};
use virt_types::api;
use virt_xml::{Element, to_string};

use crate::commands::info::word;
use crate::document::{check_path, print_document};
use crate::failure::{Done, During as _, Failure, fail};
use crate::files::read_document;
use crate::lookup::{By, pool, pool_by, volume, volume_in};
use crate::options::flags_of;
use crate::report::cells;
use crate::shell::{Shell, extra, say};
use crate::xml;

const KINDS: &[&str] = &["file", "block", "dir", "network", "net-dir", "ploop"];

fn kind_word(kind: i8) -> &'static str {
    word(KINDS, i32::from(kind), "unknown")
}

pub(crate) fn cmd_vol_list(shell: &mut Shell, args: &Args) -> Done {
    let found = pool(shell, args)?;
    let connection = shell.connection()?;
    let mut volumes =
        connection.storage_pool_list_all_volumes(&found, 0).during(|| "Failed to list volumes")?;
    volumes.sort_by_cached_key(|volume| volume.name.to_ascii_lowercase());
    let details = args.flag("details");
    let mut header = vec![("Name", "name"), ("Path", "path")];
    if details {
        header.extend([
            ("Type", "type"),
            ("Capacity", "capacity_bytes"),
            ("Allocation", "allocation_bytes"),
        ]);
    }
    let mut list = shell.listing(&header);
    for volume in &volumes {
        let path = cells::or_dash(connection.storage_vol_get_path(volume).ok());
        let mut row = vec![Cell::word(&volume.name), path];
        if details {
            row.extend(match connection.storage_vol_get_info(volume) {
                Ok(info) => [
                    kind_word(info.kind).into(),
                    cells::size(info.capacity),
                    cells::size(info.allocation),
                ],
                Err(_) => ["unknown", "-", "-"].map(Cell::none),
            });
        }
        list.row(row);
    }
    shell.print_listing(list);
    Ok(())
}

pub(crate) fn cmd_vol_info(shell: &mut Shell, args: &Args) -> Done {
    let found = volume(shell, args)?;
    let connection = shell.connection()?;
    shell.field("Name", "name", Cell::word(&found.name));
    let physical = args.flag("physical");
    let info = match physical {
        true => connection.storage_vol_get_info_flags(&found, api::STORAGE_VOL_GET_PHYSICAL),
        false => connection.storage_vol_get_info(&found),
    }?;
    let bytes = args.flag("bytes");
    let size = |value: u64| match bytes {
        true => Cell::counted(value, " bytes"),
        false => cells::size(value),
    };
    shell.field("Type", "type", kind_word(info.kind));
    shell.field("Capacity", "capacity_bytes", size(info.capacity));
    match physical {
        true => shell.field("Physical", "physical_bytes", size(info.allocation)),
        false => shell.field("Allocation", "allocation_bytes", size(info.allocation)),
    }
    Ok(())
}

pub(crate) fn cmd_vol_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let found = volume(shell, args)?;
    check_path(args)?;
    let text = shell.connection()?.storage_vol_get_xml_desc(&found, 0)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_vol_key(shell: &mut Shell, args: &Args) -> Done {
    let found = volume(shell, args)?;
    shell.answer("key", Cell::word(&found.key));
    Ok(())
}

pub(crate) fn cmd_vol_path(shell: &mut Shell, args: &Args) -> Done {
    let found = volume(shell, args)?;
    let path = shell.connection()?.storage_vol_get_path(&found)?;
    shell.answer("path", path);
    Ok(())
}

pub(crate) fn cmd_vol_name(shell: &mut Shell, args: &Args) -> Done {
    let found = volume_in(shell, args, "vol", "pool", false)?;
    shell.answer("name", Cell::word(&found.name));
    Ok(())
}

pub(crate) fn cmd_vol_pool(shell: &mut Shell, args: &Args) -> Done {
    let found = volume_in(shell, args, "vol", "pool", false)?;
    let home = shell.connection()?.storage_pool_lookup_by_volume(&found);
    let home = home.during(|| "failed to get parent pool")?;
    match args.flag("uuid") {
        true => shell.answer("uuid", Cell::word(home.uuid)),
        false => shell.answer("name", Cell::word(&home.name)),
    }
    Ok(())
}

/// A size for a volume, in bytes.
fn size(text: &str) -> Result<u64, Failure> {
    parse_scaled(text, 1, u64::MAX).map_err(|detail| {
        let mut failure = Failure::new(format!("Malformed size {text}"));
        failure.lines.extend((!detail.is_empty()).then_some(detail));
        failure
    })
}

pub(crate) fn cmd_vol_create(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, CREATE_FLAGS);
    let found = pool(shell, args)?;
    let file = args.needed("file")?;
    let xml = read_document(file)?;
    let created = shell.connection()?.storage_vol_create_xml(&found, &xml, flags);
    let created = created.during(|| format!("Failed to create vol from {file}"))?;
    extra!(shell, "Vol {} created from {}", created.name, file);
    Ok(())
}

const CREATE_FLAGS: &[(&str, u32)] = &[
    ("prealloc-metadata", api::STORAGE_VOL_CREATE_PREALLOC_METADATA),
    ("validate", api::STORAGE_VOL_CREATE_VALIDATE),
];

pub(crate) fn cmd_vol_create_as(shell: &mut Shell, args: &Args) -> Done {
    let prealloc = api::STORAGE_VOL_CREATE_PREALLOC_METADATA;
    let flags = flags_of(args, &[("prealloc-metadata", prealloc)]);
    let found = pool(shell, args)?;
    let name = args.needed("name")?;
    let capacity = size(args.needed("capacity")?)?;
    // Compat: an empty size is none.
    let allocation = args.raw_text("allocation").filter(|text| !text.is_empty());
    let allocation = allocation.map(size).transpose()?;
    let backing_format = args.text("backing-vol-format")?;
    let leaf = |tag: &'static str, text: String| Element::new(tag).with_text(text);
    let format_of = |format: &str| Element::new("format").with_attr("type", format.to_owned());
    let mut document = Element::new("volume")
        .with_child(leaf("name", name.to_owned()))
        .with_child(leaf("capacity", capacity.to_string()));
    if let Some(allocation) = allocation {
        document = document.with_child(leaf("allocation", allocation.to_string()));
    }
    if let Some(format) = args.text("format")? {
        document = document.with_child(Element::new("target").with_child(format_of(format)));
    }
    if let Some(backing) = args.text("backing-vol")? {
        let path = backing_path(shell, &found, backing)?;
        let mut store = Element::new("backingStore").with_child(leaf("path", path));
        if let Some(format) = backing_format {
            store = store.with_child(format_of(format));
        }
        document = document.with_child(store);
    }
    let xml = to_string(&document);
    if args.flag("print-xml") {
        say!(shell, "{xml}");
        return Ok(());
    }
    let created = shell.connection()?.storage_vol_create_xml(&found, &xml, flags);
    let created = created.during(|| format!("Failed to create vol {name}"))?;
    extra!(shell, "Vol {} created", created.name);
    Ok(())
}

/// The path of a volume to build on: by name in the same pool, by key or by path anywhere.
fn backing_path(
    shell: &mut Shell,
    pool: &virt_types::StoragePoolRef,
    backing: &str,
) -> Result<String, Failure> {
    let connection = shell.connection()?;
    let found = connection
        .storage_vol_lookup_by_name(pool, backing)
        .or_else(|_| connection.storage_vol_lookup_by_key(backing))
        .or_else(|_| connection.storage_vol_lookup_by_path(backing))
        .during(|| format!("failed to get vol '{backing}'"))?;
    Ok(connection.storage_vol_get_path(&found)?)
}

const CLONE_FLAGS: &[(&str, u32)] = &[
    ("prealloc-metadata", api::STORAGE_VOL_CREATE_PREALLOC_METADATA),
    ("reflink", api::STORAGE_VOL_CREATE_REFLINK),
];

pub(crate) fn cmd_vol_create_from(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, CLONE_FLAGS) | flags_of(args, &CREATE_FLAGS[1..]);
    let found = pool_by(shell, args, "pool", By::ANY)?;
    let file = args.needed("file")?;
    let source = volume_in(shell, args, "vol", "inputpool", true)?;
    let xml = read_document(file)?;
    let created = shell.connection()?.storage_vol_create_xml_from(&found, &xml, &source, flags);
    let created = created.during(|| format!("Failed to create vol from {file}"))?;
    extra!(shell, "Vol {} created from input vol {}", created.name, source.name);
    Ok(())
}

pub(crate) fn cmd_vol_clone(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, CLONE_FLAGS);
    let source = volume(shell, args)?;
    let connection = shell.connection()?;
    let home = connection.storage_pool_lookup_by_volume(&source);
    let home = home.during(|| "failed to get parent pool")?;
    let name = args.needed("newname")?;
    let text = connection.storage_vol_get_xml_desc(&source, 0)?;
    let mut document = xml::parse(&text)?.to_static();
    xml::set_child_text(&mut document, "name", name);
    if args.flag("print-xml") {
        // Compat: printed as a foreign document, without a line's end of its own.
        say!(shell, "{}", virt_xml::dump_foreign(&document, 0));
        return Ok(());
    }
    let created =
        connection.storage_vol_create_xml_from(&home, &to_string(&document), &source, flags);
    let created = created.during(|| format!("Failed to clone vol from {}", source.name))?;
    extra!(shell, "Vol {} cloned from {}", created.name, source.name);
    Ok(())
}

pub(crate) fn cmd_vol_delete(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, &[("delete-snapshots", api::STORAGE_VOL_DELETE_WITH_SNAPSHOTS)]);
    let found = volume(shell, args)?;
    let name = args.needed("vol")?;
    let deleted = shell.connection()?.storage_vol_delete(&found, flags);
    deleted.during(|| format!("Failed to delete vol {name}"))?;
    extra!(shell, "Vol {} deleted", name);
    Ok(())
}

/// Ways to overwrite a volume, by number.
pub(crate) const WIPES: &[&str] = &[
    "zero",
    "nnsa",
    "dod",
    "bsi",
    "gutmann",
    "schneier",
    "pfitzner7",
    "pfitzner33",
    "random",
    "trim",
];

pub(crate) fn cmd_vol_wipe(shell: &mut Shell, args: &Args) -> Done {
    let found = volume(shell, args)?;
    let name = args.needed("vol")?;
    let connection = shell.connection()?;
    let wiped = match args.text("algorithm")? {
        None => connection.storage_vol_wipe(&found, 0),
        Some(text) => {
            let Some(at) = WIPES.iter().position(|wipe| *wipe == text) else {
                return fail(format!("Unsupported algorithm '{text}'"));
            };
            match u32::try_from(at).unwrap_or_default() {
                // Compat: the default way is asked for by the older call.
                0 => connection.storage_vol_wipe(&found, 0),
                number => connection.storage_vol_wipe_pattern(&found, number, 0),
            }
        }
    };
    wiped.during(|| format!("Failed to wipe vol {name}"))?;
    extra!(shell, "Vol {} wiped", name);
    Ok(())
}

pub(crate) fn cmd_vol_resize(shell: &mut Shell, args: &Args) -> Done {
    let mut flags = flags_of(
        args,
        &[
            ("allocate", api::STORAGE_VOL_RESIZE_ALLOCATE),
            ("delta", api::STORAGE_VOL_RESIZE_DELTA),
            ("shrink", api::STORAGE_VOL_RESIZE_SHRINK),
        ],
    );
    let found = volume(shell, args)?;
    let text = args.needed("capacity")?;
    // A minus asks for less than there is, as `--delta --shrink` does.
    let capacity = match text.strip_prefix('-') {
        Some(less) => {
            flags |= api::STORAGE_VOL_RESIZE_DELTA | api::STORAGE_VOL_RESIZE_SHRINK;
            size(less)?
        }
        None => size(text)?,
    };
    let name = args.needed("vol")?;
    let by = if args.flag("delta") { "by" } else { "to" };
    let resized = shell.connection()?.storage_vol_resize(&found, capacity, flags);
    resized.during(|| format!("Failed to change size of volume '{name}' {by} {text}"))?;
    extra!(shell, "Size of volume '{}' successfully changed {} {}", name, by, text);
    Ok(())
}
