//! Saving, restoring and dumping the memory of domains.

use virt_cli::Args;
use virt_types::{TypedParam, api};

use crate::document::{check_path, print_document};
use crate::failure::{Done, During as _, Failure, fail};
use crate::files::{absolute, read_document};
use crate::lookup::{By, domain, domain_by};
use crate::options::flags_of;
use crate::progress::watch;
use crate::shell::{Shell, extra};

const STATES: &[(&str, u32)] =
    &[("running", api::DOMAIN_SAVE_RUNNING), ("paused", api::DOMAIN_SAVE_PAUSED)];

const SAVE_FLAGS: &[(&str, u32)] = &[
    ("bypass-cache", api::DOMAIN_SAVE_BYPASS_CACHE),
    ("running", api::DOMAIN_SAVE_RUNNING),
    ("paused", api::DOMAIN_SAVE_PAUSED),
];

/// The document of `--xml`, if there is one.
fn new_document(args: &Args) -> Result<Option<String>, Failure> {
    args.text("xml")?.map(read_document).transpose()
}

/// The settings that only the newest of the calls takes.
fn save_params(args: &Args) -> Result<Vec<TypedParam>, Failure> {
    let mut params = Vec::new();
    if args.knows("image-format")
        && let Some(format) = args.text("image-format")?
    {
        params.push(TypedParam::new(api::DOMAIN_SAVE_PARAM_IMAGE_FORMAT, format));
    }
    if let Some(channels) = args.number::<i32>("parallel-channels")? {
        params.push(TypedParam::new(api::DOMAIN_SAVE_PARAM_PARALLEL_CHANNELS, channels));
    }
    Ok(params)
}

fn with_file(mut params: Vec<TypedParam>, file: &str, xml: Option<&str>) -> Vec<TypedParam> {
    params.push(TypedParam::new(api::DOMAIN_SAVE_PARAM_FILE, file));
    if let Some(xml) = xml {
        params.push(TypedParam::new(api::DOMAIN_SAVE_PARAM_DXML, xml));
    }
    params
}

pub(crate) fn cmd_save(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let name = args.needed("domain")?;
    let file = args.needed("file")?;
    let path = absolute(file);
    let params = save_params(args)?;
    let xml = new_document(args)?;
    let xml = xml.as_deref();
    let flags = flags_of(args, SAVE_FLAGS);
    let connection = shell.connection()?;
    let label = args.flag("verbose").then_some("Save");
    // Compat: the oldest call that can express what was asked.
    let saved = watch(&connection, &found, label, || {
        if !params.is_empty() {
            connection.domain_save_params(&found, &with_file(params, &path, xml), flags)
        } else if flags != 0 || xml.is_some() {
            connection.domain_save_flags(&found, &path, xml, flags)
        } else {
            connection.domain_save(&found, &path)
        }
    });
    saved.during(|| format!("Failed to save domain '{name}' to {file}"))?;
    extra!(shell, "\nDomain '{}' saved to {}", name, file);
    Ok(())
}

pub(crate) fn cmd_restore(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let path = absolute(file);
    let params = save_params(args)?;
    let xml = new_document(args)?;
    let xml = xml.as_deref();
    let flags = flags_of(args, SAVE_FLAGS)
        | flags_of(args, &[("reset-nvram", api::DOMAIN_SAVE_RESET_NVRAM)]);
    let connection = shell.connection()?;
    let restored = if !params.is_empty() {
        connection.domain_restore_params(&with_file(params, &path, xml), flags)
    } else if flags != 0 || xml.is_some() {
        connection.domain_restore_flags(&path, xml, flags)
    } else {
        connection.domain_restore(&path)
    };
    restored.during(|| format!("Failed to restore domain from {file}"))?;
    extra!(shell, "Domain restored from {}", file);
    Ok(())
}

pub(crate) fn cmd_save_image_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let path = absolute(args.needed("file")?);
    let flags = flags_of(args, &[("security-info", api::DOMAIN_SAVE_IMAGE_XML_SECURE)]);
    check_path(args)?;
    let text = shell.connection()?.domain_save_image_get_xml_desc(&path, flags)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_save_image_define(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let xml = read_document(args.needed("xml")?)?;
    let flags = flags_of(args, STATES);
    let changed = shell.connection()?.domain_save_image_define_xml(&absolute(file), &xml, flags);
    changed.during(|| format!("Failed to update {file}"))?;
    extra!(shell, "State file {} updated.", file);
    Ok(())
}

