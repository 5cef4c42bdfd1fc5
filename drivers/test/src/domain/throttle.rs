//! Limits on the throughput of interfaces and disks.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::disk::Iotune;
use virt_model::domain::interface::{Bandwidth, Rate};
use virt_model::domain::{Disk, Domain as Definition, Interface};
use virt_types::{TypedParam, TypedValue};

use super::State;
use crate::error::invalid_arg;
use crate::params::{self, Kind};

/// The interface with that host device or Ethernet address.
pub(crate) fn interface_at<'a>(definition: &'a Definition, device: &str) -> Result<&'a Interface> {
    let at = interface_index(definition, device)?;
    definition.devices.interfaces.get(at).ok_or_else(|| unknown_interface(device))
}

fn unknown_interface(device: &str) -> Error {
    let detail = format!("'{device}' is not a known interface");
    Error::new(Code::InvalidArg, Origin::Domain, detail)
}

fn interface_index(definition: &Definition, device: &str) -> Result<usize> {
    let is_meant = |interface: &Interface| {
        interface.target_dev() == Some(device)
            || interface
                .mac
                .as_ref()
                .is_some_and(|mac| mac.address.to_string().eq_ignore_ascii_case(device))
    };
    let found = definition.devices.interfaces.iter().position(is_meant);
    found.ok_or_else(|| unknown_interface(device))
}

/// The disk with that target or source.
pub(crate) fn disk_at<'a>(definition: &'a Definition, path: &str) -> Option<&'a Disk> {
    disk_index(definition, path).and_then(|at| definition.devices.disks.get(at))
}

fn disk_index(definition: &Definition, path: &str) -> Option<usize> {
    let disks = &definition.devices.disks;
    let by_target = disks.iter().position(|disk| disk.target.dev == path);
    by_target.or_else(|| disks.iter().position(|disk| disk.path() == Some(path)))
}

/// What parameters say about a direction, or `None` where they say nothing that counts: without an
/// average or a floor there is no limit at all.
fn given_rate(given: &[TypedParam], direction: &str) -> Option<Rate> {
    let number = |name| params::uint(given, &format!("{direction}.{name}"));
    let (average, floor) = (number("average"), number("floor"));
    if average.is_none() && floor.is_none() {
        return None;
    }
    let set = |number: Option<u32>| number.filter(|number| *number != 0).map(u64::from);
    let rate = Rate {
        average: set(average),
        peak: set(number("peak")),
        floor: set(floor),
        burst: set(number("burst")),
    };
    Some(if rate.average.is_none() && rate.floor.is_none() { Rate::default() } else { rate })
}

const INBOUND: &str = "inbound";
const OUTBOUND: &str = "outbound";

/// `virDomainGetInterfaceParameters`.
pub(crate) fn interface(state: &State, device: &str, flags: u32) -> Result<Vec<TypedParam>> {
    let interface = interface_at(state.affected(flags)?, device)?;
    let bandwidth = interface.bandwidth.clone().unwrap_or_default();
    let inbound = bandwidth.inbound.unwrap_or_default();
    let outbound = bandwidth.outbound.unwrap_or_default();
    let param = |direction, name, value: Option<u64>| {
        let value = u32::try_from(value.unwrap_or(0)).unwrap_or(u32::MAX);
        TypedParam::new(format!("{direction}.{name}"), value)
    };
    Ok(vec![
        param(INBOUND, "average", inbound.average),
        param(INBOUND, "peak", inbound.peak),
        param(INBOUND, "burst", inbound.burst),
        param(INBOUND, "floor", inbound.floor),
        param(OUTBOUND, "average", outbound.average),
        param(OUTBOUND, "peak", outbound.peak),
        param(OUTBOUND, "burst", outbound.burst),
    ])
}

/// `virDomainSetInterfaceParameters`.
pub(crate) fn set_interface(
    state: &mut State,
    device: &str,
    given: &[TypedParam],
    flags: u32,
) -> Result<()> {
    const KNOWN: [(&str, Kind); 7] = [
        ("inbound.average", Kind::Uint),
        ("inbound.peak", Kind::Uint),
        ("inbound.burst", Kind::Uint),
        ("inbound.floor", Kind::Uint),
        ("outbound.average", Kind::Uint),
        ("outbound.peak", Kind::Uint),
        ("outbound.burst", Kind::Uint),
    ];
    params::validate(given, &KNOWN)?;
    let (inbound, outbound) = (given_rate(given, INBOUND), given_rate(given, OUTBOUND));
    let mut result = Ok(());
    state.change_affected(flags, |definition| match interface_index(definition, device) {
        Err(error) => result = Err(error),
        Ok(at) => {
            let Some(interface) = definition.devices.interfaces.get_mut(at) else { return };
            let old = interface.bandwidth.take().unwrap_or_default();
            let some = |rate: Option<Rate>| rate.filter(|rate| *rate != Rate::default());
            let bandwidth = Bandwidth {
                inbound: some(inbound.clone().or(old.inbound)),
                outbound: some(outbound.clone().or(old.outbound)),
            };
            interface.bandwidth = Some(bandwidth).filter(|limits| *limits != Bandwidth::default());
        }
    })?;
    result
}

