//! `<host>` of `<capabilities>`: processor, memory, and how they lie together.

use virt_cpu::{Baseline, Host};
use virt_host::{CpuInfo, Topology, cells, page_sizes_kib};
use virt_types::Uuid;
use virt_xml::Writer;

/// An element that holds nothing.
pub fn empty(w: &mut Writer, name: &str, attrs: &[(&str, &str)]) {
    w.open(name);
    for (attr, value) in attrs {
        w.attr(attr, value);
    }
    w.close(name);
}

/// The host's UUID, where it has one: of the board, else of the installation.
fn uuid() -> Option<Uuid> {
    ["/sys/class/dmi/id/product_uuid", "/etc/machine-id"].iter().find_map(|path| {
        let text = virt_store::read_text(std::path::Path::new(path), 4096).ok()?;
        Uuid::parse(&text).filter(|uuid| !uuid.is_uniform())
    })
}

/// The host's own part. `labels` adds how the driver confines its guests.
pub fn host(w: &mut Writer, labels: impl FnOnce(&mut Writer)) {
    w.open("host");
    if let Some(uuid) = uuid() {
        w.text_element("uuid", &uuid.to_string());
    }
    cpu(w);
    empty(w, "power_management", &[]);
    let groups = std::fs::read_dir("/sys/kernel/iommu_groups");
    let iommu = groups.is_ok_and(|mut groups| groups.next().is_some());
    empty(w, "iommu", &[("support", if iommu { "yes" } else { "no" })]);
    topology(w);
    w.open("secmodel");
    w.text_element("model", "none");
    w.text_element("doi", "0");
    w.close("secmodel");
    labels(w);
    w.close("host");
}

/// The processor: the model it has wholly, its own signature, and what it has beside the model.
fn cpu(w: &mut Writer) {
    let info = CpuInfo::host();
    let host = Host::read();
    let model = Baseline::of_host(host.vendor, &host.features);
    w.open("cpu");
    w.text_element("arch", &virt_host::architecture());
    if let Some(model) = &model {
        w.text_element("model", model.model);
    }
    match info.vendor.as_str() {
        "GenuineIntel" => w.text_element("vendor", "Intel"),
        "AuthenticAMD" => w.text_element("vendor", "AMD"),
        _ => {}
    }
    if info.microcode > 0 {
        empty(w, "microcode", &[("version", &info.microcode.to_string())]);
    }
    if info.family > 0 {
        let (family, model) = (info.family.to_string(), info.model.to_string());
        let stepping = info.stepping.to_string();
        let attrs = [("family", &*family), ("model", &*model), ("stepping", &*stepping)];
        empty(w, "signature", &attrs);
    }
    let shape = Topology::host().shape();
    let text = |value: u32| value.to_string();
    empty(
        w,
        "topology",
        &[
            ("sockets", &text(shape.sockets)),
            ("dies", &text(shape.dies)),
            ("clusters", "1"),
            ("cores", &text(shape.cores)),
            ("threads", &text(shape.threads)),
        ],
    );
    if info.physical_bits > 0 {
        let bits = text(info.physical_bits);
        empty(w, "maxphysaddr", &[("mode", "emulate"), ("bits", &bits)]);
    }
    for (name, _) in model.iter().flat_map(Baseline::features) {
        empty(w, "feature", &[("name", name)]);
    }
    for size in page_sizes_kib() {
        empty(w, "pages", &[("unit", "KiB"), ("size", &size.to_string())]);
    }
    w.close("cpu");
}

fn topology(w: &mut Writer) {
    let cells = cells();
    let topology = Topology::host();
    w.open("topology");
    w.open("cells");
    w.attr("num", &cells.len().to_string());
    for cell in &cells {
        w.open("cell");
        w.attr("id", &cell.id.to_string());
        let kib = |w: &mut Writer, name: &str, size: Option<u64>, value: u64| {
            w.open(name);
            w.attr("unit", "KiB");
            if let Some(size) = size {
                w.attr("size", &size.to_string());
            }
            w.text(&value.to_string());
            w.close(name);
        };
        kib(w, "memory", None, cell.memory.total_kib);
        for (size, count) in &cell.pages {
            kib(w, "pages", Some(*size), *count);
        }
        if !cell.distances.is_empty() {
            w.open("distances");
            for (id, value) in &cell.distances {
                empty(w, "sibling", &[("id", &id.to_string()), ("value", &value.to_string())]);
            }
            w.close("distances");
        }
        let cpus: Vec<_> =
            topology.online.iter().filter(|cpu| cell.cpus.contains(&cpu.id)).collect();
        w.open("cpus");
        w.attr("num", &cpus.len().to_string());
        for cpu in cpus {
            // Compat: an absent cluster reads as all ones in sixteen bits.
            let cluster = if cpu.cluster < 0 { 65_535 } else { cpu.cluster };
            let attrs = [
                ("id", cpu.id.to_string()),
                ("socket_id", cpu.socket.to_string()),
                ("die_id", cpu.die.to_string()),
                ("cluster_id", cluster.to_string()),
                ("core_id", cpu.core.to_string()),
                ("siblings", cpu.siblings.clone()),
            ];
            let attrs: Vec<(&str, &str)> =
                attrs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            empty(w, "cpu", &attrs);
        }
        w.close("cpus");
        w.close("cell");
    }
    w.close("cells");
    w.close("topology");
}
