//! The host's CPUs: which there are, how they lie, what they are, and how busy they were.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::text;

/// One online CPU and its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    pub id: usize,
    pub socket: i64,
    pub die: i64,
    pub cluster: i64,
    pub core: i64,
    /// The CPUs that share its core, itself among them, in the kernel's spelling.
    pub siblings: String,
}

/// Which CPUs are present and online, and where the online ones lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    pub present: Vec<usize>,
    pub online: Vec<Cpu>,
}

/// What `/proc/cpuinfo` says of the first CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuInfo {
    pub vendor: String,
    pub model_name: String,
    pub family: u32,
    pub model: u32,
    pub stepping: u32,
    pub microcode: u32,
    pub mhz: u32,
    pub physical_bits: u32,
    pub flags: Vec<String>,
}

/// Time spent since the boot, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    pub user_ns: u64,
    pub system_ns: u64,
    pub idle_ns: u64,
    pub iowait_ns: u64,
}

impl Topology {
    /// The host's.
    pub fn host() -> Self {
        Self::at(Path::new("/sys/devices/system/cpu"))
    }

    /// That of a host whose kernel's folder of CPUs is this.
    pub fn at(base: &Path) -> Self {
        let numbers =
            |file: &str| text::read(base.join(file)).map_or_else(Vec::new, |t| text::list(&t));
        let place = |id: usize| {
            let dir = base.join(format!("cpu{id}/topology"));
            let number = |file: &str| text::number(dir.join(file));
            Cpu {
                id,
                socket: number("physical_package_id").unwrap_or(0),
                die: number("die_id").unwrap_or(0),
                cluster: number("cluster_id").unwrap_or(0),
                core: number("core_id").unwrap_or(0),
                siblings: text::read(dir.join("thread_siblings_list"))
                    .map_or_else(|| id.to_string(), |text| text.trim().to_owned()),
            }
        };
        Self {
            present: numbers("present"),
            online: numbers("online").into_iter().map(place).collect(),
        }
    }

    /// Sockets of a cell, dies of a socket, cores of a die and threads of a core: the largest found.
    pub fn shape(&self) -> Shape {
        let most = |of: &dyn Fn(&Cpu) -> (i64, i64, i64), each: &dyn Fn(&Cpu) -> i64| {
            let mut counts: Vec<((i64, i64, i64), Vec<i64>)> = Vec::new();
            for cpu in &self.online {
                let (group, one) = (of(cpu), each(cpu));
                match counts.iter_mut().find(|(known, _)| *known == group) {
                    Some((_, ones)) if ones.contains(&one) => {}
                    Some((_, ones)) => ones.push(one),
                    None => counts.push((group, vec![one])),
                }
            }
            let most = counts.iter().map(|(_, ones)| ones.len()).max().unwrap_or(1);
            u32::try_from(most).unwrap_or(1)
        };
        Shape {
            sockets: most(&|_| (0, 0, 0), &|cpu| cpu.socket),
            dies: most(&|cpu| (cpu.socket, 0, 0), &|cpu| cpu.die),
            cores: most(&|cpu| (cpu.socket, cpu.die, 0), &|cpu| cpu.core),
            threads: self
                .online
                .iter()
                .map(|cpu| u32::try_from(text::list(&cpu.siblings).len()).unwrap_or(1))
                .max()
                .unwrap_or(1),
        }
    }
}

impl Topology {
    /// The nodes below the kernel's folder of them and what lies in each, as one number for each level.
    ///
    /// Compat: of a host whose CPUs these numbers do not add up to, libvirt says that all are cores of one
    /// socket of one node.
    pub fn nodes(&self, base: &Path) -> Nodes {
        let mut nodes: Vec<Vec<usize>> = entries(base, "node")
            .map(|(_, node)| entries(&node, "cpu").map(|(id, _)| id).collect())
            .collect();
        if nodes.is_empty() {
            nodes.push(self.online.iter().map(|cpu| cpu.id).collect());
        }
        let mut found = Nodes { nodes: nodes.len(), sockets: 0, cores: 0, threads: 0 };
        for node in &nodes {
            let inside: Vec<&Cpu> =
                self.online.iter().filter(|cpu| node.contains(&cpu.id)).collect();
            let sockets: BTreeSet<i64> = inside.iter().map(|cpu| cpu.socket).collect();
            found.sockets = found.sockets.max(sockets.len());
            for socket in sockets {
                let cores = inside.iter().filter(|cpu| cpu.socket == socket).map(|cpu| cpu.core);
                found.cores = found.cores.max(cores.collect::<BTreeSet<i64>>().len());
            }
            let threads = inside.iter().map(|cpu| text::list(&cpu.siblings).len()).max();
            found.threads = found.threads.max(threads.unwrap_or(1));
        }
        let counts = [found.nodes, found.sockets, found.cores, found.threads];
        let product = counts.into_iter().fold(1_usize, usize::saturating_mul);
        if product == self.present.len() {
            return found;
        }
        Nodes { nodes: 1, sockets: 1, cores: self.online.len(), threads: 1 }
    }
}

