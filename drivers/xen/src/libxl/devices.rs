//! The devices of a configuration: disks, interfaces, passed-through ones, displays.

use serde_json::{Value, json};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain;
use virt_model::domain::address::Pci;
use virt_model::domain::disk::{Disk, DiskDevice};
use virt_model::domain::graphics::{Graphics, GraphicsType};
use virt_model::domain::hostdev::HostAddress;
use virt_model::domain::interface::{Interface, InterfaceType};

use super::{Environment, Members};
use crate::formats::{Kind, display, pci};

/// The port of VNC's display 0.
const VNC_PORT_BASE: i32 = 5900;
/// How often a limited interface gets its bytes.
const RATE_INTERVAL_US: u64 = 50_000;

pub(super) fn add(
    domain: &Domain,
    kind: Kind,
    environment: Environment,
    all: &mut Members,
) -> Result<()> {
    let devices = &domain.devices;
    all.list("disks", devices.disks.iter().map(disk).collect::<Result<_>>()?);
    let own = |interface: &&Interface| interface.kind != InterfaceType::Hostdev;
    let nics = devices.interfaces.iter().filter(own).enumerate();
    all.list("nics", nics.map(|(at, interface)| nic(at, interface, kind)).collect());
    let handed = devices.interfaces.iter().filter_map(|interface| {
        let at = interface.source.as_ref()?.pci.as_ref()?;
        (interface.kind == InterfaceType::Hostdev).then_some((at, false))
    });
    let handed = handed.chain(devices.hostdevs.iter().filter_map(pci::address));
    all.list("pcidevs", handed.map(|(at, permissive)| passed(at, permissive)).collect());
    let usb =
        devices.hostdevs.iter().filter_map(|hostdev| match &hostdev.source.as_ref()?.address {
            HostAddress::Usb { bus, device: Some(device), .. } => {
                Some(json!({ "devid": -1, "type.hostdev": { "hostbus": bus, "hostaddr": device } }))
            }
            _ => None,
        });
    all.list("usbdevs", usb.collect());
    let shown =
        |graphics: &&Graphics| matches!(graphics.kind, GraphicsType::Vnc | GraphicsType::Sdl);
    let mut vfbs: Vec<Value> = Vec::new();
    for graphics in devices.graphics.iter().filter(shown) {
        let displays = Displays::of(Some(graphics), environment);
        let mut vfb = Members::default();
        vfb.set("devid", -1);
        vfb.set("vnc", displays.vnc);
        vfb.set("sdl", displays.sdl);
        vfb.some("keymap", graphics.keymap.as_deref());
        vfbs.push(vfb.into());
    }
    all.list("vkbs", vfbs.iter().map(|_| json!({ "devid": -1 })).collect());
    all.list("vfbs", vfbs);
    Ok(())
}

