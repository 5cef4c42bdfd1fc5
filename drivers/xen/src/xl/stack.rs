//! `xl` as the tool stack, and the daemon's part of it: what is to be done when a guest ends.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use virt_error::{Code, Error, Result};
use virt_model::domain::disk::DiskDevice;
use virt_model::domain::hostdev::Hostdev;
use virt_model::domain::{Device, Domain as Document, LifecycleAction};
use virt_model::{ParseFlags, PrintFlags};
use virt_types::Uuid;

use super::runner::{LONG_WAIT, Said, USUAL_WAIT, Xl, finish};
use super::status::Status;
use super::{outside, record};
use crate::channels::{Dump, Goodbye, Hypervisor, Subject, Toolstack};
use crate::devices::{block_number, describe};
use crate::formats::{Host, Kind, disk_words, pci, vif_words};
use crate::seen::{Credit, Key, Life, Running};
use crate::store_channel::StoreChannel;
use crate::{ORIGIN, console, invalid_arg, invalid_operation, operation_failed, unsupported};

const KIB_PER_MIB: u64 = 1024;
/// How long an effect may take to show after `xl` has ended.
const EFFECT_WAIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);
/// What a guest ended for.
const REBOOT: u32 = 1;
const SUSPEND: u32 = 2;

/// `xl`, beside the hypervisor that shows what it did.
pub(crate) struct XlStack {
    xl: Xl,
    hypervisor: Arc<dyn Hypervisor>,
    store: Arc<StoreChannel>,
    host: Host,
    status: Status,
    /// Where configurations are written for `xl` to read.
    run: PathBuf,
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| invalid_arg(format!("path '{}' is no text", path.display())))
}

/// A device of the host's as `xl` takes it; those of USB come with the guest alone.
fn pci_words(hostdev: &Hostdev) -> Result<String> {
    pci::print(hostdev)
        .ok_or_else(|| unsupported(format!("device of type '{}' cannot come and go", hostdev.kind)))
}

fn failed(what: &str, said: &Said) -> Error {
    operation_failed(format!("xl {what}: {}", said.why()))
}

impl XlStack {
    pub(crate) fn new(
        xl: Xl,
        hypervisor: Arc<dyn Hypervisor>,
        store: Arc<StoreChannel>,
        host: Host,
        run: PathBuf,
    ) -> Self {
        let status = Status { dir: run.clone(), host: host.clone() };
        Self { xl, hypervisor, store, host, status, run }
    }

    /// Runs `xl`, and waits until what it was to do shows.
    fn run(
        &self,
        what: &str,
        args: &[&str],
        wait_max: Duration,
        shows: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let said = self.xl.run(args, wait_max)?;
        self.expect(what, &said, shows)
    }

    fn expect(
        &self,
        what: &str,
        said: &Said,
        mut shows: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        // One that says it failed gets no time to be right after all.
        let wait = if said.code == Some(0) { EFFECT_WAIT } else { Duration::ZERO };
        let until = Instant::now() + wait;
        loop {
            if shows()? {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(failed(what, said));
            }
            std::thread::sleep(STEP);
        }
    }

    fn is_there(&self, document: &Document) -> Result<Option<Running>> {
        match document.uuid {
            Some(uuid) => self.hypervisor.look(Key::Uuid(uuid)),
            None => Ok(None),
        }
    }

    fn is_gone(&self, running: &Running) -> Result<bool> {
        let found = self.hypervisor.look(Key::Id(running.id))?;
        Ok(found.is_none_or(|found| found.uuid != running.uuid))
    }

    fn read(&self, xml: &str) -> Result<Document> {
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        Document::load(xml, flags, &self.host.rules())
    }

    /// A configuration in a file of its own.
    fn config(&self, document: &Document) -> Result<PathBuf> {
        let text = self.host.write("xen-xl", document)?;
        let uuid = document.uuid.unwrap_or_default();
        let path = self.run.join(format!("{uuid}.cfg"));
        virt_store::write(&path, text.as_bytes(), 0o600, virt_store::Durability::Process)
            .map_err(|error| crate::store_error(&error))?;
        Ok(path)
    }

