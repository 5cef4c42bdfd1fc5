//! Figures about domains, from what the lists say.

use virt_driver::{Call, DomainStats, domain_matches, stats_asked};
use virt_error::Result;
use virt_types::{DomainMemoryStat, DomainRef, DomainStatsRecord, TypedParam, api};

use crate::domains::{check_flags, is_delayed, public_facts};
use crate::facts::Facts;
use crate::lifecycle::active;
use crate::link::ORIGIN;
use crate::world::Detail;
use crate::{LdomsDriver, volumes};

/// All kinds of figures, which 0 stands for.
const ALL: u32 = 0x7ff;

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl LdomsDriver {
    fn figures(&self, call: &Call<'_>, facts: &Facts, kinds: u32) -> Result<Vec<TypedParam>> {
        let mut out = Vec::new();
        if kinds & api::DOMAIN_STATS_STATE != 0 {
            out.push(TypedParam::new("state.state", facts.state.public()));
            out.push(TypedParam::new("state.reason", facts.state.reason()));
        }
        if kinds & api::DOMAIN_STATS_BALLOON != 0 {
            out.push(TypedParam::new("balloon.current", facts.memory_kib));
            out.push(TypedParam::new("balloon.maximum", facts.memory_kib));
        }
        if kinds & api::DOMAIN_STATS_VCPU != 0 {
            out.push(TypedParam::new("vcpu.current", facts.vcpus));
            out.push(TypedParam::new("vcpu.maximum", facts.vcpus));
        }
        let devices = api::DOMAIN_STATS_INTERFACE | api::DOMAIN_STATS_BLOCK;
        if kinds & devices == 0 {
            return Ok(out);
        }
        let manager = self.manager();
        let content = manager.detail(call, &facts.name, Detail::Constraints)?;
        if kinds & api::DOMAIN_STATS_INTERFACE != 0 {
            let nets: Vec<_> = content.of("network").collect();
            out.push(TypedParam::new("net.count", count(nets.len())));
            for (at, net) in nets.iter().enumerate() {
                let name = net.get("vnet_name").unwrap_or_default();
                out.push(TypedParam::new(format!("net.{at}.name"), name));
            }
        }
        if kinds & api::DOMAIN_STATS_BLOCK != 0 {
            let services = manager.services(call)?;
            let disks: Vec<_> = content.of("disk").collect();
            out.push(TypedParam::new("block.count", count(disks.len())));
            for (at, disk) in disks.iter().enumerate() {
                let name = disk.get("vdisk_name").unwrap_or_default();
                out.push(TypedParam::new(format!("block.{at}.name"), name));
                if let Some(path) = volumes::path(&services, disk) {
                    out.push(TypedParam::new(format!("block.{at}.path"), path));
                }
            }
        }
        Ok(out)
    }
}

impl DomainStats for LdomsDriver {
    fn get_all_stats(
        &self,
        call: &Call<'_>,
        doms: &[DomainRef],
        stats: u32,
        flags: u32,
    ) -> Result<Vec<DomainStatsRecord>> {
        let function = "ldomsConnectGetAllDomainStats";
        let (kinds, wanted) = stats_asked(stats, flags, ALL, function, ORIGIN)?;
        let manager = self.manager();
        let mut all = manager.all(Some(call))?;
        all.retain(|facts| {
            let named = doms.is_empty() || doms.iter().any(|dom| dom.uuid == facts.uuid);
            named && domain_matches(wanted, &public_facts(facts))
        });
        all.iter()
            .map(|facts| {
                let params = self.figures(call, facts, kinds)?;
                Ok(DomainStatsRecord { dom: facts.to_ref(), params })
            })
            .collect()
    }

    fn memory_stats(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        max_stats: u32,
        flags: u32,
    ) -> Result<Vec<DomainMemoryStat>> {
        check_flags(flags, 0, "ldomsDomainMemoryStats")?;
        let facts = active(self.manager(), call, dom)?;
        let actual =
            DomainMemoryStat { tag: api::DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, val: facts.memory_kib };
        Ok(if max_stats > 0 { vec![actual] } else { Vec::new() })
    }

    /// What the manager said beside its successes, and what of a definition is not kept.
    fn get_messages(&self, call: &Call<'_>, dom: &DomainRef, flags: u32) -> Result<Vec<String>> {
        let known = (api::DOMAIN_MESSAGE_DEPRECATION
            | api::DOMAIN_MESSAGE_TAINTING
            | api::DOMAIN_MESSAGE_IOERRORS)
            .cast_unsigned();
        check_flags(flags, known, "ldomsDomainGetMessages")?;
        let facts = self.manager().find(call, dom)?;
        if flags != 0 && flags & api::DOMAIN_MESSAGE_TAINTING.cast_unsigned() == 0 {
            return Ok(Vec::new());
        }
        let mut said = self.manager().world().messages(&facts.name);
        if facts.delayed && !said.iter().any(|message| is_delayed(message)) {
            said.push("changes wait for the domain's restart (delayed reconfiguration)".to_owned());
        }
        Ok(said.into_iter().map(|message| format!("manager: {message}")).collect())
    }
}
