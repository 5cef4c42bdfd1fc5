//! Disks and interfaces that come and go.

use virt_driver::{Call, DomainDevices};
use virt_error::{Code, Error, Result};
use virt_types::{DomainRef, api};

use super::{check_flags, refused};
use crate::LdomsDriver;
use crate::document::{Plugged, Servers, plugged_items, read_device, same_mac, vnet};
use crate::facts::Facts;
use crate::lifecycle::{act_on, active};
use crate::link::ORIGIN;
use crate::message::{Content, Item};
use crate::volumes;
use crate::world::Detail;

fn missing(detail: String) -> Error {
    Error::new(Code::DeviceMissing, ORIGIN, detail)
}

impl LdomsDriver {
    /// The domain. The manager keeps one set of devices: a change is for now and for good.
    fn changed(&self, call: &Call<'_>, dom: &DomainRef, flags: u32, api: &str) -> Result<Changed> {
        check_flags(flags, api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG, api)?;
        let facts = match flags & api::DOMAIN_AFFECT_LIVE {
            0 => self.manager().find(call, dom)?,
            _ => active(self.manager(), call, dom)?,
        };
        let content = self.manager().detail(call, &facts.name, Detail::Constraints)?;
        Ok(Changed { facts, content })
    }

    fn remove_disk(
        &self,
        call: &Call<'_>,
        name: &str,
        content: &Content,
        disk: &str,
    ) -> Result<()> {
        let found = content.of("disk").find(|item| item.get("vdisk_name") == Some(disk));
        let found = found.ok_or_else(|| missing(format!("disk '{disk}' of '{name}' not found")))?;
        let item = Item::new("disk").with("vdisk_name", disk);
        act_on(self.manager(), call, "remove-vdisk", name, item)?;
        let alone = Content::new(name).with(found.clone());
        volumes::remove(self.manager(), call, &volumes::made_for(&alone));
        Ok(())
    }

    fn remove_interface(&self, call: &Call<'_>, name: &str, found: &Item) -> Result<()> {
        let vnet = found.get("vnet_name").unwrap_or_default();
        let item = Item::new("network").with("vnet_name", vnet);
        act_on(self.manager(), call, "remove-vnet", name, item).map(drop)
    }
}

struct Changed {
    facts: std::sync::Arc<Facts>,
    content: std::sync::Arc<Content>,
}

/// The interface that a document means: by name, or by address.
fn interface<'a>(
    content: &'a Content,
    interface: &virt_model::domain::Interface,
) -> Result<&'a Item> {
    let mac = interface.mac.as_ref().map(|mac| mac.address.to_string());
    let found = content.of("network").find(|item| match (interface.target_dev(), &mac) {
        (Some(name), _) => item.get("vnet_name") == Some(name),
        (None, Some(mac)) => item.address.as_deref().is_some_and(|own| same_mac(own, mac)),
        (None, None) => false,
    });
    found.ok_or_else(|| {
        let which = interface.target_dev().map(str::to_owned).or(mac).unwrap_or_default();
        missing(format!("interface '{which}' of '{}' not found", content.id))
    })
}

impl DomainDevices for LdomsDriver {
    fn attach_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        let changed = self.changed(call, dom, flags, "ldomsDomainAttachDeviceFlags")?;
        let manager = self.manager();
        let servers = Servers::of(&manager.services(call)?);
        let (item, volume) = plugged_items(&read_device(xml)?, &changed.content, &servers)?;
        let made = volumes::make(manager, call, volume.as_slice())?;
        let action = if item.is("disk") { "add-vdisk" } else { "add-vnet" };
        match act_on(manager, call, action, &changed.facts.name, item) {
            Ok(_) => Ok(()),
            Err(error) => {
                volumes::remove(manager, call, &made);
                Err(error)
            }
        }
    }

    fn detach_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        let changed = self.changed(call, dom, flags, "ldomsDomainDetachDeviceFlags")?;
        let name = &changed.facts.name;
        match read_device(xml)? {
            Plugged::Disk(disk) => self.remove_disk(call, name, &changed.content, &disk.target.dev),
            Plugged::Interface(wanted) => {
                let found = interface(&changed.content, &wanted)?;
                self.remove_interface(call, name, found)
            }
        }
    }

    /// Switch, address and VLANs of an interface can be changed.
    fn update_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        let changed = self.changed(call, dom, flags, "ldomsDomainUpdateDeviceFlags")?;
        let Plugged::Interface(wanted) = read_device(xml)? else {
            return Err(refused("the LDoms Manager changes no disk: detach it and attach another"));
        };
        let found = interface(&changed.content, &wanted)?;
        let vnet_name = found.get("vnet_name").unwrap_or_default();
        let item = vnet(&wanted, vnet_name, found.get("service_name").unwrap_or_default())?;
        act_on(self.manager(), call, "set-vnet", &changed.facts.name, item).map(drop)
    }
}