/// The name of a limit on a disk, and where it is kept.
type Limit = (&'static str, fn(&mut Iotune) -> &mut Option<u64>);

const SIZE_IOPS: &str = "size_iops_sec";
const GROUP: &str = "group_name";

/// In the order of the answer; the group's name comes after the thirteenth.
const LIMITS: [Limit; 19] = [
    ("total_bytes_sec", |tune| &mut tune.total_bytes_sec),
    ("read_bytes_sec", |tune| &mut tune.read_bytes_sec),
    ("write_bytes_sec", |tune| &mut tune.write_bytes_sec),
    ("total_iops_sec", |tune| &mut tune.total_iops_sec),
    ("read_iops_sec", |tune| &mut tune.read_iops_sec),
    ("write_iops_sec", |tune| &mut tune.write_iops_sec),
    ("total_bytes_sec_max", |tune| &mut tune.total_bytes_sec_max),
    ("read_bytes_sec_max", |tune| &mut tune.read_bytes_sec_max),
    ("write_bytes_sec_max", |tune| &mut tune.write_bytes_sec_max),
    ("total_iops_sec_max", |tune| &mut tune.total_iops_sec_max),
    ("read_iops_sec_max", |tune| &mut tune.read_iops_sec_max),
    ("write_iops_sec_max", |tune| &mut tune.write_iops_sec_max),
    (SIZE_IOPS, |tune| &mut tune.size_iops_sec),
    ("total_bytes_sec_max_length", |tune| &mut tune.total_bytes_sec_max_length),
    ("read_bytes_sec_max_length", |tune| &mut tune.read_bytes_sec_max_length),
    ("write_bytes_sec_max_length", |tune| &mut tune.write_bytes_sec_max_length),
    ("total_iops_sec_max_length", |tune| &mut tune.total_iops_sec_max_length),
    ("read_iops_sec_max_length", |tune| &mut tune.read_iops_sec_max_length),
    ("write_iops_sec_max_length", |tune| &mut tune.write_iops_sec_max_length),
];

fn unknown_disk(disk: &str) -> Error {
    invalid_arg(format!("disk '{disk}' was not found in the domain config"))
}

/// `virDomainGetBlockIoTune`. Who names no disk asks which parameters there are.
pub(crate) fn disk(state: &State, disk: Option<&str>, flags: u32) -> Result<Vec<TypedParam>> {
    let definition = state.affected(flags)?;
    let mut tune = match disk {
        None => Iotune::default(),
        Some(disk) => {
            let found = disk_at(definition, disk).ok_or_else(|| unknown_disk(disk))?;
            found.iotune.clone().unwrap_or_default()
        }
    };
    let mut answer = Vec::with_capacity(LIMITS.len() + 1);
    for (name, slot) in LIMITS {
        answer.push(TypedParam::new(name, slot(&mut tune).unwrap_or(0)));
        if name == SIZE_IOPS {
            answer.push(TypedParam::new(GROUP, tune.group_name.clone().unwrap_or_default()));
        }
    }
    Ok(answer)
}

/// `virDomainSetBlockIoTune`: what is not given stays.
pub(crate) fn set_disk(
    state: &mut State,
    disk: &str,
    given: &[TypedParam],
    flags: u32,
) -> Result<()> {
    let mut known: Vec<(&str, Kind)> =
        LIMITS.iter().map(|(name, _)| (*name, Kind::Ullong)).collect();
    known.push((GROUP, Kind::String));
    params::validate(given, &known)?;
    let definition = state.affected(flags)?;
    let found = disk_at(definition, disk).ok_or_else(|| unknown_disk(disk))?;
    let mut tune = found.iotune.clone().unwrap_or_default();
    for param in given {
        match &param.value {
            TypedValue::String(name) => {
                tune.group_name = Some(name.clone()).filter(|n| !n.is_empty())
            }
            TypedValue::Ullong(value) => {
                if let Some((_, slot)) = LIMITS.iter().find(|(name, _)| *name == param.field) {
                    *slot(&mut tune) = Some(*value).filter(|value| *value != 0);
                }
            }
            _ => {}
        }
    }
    check(&mut tune)?;
    state.change_affected(flags, |definition| {
        if let Some(at) = disk_index(definition, disk)
            && let Some(disk) = definition.devices.disks.get_mut(at)
        {
            disk.iotune = Some(tune.clone()).filter(|tune| *tune != Iotune::default());
        }
    })
}

/// Refuses limits that contradict each other.
fn check(tune: &mut Iotune) -> Result<()> {
    let mut value = |name: String| {
        let slot = LIMITS.iter().find(|(known, _)| *known == name).map(|(_, slot)| slot);
        slot.and_then(|slot| *slot(tune)).unwrap_or(0)
    };
    for what in ["bytes_sec", "iops_sec", "bytes_sec_max", "iops_sec_max"] {
        let parts = value(format!("read_{what}")) | value(format!("write_{what}"));
        if value(format!("total_{what}")) != 0 && parts != 0 {
            let detail = format!("total and read/write of {what} cannot be set at the same time");
            return Err(invalid_arg(detail));
        }
    }
    for what in ["bytes_sec", "iops_sec"] {
        for way in ["total", "read", "write"] {
            let name = format!("{way}_{what}");
            // Compat: a limit needs a burst limit that is no smaller.
            if value(name.clone()) > value(format!("{name}_max")) {
                return Err(invalid_arg(format!("{name} cannot be set higher than {name}_max")));
            }
        }
    }
    Ok(())
}
