//! Who has what of the machine: strands, crypto units, memory; all that is asked for, or nothing.

use crate::model::{Block, Bound, Domain, Machine, State};
use crate::size;

/// What the hypervisor keeps for itself, at address 0.
pub(crate) const RESERVED_BYTES: u64 = 64 << 20;
/// Sizes are rounded up to this.
pub(crate) const MEMORY_STEP_BYTES: u64 = 4 << 20;
/// OpenBoot does not run with less.
const MEMORY_BYTES_MIN: u64 = 12 << 20;
/// The real address of a domain's first memory.
const FIRST_REAL: u64 = 0x800_0000;

/// The size that is bound where `bytes` are asked for.
pub(crate) fn rounded(bytes: u64) -> u64 {
    bytes.max(MEMORY_BYTES_MIN).next_multiple_of(MEMORY_STEP_BYTES)
}

impl Machine {
    pub(crate) fn free_strands(&self) -> Vec<u32> {
        let taken = self.domains.iter().flat_map(|domain| &domain.bound.strands);
        free(self.hardware.strands, taken)
    }

    pub(crate) fn free_maus(&self) -> Vec<u32> {
        free(self.hardware.cores(), self.domains.iter().flat_map(|domain| &domain.bound.maus))
    }

    /// All bound pieces of memory with their owners, by address; the reserved one is first.
    pub(crate) fn bound_memory(&self) -> Vec<(Block, &str)> {
        let reserved = Block { real: 0, physical: 0, bytes: RESERVED_BYTES };
        let mut blocks = vec![(reserved, "_sys_")];
        for domain in &self.domains {
            blocks.extend(domain.bound.memory.iter().map(|block| (*block, domain.name.as_str())));
        }
        blocks.sort_by_key(|(block, _)| block.physical);
        blocks
    }

    /// Free pieces of memory: address and size.
    pub(crate) fn free_memory(&self) -> Vec<(u64, u64)> {
        let mut at = 0;
        let mut gaps = Vec::new();
        for (block, _) in self.bound_memory() {
            if block.physical > at {
                gaps.push((at, block.physical - at));
            }
            at = at.max(block.physical.saturating_add(block.bytes));
        }
        if at < self.hardware.memory_bytes {
            gaps.push((at, self.hardware.memory_bytes - at));
        }
        gaps
    }

    /// Strands for a domain: whole cores, or the first that are free.
    fn pick_strands(&self, count: u32, cores: Option<u32>) -> Result<Vec<u32>, String> {
        let free = self.free_strands();
        let Some(cores) = cores else {
            let picked: Vec<u32> = free.iter().copied().take(count as usize).collect();
            if picked.len() == count as usize {
                return Ok(picked);
            }
            let have = free.len();
            return Err(format!("Not enough free VCPUs: {count} requested, {have} available"));
        };
        let threads = self.hardware.threads_per_core;
        let whole: Vec<u32> = (0..self.hardware.cores())
            .map(|core| core * threads)
            .filter(|first| (*first..first + threads).all(|strand| free.contains(&strand)))
            .take(cores as usize)
            .collect();
        if whole.len() < cores as usize {
            let have = whole.len();
            return Err(format!("Not enough free cores: {cores} requested, {have} available"));
        }
        Ok(whole.into_iter().flat_map(|first| first..first + threads).collect())
    }

    fn pick_maus(&self, count: u32) -> Result<Vec<u32>, String> {
        let free = self.free_maus();
        let have = free.len();
        if have < count as usize {
            return Err(format!("Not enough free MAUs: {count} requested, {have} available"));
        }
        Ok(free.into_iter().take(count as usize).collect())
    }

