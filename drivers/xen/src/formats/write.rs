//! From a domain to a file of `xm` or `xl`.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::clock::{Basis, Clock, Offset, TimerMode, TimerName};
use virt_model::domain::devices::{Input, InputBus};
use virt_model::domain::disk::DiskDevice;
use virt_model::domain::{Domain, LifecycleAction};
use virt_model::{NumberSet, Text, YesNo};

use super::boot::Kind;
use super::config::Config;
use super::vif::VifStyle;
use super::{
    Format, Toolstack, affinity, boot, chardev, display, label, pci, vif, xl, xl_disk, xm_disk,
};

const KIB_PER_MIB: u64 = 1024;
/// xend's configuration format of Xen 3.0.4: displays of paravirtual guests are devices from there on.
pub(crate) const FORMAT_3_0_4: u32 = 3;
/// Limit: xend's mask of CPUs is one word.
const VCPU_MASK_BITS: u32 = 64;

/// Prints a domain as a file.
pub(crate) fn config(domain: &Domain, format: Format, toolstack: Toolstack) -> Result<String> {
    let mut config = Config::default();
    let kind = Kind::of(domain);
    let old = format == Format::Xm
        && matches!(toolstack, Toolstack::Xend { config_format } if config_format < FORMAT_3_0_4);
    general(domain, format, toolstack, &mut config)?;
    // Order: the files of Xen before 3.0.4 have what is booted here, and the disks before the cards.
    if old {
        boot::write_xm(domain, &mut config);
    }
    if kind == Kind::Hvm || !old {
        features(domain, kind, toolstack, &mut config)?;
    } else if is_local(&domain.clock) {
        config.set_number("localtime", 1);
    }
    lifecycle(domain, &mut config);
    if kind == Kind::Hvm {
        let libxl = toolstack == Toolstack::Libxl;
        let key = if libxl { "device_model_override" } else { "device_model" };
        config.set_some(key, domain.devices.emulator.as_deref());
    }
    displays(domain, old || kind == Kind::Hvm, &mut config)?;
    if old {
        disks(domain, format, kind, &mut config)?;
    }
    interfaces(domain, format, toolstack, &mut config)?;
    let devices = domain.devices.hostdevs.iter().filter_map(pci::print).collect();
    config.set_list("pci", devices);
    if kind == Kind::Hvm {
        ports(domain, &mut config)?;
        let sounds: Vec<&str> =
            domain.devices.sounds.iter().map(|sound| sound.model.as_str()).collect();
        config.set_some("soundhw", Some(&*sounds.join(",")).filter(|text| !text.is_empty()));
    }
    match format {
        _ if old => {}
        Format::Xl => {
            boot::write_xl(domain, &mut config);
            xl::write_before_disks(domain, kind, &mut config)?;
            disks(domain, format, kind, &mut config)?;
        }
        _ => {
            boot::write_xm(domain, &mut config);
            disks(domain, format, kind, &mut config)?;
        }
    }
    inputs(domain, kind, &mut config);
    if format == Format::Xl {
        xl::write_after_disks(domain, kind, &mut config)?;
    }
    config.finish()
}

fn general(
    domain: &Domain,
    format: Format,
    toolstack: Toolstack,
    config: &mut Config,
) -> Result<()> {
    let mib = |kib: u64| i64::try_from(kib.div_ceil(KIB_PER_MIB)).unwrap_or(i64::MAX);
    config.set("name", domain.name.as_str());
    if let Some(uuid) = domain.uuid {
        config.set("uuid", uuid.to_string());
    }
    config.set_number("maxmem", mib(domain.memory.kib));
    config.set_number("memory", mib(domain.current_memory_kib()));
    let most = domain.vcpu.count;
    let current = domain.vcpu.current.unwrap_or(most);
    match toolstack {
        Toolstack::Libxl => {
            if current < most {
                config.set_number("maxvcpus", most);
            }
            config.set_number("vcpus", current);
        }
        Toolstack::Xend { .. } => {
            config.set_number("vcpus", most);
            if let Some(mask) = vcpu_mask(domain) {
                config.set_number("vcpu_avail", i64::try_from(mask).unwrap_or(i64::MAX));
            }
        }
    }
    match (affinity::list(domain)?, &domain.vcpu.cpuset) {
        (Some(each), _) => {
            let text = |set: Option<&NumberSet>| set.map_or("all".into(), |set| set.print().into());
            config.set_list("cpus", each.into_iter().map(text).collect());
        }
        (None, Some(cpus)) => config.set("cpus", cpus.print()),
        (None, None) => {}
    }
    if format != Format::Xl
        && let Some(number) = label::number(domain)?
    {
        config.set_number("ssidref", number);
    }
    if let Some(shares) = domain.cputune.shares {
        config.set_number("cpu_weight", i64::try_from(shares).unwrap_or(i64::MAX));
    }
    Ok(())
}

