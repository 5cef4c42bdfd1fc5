//! Memory, processors, and what the scheduler gives.

use virt_driver::{Call, DomainTuning, Job};
use virt_error::{Code, Error, Result};
use virt_guests::cpu_map;
use virt_model::{NumberSet, Text as _};
use virt_types::{
    DomainGetSchedulerType, DomainGetVcpuPinInfo, DomainRef, DomainVcpus, TypedParam, TypedValue,
    VcpuInfo, api,
};

use super::{AFFECT, check_flags};
use crate::channels::VCPUS_MAX;
use crate::core::not_control;
use crate::formats::affinity;
use crate::seen::{Credit, Vcpu};
use crate::{ORIGIN, XenDriver, invalid_arg, invalid_operation, unsupported};

/// Limit: of a map of processors, in bytes.
const MAP_BYTES_MAX: i32 = 512;
/// Compat: what the schedulers take; 0 would be no share at all.
const WEIGHT_MAX: u32 = 65_535;
/// A domain that was never told has this share.
const WEIGHT: u32 = 256;

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The processors in a map.
fn cpus_of(map: &[u8]) -> Vec<usize> {
    let bits = map.iter().enumerate().flat_map(|(at, byte)| {
        (0..8_usize)
            .filter(move |bit| byte >> bit & 1 == 1)
            .map(move |bit| at.saturating_mul(8).saturating_add(bit))
    });
    bits.collect()
}

fn maps(vcpus: &[Vcpu], maplen: i32) -> Vec<u8> {
    let length = maplen.clamp(0, MAP_BYTES_MAX);
    vcpus.iter().flat_map(|vcpu| cpu_map(&vcpu.pins, length)).collect()
}

/// A share and a limit, as far as they are given.
fn credit_of(params: &[TypedParam], mut credit: Credit) -> Result<Credit> {
    for param in params {
        let number = match &param.value {
            TypedValue::Uint(number) => *number,
            TypedValue::Int(number) => u32::try_from(*number).unwrap_or(u32::MAX),
            _ => {
                return Err(invalid_arg(format!(
                    "scheduler parameter '{}' is no number",
                    param.field
                )));
            }
        };
        match param.field.as_str() {
            api::DOMAIN_SCHEDULER_WEIGHT => credit.weight = number,
            api::DOMAIN_SCHEDULER_CAP => credit.cap = number,
            other => return Err(invalid_arg(format!("parameter '{other}' not supported"))),
        }
    }
    if !(1..=WEIGHT_MAX).contains(&credit.weight) {
        let detail = format!("weight {} is not within 1 and {WEIGHT_MAX}", credit.weight);
        return Err(invalid_arg(detail));
    }
    Ok(credit)
}

impl XenDriver {
    /// What a domain has, whether it runs or not.
    fn credit(&self, dom: &DomainRef) -> Result<Credit> {
        let core = self.core();
        let subject = core.find(dom)?;
        if let Some(running) = &subject.running {
            return core.hypervisor().credit(running);
        }
        core.toolstack()
            .kept_credit(&subject, None)?
            .ok_or_else(|| invalid_operation("domain is not running"))
    }

    fn scheduler(&self) -> Result<String> {
        let scheduler = self.core().hypervisor().physical()?.scheduler;
        match scheduler.as_str() {
            // Compat: the first releases do not say which they have, and cannot be told through xend.
            "" => Err(unsupported("this release does not say which scheduler it has")),
            _ => Ok(scheduler),
        }
    }
}

impl DomainTuning for XenDriver {
    fn get_max_memory(&self, _: &Call<'_>, dom: &DomainRef) -> Result<u64> {
        let core = self.core();
        let subject = core.find(dom)?;
        match &subject.running {
            Some(running) => Ok(running.max_memory_kib),
            None => core.kept_document(&subject).map(|document| document.memory.kib),
        }
    }

