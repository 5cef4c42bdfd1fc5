//! What a host of today is and can run, in the form of libvirt's driver of today.

use virt_cpu::{Baseline, Features, Host, Place as Bit, Register, Tables};
use virt_error::Result;
use virt_guests::node_caps::empty;
use virt_model::{NumberSet, Text as _};
use virt_xml::Writer;

use crate::capabilities::{Capabilities, Guest};
use crate::channels::Hypervisor;
use crate::formats::boot::HVMLOADER;
use crate::hypercalls::HW_CAPS;
use crate::invalid_arg;
use crate::seen::{Cell, Physical, Place};

/// Compat: what libvirt's driver names, wherever the tool stack has its own.
const EMULATOR: &str = "/usr/lib/xen/bin/qemu-system-i386";
const ASKED_EMULATOR: &str = "/usr/bin/qemu-system-x86_64";
const FIRMWARE: &str = "ovmf.bin";
/// Limit: virtual processors, of guests without and with emulated hardware.
const VCPUS_MAX: u32 = 512;
const VCPUS_FULL_MAX: u32 = 128;
/// The first release that runs guests of processors' own without emulating anything.
const PVH_SINCE: (u32, u32, u32) = (4, 10, 0);

/// Where `cpuid` says what stands in each of the hypervisor's words.
const WORDS: [(u32, u32, Register); HW_CAPS] = [
    (1, 0, Register::Edx),
    (1, 0, Register::Ecx),
    (0x8000_0001, 0, Register::Edx),
    (0x8000_0001, 0, Register::Ecx),
    (0xd, 1, Register::Eax),
    (7, 0, Register::Ebx),
    (7, 0, Register::Ecx),
    (0x8000_0007, 0, Register::Edx),
];

/// What the processors can do; the control domain's own view, where the hypervisor does not say.
fn features(words: Option<[u32; HW_CAPS]>) -> Features {
    let Some(words) = words else { return Host::read().features };
    Tables::x86().decode(|bit| {
        let Bit::Cpuid { leaf, subleaf, register } = bit else { return 0 };
        let found = WORDS.iter().position(|word| *word == (leaf, subleaf, register));
        u64::from(found.and_then(|at| words.get(at)).copied().unwrap_or(0))
    })
}

/// Prints `<capabilities>`.
pub(crate) fn capabilities(
    hypervisor: &dyn Hypervisor,
    arch: &str,
    firmware_dir: &str,
) -> Result<String> {
    let physical = hypervisor.physical()?;
    let (cells, features) = (hypervisor.cells()?, features(hypervisor.hw_caps()?));
    let mut offered = Capabilities {
        emulator: EMULATOR.to_owned(),
        loader: format!("{firmware_dir}/{HVMLOADER}"),
        ..Capabilities::default()
    };
    offered.offer(&physical.caps);
    let mut w = Writer::new();
    w.open("capabilities");
    w.raw("\n");
    w.open("host");
    cpu(&mut w, arch, &physical, &features);
    empty(&mut w, "power_management", &[]);
    empty(&mut w, "iommu", &[("support", if physical.directio { "yes" } else { "no" })]);
    w.open("migration_features");
    empty(&mut w, "live", &[]);
    w.close("migration_features");
    w.text_element("netprefix", "vif");
    topology(&mut w, &cells);
    w.close("host");
    w.raw("\n");
    for guest in &offered.guests {
        offered.guest(guest, &mut w);
        w.raw("\n");
    }
    // Compat: one kind, whatever the list says of words' widths.
    let full = offered.guests.iter().find(|guest| guest.hvm && guest.wordsize == 64);
    if let Some(full) = full.filter(|_| physical.version >= PVH_SINCE) {
        let guest = Guest { hvm: false, pvh: true, ..full.clone() };
        offered.guest(&guest, &mut w);
        w.raw("\n");
    }
    w.close("capabilities");
    Ok(w.finish())
}

