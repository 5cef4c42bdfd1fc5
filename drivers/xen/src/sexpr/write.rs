//! From a domain to what xend takes: `(vm ...)`.

use std::fmt::{Display, Write as _};

use virt_error::{Error, Origin, Result};
use virt_model::domain::boot::OsType;
use virt_model::domain::clock::TimerName;
use virt_model::domain::disk::DiskDevice;
use virt_model::domain::graphics::{Graphics, GraphicsType};
use virt_model::domain::hostdev::Hostdev;
use virt_model::domain::{Device, Disk, Domain, Interface, LifecycleAction};
use virt_model::{NumberSet, Text, YesNo};

use super::tree::{Sexpr, quoted};
use crate::formats::display::{self, Field};
use crate::formats::vif::{self, VifStyle};
use crate::formats::xm_disk::{Words, floppies};
use crate::formats::{Kind, Toolstack, affinity, boot, chardev, label, pci, write};

const KIB_PER_MIB: u64 = 1024;

/// Prints a domain as xend is asked to make it.
pub(crate) fn domain(domain: &Domain, toolstack: Toolstack) -> Result<String> {
    let kind = Kind::of(domain);
    if kind == Kind::Pvh || domain.os.kind.kind == Some(OsType::Exe) {
        let detail = "xend knows paravirtual and full guests only";
        return Err(Error::new(virt_error::Code::ConfigUnsupported, Origin::Sexpr, detail));
    }
    let mut out = Out::new("(vm ", toolstack);
    general(domain, &mut out)?;
    image(domain, kind, &mut out)?;
    out.word("localtime", u8::from(write::is_local(&domain.clock)));
    devices(domain, kind, &mut out)?;
    out.text.push(')');
    Ok(out.text)
}

struct Out {
    text: String,
    config_format: u32,
}

impl Out {
    /// Nobody but xend reads this; it is for the newest of them where none is named.
    fn new(text: &str, toolstack: Toolstack) -> Self {
        let config_format = match toolstack {
            Toolstack::Xend { config_format } => config_format,
            Toolstack::Libxl => 4,
        };
        Self { text: text.to_owned(), config_format }
    }

    fn word(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "({name} {value})");
    }

    fn quoted(&mut self, name: &str, text: &str) {
        self.word(name, quoted(text));
    }

    fn some(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.quoted(name, text);
        }
    }
}

fn general(domain: &Domain, out: &mut Out) -> Result<()> {
    out.quoted("name", &domain.name);
    out.word("memory", domain.current_memory_kib().div_ceil(KIB_PER_MIB));
    out.word("maxmem", domain.memory.kib.div_ceil(KIB_PER_MIB));
    out.word("vcpus", domain.vcpu.count);
    if let Some(mask) = write::vcpu_mask(domain) {
        out.word("vcpu_avail", mask);
    }
    match (affinity::list(domain)?, &domain.vcpu.cpuset) {
        (Some(each), _) => out.word("cpus", places(&each)),
        (None, Some(cpus)) => out.quoted("cpus", &cpus.print()),
        (None, None) => {}
    }
    if let Some(shares) = domain.cputune.shares {
        out.word("cpu_weight", shares);
    }
    if let Some(number) = label::number(domain)? {
        out.word("ssidref", number);
    }
    if let Some(uuid) = domain.uuid {
        out.quoted("uuid", &uuid.to_string());
    }
    out.some("title", domain.title.as_deref());
    out.some("description", domain.description.as_deref());
    out.some("bootloader", domain.bootloader.as_deref());
    out.some("bootloader_args", domain.bootloader_args.as_deref());
    for (name, action) in [
        ("on_poweroff", domain.on_poweroff.unwrap_or(LifecycleAction::Destroy)),
        ("on_reboot", domain.on_reboot.unwrap_or(LifecycleAction::Restart)),
        ("on_crash", domain.on_crash.unwrap_or(LifecycleAction::Destroy)),
    ] {
        out.quoted(name, action.as_str());
    }
    Ok(())
}

/// The processors of each virtual processor, as xend lists them: nothing is anywhere.
fn places(each: &[Option<&NumberSet>]) -> Sexpr {
    let numbers = |set: &Option<&NumberSet>| {
        let numbers = set.iter().flat_map(|set| set.iter());
        Sexpr::List(numbers.map(|number| Sexpr::Atom(number.to_string())).collect())
    };
    Sexpr::List(each.iter().map(numbers).collect())
}

