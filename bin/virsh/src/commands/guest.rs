//! What is asked of a guest, and what is sent into it.

use virt_cli::Args;
use virt_types::api;

use crate::failure::Done;
use crate::lookup::domain;
use crate::options::flags_of;
use crate::shell::Shell;

pub(crate) fn cmd_set_user_password(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let (user, password) = (args.needed("user")?, args.needed("password")?);
    let flags = flags_of(args, &[("encrypted", api::DOMAIN_PASSWORD_ENCRYPTED)]);
    let connection = shell.connection()?;
    connection.domain_set_user_password(&found, Some(user), Some(password), flags)?;
    let name = &found.name;
    shell.print_extra(format_args!("Password set successfully for {user} in {name}"));
    Ok(())
}

pub(crate) fn cmd_domblkthreshold(shell: &mut Shell, args: &Args) -> Done {
    let found = domain(shell, args)?;
    let disk = args.needed("dev")?;
    let threshold = args.scaled("threshold", 1, u64::MAX)?.unwrap_or_default();
    Ok(shell.connection()?.domain_set_block_threshold(&found, disk, threshold, 0)?)
}
