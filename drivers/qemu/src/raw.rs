//! Callers' own words to QEMU and to the agent in a guest.

use virt_driver::Call;
use virt_error::Result;
use virt_types::DomainRef;

use crate::domains::check_flags;
use crate::{QemuDriver, agent, control};

impl virt_driver::Qemu for QemuDriver {
    fn monitor_command(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        cmd: &str,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, 1, "qemuDomainQemuMonitorCommand")?;
        control::monitor_command(self.core(), call, dom, cmd, flags & 1 != 0)
    }

    fn monitor_command_with_files(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        cmd: &str,
        flags: u32,
    ) -> Result<String> {
        // They go along as soon as the emulator's monitor is known.
        self.monitor_command(call, dom, cmd, flags)
    }

    fn agent_command(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        cmd: &str,
        timeout: i32,
        flags: u32,
    ) -> Result<Option<String>> {
        check_flags(flags, 0, "qemuDomainQemuAgentCommand")?;
        agent::raw(self.core(), call, dom, cmd, timeout)
    }
}
