//! Whatever a document of any kind may say by its description is read, printed and read again as the same.
//!
//! What a text cannot hold is not made: line breaks in attributes and carriage returns, which libvirt prints as
//! they are and XML does not keep; and what is state, as how full a pool is, which is printed and never read.

use std::fmt::Debug;

use virt_model::backup::Backup;
use virt_model::capabilities::{Capabilities, DomainCapabilities, HostCpu, PoolCapabilities};
use virt_model::domain::{Cpu, Domain, Sysinfo};
use virt_model::filter::Filter;
use virt_model::filter_binding::FilterBinding;
use virt_model::host_interface::HostInterface;
use virt_model::network::{Network, NetworkPort};
use virt_model::node_device::NodeDevice;
use virt_model::schema::shape::{Of, Often, Value};
use virt_model::schema::validate::{Allowed, fits, items_of};
use virt_model::schema::{Body, Out};
use virt_model::secret::Secret;
use virt_model::snapshot::{Checkpoint, Snapshot};
use virt_model::storage::{Pool, PoolType, Volume, VolumeParse};
use virt_model::{Document, ParseFlags, PrintFlags};
use virt_xml::Element;

/// Documents of each kind that are tried; `FERROVIRT_TRIES` asks for another number.
fn tries() -> u64 {
    std::env::var("FERROVIRT_TRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// How deep a made document is.
const DEPTH_MAX: usize = 9;

/// Texts of all sorts: what a value may be is looked for here.
const TEXTS: &[&str] = &[
    "1",
    "0",
    "2",
    "7",
    "64",
    "-1",
    "0x1",
    "0x1f",
    "0x01",
    "0x0000",
    "4096",
    "1048576",
    "a",
    "vda",
    "name",
    "a b & <c> \"d\" 'é'",
    "eth0",
    "/a/path",
    "/dev/sda",
    "KiB",
    "MiB",
    "yes",
    "no",
    "on",
    "off",
    "10.0.0.1",
    "10.0.0.0/8",
    "fe80::1",
    "52:54:00:01:02:03",
    "0755",
    "0-3",
    "1,3",
    "$IP",
    "$A[1]",
    "c7a5fdbd-edaf-9455-926a-d65c16db1809",
    "500a0981891b8dc5",
    "0xffffffffffffffff",
    "qcow2",
    "x86_64",
    "2024-01-01T00:00:00",
    "0000:00:1f.2",
    "1.5",
    "0.1",
    "::",
    "example.org",
    "0x00ff00",
    "tcp",
];

/// Makes documents; the same for the same seed.
struct Maker(u64);

impl Maker {
    fn below(&mut self, limit: usize) -> usize {
        // The constants are those of PCG's generator; its high bits are the good ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 40).expect("24 bits") % limit.max(1)
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> Option<&'t str> {
        let at = self.below(of.len());
        of.get(at).copied()
    }

    /// A text of that kind, where one is known.
    fn text(&mut self, value: Value) -> Option<&'static str> {
        match value {
            Value::Words(words) => self.one(words),
            Value::Listed(parts) => {
                let parts: Vec<&'static str> = parts.split('|').collect();
                let part = self.one(&parts)?;
                if !part.starts_with('$') {
                    return Some(part);
                }
                let fitting: Vec<&'static str> =
                    TEXTS.iter().copied().filter(|text| fits(Value::Listed(part), text)).collect();
                self.one(&fitting)
            }
            value => {
                let fitting: Vec<&'static str> =
                    TEXTS.iter().copied().filter(|text| fits(value, text)).collect();
                self.one(&fitting)
            }
        }
    }
}

impl Maker {
    /// An element as its description allows it, conditions and groups included.
    fn element(
        &mut self,
        name: &str,
        of: &Of,
        parent: Option<&Element<'_>>,
        depth: usize,
    ) -> Element<'static> {
        let items = match of {
            Of::Model(items) => items(),
            Of::Named(name) => items_of(name).unwrap_or_default(),
            Of::Items(items) => items.clone(),
        };
        let mut element = Element::new(name.to_owned());
        // What an attribute says may allow others: once for those, once for what they allow.
        for _ in 0..2 {
            for (name, value, required) in Allowed::of(&items, &element, parent).attrs {
                let wanted = required || self.below(3) == 0;
                if element.attr(name).is_none()
                    && wanted
                    && let Some(text) = self.text(value)
                {
                    element.set_attr(name, text);
                }
            }
        }
        let allowed = Allowed::of(&items, &element, parent);
        if let Some(text) = allowed.text.and_then(|value| self.text(value)) {
            return element.with_text(text);
        }
        let mut taken: Vec<&str> = Vec::new();
        for (name, often, of) in &allowed.children {
            let of_group = |group: &&Vec<&'static str>| group.contains(name);
            let group = allowed.either.iter().find(of_group);
            if group.is_some_and(|group| group.iter().any(|name| taken.contains(name))) {
                continue;
            }
            let count = match often {
                _ if depth == 0 => 0,
                Often::Once => 1,
                Often::Maybe => usize::from(self.below(3) == 0),
                Often::Many => self.below(9).saturating_sub(6),
                Often::Some => self.below(2) + 1,
            };
            for _ in 0..count {
                taken.push(name);
                let child = self.element(name, of, Some(&element), depth - 1);
                element = element.with_child(child);
            }
        }
        element
    }
}

