//! A domain as libxl's JSON: what `xl -N create` prints and the tool stack's library takes.
//!
//! Members that hold their default are left out, as libxl does; truth values are words to it.

mod devices;

use serde_json::{Map, Value, json};
use virt_cpu::{Place, Register, Tables};
use virt_error::{Code, Error, Origin, Result};
use virt_model::YesNo;
use virt_model::domain::clock::{TimerMode, TimerName};
use virt_model::domain::cpu::{Mode, Policy};
use virt_model::domain::features::HypervMode;
use virt_model::domain::graphics::VideoType;
use virt_model::domain::{Domain, LifecycleAction};

use crate::formats::{Kind, boot, chardev, cpu, write};

/// Limit: the most virtual CPUs that any release of Xen gives a guest.
const VCPUS_MAX: u32 = 4096;
/// The boot loader that paravirtual guests without kernel or loader get.
const BOOTLOADER: &str = "pygrub";

/// What a configuration takes from its host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment {
    /// What libxl asks for a guest of that size, for shadow page tables.
    pub shadow_kib: Option<u64>,
    /// The port for a display that may have any; VNC's first where `None`.
    pub vnc_port: Option<i32>,
}

/// Members of an object, none of them a default.
#[derive(Debug, Default)]
struct Members(Map<String, Value>);

impl Members {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn some<T: Into<Value>>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        self.some(key, (value != 0).then_some(value));
    }

    /// libxl's default truth value is neither.
    fn truth(&mut self, key: &str, value: impl Into<Option<bool>>) {
        self.some(key, value.into().map(|on| if on { "True" } else { "False" }));
    }

    fn list(&mut self, key: &str, values: Vec<Value>) {
        if !values.is_empty() {
            self.set(key, values);
        }
    }
}

impl From<Members> for Value {
    fn from(members: Members) -> Self {
        Self::Object(members.0)
    }
}

/// The configuration of a domain.
pub fn config(domain: &Domain, environment: Environment) -> Result<Value> {
    let kind = Kind::of(domain);
    let mut all = Members::default();
    let mut create = Members::default();
    create.set(
        "type",
        match kind {
            Kind::Pv => "pv",
            Kind::Hvm => "hvm",
            Kind::Pvh => "pvh",
        },
    );
    create.truth("hap", domain.features.hap.as_ref().map(|hap| hap.is_on()));
    create.set("name", domain.name.as_str());
    create.some("uuid", domain.uuid.map(|uuid| uuid.to_string()));
    all.set("c_info", create);
    all.set("b_info", build(domain, kind, environment)?);
    devices::add(domain, kind, environment, &mut all)?;
    for (key, action) in [
        ("on_poweroff", domain.on_poweroff),
        ("on_reboot", domain.on_reboot),
        ("on_crash", domain.on_crash),
    ] {
        all.some(key, action.and_then(action_word));
    }
    Ok(all.into())
}

fn action_word(action: LifecycleAction) -> Option<&'static str> {
    match action {
        LifecycleAction::Destroy => None,
        LifecycleAction::Restart => Some("restart"),
        LifecycleAction::RenameRestart => Some("rename_restart"),
        LifecycleAction::Preserve => Some("preserve"),
        LifecycleAction::CoredumpDestroy => Some("coredump_destroy"),
        LifecycleAction::CoredumpRestart => Some("coredump_restart"),
    }
}

