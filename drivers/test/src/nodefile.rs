//! Node files: a world as `test:///FILE` describes it.
//!
//! Every part stands in the file itself or, with `file='...'`, in one of its own, named from the
//! folder of the node file. What is only the test driver's (how a domain runs at first) stands in a
//! namespace.

use std::borrow::Cow;
use std::path::Path;

use virt_error::{Code, Error, Origin, Result};
use virt_model::host_interface::HostInterface;
use virt_model::network::Network;
use virt_model::node_device::NodeDevice;
use virt_model::storage::Pool;
use virt_model::{Document, ParseFlags};
use virt_types::{NodeInfo, api};
use virt_xml::{Element, parse_number};

use crate::domain::taint::Taints;
use crate::domain::{define, rules};
use crate::error::internal;
use crate::fault::{NAMESPACE as FAULTS, Plan};
use crate::host::Node;
use crate::world::World;
use crate::{auth, network, pool, snapshot, volume};

const NAMESPACE: &str = "http://libvirt.org/schemas/domain/test/1.0";

/// Limit: bytes of a node file, and of each file that it names.
const FILE_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Limit: bytes of a CPU model's name, as on the wire.
const MODEL_BYTES_MAX: usize = 31;

/// Reads the world that a node file describes.
pub(crate) fn load(path: &str, auth_file: Option<&str>) -> Result<World> {
    let text = read_file(path)?;
    let tree = parse(&text, Some(path))?;
    if tree.name != "node" {
        let detail = format!("expecting root element of 'node', not '{}'", tree.name);
        return Err(Error::new(Code::XmlError, Origin::Xml, detail));
    }
    auth::check(&tree, auth_file)?;
    let world = World::new(read_node(&tree)?, Plan::of(&tree, None)?);
    let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
    let file = File { tree: &tree, folder };
    file.each("domain", |element| domain(&world, &tree, element))?;
    file.each("network", |element| {
        let element = &with_faults(&tree, element);
        network::preset(&world, Network::from_tree(element, ParseFlags::default())?)
    })?;
    file.each("interface", |element| {
        let interface = HostInterface::from_tree(element, ParseFlags::default())?;
        world.interfaces.define(interface, true);
        Ok(())
    })?;
    file.each("pool", |element| storage(&world, &file, &with_faults(&tree, element)))?;
    file.each("device", |element| {
        world.devices.insert(NodeDevice::from_tree(element, ParseFlags::default())?, true);
        Ok(())
    })?;
    Ok(world)
}

/// Compat: who cannot read a file is told in the words of libvirt's own reader.
pub(crate) fn read_file(path: &str) -> Result<String> {
    let failed = |what: &str, error: &std::io::Error| {
        Error::io(Origin::None, error, format!("Failed to {what} file '{path}'"))
    };
    let file = std::fs::File::open(path).map_err(|error| failed("open", &error))?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, FILE_BYTES_MAX + 1), &mut bytes)
        .map_err(|error| failed("read", &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        const EOVERFLOW: i32 = 75;
        let what = format!("Failed to read file '{path}'");
        return Err(Error::system(Origin::None, EOVERFLOW, what));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn parse<'a>(text: &'a str, path: Option<&str>) -> Result<Element<'a>> {
    virt_xml::parse(text)
        .map_err(|error| Error::new(Code::XmlDetail, Origin::Test, error.framed(path)))
}

struct File<'a> {
    tree: &'a Element<'a>,
    folder: &'a Path,
}

