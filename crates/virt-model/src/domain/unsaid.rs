//! What a document says and libvirt does not keep, and what it says where the document is silent:
//! fields that mean something only to a device of another kind, and defaults that it always prints.

use virt_error::{Code, Error, Origin, Result};

use crate::domain::clock::{Basis, Clock, Offset};
use crate::domain::devices::{
    AccessMode, Audio, AudioType, BalloonModel, Filesystem, FilesystemType, Memballoon, Sound,
    SoundModel,
};
use crate::domain::graphics::{Video, VideoModel, VideoType};
use crate::domain::hostdev::{Hostdev, HostdevMode};
use crate::domain::interface::{Interface, InterfaceSource, InterfaceType, Vlan};
use crate::domain::memory::Access;
use crate::domain::small::{MemoryDevice, MemoryModel, Shmem, ShmemModel, Tpm, TpmBackendType};
use crate::domain::{Device, Devices, Domain};
use crate::schema::error;
use crate::schema::text::YesNo;
use virt_xml::Element;

/// The parts outside the devices.
pub(super) fn domain(domain: &mut Domain) -> Result<()> {
    clock(&mut domain.clock)?;
    domain.perf.sort_by_key(|event| event.name);
    if let Some(name) = twice(domain.perf.iter().map(|event| event.name)) {
        return Err(error::xml(format!("perf event '{name}' was already specified")));
    }
    domain.keywrap.sort_by_key(|cipher| cipher.name);
    if let Some(name) = twice(domain.keywrap.iter().map(|cipher| cipher.name)) {
        return Err(error::internal(format!(
            "A domain definition can have no more than one cipher node with name {name}"
        )));
    }
    if domain.bootloader.is_none() {
        domain.bootloader_args = None;
    }
    Ok(())
}

/// What stands twice in a sorted row.
fn twice<T: PartialEq>(names: impl Iterator<Item = T>) -> Option<T> {
    let mut last = None;
    for name in names {
        if last.as_ref() == Some(&name) {
            return Some(name);
        }
        last = Some(name);
    }
    None
}

pub(super) fn devices(devices: &mut Devices) {
    devices.filesystems.iter_mut().for_each(filesystem);
    devices.sounds.iter_mut().for_each(sound);
    devices.hostdevs.iter_mut().for_each(hostdev);
    devices.memories.iter_mut().for_each(memory);
    devices.shmems.iter_mut().for_each(shmem);
    devices.tpms.iter_mut().for_each(tpm);
    devices.audios.iter_mut().for_each(audio);
    devices.videos.iter_mut().for_each(video);
    devices.memballoon.iter_mut().for_each(memballoon);
}

/// One device that comes alone.
pub(super) fn device(device: &mut Device) {
    match device {
        Device::Filesystem(device) => filesystem(device),
        Device::Sound(device) => sound(device),
        Device::Hostdev(device) => hostdev(device),
        Device::MemoryDevice(device) => memory(device),
        Device::Shmem(device) => shmem(device),
        Device::Tpm(device) => tpm(device),
        Device::Audio(device) => audio(device),
        Device::Video(device) => video(device),
        Device::Memballoon(device) => memballoon(device),
        _ => {}
    }
}

/// A clock that is so many seconds off is a variable one.
fn clock(clock: &mut Clock) -> Result<()> {
    let seconds = |text: &str| text.parse::<i64>().ok();
    let basis = match clock.offset {
        Offset::Utc => Basis::Utc,
        Offset::Localtime => Basis::Localtime,
        Offset::Variable => clock.basis.unwrap_or_default(),
        Offset::Timezone | Offset::Absolute => return Ok(()),
    };
    let variable = clock.offset == Offset::Variable;
    let adjustment = match clock.adjustment.as_deref() {
        Some("reset") if !variable => return Ok(()),
        Some(text) => match seconds(text) {
            Some(seconds) => seconds,
            None => return Err(wrong_adjustment(text)),
        },
        None if variable => 0,
        None => return Ok(()),
    };
    (clock.offset, clock.basis) = (Offset::Variable, Some(basis));
    clock.adjustment = Some(adjustment.to_string());
    Ok(())
}

fn wrong_adjustment(text: &str) -> Error {
    let what = format!(
        "Invalid value for attribute 'adjustment' in element 'clock': '{text}'. Expected integer value"
    );
    Error::new(Code::XmlError, Origin::Xml, what)
}