fn build(domain: &Domain, kind: Kind, environment: Environment) -> Result<Members> {
    let count = domain.vcpu.count;
    if count > VCPUS_MAX {
        let detail = format!("more than {VCPUS_MAX} virtual CPUs");
        return Err(Error::new(Code::ConfigUnsupported, Origin::Xenxl, detail));
    }
    let mut info = Members::default();
    info.set("max_vcpus", count);
    let online = 0..domain.vcpu.current.unwrap_or(count).min(count);
    info.set("avail_vcpus", online.collect::<Vec<_>>());
    info.list("vnuma_nodes", vnuma(domain));
    info.some("tsc_mode", tsc_mode(domain));
    info.set("max_memkb", domain.memory.kib);
    info.set("target_memkb", domain.current_memory_kib());
    let video = domain.devices.videos.first().map(|video| &video.model);
    let video_kib = video.filter(|_| kind == Kind::Hvm).and_then(|model| model.vram_kib);
    info.number("video_memkb", video_kib.unwrap_or(0).into());
    info.some("shadow_memkb", environment.shadow_kib);
    info.number("rtc_timeoffset", u64::try_from(write::offset_s(&domain.clock)).unwrap_or(0));
    info.truth("localtime", write::is_local(&domain.clock).then_some(true));
    let xenbus = domain.devices.controllers.iter().find(|c| c.max_grant_frames.is_some());
    info.some("max_grant_frames", xenbus.and_then(|controller| controller.max_grant_frames));
    let xenbus = domain.devices.controllers.iter().find(|c| c.max_event_channels.is_some());
    info.some("event_channels", xenbus.and_then(|controller| controller.max_event_channels));
    let mut schedule = Members::default();
    schedule.some("weight", domain.cputune.shares);
    info.set("sched_params", schedule);
    info.set("arch_arm", json!({}));
    match kind {
        Kind::Hvm => full(domain, &mut info, environment)?,
        Kind::Pv => {
            let pv = paravirtual(domain, &mut info);
            info.set("type.pv", pv);
        }
        Kind::Pvh => {
            kernel(domain, &mut info);
            info.set("type.pvh", json!({}));
        }
    }
    let host = domain.features.xen.as_ref().and_then(|xen| xen.e820_host.as_ref());
    info.truth("e820_host", host.map(|host| host.is_on()));
    Ok(info)
}

fn kernel(domain: &Domain, info: &mut Members) {
    info.some("kernel", domain.os.kernel.as_deref());
    info.some("ramdisk", domain.os.initrd.as_deref());
    info.some("cmdline", domain.os.cmdline.as_deref());
}

fn paravirtual(domain: &Domain, info: &mut Members) -> Members {
    let mut pv = Members::default();
    if domain.os.kernel.is_some() {
        kernel(domain, info);
    }
    let loader = domain.bootloader.as_deref();
    pv.some("bootloader", loader.or(domain.os.kernel.is_none().then_some(BOOTLOADER)));
    let words = domain.bootloader_args.as_deref().unwrap_or_default().split_whitespace();
    pv.list("bootloader_args", words.map(Value::from).collect());
    pv
}

fn tsc_mode(domain: &Domain) -> Option<&'static str> {
    let tsc = domain.clock.timers.iter().find(|timer| timer.name == TimerName::Tsc)?;
    match tsc.mode? {
        TimerMode::Native => Some("native"),
        TimerMode::Paravirt => Some("native_paravirt"),
        TimerMode::Emulate => Some("always_emulate"),
        _ => None,
    }
}

fn vnuma(domain: &Domain) -> Vec<Value> {
    let Some(numa) = domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref()) else {
        return Vec::new();
    };
    let node = |(at, cell): (usize, &virt_model::domain::cpu::Cell)| {
        let mut node = Members::default();
        node.set("memkb", cell.memory_kib);
        node.set("distances", cpu::distances(numa, at));
        node.number("pnode", at as u64);
        let vcpus = cell.cpus.iter().flat_map(|cpus| cpus.iter());
        node.list("vcpus", vcpus.map(Value::from).collect());
        node.into()
    };
    numa.cells.iter().enumerate().map(node).collect()
}

fn full(domain: &Domain, info: &mut Members, environment: Environment) -> Result<()> {
    let features = &domain.features;
    info.truth("apic", features.apic.is_some());
    info.truth("acpi", features.acpi);
    if let Some(emulator) = &domain.devices.emulator {
        info.set("device_model_version", "qemu_xen");
        info.set("device_model", emulator.as_str());
    }
    processor(domain, info)?;
    kernel(domain, info);
    let arguments = crate::formats::xl::arguments(domain);
    info.list("extra_hvm", arguments.into_iter().map(Value::from).collect());
    let mut hvm = Members::default();
    if boot::is_uefi(&domain.os) {
        hvm.set("bios", "ovmf");
    }
    hvm.truth("pae", features.pae);
    hvm.truth("viridian", features.viridian.then_some(true));
    if features.hyperv.as_ref().is_some_and(|found| found.mode == HypervMode::Passthrough) {
        hvm.set("viridian_enable", (0..64).collect::<Vec<u32>>());
    }
    let hpet = domain.clock.timers.iter().find(|timer| timer.name == TimerName::Hpet);
    hvm.truth("hpet", hpet.map(|timer| timer.present != Some(YesNo::No)));
    screen(domain, &mut hvm, environment);
    let mut serials = write::serial_words(domain)?;
    match serials.len() {
        0 => {}
        1 => hvm.set("serial", serials.remove(0)),
        _ => hvm.set("serial_list", serials),
    }
    if let Some(parallel) = domain.devices.parallels.first() {
        hvm.set("parallel", chardev::print(&parallel.source)?);
    }
    hvm.set("boot", boot::letters(&domain.os.boot));
    let inputs = write::usb_inputs(domain).map(|input| Value::from(input.kind.as_str()));
    hvm.list("usbdevice_list", inputs.collect());
    let sounds: Vec<&str> =
        domain.devices.sounds.iter().map(|sound| sound.model.as_str()).collect();
    hvm.some("soundhw", (!sounds.is_empty()).then(|| sounds.join(",")));
    hvm.set("rdm", json!({}));
    info.set("type.hvm", hvm);
    Ok(())
}

