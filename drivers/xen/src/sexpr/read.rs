//! From xend's description of a guest to a domain.

use std::collections::BTreeSet;

use virt_error::{Code, Error, Origin, Result};
use virt_model::YesNo;
use virt_model::domain::address::Pci;
use virt_model::domain::boot::{OsKind, OsType};
use virt_model::domain::chardev::Parallel;
use virt_model::domain::clock::{Timer, TimerName};
use virt_model::domain::features::{Apic, State};
use virt_model::domain::interface::InterfaceTarget;
use virt_model::domain::{Device, Domain, LifecycleAction, VirtType};
use virt_model::{NumberSet, OnOff, Text};
use virt_types::Uuid;

use super::tree::Sexpr;
use crate::channels::VCPUS_MAX;
use crate::formats::display::Display;
use crate::formats::vif::Vif;
use crate::formats::{
    Kind, affinity, boot, chardev, hint, label, pci, serials, set_clock, sounds, usb_inputs,
    xm_disk,
};

const KIB_PER_MIB: u64 = 1024;
/// What a domain has that nobody gave another share.
const WEIGHT: u64 = 256;

/// Reads a `(domain ...)` or `(vm ...)` that has not been completed yet.
pub(crate) fn domain(text: &str) -> Result<Domain> {
    let root = Sexpr::parse(text).map_err(|error| {
        Error::internal(Origin::Sexpr, format!("failed to parse S-expression: {error}"))
            .with_hint(error.help())
    })?;
    from_tree(&root).map_err(|error| explained(error, text))
}

/// An error with the place of what it quotes or names.
fn explained(error: Error, text: &str) -> Error {
    if error.hint().is_some() {
        return error;
    }
    let message = hint::message(&error);
    let mut named = hint::quoted(&message).chain(hint::words(&message));
    match named.find_map(|word| hint::find(text, word)) {
        Some(at) => {
            let hint = format!("{}: this cannot be read", hint::place(text, at));
            error.with_hint(hint)
        }
        None => error,
    }
}

fn from_tree(root: &Sexpr) -> Result<Domain> {
    if !matches!(root.name(), Some("domain" | "vm")) {
        return incomplete("no domain", "expected (domain (name ...) (memory ...) ...)");
    }
    let mut domain = Domain { virt_type: VirtType::Xen, ..Domain::default() };
    identity(root, &mut domain)?;
    let empty = Sexpr::List(Vec::new());
    let image = root.get("image").unwrap_or(&empty);
    let (kind, image) = match image.get("hvm") {
        Some(hvm) => (Kind::Hvm, hvm),
        None => (Kind::Pv, image.get("linux").unwrap_or(&empty)),
    };
    boots(root, kind, image, &mut domain);
    amounts(root, &mut domain)?;
    lifecycle(root, &mut domain)?;
    if kind == Kind::Hvm {
        features(image, &mut domain)?;
        domain.devices.emulator = image.value("device_model").map(str::to_owned);
    }
    let local = flag(root, "localtime")?.or(flag(image, "localtime")?).unwrap_or(false);
    set_clock(&mut domain, kind, local, number(image, "rtc_timeoffset")?.unwrap_or(0));
    devices(root, kind, image, &mut domain)?;
    ports(kind, image, &mut domain)?;
    Ok(domain)
}

fn incomplete<T>(what: &str, help: impl Into<String>) -> Result<T> {
    let detail = format!("domain information incomplete, {what}");
    Err(Error::internal(Origin::Sexpr, detail).with_hint(help))
}

/// What to write where a list is missing.
fn missing(tree: &Sexpr, name: &str) -> String {
    let inside = tree.name().unwrap_or_default();
    match hint::missing(name, tree.items().iter().filter_map(Sexpr::name)) {
        Some(near) => format!("in ({inside} ...): did you mean ({name} ...) by ({near} ...)?"),
        None => format!("in ({inside} ...): expected ({name} ...)"),
    }
}

