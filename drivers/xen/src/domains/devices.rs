//! Devices that come and go.

use virt_driver::{Call, DomainDevices, Job};
use virt_error::{Code, Error, Result};
use virt_model::ParseFlags;
use virt_model::domain::disk::DiskDevice;
use virt_model::domain::{Device, Domain as Document};
use virt_types::{DomainRef, Event};

use super::{AFFECT, check_flags};
use crate::channels::Subject;
use crate::devices::{describe, disk, has, remove};
use crate::{ORIGIN, XenDriver, invalid_arg, invalid_operation, unsupported};

fn missing(device: &Device) -> Error {
    Error::new(Code::DeviceMissing, ORIGIN, format!("{} not found", describe(device)))
}

/// Whether it is a drive whose medium can be another.
fn is_drive(document: &Document, device: &Device) -> bool {
    let Device::Disk(wanted) = device else { return false };
    disk(document, &wanted.target.dev)
        .is_some_and(|found| matches!(found.device, DiskDevice::Cdrom | DiskDevice::Floppy))
}

fn known_kind(device: &Device) -> Result<()> {
    match device {
        Device::Disk(_) | Device::Interface(_) | Device::Hostdev(_) => Ok(()),
        other => {
            let tag = other.tag();
            Err(unsupported(format!("device type '{tag}' cannot be attached or detached")))
        }
    }
}

impl XenDriver {
    /// Reads a device, and does something with the domain and its document.
    fn with_device(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        xml: &str,
        act: impl FnOnce(&Subject, &Document, &Device) -> Result<()>,
    ) -> Result<()> {
        let core = self.core();
        core.work(call, dom.uuid, Job::Modify, || {
            let subject = core.find(dom)?;
            if subject.running.as_ref().is_some_and(crate::seen::Running::is_control) {
                return Err(invalid_operation("Domain-0 is the host's own: it has no devices"));
            }
            let document = core.document(&subject)?;
            let rules = core.toolstack().host();
            let flags = ParseFlags::default();
            let device = Device::parse(xml, document.virt_type, flags, &rules.rules())?;
            known_kind(&device)?;
            act(&subject, &document, &device)
        })
    }

    fn insert(
        &self,
        subject: &Subject,
        document: &Document,
        device: &Device,
        flags: u32,
    ) -> Result<()> {
        let core = self.core();
        core.change(
            subject,
            flags,
            |subject| core.toolstack().insert(subject, document, device),
            |kept| {
                remove(kept, device);
                kept.devices.add(device.clone());
                Ok(())
            },
        )
    }
}

impl DomainDevices for XenDriver {
    /// Compat: attaching a medium to a drive that is there puts it in.
    fn attach_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT, "libxlDomainAttachDeviceFlags")?;
        let core = self.core();
        self.with_device(call, dom, xml, |subject, document, device| {
            let hvm = crate::formats::Kind::of(document) == crate::formats::Kind::Hvm;
            if is_drive(document, device) && hvm {
                return self.insert(subject, document, device, flags);
            }
            if has(document, device) {
                return Err(invalid_arg(format!("{} already exists", describe(device))));
            }
            core.change(
                subject,
                flags,
                |subject| core.toolstack().attach(subject, document, device),
                |kept| {
                    kept.devices.add(device.clone());
                    Ok(())
                },
            )
        })
    }

    fn detach_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT, "libxlDomainDetachDeviceFlags")?;
        let core = self.core();
        self.with_device(call, dom, xml, |subject, document, device| {
            if !has(document, device) {
                return Err(missing(device));
            }
            core.change(
                subject,
                flags,
                |subject| core.toolstack().detach(subject, document, device),
                |kept| {
                    remove(kept, device);
                    Ok(())
                },
            )?;
            if subject.running.is_some() {
                let dom = subject.to_ref();
                core.watch
                    .publish(&Event::DomainDeviceRemoved { dom, dev_alias: describe(device) });
            }
            Ok(())
        })
    }

    /// Another medium in a drive.
    fn update_device(&self, call: &Call<'_>, dom: &DomainRef, xml: &str, flags: u32) -> Result<()> {
        check_flags(flags, AFFECT, "libxlDomainUpdateDeviceFlags")?;
        self.with_device(call, dom, xml, |subject, document, device| {
            if !has(document, device) {
                return Err(missing(device));
            }
            if !is_drive(document, device) {
                let what = describe(device);
                return Err(unsupported(format!(
                    "{what} cannot be changed: only the medium in a drive can"
                )));
            }
            self.insert(subject, document, device, flags)
        })
    }
}
