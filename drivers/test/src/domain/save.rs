//! Saved images and core dumps: files that hold a document and nothing of a guest.
//!
//! ```text
//!   "TestGuestMagic\0" · length of the document, 32 bits, little end first · the document
//! ```
//! A core dump is the magic alone.

use std::fs::File;
use std::io::{Read, Write};

use virt_driver::{Call, Job};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Definition;
use virt_model::{ParseFlags, PrintFlags};
use virt_types::{DomainRef, api};

use super::{State, define, lifecycle, rules};
use crate::error::{check_flags, internal, invalid_operation};
use crate::world::World;

const MAGIC: &[u8] = b"TestGuestMagic\0";

/// Limit: bytes of the document in a saved image.
const DOCUMENT_BYTES_MAX: u32 = 1024 * 1024;

fn system(error: &std::io::Error, what: String) -> Error {
    Error::io(Origin::Test, error, what)
}

/// Writes a saved image of a domain as it is now.
fn write(path: &str, definition: &Definition) -> std::io::Result<()> {
    let xml = definition.to_xml(PrintFlags { secure: true, ..PrintFlags::default() });
    let length = u32::try_from(xml.len()).unwrap_or(u32::MAX);
    let mut file = File::create(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(xml.as_bytes())
}

/// Reads the definition in a saved image.
pub(crate) fn read(path: &str) -> Result<Definition> {
    let unreadable = |error| system(&error, format!("cannot read domain image '{path}'"));
    // Compat: a file that ends too early is a failure without a number.
    let short = |what: &str| Error::system(Origin::Test, 0, format!("{what} in '{path}'"));
    let mut file = File::open(path).map_err(unreadable)?;
    let mut magic = [0_u8; MAGIC.len()];
    file.read_exact(&mut magic).map_err(|_| short("incomplete save header"))?;
    if magic != MAGIC {
        return Err(internal("mismatched header magic"));
    }
    let mut length = [0_u8; 4];
    file.read_exact(&mut length).map_err(|_| short("failed to read metadata length"))?;
    let length = u32::from_le_bytes(length);
    if !(1..=DOCUMENT_BYTES_MAX).contains(&length) {
        return Err(internal("length of metadata out of range"));
    }
    let mut document = Vec::new();
    file.take(length.into())
        .read_to_end(&mut document)
        .map_err(|error| system(&error, format!("incomplete metadata in '{path}'")))?;
    if document.len() < usize::try_from(length).unwrap_or(usize::MAX) {
        return Err(short("incomplete metadata"));
    }
    let xml = String::from_utf8_lossy(&document);
    rules::parse(&xml, ParseFlags { inactive: true, ..ParseFlags::default() })
}

fn refuse_document(dxml: Option<&str>) -> Result<()> {
    match dxml {
        None => Ok(()),
        Some(_) => {
            let detail = "xml modification unsupported";
            Err(Error::new(Code::ArgumentUnsupported, Origin::Test, detail))
        }
    }
}

/// `virDomainSave`: the domain stops once its image is written.
pub(crate) fn save(
    call: &Call<'_>,
    world: &World,
    dom: &DomainRef,
    to: &str,
    dxml: Option<&str>,
) -> Result<()> {
    refuse_document(dxml)?;
    let domain = world.domain(dom)?;
    let mut change = domain.begin(call, Job::Modify)?;
    let definition = change.read(|state| {
        state.require_active()?;
        Ok(state.current.clone())
    })?;
    write(to, &definition).map_err(|error| {
        system(&error, format!("saving domain '{}' to '{to}': open failed", dom.name))
    })?;
    let detail = api::DOMAIN_EVENT_STOPPED_SAVED;
    lifecycle::stop(world, &domain, &mut change, api::DOMAIN_SHUTOFF_SAVED, detail);
    Ok(())
}

/// `virDomainRestore`.
pub(crate) fn restore(
    call: &Call<'_>,
    world: &World,
    from: &str,
    dxml: Option<&str>,
) -> Result<()> {
    refuse_document(dxml)?;
    let started = define::Start {
        reason: api::DOMAIN_RUNNING_RESTORED,
        detail: api::DOMAIN_EVENT_STARTED_RESTORED,
    };
    define::start_new(call, world, read(from)?, started).map(drop)
}

/// `virDomainSaveImageDefineXML`.
pub(crate) fn redefine(path: &str, dxml: &str) -> Result<()> {
    read(path)?;
    let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
    let definition = rules::parse(dxml, flags)?;
    write(path, &definition)
        .map_err(|error| system(&error, format!("failed to write save image '{path}'")))
}

/// How a managed save may be asked for.
pub(crate) const MANAGED_FLAGS: u32 =
    api::DOMAIN_SAVE_BYPASS_CACHE | api::DOMAIN_SAVE_RUNNING | api::DOMAIN_SAVE_PAUSED;

/// `virDomainManagedSave`: nothing is written, only remembered.
pub(crate) fn managed_save(call: &Call<'_>, world: &World, dom: &DomainRef) -> Result<()> {
    let domain = world.domain(dom)?;
    let mut change = domain.begin(call, Job::Modify)?;
    change.change(|state| {
        state.require_active()?;
        if !state.persistent {
            return Err(invalid_operation("cannot do managed save for transient domain"));
        }
        state.managed_save = true;
        Ok(())
    })?;
    let detail = api::DOMAIN_EVENT_STOPPED_SAVED;
    lifecycle::stop(world, &domain, &mut change, api::DOMAIN_SHUTOFF_SAVED, detail);
    Ok(())
}

/// `virDomainManagedSaveRemove`.
pub(crate) fn forget(call: &Call<'_>, world: &World, dom: &DomainRef) -> Result<()> {
    world.change(call, dom, |state| {
        state.managed_save = false;
        Ok(())
    })
}

/// `virDomainCoreDump`.
pub(crate) fn dump(
    call: &Call<'_>,
    world: &World,
    dom: &DomainRef,
    to: &str,
    (format, flags): (u32, u32),
) -> Result<()> {
    check_flags(flags, api::DUMP_CRASH, "testDomainCoreDumpWithFormat")?;
    let domain = world.domain(dom)?;
    let mut change = domain.begin(call, Job::Modify)?;
    change.read(State::require_active)?;
    if format != api::DOMAIN_CORE_DUMP_FORMAT_RAW.cast_unsigned() {
        let detail = "kdump-compressed format is not supported here";
        return Err(Error::new(Code::OperationUnsupported, Origin::Test, detail));
    }
    let failed = |what: &str, error| {
        system(&error, format!("domain '{}' coredump: failed to {what} {to}", dom.name))
    };
    let mut file = File::create(to).map_err(|error| failed("open", error))?;
    file.write_all(MAGIC).map_err(|error| failed("write header to", error))?;
    if flags & api::DUMP_CRASH != 0 {
        let detail = api::DOMAIN_EVENT_STOPPED_CRASHED;
        lifecycle::stop(world, &domain, &mut change, api::DOMAIN_SHUTOFF_CRASHED, detail);
    }
    Ok(())
}
