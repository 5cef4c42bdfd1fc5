//! The smaller devices, and the refusal of those that cannot be told to QEMU yet.

use std::ffi::OsString;

use virt_error::Result;
use virt_model::domain::address::Address;
use virt_model::domain::devices::{
    BalloonModel, InputBus, InputType, PanicModel, RngBackendModel, SoundModel, WatchdogAction,
    WatchdogModel,
};
use virt_model::domain::{DeviceInfo, Domain};

use virt_xml::Element;

use super::{Argv, Object, alias, at_pci, set, unsupported};
use crate::rules::Chipset;

/// Refuses what would otherwise be left out without a word.
pub(super) fn refuse_unknown(domain: &Domain) -> Result<()> {
    let devices = &domain.devices;
    let unknown = [
        ("filesystem", devices.filesystems.len()),
        ("smartcard", devices.smartcards.len()),
        ("tpm", devices.tpms.len()),
        ("hostdev", devices.hostdevs.len()),
        ("redirdev", devices.redirdevs.len()),
        ("hub", devices.hubs.len()),
        ("shmem", devices.shmems.len()),
        ("memory", devices.memories.len()),
        ("crypto", devices.cryptos.len()),
        ("iommu", devices.iommus.len()),
        ("vsock", usize::from(devices.vsock.is_some())),
        ("nvram", usize::from(devices.nvram.is_some())),
        ("pstore", usize::from(devices.pstore.is_some())),
        ("lease", devices.leases.len()),
    ];
    if let Some((what, _)) = unknown.iter().find(|(_, count)| *count > 0) {
        return unsupported(format!("device '{what}' is not supported yet"));
    }
    // Compat: what is said about deprecated features is advice.
    let known = |name: &str| name.ends_with(":commandline") || name.ends_with(":deprecation");
    if let Some(element) = domain.foreign.iter().find(|element| !known(&element.name)) {
        return unsupported(format!("'{}' is not supported yet", element.name));
    }
    let features = &domain.features;
    let settings = [
        ("iothreads", domain.iothreads.is_some_and(|count| count > 0)),
        ("iothreadids", set(&domain.iothread_ids)),
        ("launchSecurity", set(&domain.launch_security)),
        ("genid", set(&domain.genid)),
        ("sysinfo", set(&domain.sysinfo)),
        ("smbios", set(&domain.os.smbios)),
        ("acpi table", set(&domain.os.acpi_tables)),
        ("blkiotune", set(&domain.blkiotune)),
        ("memtune", set(&domain.memtune)),
        ("cputune", set(&domain.cputune)),
        ("numatune", set(&domain.numatune)),
        ("keywrap", set(&domain.keywrap)),
        ("hyperv", set(&features.hyperv)),
        ("kvm", set(&features.kvm)),
        ("xen", set(&features.xen)),
        ("pvspinlock", set(&features.pvspinlock)),
        ("apic eoi", features.apic.as_ref().is_some_and(|apic| apic.eoi.is_some())),
        ("smm", set(&features.smm)),
        ("ioapic", set(&features.ioapic)),
        ("pmu", set(&features.pmu)),
        ("vmcoreinfo", set(&features.vmcoreinfo)),
        ("async-teardown", set(&features.async_teardown)),
        ("tcg", set(&features.tcg)),
    ];
    match settings.iter().find(|(_, there)| *there) {
        Some((what, _)) => unsupported(format!("'{what}' is not supported yet")),
        None => Ok(()),
    }
}

/// The sleep states of the guest, which are properties of its power management device.
pub(super) fn sleep_states(argv: &mut Argv, domain: &Domain) {
    let Some(pm) = &domain.pm else { return };
    let device = match Chipset::of_domain(domain) {
        Chipset::Q35 => "ICH9-LPC",
        _ => "PIIX4_PM",
    };
    for (state, setting) in [("s3", &pm.suspend_to_mem), ("s4", &pm.suspend_to_disk)] {
        if let Some(setting) = setting {
            let off = u8::from(!setting.enabled.is_yes());
            argv.option("-global", format!("{device}.disable_{state}={off}"));
        }
    }
}

