//! What runs, as the hypervisor itself tells it; only names are xenstore's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use virt_error::{Code, Error, Result};
use virt_types::{Name, Uuid};

use super::HW_CAPS;
use super::calls::{Calls, RawDomain};
use crate::ORIGIN;
use crate::channels::{Hypervisor, VCPUS_MAX, one_cell};
use crate::seen::{Cell, Credit, Key, Life, Physical, Place, Running, Vcpu};
use crate::store_channel::StoreChannel;

/// Limit: names that are remembered.
const NAMES_MAX: usize = 40_000;
/// Limit: a name; a longer one, or one that could garble a table, is none.
const NAME_BYTES_MAX: usize = 1024;
/// Flags of a domain.
const DYING: u32 = 1;
const HVM: u32 = 2;
const SHUTDOWN: u32 = 4;
const PAUSED: u32 = 8;
const BLOCKED: u32 = 16;
const CRASHED: u32 = 3;

/// The hypervisor as the channel to what runs.
pub(crate) struct HyperView {
    calls: Calls,
    store: Arc<StoreChannel>,
    /// A number is given once, so a name is asked for once.
    names: Mutex<HashMap<(u32, Uuid), Name>>,
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::new(Code::XenCall, ORIGIN, format!("{what}: {error}"))
}

/// What a domain ended for: 0 off, 1 reboot, 2 suspend, 3 crash.
pub(crate) fn reason(flags: u32) -> Option<u32> {
    (flags & SHUTDOWN != 0).then_some(flags >> 16 & 0xff)
}

fn life(flags: u32) -> Life {
    let has = |flag: u32| flags & flag != 0;
    match () {
        () if has(DYING) => Life::Dying,
        () if reason(flags) == Some(CRASHED) => Life::Crashed,
        () if has(SHUTDOWN) => Life::Down,
        () if has(PAUSED) => Life::Paused,
        () if has(BLOCKED) => Life::Blocked,
        () => Life::Running,
    }
}

impl HyperView {
    pub(crate) fn new(calls: Calls, store: Arc<StoreChannel>) -> Self {
        Self { calls, store, names: Mutex::default() }
    }

    /// A domain's name. One that xenstore does not say is known by its UUID.
    fn name(&self, raw: &RawDomain) -> Name {
        let key = (raw.id, raw.uuid);
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(&key) {
            return name.clone();
        }
        let path = format!("/local/domain/{}/name", raw.id);
        let read = self.store.ask(|store| store.read(&path)).flatten();
        let fits = |name: &String| {
            !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control)
        };
        let Some(name) = read.filter(fits) else {
            // It may be on its way: the next one who asks finds it.
            return match raw.id {
                0 => "Domain-0".into(),
                _ => raw.uuid.to_string().into(),
            };
        };
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        let name = Name::from(name);
        names.insert(key, name.clone());
        name
    }

    /// Names may have been changed by somebody else.
    fn forget_names(&self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn running_of(&self, raw: &RawDomain) -> Running {
        Running {
            id: raw.id,
            uuid: raw.uuid,
            name: self.name(raw),
            life: life(raw.flags),
            ended: reason(raw.flags),
            hvm: raw.flags & HVM != 0,
            memory_kib: raw.memory_kib,
            max_memory_kib: raw.max_memory_kib.max(raw.memory_kib),
            vcpus: raw.online,
            max_vcpus: raw.max_vcpus,
            cpu_time_ns: raw.cpu_time_ns,
        }
    }

    fn find(&self, key: Key<'_>) -> Result<Option<Running>> {
        if let Key::Id(id) = key {
            if id > u32::from(u16::MAX) {
                return Ok(None);
            }
            let raw = self.calls.domain(id).map_err(|error| failed("a domain's state", &error))?;
            return Ok(raw.map(|raw| self.running_of(&raw)));
        }
        Ok(self.running()?.into_iter().find(|running| key.fits(running)))
    }
}

impl Hypervisor for HyperView {
    fn running(&self) -> Result<Vec<Running>> {
        let all = self.calls.domains().map_err(|error| failed("the list of domains", &error))?;
        Ok(all.iter().map(|raw| self.running_of(raw)).collect())
    }

    fn look(&self, key: Key<'_>) -> Result<Option<Running>> {
        let found = self.find(key)?;
        if found.is_none() && matches!(key, Key::Name(_)) {
            self.forget_names();
            return self.find(key);
        }
        Ok(found)
    }