fn filesystem(fs: &mut Filesystem) {
    let socket = fs.kind == FilesystemType::Mount
        && fs.source.as_ref().is_some_and(|source| source.socket.is_some());
    if !socket {
        fs.accessmode.get_or_insert(AccessMode::Passthrough);
    }
    let kind = fs.driver.as_ref().and_then(|driver| driver.attr("type")).map(str::to_owned);
    if kind.as_deref() != Some("virtiofs") {
        (fs.binary, fs.idmap) = (None, None);
    }
    if kind.is_none()
        && let Some(driver) = &mut fs.driver
    {
        driver.attrs.retain(|attr| !matches!(&*attr.name, "format" | "wrpolicy" | "queue"));
    }
    fs.driver.take_if(|driver| driver.attrs.is_empty());
    let limits = [&mut fs.space_hard_limit_bytes, &mut fs.space_soft_limit_bytes];
    limits.into_iter().for_each(|limit| _ = limit.take_if(|bytes| *bytes == 0));
    let modes = [&mut fs.fmode, &mut fs.dmode];
    modes.into_iter().for_each(|mode| _ = mode.take_if(|mode| *mode == 0));
}

fn sound(sound: &mut Sound) {
    match sound.model {
        SoundModel::Virtio => _ = sound.streams.get_or_insert(2),
        _ => (sound.streams, sound.driver) = (None, None),
    }
    if sound.model != SoundModel::Usb {
        sound.multichannel = None;
    }
    if !matches!(sound.model, SoundModel::Ich6 | SoundModel::Ich9) {
        sound.codecs.clear();
    }
}

/// Only of a SCSI unit it is said who else has it.
fn hostdev(hostdev: &mut Hostdev) {
    match hostdev.mode {
        HostdevMode::Subsystem => _ = hostdev.managed.get_or_insert(YesNo::No),
        HostdevMode::Capabilities => hostdev.managed = None,
    }
    if let Some(source) = &mut hostdev.source {
        let usb = hostdev.kind == "usb";
        source.attrs.retain(|(name, _)| usb || name != "guestReset");
    }
    if hostdev.kind != "scsi" {
        (hostdev.readonly, hostdev.shareable) = (false, false);
    }
}

fn memory(memory: &mut MemoryDevice) {
    use MemoryModel::{Dimm, Nvdimm, SgxEpc, VirtioMem, VirtioPmem};
    let model = memory.model;
    let is = |models: &[MemoryModel]| models.contains(&model);
    if model == VirtioPmem {
        memory.access.get_or_insert(Access::Shared);
    }
    memory.uuid.take_if(|_| model != Nvdimm);
    if let Some(source) = &mut memory.source {
        source.path.take_if(|_| !is(&[Nvdimm, VirtioPmem]));
        source.alignsize_kib.take_if(|_| model != Nvdimm);
        source.pmem &= model == Nvdimm;
        source.nodemask.take_if(|_| !is(&[Dimm, VirtioMem, SgxEpc]));
        source.pagesize_kib.take_if(|_| !is(&[Dimm, VirtioMem]));
    }
    let target = &mut memory.target;
    target.readonly &= model == Nvdimm;
    target.label.take_if(|_| model != Nvdimm);
    if model != VirtioMem {
        (target.dynamic_memslots, target.block_kib) = (None, None);
        (target.requested_kib, target.current_kib) = (None, None);
    }
    target.address.take_if(|_| !is(&[VirtioMem, VirtioPmem]));
}

fn shmem(shmem: &mut Shmem) {
    let model = shmem.model.get_or_insert_with(|| ShmemModel { kind: "ivshmem".to_owned() });
    if model.kind == "ivshmem" {
        shmem.role = None;
    }
}

fn tpm(tpm: &mut Tpm) {
    let Some(backend) = &mut tpm.backend else { return };
    if backend.kind != TpmBackendType::Emulator {
        (backend.version, backend.persistent_state, backend.debug) = (None, None, None);
        (backend.encryption, backend.active_pcr_banks, backend.profile) = (None, None, None);
    }
    backend.debug.take_if(|debug| *debug == 0);
    backend.persistent_state.take_if(|state| *state == YesNo::No);
    let nameless = |tree: &mut Element<'_>| tree.attr("source").or(tree.attr("name")).is_none();
    backend.profile.take_if(nameless);
    match backend.kind {
        TpmBackendType::Passthrough => {
            backend.source = None;
            backend
                .device
                .get_or_insert_with(|| Element::new("device").with_attr("path", "/dev/tpm0"));
        }
        TpmBackendType::Emulator | TpmBackendType::External => backend.device = None,
    }
}

/// Attributes of an audio backend's directions that a type has besides those of all.
const fn audio_words(kind: AudioType) -> &'static [&'static str] {
    match kind {
        AudioType::Alsa => &["dev"],
        AudioType::CoreAudio | AudioType::Sdl => &["bufferCount"],
        AudioType::Jack => &["serverName", "clientName", "connectPorts", "exactName"],
        AudioType::Oss => &["dev", "bufferCount", "tryPoll"],
        AudioType::PulseAudio | AudioType::PipeWire => &["name", "streamName", "latency"],
        AudioType::None | AudioType::Spice | AudioType::File | AudioType::Dbus => &[],
    }
}