/// A number; xend writes some of them with a fraction.
fn number(tree: &Sexpr, name: &str) -> Result<Option<i64>> {
    let Some(text) = tree.value(name) else { return Ok(None) };
    match text.split('.').next().unwrap_or_default().parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => {
            let detail = format!("malformed number '{text}' of {name}");
            Err(Error::internal(Origin::Sexpr, detail))
        }
    }
}

fn unsigned<T: TryFrom<i64>>(tree: &Sexpr, name: &str) -> Result<Option<T>> {
    let Some(number) = number(tree, name)? else { return Ok(None) };
    match T::try_from(number) {
        Ok(number) => Ok(Some(number)),
        Err(_) => {
            let detail = format!("number {number} of {name} is out of range");
            Err(Error::internal(Origin::Sexpr, detail))
        }
    }
}

fn flag(tree: &Sexpr, name: &str) -> Result<Option<bool>> {
    Ok(number(tree, name)?.map(|number| number != 0))
}

fn identity(root: &Sexpr, domain: &mut Domain) -> Result<()> {
    domain.id = unsigned::<i32>(root, "domid")?;
    let Some(name) = root.value("name") else {
        return incomplete("missing name", missing(root, "name"));
    };
    domain.name = name.to_owned();
    if let Some(text) = root.value("uuid") {
        domain.uuid = Uuid::parse(text);
        if domain.uuid.is_none() {
            let detail = format!("malformed uuid '{text}'");
            return Err(Error::new(Code::InternalError, Origin::Sexpr, detail));
        }
    }
    match unsigned::<u32>(root, "ssidref")? {
        None | Some(0) => {}
        Some(number) => label::set(domain, number.to_string()),
    }
    domain.title = root.value("title").map(str::to_owned);
    domain.description = root.value("description").map(str::to_owned);
    Ok(())
}

fn boots(root: &Sexpr, kind: Kind, image: &Sexpr, domain: &mut Domain) {
    let text = |name: &str| image.value(name).map(str::to_owned);
    let os = &mut domain.os;
    let of = if kind == Kind::Hvm { OsType::Hvm } else { OsType::Linux };
    os.kind = OsKind { kind: Some(of), machine: Some(kind.machine().to_owned()), arch: None };
    os.initrd = text("ramdisk");
    os.cmdline = text("args");
    if kind == Kind::Hvm {
        match text("loader") {
            Some(loader) => (os.loader, os.kernel) = (Some(boot::rom(loader)), text("kernel")),
            None => os.loader = text("kernel").map(boot::rom),
        }
        if os.kernel.is_none() {
            os.boot = boot::order(image.value("boot").unwrap_or("c"));
        }
        return;
    }
    os.kernel = text("kernel");
    if let Some(root) = image.value("root") {
        let rest = os.cmdline.take().unwrap_or_default();
        os.cmdline = Some(format!("root={root} {rest}").trim_end().to_owned());
    }
    domain.bootloader = root.value("bootloader").map(str::to_owned);
    domain.bootloader_args = root.value("bootloader_args").map(str::to_owned);
}

fn amounts(root: &Sexpr, domain: &mut Domain) -> Result<()> {
    let kib = |name: &str| -> Result<Option<u64>> {
        let mib: Option<u64> = unsigned(root, name)?;
        Ok(mib.map(|mib| mib.saturating_mul(KIB_PER_MIB)))
    };
    let current = kib("memory")?;
    let Some(most) = kib("maxmem")?.or(current) else {
        return incomplete("missing memory", missing(root, "memory"));
    };
    domain.memory.kib = most.max(current.unwrap_or(0));
    domain.current_memory_kib = current;
    domain.vcpu.count = unsigned(root, "vcpus")?.unwrap_or(1).max(1);
    if let Some(mask) = unsigned::<u64>(root, "vcpu_avail")? {
        let online = mask.count_ones();
        domain.vcpu.current = (0 < online && online < domain.vcpu.count).then_some(online);
    }
    if let Some(cpus) = root.get("cpus") {
        places(cpus, domain);
    }
    // Compat: what the schedulers before `credit` had is a fraction, and no share.
    let weight = root.value("cpu_weight").and_then(|text| text.parse().ok());
    domain.cputune.shares = weight.filter(|weight| *weight != WEIGHT);
    Ok(())
}

