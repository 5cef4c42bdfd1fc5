//! Where each release has what. The interface changes with its number, which the hypervisor insists on.

/// A domain in the hypervisor's list: where its fields are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DomainLayout {
    pub(crate) cpu_time: usize,
    pub(crate) online: usize,
    pub(crate) max_vcpu_id: usize,
    pub(crate) uuid: usize,
    pub(crate) size: usize,
}

/// Xen 4.1, before pages were shared and paged.
const DOMAIN_4_1: DomainLayout =
    DomainLayout { cpu_time: 40, online: 48, max_vcpu_id: 52, uuid: 60, size: 80 };
const DOMAIN_4_2: DomainLayout =
    DomainLayout { cpu_time: 48, online: 56, max_vcpu_id: 60, uuid: 68, size: 88 };
/// From Xen 4.3 on only the end has grown.
const fn domain(size: usize) -> DomainLayout {
    DomainLayout { cpu_time: 56, online: 64, max_vcpu_id: 68, uuid: 76, size }
}

/// One release's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The first release of Xen 4 that has it.
    pub(crate) minor: u32,
    pub(crate) domctl: u32,
    pub(crate) sysctl: u32,
    pub(crate) domain: DomainLayout,
}

impl Layout {
    /// Where the host's pages are counted in `physinfo`: all, and free.
    pub(crate) fn pages(&self) -> (usize, usize) {
        if self.minor >= 17 { (40, 48) } else { (32, 40) }
    }

    /// Where it says what processors can do; of older releases the place is not known.
    pub(crate) fn hw_caps(&self) -> Option<usize> {
        (self.minor >= 17).then_some(80)
    }

    /// Which bit of what the host can do says that devices can be given to guests.
    pub(crate) fn directio(&self) -> u32 {
        if self.minor >= 13 { 4 } else { 2 }
    }

    /// Whether nodes and processors are told one by one.
    pub(crate) fn has_plain_topology(&self) -> bool {
        self.minor >= 6
    }

    /// Whether an affinity is wished or insisted on.
    pub(crate) fn has_hard_affinity(&self) -> bool {
        self.minor >= 5
    }
}

const fn row(minor: u32, domctl: u32, sysctl: u32, domain: DomainLayout) -> Layout {
    Layout { minor, domctl, sysctl, domain }
}

/// All interfaces, the newest first.
pub(crate) const LAYOUTS: &[Layout] = &[
    row(22, 0x18, 0x16, domain(112)),
    row(21, 0x17, 0x16, domain(112)),
    row(19, 0x17, 0x15, domain(112)),
    row(18, 0x16, 0x15, domain(112)),
    row(17, 0x15, 0x15, domain(112)),
    row(16, 0x14, 0x14, domain(112)),
    row(15, 0x13, 0x13, domain(104)),
    row(14, 0x12, 0x13, domain(104)),
    row(13, 0x12, 0x12, domain(104)),
    row(12, 0x11, 0x12, domain(104)),
    row(11, 0x10, 0x11, domain(104)),
    row(10, 0x0f, 0x10, domain(104)),
    row(9, 0x0d, 0x0f, domain(96)),
    row(8, 0x0c, 0x0e, domain(96)),
    row(7, 0x0b, 0x0d, domain(96)),
    row(6, 0x0b, 0x0c, domain(96)),
    row(5, 0x0a, 0x0b, domain(96)),
    row(3, 0x09, 0x0a, domain(96)),
    row(2, 0x08, 0x09, DOMAIN_4_2),
    row(1, 0x07, 0x08, DOMAIN_4_1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_interfaces_are_taken_for_each_other() {
        for (at, a) in LAYOUTS.iter().enumerate() {
            for b in &LAYOUTS[at + 1..] {
                assert!(a.minor > b.minor, "{a:?} {b:?}");
                assert_ne!((a.domctl, a.sysctl), (b.domctl, b.sysctl));
            }
        }
    }
}
