//! The calls against a hypervisor of a test's own, of each release's interface.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use virt_types::Uuid;

use super::layout::{LAYOUTS, Layout};
use super::{Calls, DOMCTL, Gate, HyperView, Pointer, SYSCTL};
use crate::channels::Hypervisor;
use crate::seen::{Credit, Key, Life, Place};
use crate::store_channel::StoreChannel;

const EACCES: i32 = 13;
const ESRCH: i32 = 3;

#[derive(Clone, Debug)]
pub(crate) struct Domain {
    flags: u32,
    pages: u64,
    pins: Vec<u8>,
    weight: u16,
    cap: u16,
    /// Until it is given another, its number says it.
    uuid: Option<[u8; 16]>,
}

/// A new domain of that number and UUID, paused.
pub(crate) fn appear(guests: &Guests, id: u16, uuid: Uuid) {
    let mut guests = guests.lock().expect("guests");
    let like = guests.values().next().expect("one is there").clone();
    guests.insert(id, Domain { flags: 8, uuid: Some(uuid.0), ..like });
}

/// A domain crashes, and stays.
pub(crate) fn crash(guests: &Guests, id: u16) {
    let mut guests = guests.lock().expect("guests");
    guests.get_mut(&id).expect("it is there").flags = 4 | 3 << 16;
}

/// Who runs, by number: a test may have them go.
pub(crate) type Guests = Arc<Mutex<BTreeMap<u16, Domain>>>;

/// A hypervisor that has one release's interface and no other.
pub(crate) struct Fake {
    layout: Layout,
    domains: Guests,
    calls: Arc<AtomicUsize>,
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("within")
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

impl Fake {
    pub(crate) fn new(layout: Layout, count: u16) -> (Self, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let domain = |flags| Domain {
            flags,
            pages: 16_384,
            pins: vec![0b1111],
            weight: 256,
            cap: 0,
            uuid: None,
        };
        // Every other number, as after some have ended.
        let guests = (0..count).map(|at| (at * 2, domain(if at % 2 == 0 { 32 } else { 2 | 8 })));
        let domains = Arc::new(Mutex::new(guests.collect()));
        (Self { layout, domains, calls: Arc::clone(&calls) }, calls)
    }

    pub(crate) fn guests(&self) -> Guests {
        Arc::clone(&self.domains)
    }

    fn describe(&self, id: u16, domain: &Domain, out: &mut [u8]) {
        let at = &self.layout.domain;
        put(out, 0, &id.to_ne_bytes());
        put(out, 4, &domain.flags.to_ne_bytes());
        put(out, 8, &domain.pages.to_ne_bytes());
        put(out, 16, &(domain.pages * 2).to_ne_bytes());
        put(out, at.cpu_time, &(u64::from(id) * 1_000_000_000).to_ne_bytes());
        put(out, at.online, &1_u32.to_ne_bytes());
        put(out, at.max_vcpu_id, &1_u32.to_ne_bytes());
        let own = || id.to_ne_bytes().repeat(8);
        put(out, at.uuid, &domain.uuid.map_or_else(own, |uuid| uuid.to_vec()));
    }