/// What is shown to a full guest's user.
fn screen(domain: &Domain, hvm: &mut Members, environment: Environment) {
    let devices = &domain.devices;
    let video = devices.videos.first().map(|video| video.model.kind);
    if devices.graphics.is_empty() {
        hvm.truth("nographic", true);
    }
    let kind = match video {
        Some(VideoType::Vga | VideoType::Xen) => "std",
        Some(VideoType::Cirrus) => "cirrus",
        Some(VideoType::Qxl) => "qxl",
        _ => "none",
    };
    hvm.set("vga", json!({ "kind": kind }));
    let displays = devices::Displays::of(devices.graphics.first(), environment);
    hvm.set("vnc", displays.vnc);
    hvm.set("sdl", displays.sdl);
    hvm.set("spice", displays.spice);
}

fn processor(domain: &Domain, info: &mut Members) -> Result<()> {
    let Some(model) = &domain.cpu else { return Ok(()) };
    match model.mode {
        Some(Mode::HostPassthrough) => {}
        None if model.model.is_none() && model.features.is_empty() => {}
        mode => return Err(cpu::unsupported_mode(mode.unwrap_or_default())),
    }
    info.truth("nested_hvm", cpu::nested(domain));
    let mut leaves: Vec<(u32, Option<u32>, Members)> = Vec::new();
    for feature in model.features.iter().filter(|feature| !cpu::is_nested(feature)) {
        let value = match feature.policy {
            Some(Policy::Disable | Policy::Forbid) => '0',
            Some(Policy::Optional) => 'x',
            _ => '1',
        };
        let tables = Tables::x86();
        let known = tables.row(&feature.name).and_then(|row| tables.feature(row));
        let Some((Place::Cpuid { leaf, subleaf, register }, bit)) =
            known.map(|known| (known.place, known.bit))
        else {
            let detail = format!("unsupported CPU feature '{}'", feature.name);
            return Err(Error::new(Code::ConfigUnsupported, Origin::Xenxl, detail));
        };
        let subleaf = (leaf == 7 || leaf == 13).then_some(subleaf);
        let at = match leaves.iter().position(|(l, s, _)| (*l, *s) == (leaf, subleaf)) {
            Some(at) => at,
            None => {
                leaves.push((leaf, subleaf, Members::default()));
                leaves.len() - 1
            }
        };
        if let Some((_, _, members)) = leaves.get_mut(at) {
            set_bit(members, register, bit, value);
        }
    }
    let leaf = |(leaf, subleaf, mut members): (u32, Option<u32>, Members)| {
        members.set("leaf", leaf);
        members.some("subleaf", subleaf);
        members.into()
    };
    info.list("cpuid", leaves.into_iter().map(leaf).collect());
    Ok(())
}

/// A register is 32 letters, the highest bit first; `x` leaves a bit to the host.
fn set_bit(members: &mut Members, register: Register, bit: u8, value: char) {
    let key = match register {
        Register::Eax => "eax",
        Register::Ebx => "ebx",
        Register::Ecx => "ecx",
        Register::Edx => "edx",
    };
    let now = members.0.get(key).and_then(Value::as_str).map(str::to_owned);
    let now = now.unwrap_or_else(|| "x".repeat(32));
    let wanted = 31_usize.saturating_sub(usize::from(bit));
    let letters = now.chars().enumerate().map(|(at, c)| if at == wanted { value } else { c });
    members.set(key, letters.collect::<String>());
}
