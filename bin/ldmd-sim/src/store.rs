//! Domains on disk: a document for each, so that a manager started again finds them.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use virt_store::Durability;
use virt_xml::{Element, Writer};

use crate::message::Item;
use crate::model::{Block, Bound, Domain, Machine, Pending, State, Wanted};
use crate::options::Settings;

/// Limit: of one document, and of their number.
const FILE_BYTES_MAX: u64 = 16 << 20;
const FILES_MAX: usize = 20_000;
const MACHINE: &str = "machine.xml";
const SUFFIX: &str = ".xml";

/// A folder of documents.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    domains: PathBuf,
    /// What was written last about the machine itself, which seldom changes.
    written: Mutex<String>,
}

impl Store {
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        let domains = folder.join("domains");
        virt_store::make_dir(&domains, 0o700).map_err(|error| error.to_string())?;
        for dir in [folder, &domains] {
            virt_store::sweep(dir).map_err(|error| error.to_string())?;
        }
        Ok(Self { folder: folder.to_owned(), domains, written: Mutex::default() })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.domains.join(format!("{number:06}{SUFFIX}"))
    }

    /// Writes what changed since the last time.
    pub(crate) fn save(&self, machine: &mut Machine) -> Result<(), String> {
        let changed = std::mem::take(&mut machine.changed);
        for domain in machine.domains.iter().filter(|domain| changed.contains(&domain.number)) {
            self.write(&self.path(domain.number), &domain_text(domain))?;
        }
        for number in std::mem::take(&mut machine.removed) {
            virt_store::remove(&self.path(number)).map_err(|error| error.to_string())?;
        }
        let text = machine_text(machine);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written != text {
            self.write(&self.folder.join(MACHINE), &text)?;
            *written = text;
        }
        Ok(())
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), String> {
        // What a simulator knows need not outlive a power cut.
        let written = virt_store::write(path, text.as_bytes(), 0o600, Durability::Process);
        written.map_err(|error| error.to_string())
    }

    /// Reads everything into a machine; false if nothing was kept yet.
    pub(crate) fn load(&self, machine: &mut Machine) -> Result<bool, String> {
        let path = self.folder.join(MACHINE);
        if !path.exists() {
            return Ok(false);
        }
        let text =
            virt_store::read_text(&path, FILE_BYTES_MAX).map_err(|error| error.to_string())?;
        let fail = |why: String| format!("{}: {why}", path.display());
        let root = virt_xml::parse(&text).map_err(|error| fail(error.to_string()))?;
        let number = |name| root.attr_number::<u64>(name).ok().flatten();
        machine.next_number = number("next").unwrap_or(1);
        machine.next_mac = number("mac").and_then(|mac| u32::try_from(mac).ok()).unwrap_or(0);
        root.attr("spconfig").unwrap_or_default().clone_into(&mut machine.spconfig);
        machine.spconfigs =
            root.children_named("spconfig").map(|child| child.text().into_owned()).collect();
        let names = virt_store::list(&self.domains, SUFFIX, FILES_MAX);
        for name in names.map_err(|error| error.to_string())? {
            let path = self.domains.join(format!("{name}{SUFFIX}"));
            let text = virt_store::read_text(&path, FILE_BYTES_MAX);
            let domain = text
                .map_err(|error| error.to_string())
                .and_then(|text| read_domain(&text))
                .map_err(|why| format!("{}: {why}", path.display()))?;
            machine.domains.push(domain);
        }
        machine.domains.sort_by_key(|domain| domain.number);
        Ok(true)
    }
}

/// A machine as the settings describe it, with what was kept of an earlier run.
pub(crate) fn machine(settings: &Settings, store: Option<&Store>) -> Result<Machine, String> {
    let mut machine = Machine::new(settings).map_err(|error| error.to_string())?;
    let is_kept = store.map_or(Ok(false), |store| store.load(&mut machine))?;
    if !is_kept {
        machine.furnish(settings)?;
    }
    machine.reopen();
    if let Some(store) = store {
        store.save(&mut machine)?;
    }
    Ok(machine)
}

fn machine_text(machine: &Machine) -> String {
    let mut writer = Writer::new();
    writer.open("machine");
    writer.attr("next", &machine.next_number.to_string());
    writer.attr("mac", &machine.next_mac.to_string());
    writer.attr("spconfig", &machine.spconfig);
    for name in &machine.spconfigs {
        writer.text_element("spconfig", name);
    }
    writer.close("machine");
    writer.finish()
}

fn domain_text(domain: &Domain) -> String {
    let mut root = Element::new("domain")
        .with_attr("number", domain.number.to_string())
        .with_attr("name", domain.name.clone())
        .with_attr("state", domain.state.name())
        .with_attr("started", domain.started_s.to_string())
        .with_attr("openboot", if domain.stays_in_openboot { "yes" } else { "no" })
        .with_child(item_element(&domain.info))
        .with_child(wanted_element("wanted", &domain.wanted));
    if let Some(pending) = &domain.pending {
        let final_ = if pending.is_final { "yes" } else { "no" };
        root =
            root.with_child(wanted_element("pending", &pending.wanted).with_attr("final", final_));
    }
    virt_xml::to_string(&root.with_child(bound_element(&domain.bound)))
}

