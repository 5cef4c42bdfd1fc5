//! Defaults of displays: where they listen, which ports they have, which card drives them.

use virt_error::Result;

use crate::domain::boot::OsType;
use crate::domain::graphics::{Graphics, GraphicsType, Listen, ListenType, Video, VideoType};
use crate::domain::{Domain, VirtType};
use crate::schema::error;
use crate::schema::text::YesNo;
use virt_xml::Element;

/// Brings the old and the new ways of saying where a display listens into one form.
pub(super) fn complete_graphics(graphics: &mut Graphics) -> Result<()> {
    drop_others(graphics);
    let listens =
        matches!(graphics.kind, GraphicsType::Vnc | GraphicsType::Spice | GraphicsType::Rdp);
    if !listens {
        return Ok(());
    }
    if graphics.kind == GraphicsType::Spice {
        spice_ports(graphics);
    }
    listen_back_compat(graphics)?;
    let first = graphics.listens.first().map(|listen| listen.kind);
    let elsewhere =
        graphics.socket.is_some() || matches!(first, Some(ListenType::Socket | ListenType::None));
    match graphics.kind {
        GraphicsType::Rdp if elsewhere => {
            let kind = first.map(|kind| kind.as_str()).unwrap_or_default();
            let what = format!("listen type '{kind}' is not available for graphics type 'rdp'");
            return Err(error::unsupported(what));
        }
        GraphicsType::Vnc if elsewhere => {
            vnc_socket(graphics);
            graphics.websocket = None;
        }
        GraphicsType::Vnc => vnc_ports(graphics),
        // Compat: a display that listens on no port has none, whatever it says.
        GraphicsType::Spice if elsewhere => forget_ports(graphics),
        GraphicsType::Spice => {}
        _ => {
            // Compat: 0 is a port, but is not printed.
            let ports = &mut graphics.ports;
            if ports.port.is_none_or(|port| port < 0) || ports.autoport == Some(YesNo::Yes) {
                (ports.port, ports.autoport) = (Some(0), Some(YesNo::Yes));
            } else {
                ports.autoport = None;
                ports.port.take_if(|port| *port == 0);
            }
        }
    }
    if graphics.listens.is_empty() {
        let unconnected = is_unconnected(graphics);
        let kind = match &graphics.socket {
            Some(_) => ListenType::Socket,
            None if unconnected => ListenType::None,
            None => ListenType::Address,
        };
        let socket = graphics.socket.clone();
        graphics.listens.push(Listen { kind, socket, ..Listen::default() });
    }
    let first = graphics.listens.first();
    let somewhere = first
        .is_some_and(|listen| matches!(listen.kind, ListenType::Address | ListenType::Network));
    if graphics.kind == GraphicsType::Spice && somewhere {
        graphics.ports.autoport.get_or_insert(YesNo::No);
    }
    graphics.listen = first
        .filter(|listen| listen.kind == ListenType::Address)
        .and_then(|listen| listen.address.clone());
    Ok(())
}

/// Compat: what means nothing to a display of that type is not kept.
fn drop_others(graphics: &mut Graphics) {
    let is = |kinds: &[GraphicsType]| kinds.contains(&graphics.kind);
    let local = is(&[GraphicsType::Sdl, GraphicsType::Desktop]);
    let (sdl, vnc) = (is(&[GraphicsType::Sdl]), is(&[GraphicsType::Vnc]));
    let keyed = is(&[GraphicsType::Vnc, GraphicsType::Spice]);
    graphics.display.take_if(|_| !local);
    graphics.fullscreen.take_if(|full| !local || *full == YesNo::No);
    graphics.xauth.take_if(|_| !sdl);
    graphics.websocket.take_if(|_| !vnc);
    graphics.socket.take_if(|_| !vnc);
    graphics.share_policy.take_if(|_| !vnc);
    graphics.keymap.take_if(|_| !keyed);
    let passwd = graphics.passwd.is_some();
    graphics.connected.take_if(|_| !passwd);
    if !passwd {
        (graphics.username, graphics.passwd_valid_to) = (None, None);
    }
    for switch in [&mut graphics.p2p, &mut graphics.replace_user, &mut graphics.multi_user] {
        switch.take_if(|switch| *switch == YesNo::No);
    }
    channels(&mut graphics.channels);
}

/// Channels of their own security, in libvirt's order; the last word counts.
fn channels(channels: &mut Vec<Element<'static>>) {
    const NAMES: [&str; 8] =
        ["main", "display", "inputs", "cursor", "playback", "record", "smartcard", "usbredir"];
    let mut kept: Vec<Element<'static>> = Vec::new();
    for name in NAMES {
        kept.extend(channels.iter().rfind(|channel| channel.attr("name") == Some(name)).cloned());
    }
    kept.retain(|channel| channel.attr("mode") != Some("any"));
    *channels = kept;
}

/// A display of SPICE's without any port is for those alone who are handed a descriptor.
fn is_unconnected(graphics: &Graphics) -> bool {
    let ports = &graphics.ports;
    graphics.kind == GraphicsType::Spice
        && (ports.port, ports.tls_port, ports.autoport) == (None, None, None)
}

