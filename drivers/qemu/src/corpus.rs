//! The emulator and the host that libvirt's corpora of QEMU domains were recorded for: what the driver
//! makes of a document there, without any emulator. Only built for the runner in `tests/conformance`.

use std::path::Path;
use std::sync::Arc;

use virt_error::Result;
use virt_model::domain::devices::AudioType;
use virt_model::domain::{Domain, DomainRules, DriverFeatures, VirtType};
use virt_model::{Mac, ParseFlags};
use virt_types::Uuid;

use crate::capabilities::{Capabilities, Machine, TYPES};
use crate::dirs::Dirs;
use crate::firmware::{self, Firmware};
use crate::native;
use crate::rules::{Lookup, QemuRules};
use crate::status::Status;

/// The emulator and the host that the corpora were made for.
#[derive(Debug)]
pub struct Recorded {
    capabilities: Arc<Capabilities>,
    firmwares: Vec<Firmware>,
    tpm_versions: &'static [&'static str],
    hvf: bool,
    host_audio: Option<AudioType>,
}

impl Lookup for Recorded {
    fn capabilities(&self, _: &Path) -> Result<Arc<Capabilities>> {
        Ok(Arc::clone(&self.capabilities))
    }

    fn kvm(&self, _: &Capabilities) -> bool {
        true
    }

    fn firmwares(&self) -> Vec<Firmware> {
        self.firmwares.clone()
    }

    fn hvf(&self) -> bool {
        self.hvf
    }

    fn host_audio(&self, _: bool) -> Option<AudioType> {
        self.host_audio
    }

    fn tpm_versions(&self) -> &'static [&'static str] {
        self.tpm_versions
    }
}

/// The rules with the corpus's random numbers.
struct Rules<'a>(QemuRules<&'a Recorded>);

impl DomainRules for Rules<'_> {
    fn guest(&self, domain: &mut Domain) -> Result<()> {
        self.0.guest(domain)
    }

    fn before_defaults(&self, domain: &mut Domain, flags: ParseFlags) -> Result<()> {
        self.0.before_defaults(domain, flags)
    }

    fn defaults(&self, domain: &mut Domain, flags: ParseFlags) -> Result<()> {
        self.0.defaults(domain, flags)
    }

    fn validate(&self, domain: &Domain) -> Result<()> {
        self.0.validate(domain)
    }

    fn owns_namespace(&self, uri: &str) -> bool {
        self.0.owns_namespace(uri)
    }

    fn features(&self) -> DriverFeatures {
        self.0.features()
    }

    fn random_uuid(&self) -> Uuid {
        Uuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    }

    fn random_mac(&self, _: VirtType) -> Mac {
        Mac([0x52, 0x54, 0, 0, 1, 2])
    }
}

fn read(capabilities: &Path, firmware: &Path) -> Recorded {
    let text = std::fs::read_to_string(capabilities).unwrap_or_default();
    let root = virt_xml::parse(&text).ok();
    let mut machines: Vec<Machine> = Vec::new();
    for element in root.iter().flat_map(|root| root.children_named("machine")) {
        let name = element.attr("name").unwrap_or_default().to_owned();
        if machines.iter().any(|machine| machine.name == name) {
            continue;
        }
        machines.push(Machine {
            name,
            // Compat: the corpus was recorded without aliases.
            alias: None,
            max_cpus: element.attr("maxCpus").and_then(|most| most.parse().ok()).unwrap_or(1),
            default: element.attr("default") == Some("yes"),
            default_cpu: element.attr("defaultCPU").map(str::to_owned),
            ..Machine::default()
        });
    }
    let aliases = ["pc", "q35"].map(|name| Machine {
        name: name.into(),
        max_cpus: if name == "pc" { 255 } else { 4096 },
        default: name == "pc",
        default_cpu: Some("qemu64-x86_64-cpu".into()),
        ..Machine::default()
    });
    machines.splice(0..0, aliases);
    let types = TYPES.iter().map(|name| (*name).to_owned()).collect();
    let arch = "x86_64".to_owned();
    let capabilities = Capabilities { arch, machines, types, ..Capabilities::default() };
    let folders = ["usr/share/qemu", "etc/qemu", "home/user/.config/qemu"];
    let folders = folders.map(|at| firmware.join(at).join("firmware"));
    Recorded {
        capabilities: Arc::new(capabilities),
        firmwares: firmware::load(&folders),
        tpm_versions: &["1.2", "2.0"],
        hvf: false,
        host_audio: None,
    }
}

