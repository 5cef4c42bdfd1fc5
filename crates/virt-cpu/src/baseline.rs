//! The processor that several hosts can all be, and the model that says it shortest.

use virt_error::{Code, Error, Origin, Result};
use virt_xml::Writer;

use crate::description::Description;
use crate::models::{Family, is_power_model, unsupported};
use crate::tables::{Features, Model, Tables};

/// How a baseline is to be given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Every feature is spelled out, those of the model too.
    pub expand: bool,
    /// What cannot go along to another host is left out.
    pub migratable: bool,
}

/// A model and what differs from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    pub model: &'static str,
    pub vendor: Option<&'static str>,
    pub require: Features,
    pub disable: Features,
}

fn failed(detail: &str) -> Error {
    Error::new(Code::OperationFailed, Origin::Cpu, detail)
}

/// `<cpu>` of a guest that a hypervisor can run wherever one of those described runs: `most` is what
/// it can give at all.
pub fn baseline_within(
    cpus: &[String],
    most: &Features,
    wish: Wish,
    from: Origin,
) -> Result<String> {
    let mut guests = Vec::new();
    for (at, text) in cpus.iter().enumerate() {
        let guest = Description::parse(text, from)?;
        if guest.model.is_none() {
            let detail = format!("no CPU model specified at index {at}");
            return Err(Error::new(Code::InvalidArg, Origin::Cpu, detail));
        }
        guests.push(guest);
    }
    x86(&guests, Some(most), wish)
}

/// `<cpu>` of a guest that can run on all the hosts described.
pub fn baseline(cpus: &[String], wish: Wish, from: Origin) -> Result<String> {
    let mut hosts = Vec::new();
    for text in cpus {
        let host = Description::parse(text, from)?;
        if host.mode.is_some() {
            let detail = "Attribute mode is only allowed for guest CPU";
            return Err(Error::new(Code::ConfigUnsupported, Origin::Cpu, detail));
        }
        let missing = |what: &str| Error::new(Code::XmlError, Origin::Cpu, what);
        if host.arch.is_none() {
            return Err(missing("Missing CPU architecture"));
        }
        if host.model.is_none() {
            return Err(missing("Missing CPU model name"));
        }
        hosts.push(host);
    }
    let Some(first) = hosts.first() else {
        return Err(Error::new(Code::InvalidArg, Origin::Cpu, "No CPUs given"));
    };
    let arch = first.arch.as_deref().unwrap_or_default();
    match Family::of(arch) {
        Family::X86 => x86(&hosts, None, wish),
        Family::Power => power(&hosts),
        Family::Arm => Ok(arm(&hosts)),
        Family::Free => {
            let detail = format!("cannot compute baseline CPU of {arch} architecture");
            Err(Error::new(Code::NoSupport, Origin::Cpu, detail))
        }
        Family::None => Err(unsupported(arch)),
    }
}

/// The one model that all name, if they name one.
fn common_name(hosts: &[Description]) -> Option<&str> {
    let first = hosts.first()?.model.as_deref()?;
    hosts.iter().all(|host| host.model.as_deref() == Some(first)).then_some(first)
}

fn x86(hosts: &[Description], most: Option<&Features>, wish: Wish) -> Result<String> {
    let tables = Tables::x86();
    let mut common: Option<Features> = None;
    let mut vendors: Vec<Option<&str>> = Vec::new();
    let wanted = hosts.first().and_then(|host| host.vendor.as_deref());
    for host in hosts {
        let resolved = host.resolve(tables)?;
        let vendor = host.vendor.as_deref().or(resolved.vendor);
        if wanted.is_some() && vendor.is_some() && vendor != wanted {
            return Err(failed("CPU vendors do not match"));
        }
        vendors.push(vendor);
        let asked = &(&resolved.model | &resolved.require) | &resolved.force;
        let has = &(&asked - &resolved.disable) - &resolved.forbid;
        common = Some(common.map_or_else(|| has.clone(), |common| &common & &has));
    }
    let mut common = common.unwrap_or_default();
    if let Some(most) = most {
        common = &common & most;
    }
    if wish.migratable {
        common = tables.migratable(&common);
    }
    let named = vendors.iter().flatten().next().copied();
    let vendor = named.filter(|name| vendors.iter().flatten().all(|vendor| vendor == name));
    let fits = |model: &&Model| model.vendor.is_none() || model.vendor == vendor;
    let only = common_name(hosts).and_then(|name| tables.model(name)).filter(fits);
    let model = only.or_else(|| nearest(tables.models().iter().filter(fits), &common));
    let model = model.ok_or_else(|| failed("CPUs are incompatible"))?;
    let baseline = Baseline {
        model: model.name,
        vendor: None,
        require: &common - &model.features,
        disable: &model.features - &common,
    };
    let printed = vendor.filter(|_| hosts.iter().all(|host| host.vendor.is_some()));
    Ok(print(&baseline, only.is_some() || most.is_some(), printed, wish.expand, tables))
}