fn disk(disk: &Disk) -> Result<Value> {
    let mut members = Members::default();
    let source = disk.source.as_ref();
    let network = source.and_then(|source| source.protocol.as_deref());
    match (network, source) {
        (Some("rbd"), Some(source)) => {
            // libxl gets what the file holds, without the escapes of the file itself.
            let target = crate::formats::print_rbd(source).replace(r"\\", r"\");
            members.set("pdev_path", target);
        }
        (Some(protocol), _) => {
            let detail = format!("Unsupported network block protocol '{protocol}'");
            return Err(Error::new(Code::ConfigUnsupported, Origin::Xenxl, detail));
        }
        (None, _) => members.some("pdev_path", disk.path()),
    }
    members.set("vdev", disk.target.dev.as_str());
    let backend = match disk.driver.as_ref().and_then(|driver| driver.name.as_deref()) {
        Some("tap" | "tap2") => Some("tap"),
        Some("file" | "qemu") => Some("qdisk"),
        Some("phy") => Some("phy"),
        None => None,
        Some(other) => {
            let detail = format!("libxenlight does not support disk driver {other}");
            return Err(Error::new(Code::ConfigUnsupported, Origin::Xenxl, detail));
        }
    };
    members.some("backend", backend);
    members.set(
        "format",
        match (disk.format(), source) {
            (_, None) if disk.device == DiskDevice::Cdrom => "empty",
            (None | Some("raw"), _) => "raw",
            (Some("vpc" | "vhd"), _) => "vhd",
            (Some(format @ ("qcow" | "qcow2" | "qed")), _) => format,
            (Some(other), _) => {
                let detail = format!("libxenlight does not support disk format {other}");
                return Err(Error::new(Code::ConfigUnsupported, Origin::Xenxl, detail));
            }
        },
    );
    members.set("removable", 1);
    members.some("readwrite", (!disk.readonly).then_some(1));
    members.some("is_cdrom", (disk.device == DiskDevice::Cdrom).then_some(1));
    members.some("backend_domname", disk.backenddomain.as_ref().map(|name| name.name.as_str()));
    Ok(members.into())
}

fn nic(at: usize, interface: &Interface, kind: Kind) -> Value {
    let mut members = Members::default();
    members.set("devid", at);
    let model = interface.model_name();
    members.some("model", model);
    members.some("mac", interface.mac.as_ref().map(|mac| mac.address.to_string()));
    let bridge = interface.source.as_ref().and_then(|source| source.bridge.as_deref());
    members.some("bridge", bridge);
    let ips: Vec<&str> = interface.ips.iter().map(|ip| ip.address.as_str()).collect();
    members.some("ip", (!ips.is_empty()).then(|| ips.join(" ")));
    members.some("script", interface.script.as_ref().map(|script| script.path.as_str()));
    members.some("ifname", interface.target_dev());
    let emulated = kind == Kind::Hvm && model != Some("netfront");
    members.set("nictype", if emulated { "vif_ioemu" } else { "vif" });
    members.some("backend_domname", interface.backenddomain.as_ref().map(|b| b.name.as_str()));
    let outbound = interface.bandwidth.as_ref().and_then(|bandwidth| bandwidth.outbound.as_ref());
    if let Some(kib) = outbound.and_then(|rate| rate.average).filter(|kib| *kib > 0) {
        let per_interval = kib.saturating_mul(1024).saturating_mul(RATE_INTERVAL_US) / 1_000_000;
        members.set("rate_bytes_per_interval", per_interval);
        members.set("rate_interval_usecs", RATE_INTERVAL_US);
    }
    members.into()
}

fn passed(at: &Pci, permissive: bool) -> Value {
    let mut members = Members::default();
    members.number("func", at.function.into());
    members.number("dev", at.slot.into());
    members.number("bus", at.bus.into());
    members.number("domain", at.domain.into());
    members.some("permissive", permissive.then_some(true));
    // Compat: the driver sets none, and this is what libxl calls that.
    members.set("rdm_policy", "invalid");
    members.into()
}

/// The three ways to show a guest's screen, of which one at most is on.
pub(super) struct Displays {
    pub(super) vnc: Members,
    pub(super) sdl: Members,
    pub(super) spice: Members,
}

impl Displays {
    pub(super) fn of(graphics: Option<&Graphics>, environment: Environment) -> Self {
        let (mut vnc, mut sdl, mut spice) =
            (Members::default(), Members::default(), Members::default());
        let kind = graphics.map(|graphics| graphics.kind);
        if kind != Some(GraphicsType::Spice) {
            vnc.truth("enable", kind == Some(GraphicsType::Vnc));
            sdl.truth("enable", kind == Some(GraphicsType::Sdl));
        }
        let Some(graphics) = graphics else { return Self { vnc, sdl, spice } };
        match graphics.kind {
            GraphicsType::Vnc => {
                vnc.some("listen", display::address(graphics));
                vnc.some("passwd", graphics.passwd.as_deref());
                let auto = display::is_auto(&graphics.ports);
                let port = if auto { environment.vnc_port } else { graphics.ports.port };
                let number = port.unwrap_or(VNC_PORT_BASE).saturating_sub(VNC_PORT_BASE);
                vnc.number("display", u64::try_from(number).unwrap_or(0));
                vnc.truth("findunused", false);
            }
            GraphicsType::Sdl => {
                sdl.some("display", graphics.display.as_deref());
                sdl.some("xauthority", graphics.xauth.as_deref());
            }
            GraphicsType::Spice => {
                spice.truth("enable", true);
                spice.some("port", graphics.ports.port.filter(|port| *port > 0));
                spice.some("tls_port", graphics.ports.tls_port.filter(|port| *port > 0));
                spice.some("host", display::address(graphics));
                spice.truth("disable_ticketing", graphics.passwd.is_none());
                spice.some("passwd", graphics.passwd.as_deref());
                let mode = graphics.mouse.as_ref().and_then(|mouse| mouse.attr("mode"));
                spice.truth("agent_mouse", mode.map(|mode| mode == "client"));
            }
            _ => {}
        }
        Self { vnc, sdl, spice }
    }
}
