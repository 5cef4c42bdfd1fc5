//! Devices that come and go.

use crate::config::{self, Device};
use crate::form::Form;
use crate::sxp::{self, Sxp, list, pair, word};
use crate::xend::Xend;

use super::{Done, find};

pub(super) fn act(xend: &Xend, key: &str, op: &str, form: &Form) -> Option<Done> {
    Some(match op {
        "device_create" => create(xend, key, form),
        "device_configure" => configure(xend, key, form),
        "device_destroy" => destroy(xend, key, form),
        "devices" => devices(xend, key, form),
        "vif_limit_set" => Ok(None),
        _ => return None,
    })
}

fn create(xend: &Xend, key: &str, form: &Form) -> Done {
    let body = sxp::parse(form.need("config")?)?;
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    let hvm = domain.config.is_hvm();
    let known = domain.run.as_ref().map_or(&domain.config.devices, |run| &run.devices);
    let device = config::judge(&body, known, hvm, &xend.settings)?;
    if hvm && device.is_cdrom() && domain.run.is_some() {
        return Err("Device cannot be connected to a running HVM guest".to_owned());
    }
    let (kind, number) = (device.kind().to_owned(), device.id);
    let mut id = 0;
    if let Some(run) = &mut domain.run {
        id = run.id;
        xend.publish_device(id, &device);
        run.devices.push(device.clone());
    }
    xend.edit(domain, |config| config.devices.push(device))?;
    let said = list([word("dom"), word(id), word("id"), word(number)]);
    Ok(Some(list([word(kind), said])))
}

/// The number that a name or a number means.
fn number(devices: &[Device], kind: &str, dev: &str) -> Option<u32> {
    let plain = dev.split(':').next().unwrap_or_default();
    let wanted = dev
        .parse()
        .ok()
        .or_else(|| if config::is_block(kind) { config::block_number(plain) } else { None })?;
    let same = |device: &&Device| device.kind() == kind && device.id == wanted;
    devices.iter().find(same).map(|device| device.id)
}

fn configure(xend: &Xend, key: &str, form: &Form) -> Done {
    let body = sxp::parse(form.need("config")?)?;
    let dev = form.need("dev")?;
    let kind = body.head().unwrap_or_default().to_owned();
    if xend.has_fault("locked") {
        return Err(format!("Device {dev} is in use: the guest has locked its medium"));
    }
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    let change = |devices: &mut Vec<Device>| {
        let id = number(devices, &kind, dev)?;
        let found = devices.iter_mut().find(|d| d.kind() == kind && d.id == id)?;
        found.body = body.clone();
        Some(id)
    };
    let changed = domain.run.as_mut().map(|run| change(&mut run.devices));
    let mut kept = domain.config.devices.clone();
    let stored = change(&mut kept);
    if changed.unwrap_or(stored).is_none() {
        return Err(format!("Device {dev} not connected"));
    }
    xend.edit(domain, |config| config.devices = kept)?;
    Ok(None)
}

fn destroy(xend: &Xend, key: &str, form: &Form) -> Done {
    let (kind, dev) = (form.need("type")?, form.need("dev")?);
    if xend.profile().wants_force() {
        form.need("force")?;
        form.need("rm_cfg")?;
    }
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    let known = domain.run.as_ref().map_or(&domain.config.devices, |run| &run.devices);
    let id = number(known, kind, dev).ok_or_else(|| format!("Device {dev} not connected"))?;
    if let Some(run) = &mut domain.run {
        run.devices.retain(|device| device.kind() != kind || device.id != id);
        let front = if config::is_block(kind) { "vbd" } else { kind };
        xend.tree.remove(&format!("/local/domain/{}/device/{front}/{id}", run.id));
        xend.tree.remove(&format!("/local/domain/0/backend/{kind}/{}/{id}", run.id));
    }
    xend.edit(domain, |config| {
        config.devices.retain(|device| device.kind() != kind || device.id != id);
    })?;
    Ok(None)
}

fn devices(xend: &Xend, key: &str, form: &Form) -> Done {
    let kind = form.need("type")?;
    let world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get(at).ok_or("gone")?;
    let known = domain.run.as_ref().map_or(&domain.config.devices, |run| &run.devices);
    let of_kind = known.iter().filter(|device| device.kind() == kind);
    let all = of_kind.map(|d| list([word(d.id), list([pair("state", 4), d.body.clone()])]));
    Ok(Some(Sxp::List(all.collect())))
}
