//! One device alone, as it is plugged in and out; and the list of all that have an address.

use virt_error::Result;
use virt_xml::Element;

use crate::domain::chardev::{Channel, Console, Parallel, Serial};
use crate::domain::controller::Controller;
use crate::domain::devices::{
    Audio, Filesystem, Hub, Input, Iommu, Memballoon, Nvram, Panic, Rng, Smartcard, Sound, Vsock,
    Watchdog,
};
use crate::domain::graphics::{Graphics, Video};
use crate::domain::hostdev::{Hostdev, Redirdev};
use crate::domain::small::{Crypto, MemoryDevice, Pstore, Shmem, Tpm};
use crate::domain::{
    Address, DeviceInfo, Devices, Disk, DomainRules, Interface, VirtType, defaults, implicit,
};
use crate::schema::{Body, Out, ParseFlags, PrintFlags, error, explain};

/// Describes the devices: `Variant = "element" in field`, those with a [`DeviceInfo`] first.
macro_rules! device_table {
    (
        many { $($Many:ident = $many_tag:literal in $many:ident,)* }
        one { $($One:ident = $one_tag:literal in $one:ident,)* }
        without_info { $($Plain:ident = $plain_tag:literal in $plain:ident,)* }
        trees { $($Tree:ident = $tree_tag:literal in $tree:ident,)* }
    ) => {
        /// Any device.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Device {
            $( $Many(Box<$Many>), )*
            $( $One(Box<$One>), )*
            $( $Plain(Box<$Plain>), )*
            $( $Tree(Element<'static>), )*
        }

        impl Device {
            /// The name of its element.
            pub fn tag(&self) -> &'static str {
                match self {
                    $( Self::$Many(_) => $many_tag, )*
                    $( Self::$One(_) => $one_tag, )*
                    $( Self::$Plain(_) => $plain_tag, )*
                    $( Self::$Tree(_) => $tree_tag, )*
                }
            }

            fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
                Ok(match &*element.name {
                    $( $many_tag => Self::$Many(Box::new($Many::read(element, flags)?)), )*
                    $( $one_tag => Self::$One(Box::new($One::read(element, flags)?)), )*
                    $( $plain_tag => Self::$Plain(Box::new($Plain::read(element, flags)?)), )*
                    $( $tree_tag => Self::$Tree(element.content()), )*
                    other => return Err(error::unsupported(format!("unknown device type '{other}'"))),
                })
            }

            fn write(&self, out: &mut Out) {
                match self {
                    $( Self::$Many(device) => out.element($many_tag, &**device), )*
                    $( Self::$One(device) => out.element($one_tag, &**device), )*
                    $( Self::$Plain(device) => out.element($plain_tag, &**device), )*
                    $( Self::$Tree(device) => out.w.element(device), )*
                }
            }

            /// Its address, alias and the like, where it has them.
            pub fn info(&self) -> Option<&DeviceInfo> {
                match self {
                    $( Self::$Many(device) => Some(&device.info), )*
                    $( Self::$One(device) => Some(&device.info), )*
                    _ => None,
                }
            }

            /// The same, to be changed.
            pub fn info_mut(&mut self) -> Option<&mut DeviceInfo> {
                match self {
                    $( Self::$Many(device) => Some(&mut device.info), )*
                    $( Self::$One(device) => Some(&mut device.info), )*
                    _ => None,
                }
            }
        }

        impl Devices {
            /// Calls `f` with every typed device's address, alias and the like, in print order.
            pub fn visit_infos<'a>(&'a self, f: &mut dyn FnMut(&'a DeviceInfo)) {
                $( self.$many.iter().for_each(|device| f(&device.info)); )*
                $( self.$one.iter().for_each(|device| f(&device.info)); )*
            }

            /// The same, to be changed.
            pub fn visit_infos_mut(&mut self, f: &mut dyn FnMut(&mut DeviceInfo)) {
                $( self.$many.iter_mut().for_each(|device| f(&mut device.info)); )*
                $( self.$one.iter_mut().for_each(|device| f(&mut device.info)); )*
            }

            /// How many devices there are.
            pub fn len(&self) -> usize {
                0 $( + self.$many.len() )* $( + usize::from(self.$one.is_some()) )*
                    $( + self.$plain.len() )* $( + self.$tree.len() )*
            }

            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Adds a device in its place; the one that can only be there once replaces the former.
            #[allow(unreachable_patterns, reason = "disks and controllers have places of their own")]
            pub fn add(&mut self, device: Device) {
                match device {
                    Device::Disk(disk) => defaults::insert_disk(&mut self.disks, *disk),
                    Device::Controller(controller) => {
                        implicit::insert_controller(&mut self.controllers, *controller);
                    }
                    $( Device::$Many(device) => self.$many.push(*device), )*
                    $( Device::$One(device) => self.$one = Some(*device), )*
                    $( Device::$Plain(device) => self.$plain.push(*device), )*
                    $( Device::$Tree(device) => self.$tree.push(device), )*
                }
            }

            /// Takes out the first device for which `chosen` says yes.
            pub fn remove(&mut self, chosen: &dyn Fn(&DeviceInfo) -> bool) -> Option<Device> {
                $( if let Some(at) = self.$many.iter().position(|device| chosen(&device.info)) {
                    return Some(Device::$Many(Box::new(self.$many.remove(at))));
                } )*
                $( if let Some(device) = self.$one.take_if(|device| chosen(&device.info)) {
                    return Some(Device::$One(Box::new(device)));
                } )*
                None
            }
        }
    };
}

