//! The shell's own commands, beside those that every shell has.

use virt_cli::Args;

use crate::failure::Done;
use crate::shell::Shell;

pub(crate) fn cmd_connect(shell: &mut Shell, args: &Args) -> Done {
    let name = args.text("name")?;
    let read_only = args.flag("readonly");
    shell.reconnect(name, read_only)
}
