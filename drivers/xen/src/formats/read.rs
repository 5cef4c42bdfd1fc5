//! From a file of `xm` or `xl` to a domain.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::chardev::{Parallel, Serial};
use virt_model::domain::clock::{Basis, Offset, Timer, TimerMode, TimerName};
use virt_model::domain::devices::{Input, InputBus, InputType, Sound, SoundModel};
use virt_model::domain::features::{Apic, State, Xen, XenPassthrough};
use virt_model::domain::{Device, Domain, LifecycleAction, VirtType};
use virt_model::{NumberSet, OnOff, Text, YesNo};
use virt_types::Uuid;

use super::boot::Kind;
use super::config::{Config, malformed};
use super::display::Display;
use super::{
    Format, Toolstack, affinity, boot, chardev, hint, label, pci, vif, xl, xl_disk, xm_disk,
};
use crate::channels::VCPUS_MAX;

const KIB_PER_MIB: u64 = 1024;
/// What a guest gets where a file says nothing: twice the least that Xen takes.
const MEMORY_DEFAULT_MIB: u64 = 128;
/// Limit: serial ports that a list may name; QEMU emulates four.
const PORTS_MAX: usize = 32;

/// Reads a file into a domain that has not been completed yet.
pub(crate) fn domain(
    text: &str,
    format: Format,
    toolstack: Toolstack,
    firmware_dir: &str,
) -> Result<Domain> {
    let config = &Config::parse(text)?;
    from_config(config, format, toolstack, firmware_dir).map_err(|error| config.explained(error))
}

fn from_config(
    config: &Config,
    format: Format,
    toolstack: Toolstack,
    firmware_dir: &str,
) -> Result<Domain> {
    let mut domain = Domain { virt_type: VirtType::Xen, ..Domain::default() };
    identity(config, &mut domain)?;
    let kind = boot::read(config, format, firmware_dir, &mut domain)?;
    memory(config, &mut domain)?;
    vcpus(config, &mut domain)?;
    lifecycle(config, &mut domain)?;
    features(config, kind, toolstack, &mut domain)?;
    clock(config, kind, &mut domain)?;
    domain.devices.emulator = match config.text("device_model_override")? {
        None => config.text("device_model")?.filter(|path| path.starts_with('/')),
        path => path,
    };
    disks(config, format, kind, &mut domain)?;
    for line in config.strings("vif")? {
        domain.devices.interfaces.push(vif::parse(line)?);
    }
    for line in config.strings("pci")? {
        domain.devices.hostdevs.push(pci::parse(line)?);
    }
    ports(config, kind, &mut domain)?;
    inputs(config, kind, &mut domain)?;
    displays(config, kind, &mut domain)?;
    if kind == Kind::Hvm {
        sounds(config.string("soundhw")?.unwrap_or_default(), &mut domain);
    }
    if format == Format::Xl {
        xl::read(config, kind, &mut domain)?;
    }
    Ok(domain)
}

fn identity(config: &Config, domain: &mut Domain) -> Result<()> {
    let Some(name) = config.text("name")? else {
        let error = Error::internal(Origin::Xen, "config value name was missing");
        return Err(error.with_hint(config.missing("name", "name = \"guest\"")));
    };
    domain.name = name;
    if let Some(text) = config.text("uuid")? {
        let Some(uuid) = Uuid::parse(&text) else {
            let error = Error::new(Code::ConfSyntax, Origin::Xen, format!("{text} not parseable"));
            return Err(error.with_hint(config.expected("uuid", "a UUID")));
        };
        domain.uuid = Some(uuid);
    }
    domain.title = config.text("title")?;
    domain.description = config.text("description")?;
    match config.number32("ssidref")? {
        None | Some(0) => {}
        Some(number) => label::set(domain, number.to_string()),
    }
    Ok(())
}

fn memory(config: &Config, domain: &mut Domain) -> Result<()> {
    let current = config.number("memory")?.unwrap_or(MEMORY_DEFAULT_MIB);
    let most = config.number("maxmem")?.unwrap_or(current);
    let kib = |mib: u64, key| mib.checked_mul(KIB_PER_MIB).ok_or_else(|| malformed(key));
    domain.current_memory_kib = Some(kib(current, "memory")?);
    domain.memory.kib = kib(most, "maxmem")?;
    Ok(())
}

