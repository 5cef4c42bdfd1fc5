//! Snapshots of domains.

use virt_cli::{Args, Cell, split_commas};
use virt_driver::Connection;
use virt_error::{Code, Result as Answer};
use virt_types::{DomainRef, DomainSnapshotRef, api};
use virt_xml::Element;

use super::moment::{self, Facts, Moment, check_list, facts, keyed, snapshot_disk};
use crate::document::{check_path, print_document};
use crate::failure::{Done, During as _, Failure, fail};
use crate::lookup::domain;
use crate::options::flags_of;
use crate::report::cells;
use crate::shell::{Shell, say};

impl Moment for DomainSnapshotRef {
    const WORD: &'static str = "snapshot";
    const TAG: &'static str = "domainsnapshot";
    const NOT_FOUND: Code = Code::NoDomainSnapshot;
    const HAS_STATE: bool = true;

    fn name(&self) -> &str {
        &self.name
    }

    fn facts(&self, connection: &Connection) -> Result<Facts, Failure> {
        facts(&connection.domain_snapshot_get_xml_desc(self, 0)?)
    }

    fn all(connection: &Connection, domain: &DomainRef, flags: u32) -> Answer<Vec<Self>> {
        connection.domain_list_all_snapshots(domain, flags)
    }

    fn children(&self, connection: &Connection, flags: u32) -> Answer<Vec<Self>> {
        connection.domain_snapshot_list_all_children(self, flags)
    }

    fn parent(&self, connection: &Connection) -> Answer<Self> {
        connection.domain_snapshot_get_parent(self, 0)
    }

    fn create(connection: &Connection, domain: &DomainRef, xml: &str, flags: u32) -> Answer<Self> {
        connection.domain_snapshot_create_xml(domain, xml, flags)
    }

    fn delete(&self, connection: &Connection, flags: u32) -> Answer<()> {
        connection.domain_snapshot_delete(self, flags)
    }
}

/// The snapshot of `--snapshotname`, or the current one where `--current` is given.
fn snapshot(
    shell: &mut Shell,
    args: &Args,
    option: &str,
) -> Result<(DomainRef, DomainSnapshotRef), Failure> {
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let current = args.knows("current") && args.flag("current");
    let snapshot = match (args.text(option)?, current) {
        (Some(_), true) => return fail(format!("--{option} and --current are mutually exclusive")),
        (None, false) => return fail(format!("--{option} or --current is required")),
        (Some(name), false) => connection.domain_snapshot_lookup_by_name(&found, name, 0)?,
        (None, true) => connection.domain_snapshot_current(&found, 0)?,
    };
    Ok((found, snapshot))
}

const LIST_FLAGS: &[(&str, u32)] = &[
    ("roots", api::DOMAIN_SNAPSHOT_LIST_ROOTS),
    ("leaves", api::DOMAIN_SNAPSHOT_LIST_LEAVES),
    ("no-leaves", api::DOMAIN_SNAPSHOT_LIST_NO_LEAVES),
    ("metadata", api::DOMAIN_SNAPSHOT_LIST_METADATA),
    ("no-metadata", api::DOMAIN_SNAPSHOT_LIST_NO_METADATA),
    ("inactive", api::DOMAIN_SNAPSHOT_LIST_INACTIVE),
    ("active", api::DOMAIN_SNAPSHOT_LIST_ACTIVE),
    ("disk-only", api::DOMAIN_SNAPSHOT_LIST_DISK_ONLY),
    ("internal", api::DOMAIN_SNAPSHOT_LIST_INTERNAL),
    ("external", api::DOMAIN_SNAPSHOT_LIST_EXTERNAL),
    ("topological", api::DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL),
];

pub(crate) fn cmd_snapshot_list(shell: &mut Shell, args: &Args) -> Done {
    check_list(args, &["from", "current"])?;
    if args.flag("from") && args.flag("current") {
        return fail("--from and --current are mutually exclusive");
    }
    let found = domain(shell, args)?;
    let from_text = args.text("from")?;
    let connection = shell.connection()?;
    let from = match (from_text, args.flag("current")) {
        (Some(name), _) => Some(connection.domain_snapshot_lookup_by_name(&found, name, 0)?),
        (None, true) => Some(connection.domain_snapshot_current(&found, 0)?),
        (None, false) => None,
    };
    moment::list(shell, args, &found, from, flags_of(args, LIST_FLAGS))
}

pub(crate) fn cmd_snapshot_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, &[("security-info", api::DOMAIN_SNAPSHOT_XML_SECURE)]);
    args.text("snapshotname")?;
    let (_, found) = snapshot(shell, args, "snapshotname")?;
    check_path(args)?;
    let text = shell.connection()?.domain_snapshot_get_xml_desc(&found, flags)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_snapshot_info(shell: &mut Shell, args: &Args) -> Done {
    let (domain, found) = snapshot(shell, args, "snapshotname")?;
    let connection = shell.connection()?;
    shell.field("Name", "name", Cell::word(&found.name));
    shell.field("Domain", "domain", Cell::word(&domain.name));
    let current = connection.domain_snapshot_is_current(&found, 0)?;
    shell.field("Current", "current", cells::yes(current));
    let Facts { state, parent, external, .. } = found.facts(&connection)?;
    shell.field("State", "state", state);
    shell.field("Location", "location", if external { "external" } else { "internal" });
    moment::place(shell, &found, parent.as_deref())?;
    let metadata = connection.domain_snapshot_has_metadata(&found, 0)?;
    shell.field("Metadata", "metadata", cells::yes(metadata));
    Ok(())
}