    fn set_max_memory(&self, call: &Call<'_>, dom: &DomainRef, memory: u64) -> Result<()> {
        self.set_memory(call, dom, memory, api::DOMAIN_MEM_MAXIMUM)
    }

    fn set_memory(&self, call: &Call<'_>, dom: &DomainRef, memory: u64, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT | api::DOMAIN_MEM_MAXIMUM, "libxlDomainSetMemoryFlags")?;
        let core = self.core();
        let most = flags & api::DOMAIN_MEM_MAXIMUM != 0;
        core.work(call, dom.uuid, Job::Modify, || {
            let subject = core.find(dom)?;
            // What the hypervisor allows at the moment may be less than what the guest was made with.
            let most_kib = match &subject.running {
                Some(running) if running.is_control() => running.max_memory_kib,
                _ => core.document(&subject)?.memory.kib,
            };
            if !most && memory > most_kib {
                return Err(invalid_arg("cannot set memory higher than max memory"));
            }
            let act = |subject: &crate::channels::Subject| match most {
                true => core.toolstack().set_max_memory(subject, memory),
                false => core.toolstack().set_memory(subject, memory),
            };
            core.change(&subject, flags, act, |document| {
                match most {
                    true => document.memory.kib = memory,
                    false => document.current_memory_kib = Some(memory),
                }
                if document.current_memory_kib.is_some_and(|kib| kib > document.memory.kib) {
                    document.current_memory_kib = Some(document.memory.kib);
                }
                Ok(())
            })
        })
    }

    fn set_vcpus(&self, call: &Call<'_>, dom: &DomainRef, nvcpus: u32, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT | api::DOMAIN_VCPU_MAXIMUM, "libxlDomainSetVcpusFlags")?;
        let core = self.core();
        core.work(call, dom.uuid, Job::Modify, || {
            let subject = core.find(dom)?;
            let most = flags & api::DOMAIN_VCPU_MAXIMUM != 0;
            if most && subject.running.is_some() {
                let detail = "cannot change the maximum of virtual CPUs of a running domain";
                return Err(invalid_operation(detail));
            }
            if nvcpus == 0 {
                return Err(invalid_arg("a domain has at least one virtual CPU"));
            }
            let max = subject.running.as_ref().map(|running| running.max_vcpus);
            if let Some(max) = max.filter(|max| nvcpus > *max) {
                let detail = format!(
                    "requested vcpus is greater than max allowable vcpus for the domain: {nvcpus} > {max}"
                );
                return Err(invalid_arg(detail));
            }
            core.change(
                &subject,
                flags,
                |subject| core.toolstack().set_vcpus(subject, nvcpus),
                |document| {
                    let count = &mut document.vcpu.count;
                    match most {
                        true => *count = nvcpus,
                        false if nvcpus > *count => {
                            let detail = format!(
                                "requested vcpus is greater than max allowable vcpus for the domain: \
                                 {nvcpus} > {count}"
                            );
                            return Err(invalid_arg(detail));
                        }
                        false => document.vcpu.current = (nvcpus < *count).then_some(nvcpus),
                    }
                    Ok(())
                },
            )
        })
    }

    fn get_max_vcpus(&self, call: &Call<'_>, dom: &DomainRef) -> Result<i32> {
        self.get_vcpus_flags(call, dom, api::DOMAIN_VCPU_MAXIMUM)
    }

