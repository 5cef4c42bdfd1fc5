//! Checkpoints of domains: moments from which changed blocks are tracked.

use virt_cli::{Args, Cell};
use virt_driver::Connection;
use virt_error::{Code, Result as Answer};
use virt_types::{DomainCheckpointRef, DomainRef, api};

use super::moment::{self, Facts, Moment, check_list, checkpoint_disk, facts};
use crate::document::{check_path, print_document};
use crate::failure::{Done, Failure};
use crate::lookup::domain;
use crate::options::flags_of;
use crate::shell::Shell;

impl Moment for DomainCheckpointRef {
    const WORD: &'static str = "checkpoint";
    const TAG: &'static str = "domaincheckpoint";
    const NOT_FOUND: Code = Code::NoDomainCheckpoint;
    const HAS_STATE: bool = false;

    fn name(&self) -> &str {
        &self.name
    }

    fn facts(&self, connection: &Connection) -> Result<Facts, Failure> {
        facts(
            &connection
                .domain_checkpoint_get_xml_desc(self, api::DOMAIN_CHECKPOINT_XML_NO_DOMAIN)?,
        )
    }

    fn all(connection: &Connection, domain: &DomainRef, flags: u32) -> Answer<Vec<Self>> {
        connection.domain_list_all_checkpoints(domain, flags)
    }

    fn children(&self, connection: &Connection, flags: u32) -> Answer<Vec<Self>> {
        connection.domain_checkpoint_list_all_children(self, flags)
    }

    fn parent(&self, connection: &Connection) -> Answer<Self> {
        connection.domain_checkpoint_get_parent(self, 0)
    }

    fn create(connection: &Connection, domain: &DomainRef, xml: &str, flags: u32) -> Answer<Self> {
        connection.domain_checkpoint_create_xml(domain, xml, flags)
    }

    fn delete(&self, connection: &Connection, flags: u32) -> Answer<()> {
        connection.domain_checkpoint_delete(self, flags)
    }
}

fn checkpoint(shell: &mut Shell, args: &Args) -> Result<(DomainRef, DomainCheckpointRef), Failure> {
    let found = domain(shell, args)?;
    let name = args.needed("checkpointname")?;
    let checkpoint = shell.connection()?.domain_checkpoint_lookup_by_name(&found, name, 0)?;
    Ok((found, checkpoint))
}

const LIST_FLAGS: &[(&str, u32)] = &[
    ("roots", api::DOMAIN_CHECKPOINT_LIST_ROOTS),
    ("leaves", api::DOMAIN_CHECKPOINT_LIST_LEAVES),
    ("no-leaves", api::DOMAIN_CHECKPOINT_LIST_NO_LEAVES),
    ("topological", api::DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL),
];

pub(crate) fn cmd_checkpoint_list(shell: &mut Shell, args: &Args) -> Done {
    check_list(args, &["from"])?;
    let found = domain(shell, args)?;
    let connection = shell.connection()?;
    let from = match args.text("from")? {
        Some(name) => Some(connection.domain_checkpoint_lookup_by_name(&found, name, 0)?),
        None => None,
    };
    moment::list(shell, args, &found, from, flags_of(args, LIST_FLAGS))
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
    domain(shell, args)?;
    check_path(args)?;
    let (_, found) = checkpoint(shell, args)?;
    let text = shell.connection()?.domain_checkpoint_get_xml_desc(&found, flags)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_checkpoint_info(shell: &mut Shell, args: &Args) -> Done {
    let (domain, found) = checkpoint(shell, args)?;
    shell.field("Name", "name", Cell::word(&found.name));
    shell.field("Domain", "domain", Cell::word(&domain.name));
    let parent = found.facts(&shell.connection()?)?.parent;
    moment::place(shell, &found, parent.as_deref())
}

pub(crate) fn cmd_checkpoint_parent(shell: &mut Shell, args: &Args) -> Done {
    let (_, found) = checkpoint(shell, args)?;
    moment::parent(shell, &found)
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
    moment::create::<DomainCheckpointRef>(shell, args, &found, flags)
}

pub(crate) fn cmd_checkpoint_create_as(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, &[("quiesce", api::DOMAIN_CHECKPOINT_CREATE_QUIESCE)]);
    let found = domain(shell, args)?;
    let disks = args.words("diskspec").map(checkpoint_disk).collect::<Result<Vec<_>, _>>()?;
    moment::create_as::<DomainCheckpointRef>(shell, args, &found, flags, None, disks)
}

pub(crate) fn cmd_checkpoint_delete(shell: &mut Shell, args: &Args) -> Done {
    let (_, found) = checkpoint(shell, args)?;
    moment::delete(shell, args, &found)
}
