//! `<domainCapabilities>`: what a guest of one emulator and machine can be given by this driver.
//!
//! Only what the driver itself can do is said to be supported, whatever the emulator could.

use std::path::Path;

use virt_cpu::{Baseline, Tables};
use virt_error::{Code, Error, Origin, Result};
use virt_xml::Writer;

use crate::capabilities::{Capabilities, CpuModel};

/// Prints the document.
pub(super) fn document(
    capabilities: &Capabilities,
    emulator: &Path,
    arch: &str,
    machine: Option<&str>,
    virt_type: Option<&str>,
) -> Result<String> {
    let invalid = |detail: String| Error::new(Code::InvalidArg, Origin::Qemu, detail);
    let kvm = capabilities.kvm();
    let kind = virt_type.unwrap_or(if kvm { "kvm" } else { "qemu" });
    let fits = kind == "qemu" || kind == "kvm" && kvm;
    if !fits {
        let detail =
            format!("the accel '{kind}' is not supported by '{}' on this host", emulator.display());
        return Err(invalid(detail));
    }
    let found = match machine {
        Some(name) => capabilities.machine(name),
        None => capabilities.default_machine(),
    };
    let found = found.ok_or_else(|| {
        let name = machine.unwrap_or_default();
        invalid(format!(
            "the machine '{name}' is not supported by emulator '{}'",
            emulator.display()
        ))
    })?;
    let mut w = Writer::new();
    w.open("domainCapabilities");
    w.text_element("path", &emulator.to_string_lossy());
    w.text_element("domain", kind);
    w.text_element("machine", &found.name);
    w.text_element("arch", arch);
    w.open("vcpu");
    w.attr("max", &found.max_cpus.to_string());
    w.close("vcpu");
    supported(&mut w, "iothreads", false, |_| {});
    supported(&mut w, "os", true, |w| {
        choice(w, "firmware", &[]);
        supported(w, "loader", true, |w| {
            choice(w, "type", &["rom"]);
            choice(w, "readonly", &["yes", "no"]);
            choice(w, "secure", &["no"]);
        });
    });
    cpu(&mut w, capabilities, kind == "kvm");
    supported(&mut w, "memoryBacking", false, |_| {});
    devices(&mut w, capabilities);
    features(&mut w);
    w.close("domainCapabilities");
    Ok(w.finish())
}

fn supported(w: &mut Writer, name: &str, yes: bool, body: impl FnOnce(&mut Writer)) {
    w.open(name);
    w.attr("supported", if yes { "yes" } else { "no" });
    if yes {
        body(w);
    }
    w.close(name);
}

fn choice(w: &mut Writer, name: &str, values: &[&str]) {
    w.open("enum");
    w.attr("name", name);
    for value in values {
        w.text_element("value", value);
    }
    w.close("enum");
}

fn mode(w: &mut Writer, name: &str, yes: bool, body: impl FnOnce(&mut Writer)) {
    w.open("mode");
    w.attr("name", name);
    w.attr("supported", if yes { "yes" } else { "no" });
    if yes {
        body(w);
    }
    w.close("mode");
}

fn cpu(w: &mut Writer, capabilities: &Capabilities, kvm: bool) {
    w.open("cpu");
    mode(w, "host-passthrough", kvm, |w| choice(w, "hostPassthroughMigratable", &["on", "off"]));
    mode(w, "maximum", true, |w| choice(w, "maximumMigratable", &["on", "off"]));
    let model = crate::cpu::host_model(capabilities, kvm);
    mode(w, "host-model", model.is_some(), |w| {
        if let Some(model) = &model {
            host_model(w, model);
        }
    });
    let mut models: Vec<&CpuModel> = capabilities.cpus.iter().collect();
    models.retain(|model| Tables::x86().model(&model.name).is_some() || !is_x86(capabilities));
    models.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    mode(w, "custom", true, |w| models.iter().for_each(|model| custom_model(w, model)));
    w.close("cpu");
}

fn is_x86(capabilities: &Capabilities) -> bool {
    matches!(capabilities.arch.as_str(), "x86_64" | "i386")
}

fn host_model(w: &mut Writer, model: &Baseline) {
    w.open("model");
    w.attr("fallback", "forbid");
    w.text(model.model);
    w.close("model");
    if let Some(vendor) = model.vendor {
        w.text_element("vendor", vendor);
    }
    for (name, policy) in model.features() {
        w.open("feature");
        w.attr("policy", policy);
        w.attr("name", name);
        w.close("feature");
    }
}

