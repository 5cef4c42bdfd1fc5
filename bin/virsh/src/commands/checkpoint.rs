//! Checkpoints of domains: moments from which changed blocks are tracked.

use virt_cli::Args;
use virt_driver::Connection;
use virt_error::Code;
use virt_types::{DomainCheckpointRef, DomainRef, api};

use super::moment::{Facts, checkpoint_disk, described, facts};
use crate::commands::info::field;
use crate::document::print_document;
use crate::failure::{Done, During as _, Failure, fail};
use crate::files::read_document;
use crate::lookup::domain;
use crate::options::flags_of;
use crate::shell::{Shell, say, sayln};
use crate::tree;

fn checkpoint(shell: &mut Shell, args: &Args) -> Result<(DomainRef, DomainCheckpointRef), Failure> {
    let found = domain(shell, args)?;
    let name = args.needed("checkpointname")?;
    let checkpoint = shell.connection()?.domain_checkpoint_lookup_by_name(&found, name, 0)?;
    Ok((found, checkpoint))
}

fn facts_of(connection: &Connection, found: &DomainCheckpointRef) -> Result<Facts, Failure> {
    let flags = api::DOMAIN_CHECKPOINT_XML_NO_DOMAIN;
    facts(&connection.domain_checkpoint_get_xml_desc(found, flags)?)
}

const LIST_FLAGS: &[(&str, u32)] = &[
    ("roots", api::DOMAIN_CHECKPOINT_LIST_ROOTS),
    ("leaves", api::DOMAIN_CHECKPOINT_LIST_LEAVES),
    ("no-leaves", api::DOMAIN_CHECKPOINT_LIST_NO_LEAVES),
    ("topological", api::DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL),
];

pub(crate) fn cmd_checkpoint_list(shell: &mut Shell, args: &Args) -> Done {
    for (one, other) in
        [("tree", "name"), ("parent", "roots"), ("parent", "tree"), ("roots", "tree")]
    {
        args.exclusive(one, other)?;
    }
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let mut flags = flags_of(args, LIST_FLAGS);
    let from = match args.text("from")? {
        Some(name) => Some(connection.domain_checkpoint_lookup_by_name(&found, name, 0)?),
        None => None,
    };
    if from.is_some() && args.flag("descendants") {
        flags |= api::DOMAIN_CHECKPOINT_LIST_DESCENDANTS;
    }
    let mut list = match &from {
        Some(from) => connection.domain_checkpoint_list_all_children(from, flags)?,
        None => connection.domain_list_all_checkpoints(&found, flags)?,
    };
    if !args.flag("topological") {
        list.sort_by_cached_key(|checkpoint| checkpoint.name.to_ascii_lowercase());
    }
    if args.flag("tree") {
        return print_tree(shell, &connection, from, list);
    }
    if args.flag("name") {
        list.iter().for_each(|checkpoint| sayln!(shell, "{}", checkpoint.name));
        return Ok(());
    }
    let mut header = vec!["Name", "Creation Time"];
    header.extend(args.flag("parent").then_some("Parent"));
    let mut grid = shell.grid(&header);
    for checkpoint in &list {
        let Facts { created, parent, .. } = facts_of(&connection, checkpoint)?;
        let mut row = vec![checkpoint.name.to_string(), created];
        row.extend(args.flag("parent").then(|| parent.unwrap_or_default()));
        grid.row(row);
    }
    shell.print_grid(&grid);
    Ok(())
}

fn print_tree(
    shell: &mut Shell,
    connection: &Connection,
    from: Option<DomainCheckpointRef>,
    list: Vec<DomainCheckpointRef>,
) -> Done {
    let all: Vec<DomainCheckpointRef> = from.into_iter().chain(list).collect();
    let mut parents = Vec::with_capacity(all.len());
    for checkpoint in &all {
        let parent = facts_of(connection, checkpoint)?.parent;
        parents.push(parent.and_then(|name| all.iter().position(|other| *other.name == *name)));
    }
    let names: Vec<String> = all.iter().map(|checkpoint| checkpoint.name.to_string()).collect();
    say!(shell, "{}", tree::draw(&names, &parents));
    Ok(())
}

