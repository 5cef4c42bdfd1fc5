//! The machine below the manager.

use std::collections::BTreeSet;

use virt_driver::{Call, Host};
use virt_error::{Code, Error, Result};
use virt_types::{NodeGetCpuMap, NodeInfo};
use virt_xml::Writer;

use crate::LdomsDriver;
use crate::document::{ARCH, MACHINE};
use crate::domains::check_flags;
use crate::link::{ORIGIN, Protocol};
use crate::message::{Item, parse_size};

/// What the machine has, counted.
struct Machine {
    strands: usize,
    cores: usize,
    memory_bytes: u64,
    free_bytes: u64,
    mhz: u32,
}

impl Machine {
    fn of(devices: &[Item]) -> Self {
        let cpus: Vec<&Item> = devices.iter().filter(|item| item.is("cpu")).collect();
        let core = |item: &Item| item.get("cid").or(item.get("core")).map(str::to_owned);
        let cores: BTreeSet<String> = cpus.iter().filter_map(|item| core(item)).collect();
        let memory = devices.iter().filter(|item| item.is("memory"));
        let size = |item: &Item| item.get("size").or(item.units.as_deref()).and_then(parse_size);
        let mut machine = Self {
            strands: cpus.len(),
            cores: if cores.is_empty() { cpus.len() } else { cores.len() },
            memory_bytes: 0,
            free_bytes: 0,
            mhz: cpus.iter().find_map(|item| item.get("mhz")?.parse().ok()).unwrap_or(0),
        };
        for item in memory {
            let bytes = size(item).unwrap_or(0);
            machine.memory_bytes = machine.memory_bytes.saturating_add(bytes);
            if item.get("bound").is_none() {
                machine.free_bytes = machine.free_bytes.saturating_add(bytes);
            }
        }
        machine
    }

