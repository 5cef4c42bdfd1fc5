//! The tables against libvirt's own schemas: every document of the corpora, as it is and misspelt.

#![allow(clippy::print_stdout, reason = "counts and skips are what these tests report")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use virt_model::schema::validate;
use virt_xml::{Element, Node};

/// Which schema judges a root.
const SCHEMAS: &[(&str, &str)] = &[
    ("domain", "domain.rng"),
    ("network", "network.rng"),
    ("networkport", "networkport.rng"),
    ("pool", "storagepool.rng"),
    ("volume", "storagevol.rng"),
    ("interface", "interface.rng"),
    ("device", "nodedev.rng"),
    ("secret", "secret.rng"),
    ("filter", "nwfilter.rng"),
    ("filterbinding", "nwfilterbinding.rng"),
    ("domainsnapshot", "domainsnapshot.rng"),
    ("domaincheckpoint", "domaincheckpoint.rng"),
    ("domainbackup", "domainbackup.rng"),
    ("capabilities", "capability.rng"),
    ("storagepoolCapabilities", "storagepoolcaps.rng"),
];

/// Suites whose documents are of another release, or parts of documents.
const LEFT_OUT: &[&str] = &["cpu", "fixtures", "qemu-hotplug", "network-update", "schemas"];

/// Limit: files per call of the judge.
const FILES_AT_ONCE: usize = 400;

fn conformance() -> Option<PathBuf> {
    let root = std::env::var_os("FERROVIRT_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let folder = root.join("conformance");
    if !folder.join("schemas").is_dir() {
        println!("skipped: {} is not there", folder.display());
        return None;
    }
    if Command::new("xmllint").arg("--version").output().is_err() {
        println!("skipped: there is no xmllint");
        return None;
    }
    Some(folder)
}

fn xml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            xml_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "xml") {
            found.push(path);
        }
    }
}

/// Documents by their root.
fn corpora(folder: &Path) -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let mut by_root: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    let mut suites: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("the corpora").flatten().map(|e| e.path()).collect();
    suites.sort();
    for suite in suites {
        if LEFT_OUT.iter().any(|name| suite.ends_with(name)) {
            continue;
        }
        let mut files = Vec::new();
        xml_files(&suite, &mut files);
        for file in files {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            let Ok(tree) = virt_xml::parse(&text) else { continue };
            let root = tree.name.to_string();
            by_root.entry(root).or_default().push((file, text));
        }
    }
    by_root
}

/// What the schema says of each file.
fn judged(schema: &Path, files: &[PathBuf]) -> Vec<bool> {
    let mut verdicts = Vec::new();
    for some in files.chunks(FILES_AT_ONCE) {
        let run = Command::new("xmllint")
            .args(["--noout", "--relaxng"])
            .arg(schema)
            .args(some)
            .output()
            .expect("xmllint runs");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        let valid: std::collections::HashSet<&str> =
            said.lines().filter_map(|line| line.strip_suffix(" validates")).collect();
        verdicts.extend(some.iter().map(|file| valid.contains(&*file.to_string_lossy())));
    }
    verdicts
}

fn ours(text: &str) -> Vec<validate::Fault> {
    let tree = virt_xml::parse(text).expect("well formed");
    validate::faults(&tree)
}

/// Counts where both agree; `SCHEMA_SHOW=PART` prints the others whose path holds PART.
#[derive(Default)]
struct Count {
    agreed: usize,
    too_strict: usize,
    too_loose: usize,
}

impl Count {
    fn add(&mut self, path: &Path, note: &str, wanted: bool, faults: &[validate::Fault]) {
        let agree = wanted == faults.is_empty();
        match (agree, wanted) {
            (true, _) => self.agreed += 1,
            (false, true) => self.too_strict += 1,
            (false, false) => self.too_loose += 1,
        }
        let show = std::env::var("SCHEMA_SHOW").ok();
        if !agree && show.is_some_and(|part| path.to_string_lossy().contains(&part)) {
            let what =
                faults.first().map_or_else(|| "LOOSE".to_owned(), validate::Fault::explained);
            println!("--- {} {note}: {what}", path.display());
        }
    }

