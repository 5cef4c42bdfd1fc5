//! libvirt's own corpus of QEMU domains as a judge of the rules and of the command line: the share
//! that comes out identical is counted, and may not fall.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use virt_error::Result;
use virt_model::domain::{Domain, DomainRules, DriverFeatures, VirtType};
use virt_model::{Mac, ParseFlags, PrintFlags};
use virt_types::Uuid;

use crate::argv;
use crate::capabilities::{Capabilities, Machine, TYPES};
use crate::firmware::{self, Firmware};
use crate::rules::{Lookup, QemuRules};

/// What one check of one case came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `xml` or `argv`.
    pub(crate) check: &'static str,
    pub(crate) case: String,
    /// What is different.
    pub(crate) difference: Option<String>,
}

/// The emulator and the host that the corpus was made for.
struct Recorded {
    capabilities: Arc<Capabilities>,
    firmwares: Vec<Firmware>,
}

impl Lookup for Recorded {
    fn capabilities(&self, _: &Path) -> Result<Arc<Capabilities>> {
        Ok(Arc::clone(&self.capabilities))
    }

    fn kvm(&self, _: &Capabilities) -> bool {
        true
    }

    fn firmwares(&self) -> Vec<Firmware> {
        self.firmwares.clone()
    }
}

/// The rules with the corpus's random numbers.
struct Rules<'a>(QemuRules<'a>);

impl DomainRules for Rules<'_> {
    fn guest(&self, domain: &mut Domain) -> Result<()> {
        self.0.guest(domain)
    }

    fn before_defaults(&self, domain: &mut Domain, flags: ParseFlags) -> Result<()> {
        self.0.before_defaults(domain, flags)
    }

    fn defaults(&self, domain: &mut Domain, flags: ParseFlags) -> Result<()> {
        self.0.defaults(domain, flags)
    }

    fn validate(&self, domain: &Domain) -> Result<()> {
        self.0.validate(domain)
    }

    fn owns_namespace(&self, uri: &str) -> bool {
        self.0.owns_namespace(uri)
    }

    fn features(&self) -> DriverFeatures {
        self.0.features()
    }

    fn random_uuid(&self) -> Uuid {
        Uuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    }

    fn random_mac(&self, _: VirtType) -> Mac {
        Mac([0x52, 0x54, 0, 0, 1, 2])
    }
}

fn recorded(fixtures: &Path) -> Recorded {
    let file = fixtures.join("qemucaps/caps_10.0.0_x86_64.xml");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let root = virt_xml::parse(&text).ok();
    let mut machines: Vec<Machine> = Vec::new();
    for element in root.iter().flat_map(|root| root.children_named("machine")) {
        let name = element.attr("name").unwrap_or_default().to_owned();
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
        max_cpus: if name == "pc" { 255 } else { 4096 },
        default: name == "pc",
        default_cpu: Some("qemu64-x86_64-cpu".into()),
        ..Machine::default()
    });
    machines.splice(0..0, aliases);
    let types = TYPES.iter().map(|name| (*name).to_owned()).collect();
    let arch = "x86_64".to_owned();
    let capabilities = Capabilities { arch, machines, types, ..Capabilities::default() };
    let folders = ["usr/share/qemu", "etc/qemu", "home/user/.config/qemu"];
    let folders = folders.map(|at| fixtures.join("qemufirmware").join(at).join("firmware"));
    Recorded { capabilities: Arc::new(capabilities), firmwares: firmware::load(&folders) }
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

/// A line of a suite's table.
struct Case<'a> {
    name: &'a str,
    result: &'a str,
    input: &'a str,
    expected: Vec<&'a str>,
    extra: &'a str,
}

fn cases(table: &str) -> impl Iterator<Item = Case<'_>> {
    table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split('\t');
        let (name, result, input) = (columns.next()?, columns.next()?, columns.next()?);
        let expected = columns.next()?.split(' ').collect();
        Some(Case { name, result, input, expected, extra: columns.nth(1).unwrap_or_default() })
    })
}

fn read(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join(file)).unwrap_or_default()
}

/// The suite `qemu-xmlconf` of a folder of corpora.
pub(crate) fn qemu_xmlconf(data: &Path) -> Vec<Outcome> {
    let lookup = recorded(&data.join("fixtures"));
    let rules = Rules(QemuRules(&lookup));
    let dir = data.join("qemu-xmlconf");
    let mut outcomes = Vec::new();
    for case in cases(&read(&dir, "cases.tsv")) {
        let abi_update = case.extra.contains("ABI_UPDATE");
        let flags = ParseFlags { inactive: true, abi_update, ..ParseFlags::default() };
        let domain = Domain::load(&read(&dir, case.input), flags, &rules);
        for file in &case.expected {
            let wanted = read(&dir, file);
            let (check, difference) = judge(&case, file, &domain, &wanted);
            let case = case.name.to_owned();
            outcomes.push(Outcome { check, case, difference });
        }
    }
    outcomes
}

