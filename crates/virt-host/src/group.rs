//! One control group of ours: made in every hierarchy that has a controller for it, version 1 or 2.
//!
//! Each controller is looked up by itself, for a host may have some in version 1 and others in 2.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Cgroups, HostError, Result, text};

/// Which rules a hierarchy's files follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// A group by its path below the mounts. It need not be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Each controller's directory.
    places: Vec<(String, PathBuf, Version)>,
    /// The one directory that version 2 has for all, and where it is mounted.
    unified: Option<(PathBuf, PathBuf)>,
}

impl Group {
    /// The group of this path, for those of these controllers that the host has.
    pub fn at(cgroups: &Cgroups, path: &Path, controllers: &[&str]) -> Self {
        let mut group = Self::default();
        for controller in controllers {
            if let Some((_, mount)) = cgroups.legacy.iter().find(|(name, _)| name == controller) {
                group.places.push(((*controller).to_owned(), mount.join(path), Version::V1));
            } else if let Some((mount, names)) = &cgroups.unified
                && names.iter().any(|name| name == v2_name(controller))
            {
                group.places.push(((*controller).to_owned(), mount.join(path), Version::V2));
                group.unified = Some((mount.join(path), mount.clone()));
            }
        }
        group
    }

    /// Makes what is missing of it; a controller whose directory cannot be made is left out.
    pub fn make(&mut self) {
        if let Some((dir, mount)) = &self.unified {
            let controllers = self.places.iter().filter(|(_, _, version)| *version == Version::V2);
            let wanted: Vec<String> =
                controllers.map(|(name, _, _)| format!("+{}", v2_name(name))).collect();
            enable_above(mount, dir, &wanted);
        }
        self.places.retain(|(_, dir, _)| fs::create_dir_all(dir).is_ok());
    }

    /// The directory of a controller, where the group has one.
    pub fn place(&self, controller: &str) -> Option<(&Path, Version)> {
        let found = self.places.iter().find(|(name, dir, _)| name == controller && dir.is_dir());
        found.map(|(_, dir, version)| (dir.as_path(), *version))
    }