pub(super) fn inputs(argv: &mut Argv, domain: &Domain) -> Result<()> {
    for input in &domain.devices.inputs {
        let bus = input.bus.unwrap_or_default();
        let driver = match (bus, input.kind) {
            (InputBus::Ps2, _) => continue,
            (InputBus::Usb, InputType::Mouse) => "usb-mouse",
            (InputBus::Usb, InputType::Tablet) => "usb-tablet",
            (InputBus::Usb, InputType::Keyboard) => "usb-kbd",
            (InputBus::Virtio, InputType::Mouse) => "virtio-mouse-pci",
            (InputBus::Virtio, InputType::Tablet) => "virtio-tablet-pci",
            (InputBus::Virtio, InputType::Keyboard) => "virtio-keyboard-pci",
            (bus, kind) => {
                let (bus, kind) = (bus.as_str(), kind.as_str());
                return unsupported(format!("input type '{kind}' on bus '{bus}' is not supported"));
            }
        };
        let device = Object::new("driver", driver).text("id", alias(&input.info));
        argv.device(at_usb(device, &input.info, domain));
    }
    Ok(())
}

/// On its bus of USB, or where it is on PCI.
pub(super) fn at_usb(device: Object, info: &DeviceInfo, domain: &Domain) -> Object {
    match &info.address {
        Address::Usb(usb) => {
            device.text("bus", &usb_bus(usb.bus)).maybe("port", usb.port.as_deref())
        }
        _ => at_pci(device, info, domain),
    }
}

fn usb_bus(bus: u32) -> String {
    if bus == 0 { "usb.0".into() } else { format!("usb{bus}.0") }
}

pub(super) fn sounds(argv: &mut Argv, domain: &Domain) -> Result<()> {
    for sound in &domain.devices.sounds {
        let driver = match sound.model {
            SoundModel::Ich6 => "intel-hda",
            SoundModel::Ich9 => "ich9-intel-hda",
            SoundModel::Ac97 => "AC97",
            SoundModel::Es1370 => "ES1370",
            SoundModel::Sb16 => "sb16",
            model => {
                let model = model.as_str();
                return unsupported(format!("sound card model '{model}' is not supported yet"));
            }
        };
        let name = alias(&sound.info);
        let audio = domain.devices.audios.first().map(|audio| format!("audio{}", audio.id));
        let hda = matches!(sound.model, SoundModel::Ich6 | SoundModel::Ich9);
        let device = Object::new("driver", driver).text("id", name);
        let device = device.maybe("audiodev", audio.as_deref().filter(|_| !hda));
        argv.device(at_pci(device, &sound.info, domain));
        if hda {
            let codec = Object::new("driver", "hda-duplex").text("id", &format!("{name}-codec0"));
            let codec = codec.text("bus", &format!("{name}.0")).number("cad", 0_u32);
            argv.device(codec.maybe("audiodev", audio.as_deref()));
        }
    }
    Ok(())
}

pub(super) fn watchdogs(argv: &mut Argv, domain: &Domain) -> Result<()> {
    for watchdog in &domain.devices.watchdogs {
        let driver = match watchdog.model {
            WatchdogModel::Itco => {
                argv.option("-global", "ICH9-LPC.noreboot=off");
                continue;
            }
            WatchdogModel::I6300esb => "i6300esb",
            WatchdogModel::Ib700 => "ib700",
            model => {
                let model = model.as_str();
                return unsupported(format!("watchdog model '{model}' is not supported"));
            }
        };
        let device = Object::new("driver", driver).text("id", alias(&watchdog.info));
        argv.device(at_pci(device, &watchdog.info, domain));
    }
    if let Some(watchdog) = domain.devices.watchdogs.first() {
        // Compat: the dump is the daemon's work, so the guest is only paused for it.
        let action = match watchdog.action {
            WatchdogAction::Dump => "pause",
            action => action.as_str(),
        };
        argv.option("-watchdog-action", action);
    }
    Ok(())
}