pub(crate) fn cmd_snapshot_current(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("name", "snapshotname")?;
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let secure = flags_of(args, &[("security-info", api::DOMAIN_SNAPSHOT_XML_SECURE)]);
    if let Some(name) = args.text("snapshotname")? {
        let snapshot = connection.domain_snapshot_lookup_by_name(&found, name, 0)?;
        let secure = api::DOMAIN_SNAPSHOT_XML_SECURE;
        let xml = connection.domain_snapshot_get_xml_desc(&snapshot, secure)?;
        let flags = api::DOMAIN_SNAPSHOT_CREATE_REDEFINE | api::DOMAIN_SNAPSHOT_CREATE_CURRENT;
        connection.domain_snapshot_create_xml(&found, &xml, flags)?;
        shell.print_extra(format_args!("Snapshot {name} set as current"));
        return Ok(());
    }
    if !connection.domain_has_current_snapshot(&found, 0)? {
        return fail(format!("domain '{}' has no current snapshot", found.name));
    }
    let current = connection.domain_snapshot_current(&found, 0)?;
    match args.flag("name") {
        true => say!(shell, "{}", current.name),
        false => {
            let text = connection.domain_snapshot_get_xml_desc(&current, secure)?;
            say!(shell, "{text}");
            shell.fact("xml", text);
        }
    }
    shell.fact("name", &*current.name);
    Ok(())
}

pub(crate) fn cmd_snapshot_parent(shell: &mut Shell, args: &Args) -> Done {
    let (_, found) = snapshot(shell, args, "snapshotname")?;
    moment::parent(shell, &found)
}

const CREATE_FLAGS: &[(&str, u32)] = &[
    ("redefine", api::DOMAIN_SNAPSHOT_CREATE_REDEFINE),
    ("current", api::DOMAIN_SNAPSHOT_CREATE_CURRENT),
    ("no-metadata", api::DOMAIN_SNAPSHOT_CREATE_NO_METADATA),
    ("halt", api::DOMAIN_SNAPSHOT_CREATE_HALT),
    ("disk-only", api::DOMAIN_SNAPSHOT_CREATE_DISK_ONLY),
    ("reuse-external", api::DOMAIN_SNAPSHOT_CREATE_REUSE_EXT),
    ("quiesce", api::DOMAIN_SNAPSHOT_CREATE_QUIESCE),
    ("atomic", api::DOMAIN_SNAPSHOT_CREATE_ATOMIC),
    ("live", api::DOMAIN_SNAPSHOT_CREATE_LIVE),
    ("validate", api::DOMAIN_SNAPSHOT_CREATE_VALIDATE),
];

pub(crate) fn cmd_snapshot_create(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, CREATE_FLAGS);
    let found = domain(shell, args)?;
    moment::create::<DomainSnapshotRef>(shell, args, &found, flags)
}

fn memory(spec: &str) -> Result<Element<'static>, Failure> {
    let bad = || Failure::new(format!("unable to parse memspec: {spec}"));
    let mut parts = split_commas(spec);
    // A first part that is a path is the file.
    if let Some(first) = parts.first_mut().filter(|first| first.starts_with('/')) {
        *first = format!("file={first}");
    }
    let values = keyed(&parts, &["snapshot", "file"]).ok_or_else(bad)?;
    let mut element = Element::new("memory");
    for (attr, value) in ["snapshot", "file"].into_iter().zip(values) {
        if let Some(value) = value {
            element = element.with_attr(attr, value);
        }
    }
    Ok(element)
}

pub(crate) fn cmd_snapshot_create_as(shell: &mut Shell, args: &Args) -> Done {
    let creating = CREATE_FLAGS.iter().filter(|(name, _)| args.knows(name)).copied();
    let flags = flags_of(args, &creating.collect::<Vec<_>>());
    let found = domain(shell, args)?;
    let memory = args.text("memspec")?.map(memory).transpose()?;
    let disks = args.words("diskspec").map(snapshot_disk).collect::<Result<Vec<_>, _>>()?;
    moment::create_as::<DomainSnapshotRef>(shell, args, &found, flags, memory, disks)
}

pub(crate) fn cmd_snapshot_delete(shell: &mut Shell, args: &Args) -> Done {
    let (_, found) = snapshot(shell, args, "snapshotname")?;
    moment::delete(shell, args, &found)
}

pub(crate) fn cmd_snapshot_revert(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(
        args,
        &[
            ("running", api::DOMAIN_SNAPSHOT_REVERT_RUNNING),
            ("paused", api::DOMAIN_SNAPSHOT_REVERT_PAUSED),
            ("force", api::DOMAIN_SNAPSHOT_REVERT_FORCE),
            ("reset-nvram", api::DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM),
        ],
    );
    let (_, found) = snapshot(shell, args, "snapshotname")?;
    let reverted = shell.connection()?.domain_revert_to_snapshot(&found, flags);
    reverted.during(|| format!("Failed to revert snapshot {}", found.name))?;
    shell.print_extra(format_args!("Domain snapshot {} reverted\n", found.name));
    Ok(())
}