    fn sysctl(&self, head: &mut [u8], data: Option<(Pointer, &mut [u8])>) -> Result<i64> {
        match u32::from_ne_bytes(get(head, 0)) {
            3 => {
                let (total, free) = self.layout.pages();
                put(head, 8, &2_u32.to_ne_bytes());
                put(head, 12, &2_u32.to_ne_bytes());
                put(head, 16, &4_u32.to_ne_bytes());
                put(head, 24, &1_u32.to_ne_bytes());
                put(head, 32, &2_394_000_u32.to_ne_bytes());
                put(head, 8 + total, &1_048_576_u64.to_ne_bytes());
                put(head, 8 + free, &262_144_u64.to_ne_bytes());
            }
            4 => put(head, 8, &5_u32.to_ne_bytes()),
            17 => match data {
                None => put(head, 8, &2_u32.to_ne_bytes()),
                Some((Pointer(16), out)) => {
                    assert_eq!(u32::from_ne_bytes(get(head, 8)), 2, "as many as there are");
                    for (at, bytes) in [(0, 3_u64 << 30), (8, 1 << 30), (16, 1 << 30), (24, 0)] {
                        put(out, at, &bytes.to_ne_bytes());
                    }
                }
                Some((Pointer(24), out)) => {
                    for (at, distance) in [10_u32, 20, 21, 10].into_iter().enumerate() {
                        put(out, at * 4, &distance.to_ne_bytes());
                    }
                }
                Some((Pointer(at), _)) => panic!("nodes at {at}"),
            },
            16 => match data {
                None => put(head, 8, &4_u32.to_ne_bytes()),
                Some((pointer, out)) => {
                    assert_eq!(pointer, Pointer(16));
                    for cpu in 0..4_u32 {
                        let at = cpu as usize * 12;
                        for (word, value) in [cpu % 2, cpu / 2, cpu / 2].into_iter().enumerate() {
                            put(out, at + word * 4, &value.to_ne_bytes());
                        }
                    }
                }
            },
            6 => {
                let first = u16::from_ne_bytes(get(head, 8));
                let most = usize::try_from(u32::from_ne_bytes(get(head, 12))).expect("a count");
                let (pointer, out) = data.expect("a place for the list");
                assert_eq!(pointer, Pointer(16));
                let domains = self.domains.lock().expect("domains");
                let listed: Vec<_> = domains.range(first..).take(most).collect();
                let size = self.layout.domain.size;
                for (at, (id, domain)) in listed.iter().enumerate() {
                    self.describe(**id, domain, &mut out[at * size..(at + 1) * size]);
                }
                put(head, 24, &u32::try_from(listed.len()).expect("a count").to_ne_bytes());
            }
            other => panic!("sysctl {other}"),
        }
        Ok(0)
    }

    fn domctl(&self, head: &mut [u8], data: Option<(Pointer, &mut [u8])>) -> Result<i64> {
        let id = u16::from_ne_bytes(get(head, 8));
        let mut domains = self.domains.lock().expect("domains");
        let missing = || Error::from_raw_os_error(ESRCH);
        let domain = domains.get_mut(&id).ok_or_else(missing)?;
        match u32::from_ne_bytes(get(head, 0)) {
            3 => domain.flags |= 8,
            4 => domain.flags &= !8,
            5 => {
                let mut out = vec![0; self.layout.domain.size];
                self.describe(id, domain, &mut out);
                put(head, 16, &out);
            }
            cmd @ (9 | 25) => {
                assert_eq!(head[20], u8::from(self.layout.minor >= 5), "hard affinity");
                let (pointer, map) = data.expect("a map");
                assert_eq!(pointer, Pointer(24));
                assert_eq!(u32::from_ne_bytes(get(head, 32)) as usize, map.len() * 8);
                match cmd {
                    9 => domain.pins = map.to_vec(),
                    _ => map.copy_from_slice(&domain.pins),
                }
            }
            14 => {
                put(head, 20, &[1, 0, 1]);
                put(head, 24, &7_u64.to_ne_bytes());
                put(head, 32, &3_u32.to_ne_bytes());
            }
            16 => {
                assert_eq!(get::<4>(head, 16), 5_u32.to_ne_bytes());
                match u32::from_ne_bytes(get(head, 20)) {
                    0 => {
                        domain.weight = u16::from_ne_bytes(get(head, 24));
                        domain.cap = u16::from_ne_bytes(get(head, 26));
                    }
                    _ => {
                        put(head, 24, &domain.weight.to_ne_bytes());
                        put(head, 26, &domain.cap.to_ne_bytes());
                    }
                }
            }
            17 => domain.uuid = Some(get(head, 16)),
            69 => {
                let (pointer, map) = data.expect("a map");
                assert_eq!((pointer, get(head, 24)), (Pointer(16), 64_u32.to_ne_bytes()));
                map[0] = 0b110;
            }
            other => panic!("domctl {other}"),
        }
        Ok(0)
    }
}

impl Gate for Fake {
    fn version(&self, sub: u32, out: &mut [u8]) -> Result<i64> {
        match sub {
            0 => return Ok(i64::from(4 << 16 | self.layout.minor)),
            1 => put(out, 0, b".3-rc"),
            2 => {
                for (at, word) in [(0, "gcc"), (64, "me"), (80, "here"), (112, "today")] {
                    put(out, at, word.as_bytes());
                }
            }
            4 => put(out, 0, b"abc"),
            5 => put(out, 0, &0xffff_8000_0000_0000_u64.to_ne_bytes()),
            7 => return Ok(4096),
            _ => put(out, 0, b"xen-3.0-x86_64 hvm-3.0-x86_64 "),
        }
        Ok(0)
    }