    /// Makes a guest by a command, as paused as it comes, and forgets the half of it that failed.
    fn make(&self, document: &Document, make: impl FnOnce(&str) -> Result<Said>) -> Result<()> {
        self.status.put(document)?;
        let config = self.config(document)?;
        let said = make(path_text(&config)?);
        let _ = virt_store::remove(&config);
        let done = said.and_then(|said| {
            self.expect("create", &said, || {
                // It is whole when it is paused and no longer being built.
                let found = self.is_there(document)?;
                Ok(said.code == Some(0) && found.is_some_and(|found| found.life != Life::Dying))
            })
        });
        done.inspect_err(|_| {
            self.status.remove(&document.uuid.unwrap_or_default());
        })
    }

    fn backend_is(&self, subject: &Subject, device: &Device, there: bool) -> Result<bool> {
        let Some(running) = &subject.running else { return Ok(false) };
        let dir = |kind: &str| format!("/local/domain/{}/device/{kind}", running.id);
        let found = match device {
            Device::Disk(disk) => {
                let number = block_number(&disk.target.dev).unwrap_or(0).to_string();
                let all = self.store.try_ask(|store| store.list(&dir("vbd")))?;
                all.unwrap_or_default().contains(&number)
            }
            Device::Interface(interface) => {
                let mac = interface.mac.as_ref().map(|mac| mac.address.to_string());
                let all = self.store.try_ask(|store| store.list(&dir("vif")))?.unwrap_or_default();
                all.iter().any(|number| {
                    let path = format!("{}/{number}/mac", dir("vif"));
                    let found = self.store.ask(|store| store.read(&path)).flatten();
                    found.zip(mac.as_deref()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
                })
            }
            Device::Hostdev(hostdev) => {
                let dir = format!("/local/domain/0/backend/pci/{}/0", running.id);
                let words = pci_words(hostdev)?;
                let place = words.split(',').next();
                let names = self.store.try_ask(|store| store.list(&dir))?.unwrap_or_default();
                names.iter().filter(|name| name.starts_with("dev-")).any(|name| {
                    let path = format!("{dir}/{name}");
                    self.store.ask(|store| store.read(&path)).flatten().as_deref() == place
                })
            }
            _ => there,
        };
        Ok(found == there)
    }

    fn edit_status(&self, subject: &Subject, edit: impl FnOnce(&mut Document)) -> Result<()> {
        let known = subject.running.as_ref().and_then(|running| self.status.get(running));
        let Some(mut document) = known else { return Ok(()) };
        edit(&mut document);
        self.status.put(&document)
    }

    /// A guest that has ended by itself: `on_poweroff` and the like are the daemon's to carry out.
    fn ended(&self, running: &Running, document: &Document) -> Result<()> {
        use LifecycleAction::{CoredumpDestroy, CoredumpRestart, Preserve, RenameRestart, Restart};
        let action = match (running.life, running.ended) {
            (Life::Crashed, _) => document.on_crash,
            (_, Some(SUSPEND)) => return Ok(()),
            (_, Some(REBOOT)) => document.on_reboot,
            _ => document.on_poweroff,
        };
        if matches!(action, Some(CoredumpDestroy | CoredumpRestart)) {
            let file = self.run.join(format!("{}.core", document.name));
            // A dump that fails keeps nobody from going on.
            let _ = self.dump(running, &file, Dump { live: true, ..Dump::default() });
        }
        match action {
            Some(Preserve) => Ok(()),
            Some(Restart | CoredumpRestart) => {
                self.destroy(running)?;
                self.begin_again(document)
            }
            Some(RenameRestart) => {
                self.set_aside(running, document)?;
                self.begin_again(document)
            }
            _ => self.destroy(running),
        }
    }

    fn begin_again(&self, document: &Document) -> Result<()> {
        self.create(document)?;
        match self.is_there(document)? {
            Some(made) => self.hypervisor.unpause(&made),
            None => Ok(()),
        }
    }

    /// Keeps what has ended for who looks into it, under a name and a UUID of its own; its disks are given back,
    /// for they are the next one's.
    ///
    /// Compat: so do xend and `xl` with "rename-restart": the new guest has the name.
    fn set_aside(&self, running: &Running, document: &Document) -> Result<()> {
        let (id, uuid) = (running.id.to_string(), Uuid::random());
        let name = format!("{}-{id}", document.name);
        let mut aside = document.clone();
        (aside.name, aside.uuid) = (name.clone(), Some(uuid));
        let kept = Some(LifecycleAction::Preserve);
        (aside.on_poweroff, aside.on_reboot, aside.on_crash) = (kept, kept, kept);
        for disk in std::mem::take(&mut aside.devices.disks) {
            // One that is not given back is told of when the next guest wants it.
            let _ = self.xl.run(&["block-detach", &id, &disk.target.dev], USUAL_WAIT);
        }
        // Order: what is known of it, before it is found under its new name.
        self.status.put(&aside)?;
        let path = format!("/local/domain/{id}/name");
        let is_renamed = || {
            let found = self.store.try_ask(|store| store.read(&path))?;
            Ok(found.as_deref() == Some(name.as_str()))
        };
        let renamed = self.run("rename", &["rename", &id, &name], USUAL_WAIT, is_renamed);
        renamed
            .and_then(|()| self.hypervisor.set_uuid(running, uuid))
            .inspect_err(|_| self.status.remove(&uuid))
    }
}

/// Copies what `xl` writes into a pipe behind a file's head, or what is behind it to `xl`.
fn pump(from: &mut dyn Read, to: &mut dyn Write) -> std::io::Result<u64> {
    let mut bytes = vec![0; 256 * 1024];
    let mut all = 0_u64;
    loop {
        let count = from.read(&mut bytes)?;
        if count == 0 {
            to.flush()?;
            return Ok(all);
        }
        to.write_all(bytes.get(..count).unwrap_or_default())?;
        all = all.saturating_add(count as u64);
    }
}

impl Toolstack for XlStack {
    fn host(&self) -> Host {
        self.host.clone()
    }