    fn threads(&self) -> usize {
        match self.cores {
            0 => 1,
            cores if self.strands.is_multiple_of(cores) => self.strands / cores,
            _ => 1,
        }
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl LdomsDriver {
    fn machine(&self, call: &Call<'_>) -> Result<Machine> {
        Ok(Machine::of(&self.manager().devices(call)?))
    }
}

impl Host for LdomsDriver {
    fn get_type(&self, _: &Call<'_>) -> Result<String> {
        Ok("LDoms".to_owned())
    }

    /// The manager does not tell its own version; that of its interface is what can be known.
    fn get_version(&self, call: &Call<'_>) -> Result<u64> {
        self.manager().all(Some(call))?;
        let version = self.manager().version();
        let mut parts = version.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
        let mut part = || parts.next().unwrap_or(0).min(999);
        Ok(part() * 1_000_000 + part() * 1_000 + part())
    }

    fn get_hostname(&self, _: &Call<'_>) -> Result<String> {
        let target = &self.manager().target;
        Ok(if target.local { virt_host::hostname() } else { target.host.clone() })
    }

    fn is_secure(&self, _: &Call<'_>) -> Result<bool> {
        let manager = self.manager();
        Ok(manager.target.local || manager.protocol() == Some(Protocol::Xmpp))
    }

    fn get_max_vcpus(&self, call: &Call<'_>, kind: Option<&str>) -> Result<i32> {
        match kind {
            None | Some("ldoms") => self.machine(call).map(|machine| number(machine.strands)),
            Some(other) => {
                let detail = format!("unknown type '{other}'");
                Err(Error::new(Code::InvalidArg, ORIGIN, detail))
            }
        }
    }

    fn node_get_info(&self, call: &Call<'_>) -> Result<NodeInfo> {
        let machine = self.machine(call)?;
        let threads = machine.threads();
        Ok(NodeInfo {
            model: ARCH.to_owned(),
            memory: machine.memory_bytes / 1024,
            cpus: number(machine.strands),
            mhz: i32::try_from(machine.mhz).unwrap_or(0),
            nodes: 1,
            sockets: 1,
            cores: number(machine.strands / threads),
            threads: number(threads),
        })
    }

    fn node_get_free_memory(&self, call: &Call<'_>) -> Result<u64> {
        self.machine(call).map(|machine| machine.free_bytes)
    }

    fn node_get_cpu_map(
        &self,
        call: &Call<'_>,
        need_map: i32,
        need_online: i32,
        flags: u32,
    ) -> Result<NodeGetCpuMap> {
        check_flags(flags, 0, "ldomsNodeGetCPUMap")?;
        let strands = self.machine(call)?.strands;
        let mut map = vec![0_u8; strands.div_ceil(8)];
        for strand in 0..strands {
            if let Some(byte) = map.get_mut(strand / 8) {
                *byte |= 1 << (strand % 8);
            }
        }
        Ok(NodeGetCpuMap {
            cpumap: if need_map != 0 { map } else { Vec::new() },
            online: if need_online != 0 { u32::try_from(strands).unwrap_or(0) } else { 0 },
            ret: number(strands),
        })
    }

    fn get_capabilities(&self, call: &Call<'_>) -> Result<String> {
        let machine = self.machine(call)?;
        let mut w = Writer::new();
        w.open("capabilities");
        w.open("host");
        w.open("cpu");
        w.text_element("arch", ARCH);
        w.open("topology");
        w.attr("sockets", "1");
        w.attr("dies", "1");
        w.attr("clusters", "1");
        w.attr("cores", &(machine.strands / machine.threads()).to_string());
        w.attr("threads", &machine.threads().to_string());
        w.close("topology");
        w.close("cpu");
        w.open("migration_features");
        w.open("live");
        w.close("live");
        w.open("uri_transports");
        w.text_element("uri_transport", "ldoms");
        w.close("uri_transports");
        w.close("migration_features");
        w.close("host");
        w.open("guest");
        w.text_element("os_type", "ldom");
        w.open("arch");
        w.attr("name", ARCH);
        w.text_element("wordsize", "64");
        w.text_element("machine", MACHINE);
        w.open("domain");
        w.attr("type", "ldoms");
        w.close("domain");
        w.close("arch");
        w.close("guest");
        w.close("capabilities");
        Ok(w.finish())
    }

    fn get_domain_capabilities(
        &self,
        call: &Call<'_>,
        emulatorbin: Option<&str>,
        arch: Option<&str>,
        machine: Option<&str>,
        virttype: Option<&str>,
        flags: u32,
    ) -> Result<String> {
        check_flags(flags, 0, "ldomsConnectGetDomainCapabilities")?;
        let fits = |given: Option<&str>, own: &str| given.is_none_or(|given| given == own);
        if emulatorbin.is_some()
            || !fits(arch, ARCH)
            || !fits(machine, MACHINE)
            || !fits(virttype, "ldoms")
        {
            let detail = format!("logical domains are of type ldoms, {ARCH}, {MACHINE}");
            return Err(Error::new(Code::InvalidArg, ORIGIN, detail));
        }
        let strands = self.machine(call)?.strands;
        let mut w = Writer::new();
        w.open("domainCapabilities");
        w.text_element("domain", "ldoms");
        w.text_element("machine", MACHINE);
        w.text_element("arch", ARCH);
        w.open("vcpu");
        w.attr("max", &strands.to_string());
        w.close("vcpu");
        w.open("devices");
        w.open("disk");
        w.attr("supported", "yes");
        choice(&mut w, "diskDevice", &["disk", "cdrom"]);
        choice(&mut w, "bus", &["vdisk"]);
        w.close("disk");
        for absent in ["graphics", "video", "hostdev"] {
            w.open(absent);
            w.attr("supported", "no");
            w.close(absent);
        }
        w.close("devices");
        w.close("domainCapabilities");
        Ok(w.finish())
    }
}

fn choice(w: &mut Writer, name: &str, values: &[&str]) {
    w.open("enum");
    w.attr("name", name);
    values.iter().for_each(|value| w.text_element("value", value));
    w.close("enum");
}
