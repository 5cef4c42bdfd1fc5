//! NUMA cells: their CPUs, pages and distances.

use crate::{MemoryInfo, page_sizes_kib, text};

/// One NUMA node with memory or CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub id: usize,
    pub memory: MemoryInfo,
    /// Page size in KiB, number of such pages.
    pub pages: Vec<(u64, u64)>,
    /// Cell, distance to it.
    pub distances: Vec<(usize, u32)>,
    pub cpus: Vec<usize>,
}

impl Cell {
    /// How many pages of this size in KiB are free; 0 for a size that the host does not have.
    pub fn free_pages(&self, size_kib: u64) -> u64 {
        if self.pages.first().is_some_and(|(ordinary, _)| *ordinary == size_kib) {
            return self.memory.free_kib.checked_div(size_kib).unwrap_or(0);
        }
        let id = self.id;
        let dir = format!("/sys/devices/system/node/node{id}/hugepages/hugepages-{size_kib}kB");
        text::number(format!("{dir}/free_hugepages")).unwrap_or(0)
    }
}

/// All cells; a host without NUMA is one cell with everything.
pub fn cells() -> Vec<Cell> {
    let online =
        text::read("/sys/devices/system/node/online").map_or_else(Vec::new, |t| text::list(&t));
    if online.is_empty() {
        let memory = MemoryInfo::host();
        let pages = pages(&memory, |_| None);
        let cpus =
            text::read("/sys/devices/system/cpu/online").map_or_else(Vec::new, |t| text::list(&t));
        return vec![Cell { memory, pages, cpus, ..Cell::default() }];
    }
    online.iter().map(|id| cell(*id, &online)).collect()
}

fn cell(id: usize, all: &[usize]) -> Cell {
    let dir = format!("/sys/devices/system/node/node{id}");
    let memory = MemoryInfo::cell(id).unwrap_or_default();
    let huge = |size: u64| text::number(format!("{dir}/hugepages/hugepages-{size}kB/nr_hugepages"));
    let distances = text::read(format!("{dir}/distance")).unwrap_or_default();
    Cell {
        id,
        memory,
        pages: pages(&memory, huge),
        distances: all
            .iter()
            .zip(distances.split_whitespace())
            .filter_map(|(cell, distance)| Some((*cell, distance.parse().ok()?)))
            .collect(),
        cpus: text::read(format!("{dir}/cpulist")).map_or_else(Vec::new, |t| text::list(&t)),
    }
}

/// Counts of pages of each size; ordinary pages are what the huge ones leave.
fn pages(memory: &MemoryInfo, huge: impl Fn(u64) -> Option<u64>) -> Vec<(u64, u64)> {
    let mut left_kib = memory.total_kib;
    let mut pages: Vec<(u64, u64)> = Vec::new();
    let sizes = page_sizes_kib();
    for size in sizes.iter().skip(1) {
        let count = huge(*size).unwrap_or(0);
        left_kib = left_kib.saturating_sub(count.saturating_mul(*size));
        pages.push((*size, count));
    }
    if let Some(ordinary) = sizes.first().filter(|size| **size > 0) {
        pages.insert(0, (*ordinary, left_kib / ordinary));
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_cell_with_memory_and_cpus() {
        let cells = cells();
        assert!(cells.iter().any(|cell| cell.memory.total_kib > 0 && !cell.cpus.is_empty()));
        assert!(cells.iter().all(|cell| cell.pages.first().is_some_and(|(size, _)| *size > 0)));
    }
}