impl File<'_> {
    /// Calls `take` with every part of that name, wherever it stands.
    fn each(&self, name: &str, take: impl FnMut(&Element<'_>) -> Result<()>) -> Result<()> {
        self.each_in(self.tree, name, take)
    }

    fn each_in(
        &self,
        parent: &Element<'_>,
        name: &str,
        mut take: impl FnMut(&Element<'_>) -> Result<()>,
    ) -> Result<()> {
        for element in parent.children_named(name) {
            match element.attr("file") {
                None => take(element)?,
                Some(path) => {
                    let path = self.folder.join(path);
                    let path = path.to_string_lossy();
                    let text = read_file(&path)?;
                    take(&parse(&text, Some(&path))?)?;
                }
            }
        }
        Ok(())
    }
}

fn xml_error(detail: impl Into<String>) -> Error {
    Error::new(Code::XmlError, Origin::Test, detail)
}

/// A number that a child of an element says, if it says any.
fn number<T: TryFrom<i128>>(
    parent: Option<&Element<'_>>,
    name: &str,
    what: &str,
) -> Result<Option<T>> {
    let Some(text) = parent.and_then(|parent| parent.child_text(name)) else { return Ok(None) };
    match parse_number(&text, 10).and_then(|value| T::try_from(value).ok()) {
        Some(value) => Ok(Some(value)),
        None => Err(xml_error(format!("invalid {what}"))),
    }
}

fn read_node(tree: &Element<'_>) -> Result<Node> {
    let mut node = Node::bare();
    let cpu = tree.child("cpu");
    let count = |name, old: i32| {
        let value = number::<i32>(cpu, name, &format!("node cpu {name} value"))?;
        Ok::<i32, Error>(value.unwrap_or(old))
    };
    let old = node.info.clone();
    let (nodes, sockets) = (count("nodes", old.nodes)?, count("sockets", old.sockets)?);
    let (cores, threads) = (count("cores", old.cores)?, count("threads", old.threads)?);
    let info = NodeInfo { nodes, sockets, cores, threads, ..old };
    node.info = info;
    let all = i32::try_from(node.cpus()).unwrap_or(i32::MAX);
    // All are there unless fewer are said to be.
    node.info.cpus = match number::<i32>(cpu, "active", "node cpu active value")? {
        Some(active) => active,
        None if cpu.is_some() => all,
        None => node.info.cpus,
    };
    node.info.mhz = count("mhz", node.info.mhz)?;
    if let Some(model) = cpu.and_then(|cpu| cpu.child_text("model")) {
        if model.len() > MODEL_BYTES_MAX {
            return Err(internal(format!("Model {model} too big for destination")));
        }
        node.info.model = model.into_owned();
    }
    if let Some(memory_kib) = number(Some(tree), "memory", "node memory value")? {
        node.info.memory = memory_kib;
    }
    Ok(node)
}

/// What a node file says about a domain besides its definition.
struct Extra<'e> {
    snapshots: Vec<&'e Element<'e>>,
    state: i32,
    transient: bool,
    managed_save: bool,
}

impl<'e> Extra<'e> {
    fn of(root: &Element<'_>, element: &'e Element<'e>) -> Result<Self> {
        let prefix = element.prefix_of(NAMESPACE).or_else(|| root.prefix_of(NAMESPACE));
        let is_ours = |child: &Element<'_>| prefix.is_some() && child.prefix() == prefix;
        let snapshots =
            |child: &&Element<'_>| is_ours(child) && child.local_name() == "domainsnapshot";
        let find = |name: &str| {
            element.elements().find(|child| is_ours(child) && child.local_name() == name)
        };
        let state = match find("runstate") {
            None => api::DOMAIN_RUNNING,
            Some(child) => {
                let text = child.text();
                let value = parse_number(&text, 10).and_then(|value| u32::try_from(value).ok());
                let value = value.ok_or_else(|| xml_error("invalid runstate"))?;
                let state = i32::try_from(value).ok();
                match state.filter(|state| *state <= api::DOMAIN_PMSUSPENDED) {
                    Some(state) => state,
                    None => {
                        return Err(xml_error(format!("runstate '{value}' out of range'")));
                    }
                }
            }
        };
        let extra = Self {
            snapshots: element.elements().filter(snapshots).collect(),
            state,
            transient: find("transient").is_some(),
            managed_save: find("hasmanagedsave").is_some(),
        };
        let off = state == api::DOMAIN_SHUTOFF;
        if extra.transient && off {
            return Err(xml_error("transient domain cannot have runstate 'shutoff'"));
        }
        if extra.managed_save && !off {
            let detail = "domain with managedsave data can only have runstate 'shutoff'";
            return Err(xml_error(detail));
        }
        Ok(extra)
    }
}

/// An element that knows the prefix of faults by itself, where only the root binds it.
fn with_faults<'e>(root: &Element<'_>, element: &'e Element<'e>) -> Cow<'e, Element<'e>> {
    match root.prefix_of(FAULTS) {
        Some(prefix) if element.prefix_of(FAULTS).is_none() => {
            let mut own = element.to_static();
            own.set_attr(format!("xmlns:{prefix}"), FAULTS);
            Cow::Owned(own)
        }
        _ => Cow::Borrowed(element),
    }
}

fn domain(world: &World, root: &Element<'_>, element: &Element<'_>) -> Result<()> {
    let definition = rules::from_tree(&with_faults(root, element))?;
    let extra = Extra::of(root, element)?;
    let name = definition.name.clone();
    let mut taken = Ok(());
    define::preset(world, definition, |state| {
        taken = extra.snapshots.iter().try_for_each(|tree| snapshot::preset(state, tree));
        if taken.is_ok() && !state.snapshots.is_whole() {
            let detail = format!("Snapshots have inconsistent relations for domain {name}");
            taken = Err(internal(detail));
        }
        state.persistent = !extra.transient;
        state.managed_save = extra.managed_save;
        state.taints = Taints::of(&state.current);
        (extra.state != api::DOMAIN_SHUTOFF).then_some(extra.state)
    })?;
    taken
}

fn storage(world: &World, file: &File<'_>, element: &Element<'_>) -> Result<()> {
    let reference = pool::preset(world, Pool::from_tree(element, ParseFlags::default())?)?;
    file.each_in(element, "volume", |element| {
        let xml = virt_xml::to_string(element);
        world.preset_pool(&reference, |state| volume::preset(state, &xml))
    })
}