    fn pause(&self, running: &Running) -> Result<()> {
        self.calls.pause(running.id).map_err(|error| failed("pausing a domain", &error))
    }

    fn unpause(&self, running: &Running) -> Result<()> {
        self.calls.unpause(running.id).map_err(|error| failed("unpausing a domain", &error))
    }

    fn vcpus(&self, running: &Running) -> Result<Vec<Vcpu>> {
        let wrong = |error: std::io::Error| failed("a domain's processors", &error);
        let cpus = self.calls.host().map_err(wrong)?.cpus;
        let mut vcpus = Vec::new();
        for number in 0..running.max_vcpus.min(VCPUS_MAX) {
            let mut vcpu = self.calls.vcpu(running.id, number).map_err(wrong)?;
            vcpu.pins = self.calls.pins(running.id, number, cpus).map_err(wrong)?;
            vcpus.push(vcpu);
        }
        Ok(vcpus)
    }

    fn pin(&self, running: &Running, vcpu: u32, cpus: &[usize]) -> Result<()> {
        let pinned = self.calls.pin(running.id, vcpu, cpus);
        pinned.map_err(|error| failed("pinning a processor", &error))
    }

    fn credit(&self, running: &Running) -> Result<Credit> {
        self.calls.credit(running.id).map_err(|error| failed("a domain's share", &error))
    }

    fn set_credit(&self, running: &Running, credit: Credit) -> Result<()> {
        let set = self.calls.set_credit(running.id, credit);
        set.map_err(|error| failed("setting a domain's share", &error))
    }

    fn physical(&self) -> Result<Physical> {
        let wrong = |error: std::io::Error| failed("what the host has", &error);
        let host = self.calls.host().map_err(wrong)?;
        let scheduler = match self.calls.scheduler().map_err(wrong)? {
            4 => "sedf",
            5 => "credit",
            6 => "credit2",
            7 => "arinc653",
            8 => "rtds",
            9 => "null",
            _ => "",
        };
        Ok(Physical {
            cpus: host.cpus.max(1),
            nodes: host.nodes.max(1),
            cores: host.cores.max(1),
            threads: host.threads.max(1),
            mhz: host.khz / 1000,
            total_kib: host.total_kib,
            free_kib: host.free_kib,
            caps: self.calls.caps.clone(),
            directio: host.directio,
            scheduler: scheduler.to_owned(),
            version: self.calls.version,
        })
    }

    fn cells(&self) -> Result<Vec<Cell>> {
        let wrong = |error: std::io::Error| failed("how the host's memory lies", &error);
        let nodes = self.calls.nodes().map_err(wrong)?;
        let places = self.calls.places().map_err(wrong)?;
        let (Some(nodes), Some(places)) = (nodes, places) else {
            return Ok(vec![one_cell(&self.physical()?)]);
        };
        let kib = |bytes: u64| bytes / 1024;
        let there = nodes.into_iter().enumerate().filter(|(_, node)| node.memory_bytes != u64::MAX);
        let cells: Vec<Cell> = there
            .map(|(id, node)| Cell {
                id,
                memory_kib: kib(node.memory_bytes),
                free_kib: kib(node.free_bytes),
                distances: node.distances,
                cpus: places
                    .iter()
                    .enumerate()
                    .filter(|(_, place)| usize::try_from(place.node) == Ok(id))
                    .map(|(id, place)| Place { id, socket: place.socket, core: place.core })
                    .collect(),
            })
            .collect();
        match cells.is_empty() {
            true => Ok(vec![one_cell(&self.physical()?)]),
            false => Ok(cells),
        }
    }

    fn hw_caps(&self) -> Result<Option<[u32; HW_CAPS]>> {
        self.calls.hw_caps().map_err(|error| failed("what the processors can do", &error))
    }

    fn domain_nodes(&self, running: &Running) -> Result<Vec<usize>> {
        let known = self.calls.domain_nodes(running.id);
        let known = known.map_err(|error| failed("a domain's nodes", &error))?;
        let all: Vec<usize> = self.cells()?.iter().map(|cell| cell.id).collect();
        // It may come from nodes that this host does not have.
        Ok(known
            .map_or(all.clone(), |known| known.into_iter().filter(|id| all.contains(id)).collect()))
    }

    fn set_uuid(&self, running: &Running, uuid: Uuid) -> Result<()> {
        let set = self.calls.set_uuid(running.id, uuid);
        set.map_err(|error| failed("giving a domain another UUID", &error))
    }

    fn name(&self) -> &'static str {
        "hypercalls"
    }
}
