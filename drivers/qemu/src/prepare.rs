//! What only a running guest has, put into its document before its command line is made.

use std::path::Path;

use virt_error::{Error, Origin, Result};
use virt_model::YesNo;
use virt_model::domain::Domain as Document;
use virt_model::domain::chardev::{ChannelState, ChardevType, SocketMode};
use virt_model::domain::graphics::{Graphics, GraphicsType, ListenType};

use crate::core::Core;
use crate::dirs::{Dirs, store_error};
use crate::security::{Identity, give};
use crate::{argv, image, status, vdisk};

/// Limit: the ports tried for a display, as in libvirt's own configuration.
const VNC_PORTS: std::ops::RangeInclusive<i32> = 5900..=65535;

/// For a start: folders are made, and ports are those that are free.
pub(crate) fn for_start(
    core: &Core,
    document: &mut Document,
    whom: Option<&Identity>,
) -> Result<()> {
    if fill(document, core.dirs()) {
        let channels = core.dirs().guest_channels(document.id.unwrap_or(-1), &document.name);
        virt_store::make_dir(&channels, 0o750).map_err(|error| store_error(&error))?;
        give(&channels, whom)?;
    }
    status::note_disks(document);
    disks(document);
    let mut taken = Vec::new();
    let free = |address: &str| {
        let port = free_port(address, &taken)?;
        taken.push(port);
        Ok(port)
    };
    ports(document, &core.config.vnc_listen, free)
}

/// For a command line that nobody starts: the first port for each display.
pub(crate) fn for_show(document: &mut Document, dirs: &Dirs, vnc_listen: &str) -> Result<()> {
    document.id = Some(-1);
    fill(document, dirs);
    ports(document, vnc_listen, |_| Ok(*VNC_PORTS.start()))
}

/// Names, numbers and sockets; says whether there is a socket in the channels' folder.
fn fill(document: &mut Document, dirs: &Dirs) -> bool {
    argv::number_nodes(document);
    argv::assign_aliases(document);
    let channels = dirs.guest_channels(document.id.unwrap_or(-1), &document.name);
    let mut made = false;
    for channel in &mut document.devices.channels {
        channel.target.state = Some(ChannelState::Disconnected);
        if channel.source.kind == ChardevType::Unix && channel.source.path.is_none() {
            let name = channel.target.name.as_deref().unwrap_or("channel").replace('/', "_");
            channel.source.mode = Some(SocketMode::Bind);
            channel.source.path = Some(channels.join(name).to_string_lossy().into_owned());
            made = true;
        }
    }
    made
}

/// Gives each display that wants one a port.
fn ports(
    document: &mut Document,
    vnc_listen: &str,
    mut free: impl FnMut(&str) -> Result<i32>,
) -> Result<()> {
    let wants = |graphics: &&mut Graphics| {
        graphics.kind == GraphicsType::Vnc && graphics.ports.autoport == Some(YesNo::Yes)
    };
    for graphics in document.devices.graphics.iter_mut().filter(wants) {
        let listen = graphics.listens.first_mut();
        if let Some(listen) = listen.filter(|listen| listen.kind == ListenType::Address) {
            let address = listen.address.get_or_insert_with(|| vnc_listen.to_owned()).clone();
            graphics.ports.port = Some(free(&address)?);
            graphics.listen = Some(address);
        }
    }
    Ok(())
}

/// What is known of disks once they are opened: a raw image has nothing below it, and an empty drive
/// has no format.
fn disks(document: &mut Document) {
    for disk in &mut document.devices.disks {
        let last = match (disk.format(), disk.path()) {
            (Some("qcow2"), Some(path)) => {
                image::qcow2(Path::new(path)).is_ok_and(|head| !head.has_backing)
            }
            (format, _) => vdisk::is_vdisk(disk) || format.is_none_or(|format| format == "raw"),
        };
        if disk.path().is_none() {
            disk.driver.iter_mut().for_each(|driver| driver.format = None);
        } else if last {
            disk.backing_store.get_or_insert_default();
        }
    }
}

fn free_port(address: &str, taken: &[i32]) -> Result<i32> {
    let free = |port: &i32| {
        let number = u16::try_from(*port).unwrap_or(0);
        !taken.contains(port) && std::net::TcpListener::bind((address, number)).is_ok()
    };
    VNC_PORTS.clone().find(free).ok_or_else(|| {
        let (low, high) = (VNC_PORTS.start(), VNC_PORTS.end());
        let detail = format!("Unable to find an unused port in range 'vnc-{low}-{high}'");
        Error::internal(Origin::Qemu, detail)
    })
}