/// The bits of the CPUs that are there at start; `None` where all are.
pub(crate) fn vcpu_mask(domain: &Domain) -> Option<u64> {
    let current = domain.vcpu.current.filter(|current| *current < domain.vcpu.count)?;
    let bits = 1_u64.checked_shl(current.min(VCPU_MASK_BITS));
    Some(bits.map_or(u64::MAX, |bit| bit - 1))
}

fn features(domain: &Domain, kind: Kind, toolstack: Toolstack, config: &mut Config) -> Result<()> {
    let features = &domain.features;
    if kind == Kind::Hvm {
        config.set_number("pae", features.pae);
        config.set_number("acpi", features.acpi);
        config.set_number("apic", features.apic.is_some());
        let hap = features.hap.as_ref().map(|hap| hap.is_on());
        // xend wants to be told.
        if let Some(hap) = hap.or((toolstack != Toolstack::Libxl).then_some(false)) {
            config.set_number("hap", hap);
        }
        config.set_number("viridian", features.viridian);
    }
    if let Some(xen) = &features.xen {
        if let Some(host) = &xen.e820_host {
            config.set_number("e820_host", host.is_on());
        }
        if let Some(passthrough) = xen.passthrough.as_ref().filter(|found| found.state.is_on()) {
            config.set("passthrough", passthrough.mode.as_deref().unwrap_or("enabled"));
        }
    }
    timers(domain, kind, config)?;
    if kind == Kind::Hvm {
        config.set_number("rtc_timeoffset", offset_s(&domain.clock));
    }
    config.set_number("localtime", is_local(&domain.clock));
    Ok(())
}

fn timers(domain: &Domain, kind: Kind, config: &mut Config) -> Result<()> {
    for timer in &domain.clock.timers {
        match timer.name {
            TimerName::Tsc => config.set(
                "tsc_mode",
                match timer.mode {
                    Some(TimerMode::Native) => "native",
                    Some(TimerMode::Paravirt) => "native_paravirt",
                    Some(TimerMode::Emulate) => "always_emulate",
                    _ => "default",
                },
            ),
            TimerName::Hpet if kind == Kind::Hvm => {
                config.set_number("hpet", timer.present != Some(YesNo::No));
            }
            other => {
                let detail = format!("unsupported timer type (name) '{other}'");
                return Err(Error::new(Code::ConfigUnsupported, Origin::Xen, detail));
            }
        }
    }
    Ok(())
}