    fn control(&self, op: u32, head: &mut [u8], data: Option<(Pointer, &mut [u8])>) -> Result<i64> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let version = u32::from_ne_bytes(get(head, 4));
        let known = if op == SYSCTL { self.layout.sysctl } else { self.layout.domctl };
        if version != known {
            return Err(Error::from_raw_os_error(EACCES));
        }
        match op {
            SYSCTL => self.sysctl(head, data),
            DOMCTL => self.domctl(head, data),
            other => panic!("call {other}"),
        }
    }
}

fn nowhere() -> Arc<StoreChannel> {
    Arc::new(StoreChannel::new(Some("/nowhere".into())))
}

#[test]
fn every_release_is_understood() {
    for layout in LAYOUTS {
        let (fake, _) = Fake::new(*layout, 3);
        let calls = Calls::probe(Box::new(fake)).expect("its interface is found");
        assert_eq!(calls.layout, *layout);
        assert_eq!(calls.version, (4, layout.minor, 3));
        let build = calls.build().expect("how it was made");
        let made = (build.compiler, build.compiled_by, build.compile_domain, build.compile_date);
        let words = ["gcc", "me", "here", "today"].map(str::to_owned);
        assert_eq!([made.0, made.1, made.2, made.3], words);
        assert_eq!((build.extra.as_str(), build.changeset.as_str()), (".3-rc", "abc"));
        assert_eq!((build.page_bytes, build.virt_start), (4096, 0xffff_8000_0000_0000));
        assert_eq!(build.hw_caps.is_empty(), layout.minor < 17);
        let view = HyperView::new(calls, nowhere());
        let all = view.running().expect("a list");
        assert_eq!(all.iter().map(|running| running.id).collect::<Vec<_>>(), [0, 2, 4]);
        let second = &all[1];
        assert_eq!(second.uuid.0, *2_u16.to_ne_bytes().repeat(8));
        assert_eq!((second.life, second.hvm), (Life::Paused, true));
        assert_eq!((second.memory_kib, second.max_memory_kib), (65_536, 131_072));
        assert_eq!((second.vcpus, second.max_vcpus, second.cpu_time_ns), (1, 2, 2_000_000_000));

        view.unpause(second).expect("it goes on");
        let look = |view: &HyperView| view.look(Key::Id(2)).expect("a look").expect("it is there");
        assert_eq!(look(&view).life, Life::Running);
        view.pause(second).expect("it is paused");
        assert_eq!(look(&view).life, Life::Paused);
        assert_eq!(view.look(Key::Id(3)).expect("a look"), None);
        let gone = view.look(Key::Uuid(Uuid([9; 16]))).expect("a look");
        assert_eq!(gone, None);

        view.pin(second, 1, &[0, 2]).expect("it is pinned");
        let vcpus = view.vcpus(second).expect("processors");
        assert_eq!(vcpus.len(), 2);
        assert_eq!((&*vcpus[1].pins, vcpus[1].cpu, vcpus[1].cpu_time_ns), (&[0, 2][..], 3, 7));
        view.set_uuid(&all[2], Uuid([9; 16])).expect("another UUID");
        assert_eq!(
            view.look(Key::Uuid(Uuid([9; 16]))).map(|found| found.map(|f| f.id)),
            Ok(Some(4))
        );
        let credit = Credit { weight: 500, cap: 50 };
        view.set_credit(second, credit).expect("another share");
        assert_eq!(view.credit(second), Ok(credit));
        let host = view.physical().expect("the host");
        assert_eq!((host.cpus, host.cores, host.threads, host.mhz), (4, 2, 2, 2394));
        assert_eq!((host.total_kib, host.free_kib), (4 << 20, 1 << 20));
        let cells = view.cells().expect("its memory");
        let nodes = view.domain_nodes(second).expect("where its memory is");
        if layout.minor < 6 {
            assert_eq!((cells.len(), cells[0].memory_kib, nodes), (1, 4 << 20, vec![0]));
        } else {
            assert_eq!((cells.len(), cells[0].memory_kib, cells[1].free_kib), (2, 3 << 20, 0));
            assert_eq!(cells[1].distances, [21, 10]);
            let place = |id, core| Place { id, socket: 1, core };
            assert_eq!(cells[1].cpus, [place(2, 0), place(3, 1)]);
            assert_eq!(nodes, [1], "a node that is not there is none of its");
        }
        assert_eq!((host.scheduler.as_str(), host.caps.contains("hvm")), ("credit", true));
    }
}

