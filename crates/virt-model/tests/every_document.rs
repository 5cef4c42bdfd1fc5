//! Whatever a document of any kind may say by its description is read, printed and read again as the same.

use virt_model::backup::Backup;
use virt_model::capabilities::{Capabilities, DomainCapabilities, PoolCapabilities};
use virt_model::domain::{Cpu, Domain};
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
use virt_model::storage::{Pool, Volume};
use virt_model::{ParseFlags, PrintFlags};
use virt_xml::Element;

/// Documents of each kind that are tried.
const TRIES: u64 = 400;

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

fn print<T: Body>(root: &str, model: &T) -> String {
    let mut out = Out::new(PrintFlags { secure: true, ..PrintFlags::default() });
    out.element(root, model);
    out.w.finish()
}

fn read<T: Body>(text: &str) -> Result<T, String> {
    let tree = virt_xml::parse(text).map_err(|error| error.to_string())?;
    T::read(&tree, ParseFlags::default()).map_err(|error| error.message().to_owned())
}

/// Of documents by one description those that are read say, printed, all that was read: what is printed is
/// read as what prints the same again. (What nobody said and what is said by default are the same.)
fn survives<T: Body>(root: &'static str, description: &'static str) {
    let mut found = 0;
    let mut refused = std::collections::BTreeMap::new();
    for seed in 0..TRIES {
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
        let printed = print(root, &model);
        let again: T = match read(&printed) {
            Ok(again) => again,
            Err(reason) => panic!("{root} {seed}: {reason}\n{made}\n{printed}"),
        };
        assert_eq!(print(root, &again), printed, "{root} {seed}:\n{made}");
    }
    assert!(found * 5 > TRIES, "{root}: only {found} are read; {refused:#?}");
}

macro_rules! every {
    ($($name:ident: $Type:ty = $root:literal, $description:literal;)*) => {
        $(#[test]
        fn $name() {
            survives::<$Type>($root, $description);
        })*
    };
}

every! {
    a_domain: Domain = "domain", "domain";
    a_network: Network = "network", "network";
    a_network_port: NetworkPort = "networkport", "networkport";
    a_pool: Pool = "pool", "pool";
    a_volume: Volume = "volume", "volume";
    a_node_device: NodeDevice = "device", "device";
    a_host_interface: HostInterface = "interface", "interface";
    a_secret: Secret = "secret", "secret";
    a_filter: Filter = "filter", "filter";
    a_filter_binding: FilterBinding = "filterbinding", "filterbinding";
    a_snapshot: Snapshot = "domainsnapshot", "domainsnapshot";
    a_checkpoint: Checkpoint = "domaincheckpoint", "domaincheckpoint";
    a_backup: Backup = "domainbackup", "domainbackup";
    a_processor: Cpu = "cpu", "cpu";
    a_hosts_capabilities: Capabilities = "capabilities", "capabilities";
    a_pools_capabilities: PoolCapabilities = "storagepoolCapabilities", "poolcaps";
    a_domains_capabilities: DomainCapabilities = "domainCapabilities", "domaincaps";
}
