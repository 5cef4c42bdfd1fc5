//! Displays and video cards.

use virt_error::Result;
use virt_model::domain::devices::{Audio, AudioType};
use virt_model::domain::graphics::{Graphics, GraphicsType, ListenType, VideoModel, VideoType};
use virt_model::domain::{DeviceInfo, Domain};

use super::{Argv, Object, alias, at_pci, escaped, unsupported};

/// Where VNC's display 0 listens.
pub(crate) const VNC_PORT_MIN: i32 = 5900;

pub(super) fn graphics(argv: &mut Argv, domain: &Domain) -> Result<()> {
    for audio in &domain.devices.audios {
        let plain = Audio { id: audio.id, kind: audio.kind, ..Audio::default() };
        if *audio != plain {
            let kind = audio.kind.as_str();
            return unsupported(format!(
                "settings of audio backend '{kind}' are not supported yet"
            ));
        }
        let driver = match audio.kind {
            AudioType::PulseAudio => "pa",
            AudioType::File => "wav",
            kind => kind.as_str(),
        };
        let object = Object::new("id", &format!("audio{}", audio.id));
        argv.option("-audiodev", object.text("driver", driver).finish());
    }
    for graphics in &domain.devices.graphics {
        match graphics.kind {
            GraphicsType::Vnc => vnc(argv, graphics, domain)?,
            kind => {
                let kind = kind.as_str();
                return unsupported(format!("{kind} graphics are not supported with this QEMU"));
            }
        }
    }
    Ok(())
}

fn vnc(argv: &mut Argv, graphics: &Graphics, domain: &Domain) -> Result<()> {
    if graphics.passwd.is_some() {
        return unsupported("VNC passwords are not supported yet");
    }
    let listen = graphics.listens.first();
    let mut text = match listen.map(|listen| listen.kind) {
        Some(ListenType::Socket) => {
            let socket = graphics.socket.as_deref().unwrap_or_default();
            format!("vnc=unix:{}", escaped(socket))
        }
        Some(ListenType::None) => "none".to_owned(),
        Some(ListenType::Network) => {
            return unsupported("listening on a network's address is not supported yet");
        }
        Some(ListenType::Address) | None => {
            let address = listen.and_then(|listen| listen.address.as_deref());
            let address = address.unwrap_or("127.0.0.1");
            let display = graphics.ports.port.unwrap_or(VNC_PORT_MIN).saturating_sub(VNC_PORT_MIN);
            if address.contains(':') {
                format!("[{address}]:{display}")
            } else {
                format!("{address}:{display}")
            }
        }
    };
    if let Some(websocket) = graphics.websocket {
        text.push_str(&format!(",websocket={websocket}"));
    }
    if let Some(policy) = graphics.share_policy {
        text.push_str(&format!(",share={}", policy.as_str()));
    }
    if let Some(power) = graphics.power_control {
        text.push_str(if power.is_yes() { ",power-control=on" } else { ",power-control=off" });
    }
    if let Some(audio) = domain.devices.audios.first() {
        text.push_str(&format!(",audiodev=audio{}", audio.id));
    }
    argv.option("-vnc", text);
    if let Some(keymap) = &graphics.keymap {
        argv.option("-k", keymap.as_str());
    }
    Ok(())
}

pub(super) fn videos(argv: &mut Argv, domain: &Domain) -> Result<()> {
    for (at, video) in domain.devices.videos.iter().enumerate() {
        if video.model.kind == VideoType::None {
            continue;
        }
        let device = card(&video.model, &video.info, at == 0)?;
        argv.device(at_pci(device, &video.info, domain));
    }
    Ok(())
}

fn card(model: &VideoModel, info: &DeviceInfo, first: bool) -> Result<Object> {
    let driver = match (model.kind, first) {
        (VideoType::Vga, _) => "VGA",
        (VideoType::Cirrus, _) => "cirrus-vga",
        (VideoType::Vmvga, _) => "vmware-svga",
        (VideoType::Qxl, true) => "qxl-vga",
        (VideoType::Qxl, false) => "qxl",
        (VideoType::Virtio, true) => "virtio-vga",
        (VideoType::Virtio, false) => "virtio-gpu-pci",
        (VideoType::Bochs, _) => "bochs-display",
        (VideoType::Ramfb, _) => "ramfb",
        (kind, _) => {
            let kind = kind.as_str();
            return unsupported(format!(
                "domain configuration does not support video model '{kind}'"
            ));
        }
    };
    let card = Object::new("driver", driver).text("id", alias(info));
    let mib = |kib: Option<u32>| kib.map(|kib| kib / 1024);
    let bytes = |kib: Option<u32>| kib.map(|kib| u64::from(kib).saturating_mul(1024));
    Ok(match model.kind {
        VideoType::Vga | VideoType::Vmvga => card.maybe_number("vgamem_mb", mib(model.vram_kib)),
        VideoType::Virtio => card.maybe_number("max_outputs", model.heads),
        VideoType::Bochs => card.maybe_number("vgamem", bytes(model.vram_kib)),
        VideoType::Qxl => card
            .maybe_number("max_outputs", model.heads)
            .maybe_number("ram_size", bytes(model.ram_kib))
            .maybe_number("vram_size", bytes(model.vram_kib))
            .number("vram64_size_mb", mib(model.vram64_kib).unwrap_or(0))
            .maybe_number("vgamem_mb", mib(model.vgamem_kib)),
        _ => card,
    })
}
