//! Which control groups the host has: version 1, version 2, both or none.

use std::path::{Path, PathBuf};

use crate::text;

/// The mounted control group hierarchies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// Controllers of version 1 by name, with the directory each is mounted on.
    pub legacy: Vec<(String, PathBuf)>,
    /// Where version 2 is mounted, and which controllers it really has: often none.
    pub unified: Option<(PathBuf, Vec<String>)>,
}

impl Cgroups {
    /// Whether this controller can be used in either version.
    pub fn has(&self, controller: &str) -> bool {
        self.legacy.iter().any(|(name, _)| name == controller)
            || self.unified.as_ref().is_some_and(|(_, all)| all.iter().any(|one| one == controller))
    }
}

/// Looks at this process's mounts.
pub fn cgroups() -> Cgroups {
    let mounts = text::read("/proc/self/mounts").unwrap_or_default();
    read_mounts(&mounts, |dir| text::read(dir.join("cgroup.controllers")).unwrap_or_default())
}

fn read_mounts(mounts: &str, controllers: impl Fn(&Path) -> String) -> Cgroups {
    /// Mount options of version 1 that name no controller.
    const OPTIONS: [&str; 8] =
        ["rw", "ro", "nosuid", "nodev", "noexec", "relatime", "noatime", "xattr"];
    let mut found = Cgroups::default();
    for line in mounts.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, dir, kind, options, ..] = words.as_slice() else { continue };
        let dir = PathBuf::from(dir);
        match *kind {
            "cgroup" => found.legacy.extend(
                options
                    .split(',')
                    .filter(|option| !OPTIONS.contains(option) && !option.contains('='))
                    .map(|controller| (controller.to_owned(), dir.clone())),
            ),
            "cgroup2" => {
                let names = controllers(&dir).split_whitespace().map(str::to_owned).collect();
                found.unified = Some((dir, names));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_told_apart() {
        let mounts = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0\n\
                      cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0\nproc /proc proc rw 0 0\n";
        let found = read_mounts(mounts, |_| "memory pids\n".to_owned());
        assert_eq!(found.legacy.len(), 2);
        assert!(found.has("cpuacct") && found.has("memory"));
        assert!(!found.has("blkio") && !found.has("rw"));
        assert_eq!(read_mounts("", |_| String::new()), Cgroups::default());
    }
}