    /// Moves a process with all its threads into the group.
    pub fn add(&self, pid: u32) -> Result<()> {
        for dir in self.dirs() {
            write(&dir.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// The group of this name in this one, for one controller's threads.
    pub fn child(&self, controller: &str, name: &str) -> Self {
        let places: Vec<_> = self.places.iter().filter(|(of, _, _)| of == controller).collect();
        let places = places.into_iter().map(|(of, dir, v)| (of.clone(), dir.join(name), *v));
        Self { places: places.collect(), unified: None }
    }

    /// Makes it, and moves one thread of a process in its parent into it.
    pub fn make_for_thread(&self, thread: u32) -> Result<()> {
        for (controller, dir, version) in &self.places {
            fs::create_dir_all(dir)
                .map_err(|error| HostError::io(format!("create '{}'", dir.display()), error))?;
            match version {
                Version::V1 => write(&dir.join("tasks"), &thread.to_string())?,
                Version::V2 => {
                    write(&dir.join("cgroup.type"), "threaded")?;
                    if let Some(parent) = dir.parent() {
                        let on = format!("+{}", v2_name(controller));
                        write(&parent.join("cgroup.subtree_control"), &on)?;
                    }
                    write(&dir.join("cgroup.threads"), &thread.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// Sets a file of a controller.
    pub fn set(&self, controller: &str, file: &str, value: &str) -> Result<()> {
        match self.place(controller) {
            Some((dir, _)) => write(&dir.join(file), value),
            None => Err(HostError::io(
                format!("set '{file}': there is no control group for '{controller}'"),
                std::io::ErrorKind::Unsupported,
            )),
        }
    }

    pub fn get(&self, controller: &str, file: &str) -> Option<String> {
        let text = text::read(self.place(controller)?.0.join(file))?;
        Some(text.trim_end().to_owned())
    }

    /// Removes it and what is below it; a group somebody is still in stays.
    pub fn remove(&self) {
        for dir in self.dirs() {
            let below = fs::read_dir(&dir).into_iter().flatten().flatten();
            for entry in below.filter(|entry| entry.path().is_dir()) {
                // It has no groups of its own below: ours are two deep.
                let _ = fs::remove_dir(entry.path());
            }
            let _ = fs::remove_dir(&dir);
        }
    }

    fn dirs(&self) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> = self.places.iter().map(|(_, dir, _)| dir.clone()).collect();
        dirs.sort();
        dirs.dedup();
        dirs
    }
}

/// Version 2 names some controllers otherwise, and counts processor time in that of processors.
fn v2_name(controller: &str) -> &str {
    match controller {
        "blkio" => "io",
        "cpuacct" => "cpu",
        other => other,
    }
}

/// Lets the groups on the way to `dir` have the controllers.
fn enable_above(mount: &Path, dir: &Path, wanted: &[String]) {
    let mut above: Vec<&Path> =
        dir.ancestors().skip(1).take_while(|p| p.starts_with(mount)).collect();
    above.reverse();
    for parent in above {
        // What cannot be had is seen when the file is not there.
        let _ = fs::create_dir_all(parent);
        for controller in wanted {
            let _ = fs::write(parent.join("cgroup.subtree_control"), controller);
        }
    }
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value)
        .map_err(|error| HostError::io(format!("write '{value}' to '{}'", path.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("virt-host-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_hybrid_host_gives_each_controller_its_own_place() {
        let root = scratch("hybrid");
        let cgroups = Cgroups {
            legacy: vec![("cpu".into(), root.join("cpu")), ("memory".into(), root.join("memory"))],
            unified: Some((root.join("unified"), vec!["io".into(), "pids".into()])),
        };
        let path = Path::new("machine/one");
        let mut group = Group::at(&cgroups, path, &["cpu", "memory", "blkio", "cpuset"]);
        group.make();
        assert_eq!(group.place("cpu"), Some((&*root.join("cpu/machine/one"), Version::V1)));
        assert_eq!(group.place("blkio"), Some((&*root.join("unified/machine/one"), Version::V2)));
        assert_eq!(group.place("cpuset"), None);
        let enabled = fs::read_to_string(root.join("unified/machine/cgroup.subtree_control"));
        assert_eq!(enabled.unwrap(), "+io");
        group.set("cpu", "cpu.shares", "512").unwrap();
        assert_eq!(group.get("cpu", "cpu.shares").as_deref(), Some("512"));
        assert!(group.set("cpuset", "cpuset.cpus", "0").is_err());
        group.add(7).unwrap();
        assert_eq!(fs::read_to_string(root.join("memory/machine/one/cgroup.procs")).unwrap(), "7");
        group.child("cpu", "vcpu0").make_for_thread(9).unwrap();
        let tasks = fs::read_to_string(root.join("cpu/machine/one/vcpu0/tasks"));
        assert_eq!(tasks.unwrap(), "9");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn threads_have_groups_in_version_2_too() {
        let root = scratch("threads");
        let cgroups =
            Cgroups { legacy: Vec::new(), unified: Some((root.clone(), vec!["cpu".into()])) };
        let mut group = Group::at(&cgroups, Path::new("machine/one"), &["cpu", "cpuacct"]);
        group.make();
        group.child("cpu", "vcpu1").make_for_thread(9).unwrap();
        let of = |name: &str| fs::read_to_string(root.join("machine/one").join(name)).unwrap();
        assert_eq!(of("vcpu1/cgroup.threads"), "9");
        assert_eq!(of("vcpu1/cgroup.type"), "threaded");
        assert_eq!(of("cgroup.subtree_control"), "+cpu");
        fs::remove_dir_all(root).unwrap();
    }
}