fn judge(
    case: &Case<'_>,
    file: &str,
    domain: &Result<Domain>,
    wanted: &str,
) -> (&'static str, Option<String>) {
    let refused = |result: std::result::Result<String, String>| match result {
        Ok(_) => Some(format!("not refused: {wanted}")),
        Err(got) if got.trim_end() == wanted.trim_end() => None,
        Err(got) => Some(format!("wanted: {wanted}   got: {got}")),
    };
    let shown = domain.as_ref().map_err(|error| error.message().to_owned());
    let print = PrintFlags { inactive: true, secure: true, ..PrintFlags::default() };
    if file.ends_with(".xml") {
        let difference = match shown.map(|domain| domain.to_xml(print)) {
            Ok(got) => lines(wanted, &got),
            Err(error) => Some(format!("error: {error}")),
        };
        return ("xml", difference);
    }
    if case.result == "parse-error" {
        // Compat: the place of a malformed document is the recording machine's.
        let wanted_place = wanted.split_once("ABS_SRCDIR").is_some();
        let difference = match shown {
            Err(_) if wanted_place => None,
            shown => refused(shown.map(|domain| domain.to_xml(print))),
        };
        return ("xml", difference);
    }
    let got = shown.and_then(|domain| args(domain).map_err(|error| error.message().to_owned()));
    if case.result == "error" {
        return ("argv", refused(got));
    }
    let difference = match got {
        Err(error) => Some(format!("error: {error}")),
        Ok(got) => {
            let (got, wanted) = (options(&got), options(wanted));
            let missing = wanted.difference(&got).map(|line| format!("- {line}\n"));
            let odd = got.difference(&wanted).map(|line| format!("+ {line}\n"));
            let all: String = missing.chain(odd).collect();
            (!all.is_empty()).then_some(all)
        }
    };
    ("argv", difference)
}

/// The lines that differ, in place.
fn lines(wanted: &str, got: &str) -> Option<String> {
    if wanted == got {
        return None;
    }
    let (left, right): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), got.lines().collect());
    let mut text = String::new();
    let (mut i, mut j) = (0, 0);
    while i < left.len() || j < right.len() {
        match (left.get(i), right.get(j)) {
            (Some(a), Some(b)) if a == b => (i, j) = (i + 1, j + 1),
            (Some(a), b) if !right[j..].contains(a) || b.is_none() => {
                text.push_str(&format!("- {a}\n"));
                i += 1;
            }
            (_, Some(b)) => {
                text.push_str(&format!("+ {b}\n"));
                j += 1;
            }
            (Some(_), None) | (None, None) => i += 1,
        }
    }
    Some(text)
}

/// The suite `qemu-active-xml`: a running guest's document, as it runs and as it is stored.
pub(crate) fn qemu_active_xml(data: &Path) -> Vec<Outcome> {
    let lookup = recorded(&data.join("fixtures"));
    let rules = Rules(QemuRules(&lookup));
    let dir = data.join("qemu-active-xml");
    let mut outcomes = Vec::new();
    for case in cases(&read(&dir, "cases.tsv")) {
        let domain = Domain::load(&read(&dir, case.input), ParseFlags::default(), &rules);
        let domain = domain.map(|mut domain| {
            domain.id.get_or_insert(1337);
            domain
        });
        for file in &case.expected {
            let inactive = file.contains("-inactive.");
            let flags = PrintFlags { inactive, secure: true, ..PrintFlags::default() };
            let difference = match &domain {
                Ok(domain) => lines(&read(&dir, file), &domain.to_xml(flags)),
                Err(error) => Some(format!("error: {}", error.message())),
            };
            outcomes.push(Outcome { check: "xml", case: case.name.to_owned(), difference });
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many checks came out right when this was last looked at.
    const XML_FLOOR: usize = 655;
    const ARGS_FLOOR: usize = 139;

    fn count(suite: &str, outcomes: &[Outcome], check: &str) -> usize {
        let of = outcomes.iter().filter(|outcome| outcome.check == check);
        let wrong = of.clone().filter(|outcome| outcome.difference.is_some());
        let right = of.count() - wrong.clone().count();
        println!("{suite}:{check} {right}/{}", right + wrong.clone().count());
        let shown = std::env::var("SHOW").ok();
        for outcome in wrong.filter(|_| shown.as_ref().is_some_and(|show| show.contains(check))) {
            let difference = outcome.difference.as_deref().unwrap_or_default();
            println!("=== {check} {}\n{difference}", outcome.case);
        }
        right
    }

    #[test]
    fn the_corpus_of_domains_comes_out_as_recorded() {
        let Ok(data) = test_support::shared("conformance") else {
            return test_support::skipped("no shared folder");
        };
        let outcomes = qemu_xmlconf(&data);
        assert!(count("qemu-xmlconf", &outcomes, "xml") >= XML_FLOOR);
        assert!(count("qemu-xmlconf", &outcomes, "argv") >= ARGS_FLOOR);
        let outcomes = qemu_active_xml(&data);
        assert!(count("qemu-active-xml", &outcomes, "xml") >= 11);
    }
}
