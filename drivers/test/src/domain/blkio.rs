//! `<blkiotune>`: how much a domain's disks weigh, and the limits of host devices.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::tune::{BlkioDevice, Blkiotune};
use virt_types::TypedParam;

use super::State;
use crate::params::{self, Kind};

const WEIGHT: &str = "weight";

/// A limit of one host device: the parameter, how it is read, and how it is set. 0 is none.
struct Limit {
    param: &'static str,
    get: fn(&BlkioDevice) -> u64,
    set: fn(&mut BlkioDevice, u64),
}

/// Weights and operations are 32 bits wide, bytes 64.
fn narrow(value: u64) -> Option<u32> {
    u32::try_from(value).ok().filter(|value| *value != 0)
}

fn wide(value: u64) -> Option<u64> {
    Some(value).filter(|value| *value != 0)
}

const LIMITS: [Limit; 5] = [
    Limit {
        param: "device_weight",
        get: |device| device.weight.unwrap_or(0).into(),
        set: |device, value| device.weight = narrow(value),
    },
    Limit {
        param: "device_read_iops_sec",
        get: |device| device.read_iops_sec.unwrap_or(0).into(),
        set: |device, value| device.read_iops_sec = narrow(value),
    },
    Limit {
        param: "device_write_iops_sec",
        get: |device| device.write_iops_sec.unwrap_or(0).into(),
        set: |device, value| device.write_iops_sec = narrow(value),
    },
    Limit {
        param: "device_read_bytes_sec",
        get: |device| device.read_bytes_sec.unwrap_or(0),
        set: |device, value| device.read_bytes_sec = wide(value),
    },
    Limit {
        param: "device_write_bytes_sec",
        get: |device| device.write_bytes_sec.unwrap_or(0),
        set: |device, value| device.write_bytes_sec = wide(value),
    },
];

/// The device of that path, new where there is none.
fn device<'a>(devices: &'a mut Vec<BlkioDevice>, path: &str) -> Option<&'a mut BlkioDevice> {
    let is_meant = |device: &BlkioDevice| device.path.as_deref() == Some(path);
    let at = devices.iter().position(is_meant).unwrap_or_else(|| {
        devices.push(BlkioDevice { path: Some(path.to_owned()), ..BlkioDevice::default() });
        devices.len() - 1
    });
    devices.get_mut(at)
}

/// `virDomainGetBlkioParameters`.
pub(crate) fn get(state: &State, flags: u32) -> Result<Vec<TypedParam>> {
    let blkio = state.affected(flags)?.blkiotune.clone().unwrap_or_default();
    let mut answer = vec![TypedParam::new(WEIGHT, blkio.weight.unwrap_or(0))];
    for limit in LIMITS {
        let set = blkio.devices.iter().filter_map(|device| match (limit.get)(device) {
            0 => None,
            value => Some(format!("{},{value}", device.path.as_deref().unwrap_or_default())),
        });
        answer.push(TypedParam::new(limit.param, set.collect::<Vec<_>>().join(",")));
    }
    Ok(answer)
}

/// `virDomainSetBlkioParameters`.
pub(crate) fn set(state: &mut State, given: &[TypedParam], flags: u32) -> Result<()> {
    let [a, b, c, d, e] = LIMITS.map(|limit| (limit.param, Kind::String));
    params::validate(given, &[(WEIGHT, Kind::Uint), a, b, c, d, e])?;
    let (mut changes, mut refused) = (Vec::new(), None);
    for limit in LIMITS {
        if let Some(text) = params::string(given, limit.param) {
            match parse(limit.param, text) {
                Ok(devices) => changes.push((limit.set, devices)),
                // Compat: of several mistakes the last is told.
                Err(error) => refused = Some(error),
            }
        }
    }
    if let Some(error) = refused {
        return Err(error);
    }
    state.change_affected(flags, |definition| {
        let mut blkio = definition.blkiotune.take().unwrap_or_default();
        if let Some(weight) = params::uint(given, WEIGHT) {
            blkio.weight = Some(weight).filter(|weight| *weight != 0);
        }
        for (set, devices) in &changes {
            for (path, value) in devices {
                if let Some(device) = device(&mut blkio.devices, path) {
                    set(device, *value);
                }
            }
        }
        blkio.devices.retain(|device| LIMITS.iter().any(|limit| (limit.get)(device) != 0));
        definition.blkiotune = Some(blkio).filter(|blkio| *blkio != Blkiotune::default());
    })
}

/// Reads `PATH,VALUE,PATH,VALUE`.
fn parse(name: &str, text: &str) -> Result<Vec<(String, u64)>> {
    let refused = || {
        let detail = format!("unable to parse blkio device '{name}' '{text}'");
        Error::new(Code::InvalidArg, Origin::Domain, detail)
    };
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let most = if name.ends_with("bytes_sec") { u64::MAX } else { u64::from(u32::MAX) };
    let parts: Vec<&str> = text.split(',').collect();
    let mut devices = Vec::new();
    for pair in parts.chunks(2) {
        let [path, value] = pair else { return Err(refused()) };
        if path.is_empty() {
            return Err(refused());
        }
        let number = value.parse().ok().filter(|number| *number <= most);
        let value: u64 = number.ok_or_else(|| {
            let detail =
                format!("invalid value '{value}' for parameter '{name}' of device '{path}'");
            Error::new(Code::InvalidArg, Origin::Domain, detail)
        })?;
        devices.push(((*path).to_owned(), value));
    }
    Ok(devices)
}