    fn total(&self) -> usize {
        self.agreed + self.too_strict + self.too_loose
    }

    /// Fails below what was once reached. Nothing is ever refused that the schema allows.
    fn at_least(&self, percent: usize) {
        assert!(self.total() > 0, "nothing was judged");
        assert_eq!(self.too_strict, 0, "false alarms");
        assert!(self.agreed * 100 >= self.total() * percent, "less than {percent} % agree");
    }

    fn report(&self, what: &str) {
        let Self { agreed, too_strict, too_loose } = self;
        println!(
            "{what}: {agreed}/{} agree, {too_strict} too strict, {too_loose} too loose",
            self.total()
        );
    }
}

#[test]
fn documents_are_judged_as_libvirts_schemas_judge_them() {
    let Some(folder) = conformance() else { return };
    let corpora = corpora(&folder);
    let mut all = Count::default();
    for (root, schema) in SCHEMAS {
        let documents = corpora.get(*root).map_or(&[][..], Vec::as_slice);
        let files: Vec<PathBuf> = documents.iter().map(|(path, _)| path.clone()).collect();
        let mut count = Count::default();
        for ((path, text), wanted) in
            documents.iter().zip(judged(&folder.join("schemas").join(schema), &files))
        {
            count.add(path, "", wanted, &ours(text));
            all.add(Path::new(""), "", wanted, &ours(text));
        }
        count.report(root);
    }
    all.report("documents");
    all.at_least(100);
}

/// One way to spoil a document.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slip {
    Element,
    Attribute,
    Word,
    ElementLost,
    ElementTwice,
    AttributeLost,
    StrayText,
}

const MISSPELT: &[Slip] = &[Slip::Element, Slip::Attribute, Slip::Word];
const MISPLACED: &[Slip] =
    &[Slip::ElementLost, Slip::ElementTwice, Slip::AttributeLost, Slip::StrayText];

/// Stands for a text between elements, which the writer would not print.
const STRAY: &str = "stray-text";

/// The same numbers on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

/// A word with two letters exchanged, or one more.
fn misspelt(word: &str) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    match letters.windows(2).position(|pair| pair[0] != pair[1]) {
        Some(at) if letters.len() > 3 => letters.swap(at, at + 1),
        _ => letters.push('x'),
    }
    letters.into_iter().collect()
}

/// How many places of a kind there are below an element, foreign trees left out.
fn places(element: &Element<'_>, fits: &dyn Fn(&Element<'_>) -> usize) -> usize {
    let inside: usize =
        element.elements().filter(|e| e.name != "metadata").map(|e| places(e, fits)).sum();
    fits(element) + inside
}