fn custom_model(w: &mut Writer, model: &CpuModel) {
    w.open("model");
    let usable = match (model.known, model.blockers.is_empty()) {
        (false, _) => "unknown",
        (true, true) => "yes",
        (true, false) => "no",
    };
    w.attr("usable", usable);
    if model.deprecated {
        w.attr("deprecated", "yes");
    }
    let tables = Tables::x86();
    w.attr("vendor", tables.model(&model.name).and_then(|known| known.vendor).unwrap_or("unknown"));
    if let Some(canonical) = &model.canonical {
        w.attr("canonical", canonical);
    }
    w.text(&model.name);
    w.close("model");
    let mut blockers: Vec<&str> = model
        .blockers
        .iter()
        .map(|name| tables.row(name).map_or(name.as_str(), |row| tables.name(row)))
        .collect();
    if blockers.is_empty() {
        return;
    }
    blockers.sort_unstable();
    blockers.dedup();
    w.open("blockers");
    w.attr("model", &model.name);
    for name in blockers {
        w.open("feature");
        w.attr("name", name);
        w.close("feature");
    }
    w.close("blockers");
}

/// The names whose device the emulator has.
fn having<'a>(capabilities: &Capabilities, table: &[(&'a str, &str)]) -> Vec<&'a str> {
    let known = table.iter().filter(|(_, device)| device.is_empty() || capabilities.has(device));
    known.map(|(name, _)| *name).collect()
}

fn devices(w: &mut Writer, capabilities: &Capabilities) {
    w.open("devices");
    supported(w, "disk", true, |w| {
        choice(w, "diskDevice", &["disk", "cdrom", "floppy"]);
        let buses = [
            ("ide", ""),
            ("fdc", ""),
            ("scsi", "virtio-scsi-pci"),
            ("virtio", "virtio-blk-pci"),
            ("sata", "ahci"),
        ];
        choice(w, "bus", &having(capabilities, &buses));
        choice(w, "model", &having(capabilities, &[("virtio", "virtio-blk-pci")]));
    });
    supported(w, "graphics", true, |w| choice(w, "type", &["vnc"]));
    supported(w, "video", true, |w| {
        let models = [
            ("vga", "VGA"),
            ("cirrus", "cirrus-vga"),
            ("vmvga", "vmware-svga"),
            ("qxl", "qxl-vga"),
            ("virtio", "virtio-vga"),
            ("none", ""),
            ("bochs", "bochs-display"),
            ("ramfb", "ramfb"),
        ];
        choice(w, "modelType", &having(capabilities, &models));
    });
    supported(w, "hostdev", false, |_| {});
    supported(w, "rng", capabilities.has("virtio-rng-pci"), |w| {
        choice(w, "model", &["virtio"]);
        let backends = [("random", "rng-random"), ("builtin", "rng-builtin")];
        choice(w, "backendModel", &having(capabilities, &backends));
    });
    supported(w, "filesystem", false, |_| {});
    supported(w, "tpm", false, |_| {});
    supported(w, "redirdev", false, |_| {});
    supported(w, "channel", true, |w| choice(w, "type", &["pty", "unix"]));
    supported(w, "crypto", false, |_| {});
    supported(w, "interface", true, |w| choice(w, "backendType", &["default"]));
    supported(w, "panic", capabilities.has("pvpanic"), |w| {
        let models = [("isa", "pvpanic"), ("pvpanic", "pvpanic-pci")];
        choice(w, "model", &having(capabilities, &models));
    });
    supported(w, "console", true, |w| {
        choice(w, "type", &["null", "vc", "pty", "dev", "file", "pipe", "udp", "tcp", "unix"]);
    });
    w.close("devices");
}

fn features(w: &mut Writer) {
    w.open("features");
    for name in ["gic", "vmcoreinfo", "genid", "backingStoreInput", "backup", "async-teardown"] {
        supported(w, name, false, |_| {});
    }
    for name in ["s390-pv", "ps2", "tdx", "sev", "sgx", "hyperv", "launchSecurity"] {
        supported(w, name, name == "ps2", |_| {});
    }
    w.close("features");
}
