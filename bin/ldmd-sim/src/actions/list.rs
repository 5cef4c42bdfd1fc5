//! What the list actions answer.

use super::Context;
use crate::message::{Item, Object};
use crate::model::{Domain, Machine, State, Wanted};
use crate::size;

/// The objects that answer a list action, each with its own success or refusal.
pub(crate) fn run(
    machine: &Machine,
    context: &Context<'_>,
    action: &str,
    asked: &[Object],
) -> Result<Vec<Object>, String> {
    let detail = match action {
        "list-domain" => Detail::Summary,
        "list-bindings" => Detail::Bindings,
        "list-constraints" => Detail::Constraints,
        "list-services" => return services(machine, asked),
        "list-devices" => return Ok(vec![devices(machine, context, asked)]),
        "list-io" => return Ok(vec![Object { domain: None, items: devices_io(machine, true) }]),
        "list-dependencies" => return dependencies(machine, asked),
        "list-variable" => return variables(machine, asked),
        "list-spconfig" => return Ok(vec![spconfigs(machine)]),
        _ => return Err(format!("The action {action} is not supported")),
    };
    let view = View { machine, context, detail };
    let named: Vec<&str> = asked.iter().filter_map(|object| object.domain.as_deref()).collect();
    if named.is_empty() {
        return Ok(machine.domains.iter().map(|domain| view.domain(domain)).collect());
    }
    named.into_iter().map(|name| machine.domain(name).map(|domain| view.domain(domain))).collect()
}

/// Everything that a domain asks for, as `list-constraints` says it.
pub(super) fn constraints(
    machine: &Machine,
    context: &Context<'_>,
    name: &str,
) -> Result<Object, String> {
    let view = View { machine, context, detail: Detail::Constraints };
    machine.domain(name).map(|domain| view.domain(domain))
}

/// How much is said of a domain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Summary,
    Constraints,
    Bindings,
}

struct View<'a> {
    machine: &'a Machine,
    context: &'a Context<'a>,
    detail: Detail,
}

impl View<'_> {
    fn domain(&self, domain: &Domain) -> Object {
        let is_bound = domain.state.holds() && self.detail != Detail::Constraints;
        let wanted = match self.detail {
            Detail::Constraints => domain.asked(),
            Detail::Summary | Detail::Bindings => &domain.wanted,
        };
        let mut items = vec![self.info(domain)];
        items.extend(self.processors(domain, wanted, is_bound));
        items.push(self.memory(domain, wanted, is_bound));
        match self.detail {
            Detail::Summary => {}
            Detail::Constraints => items.extend(wanted.items.iter().cloned()),
            Detail::Bindings => {
                let others = wanted.items.iter().filter(|item| item.kind != "console");
                items.extend(others.map(|item| self.device(item, is_bound)));
            }
        }
        if self.detail != Detail::Constraints {
            items.extend(self.console(domain));
        }
        if self.context.live.style.extras {
            items.push(Item::new("x-sim-unknown").with("x-sim-key", "<value> & \"more\""));
        }
        Object::of(&domain.name, items)
    }

    fn info(&self, domain: &Domain) -> Item {
        let mut info = domain.info.clone();
        if self.detail == Detail::Constraints {
            return info;
        }
        info.set("state", domain.state.name());
        info.set("flags", &flags(domain, self.context));
        if domain.state.runs() {
            info.set("utilization", if domain.is_control() { "1.2%" } else { "0.5%" });
            info.set("uptime", &domain.uptime_s().to_string());
        }
        if self.context.live.style.extras {
            info.set("x-sim-unknown", "1");
        }
        info
    }

    fn processors(&self, domain: &Domain, wanted: &Wanted, is_bound: bool) -> Vec<Item> {
        let mut cpu = Item::new("cpu").with_units(wanted.vcpus.to_string());
        let mut mau = Item::new("mau").with_units(wanted.maus.to_string());
        if self.detail == Detail::Bindings && is_bound {
            for (vid, pid) in domain.bound.strands.iter().enumerate() {
                let binding = Item::new("cpu")
                    .with("vid", vid.to_string())
                    .with("pid", pid.to_string())
                    .with("strand", "100%");
                cpu.bindings.push(binding);
            }
            for id in &domain.bound.maus {
                mau.bindings.push(Item::new("mau").with("id", id.to_string()));
            }
        }
        let mut items = vec![cpu];
        if let Some(cores) = wanted.cores.filter(|_| self.detail != Detail::Summary) {
            items.push(Item::new("core").with_units(cores.to_string()));
        }
        if wanted.maus > 0 && self.detail != Detail::Summary {
            items.push(mau);
        }
        items
    }

    fn memory(&self, domain: &Domain, wanted: &Wanted, is_bound: bool) -> Item {
        let bytes = if is_bound { domain.bound.memory_bytes() } else { wanted.memory_bytes };
        let units =
            if self.context.live.style.bytes { bytes.to_string() } else { size::with_unit(bytes) };
        let mut memory = Item::new("memory").with_units(units);
        if self.detail == Detail::Bindings && is_bound {
            for block in &domain.bound.memory {
                let binding = Item::new("memory")
                    .with("ra", format!("{:#x}", block.real))
                    .with("pa", format!("{:#x}", block.physical))
                    .with("size", block.bytes.to_string());
                memory.bindings.push(binding);
            }
        }
        memory
    }

    /// A device with the service behind it.
    fn device(&self, item: &Item, is_bound: bool) -> Item {
        let mut item = item.clone();
        let service = item.get("service_name").unwrap_or_default().to_owned();
        if is_bound && item.kind == "disk" {
            let volume = item.get("vol_name").unwrap_or_default();
            if let Some((server, volume)) = self.machine.volume(&service, volume) {
                let mut binding = volume.clone();
                binding.set("server", &server.name);
                item.bindings.push(binding);
            }
        }
        item
    }

    fn console(&self, domain: &Domain) -> Option<Item> {
        let asked = domain.wanted.of_kind("console").next();
        if domain.is_control() || (!domain.state.holds() && asked.is_none()) {
            return None;
        }
        let mut item = asked.cloned().unwrap_or_else(|| Item::new("console"));
        if item.get("service_name").is_none() {
            let vcc = self.machine.concentrator(None)?;
            item.set("service_name", vcc.get("service_name").unwrap_or_default());
        }
        item.set("group", domain.console_group());
        if let Some(port) = domain.bound.port {
            item.set("port", &port.to_string());
        }
        Some(item)
    }
}

