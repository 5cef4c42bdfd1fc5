//! Figures about domains.

use virt_driver::{Call, DomainStats, domain_matches, stats_asked};
use virt_error::Result;
use virt_types::{
    DomainBlockStats, DomainGetCpuStats, DomainInterfaceStats, DomainMemoryStat, DomainRef,
    DomainStatsRecord, TypedParam, api,
};

use super::check_flags;
use crate::channels::Subject;
use crate::seen::Running;
use crate::{ORIGIN, XenDriver, invalid_arg, invalid_operation, lifecycle, stats};

/// All kinds of figures, which 0 stands for.
const ALL: u32 = 0x7ff;

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn counted(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

impl XenDriver {
    fn figures(&self, subject: &Subject, kinds: u32) -> Vec<TypedParam> {
        let core = self.core();
        let mut out = Vec::new();
        let has = |kind: u32| kinds & kind != 0;
        if has(api::DOMAIN_STATS_STATE) {
            let (state, reason) = lifecycle::state(core, subject);
            out.push(TypedParam::new("state.state", state));
            out.push(TypedParam::new("state.reason", reason));
        }
        let running = subject.running.as_ref();
        if let Some(running) = running.filter(|_| has(api::DOMAIN_STATS_CPU_TOTAL)) {
            out.push(TypedParam::new("cpu.time", running.cpu_time_ns));
        }
        // What is asked of a domain that has just gone is left out.
        let document = core.document(subject).ok();
        if has(api::DOMAIN_STATS_BALLOON) {
            let kept = document.as_ref().map(|doc| (doc.current_memory_kib(), doc.memory.kib));
            let sizes = running.map(|r| (r.memory_kib, r.max_memory_kib)).or(kept);
            if let Some((current, maximum)) = sizes {
                out.push(TypedParam::new("balloon.current", current));
                out.push(TypedParam::new("balloon.maximum", maximum));
            }
        }
        if has(api::DOMAIN_STATS_VCPU) {
            self.vcpu_figures(subject, document.as_ref().map(|doc| doc.vcpu.count), &mut out);
        }
        let Some(document) = document else { return out };
        if has(api::DOMAIN_STATS_INTERFACE) {
            let interfaces = &document.devices.interfaces;
            out.push(TypedParam::new("net.count", number(interfaces.len())));
            for (at, interface) in interfaces.iter().enumerate() {
                let name = interface.target_dev().map(str::to_owned);
                let name = name.or(running.map(|running| stats::vif(running.id, at)));
                let Some(name) = name else { continue };
                out.push(TypedParam::new(format!("net.{at}.name"), name.clone()));
                let Ok(counts) = stats::interface(&name) else { continue };
                for (word, value) in interface_words(&counts) {
                    out.push(TypedParam::new(format!("net.{at}.{word}"), counted(value)));
                }
            }
        }
        if has(api::DOMAIN_STATS_BLOCK) {
            let disks = &document.devices.disks;
            out.push(TypedParam::new("block.count", number(disks.len())));
            for (at, disk) in disks.iter().enumerate() {
                out.push(TypedParam::new(format!("block.{at}.name"), disk.target.dev.clone()));
                if let Some(path) = disk.path() {
                    out.push(TypedParam::new(format!("block.{at}.path"), path.to_owned()));
                }
                let counts = running.and_then(|r| stats::block(r.id, &disk.target.dev).ok());
                for (word, value) in counts.iter().flat_map(block_words) {
                    out.push(TypedParam::new(format!("block.{at}.{word}"), counted(value)));
                }
            }
        }
        out
    }

    fn vcpu_figures(&self, subject: &Subject, kept: Option<u32>, out: &mut Vec<TypedParam>) {
        let running = subject.running.as_ref();
        let most = running.map(|running| running.max_vcpus).or(kept).unwrap_or(0);
        out.push(TypedParam::new("vcpu.current", running.map_or(most, |running| running.vcpus)));
        out.push(TypedParam::new("vcpu.maximum", most));
        let Some(running) = running else { return };
        for vcpu in self.core().hypervisor().vcpus(running).unwrap_or_default() {
            let at = vcpu.number;
            if vcpu.online {
                out.push(TypedParam::new(format!("vcpu.{at}.state"), vcpu.state()));
                out.push(TypedParam::new(format!("vcpu.{at}.time"), vcpu.cpu_time_ns));
            }
        }
    }

    /// The disk that a path or a name means.
    fn disk(&self, dom: &DomainRef, path: &str) -> Result<(Running, String)> {
        let (_, running) = self.core().active(dom)?;
        let document = self.core().toolstack().document(&running)?;
        let mut disks = document.devices.disks.iter();
        let found = disks.find(|disk| disk.target.dev == path || disk.path() == Some(path));
        let found = found.ok_or_else(|| invalid_operation(format!("invalid path: {path}")))?;
        Ok((running, found.target.dev.clone()))
    }
}

fn interface_words(counts: &DomainInterfaceStats) -> [(&'static str, i64); 8] {
    [
        ("rx.bytes", counts.rx_bytes),
        ("rx.pkts", counts.rx_packets),
        ("rx.errs", counts.rx_errs),
        ("rx.drop", counts.rx_drop),
        ("tx.bytes", counts.tx_bytes),
        ("tx.pkts", counts.tx_packets),
        ("tx.errs", counts.tx_errs),
        ("tx.drop", counts.tx_drop),
    ]
}

fn block_words(counts: &DomainBlockStats) -> [(&'static str, i64); 4] {
    [
        ("rd.reqs", counts.rd_req),
        ("rd.bytes", counts.rd_bytes),
        ("wr.reqs", counts.wr_req),
        ("wr.bytes", counts.wr_bytes),
    ]
}

impl DomainStats for XenDriver {
    fn get_all_stats(
        &self,
        call: &Call<'_>,
        doms: &[DomainRef],
        stats: u32,
        flags: u32,
    ) -> Result<Vec<DomainStatsRecord>> {
        let function = "libxlConnectGetAllDomainStats";
        let (kinds, wanted) = stats_asked(stats, flags, ALL, function, ORIGIN)?;
        call.waiting(|| {
            let mut all = self.core().all()?;
            all.retain(|subject| {
                let named = doms.is_empty() || doms.iter().any(|dom| dom.uuid == subject.uuid);
                named && domain_matches(wanted, &self.facts(subject, wanted))
            });
            let records = all.iter().map(|subject| DomainStatsRecord {
                dom: subject.to_ref(),
                params: self.figures(subject, kinds),
            });
            Ok(records.collect())
        })
    }

    fn memory_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        max_stats: u32,
        flags: u32,
    ) -> Result<Vec<DomainMemoryStat>> {
        check_flags(flags, 0, "libxlDomainMemoryStats")?;
        let (_, running) = self.core().active(dom)?;
        let stat = |tag, val| DomainMemoryStat { tag, val };
        let mut all = vec![
            stat(api::DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, running.memory_kib),
            stat(api::DOMAIN_MEMORY_STAT_AVAILABLE, running.max_memory_kib),
        ];
        all.truncate(usize::try_from(max_stats).unwrap_or(0));
        Ok(all)
    }

    fn block_stats(&self, _: &Call<'_>, dom: &DomainRef, path: &str) -> Result<DomainBlockStats> {
        let (running, dev) = self.disk(dom, path)?;
        stats::block(running.id, &dev)
    }

    fn block_stats_flags(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        path: &str,
        flags: u32,
    ) -> Result<Vec<TypedParam>> {
        check_flags(flags, api::TYPED_PARAM_STRING_OKAY, "libxlDomainBlockStatsFlags")?;
        let (running, dev) = self.disk(dom, path)?;
        let counts = stats::block(running.id, &dev)?;
        let flushed = stats::flushes(running.id, &dev);
        Ok(vec![
            TypedParam::new("wr_bytes", counts.wr_bytes),
            TypedParam::new("wr_operations", counts.wr_req),
            TypedParam::new("rd_bytes", counts.rd_bytes),
            TypedParam::new("rd_operations", counts.rd_req),
            TypedParam::new(api::DOMAIN_BLOCK_STATS_FLUSH_REQ, flushed),
            TypedParam::new(api::DOMAIN_BLOCK_STATS_ERRS, counts.errs),
        ])
    }

    fn interface_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        device: &str,
    ) -> Result<DomainInterfaceStats> {
        let (_, running) = self.core().active(dom)?;
        let document = self.core().toolstack().document(&running)?;
        let mut own = document.devices.interfaces.iter().enumerate();
        let mac = |interface: &virt_model::domain::Interface| {
            interface.mac.as_ref().map(|mac| mac.address.to_string())
        };
        let found = own.find(|(at, interface)| {
            let usual = stats::vif(running.id, *at);
            interface.target_dev() == Some(device)
                || usual == device
                || mac(interface).as_deref() == Some(device)
        });
        let (at, interface) =
            found.ok_or_else(|| invalid_arg(format!("'{device}' is not a known interface")))?;
        let usual = stats::vif(running.id, at);
        stats::interface(interface.target_dev().unwrap_or(&usual))
    }

    /// Compat: processors of the host are not told apart; the first figure is all of them together.
    fn get_cpu_stats(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        nparams: u32,
        start_cpu: i32,
        ncpus: u32,
        flags: u32,
    ) -> Result<DomainGetCpuStats> {
        check_flags(flags, api::TYPED_PARAM_STRING_OKAY, "libxlDomainGetCPUStats")?;
        let (_, running) = self.core().active(dom)?;
        if start_cpu == -1 {
            let params = vec![TypedParam::new("cpu_time", running.cpu_time_ns)];
            let params = if nparams == 0 { Vec::new() } else { params };
            return Ok(DomainGetCpuStats { params, nparams: 1 });
        }
        let vcpus = self.core().hypervisor().vcpus(&running)?;
        if nparams == 0 {
            let nparams = if ncpus == 0 { i32::try_from(vcpus.len()).unwrap_or(0) } else { 1 };
            return Ok(DomainGetCpuStats { params: Vec::new(), nparams });
        }
        let from = usize::try_from(start_cpu).unwrap_or(usize::MAX);
        let most = usize::try_from(ncpus).unwrap_or(0);
        let times = vcpus.iter().skip(from).take(most);
        let params = times.map(|vcpu| TypedParam::new("cpu_time", vcpu.cpu_time_ns));
        Ok(DomainGetCpuStats { params: params.collect(), nparams: 1 })
    }
}
