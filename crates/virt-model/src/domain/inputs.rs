//! Input devices: the bus they are on where nothing is said, and where they cannot be.

use virt_error::Result;

use crate::domain::VirtType;
use crate::domain::boot::{OsKind, OsType};
use crate::domain::devices::{Input, InputBus, InputType};
use crate::schema::error;

/// Compat: the bus is chosen by the kind of the guest alone; drivers with others choose before.
pub(super) fn complete(input: &mut Input, os: &OsKind, virt_type: VirtType) -> Result<()> {
    let (guest, arch) = (os.kind, os.arch.as_deref().unwrap_or_default());
    let reads_source = matches!(input.kind, InputType::Passthrough | InputType::Evdev);
    input.source.take_if(|_| !reads_source);
    if input.kind == InputType::Evdev {
        return Ok(());
    }
    let pointing = matches!(input.kind, InputType::Mouse | InputType::Keyboard);
    let kind = input.kind;
    match guest {
        Some(OsType::Hvm) => {
            let usual = match (arch, kind) {
                ("s390" | "s390x", _) | (_, InputType::Passthrough) => InputBus::Virtio,
                ("i686" | "x86_64", _) if pointing => InputBus::Ps2,
                _ => InputBus::Usb,
            };
            match *input.bus.get_or_insert(usual) {
                InputBus::Ps2 if !pointing => {
                    Err(error::internal(format!("ps2 bus does not support {kind} input device")))
                }
                InputBus::Xen => Err(error::internal("unsupported input bus xen")),
                _ => Ok(()),
            }
        }
        // A driver's own kinds of guests are its own affair.
        Some(OsType::Ldom | OsType::Bsd) | None => Ok(()),
        Some(OsType::Xen | OsType::XenPvh | OsType::Linux)
            if guest != Some(OsType::Linux) || virt_type == VirtType::Xen =>
        {
            match *input.bus.get_or_insert(InputBus::Xen) {
                InputBus::Xen if pointing => Ok(()),
                InputBus::Xen => {
                    Err(error::internal(format!("xen bus does not support {kind} input device")))
                }
                bus => Err(error::internal(format!("unsupported input bus {bus}"))),
            }
        }
        Some(_) => {
            Err(error::internal("Input devices are not supported by this virtualization driver."))
        }
    }
}