fn image(domain: &Domain, kind: Kind, out: &mut Out) -> Result<()> {
    let os = &domain.os;
    let loader = os.loader.as_ref().and_then(|loader| loader.path.as_deref());
    out.text.push_str(if kind == Kind::Hvm { "(image (hvm " } else { "(image (linux " });
    // Compat: a boot loader finds the kernel; what it found last time is gone.
    let kernel = os.kernel.as_deref().filter(|_| kind == Kind::Hvm || domain.bootloader.is_none());
    match (kernel, kind) {
        (Some(kernel), _) => {
            out.quoted("kernel", kernel);
            out.some("ramdisk", os.initrd.as_deref());
        }
        (None, Kind::Hvm) => out.some("kernel", loader),
        (None, _) => {}
    }
    out.some("args", os.cmdline.as_deref());
    if kind == Kind::Hvm {
        if os.kernel.is_some() {
            out.some("loader", loader);
        }
        hardware(domain, out)?;
    }
    // xend before 3.0.4 has displays of all guests here.
    let inside = kind == Kind::Hvm || out.config_format < write::FORMAT_3_0_4;
    if let Some(graphics) = domain.devices.graphics.first().filter(|_| inside) {
        display(graphics, out);
    }
    if kind == Kind::Hvm {
        out.word("rtc_timeoffset", write::offset_s(&domain.clock));
    }
    out.word("localtime", u8::from(write::is_local(&domain.clock)));
    out.text.push_str("))");
    Ok(())
}

fn hardware(domain: &Domain, out: &mut Out) -> Result<()> {
    let features = &domain.features;
    out.word("vcpus", domain.vcpu.count);
    if let Some(mask) = write::vcpu_mask(domain) {
        out.word("vcpu_avail", mask);
    }
    out.word("boot", boot::letters(&domain.os.boot));
    for (name, on) in [
        ("acpi", features.acpi),
        ("apic", features.apic.is_some()),
        ("pae", features.pae),
        ("hap", features.hap.as_ref().is_some_and(|hap| hap.is_on())),
        ("viridian", features.viridian),
    ] {
        if on {
            out.word(name, 1);
        }
    }
    if out.config_format < 2 {
        // xend before 3.0.3 has the CD here.
        let cds = domain.devices.disks.iter().filter(|disk| disk.device == DiskDevice::Cdrom);
        out.some("cdrom", cds.filter_map(Disk::path).next());
    }
    for (name, path) in floppies(&domain.devices.disks)? {
        out.some(name, path);
    }
    out.word("usb", 1);
    for input in write::usb_inputs(domain).take(1) {
        out.word("usbdevice", input.kind);
    }
    let parallel = domain.devices.parallels.first().map(|found| chardev::print(&found.source));
    let parallel = parallel.transpose()?;
    out.word("parallel", Sexpr::Atom(parallel.unwrap_or_else(|| "none".to_owned())));
    let mut serials = write::serial_words(domain)?;
    match serials.len() {
        0 => out.word("serial", "none"),
        1 => out.word("serial", Sexpr::Atom(serials.remove(0))),
        _ => {
            let serials = serials.into_iter().map(Sexpr::Atom).collect();
            out.word("serial", Sexpr::List(serials));
        }
    }
    let sounds: Vec<&str> =
        domain.devices.sounds.iter().map(|sound| sound.model.as_str()).collect();
    out.some("soundhw", Some(sounds.join(",").as_str()).filter(|text| !text.is_empty()));
    out.some("device_model", domain.devices.emulator.as_deref());
    let hpet = domain.clock.timers.iter().find(|timer| timer.name == TimerName::Hpet);
    if hpet.is_some_and(|timer| timer.present != Some(YesNo::No)) {
        out.word("hpet", 1);
    }
    Ok(())
}

fn display(graphics: &Graphics, out: &mut Out) {
    match graphics.kind {
        GraphicsType::Vnc => out.word("vnc", 1),
        GraphicsType::Sdl => out.word("sdl", 1),
        _ => return,
    }
    display_fields(graphics, out);
}

fn display_fields(graphics: &Graphics, out: &mut Out) {
    for (name, value) in display::fields(graphics) {
        match value {
            Field::Text(text) => out.quoted(name, &text),
            Field::Number(number) => out.word(name, number),
        }
    }
}

