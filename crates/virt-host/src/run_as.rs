//! Running a program as another user, with that user's groups and limits of its own.
//!
//! Between fork and exec only unsafe code could do this, and a thread that gave its rights up would
//! let that user's other processes signal the daemon. So the daemon's own program is started anew:
//! before anything else it calls [`run_as_asked`], which gives all rights up and becomes the program.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Gid, Resource, Rlimit, Uid, setrlimit};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::{HostError, Result};

/// The first argument of the daemon's program when it is to become another one.
const ASKED: &str = "--run-as";

/// What a program started by us may not do to files it makes: everybody else may not write them.
const UMASK: u32 = 0o002;

/// A user with all that the kernel asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunAs {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups: all of them.
    pub groups: Vec<u32>,
    pub limits: Limits,
}

/// Limits that are not the daemon's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub max_processes: Option<u64>,
    pub max_files: Option<u64>,
}

impl RunAs {
    /// The command that becomes the program. The calling program's `main` begins with
    /// [`run_as_asked`].
    pub(crate) fn command(&self, program: &Path) -> Command {
        // The link leads to our program even when another one has taken its place.
        let mut command = Command::new("/proc/self/exe");
        // Whoever looks at the command line meanwhile sees what it is going to be.
        command.arg0(program).arg(ASKED).arg(self.to_text()).arg(program);
        command
    }

    fn to_text(&self) -> String {
        let groups: Vec<String> = self.groups.iter().map(u32::to_string).collect();
        let limit = |limit: Option<u64>| limit.map_or_else(String::new, |limit| limit.to_string());
        let Limits { max_processes, max_files } = self.limits;
        let (processes, files) = (limit(max_processes), limit(max_files));
        format!("{}:{}:{}:{processes}:{files}", self.uid, self.gid, groups.join(","))
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let mut field = || fields.next();
        let (uid, gid) = (field()?.parse().ok()?, field()?.parse().ok()?);
        let groups = field()?.split(',').filter(|group| !group.is_empty());
        let groups = groups.map(|group| group.parse().ok()).collect::<Option<_>>()?;
        let mut limit = || match field()? {
            "" => Some(None),
            number => number.parse().ok().map(Some),
        };
        let limits = Limits { max_processes: limit()?, max_files: limit()? };
        Some(Self { uid, gid, groups, limits })
    }

    /// Gives up what this process is. It has one thread only.
    fn become_it(&self) -> std::io::Result<()> {
        // Both limits: programs raise the one that holds to the other.
        let limit = |resource, limit: Option<u64>| match limit {
            Some(_) => setrlimit(resource, Rlimit { current: limit, maximum: limit }),
            None => Ok(()),
        };
        limit(Resource::Nproc, self.limits.max_processes)?;
        limit(Resource::Nofile, self.limits.max_files)?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(UMASK));
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        // Order: the user last, for it takes the right to change the rest.
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        Ok(())
    }
}

/// Becomes another program when this process was started for it; returns at once otherwise.
///
/// Order: the first thing `main` does, for what it changes it changes for one thread only.
pub fn run_as_asked() -> Result<()> {
    let mut args = std::env::args_os();
    let _ = args.next();
    if args.next().as_deref() != Some(OsStr::new(ASKED)) {
        return Ok(());
    }
    let invalid = || HostError::io(ASKED, std::io::ErrorKind::InvalidInput);
    let whom = args.next().and_then(|text| RunAs::from_text(text.to_str()?));
    let whom = whom.ok_or_else(invalid)?;
    let program: OsString = args.next().ok_or_else(invalid)?;
    let shown = program.to_string_lossy().into_owned();
    whom.become_it().map_err(|error| {
        HostError::io(format!("run '{shown}' as {}:{}", whom.uid, whom.gid), error)
    })?;
    let error = Command::new(&program).args(args).exec();
    Err(HostError::io(format!("run '{shown}'"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_travels_over_the_command_line() {
        let limits = Limits { max_processes: None, max_files: Some(20_000) };
        let whole = RunAs { uid: 64_055, gid: 994, groups: vec![993, 64_055], limits };
        for user in [RunAs::default(), whole] {
            assert_eq!(RunAs::from_text(&user.to_text()), Some(user));
        }
        for text in ["", "0", "0:0", "0:0:", "0:0:::x", "0:-1:::", "0:0:a::"] {
            assert_eq!(RunAs::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn the_command_line_names_the_program_first() {
        let command = RunAs::default().command(Path::new("/bin/true"));
        let args: Vec<_> = command.get_args().collect();
        assert_eq!(args, ["--run-as", "0:0:::", "/bin/true"]);
    }
}