/// `(cpus 1-3)` is for all virtual processors, `(cpus ((0 1) ()))` has a list for each.
fn places(cpus: &Sexpr, domain: &mut Domain) {
    // Limit: a word of few letters is a range of thousands, so ranges are joined and never listed; and there
    // are no more words in all than there are numbers.
    let mut left = NumberSet::LEN_MAX;
    let mut join = |tree: &Sexpr| {
        let mut words = BTreeSet::new();
        atoms(tree, &mut words);
        let count = words.len().min(left);
        left = left.saturating_sub(count);
        let sets = words.into_iter().take(count).filter_map(NumberSet::parse);
        sets.fold(NumberSet::default(), |all, set| all.union(&set))
    };
    let each = cpus.items().get(1).map(Sexpr::items).unwrap_or_default();
    if each.iter().any(|item| matches!(item, Sexpr::List(_))) {
        let count = domain.vcpu.count.min(VCPUS_MAX) as usize;
        affinity::set(domain, each.iter().take(count).map(join).collect());
    } else {
        domain.vcpu.cpuset = Some(join(cpus)).filter(|set| !set.is_empty());
    }
}

/// The words of a list and of all lists in it, each once.
fn atoms<'a>(tree: &'a Sexpr, words: &mut BTreeSet<&'a str>) {
    match tree {
        Sexpr::Atom(text) => drop(words.insert(text)),
        Sexpr::List(items) => items.iter().for_each(|item| atoms(item, words)),
    }
}

fn lifecycle(root: &Sexpr, domain: &mut Domain) -> Result<()> {
    let action = |name: &str, default| match root.value(name) {
        None => Ok(Some(default)),
        Some(word) => match LifecycleAction::from_word(&word.replace('_', "-")) {
            Some(action) => Ok(Some(action)),
            None => {
                let detail = format!("unknown lifecycle type {word}");
                Err(Error::internal(Origin::Sexpr, detail))
            }
        },
    };
    domain.on_poweroff = action("on_poweroff", LifecycleAction::Destroy)?;
    domain.on_reboot = action("on_reboot", LifecycleAction::Restart)?;
    domain.on_crash = action("on_crash", LifecycleAction::Restart)?;
    Ok(())
}

fn features(image: &Sexpr, domain: &mut Domain) -> Result<()> {
    let on = |name: &str| Ok::<_, Error>(flag(image, name)?.unwrap_or(false));
    let features = &mut domain.features;
    features.acpi = on("acpi")?;
    features.apic = on("apic")?.then(Apic::default);
    features.pae = on("pae")?;
    features.hap = on("hap")?.then_some(State { state: OnOff::On });
    features.viridian = on("viridian")?;
    if on("hpet")? {
        let name = TimerName::Hpet;
        let present = Some(YesNo::Yes);
        domain.clock.timers.push(Timer { name, present, ..Timer::default() });
    }
    Ok(())
}

fn devices(root: &Sexpr, kind: Kind, image: &Sexpr, domain: &mut Domain) -> Result<()> {
    let hvm = kind == Kind::Hvm;
    let mut display = None;
    for device in root.all("device") {
        let Some(body) = device.items().get(1) else { continue };
        match body.name() {
            Some("vbd" | "tap" | "tap2") => disk(body, hvm, domain)?,
            Some("vif") => interface(body, domain)?,
            Some("vfb") => display = Some(vfb(body)?),
            Some("pci") => passed(body, domain)?,
            _ => {}
        }
    }
    if hvm && let Some(path) = image.value("cdrom") {
        // xend before 3.0.3 had the CD in the image.
        let uname = format!("file:{path}");
        let mut disk = xm_disk::build(Some(&uname), "hdc:cdrom", true)?;
        disk.readonly = true;
        if domain.devices.disks.iter().all(|found| found.target.dev != disk.target.dev) {
            domain.devices.add(Device::Disk(Box::new(disk)));
        }
    }
    for name in xm_disk::FLOPPIES.iter().filter(|_| hvm) {
        if let Some(path) = image.value(name).filter(|path| !path.is_empty()) {
            domain.devices.add(Device::Disk(Box::new(xm_disk::floppy(name, path)?)));
        }
    }
    let shown = flag(image, "vnc")? == Some(true) || flag(image, "sdl")? == Some(true);
    if display.is_none() && shown {
        display = Some(vfb(image)?);
    }
    let live = domain.id.is_some();
    domain.devices.graphics.extend(display.map(|display| display.graphics(live)));
    if hvm {
        sounds(image.value("soundhw").unwrap_or_default(), domain);
        usb_inputs(image.value("usbdevice"), domain);
    }
    Ok(())
}

