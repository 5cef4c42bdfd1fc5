//! Machine, CPU, memory, clock and boot: what is there before any device.

use virt_error::Result;
use virt_model::domain::boot::LoaderType;
use virt_model::domain::clock::{Offset, TickPolicy, TimerName};
use virt_model::domain::cpu::{Mode, Policy};
use virt_model::domain::{Domain, VirtType};

use super::{Argv, Object, escaped, unsupported};

/// `-machine` to `-uuid`.
pub(super) fn machine(argv: &mut Argv, domain: &Domain) -> Result<()> {
    let name = domain.os.kind.machine.as_deref().unwrap_or_default();
    let mut machine = format!("{name},usb=off");
    if let Some(state) = &domain.features.vmport {
        machine.push_str(&format!(",vmport={}", state.state.as_str()));
    }
    let dump = domain.memory.dump_core.map_or("off", |dump| dump.as_str());
    machine.push_str(&format!(",dump-guest-core={dump},memory-backend=pc.ram"));
    if let Some(hpet) = timer_present(domain, TimerName::Hpet) {
        machine.push_str(if hpet { ",hpet=on" } else { ",hpet=off" });
    }
    machine.push_str(if domain.features.acpi { ",acpi=on" } else { ",acpi=off" });
    argv.option("-machine", machine);
    let kvm = domain.virt_type == VirtType::Kvm;
    argv.option("-accel", if kvm { "kvm" } else { "tcg" });
    if let Some(cpu) = cpu(domain, kvm)? {
        argv.option("-cpu", cpu);
    }
    firmware(argv, domain)?;
    memory(argv, domain)?;
    argv.option("-smp", smp(domain));
    if let Some(uuid) = domain.uuid {
        argv.option("-uuid", uuid.to_string());
    }
    Ok(())
}

fn timer_present(domain: &Domain, name: TimerName) -> Option<bool> {
    let timer = domain.clock.timers.iter().find(|timer| timer.name == name)?;
    timer.present.map(|present| present.is_yes())
}

fn cpu(domain: &Domain, kvm: bool) -> Result<Option<String>> {
    let Some(cpu) = &domain.cpu else { return Ok(None) };
    let model = cpu.model.as_ref().and_then(|model| model.name.as_deref());
    let mut text = match (cpu.mode, model) {
        (Some(Mode::HostPassthrough), _) if kvm => "host".to_owned(),
        (Some(Mode::HostPassthrough), _) => {
            return unsupported(
                "CPU mode 'host-passthrough' for x86_64 qemu domain on x86_64 host is not \
                 supported by hypervisor",
            );
        }
        (Some(Mode::Maximum), _) => "max".to_owned(),
        // Compat: without a model of the host in QEMU's words the nearest that runs is its own.
        (Some(Mode::HostModel), _) => (if kvm { "host" } else { "max" }).to_owned(),
        (_, Some(model)) => model.to_owned(),
        (_, None) => return Ok(None),
    };
    if let Some(vendor) = cpu.model.as_ref().and_then(|model| model.vendor_id.as_deref()) {
        text.push_str(&format!(",vendor={}", escaped(vendor)));
    }
    if cpu.migratable.is_some() && cpu.mode == Some(Mode::HostPassthrough) {
        let on = cpu.migratable.map_or("on", |on| on.as_str());
        text.push_str(&format!(",migratable={on}"));
    }
    let tables = virt_cpu::Tables::x86();
    for feature in &cpu.features {
        let known = tables.row(&feature.name).and_then(|row| tables.feature(row));
        let name = match known {
            Some(known) => match known.qemu {
                Some(name) => name.to_owned(),
                // The emulator sets it by itself.
                None => continue,
            },
            None => feature.name.replace('_', "-"),
        };
        match feature.policy.unwrap_or_default() {
            Policy::Force | Policy::Require => text.push_str(&format!(",{name}=on")),
            Policy::Disable | Policy::Forbid => text.push_str(&format!(",{name}=off")),
            Policy::Optional => {}
        }
    }
    Ok(Some(text))
}

fn firmware(argv: &mut Argv, domain: &Domain) -> Result<()> {
    if domain.os.firmware.is_some_and(|firmware| firmware.as_str() == "efi") {
        return unsupported("firmware auto-selection is not supported yet");
    }
    let Some(loader) = &domain.os.loader else { return Ok(()) };
    let Some(path) = &loader.path else { return Ok(()) };
    match loader.kind {
        Some(LoaderType::Pflash) => unsupported("pflash firmware is not supported yet"),
        _ => {
            argv.option("-bios", path.as_str());
            Ok(())
        }
    }
}