fn wanted_element(name: &'static str, wanted: &Wanted) -> Element<'static> {
    let mut element = Element::new(name)
        .with_attr("vcpus", wanted.vcpus.to_string())
        .with_attr("maus", wanted.maus.to_string())
        .with_attr("memory", wanted.memory_bytes.to_string());
    if let Some(cores) = wanted.cores {
        element.set_attr("cores", cores.to_string());
    }
    wanted.items.iter().map(item_element).fold(element, Element::with_child)
}

fn bound_element(bound: &Bound) -> Element<'static> {
    let list = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let mut element = Element::new("bound")
        .with_attr("strands", list(&bound.strands))
        .with_attr("maus", list(&bound.maus));
    if let Some(port) = bound.port {
        element.set_attr("port", port.to_string());
    }
    bound.memory.iter().fold(element, |element, block| {
        let child = Element::new("memory")
            .with_attr("real", block.real.to_string())
            .with_attr("physical", block.physical.to_string())
            .with_attr("bytes", block.bytes.to_string());
        element.with_child(child)
    })
}

fn item_element(item: &Item) -> Element<'static> {
    let mut element = Element::new("item").with_attr("kind", item.kind.clone());
    let fields = [("uuid", &item.uuid), ("address", &item.address), ("units", &item.units)];
    for (name, value) in fields {
        if let Some(value) = value {
            element.set_attr(name, value.clone());
        }
    }
    item.properties.iter().fold(element, |element, (key, value)| {
        let property = Element::new("property").with_attr("key", key.clone());
        element.with_child(property.with_attr("value", value.clone()))
    })
}

fn read_domain(text: &str) -> Result<Domain, String> {
    let root = virt_xml::parse(text).map_err(|error| error.to_string())?;
    let name = root.attr("name").ok_or("no name")?;
    let mut domain = Domain::new(number(&root, "number")?, name);
    domain.state = root.attr("state").and_then(State::parse).ok_or("no state")?.settled();
    domain.started_s = number(&root, "started")?;
    if domain.state == State::Active && domain.started_s == 0 {
        // It was on its way to another machine without running.
        domain.state = State::Bound;
    }
    domain.stays_in_openboot = root.attr("openboot") == Some("yes");
    domain.info = root.child("item").map(read_item).ok_or("no ldom_info")?;
    domain.wanted = read_wanted(root.child("wanted").ok_or("no constraints")?)?;
    if let Some(pending) = root.child("pending") {
        let is_final = pending.attr("final") == Some("yes");
        domain.pending = Some(Pending { wanted: read_wanted(pending)?, is_final });
    }
    if let Some(bound) = root.child("bound").filter(|_| domain.state.holds()) {
        domain.bound = read_bound(bound)?;
    }
    Ok(domain)
}

fn number<T: TryFrom<i128>>(element: &Element<'_>, name: &str) -> Result<T, String> {
    let found = element.attr_number(name).map_err(|error| error.to_string())?;
    found.ok_or_else(|| format!("no {name}"))
}

fn read_wanted(element: &Element<'_>) -> Result<Wanted, String> {
    Ok(Wanted {
        vcpus: number(element, "vcpus")?,
        cores: element.attr_number("cores").map_err(|error| error.to_string())?,
        maus: number(element, "maus")?,
        memory_bytes: number(element, "memory")?,
        items: element.children_named("item").map(read_item).collect(),
    })
}

fn read_bound(element: &Element<'_>) -> Result<Bound, String> {
    let list = |name: &str| -> Result<Vec<u32>, String> {
        let text = element.attr(name).unwrap_or_default();
        text.split_whitespace()
            .map(|word| word.parse().map_err(|_| format!("bad {name}")))
            .collect()
    };
    let block = |child: &Element<'_>| -> Result<Block, String> {
        Ok(Block {
            real: number(child, "real")?,
            physical: number(child, "physical")?,
            bytes: number(child, "bytes")?,
        })
    };
    Ok(Bound {
        strands: list("strands")?,
        maus: list("maus")?,
        memory: element.children_named("memory").map(block).collect::<Result<_, _>>()?,
        port: element.attr_number("port").map_err(|error| error.to_string())?,
    })
}

fn read_item(element: &Element<'_>) -> Item {
    let text = |name: &str| element.attr(name).map(str::to_owned);
    Item {
        kind: text("kind").unwrap_or_default(),
        uuid: text("uuid"),
        address: text("address"),
        units: text("units"),
        properties: element
            .children_named("property")
            .map(|child| {
                let text = |name| child.attr(name).unwrap_or_default().to_owned();
                (text("key"), text("value"))
            })
            .collect(),
        bindings: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_read_as_it_was_written() {
        let mut domain = Domain::new(7, "web+1");
        domain.state = State::Active;
        domain.started_s = 5;
        domain.info = Item { uuid: Some("u".to_owned()), ..Item::new("ldom_info") };
        let item = Item::new("var").with("name", "a b").with("value", "x\ny <&'\"");
        domain.wanted =
            Wanted { vcpus: 2, cores: Some(1), maus: 1, memory_bytes: 5, items: vec![item] };
        domain.pending = Some(Pending { wanted: Wanted::default(), is_final: true });
        let memory = vec![Block { real: 1, physical: 2, bytes: 3 }];
        domain.bound = Bound { strands: vec![1, 2], maus: vec![0], memory, port: Some(5000) };
        let read = read_domain(&domain_text(&domain)).unwrap();
        assert_eq!(read.wanted.items[0].get("value").map(str::len), Some("x\ny <&'\"".len()));
        assert_eq!(
            (read.name, read.state, read.bound),
            ("web+1".into(), State::Active, domain.bound)
        );
    }
}