device_table! {
    many {
        Disk = "disk" in disks,
        Controller = "controller" in controllers,
        Filesystem = "filesystem" in filesystems,
        Interface = "interface" in interfaces,
        Smartcard = "smartcard" in smartcards,
        Serial = "serial" in serials,
        Parallel = "parallel" in parallels,
        Console = "console" in consoles,
        Channel = "channel" in channels,
        Input = "input" in inputs,
        Sound = "sound" in sounds,
        Video = "video" in videos,
        Hostdev = "hostdev" in hostdevs,
        Redirdev = "redirdev" in redirdevs,
        Hub = "hub" in hubs,
        Watchdog = "watchdog" in watchdogs,
        Rng = "rng" in rngs,
        Panic = "panic" in panics,
        Iommu = "iommu" in iommus,
        Tpm = "tpm" in tpms,
        Shmem = "shmem" in shmems,
        MemoryDevice = "memory" in memories,
        Crypto = "crypto" in cryptos,
    }
    one {
        Memballoon = "memballoon" in memballoon,
        Nvram = "nvram" in nvram,
        Vsock = "vsock" in vsock,
        Pstore = "pstore" in pstore,
    }
    without_info {
        Graphics = "graphics" in graphics,
        Audio = "audio" in audios,
    }
    trees {
        Lease = "lease" in leases,
    }
}

impl Device {
    /// Reads one device and gives it the defaults it would get in a domain of that type.
    pub fn parse(
        xml: &str,
        virt_type: VirtType,
        flags: ParseFlags,
        rules: &dyn DomainRules,
    ) -> Result<Self> {
        explain::reading(xml, virt_error::Origin::Domain, |tree| {
            let mut device = Self::read(tree, flags)?;
            defaults::device(&mut device, virt_type, rules)?;
            Ok(device)
        })
    }

    /// Prints the device alone.
    pub fn to_xml(&self, flags: PrintFlags) -> String {
        let mut out = Out::new(flags);
        self.write(&mut out);
        out.w.finish()
    }
}

impl Devices {
    /// Limit: placing and comparing devices takes the square of their number. No bus topology that
    /// an emulator offers comes near.
    pub const LEN_MAX: usize = 4096;

    /// Every typed device's address, alias and the like.
    pub fn infos(&self) -> Vec<&DeviceInfo> {
        let mut all = Vec::new();
        self.visit_infos(&mut |info| all.push(info));
        all
    }

    /// The addresses of all typed devices.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.infos().into_iter().map(|info| &info.address)
    }

    /// Takes out the device of that name.
    pub fn remove_alias(&mut self, alias: &str) -> Option<Device> {
        self.remove(&|info| info.alias.as_deref() == Some(alias))
    }
}
