//! What a driver brings to reading a domain: its guests, its defaults, its own checks.

use virt_error::Result;
use virt_types::Uuid;

use crate::domain::{Domain, VirtType};
use crate::schema::ParseFlags;
use crate::schema::text::Mac;

/// A driver's part in reading a domain. The steps run in the order of the methods.
pub trait DomainRules {
    /// Fills in architecture, machine and emulator from what the driver can run; an error where it
    /// cannot run such a guest.
    fn guest(&self, domain: &mut Domain) -> Result<()>;

    /// Changes what a document says before the generic defaults are applied.
    fn before_defaults(&self, _domain: &mut Domain, _flags: ParseFlags) -> Result<()> {
        Ok(())
    }

    /// Adds the driver's default devices and values after the generic ones, and assigns addresses.
    fn defaults(&self, _domain: &mut Domain, _flags: ParseFlags) -> Result<()> {
        Ok(())
    }

    /// The driver's own checks, after the generic ones.
    fn validate(&self, _domain: &Domain) -> Result<()> {
        Ok(())
    }

    /// Whether elements of that namespace (as `qemu:commandline`) are this driver's; others' are dropped.
    fn owns_namespace(&self, _uri: &str) -> bool {
        false
    }

    /// Whether the driver takes what most do not.
    fn features(&self) -> DriverFeatures {
        DriverFeatures::default()
    }

    /// A UUID for a domain without one.
    fn random_uuid(&self) -> Uuid {
        Uuid::random()
    }

    /// An address for an interface without one, in the driver's range.
    fn random_mac(&self, virt_type: VirtType) -> Mac {
        let [a, b, c] = mac_prefix(virt_type);
        let random = Uuid::random().0;
        Mac([a, b, c, random[0], random[1], random[2]])
    }
}

/// The first half of made-up Ethernet addresses.
pub fn mac_prefix(virt_type: VirtType) -> [u8; 3] {
    match virt_type {
        VirtType::Xen => [0x00, 0x16, 0x3e],
        VirtType::Phyp => [0x00, 0x1a, 0x4b],
        VirtType::VMware => [0x00, 0x0c, 0x29],
        VirtType::Parallels | VirtType::Vz => [0x00, 0x1c, 0x42],
        VirtType::OpenVz => [0x52, 0x54, 0x00],
        _ => [0x52, 0x54, 0x00],
    }
}

/// What a driver takes beyond the common ground.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverFeatures {
    /// Memory devices and `<maxMemory>`.
    pub memory_hotplug: bool,
    /// Names may hold a slash.
    pub name_slash: bool,
    /// More than seven units on a SCSI bus.
    pub wide_scsi: bool,
    /// Network models outside the known list.
    pub net_model_string: bool,
    /// Aliases that users give.
    pub user_aliases: bool,
    /// `<vcpus>` for each CPU.
    pub individual_vcpus: bool,
    /// A disk's `startupPolicy` and the like on filesystems.
    pub disk_fd: bool,
}
