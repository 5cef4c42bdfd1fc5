//! Xen's native formats: files of `xm` and `xl`, and xend's S-expressions, to and from domains.
//!
//! All of it works without a connection: what depends on a host is in [`Host`].

pub(crate) mod affinity;
pub(crate) mod boot;
pub(crate) mod chardev;
pub(crate) mod config;
pub(crate) mod cpu;
pub(crate) mod display;
pub mod era;
pub(crate) mod hint;
pub(crate) mod label;
pub(crate) mod pci;
mod read;
pub(crate) mod vif;
pub(crate) mod write;
pub(crate) mod xl;
mod xl_disk;
pub(crate) mod xm_disk;

use virt_error::{Error, Origin, Result};
use virt_model::domain::{Disk, Domain, Interface};
use virt_model::{ParseFlags, PrintFlags};

pub use boot::Kind;
pub use config::CONFIG_BYTES_MAX;
pub use era::Era;
pub(crate) use pci::address as pci_address;
pub(crate) use read::{serials, set_clock, sounds, usb_inputs};
pub(crate) use xl_disk::print as disk_words;
pub(crate) use xl_disk::print_rbd;

use crate::rules::XenRules;
use crate::sexpr;

/// A native format, by the name that users give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Xm,
    Xl,
    Sexpr,
}

impl Format {
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "xen-xm" => Some(Self::Xm),
            "xen-xl" => Some(Self::Xl),
            "xen-sxpr" => Some(Self::Sexpr),
            _ => None,
        }
    }
}

/// Who reads what is written, and wrote what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolstack {
    /// `xl` and libvirt's own driver of today.
    Libxl,
    /// xend, with the number it calls `xend_config_format`: 1 for Xen 3.0.0, 4 from 3.1 on.
    Xend { config_format: u32 },
}

/// What a conversion must know of the host that the guest is for.
#[derive(Clone, Debug)]
pub struct Host {
    pub arch: String,
    /// Where `hvmloader` lies.
    pub firmware_dir: String,
    pub toolstack: Toolstack,
    /// In whose words documents are printed.
    pub era: Era,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            arch: "x86_64".to_owned(),
            firmware_dir: "/usr/lib/xen/boot".to_owned(),
            toolstack: Toolstack::Libxl,
            era: Era::Current,
        }
    }
}

impl Host {
    pub fn rules(&self) -> XenRules<'_> {
        XenRules { arch: &self.arch, firmware_dir: &self.firmware_dir }
    }

    /// Reads a domain in a native format, completed as a document would be.
    pub fn read(&self, format: &str, text: &str) -> Result<Domain> {
        let mut domain = match Format::from_name(format) {
            Some(Format::Sexpr) => sexpr::read::domain(text)?,
            Some(format) => read::domain(text, format, self.toolstack, &self.firmware_dir)?,
            None => return Err(unknown(format)),
        };
        domain.complete(ParseFlags { inactive: true, ..ParseFlags::default() }, &self.rules())?;
        Ok(domain)
    }

    /// Prints a domain in a native format.
    pub fn write(&self, format: &str, domain: &Domain) -> Result<String> {
        match Format::from_name(format) {
            Some(Format::Sexpr) => sexpr::write::domain(domain, self.toolstack),
            Some(format) => write::config(domain, format, self.toolstack),
            None => Err(unknown(format)),
        }
    }

    /// `domxml-from-native`: a native format in, a document out.
    pub fn from_native(&self, format: &str, text: &str) -> Result<String> {
        let domain = self.read(format, text)?;
        let flags = PrintFlags { inactive: true, secure: true, ..PrintFlags::default() };
        Ok(self.era.print(&domain, flags))
    }

    /// `domxml-to-native`: a document in, a native format out.
    pub fn to_native(&self, format: &str, xml: &str) -> Result<String> {
        // 0.9.8 gave away how a running guest's interfaces are called.
        let inactive = self.era != Era::V0_9;
        let flags = ParseFlags { inactive, ..ParseFlags::default() };
        let domain = Domain::load(xml, flags, &self.rules())?;
        self.write(format, &domain)
    }
}

/// An interface as `xl` takes it.
pub(crate) fn vif_words(interface: &Interface, hvm: bool) -> Result<String> {
    vif::print(interface, vif::VifStyle { hvm, netfront: "vif", ioemu: false })
}

/// An interface of which little is known.
pub(crate) fn vif_of(
    mac: Option<&str>,
    bridge: Option<&str>,
    script: Option<&str>,
) -> Result<Interface> {
    vif::Vif { mac, bridge, script, ..vif::Vif::default() }.interface()
}

/// A disk of which little is known.
pub(crate) fn disk_of(uname: &str, dev: &str, hvm: bool) -> Result<Disk> {
    xm_disk::build(Some(uname), dev, hvm)
}

fn unknown(format: &str) -> Error {
    let detail = format!("unsupported config type {format}");
    Error::new(virt_error::Code::InvalidArg, Origin::Xen, detail)
}