fn listen_back_compat(graphics: &mut Graphics) -> Result<()> {
    for listen in &graphics.listens {
        if listen.kind == ListenType::Network && listen.network.is_none() {
            return Err(error::xml("'network' attribute is required for listen type 'network'"));
        }
    }
    if let Some(address) = graphics.listen.take().filter(|address| !address.is_empty()) {
        let alone = graphics.listens.is_empty() && graphics.socket.is_none();
        let alone = alone && !is_unconnected(graphics);
        match graphics.listens.iter_mut().find(|listen| listen.kind == ListenType::Address) {
            None if alone => {
                let kind = ListenType::Address;
                graphics.listens.push(Listen { kind, address: Some(address), ..Listen::default() });
            }
            None => {}
            Some(listen) => match &listen.address {
                None => listen.address = Some(address),
                Some(inner) if *inner == address => {}
                Some(inner) => {
                    return Err(error::unsupported(format!(
                        "graphics 'listen' attribute '{address}' must match 'address' attribute of first listen element (found '{inner}')"
                    )));
                }
            },
        }
    }
    if graphics.kind == GraphicsType::Vnc
        && let Some(socket) = &graphics.socket
    {
        match graphics.listens.first_mut() {
            Some(listen) if listen.kind == ListenType::Socket => match &listen.socket {
                Some(inner) if inner != socket => {
                    return Err(error::unsupported(format!(
                        "graphics 'socket' attribute '{socket}' must match 'socket' attribute of first listen element (found '{inner}')"
                    )));
                }
                _ => listen.socket = Some(socket.clone()),
            },
            Some(listen) => {
                *listen = Listen {
                    kind: ListenType::Socket,
                    socket: Some(socket.clone()),
                    ..Listen::default()
                };
            }
            None => {}
        }
    }
    Ok(())
}

fn forget_ports(graphics: &mut Graphics) {
    let ports = &mut graphics.ports;
    (ports.port, ports.tls_port, ports.autoport) = (None, None, None);
}

fn vnc_socket(graphics: &mut Graphics) {
    if let (None, Some(listen)) = (&graphics.socket, graphics.listens.first()) {
        graphics.socket = listen.socket.clone().filter(|_| listen.kind == ListenType::Socket);
    }
    forget_ports(graphics);
}

fn vnc_ports(graphics: &mut Graphics) {
    let ports = &mut graphics.ports;
    if ports.port == Some(-1) || ports.port.is_none() && ports.autoport.is_none() {
        ports.autoport = Some(YesNo::Yes);
    }
    if ports.autoport == Some(YesNo::Yes) {
        ports.port.get_or_insert(-1);
    } else {
        ports.autoport = Some(YesNo::No);
    }
}

fn spice_ports(graphics: &mut Graphics) {
    graphics.ports.port = graphics.ports.port.filter(|port| *port != 0);
    graphics.ports.tls_port = graphics.ports.tls_port.filter(|port| *port != 0);
    if graphics.ports.port == Some(-1) && graphics.ports.tls_port == Some(-1) {
        graphics.ports.autoport = Some(YesNo::Yes);
    }
    if graphics.ports.autoport == Some(YesNo::No) || graphics.ports.autoport.is_none() {
        let fixed = graphics.ports.port.is_some() || graphics.ports.tls_port.is_some();
        graphics.ports.autoport = fixed.then_some(YesNo::No);
    }
}

/// A guest with a display has a card to drive it; the first card is the primary one.
pub(super) fn videos(domain: &mut Domain) {
    let shown = !domain.devices.graphics.is_empty();
    if domain.devices.videos.is_empty() && shown {
        domain.devices.videos.push(Video::default());
    }
    for video in &mut domain.devices.videos {
        complete_video(video, domain.virt_type, domain.os.kind.kind);
    }
    for video in &mut domain.devices.videos {
        video.model.primary = video.model.primary.filter(|primary| primary.is_yes());
    }
    let primary =
        domain.devices.videos.iter().position(|video| video.model.primary == Some(YesNo::Yes));
    if primary.is_none()
        && let Some(first) = domain.devices.videos.first_mut()
        && first.model.kind != VideoType::None
    {
        first.model.primary = Some(YesNo::Yes);
    }
    // The primary card is the first of the list.
    if let Some(at) = primary.filter(|at| *at > 0) {
        let video = domain.devices.videos.remove(at);
        domain.devices.videos.insert(0, video);
    }
}

/// Compat: what drives a display is chosen by the kind of the guest, how much memory it has by the kind
/// of its host.
pub(super) fn complete_video(video: &mut Video, virt_type: VirtType, kind: Option<OsType>) {
    let model = &mut video.model;
    if model.kind == VideoType::Default {
        model.kind = match kind {
            Some(OsType::Xen | OsType::Linux) => VideoType::Xen,
            _ => VideoType::Cirrus,
        };
    }
    if model.kind == VideoType::None {
        return;
    }
    model.heads.get_or_insert(1);
    if model.vram_kib.is_none() {
        model.vram_kib = match model.kind {
            VideoType::Cirrus | VideoType::Vga | VideoType::Vmvga => match virt_type {
                VirtType::VMware => Some(4096),
                VirtType::VBox => Some(8192),
                _ => Some(16384),
            },
            VideoType::Bochs => Some(16384),
            VideoType::Xen => Some(4096),
            VideoType::Qxl => Some(65536),
            _ => None,
        };
    }
    for size in [&mut model.vram_kib, &mut model.ram_kib].into_iter().flatten() {
        *size = size.checked_next_power_of_two().unwrap_or(*size);
    }
    if model.kind == VideoType::Qxl {
        model.ram_kib.get_or_insert(65536);
    }
}
