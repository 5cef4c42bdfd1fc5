//! Network interfaces: taps that the daemon makes, puts into a bridge and hands to the tool by name.
//!
//! A tap is made before the guest, since the tool only attaches to it, and taken away after it. Both
//! are done by `ip`, which every host with networks has. A guest with a display lives in a network of
//! its own (`vnc.rs`): its tap is made in there, with a pair of devices as the cable to the host.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use virt_driver::Call;
use virt_error::{Error, Result};
use virt_model::domain::Domain;
use virt_model::domain::interface::{Interface, InterfaceTarget, InterfaceType};

use crate::core::Core;
use crate::{ORIGIN, invalid_operation, operation_failed, unsupported};

/// How devices are called that the daemon makes. Compat: as libvirt's; a document cannot ask for one.
const STEM: &str = "vnet";

/// Limit: the kernel's, for a device's name.
const NAME_BYTES_MAX: usize = 15;

/// Limit: devices that are looked through for a free name.
const NUMBERS_MAX: u32 = 1 << 16;

/// Whether an interface has a device on the host.
fn has_tap(interface: &Interface) -> bool {
    use InterfaceType::{Bridge, Ethernet, Network};
    matches!(interface.kind, Network | Bridge | Ethernet)
}

/// Whether the daemon makes the device, as against one that is there already.
fn is_ours(interface: &Interface) -> bool {
    let target = interface.target.as_ref();
    has_tap(interface)
        && target.and_then(|target| target.managed).is_none_or(virt_model::YesNo::is_yes)
}

/// Whether the daemon named the device too.
pub(crate) fn is_made(interface: &Interface) -> bool {
    is_ours(interface) && interface.target_dev().is_some_and(|dev| dev.starts_with(STEM))
}

fn exists(device: &str) -> bool {
    Path::new("/sys/class/net").join(device).exists()
}

/// Names of devices that guests have which are being started.
pub(crate) type Taken = HashSet<String>;

/// Gives each interface that has no device of its own the first free name.
pub(crate) fn name(taken: &mut Taken, document: &mut Domain) {
    for interface in document.devices.interfaces.iter_mut().filter(|one| is_ours(one)) {
        let target = interface.target.get_or_insert_with(InterfaceTarget::default);
        if target.dev.as_deref().is_none_or(|dev| dev.starts_with(STEM)) {
            let mut names = (0..NUMBERS_MAX).map(|at| format!("{STEM}{at}"));
            let free = names.find(|name| !exists(name) && !taken.contains(name));
            taken.extend(free.clone());
            target.dev = free;
        }
    }
}

/// Makes the devices that a document names, of a guest that is about to start.
pub(crate) fn make(core: &Core, document: &Domain) -> Result<()> {
    let isolated = !document.devices.graphics.is_empty();
    for interface in document.devices.interfaces.iter().filter(|one| is_ours(one)) {
        let device = interface.target_dev().unwrap_or_default();
        if device.is_empty() || device.len() > NAME_BYTES_MAX || exists(device) {
            return Err(operation_failed(format!("cannot make a network device '{device}'")));
        }
        check_bridge(core, interface)?;
        if !isolated {
            ip(core, &tuntap(core, device, &owner(core)))?;
            plug(core, interface, device)?;
        }
    }
    Ok(())
}

fn owner(core: &Core) -> String {
    core.user.as_ref().map_or(0, |user| user.uid).to_string()
}

fn tuntap<'a>(core: &Core, device: &'a str, owner: &'a str) -> Vec<&'a str> {
    let mut args = vec!["tuntap", "add", "dev", device, "mode", "tap", "vnet_hdr"];
    if core.user.is_some() {
        args.extend(["user", owner]);
    }
    args
}

/// The bridge an interface belongs into.
fn bridge(core: &Core, interface: &Interface) -> Result<Option<String>> {
    let source = interface.source.as_ref();
    match interface.kind {
        InterfaceType::Bridge => Ok(source.and_then(|source| source.bridge.clone())),
        InterfaceType::Network => {
            let name = source.and_then(|source| source.network.as_deref()).unwrap_or_default();
            core.network_bridge(name).map(Some)
        }
        _ => Ok(None),
    }
}

fn check_bridge(core: &Core, interface: &Interface) -> Result<()> {
    match bridge(core, interface)? {
        Some(bridge) if !exists(&bridge) => {
            Err(operation_failed(format!("there is no bridge '{bridge}' on this host")))
        }
        _ => Ok(()),
    }
}

/// Puts a device into its bridge and switches it on.
fn plug(core: &Core, interface: &Interface, device: &str) -> Result<()> {
    check_bridge(core, interface)?;
    if let Some(mtu) = &interface.mtu {
        ip(core, &["link", "set", "dev", device, "mtu", &mtu.size.to_string()])?;
    }
    if let Some(bridge) = bridge(core, interface)? {
        ip(core, &["link", "set", "dev", device, "master", &bridge])?;
    }
    ip(core, &["link", "set", "dev", device, "up"])
}

/// Limit: how long a process may take to leave the host's network.
const LEAVE_MAX: Duration = Duration::from_secs(10);
const LEAVE_STEP: Duration = Duration::from_millis(1);

