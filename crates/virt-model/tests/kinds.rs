//! Every kind of document: what the tables let stand is made up at random, read, printed and read again.

use virt_model::backup::Backup;
use virt_model::capabilities::{Capabilities, DomainCapabilities, PoolCapabilities};
use virt_model::filter::Filter;
use virt_model::filter_binding::FilterBinding;
use virt_model::host_interface::HostInterface;
use virt_model::network::{Network, NetworkPort};
use virt_model::node_device::NodeDevice;
use virt_model::schema::shape::{Item, Of, Often, Value};
use virt_model::schema::validate::{Allowed, fits, items_of};
use virt_model::secret::Secret;
use virt_model::storage::{Pool, Volume, VolumeParse};
use virt_model::{Document, ParseFlags, PrintFlags};
use virt_xml::Element;

/// How many documents of each kind.
const DOCUMENTS: usize = 400;

/// How deep they go.
const DEPTH_MAX: usize = 7;

/// The same numbers on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Texts of every type there is; what does not fit is not taken.
const TEXTS: &[&str] = &[
    "7",
    "1",
    "0",
    "64",
    "4096",
    "-3",
    "0x1f",
    "0x0001",
    "5001405000000001",
    "0711",
    "/a/b",
    "/dev/x",
    "5c6d49af-b071-4127-b4ec-6f8ed4b55335",
    "52:54:00:01:02:03",
    "10.0.0.9",
    "fd00::9",
    "255.255.255.0",
    "0-3,^2",
    "KiB",
    "n1",
    "$A",
    "$A[@1]",
    "vda",
    "1.2",
    "NEW,RELATED",
    "ipv4-x",
    "x y",
    "a<&'\"ß",
    "",
];

fn value(value: Value, dice: &mut Dice) -> String {
    let from = dice.below(TEXTS.len());
    let mut any = TEXTS.iter().cycle().skip(from).take(TEXTS.len());
    match value {
        Value::Words(words) => (*dice.one_of(words)).to_owned(),
        Value::Listed(parts) if dice.once_in(2) => {
            let words: Vec<&str> = parts.split('|').filter(|part| !part.starts_with('$')).collect();
            match words.is_empty() {
                true => any.find(|text| fits(value, text)).unwrap_or(&"1").to_string(),
                false => (*dice.one_of(&words)).to_owned(),
            }
        }
        _ => any.find(|text| fits(value, text)).unwrap_or(&"1").to_string(),
    }
}

fn element(
    name: &str,
    items: &[Item],
    parent: Option<&Element<'static>>,
    depth: usize,
    dice: &mut Dice,
) -> Element<'static> {
    let mut element = Element::new(name.to_owned());
    // What one attribute says may allow or take away others.
    for _ in 0..3 {
        let allowed = Allowed::of(items, &element, parent);
        element.attrs.retain(|attr| allowed.attrs.iter().any(|(known, ..)| *known == attr.name));
        for (name, of, required) in &allowed.attrs {
            if element.attr(name).is_none() && (*required || dice.once_in(3)) {
                element.set_attr(*name, value(*of, dice));
            }
        }
    }
    let allowed = Allowed::of(items, &element, parent);
    element.attrs.retain(|attr| {
        allowed.attrs.iter().any(|(known, of, _)| *known == attr.name && fits(*of, &attr.value))
    });
    for (name, often, of) in &allowed.children {
        let chosen = allowed.either.iter().find(|group| group.contains(name));
        let count = match often {
            _ if chosen.is_some_and(|_| dice.below(8) != 0) => 0,
            Often::Once | Often::Some => 1,
            _ if depth >= DEPTH_MAX => 0,
            Often::Maybe => usize::from(dice.once_in(2)),
            Often::Many => dice.below(3),
        };
        let items = match of {
            Of::Model(items) => items(),
            Of::Named(name) => items_of(name).unwrap_or_default(),
            Of::Items(items) => items.clone(),
        };
        for _ in 0..count {
            let above = element.clone();
            let child = self::element(name, &items, Some(&above), depth + 1, dice);
            element = element.with_child(child);
        }
    }
    if let Some(of) = allowed.text
        && element.children.is_empty()
    {
        element = element.with_text(value(of, dice));
    }
    element
}

/// Reads each document; those that are taken must come out of print and reading as they went in.
fn survive<T: PartialEq + std::fmt::Debug>(
    root: &str,
    definition: &str,
    read: impl Fn(&str) -> Option<T>,
    print: impl Fn(&T) -> String,
) {
    let items = items_of(definition).expect("a definition");
    let mut dice = Dice(20_260_101);
    let mut taken = 0;
    for _ in 0..DOCUMENTS {
        let text = virt_xml::to_string(&element(root, &items, None, 0, &mut dice));
        let Some(document) = read(&text) else { continue };
        let printed = print(&document);
        let Some(again) = read(&printed) else {
            panic!("what was printed is refused:\n{printed}\nfrom:\n{text}")
        };
        assert_eq!(print(&again), printed, "from:\n{text}");
        // Only what prints as nothing, an element without content, may be lost on the way.
        let third = read(&print(&again)).expect("what was read before");
        assert_eq!(third, again, "printed:\n{printed}\nfrom:\n{text}");
        taken += 1;
    }
    assert!(taken * 20 >= DOCUMENTS, "{root}: only {taken} of {DOCUMENTS} were taken");
}

fn document<T: Document + std::fmt::Debug + PartialEq>(definition: &str) {
    let flags = ParseFlags::default();
    survive(
        T::ROOT,
        definition,
        |text| T::parse(text, flags).ok(),
        |document: &T| document.to_xml(PrintFlags::default()),
    );
}

#[test]
fn networks_survive() {
    document::<Network>("network");
}

#[test]
fn network_ports_survive() {
    document::<NetworkPort>("networkport");
}

#[test]
fn pools_survive() {
    document::<Pool>("pool");
}

#[test]
fn volumes_survive() {
    let what = VolumeParse { no_capacity: true, ..VolumeParse::default() };
    let read = |text: &str| Volume::parse(text, Default::default(), what).ok();
    survive("volume", "volume", read, Volume::to_xml);
}

#[test]
fn host_interfaces_survive() {
    document::<HostInterface>("interface");
}

#[test]
fn node_devices_survive() {
    document::<NodeDevice>("device");
}

#[test]
fn secrets_survive() {
    document::<Secret>("secret");
}

#[test]
fn filters_survive() {
    // Compat: libvirt does not print a priority of 0, which a protocol's chain does not have by itself.
    let kept = |filter: &Filter| filter.chain == "root" || filter.chain_priority() != 0;
    let read = |text: &str| Filter::parse(text, ParseFlags::default()).ok().filter(kept);
    survive("filter", "filter", read, |filter| filter.to_xml(PrintFlags::default()));
}

#[test]
fn filter_bindings_survive() {
    document::<FilterBinding>("filterbinding");
}

#[test]
fn backups_survive() {
    document::<Backup>("domainbackup");
}

#[test]
fn capabilities_survive() {
    document::<Capabilities>("capabilities");
}

#[test]
fn pool_capabilities_survive() {
    document::<PoolCapabilities>("poolcaps");
}

#[test]
fn domain_capabilities_survive() {
    document::<DomainCapabilities>("domaincaps");
}
