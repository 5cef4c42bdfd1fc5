//! The guest's processor, where the document leaves it open.

use virt_model::OnOff;
use virt_model::domain::cpu::{Check, Fallback, Match, Mode, Model};
use virt_model::domain::{Cpu, Domain, VirtType};

/// A guest without a CPU of its own gets the machine's, spelled out so that it stays the same.
pub(super) fn complete(domain: &mut Domain, default: Option<&str>) {
    let kvm = domain.virt_type == VirtType::Kvm;
    let name = default.and_then(|name| name.strip_suffix("-cpu")).and_then(|name| {
        let (name, arch) = name.rsplit_once('-')?;
        matches!(arch, "x86_64" | "i386").then_some(name)
    });
    if let Some(name) = name {
        let cpu = domain.cpu.get_or_insert_with(Cpu::default);
        if cpu.mode.is_none() && cpu.model.is_none() {
            (cpu.mode, cpu.match_) = (Some(Mode::Custom), Some(Match::Exact));
            cpu.check.get_or_insert(Check::None);
            let (fallback, name) = (Some(Fallback::Forbid), Some(name.to_owned()));
            cpu.model = Some(Model { fallback, name, vendor_id: None });
        }
    }
    let Some(cpu) = &mut domain.cpu else { return };
    let check = match cpu.mode {
        Some(Mode::Custom) if kvm => Check::Partial,
        Some(Mode::HostModel) => Check::Partial,
        Some(Mode::Custom | Mode::HostPassthrough | Mode::Maximum) => Check::None,
        None => return,
    };
    cpu.check.get_or_insert(check);
    // Compat: QEMU's own emulation knows nothing of it: of the best that there is libvirt then says
    // nothing, and of the host's own that it cannot be migrated.
    match cpu.mode {
        Some(Mode::HostPassthrough) => {
            cpu.migratable.get_or_insert(if kvm { OnOff::On } else { OnOff::Off });
        }
        Some(Mode::Maximum) if kvm => {
            cpu.migratable.get_or_insert(OnOff::On);
        }
        _ => {}
    }
}
