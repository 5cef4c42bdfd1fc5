//! The `tests` folder of libvirt's sources as a corpus: cases are found by the names of their files.
//!
//! Which flags a case is read with stands only in libvirt's test programs, so cases that need some come out
//! otherwise than in a corpus with tables; so do those that must fail, unless a file holds the message.

use std::collections::BTreeSet;
use std::path::Path;

use crate::Case;

/// Where a suite's files are in libvirt's tree.
struct Place {
    suite: &'static str,
    /// The folder of the inputs, under any of its names.
    inputs: &'static [&'static str],
    /// The folder of the outputs; none where a document must come out as it went in.
    outputs: &'static [&'static str],
    input_end: &'static str,
    /// The endings of what is expected.
    output_ends: &'static [&'static str],
}

const fn documents(
    suite: &'static str,
    inputs: &'static [&'static str],
    outputs: &'static [&'static str],
) -> Place {
    Place { suite, inputs, outputs, input_end: ".xml", output_ends: &[".xml"] }
}

const PLACES: &[Place] = &[
    documents("backup-xml2xml", &["domainbackupxml2xmlin"], &["domainbackupxml2xmlout"]),
    documents(
        "checkpoint-xml2xml",
        &["qemudomaincheckpointxml2xmlin", "domaincheckpointxml2xmlin"],
        &["qemudomaincheckpointxml2xmlout", "domaincheckpointxml2xmlout"],
    ),
    documents("generic-xml2xml", &["genericxml2xmlindata"], &["genericxml2xmloutdata"]),
    documents("interface-xml2xml", &["interfaceschemadata"], &[]),
    documents("network-xml2xml", &["networkxml2xmlin"], &["networkxml2xmlout"]),
    documents("networkport-xml2xml", &["virnetworkportxml2xmldata"], &[]),
    documents("nodedev-xml2xml", &["nodedevschemadata"], &["nodedevxml2xmlout"]),
    documents("nwfilter-xml2xml", &["nwfilterxml2xmlin"], &["nwfilterxml2xmlout"]),
    documents("nwfilterbinding-xml2xml", &["virnwfilterbindingxml2xmldata"], &[]),
    documents("secret-xml2xml", &["secretxml2xmlin"], &[]),
    documents(
        "snapshot-xml2xml",
        &["qemudomainsnapshotxml2xmlin", "domainsnapshotxml2xmlin"],
        &["qemudomainsnapshotxml2xmlout", "domainsnapshotxml2xmlout"],
    ),
    documents("storagepool-xml2xml", &["storagepoolxml2xmlin"], &["storagepoolxml2xmlout"]),
    documents("storagevol-xml2xml", &["storagevolxml2xmlin"], &["storagevolxml2xmlout"]),
    Place {
        suite: "qemu-xmlconf",
        inputs: &["qemuxmlconfdata"],
        outputs: &["qemuxmlconfdata"],
        input_end: ".xml",
        output_ends: &[".x86_64-latest.xml", ".x86_64-latest.args", ".x86_64-latest.err"],
    },
    Place {
        suite: "virconf",
        inputs: &["virconfdata"],
        outputs: &["virconfdata"],
        input_end: ".conf",
        output_ends: &[".out"],
    },
    Place {
        suite: "xen-xl",
        inputs: &["xlconfigdata"],
        outputs: &["xlconfigdata"],
        input_end: ".cfg",
        output_ends: &[".xml"],
    },
    Place {
        suite: "xen-xm",
        inputs: &["xmconfigdata"],
        outputs: &["xmconfigdata"],
        input_end: ".cfg",
        output_ends: &[".xml"],
    },
    Place {
        suite: "xen-domconfig",
        inputs: &["libxlxml2domconfigdata"],
        outputs: &["libxlxml2domconfigdata"],
        input_end: ".xml",
        output_ends: &[".json"],
    },
];

pub(crate) fn is_libvirt_tree(folder: &Path) -> bool {
    folder.join("networkxml2xmlin").is_dir() || folder.join("qemuxmlconfdata").is_dir()
}

fn there<'f>(root: &Path, folders: &[&'f str]) -> Option<&'f str> {
    folders.iter().copied().find(|folder| root.join(folder).is_dir())
}

/// The suites whose files are there.
pub(crate) fn suites(root: &Path) -> Vec<String> {
    let with_files = PLACES.iter().filter(|place| there(root, place.inputs).is_some());
    with_files.map(|place| place.suite.to_owned()).collect()
}

/// The cases of a suite: each input for which something is expected.
pub(crate) fn cases(root: &Path, suite: &str) -> Vec<Case> {
    let Some(place) = PLACES.iter().find(|place| place.suite == suite) else { return Vec::new() };
    let Some(folder) = there(root, place.inputs) else { return Vec::new() };
    let outputs = there(root, place.outputs);
    let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    let names: BTreeSet<String> = entries
        .filter_map(|entry| {
            entry.file_name().to_string_lossy().strip_suffix(place.input_end).map(str::to_owned)
        })
        .collect();
    names.into_iter().filter_map(|name| case(root, place, folder, outputs, &name)).collect()
}

fn case(
    root: &Path,
    place: &Place,
    folder: &str,
    outputs: Option<&str>,
    name: &str,
) -> Option<Case> {
    let input = format!("{folder}/{name}{}", place.input_end);
    let mut inputs = vec![input.clone()];
    if place.suite == "storagevol-xml2xml" {
        inputs.push(pool_of(root, name));
    }
    let ends = place.output_ends.iter();
    let expected: Vec<String> = match outputs {
        None => vec![input],
        Some(outputs) => ends
            .map(|end| format!("{outputs}/{name}{end}"))
            .filter(|file| *file != input && root.join(file).is_file())
            .collect(),
    };
    let only_error = expected.first()?.ends_with(".err");
    let result = if only_error { "parse-error" } else { "ok" }.to_owned();
    let column = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    // What a table would say of a case without anything special.
    let columns = vec![
        column("live", "yes"),
        column("flags", "0"),
        column("creation_time", "1525889631"),
        column("variant", "x86_64-latest"),
        column("extra", "-"),
        column("config", "-"),
        column("modes", "xml-to-cfg+cfg-to-xml"),
    ];
    Some(Case { name: name.to_owned(), result, inputs, expected, columns })
}

/// The pool that a volume's name speaks of.
fn pool_of(root: &Path, volume: &str) -> String {
    let word = ["logical", "sheepdog", "gluster", "rbd", "partition", "disk"]
        .into_iter()
        .find(|word| volume.contains(word));
    let file = |word: &str| format!("storagepoolxml2xmlin/pool-{word}.xml");
    let pool = match word {
        Some("partition") => file("disk"),
        Some(word) => file(word),
        None => file("dir"),
    };
    if root.join(&pool).is_file() { pool } else { file("dir") }
}
