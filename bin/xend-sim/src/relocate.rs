//! Guests that come from other hosts, and how hosts speak of it.

use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::actions::find;
use crate::config::Config;
use crate::image::Image;
use crate::machine::State;
use crate::rule;
use crate::sxp::{self, Sxp};
use crate::xend::Xend;

const ASK: &[u8] = b"receive\n";
const READY: &[u8] = b"(ready receive)\n";

/// Makes a guest of an image: it runs.
pub(crate) fn revive(xend: &Xend, image: &Image) -> std::result::Result<Sxp, String> {
    let uuid = prepare(xend, image)?;
    begin(xend, &uuid)
}

/// Gives a guest that comes its memory and a number; it is paused, and waits for the rest of it.
fn prepare(xend: &Xend, image: &Image) -> std::result::Result<String, String> {
    let config = Config::of(&sxp::parse(&image.config)?, &xend.settings)?;
    let mut world = xend.world();
    let known = find(&world, &config.uuid);
    if let Some(domain) = known.and_then(|at| world.domains.get(at))
        && domain.run.is_some()
    {
        return Err(format!("Domain '{}' is already running", domain.config.name));
    }
    let (weight, cap) = (config.number("cpu_weight"), config.number("cpu_cap"));
    let uuid = config.uuid.clone();
    let managed = known.is_some();
    let at = xend.add(&mut world, config, managed)?;
    if let Err(why) = xend.boot(&mut world, at) {
        if !managed {
            world.domains.remove(at);
        }
        return Err(why);
    }
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    if let Some(run) = &mut domain.run {
        run.weight = if weight == 0 { 256 } else { weight };
        run.cap = cap;
        run.held = true;
    }
    Ok(uuid)
}

/// All of it is here.
fn begin(xend: &Xend, uuid: &str) -> std::result::Result<Sxp, String> {
    let mut world = xend.world();
    let at = find(&world, uuid).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    if let Some(run) = &mut domain.run {
        run.state = State::Up;
        run.held = false;
    }
    Ok(xend.describe(domain))
}

/// The rest of it does not come.
fn withdraw(xend: &Xend, uuid: &str) {
    let mut world = xend.world();
    if let Some(at) = find(&world, uuid) {
        xend.reap(&mut world, at);
    }
}

fn expect(from: &mut impl Read, text: &[u8]) -> Result<()> {
    let mut heard = vec![0; text.len()];
    from.read_exact(&mut heard)?;
    if heard == text { Ok(()) } else { Err(Error::other("something else")) }
}

/// The sending side's first words.
pub(crate) fn greet(socket: &mut TcpStream) -> Result<()> {
    socket.write_all(ASK)?;
    expect(socket, READY)
}

/// Takes one guest in.
pub(crate) fn receive(xend: &Xend, mut socket: TcpStream) {
    let Ok(peer) = socket.peer_addr() else { return };
    let _ = socket.set_read_timeout(Some(Duration::from_secs(30)));
    let address = peer.ip().to_string();
    let names: &[&str] =
        if peer.ip().is_loopback() { &["localhost", &address] } else { &[&address] };
    if !rule::allowed(&xend.settings.hosts_allow, names) {
        xend.log(format!("WARNING (connection:77) {address} is not allowed to relocate here"));
        return;
    }
    if let Err(why) = take(xend, &mut socket) {
        xend.log(format!("ERROR relocation: {why}"));
    }
}

fn take(xend: &Xend, socket: &mut TcpStream) -> Result<()> {
    let dies = |phase: &str| {
        let dies = xend.has_fault(&format!("receive-{phase}"));
        if dies {
            xend.die();
        }
        if dies { Err(Error::other("xend was killed")) } else { Ok(()) }
    };
    expect(socket, ASK)?;
    dies("connected")?;
    socket.write_all(READY)?;
    dies("ready")?;
    let image = Image::read_head(socket)?;
    dies("half")?;
    let uuid = prepare(xend, &image).map_err(Error::other)?;
    let came = Image::read_memory(socket).and_then(|()| dies("whole"));
    match came {
        Ok(()) => begin(xend, &uuid).map(drop).map_err(Error::other),
        Err(why) => {
            withdraw(xend, &uuid);
            Err(why)
        }
    }
}
