//! Broken texts of every kind: the code and words that libvirt gives, and the help beside them.
//!
//! `broken/*.txt` hold them: `=== TITLE [READER]`, then what is expected, `---`, and the text. Expected is
//! `code NUMBER from NUMBER` or `taken`, lines of the message after `| `, and of the help after `> `.
//! `UPDATE=1` writes what came out; the difference is to be read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use driver_xen::{Host, Toolstack};
use virt_driver::Connection;
use virt_error::{Code, Error, Origin, Result};
use virt_model::backup::Backup;
use virt_model::capabilities::{Capabilities, DomainCapabilities, PoolCapabilities};
use virt_model::domain::Sysinfo;
use virt_model::filter::Filter;
use virt_model::filter_binding::FilterBinding;
use virt_model::network::NetworkPort;
use virt_model::node_device::NodeDevice;
use virt_model::schema::explain;
use virt_model::secret::Secret;
use virt_model::{Document, ParseFlags};
use virt_types::api;

/// How many there must be.
const CASES_MIN: usize = 150;

struct Case {
    /// The title and the reader.
    title: String,
    reader: String,
    expected: String,
    text: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("broken")
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("the folder of broken texts");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for part in format!("\n{text}").split("\n=== ").skip(1) {
        let (head, rest) = part.split_once('\n').unwrap_or((part, ""));
        let (title, reader) = head.rsplit_once(" [").expect("a title with a reader");
        let (expected, text) = match rest.strip_prefix("---") {
            Some(text) => ("", text),
            None => rest.split_once("\n---").expect("a line of dashes"),
        };
        // Each text ends with one line end; a file that is not empty starts behind the dashes' own.
        let text = text.strip_prefix('\n').unwrap_or(text);
        let text = if text.is_empty() {
            String::new()
        } else {
            format!("{}\n", text.trim_end_matches('\n'))
        };
        cases.push(Case {
            title: title.to_owned(),
            reader: reader.trim_end_matches(']').to_owned(),
            expected: expected.trim_end().to_owned(),
            text,
        });
    }
    cases
}

/// Reads a text as a user would have it read: by the test driver where it can, else by the model.
fn read(reader: &str, text: &str) -> Result<()> {
    let (kind, how) = reader.split_once(' ').unwrap_or((reader, ""));
    let validate = how == "validate";
    let flag = |flag: u32| if validate { flag } else { 0 };
    let parse = ParseFlags { validate, ..ParseFlags::default() };
    let world: Connection = driver_test::fresh_world().expect("a world");
    match kind {
        "domain" => {
            world.domain_define_xml_flags(text, flag(api::DOMAIN_DEFINE_VALIDATE)).map(drop)
        }
        "network" => {
            world.network_define_xml_flags(text, flag(api::NETWORK_DEFINE_VALIDATE)).map(drop)
        }
        "pool" => {
            world.storage_pool_define_xml(text, flag(api::STORAGE_POOL_DEFINE_VALIDATE)).map(drop)
        }
        "volume" => {
            let pool = world.storage_pool_lookup_by_name("default-pool")?;
            world
                .storage_vol_create_xml(&pool, text, flag(api::STORAGE_VOL_CREATE_VALIDATE))
                .map(drop)
        }
        "device" => {
            world.node_device_create_xml(text, flag(api::NODE_DEVICE_CREATE_XML_VALIDATE)).map(drop)
        }
        "interface" => {
            world.interface_define_xml(text, flag(api::INTERFACE_DEFINE_VALIDATE)).map(drop)
        }
        "snapshot" => {
            let domain = world.domain_lookup_by_name("test")?;
            let flags = flag(api::DOMAIN_SNAPSHOT_CREATE_VALIDATE);
            world.domain_snapshot_create_xml(&domain, text, flags).map(drop)
        }
        "checkpoint" => {
            let domain = world.domain_lookup_by_name("test")?;
            world.domain_checkpoint_create_xml(&domain, text, 0).map(drop)
        }
        "nodedev" => NodeDevice::parse(text, parse).map(drop),
        "networkport" => NetworkPort::parse(text, parse).map(drop),
        "secret" => Secret::parse(text, parse).map(drop),
        "filter" => Filter::parse(text, parse).map(drop),
        "filterbinding" => FilterBinding::parse(text, parse).map(drop),
        "backup" => Backup::parse(text, parse).map(drop),
        "sysinfo" => Sysinfo::parse(text, parse).map(drop),
        "capabilities" => Capabilities::parse(text, parse).map(drop),
        "domaincaps" => DomainCapabilities::parse(text, parse).map(drop),
        "poolcaps" => PoolCapabilities::parse(text, parse).map(drop),
        "cpu" => virt_cpu::Description::parse(text, Origin::Cpu).map(drop),
        "virconf" => virt_conf::Conf::parse(text).map(drop).map_err(|error| {
            Error::new(Code::ConfSyntax, Origin::Conf, error.to_string())
                .with_hint(error.help().unwrap_or_default())
        }),
        "xen-xm" | "xen-xl" => Host::default().from_native(kind, text).map(drop),
        "xen-sxpr" => {
            let toolstack = Toolstack::Xend { config_format: 4 };
            Host { toolstack, ..Host::default() }.from_native(kind, text).map(drop)
        }
        other => panic!("there is no reader '{other}'"),
    }
}