#[test]
fn two_hundred_domains_are_one_call_and_thousands_a_few() {
    for (count, most) in [(200, 1), (3000, 3)] {
        let (fake, asked) = Fake::new(LAYOUTS[0], count);
        let calls = Calls::probe(Box::new(fake)).expect("its interface is found");
        let view = HyperView::new(calls, nowhere());
        let before = asked.load(Ordering::Relaxed);
        assert_eq!(view.running().map(|all| all.len()), Ok(usize::from(count)));
        assert_eq!(asked.load(Ordering::Relaxed) - before, most);
    }
}

/// A hypervisor that says anything.
struct Liar(u8);

impl Gate for Liar {
    fn version(&self, _: u32, out: &mut [u8]) -> Result<i64> {
        out.fill(self.0);
        Ok(4 << 16 | 17)
    }

    fn control(&self, _: u32, head: &mut [u8], data: Option<(Pointer, &mut [u8])>) -> Result<i64> {
        head[16..].fill(self.0);
        data.into_iter().for_each(|(_, data)| data.fill(self.0));
        Ok(0)
    }
}

#[test]
fn nonsense_is_survived() {
    for byte in [0, 1, 0x7f, 0xff] {
        let Ok(calls) = Calls::probe(Box::new(Liar(byte))) else { continue };
        let view = HyperView::new(calls, nowhere());
        let all = view.running().expect("some list");
        assert!(all.len() <= 1024, "{byte}");
        for running in all.iter().take(1) {
            let running = crate::seen::Running { max_vcpus: 4, ..running.clone() };
            let _ = (view.vcpus(&running), view.credit(&running), view.physical());
        }
    }
}

/// One that tells the truth but for a count: in the answer to this call of `sysctl`, at this place.
struct Boaster {
    fake: Fake,
    cmd: u32,
    at: usize,
    count: u32,
}

impl Gate for Boaster {
    fn version(&self, sub: u32, out: &mut [u8]) -> Result<i64> {
        self.fake.version(sub, out)
    }

    fn control(&self, op: u32, head: &mut [u8], data: Option<(Pointer, &mut [u8])>) -> Result<i64> {
        let done = self.fake.control(op, head, data)?;
        if op == SYSCTL && u32::from_ne_bytes(get(head, 0)) == self.cmd {
            put(head, self.at, &self.count.to_ne_bytes());
        }
        Ok(done)
    }
}

#[test]
fn counts_beyond_all_bounds_are_errors_and_make_no_room() {
    const LAYOUT: Layout = LAYOUTS[4];
    for count in [65_537, 400_000_000, u32::MAX] {
        let calls = |cmd, at| {
            let (fake, _) = Fake::new(LAYOUT, 3);
            Calls::probe(Box::new(Boaster { fake, cmd, at, count }))
        };
        let words = |error: Error| {
            assert!(error.to_string().contains(&count.to_string()), "{error}");
        };
        words(calls(3, 16).err().expect("processors of the host"));
        words(calls(17, 8).expect("an interface").nodes().expect_err("nodes"));
        words(calls(16, 8).expect("an interface").places().expect_err("processors"));
        words(calls(6, 24).expect("an interface").domains().expect_err("domains"));
        let (fake, _) = Fake::new(LAYOUT, 3);
        let calls = Calls::probe(Box::new(fake)).expect("an interface");
        words(calls.pins(2, 0, count).expect_err("a map of so many"));
    }
}

#[test]
fn a_domain_has_no_more_processors_than_any_can_have() {
    let calls = Calls::probe(Box::new(Liar(0xff)));
    assert!(calls.is_err(), "a host without bounds is none");
    let (fake, _) = Fake::new(LAYOUTS[4], 3);
    let calls = Calls::probe(Box::new(fake)).expect("an interface");
    let found = calls.read(&[0xff; 112]);
    assert_eq!((found.max_vcpus, found.online), (1024, 1024));
}
