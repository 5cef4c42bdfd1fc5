//! xend as the tool stack: makes guests, changes them, and keeps what is changed.

use std::path::Path;
use std::sync::Arc;

use virt_error::{Code, Error, Origin, Result};
use virt_model::ParseFlags;
use virt_model::domain::disk::DiskDevice;
use virt_model::domain::{Device, Domain as Document};
use virt_types::Uuid;

use super::record;
use super::view::{XendView, credit, public, set_credit};
use crate::channels::{Dump, Goodbye, Subject, Toolstack};
use crate::devices::{block_number, describe};
use crate::formats::{Host, Kind, Toolstack as Flavour};
use crate::migrate::RELOCATION_PORT;
use crate::seen::{Credit, Running};
use crate::sexpr;
use crate::sexpr::tree::Sexpr;
use crate::store_channel::StoreChannel;
use crate::{console, invalid_arg, unsupported};

const KIB_PER_MIB: u64 = 1024;
/// The first release whose full guests can have a kernel without a boot loader.
const FULL_KERNEL_SINCE: (u32, u32) = (3, 2);

/// xend, on a host whose formats are known.
#[derive(Debug)]
pub(crate) struct XendStack {
    pub(crate) view: XendView,
    pub(crate) store: Arc<StoreChannel>,
    pub(crate) host: Host,
    /// Whether it keeps domains that do not run.
    pub(crate) managed: bool,
    pub(crate) config_format: u32,
    /// Major and minor.
    pub(crate) xen: (u32, u32),
}

/// xend counts in mebibytes; what is asked for is given, and not less.
fn mib(kib: u64) -> String {
    kib.div_ceil(KIB_PER_MIB).to_string()
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| invalid_arg(format!("path '{}' is no text", path.display())))
}

fn missing(what: &str) -> Error {
    Error::new(Code::DeviceMissing, Origin::Xend, what.to_owned())
}

impl XendStack {
    fn flavour(&self) -> Flavour {
        Flavour::Xend { config_format: self.config_format }
    }

    /// A domain as xend describes it.
    pub(crate) fn read(&self, text: &str, live: bool) -> Result<Document> {
        let mut document = sexpr::read::domain(text)?;
        if !live {
            document.id = None;
        }
        let flags = ParseFlags { inactive: !live, ..ParseFlags::default() };
        document.complete(flags, &self.host.rules())?;
        Ok(document)
    }

    /// What xend is asked to make of a document, where its release can.
    pub(crate) fn config(&self, document: &Document) -> Result<String> {
        let full = Kind::of(document) == Kind::Hvm;
        if full && document.os.kernel.is_some() && self.xen < FULL_KERNEL_SINCE {
            let ((major, minor), (since, then)) = (self.xen, FULL_KERNEL_SINCE);
            return Err(unsupported(format!(
                "Xen {major}.{minor} boots full guests from their disks, media and network alone: \
                 a kernel of their own they have from {since}.{then} on"
            )));
        }
        if !full && document.os.kernel.is_none() && document.bootloader.is_none() {
            let detail = "a paravirtual guest boots a kernel (<kernel> in <os>), or one that a boot \
                          loader finds on its disk (<bootloader>): neither is named";
            return Err(Error::new(Code::ConfigUnsupported, Origin::Xend, detail));
        }
        sexpr::write::domain(document, self.flavour())
    }

    fn tree(&self, key: &str) -> Result<Sexpr> {
        self.view.tree(key)?.ok_or_else(|| {
            Error::new(Code::NoDomain, Origin::Xend, format!("no domain '{key}' in xend"))
        })
    }

    fn act(&self, uuid: &Uuid, op: &str, fields: &[(&str, &str)]) -> Result<Option<Sexpr>> {
        self.view.act(&uuid.to_string(), op, fields)
    }

