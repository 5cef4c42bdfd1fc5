//! Starting a program that outlives the daemon.
//!
//! The child gets a process group of its own, so that no terminal's signals reach it, its output
//! goes to a log file, and nothing is inherited but what is named here. There is no second fork:
//! the child stays ours to reap while we live, and goes to the system's reaper when we do not.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{HostError, Pidfd, Result, RunAs};

/// What to start, and how.
#[derive(Debug)]
pub struct Spawn {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Becomes descriptor 0: the one way to hand a descriptor over that no other start can race.
    pub stdin: Option<OwnedFd>,
    /// Becomes descriptor 1.
    pub output: File,
    /// Becomes descriptor 2; the same as 1 where there is none.
    pub errors: Option<File>,
    /// Whom to run as, where it is not the daemon's own user.
    pub user: Option<RunAs>,
}

/// A started program.
#[derive(Debug)]
pub struct Child {
    pub pidfd: Pidfd,
}

impl Spawn {
    /// Starts the program.
    pub fn start(self) -> Result<Child> {
        let what = format!("run '{}'", self.program.display());
        let errors = match self.errors {
            Some(errors) => errors,
            None => self.output.try_clone().map_err(|error| HostError::io(what.as_str(), error))?,
        };
        let mut command = match &self.user {
            Some(user) => user.command(&self.program),
            None => Command::new(&self.program),
        };
        command
            .args(self.args)
            .env_clear()
            .envs(self.env)
            .current_dir(Path::new("/"))
            .stdin(self.stdin.map_or_else(Stdio::null, Stdio::from))
            .stdout(self.output)
            .stderr(errors)
            .process_group(0);
        let child = command.spawn().map_err(|error| HostError::io(what.as_str(), error))?;
        // Our own unreaped child cannot lose its pid before the descriptor is open.
        match Pidfd::open(child.id())? {
            Some(pidfd) => Ok(Child { pidfd }),
            None => Err(HostError::io(what, std::io::Error::from_raw_os_error(3))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ended;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    #[test]
    fn the_child_gets_what_is_named_and_nothing_else() {
        let log = std::env::temp_dir().join(format!("virt-host-spawn-{}", std::process::id()));
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"handed over\n").unwrap();
        let kept = File::open("/proc/self/status").unwrap();
        let script = "read line; echo $line $ONLY ${HOME-none} >&2
            ls -l /proc/self/fd | grep -c status >&2; exit 3";
        let child = Spawn {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![("ONLY".into(), "this".into()), ("PATH".into(), "/bin:/usr/bin".into())],
            stdin: Some(theirs.into()),
            output: File::create(&log).unwrap(),
            errors: None,
            user: None,
        }
        .start()
        .unwrap();
        assert!(child.pidfd.wait(Duration::from_secs(10)));
        assert_eq!(child.pidfd.reap(), Ended::Exited(3));
        drop(kept);
        assert_eq!(
            std::fs::read_to_string(&log).unwrap(),
            "handed over this none
0
"
        );
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_missing_program_is_an_error_with_its_name() {
        let error = Spawn {
            program: "/nonexistent/program".into(),
            args: vec![],
            env: vec![],
            stdin: None,
            output: File::create("/dev/null").unwrap(),
            errors: None,
            user: None,
        }
        .start()
        .unwrap_err();
        assert_eq!(error.to_string(), "cannot run '/nonexistent/program'");
    }
}
