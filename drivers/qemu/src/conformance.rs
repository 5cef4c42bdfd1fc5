//! libvirt's own corpus of QEMU domains as a judge of the rules and of the command line: the share
//! that comes out identical is counted, and may not fall.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use virt_error::Result;
use virt_model::domain::Domain;
use virt_model::{ParseFlags, PrintFlags};

use crate::argv;
use crate::capabilities::{Capabilities, Machine, TYPES};
use crate::rules::{Lookup, QemuRules};

/// How many cases came out right when this was last looked at.
const XML_FLOOR: usize = 350;
const ARGS_FLOOR: usize = 118;

/// The emulator that the corpus was made for.
struct Recorded(Arc<Capabilities>);

impl Lookup for Recorded {
    fn capabilities(&self, _: &Path) -> Result<Arc<Capabilities>> {
        Ok(Arc::clone(&self.0))
    }

    fn kvm(&self, _: &Capabilities) -> bool {
        true
    }
}

fn recorded(fixture: &Path) -> Recorded {
    let text = std::fs::read_to_string(fixture).unwrap();
    let root = virt_xml::parse(&text).unwrap();
    let mut machines: Vec<Machine> = Vec::new();
    for element in root.children_named("machine") {
        let name = element.attr("name").unwrap().to_owned();
        if machines.iter().any(|machine| machine.name == name) {
            continue;
        }
        machines.push(Machine {
            name,
            // Compat: the corpus was recorded without aliases.
            alias: None,
            max_cpus: element.attr("maxCpus").and_then(|most| most.parse().ok()).unwrap_or(1),
            default: element.attr("default") == Some("yes"),
            default_cpu: element.attr("defaultCPU").map(str::to_owned),
            ..Machine::default()
        });
    }
    let aliases = ["pc", "q35"].map(|name| Machine {
        name: name.into(),
        max_cpus: 255,
        default_cpu: Some("qemu64-x86_64-cpu".into()),
        ..Machine::default()
    });
    machines.extend(aliases);
    let types = TYPES.iter().map(|name| (*name).to_owned()).collect();
    let arch = "x86_64".to_owned();
    Recorded(Arc::new(Capabilities { arch, machines, types, ..Capabilities::default() }))
}

/// Compares options as sets of words: what the corpus prints one a line.
fn options(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(|line| line.trim_end_matches(" \\").to_owned())
        .filter(|line| compared(line))
        .collect()
}

/// Not the lines that name the recording machine's own files, descriptors and environment.
fn compared(line: &str) -> bool {
    !line.contains("master-key.aes") && !line.contains("charmonitor,fd=") && line.starts_with('-')
}

fn args(domain: &Domain) -> Result<String> {
    let mut live = domain.clone();
    live.id = Some(-1);
    argv::number_nodes(&mut live);
    argv::assign_aliases(&mut live);
    let words = argv::build(&live, Path::new("/var/lib/libvirt/qemu/domain--1-x"))?;
    let mut text = String::new();
    for word in words {
        let word = word.to_string_lossy().into_owned();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_=,./:+@%".contains(&b);
        let quoted = if word.bytes().all(plain) { word } else { format!("'{word}'") };
        text.push_str(if quoted.starts_with('-') { "\n" } else { " " });
        text.push_str(&quoted);
    }
    Ok(text)
}

#[test]
fn qemu_xmlconf() {
    let (Ok(dir), Ok(caps)) = (
        test_support::shared("conformance/qemu-xmlconf"),
        test_support::shared("conformance/fixtures/qemucaps/caps_10.0.0_x86_64.xml"),
    ) else {
        return test_support::skipped("no shared folder");
    };
    let lookup = recorded(&caps);
    let (mut xml_right, mut xml_all, mut args_right, mut args_all) = (0, 0, 0, 0);
    let cases = std::fs::read_to_string(dir.join("cases.tsv")).unwrap();
    for case in cases.lines().skip(1) {
        let columns: Vec<&str> = case.split('\t').collect();
        let [name, "ok", input, expected, "x86_64-latest", "-", "-"] = columns.as_slice() else {
            continue;
        };
        let text = std::fs::read_to_string(dir.join(input)).unwrap();
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        let domain = Domain::load(&text, flags, &QemuRules(&lookup));
        for file in expected.split(' ') {
            let path: PathBuf = dir.join(file);
            let wanted = std::fs::read_to_string(&path).unwrap();
            let (right, all, kind, same) = if file.ends_with(".xml") {
                let flags = PrintFlags { inactive: true, secure: true, ..PrintFlags::default() };
                let got = domain.as_ref().map(|domain| domain.to_xml(flags));
                (&mut xml_right, &mut xml_all, "xml", got.is_ok_and(|got| got == wanted))
            } else {
                let got = domain.as_ref().map_err(Clone::clone).and_then(args);
                let same = got.is_ok_and(|got| options(&got) == options(&wanted));
                (&mut args_right, &mut args_all, "args", same)
            };
            *all += 1;
            *right += usize::from(same);
            if !same && std::env::var_os("SHOW").is_some() {
                explain(kind, name, &domain, &wanted);
            }
        }
    }
    println!("xml {xml_right} of {xml_all}, args {args_right} of {args_all}");
    assert!(xml_right >= XML_FLOOR && args_right >= ARGS_FLOOR);
}

/// What is different, for whoever works on it.
fn explain(kind: &str, name: &str, domain: &Result<Domain>, wanted: &str) {
    let error = domain.as_ref().err().map_or("differs", |error| error.message());
    println!("{kind} {name}: {error}");
    let Ok(domain) = domain else { return };
    if kind != "args" {
        return;
    }
    match args(domain) {
        Ok(got) => {
            let (got, wanted) = (options(&got), options(wanted));
            got.difference(&wanted).for_each(|line| println!("+ {line}"));
            wanted.difference(&got).for_each(|line| println!("- {line}"));
        }
        Err(error) => println!("! {}", error.message()),
    }
}
