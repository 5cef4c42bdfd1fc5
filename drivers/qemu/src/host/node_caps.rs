//! `<capabilities>`: the host as it is, and the guests its emulators can run.

use virt_guests::node_caps::{self, empty};
use virt_xml::Writer;

use super::installed;
use crate::capabilities::Capabilities;
use crate::core::Core;
use crate::security::{Identity, MODEL};

/// Prints the document.
pub(super) fn document(core: &Core) -> String {
    let mut w = Writer::new();
    w.open("capabilities");
    w.raw("\n");
    node_caps::host(&mut w, |w| {
        if let Some(usual) = core.security.usual() {
            owners(w, usual);
        }
    });
    w.raw("\n");
    for (arch, emulator) in installed() {
        // An emulator that does not answer runs no guests.
        if let Ok(capabilities) = core.capabilities(&emulator) {
            guest(&mut w, arch, &emulator.to_string_lossy(), &capabilities);
            w.raw("\n");
        }
    }
    w.close("capabilities");
    w.finish()
}

/// Whom guests run as, and have their files, when they do not say it themselves.
fn owners(w: &mut Writer, usual: &Identity) {
    w.open("secmodel");
    w.text_element("model", MODEL);
    w.text_element("doi", "0");
    for kind in ["kvm", "qemu"] {
        w.open("baselabel");
        w.attr("type", kind);
        w.text(&usual.label());
        w.close("baselabel");
    }
    w.close("secmodel");
}

fn guest(w: &mut Writer, arch: &str, emulator: &str, capabilities: &Capabilities) {
    w.open("guest");
    w.text_element("os_type", "hvm");
    w.open("arch");
    w.attr("name", arch);
    let narrow = matches!(arch, "i686");
    w.text_element("wordsize", if narrow { "32" } else { "64" });
    w.text_element("emulator", emulator);
    for machine in &capabilities.machines {
        let most = machine.max_cpus.to_string();
        let line = |w: &mut Writer, name: &str, canonical: Option<&str>| {
            w.open("machine");
            if let Some(canonical) = canonical {
                w.attr("canonical", canonical);
            }
            w.attr("maxCpus", &most);
            if machine.deprecated {
                w.attr("deprecated", "yes");
            }
            w.text(name);
            w.close("machine");
        };
        line(w, &machine.name, None);
        if let Some(alias) = &machine.alias {
            line(w, alias, Some(&machine.name));
        }
    }
    empty(w, "domain", &[("type", "qemu")]);
    if capabilities.kvm() {
        empty(w, "domain", &[("type", "kvm")]);
    }
    w.close("arch");
    w.open("features");
    let x86 = matches!(arch, "i686" | "x86_64");
    if arch == "i686" {
        empty(w, "pae", &[]);
        empty(w, "nonpae", &[]);
    }
    if x86 {
        empty(w, "acpi", &[("default", "on"), ("toggle", "yes")]);
        empty(w, "apic", &[("default", "on"), ("toggle", "no")]);
    }
    empty(w, "cpuselection", &[]);
    empty(w, "deviceboot", &[]);
    w.close("features");
    w.close("guest");
}
