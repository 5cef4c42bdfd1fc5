//! Guests' processors: what they can have here, and what they have once they run.

use serde_json::{Value, json};
use virt_cpu::{
    Answer, Baseline, Description, Features, Host, Place, Register, Running, Tables, Wish,
};
use virt_driver::check_flags;
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::cpu::{Check, Fallback, Feature, Match, Mode, Model, Policy};
use virt_model::domain::{Cpu, Domain as Document, VirtType};
use virt_types::api;

use crate::capabilities::Capabilities;
use crate::monitor::Command;

/// The first virtual processor of a guest.
const FIRST: &str = "/machine/unattached/device[0]";

fn is_x86(document: &Document) -> bool {
    matches!(document.os.kind.arch.as_deref(), Some("x86_64" | "i686"))
}

/// What the flags of the calls for baselines ask for.
pub(crate) fn wish(flags: u32, function: &str) -> Result<Wish> {
    const EXPAND: u32 = api::CONNECT_BASELINE_CPU_EXPAND_FEATURES;
    const MIGRATABLE: u32 = api::CONNECT_BASELINE_CPU_MIGRATABLE;
    check_flags(flags, EXPAND | MIGRATABLE, function)
        .map_err(|error| error.or_from(Origin::Qemu))?;
    Ok(Wish { expand: flags & EXPAND != 0, migratable: flags & MIGRATABLE != 0 })
}

/// All that a guest's processor can have: what the emulator makes, or the host has.
pub(crate) fn most(capabilities: &Capabilities, kvm: bool) -> Features {
    if kvm {
        return Host::read().features;
    }
    let tables = Tables::x86();
    capabilities.maximum.iter().filter_map(|name| tables.row(name)).collect()
}

/// The host's processor as a guest here would get it.
pub(crate) fn host_model(capabilities: &Capabilities, kvm: bool) -> Option<Baseline> {
    let tables = Tables::x86();
    let vendor = match kvm {
        true => Host::read().vendor,
        false => virt_cpu::vendor(&capabilities.maximum_vendor),
    };
    let features = tables.migratable(&most(capabilities, kvm));
    if features.is_empty() { None } else { Baseline::of_guest(vendor, &features) }
}

pub(crate) fn compare_with_host(xml: &str) -> Result<Answer> {
    let cpu = Description::parse(xml, Origin::Qemu)?;
    let host = Host::read();
    virt_cpu::compare(&virt_host::architecture(), host.vendor, &host.features, &cpu, false)
}

/// Compat: how strictly a document wants its match does not count with an emulator.
pub(crate) fn compare_with_emulator(
    xml: &str,
    capabilities: &Capabilities,
    kvm: bool,
) -> Result<Answer> {
    let mut cpu = Description::parse(xml, Origin::Qemu)?;
    cpu.match_ = None;
    let most = most(capabilities, kvm);
    virt_cpu::compare(&virt_host::architecture(), None, &most, &cpu, true)
}

/// Makes the processor of a guest that starts one that can be named to the emulator.
pub(crate) fn prepare(document: &mut Document, capabilities: &Capabilities) -> Result<()> {
    let x86 = is_x86(document);
    let kvm = document.virt_type == VirtType::Kvm;
    let Some(cpu) = document.cpu.as_mut().filter(|_| x86) else { return Ok(()) };
    known(cpu)?;
    let custom = cpu.mode == Some(Mode::Custom);
    if custom && cpu.check == Some(Check::Partial) {
        fits(cpu, capabilities, kvm)?;
    }
    let minimum = custom && cpu.match_ == Some(Match::Minimum);
    let expanded = cpu.mode == Some(Mode::HostModel) && !kvm || minimum;
    if let Some(model) = host_model(capabilities, kvm).filter(|_| expanded) {
        expand(cpu, &model, minimum);
    }
    Ok(())
}

