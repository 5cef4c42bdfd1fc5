//! Backups of running domains' disks.

use virt_cli::Args;
use virt_types::api;

use crate::document::{check_path, print_document};
use crate::failure::Done;
use crate::files::read_document;
use crate::lookup::domain;
use crate::options::flags_of;
use crate::shell::{Shell, sayln};

/// A backup of every disk, in the way the driver likes best.
const WHOLE: &str = "<domainbackup/>";

pub(crate) fn cmd_backup_begin(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, &[("reuse-external", api::DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL)]);
    let found = domain(shell, args)?;
    let backup = args.text("backupxml")?.map(read_document).transpose()?;
    let checkpoint = args.text("checkpointxml")?.map(read_document).transpose()?;
    let backup = backup.as_deref().unwrap_or(WHOLE);
    let connection = shell.connection()?;
    connection.domain_backup_begin(&found, backup, checkpoint.as_deref(), flags)?;
    sayln!(shell, "Backup started");
    Ok(())
}

pub(crate) fn cmd_backup_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    check_path(args)?;
    let text = shell.connection()?.domain_backup_get_xml_desc(&found, 0)?;
    print_document(shell, args, &text)
}
