//! The calls, as structures of bytes.

use std::io::{Error, ErrorKind, Result};

use virt_types::Uuid;

use super::layout::{LAYOUTS, Layout};
use super::{DOMCTL, Gate, Pointer, SYSCTL};
use crate::seen::{Credit, Vcpu};

/// Both structures' size, and where what differs from call to call begins.
const DOMCTL_BYTES: usize = 144;
const DOMCTL_AT: usize = 16;
const SYSCTL_BYTES: usize = 136;
const SYSCTL_AT: usize = 8;
/// Limit: domains in one answer; more are asked for from there on.
const DOMAINS_AT_ONCE: usize = 1024;
/// Limit: as many as there are numbers for.
const DOMAINS_MAX: usize = 32_752;
/// Limit: processors of a host, and in one map.
const CPUS_MAX: usize = crate::channels::CPUS_MAX as usize;
/// Limit: nodes of memory; the hypervisor's own is 64.
const NODES_MAX: usize = 64;
/// Limit: virtual processors of one domain; what says more is not taken for so many.
const VCPUS_MAX: u32 = crate::channels::VCPUS_MAX;
/// A processor's core, socket and node; a node's memory and what is free of it.
const CPU_BYTES: usize = 12;
const NODE_BYTES: usize = 16;
/// The hypervisor counts memory in pages.
const KIB_PER_PAGE: u64 = 4;
/// How long the texts are that say who made it: compiler, by, domain, date.
const COMPILE: [usize; 4] = [64, 16, 32, 32];
/// Words of what processors can do.
pub(crate) const HW_CAPS: usize = 8;
/// `sysctl`'s calls.
const PHYSINFO: u32 = 3;
const SCHED_ID: u32 = 4;
const DOMAIN_LIST: u32 = 6;
const CPU_TOPOLOGY: u32 = 16;
const NUMA: u32 = 17;
/// `domctl`'s calls.
const PAUSE: u32 = 3;
const UNPAUSE: u32 = 4;
const DOMAIN: u32 = 5;
const SET_AFFINITY: u32 = 9;
const VCPU: u32 = 14;
const SCHEDULER: u32 = 16;
const SET_HANDLE: u32 = 17;
const GET_AFFINITY: u32 = 25;
const NODE_AFFINITY: u32 = 69;
/// An affinity that is insisted on.
const HARD: u32 = 1;

/// A domain as the hypervisor has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawDomain {
    pub(crate) id: u32,
    pub(crate) flags: u32,
    pub(crate) memory_kib: u64,
    pub(crate) max_memory_kib: u64,
    pub(crate) cpu_time_ns: u64,
    pub(crate) online: u32,
    pub(crate) max_vcpus: u32,
    pub(crate) uuid: Uuid,
}

/// What the host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawHost {
    pub(crate) threads: u32,
    pub(crate) cores: u32,
    pub(crate) cpus: u32,
    pub(crate) nodes: u32,
    pub(crate) khz: u32,
    /// Whether devices can be given to guests.
    pub(crate) directio: bool,
    pub(crate) total_kib: u64,
    pub(crate) free_kib: u64,
}

/// A node of memory; what is not there has all bits set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawNode {
    pub(crate) memory_bytes: u64,
    pub(crate) free_bytes: u64,
    pub(crate) distances: Vec<u32>,
}

/// Where a processor lies; one that is not there has all bits set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawPlace {
    pub(crate) core: u32,
    pub(crate) socket: u32,
    pub(crate) node: u32,
}

/// What the hypervisor says of how it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) extra: String,
    pub(crate) hw_caps: String,
    pub(crate) page_bytes: u64,
    pub(crate) virt_start: u64,
    pub(crate) changeset: String,
    pub(crate) compiler: String,
    pub(crate) compiled_by: String,
    pub(crate) compile_domain: String,
    pub(crate) compile_date: String,
}