    fn get_vcpus_flags(&self, _: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<i32> {
        check_flags(flags, AFFECT | api::DOMAIN_VCPU_MAXIMUM, "libxlDomainGetVcpusFlags")?;
        let core = self.core();
        let subject = core.find(dom)?;
        let most = flags & api::DOMAIN_VCPU_MAXIMUM != 0;
        let kept = flags & api::DOMAIN_AFFECT_CONFIG != 0;
        if flags & api::DOMAIN_AFFECT_LIVE != 0 && subject.running.is_none() {
            return Err(crate::core::not_running());
        }
        if let Some(running) = subject.running.as_ref().filter(|_| !kept) {
            return Ok(count(if most { running.max_vcpus } else { running.vcpus }));
        }
        let document = core.kept_document(&subject)?;
        let now = document.vcpu.current.filter(|_| !most).unwrap_or(document.vcpu.count);
        Ok(count(now))
    }

    /// Compat: those that are online.
    fn get_vcpus(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        maxinfo: i32,
        maplen: i32,
    ) -> Result<DomainVcpus> {
        let (_, running) = self.core().active(dom)?;
        let mut vcpus = self.core().hypervisor().vcpus(&running)?;
        vcpus.retain(|vcpu| vcpu.online);
        vcpus.truncate(usize::try_from(maxinfo).unwrap_or(0));
        let info = vcpus.iter().map(|vcpu| VcpuInfo {
            number: vcpu.number,
            state: vcpu.state(),
            cpu_time: vcpu.cpu_time_ns,
            cpu: vcpu.cpu,
        });
        Ok(DomainVcpus { info: info.collect(), cpumaps: maps(&vcpus, maplen) })
    }

    fn pin_vcpu(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        vcpu: u32,
        cpumap: &[u8],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "libxlDomainPinVcpuFlags")?;
        let core = self.core();
        core.work(call, dom.uuid, Job::Modify, || {
            let subject = core.find(dom)?;
            let mut impact = core.impact(&subject, flags)?;
            // xend pins what runs and keeps nothing of it, so its definition is changed where that is asked for.
            impact.config &= flags & api::DOMAIN_AFFECT_CONFIG != 0 || !impact.live;
            let have = usize::try_from(core.hypervisor().physical()?.cpus).unwrap_or(usize::MAX);
            let mut cpus = cpus_of(cpumap);
            cpus.retain(|cpu| *cpu < have);
            if cpus.is_empty() {
                return Err(invalid_arg("Empty cpu list for pinning"));
            }
            let running = subject.running.as_ref().filter(|_| impact.live);
            if running.is_some_and(|running| vcpu >= running.max_vcpus) {
                return Err(invalid_arg(format!("vcpu '{vcpu}' is not active")));
            }
            let act = |subject: &crate::channels::Subject| {
                let Some(running) = running else { return Ok(()) };
                core.hypervisor().pin(running, vcpu, &cpus)?;
                core.toolstack().annotate(subject, &|known| affinity::pin(known, vcpu, &cpus))
            };
            core.rewrite(&subject, impact, act, |document| {
                let count = document.vcpu.count;
                if vcpu >= count {
                    return Err(invalid_arg(format!(
                        "vcpu {vcpu} is out of range of persistent cpu count {count}"
                    )));
                }
                affinity::pin(document, vcpu, &cpus);
                Ok(())
            })
        })
    }

    fn get_vcpu_pin_info(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        ncpumaps: i32,
        maplen: i32,
        flags: u32,
    ) -> Result<DomainGetVcpuPinInfo> {
        check_flags(flags, AFFECT, "libxlDomainGetVcpuPinInfo")?;
        let core = self.core();
        let subject = core.find(dom)?;
        let most = u32::try_from(ncpumaps).unwrap_or(0);
        let kept = flags & api::DOMAIN_AFFECT_CONFIG != 0;
        if flags & api::DOMAIN_AFFECT_LIVE != 0 && subject.running.is_none() {
            return Err(crate::core::not_running());
        }
        if let Some(running) = subject.running.as_ref().filter(|_| !kept) {
            let mut vcpus = core.hypervisor().vcpus(running)?;
            vcpus.truncate(most as usize);
            let num = count(u32::try_from(vcpus.len()).unwrap_or(0));
            return Ok(DomainGetVcpuPinInfo { cpumaps: maps(&vcpus, maplen), num });
        }
        let document = core.kept_document(&subject)?;
        let have = usize::try_from(core.hypervisor().physical()?.cpus).unwrap_or(0);
        let most = document.vcpu.count.min(VCPUS_MAX).min(most);
        let map = |vcpu| {
            let pins = match affinity::of(&document, vcpu) {
                Some(set) => set.iter().filter(|cpu| *cpu < have).collect(),
                None => (0..have).collect(),
            };
            maps(&[Vcpu { pins, ..Vcpu::default() }], maplen)
        };
        Ok(DomainGetVcpuPinInfo { cpumaps: (0..most).flat_map(map).collect(), num: count(most) })
    }