/// The flags of a domain, in words.
fn flags(domain: &Domain, context: &Context<'_>) -> String {
    let mut words = Vec::new();
    match domain.state {
        State::Active if is_in_openboot(domain, context) => words.push("transition"),
        State::Active => words.push("normal"),
        State::Starting => words.push("starting"),
        State::Stopping => words.push("stopping"),
        State::Suspended => words.extend(["normal", "migration", "source"]),
        _ => {}
    }
    if domain.pending.is_some() {
        words.push("delayed");
    }
    if domain.is_control() {
        words.push("control");
    }
    if domain.wanted.serves() {
        words.push("vio-service");
    }
    words.join(",")
}

fn is_in_openboot(domain: &Domain, context: &Context<'_>) -> bool {
    !domain.is_control()
        && (domain.stays_in_openboot || domain.uptime_s() < context.live.boot_delay.as_secs())
}

fn services(machine: &Machine, asked: &[Object]) -> Result<Vec<Object>, String> {
    let named: Vec<&str> = asked.iter().filter_map(|object| object.domain.as_deref()).collect();
    for name in &named {
        machine.domain(name)?;
    }
    let is_service =
        |item: &&Item| matches!(item.kind.as_str(), "vds" | "vds_volume" | "vsw" | "vcc" | "vdpcs");
    let serving = machine.domains.iter().filter(|domain| {
        if named.is_empty() { domain.wanted.serves() } else { named.contains(&&*domain.name) }
    });
    let objects = serving.map(|domain| {
        let items = domain.wanted.items.iter().filter(is_service).cloned().collect();
        Object::of(&domain.name, items)
    });
    Ok(objects.collect())
}