pub(crate) fn cmd_managedsave(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let name = args.needed("domain")?;
    let flags = flags_of(args, SAVE_FLAGS);
    let connection = shell.connection()?;
    let label = args.flag("verbose").then_some("Managedsave");
    let saved = watch(&connection, &found, label, || connection.domain_managed_save(&found, flags));
    saved.during(|| format!("Failed to save domain '{name}' state"))?;
    extra!(shell, "\nDomain '{}' state saved by libvirt", name);
    Ok(())
}

pub(crate) fn cmd_managedsave_remove(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let name = args.needed("domain")?;
    let connection = shell.connection()?;
    let kept = connection.domain_has_managed_save_image(&found, 0);
    if !kept.during(|| "Failed to check for domain managed save image")? {
        shell
            .print_extra(format_args!("Domain '{name}' has no manage save image; removal skipped"));
        return Ok(());
    }
    let removed = connection.domain_managed_save_remove(&found, 0);
    removed.during(|| format!("Failed to remove managed save image for domain '{name}'"))?;
    shell.print_extra(format_args!("Removed managedsave image for domain '{name}'"));
    Ok(())
}

pub(crate) fn cmd_managedsave_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let flags = flags_of(args, &[("security-info", api::DOMAIN_SAVE_IMAGE_XML_SECURE)]);
    check_path(args)?;
    let text = shell.connection()?.domain_managed_save_get_xml_desc(&found, flags)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_managedsave_define(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("running", "paused")?;
    let xml = read_document(args.needed("xml")?)?;
    let found = domain_by(shell, args, By::ANY)?;
    let flags = flags_of(args, STATES);
    let changed = shell.connection()?.domain_managed_save_define_xml(&found, Some(&xml), flags);
    changed.during(|| format!("Failed to update {} XML configuration", found.name))?;
    extra!(shell, "Managed save state file of domain '{}' updated.", found.name);
    Ok(())
}

const DUMP_FLAGS: &[(&str, u32)] = &[
    ("live", api::DUMP_LIVE),
    ("crash", api::DUMP_CRASH),
    ("bypass-cache", api::DUMP_BYPASS_CACHE),
    ("reset", api::DUMP_RESET),
    ("memory-only", api::DUMP_MEMORY_ONLY),
];

/// Formats of memory dumps.
const FORMATS: &[(&str, i32)] = &[
    ("kdump-zlib", api::DOMAIN_CORE_DUMP_FORMAT_KDUMP_ZLIB),
    ("kdump-lzo", api::DOMAIN_CORE_DUMP_FORMAT_KDUMP_LZO),
    ("kdump-snappy", api::DOMAIN_CORE_DUMP_FORMAT_KDUMP_SNAPPY),
    ("win-dmp", api::DOMAIN_CORE_DUMP_FORMAT_WIN_DMP),
    ("elf", api::DOMAIN_CORE_DUMP_FORMAT_RAW),
];

fn dump_format(args: &Args) -> Result<u32, Failure> {
    let Some(text) = args.raw_text("format") else { return Ok(0) };
    if !args.flag("memory-only") {
        return fail("--format only works with --memory-only");
    }
    // Compat: an empty name is none.
    if text.is_empty() {
        return Ok(0);
    }
    match FORMATS.iter().find(|(name, _)| *name == text) {
        Some((_, number)) => Ok(number.unsigned_abs()),
        None => fail(format!(
            "format '{text}' is not supported, expecting 'kdump-zlib', 'kdump-lzo', \
             'kdump-snappy', 'win-dmp' or 'elf'"
        )),
    }
}

pub(crate) fn cmd_dump(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let name = args.needed("domain")?;
    let file = args.needed("file")?;
    let path = absolute(file);
    let flags = flags_of(args, DUMP_FLAGS);
    let format = dump_format(args)?;
    let connection = shell.connection()?;
    let label = args.flag("verbose").then_some("Dump");
    let dumped = watch(&connection, &found, label, || match format {
        0 => connection.domain_core_dump(&found, &path, flags),
        _ => connection.domain_core_dump_with_format(&found, &path, format, flags),
    });
    dumped.during(|| format!("Failed to core dump domain '{name}' to {file}"))?;
    extra!(shell, "\nDomain '{}' dumped to {}", name, file);
    Ok(())
}
