//! Whether a host can be the processor that a document describes.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::cpu::{Match, Mode};

use crate::description::Description;
use crate::models::Family;
use crate::tables::{Features, Tables};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Identical,
    Superset,
    /// And why.
    Incompatible(String),
}

impl Answer {
    /// The number of the public API; or the error, where the caller asked for one.
    pub fn code(self, fail: bool) -> Result<i32> {
        match self {
            Self::Incompatible(why) if fail => {
                Err(Error::new(Code::CpuIncompatible, Origin::Cpu, why))
            }
            Self::Incompatible(_) => Ok(0),
            Self::Identical => Ok(1),
            Self::Superset => Ok(2),
        }
    }
}

/// Compares a description with a host of this architecture, vendor and features.
///
/// A host whose vendor is not to be looked at (a hypervisor can show any) has none.
pub fn compare(
    host_arch: &str,
    vendor: Option<&str>,
    host: &Features,
    cpu: &Description,
    any_vendor: bool,
) -> Result<Answer> {
    let family = Family::of(host_arch);
    if let Some(arch) = cpu.arch.as_deref().filter(|arch| Family::of(arch) != family) {
        let why = format!("CPU arch {arch} does not match host arch");
        return Ok(Answer::Incompatible(why));
    }
    if matches!(cpu.mode, Some(Mode::HostModel | Mode::HostPassthrough | Mode::Maximum)) {
        return Ok(Answer::Superset);
    }
    let tables = Tables::x86();
    let wanted = cpu.resolve(tables)?;
    if let Some(wanted) = cpu.vendor.as_deref().filter(|name| !any_vendor && vendor != Some(name)) {
        let why = format!("host CPU vendor does not match required CPU vendor {wanted}");
        return Ok(Answer::Incompatible(why));
    }
    let refused = |what: &str, features: &Features| {
        let names: Vec<&str> = features.iter().map(|row| tables.name(*row)).collect();
        Ok(Answer::Incompatible(format!("{what}: {}", names.join(", "))))
    };
    let forbidden = host & &wanted.forbid;
    if !forbidden.is_empty() {
        return refused("Host CPU provides forbidden features", &forbidden);
    }
    let waived = &(&(&wanted.force | &wanted.optional) | &wanted.disable) | &wanted.forbid;
    let required = &(&wanted.model - &waived) | &wanted.require;
    let missing = &required - host;
    if !missing.is_empty() {
        return refused("Host CPU does not provide required features", &missing);
    }
    let extra = &(host - &required) - &waived;
    match cpu.match_ {
        _ if extra.is_empty() => Ok(Answer::Identical),
        Some(Match::Strict) => {
            refused("Host CPU does not strictly match guest CPU: Extra features", &extra)
        }
        _ => Ok(Answer::Superset),
    }
}