fn devices(machine: &Machine, context: &Context<'_>, asked: &[Object]) -> Object {
    let with_bound = context.has_option("-a");
    let kinds: Vec<&str> =
        asked.iter().flat_map(|object| &object.items).map(|item| item.kind.as_str()).collect();
    let wants = |kind: &str| kinds.is_empty() || kinds.contains(&kind);
    let mut items = Vec::new();
    if wants("cpu") {
        let free = machine.free_strands();
        for pid in (0..machine.hardware.strands).filter(|pid| with_bound || free.contains(pid)) {
            let share = if free.contains(&pid) { "100" } else { "0" };
            items.push(Item::new("cpu").with("pid", pid.to_string()).with("free", share));
        }
    }
    if wants("mau") {
        let free = machine.free_maus();
        for id in (0..machine.hardware.cores()).filter(|id| with_bound || free.contains(id)) {
            let share = if free.contains(&id) { "100" } else { "0" };
            items.push(Item::new("mau").with("id", id.to_string()).with("free", share));
        }
    }
    if wants("memory") {
        items.extend(memory_devices(machine, with_bound));
    }
    if wants("physio_device") || wants("io") {
        items.extend(devices_io(machine, with_bound));
    }
    Object { domain: None, items }
}

fn devices_io(machine: &Machine, with_bound: bool) -> Vec<Item> {
    let owned = DEVICES.iter().map(|device| {
        let has =
            |domain: &&Domain| domain.wanted.position("physio_device", "name", device).is_some();
        (*device, machine.domains.iter().find(has))
    });
    let listed = owned.filter(|(_, owner)| with_bound || owner.is_none());
    let item = |(device, owner): (&str, Option<&Domain>)| {
        let owner = owner.map_or("", |domain| &domain.name);
        Item::new("physio_device").with("name", device).with("bound", owner)
    };
    listed.map(item).collect()
}

/// Each domain with those it depends on: its masters.
fn dependencies(machine: &Machine, asked: &[Object]) -> Result<Vec<Object>, String> {
    let named: Vec<&str> = asked.iter().filter_map(|object| object.domain.as_deref()).collect();
    for name in &named {
        machine.domain(name)?;
    }
    let listed = machine
        .domains
        .iter()
        .filter(|domain| named.is_empty() || named.contains(&domain.name.as_str()));
    let object = |domain: &Domain| {
        let masters = domain.info.get("master").unwrap_or_default();
        Object::of(&domain.name, vec![Item::new("ldom_info").with("master", masters)])
    };
    Ok(listed.map(object).collect())
}

/// The root complexes of the simulated machine.
pub(crate) const DEVICES: &[&str] = &["pci@400", "pci@500"];

fn memory_devices(machine: &Machine, with_bound: bool) -> Vec<Item> {
    let mut pieces: Vec<(u64, u64, &str)> =
        machine.free_memory().into_iter().map(|(at, bytes)| (at, bytes, "")).collect();
    if with_bound {
        let bound = machine.bound_memory();
        pieces.extend(bound.iter().map(|(block, owner)| (block.physical, block.bytes, *owner)));
    }
    pieces.sort_unstable();
    let item = |(at, bytes, owner): (u64, u64, &str)| {
        Item::new("memory")
            .with("pa", format!("{at:#x}"))
            .with("size", bytes.to_string())
            .with("bound", owner)
    };
    pieces.into_iter().map(item).collect()
}

fn variables(machine: &Machine, asked: &[Object]) -> Result<Vec<Object>, String> {
    let mut objects = Vec::new();
    for object in asked {
        let name = super::domain_of(object)?;
        let names: Vec<&str> = object.items.iter().filter_map(|item| item.get("name")).collect();
        let asked = machine.domain(name)?.asked();
        for own in &names {
            if asked.position("var", "name", own).is_none() {
                return Err(format!("Variable {own} not found in LDom \"{name}\""));
            }
        }
        let is_asked = |item: &&Item| {
            names.is_empty() || item.get("name").is_some_and(|name| names.contains(&name))
        };
        let items = asked.of_kind("var").filter(is_asked).cloned().collect();
        objects.push(Object::of(name, items));
    }
    if objects.is_empty() {
        return Err("The request names no LDom".to_owned());
    }
    Ok(objects)
}

fn spconfigs(machine: &Machine) -> Object {
    let item = |name: &String| {
        let status = if *name == machine.spconfig { "current" } else { "" };
        Item::new("spconfig").with("spconfig_name", name.clone()).with("spconfig_status", status)
    };
    Object { domain: None, items: machine.spconfigs.iter().map(item).collect() }
}
