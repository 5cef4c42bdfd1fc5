//! What a host can run, from the hypervisor's own list: `xen-3.0-x86_64 hvm-3.0-x86_32p`.

use virt_xml::Writer;

use crate::formats::boot::HVMLOADER;

/// Limit: the hypervisor's list is a kilobyte at most, some twenty words.
const WORDS_MAX: usize = 64;

/// One kind of guest that the hypervisor offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest {
    pub hvm: bool,
    /// Without emulated hardware, on processors that could have it.
    pub pvh: bool,
    pub arch: String,
    pub wordsize: u32,
    pub pae: bool,
    pub nonpae: bool,
    pub big_endian: bool,
}

/// A host with Xen on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub arch: String,
    /// `vmx` or `svm`, where the processor has it.
    pub virtualisation: Option<&'static str>,
    pub guests: Vec<Guest>,
    pub emulator: String,
    pub loader: String,
}

impl Capabilities {
    /// Reads the hypervisor's list and the processor's flags (`/proc/cpuinfo`).
    pub fn read(arch: &str, offered: &str, cpuinfo: &str) -> Self {
        let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
        let flags = flags.and_then(|line| line.split_once(':')).map_or("", |(_, flags)| flags);
        let has = |name: &&&str| flags.split_whitespace().any(|flag| flag == **name);
        let mut found = Self {
            arch: arch.to_owned(),
            virtualisation: ["vmx", "svm"].iter().find(has).copied(),
            emulator: "qemu-dm".to_owned(),
            loader: HVMLOADER.to_owned(),
            ..Self::default()
        };
        found.offer(offered);
        found
    }

    /// Adds the guests of the hypervisor's list.
    pub(crate) fn offer(&mut self, offered: &str) {
        for word in offered.split_whitespace().take(WORDS_MAX) {
            if let Some(guest) = Guest::parse(word) {
                self.add(guest);
            }
        }
    }

    /// Words with and without PAE are one guest that can do both.
    fn add(&mut self, guest: Guest) {
        let same = |known: &&mut Guest| known.hvm == guest.hvm && known.arch == guest.arch;
        match self.guests.iter_mut().find(same) {
            Some(known) => {
                known.pae |= guest.pae;
                known.nonpae |= guest.nonpae;
                known.big_endian |= guest.big_endian;
            }
            None => self.guests.push(guest),
        }
    }

    /// Prints the document, in the form of libvirt's drivers of xend's time.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::new();
        w.open("capabilities");
        w.raw("\n");
        w.open("host");
        w.open("cpu");
        w.text_element("arch", &self.arch);
        if let Some(name) = self.virtualisation {
            w.open("features");
            empty(&mut w, name);
            w.close("features");
        }
        w.close("cpu");
        empty(&mut w, "power_management");
        w.open("migration_features");
        empty(&mut w, "live");
        w.open("uri_transports");
        w.text_element("uri_transport", "xenmigr");
        w.close("uri_transports");
        w.close("migration_features");
        w.close("host");
        w.raw("\n");
        for guest in &self.guests {
            self.guest(guest, &mut w);
            w.raw("\n");
        }
        w.close("capabilities");
        w.finish()
    }

    /// Prints one kind of guest.
    pub(crate) fn guest(&self, guest: &Guest, w: &mut Writer) {
        let (os, machine) = match guest {
            Guest { pvh: true, .. } => ("xenpvh", "xenpvh"),
            Guest { hvm: true, .. } => ("hvm", "xenfv"),
            _ => ("xen", "xenpv"),
        };
        w.open("guest");
        w.text_element("os_type", os);
        w.open("arch");
        w.attr("name", &guest.arch);
        w.text_element("wordsize", &guest.wordsize.to_string());
        w.text_element("emulator", &self.emulator);
        if guest.hvm {
            w.text_element("loader", &self.loader);
        }
        w.text_element("machine", machine);
        w.open("domain");
        w.attr("type", "xen");
        w.close("domain");
        w.close("arch");
        let features =
            [("pae", guest.pae), ("nonpae", guest.nonpae), ("ia64_be", guest.big_endian)];
        if guest.hvm || features.iter().any(|(_, on)| *on) {
            w.open("features");
            for (name, _) in features.iter().filter(|(_, on)| *on) {
                empty(w, name);
            }
            for name in ["acpi", "apic"].into_iter().filter(|_| guest.hvm) {
                w.open(name);
                w.attr("default", "on");
                w.attr("toggle", "yes");
                w.close(name);
            }
            w.close("features");
        }
        w.close("guest");
    }
}

fn empty(w: &mut Writer, name: &str) {
    w.open(name);
    w.close(name);
}

impl Guest {
    /// Reads one word: kind, interface version, machine.
    fn parse(word: &str) -> Option<Self> {
        let (kind, rest) = word.split_once('-')?;
        let (_, machine) = rest.split_once('-')?;
        let hvm = match kind {
            "xen" => false,
            "hvm" => true,
            _ => return None,
        };
        let guest = |arch: &str, wordsize| {
            let arch = arch.to_owned();
            Self { hvm, arch, wordsize, ..Self::default() }
        };
        Some(match machine {
            "x86_32" => Self { nonpae: true, ..guest("i686", 32) },
            "x86_32p" => Self { pae: true, ..guest("i686", 32) },
            "x86_64" => guest("x86_64", 64),
            "ia64" => guest("ia64", 64),
            "ia64be" => Self { big_endian: true, ..guest("ia64", 64) },
            "powerpc64" => guest("ppc64", 64),
            "armv7l" => guest("armv7l", 32),
            "aarch64" => guest("aarch64", 64),
            _ => return None,
        })
    }
}