fn cpu(w: &mut Writer, arch: &str, physical: &Physical, features: &Features) {
    let has = |name: &str| Tables::x86().row(name).is_some_and(|row| features.contains(&row));
    w.open("cpu");
    w.text_element("arch", arch);
    let marks: Vec<&str> = ["vmx", "svm", "pae"].into_iter().filter(|name| has(name)).collect();
    if !marks.is_empty() {
        w.open("features");
        marks.iter().for_each(|name| empty(w, name, &[]));
        w.close("features");
    }
    // Compat: who made it is not said, so a model of anybody's will do.
    let model = Baseline::of_host(None, features);
    if let Some(model) = &model {
        w.text_element("model", model.model);
    }
    let each = physical.cores.saturating_mul(physical.threads).max(1);
    let text = |number: u32| number.to_string();
    empty(
        w,
        "topology",
        &[
            ("sockets", &text((physical.cpus / each).max(1))),
            ("dies", "1"),
            ("clusters", "1"),
            ("cores", &text(physical.cores)),
            ("threads", &text(physical.threads)),
        ],
    );
    for (name, _) in model.iter().flat_map(Baseline::features) {
        empty(w, "feature", &[("name", name)]);
    }
    w.close("cpu");
}

fn topology(w: &mut Writer, cells: &[Cell]) {
    w.open("topology");
    w.open("cells");
    w.attr("num", &cells.len().to_string());
    for cell in cells {
        w.open("cell");
        w.attr("id", &cell.id.to_string());
        w.open("memory");
        w.attr("unit", "KiB");
        w.text(&cell.memory_kib.to_string());
        w.close("memory");
        w.open("distances");
        for (id, value) in cell.distances.iter().enumerate() {
            empty(w, "sibling", &[("id", &id.to_string()), ("value", &value.to_string())]);
        }
        w.close("distances");
        w.open("cpus");
        w.attr("num", &cell.cpus.len().to_string());
        cell.cpus.iter().for_each(|place| processor(w, place, &cell.cpus));
        w.close("cpus");
        w.close("cell");
    }
    w.close("cells");
    w.close("topology");
}

fn processor(w: &mut Writer, place: &Place, all: &[Place]) {
    let same = |other: &&Place| (other.socket, other.core) == (place.socket, place.core);
    let siblings = NumberSet::from_numbers(all.iter().filter(same).map(|other| other.id));
    let attrs = [
        ("id", place.id.to_string()),
        ("socket_id", place.socket.to_string()),
        ("die_id", "0".to_owned()),
        ("cluster_id", "0".to_owned()),
        ("core_id", place.core.to_string()),
        ("siblings", siblings.print().into_owned()),
    ];
    let attrs: Vec<(&str, &str)> =
        attrs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    empty(w, "cpu", &attrs);
}

fn choice(w: &mut Writer, name: &str, values: &[&str]) {
    w.open("enum");
    w.attr("name", name);
    values.iter().for_each(|value| w.text_element("value", value));
    w.close("enum");
}

fn supported(w: &mut Writer, name: &str, yes: bool, body: impl FnOnce(&mut Writer)) {
    w.open(name);
    w.attr("supported", if yes { "yes" } else { "no" });
    if yes {
        body(w);
    }
    w.close(name);
}

/// Prints `<domainCapabilities>` of one kind of guest.
pub(crate) fn domain_capabilities(
    emulator: Option<&str>,
    arch: &str,
    machine: Option<&str>,
    virt_type: Option<&str>,
    firmware_dir: &str,
) -> Result<String> {
    if let Some(other) = virt_type.filter(|kind| *kind != "xen") {
        return Err(invalid_arg(format!("unknown virttype: {other}")));
    }
    let machine = machine.unwrap_or("xenpv");
    let full = match machine {
        "xenpv" | "xenpvh" => false,
        "xenfv" => true,
        other => {
            let detail = format!("machine '{other}' is none of Xen's: xenpv, xenpvh or xenfv");
            return Err(invalid_arg(detail));
        }
    };
    let mut w = Writer::new();
    w.open("domainCapabilities");
    w.text_element("path", emulator.unwrap_or(ASKED_EMULATOR));
    w.text_element("domain", "xen");
    w.text_element("machine", machine);
    w.text_element("arch", arch);
    let most = if full { VCPUS_FULL_MAX } else { VCPUS_MAX };
    empty(&mut w, "vcpu", &[("max", &most.to_string())]);
    supported(&mut w, "iothreads", false, |_| {});
    supported(&mut w, "os", true, |w| {
        supported(w, "loader", full, |w| {
            for name in [HVMLOADER, FIRMWARE] {
                w.text_element("value", &format!("{firmware_dir}/{name}"));
            }
            choice(w, "type", &["rom"]);
            choice(w, "readonly", &["yes"]);
            choice(w, "secure", &[]);
        });
    });
    w.open("cpu");
    for name in ["host-passthrough", "maximum", "host-model", "custom"] {
        empty(&mut w, "mode", &[("name", name), ("supported", "no")]);
    }
    w.close("cpu");
    devices(&mut w);
    w.open("features");
    for name in ["gic", "vmcoreinfo", "genid", "sev", "sgx"] {
        supported(&mut w, name, false, |_| {});
    }
    w.close("features");
    w.close("domainCapabilities");
    Ok(w.finish())
}

