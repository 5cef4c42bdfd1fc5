//! Clients of a guest's displays that come by a descriptor instead of the display's own socket.

use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde_json::json;
use virt_driver::{Call, Job};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::graphics::GraphicsType;
use virt_types::{DomainRef, api};

use crate::control::tell;
use crate::core::{Core, MONITOR_WAIT_MAX, monitor_error};
use crate::guest::Data;
use crate::monitor::Command;

/// The emulator's name for a descriptor on its way.
const NAME: &str = "graphicsfd";

/// `virDomainOpenGraphics`: the caller brings one end of a connection.
pub(crate) fn open(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    at: u32,
    flags: u32,
) -> Result<()> {
    let none = || Error::internal(Origin::Rpc, "No FD available at slot 0");
    let file = call.take_files().into_iter().next().ok_or_else(none)?;
    give(core, call, dom, at, flags, file)
}

/// `virDomainOpenGraphicsFD`: the caller gets one.
pub(crate) fn open_fd(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    at: u32,
    flags: u32,
) -> Result<()> {
    let failed = |error: rustix::io::Errno| {
        Error::io(Origin::Qemu, &error.into(), "unable to create a pair of sockets")
    };
    let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let (theirs, callers) = pair.map_err(failed)?;
    give(core, call, dom, at, flags, theirs)?;
    call.reply_file(callers);
    Ok(())
}

/// Gives the emulator a connected client.
fn give(
    core: &Core,
    call: &Call<'_>,
    dom: &DomainRef,
    at: u32,
    flags: u32,
    file: OwnedFd,
) -> Result<()> {
    let guest = core.guests.find(dom)?;
    let work = core.work(&guest, Job::Modify, call)?;
    let (protocol, monitor) = work.read(|data| {
        let live = data.running()?;
        Ok::<_, Error>((protocol(data, at)?, std::sync::Arc::clone(&live.monitor)))
    })?;
    let passed = call.waiting(|| monitor.pass(&[file], MONITOR_WAIT_MAX));
    passed.map_err(|error| monitor_error(&error))?;
    tell(&work, call, Command::with("getfd", json!({ "fdname": NAME })))?;
    let client = json!({
        "protocol": protocol,
        "fdname": NAME,
        "skipauth": flags & api::DOMAIN_OPEN_GRAPHICS_SKIPAUTH != 0,
    });
    let added = tell(&work, call, Command::with("add_client", client));
    if added.is_err() {
        // What was not taken would stay open.
        let _ = tell(&work, call, Command::with("closefd", json!({ "fdname": NAME })));
    }
    added.map(drop)
}

/// What is spoken at the display of that number.
fn protocol(data: &Data, at: u32) -> Result<&'static str> {
    let displays = data.live.as_ref().map(|live| &live.document.devices.graphics);
    let display = displays.and_then(|displays| displays.get(usize::try_from(at).ok()?));
    match display.map(|display| display.kind) {
        Some(GraphicsType::Vnc) => Ok("vnc"),
        Some(kind) => {
            let kind = kind.as_str();
            let detail = format!("Can only open VNC graphics backends, not {kind}");
            Err(Error::new(Code::InvalidArg, Origin::Qemu, detail))
        }
        None => Err(Error::internal(Origin::Qemu, format!("No graphics backend with index {at}"))),
    }
}