    /// Compat: all nodes of a domain give it memory in turn, and there is no other way.
    fn get_numa_parameters(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, AFFECT | api::TYPED_PARAM_STRING_OKAY, "libxlDomainGetNumaParameters")?;
        let (_, running) = self.core().active(dom)?;
        let nodes = NumberSet::from_numbers(self.core().hypervisor().domain_nodes(&running)?);
        Ok(vec![
            TypedParam::new(api::DOMAIN_NUMA_MODE, api::DOMAIN_NUMATUNE_MEM_INTERLEAVE),
            TypedParam::new(api::DOMAIN_NUMA_NODESET, nodes.print().into_owned()),
        ])
    }

    fn get_scheduler_type(&self, _: &Call<'_>, dom: &DomainRef) -> Result<DomainGetSchedulerType> {
        self.core().find(dom)?;
        let kind = self.scheduler()?;
        let nparams = if kind.starts_with("credit") { 2 } else { 0 };
        Ok(DomainGetSchedulerType { kind, nparams })
    }

    fn get_scheduler_parameters(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(
            flags,
            AFFECT | api::TYPED_PARAM_STRING_OKAY,
            "libxlDomainGetSchedulerParametersFlags",
        )?;
        self.scheduler()?;
        let credit = self.credit(dom)?;
        Ok(vec![
            TypedParam::new(api::DOMAIN_SCHEDULER_WEIGHT, credit.weight),
            TypedParam::new(api::DOMAIN_SCHEDULER_CAP, credit.cap),
        ])
    }

    fn set_scheduler_parameters(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<()> {
        check_flags(flags, AFFECT, "libxlDomainSetSchedulerParametersFlags")?;
        self.scheduler()?;
        let core = self.core();
        core.work(call, dom.uuid, Job::Modify, || {
            let subject = core.find(dom)?;
            let now = self.credit(dom).unwrap_or(Credit { weight: WEIGHT, cap: 0 });
            let credit = credit_of(params, now)?;
            let physical = core.hypervisor().physical()?;
            let most = physical.cpus.saturating_mul(100);
            if credit.cap > most {
                let detail = format!("cap {} is not within 0 and {most}", credit.cap);
                return Err(Error::new(Code::InvalidArg, ORIGIN, detail));
            }
            match &subject.running {
                Some(running) => {
                    if core.toolstack().keeps_changes() && !running.is_control() && subject.kept {
                        return core.toolstack().kept_credit(&subject, Some(credit)).map(drop);
                    }
                    if core.toolstack().keeps_changes() {
                        not_control(running)?;
                    }
                    core.hypervisor().set_credit(running, credit)
                }
                None => match core.toolstack().kept_credit(&subject, Some(credit))? {
                    Some(_) => Ok(()),
                    None => Err(crate::core::not_running()),
                },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_and_lists_of_processors_say_the_same() {
        assert_eq!(cpus_of(&[0b101, 0, 1]), [0, 2, 16]);
        assert_eq!(cpus_of(&[]), [0_usize; 0]);
    }

    #[test]
    fn shares_have_bounds() {
        let old = Credit { weight: 256, cap: 0 };
        let given = |name: &str, value: u32| credit_of(&[TypedParam::new(name, value)], old);
        assert_eq!(given("weight", 500).ok(), Some(Credit { weight: 500, cap: 0 }));
        assert_eq!(given("cap", 50).ok(), Some(Credit { weight: 256, cap: 50 }));
        assert!(given("weight", 0).is_err() && given("weight", 65_536).is_err());
        assert!(given("cpu_shares", 1).is_err());
    }
}