fn vcpus(config: &Config, domain: &mut Domain) -> Result<()> {
    let count = config.number32("vcpus")?.unwrap_or(1).max(1);
    let most = config.number32("maxvcpus")?.unwrap_or(count).max(count);
    domain.vcpu.count = most;
    domain.vcpu.current = (most > count).then_some(count);
    // xend says which of its CPUs are there by bits.
    if let Some(available) = config.number("vcpu_avail")? {
        let online = available.count_ones();
        domain.vcpu.current = (0 < online && online < most).then_some(online);
    }
    let set = |text: &str| match text {
        "" | "all" => Ok(NumberSet::default()),
        text => NumberSet::parse(text).ok_or_else(|| malformed("cpus")),
    };
    match config.list("cpus") {
        Some(each) => {
            let sets = each.into_iter().take(VCPUS_MAX as usize).map(set);
            affinity::set(domain, sets.collect::<Result<_>>()?);
        }
        None => {
            let all = config.text("cpus")?.map(|text| set(&text)).transpose()?;
            domain.vcpu.cpuset = all.filter(|all| !all.is_empty());
        }
    }
    domain.cputune.shares = config.number("cpu_weight")?;
    Ok(())
}

fn lifecycle(config: &Config, domain: &mut Domain) -> Result<()> {
    let action = |key: &str, default| match config.string(key)? {
        None => Ok(Some(default)),
        Some(word) => match LifecycleAction::from_word(&word.replace('_', "-")) {
            Some(action) => Ok(Some(action)),
            None => {
                let detail = format!("unexpected value {word} for {key}");
                let known = LifecycleAction::ALL.iter().map(|action| action.as_str());
                let expected = match hint::missing(&word.replace('_', "-"), known.clone()) {
                    Some(near) => format!("{near}?").replace('-', "_"),
                    None => known.collect::<Vec<_>>().join(", ").replace('-', "_"),
                };
                Err(Error::internal(Origin::Xen, detail).with_hint(config.expected(key, &expected)))
            }
        },
    };
    domain.on_poweroff = action("on_poweroff", LifecycleAction::Destroy)?;
    domain.on_reboot = action("on_reboot", LifecycleAction::Restart)?;
    domain.on_crash = action("on_crash", LifecycleAction::Restart)?;
    Ok(())
}

fn features(config: &Config, kind: Kind, toolstack: Toolstack, domain: &mut Domain) -> Result<()> {
    let features = &mut domain.features;
    if kind == Kind::Hvm {
        let on = |key, default| Ok(config.boolean(key)?.unwrap_or(default));
        features.pae = on("pae", true)?;
        features.acpi = on("acpi", true)?;
        features.apic = on("apic", true)?.then(Apic::default);
        features.viridian = on("viridian", false)?;
        // Compat: xend's files say `hap = 0` where nobody asked for anything.
        let said = |hap: &bool| *hap || toolstack == Toolstack::Libxl;
        features.hap = config.boolean("hap")?.filter(said).map(state);
        timer(domain, TimerName::Hpet, config.boolean("hpet")?);
    }
    tsc(config, domain)?;
    let passthrough = config.string("passthrough")?;
    let mode = match passthrough {
        Some("share_pt" | "sync_pt") => passthrough,
        _ => None,
    };
    let state_of = |word: &str| (word != "disabled" && word != "0").into();
    let xen = Xen {
        e820_host: config.boolean("e820_host")?.filter(|on| *on).map(state),
        passthrough: passthrough
            .map(|word| XenPassthrough { state: state_of(word), mode: mode.map(str::to_owned) }),
    };
    if xen != Xen::default() {
        domain.features.xen = Some(xen);
    }
    Ok(())
}

fn state(on: bool) -> State {
    State { state: OnOff::from(on) }
}

fn timer(domain: &mut Domain, name: TimerName, present: Option<bool>) {
    if let Some(present) = present {
        let present = Some(YesNo::from(present));
        domain.clock.timers.push(Timer { name, present, ..Timer::default() });
    }
}

fn tsc(config: &Config, domain: &mut Domain) -> Result<()> {
    // Compat: xend knew the modes by number.
    let number = config.signed("tsc_mode").ok().flatten().map(|number| number.to_string());
    let word = match &number {
        Some(number) => Some(number.as_str()),
        None => config.string("tsc_mode")?,
    };
    let mode = match word {
        Some("always_emulate" | "1") => TimerMode::Emulate,
        Some("native" | "2") => TimerMode::Native,
        Some("native_paravirt" | "3") => TimerMode::Paravirt,
        _ => return Ok(()),
    };
    domain.clock.timers.push(Timer {
        name: TimerName::Tsc,
        present: Some(YesNo::Yes),
        mode: Some(mode),
        ..Timer::default()
    });
    Ok(())
}