pub(super) fn memballoon(argv: &mut Argv, domain: &Domain) -> Result<()> {
    let Some(balloon) = &domain.devices.memballoon else { return Ok(()) };
    let driver = match balloon.model {
        BalloonModel::None => return Ok(()),
        BalloonModel::Virtio => "virtio-balloon-pci",
        BalloonModel::VirtioTransitional => "virtio-balloon-pci-transitional",
        BalloonModel::VirtioNonTransitional => "virtio-balloon-pci-non-transitional",
        BalloonModel::Xen => {
            return unsupported(
                "memory balloon device type 'xen' is not supported by this version of qemu",
            );
        }
    };
    let device = Object::new("driver", driver).text("id", alias(&balloon.info));
    let device = at_pci(device, &balloon.info, domain);
    let deflate = balloon.autodeflate.map(|on| on.is_on());
    let reporting = balloon.free_page_reporting.map(|on| on.is_on());
    let device = device.maybe_flag("deflate-on-oom", deflate);
    argv.device(device.maybe_flag("free-page-reporting", reporting));
    Ok(())
}

pub(super) fn rngs(argv: &mut Argv, domain: &Domain) -> Result<()> {
    for rng in &domain.devices.rngs {
        let name = alias(&rng.info);
        let id = format!("obj{name}");
        let backend = rng.backend.as_ref();
        match backend.map(|backend| backend.model) {
            Some(RngBackendModel::Builtin) => {
                argv.object(Object::new("qom-type", "rng-builtin").text("id", &id));
            }
            Some(RngBackendModel::Random) | None => {
                let device = backend.and_then(|backend| backend.device.as_deref());
                let object = Object::new("qom-type", "rng-random").text("id", &id);
                argv.object(object.text("filename", device.unwrap_or("/dev/urandom")));
            }
            Some(RngBackendModel::Egd) => {
                return unsupported(
                    "the egd backend of random number generators is not supported yet",
                );
            }
        }
        let device = Object::new("driver", "virtio-rng-pci").text("rng", &id).text("id", name);
        let device = device.maybe_number("max-bytes", rng.rate.as_ref().map(|rate| rate.bytes));
        let period = rng.rate.as_ref().map(|rate| rate.period_ms.unwrap_or(1000));
        argv.device(at_pci(device.maybe_number("period", period), &rng.info, domain));
    }
    Ok(())
}

pub(super) fn panics(argv: &mut Argv, domain: &Domain) {
    for panic in &domain.devices.panics {
        let device = match panic.model {
            Some(PanicModel::Pvpanic) => {
                at_pci(Object::new("driver", "pvpanic-pci"), &panic.info, domain)
            }
            _ => Object::new("driver", "pvpanic"),
        };
        let port = match &panic.info.address {
            Address::Isa { iobase, .. } => *iobase,
            _ => None,
        };
        argv.device(device.maybe_number("ioport", port));
    }
}

/// Words that the definition hands to QEMU as they are (`qemu:commandline`).
pub(super) fn passthrough(argv: &mut Argv, domain: &Domain) {
    for value in handed(domain, ":arg").filter_map(|arg| arg.attr("value")) {
        argv.flag(value);
    }
}

/// The same for the emulator's environment.
pub(crate) fn passthrough_env(domain: &Domain) -> Vec<(OsString, OsString)> {
    let pair = |env: &Element<'static>| {
        Some((env.attr("name")?.into(), env.attr("value").unwrap_or_default().into()))
    };
    handed(domain, ":env").filter_map(pair).collect()
}

fn handed<'a>(
    domain: &'a Domain,
    what: &'static str,
) -> impl Iterator<Item = &'a Element<'static>> {
    let lines = domain.foreign.iter().filter(|element| element.name.ends_with(":commandline"));
    lines.flat_map(|line| line.elements()).filter(move |part| part.name.ends_with(what))
}