fn memory(argv: &mut Argv, domain: &Domain) -> Result<()> {
    if domain.max_memory.is_some() || !domain.devices.memories.is_empty() {
        return unsupported("memory hotplug is not supported yet");
    }
    if domain.cpu.as_ref().is_some_and(|cpu| cpu.numa.is_some()) {
        return unsupported("NUMA cells are not supported yet");
    }
    let backing = domain.memory_backing.as_ref();
    if backing.is_some_and(|backing| backing.hugepages.is_some() || backing.source.is_some()) {
        return unsupported("this memory backing is not supported yet");
    }
    // Compat: QEMU gets whole MiB.
    let kib = domain.memory.kib.div_ceil(1024).saturating_mul(1024);
    argv.option("-m", format!("size={kib}k"));
    let bytes = kib.saturating_mul(1024);
    let ram = Object::new("qom-type", "memory-backend-ram").text("id", "pc.ram");
    argv.object(ram.number("size", bytes));
    let locked = backing.is_some_and(|backing| backing.locked);
    argv.option("-overcommit", if locked { "mem-lock=on" } else { "mem-lock=off" });
    Ok(())
}

fn smp(domain: &Domain) -> String {
    let count = domain.vcpu.count;
    let later = u32::try_from(crate::vcpus::added_at_start(domain).len()).unwrap_or(0);
    let first = domain.vcpu.current.unwrap_or(count).saturating_sub(later);
    let mut text =
        if first == count { count.to_string() } else { format!("{first},maxcpus={count}") };
    match domain.cpu.as_ref().and_then(|cpu| cpu.topology.as_ref()) {
        Some(topology) => {
            text.push_str(&format!(",sockets={}", topology.sockets));
            for (name, value) in [("dies", topology.dies), ("clusters", topology.clusters)] {
                text.push_str(&format!(",{name}={}", value));
            }
            text.push_str(&format!(",cores={},threads={}", topology.cores, topology.threads));
        }
        None => text.push_str(&format!(",sockets={count},cores=1,threads=1")),
    }
    text
}

/// `-rtc` and the timers that are properties of other devices.
pub(super) fn clock(argv: &mut Argv, domain: &Domain) -> Result<()> {
    let clock = &domain.clock;
    let mut rtc = match clock.offset {
        Offset::Utc => "base=utc".to_owned(),
        Offset::Localtime => "base=localtime".to_owned(),
        offset => {
            let offset = offset.as_str();
            return unsupported(format!("clock offset '{offset}' is not supported yet"));
        }
    };
    for timer in &clock.timers {
        match (timer.name, timer.tickpolicy) {
            (TimerName::Rtc, Some(TickPolicy::Catchup)) => rtc.push_str(",driftfix=slew"),
            (TimerName::Rtc, None | Some(TickPolicy::Delay)) => {}
            (TimerName::Rtc, Some(policy)) => {
                let policy = policy.as_str();
                return unsupported(format!("unsupported rtc timer tickpolicy '{policy}'"));
            }
            (TimerName::Pit | TimerName::Hpet, _) => {}
            (name, _) => {
                let name = name.as_str();
                return unsupported(format!("timer '{name}' is not supported yet"));
            }
        }
        if timer.track.is_some() || timer.frequency_hz.is_some() || timer.mode.is_some() {
            return unsupported("track, frequency and mode of timers are not supported yet");
        }
    }
    argv.option("-rtc", rtc);
    for timer in clock.timers.iter().filter(|timer| timer.name == TimerName::Pit) {
        match timer.tickpolicy {
            Some(TickPolicy::Delay) => argv.option("-global", "kvm-pit.lost_tick_policy=delay"),
            Some(TickPolicy::Discard) => argv.option("-global", "kvm-pit.lost_tick_policy=discard"),
            _ => {}
        }
    }
    Ok(())
}

/// `-boot`, and the kernel where QEMU loads it itself.
pub(super) fn boot(argv: &mut Argv, domain: &Domain) {
    let os = &domain.os;
    let mut boot = String::new();
    if let Some(enable) = os.bootmenu.as_ref().and_then(|menu| menu.enable) {
        boot.push_str(if enable.is_yes() { "menu=on," } else { "menu=off," });
    }
    if let Some(timeout_ms) = os.bootmenu.as_ref().and_then(|menu| menu.timeout_ms) {
        boot.push_str(&format!("splash-time={timeout_ms},"));
    }
    if let Some(timeout_ms) = os.bios.as_ref().and_then(|bios| bios.reboot_timeout_ms) {
        boot.push_str(&format!("reboot-timeout={timeout_ms},"));
    }
    argv.option("-boot", format!("{boot}strict=on"));
    for (name, value) in [
        ("-kernel", &os.kernel),
        ("-initrd", &os.initrd),
        ("-append", &os.cmdline),
        ("-dtb", &os.dtb),
    ] {
        if let Some(value) = value {
            argv.option(name, value.as_str());
        }
    }
}