/// Changes the place of this number.
fn change(
    element: &mut Element<'static>,
    at: &mut usize,
    fits: &dyn Fn(&Element<'_>) -> usize,
    spoil: &dyn Fn(&mut Element<'static>, usize),
) -> bool {
    let here = fits(element);
    if *at < here {
        spoil(element, *at);
        return true;
    }
    *at -= here;
    element.children.iter_mut().any(|node| match node {
        Node::Element(child) if child.name != "metadata" => change(child, at, fits, spoil),
        _ => false,
    })
}

fn nth_child(element: &Element<'_>, nth: usize) -> usize {
    let is_element = |(_, node): &(usize, &Node<'_>)| matches!(node, Node::Element(_));
    element.children.iter().enumerate().filter(is_element).nth(nth).map_or(0, |(at, _)| at)
}

fn spoiled(tree: &Element<'static>, slip: Slip, dice: &mut Dice) -> Option<Element<'static>> {
    let mut tree = tree.clone();
    let is_word = |value: &str| !value.is_empty() && value.bytes().all(|c| c.is_ascii_lowercase());
    let fits = move |element: &Element<'_>| match slip {
        Slip::Element | Slip::ElementLost | Slip::ElementTwice => element.elements().count(),
        Slip::Attribute | Slip::AttributeLost => element.attrs.len(),
        Slip::Word => element.attrs.iter().filter(|attr| is_word(&attr.value)).count(),
        Slip::StrayText => usize::from(element.elements().count() > 0),
    };
    let spoil = move |element: &mut Element<'static>, nth: usize| match slip {
        Slip::Element => {
            let at = nth_child(element, nth);
            if let Some(Node::Element(child)) = element.children.get_mut(at) {
                child.name = misspelt(&child.name).into();
            }
        }
        Slip::ElementLost => {
            let at = nth_child(element, nth);
            element.children.remove(at);
        }
        Slip::ElementTwice => {
            let at = nth_child(element, nth);
            element.children.insert(at, element.children[at].clone());
        }
        Slip::Attribute => element.attrs[nth].name = misspelt(&element.attrs[nth].name).into(),
        Slip::AttributeLost => drop(element.attrs.remove(nth)),
        Slip::Word => {
            if let Some(attr) =
                element.attrs.iter_mut().filter(|attr| is_word(&attr.value)).nth(nth)
            {
                attr.value = misspelt(&attr.value).into();
            }
        }
        Slip::StrayText => element.children.push(Node::Element(Element::new(STRAY))),
    };
    let count = places(&tree, &fits);
    let mut at = dice.below(count);
    (count > 0 && change(&mut tree, &mut at, &fits, &spoil)).then_some(tree)
}

/// `SCHEMA_SEED=N` spoils other places.
fn seed() -> u64 {
    std::env::var("SCHEMA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_101)
}

/// Judges one spoiled form of each document for each of these slips.
fn judge_spoiled(name: &str, slips: &[Slip]) -> Option<Count> {
    let folder = conformance()?;
    let scratch = std::env::temp_dir().join(format!("schema-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).expect("a scratch folder");
    let mut all = Count::default();
    let mut dice = Dice(seed());
    let corpora = corpora(&folder);
    for (root, schema) in SCHEMAS {
        let mut files = Vec::new();
        let mut texts = Vec::new();
        for (number, (path, text)) in corpora.get(*root).into_iter().flatten().enumerate() {
            let Ok(tree) = virt_xml::parse(text) else { continue };
            for slip in slips {
                let Some(tree) = spoiled(&tree.to_static(), *slip, &mut dice) else { continue };
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let file = scratch.join(format!("{root}-{stem}-{number}-{slip:?}.xml"));
                let text = virt_xml::to_string(&tree).replace(&format!("<{STRAY}/>"), "stray");
                std::fs::write(&file, &text).expect("a file in the scratch folder");
                files.push(file);
                texts.push(text);
            }
        }
        let mut count = Count::default();
        for ((file, text), wanted) in
            files.iter().zip(&texts).zip(judged(&folder.join("schemas").join(schema), &files))
        {
            let faults = ours(text);
            count.add(file, "", wanted, &faults);
            all.add(Path::new(""), "", wanted, &faults);
        }
        count.report(&format!("{name} {root}"));
    }
    all.report(name);
    if std::env::var_os("SCHEMA_SHOW").is_none() {
        std::fs::remove_dir_all(&scratch).expect("the scratch folder goes");
    }
    Some(all)
}

#[test]
fn misspelt_documents_are_judged_alike() {
    let Some(all) = judge_spoiled("misspelt", MISSPELT) else { return };
    all.at_least(99);
}

#[test]
fn documents_with_too_much_or_too_little_are_judged_alike() {
    let Some(all) = judge_spoiled("misplaced", MISPLACED) else { return };
    all.at_least(99);
}
