//! Asking an emulator what it can do: one start, one round of questions.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use virt_error::{Error, Origin, Result};
use virt_host::{Signal, Spawn};

use super::{Capabilities, CpuModel, Machine};
use crate::dirs::host_error;
use crate::monitor::{Command, Monitor, MonitorError, Watch};

/// Limit: an emulator that needs longer than this to answer is taken for broken.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(30);

/// The types whose presence decides something.
#[rustfmt::skip]
pub(crate) const TYPES: &[&str] = &[
    "VGA", "virtio-vga", "virtio-gpu-pci", "qxl-vga", "qxl", "cirrus-vga", "vmware-svga",
    "bochs-display", "ramfb", "virtio-blk-pci", "virtio-scsi-pci", "virtio-net-pci",
    "virtio-balloon-pci", "virtio-rng-pci", "virtio-serial-pci", "rng-random", "rng-egd",
    "rng-builtin", "usb-tablet", "usb-mouse", "usb-kbd", "usb-storage", "usb-host", "usb-redir",
    "qemu-xhci", "nec-usb-xhci", "piix3-usb-uhci", "ich9-usb-ehci1", "ahci", "ich9-ahci", "lsi53c895a",
    "megasas", "pvscsi", "vfio-pci", "tpm-tis", "tpm-crb", "tpm-emulator", "tpm-passthrough",
    "intel-iommu", "virtio-iommu-pci", "vmgenid", "sev-guest", "vhost-user-fs-pci", "virtio-9p-pci",
    "memory-backend-memfd", "pcie-root-port", "isa-serial", "isa-parallel", "i6300esb", "ib700",
    "virtio-input-host-pci", "virtio-keyboard-pci", "virtio-mouse-pci", "virtio-tablet-pci",
    "chardev-spicevmc", "chardev-dbus", "chardev-qemu-vdagent", "pvpanic", "pvpanic-pci", "nvdimm",
    "hda-duplex", "hda-micro", "AC97", "ES1370", "sb16", "virtio-sound-pci", "e1000", "e1000e",
    "rtl8139",
];

/// Starts the emulator without a machine and asks.
pub(super) fn ask(emulator: &Path, watch: &Watch) -> Result<Capabilities> {
    let fail = |what: &dyn std::fmt::Display| {
        Error::internal(
            Origin::Qemu,
            format!("Failed to probe QEMU binary with QMP: {}: {what}", emulator.display()),
        )
    };
    let (ours, theirs) = UnixStream::pair().map_err(|error| fail(&error))?;
    let args = ["-S", "-no-user-config", "-nodefaults", "-nographic", "-machine", "none,accel=tcg"];
    let channel = ["-chardev", "socket,id=monitor,fd=0", "-mon", "chardev=monitor,mode=control"];
    let child = Spawn {
        program: emulator.to_owned(),
        args: args.iter().chain(&channel).map(OsString::from).collect(),
        env: vec![("LC_ALL".into(), "C".into())],
        stdin: Some(theirs.into()),
        output: File::options().write(true).open("/dev/null").map_err(|error| fail(&error))?,
        errors: None,
        user: None,
    }
    .start()
    .map_err(|error| host_error(&error))?;
    let process = Arc::new(child.pidfd);
    let monitor = Arc::new(Monitor::new(ours).map_err(|error| fail(&error))?);
    watch
        .add(Arc::clone(&monitor), Arc::clone(&process), Arc::new(|_| {}))
        .map_err(|error| fail(&error))?;
    let answer = questions(&monitor);
    // It may be gone already; the watching thread reaps it either way.
    let _ = process.signal(Signal::KILL);
    answer.map_err(|error| fail(&error))
}

fn questions(monitor: &Monitor) -> std::result::Result<Capabilities, MonitorError> {
    let version = monitor.greeting(PROBE_WAIT_MAX)?;
    let commands = [
        Command::new("qmp_capabilities"),
        Command::new("query-target"),
        Command::new("query-machines"),
        Command::new("query-cpu-definitions"),
        Command::with("qom-list-types", json!({ "abstract": false })),
    ];
    let names: Vec<&'static str> = commands.iter().map(|command| command.name).collect();
    let mut answers = monitor.run_all(&commands, PROBE_WAIT_MAX)?.into_iter().zip(names);
    let mut next = || {
        let (answer, command) =
            answers.next().ok_or(MonitorError::Odd { command: "query-target", what: "a reply" })?;
        answer.map_err(|error| MonitorError::Refused { command, error })
    };
    next()?;
    let arch = text(&next()?, "arch").unwrap_or_default();
    let machines = list(&next()?).iter().filter_map(machine).collect();
    let cpus = list(&next()?).iter().filter_map(cpu_model).collect();
    let types = list(&next()?)
        .iter()
        .filter_map(|kind| text(kind, "name"))
        .filter(|name| TYPES.contains(&name.as_str()))
        .collect();
    let x86 = matches!(arch.as_str(), "x86_64" | "i386");
    let (maximum, maximum_vendor) = if x86 { maximum(monitor)? } else { Default::default() };
    Ok(Capabilities {
        version: (version.major, version.minor, version.micro),
        package: version.package,
        arch,
        machines,
        cpus,
        maximum,
        maximum_vendor,
        types,
        kvm: None,
    })
}

/// What the best processor has that the emulator makes without help, and who is said to have made it.
fn maximum(monitor: &Monitor) -> std::result::Result<(Vec<String>, String), MonitorError> {
    let name = "query-cpu-model-expansion";
    let arguments = json!({ "type": "full", "model": { "name": "max" } });
    let answers = monitor.run_all(&[Command::with(name, arguments)], PROBE_WAIT_MAX)?;
    let Some(Ok(answer)) = answers.into_iter().next() else { return Ok(Default::default()) };
    let props = answer.pointer("/model/props").and_then(Value::as_object);
    let on = |(name, value): (&String, &Value)| (*value == json!(true)).then(|| name.clone());
    let features = props.into_iter().flatten().filter_map(on).collect();
    let vendor = answer.pointer("/model/props/vendor").and_then(Value::as_str);
    Ok((features, vendor.unwrap_or_default().to_owned()))
}

fn machine(value: &Value) -> Option<Machine> {
    let name = text(value, "name").filter(|name| name != "none")?;
    let number = value.get("cpu-max").and_then(Value::as_u64).unwrap_or(1);
    Some(Machine {
        name,
        alias: text(value, "alias"),
        max_cpus: u32::try_from(number).unwrap_or(u32::MAX),
        default: flag(value, "is-default"),
        deprecated: flag(value, "deprecated"),
        hotplug_cpus: flag(value, "hotpluggable-cpus"),
        default_cpu: text(value, "default-cpu-type"),
    })
}

fn cpu_model(value: &Value) -> Option<CpuModel> {
    let blockers = value.get("unavailable-features").and_then(Value::as_array);
    Some(CpuModel {
        name: text(value, "name")?,
        canonical: text(value, "alias-of"),
        deprecated: flag(value, "deprecated"),
        known: blockers.is_some(),
        blockers: blockers
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}