fn devices(domain: &Domain, kind: Kind, out: &mut Out) -> Result<()> {
    for disk in &domain.devices.disks {
        device_disk(disk, kind, out)?;
    }
    for interface in &domain.devices.interfaces {
        device_vif(interface, kind, out)?;
    }
    device_pci(&domain.devices.hostdevs, out);
    if kind == Kind::Pv && out.config_format >= write::FORMAT_3_0_4 {
        framebuffer(domain, out);
    }
    Ok(())
}

fn device_vif(interface: &Interface, kind: Kind, out: &mut Out) -> Result<()> {
    let ioemu = out.config_format <= write::FORMAT_3_0_4;
    let style = VifStyle { hvm: kind == Kind::Hvm, netfront: "netfront", ioemu };
    out.text.push_str("(device (vif ");
    for (name, value) in vif::fields(interface, style)? {
        match name {
            "type" => out.word(name, value),
            _ => out.quoted(name, &value),
        }
    }
    out.text.push_str("))");
    Ok(())
}

/// Prints one device of a domain as xend is asked to add or change it, `(vbd ...)`.
pub(crate) fn device(domain: &Domain, device: &Device, toolstack: Toolstack) -> Result<String> {
    let kind = Kind::of(domain);
    let mut out = Out::new("", toolstack);
    match device {
        Device::Disk(disk) => device_disk(disk, kind, &mut out)?,
        Device::Interface(interface) => device_vif(interface, kind, &mut out)?,
        Device::Hostdev(hostdev) => device_pci(std::slice::from_ref(hostdev), &mut out),
        _ => {}
    }
    let inner = out.text.strip_prefix("(device ").and_then(|text| text.strip_suffix(')'));
    inner.map(str::to_owned).ok_or_else(|| {
        let detail = format!("xend takes no device of type '{}' like this", device.tag());
        Error::new(virt_error::Code::ConfigUnsupported, Origin::Sexpr, detail)
    })
}

fn device_pci(hostdevs: &[Hostdev], out: &mut Out) {
    let passed: Vec<_> = hostdevs.iter().filter_map(pci::address).collect();
    if !passed.is_empty() {
        out.text.push_str("(device (pci ");
        for (at, _) in passed {
            let (segment, bus, slot, function) = (at.domain, at.bus, at.slot, at.function);
            out.text.push_str("(dev ");
            out.word("domain", format!("0x{segment:04x}"));
            out.word("bus", format!("0x{bus:02x}"));
            out.word("slot", format!("0x{slot:02x}"));
            out.word("func", format!("0x{function:x}"));
            out.text.push(')');
        }
        out.text.push_str("))");
    }
}

fn framebuffer(domain: &Domain, out: &mut Out) {
    let Some(graphics) = domain.devices.graphics.first() else { return };
    let kind = match graphics.kind {
        GraphicsType::Vnc => "vnc",
        GraphicsType::Sdl => "sdl",
        _ => return,
    };
    out.text.push_str("(device (vkbd))(device (vfb ");
    out.word("type", kind);
    display_fields(graphics, out);
    out.text.push_str("))");
}

fn device_disk(disk: &Disk, kind: Kind, out: &mut Out) -> Result<()> {
    let hvm = kind == Kind::Hvm;
    if hvm && disk.device == DiskDevice::Floppy {
        // The device model has it, in the image.
        return Ok(());
    }
    let Words { uname, name, device, mode } = Words::of(disk, hvm)?;
    // xend before 3.0.3 wants no suffix, and has the CD elsewhere.
    let suffixed = out.config_format >= 2;
    if hvm && !suffixed && device == DiskDevice::Cdrom {
        return Ok(());
    }
    let bus = match uname.split_once(':') {
        Some((prefix, _)) if prefix.starts_with("tap") => prefix,
        _ => "vbd",
    };
    let _ = write!(out.text, "(device ({bus} ");
    let suffix = match device {
        _ if !hvm || !suffixed => "",
        DiskDevice::Cdrom => ":cdrom",
        _ => ":disk",
    };
    out.quoted("dev", &format!("{name}{suffix}"));
    if !uname.is_empty() {
        out.quoted("uname", &uname);
    }
    out.quoted("mode", mode);
    out.text.push_str("))");
    Ok(())
}
