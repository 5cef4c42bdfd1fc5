//! A guest's processor as the emulator really made it.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Cpu;
use virt_model::domain::cpu::{Check, Fallback, Feature, Match, Mode, Policy};

use crate::tables::{Features, Tables};

/// What the emulator says of a guest's processor.
#[derive(Clone, Debug, Default)]
pub struct Running {
    pub enabled: Features,
    /// What was asked for and cannot be given.
    pub missing: Features,
}

/// Takes what runs into the live document; refuses what `check='full'` does not let pass.
pub fn update(cpu: &mut Cpu, running: &Running) -> Result<()> {
    let tables = Tables::x86();
    let name = cpu.model.as_ref().and_then(|model| model.name.as_deref());
    let Some(model) = name.and_then(|name| tables.model(name)) else { return Ok(()) };
    if cpu.mode != Some(Mode::Custom) {
        return Ok(());
    }
    let listed: Features = cpu.features.iter().filter_map(|f| tables.row(&f.name)).collect();
    let extra = &(&running.enabled - &model.features) - &listed;
    let lacking = &(&(&model.features | &running.missing) - &running.enabled) - &listed;
    let strict = cpu.check == Some(Check::Full);
    if strict {
        full(cpu, running, &extra, &lacking, tables)?;
    }
    for feature in &mut cpu.features {
        let on = tables.row(&feature.name).is_some_and(|row| running.enabled.contains(&row));
        feature.policy = Some(match feature.policy.unwrap_or_default() {
            Policy::Forbid => Policy::Forbid,
            _ if on => Policy::Require,
            _ => Policy::Disable,
        });
    }
    let mut rows: Vec<(u16, Policy)> = Vec::new();
    rows.extend(extra.iter().map(|row| (*row, Policy::Require)));
    rows.extend(lacking.iter().map(|row| (*row, Policy::Disable)));
    rows.sort_unstable_by_key(|(row, _)| *row);
    cpu.features.extend(
        rows.into_iter().map(|(row, policy)| Feature {
            policy: Some(policy),
            name: tables.name(row).to_owned(),
        }),
    );
    cpu.check = Some(Check::Full);
    if cpu.match_ != Some(Match::Strict) {
        cpu.match_ = Some(Match::Exact);
    }
    if let Some(model) = &mut cpu.model {
        model.fallback = Some(Fallback::Forbid);
    }
    Ok(())
}

/// Nothing more and nothing less than the document says.
fn full(
    cpu: &Cpu,
    running: &Running,
    extra: &Features,
    lacking: &Features,
    tables: &Tables,
) -> Result<()> {
    let mut lacking = lacking.clone();
    let mut extra = extra.clone();
    for feature in &cpu.features {
        let Some(row) = tables.row(&feature.name) else { continue };
        match feature.policy.unwrap_or_default() {
            Policy::Require | Policy::Force if !running.enabled.contains(&row) => {
                lacking.insert(row);
            }
            Policy::Disable | Policy::Forbid if running.enabled.contains(&row) => {
                extra.insert(row);
            }
            _ => {}
        }
    }
    let names = |what: &str, features: &Features| {
        let names: Vec<&str> = features.iter().map(|row| tables.name(*row)).collect();
        (!names.is_empty()).then(|| format!("{what} features: {}", names.join(",")))
    };
    let parts: Vec<String> =
        names("extra", &extra).into_iter().chain(names("missing", &lacking)).collect();
    if parts.is_empty() {
        return Ok(());
    }
    let detail = format!("guest CPU doesn't match specification: {}", parts.join(", "));
    Err(Error::new(Code::OperationFailed, Origin::None, detail))
}
