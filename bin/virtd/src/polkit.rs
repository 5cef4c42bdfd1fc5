//! Asks polkit whether somebody may come in, by its own program `pkcheck`.
//!
//! The host's bus is not spoken here: `pkcheck` says yes, no, or why it cannot say, as its manual
//! has it. It is told which process asks, since when that process runs, and whose it is, so that
//! another process with the same number later is not taken for it.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use virt_driver::Caller;
use virt_error::{Code, Error, Origin, Result};
use virt_host::Process;

const PROGRAM: &str = "pkcheck";
/// How often it is looked at; a person may have to type a password meanwhile.
const LOOK_AFTER: Duration = Duration::from_millis(10);

/// Where the program is, if this host has it.
pub(crate) fn program() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(PROGRAM)).find(|path| path.is_file())
}

/// What coming in by a socket is called.
pub(crate) fn action(read_only: bool) -> &'static str {
    if read_only { "org.libvirt.unix.monitor" } else { "org.libvirt.unix.manage" }
}

/// Whether the caller may. Waits for at most `patience`.
pub(crate) fn check(caller: &Caller, action: &str, patience: Duration) -> Result<()> {
    let refused = || refusal(Code::AuthFailed, "access denied by policy");
    let (Some(pid), Some(uid)) = (caller.pid, caller.uid) else { return Err(refused()) };
    let pid = u32::try_from(pid).map_err(|_| refused())?;
    // Whoever is gone already wants nothing any more.
    let started = Process(pid).start_ticks().ok_or_else(refused)?;
    let program = program().ok_or_else(|| {
        refusal(Code::AuthUnavailable, format!("there is no program '{PROGRAM}' to ask polkit"))
    })?;
    let mut command = Command::new(program);
    command.args(["--action-id", action, "--allow-user-interaction"]);
    command.args(["--process", &format!("{pid},{started},{uid}")]);
    match ended(&mut command, patience) {
        Ok(Some(0)) => Ok(()),
        Ok(Some(1)) => Err(refused()),
        // Compat: libvirt's words for each.
        Ok(Some(2)) => Err(refusal(
            Code::AuthUnavailable,
            format!("no polkit agent available to authenticate action '{action}'"),
        )),
        Ok(Some(3)) => Err(refusal(Code::AuthCancelled, "user cancelled authentication process")),
        Ok(None) => Err(refusal(Code::AuthUnavailable, "polkit does not answer in time")),
        Ok(Some(code)) => {
            virt_log::error!("rpc.auth", "{PROGRAM} failed with status {code}");
            Err(refused())
        }
        Err(error) => {
            virt_log::error!("rpc.auth", "cannot run {PROGRAM}: {error}");
            Err(refused())
        }
    }
}

fn refusal(code: Code, detail: impl Into<String>) -> Error {
    Error::new(code, Origin::Polkit, detail)
}

/// How a program ends; nothing when it takes too long, and then it is ended.
fn ended(command: &mut Command, patience: Duration) -> io::Result<Option<i32>> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let until = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.code().unwrap_or(-1)));
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK_AFTER);
    }
}
