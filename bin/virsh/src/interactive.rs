//! The interactive shell's words.

use virt_cli::Interactive;

use crate::shell::Shell;

impl Interactive for Shell {
    const WELCOME: &'static str = "Welcome to virsh, the virtualization interactive terminal.";
    const HISTORY_VARIABLE: &'static str = "VIRSH_HISTSIZE";

    fn prompt(&self) -> &'static str {
        if self.settings.read_only { "virsh > " } else { "virsh # " }
    }
}
