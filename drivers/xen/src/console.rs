//! What a document says of a running guest that only xenstore knows: its terminal, its display, and what the
//! host calls its interfaces.

use virt_model::domain::boot::{OsKind, OsType};
use virt_model::domain::chardev::ChardevType;
use virt_model::domain::graphics::GraphicsType;
use virt_model::domain::interface::InterfaceTarget;
use virt_model::domain::{Domain as Document, Interface, LifecycleAction, VirtType};

use crate::seen::Running;
use crate::store_channel::StoreChannel;

/// Limit: the longest path of a terminal; a guest may write what is beside it.
const TTY_BYTES_MAX: usize = 256;
/// Limit: interfaces of a guest.
const INTERFACES_MAX: usize = 256;

/// Where a guest's console is: full guests have theirs behind the first serial port.
pub(crate) fn terminal(store: &StoreChannel, running: &Running) -> Option<String> {
    let read = |place: &str| {
        let path = format!("/local/domain/{}/{place}/tty", running.id);
        store.ask(|store| store.read(&path)).flatten()
    };
    let found = match running.hvm {
        true => read("serial/0").or_else(|| read("console")),
        false => read("console"),
    };
    found
        .filter(|tty| tty.starts_with("/dev/") && tty.len() <= TTY_BYTES_MAX && !tty.contains(".."))
}

fn vnc_port(store: &StoreChannel, running: &Running) -> Option<i32> {
    let path = format!("/local/domain/{}/console/vnc-port", running.id);
    let port = store.ask(|store| store.read(&path)).flatten()?;
    port.trim().parse().ok().filter(|port| (1..=65_535).contains(port))
}

/// How the host calls interfaces whose document names nothing: after the guest's number and their own.
fn interfaces(store: &StoreChannel, running: &Running, document: &mut Document) {
    let interfaces = &mut document.devices.interfaces;
    if interfaces.iter().all(|interface| interface.target_dev().is_some()) {
        return;
    }
    let dir = format!("/local/domain/0/backend/vif/{}", running.id);
    let numbers = store.ask(|store| store.list(&dir)).flatten().unwrap_or_default();
    for number in numbers.iter().take(INTERFACES_MAX) {
        let Ok(number) = number.parse::<usize>() else { continue };
        let path = format!("{dir}/{number}/mac");
        let Some(mac) = store.ask(|store| store.read(&path)).flatten() else { continue };
        let same = |interface: &&mut Interface| {
            let own = interface.mac.as_ref().map(|own| own.address.to_string());
            interface.target_dev().is_none()
                && own.is_some_and(|own| own.eq_ignore_ascii_case(mac.trim()))
        };
        if let Some(interface) = interfaces.iter_mut().find(same) {
            let target = interface.target.get_or_insert_with(InterfaceTarget::default);
            target.dev = Some(crate::stats::vif(running.id, number));
        }
    }
}

/// Puts what xenstore knows into a running guest's document.
pub(crate) fn complete(store: &StoreChannel, running: &Running, document: &mut Document) {
    document.id = Some(running.public_id());
    document.current_memory_kib = Some(running.memory_kib.min(document.memory.kib));
    if let Some(tty) = terminal(store, running) {
        let devices = &mut document.devices;
        let consoles = devices.consoles.iter_mut().map(|console| &mut console.source);
        let serials = devices.serials.iter_mut().map(|serial| &mut serial.source);
        for source in consoles.chain(serials).filter(|source| source.kind == ChardevType::Pty) {
            source.path.get_or_insert_with(|| tty.clone());
        }
        if let Some(console) = devices.consoles.first_mut() {
            console.tty.get_or_insert(tty);
        }
    }
    interfaces(store, running, document);
    let port = vnc_port(store, running);
    let mut graphics = document.devices.graphics.iter_mut();
    let vnc = graphics.find(|graphics| graphics.kind == GraphicsType::Vnc);
    if let (Some(port), Some(vnc)) = (port, vnc) {
        vnc.ports.port = Some(port);
    }
}

/// The control domain's document: no devices are known of it.
pub(crate) fn control_domain(running: &Running) -> Document {
    let mut document = Document {
        virt_type: VirtType::Xen,
        id: Some(0),
        name: running.name.to_string(),
        uuid: Some(running.uuid),
        current_memory_kib: Some(running.memory_kib),
        ..Document::default()
    };
    document.memory.kib = running.max_memory_kib;
    document.vcpu.count = running.max_vcpus;
    document.vcpu.current = (running.vcpus < running.max_vcpus).then_some(running.vcpus);
    document.os.kind = OsKind {
        arch: Some(virt_host::architecture()),
        machine: Some("xenpv".to_owned()),
        kind: Some(OsType::Linux),
    };
    document.on_poweroff = Some(LifecycleAction::Destroy);
    document.on_reboot = Some(LifecycleAction::Restart);
    document.on_crash = Some(LifecycleAction::Destroy);
    document
}
