//! The shell's own commands, beside those that every shell has.

use virt_cli::Args;

use crate::failure::{Done, fail};
use crate::shell::{Shell, say};

pub(crate) fn cmd_connect(shell: &mut Shell, args: &Args) -> Done {
    let name = args.text("name")?;
    let read_only = args.flag("readonly");
    shell.reconnect(name, read_only)
}

/// The scripts that the shells of a login read.
const SCRIPTS: &[(&str, &str)] = &[
    ("bash", include_str!("../scripts/completion.bash")),
    ("zsh", include_str!("../scripts/completion.zsh")),
    ("fish", include_str!("../scripts/completion.fish")),
];

pub(crate) const SHELLS: &[&str] = &["bash", "zsh", "fish"];

pub(crate) fn cmd_completion(shell: &mut Shell, args: &Args) -> Done {
    let wanted = args.needed("shell")?;
    let Some((_, script)) = SCRIPTS.iter().find(|(name, _)| *name == wanted) else {
        return fail(format!("there is no completion for '{wanted}', only for bash, zsh, fish"));
    };
    say!(shell, "{script}");
    Ok(())
}