    /// Memory behind real address `real`, in as few pieces as the first that are free allow.
    fn pick_memory(&self, bytes: u64, real: u64) -> Result<Vec<Block>, String> {
        let (mut left, mut real) = (bytes, real);
        let mut picked = Vec::new();
        for (at, size) in self.free_memory() {
            let physical = at.next_multiple_of(MEMORY_STEP_BYTES);
            let size = (at + size).saturating_sub(physical) / MEMORY_STEP_BYTES * MEMORY_STEP_BYTES;
            let bytes = size.min(left);
            if bytes > 0 {
                picked.push(Block { real, physical, bytes });
                left -= bytes;
                real += bytes;
            }
        }
        if left == 0 {
            return Ok(picked);
        }
        let size = size::with_unit(bytes);
        Err(format!("Unable to bind {size} memory region at real address {real:#x}"))
    }

    /// What is needed for `name` to be bound.
    pub(crate) fn pick(&mut self, name: &str) -> Result<Bound, String> {
        let domain = self.domain(name)?;
        let (wanted, control) = (&domain.wanted, domain.is_control());
        if wanted.vcpus == 0 {
            return Err(format!("LDom \"{name}\" has no VCPUs"));
        }
        if wanted.memory_bytes == 0 {
            return Err(format!("LDom \"{name}\" has no memory"));
        }
        for item in &wanted.items {
            self.check_backend(item)?;
        }
        let strands = self.pick_strands(wanted.vcpus, wanted.cores)?;
        let maus = self.pick_maus(wanted.maus)?;
        let memory = self.pick_memory(rounded(wanted.memory_bytes), FIRST_REAL)?;
        let port = if control { None } else { self.pick_port(name)? };
        Ok(Bound { strands, maus, memory, port })
    }

    /// Gives a domain what it wants of the machine.
    pub(crate) fn bind(&mut self, name: &str) -> Result<(), String> {
        let bound = self.pick(name)?;
        let domain = self.domain_mut(name)?;
        domain.bound = bound;
        domain.state = State::Bound;
        Ok(())
    }

    /// Takes everything back.
    pub(crate) fn unbind(&mut self, name: &str) -> Result<(), String> {
        let domain = self.domain_mut(name)?;
        let bound = std::mem::take(&mut domain.bound);
        domain.state = State::Inactive;
        domain.started_s = 0;
        self.give_back_port(bound.port);
        Ok(())
    }

    /// Closes a console's port that no domain has any more.
    pub(crate) fn give_back_port(&self, port: Option<u16>) {
        let in_use = |port| self.domains.iter().any(|domain| domain.bound.port == Some(port));
        if let Some(port) = port.filter(|port| !in_use(*port)) {
            self.consoles.close(port);
        }
    }

    /// A console's port: that of its group, the one asked for, or a free one.
    pub(crate) fn pick_port(&self, name: &str) -> Result<Option<u16>, String> {
        let domain = self.domain(name)?;
        let group = domain.console_group();
        let console = domain.wanted.of_kind("console").next();
        let number = console.and_then(|console| console.get("port"));
        let asked = number.map(|number| number.parse().map_err(|_| format!("Bad port {number}")));
        let asked: Option<u16> = asked.transpose()?;
        let others = self.domains.iter().filter(|other| other.name != name);
        let bound = others.filter_map(|other| Some((other, other.bound.port?)));
        for (other, port) in bound {
            let same_group = other.console_group() == group;
            if same_group && asked.is_none_or(|asked| asked == port) {
                return Ok(Some(port));
            }
            if asked == Some(port) {
                return Err(format!(
                    "Port {port} already in use by group {}",
                    other.console_group()
                ));
            }
        }
        let service = console.and_then(|console| console.get("service_name"));
        let Some(vcc) = self.concentrator(service) else { return Ok(None) };
        let bound = |key| vcc.get(key).and_then(|port| port.parse().ok());
        let range = bound("min_port").unwrap_or(0)..=bound("max_port").unwrap_or(0);
        if let Some(asked) = asked {
            return self.consoles.open(asked).map(Some);
        }
        self.consoles.open_free(range).map(Some)
    }

    /// The console concentrator of that name, or the first there is.
    pub(crate) fn concentrator(&self, name: Option<&str>) -> Option<&crate::message::Item> {
        let mut all = self.domains.iter().flat_map(|domain| domain.wanted.of_kind("vcc"));
        all.find(|vcc| name.is_none() || vcc.get("service_name") == name)
    }