pub(crate) fn cmd_checkpoint_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(
        args,
        &[
            ("security-info", api::DOMAIN_CHECKPOINT_XML_SECURE),
            ("no-domain", api::DOMAIN_CHECKPOINT_XML_NO_DOMAIN),
            ("size", api::DOMAIN_CHECKPOINT_XML_SIZE),
        ],
    );
    let (_, found) = checkpoint(shell, args)?;
    let text = shell.connection()?.domain_checkpoint_get_xml_desc(&found, flags)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_checkpoint_info(shell: &mut Shell, args: &Args) -> Done {
    let (domain, found) = checkpoint(shell, args)?;
    let connection = shell.connection()?;
    field!(shell, "Name", "{}", found.name);
    field!(shell, "Domain", "{}", domain.name);
    let parent = facts_of(&connection, &found)?.parent;
    field!(shell, "Parent", "{}", parent.as_deref().unwrap_or("-"));
    let children = connection.domain_checkpoint_list_all_children(&found, 0)?;
    field!(shell, "Children", "{}", children.len());
    let below = api::DOMAIN_CHECKPOINT_LIST_DESCENDANTS;
    let descendants = connection.domain_checkpoint_list_all_children(&found, below)?;
    field!(shell, "Descendants", "{}", descendants.len());
    Ok(())
}

pub(crate) fn cmd_checkpoint_parent(shell: &mut Shell, args: &Args) -> Done {
    let (_, found) = checkpoint(shell, args)?;
    match shell.connection()?.domain_checkpoint_get_parent(&found, 0) {
        Ok(parent) => {
            say!(shell, "{}", parent.name);
            Ok(())
        }
        Err(error) if error.is(Code::NoDomainCheckpoint) => {
            fail(format!("checkpoint '{}' has no parent", found.name))
        }
        Err(error) => Err(error.into()),
    }
}

fn create(
    shell: &mut Shell,
    domain: &DomainRef,
    xml: &str,
    flags: u32,
    file: Option<&str>,
) -> Done {
    let created = shell.connection()?.domain_checkpoint_create_xml(domain, xml, flags)?;
    let name = &created.name;
    match file {
        Some(file) => {
            shell.print_extra(format_args!("Domain checkpoint {name} created from '{file}'"));
        }
        None => shell.print_extra(format_args!("Domain checkpoint {name} created")),
    }
    Ok(())
}

pub(crate) fn cmd_checkpoint_create(shell: &mut Shell, args: &Args) -> Done {
    args.requires("redefine-validate", "redefine")?;
    let flags = flags_of(
        args,
        &[
            ("redefine", api::DOMAIN_CHECKPOINT_CREATE_REDEFINE),
            ("redefine-validate", api::DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE),
            ("quiesce", api::DOMAIN_CHECKPOINT_CREATE_QUIESCE),
        ],
    );
    let found = domain(shell, args)?;
    let file = args.text("xmlfile")?;
    let xml = match file {
        Some(file) => read_document(file)?,
        None => "<domaincheckpoint/>".to_owned(),
    };
    create(shell, &found, &xml, flags, file)
}

pub(crate) fn cmd_checkpoint_create_as(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, &[("quiesce", api::DOMAIN_CHECKPOINT_CREATE_QUIESCE)]);
    let found = domain(shell, args)?;
    let disks = args.words("diskspec").map(checkpoint_disk).collect::<Result<Vec<_>, _>>()?;
    let (name, about) = (args.text("name")?, args.text("description")?);
    let xml = described("domaincheckpoint", name, about, None, disks);
    if args.flag("print-xml") {
        sayln!(shell, "{}", xml);
        return Ok(());
    }
    create(shell, &found, &xml, flags, None)
}

pub(crate) fn cmd_checkpoint_delete(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(
        args,
        &[
            ("children", api::DOMAIN_CHECKPOINT_DELETE_CHILDREN),
            ("children-only", api::DOMAIN_CHECKPOINT_DELETE_CHILDREN_ONLY),
            ("metadata", api::DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY),
        ],
    );
    let (_, found) = checkpoint(shell, args)?;
    let name = &found.name;
    let deleted = shell.connection()?.domain_checkpoint_delete(&found, flags);
    deleted.during(|| format!("Failed to delete checkpoint {name}"))?;
    let children = if args.flag("children-only") { "children " } else { "" };
    shell.print_extra(format_args!("Domain checkpoint {name} {children}deleted\n"));
    Ok(())
}