/// Every document by one description that is read says, printed, all that was read: what is printed is read
/// as the same.
fn survive<T: PartialEq + Debug>(
    root: &'static str,
    description: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
    print: impl Fn(&T) -> String,
) {
    let mut found = 0;
    let mut refused = std::collections::BTreeMap::new();
    for seed in 0..tries() {
        let mut maker = Maker(seed);
        let made = maker.element(root, &Of::Named(description), None, DEPTH_MAX);
        let made = virt_xml::to_string(&made);
        let model: T = match read(&made) {
            Ok(model) => model,
            Err(reason) => {
                *refused.entry(reason).or_insert(0_u32) += 1;
                continue;
            }
        };
        found += 1;
        let printed = print(&model);
        let again = match read(&printed) {
            Ok(again) => again,
            Err(reason) => panic!("{root} {seed}: {reason}\n{made}\n{printed}"),
        };
        if again != model {
            let (before, after) = (format!("{model:#?}"), format!("{again:#?}"));
            let placed =
                |line: &&str| ["line: ", "column: "].iter().any(|p| line.trim().starts_with(p));
            let lines = |text: &'static str| text.lines().filter(|line| !placed(line));
            let differ = lines(before.leak()).zip(lines(after.leak())).find(|(a, b)| a != b);
            panic!("{root} {seed}: {differ:?}\n{made}\n{printed}");
        }
        assert_eq!(print(&again), printed, "{root} {seed}:\n{made}");
    }
    eprintln!("{root}: {found} of {} are read", tries());
    assert!(found * 20 > tries(), "{root}: only {found} are read; {refused:#?}");
}

/// How a body alone is read and printed, without defaults and checks of its document.
fn body<T: Body + PartialEq + Debug>(
    root: &'static str,
    description: &'static str,
    flags: ParseFlags,
) {
    let read = |text: &str| {
        let tree = virt_xml::parse(text).map_err(|error| error.to_string())?;
        T::read(&tree, flags).map_err(|error| error.message().to_owned())
    };
    let print = |model: &T| {
        let ParseFlags { inactive, status, .. } = flags;
        let flags = PrintFlags { secure: true, inactive, status, ..PrintFlags::default() };
        let mut out = Out::new(flags);
        out.element(root, model);
        out.w.finish()
    };
    survive(root, description, read, print);
}

/// The same of a whole document.
fn document<T: Document + PartialEq + Debug>(description: &'static str) {
    let read = |text: &str| {
        T::parse(text, ParseFlags::default()).map_err(|error| error.message().to_owned())
    };
    body::<T>(T::ROOT, description, ParseFlags::default());
    survive(T::ROOT, description, read, |document| document.to_xml(PrintFlags::default()));
}

const LIVE: ParseFlags = ParseFlags {
    inactive: false,
    validate: false,
    abi_update: false,
    skip_post_parse: false,
    status: false,
};
const INACTIVE: ParseFlags = ParseFlags { inactive: true, ..LIVE };
const STATUS: ParseFlags = ParseFlags { status: true, ..LIVE };

macro_rules! every {
    ($($name:ident: $Type:ty = $description:literal;)*) => {
        $(#[test]
        fn $name() {
            document::<$Type>($description);
        })*
    };
}

every! {
    a_network: Network = "network";
    a_network_port: NetworkPort = "networkport";
    a_pool: Pool = "pool";
    a_node_device: NodeDevice = "device";
    a_host_interface: HostInterface = "interface";
    a_secret: Secret = "secret";
    a_filter_binding: FilterBinding = "filterbinding";
    a_backup: Backup = "domainbackup";
    a_processor: Cpu = "cpu";
    a_hosts_processor: HostCpu = "cpu";
    a_hosts_firmware: Sysinfo = "sysinfo";
    a_hosts_capabilities: Capabilities = "capabilities";
    a_pools_capabilities: PoolCapabilities = "poolcaps";
    a_domains_capabilities: DomainCapabilities = "domaincaps";
}

#[test]
fn a_running_domain() {
    body::<Domain>("domain", "domain", LIVE);
}

#[test]
fn a_defined_domain() {
    body::<Domain>("domain", "domain", INACTIVE);
}

#[test]
fn a_domain_in_the_daemons_own_files() {
    body::<Domain>("domain", "domain", STATUS);
}

#[test]
fn a_snapshot() {
    body::<Snapshot>("domainsnapshot", "domainsnapshot", INACTIVE);
}

#[test]
fn a_checkpoint() {
    body::<Checkpoint>("domaincheckpoint", "domaincheckpoint", INACTIVE);
}

#[test]
fn a_volume() {
    body::<Volume>("volume", "volume", LIVE);
    let what = VolumeParse { no_capacity: true, ..VolumeParse::default() };
    let read = |text: &str| {
        Volume::parse(text, PoolType::Dir, what).map_err(|error| error.message().to_owned())
    };
    survive("volume", "volume", read, Volume::to_xml);
}

#[test]
fn a_filter() {
    // Compat: libvirt does not print a priority of 0, which a protocol's chain does not have by itself, so
    // its text cannot say it.
    let sayable = |filter: &Filter| filter.chain == "root" || filter.chain_priority() != 0;
    let read = |text: &str| match Filter::parse(text, ParseFlags::default()) {
        Ok(filter) if sayable(&filter) => Ok(filter),
        Ok(_) => Err("the text cannot say it".to_owned()),
        Err(error) => Err(error.message().to_owned()),
    };
    survive("filter", "filter", read, |filter| filter.to_xml(PrintFlags::default()));
}