/// What a folder has under that name and a number.
fn entries(folder: &Path, name: &'static str) -> impl Iterator<Item = (usize, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let id = entry.file_name().to_str()?.strip_prefix(name)?.parse().ok()?;
        Some((id, entry.path()))
    })
}

/// Nodes of a host, sockets of a node, cores of a socket, threads of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nodes {
    pub nodes: usize,
    pub sockets: usize,
    pub cores: usize,
    pub threads: usize,
}

/// How many of each level lie in one of the level above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub sockets: u32,
    pub dies: u32,
    pub cores: u32,
    pub threads: u32,
}

impl CpuInfo {
    /// The host's first CPU.
    pub fn host() -> Self {
        Self::parse(&text::read("/proc/cpuinfo").unwrap_or_default())
    }

    /// Reads the text of such a file.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines().take_while(|line| !line.trim().is_empty()) {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            let number = || value.parse().unwrap_or(0);
            match name.trim() {
                "vendor_id" => value.clone_into(&mut found.vendor),
                "model name" => value.clone_into(&mut found.model_name),
                "cpu family" => found.family = number(),
                "model" => found.model = number(),
                "stepping" => found.stepping = number(),
                "microcode" => {
                    let digits = value.trim_start_matches("0x");
                    found.microcode = u32::from_str_radix(digits, 16).unwrap_or(0);
                }
                // Compat: the fraction is cut off, not rounded.
                "cpu MHz" => {
                    let whole = value.split('.').next().unwrap_or_default();
                    found.mhz = whole.parse().unwrap_or(0);
                }
                "address sizes" => {
                    let bits = value.split_whitespace().next().unwrap_or_default();
                    found.physical_bits = bits.parse().unwrap_or(0);
                }
                "flags" => found.flags = value.split_whitespace().map(str::to_owned).collect(),
                _ => {}
            }
        }
        found
    }
}

impl CpuTime {
    /// Of one CPU, or of all together; nothing for a CPU that is not there.
    pub fn host(cpu: Option<usize>) -> Option<Self> {
        let name = cpu.map_or_else(|| "cpu".to_owned(), |id| format!("cpu{id}"));
        Self::parse(&text::read("/proc/stat")?, &name)
    }

    fn parse(text: &str, name: &str) -> Option<Self> {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name))?;
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
        let tick_ns = 1_000_000_000 / crate::clock_ticks();
        let sum = |fields: &[usize]| {
            fields.iter().filter_map(|at| ticks.get(*at)).sum::<u64>().saturating_mul(tick_ns)
        };
        // user nice system idle iowait irq softirq steal
        Some(Self {
            user_ns: sum(&[0, 1]),
            system_ns: sum(&[2, 5, 6]),
            idle_ns: sum(&[3]),
            iowait_ns: sum(&[4]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(id: usize, socket: i64, core: i64, siblings: &str) -> Cpu {
        Cpu { id, socket, core, siblings: siblings.to_owned(), ..Cpu::default() }
    }

    #[test]
    fn the_shape_counts_each_level_within_the_one_above() {
        let topology = Topology {
            present: vec![0, 1, 2, 3],
            online: vec![
                cpu(0, 0, 0, "0-1"),
                cpu(1, 0, 0, "0-1"),
                cpu(2, 1, 0, "2-3"),
                cpu(3, 1, 0, "2-3"),
            ],
        };
        assert_eq!(topology.shape(), Shape { sockets: 2, dies: 1, cores: 1, threads: 2 });
    }

    #[test]
    fn cpuinfo_is_read_up_to_the_second_cpu() {
        let text = "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: A: B\n\
                    microcode\t: 0x1000065\ncpu MHz\t\t: 2596.998\nflags\t\t: fpu vme\n\nmodel\t: 9\n";
        let info = CpuInfo::parse(text);
        assert_eq!((info.family, info.model, info.mhz), (6, 85, 2596));
        assert_eq!((info.model_name.as_str(), info.microcode), ("A: B", 0x100_0065));
        assert_eq!(info.flags, ["fpu", "vme"]);
    }

    #[test]
    fn busy_time_by_cpu() {
        let text = "cpu  10 2 3 4 5 6 7 8\ncpu1 1 0 1 1 1 0 0 0\n";
        let tick_ns = 1_000_000_000 / crate::clock_ticks();
        let all = CpuTime::parse(text, "cpu").unwrap();
        assert_eq!((all.user_ns, all.system_ns), (12 * tick_ns, 16 * tick_ns));
        assert_eq!(CpuTime::parse(text, "cpu1").unwrap().idle_ns, tick_ns);
        assert_eq!(CpuTime::parse(text, "cpu7"), None);
    }
}
