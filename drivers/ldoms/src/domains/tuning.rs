//! Memory and processors of a domain.

use virt_driver::{Call, DomainTuning};
use virt_error::{Code, Error, Result};
use virt_types::{DomainGetVcpuPinInfo, DomainRef, DomainVcpus, VcpuInfo, api};

use super::{check_flags, is_delayed, refused};
use crate::LdomsDriver;
use crate::facts::Facts;
use crate::lifecycle::{act_on, active, invalid};
use crate::link::ORIGIN;
use crate::message::{Content, Item, print_size};
use crate::world::Detail;

/// Limit: the manager rounds up to no more than this; more is another size.
const ROUNDING_KIB_MAX: u64 = 256 << 10;
/// Limit: of a map of processors, in bytes.
const MAP_BYTES_MAX: usize = 4096;

impl LdomsDriver {
    /// Sets an amount, and sees that it came about: a guest can give back less than it is asked for.
    ///
    /// Compat: the calls without flags mean a running domain to libvirt; scripts for LDoms use them
    /// for any, so only who says so insists on a change at once.
    fn set_amount(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        live: bool,
        action: &str,
        units: String,
        differs: impl Fn(&Facts) -> Option<String>,
    ) -> Result<()> {
        let manager = self.manager();
        let live = live && call.api.name.ends_with("Flags");
        let facts = match live {
            true => active(manager, call, dom)?,
            false => manager.find(call, dom)?,
        };
        let resource = action.trim_start_matches("set-").replace("vcpu", "cpu");
        let item = Item::new(&resource).with_units(units);
        let reply = act_on(manager, call, action, &facts.name, item)?;
        let now = manager.find(call, dom)?;
        let waits = now.delayed || reply.warnings.iter().any(|warning| is_delayed(warning));
        if waits && live {
            let said = reply.warnings.join("; ");
            let detail =
                format!("{action} of '{}' waits for the domain's restart {said}", now.name);
            return Err(Error::new(Code::OperationFailed, ORIGIN, detail.trim_end()));
        }
        if waits {
            return Ok(());
        }
        match differs(&now) {
            Some(what) => Err(Error::new(
                Code::OperationFailed,
                ORIGIN,
                format!("{action} of '{}' was done in part: {what}", facts.name),
            )),
            None => Ok(()),
        }
    }

    fn bindings(&self, call: &Call<'_>, facts: &Facts) -> Result<Vec<(u32, u32)>> {
        let content = self.manager().detail(call, &facts.name, Detail::Bindings)?;
        Ok(strands(&content))
    }
}

/// Which strand of the machine each virtual CPU has.
pub(crate) fn strands(content: &Content) -> Vec<(u32, u32)> {
    let number = |item: &Item, key: &str| item.get(key)?.trim().parse::<u32>().ok();
    let bindings = content.of("cpu").flat_map(|cpu| &cpu.bindings);
    let mut strands: Vec<(u32, u32)> =
        bindings.filter_map(|item| Some((number(item, "vid")?, number(item, "pid")?))).collect();
    strands.sort_unstable();
    strands
}

/// A map with one bit.
fn map_of(strand: u32, bytes: usize) -> Vec<u8> {
    let mut map = vec![0; bytes];
    if let Some(byte) = map.get_mut(strand as usize / 8) {
        *byte |= 1 << (strand % 8);
    }
    map
}

fn map_bytes(length: i32) -> usize {
    usize::try_from(length).unwrap_or(0).min(MAP_BYTES_MAX)
}

impl DomainTuning for LdomsDriver {
    fn get_max_memory(&self, call: &Call<'_>, dom: &DomainRef) -> Result<u64> {
        self.manager().find(call, dom).map(|facts| facts.memory_kib)
    }

    fn get_max_vcpus(&self, call: &Call<'_>, dom: &DomainRef) -> Result<i32> {
        let facts = self.manager().find(call, dom)?;
        Ok(i32::try_from(facts.vcpus).unwrap_or(i32::MAX))
    }