    fn keeps_changes(&self) -> bool {
        false
    }

    fn document(&self, running: &Running) -> Result<Document> {
        if running.is_control() {
            return Ok(console::control_domain(running));
        }
        let known = self.status.get(running);
        let mut document =
            known.unwrap_or_else(|| outside::document(&self.store, running, &self.host));
        document.vcpu.current = (running.vcpus < document.vcpu.count).then_some(running.vcpus);
        let kib = |name: &str| {
            let path = format!("/local/domain/{}/memory/{name}", running.id);
            let text = self.store.ask(|store| store.read(&path)).flatten()?;
            text.trim().parse::<u64>().ok()
        };
        // A full guest's target is without what its screen takes, of which its memory is to be had.
        let screen_kib = kib("videoram").filter(|_| running.hvm).unwrap_or(0);
        let target_kib = kib("target").map(|target| target.saturating_add(screen_kib));
        console::complete(&self.store, running, &mut document);
        document.current_memory_kib = target_kib.or(document.current_memory_kib);
        Ok(document)
    }

    fn create(&self, document: &Document) -> Result<()> {
        self.make(document, |config| self.xl.run(&["create", "-e", "-p", "-q", config], USUAL_WAIT))
    }

    fn start(&self, _: &Subject, document: &Document) -> Result<bool> {
        self.create(document).map(|()| true)
    }

    /// In the guest's own node, as `xl` would; a full guest without drivers of Xen's has a button.
    fn ask(&self, running: &Running, how: Goodbye) -> Result<()> {
        if running.hvm {
            let what = if how == Goodbye::Reboot { "reboot" } else { "shutdown" };
            let id = running.id.to_string();
            let said = self.xl.run(&[what, "-F", &id], USUAL_WAIT)?;
            return if said.code == Some(0) { Ok(()) } else { Err(failed(what, &said)) };
        }
        let path = format!("/local/domain/{}/control/shutdown", running.id);
        self.store.try_ask(|store| store.write(&path, how.word()))
    }

    fn destroy(&self, running: &Running) -> Result<()> {
        let id = running.id.to_string();
        self.run("destroy", &["destroy", &id], USUAL_WAIT, || self.is_gone(running))?;
        self.status.remove(&running.uuid);
        Ok(())
    }

    fn rename(&self, subject: &Subject, _: &str) -> Result<()> {
        Err(invalid_operation(format!("cannot rename active domain '{}'", subject.name)))
    }

    fn save(&self, running: &Running, document: &Document, file: &Path) -> Result<()> {
        let flags = PrintFlags { inactive: true, secure: true, ..PrintFlags::default() };
        let mut out = record::begin(file, &document.to_xml(flags))?;
        let id = running.id.to_string();
        let mut command = self.xl.command(&["save", &id, "/dev/stdout"]);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| operation_failed(format!("cannot run xl: {error}")))?;
        let copied = child.stdout.take().map(|mut from| pump(&mut from, &mut out));
        let said = finish(child, "save", LONG_WAIT)?;
        let io = |error: std::io::Error| {
            Error::io(ORIGIN, &error, format!("cannot write '{}'", file.display()))
        };
        let bytes = copied.transpose().map_err(io)?.unwrap_or(0);
        out.sync_all().map_err(io)?;
        self.expect("save", &said, || Ok(bytes > 0 && self.is_gone(running)?))?;
        self.status.remove(&running.uuid);
        Ok(())
    }