fn audio(audio: &mut Audio) {
    let own = audio_words(audio.kind);
    for side in [&mut audio.input, &mut audio.output] {
        let Some(tree) = side else { continue };
        tree.attrs.retain(|attr| {
            let all = ["mixingEngine", "fixedSettings", "voices", "bufferLength"];
            all.contains(&&*attr.name) || own.contains(&&*attr.name)
        });
        // Compat: settings that are fixed are there even where nothing is set.
        if tree.attr("fixedSettings") == Some("yes") && tree.child("settings").is_none() {
            *tree = std::mem::take(tree).with_child(Element::new("settings"));
        }
        side.take_if(|tree| tree.attrs.is_empty() && tree.elements().next().is_none());
    }
}

/// A card that is none has nothing but its type.
fn video(video: &mut Video) {
    if video.model.kind == VideoType::None {
        let model = VideoModel { kind: VideoType::None, ..VideoModel::default() };
        *video = Video { model, ..Video::default() };
    }
}

fn memballoon(balloon: &mut Memballoon) {
    if balloon.model == BalloonModel::None {
        balloon.info = Default::default();
    }
}

/// Compat: of where an interface leads only what its type knows is kept.
pub(super) fn interface(interface: &mut Interface) {
    use InterfaceType::{
        Bridge, Client, Direct, Ethernet, Hostdev, Internal, Mcast, Network, Server, Udp, User,
        Vdpa, Vds, VhostUser,
    };
    if let Some(vlan) = &mut interface.vlan {
        trunk(vlan);
    }
    let passt = interface.backend.as_ref().is_some_and(|b| b.kind.as_deref() == Some("passt"));
    let kind = interface.kind;
    if kind == VhostUser && interface.source.is_none() {
        interface.source = Some(InterfaceSource::default());
    }
    let Some(given) = interface.source.take() else { return };
    let none = InterfaceSource::default();
    let mut kept = match kind {
        Network => InterfaceSource {
            network: given.network,
            portgroup: given.portgroup,
            portid: given.portid,
            ..none
        },
        Bridge => InterfaceSource { bridge: given.bridge, ..none },
        Direct => {
            let mode = given.mode.or_else(|| Some("vepa".to_owned()));
            InterfaceSource { dev: given.dev, mode, ..none }
        }
        VhostUser | User if passt => InterfaceSource { dev: given.dev, ..none },
        VhostUser => InterfaceSource {
            kind: Some("unix".to_owned()),
            path: given.path,
            mode: given.mode.or_else(|| Some("client".to_owned())),
            children: given.children,
            ..none
        },
        Vdpa => InterfaceSource { dev: given.dev, ..none },
        Internal => InterfaceSource { name: given.name, ..none },
        Client | Server | Mcast => {
            InterfaceSource { address: given.address, port: given.port, ..none }
        }
        Udp => InterfaceSource {
            address: given.address,
            port: given.port,
            children: given.children,
            ..none
        },
        Ethernet => InterfaceSource { children: given.children, ..none },
        Vds => InterfaceSource { attrs: vds(given.attrs), ..none },
        Hostdev => given,
        User | InterfaceType::Null => none,
    };
    if kind == Ethernet {
        kept.children.retain(|child| matches!(&*child.name, "ip" | "route"));
        for ip in kept.children.iter_mut().filter(|child| child.name == "ip") {
            *ip = host_ip(ip);
        }
    }
    interface.source = Some(kept).filter(|source| {
        *source != InterfaceSource::default() || matches!(kind, Network | Bridge | Internal)
    });
}

/// An address of the host's end, with its family.
fn host_ip(ip: &Element<'_>) -> Element<'static> {
    let mut out = Element::new("ip");
    for name in ["address", "family", "prefix", "peer"] {
        let value = match (name, ip.attr(name)) {
            ("family", None) => Some(family_of(ip.attr("address").unwrap_or_default())),
            (_, value) => value,
        };
        if let Some(value) = value {
            out.set_attr(name, value.to_owned());
        }
    }
    out
}

/// The family of an address as it is written.
pub(crate) fn family_of(address: &str) -> &'static str {
    if address.contains(':') { "ipv6" } else { "ipv4" }
}

/// The port of a distributed switch: numbers that are 0 where nothing is said.
fn vds(given: Vec<(String, String)>) -> Vec<(String, String)> {
    let find = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    ["switchid", "portid", "portgroupid", "connectionid"]
        .into_iter()
        .filter_map(|name| {
            let zero = || matches!(name, "portid" | "connectionid").then(|| "0".to_owned());
            find(name).cloned().or_else(zero).map(|value| (name.to_owned(), value))
        })
        .collect()
}

/// Several tags, or one for what comes without, make a trunk.
fn trunk(vlan: &mut Vlan) {
    let is = vlan.tags.len() > 1 || vlan.trunk == Some(YesNo::Yes);
    vlan.trunk = is.then_some(YesNo::Yes);
}
