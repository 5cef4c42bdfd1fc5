//! Ways to a daemon through another program: `ssh`, or whatever a URI names.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use virt_error::{Code, Error, Origin, Result};

use crate::{Mode, Target};

/// Limit: of what the program complained about.
const COMPLAINT_BYTES_MAX: u64 = 4096;

/// Limit: how long a program that hung up may take to end.
const END_MAX: Duration = Duration::from_secs(2);
const END_PAUSE: Duration = Duration::from_millis(5);

/// Run on the far side where a URI does not say by what to reach the socket there.
const HELPER: &str = "virt-ssh-helper";

/// A program whose input and output are the conversation.
#[derive(Debug)]
pub(crate) struct Tunnel(Child);

impl Tunnel {
    /// Starts a program; what is said to it goes over the socket.
    fn start(mut command: Command) -> Result<(Self, UnixStream)> {
        let name = command.get_program().to_string_lossy().into_owned();
        let failed = |error: std::io::Error| {
            Error::io(Origin::Rpc, &error, format_args!("cannot execute binary {name}"))
        };
        let (near, far) = UnixStream::pair().map_err(failed)?;
        let output = OwnedFd::from(far.try_clone().map_err(failed)?);
        command.stdin(OwnedFd::from(far)).stdout(output).stderr(Stdio::piped());
        let child = command.spawn().map_err(failed)?;
        Ok((Self(child), near))
    }

    /// What the program complained about before it ended.
    pub(crate) fn complaint(&mut self) -> String {
        // Whoever hung up is about to end; its words come before that.
        let until = Instant::now() + END_MAX;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(END_PAUSE);
        }
        let mut text = Vec::new();
        // Something it left running may hold its output open: only what is there is read.
        if let Some(stderr) = self.0.stderr.take()
            && rustix::io::ioctl_fionbio(&stderr, true).is_ok()
        {
            let _ = stderr.take(COMPLAINT_BYTES_MAX).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program that a URI's `command` names.
pub(crate) fn ext(target: &Target) -> Result<(Tunnel, UnixStream)> {
    let program = target.params.get("command").unwrap_or_default();
    Tunnel::start(Command::new(program))
}

/// The system's `ssh`: the person's settings, keys and known hosts are its affair.
///
/// Compat: the libraries that libvirt can use instead read the same files; their names lead here.
pub(crate) fn ssh(target: &Target) -> Result<(Tunnel, UnixStream)> {
    let script = far_side(target)?;
    let params = &target.params;
    let mut command = Command::new(params.get("command").unwrap_or("ssh"));
    if let Some(port) = target.port {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(user) = &target.user {
        command.args(["-l", user]);
    }
    if let Some(file) = params.get("keyfile") {
        command.args(["-i", file]);
    }
    if let Some(file) = params.get("known_hosts") {
        command.arg("-o").arg(format!("UserKnownHostsFile={file}"));
    }
    command.args(["-T", "-e", "none"]);
    if target.switch("no_tty") {
        command.args(["-o", "BatchMode=yes"]);
    }
    if target.switch("no_verify") {
        command.args(["-o", "StrictHostKeyChecking=no"]);
    }
    command.args(["--", &target.host]).arg(format!("sh -c {}", quoted(&script)));
    Tunnel::start(command)
}

/// What the shell on the far side is to do: our helper where it is there, else netcat.
fn far_side(target: &Target) -> Result<String> {
    let params = &target.params;
    let proxy = match params.get("proxy") {
        None | Some("auto") => Proxy::Auto,
        Some("netcat") => Proxy::Netcat,
        Some("native") => Proxy::Native,
        Some(other) => {
            // Compat: misspelt there too.
            let detail = format!("Unnkown proxy type '{other}'");
            return Err(Error::new(Code::InvalidArg, Origin::Remote, detail));
        }
    };
    // Only netcat can be told a socket.
    let told = params.get("socket").is_some() || params.get("netcat").is_some();
    let proxy = if told { Proxy::Netcat } else { proxy };
    if target.mode == Mode::Direct && proxy != Proxy::Native {
        let detail = "Cannot use direct socket mode for ssh transport";
        return Err(Error::new(Code::OperationUnsupported, Origin::Remote, detail));
    }
    let read_only = if target.read_only { "-r " } else { "" };
    let helper = format!("{HELPER} {read_only}{}", quoted(&target.helper_uri()));
    let netcat = quoted(params.get("netcat").unwrap_or("nc"));
    let socket = quoted(&target.socket.to_string_lossy());
    // Some netcats stay after the end of input unless told not to, others do not know the option.
    let netcat = format!(
        "if {netcat} -q 2>&1 | grep -q \"requires an argument\"; \
         then exec {netcat} -q0 -U {socket}; else exec {netcat} -U {socket}; fi"
    );
    Ok(match proxy {
        Proxy::Native => format!("exec {helper}"),
        Proxy::Netcat => netcat,
        Proxy::Auto => {
            format!("if command -v {HELPER} >/dev/null 2>&1; then exec {helper}; else {netcat}; fi")
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Proxy {
    Auto,
    Netcat,
    Native,
}

/// One word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Uri, User};

    fn script(uri: &str, read_only: bool) -> Result<String> {
        let user = User { root: true, run_dir: "/run".into() };
        far_side(&Target::of(&Uri::parse(uri)?, &user, read_only)?)
    }

    #[test]
    fn the_far_side_is_told_what_to_reach() {
        let helper = script("qemu+ssh://h/system?mode=legacy", true).expect("script");
        assert!(
            helper.contains("exec virt-ssh-helper -r 'qemu:///system?mode=legacy'"),
            "{helper}"
        );
        assert!(helper.contains("exec 'nc' -U '/var/run/libvirt/libvirt-sock-ro'"), "{helper}");
        let native = script("qemu+ssh://h/system?proxy=native&mode=direct", false).expect("script");
        assert_eq!(native, "exec virt-ssh-helper 'qemu:///system?mode=direct'");
        let told =
            script("test+ssh://h/default?socket=/x%27y&netcat=/bin/nc", false).expect("told");
        assert!(
            told.contains("exec '/bin/nc' -q0 -U '/x'\\''y'") && !told.contains(HELPER),
            "{told}"
        );
    }

    #[test]
    fn refusals_are_libvirts() {
        for (uri, message) in [
            ("qemu+ssh://h/system?proxy=bogus", "invalid argument: Unnkown proxy type 'bogus'"),
            (
                "qemu+ssh://h/system?mode=direct",
                "Operation not supported: Cannot use direct socket mode for ssh transport",
            ),
        ] {
            assert_eq!(script(uri, false).expect_err(uri).message(), message);
        }
    }
}
