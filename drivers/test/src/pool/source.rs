//! Where pools come from: sources that are found, and those that two pools cannot share.

use virt_error::{Code, Error, Origin, Result};
use virt_model::storage::{Pool as Definition, PoolType};
use virt_xml::{Element, to_string};

use crate::error::invalid_arg;
use crate::world::World;

/// Refuses a definition of what another pool has already.
pub(super) fn check_conflict(world: &World, new: &Definition) -> Result<()> {
    let conflicts = world.pools.collect(|other| {
        if *other.name == *new.name {
            return None;
        }
        other
            .read(|state| state.definition.kind == new.kind && same_source(&state.definition, new))
            .then(|| other.name.to_string())
    });
    match conflicts.first() {
        None => Ok(()),
        Some(name) => {
            let detail = format!("Storage source conflict with pool: '{name}'");
            Err(Error::new(Code::OperationFailed, Origin::Storage, detail))
        }
    }
}

fn same_source(one: &Definition, other: &Definition) -> bool {
    let host = |pool: &Definition| pool.source.hosts.first().map(|host| host.name.clone());
    let dir = |pool: &Definition| pool.source.dir.as_ref().map(|dir| dir.path.clone());
    let paths = |pool: &Definition| -> Vec<String> {
        pool.source.devices.iter().map(|device| device.path.clone()).collect()
    };
    match one.kind {
        PoolType::Dir => one.target_path() == other.target_path(),
        PoolType::Gluster => {
            host(one) == host(other)
                && dir(one) == dir(other)
                && one.source.name == other.source.name
        }
        PoolType::Netfs => host(one) == host(other) && dir(one) == dir(other),
        PoolType::Fs | PoolType::Logical | PoolType::Disk | PoolType::Zfs => {
            let known = paths(one);
            paths(other).iter().any(|path| known.contains(path))
        }
        _ => false,
    }
}

fn empty(name: &'static str, attr: &'static str, value: String) -> Element<'static> {
    Element::new(name).with_attr(attr, value)
}

/// `<sources>` of logical pools: two volume groups.
pub(super) fn volume_groups() -> String {
    let groups = (1..=2).map(|number| {
        Element::new("source")
            .with_child(empty("device", "path", format!("/dev/sda{}", 19 + number)))
            .with_child(Element::new("name").with_text(format!("testvg{number}")))
            .with_child(empty("format", "type", "lvm2".to_owned()))
    });
    to_string(&groups.fold(Element::new("sources"), Element::with_child))
}

/// Reads where sources are to be looked for.
pub(super) fn read(kind: Option<PoolType>, spec: Option<&str>) -> Result<Option<Element<'_>>> {
    let Some(spec) = spec else { return Ok(None) };
    let tree = virt_xml::parse(spec)
        .map_err(|error| Error::new(Code::XmlDetail, Origin::Storage, error.framed(None)))?;
    let refused = |detail: String| Err(Error::new(Code::XmlError, Origin::Storage, detail));
    if tree.name != "source" {
        return refused(format!("expecting root element of 'source', not '{}'", tree.name));
    }
    match kind {
        None => Err(crate::error::internal("missing backend for pool type -1".to_owned())),
        Some(PoolType::Rbd) if tree.child("name").is_none() => {
            refused("element 'name' is mandatory for RBD pool".to_owned())
        }
        Some(_) => Ok(Some(tree)),
    }
}

/// `<sources>` of shares: one on every host.
pub(super) fn shares(spec: Option<&Element<'_>>) -> Result<String> {
    let missing = || invalid_arg("hostname must be specified for netfs sources");
    let host = spec.and_then(|tree| tree.child("host")).and_then(|host| host.attr("name"));
    let host = host.ok_or_else(missing)?;
    let source = Element::new("source")
        .with_child(empty("host", "name", host.to_owned()))
        .with_child(empty("dir", "path", "/testshare".to_owned()))
        .with_child(empty("format", "type", "nfs".to_owned()));
    Ok(to_string(&Element::new("sources").with_child(source)))
}