/// Waits until a process that was just started has left the host's network.
fn await_own_network(pid: u32) -> Result<()> {
    let network = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/net")).ok();
    let (host, pid) = (network("self"), pid.to_string());
    let deadline = Instant::now() + LEAVE_MAX;
    while network(&pid).is_none_or(|its| Some(its) == host) {
        if Instant::now() >= deadline {
            return Err(Error::internal(ORIGIN, "the guest got no network of its own"));
        }
        std::thread::sleep(LEAVE_STEP);
    }
    Ok(())
}

/// Makes the devices of a guest that lives in a network of its own, whose process waits there.
pub(crate) fn move_in(core: &Core, document: &Domain, pid: u32) -> Result<()> {
    await_own_network(pid)?;
    let pid = pid.to_string();
    let inside = |args: &[&str]| {
        let words = ["--target", &pid, "--net", "--", "ip"];
        run(core, "nsenter", &[&words, args].concat())
    };
    inside(&["link", "set", "dev", "lo", "up"])?;
    for interface in document.devices.interfaces.iter().filter(|one| is_ours(one)) {
        let device = interface.target_dev().unwrap_or_default();
        let (cable, inner) = (format!("{device}c"), format!("{device}b"));
        ip(
            core,
            &["link", "add", "dev", device, "type", "veth", "peer", "name", &cable, "netns", &pid],
        )?;
        inside(&tuntap(core, device, &owner(core)))?;
        inside(&["link", "add", "dev", &inner, "type", "bridge"])?;
        for member in [cable.as_str(), device] {
            inside(&["link", "set", "dev", member, "master", &inner])?;
            inside(&["link", "set", "dev", member, "up"])?;
        }
        inside(&["link", "set", "dev", &inner, "up"])?;
        plug(core, interface, device)?;
    }
    Ok(())
}

/// Takes away the devices of a guest that has ended.
pub(crate) fn remove(core: &Core, document: &Domain) {
    for interface in document.devices.interfaces.iter().filter(|one| is_ours(one)) {
        if let Some(device) = interface.target_dev().filter(|device| exists(device)) {
            // One that stays is in nobody's way: its name is passed over.
            let _ = ip(core, &["link", "delete", "dev", device]);
        }
    }
}

fn ip(core: &Core, args: &[&str]) -> Result<()> {
    run(core, "ip", args)
}

/// A program where distributions put it, which a daemon's path may not name.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
}

fn run(core: &Core, name: &str, args: &[&str]) -> Result<()> {
    let path = program(name)
        .ok_or_else(|| operation_failed(format!("networks need the program '{name}'")))?;
    let output = Command::new(path).args(args).stdin(under_way(core)?).output();
    let output = output.map_err(|error| Error::io(ORIGIN, &error, format!("cannot run {name}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default();
    Err(operation_failed(format!("{name} {} failed: {said}", args.join(" "))))
}

/// What a program at work holds, for as long as it runs: it outlives a daemon that is killed, and
/// could make a device after the next one has looked for what was left.
fn under_way(core: &Core) -> Result<File> {
    let file = at_work(core).and_then(|file| file.lock_shared().map(|()| file));
    file.map_err(|error| Error::io(ORIGIN, &error, "cannot note that a program is at work"))
}

fn at_work(core: &Core) -> std::io::Result<File> {
    let path = core.dirs().run.join("network.lock");
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Waits for programs that an earlier daemon started and did not see end.
pub(crate) fn await_earlier(core: &Core) {
    let Ok(file) = at_work(core) else { return };
    let deadline = Instant::now() + LEAVE_MAX;
    while file.try_lock().is_err() && Instant::now() < deadline {
        std::thread::sleep(LEAVE_STEP);
    }
}

impl Core {
    /// The bridge of a network, as it was when a call asked for a start.
    fn network_bridge(&self, name: &str) -> Result<String> {
        let known = self.bridges.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).cloned().ok_or_else(|| {
            operation_failed(format!("Network not found: no network with matching name '{name}'"))
        })
    }

    /// Asks for the bridges of a document's networks while there is a connection to ask through: it
    /// has the driver that knows them.
    pub(crate) fn learn_networks(&self, call: &Call<'_>, document: &Domain) -> Result<()> {
        let of_networks = |interface: &&Interface| interface.kind == InterfaceType::Network;
        for interface in document.devices.interfaces.iter().filter(of_networks) {
            let source = interface.source.as_ref();
            let name = source.and_then(|source| source.network.as_deref()).unwrap_or_default();
            let Ok(networks) = call.connection.networks() else {
                return unsupported(format!(
                    "this daemon has no networks, so no '{name}' among them: name a bridge in an \
                     interface of type 'bridge'"
                ));
            };
            let network = networks.lookup_by_name(call, name)?;
            if !networks.is_active(call, &network)? {
                return Err(invalid_operation(format!("network '{name}' is not active")));
            }
            let bridge = networks.get_bridge_name(call, &network)?;
            let mut known = self.bridges.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(name.to_owned(), bridge);
        }
        Ok(())
    }

    /// Names a guest's devices; nobody else gets those names until [`Core::release_names`].
    pub(crate) fn name_devices(&self, document: &mut Domain) {
        name(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner), document);
    }

    pub(crate) fn release_names(&self, document: &Domain) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for interface in &document.devices.interfaces {
            interface.target_dev().map(|device| taken.remove(device));
        }
    }
}
