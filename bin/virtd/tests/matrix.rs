//! Every procedure of every program against every permission: who lacks the one that the description
//! names is refused there and nowhere else. The descriptions are read here anew; nothing that was
//! generated from them is asked.

mod raw;
mod world;

use std::collections::BTreeSet;

use protocol::sample::{Sampler, Source};
use protocol::{Call, Program, Rule, Type, When};
use raw::{Raw, open_arguments};
use test_support::Scratch;
use virt_driver::Registry;
use virt_error::Error;
use virt_wire::{Header, admin, remote};
use virtd::harness::{Daemon, Entry};
use world::{NAME, URI, World};

const DENIED: i32 = 88;
const READ_ONLY: i32 = 29;
/// `virErrorDomain` of the RPC layer: it refuses what no program has.
const NO_PROCEDURE: &str = "unknown procedure";

fn programs() -> Vec<Program> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol");
    protocol::PROGRAMS
        .iter()
        .map(|name| {
            let text = std::fs::read_to_string(folder.join(format!("{name}.virp"))).expect("ours");
            protocol::program(&text).expect("a description")
        })
        .collect()
}

/// Arguments that name what the world has.
struct Fitting {
    flags: u64,
}

impl Source for Fitting {
    fn number(&mut self, field: &str) -> u64 {
        if field == "flags" { self.flags } else { 1 }
    }

    fn text(&mut self, field: &str) -> Vec<u8> {
        if field == "uuid" { vec![1; 16] } else { NAME.into() }
    }

    fn is_some(&mut self, field: &str) -> bool {
        // No device has the capability that it would name.
        field != "cap"
    }

    fn count(&mut self, _: &str, _: usize) -> usize {
        0
    }
}

/// The flags that make a difference to what a call needs, and none.
fn variants(call: &Call) -> Vec<u64> {
    let rules = call.rules().expect("rules");
    let mut flags = BTreeSet::from([0]);
    for rule in rules {
        match rule.when {
            When::Always => {}
            When::AnyOf(mask) | When::NoneOf(mask) => {
                flags.insert(mask & mask.wrapping_neg());
                flags.insert(mask);
            }
        }
    }
    flags.into_iter().collect()
}

struct Bench {
    daemon: Daemon,
    rules: std::path::PathBuf,
    _folder: Scratch,
}

impl Bench {
    fn new(rules: Option<&str>) -> Self {
        let folder = Scratch::new("matrix");
        let path = folder.join("access.rules");
        let conf = rules.map_or(String::new(), |text| {
            std::fs::write(&path, text).expect("ours");
            format!("access_rules_file = \"{}\"\n", path.display())
        });
        virt_log::set_outputs(Vec::new());
        let registry = Registry::new().with(World);
        let daemon = Daemon::start(&conf, registry).expect("a daemon");
        Self { daemon, rules: path, _folder: folder }
    }

    fn connect(&self, entry: Entry) -> Raw {
        Raw::on(self.daemon.connect(entry).expect("a connection"))
    }

    fn open(&self, entry: Entry) -> Raw {
        let mut raw = self.connect(entry);
        raw.call(remote::CONNECT_OPEN, &open_arguments(URI, 0)).expect("open");
        raw
    }

    fn only_lacking(&self, permission: &str) {
        let text = format!("deny everyone to {permission}\nallow everyone to *\n");
        std::fs::write(&self.rules, text).expect("ours");
        self.daemon.reload();
    }
}

fn exchange(raw: &mut Raw, program: &Program, call: &Call, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let serial = raw.header(call.number).serial;
    raw.exchange(Header::call(program.number, program.version, call.number, serial), bytes)
}

/// Calls that can be made again and again on an open connection: not those that begin or end one.
fn repeatable(programs: &[Program]) -> impl Iterator<Item = (&Program, &Call)> {
    let three = programs.iter().filter(|program| program.name != "admin");
    three.flat_map(|program| program.calls.iter().map(move |call| (program, call))).filter(
        |(_, call)| {
            !call.name.starts_with("AUTH_")
                && !matches!(call.name.as_str(), "CONNECT_OPEN" | "CONNECT_CLOSE")
        },
    )
}

fn name(rule: &Rule) -> String {
    format!("{}.{}", rule.object, rule.permission)
}

/// Every permission that is named anywhere.
fn permissions(programs: &[Program]) -> BTreeSet<String> {
    repeatable(programs)
        .flat_map(|(_, call)| {
            let rules = call.rules().expect("rules").into_iter();
            rules.chain(call.filter_rule().expect("a filter")).map(|rule| name(&rule))
        })
        .collect()
}

#[test]
fn who_lacks_a_permission_is_refused_exactly_where_it_is_needed() {
    let programs = programs();
    let sampler = Sampler::new(&programs);
    let bench = Bench::new(Some("allow everyone to *\n"));
    let mut raw = bench.open(Entry::ReadWrite);
    let (mut checked, mut refused) = (0, 0);
    let permissions = permissions(&programs);
    for permission in &permissions {
        bench.only_lacking(permission);
        for (program, call) in repeatable(&programs) {
            let rules = call.rules().expect("rules");
            for flags in variants(call) {
                let needed =
                    rules.iter().any(|rule| rule.applies(flags) && name(rule) == *permission);
                let bytes = sampler.arguments(call, &mut Fitting { flags });
                let answer = exchange(&mut raw, program, call, &bytes);
                let denied = answer.as_ref().is_err_and(|error| error.number() == DENIED);
                assert_eq!(
                    denied, needed,
                    "{} {flags:#x} without {permission}: {answer:?}",
                    call.api
                );
                if let Err(error) = answer {
                    let message = error.message();
                    assert!(!message.contains("decode"), "{}: {message}", call.api);
                    assert!(!denied || message == "access denied: 'WORLD' denied access");
                }
                checked += 1;
                refused += usize::from(needed);
            }
        }
        // Opening is a call as well.
        let opened =
            bench.connect(Entry::ReadWrite).call(remote::CONNECT_OPEN, &open_arguments(URI, 0));
        assert_eq!(opened.is_err(), permission == "connect.getattr", "{permission}: {opened:?}");
    }
    println!("{} permissions, {checked} calls, {refused} refused", permissions.len());
    assert!(permissions.len() > 100 && refused > 500, "{} {refused}", permissions.len());
}

