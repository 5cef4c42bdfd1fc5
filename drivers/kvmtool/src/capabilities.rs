//! What this host's tool can run: `<capabilities>` and `<domainCapabilities>`.

use virt_error::Result;
use virt_guests::node_caps::{self, empty};
use virt_xml::Writer;

use crate::core::Core;
use crate::tool::Tool;
use crate::{invalid_arg, net};

const VCPUS_MAX: u32 = 255;

/// The host, and the guests of its tool, if it has one.
pub(crate) fn host(core: &Core) -> String {
    let mut w = Writer::new();
    w.open("capabilities");
    w.raw("\n");
    node_caps::host(&mut w, |_| {});
    w.raw("\n");
    if let Ok(tool) = core.tool(None) {
        let arch = virt_host::architecture();
        w.open("guest");
        w.text_element("os_type", "hvm");
        w.open("arch");
        w.attr("name", &arch);
        w.text_element("wordsize", "64");
        w.text_element("emulator", &tool.path.to_string_lossy());
        empty(&mut w, "domain", &[("type", "kvmtool")]);
        w.close("arch");
        w.close("guest");
        w.raw("\n");
    }
    w.close("capabilities");
    w.finish()
}

fn choices(w: &mut Writer, name: &str, values: &[&str]) {
    w.open("enum");
    w.attr("name", name);
    for value in values {
        w.text_element("value", value);
    }
    w.close("enum");
}

fn device(w: &mut Writer, name: &str, supported: bool, enums: &[(&str, &[&str])]) {
    w.open(name);
    w.attr("supported", if supported { "yes" } else { "no" });
    if supported {
        enums.iter().for_each(|(name, values)| choices(w, name, values));
    }
    w.close(name);
}

/// What a guest of a tool may have.
pub(crate) fn domain(
    core: &Core,
    emulator: Option<&str>,
    arch: Option<&str>,
    kind: Option<&str>,
) -> Result<String> {
    let tool = core.tool(emulator)?;
    let host = virt_host::architecture();
    if arch.is_some_and(|arch| arch != host) {
        return Err(invalid_arg(format!("unknown architecture '{}'", arch.unwrap_or_default())));
    }
    if !matches!(kind, None | Some("kvmtool" | "kvm")) {
        return Err(invalid_arg(format!("unknown type '{}'", kind.unwrap_or_default())));
    }
    let mut w = Writer::new();
    w.open("domainCapabilities");
    w.text_element("path", &tool.path.to_string_lossy());
    w.text_element("domain", "kvmtool");
    w.text_element("arch", &host);
    empty(&mut w, "vcpu", &[("max", &VCPUS_MAX.to_string())]);
    w.open("os");
    w.attr("supported", "yes");
    empty(&mut w, "loader", &[("supported", "no")]);
    w.close("os");
    devices(&mut w, &tool);
    w.close("domainCapabilities");
    Ok(w.finish())
}

fn devices(w: &mut Writer, tool: &Tool) {
    let root = rustix::process::geteuid().is_root();
    let display = tool.vnc && root && net::program("unshare").is_some();
    w.open("devices");
    w.attr("supported", "yes");
    device(w, "disk", true, &[("diskDevice", &["disk"]), ("bus", &["virtio"])]);
    device(w, "graphics", display, &[("type", &["vnc"])]);
    device(w, "video", false, &[]);
    device(w, "hostdev", false, &[]);
    let rng = [("model", &["virtio"][..]), ("backendModel", &["random"])];
    device(w, "rng", tool.takes("rng"), &rng);
    device(w, "filesystem", true, &[("driverType", &["path"])]);
    device(w, "memballoon", tool.takes("balloon"), &[("model", &["virtio"])]);
    let backends: &[&str] =
        if root { &["user", "bridge", "network", "ethernet"] } else { &["user"] };
    device(w, "interface", true, &[("type", backends)]);
    device(w, "console", true, &[("type", &["pty"]), ("target", &["serial", "virtio"])]);
    device(w, "vsock", tool.takes("vsock"), &[]);
    w.close("devices");
}