    fn restore(&self, file: &Path, xml: Option<&str>, paused: bool) -> Result<Document> {
        let (saved, mut from) = record::open(file)?;
        let document = self.read(xml.unwrap_or(&saved))?;
        self.make(&document, |config| {
            let args = ["restore", "-e", "-p", config, "/dev/stdin"];
            let mut command = self.xl.command(&args);
            let mut child = command
                .stdin(Stdio::piped())
                .spawn()
                .map_err(|error| operation_failed(format!("cannot run xl: {error}")))?;
            if let Some(mut to) = child.stdin.take() {
                // One that has had enough closes its side; what it says of that is told.
                let _ = pump(&mut from, &mut to);
            }
            finish(child, "restore", LONG_WAIT)
        })?;
        if let Some(made) = self.is_there(&document)?.filter(|_| !paused) {
            self.hypervisor.unpause(&made)?;
        }
        Ok(document)
    }

    fn saved(&self, file: &Path) -> Result<Document> {
        self.read(&record::open(file)?.0)
    }

    fn dump(&self, running: &Running, file: &Path, how: Dump) -> Result<()> {
        let runs = matches!(running.life, Life::Running | Life::Blocked);
        if runs && !how.live {
            self.hypervisor.pause(running)?;
        }
        let (id, path) = (running.id.to_string(), path_text(file)?);
        let written = || Ok(std::fs::metadata(file).is_ok_and(|meta| meta.len() > 0));
        let done = self.run("dump-core", &["dump-core", &id, path], LONG_WAIT, written);
        if done.is_ok() && how.crash {
            return self.destroy(running);
        }
        if runs && !how.live {
            self.hypervisor.unpause(running)?;
        }
        done
    }

    fn set_memory(&self, subject: &Subject, memory_kib: u64) -> Result<()> {
        let Some(running) = &subject.running else { return Ok(()) };
        let (id, mib) = (running.id.to_string(), memory_kib.div_ceil(KIB_PER_MIB));
        let path = format!("/local/domain/{id}/memory/target");
        let before = self.store.ask(|store| store.read(&path)).flatten();
        let near = |text: Option<String>| {
            let kib = text.and_then(|text| text.trim().parse::<u64>().ok());
            // Video memory and the like are taken off.
            kib.is_some_and(|kib| kib.abs_diff(mib.saturating_mul(KIB_PER_MIB)) <= 64 * KIB_PER_MIB)
        };
        self.run("mem-set", &["mem-set", &id, &format!("{mib}m")], USUAL_WAIT, || {
            let now = self.store.try_ask(|store| store.read(&path))?;
            Ok(now != before && now.is_some() || near(now))
        })
    }

    fn set_max_memory(&self, subject: &Subject, memory_kib: u64) -> Result<()> {
        let Some(running) = &subject.running else { return Ok(()) };
        let (id, mib) = (running.id.to_string(), memory_kib.div_ceil(KIB_PER_MIB));
        self.run("mem-max", &["mem-max", &id, &format!("{mib}m")], USUAL_WAIT, || {
            let now = self.hypervisor.look(Key::Id(running.id))?;
            Ok(now.is_some_and(|now| now.max_memory_kib >= mib.saturating_mul(KIB_PER_MIB)))
        })?;
        self.edit_status(subject, |document| document.memory.kib = memory_kib)
    }