/// How many features named beside a model weigh as much as one taken from it.
const TAKEN: usize = 6;

/// Names that are kept for old guests: nothing new is called by them.
const OLD: &str = "cpu64-rhel";

/// The model that says the features in the fewest words; the first of several.
fn nearest<'m>(models: impl Iterator<Item = &'m Model>, features: &Features) -> Option<&'m Model> {
    let words = |model: &&Model| {
        let taken = model.features.difference(features).count();
        features.difference(&model.features).count().saturating_add(taken.saturating_mul(TAKEN))
    };
    models.filter(|model| !model.name.starts_with(OLD)).min_by_key(words)
}

impl Baseline {
    /// What a processor of this vendor with these features is best called in a guest's document.
    pub fn of_guest(vendor: Option<&'static str>, features: &Features) -> Option<Self> {
        let fits = |model: &&Model| model.vendor.is_none() || model.vendor == vendor;
        let model = nearest(Tables::x86().models().iter().filter(fits), features)?;
        Some(Self {
            model: model.name,
            vendor,
            require: features - &model.features,
            disable: &model.features - features,
        })
    }

    /// What a host's processor is: of a model it has wholly, and the rest by name. Where nobody says who
    /// made it, any vendor's models will do.
    pub fn of_host(vendor: Option<&'static str>, features: &Features) -> Option<Self> {
        let fits = |model: &&Model| {
            (vendor.is_none() || model.vendor.is_none() || model.vendor == vendor)
                && model.features.is_subset(features)
                && !model.name.starts_with(OLD)
        };
        // Compat: here the last of equals is taken.
        let models = Tables::x86().models().iter().rev().filter(fits);
        let model = models.max_by_key(|model| (model.features.len(), model.name.len()))?;
        let require = features - &model.features;
        Some(Self { model: model.name, vendor, require, disable: Features::new() })
    }

    /// The features in the order in which documents have them, with their policy.
    pub fn features(&self) -> Vec<(&'static str, &'static str)> {
        policies(&self.require, &self.disable, Tables::x86())
    }
}

fn policies(
    require: &Features,
    disable: &Features,
    tables: &Tables,
) -> Vec<(&'static str, &'static str)> {
    let named = |policy: &'static str| move |row: &u16| (tables.name(*row), policy);
    require.iter().map(named("require")).chain(disable.iter().map(named("disable"))).collect()
}

fn print(
    baseline: &Baseline,
    forbid: bool,
    vendor: Option<&str>,
    expand: bool,
    tables: &Tables,
) -> String {
    let own = tables.model(baseline.model).map(|model| &model.features);
    let features = match own {
        Some(own) if expand => {
            let all = &(own | &baseline.require) - &baseline.disable;
            let mut features = policies(&all, &baseline.disable, tables);
            features.sort_unstable();
            features
        }
        _ => policies(&baseline.require, &baseline.disable, tables),
    };
    document(baseline.model, forbid, vendor, &features)
}

fn document(model: &str, forbid: bool, vendor: Option<&str>, features: &[(&str, &str)]) -> String {
    let mut w = Writer::new();
    w.open("cpu");
    w.attr("mode", "custom");
    w.attr("match", "exact");
    w.open("model");
    w.attr("fallback", if forbid { "forbid" } else { "allow" });
    w.text(model);
    w.close("model");
    if let Some(vendor) = vendor {
        w.text_element("vendor", vendor);
    }
    for (name, policy) in features {
        w.open("feature");
        w.attr("policy", policy);
        w.attr("name", name);
        w.close("feature");
    }
    w.close("cpu");
    w.finish()
}

/// Power has models and no features: hosts fit when they are the same.
fn power(hosts: &[Description]) -> Result<String> {
    for name in hosts.iter().filter_map(|host| host.model.as_deref()) {
        if !is_power_model(name) {
            return Err(Error::internal(Origin::Cpu, format!("Unknown CPU model {name}")));
        }
    }
    let name = common_name(hosts).ok_or_else(|| failed("CPUs are incompatible"))?;
    Ok(document(name, true, None, &[]))
}

/// Arm's models are taken as they come.
/// Compat: the first one's name, and nothing of features.
fn arm(hosts: &[Description]) -> String {
    let model = hosts.first().and_then(|host| host.model.as_deref());
    document(model.unwrap_or_default(), false, None, &[])
}