    /// A device in xend's words: what kind it is, and what it is known by.
    fn place(&self, subject: &Subject, device: &Device) -> Result<(&'static str, String)> {
        match device {
            Device::Disk(disk) => {
                let dev = &disk.target.dev;
                let number = block_number(dev).ok_or_else(|| missing(&format!("disk {dev}")))?;
                let tree = self.tree(&subject.uuid.to_string())?;
                let has = |kind: &str| {
                    let mut bodies = tree
                        .all("device")
                        .filter_map(|d| d.get(kind))
                        .filter_map(|b| b.value("dev"));
                    bodies.any(|found| found.split(':').next() == Some(dev))
                };
                let kind = ["vbd", "tap2", "tap"].into_iter().find(|kind| has(kind));
                Ok((kind.ok_or_else(|| missing(&format!("disk {dev}")))?, number.to_string()))
            }
            Device::Interface(interface) => {
                let mac = interface.mac.as_ref().map(|mac| mac.address.to_string());
                let mac = mac.ok_or_else(|| invalid_arg("interface without an address"))?;
                let number = self.interface(subject, &mac)?;
                Ok(("vif", number.ok_or_else(|| missing(&format!("interface {mac}")))?))
            }
            Device::Hostdev(_) => Ok(("pci", "0".to_owned())),
            other => {
                Err(unsupported(format!("xend does not detach devices of type '{}'", other.tag())))
            }
        }
    }

    /// The number of the interface with this address.
    fn interface(&self, subject: &Subject, mac: &str) -> Result<Option<String>> {
        let same = |text: &str| text.eq_ignore_ascii_case(mac);
        if let Some(running) = &subject.running {
            let dir = format!("/local/domain/{}/device/vif", running.id);
            let numbers = self.store.ask(|store| store.list(&dir)).flatten().unwrap_or_default();
            for number in numbers {
                let back = self.store.ask(|store| store.read(&format!("{dir}/{number}/backend")));
                let Some(back) = back.flatten().filter(|path| crate::xenstore::is_path(path))
                else {
                    continue;
                };
                let found = self.store.ask(|store| store.read(&format!("{back}/mac"))).flatten();
                if found.is_some_and(|found| same(&found)) {
                    return Ok(Some(number));
                }
            }
        }
        // Without xenstore they are counted, which is how xend numbers those that are there from the start.
        let tree = self.tree(&subject.uuid.to_string())?;
        let mut vifs = tree.all("device").filter_map(|device| device.get("vif"));
        Ok(vifs.position(|vif| vif.value("mac").is_some_and(same)).map(|at| at.to_string()))
    }
}

impl Toolstack for XendStack {
    fn host(&self) -> Host {
        self.host.clone()
    }

    fn keeps_changes(&self) -> bool {
        self.managed
    }

    fn document(&self, running: &Running) -> Result<Document> {
        if running.is_control() {
            return Ok(console::control_domain(running));
        }
        let tree = self.tree(&running.uuid.to_string())?;
        let mut document = self.read(&tree.to_string(), true)?;
        console::complete(&self.store, running, &mut document);
        Ok(document)
    }

    fn create(&self, document: &Document) -> Result<()> {
        let config = self.config(document)?;
        self.view.xend.create(&config).map(drop).map_err(|error| public(&error))
    }

    fn start(&self, subject: &Subject, document: &Document) -> Result<bool> {
        if !self.managed {
            self.create(document)?;
            return Ok(true);
        }
        // Compat: what it says of being paused is compared wrongly by every release.
        self.act(&subject.uuid, "start", &[("paused", "0")])?;
        Ok(false)
    }

    fn ask(&self, running: &Running, how: Goodbye) -> Result<()> {
        self.act(&running.uuid, "shutdown", &[("reason", how.word())]).map(drop)
    }

    fn destroy(&self, running: &Running) -> Result<()> {
        self.act(&running.uuid, "destroy", &[]).map(drop)
    }

    fn rename(&self, subject: &Subject, name: &str) -> Result<()> {
        self.act(&subject.uuid, "rename", &[("name", name)]).map(drop)
    }

    fn save(&self, running: &Running, _: &Document, file: &Path) -> Result<()> {
        self.act(&running.uuid, "save", &[("file", path_text(file)?)]).map(drop)
    }

