//! The host's memory as `/proc/meminfo` counts it.

use crate::text;

/// Memory in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryInfo {
    pub total_kib: u64,
    pub free_kib: u64,
    pub buffers_kib: u64,
    pub cached_kib: u64,
}

impl MemoryInfo {
    /// The whole host.
    pub fn host() -> Self {
        Self::parse(&text::read("/proc/meminfo").unwrap_or_default())
    }

    /// One NUMA node.
    pub fn cell(id: usize) -> Option<Self> {
        text::read(format!("/sys/devices/system/node/node{id}/meminfo"))
            .map(|text| Self::parse(&text))
    }

    /// Reads either file: a node's lines start with `Node N`.
    ///
    /// Compat: in a node's file the page cache is called `FilePages` and buffers are not told.
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().peekable();
            if words.next_if_eq(&"Node").is_some() {
                words.next();
            }
            let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
            let value = value.parse().unwrap_or(0);
            match name {
                "MemTotal:" => found.total_kib = value,
                "MemFree:" => found.free_kib = value,
                "Buffers:" => found.buffers_kib = value,
                "Cached:" | "FilePages:" => found.cached_kib = value,
                _ => {}
            }
        }
        found
    }
}

/// The page sizes the host offers, smallest first: the ordinary one and the huge ones.
pub fn page_sizes_kib() -> Vec<u64> {
    let mut sizes: Vec<u64> = std::fs::read_dir("/sys/kernel/mm/hugepages")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()
        })
        .collect();
    sizes.push(u64::try_from(rustix::param::page_size()).unwrap_or(4096) / 1024);
    sizes.sort_unstable();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_node_files() {
        let host =
            "MemTotal: 100 kB\nMemFree: 60 kB\nBuffers: 1 kB\nCached: 7 kB\nSwapCached: 9 kB\n";
        let expected = MemoryInfo { total_kib: 100, free_kib: 60, buffers_kib: 1, cached_kib: 7 };
        assert_eq!(MemoryInfo::parse(host), expected);
        let node = "Node 0 MemTotal: 100 kB\nNode 0 MemFree: 60 kB\nNode 0 FilePages: 7 kB\n";
        assert_eq!(MemoryInfo::parse(node), MemoryInfo { buffers_kib: 0, ..expected });
        assert!(MemoryInfo::host().total_kib > 0);
    }
}