fn disk(body: &Sexpr, hvm: bool, domain: &mut Domain) -> Result<()> {
    let Some(dev) = body.value("dev") else {
        return incomplete("vbd has no dev", missing(body, "dev"));
    };
    let mut disk = xm_disk::build(body.value("uname"), dev, hvm)?;
    xm_disk::set_mode(&mut disk, body.value("mode").unwrap_or("w"));
    domain.devices.add(Device::Disk(Box::new(disk)));
    Ok(())
}

fn interface(body: &Sexpr, domain: &mut Domain) -> Result<()> {
    let vif = Vif {
        mac: body.value("mac"),
        bridge: body.value("bridge"),
        script: body.value("script"),
        ip: body.value("ip"),
        model: body.value("model"),
        kind: body.value("type"),
        name: body.value("vifname"),
        rate: body.value("rate"),
        // Domain 0 is where interfaces are served from unless another is named.
        backend: body.value("backend").filter(|backend| *backend != "0"),
    };
    let mut interface = vif.interface()?;
    if interface.target.is_none()
        && let Some(id) = domain.id
    {
        let dev = Some(format!("vif{id}.{}", domain.devices.interfaces.len()));
        interface.target = Some(InterfaceTarget { dev, managed: None });
    }
    domain.devices.interfaces.push(interface);
    Ok(())
}

fn vfb(body: &Sexpr) -> Result<Display> {
    let owned = |name: &str| body.value(name).map(str::to_owned);
    let sdl = body.value("type") == Some("sdl")
        || flag(body, "sdl")? == Some(true) && flag(body, "vnc")? != Some(true);
    let number = number(body, "vncdisplay")?;
    Ok(Display {
        sdl,
        unused: flag(body, "vncunused")?,
        number,
        listen: owned("vnclisten"),
        password: owned("vncpasswd"),
        keymap: owned("keymap"),
        display: owned("display"),
        xauthority: owned("xauthority"),
    })
}

fn passed(body: &Sexpr, domain: &mut Domain) -> Result<()> {
    for dev in body.all("dev") {
        let hex = |name: &str| -> Result<u32> {
            let text = dev.value(name).unwrap_or("0");
            let digits = text.trim_start_matches("0x");
            u32::from_str_radix(digits, 16).map_err(|_| {
                Error::internal(Origin::Sexpr, format!("cannot parse PCI {name} '{text}'"))
            })
        };
        let at = Pci {
            domain: hex("domain")?,
            bus: hex("bus")?,
            slot: hex("slot")?,
            function: hex("func")?,
            ..Pci::default()
        };
        domain.devices.hostdevs.push(pci::device(at, false));
    }
    Ok(())
}

fn ports(kind: Kind, image: &Sexpr, domain: &mut Domain) -> Result<()> {
    if kind != Kind::Hvm {
        return Ok(());
    }
    if let Some(source) = chardev::parse(image.value("parallel").unwrap_or("none"))? {
        domain.devices.parallels.push(Parallel { source, ..Parallel::default() });
    }
    let words: Vec<&str> = match image.get("serial").and_then(|serial| serial.items().get(1)) {
        None => Vec::new(),
        Some(Sexpr::Atom(word)) => vec![word],
        Some(Sexpr::List(words)) => words.iter().filter_map(Sexpr::atom).collect(),
    };
    serials(&words, domain)
}