/// How far the guest's clock was set from the host's.
pub(crate) fn offset_s(clock: &Clock) -> i64 {
    let variable = clock.adjustment.as_deref().filter(|_| clock.offset == Offset::Variable);
    variable.and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(crate) fn is_local(clock: &Clock) -> bool {
    match clock.offset {
        Offset::Localtime => true,
        Offset::Variable => clock.basis == Some(Basis::Localtime),
        _ => false,
    }
}

fn lifecycle(domain: &Domain, config: &mut Config) {
    for (key, action) in [
        ("on_poweroff", domain.on_poweroff.unwrap_or(LifecycleAction::Destroy)),
        ("on_reboot", domain.on_reboot.unwrap_or(LifecycleAction::Restart)),
        ("on_crash", domain.on_crash.unwrap_or(LifecycleAction::Destroy)),
    ] {
        config.set(key, action.as_str());
    }
}

/// Full guests have one display with keys of its own; others have a list.
fn displays(domain: &Domain, keys: bool, config: &mut Config) -> Result<()> {
    let graphics = &domain.devices.graphics;
    if keys {
        if let Some(first) = graphics.first() {
            display::write(first, config);
        }
    } else {
        let lines = graphics.iter().take(1).map(display::line);
        let lines: Vec<Option<String>> = lines.collect::<Result<_>>()?;
        config.set_list("vfb", lines.into_iter().flatten().collect());
    }
    Ok(())
}

fn interfaces(
    domain: &Domain,
    format: Format,
    toolstack: Toolstack,
    config: &mut Config,
) -> Result<()> {
    let style = VifStyle {
        hvm: Kind::of(domain) == Kind::Hvm,
        netfront: if format == Format::Xl { "vif" } else { "netfront" },
        ioemu: wants_ioemu(toolstack),
    };
    let lines = domain.devices.interfaces.iter().map(|interface| vif::print(interface, style));
    config.set_list("vif", lines.collect::<Result<_>>()?);
    Ok(())
}

/// Whether emulated cards must be asked for: until Xen 3.0.4, after which it keeps the guest's own
/// drivers from working.
pub(crate) fn wants_ioemu(toolstack: Toolstack) -> bool {
    matches!(toolstack, Toolstack::Xend { config_format } if config_format <= FORMAT_3_0_4)
}

fn disks(domain: &Domain, format: Format, kind: Kind, config: &mut Config) -> Result<()> {
    let hvm = kind == Kind::Hvm;
    let (disks, beside) = (&domain.devices.disks, hvm && format != Format::Xl);
    let lines = disks.iter().filter(|disk| !beside || disk.device != DiskDevice::Floppy);
    let lines = lines.map(|disk| match format {
        Format::Xl => xl_disk::print(disk),
        _ => xm_disk::print(disk, hvm),
    });
    config.set_list("disk", lines.collect::<Result<_>>()?);
    if beside {
        for (name, path) in xm_disk::floppies(disks)? {
            config.set_some(name, path);
        }
    }
    Ok(())
}

fn ports(domain: &Domain, config: &mut Config) -> Result<()> {
    match domain.devices.parallels.first() {
        Some(parallel) => config.set("parallel", chardev::print(&parallel.source)?),
        None => config.set("parallel", "none"),
    }
    let mut words = serial_words(domain)?;
    match words.len() {
        0 => config.set("serial", "none"),
        1 => config.set("serial", words.remove(0)),
        _ => config.set_list("serial", words),
    }
    Ok(())
}

/// The serial ports by number, with `none` where one is left out.
pub(crate) fn serial_words(domain: &Domain) -> Result<Vec<String>> {
    /// Limit: a document may number its ports as it likes; nobody emulates more.
    const PORT_MAX: usize = 255;
    let mut words: Vec<String> = Vec::new();
    for (at, serial) in domain.devices.serials.iter().enumerate() {
        let port = serial.target.port.and_then(|port| usize::try_from(port).ok()).unwrap_or(at);
        if port > PORT_MAX {
            let detail = format!("serial port {port} is beyond {PORT_MAX}");
            return Err(Error::new(Code::ConfigUnsupported, Origin::Xen, detail));
        }
        if words.len() <= port {
            words.resize(port + 1, "none".to_owned());
        }
        if let Some(word) = words.get_mut(port) {
            *word = chardev::print(&serial.source)?;
        }
    }
    Ok(words)
}

/// The input devices on USB.
pub(crate) fn usb_inputs(domain: &Domain) -> impl Iterator<Item = &Input> {
    domain.devices.inputs.iter().filter(|input| input.bus == Some(InputBus::Usb))
}

fn inputs(domain: &Domain, kind: Kind, config: &mut Config) {
    if kind != Kind::Hvm {
        return;
    }
    let mut words: Vec<String> =
        usb_inputs(domain).map(|input| input.kind.as_str().to_owned()).collect();
    if words.is_empty() {
        return;
    }
    config.set_number("usb", 1);
    match words.len() {
        1 => config.set("usbdevice", words.remove(0)),
        _ => config.set_list("usbdevice", words),
    }
}