    fn set_vcpus(&self, subject: &Subject, count: u32) -> Result<()> {
        let Some(running) = &subject.running else { return Ok(()) };
        let id = running.id.to_string();
        let word = |cpu: u32| {
            let path = format!("/local/domain/{id}/cpu/{cpu}/availability");
            self.store.try_ask(|store| store.read(&path))
        };
        // More than the host has is allowed, as it is from the start.
        let args = ["vcpu-set", "--ignore-host", &id, &count.to_string()];
        self.run("vcpu-set", &args, USUAL_WAIT, || {
            for cpu in 0..running.max_vcpus {
                let wanted = if cpu < count { "online" } else { "offline" };
                if word(cpu)?.as_deref() != Some(wanted) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    fn kept_credit(&self, _: &Subject, _: Option<Credit>) -> Result<Option<Credit>> {
        Ok(None)
    }

    fn attach(&self, subject: &Subject, document: &Document, device: &Device) -> Result<()> {
        let Some(running) = &subject.running else { return Ok(()) };
        let id = running.id.to_string();
        let hvm = Kind::of(document) == Kind::Hvm;
        let (what, words) = match device {
            Device::Disk(disk) if hvm && disk.device == DiskDevice::Cdrom => {
                return Err(unsupported(format!(
                    "drive {} must be there before a full guest boots",
                    disk.target.dev
                )));
            }
            Device::Disk(disk) => ("block-attach", vec![disk_words(disk)?]),
            Device::Interface(interface) => {
                let words = vif_words(interface, hvm)?;
                ("network-attach", words.split(',').map(str::to_owned).collect())
            }
            Device::Hostdev(hostdev) => ("pci-attach", vec![pci_words(hostdev)?]),
            other => return Err(unsupported(format!("{} cannot be attached", describe(other)))),
        };
        let mut args = vec![what, id.as_str()];
        args.extend(words.iter().map(String::as_str));
        self.run(what, &args, USUAL_WAIT, || self.backend_is(subject, device, true))?;
        self.edit_status(subject, |known| known.devices.add(device.clone()))
    }

    fn detach(&self, subject: &Subject, _: &Document, device: &Device) -> Result<()> {
        let Some(running) = &subject.running else { return Ok(()) };
        let id = running.id.to_string();
        let (what, name) = match device {
            Device::Disk(disk) => ("block-detach", disk.target.dev.clone()),
            Device::Interface(interface) => {
                let mac = interface.mac.as_ref().map(|mac| mac.address.to_string());
                ("network-detach", mac.unwrap_or_default())
            }
            Device::Hostdev(hostdev) => {
                let words = pci_words(hostdev)?;
                ("pci-detach", words.split(',').next().unwrap_or_default().to_owned())
            }
            other => return Err(unsupported(format!("{} cannot be detached", describe(other)))),
        };
        let args = [what, id.as_str(), name.as_str()];
        self.run(what, &args, USUAL_WAIT, || self.backend_is(subject, device, false))?;
        self.edit_status(subject, |known| crate::devices::remove(known, device))
    }

    fn insert(&self, subject: &Subject, _: &Document, device: &Device) -> Result<()> {
        let (Some(running), Device::Disk(disk)) = (&subject.running, device) else {
            return Ok(());
        };
        let (id, path) = (running.id.to_string(), disk.path().unwrap_or_default());
        let args = match path.is_empty() {
            true => vec!["cd-eject", id.as_str(), &disk.target.dev],
            false => vec!["cd-insert", id.as_str(), &disk.target.dev, path],
        };
        let said = self.xl.run(&args, USUAL_WAIT)?;
        if said.code != Some(0) {
            return Err(failed(args.first().copied().unwrap_or_default(), &said));
        }
        self.edit_status(subject, |known| {
            crate::devices::remove(known, device);
            known.devices.add(device.clone());
        })
    }

    fn annotate(&self, subject: &Subject, edit: &dyn Fn(&mut Document)) -> Result<()> {
        self.edit_status(subject, edit)
    }

    /// It logs in there by ssh.
    fn takes_guests_in(&self) -> bool {
        false
    }

    fn migrate(&self, running: &Running, host: &str, port: Option<u16>, live: bool) -> Result<()> {
        if !live {
            return Err(Error::new(
                Code::OperationUnsupported,
                ORIGIN,
                "xl migrates live guests only",
            ));
        }
        let id = running.id.to_string();
        let ssh = port.map(|port| format!("ssh -p {port}"));
        let mut args = vec!["migrate"];
        args.extend(ssh.iter().flat_map(|ssh| ["-s", ssh.as_str()]));
        args.extend([id.as_str(), host]);
        self.run("migrate", &args, LONG_WAIT, || self.is_gone(running))?;
        self.status.remove(&running.uuid);
        Ok(())
    }

    fn wants_tending(&self) -> bool {
        true
    }

    fn tend(&self, running: &Running) {
        if !matches!(running.life, Life::Down | Life::Crashed) || running.is_control() {
            return;
        }
        // A guest that somebody else made is somebody else's to look after.
        let Some(document) = self.status.get(running) else { return };
        if let Err(error) = self.ended(running, &document) {
            virt_log::error!("xen", "after the end of '{}': {error}", running.name);
        }
    }
}