/// The hypervisor, spoken to in its own release's words.
pub(crate) struct Calls {
    gate: Box<dyn Gate>,
    pub(crate) layout: Layout,
    pub(crate) version: (u32, u32, u32),
    pub(crate) caps: String,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    four.map_or(0, |four| u32::from_ne_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let eight = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    eight.map_or(0, |eight| u64::from_ne_bytes(*eight))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    // The structures are ours, and the places are within them.
    let end = at.saturating_add(value.len());
    bytes.get_mut(at..end).into_iter().for_each(|place| place.copy_from_slice(value));
}

/// The numbers below `most` whose bits are set.
fn numbers(map: &[u8], most: usize) -> Vec<usize> {
    let is_set = |at: &usize| map.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
    (0..most).filter(is_set).collect()
}

/// A count that the hypervisor gives, which sizes what it is asked to fill: one beyond the bound is an error.
fn counted(what: &str, count: u32, most: usize) -> Result<usize> {
    match usize::try_from(count) {
        Ok(count) if count <= most => Ok(count),
        _ => {
            let detail = format!("it says that there are {count} {what}, more than {most}");
            Err(Error::new(ErrorKind::InvalidData, detail))
        }
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).trim().to_owned()
}

impl Calls {
    /// Finds out which interface this hypervisor has. A wrong number is refused with no harm done.
    pub(crate) fn probe(gate: Box<dyn Gate>) -> Result<Self> {
        let version = u32::try_from(gate.version(0, &mut [])?).map_err(Error::other)?;
        let (major, minor) = (version >> 16, version & 0xffff);
        let mut extra = [0; 16];
        gate.version(1, &mut extra)?;
        let mut caps = [0; 1024];
        gate.version(3, &mut caps)?;
        let digits = text(&extra);
        let digits = digits.trim_start_matches('.');
        let micro: String = digits.chars().take_while(char::is_ascii_digit).collect();
        let first = LAYOUTS.first().ok_or(ErrorKind::Unsupported)?;
        let version = (major, minor, micro.parse().unwrap_or(0));
        let mut calls = Self { gate, layout: *first, version, caps: text(&caps) };
        if major != 4 {
            return Err(Error::from(ErrorKind::Unsupported));
        }
        // What the release says is most likely; a later one may have kept an interface.
        let likely = LAYOUTS.iter().find(|layout| layout.minor <= minor);
        for layout in likely.into_iter().chain(LAYOUTS) {
            calls.layout = *layout;
            match calls.host().and_then(|_| calls.domain(0)) {
                Ok(_) => return Ok(calls),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::from(ErrorKind::Unsupported))
    }

    /// How it was made; what a release does not tell is empty.
    pub(crate) fn build(&self) -> Result<Build> {
        let words = |sub: u32, bytes: usize| {
            let mut out = vec![0; bytes];
            self.gate.version(sub, &mut out).map(|_| out)
        };
        let compile = words(2, COMPILE.iter().sum())?;
        let mut rest = compile.as_slice();
        let mut next = |bytes: usize| {
            let (part, after) = rest.split_at_checked(bytes).unwrap_or_default();
            rest = after;
            text(part)
        };
        let [compiler, compiled_by, compile_domain, compile_date] = COMPILE.map(&mut next);
        let hw_caps = self.hw_caps()?;
        let hw_caps: Vec<String> =
            hw_caps.iter().flatten().map(|word| format!("{word:08x}")).collect();
        Ok(Build {
            extra: text(&words(1, 16)?),
            hw_caps: hw_caps.join(":"),
            page_bytes: u64::try_from(self.gate.version(7, &mut [])?).unwrap_or(0),
            virt_start: u64_at(&words(5, 8)?, 0),
            changeset: text(&words(4, 64)?),
            compiler,
            compiled_by,
            compile_domain,
            compile_date,
        })
    }

    fn sysctl(&self, cmd: u32, fill: impl FnOnce(&mut [u8])) -> Result<[u8; SYSCTL_BYTES]> {
        self.sysctl_with(cmd, fill, None)
    }

    fn sysctl_with(
        &self,
        cmd: u32,
        fill: impl FnOnce(&mut [u8]),
        data: Option<(Pointer, &mut [u8])>,
    ) -> Result<[u8; SYSCTL_BYTES]> {
        let mut head = [0; SYSCTL_BYTES];
        put(&mut head, 0, &cmd.to_ne_bytes());
        put(&mut head, 4, &self.layout.sysctl.to_ne_bytes());
        fill(&mut head);
        self.gate.control(SYSCTL, &mut head, data)?;
        Ok(head)
    }

    fn domctl(
        &self,
        cmd: u32,
        id: u32,
        fill: impl FnOnce(&mut [u8]),
        data: Option<(Pointer, &mut [u8])>,
    ) -> Result<[u8; DOMCTL_BYTES]> {
        let id = u16::try_from(id).map_err(Error::other)?;
        let mut head = [0; DOMCTL_BYTES];
        put(&mut head, 0, &cmd.to_ne_bytes());
        put(&mut head, 4, &self.layout.domctl.to_ne_bytes());
        put(&mut head, 8, &id.to_ne_bytes());
        fill(&mut head);
        self.gate.control(DOMCTL, &mut head, data)?;
        Ok(head)
    }

    pub(crate) fn host(&self) -> Result<RawHost> {
        let head = self.sysctl(PHYSINFO, |_| {})?;
        let at = |offset: usize| u32_at(&head, SYSCTL_AT + offset);
        let (total, free) = self.layout.pages();
        let kib = |offset: usize| u64_at(&head, SYSCTL_AT + offset).saturating_mul(KIB_PER_PAGE);
        counted("processors", at(8), CPUS_MAX)?;
        Ok(RawHost {
            threads: at(0),
            cores: at(4),
            cpus: at(8),
            nodes: at(16),
            khz: at(24),
            directio: at(28) & self.layout.directio() != 0,
            total_kib: kib(total),
            free_kib: kib(free),
        })
    }

    /// What processors can do, as they say it themselves; `None` where a release's place for it is not known.
    pub(crate) fn hw_caps(&self) -> Result<Option<[u32; HW_CAPS]>> {
        let Some(at) = self.layout.hw_caps() else { return Ok(None) };
        let head = self.sysctl(PHYSINFO, |_| {})?;
        let word = |number: usize| u32_at(&head, SYSCTL_AT + at + number.saturating_mul(4));
        Ok(Some(std::array::from_fn(word)))
    }

    /// Nodes of memory; `None` of releases that tell it in other words.
    pub(crate) fn nodes(&self) -> Result<Option<Vec<RawNode>>> {
        if !self.layout.has_plain_topology() {
            return Ok(None);
        }
        let count = u32_at(&self.sysctl(NUMA, |_| {})?, SYSCTL_AT);
        let nodes = counted("nodes", count, NODES_MAX)?;
        let fill = |head: &mut [u8]| put(head, SYSCTL_AT, &count.to_ne_bytes());
        let mut memory = vec![0; nodes.saturating_mul(NODE_BYTES)];
        self.sysctl_with(NUMA, fill, Some((Pointer(SYSCTL_AT + 8), &mut memory)))?;
        let mut distances = vec![0; nodes.saturating_mul(nodes).saturating_mul(4)];
        self.sysctl_with(NUMA, fill, Some((Pointer(SYSCTL_AT + 16), &mut distances)))?;
        let rows = distances.chunks_exact(nodes.saturating_mul(4).max(1));
        let nodes = memory.chunks_exact(NODE_BYTES).zip(rows).map(|(node, row)| RawNode {
            memory_bytes: u64_at(node, 0),
            free_bytes: u64_at(node, 8),
            distances: row.chunks_exact(4).map(|four| u32_at(four, 0)).collect(),
        });
        Ok(Some(nodes.collect()))
    }

    /// Where each processor lies; `None` of releases that tell it in other words.
    pub(crate) fn places(&self) -> Result<Option<Vec<RawPlace>>> {
        if !self.layout.has_plain_topology() {
            return Ok(None);
        }
        let count = u32_at(&self.sysctl(CPU_TOPOLOGY, |_| {})?, SYSCTL_AT);
        let cpus = counted("processors", count, CPUS_MAX)?;
        let fill = |head: &mut [u8]| put(head, SYSCTL_AT, &count.to_ne_bytes());
        let mut data = vec![0; cpus.saturating_mul(CPU_BYTES)];
        self.sysctl_with(CPU_TOPOLOGY, fill, Some((Pointer(SYSCTL_AT + 8), &mut data)))?;
        let places = data.chunks_exact(CPU_BYTES).map(|cpu| RawPlace {
            core: u32_at(cpu, 0),
            socket: u32_at(cpu, 4),
            node: u32_at(cpu, 8),
        });
        Ok(Some(places.collect()))
    }

    /// The nodes that a domain's memory comes from; `None` of releases that do not say it.
    pub(crate) fn domain_nodes(&self, id: u32) -> Result<Option<Vec<usize>>> {
        if !self.layout.has_plain_topology() {
            return Ok(None);
        }
        let mut map = vec![0_u8; NODES_MAX / 8];
        let bits = u32::try_from(NODES_MAX).map_err(Error::other)?;
        let fill = |head: &mut [u8]| put(head, DOMCTL_AT + 8, &bits.to_ne_bytes());
        self.domctl(NODE_AFFINITY, id, fill, Some((Pointer(DOMCTL_AT), &mut map)))?;
        Ok(Some(numbers(&map, NODES_MAX)))
    }

    pub(crate) fn scheduler(&self) -> Result<u32> {
        self.sysctl(SCHED_ID, |_| {}).map(|head| u32_at(&head, SYSCTL_AT))
    }

    /// All domains: one call for a thousand of them.
    pub(crate) fn domains(&self) -> Result<Vec<RawDomain>> {
        let size = self.layout.domain.size;
        let mut found: Vec<RawDomain> = Vec::new();
        let mut data = vec![0; size.saturating_mul(DOMAINS_AT_ONCE)];
        loop {
            let next = found.last().map_or(0, |last| last.id.saturating_add(1));
            let first = u16::try_from(next).map_err(Error::other)?;
            let most = u32::try_from(DOMAINS_AT_ONCE).map_err(Error::other)?;
            let fill = |head: &mut [u8]| {
                put(head, SYSCTL_AT, &first.to_ne_bytes());
                put(head, SYSCTL_AT + 4, &most.to_ne_bytes());
            };
            let pointer = Pointer(SYSCTL_AT + 8);
            let head = self.sysctl_with(DOMAIN_LIST, fill, Some((pointer, &mut data)))?;
            let count = counted("domains", u32_at(&head, SYSCTL_AT + 16), DOMAINS_AT_ONCE)?;
            let before = found.len();
            for bytes in data.chunks_exact(size).take(count) {
                let domain = self.read(bytes);
                // They come in order; what does not is no answer to go on from.
                if found.last().is_some_and(|last| last.id >= domain.id) {
                    return Ok(found);
                }
                found.push(domain);
            }
            let all = count < DOMAINS_AT_ONCE || found.len() >= DOMAINS_MAX;
            if all || found.len() == before {
                return Ok(found);
            }
        }
    }

    /// One domain, where it is there.
    pub(crate) fn domain(&self, id: u32) -> Result<Option<RawDomain>> {
        let head = match self.domctl(DOMAIN, id, |_| {}, None) {
            Ok(head) => head,
            Err(error) if error.raw_os_error() == Some(ESRCH) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = self.read(head.get(DOMCTL_AT..).unwrap_or_default());
        // Compat: some releases answer with the next one where this is not there.
        Ok(Some(found).filter(|found| found.id == id))
    }

    pub(super) fn read(&self, bytes: &[u8]) -> RawDomain {
        let layout = &self.layout.domain;
        let kib = |at: usize| u64_at(bytes, at).saturating_mul(KIB_PER_PAGE);
        let mut uuid = [0; 16];
        let handle = bytes.get(layout.uuid..).and_then(|rest| rest.first_chunk::<16>());
        handle.into_iter().for_each(|handle| uuid = *handle);
        RawDomain {
            id: u32_at(bytes, 0) & 0xffff,
            flags: u32_at(bytes, 4),
            memory_kib: kib(8),
            max_memory_kib: kib(16),
            cpu_time_ns: u64_at(bytes, layout.cpu_time),
            online: u32_at(bytes, layout.online).min(VCPUS_MAX),
            max_vcpus: u32_at(bytes, layout.max_vcpu_id).saturating_add(1).min(VCPUS_MAX),
            uuid: Uuid(uuid),
        }
    }

    pub(crate) fn pause(&self, id: u32) -> Result<()> {
        self.domctl(PAUSE, id, |_| {}, None).map(drop)
    }

    pub(crate) fn unpause(&self, id: u32) -> Result<()> {
        self.domctl(UNPAUSE, id, |_| {}, None).map(drop)
    }

    pub(crate) fn set_uuid(&self, id: u32, uuid: Uuid) -> Result<()> {
        self.domctl(SET_HANDLE, id, |head| put(head, DOMCTL_AT, &uuid.0), None).map(drop)
    }

    pub(crate) fn vcpu(&self, id: u32, number: u32) -> Result<Vcpu> {
        let fill = |head: &mut [u8]| put(head, DOMCTL_AT, &number.to_ne_bytes());
        let head = self.domctl(VCPU, id, fill, None)?;
        let byte = |at: usize| head.get(DOMCTL_AT + at).is_some_and(|byte| *byte != 0);
        Ok(Vcpu {
            number,
            online: byte(4),
            blocked: byte(5),
            running: byte(6),
            cpu_time_ns: u64_at(&head, DOMCTL_AT + 8),
            cpu: u32_at(&head, DOMCTL_AT + 16).cast_signed(),
            pins: Vec::new(),
        })
    }

    fn affinity(&self, cmd: u32, id: u32, number: u32, map: &mut [u8]) -> Result<()> {
        let bits = u32::try_from(map.len().saturating_mul(8)).map_err(Error::other)?;
        let hard = self.layout.has_hard_affinity();
        let fill = |head: &mut [u8]| {
            put(head, DOMCTL_AT, &number.to_ne_bytes());
            if hard {
                put(head, DOMCTL_AT + 4, &HARD.to_ne_bytes());
            }
            put(head, DOMCTL_AT + 16, &bits.to_ne_bytes());
        };
        self.domctl(cmd, id, fill, Some((Pointer(DOMCTL_AT + 8), map))).map(drop)
    }

    /// Where a virtual processor may run, of so many.
    pub(crate) fn pins(&self, id: u32, number: u32, cpus: u32) -> Result<Vec<usize>> {
        let cpus = counted("processors", cpus, CPUS_MAX)?;
        let mut map = vec![0_u8; cpus.div_ceil(8)];
        self.affinity(GET_AFFINITY, id, number, &mut map)?;
        Ok(numbers(&map, cpus))
    }

    pub(crate) fn pin(&self, id: u32, number: u32, cpus: &[usize]) -> Result<()> {
        let most = cpus.iter().copied().filter(|cpu| *cpu < CPUS_MAX).max().unwrap_or(0);
        let mut map = vec![0_u8; most / 8 + 1];
        for cpu in cpus {
            if let Some(byte) = map.get_mut(cpu / 8) {
                *byte |= 1 << (cpu % 8);
            }
        }
        self.affinity(SET_AFFINITY, id, number, &mut map)
    }

    fn share(&self, id: u32, cmd: u32, credit: Credit) -> Result<Credit> {
        let scheduler = self.scheduler()?;
        let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let head = self.domctl(
            SCHEDULER,
            id,
            |head| {
                put(head, DOMCTL_AT, &scheduler.to_ne_bytes());
                put(head, DOMCTL_AT + 4, &cmd.to_ne_bytes());
                put(head, DOMCTL_AT + 8, &short(credit.weight).to_ne_bytes());
                put(head, DOMCTL_AT + 10, &short(credit.cap).to_ne_bytes());
            },
            None,
        )?;
        let both = u32_at(&head, DOMCTL_AT + 8);
        // Two short numbers, one behind the other, as this machine orders them.
        let [a, b, c, d] = both.to_ne_bytes();
        let pair = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
        Ok(Credit { weight: u32::from(pair.0), cap: u32::from(pair.1) })
    }

    pub(crate) fn credit(&self, id: u32) -> Result<Credit> {
        self.share(id, 1, Credit::default())
    }

    pub(crate) fn set_credit(&self, id: u32, credit: Credit) -> Result<()> {
        self.share(id, 0, credit).map(drop)
    }
}

/// No such domain.
const ESRCH: i32 = 3;