#[test]
fn lists_leave_out_what_may_not_be_seen() {
    let programs = programs();
    let sampler = Sampler::new(&programs);
    let bench = Bench::new(Some("allow everyone to *\n"));
    let mut raw = bench.open(Entry::ReadWrite);
    let mut filtered = 0;
    for (program, call) in repeatable(&programs) {
        let Some(filter) = call.filter_rule().expect("a filter") else { continue };
        // Of registrations, events are left out; that has a test of its own.
        if call.api.contains("Event") {
            continue;
        }
        let bytes = sampler.arguments(call, &mut Fitting { flags: 0 });
        let shown = |raw: &mut Raw| exchange(raw, program, call, &bytes).expect(&call.api);
        bench.only_lacking(&name(&filter));
        let without = shown(&mut raw);
        bench.only_lacking("interface.delete");
        let with = shown(&mut raw);
        // Nothing there: every word of the answer is zero.
        assert!(without.iter().all(|byte| *byte == 0), "{}: {without:?}", call.api);
        assert!(with.iter().any(|byte| *byte != 0), "{}: {with:?}", call.api);
        filtered += 1;
    }
    assert_eq!(filtered, 35);
}

/// Names somebody else's name beside a key that is right.
struct Forged;

impl Source for Forged {
    fn number(&mut self, _: &str) -> u64 {
        1
    }

    fn text(&mut self, field: &str) -> Vec<u8> {
        match field {
            "uuid" => vec![1; 16],
            "name" | "mac" | "usage_id" | "filtername" => b"b".to_vec(),
            _ => NAME.into(),
        }
    }

    fn is_some(&mut self, _: &str) -> bool {
        true
    }

    fn count(&mut self, _: &str, _: usize) -> usize {
        0
    }
}

#[test]
fn a_reference_of_which_a_part_is_somebody_elses_refers_to_nothing() {
    let programs = programs();
    let sampler = Sampler::new(&programs);
    let bench = Bench::new(Some("allow everyone to *\n"));
    let mut raw = bench.open(Entry::ReadWrite);
    let mut tried = 0;
    for (program, call) in repeatable(&programs) {
        let about = call.args.first().map(|arg| &arg.kind);
        let Some(Type::Record(record)) = about else { continue };
        // Most look-ups are judged by what they find.
        let of_domain = call.allow.iter().any(|rule| rule.starts_with("domain:"));
        if call.name.contains("_LOOKUP_") && !of_domain {
            continue;
        }
        let bytes = sampler.arguments(call, &mut Forged);
        let error = exchange(&mut raw, program, call, &bytes).expect_err(&call.api);
        let message = error.message();
        assert!(message.contains("not found"), "{} of {record}: {message}", call.api);
        tried += 1;
    }
    assert_eq!(tried, 242);
}

#[test]
fn a_read_only_connection_is_refused_exactly_what_changes_or_tells_secrets() {
    let programs = programs();
    let sampler = Sampler::new(&programs);
    let bench = Bench::new(None);
    let mut raw = bench.open(Entry::ReadOnly);
    for (program, call) in repeatable(&programs) {
        let rules = call.rules().expect("rules");
        for flags in variants(call) {
            let bytes = sampler.arguments(call, &mut Fitting { flags });
            let answer = exchange(&mut raw, program, call, &bytes);
            let denied = answer.as_ref().is_err_and(|error| error.number() == READ_ONLY);
            // What a call needs whatever its flags, the description may except.
            let excepted = call.read_only_refused == Some(false);
            let counts =
                |rule: &&Rule| rule.applies(flags) && !(excepted && rule.when == When::Always);
            let expected = call.read_only_refused == Some(true)
                || rules.iter().filter(counts).any(|rule| !rule.readable());
            assert_eq!(denied, expected, "{} {flags:#x}: {answer:?}", call.api);
        }
    }
}

#[test]
fn every_procedure_is_routed() {
    let programs = programs();
    let sampler = Sampler::new(&programs);
    let bench = Bench::new(None);
    let mut routed = Vec::new();
    for program in &programs {
        let is_admin = program.name == "admin";
        let entry = if is_admin { Entry::Admin } else { Entry::ReadWrite };
        for call in &program.calls {
            let mut raw = if is_admin || call.name.starts_with("CONNECT_") {
                bench.connect(entry)
            } else {
                bench.open(entry)
            };
            let bytes = sampler.arguments(call, &mut Fitting { flags: 0 });
            if let Err(error) = exchange(&mut raw, program, call, &bytes) {
                let message = error.message();
                assert!(!message.contains(NO_PROCEDURE), "{}: {message}", call.name);
                assert!(!message.contains("Cannot find program"), "{}: {message}", call.name);
            }
        }
        routed.push((program.name.as_str(), program.calls.len()));
    }
    println!("{routed:?}");
    assert_eq!(routed, [("remote", 400), ("qemu", 6), ("lxc", 1), ("admin", 20)]);
    // The administration program is nobody else's.
    let mut raw = bench.open(Entry::ReadWrite);
    let error = raw.exchange(Header::call(admin::PROGRAM, 1, 1, 2), &[]).expect_err("refused");
    assert!(error.message().contains("Cannot find program"), "{}", error.message());
}
