//! Guests that somebody else made: what the hypervisor and xenstore say of them, as a document.

use virt_model::ParseFlags;
use virt_model::domain::boot::{OsKind, OsType};
use virt_model::domain::{Device, Domain as Document, VirtType};

use crate::formats::{Host, disk_of, vif_of};
use crate::seen::Running;
use crate::store_channel::StoreChannel;
use crate::xenstore::is_path;

/// Limit: devices of one kind that are looked at.
const DEVICES_MAX: usize = 256;
/// Limit: a text in a device's folder.
const TEXT_BYTES_MAX: usize = 4096;

/// A backend's folder, which is the tool stack's: what the guest writes is not believed.
struct Backend<'a> {
    store: &'a StoreChannel,
    path: String,
}

impl Backend<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let path = format!("{}/{name}", self.path);
        let read = self.store.ask(|store| store.read(&path)).flatten()?;
        Some(read).filter(|text| !text.is_empty() && text.len() <= TEXT_BYTES_MAX)
    }
}

/// The backends of one kind that serve a guest, which the control domain's folder lists.
fn backends<'a>(store: &'a StoreChannel, running: &Running, kind: &str) -> Vec<Backend<'a>> {
    let dir = format!("/local/domain/0/backend/{kind}/{}", running.id);
    let numbers = store.ask(|store| store.list(&dir)).flatten().unwrap_or_default();
    let paths = numbers.iter().take(DEVICES_MAX).map(|number| format!("{dir}/{number}"));
    paths.filter(|path| is_path(path)).map(|path| Backend { store, path }).collect()
}

/// A document of what is known.
pub(super) fn document(store: &StoreChannel, running: &Running, host: &Host) -> Document {
    let mut document = Document {
        virt_type: VirtType::Xen,
        name: running.name.to_string(),
        uuid: Some(running.uuid),
        current_memory_kib: Some(running.memory_kib),
        ..Document::default()
    };
    document.memory.kib = running.max_memory_kib;
    document.vcpu.count = running.max_vcpus;
    document.vcpu.current = (running.vcpus < running.max_vcpus).then_some(running.vcpus);
    let path = format!("/libxl/{}/type", running.id);
    let told = || store.ask(|store| store.read(&path)).flatten();
    let kind = match running.hvm {
        true if told().as_deref() == Some("pvh") => OsType::XenPvh,
        true => OsType::Hvm,
        false => OsType::Linux,
    };
    document.os.kind = OsKind { arch: None, machine: None, kind: Some(kind) };
    for kind in ["vbd", "vbd3", "qdisk"] {
        for backend in backends(store, running, kind) {
            let (Some(params), Some(dev)) = (backend.text("params"), backend.text("dev")) else {
                continue;
            };
            let phy = backend.text("type").as_deref() == Some("phy");
            let plain = params.split_once(':').map_or(params.as_str(), |(_, path)| path);
            let uname = format!("{}:{plain}", if phy { "phy" } else { "file" });
            let Ok(mut disk) = disk_of(&uname, &dev, running.hvm) else { continue };
            disk.readonly = backend.text("mode").as_deref() == Some("r");
            document.devices.add(Device::Disk(Box::new(disk)));
        }
    }
    for backend in backends(store, running, "vif") {
        let (mac, bridge) = (backend.text("mac"), backend.text("bridge"));
        let script = backend.text("script");
        if let Ok(interface) = vif_of(mac.as_deref(), bridge.as_deref(), script.as_deref()) {
            document.devices.add(Device::Interface(Box::new(interface)));
        }
    }
    // What the rules refuse to complete is shown as it is.
    let mut complete = document.clone();
    match complete.complete(ParseFlags::default(), &host.rules()) {
        Ok(()) => complete,
        Err(_) => document,
    }
}