/// What came of a text, as the files say it.
fn outcome(case: &Case) -> String {
    let mut said = String::new();
    match read(&case.reader, &case.text) {
        Ok(()) => {
            said.push_str("taken\n");
            let tree = virt_xml::parse(&case.text);
            for fault in tree.iter().flat_map(explain::warnings) {
                let _ = writeln!(said, "> {}", fault.explained());
            }
        }
        Err(error) => {
            let _ = writeln!(said, "code {} from {}", error.number(), error.from_number());
            let help = error.hint().unwrap_or_default();
            let lines = error.message().lines().map(|line| format!("| {line}"));
            for line in lines.chain(help.lines().map(|line| format!("> {line}"))) {
                said.push_str(line.trim_end());
                said.push('\n');
            }
        }
    }
    said.trim_end().to_owned()
}

#[test]
fn every_broken_text_is_explained() {
    let update = std::env::var_os("UPDATE").is_some();
    let (mut count, mut wrong) = (0, Vec::new());
    for file in files() {
        let text = std::fs::read_to_string(&file).expect("a file of broken texts");
        let mut written = String::new();
        for case in cases(&text) {
            count += 1;
            let Case { title, reader, expected, text } = &case;
            let found = outcome(&case);
            if found != *expected {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                wrong.push(format!(
                    "{name}: {title} [{reader}]\nexpected\n{expected}\nfound\n{found}"
                ));
            }
            let _ = write!(written, "=== {title} [{reader}]\n{found}\n---\n{text}");
        }
        if update {
            std::fs::write(&file, written).expect("the file is written");
        }
    }
    assert!(count >= CASES_MIN, "{count} cases are too few");
    assert!(update || wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n\n"));
    eprintln!("{count} broken texts");
}

/// Every kind of document, and of text that is no document.
const READERS: &[&str] = &[
    "backup",
    "capabilities",
    "checkpoint",
    "cpu",
    "device",
    "domain",
    "domaincaps",
    "filter",
    "filterbinding",
    "interface",
    "network",
    "networkport",
    "nodedev",
    "pool",
    "poolcaps",
    "secret",
    "snapshot",
    "sysinfo",
    "virconf",
    "volume",
    "xen-sxpr",
    "xen-xl",
    "xen-xm",
];

#[test]
fn every_kind_of_text_is_broken_somewhere() {
    let texts = files().into_iter().map(|file| std::fs::read_to_string(file).expect("a file"));
    let broken: std::collections::BTreeSet<String> = texts
        .flat_map(|text| cases(&text))
        .filter(|case| case.expected.starts_with("code "))
        .map(|case| case.reader.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(broken.iter().map(String::as_str).collect::<Vec<_>>(), READERS);
}

#[test]
fn all_help_names_a_place() {
    for file in files() {
        let text = std::fs::read_to_string(&file).expect("a file of broken texts");
        for case in cases(&text) {
            let help = case.expected.lines().find_map(|line| line.strip_prefix("> "));
            let help = help.unwrap_or_else(|| panic!("{}: no help", case.title));
            // A list that is not there has no place of its own: the one it is missing from is named.
            let placed = help.starts_with("line ")
                || help.starts_with("in (")
                || help.starts_with("expected ");
            assert!(placed, "{}: {help}", case.title);
        }
    }
}