/// Refuses names that are in no table.
fn known(cpu: &Cpu) -> Result<()> {
    let tables = Tables::x86();
    let name = cpu.model.as_ref().and_then(|model| model.name.as_deref());
    if let Some(name) = name.filter(|name| tables.model(name).is_none()) {
        return Err(Error::internal(Origin::Cpu, format!("Unknown CPU model {name}")));
    }
    match cpu.features.iter().find(|feature| tables.row(&feature.name).is_none()) {
        Some(feature) => {
            let detail = format!("unknown CPU feature: {}", feature.name);
            Err(Error::new(Code::ConfigUnsupported, Origin::Qemu, detail))
        }
        None => Ok(()),
    }
}

/// Refuses what the emulator cannot make wholly.
fn fits(cpu: &Cpu, capabilities: &Capabilities, kvm: bool) -> Result<()> {
    let wanted = Description {
        model: cpu.model.as_ref().and_then(|model| model.name.clone()),
        features: cpu
            .features
            .iter()
            .map(|feature| (feature.name.clone(), feature.policy.unwrap_or_default()))
            .collect(),
        ..Description::default()
    };
    let most = most(capabilities, kvm);
    let answer = virt_cpu::compare(&virt_host::architecture(), None, &most, &wanted, true)?;
    answer.code(true).map(|_| ())
}

/// Writes a model out; what the document says of features itself stays.
fn expand(cpu: &mut Cpu, model: &Baseline, minimum: bool) {
    let own = std::mem::take(&mut cpu.features);
    cpu.mode = Some(Mode::Custom);
    cpu.match_ = Some(Match::Exact);
    cpu.check.get_or_insert(Check::Partial);
    let name = Some(model.model.to_owned());
    cpu.model = Some(Model { fallback: Some(Fallback::Forbid), name, vendor_id: None });
    if !minimum {
        cpu.vendor = model.vendor.map(str::to_owned);
    }
    let listed = model
        .features()
        .into_iter()
        .map(|(name, policy)| Feature { policy: Policy::from_word(policy), name: name.to_owned() });
    cpu.features = listed.filter(|new| own.iter().all(|old| old.name != new.name)).collect();
    cpu.features.extend(own.into_iter().filter(|_| !minimum));
}

/// What a new guest is asked about its processor; its answers go to [`learn`] in this order.
pub(crate) fn questions(document: &Document) -> Vec<Command> {
    let ask =
        |property: &str| Command::with("qom-get", json!({ "path": FIRST, "property": property }));
    let custom = document.cpu.as_ref().is_some_and(|cpu| cpu.mode == Some(Mode::Custom));
    match is_x86(document) && custom {
        true => vec![ask("feature-words"), ask("unavailable-features")],
        false => Vec::new(),
    }
}

/// Takes the processor that the guest really has into its live document.
pub(crate) fn learn(document: &mut Document, words: &Value, missing: &Value) -> Result<()> {
    let Some(cpu) = &mut document.cpu else { return Ok(()) };
    let tables = Tables::x86();
    let words: Vec<(u64, u64, &str, u64)> = list(words).filter_map(word).collect();
    let enabled = tables.decode(|place| match place {
        Place::Cpuid { leaf, subleaf, register } => {
            let name = match register {
                Register::Eax => "EAX",
                Register::Ebx => "EBX",
                Register::Ecx => "ECX",
                Register::Edx => "EDX",
            };
            let key = (u64::from(leaf), u64::from(subleaf), name);
            words.iter().find(|word| (word.0, word.1, word.2) == key).map_or(0, |word| word.3)
        }
        Place::Msr(_) => 0,
    });
    let missing = list(missing).filter_map(|name| tables.row(name.as_str()?)).collect();
    virt_cpu::update(cpu, &Running { enabled, missing })
        .map_err(|error| error.or_from(Origin::Qemu))
}

fn word(value: &Value) -> Option<(u64, u64, &str, u64)> {
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let subleaf = number("cpuid-input-ecx").unwrap_or(0);
    let register = value.get("cpuid-register")?.as_str()?;
    Some((number("cpuid-input-eax")?, subleaf, register, number("features")?))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