    /// Makes the strands of a bound domain as many as it wants.
    pub(crate) fn refit_strands(&mut self, name: &str) -> Result<(), String> {
        let domain = self.domain(name)?;
        let (wanted, cores) = (domain.wanted.vcpus, domain.wanted.cores);
        let have = u32::try_from(domain.bound.strands.len()).unwrap_or(u32::MAX);
        if wanted <= have {
            self.domain_mut(name)?.bound.strands.truncate(wanted as usize);
            return Ok(());
        }
        let more = wanted - have;
        let cores = cores.map(|_| more / self.hardware.threads_per_core.max(1));
        let picked = self.pick_strands(more, cores)?;
        self.domain_mut(name)?.bound.strands.extend(picked);
        Ok(())
    }

    /// Makes the crypto units of a bound domain as many as it wants.
    pub(crate) fn refit_maus(&mut self, name: &str) -> Result<(), String> {
        let domain = self.domain(name)?;
        let (wanted, have) = (domain.wanted.maus as usize, domain.bound.maus.len());
        let more = u32::try_from(wanted.saturating_sub(have)).unwrap_or(u32::MAX);
        let picked = self.pick_maus(more)?;
        let bound = &mut self.domain_mut(name)?.bound;
        bound.maus.truncate(wanted);
        bound.maus.extend(picked);
        Ok(())
    }

    /// Makes the memory of a bound domain as large as it wants; pieces go from the end.
    pub(crate) fn refit_memory(&mut self, name: &str) -> Result<(), String> {
        let domain = self.domain(name)?;
        let wanted = rounded(domain.wanted.memory_bytes);
        let have = domain.bound.memory_bytes();
        let end = |block: &Block| block.real + block.bytes;
        let picked = match wanted.checked_sub(have) {
            Some(0) => return Ok(()),
            Some(more) => {
                let real = domain.bound.memory.last().map_or(FIRST_REAL, end);
                self.pick_memory(more, real)?
            }
            None => Vec::new(),
        };
        let memory = &mut self.domain_mut(name)?.bound.memory;
        memory.extend(picked);
        let mut surplus = have.saturating_sub(wanted);
        while let Some(last) = memory.last_mut().filter(|_| surplus > 0) {
            let cut = last.bytes.min(surplus);
            last.bytes -= cut;
            surplus -= cut;
            if last.bytes == 0 {
                memory.pop();
            }
        }
        Ok(())
    }

    /// Refuses a device whose service is not there.
    pub(crate) fn check_backend(&self, item: &crate::message::Item) -> Result<(), String> {
        let service = item.get("service_name").unwrap_or_default();
        match item.kind.as_str() {
            "disk" => {
                if self.service("vds", service).is_none() {
                    return Err(format!("Virtual disk server {service} does not exist"));
                }
                let volume = item.get("vol_name").unwrap_or_default();
                if self.volume(service, volume).is_none() {
                    return Err(format!("Volume {volume} does not exist in {service}"));
                }
            }
            "network" if self.service("vsw", service).is_none() => {
                return Err(format!("Virtual switch {service} does not exist"));
            }
            _ => {}
        }
        Ok(())
    }

    /// The volume of that name in a disk server, with the domain that serves it.
    pub(crate) fn volume(
        &self,
        service: &str,
        volume: &str,
    ) -> Option<(&Domain, &crate::message::Item)> {
        self.domains.iter().find_map(|domain| {
            let mut volumes = domain.asked().of_kind("vds_volume");
            let found = volumes.find(|item| {
                item.get("service_name") == Some(service) && item.get("vol_name") == Some(volume)
            })?;
            Some((domain, found))
        })
    }
}

fn free<'a>(count: u32, taken: impl Iterator<Item = &'a u32>) -> Vec<u32> {
    let mut is_free = vec![true; count as usize];
    for number in taken {
        if let Some(flag) = is_free.get_mut(*number as usize) {
            *flag = false;
        }
    }
    (0..count).zip(is_free).filter(|(_, free)| *free).map(|(number, _)| number).collect()
}
