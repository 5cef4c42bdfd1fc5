//! Finding the channels of a host, and opening `xen:///` on them.

use std::sync::Arc;

use virt_driver::{Driver, Lazy, OpenRequest, Opener, local_path};
use virt_error::{Code, Error, Origin, Result};

use crate::channels::{Definitions, Hypervisor};
use crate::config::Config;
use crate::core::{Channels, Core, Settings};
use crate::definitions::{Files, Managed, Merged, SharedFolder, XmFolder};
use crate::formats::{Host, Toolstack as Flavour};
use crate::hypercalls::{Calls, HyperView};
use crate::store_channel::StoreChannel;
use crate::sys::Privcmd;
use crate::xend::{Node, Place, Xend, XendStack, XendView};
use crate::xl::{Xl, XlStack};
use crate::{ORIGIN, XenDriver, store_error};

/// What says that this is the control domain of a Xen host.
const CAPABILITIES: &str = "/proc/xen/capabilities";

/// Opens `xen:///`; the driver comes up with [`XenOpener::up`] or the first connection.
pub fn opener(settings: Settings) -> XenOpener {
    XenOpener(Lazy::new(settings, start))
}

/// What [`opener`] gives. Cloning gives the same one, so that a daemon can bring the driver up
/// before anybody connects.
#[derive(Clone, Debug)]
pub struct XenOpener(Lazy<Settings, XenDriver>);

impl XenOpener {
    /// The driver, brought up if it is not.
    pub fn up(&self) -> Result<XenDriver> {
        self.0.up()
    }

    /// The driver, where this host is one of its own or one was asked for; a host without Xen does not
    /// need to hear that there is none.
    pub fn rise(&self) -> Result<()> {
        match is_control_domain() || self.0.settings().config.exists() {
            true => self.up().map(drop),
            false => Ok(()),
        }
    }

    /// The driver if it is up.
    pub fn running(&self) -> Option<XenDriver> {
        self.0.running()
    }
}

fn is_control_domain() -> bool {
    std::fs::read_to_string(CAPABILITIES).is_ok_and(|text| text.contains("control_d"))
}

/// How the hypervisor is reached, where it is: a test has one of its own.
pub(crate) type Gateway = fn(&Config) -> Option<Calls>;

/// What is to be seen of a host without asking it anything: when that changes, channels come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signs {
    xend: bool,
    xl: bool,
    privcmd: bool,
}

impl Signs {
    fn of(config: &Config) -> Self {
        Self {
            xend: xend_place(config).is_listening(),
            xl: Xl::find(config.xl.as_deref()).is_some(),
            privcmd: config.privcmd.exists(),
        }
    }
}

/// How channels were found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    signs: Signs,
    gateway: Gateway,
}

/// Brings the driver up on whatever this host offers.
pub(crate) fn start(settings: Settings) -> Result<XenDriver> {
    start_through(settings, hypercalls)
}

/// The same with another way to the hypervisor.
pub(crate) fn start_through(settings: Settings, gateway: Gateway) -> Result<XenDriver> {
    let config = Config::read(&settings.config)?;
    let dirs = &settings.dirs;
    for dir in [&dirs.config, &dirs.run, &dirs.lib, &dirs.lib.join("save"), &dirs.log] {
        virt_store::make_dir(dir, 0o755).map_err(|error| store_error(&error))?;
    }
    if let Some(address) = config.xend_address {
        virt_log::warning!(
            "xen",
            "xend over TCP asks nobody who they are: whoever reaches {address} is root on this host"
        );
    }
    let found = Found { signs: Signs::of(&config), gateway };
    let channels = find(&config, &settings, found)?;
    let core = Core::new(settings, channels);
    settle(&core);
    core.watch.begin(&core);
    crate::lifecycle::autostart(&core);
    Ok(XenDriver(core))
}

/// What is to be done with channels that were just found.
fn settle(core: &Core) {
    virt_log::info!("xen", "domains are known from {}", core.hypervisor().name());
    if let (Some(notes), Ok(all)) = (&core.notes(), core.all()) {
        notes.retain(&all.iter().map(|subject| subject.uuid).collect());
    }
    if let Some(path) = core.definitions().folder() {
        crate::folder::watch(core.weak(), path);
    }
}

/// Looks whether tool stacks have come or gone since the channels were found, and takes what is there now.
/// Where nothing is, the channels stay: who uses them is told what is missing.
pub(crate) fn refresh(core: &Core) {
    let Some(before) = core.channels().found else { return };
    let Ok(config) = Config::read(&core.settings.config) else { return };
    let now = Found { signs: Signs::of(&config), ..before };
    if now.signs == before.signs {
        return;
    }
    if let Ok(channels) = find(&config, &core.settings, now) {
        core.change_channels(channels);
        settle(core);
    }
}

/// Where xend is to be asked.
pub(crate) fn xend_place(config: &Config) -> Place {
    match config.xend_address {
        Some(address) => Place::Tcp(address),
        None => Place::Unix(config.xend_socket.clone()),
    }
}