fn devices(w: &mut Writer) {
    w.open("devices");
    supported(w, "disk", true, |w| {
        choice(w, "diskDevice", &["disk", "cdrom"]);
        choice(w, "bus", &["ide", "scsi", "xen"]);
        choice(w, "model", &[]);
    });
    supported(w, "graphics", true, |w| choice(w, "type", &["sdl", "vnc", "spice"]));
    supported(w, "video", true, |w| choice(w, "modelType", &["vga", "cirrus", "xen"]));
    supported(w, "hostdev", true, |w| {
        choice(w, "mode", &["subsystem"]);
        choice(w, "startupPolicy", &["default", "mandatory", "requisite", "optional"]);
        choice(w, "subsysType", &["usb", "pci"]);
        choice(w, "capsType", &[]);
        choice(w, "pciBackend", &["xen"]);
    });
    w.close("devices");
}

#[cfg(test)]
mod tests {
    use test_support::or_skip;

    use super::*;

    /// What QEMU's Nehalem with random numbers says of itself under Xen 4.17.
    const NEHALEM: [u32; HW_CAPS] =
        [0x078b_fbfd, 0xc098_2201, 0x2010_0800, 0x0000_0001, 0, 0, 0, 0];

    #[test]
    fn a_processor_has_the_model_that_it_has_wholly() {
        let features = features(Some(NEHALEM));
        let mut w = Writer::new();
        let physical = Physical { cpus: 4, cores: 2, threads: 1, ..Physical::default() };
        cpu(&mut w, "x86_64", &physical, &features);
        let text = w.finish();
        for part in [
            "<features>\n    <pae/>\n  </features>\n  <model>Nehalem-v1</model>",
            "<topology sockets='2' dies='1' clusters='1' cores='2' threads='1'/>",
            "<feature name='rdrand'/>\n  <feature name='hypervisor'/>\n</cpu>",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }

    #[test]
    fn processors_know_their_siblings() {
        let place = |id, socket, core| Place { id, socket, core };
        let cpus = vec![place(0, 0, 0), place(1, 0, 0), place(2, 1, 0)];
        let cell = Cell { id: 0, memory_kib: 64, distances: vec![10], cpus, ..Cell::default() };
        let mut w = Writer::new();
        topology(&mut w, &[cell]);
        let text = w.finish();
        assert!(text.contains("<memory unit='KiB'>64</memory>"), "{text}");
        assert!(
            text.contains(
                "<cpu id='1' socket_id='0' die_id='0' cluster_id='0' core_id='0' siblings='0-1'/>"
            ),
            "{text}"
        );
        assert!(
            text.contains(
                "<cpu id='2' socket_id='1' die_id='0' cluster_id='0' core_id='0' siblings='2'/>"
            ),
            "{text}"
        );
    }

    #[test]
    fn each_kind_of_guest_has_its_own_limits() {
        let of = |machine: &str| {
            domain_capabilities(None, "x86_64", Some(machine), Some("xen"), "/usr/lib/xen/boot")
        };
        let full = of("xenfv").expect("it is known");
        assert!(
            full.contains("<vcpu max='128'/>") && full.contains("/usr/lib/xen/boot/ovmf.bin"),
            "{full}"
        );
        assert!(of("q35").is_err());
        assert!(domain_capabilities(None, "x86_64", None, Some("kvm"), "/").is_err());
        let case =
            or_skip!(test_support::shared("conformance/domain-capabilities/libxl-xenpv.xml"));
        let wanted = std::fs::read_to_string(case).expect("the case is text");
        assert_eq!(of("xenpv").expect("it is known"), wanted);
    }
}