/// The emulator's abilities that a case can take away, and their devices.
const ABILITIES: &[(&str, &str)] = &[
    ("QEMU_CAPS_DEVICE_QEMU_XHCI", "qemu-xhci"),
    ("QEMU_CAPS_NEC_USB_XHCI", "nec-usb-xhci"),
    ("QEMU_CAPS_ICH9_USB_EHCI1", "ich9-usb-ehci1"),
];

impl Recorded {
    /// The same as one case changes it: its columns `variant`, `extra` and `config`.
    #[must_use]
    pub fn changed(&self, variant: &str, extra: &str, config: &str) -> Self {
        let mut capabilities = (*self.capabilities).clone();
        let (_, less) = extra.split_once("qemu_caps_del=").unwrap_or_default();
        let gone = |kind: &String| {
            ABILITIES.iter().any(|(name, device)| device == kind && less.contains(name))
        };
        capabilities.types.retain(|kind| !gone(kind));
        let (_, audio) = config.split_once("QEMU_AUDIO_DRV=").unwrap_or_default();
        let audio = AudioType::from_word(audio.split(' ').next().unwrap_or_default());
        let one = config.contains("FAKE_TPM_VERSION=TPM_VER_2_0");
        Self {
            capabilities: Arc::new(capabilities),
            firmwares: self.firmwares.clone(),
            tpm_versions: if one { &["2.0"] } else { self.tpm_versions },
            hvf: variant.ends_with("+hvf"),
            host_audio: config.contains("AllowHostAudio=true").then_some(audio).flatten(),
        }
    }

    /// Reads the emulator's abilities from libvirt's cache of them, and the firmwares below a folder.
    pub fn read(capabilities: &Path, firmware: &Path) -> Self {
        read(capabilities, firmware)
    }

    /// The domain as the driver defines it.
    pub fn load(&self, xml: &str, flags: ParseFlags) -> Result<Domain> {
        Domain::load(xml, flags, &Rules(QemuRules(self)))
    }

    /// A status file, read and written again by a daemon for all users.
    pub fn status(text: &str) -> Result<String> {
        Status::parse(text, &system_dirs()).map(|status| status.to_xml())
    }

    /// What the driver keeps of a firmware's descriptor; nothing of one that it refuses.
    pub fn firmware(text: &str) -> Option<serde_json::Value> {
        serde_json::to_value(Firmware::parse(text.as_bytes())?).ok()
    }

    /// How the driver would start the domain: each option on a line, with its value.
    pub fn command_line(&self, domain: &Domain) -> Result<String> {
        command_line(domain)
    }
}

fn command_line(domain: &Domain) -> Result<String> {
    let mut text = String::new();
    for word in native::words(&mut domain.clone(), &system_dirs(), "127.0.0.1")? {
        text.push_str(if word.starts_with('-') { "\n" } else { " " });
        text.push_str(&word);
    }
    Ok(text)
}

/// The folders of a daemon for all users.
fn system_dirs() -> Dirs {
    let [config, state, run, log, cache] =
        ["/etc", "/var/lib", "/var/run", "/var/log", "/var/cache"]
            .map(|at| Path::new(at).join("libvirt"));
    let dirs = Dirs::within(&config, &state, &run, &log, &cache);
    Dirs { channel: run.join("qemu/channel"), ..dirs }
}