    fn get_vcpus_flags(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<i32> {
        let known = api::DOMAIN_VCPU_LIVE | api::DOMAIN_VCPU_CONFIG | api::DOMAIN_VCPU_MAXIMUM;
        check_flags(flags, known, "ldomsDomainGetVcpusFlags")?;
        let facts = match flags & api::DOMAIN_VCPU_LIVE {
            0 => self.manager().find(call, dom)?,
            _ => active(self.manager(), call, dom)?,
        };
        Ok(i32::try_from(facts.vcpus).unwrap_or(i32::MAX))
    }

    fn set_vcpus(&self, call: &Call<'_>, dom: &DomainRef, nvcpus: u32, flags: u32) -> Result<()> {
        let known = api::DOMAIN_VCPU_LIVE | api::DOMAIN_VCPU_CONFIG | api::DOMAIN_VCPU_MAXIMUM;
        check_flags(flags, known, "ldomsDomainSetVcpusFlags")?;
        if flags & api::DOMAIN_VCPU_MAXIMUM != 0 {
            return Err(refused("a logical domain has one number of virtual CPUs, not a maximum"));
        }
        let live = flags & api::DOMAIN_VCPU_LIVE != 0;
        let differs = |facts: &Facts| {
            let left = facts.vcpus;
            (left != nvcpus).then(|| format!("it has {left} virtual CPUs, {nvcpus} were asked for"))
        };
        self.set_amount(call, dom, live, "set-vcpu", nvcpus.to_string(), differs)
    }

    fn set_memory(&self, call: &Call<'_>, dom: &DomainRef, memory: u64, flags: u32) -> Result<()> {
        let known = api::DOMAIN_MEM_LIVE | api::DOMAIN_MEM_CONFIG | api::DOMAIN_MEM_MAXIMUM;
        check_flags(flags, known, "ldomsDomainSetMemoryFlags")?;
        if flags & api::DOMAIN_MEM_MAXIMUM != 0 && self.is_running(call, dom)? {
            return Err(invalid("cannot resize the maximum memory on an active domain"));
        }
        let live = flags & api::DOMAIN_MEM_LIVE != 0;
        let differs = |facts: &Facts| {
            let left = facts.memory_kib;
            let other = left.abs_diff(memory) >= ROUNDING_KIB_MAX;
            other.then(|| format!("it has {left} KiB of memory, {memory} KiB were asked for"))
        };
        let units = print_size(memory.saturating_mul(1024));
        self.set_amount(call, dom, live, "set-memory", units, differs)
    }

    fn set_max_memory(&self, call: &Call<'_>, dom: &DomainRef, memory: u64) -> Result<()> {
        self.set_memory(call, dom, memory, api::DOMAIN_MEM_MAXIMUM)
    }

    fn get_vcpus(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        maxinfo: i32,
        maplen: i32,
    ) -> Result<DomainVcpus> {
        let facts = active(self.manager(), call, dom)?;
        let mut strands = self.bindings(call, &facts)?;
        strands.truncate(usize::try_from(maxinfo).unwrap_or(0));
        let info = strands.iter().map(|(number, strand)| VcpuInfo {
            number: *number,
            state: api::VCPU_RUNNING,
            cpu_time: 0,
            cpu: i32::try_from(*strand).unwrap_or(api::VCPU_INFO_CPU_UNAVAILABLE),
        });
        let maps = strands.iter().flat_map(|(_, strand)| map_of(*strand, map_bytes(maplen)));
        Ok(DomainVcpus { info: info.collect(), cpumaps: maps.collect() })
    }

    /// Where virtual CPUs are bound they stay; where they are not, any strand can be theirs.
    fn get_vcpu_pin_info(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        ncpumaps: i32,
        maplen: i32,
        flags: u32,
    ) -> Result<DomainGetVcpuPinInfo> {
        let known = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG;
        check_flags(flags, known, "ldomsDomainGetVcpuPinInfo")?;
        let facts = self.manager().find(call, dom)?;
        let bytes = map_bytes(maplen);
        let wanted = usize::try_from(ncpumaps).unwrap_or(0);
        let maps: Vec<Vec<u8>> = match facts.state.is_bound() {
            true => {
                let strands = self.bindings(call, &facts)?;
                strands.iter().take(wanted).map(|(_, strand)| map_of(*strand, bytes)).collect()
            }
            false => vec![vec![0xff; bytes]; wanted.min(facts.vcpus as usize)],
        };
        let num = i32::try_from(maps.len()).unwrap_or(i32::MAX);
        Ok(DomainGetVcpuPinInfo { cpumaps: maps.concat(), num })
    }

    /// The manager chooses the strands. What it has chosen can be asked for.
    fn pin_vcpu(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        vcpu: u32,
        cpumap: &[u8],
        flags: u32,
    ) -> Result<()> {
        let known = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG;
        check_flags(flags, known, "ldomsDomainPinVcpuFlags")?;
        let facts = self.manager().find(call, dom)?;
        let strands = match facts.state.is_bound() {
            true => self.bindings(call, &facts)?,
            false => Vec::new(),
        };
        let has = strands.iter().find(|(number, _)| *number == vcpu);
        let same = has.is_some_and(|(_, strand)| map_of(*strand, cpumap.len()) == cpumap);
        match same {
            true => Ok(()),
            false => Err(refused(
                "the LDoms Manager chooses the strands of virtual CPUs; its XML interface takes none",
            )),
        }
    }
}

impl LdomsDriver {
    fn is_running(&self, call: &Call<'_>, dom: &DomainRef) -> Result<bool> {
        self.manager().find(call, dom).map(|facts| facts.state.is_active())
    }
}
