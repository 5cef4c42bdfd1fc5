//! `<blkiotune>`: how much a domain's disks weigh, and the limits of host devices.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Definition;
use virt_types::TypedParam;
use virt_xml::Element;

use super::State;
use crate::params::{self, Kind};

const WEIGHT: &str = "weight";

/// The limits of one host device: the parameter, and the element it is stored in.
const LIMITS: [(&str, &str); 5] = [
    ("device_weight", "weight"),
    ("device_read_iops_sec", "read_iops_sec"),
    ("device_write_iops_sec", "write_iops_sec"),
    ("device_read_bytes_sec", "read_bytes_sec"),
    ("device_write_bytes_sec", "write_bytes_sec"),
];

#[derive(Clone, Debug, Default)]
struct Blkio {
    weight: u32,
    devices: Vec<Device>,
}

#[derive(Clone, Debug, Default)]
struct Device {
    path: String,
    /// In the order of [`LIMITS`]; 0 is none.
    limits: [u64; LIMITS.len()],
}

impl Blkio {
    fn of(definition: &Definition) -> Self {
        let Some(tree) = &definition.blkiotune else { return Self::default() };
        let devices = tree.children_named("device").map(|device| Device {
            path: device.child_text("path").unwrap_or_default().into_owned(),
            limits: LIMITS.map(|(_, name)| number(device, name)),
        });
        let weight = u32::try_from(number(tree, WEIGHT)).unwrap_or(u32::MAX);
        Self { weight, devices: devices.collect() }
    }

    fn into_tree(self) -> Option<Element<'static>> {
        let text = |name, value: u64| Element::new(name).with_text(value.to_string());
        let mut tree = Element::new("blkiotune");
        if self.weight != 0 {
            tree = tree.with_child(text(WEIGHT, self.weight.into()));
        }
        for device in self.devices {
            let path = Element::new("path").with_text(device.path);
            let mut element = Element::new("device").with_child(path);
            for ((_, name), value) in LIMITS.into_iter().zip(device.limits) {
                if value != 0 {
                    element = element.with_child(text(name, value));
                }
            }
            if element.children.len() > 1 {
                tree = tree.with_child(element);
            }
        }
        Some(tree).filter(|tree| !tree.children.is_empty())
    }

    fn set(&mut self, limit: usize, path: &str, value: u64) {
        let known = self.devices.iter().position(|device| device.path == path);
        let at = known.unwrap_or_else(|| {
            self.devices.push(Device { path: path.to_owned(), ..Device::default() });
            self.devices.len() - 1
        });
        if let Some(slot) = self.devices.get_mut(at).and_then(|device| device.limits.get_mut(limit))
        {
            *slot = value;
        }
    }
}

fn number(element: &Element<'_>, name: &str) -> u64 {
    element.child(name).and_then(|child| child.number().ok()).unwrap_or(0)
}

/// `virDomainGetBlkioParameters`.
pub(crate) fn get(state: &State, flags: u32) -> Result<Vec<TypedParam>> {
    let blkio = Blkio::of(state.affected(flags)?);
    let mut answer = vec![TypedParam::new(WEIGHT, blkio.weight)];
    for (at, (name, _)) in LIMITS.into_iter().enumerate() {
        let set = blkio.devices.iter().filter_map(|device| match device.limits.get(at) {
            None | Some(0) => None,
            Some(value) => Some(format!("{},{value}", device.path)),
        });
        answer.push(TypedParam::new(name, set.collect::<Vec<_>>().join(",")));
    }
    Ok(answer)
}

/// `virDomainSetBlkioParameters`.
pub(crate) fn set(state: &mut State, given: &[TypedParam], flags: u32) -> Result<()> {
    let [a, b, c, d, e] = LIMITS.map(|(name, _)| (name, Kind::String));
    params::validate(given, &[(WEIGHT, Kind::Uint), a, b, c, d, e])?;
    let mut changes = Vec::new();
    for (at, (name, _)) in LIMITS.into_iter().enumerate() {
        if let Some(text) = params::string(given, name) {
            changes.push((at, parse(name, text)?));
        }
    }
    state.change_affected(flags, |definition| {
        let mut blkio = Blkio::of(definition);
        blkio.weight = params::uint(given, WEIGHT).unwrap_or(blkio.weight);
        for (at, devices) in &changes {
            for (path, value) in devices {
                blkio.set(*at, path, *value);
            }
        }
        definition.blkiotune = blkio.into_tree();
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
    // Weights and operations are 32 bits wide, bytes 64.
    let most = if name.ends_with("bytes_sec") { u64::MAX } else { u64::from(u32::MAX) };
    let parts: Vec<&str> = text.split(',').collect();
    let mut devices = Vec::new();
    for pair in parts.chunks(2) {
        let [path, value] = pair else { return Err(refused()) };
        let value: u64 = value.parse().map_err(|_| refused())?;
        if path.is_empty() || value > most {
            return Err(refused());
        }
        devices.push(((*path).to_owned(), value));
    }
    Ok(devices)
}
