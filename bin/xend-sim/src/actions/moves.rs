//! Guests that become files, come from files, and go to other hosts.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::form::Form;
use crate::image::Image;
use crate::machine::State;
use crate::relocate;
use crate::xend::Xend;

use super::{Done, find};

/// Where hosts take guests in, unless another port is asked for.
const RELOCATION_PORT: i64 = 8002;
/// A guest is sent in so many parts, with pauses between.
const CHUNKS: usize = 16;
const PAUSE: Duration = Duration::from_millis(3);

pub(super) fn act(xend: &Xend, key: &str, op: &str, form: &Form) -> Option<Done> {
    Some(match op {
        "save" => form.need("file").and_then(|file| save(xend, key, file)),
        "dump" if xend.profile().has_dump() => dump(xend, key, form),
        "migrate" => migrate(xend, key, form),
        _ => return None,
    })
}

/// Takes a guest that is up, so that nobody else does anything with it.
fn hold(xend: &Xend, key: &str) -> Result<(String, Image), String> {
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    let name = &domain.config.name;
    let run = domain.run.as_mut().ok_or_else(|| format!("Domain '{name}' is not started"))?;
    if run.held || run.state == State::Dying {
        return Err(format!("Domain '{name}' is busy"));
    }
    run.held = true;
    Ok((domain.config.uuid.clone(), Image::of(xend, domain)))
}

/// Lets it go: it is gone from here, or goes on.
fn release(xend: &Xend, uuid: &str, gone: bool) {
    let mut world = xend.world();
    let Some(at) = find(&world, uuid) else { return };
    if gone {
        xend.reap(&mut world, at);
        return;
    }
    let run = world.domains.get_mut(at).and_then(|domain| domain.run.as_mut());
    if let Some(run) = run {
        run.held = false;
    }
}

fn save(xend: &Xend, key: &str, file: &str) -> Done {
    let (uuid, image) = hold(xend, key)?;
    let written = File::create(file).map(BufWriter::new).and_then(|mut out| {
        image.write(&mut out)?;
        out.flush()
    });
    if xend.has_fault("save") {
        release(xend, &uuid, false);
        return Err("/usr/lib/xen/bin/xc_save failed".to_owned());
    }
    release(xend, &uuid, written.is_ok());
    written.map(|()| None).map_err(|error| format!("{error}: {file}"))
}

/// Makes a guest of a file; it runs then.
pub(super) fn restore(xend: &Xend, file: &str) -> Done {
    let mut open = File::open(file).map_err(|error| format!("{error}: {file}"))?;
    let image = Image::read(&mut open).map_err(|error| error.to_string())?;
    relocate::revive(xend, &image).map(Some)
}

fn dump(xend: &Xend, key: &str, form: &Form) -> Done {
    let file = form.need("file")?;
    let (live, crash) = (form.number("live")? != 0, form.number("crash")? != 0);
    let reset = xend.profile().wants_reset() && form.number("reset")? != 0;
    let (uuid, image) = hold(xend, key)?;
    let made = File::create(file).and_then(|mut out| {
        out.write_all(b"\x7fELF\x02\x01\x01")?;
        out.write_all(image.config.as_bytes())
    });
    release(xend, &uuid, made.is_ok() && crash);
    made.map_err(|error| format!("{error}: {file}"))?;
    if !live && !crash {
        let mut world = xend.world();
        let at = find(&world, &uuid).ok_or("gone")?;
        let run = world.domains.get_mut(at).and_then(|domain| domain.run.as_mut());
        if let Some(run) = run.filter(|_| reset) {
            run.state = State::Up;
        }
    }
    Ok(None)
}

/// Sends a guest away. It goes on here unless the other side has all of it.
fn migrate(xend: &Xend, key: &str, form: &Form) -> Done {
    for field in xend.profile().migration_fields() {
        form.need(field)?;
    }
    let port = form.number("port").unwrap_or(0);
    let port = if port == 0 { RELOCATION_PORT } else { port };
    let destination = form.need("destination")?;
    let (uuid, image) = hold(xend, key)?;
    let sent = send(xend, destination, port, &image);
    release(xend, &uuid, sent.is_ok());
    if let Err(why) = &sent {
        xend.log(format!("migration of {} failed: {why}", image.name));
    }
    sent.map(|()| None)
}

fn send(xend: &Xend, destination: &str, port: i64, image: &Image) -> Result<(), String> {
    let refused = |error: std::io::Error| format!("can't connect: {error}");
    let mut socket = TcpStream::connect(format!("{destination}:{port}")).map_err(refused)?;
    let broken = |error: std::io::Error| format!("migration broke: {error}");
    socket.set_read_timeout(Some(Duration::from_secs(30))).map_err(broken)?;
    dies(xend, "connected")?;
    relocate::greet(&mut socket).map_err(|_| "receive failed, no (ready receive)".to_owned())?;
    dies(xend, "ready")?;
    let bytes = image.to_bytes();
    let chunk = bytes.len().div_ceil(CHUNKS);
    for (at, part) in bytes.chunks(chunk.max(1)).enumerate() {
        if at == CHUNKS / 2 {
            dies(xend, "half")?;
        }
        // A guest is larger than what a network keeps: that nobody reads any more is noticed.
        std::thread::sleep(PAUSE);
        while at > 0 && xend.has_fault("migrate-slow") {
            std::thread::sleep(PAUSE);
        }
        socket.write_all(part).map_err(broken)?;
    }
    Ok(())
}

/// Whether xend is killed at this point of a migration.
fn dies(xend: &Xend, phase: &str) -> Result<(), String> {
    if xend.has_fault(&format!("migrate-{phase}")) {
        xend.die();
        return Err("xend was killed".to_owned());
    }
    Ok(())
}
