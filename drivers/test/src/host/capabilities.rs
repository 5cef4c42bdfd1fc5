//! What the node and its guests can do, as documents.

use std::fmt::Display;

use virt_cpu::is_arch;
use virt_error::Result;
use virt_model::domain::VirtType;
use virt_xml::Writer;

use super::{Node, NumaCell};
use crate::domain::rules::ARCH;
use crate::error::invalid_arg;

pub(crate) const SECURITY_MODEL: &str = "testSecurity";

const EMULATOR: &str = "/usr/bin/test-hv";
const FEATURES: [&str; 2] = ["pae", "nonpae"];
const PAGE_SIZES_KIB: [u64; 4] = [4, 8, 2048, 1_048_576];
const HUGE_PAGE_SIZES_KIB: [u64; 2] = [2048, 1_048_576];

/// Prints an element with attributes, and with `body` inside.
fn element(
    w: &mut Writer,
    name: &str,
    attrs: &[(&str, &dyn Display)],
    body: impl FnOnce(&mut Writer),
) {
    w.open(name);
    for (attr, value) in attrs {
        w.attr(attr, &value.to_string());
    }
    body(w);
    w.close(name);
}

fn empty(w: &mut Writer, name: &str, attrs: &[(&str, &dyn Display)]) {
    element(w, name, attrs, |_| {});
}

/// `<capabilities>` of a node.
pub(crate) fn host(node: &Node) -> String {
    let mut w = Writer::new();
    element(&mut w, "capabilities", &[], |w| {
        w.raw("\n");
        element(w, "host", &[], |w| {
            element(w, "cpu", &[], |w| {
                w.text_element("arch", ARCH);
                features(w);
                for size in PAGE_SIZES_KIB {
                    empty(w, "pages", &[("unit", &"KiB"), ("size", &size)]);
                }
            });
            empty(w, "power_management", &[]);
            let iommu = if has_iommu() { "yes" } else { "no" };
            empty(w, "iommu", &[("support", &iommu)]);
            topology(w, node);
            element(w, "secmodel", &[], |w| {
                w.text_element("model", SECURITY_MODEL);
                w.text_element("doi", "");
            });
        });
        w.raw("\n");
        for os_type in ["hvm", "xen"] {
            guest(w, os_type);
            w.raw("\n");
        }
    });
    w.finish()
}

fn features(w: &mut Writer) {
    element(w, "features", &[], |w| FEATURES.iter().for_each(|name| empty(w, name, &[])));
}

fn guest(w: &mut Writer, os_type: &str) {
    element(w, "guest", &[], |w| {
        w.text_element("os_type", os_type);
        element(w, "arch", &[("name", &ARCH)], |w| {
            w.text_element("wordsize", "32");
            w.text_element("emulator", EMULATOR);
            empty(w, "domain", &[("type", &"test")]);
        });
        features(w);
    });
}

fn topology(w: &mut Writer, node: &Node) {
    element(w, "topology", &[], |w| {
        w.open("cells");
        w.attr("num", &node.cells.len().to_string());
        for (id, numa) in node.cells.iter().enumerate() {
            cell(w, id, numa);
        }
        w.close_long("cells");
    });
}

fn cell(w: &mut Writer, id: usize, numa: &NumaCell) {
    element(w, "cell", &[("id", &id)], |w| {
        element(w, "memory", &[("unit", &"KiB")], |w| w.text(&numa.memory_kib.to_string()));
        let pages = |w: &mut Writer, size: u64, count: u64| {
            let attrs: [(&str, &dyn Display); 2] = [("unit", &"KiB"), ("size", &size)];
            element(w, "pages", &attrs, |w| w.text(&count.to_string()));
        };
        pages(w, numa.page_kib, numa.memory_kib / numa.page_kib);
        HUGE_PAGE_SIZES_KIB.iter().for_each(|size| pages(w, *size, 0));
        element(w, "cpus", &[("num", &numa.cpus.len())], |w| {
            for cpu in &numa.cpus {
                let attrs: [(&str, &dyn Display); 6] = [
                    ("id", &cpu.id),
                    ("socket_id", &cpu.socket),
                    ("die_id", &0),
                    ("cluster_id", &0),
                    ("core_id", &cpu.core),
                    ("siblings", &cpu.id),
                ];
                empty(w, "cpu", &attrs);
            }
        });
    });
}

/// Whether this machine has an IOMMU in use.
///
/// Compat: the one line of the document that is about the real host.
fn has_iommu() -> bool {
    std::fs::read_dir("/sys/kernel/iommu_groups").is_ok_and(|mut groups| groups.next().is_some())
}

/// `<domainCapabilities>`: hardly any, whatever is asked for.
pub(crate) fn domain(
    emulator: Option<&str>,
    arch: Option<&str>,
    machine: Option<&str>,
    virt_type: Option<&str>,
) -> Result<String> {
    let virt_type = virt_type.unwrap_or(VirtType::Test.as_str());
    if VirtType::from_word(virt_type).is_none() {
        return Err(invalid_arg(format!("unknown virttype: {virt_type}")));
    }
    let arch = arch.unwrap_or(ARCH);
    if !is_arch(arch) {
        return Err(invalid_arg(format!("unknown architecture: {arch}")));
    }
    let mut w = Writer::new();
    element(&mut w, "domainCapabilities", &[], |w| {
        if let Some(path) = emulator {
            w.text_element("path", path);
        }
        w.text_element("domain", virt_type);
        if let Some(machine) = machine {
            w.text_element("machine", machine);
        }
        w.text_element("arch", arch);
        element(w, "cpu", &[], |w| {
            for mode in ["host-passthrough", "maximum", "host-model", "custom"] {
                empty(w, "mode", &[("name", &mode), ("supported", &"no")]);
            }
        });
        w.open("devices");
        w.close_long("devices");
        element(w, "features", &[], |w| {
            for feature in ["sev", "sgx"] {
                empty(w, feature, &[("supported", &"no")]);
            }
        });
    });
    Ok(w.finish())
}