    fn restore(&self, file: &Path, xml: Option<&str>, paused: bool) -> Result<Document> {
        if xml.is_some() {
            return Err(unsupported(
                "xend restores a guest as it was saved, with no other document",
            ));
        }
        let document = self.saved(file)?;
        let made = self.view.xend.restore(path_text(file)?).map_err(|error| public(&error))?;
        let id = made.as_ref().and_then(super::running);
        if let Some(running) = id.filter(|_| paused) {
            crate::channels::Hypervisor::pause(&self.view, &running)?;
        }
        Ok(document)
    }

    fn saved(&self, file: &Path) -> Result<Document> {
        self.read(&record::description(file)?, false)
    }

    fn dump(&self, running: &Running, file: &Path, how: Dump) -> Result<()> {
        if !self.managed {
            return Err(unsupported(
                "xend of this release writes no core dumps (3.0.4 and later do)",
            ));
        }
        let word = |on: bool| if on { "1" } else { "0" };
        let fields = [
            ("file", path_text(file)?),
            ("live", word(how.live)),
            ("crash", word(how.crash)),
            ("reset", word(how.reset)),
        ];
        self.act(&running.uuid, "dump", &fields).map(drop)
    }

    fn set_memory(&self, subject: &Subject, memory_kib: u64) -> Result<()> {
        self.act(&subject.uuid, "mem_target_set", &[("target", &mib(memory_kib))]).map(drop)
    }

    fn set_max_memory(&self, subject: &Subject, memory_kib: u64) -> Result<()> {
        self.act(&subject.uuid, "maxmem_set", &[("memory", &mib(memory_kib))]).map(drop)
    }

    fn set_vcpus(&self, subject: &Subject, count: u32) -> Result<()> {
        self.act(&subject.uuid, "set_vcpus", &[("vcpus", &count.to_string())]).map(drop)
    }

    fn kept_credit(&self, subject: &Subject, set: Option<Credit>) -> Result<Option<Credit>> {
        let key = subject.uuid.to_string();
        if let Some(set) = set {
            set_credit(&self.view, &key, set)?;
        }
        let said = self.view.act(&key, "domain_sched_credit_get", &[])?;
        Ok(said.as_ref().and_then(Sexpr::atom).and_then(credit))
    }

    fn attach(&self, subject: &Subject, document: &Document, device: &Device) -> Result<()> {
        if let (Device::Disk(disk), Some(_), Kind::Hvm) =
            (device, &subject.running, Kind::of(document))
            && matches!(disk.device, DiskDevice::Cdrom | DiskDevice::Floppy)
        {
            return Err(unsupported(format!(
                "drive {} must be there before a full guest boots: shut it down, define it with the \
                 drive, empty if need be, and start it",
                disk.target.dev
            )));
        }
        let config = sexpr::write::device(document, device, self.flavour())?;
        self.act(&subject.uuid, "device_create", &[("config", &config)]).map(drop)
    }

    fn detach(&self, subject: &Subject, _: &Document, device: &Device) -> Result<()> {
        let (kind, number) = self.place(subject, device)?;
        // Compat: releases before 3.3 pass over what they do not know, later ones want it.
        let fields = [("type", kind), ("dev", &number), ("force", "0"), ("rm_cfg", "1")];
        self.act(&subject.uuid, "device_destroy", &fields).map(drop)
    }

    fn insert(&self, subject: &Subject, document: &Document, device: &Device) -> Result<()> {
        let (_, number) = self.place(subject, device)?;
        let config = sexpr::write::device(document, device, self.flavour())?;
        let fields = [("config", config.as_str()), ("dev", &number)];
        let done = self.act(&subject.uuid, "device_configure", &fields).map(drop);
        done.map_err(|error| {
            let what = format!("{}; has the guest let go of the medium?", error.message());
            Error::new(Code::OperationFailed, Origin::Xend, format!("{}: {what}", describe(device)))
        })
    }

    fn takes_guests_in(&self) -> bool {
        true
    }

    fn migrate(&self, running: &Running, host: &str, port: Option<u16>, live: bool) -> Result<()> {
        let (key, port) = (running.uuid.to_string(), port.unwrap_or(RELOCATION_PORT));
        self.view.xend.migrate(&key, host, live, port).map_err(|error| public(&error))
    }
}