/// The channels of this host: of xend's time where xend answers, else of today.
fn find(config: &Config, settings: &Settings, found: Found) -> Result<Channels> {
    let store = Arc::new(StoreChannel::new(config.xenstored_socket.clone()));
    let calls = || (found.gateway)(config);
    let whole = |channels| beside_xenstore(config, Channels { found: Some(found), ..channels });
    let xend = Xend::new(xend_place(config));
    let error = match xend.node() {
        Ok(node) => return Ok(whole(old(config, xend, &node, calls(), store))),
        Err(error) => error,
    };
    let xl = Xl::find(config.xl.as_deref());
    if let (Some(xl), Some(calls)) = (xl.clone(), calls()) {
        return Ok(whole(new(config, settings, xl, calls, store)));
    }
    let today = match (xl.is_some(), is_control_domain()) {
        (_, false) => "this is no control domain of Xen",
        (false, true) => "xl is not there either",
        (true, true) => "hypercalls, which xl needs beside it, do not work here",
    };
    let detail = format!("no way to Xen was found: {error}; and {today}");
    Err(Error::new(Code::OperationFailed, Origin::Xend, detail))
}

/// xend, with the hypervisor itself where that can be asked.
fn old(
    config: &Config,
    xend: Xend,
    node: &Node,
    calls: Option<Calls>,
    store: Arc<StoreChannel>,
) -> Channels {
    let host =
        Host { toolstack: Flavour::Xend { config_format: node.config_format }, ..Host::default() };
    let managed = node.has_managed_domains();
    let view = XendView { xend };
    let stack = Arc::new(XendStack {
        view: view.clone(),
        store: Arc::clone(&store),
        host: host.clone(),
        managed,
        config_format: node.config_format,
        xen: (node.xen_major, node.xen_minor),
    });
    let definitions: Arc<dyn Definitions> = match managed {
        true => Arc::new(Managed { stack: Arc::clone(&stack), dir: config.xend_domains.clone() }),
        false => Arc::new(XmFolder::new(config.xm_dir.clone(), host)),
    };
    let hypervisor: Arc<dyn Hypervisor> = match calls {
        Some(calls) => Arc::new(HyperView::new(calls, Arc::clone(&store))),
        None => Arc::new(view),
    };
    let vnc_listen = config.vnc_listen.clone();
    Channels { hypervisor, toolstack: stack, definitions, store, vnc_listen, found: None }
}

/// Hypercalls and `xl`.
fn new(
    config: &Config,
    settings: &Settings,
    xl: Xl,
    calls: Calls,
    store: Arc<StoreChannel>,
) -> Channels {
    let (host, dirs) = (Host::default(), &settings.dirs);
    let hypervisor: Arc<dyn Hypervisor> = Arc::new(HyperView::new(calls, Arc::clone(&store)));
    let stack = XlStack::new(
        xl,
        Arc::clone(&hypervisor),
        Arc::clone(&store),
        host.clone(),
        dirs.run.clone(),
    );
    let definitions = Arc::new(Files { dir: dirs.config.clone(), host });
    let vnc_listen = config.vnc_listen.clone();
    let toolstack = Arc::new(stack);
    Channels { hypervisor, toolstack, definitions, store, vnc_listen, found: None }
}

/// The same, with configurations in xenstore too where a folder for them is named.
fn beside_xenstore(config: &Config, channels: Channels) -> Channels {
    let Some(path) = config.xenstore_path.clone() else { return channels };
    let store = Arc::clone(&channels.store);
    let shared = SharedFolder { path, store, host: channels.toolstack.host() };
    let merged = Merged { kept: channels.definitions, shared };
    if let Err(error) = merged.publish() {
        virt_log::warning!("xen", "configurations are not in xenstore: {error}");
    }
    Channels { definitions: Arc::new(merged), ..channels }
}

/// The hypervisor itself, where its device is there and its interface is known.
pub(crate) fn hypercalls(config: &Config) -> Option<Calls> {
    if config.privcmd.as_os_str().is_empty() {
        return None;
    }
    let path = config.privcmd.display();
    let opened = Privcmd::open(&config.privcmd).and_then(|gate| Calls::probe(Box::new(gate)));
    opened.inspect_err(|error| virt_log::info!("xen", "no hypercalls through {path}: {error}")).ok()
}

impl Opener for XenOpener {
    fn open(&self, request: &OpenRequest<'_>) -> Result<Option<Vec<Arc<dyn Driver>>>> {
        let Some(path) = local_path(request.uri, "xen") else { return Ok(None) };
        if !matches!(path, "" | "/" | "/system") {
            let detail = format!("unexpected Xen URI path '{path}', try xen:///system");
            return Err(Error::internal(ORIGIN, detail));
        }
        let driver = self.up()?;
        refresh(driver.core());
        Ok(Some(vec![Arc::new(driver)]))
    }

    fn probe(&self) -> Option<String> {
        is_control_domain().then(|| "xen:///system".to_owned())
    }
}
