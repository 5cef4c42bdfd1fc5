//! The command line of a guest, from its live definition. What `domxml-to-native` prints is this.

use std::path::Path;

use virt_error::Result;
use virt_model::domain::Domain;
use virt_model::domain::chardev::ConsoleType;
use virt_model::domain::devices::BalloonModel;
use virt_model::domain::interface::{Interface, InterfaceType};

use crate::tool::Tool;
use crate::{rules, unsupported};

/// How a tap that the daemon has made is named to the tool.
pub(crate) const NATIVE: &str = "kvmtool-argv";

/// What the tool itself tells a guest's kernel, which it leaves out together with the other defaults.
const KERNEL_BASE: &str = "noapic noacpi pci=conf1 reboot=k panic=1 i8042.direct=1 \
                           i8042.dumbkbd=1 i8042.nopnp=1 i8042.noaux=1";

/// Limit: what the tool passes on to a kernel; it cuts the rest off.
const CMDLINE_BYTES_MAX: usize = 2047;

/// The words, collected.
#[derive(Default)]
struct Argv(Vec<String>);

impl Argv {
    fn option(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(name.to_owned());
        self.0.push(value.into());
    }

    fn flag(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }
}

/// Builds the command line, the tool itself not included. `sockets` is where its sockets are.
///
/// Host resources that are made at start (taps) must be in the document already.
pub(crate) fn build(domain: &Domain, tool: &Tool, sockets: &Path) -> Result<Vec<String>> {
    let mut argv = Argv::default();
    argv.flag("run");
    argv.option("--name", rules::tool_name(domain, sockets));
    argv.option("--cpus", domain.vcpu.count.to_string());
    argv.option("--mem", domain.memory.kib.div_ceil(1024).to_string());
    let nodefaults = nodefaults(&mut argv, domain, tool)?;
    boot(&mut argv, domain, nodefaults)?;
    for disk in &domain.devices.disks {
        let path = disk.path().unwrap_or_default();
        let read_only = if disk.readonly { ",ro" } else { "" };
        argv.option("--disk", format!("{path}{read_only}"));
    }
    for filesystem in &domain.devices.filesystems {
        let dir = filesystem.source.as_ref().and_then(|source| source.dir.as_deref());
        let tag = filesystem.target.as_ref().map_or("", |target| target.dir.as_str());
        argv.option("--9p", format!("{},{tag}", dir.unwrap_or_default()));
    }
    interfaces(&mut argv, domain)?;
    argv.option("--console", if is_virtio_console(domain) { "virtio" } else { "serial" });
    if has_balloon(domain) {
        needs(tool, "balloon")?;
        argv.flag("--balloon");
    }
    if !domain.devices.rngs.is_empty() {
        needs(tool, "rng")?;
        argv.flag("--rng");
    }
    if let Some(cid) = domain.devices.vsock.as_ref().and_then(|vsock| vsock.cid.address) {
        needs(tool, "vsock")?;
        argv.option("--vsock", cid.to_string());
    }
    if !domain.devices.graphics.is_empty() {
        if !tool.vnc {
            return unsupported(format!("'{}' is built without VNC", tool.path.display()));
        }
        argv.flag("--vnc");
    }
    Ok(argv.0)
}

fn needs(tool: &Tool, option: &str) -> Result<()> {
    match tool.takes(option) {
        true => Ok(()),
        false => unsupported(format!("'{}' has no option --{option}", tool.path.display())),
    }
}

/// Compat: with neither a disk nor an initial file system the tool would share the host's whole file
/// system with the guest, writable, unless it is told to add nothing by itself.
fn nodefaults(argv: &mut Argv, domain: &Domain, tool: &Tool) -> Result<bool> {
    if tool.takes("nodefaults") {
        argv.flag("--nodefaults");
        return Ok(true);
    }
    if domain.devices.disks.is_empty() && domain.os.initrd.is_none() {
        return unsupported(format!(
            "'{}' would share the host's root with a guest that has neither disk nor initrd",
            tool.path.display()
        ));
    }
    Ok(false)
}

fn boot(argv: &mut Argv, domain: &Domain, nodefaults: bool) -> Result<()> {
    let os = &domain.os;
    argv.option("--kernel", os.kernel.as_deref().unwrap_or_default());
    if let Some(initrd) = &os.initrd {
        argv.option("--initrd", initrd);
    }
    let params = kernel_line(domain, nodefaults);
    if params.len() > CMDLINE_BYTES_MAX {
        return unsupported(format!(
            "a kernel's command line has at most {CMDLINE_BYTES_MAX} bytes"
        ));
    }
    if !params.is_empty() {
        argv.option("--params", params);
    }
    Ok(())
}

/// What the guest's kernel is told: a document's own words come last, so that they win.
fn kernel_line(domain: &Domain, nodefaults: bool) -> String {
    let own = domain.os.cmdline.as_deref().unwrap_or_default();
    if !nodefaults {
        return own.to_owned();
    }
    let console = match (is_virtio_console(domain), domain.devices.graphics.is_empty()) {
        (true, _) => "console=hvc0",
        (false, true) => "earlyprintk=serial console=ttyS0",
        (false, false) => "earlyprintk=serial console=ttyS0 console=tty0",
    };
    let root = match domain.devices.disks.is_empty() || own.contains("root=") {
        true => "",
        false => " root=/dev/vda rw",
    };
    format!("{KERNEL_BASE} {console}{root} {own}").trim_end().to_owned()
}

pub(crate) fn is_virtio_console(domain: &Domain) -> bool {
    let console = domain.devices.consoles.first();
    console.is_some_and(|console| console.target.kind == Some(ConsoleType::Virtio))
}

pub(crate) fn has_balloon(domain: &Domain) -> bool {
    let balloon = domain.devices.memballoon.as_ref();
    balloon.is_some_and(|balloon| balloon.model == BalloonModel::Virtio)
}

fn interfaces(argv: &mut Argv, domain: &Domain) -> Result<()> {
    let all = &domain.devices.interfaces;
    if all.iter().all(|interface| interface.kind == InterfaceType::Null) {
        // Compat: told nothing, the tool adds a network of its own.
        argv.option("--network", "mode=none");
    }
    for interface in all.iter().filter(|interface| interface.kind != InterfaceType::Null) {
        argv.option("--network", network(interface)?);
    }
    Ok(())
}

fn network(interface: &Interface) -> Result<String> {
    let mac = interface.mac.as_ref().map(|mac| mac.address.to_string()).unwrap_or_default();
    if interface.kind == InterfaceType::User {
        return Ok(format!("mode=user,guest_mac={mac}"));
    }
    // One that is to be named by the daemon has no name in a stored definition.
    let tap = interface.target_dev().unwrap_or("vnet");
    Ok(format!("mode=tap,tapif={tap},guest_mac={mac}"))
}

/// The whole command as a shell would take it.
pub(crate) fn to_text(tool: &Path, args: &[String]) -> String {
    let mut text = quoted(&tool.to_string_lossy());
    for arg in args {
        text.push_str(if arg.starts_with("--") { " \\\n" } else { " " });
        text.push_str(&quoted(arg));
    }
    text.push('\n');
    text
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=,./:+@%".contains(&byte);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