fn clock(config: &Config, kind: Kind, domain: &mut Domain) -> Result<()> {
    let local = config.boolean("localtime")?.unwrap_or(false);
    let offset_s = config.signed("rtc_timeoffset")?.unwrap_or(0);
    set_clock(domain, kind, local, offset_s);
    Ok(())
}

/// A full guest's clock runs from where it was set; a paravirtual one's is the host's.
pub(crate) fn set_clock(domain: &mut Domain, kind: Kind, local: bool, offset_s: i64) {
    let clock = &mut domain.clock;
    if kind == Kind::Hvm {
        clock.offset = Offset::Variable;
        clock.adjustment = Some(offset_s.to_string());
        clock.basis = Some(if local { Basis::Localtime } else { Basis::Utc });
    } else {
        clock.offset = if local { Offset::Localtime } else { Offset::Utc };
        clock.adjustment = Some("reset".to_owned());
    }
}

fn disks(config: &Config, format: Format, kind: Kind, domain: &mut Domain) -> Result<()> {
    let hvm = kind == Kind::Hvm;
    for line in config.strings("disk")? {
        let disk = match format {
            Format::Xl => xl_disk::parse(line, hvm)?,
            _ => xm_disk::parse(line, hvm)?,
        };
        domain.devices.add(Device::Disk(Box::new(disk)));
    }
    if format != Format::Xl
        && hvm
        && let Some(path) = config.text("cdrom")?
    {
        // xend before 3.0.3 had a key for the CD.
        let mut disk = xm_disk::build(Some(&format!("file:{path}")), "hdc:cdrom", true)?;
        disk.readonly = true;
        domain.devices.add(Device::Disk(Box::new(disk)));
    }
    for name in xm_disk::FLOPPIES.iter().filter(|_| hvm && format != Format::Xl) {
        if let Some(path) = config.text(name)?.filter(|path| !path.is_empty()) {
            domain.devices.add(Device::Disk(Box::new(xm_disk::floppy(name, &path)?)));
        }
    }
    Ok(())
}

fn ports(config: &Config, kind: Kind, domain: &mut Domain) -> Result<()> {
    if kind != Kind::Hvm {
        return Ok(());
    }
    if let Some(source) = chardev::parse(config.string("parallel")?.unwrap_or("none"))? {
        domain.devices.parallels.push(Parallel { source, ..Parallel::default() });
    }
    serials(&config.strings("serial")?, domain)
}

/// A list's places are the ports' numbers; `none` leaves one out.
pub(crate) fn serials(words: &[&str], domain: &mut Domain) -> Result<()> {
    for (port, word) in (0..).zip(words.iter().take(PORTS_MAX)) {
        if let Some(source) = chardev::parse(word)? {
            let mut serial = Serial { source, ..Serial::default() };
            serial.target.port = Some(port);
            domain.devices.serials.push(serial);
        }
    }
    Ok(())
}

fn inputs(config: &Config, kind: Kind, domain: &mut Domain) -> Result<()> {
    if kind == Kind::Hvm && config.boolean("usb")?.unwrap_or(true) {
        usb_inputs(config.strings("usbdevice")?, domain);
    }
    Ok(())
}

/// Input devices on USB; what is none is passed over.
pub(crate) fn usb_inputs<'a>(words: impl IntoIterator<Item = &'a str>, domain: &mut Domain) {
    for word in words {
        let kind = match word {
            "tablet" => InputType::Tablet,
            "mouse" => InputType::Mouse,
            "keyboard" => InputType::Keyboard,
            _ => continue,
        };
        let bus = Some(InputBus::Usb);
        domain.devices.inputs.push(Input { kind, bus, ..Input::default() });
    }
}

fn displays(config: &Config, kind: Kind, domain: &mut Domain) -> Result<()> {
    let mut display = None;
    // Compat: paravirtual guests had the keys of full ones before Xen 3.0.4.
    if kind != Kind::Hvm {
        display = config.strings("vfb")?.first().map(|line| Display::parse(line)).transpose()?;
    }
    let display = match display.flatten() {
        None => Display::read(config)?,
        display => display,
    };
    domain.devices.graphics.extend(display.map(|display| display.graphics(false)));
    Ok(())
}

/// Sound cards by name; `all` is both that xend knew.
pub(crate) fn sounds(text: &str, domain: &mut Domain) {
    let text = if text == "all" { "sb16,es1370" } else { text };
    let models = text.split(',').filter_map(|word| SoundModel::from_word(word.trim()));
    let sounds = models.map(|model| Sound { model, ..Sound::default() });
    domain.devices.sounds.extend(sounds);
}
