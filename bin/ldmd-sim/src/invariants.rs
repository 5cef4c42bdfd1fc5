//! What holds for the machine whatever is asked of it, in whatever order.

use proptest::prelude::*;

use crate::actions::{self, Context, Step};
use crate::message::{Item, Object};
use crate::model::{Machine, State};
use crate::options::{ConsolePorts, Settings};
use crate::profile::RELEASES;

const ACTIONS: &[&str] = &[
    "add-domain",
    "remove-domain",
    "bind-domain",
    "unbind-domain",
    "start-domain",
    "stop-domain",
    "panic-domain",
    "add-vcpu",
    "set-vcpu",
    "remove-vcpu",
    "set-core",
    "set-mau",
    "add-memory",
    "set-memory",
    "remove-memory",
    "add-vdisk",
    "remove-vdisk",
    "add-vnet",
    "remove-vnet",
    "set-vconsole",
    "add-vdiskserverdevice",
    "remove-vdiskserverdevice",
    "start-reconf",
    "remove-reconf",
];
const NAMES: &[&str] = &["primary", "a", "b", "c"];

/// An object with everything that any of the actions wants.
fn object(name: &str, number: u32) -> Object {
    let volume = format!("v{}", number % 3);
    let disk = |kind: &str| {
        Item::new(kind).with("service_name", "primary-vds0").with("vol_name", volume.clone())
    };
    let group = if number.is_multiple_of(2) { "shared" } else { name };
    let items = vec![
        Item::new("cpu").with_units(number.to_string()),
        Item::new("core").with_units(number.to_string()),
        Item::new("mau").with_units(number.to_string()),
        Item::new("memory").with_units(format!("{}M", number * 256)),
        disk("disk").with("vdisk_name", format!("d{number}")),
        disk("vds_volume").with("block_dev", "/dev/x"),
        Item::new("network")
            .with("vnet_name", format!("n{number}"))
            .with("service_name", "primary-vsw0"),
        Item::new("console").with("group", group),
    ];
    Object::of(name, items)
}

/// Only what `add-domain` takes; now with devices, now without.
fn addition(name: &str, number: u32) -> Object {
    let mut object = object(name, number);
    let kinds: &[&str] = match number % 3 {
        0 => &["cpu", "memory"],
        1 => &["core", "memory", "network"],
        _ => &["cpu", "mau", "memory", "console", "disk"],
    };
    object.items.retain(|item| kinds.contains(&item.kind.as_str()));
    object
}

fn check(machine: &Machine) -> Result<(), TestCaseError> {
    let mut strands: Vec<u32> =
        machine.domains.iter().flat_map(|domain| domain.bound.strands.clone()).collect();
    let count = strands.len();
    strands.sort_unstable();
    strands.dedup();
    prop_assert_eq!(strands.len(), count, "a strand has two owners");
    prop_assert_eq!(count + machine.free_strands().len(), machine.hardware.strands as usize);
    let mut end = 0;
    let mut bound = 0;
    for (block, _) in machine.bound_memory() {
        prop_assert!(block.physical >= end, "memory has two owners");
        end = block.physical + block.bytes;
        bound += block.bytes;
    }
    prop_assert!(end <= machine.hardware.memory_bytes);
    let free: u64 = machine.free_memory().iter().map(|(_, bytes)| bytes).sum();
    prop_assert_eq!(bound + free, machine.hardware.memory_bytes);
    for domain in &machine.domains {
        if !domain.state.holds() {
            prop_assert_eq!(&domain.bound, &Default::default(), "{} holds something", domain.name);
            continue;
        }
        prop_assert_eq!(domain.bound.strands.len(), domain.wanted.vcpus as usize);
        prop_assert_eq!(domain.bound.maus.len(), domain.wanted.maus as usize);
        prop_assert!(domain.bound.memory_bytes() >= domain.wanted.memory_bytes);
        prop_assert_eq!(domain.bound.port.is_none(), domain.is_control());
        prop_assert!(domain.pending.is_none() || domain.state == State::Active);
        for other in machine.domains.iter().filter(|other| other.state.holds()) {
            let is_shared = domain.bound.port.is_some() && domain.bound.port == other.bound.port;
            prop_assert!(!is_shared || domain.console_group() == other.console_group());
        }
    }
    prop_assert!(machine.domains.iter().filter(|domain| domain.pending.is_some()).count() <= 1);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn nothing_has_two_owners_and_nothing_gets_lost(
        release in 0..RELEASES.len(),
        steps in prop::collection::vec((0..ACTIONS.len(), 0..NAMES.len(), 0u32..9), 1..80),
    ) {
        let mut settings = Settings {
            profile: RELEASES[release],
            console_ports: ConsolePorts::Chosen,
            control_memory_bytes: 1 << 30,
            ..Settings::default()
        };
        settings.hardware.strands = 32;
        settings.hardware.memory_bytes = 8 << 30;
        let mut machine = Machine::new(&settings).unwrap();
        machine.furnish(&settings).unwrap();
        let context = Context { live: &settings.live, options: &[] };
        for (action, name, number) in steps {
            let (action, name) = (ACTIONS[action], NAMES[name]);
            let object = match action {
                "add-domain" => addition(name, number),
                _ => object(name, number),
            };
            let before = machine.domains.clone();
            match actions::run(&mut machine, &context, action, &[object]) {
                Ok(Step::Done(_)) => {}
                Ok(_) => prop_assert!(false, "{} takes time", action),
                Err(why) => {
                    prop_assert!(!why.is_empty());
                    prop_assert_eq!(&machine.domains, &before, "{} failed and changed something", action);
                }
            }
            check(&machine)?;
        }
    }
}
